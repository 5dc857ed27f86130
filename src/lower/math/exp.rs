//! The exponential family: `exp`, `exp_neg_scaled`, `exp_neg_scaled_sum`, `exp_scaled`.
//!
//! Reduction x = n·ln 2 + r, |r| ≤ ½ ln 2, with ln 2 in two parts of which n · (the high one) is exact (Cody and Waite);
//! n is rounded by adding 1.5·2ᵖ⁻¹, whose low bits then *are* n plus a bias, so that the power of two is one shift away
//! (`t << mantissa`). The polynomial is multiplied by it. Where its bits are added into a polynomial's instead, a NaN must come
//! through by another way: its payload plus an exponent could become a number.
//!
//! `exp` applies the power in two halves, 2^⌊·⌋ and 2^⌈·⌉: the first product is exact, the second rounds once, so
//! that results underflow gradually and overflow to infinity. Float32: a polynomial of degree 6, relative error 3.8e-9,
//! 18 ops, 0.89 ULP over all inputs (1.16 without FMA). Float64: 1 + (r + r²Q(r)) with the low part of the reduction
//! added last; degree 12.
//!
//! `exp_neg_scaled` is 2⁶⁴ · e⁻ʸ, which is normal over the whole domain: forms multiply with the exponential while it has
//! all its bits and scale the product back once.

use super::notation::{Bits, Scope, Term, hex};
use crate::array::ComputeDtype;

pub(super) const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// Rounding to whole numbers by addition: 1.5 · 2^(p − 1).
pub(super) fn magic(dtype: ComputeDtype) -> f64 {
    match dtype {
        ComputeDtype::F32 => hex("0x1.8p+23"),
        ComputeDtype::F64 => hex("0x1.8p+52"),
    }
}

/// The exponent's bias.
pub(super) fn bias(dtype: ComputeDtype) -> f64 {
    match dtype {
        ComputeDtype::F32 => 127.0,
        ComputeDtype::F64 => 1023.0,
    }
}

/// Bits of the stored mantissa.
pub(super) fn mantissa(dtype: ComputeDtype) -> u8 {
    match dtype {
        ComputeDtype::F32 => 23,
        ComputeDtype::F64 => 52,
    }
}

/// ln 2 in a part of few bits (15, 32), whose products with exponents are exact, and the rest.
pub(super) fn ln2_parts(dtype: ComputeDtype) -> (f64, f64) {
    match dtype {
        ComputeDtype::F32 => (hex("0x1.62e4p-1"), hex("0x1.7f7d1cp-20")),
        ComputeDtype::F64 => (hex("0x1.62e42feep-1"), hex("0x1.a39ef35793c76p-33")),
    }
}

/// (eʳ − 1) / r for float32: 1 + r/2 + …, relative error of eʳ 3.8e-9 for |r| ≤ 0.3468.
const EXP_F32: [f64; 6] =
    [1.0, hex("0x1.fffff8p-2"), hex("0x1.55548cp-3"), hex("0x1.555b84p-5"), hex("0x1.123d1p-7"), hex("0x1.6868dp-10")];

/// (eʳ − 1 − r) / r² for float64, |r| ≤ 0.3468; error of eʳ 2⁻⁶⁰ of r.
pub(super) const EXP_F64: [f64; 11] = [
    hex("0x1p-1"),
    hex("0x1.5555555555559p-3"),
    hex("0x1.555555555555ap-5"),
    hex("0x1.111111110f6abp-7"),
    hex("0x1.6c16c16c1440cp-10"),
    hex("0x1.a01a01afe863ep-13"),
    hex("0x1.a01a01b0c7a43p-16"),
    hex("0x1.71ddf8479364ep-19"),
    hex("0x1.27e4c5847f1acp-22"),
    hex("0x1.af5ed9f1b1cf1p-26"),
    hex("0x1.1f958693ba419p-29"),
];

