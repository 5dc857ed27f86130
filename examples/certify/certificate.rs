//! A certificate: the float64 reference checked, the sweep, and its findings confirmed with high precision.
//!
//! 1. The float64 reference is compared with the high-precision one at points of every binade. Where it strays (a
//!    user's chain may cancel even in float64), the binade is not swept but sampled, against the high-precision
//!    reference alone.
//! 2. The sweep finds the largest distances and all mistakes of class by the float64 reference.
//! 3. These are computed again with high precision. An input that is not among them is, by the float64 reference,
//!    nearer than the last that is; so it can exceed the certified maximum at most by that reference's own error. No other
//!    call is close: distances are measured from the float64 truth as it is, never from its rounding to float32.

use crate::precise::{Precise, to_f64, ulp_distance};
use crate::statistics::Statistics;
use crate::subject::Subject;
use crate::sweep::{self, BINADE, BINADES, Measured, Patterns};
use std::error::Error;

/// The float64 reference may be this far from the truth, in float32 units in the last place: a few times 10⁻¹²
/// relative.
const TRUSTED: f64 = 1e-4;

/// Points of a binade at which the float64 reference is checked.
const CHECKED: u64 = 16;

/// Points of a binade where only the high-precision reference will do.
const SAMPLED: u64 = 512;

/// The input with the largest confirmed distance.
#[derive(Clone, Copy, Debug)]
pub struct Worst {
    /// The distance in units in the last place.
    pub ulp: f64,
    /// The input.
    pub x: f32,
    /// The kernel's result.
    pub result: f32,
    /// The true value, rounded to float64.
    pub truth: f64,
}

/// What is known about a subject.
pub struct Certificate {
    /// Counts of the sweep.
    pub statistics: Statistics,
    /// The largest distance; `None` if every result is exact.
    pub worst: Option<Worst>,
    /// Confirmed mistakes of class, as many as were kept.
    pub mistakes: Vec<Worst>,
    /// How many mistakes by the float64 reference were too many to be computed again.
    pub unsettled: u64,
    /// No input that was not computed again is further away than this, by the float64 reference.
    pub others: f64,
    /// The largest error of the float64 reference at the points checked, in units in the last place of float32.
    pub reference_error: f64,
    /// Binades (sign and exponent fields) that were sampled only.
    pub sampled: Vec<usize>,
}

impl Certificate {
    /// The largest distance, infinite for a mistake of class.
    pub fn max_ulp(&self) -> f64 {
        let mistaken = !self.mistakes.is_empty() || self.unsettled > 0;
        if mistaken { f64::INFINITY } else { self.worst.map_or(0.0, |worst| worst.ulp) }
    }
}

