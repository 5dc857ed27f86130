//! What a sweep counts.

use fuselet::ir::ulp::ulp_distance_f32;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How many of the worst inputs are kept for the high-precision reference.
const WORST: usize = 64;

/// How many mistakes of class are kept; all are counted.
const MISTAKES: usize = 64;

/// Inputs looked at together.
const GROUP: usize = 64;

/// No correctly rounded result is further away.
const CORRECT: f64 = 0.5;

/// Upper edges of the histogram's bins; the last bin is everything above.
pub const BINS: [f64; 5] = [CORRECT, 1.0, 2.0, 3.0, 4.0];

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
    /// The largest distances.
    worst: BinaryHeap<Reverse<Found>>,
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
            let distances = &mut distances[..x.len()];
            let (mut largest, mut least_truth, mut least_result) = (0.0f64, f64::INFINITY, f32::INFINITY);
            let mut good = true;
            for ((distance, y), truth) in distances.iter_mut().zip(y).zip(truth) {
                *distance = quick_distance(*y, *truth);
                good &= *distance <= CORRECT;
                largest = if *distance > largest { *distance } else { largest };
                least_truth = if truth.abs() < least_truth { truth.abs() } else { least_truth };
                least_result = if y.abs() < least_result { y.abs() } else { least_result };
            }
            let subnormal = least_truth < f64::from(f32::MIN_POSITIVE) || least_result == 0.0;
            if good && !subnormal && largest <= self.limit() {
                // Nearly all groups of most functions: nothing to keep, one bin.
                self.sum += distances.iter().sum::<f64>();
                self.numbers += x.len() as u64;
                self.histogram[0] += x.len() as u64;
            } else {
                self.add_group(x, y, truth, distances);
            }
        }
    }

    fn add_group(&mut self, x: &[f32], y: &[f32], truth: &[f64], distances: &[f64]) {
        let limit = self.limit();
        for (((x, y), truth), distance) in x.iter().zip(y).zip(truth).zip(distances) {
            if *distance <= CORRECT {
                self.numbers += 1;
                self.histogram[0] += 1;
                self.sum += distance;
                let zeros = *y == 0.0 && *truth == 0.0;
                self.other_zero += u64::from(zeros && y.is_sign_negative() != truth.is_sign_negative());
                if *distance > limit {
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

    /// Distances up to here are not among the worst.
    fn limit(&self) -> f64 {
        match self.worst.peek() {
            Some(Reverse(least)) if self.worst.len() == WORST => least.ulp,
            _ => 0.0,
        }
    }

    fn keep(&mut self, found: Found) {
        if found.ulp > self.limit() {
            self.worst.push(Reverse(found));
            if self.worst.len() > WORST {
                self.worst.pop();
            }
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
        other.worst.into_iter().for_each(|Reverse(found)| self.keep(found));
    }

    /// The worst inputs, worst first.
    pub fn worst(&self) -> Vec<Found> {
        let mut worst: Vec<Found> = self.worst.iter().map(|Reverse(found)| *found).collect();
        worst.sort_by(|a, b| b.cmp(a));
        worst
    }

    /// The mean distance.
    pub fn mean(&self) -> f64 {
        if self.numbers == 0 { 0.0 } else { self.sum / self.numbers as f64 }
    }
}

/// [`ulp_distance_f32`] without branches where both are finite; infinite or NaN elsewhere.
///
/// A truth within 2⁻⁴⁰ above a power of two is measured in the smaller unit of the binade below: the float64 truth does
/// not know which side of the power the true one is on, and this way no distance is underrated. The worst are measured
/// again exactly.
#[inline(always)]
fn quick_distance(y: f32, truth: f64) -> f64 {
    let below = (truth.to_bits() & (u64::MAX >> 1)).saturating_sub(1 << 12);
    let exponent = (below >> 52).clamp(1023 - 126, 1023 + 127);
    let unit_reciprocal = f64::from_bits((2 * 1023 + 23 - exponent) << 52);
    (f64::from(y) - truth).abs() * unit_reciprocal
}
