//! The error function and its complements.
//!
//! `erf`: x + x·P(x²) up to 1; beyond, 1 − exp(−L(x)) with L a polynomial for −log(erfc), of which a few bits are enough.
//! `erfc` and `erfcx` go through R(x)/Q(x) ≈ erfcx(x) of `normal`, rescaled from a = √2·x; erfc(x) = e^(−x²) · erfcx(x)
//! with x² exact in two parts, and erfc(−x) = 2 − erfc(x), erfcx(−x) = 2e^(x²) − erfcx(x).

use super::error_free::{self, Pair, fast_two_sum};
use super::exp::{LOG2_E, Reduced, bias, ln2_parts, magic, mantissa, powers_of_halves, reduce_f64, times_power};
use super::normal::{EXP_F32, erfcx_quotient_f64, gaussian_f32, gaussian_f64};
use super::notation::{Term, hex};
use crate::array::ComputeDtype;

/// (erf(x)/x − 1) in s = x² for float32, |x| ≤ 1; relative error of erf 1.4e-9.
const ERF_NEAR_F32: [f64; 7] = [
    hex("0x1.06eba8p-3"),
    hex("-0x1.81273ep-2"),
    hex("0x1.ce2ce6p-4"),
    hex("-0x1.b7f71ap-6"),
    hex("0x1.53f224p-8"),
    hex("-0x1.a3515ep-11"),
    hex("0x1.4771fcp-14"),
];

/// (erf(x)/x − 1) in s = x² for float64, |x| ≤ 1; error 2⁻⁵⁶.
const ERF_NEAR_F64: [f64; 14] = [
    hex("0x1.06eba8214db69p-3"),
    hex("-0x1.812746b0379e7p-2"),
    hex("0x1.ce2f21a042bdep-4"),
    hex("-0x1.b82ce312889c2p-6"),
    hex("0x1.565bcd0e65195p-8"),
    hex("-0x1.c02db3fef01d6p-11"),
    hex("0x1.f9a326c2d9822p-14"),
    hex("-0x1.f4d2562a1b01p-17"),
    hex("0x1.b9e6518e6129p-20"),
    hex("-0x1.5f6d9cc1c31e4p-23"),
    hex("0x1.fc43f063b4a42p-27"),
    hex("-0x1.4e635b40a397fp-30"),
    hex("0x1.7f171f011fd79p-34"),
    hex("-0x1.29e14842f8767p-38"),
];

/// Below it erf is a polynomial, above it the complement of erfc, for float64.
const ERF_SPLIT_F64: f64 = 0.6;

/// −log(erfc(x)) for float32, x in [0.9, 3.95]; absolute error of erf 1.2e-10.
const ERF_FAR_F32: [f64; 8] = [
    hex("-0x1.65ad9cp-13"),
    hex("0x1.212698p+0"),
    hex("0x1.444b44p-1"),
    hex("0x1.bb5628p-4"),
    hex("-0x1.9b18cp-6"),
    hex("0x1.10a8ecp-8"),
    hex("-0x1.c54a68p-12"),
    hex("0x1.5ecf98p-16"),
];

/// R of erfcx(x) = R/Q for float32, x in [0, 10.4]; relative error 4.7e-8.
const NUMERATOR_F32: [f64; 5] =
    [1.0, hex("0x1.4adcb6p+0"), hex("0x1.93e8a6p-1"), hex("0x1.06f08ep-2"), hex("0x1.3cbcdp-5")];
/// C of Q = R + x·(√π·R − C).
const CORRECTION_F32: [f64; 4] =
    [hex("0x1.49c406p-1"), hex("0x1.1e4f76p-1"), hex("0x1.c80576p-3"), hex("0x1.3cb2c6p-5")];
const SQRT_PI_F32: f64 = hex("0x1.c5bf8ap+0");

/// 1/√π.
const FRAC_1_SQRT_PI: f64 = hex("0x1.20dd750429b6dp-1");

/// x·erfcx(x) in 1/x² for float32, x ≥ 10.
const ERFCX_FAR_F32: [f64; 3] = [hex("0x1.20dd74p-1"), hex("-0x1.20ce94p-2"), hex("0x1.a198fcp-2")];