/// eˣ.
pub(super) fn exp(x: Term<'_>) -> Term<'_> {
    match x.dtype() {
        ComputeDtype::F32 => exp_f32(x),
        ComputeDtype::F64 => exp_f64(x),
    }
}

fn exp_f32(x: Term<'_>) -> Term<'_> {
    // 152 makes n + 152 positive and its halves valid exponents; 2^102 = 2^(2·127 − 152) in the polynomial takes it back.
    const BIAS: f64 = 152.0;
    let scaled: Vec<f64> = std::iter::once(1.0).chain(EXP_F32).map(|c| c * 2f64.powi(102)).collect();
    let magic = magic(ComputeDtype::F32) + BIAS;
    let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F32);

    let x = x.at_most(89.0).at_least(-104.0);
    let t = x.times_plus(LOG2_E, magic);
    let n = t - magic;
    let r = n.times_plus(-ln2_high, x);
    let r = n.times_plus(-ln2_low, r);
    let p = r.polynomial(&scaled);
    let (first, second) = powers_of_halves(t);
    (p * first) * second
}

/// Two powers of two whose product is 2^(m − 2·bias), where m is what the low bits of t hold.
pub(super) fn powers_of_halves(t: Term<'_>) -> (Term<'_>, Term<'_>) {
    let mantissa = mantissa(t.dtype());
    let m = t.bits();
    let half = m >> 1;
    ((half << mantissa).float(), ((m - half) << mantissa).float())
}

/// p · 2ⁿ for n in the place of an exponent, p and the product being normal numbers: exponents are added, since units that multiply have
/// the most to do. Of a NaN it may make a number, so one must come through by another way.
pub(super) fn times_power<'s>(p: Term<'s>, n: Bits<'s>) -> Term<'s> {
    (p.bits() + n).float()
}

/// What [`reduce_f64`] makes of an exponent: e^(x + low) = 2ⁿ · (1 + high + tail).
pub(super) struct Reduced<'s> {
    /// n plus an offset in its low bits.
    pub(super) t: Term<'s>,
    /// The exact part of r.
    pub(super) high: Term<'s>,
    /// What is missing to eʳ − 1: |tail| ≤ 0.07.
    pub(super) tail: Term<'s>,
    /// r, rounded.
    pub(super) r: Term<'s>,
    /// The small part of r that high lacks.
    pub(super) correction: Term<'s>,
}

/// Reduces x + low for float64. The high part of r stays exact, so that only a small part of eʳ is ever rounded.
pub(super) fn reduce_f64<'s>(x: Term<'s>, low: Term<'s>, offset: f64) -> Reduced<'s> {
    reduce_f64_onto(x, low, x.scope().number(magic(ComputeDtype::F64) + offset))
}

/// The same for an offset that need not be a constant; `base` is it and the magic number.
fn reduce_f64_onto<'s>(x: Term<'s>, low: Term<'s>, base: Term<'s>) -> Reduced<'s> {
    let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F64);
    let t = x.times_plus(LOG2_E, base);
    let n = t - base;
    let high = n.times_plus(-ln2_high, x);
    let correction = n.times_plus(-ln2_low, low);
    let r = high + correction;
    Reduced { t, high, tail: (r * r).times_plus(r.polynomial(&EXP_F64), correction), r, correction }
}