/// Certifies a subject.
pub fn certify(
    subject: &Subject,
    measured: &Measured,
    patterns: Patterns,
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Certificate, Box<dyn Error>> {
    let mut certificate = Certificate {
        statistics: Statistics::default(),
        worst: None,
        mistakes: Vec::new(),
        unsettled: 0,
        others: 0.0,
        reference_error: 0.0,
        sampled: Vec::new(),
    };
    let mut skip = [false; BINADES];
    for (binade, error) in check_reference(subject, measured, patterns, threads)? {
        if error <= TRUSTED {
            certificate.reference_error = certificate.reference_error.max(error);
        } else {
            skip[binade] = true;
            certificate.sampled.push(binade);
        }
    }
    certificate.statistics = sweep::sweep(measured, patterns, &skip, threads, progress)?;
    let mistakes_at = &certificate.statistics.mistakes_at;
    certificate.unsettled = certificate.statistics.mistakes - mistakes_at.len() as u64;
    certificate.others = certificate.statistics.limit();
    let mut confirm: Vec<u32> = certificate.statistics.worst().iter().map(|found| found.bits).collect();
    confirm.extend(mistakes_at);
    confirm.extend(certificate.sampled.iter().flat_map(|binade| points(*binade, SAMPLED, patterns)));
    for found in precise_distances(subject, measured, &confirm, threads)? {
        if found.ulp.is_infinite() {
            certificate.mistakes.push(found);
        } else if found.ulp > certificate.worst.map_or(0.0, |worst| worst.ulp) {
            certificate.worst = Some(found);
        }
    }
    Ok(certificate)
}

/// Points of a binade among the patterns: its ends, and others spread without a pattern.
fn points(binade: usize, count: u64, patterns: Patterns) -> impl Iterator<Item = u32> {
    let start = binade as u64 * BINADE;
    (0..count)
        .map(move |index| match index {
            0 => start,
            1 => start + BINADE - 1,
            // Multiples of the golden ratio, modulo the binade.
            _ => start + (index * 5_184_257) % BINADE,
        })
        .map(|bits| bits as u32)
        .filter(move |bits| (patterns.from..=patterns.to).contains(bits))
}

/// The largest error of the float64 reference in each binade of the patterns.
fn check_reference(
    subject: &Subject,
    measured: &Measured,
    patterns: Patterns,
    threads: usize,
) -> Result<Vec<(usize, f64)>, Box<dyn Error>> {
    let binades: Vec<usize> = (0..BINADES).collect();
    in_parallel(&binades, threads, |binades| {
        let mut precise = Precise::new();
        let mut measured = measured.clone();
        let mut errors = Vec::new();
        for binade in binades {
            let bits: Vec<u32> = points(*binade, CHECKED, patterns).collect();
            let x: Vec<f64> = bits.iter().map(|bits| f64::from(f32::from_bits(*bits))).collect();
            if x.is_empty() {
                continue;
            }
            let mut truths = vec![0.0; x.len()];
            measured.truths(&x, &mut truths).map_err(|error| error.to_string())?;
            let error = |(x, reference): (&f64, &f64)| {
                reference_error(*reference, to_f64(&precise.scalar(&subject.definition, *x)))
            };
            errors.push((*binade, x.iter().zip(&truths).map(error).fold(0.0, f64::max)));
        }
        Ok(errors)
    })
}

/// |reference − truth| in units in the last place of float32; nothing where both round to the same infinity.
fn reference_error(reference: f64, truth: f64) -> f64 {
    let same = (reference.is_nan() && truth.is_nan()) || reference as f32 == truth as f32 && truth.abs() > 3.5e38;
    if same {
        return 0.0;
    }
    let error = (reference - truth).abs() / fuselet::ir::ulp::ulp_f32(truth);
    if error.is_nan() { f64::INFINITY } else { error }
}

/// The exact distances of the kernel's results at some inputs.
fn precise_distances(
    subject: &Subject,
    measured: &Measured,
    bits: &[u32],
    threads: usize,
) -> Result<Vec<Worst>, Box<dyn Error>> {
    in_parallel(bits, threads, |bits| {
        let mut precise = Precise::new();
        let x: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
        let mut results = vec![0.0; x.len()];
        measured.results(&x, &mut results).map_err(|error| error.to_string())?;
        let distance = |(x, result): (&f32, &f32)| {
            let truth = precise.scalar(&subject.definition, f64::from(*x));
            Worst { ulp: ulp_distance(*result, &truth), x: *x, result: *result, truth: to_f64(&truth) }
        };
        Ok(x.iter().zip(&results).map(distance).collect())
    })
}

/// Cuts the items into as many pieces as threads and joins the results in order.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&[T]) -> Result<Vec<R>, String> + Sync,
) -> Result<Vec<R>, Box<dyn Error>> {
    let length = items.len().div_ceil(threads.max(1)).max(1);
    let pieces = std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = items.chunks(length).map(|piece| scope.spawn(move || work(piece))).collect();
        running.into_iter().map(|thread| thread.join().expect("no thread panics")).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(pieces.into_iter().flatten().collect())
}