/// erf x.
pub(super) fn erf(x: Term<'_>) -> Term<'_> {
    match x.dtype() {
        ComputeDtype::F32 => erf_f32(x),
        ComputeDtype::F64 => erf_f64(x),
    }
}

fn erf_f64(x: Term<'_>) -> Term<'_> {
    // erf rounds to 1 from 5.92 on.
    let a = x.abs().at_most(6.0);
    let near = a.times_plus((a * a).polynomial(&ERF_NEAR_F64), a);
    // 1 − erfc(a), of which only the end is rounded.
    let (tail, scale) = erfc_positive_f64(a);
    let scale = scale * hex("0x1p-64");
    let far = fast_two_sum(x.scope().number(1.0), -(tail.high * scale));
    let far = far.high + tail.low.times_from(scale, far.low);
    a.less(ERF_SPLIT_F64).select(near, far).with_sign(x.sign())
}

fn erf_f32(x: Term<'_>) -> Term<'_> {
    // erf rounds to 1 from 3.92 on.
    let a = x.abs().at_most(3.95);
    let near = a.times_plus((a * a).polynomial(&ERF_NEAR_F32), a);
    let exponent = a.polynomial(&ERF_FAR_F32);
    let magic = magic(ComputeDtype::F32) + bias(ComputeDtype::F32);
    let t = exponent.times_plus(-LOG2_E, magic);
    let r = (t - magic).times_plus(std::f64::consts::LN_2, exponent);
    let mut coefficients = vec![1.0];
    coefficients.extend(EXP_F32.iter().enumerate().map(|(k, c)| if k % 2 == 0 { -c } else { *c }));
    let far = (t.bits() << mantissa(ComputeDtype::F32)).float().times_from(r.polynomial(&coefficients), 1.0);
    a.less(1.0).select(near, far).with_sign(x.sign())
}

/// R and Q of erfcx(a) = R/Q.
fn quotient_f32(a: Term<'_>) -> (Term<'_>, Term<'_>) {
    let numerator = a.polynomial(&NUMERATOR_F32);
    let k = numerator.times_plus(SQRT_PI_F32, a.polynomial(&CORRECTION_F32.map(|c| -c)));
    (numerator, a.times_plus(k, numerator))
}

/// erfc x.
pub(super) fn erfc(x: Term<'_>) -> Term<'_> {
    match x.dtype() {
        ComputeDtype::F32 => erfc_f32(x),
        ComputeDtype::F64 => {
            // erfc underflows to 0 from 27.23 on, the scaled exponential from 27.4.
            let (tail, scale) = erfc_positive_f64(x.abs().at_most(27.3));
            let tail = (tail.rounded() * scale) * hex("0x1p-64");
            x.less(0.0).select(2.0 - tail, tail)
        }
    }
}

/// 2⁶⁴ · erfc(a) for a ≥ 0 as a pair and the power of two that multiplies it.
fn erfc_positive_f64(a: Term<'_>) -> (Pair<'_>, Term<'_>) {
    let (s, e) = gaussian_f64(error_free::square(a), 64.0);
    let (numerator, denominator) = erfcx_quotient_f64(Pair::exact(a));
    (e.times(numerator).divided_by(denominator), s)
}

fn erfc_f32(x: Term<'_>) -> Term<'_> {
    // erfc underflows to 0 from 10.06 on.
    let a = x.abs().at_most(10.2);
    let (n, q) = gaussian_f32(a, 1.0, 64.0);
    let (numerator, denominator) = quotient_f32(a);
    let weighted = times_power(numerator, n);
    let tail = (weighted.times_plus(q, weighted) / denominator) * hex("0x1p-64");
    x.less(0.0).select(2.0 - tail, tail)
}

/// exp(x²) · erfc(x).
pub(super) fn erfcx(x: Term<'_>) -> Term<'_> {
    match x.dtype() {
        ComputeDtype::F32 => erfcx_f32(x),
        ComputeDtype::F64 => erfcx_f64(x),
    }
}

fn erfcx_f64(x: Term<'_>) -> Term<'_> {
    let a = x.abs();
    let (numerator, denominator) = erfcx_quotient_f64(Pair::exact(a));
    let right = numerator.divided_by(denominator);
    // Far out erfcx is 1/(√π·x), without intermediate results that might overflow.
    let far = FRAC_1_SQRT_PI / a;
    // 2e^(x²) for negative x, up to its overflow: as in `exp`, both parts scaled.
    let square = error_free::square(a.at_most(27.0));
    let Reduced { t, high, tail, .. } = reduce_f64(square.high, square.low, 1078.0);
    let growth = fast_two_sum(x.scope().number(1.0), high);
    let (first, second) = powers_of_halves(t);
    let scaled = |part| ((part * 2f64.powi(969)) * first) * second;
    let (growth, growth_low) = (scaled(growth.high), scaled(growth.low + tail));
    let left = fast_two_sum(growth, -right.high);
    let left_low = left.low + (growth_low - right.low);
    let left = growth.less(f64::INFINITY).select(left.high + left_low, growth);
    x.less(0.0).select(left, a.greater(hex("0x1p60")).select(far, right.rounded()))
}

fn erfcx_f32(x: Term<'_>) -> Term<'_> {
    const BIAS: f64 = 152.0;
    let a = x.abs();
    let (numerator, denominator) = quotient_f32(a.at_most(10.0));
    let v = 1.0 / a;
    let far = v * (v * v).polynomial(&ERFCX_FAR_F32);
    let right = a.less(10.0).select(numerator / denominator, far);
    // e^(x²) for negative x, up to its overflow: as in `exp`, from the exact square.
    let square = error_free::square(a.at_most(9.5));
    let magic = magic(ComputeDtype::F32) + BIAS;
    let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F32);
    let t = square.high.times_plus(LOG2_E, magic);
    let n = t - magic;
    let r = n.times_plus(-ln2_high, square.high) + n.times_plus(-ln2_low, square.low);
    let scaled: Vec<f64> = std::iter::once(1.0).chain(EXP_F32).map(|c| c * 2f64.powi(103)).collect();
    let (first, second) = powers_of_halves(t);
    let growth = (r.polynomial(&scaled) * first) * second;
    x.less(0.0).select(growth - right, right)
}
