//! Error-free transforms: sums and products with what their rounding lost, and numbers as unevaluated sums of two.
//!
//! Knuth's TwoSum and Dekker's FastTwoSum hold for all finite arguments whose sum does not overflow. The product's error
//! is one FMA; without it, Dekker's: both factors split in halves by clearing the low bits of the mantissa (a mask,
//! which unlike Veltkamp's constant cannot overflow, but in the last 2⁻²⁶ below float64's overflow threshold), of which all
//! partial products are exact. Both are exact unless the error is below the smallest subnormal.
//!
//! A [`Pair`] is high + low with |low| at most a few units of high's last place; its products and sums are good to about
//! 2⁻²ᵖ⁺² relative (p the precision of the dtype), by the short "sloppy" algorithms of Dekker (1971) and Joldes,
//! Muller and Popescu (2017).

use super::notation::{Operand, Term};
use crate::array::ComputeDtype;

/// An unevaluated sum.
#[derive(Clone, Copy)]
pub(super) struct Pair<'s> {
    /// The number, rounded or nearly so.
    pub(super) high: Term<'s>,
    /// What is missing.
    pub(super) low: Term<'s>,
}

/// a + b and its error (Knuth).
pub(super) fn two_sum<'s>(a: Term<'s>, b: Term<'s>) -> Pair<'s> {
    let high = a + b;
    let b_part = high - a;
    let a_part = high - b_part;
    Pair { high, low: (a - a_part) + (b - b_part) }
}

/// a + b and its error, where a is 0 or |a| ≥ |b| (Dekker).
pub(super) fn fast_two_sum<'s>(a: Term<'s>, b: Term<'s>) -> Pair<'s> {
    let high = a + b;
    Pair { high, low: b - (high - a) }
}

/// a without the low half of its mantissa, and that half: both have few enough bits for exact products.
pub(super) fn split(a: Term<'_>) -> Pair<'_> {
    let bits = match a.dtype() {
        // 24 bits become 12 + 12.
        ComputeDtype::F32 => a.bits() & (u64::MAX << 12),
        // 53 bits become 26 + 26 and a sign: the high half is rounded, not cut.
        ComputeDtype::F64 => (a.bits() + (1 << 26)) & (u64::MAX << 27),
    };
    let high = bits.float();
    Pair { high, low: a - high }
}

/// a · b and its error.
pub(super) fn two_product<'s>(a: Term<'s>, b: Term<'s>) -> Pair<'s> {
    let high = a * b;
    if a.scope().has_fma() {
        return Pair { high, low: a.fused_minus(b, high) };
    }
    let (a, b) = (split(a), split(b));
    let low = ((a.high * b.high - high) + a.high * b.low) + a.low * b.high;
    Pair { high, low: low + a.low * b.low }
}

/// a · a and its error.
pub(super) fn square(a: Term<'_>) -> Pair<'_> {
    two_product(a, a)
}

/// a · b + c: one rounding with FMA; without it nearly one, by the errors of product and sum.
pub(super) fn accurate_times_plus<'s>(a: Term<'s>, b: Term<'s>, c: Term<'s>) -> Term<'s> {
    if a.scope().has_fma() {
        return a.fused(b, c);
    }
    let product = two_product(a, b);
    let sum = two_sum(product.high, c);
    sum.high + (sum.low + product.low)
}

