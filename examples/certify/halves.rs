//! Half types: a function of one input on all 65 536 numbers of float16 or bfloat16, its results in the same dtype.
//!
//! A result is *correct* if it is the number of the dtype nearest to the truth. Arithmetic is in float32; where its bound
//! leaves open on which side of the middle between two numbers the truth lies, the other of the two is right too, and the
//! result is *undecided*. Everything else is *wrong*.

use crate::precise::{Precise, to_f64};
use crate::subject::Subject;
use fuselet::ir::ulp::ulp_f32;
use fuselet::{ArrayMut, ArrayRef, Dtype, Function};
use half::{bf16, f16};
use std::error::Error;

/// The dtypes.
pub const DTYPES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

/// The float64 reference may be this far from the truth, relative to it. Truths that are this near to the middle between two
/// numbers of a half type are computed again with high precision.
const REFERENCE_ERROR: f64 = 1e-10;

/// The number with these bits.
pub fn number(dtype: Dtype, bits: u16) -> f64 {
    if dtype == Dtype::F16 { f16::from_bits(bits).to_f64() } else { bf16::from_bits(bits).to_f64() }
}

/// The bits of the number of a half type nearest to one.
pub fn nearest(dtype: Dtype, number: f64) -> u16 {
    // Rounded once, here; what follows is exact.
    let rounded = dtype.round(number) as f32;
    if dtype == Dtype::F16 { f16::from_f32(rounded).to_bits() } else { bf16::from_f32(rounded).to_bits() }
}

/// Where a number comes among all of its dtype, both zeros at 0; `None` for NaN.
fn place(dtype: Dtype, bits: u16) -> Option<i32> {
    let magnitude = i32::from(bits & 0x7fff);
    let place = if bits >> 15 == 0 { magnitude } else { -magnitude };
    (!number(dtype, bits).is_nan()).then_some(place)
}

/// What a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The nearest number.
    Correct,
    /// The other of the two nearest, float32 arithmetic not being sure which is nearer.
    Undecided,
    /// None of the two, but rounded from a number that float32 arithmetic may give.
    Distant,
    /// Nothing that it may be.
    Wrong,
}

/// Judges a result, float32 arithmetic being allowed an error.
pub fn judge(dtype: Dtype, result: u16, truth: f64, allowed: f64) -> Verdict {
    let correct = nearest(dtype, truth);
    let places = [correct, result].map(|bits| place(dtype, bits));
    let [Some(correct), Some(result)] = places else {
        return if places == [None, None] { Verdict::Correct } else { Verdict::Wrong };
    };
    if result == correct {
        return Verdict::Correct;
    }
    let ends = [truth - allowed, truth + allowed].map(|end| place(dtype, nearest(dtype, end)));
    let [Some(low), Some(high)] = ends else { return Verdict::Wrong };
    match result.abs_diff(correct) {
        _ if result < low || result > high => Verdict::Wrong,
        1 => Verdict::Undecided,
        _ => Verdict::Distant,
    }
}

/// All numbers of a half type, by their bits, as they lie in memory.
fn all() -> Vec<u8> {
    (0..=u16::MAX).flat_map(u16::to_ne_bytes).collect()
}

/// The results of a function of one input for all numbers of a dtype, by their bits.
pub fn results(function: &Function, dtype: Dtype) -> Result<Vec<u16>, Box<dyn Error>> {
    let (inputs, shape) = (all(), [1 << 16]);
    let mut outputs = vec![0u8; inputs.len()];
    let name = function.inputs()[0].clone();
    let input = ArrayRef::from_bytes(&inputs, dtype, &shape)?;
    function.call(&[(name.as_str(), input)], ArrayMut::from_bytes(&mut outputs, dtype, &shape)?)?;
    let (bits, _) = outputs.as_chunks();
    Ok(bits.iter().map(|bits| u16::from_ne_bytes(*bits)).collect())
}

/// The truths for all numbers of a dtype. `reference` is the definition, compiled for float64.
pub fn truths(subject: &Subject, reference: &Function, dtype: Dtype) -> Result<Vec<f64>, Box<dyn Error>> {
    let inputs: Vec<f64> = (0..=u16::MAX).map(|bits| number(dtype, bits)).collect();
    let mut truths = vec![0.0f64; inputs.len()];
    reference.call(&[(subject.input(), (&inputs).into())], &mut truths)?;
    let mut precise = Precise::new();
    for (input, truth) in inputs.iter().zip(&mut truths) {
        let error = truth.abs() * REFERENCE_ERROR;
        if nearest(dtype, *truth - error) != nearest(dtype, *truth + error) {
            *truth = to_f64(&precise.scalar(&subject.definition, *input));
        }
    }
    Ok(truths)
}

/// What was counted over all numbers of a dtype.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Results that are the other of the two nearest numbers, rightly.
    pub undecided: u64,
    /// Results that are wrong.
    pub wrong: u64,
    /// The first of them: input, result, truth.
    pub first_wrong: Option<[f64; 3]>,
}

/// Counts results, float32 arithmetic being allowed `bound` units in the last place.
pub fn count(dtype: Dtype, results: &[u16], truths: &[f64], bound: f64) -> Counts {
    let mut counts = Counts::default();
    for ((input, result), truth) in (0..=u16::MAX).zip(results).zip(truths) {
        match judge(dtype, *result, *truth, bound * ulp_f32(*truth)) {
            Verdict::Correct => {}
            Verdict::Undecided => counts.undecided += 1,
            Verdict::Distant | Verdict::Wrong => {
                counts.wrong += 1;
                counts.first_wrong.get_or_insert([number(dtype, input), number(dtype, *result), *truth]);
            }
        }
    }
    counts
}
