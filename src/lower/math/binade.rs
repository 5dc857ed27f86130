//! The power of two at or below a number: its exponent, without sign and mantissa.

use super::notation::Term;
use crate::array::ComputeDtype;

/// The power of two at or below |a|; the least normal number for a zero or subnormal; infinite for an infinity or NaN.
pub(super) fn binade(a: Term<'_>) -> Term<'_> {
    let (exponent, least) = match a.dtype() {
        ComputeDtype::F32 => (u64::from(f32::INFINITY.to_bits()), f64::from(f32::MIN_POSITIVE)),
        ComputeDtype::F64 => (f64::INFINITY.to_bits(), f64::MIN_POSITIVE),
    };
    (a.bits() & exponent).float().at_least(least)
}