impl<'s> Pair<'s> {
    /// A constant of twice the precision.
    pub(super) fn constant(like: Term<'s>, high: f64, low: f64) -> Pair<'s> {
        let scope = like.scope();
        Pair { high: scope.number(high), low: scope.number(low) }
    }

    /// A plain number.
    pub(super) fn exact(high: Term<'s>) -> Pair<'s> {
        Pair { high, low: high.scope().number(0.0) }
    }

    /// The product of two pairs.
    pub(super) fn times(self, other: Pair<'s>) -> Pair<'s> {
        let product = two_product(self.high, other.high);
        let low = self.low.times_plus(other.high, self.high.times_plus(other.low, product.low));
        fast_two_sum(product.high, low)
    }

    /// The product with a number.
    pub(super) fn scaled(self, factor: impl Operand<'s>) -> Pair<'s> {
        let factor = factor.term(self.high.scope());
        let product = two_product(self.high, factor);
        fast_two_sum(product.high, self.low.times_plus(factor, product.low))
    }

    /// The sum with a pair of at most its size (or self is 0).
    pub(super) fn plus_smaller(self, other: Pair<'s>) -> Pair<'s> {
        let sum = fast_two_sum(self.high, other.high);
        fast_two_sum(sum.high, sum.low + (self.low + other.low))
    }

    /// The quotient: a second quotient, of what the first left over, is its low part.
    pub(super) fn divided_by(self, divisor: Pair<'s>) -> Pair<'s> {
        let quotient = self.high / divisor.high;
        let product = two_product(quotient, divisor.high);
        let left = (self.high - product.high) - product.low;
        let left = quotient.times_from(divisor.low, left + self.low);
        Pair { high: quotient, low: left / divisor.high }
    }

    /// The pair rounded to one number.
    pub(super) fn rounded(self) -> Term<'s> {
        self.high + self.low
    }

    /// Both parts negated.
    pub(super) fn negated(self) -> Pair<'s> {
        Pair { high: -self.high, low: -self.low }
    }
}

/// a · b − fl(a · b).
pub(super) fn product_error<'s>(a: Term<'s>, b: Term<'s>) -> Term<'s> {
    two_product(a, b).low
}

/// (a − b) − fl(a − b); NaN where the difference is not finite.
pub(super) fn difference_error<'s>(a: Term<'s>, b: Term<'s>) -> Term<'s> {
    two_sum(a, -b).low
}

/// a · b + c with one rounding where the machine has FMA. Without: the exact product's two parts added to c in an
/// order that rounds twice at most, once to twice the precision and once to the result.
///
/// Where the product is so large that it may overflow although the sum does not, or so small that its error is
/// subnormal, everything is computed scaled by a power of two. Infinities and NaN come from the plain a · b + c.
#[allow(clippy::eq_op, reason = "x − x is 0 for finite numbers only")]
pub(super) fn fma<'s>(a: Term<'s>, b: Term<'s>, c: Term<'s>) -> Term<'s> {
    if a.scope().has_fma() {
        return a.fused(b, c);
    }
    // (below, c below, both factors up; above, a and c down), all powers of two.
    let (tiny, small, up, huge, down) = match a.dtype() {
        ComputeDtype::F32 => (2f64.powi(-80), 2f64.powi(-50), 2f64.powi(40), 2f64.powi(120), 2f64.powi(-64)),
        ComputeDtype::F64 => (2f64.powi(-900), 2f64.powi(-700), 2f64.powi(300), 2f64.powi(1000), 2f64.powi(-128)),
    };
    let plain_product = a * b;
    let plain = plain_product + c;
    let magnitude = plain_product.abs();
    let raise = magnitude.less(tiny) & c.abs().less(small);
    let reduce = magnitude.greater(huge);
    let factor_a = raise.select(up, reduce.select(down, 1.0));
    let factor_b = raise.select(up, 1.0);
    let factor_c = raise.select(up * up, reduce.select(down, 1.0));
    let back = raise.select(1.0 / (up * up), reduce.select(1.0 / down, 1.0));
    let product = two_product(a * factor_a, b * factor_b);
    let sum = two_sum(product.high, c * factor_c);
    let exact = sum.high + (sum.low + product.low);
    let result = exact * back;
    // Not a finite number on the long way: an argument was not finite (or the result overflows): the plain way knows. It
    // also knows the sign of an exact zero, which the added errors, +0, would make +0.
    let settled = (result - result).equals(0.0) & exact.abs().greater(0.0);
    // An infinite c wins over a finite product, even one that overflows the other way.
    let infinity = f64::INFINITY;
    let c_wins = c.abs().equals(infinity) & a.abs().less(infinity) & b.abs().less(infinity);
    c_wins.select(c, settled.select(result, plain))
}
