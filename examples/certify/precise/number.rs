//! Arbitrary-precision numbers against float32 and float64.

use astro_float::BigFloat;

/// Significant bits of float64.
const FLOAT64_BITS: usize = 53;

/// A float64 as it is.
pub fn from_f64(value: f64, precision: usize) -> BigFloat {
    BigFloat::from_f64(value, precision.max(FLOAT64_BITS))
}

/// The binade of a number: ⌊log₂|a|⌋; `None` for zero, infinities and NaN.
pub fn binade(a: &BigFloat) -> Option<i64> {
    if a.is_zero() {
        return None;
    }
    // The mantissa is a fraction from 1/2 up to 1.
    a.exponent().map(|exponent| i64::from(exponent) - 1)
}

/// The nearest float64, within one unit in the last place.
pub fn to_f64(a: &BigFloat) -> f64 {
    if a.is_nan() {
        return f64::NAN;
    }
    if a.is_inf() {
        return if a.is_negative() { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let magnitude = match (a.mantissa_digits(), a.exponent()) {
        (Some(words), Some(exponent)) if !a.is_zero() => {
            let word = |from_top: usize| words.len().checked_sub(from_top).map_or(0.0, |index| words[index] as f64);
            let fraction = word(1) * 2f64.powi(-64) + word(2) * 2f64.powi(-128);
            libm::scalbn(fraction, exponent.clamp(-4000, 4000))
        }
        _ => 0.0,
    };
    if a.is_negative() { -magnitude } else { magnitude }
}

/// |got − truth| in units in the last place of the truth: what `fuselet::ir::ulp::ulp_distance_f32` computes, for a
/// truth that float64 need not hold. A sign that is wrong is infinitely far, unless either is zero.
pub fn ulp_distance(got: f32, truth: &BigFloat) -> f64 {
    /// The first number that rounds to infinity: halfway between the largest finite float32 and 2¹²⁸.
    const OVERFLOW: f64 = 340_282_356_779_733_661_637_539_395_458_142_568_448.0;
    if got.is_nan() || truth.is_nan() {
        return if got.is_nan() && truth.is_nan() { 0.0 } else { f64::INFINITY };
    }
    let opposite = got != 0.0 && !truth.is_zero() && got.is_sign_negative() != truth.is_negative();
    if opposite {
        return f64::INFINITY;
    }
    let overflows = truth.abs().cmp(&from_f64(OVERFLOW, FLOAT64_BITS)).is_some_and(|order| order >= 0);
    // An infinity where the truth is still finite counts as 2¹²⁸.
    let got = match got.is_infinite() {
        true if overflows => return 0.0,
        true => 2f64.powi(128).copysign(f64::from(got)),
        false if truth.is_inf() => return f64::INFINITY,
        false => f64::from(got),
    };
    let precision = truth.mantissa_max_bit_len().unwrap_or(FLOAT64_BITS) + 64;
    let difference = from_f64(got, FLOAT64_BITS).sub(truth, precision, super::ROUNDING);
    let unit = binade(truth).map_or(-126, |binade| binade.clamp(-126, 127)) - 23;
    libm::scalbn(to_f64(&difference).abs(), -(unit as i32))
}
