//! Logarithms: `log`, `log1p`, and `log1p_unit` for arguments in [0, 1].
//!
//! x = 2ᵏ·m with m in [√½, √2): subtracting √½'s bits from x's makes k the exponent field. log x = k·ln 2 + log m in the
//! order f − f²/2 + f³·R(f), f = m − 1 exact, the small terms added first. Float32: R of degree 7, 31 ops, 0.86 ULP.
//! Float64: f − (f²/2 − s·(f²/2 + R(s²))), s = f/(2 + f) (the order of fdlibm), R of degree 7; under 1 ULP.
//!
//! `log1p` takes the logarithm of u = fl(1 + x) and corrects f by (1 + x − u)/2ᵏ, which makes it exactly x while k is 0.
//! `log1p_unit` needs neither reduction nor division: x + x²·Q(x), degree 10.

use super::error_free::fast_two_sum;
use super::exp::{ln2_parts, mantissa};
use super::notation::{Bits, Term, hex};
use crate::array::ComputeDtype;

/// (log(1 + f) − f + f²/2) / f³ for float32, f in [√½ − 1, √2 − 1].
const LOG_F32: [f64; 8] = [
    hex("0x1.55555cp-2"),
    hex("-0x1.000236p-2"),
    hex("0x1.999cf8p-3"),
    hex("-0x1.546bfp-3"),
    hex("0x1.2307b2p-3"),
    hex("-0x1.0de8cp-3"),
    hex("0x1.048f56p-3"),
    hex("-0x1.351686p-4"),
];

/// (log((1 + s)/(1 − s))/s − 2)/s² in s² for float64, |s| ≤ 0.1716; error 2⁻⁵⁸ of s³.
const LOG_F64: [f64; 7] = [
    hex("0x1.555555555558fp-1"),
    hex("0x1.9999999980ad4p-2"),
    hex("0x1.249249415e8cap-2"),
    hex("0x1.c71c526b1fc8dp-3"),
    hex("0x1.74662e1387c81p-3"),
    hex("0x1.39a32c16e6861p-3"),
    hex("0x1.2ef8edf0531f3p-3"),
];

/// (log(1 + t) − t) / t² for float32, t in [0, 1]; relative error of the logarithm 5.3e-9.
const LOG1P_UNIT_F32: [f64; 9] = [
    hex("-0x1.ffffd2p-2"),
    hex("0x1.554ddap-2"),
    hex("-0x1.ff2556p-3"),
    hex("0x1.935568p-3"),
    hex("-0x1.3a6736p-3"),
    hex("0x1.b53c48p-4"),
    hex("-0x1.d7efa8p-5"),
    hex("0x1.4a9226p-6"),
    hex("-0x1.b22adep-9"),
];

/// x = 2ᵏ · m, m in [√½, √2), for normal positive x.
pub(super) struct Parts<'s> {
    /// The mantissa.
    pub(super) m: Term<'s>,
    /// k plus the bias, in the low bits.
    pub(super) biased_exponent: Bits<'s>,
}

