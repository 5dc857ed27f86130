//! What a sweep counts.

use fuselet::ir::ulp::ulp_distance_f32;

/// How many of the worst inputs are kept for the high-precision reference.
const WORST: usize = 64;

/// How many are kept before they are cut to the worst.
const ROOM: usize = 1024;

/// How many mistakes of class are kept; all are counted.
const MISTAKES: usize = 64;

/// Inputs looked at together.
const GROUP: usize = 64;

/// Inputs counted side by side.
const LANES: usize = 8;

/// No correctly rounded result is further away.
const CORRECT: f64 = 0.5;

/// Upper edges of the histogram's bins; the last bin is everything above.
pub const BINS: [f64; 5] = [CORRECT, 1.0, 2.0, 3.0, LAST_EDGE];

const LAST_EDGE: f64 = 4.0;

/// A distance in units in the last place, and the bits of the input it was found at; ordered by distance.
#[derive(Clone, Copy, PartialEq)]
pub struct Found {
    /// The distance; not NaN.
    pub ulp: f64,
    /// The input.
    pub bits: u32,
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Found) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Found) -> std::cmp::Ordering {
        self.ulp.total_cmp(&other.ulp).then(other.bits.cmp(&self.bits))
    }
}

/// What was counted over a set of inputs.
#[derive(Clone, Default)]
pub struct Statistics {
    /// How many inputs.
    pub inputs: u64,
    /// The sum of the distances of all results that are numbers where the truth is one.
    sum: f64,
    /// How many those are.
    numbers: u64,
    /// How many of them are in each bin.
    pub histogram: [u64; BINS.len() + 1],
    /// The largest distances, and others found since they were last cut to [`WORST`].
    worst: Vec<Found>,
    /// Distances up to here are not among the worst.
    limit: f64,
    /// Wrong classes: NaN for a number or a number for NaN, infinity for a finite number or the reverse, a wrong sign.
    pub mistakes: u64,
    /// Where the first of them are.
    pub mistakes_at: Vec<u32>,
    /// Zero where the truth is at least the smallest subnormal.
    pub lost_to_zero: u64,
    /// Not zero where the truth is.
    pub not_zero: u64,
    /// A zero of the other sign than the definition's: no distance, so no mistake.
    pub other_zero: u64,
    /// The largest distance where the truth is subnormal.
    pub worst_subnormal: f64,
}

impl Statistics {
    /// Counts one block: inputs, results, truths.
    pub fn add_block(&mut self, x: &[f32], y: &[f32], truth: &[f64]) {
        self.inputs += x.len() as u64;
        for ((x, y), truth) in x.chunks(GROUP).zip(y.chunks(GROUP)).zip(truth.chunks(GROUP)) {
            let mut distances = [0.0; GROUP];
            let (mut sums, mut largest) = ([0.0f64; LANES], [0.0f64; LANES]);
            let (mut least_truth, mut least_result) = ([f64::INFINITY; LANES], [f32::INFINITY; LANES]);
            let (y_lanes, y_rest) = y.as_chunks::<LANES>();
            let (truth_lanes, truth_rest) = truth.as_chunks::<LANES>();
            let (distance_lanes, _) = distances.as_chunks_mut::<LANES>();
            for ((distance, y), truth) in distance_lanes.iter_mut().zip(y_lanes).zip(truth_lanes) {
                for lane in 0..LANES {
                    let (near, far) = (truth[lane].abs(), y[lane].abs());
                    distance[lane] = quick_distance(y[lane], truth[lane]);
                    // NaN and infinity stay in the sum.
                    sums[lane] += distance[lane];
                    largest[lane] = if distance[lane] > largest[lane] { distance[lane] } else { largest[lane] };
                    least_truth[lane] = if near < least_truth[lane] { near } else { least_truth[lane] };
                    least_result[lane] = if far < least_result[lane] { far } else { least_result[lane] };
                }
            }
            let done = y.len() - y_rest.len();
            for ((distance, y), truth) in distances[done..].iter_mut().zip(y_rest).zip(truth_rest) {
                *distance = quick_distance(*y, *truth);
            }
            let distances = &distances[..x.len()];
            let largest = largest.into_iter().fold(0.0, f64::max);
            let sum: f64 = sums.iter().sum();
            let subnormal = least_truth.into_iter().fold(f64::INFINITY, f64::min) < f64::from(f32::MIN_POSITIVE)
                || least_result.into_iter().fold(f32::INFINITY, f32::min) == 0.0;
            if y_rest.is_empty() && sum.is_finite() && !subnormal && largest <= self.limit.min(LAST_EDGE) {
                // Nearly all groups: numbers, nothing to keep.
                self.sum += sum;
                self.numbers += x.len() as u64;
                if largest <= CORRECT {
                    self.histogram[0] += x.len() as u64;
                } else {
                    self.count(distances);
                }
            } else {
                self.add_group(x, y, truth, distances);
            }
        }
    }

    /// Puts distances up to the last edge into their bins.
    fn count(&mut self, distances: &[f64]) {
        let mut below = 0;
        for (edge, bin) in BINS.iter().zip(&mut self.histogram) {
            let up_to: u64 = distances.iter().map(|distance| u64::from(distance <= edge)).sum();
            *bin += up_to - below;
            below = up_to;
        }
    }

