//! Powers, with C's special cases.
//!
//! |x|ʸ = 2^(y · log2|x|), the logarithm and the product in two parts each, so that the exponent's error, multiplied by
//! the exponent's size, stays below the result's last place. x = 2ᵏ·m as in `log`, s = f/(2 + f) with its residual,
//! log2 m = s·(C + q·(C₃ + q·T(q))), q = s², C = 2/ln 2 and C₃ = C/3 in two parts each, T a minimax polynomial.
//!
//! [`whole_power`] has the powers that are a few operations. They have other bits than the general way, so which of the two
//! a power goes is decided by the graph alone: its exponent is a constant node, or it is not.

use super::error_free::{Pair, fast_two_sum, two_product};
use super::exp::{EXP_F64, magic, powers_of_halves};
use super::expm1::EXPM1_F32;
use super::log::mantissa_and_exponent;
use super::notation::{Term, hex};
use crate::array::ComputeDtype;

/// (log2((1+s)/(1−s))/s − C − C₃·q)/q² in q = s² for float32, q ≤ 0.0295; 2⁻⁴³ of the logarithm.
const LOG2_F32: [f64; 4] = [hex("0x1.2776c4p-1"), hex("0x1.a6195p-2"), hex("0x1.47b12cp-2"), hex("0x1.20791ap-2")];

/// The same for float64; 2⁻⁷² of the logarithm.
const LOG2_F64: [f64; 8] = [
    hex("0x1.2776c50ef9bfcp-1"),
    hex("0x1.a61762a7aede2p-2"),
    hex("0x1.484b13d6ac7bfp-2"),
    hex("0x1.0c9a853b3b7d4p-2"),
    hex("0x1.c68ee93259c7dp-3"),
    hex("0x1.8a09bf85e4242p-3"),
    hex("0x1.58fc20f92e6ddp-3"),
    hex("0x1.61f6d8a2c2ff8p-3"),
];

/// What differs between the dtypes.
struct Scheme {
    /// 2/ln 2.
    c1: (f64, f64),
    /// 2/(3·ln 2).
    c3: (f64, f64),
    /// T.
    log2: &'static [f64],
    /// ln 2.
    ln2: (f64, f64),
    /// (eʳ − 1 − r)/r².
    exp: &'static [f64],
    /// Exponents past these are overflow and underflow.
    limits: (f64, f64),
    /// The bias of [`powers_of_halves`], and the power of two that takes it back.
    bias: f64,
    back: i32,
}

fn scheme(dtype: ComputeDtype) -> Scheme {
    match dtype {
        ComputeDtype::F32 => Scheme {
            c1: (hex("0x1.715476p+1"), hex("0x1.4ae0cp-25")),
            c3: (hex("0x1.ec709ep-1"), hex("-0x1.e2fe02p-28")),
            log2: &LOG2_F32,
            ln2: (hex("0x1.62e43p-1"), hex("-0x1.05c61p-29")),
            exp: &EXPM1_F32,
            limits: (-151.0, 129.0),
            bias: 152.0,
            back: 102,
        },
        ComputeDtype::F64 => Scheme {
            c1: (hex("0x1.71547652b82fep+1"), hex("0x1.777d0ffda0d24p-55")),
            c3: (hex("0x1.ec709dc3a03fdp-1"), hex("0x1.d27f05548af0cp-55")),
            log2: &LOG2_F64,
            ln2: (hex("0x1.62e42fefa39efp-1"), hex("0x1.abc9e3b39803fp-56")),
            exp: &EXP_F64,
            limits: (-1076.0, 1025.0),
            bias: 1078.0,
            back: 968,
        },
    }
}

/// x to a constant power that is a few operations.
pub(super) fn whole_power(x: Term<'_>, exponent: f64) -> Option<Term<'_>> {
    match exponent {
        0.0 => Some(x.scope().number(1.0)),
        1.0 => Some(x),
        2.0 => Some(x * x),
        3.0 => Some((x * x) * x),
        -1.0 => Some(1.0 / x),
        _ => None,
    }
}

/// xʸ.
pub(super) fn pow<'s>(x: Term<'s>, y: Term<'s>) -> Term<'s> {
    let scheme = scheme(x.dtype());
    let magnitude = exp2_of_product(log2(x.abs(), &scheme), y, &scheme);

    // Whole and odd: trunc(y) is y, and y/2 is not whole.
    let whole = y.equals(y.trunc());
    let half = y * 0.5;
    let odd = whole & half.differs(half.trunc());
    let signed = odd.select(magnitude.flip_sign(x.sign()), magnitude);
    // A negative number to a power that is not whole; −inf has limits instead.
    let undefined = x.less(0.0) & x.greater(f64::NEG_INFINITY) & !whole;
    let result = undefined.select(f64::NAN, signed);
    // (−1)^±inf is 1; 1 to any power and any number to the power 0 are 1, NaN included.
    let infinite = y.abs().equals(f64::INFINITY) & x.equals(-1.0);
    (infinite | x.equals(1.0) | y.equals(0.0)).select(1.0, result)
}

/// log2 x for x ≥ 0 in two parts; −inf at 0, inf and NaN stay.
fn log2<'s>(x: Term<'s>, scheme: &Scheme) -> Pair<'s> {
    let scope = x.scope();
    let (m, k) = mantissa_and_exponent(x);
    let f = m - 1.0;
    let divisor = fast_two_sum(scope.number(1.0), m);
    // The divisor's larger part is 1 or m: for m > 1 the error of the other order is the same number.
    let divisor = Pair { high: divisor.high, low: m.less(1.0).select(divisor.low, 1.0 - (divisor.high - m)) };
    let s = Pair::exact(f).divided_by(divisor);
    let s = fast_two_sum(s.high, s.low);
    let q = s.times(s);
    let tail = q.high * q.high.polynomial(scheme.log2);
    let c3 = fast_two_sum(scope.number(scheme.c3.0), tail);
    let c3 = Pair { high: c3.high, low: c3.low + scheme.c3.1 };
    let c1 = Pair::constant(x, scheme.c1.0, scheme.c1.1).plus_smaller(q.times(c3));
    let log_m = s.times(c1);
    let sum = fast_two_sum(k, log_m.high);
    let log = fast_two_sum(sum.high, sum.low + log_m.low);
    let finite = x.greater(0.0) & x.less(f64::INFINITY);
    let limit = x.equals(0.0).select(f64::NEG_INFINITY, x);
    Pair { high: finite.select(log.high, limit), low: finite.select(log.low, 0.0) }
}

/// 2^(log · y).
fn exp2_of_product<'s>(log: Pair<'s>, y: Term<'s>, scheme: &Scheme) -> Term<'s> {
    let product = two_product(log.high, y);
    let low = log.low.times_plus(y, product.low);
    let high = product.high.at_most(scheme.limits.1).at_least(scheme.limits.0);
    // Past the limits the low part may be anything.
    let low = high.equals(product.high).select(low, 0.0);

    let magic = magic(y.dtype()) + scheme.bias;
    let t = high + magic;
    let r = fast_two_sum(high - (t - magic), low);
    let u = two_product(r.high, y.scope().number(scheme.ln2.0));
    let u_low = r.high.times_plus(scheme.ln2.1, r.low.times_plus(scheme.ln2.0, u.low));
    let p = 1.0 + (u.high + (u.high * u.high).times_plus(u.high.polynomial(scheme.exp), u_low));
    let (first, second) = powers_of_halves(t);
    ((p * 2f64.powi(scheme.back)) * first) * second
}