/// Takes a normal positive number apart.
pub(super) fn parts(x: Term<'_>) -> Parts<'_> {
    let (one, sqrt_half, mask) = match x.dtype() {
        ComputeDtype::F32 => (0x3f80_0000, 0x3f35_04f3, 0x007f_ffff),
        ComputeDtype::F64 => (0x3ff0_0000_0000_0000, 0x3fe6_a09e_667f_3bcd, 0x000f_ffff_ffff_ffff),
    };
    let moved = x.bits() + (one - sqrt_half);
    Parts { m: ((moved & mask) + sqrt_half).float(), biased_exponent: moved >> mantissa(x.dtype()) }
}

/// The float of a small integer, plus 2ᵖ⁻¹.
pub(super) fn offset_float(integer: Bits<'_>) -> (Term<'_>, f64) {
    let offset = if integer.dtype() == ComputeDtype::F32 { hex("0x1p+23") } else { hex("0x1p+52") };
    let bits = match integer.dtype() {
        ComputeDtype::F32 => u64::from((offset as f32).to_bits()),
        ComputeDtype::F64 => offset.to_bits(),
    };
    ((integer | bits).float(), offset)
}

/// x, or x scaled up where it is subnormal, taken apart: mantissa and exponent as floats.
pub(super) fn mantissa_and_exponent(x: Term<'_>) -> (Term<'_>, Term<'_>) {
    let (smallest, scale, bias) = match x.dtype() {
        ComputeDtype::F32 => (hex("0x1p-126"), 23, 127.0),
        ComputeDtype::F64 => (hex("0x1p-1022"), 52, 1023.0),
    };
    let subnormal = x.less(smallest);
    let x = subnormal.select(x * 2f64.powi(scale), x);
    let Parts { m, biased_exponent } = parts(x);
    let (exponent, offset) = offset_float(biased_exponent);
    let offset = offset + bias;
    (m, exponent - subnormal.select(offset + f64::from(scale), offset))
}

/// log x.
pub(super) fn log(x: Term<'_>) -> Term<'_> {
    let (m, k) = mantissa_and_exponent(x);
    let result = log_of_parts(m - 1.0, None, k);
    limits(x, 0.0, result)
}

/// log(1 + x).
pub(super) fn log1p(x: Term<'_>) -> Term<'_> {
    let one = x.scope().number(1.0);
    let u = x + 1.0;
    // 1 + x − u: the smaller of 1 and x, less what of it reached u.
    let missing = one.lane_min(x) - (u - one.lane_max(x));
    let Parts { m, biased_exponent } = parts(u);
    let (exponent, offset) = offset_float(biased_exponent);
    let bias = super::exp::bias(x.dtype());
    let k = exponent - (offset + bias);
    // 2¹⁻ᵏ: its exponent field is at least 0, even for an infinite u.
    let mantissa = mantissa(x.dtype());
    let field = x.scope().integer(2 * bias as u64 + 1) - biased_exponent;
    let down = (field << mantissa).float();
    let (f, f_low) = match x.dtype() {
        ComputeDtype::F32 => ((missing * 0.5).times_plus(down, m - 1.0), None),
        ComputeDtype::F64 => {
            let f = fast_two_sum(m - 1.0, (missing * 0.5) * down);
            (f.high, Some(f.low))
        }
    };
    let result = limits(x, -1.0, log_of_parts(f, f_low, k));
    // Keeps −0 and the bits of subnormals.
    let tiny = if x.dtype() == ComputeDtype::F32 { hex("0x1p-30") } else { hex("0x1p-60") };
    x.abs().less(tiny).select(x, result)
}

/// The result where its argument is above the pole; at it −inf, below it NaN; inf and NaN stay.
fn limits<'s>(x: Term<'s>, pole: f64, result: Term<'s>) -> Term<'s> {
    let result = x.less(f64::INFINITY).select(result, x);
    let result = x.equals(pole).select(f64::NEG_INFINITY, result);
    x.less(pole).select(f64::NAN, result)
}

/// log(1 + f + f_low) + k · ln 2. Float32 has no use for f's low part.
fn log_of_parts<'s>(f: Term<'s>, f_low: Option<Term<'s>>, k: Term<'s>) -> Term<'s> {
    match f.dtype() {
        ComputeDtype::F32 => {
            let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F32);
            let square = f * f;
            let w = (square * f) * f.polynomial(&LOG_F32);
            let w = k.times_plus(ln2_low, w);
            let w = square.times_plus(-0.5, w);
            k.times_plus(ln2_high, f + w)
        }
        ComputeDtype::F64 => {
            let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F64);
            let half_square = (f * 0.5) * f;
            let s = f / (f + 2.0);
            let z = s * s;
            let w = s * z.times_plus(z.polynomial(&LOG_F64), half_square);
            let low = half_square - k.times_plus(ln2_low, w);
            let low = match f_low {
                None => low,
                // The logarithm grows by f_low/(1 + f).
                Some(f_low) => low - f.times_from(f_low, f_low),
            };
            // Below ½ the sum would cancel what it rounds; k · ln2_high is exact, and 0 or larger than f.
            let sum = fast_two_sum(k * ln2_high, f);
            sum.high + (sum.low - low)
        }
    }
}

/// log(1 + x) for 0 ≤ x ≤ 1.
pub(super) fn log1p_unit(x: Term<'_>) -> Term<'_> {
    match x.dtype() {
        ComputeDtype::F32 => (x * x).times_plus(x.polynomial(&LOG1P_UNIT_F32), x),
        ComputeDtype::F64 => log1p(x),
    }
}
