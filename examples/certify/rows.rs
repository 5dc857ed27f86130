//! The row functions on random rows.
//!
//! No sweep covers all rows; what is drawn are rows of many lengths whose entries differ little, moderately, or as far
//! as float32 reaches, with offsets, ties and masks. Truth is the definition in float64; the worst rows are confirmed
//! with high precision.
//!
//! Normalisations have rows of their own, which are hard on means and on squares, and the worst of these are bent further: as
//! long as a small change of a row makes its error larger, the changed row takes its place.

use crate::precise::{Precise, to_f64, ulp_distance};
use crate::subject::Subject;
use fuselet::ir::reference::{Array, evaluate};
use fuselet::ir::ulp::ulp_distance_f32;
use fuselet::{ArrayMut, ArrayRef, Engine, Function, Fusion};
use std::error::Error;

/// Lengths of rows: around the widths of vectors and accumulators, and beyond.
const LENGTHS: [usize; 14] = [1, 2, 3, 7, 8, 16, 17, 31, 33, 64, 100, 128, 257, 1000];

/// Rows of one call.
const BATCH: usize = 64;

/// How many of the worst rows are computed again with high precision.
const CONFIRMED: usize = 16;

/// How many batches of changed rows each of the worst is followed by.
const BENDS: usize = 40;

/// How distances of a function are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// In units in the last place of the true value.
    Ulp,
    /// In units of 2⁻²³: sparsemax, whose small results are differences of entries of size 1.
    Absolute,
    /// In units in the last place of the row's largest result: normalisations, whose small results are differences of entries
    /// as large as the row's largest.
    Row,
    /// In units in the last place of the result or the row's largest entry, whichever is larger: logsumexp, which is their
    /// difference with a logarithm.
    Entry,
}

/// The unit in the last place of a float32 of this size.
fn unit_in_the_last_place(value: f64) -> f64 {
    let exponent = (value.abs().max(f64::from(f32::MIN_POSITIVE)).to_bits() >> 52) as i32 - 1023;
    2f64.powi(exponent - 23)
}

/// The largest finite magnitude.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).filter(|value| value.is_finite()).fold(0.0, f64::max)
}

impl Measure {
    /// How a row function is measured.
    pub fn of(name: &str) -> Measure {
        match name.split('(').next() {
            Some("sparsemax") => Measure::Absolute,
            Some("layer_norm" | "rms_norm") => Measure::Row,
            Some("logsumexp") => Measure::Entry,
            _ => Measure::Ulp,
        }
    }

    /// What the distance counts.
    pub fn unit(self) -> &'static str {
        match self {
            Measure::Ulp => "ULP",
            Measure::Absolute => "· 2⁻²³",
            Measure::Row => "ULP of the row's largest result",
            Measure::Entry => "ULP of the result or the row's largest entry",
        }
    }

    /// What distances of a row's results are counted in.
    fn unit_of(self, row: &[f32], truth: &[f64]) -> f64 {
        let results = || largest(truth.iter().copied());
        match self {
            Measure::Ulp => f64::NAN,
            Measure::Absolute => 2f64.powi(-23),
            Measure::Row => unit_in_the_last_place(results()),
            Measure::Entry => unit_in_the_last_place(results().max(largest(row.iter().map(|x| f64::from(*x))))),
        }
    }

    fn distance(self, result: f32, truth: f64, unit: f64) -> f64 {
        if self == Measure::Ulp {
            return ulp_distance_f32(result, truth);
        }
        if f64::from(result) == truth || (result.is_nan() && truth.is_nan()) {
            return 0.0;
        }
        let distance = (f64::from(result) - truth).abs() / unit;
        if distance.is_nan() { f64::INFINITY } else { distance }
    }
}

/// The largest distance that is promised of a row function, in its measure.
pub fn promise(name: &str) -> f64 {
    match name.split('(').next() {
        Some("sparsemax") => 1.0,
        // Long rows of few values, whose sums of squares are rounded in one direction.
        Some("layer_norm") => 6.0,
        _ => 4.0,
    }
}

/// What was found about a row function.
pub struct RowCertificate {
    /// Rows tried.
    pub rows: u64,
    /// Their results.
    pub results: u64,
    /// The largest distance, confirmed.
    pub worst: f64,
    /// The mean distance.
    pub mean: f64,
    /// The row it was found in.
    pub worst_row: Vec<f32>,
    /// The result and its true value.
    pub worst_result: (f32, f64),
}

