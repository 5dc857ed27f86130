//! The hyperbolic tangent, and what it lacks to its argument.
//!
//! tanh a = U / (1 − U) with U = (1 − e⁻²ᵃ) / 2, a = |x| (odd, so the sign is put back at the end). With 2a = −n·ln 2 − 2r
//! reduced as in `exp` and S = 2ⁿ: U = (½ − S/2) + S·p, p = −expm1(−2r)/2; and 1 − U is computed from the same parts,
//! (1 − h) − S·p, so that U's own rounding does not enter twice. Float32: 20 ops, 1.95 ULP over all inputs.
//!
//! a − tanh(a), below 1: a·a²·P(a²), a fit; from 1 on (a − 1) + 2w/(1 + w) with w = e⁻²ᵃ, where a − 1 is exact:
//! no cancellation anywhere. Float32: 33 ops and the sign, 3.3 ULP.
//!
//! Float64: the leading terms of expm1(−2a), the quotient and the differences are kept in two parts; under 1 ULP.

use super::error_free::{Pair, fast_two_sum, square};
use super::exp::{LOG2_E, Reduced, bias, exp_neg_scaled, ln2_parts, magic, mantissa, reduce_f64};
use super::notation::{Term, hex};
use crate::array::ComputeDtype;
use std::f64::consts::LN_2;

/// −expm1(−2r)/2 = r + r²·Q(r), Q for float32.
const HALF_EXPM1_F32: [f64; 5] =
    [hex("-0x1.fffffep-1"), hex("0x1.5554bp-1"), hex("-0x1.555718p-2"), hex("0x1.1227bp-3"), hex("-0x1.6b7168p-5")];

/// (x − tanh x) / x³ in s = x² for float32, |x| ≤ 1.
const GAP_F32: [f64; 8] = [
    hex("0x1.555556p-2"),
    hex("-0x1.11112cp-3"),
    hex("0x1.ba1af6p-5"),
    hex("-0x1.660066p-6"),
    hex("0x1.1ead8cp-7"),
    hex("-0x1.aceffap-9"),
    hex("0x1.fae66ep-11"),
    hex("-0x1.43762cp-13"),
];

/// Below it `tanh_gap` is a polynomial, above it a difference, for float64.
const GAP_SPLIT_F64: f64 = 0.64;
/// 1/3.
const THIRD: (f64, f64) = (hex("0x1.5555555555555p-2"), hex("0x1.5555555555555p-56"));
/// ((x − tanh x)/x³ − 1/3)/s in s = x² for float64, |x| ≤ 0.64; error 2⁻⁶¹.
const GAP_F64: [f64; 12] = [
    hex("-0x1.111111111110dp-3"),
    hex("0x1.ba1ba1ba1aeb1p-5"),
    hex("-0x1.664f48826a5dp-6"),
    hex("0x1.226e354a08bb7p-7"),
    hex("-0x1.d6d3cb49e65d8p-9"),
    hex("0x1.7da2e77e7fa73p-10"),
    hex("-0x1.3550dec230e8cp-11"),
    hex("0x1.f4e8ad7aae462p-13"),
    hex("-0x1.92608d3f21cf5p-14"),
    hex("0x1.3573becace988p-15"),
    hex("-0x1.9322640abb862p-17"),
    hex("0x1.3bacc0177a24p-19"),
];

/// tanh x.
pub(super) fn tanh(x: Term<'_>) -> Term<'_> {
    match x.dtype() {
        ComputeDtype::F32 => tanh_f32(x),
        ComputeDtype::F64 => tanh_f64(x),
    }
}

fn tanh_f32(x: Term<'_>) -> Term<'_> {
    // tanh rounds to 1 from 9.02 on.
    let a = x.abs().at_most(9.25);
    let magic = magic(ComputeDtype::F32) + bias(ComputeDtype::F32);
    let t = a.times_plus(-2.0 * LOG2_E, magic);
    let n = t - magic;
    let r = if x.scope().has_fma() {
        n.times_plus(0.5 * LN_2, a)
    } else {
        let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F32);
        n.times_plus(0.5 * ln2_low, n.times_plus(0.5 * ln2_high, a))
    };
    let p = (r * r).times_plus(r.polynomial(&HALF_EXPM1_F32), r);
    let power = t.bits() << mantissa(ComputeDtype::F32);
    let s = power.float();
    // ½ − S/2, without the units that multiply, which have the most to do.
    let h = 0.5 - (power - (1 << mantissa(ComputeDtype::F32))).float();
    let u = s.times_plus(p, h);
    let d = if x.scope().has_fma() { s.times_from(p, 1.0 - h) } else { 1.0 - u };
    (u / d).with_sign(x.sign())
}

fn tanh_f64(x: Term<'_>) -> Term<'_> {
    // tanh rounds to 1 from 19.1 on.
    tanh_pair_f64(x.abs().at_most(22.0)).rounded().abs().with_sign(x.sign())
}

/// tanh a = −E / (2 + E), E = expm1(−2a), for 0 ≤ a ≤ 22; wrong by less than 2⁻⁵⁹ of 1.
fn tanh_pair_f64(a: Term<'_>) -> Pair<'_> {
    let scope = a.scope();
    let Reduced { t, high, tail, .. } = reduce_f64(a * -2.0, scope.number(-0.0), bias(ComputeDtype::F64));
    let s = (t.bits() << mantissa(ComputeDtype::F64)).float();
    // Far out s is below half a unit of 1.
    let base = fast_two_sum(scope.number(-1.0), s);
    let sum = fast_two_sum(base.high, s * high);
    let e = fast_two_sum(sum.high, s.times_plus(tail, sum.low + base.low));
    let divisor = fast_two_sum(scope.number(2.0), e.high);
    let divisor = Pair { high: divisor.high, low: divisor.low + e.low };
    e.negated().divided_by(divisor)
}

/// x − tanh x.
pub(super) fn tanh_gap(x: Term<'_>) -> Term<'_> {
    match x.dtype() {
        ComputeDtype::F32 => tanh_gap_f32(x),
        ComputeDtype::F64 => tanh_gap_f64(x),
    }
}

fn tanh_gap_f32(x: Term<'_>) -> Term<'_> {
    let a = x.abs();
    let s = a * a;
    let near = (a * s) * s.polynomial(&GAP_F32);
    let y = (a + a).at_most(40.0);
    let w = exp_neg_scaled(y) * hex("0x1p-64");
    let far = (a - 1.0) + (w + w) / (w + 1.0);
    a.less(1.0).select(near, far).with_sign(x.sign())
}

fn tanh_gap_f64(x: Term<'_>) -> Term<'_> {
    let a = x.abs();
    // a³ · (1/3 + s·H(s)), the leading terms in two parts.
    let s = square(a.at_most(1.0));
    let h = fast_two_sum(a.scope().number(THIRD.0), s.high * s.high.polynomial(&GAP_F64));
    let h = Pair { high: h.high, low: h.low + THIRD.1 };
    let near = s.scaled(a).times(h).rounded();
    let tanh = tanh_pair_f64(a.at_most(22.0));
    let difference = fast_two_sum(a, -tanh.high);
    // An infinite difference has no error.
    let error = a.less(hex("0x1p60")).select(difference.low - tanh.low, 0.0);
    let far = difference.high + error;
    a.less(GAP_SPLIT_F64).select(near, far).with_sign(x.sign())
}
