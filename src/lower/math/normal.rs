//! The normal distribution: Φ, and its tail scaled by 2⁶⁴.
//!
//! Φ(−a) = ½ · e^(−a²/2) · erfcx(a/√2). The square is exact in two parts, s + e, so the exponential keeps its bits; with
//! S = 2ⁿ and q = eʳ − 1 it is S + S·q. erfcx(a/√2) = R(a)/Q(a), Q = R + a·(√(π/2)·R − C): the quotient is nearly
//! 1/(1 + √(π/2)·a), and R's rounding errors cancel between numerator and denominator. Coefficients: minimax for a in
//! [0, 14.7], error 0.3·2⁻²⁴ (float32).
//!
//! Float64 needs more than one rounding's room for 1 ULP: the exponential and erfcx are in two parts each, and so is their
//! quotient.

use super::error_free::{self, Pair, accurate_times_plus, fast_two_sum, two_product, two_sum};
use super::exp::{LOG2_E, Reduced, bias, ln2_parts, magic, mantissa, reduce_f64, times_power};
use super::notation::{Bits, Term, hex};
use crate::array::ComputeDtype;

/// R in a.
const NUMERATOR_F32: [f64; 5] =
    [1.0, hex("0x1.d3e8e6p-1"), hex("0x1.93e8a6p-2"), hex("0x1.73da54p-4"), hex("0x1.3cbcdp-7")];
/// C in a.
const CORRECTION_F32: [f64; 4] =
    [hex("0x1.d25bfp-2"), hex("0x1.1e4f76p-2"), hex("0x1.4274aep-4"), hex("0x1.3cb2c6p-7")];
/// √(π/2).
const SQRT_HALF_PI_F32: f64 = hex("0x1.40d932p+0");

/// √½.
const SQRT_HALF: (f64, f64) = (hex("0x1.6a09e667f3bcdp-1"), hex("-0x1.bdd3413b26456p-55"));
/// 3.5 · erfcx(3).
const ERFCX_CENTRE: (f64, f64) = (hex("0x1.40c522d7e4987p-1"), hex("0x1.a19969d5cf11fp-56"));
/// ((½ + z)·erfcx(z) − 3.5·erfcx(3))/t in t = (z − 3)/(z + 3) for float64; error 2⁻⁵⁸.
const ERFCX_F64: [f64; 26] = [
    hex("-0x1.15c084bb9e8f3p-4"),
    hex("-0x1.85a15c58aa606p-6"),
    hex("0x1.098366a5b46ecp-4"),
    hex("-0x1.e88b803a48addp-5"),
    hex("0x1.17ca2877f0426p-5"),
    hex("-0x1.8574c40c0c0aap-7"),
    hex("0x1.4b884e45d161fp-10"),
    hex("0x1.ef1bdd81efff5p-11"),
    hex("-0x1.98db5158ab846p-12"),
    hex("-0x1.b912949ed1821p-15"),
    hex("0x1.065a3e686dfedp-14"),
    hex("0x1.4c2fe4d386749p-19"),
    hex("-0x1.513c5ad1564cap-17"),
    hex("-0x1.8993d7f740499p-22"),
    hex("0x1.d22254817ed18p-20"),
    hex("0x1.82dbb49a9d34p-23"),
    hex("-0x1.4b821e5a193cbp-22"),
    hex("-0x1.3b01bdfcc001ep-24"),
    hex("0x1.b91a5fd50dccbp-25"),
    hex("0x1.921b1a637b746p-26"),
    hex("-0x1.dc23dd44edf31p-28"),
    hex("-0x1.903bbc6ae0644p-28"),
    hex("0x1.458b7f1aba3f3p-31"),
    hex("0x1.17406d260ae53p-30"),
    hex("-0x1.16cc8d223dd3bp-36"),
    hex("-0x1.9328bfe848291p-34"),
];

/// How many steps of the polynomial are made in two parts.
const ERFCX_STEPS_F64: usize = 3;

/// (eʳ − 1)/r for float32, as in `exp`, written for r = 2v: the square itself is reduced, not its half.
pub(super) const EXP_F32: [f64; 6] =
    [1.0, hex("0x1.fffff8p-2"), hex("0x1.55548cp-3"), hex("0x1.555b84p-5"), hex("0x1.123d1p-7"), hex("0x1.6868dp-10")];

/// 2ᵏ · e^(−rate·(a² exactly)) as n, in the place of an exponent, and q, the exponential being S + S·q with S = 2ⁿ; `rate` is 1 or ½,
/// `scale` k. Where a is NaN q is too.
pub(super) fn gaussian_f32<'s>(a: Term<'s>, rate: f64, scale: f64) -> (Bits<'s>, Term<'s>) {
    let magic = magic(ComputeDtype::F32) + scale;
    let (ln2_high, ln2_low) = ln2_parts(ComputeDtype::F32);
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
    let q = if a.scope().has_fma() {
        r * r.polynomial(&coefficients)
    } else {
        // The leading term is exact, a power of two of r: one rounding less where each product has its own.
        (r * r) * r.polynomial(&coefficients[1..]) + r * coefficients[0]
    };
    (t.bits() << mantissa(ComputeDtype::F32), q)
}