/// A small generator of random numbers: the same rows on every run.
struct Random(u64);

impl Random {
    /// 32 random bits (a 64-bit linear congruential generator with Knuth's constants, its upper half permuted).
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 ^ (self.0 >> 22)) >> (22 + (self.0 >> 61))) as u32
    }

    fn below(&mut self, limit: usize) -> usize {
        self.bits() as usize % limit
    }

    /// From −1 to 1.
    fn unit(&mut self) -> f32 {
        self.bits() as i32 as f32 / 2_147_483_648.0
    }

    /// Roughly normal.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.unit()).sum::<f32>() * std::f32::consts::FRAC_1_SQRT_2
    }

    /// Any finite number.
    fn any(&mut self) -> f32 {
        loop {
            let x = f32::from_bits(self.bits());
            if x.is_finite() {
                return x;
            }
        }
    }

    /// A row, with masks (−inf) now and then where they mean something.
    fn row(&mut self, length: usize, masks: bool) -> Vec<f32> {
        let scale = [0.01, 0.3, 1.0, 3.0, 10.0, 40.0, 200.0][self.below(7)];
        let offset = [0.0, 0.0, 1.0, -20.0, 1000.0][self.below(5)];
        let kind = self.below(8);
        let mut row: Vec<f32> = (0..length)
            .map(|_| match kind {
                // Any exponent; nearly all of such a row is mask.
                0 => self.any(),
                // Multiples of 1/4: ties.
                1 => (self.normal() * scale * 4.0).round() / 4.0 + offset,
                2 => self.unit() * scale + offset,
                _ => self.normal() * scale + offset,
            })
            .collect();
        match self.below(8) {
            0 => {
                let at = self.below(length);
                row[at] += scale.abs() * 10.0 + 15.0;
            }
            1 if masks => {
                let count = self.below(length);
                row.iter_mut().take(count).for_each(|x| *x = f32::NEG_INFINITY);
            }
            _ => {}
        }
        row
    }

    /// A row for normalisations: equal entries or nearly so, few values, one that stands out, offsets, and sizes from the least
    /// subnormal to the largest number.
    fn row_to_normalise(&mut self, length: usize) -> Vec<f32> {
        let size = [0, 0, 0, 3, 20, 60, 100, 126, -20, -60, -100, -126, -140][self.below(13)];
        let offset = [0.0, 0.0, 0.3, 2.0, 40.0, 1e3, 1e5, 3e6][self.below(8)] * (1.5 + self.unit());
        let kind = self.below(10);
        let (other, fraction) = (self.unit(), self.below(length + 1));
        let (place, levels) = (self.below(length), 1 + self.below(3));
        (0..length)
            .map(|at| {
                let entry = match kind {
                    0 => self.normal(),
                    1 => self.unit(),
                    // Two values, in turns and one after the other.
                    2 => [1.0, other][self.below(2)],
                    3 => [1.0, other][usize::from(at < fraction)],
                    // One entry stands out, beside equal ones and others.
                    4 => [other * 1e-3, 1.0][usize::from(at == place)],
                    5 => [self.unit() * 1e-3, 1.0 + other][usize::from(at == place)],
                    6 => self.below(levels + 1) as f32,
                    7 => at as f32 / length as f32,
                    8 => other,
                    _ => self.unit() * 2f32.powi(-(self.below(30) as i32)),
                };
                // In float64, where no size overflows before the offset is added.
                ((f64::from(entry) + f64::from(offset)) * 2f64.powi(size)) as f32
            })
            .map(|x| x.clamp(f32::MIN, f32::MAX))
            .collect()
    }

    /// The row with a few entries changed: a little, much, or to one of their neighbours.
    fn bent(&mut self, row: &[f32]) -> Vec<f32> {
        let mut row = row.to_vec();
        for _ in 0..1 + self.below(4) {
            let (at, other) = (self.below(row.len()), self.below(row.len()));
            row[at] = match self.below(4) {
                0 => row[at].next_up(),
                1 => row[at].next_down(),
                2 => row[other],
                _ => row[at] * (1.0 + self.unit() * 2f32.powi(-(self.below(20) as i32))),
            };
            if !row[at].is_finite() {
                row[at] = row[other];
            }
        }
        row
    }
}

/// A result far from its truth: how far, the row, its place there, the result.
type Worst = (f64, Vec<f32>, usize, f32);

/// A row function, as it is compiled and as it is defined.
struct Judge<'a> {
    kernel: Function,
    subject: &'a Subject,
    measure: Measure,
}