    fn add_group(&mut self, x: &[f32], y: &[f32], truth: &[f64], distances: &[f64]) {
        for (((x, y), truth), distance) in x.iter().zip(y).zip(truth).zip(distances) {
            if *distance <= CORRECT {
                self.numbers += 1;
                self.histogram[0] += 1;
                self.sum += distance;
                let zeros = *y == 0.0 && *truth == 0.0;
                self.other_zero += u64::from(zeros && y.is_sign_negative() != truth.is_sign_negative());
                if *distance > self.limit {
                    self.keep(Found { ulp: *distance, bits: x.to_bits() });
                }
                if *distance > self.worst_subnormal && truth.abs() < f64::from(f32::MIN_POSITIVE) {
                    self.worst_subnormal = *distance;
                }
            } else {
                self.add_bad(*x, *y, *truth, *distance);
            }
        }
    }

    fn add_bad(&mut self, x: f32, y: f32, truth: f64, quick: f64) {
        let distance = if quick.is_finite() { quick } else { ulp_distance_f32(y, truth) };
        if y.is_nan() && truth.is_nan() {
            return;
        }
        let opposite = y != 0.0 && truth != 0.0 && y.is_sign_negative() != truth.is_sign_negative();
        if distance.is_infinite() || opposite {
            self.mistakes += 1;
            if self.mistakes_at.len() < MISTAKES {
                self.mistakes_at.push(x.to_bits());
            }
            return;
        }
        self.numbers += 1;
        self.sum += distance;
        self.histogram[BINS.iter().position(|edge| distance <= *edge).unwrap_or(BINS.len())] += 1;
        self.keep(Found { ulp: distance, bits: x.to_bits() });
        if truth.abs() < f64::from(f32::MIN_POSITIVE) {
            self.worst_subnormal = self.worst_subnormal.max(distance);
            self.lost_to_zero += u64::from(y == 0.0 && truth.abs() >= f64::from(f32::from_bits(1)));
            self.not_zero += u64::from(y != 0.0 && truth == 0.0);
        }
    }

    fn keep(&mut self, found: Found) {
        if found.ulp > self.limit {
            self.worst.push(found);
            if self.worst.len() == ROOM {
                self.cut();
            }
        }
    }

    /// Leaves the worst alone, worst first.
    fn cut(&mut self) {
        self.worst.sort_unstable_by(|a, b| b.cmp(a));
        self.worst.truncate(WORST);
        if self.worst.len() == WORST {
            self.limit = self.worst[WORST - 1].ulp;
        }
    }

    /// Adds what was counted over other inputs.
    pub fn merge(&mut self, other: Statistics) {
        self.inputs += other.inputs;
        self.sum += other.sum;
        self.numbers += other.numbers;
        self.mistakes += other.mistakes;
        self.lost_to_zero += other.lost_to_zero;
        self.not_zero += other.not_zero;
        self.other_zero += other.other_zero;
        self.worst_subnormal = self.worst_subnormal.max(other.worst_subnormal);
        for (own, count) in self.histogram.iter_mut().zip(other.histogram) {
            *own += count;
        }
        let room = MISTAKES - self.mistakes_at.len();
        self.mistakes_at.extend(other.mistakes_at.into_iter().take(room));
        other.worst.into_iter().for_each(|found| self.keep(found));
        self.cut();
    }

    /// The worst inputs, worst first.
    pub fn worst(&self) -> &[Found] {
        &self.worst
    }

    /// All distances that are not among the worst are at most this.
    pub fn limit(&self) -> f64 {
        self.limit
    }

    /// The mean distance.
    pub fn mean(&self) -> f64 {
        if self.numbers == 0 { 0.0 } else { self.sum / self.numbers as f64 }
    }
}

/// The binade of the smallest normal float32, whose unit is that of subnormals too.
const LEAST_BINADE: f64 = f32::MIN_POSITIVE as f64;

/// The binade of the largest finite float32: 2¹²⁷.
const LAST_BINADE: f64 = f64::from_bits((1023 + 127) << 52);

/// [`ulp_distance_f32`] without branches where both are finite; infinite or NaN elsewhere.
///
/// A truth within 2⁻⁴⁰ above a power of two is measured in the smaller unit of the binade below: the float64 truth does
/// not know which side of the power the true one is on, and this way no distance is underrated. The worst are measured
/// again exactly.
#[inline(always)]
fn quick_distance(y: f32, truth: f64) -> f64 {
    let below = (truth.to_bits() & (u64::MAX >> 1)).wrapping_sub(1 << 12);
    // A truth next to 0 wraps around to a negative number, and is clamped with the subnormals. Clamped as floats, since
    // not every machine compares integers of 64 bits side by side.
    let binade = f64::from_bits(below & (0xfff << 52));
    let binade = if binade > LEAST_BINADE { binade } else { LEAST_BINADE };
    let binade = if binade < LAST_BINADE { binade } else { LAST_BINADE };
    let unit_reciprocal = f64::from_bits(((2 * 1023 + 23) << 52) - binade.to_bits());
    (f64::from(y) - truth).abs() * unit_reciprocal
}