/// 2⁶⁴ · Φ(−a) for a ≥ 0. Past 16 (float32), 38.5 (float64) the value stays what it is there: below 2⁻¹²⁰, 2⁻¹⁰⁰⁰.
pub(super) fn normal_tail_scaled(a: Term<'_>) -> Term<'_> {
    match a.dtype() {
        ComputeDtype::F32 => normal_tail_f32(a),
        ComputeDtype::F64 => normal_tail_f64(a),
    }
}

fn normal_tail_f32(a: Term<'_>) -> Term<'_> {
    let a = a.at_most(16.0);
    let (n, q) = gaussian_f32(a, 0.5, 63.0);
    let numerator = a.polynomial(&NUMERATOR_F32);
    let slope = a.scope().number(SQRT_HALF_PI_F32);
    let k = accurate_times_plus(numerator, slope, a.polynomial(&CORRECTION_F32.map(|c| -c)));
    let denominator = accurate_times_plus(a, k, numerator);
    let weighted = times_power(numerator, n);
    accurate_times_plus(weighted, q, weighted) / denominator
}

fn normal_tail_f64(a: Term<'_>) -> Term<'_> {
    let a = a.at_most(38.6);
    let z = two_product(a, a.scope().number(SQRT_HALF.0));
    let z = Pair { high: z.high, low: a.times_plus(SQRT_HALF.1, z.low) };
    let square = error_free::square(a);
    let (s, e) = gaussian_f64(Pair { high: square.high * 0.5, low: square.low * 0.5 }, 63.0);
    let (numerator, denominator) = erfcx_quotient_f64(z);
    e.times(numerator).divided_by(denominator).rounded() * s
}

/// 2ᵏ · e^−(v.high + v.low) as S = 2ᵏ⁺ⁿ and a factor.
pub(super) fn gaussian_f64(v: Pair<'_>, scale: f64) -> (Term<'_>, Pair<'_>) {
    let Reduced { t, high, tail, .. } = reduce_f64(-v.high, -v.low, bias(ComputeDtype::F64) + scale);
    let one = v.high.scope().number(1.0);
    let sum = fast_two_sum(one, high);
    ((t.bits() << mantissa(ComputeDtype::F64)).float(), fast_two_sum(sum.high, sum.low + tail))
}

/// erfcx(z) for z ≥ 0 as numerator and denominator: (½ + z)·erfcx(z) = c + t·H(t), t = (z − 3)/(z + 3) (Shepherd and
/// Laframboise 1981). The numerator lies between 0.5 and 0.64, so c in two parts makes it exact to 2⁻⁵⁷.
pub(super) fn erfcx_quotient_f64(z: Pair<'_>) -> (Pair<'_>, Pair<'_>) {
    let scope = z.high.scope();
    let x = z.high.at_most(hex("0x1p60"));
    let (above, below) = (two_sum(x, scope.number(-3.0)), two_sum(x, scope.number(3.0)));
    let t = above.high / below.high;
    // The last steps of Horner's rule in two parts: next to t = −1 the sums are as large as a fifth of the numerator.
    let (first, higher) = ERFCX_F64.split_at(ERFCX_STEPS_F64);
    let change = first.iter().rfold(two_product(t, t.polynomial(higher)), |change, coefficient| {
        let sum = two_sum(scope.number(*coefficient), change.high);
        let product = two_product(sum.high, t);
        Pair { high: product.high, low: (sum.low + change.low).times_plus(t, product.low) }
    });
    let numerator = fast_two_sum(scope.number(ERFCX_CENTRE.0), change.high);
    let numerator = Pair { high: numerator.high, low: numerator.low + change.low };
    let denominator = two_sum(scope.number(0.5), z.high);
    let denominator = Pair { high: denominator.high, low: denominator.low + z.low };

    // t is rounded, so this was the value at 3·(1 + t)/(1 − t), which z exceeds by δ = (z + 3)·residual/6. By the
    // differential equation erfcx' = 2z·erfcx − 2/√π that adds δ·(g/(½ + z) + 2z·g − (2/√π)·(½ + z)) to the numerator g.
    // Far out the numerator hardly depends on t.
    let product = two_product(t, below.high);
    let residual = (above.high - product.high) - product.low;
    let residual = residual + t.times_from(below.low + z.low, above.low + z.low);
    let shift = x.less(8.0).select(residual * (below.high * (1.0 / 6.0)), 0.0);
    let (g, d) = (numerator.high, denominator.high);
    let slope = g / d + (g * (x + x) - d * std::f64::consts::FRAC_2_SQRT_PI);
    let low = shift.times_plus(slope, numerator.low + ERFCX_CENTRE.1);
    (Pair { high: numerator.high, low }, denominator)
}

/// Φ(x).
pub(super) fn normal_cdf(x: Term<'_>) -> Term<'_> {
    let tail = normal_tail_scaled(x.abs()) * hex("0x1p-64");
    x.greater(0.0).select(1.0 - tail, tail)
}