impl Judge<'_> {
    /// Calls `visit` with every result of these rows, as a [`Worst`] but for the row, which is given by its number.
    fn judge(
        &self,
        x: &[f32],
        length: usize,
        mut visit: impl FnMut(f64, usize, usize, f32),
    ) -> Result<(), Box<dyn Error>> {
        let rows = x.len() / length;
        let shape = [rows, length];
        let wide = Array::new(shape.to_vec(), x.iter().map(|x| f64::from(*x)).collect())?;
        let truth = evaluate(&self.subject.definition, &[wide])?.swap_remove(0);
        let mut y = vec![0f32; truth.data().len()];
        let input = ArrayRef::new(x, &shape)?;
        self.kernel.call(&[(self.subject.input(), input)], ArrayMut::new(&mut y, truth.shape())?)?;
        let width = y.len() / rows;
        for (row, (results, truth)) in y.chunks(width).zip(truth.data().chunks(width)).enumerate() {
            let unit = self.measure.unit_of(&x[row * length..][..length], truth);
            for (at, (result, truth)) in results.iter().zip(truth).enumerate() {
                visit(self.measure.distance(*result, *truth, unit), row, at, *result);
            }
        }
        Ok(())
    }

    /// The row bent as long as that makes its error larger.
    fn bend(&self, random: &mut Random, mut worst: Worst) -> Result<Worst, Box<dyn Error>> {
        let length = worst.1.len();
        for _ in 0..BENDS {
            let x: Vec<f32> = (0..BATCH).flat_map(|_| random.bent(&worst.1)).collect();
            let mut best = worst.clone();
            self.judge(&x, length, |distance, row, at, result| {
                if distance > best.0 {
                    best = (distance, x[row * length..][..length].to_vec(), at, result);
                }
            })?;
            worst = best;
        }
        Ok(worst)
    }
}

/// Runs at least this many random rows through a row function.
pub fn certify(
    engine: &Engine,
    subject: &Subject,
    rows: u64,
    progress: &dyn Fn(u64),
) -> Result<RowCertificate, Box<dyn Error>> {
    let measure = Measure::of(&subject.name);
    let judge = Judge { kernel: engine.compile_graph(&subject.form, Fusion::Full)?, subject, measure };
    let mut random = Random(2026);
    let mut worst: Vec<Worst> = Vec::new();
    let (mut tried, mut results, mut sum) = (0, 0u64, 0.0);
    while tried < rows {
        // Halves need an even length.
        let length = LENGTHS[random.below(LENGTHS.len())];
        let gate = subject.name.starts_with("glu");
        let length = if gate { 2 * length } else { length };
        let row = |random: &mut Random| match measure {
            Measure::Row => random.row_to_normalise(length),
            _ => random.row(length, !gate),
        };
        let x: Vec<f32> = (0..BATCH).flat_map(|_| row(&mut random)).collect();
        judge.judge(&x, length, |distance, row, at, result| {
            results += 1;
            if distance.is_finite() {
                sum += distance;
            }
            if distance > worst.last().map_or(0.0, |last| last.0) || worst.len() < CONFIRMED {
                worst.push((distance, x[row * length..][..length].to_vec(), at, result));
                worst.sort_by(|a, b| b.0.total_cmp(&a.0));
                worst.truncate(CONFIRMED);
            }
        })?;
        tried += BATCH as u64;
        progress(BATCH as u64);
    }
    if measure == Measure::Row {
        worst = worst.into_iter().map(|worst| judge.bend(&mut random, worst)).collect::<Result<_, _>>()?;
    }
    let mut certificate = RowCertificate {
        rows: tried,
        results,
        worst: 0.0,
        mean: sum / results as f64,
        worst_row: Vec::new(),
        worst_result: (0.0, 0.0),
    };
    let mut precise = Precise::new();
    for (_, row, index, result) in worst {
        let wide: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let exact = precise.row(&subject.definition, &wide);
        let truth: Vec<f64> = exact.iter().map(to_f64).collect();
        let distance = match measure {
            Measure::Ulp => ulp_distance(result, &exact[index]),
            _ => measure.distance(result, truth[index], measure.unit_of(&row, &truth)),
        };
        if distance >= certificate.worst {
            certificate.worst = distance;
            certificate.worst_row = row;
            certificate.worst_result = (result, truth[index]);
        }
    }
    Ok(certificate)
}
