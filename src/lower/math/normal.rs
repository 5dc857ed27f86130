//! The normal distribution: Φ, and its tail scaled by 2⁶⁴.
//!
//! Φ(−a) = ½ · e^(−a²/2) · erfcx(a/√2). The square is exact in two parts, s + e, so the exponential keeps its bits; with
//! S = 2ⁿ and q = eʳ − 1 it is S + S·q. erfcx(a/√2) = R(a)/Q(a), Q = R + a·(√(π/2)·R − C): the quotient is nearly
//! 1/(1 + √(π/2)·a), and R's rounding errors cancel between numerator and denominator. Coefficients: minimax for a in
//! [0, 14.7], error 0.3·2⁻²⁴ (float32).

use super::error_free;
use super::exp::{LOG2_E, bias, ln2_parts, magic, mantissa};
use super::notation::{Term, hex};
use crate::dtype::Dtype;

/// R in a.
const NUMERATOR_F32: [f64; 5] =
    [1.0, hex("0x1.d3e8e6p-1"), hex("0x1.93e8a6p-2"), hex("0x1.73da54p-4"), hex("0x1.3cbcdp-7")];
/// C in a.
const CORRECTION_F32: [f64; 4] =
    [hex("0x1.d25bfp-2"), hex("0x1.1e4f76p-2"), hex("0x1.4274aep-4"), hex("0x1.3cb2c6p-7")];
/// √(π/2).
const SQRT_HALF_PI_F32: f64 = hex("0x1.40d932p+0");

/// (eʳ − 1)/r for float32, as in `exp`, written for r = 2v: the square itself is reduced, not its half.
pub(super) const EXP_F32: [f64; 6] =
    [1.0, hex("0x1.fffff8p-2"), hex("0x1.55548cp-3"), hex("0x1.555b84p-5"), hex("0x1.123d1p-7"), hex("0x1.6868dp-10")];

/// 2ᵏ · e^(−rate·(a² exactly)) as S and q, the exponential being S + S·q; `rate` is 1 or ½.
pub(super) fn gaussian_f32<'s>(a: Term<'s>, rate: f64, scale: f64) -> (Term<'s>, Term<'s>) {
    let magic = magic(Dtype::F32) + bias(Dtype::F32) + scale;
    let (ln2_high, ln2_low) = ln2_parts(Dtype::F32);
    let square = error_free::square(a);
    let t = square.high.times_plus(-LOG2_E * rate, magic);
    let n = t - magic;
    // r is a² − n·ln2/rate, so that −rate·r is the exponent left.
    let high = n.times_plus(ln2_high / rate, square.high);
    let r = high + n.times_plus(ln2_low / rate, square.low);
    let mut power = 1.0;
    let coefficients = EXP_F32.map(|c| {
        power *= -rate;
        c * power
    });
    let q = r * r.polynomial(&coefficients);
    ((t.bits() << mantissa(Dtype::F32)).float(), q)
}

/// 2⁶⁴ · Φ(−a) for a ≥ 0. Past 16 (float32), 38.5 (float64) the value stays what it is there: below 2⁻¹²⁰, 2⁻¹⁰⁰⁰.
pub(super) fn normal_tail_scaled(a: Term<'_>) -> Term<'_> {
    match a.dtype() {
        Dtype::F32 => normal_tail_f32(a),
        Dtype::F64 => todo!(),
    }
}

fn normal_tail_f32(a: Term<'_>) -> Term<'_> {
    let a = a.at_most(16.0);
    let (s, q) = gaussian_f32(a, 0.5, 63.0);
    let numerator = a.polynomial(&NUMERATOR_F32);
    let k = numerator.times_plus(SQRT_HALF_PI_F32, a.polynomial(&CORRECTION_F32.map(|c| -c)));
    let denominator = a.times_plus(k, numerator);
    let weighted = s * numerator;
    weighted.times_plus(q, weighted) / denominator
}

/// Φ(x).
pub(super) fn normal_cdf(x: Term<'_>) -> Term<'_> {
    let tail = normal_tail_scaled(x.abs()) * hex("0x1p-64");
    x.greater(0.0).select(1.0 - tail, tail)
}