fn exp_f64(x: Term<'_>) -> Term<'_> {
    // As in float32: 1078 makes n + 1078 positive, 2^968 = 2^(2·1023 − 1078) takes it back.
    let x = x.at_most(710.0).at_least(-746.0);
    let Reduced { t, high, tail, .. } = reduce_f64(x, x.scope().number(-0.0), 1078.0);
    let p = (1.0 + (high + tail)) * 2f64.powi(968);
    let (first, second) = powers_of_halves(t);
    (p * first) * second
}

/// 2⁶⁴ · e⁻ʸ for 0 ≤ y ≤ `exp_cutoff`.
pub(super) fn exp_neg_scaled(y: Term<'_>) -> Term<'_> {
    let low = y.scope().number(-0.0);
    exp_neg_scaled_sum(y, low)
}

/// 2⁶⁴ · e^−(y + low) for 0 ≤ y ≤ `exp_cutoff` and a small `low`.
pub(super) fn exp_neg_scaled_sum<'s>(y: Term<'s>, low: Term<'s>) -> Term<'s> {
    match y.dtype() {
        ComputeDtype::F32 => exp_neg_f32(y, low),
        ComputeDtype::F64 => exp_neg_f64(y, low),
    }
}

fn exp_neg_f32<'s>(y: Term<'s>, low: Term<'s>) -> Term<'s> {
    let magic = magic(ComputeDtype::F32) + bias(ComputeDtype::F32) + 64.0;
    let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F32);
    let t = y.times_plus(-LOG2_E, magic);
    let n = t - magic;
    // r is minus the usual one: no negation of y.
    let r = n.times_plus(ln2_high, y) + low;
    let r = n.times_plus(ln2_low, r);
    let mut coefficients = vec![1.0];
    coefficients.extend(EXP_F32.iter().enumerate().map(|(k, c)| if k % 2 == 0 { -c } else { *c }));
    let p = if y.scope().has_fma() {
        r.polynomial(&coefficients)
    } else {
        // r itself is added last, unrounded by a product: 0.2 ULP for one op.
        1.0 + ((r * r) * r.polynomial(&coefficients[2..]) - r)
    };
    p * (t.bits() << mantissa(ComputeDtype::F32)).float()
}

fn exp_neg_f64<'s>(y: Term<'s>, low: Term<'s>) -> Term<'s> {
    let Reduced { t, high, tail, .. } = reduce_f64(-y, -low, bias(ComputeDtype::F64) + 64.0);
    (1.0 + (high + tail)) * (t.bits() << mantissa(ComputeDtype::F64)).float()
}

/// 2ᵏ · eˣ for a whole k and |x| up to 3 · `exp_cutoff`, where the result is a normal number.
///
/// k goes into the number whose low bits become the power of two, so it costs nothing where it is the same for a row. The
/// exponent of eˣ has 9 bits (float64: 12), which times the short part of ln 2 is exact.
pub(super) fn exp_scaled<'s>(x: Term<'s>, k: Term<'s>) -> Term<'s> {
    match x.dtype() {
        ComputeDtype::F32 => exp_scaled_f32(x, k),
        ComputeDtype::F64 => {
            let base = k + (magic(ComputeDtype::F64) + bias(ComputeDtype::F64));
            let Reduced { t, high, tail, .. } = reduce_f64_onto(x, x.scope().number(-0.0), base);
            (1.0 + (high + tail)) * (t.bits() << mantissa(ComputeDtype::F64)).float()
        }
    }
}

fn exp_scaled_f32<'s>(x: Term<'s>, k: Term<'s>) -> Term<'s> {
    let fma = x.scope().has_fma();
    let base = k + (magic(ComputeDtype::F32) + if fma { 0.0 } else { bias(ComputeDtype::F32) });
    let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F32);
    let t = x.times_plus(LOG2_E, base);
    let n = t - base;
    let r = n.times_plus(-ln2_high, x);
    let r = n.times_plus(-ln2_low, r);
    let power = t.bits() << mantissa(ComputeDtype::F32);
    if fma {
        // 2ⁿ + r · (2ⁿ·q), q being about 1. A NaN is in r too.
        let q = r.polynomial(&EXP_F32);
        return r.fused(times_power(q, power), times_power(x.scope().number(1.0), power));
    }
    (1.0 + ((r * r) * r.polynomial(&EXP_F32[1..]) + r)) * power.float()
}

/// The number past which y · e⁻ʸ rounds to 0: 110 for float32, 752 for float64.
pub(super) fn exp_cutoff(scope: &Scope) -> Term<'_> {
    scope.number(match scope.dtype() {
        ComputeDtype::F32 => 110.0,
        ComputeDtype::F64 => 752.0,
    })
}
