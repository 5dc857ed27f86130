//! The row functions on random rows.
//!
//! No sweep covers all rows; what is drawn are rows of many lengths whose entries differ little, moderately, or as far
//! as float32 reaches, with offsets, ties and masks. Bool is the definition in float64; the worst rows are confirmed
//! with high precision.

use crate::precise::{Precise, to_f64, ulp_distance};
use crate::subject::Subject;
use fuselet::ir::reference::{Array, evaluate};
use fuselet::ir::ulp::ulp_distance_f32;
use fuselet::{ArrayMut, ArrayRef, Engine, Fusion};
use std::error::Error;

/// Lengths of rows: around the widths of vectors and accumulators, and beyond.
const LENGTHS: [usize; 14] = [1, 2, 3, 7, 8, 16, 17, 31, 33, 64, 100, 128, 257, 1000];

/// Rows of one call.
const BATCH: usize = 64;

/// How many of the worst rows are computed again with high precision.
const CONFIRMED: usize = 16;

/// How distances of a function are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// In units in the last place of the true value.
    Ulp,
    /// In units of 2⁻²³: sparsemax, whose small results are differences of entries of size 1.
    Absolute,
}

impl Measure {
    /// How a row function is measured.
    pub fn of(name: &str) -> Measure {
        if name.starts_with("sparsemax") { Measure::Absolute } else { Measure::Ulp }
    }

    /// What the distance counts.
    pub fn unit(self) -> &'static str {
        match self {
            Measure::Ulp => "ULP",
            Measure::Absolute => "· 2⁻²³",
        }
    }

    fn distance(self, result: f32, truth: f64) -> f64 {
        match self {
            Measure::Ulp => ulp_distance_f32(result, truth),
            Measure::Absolute if result.is_nan() && truth.is_nan() => 0.0,
            Measure::Absolute => match (f64::from(result) - truth).abs() * 2f64.powi(23) {
                distance if distance.is_nan() => f64::INFINITY,
                distance => distance,
            },
        }
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
}

/// Runs at least this many random rows through a row function.
pub fn certify(
    engine: &Engine,
    subject: &Subject,
    rows: u64,
    progress: &dyn Fn(u64),
) -> Result<RowCertificate, Box<dyn Error>> {
    let measure = Measure::of(&subject.name);
    let kernel = engine.compile_graph(&subject.form, Fusion::Full)?;
    let mut random = Random(2026);
    let mut worst: Vec<(f64, Vec<f32>, usize, f32)> = Vec::new();
    let (mut tried, mut results, mut sum) = (0, 0u64, 0.0);
    while tried < rows {
        // Halves need an even length.
        let length = LENGTHS[random.below(LENGTHS.len())];
        let gate = subject.name.starts_with("glu");
        let length = if gate { 2 * length } else { length };
        let x: Vec<f32> = (0..BATCH).flat_map(|_| random.row(length, !gate)).collect();
        let wide = Array::new(vec![BATCH, length], x.iter().map(|x| f64::from(*x)).collect())?;
        let truth = evaluate(&subject.definition, &[wide])?.swap_remove(0);
        let mut y = vec![0f32; truth.data().len()];
        kernel
            .call(&[(subject.input(), ArrayRef::new(&x, &[BATCH, length])?)], ArrayMut::new(&mut y, truth.shape())?)?;
        let width = y.len() / BATCH;
        for (index, (result, truth)) in y.iter().zip(truth.data()).enumerate() {
            let distance = measure.distance(*result, *truth);
            if distance.is_finite() {
                sum += distance;
            }
            if distance > worst.last().map_or(0.0, |last| last.0) || worst.len() < CONFIRMED {
                let row = index / width;
                worst.push((distance, x[row * length..][..length].to_vec(), index % width, *result));
                worst.sort_by(|a, b| b.0.total_cmp(&a.0));
                worst.truncate(CONFIRMED);
            }
        }
        results += y.len() as u64;
        tried += BATCH as u64;
        progress(BATCH as u64);
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
        let truth = &precise.row(&subject.definition, &wide)[index];
        let distance = match measure {
            Measure::Ulp => ulp_distance(result, truth),
            Measure::Absolute => measure.distance(result, to_f64(truth)),
        };
        if distance >= certificate.worst {
            certificate.worst = distance;
            certificate.worst_row = row;
            certificate.worst_result = (result, to_f64(truth));
        }
    }
    Ok(certificate)
}
