//! Bit-exact selections: `minimum`, `maximum`, `copysign`.
//!
//! `minimum` and `maximum` are NaN if either is, and −0 below +0.
//!
//! The lane op Min gives its second argument when either is NaN or both are zeros. So min(a, b) and min(b, a) are equal
//! but in those two cases, where they are b and a: their bitwise or is −0 if either zero is, and NaN if either is NaN
//! (an exponent of all ones stays, and so does a mantissa that is not zero). Maximum is minimum mirrored. One constant
//! argument, as in every clamp, makes most of it unnecessary. Whether an argument is a constant may be asked here, and only
//! here, because the results are the same numbers either way.
//!
//! `copysign` takes the sign of a NaN as +: which sign a computed NaN has depends on the machine, and on the order of an
//! addition's operands.

use super::notation::Term;

/// The smaller of two; NaN if either is; −0 below +0.
pub(super) fn minimum<'s>(a: Term<'s>, b: Term<'s>) -> Term<'s> {
    for (bound, x) in [(a.known(), b), (b.known(), a)] {
        if let Some(bound) = bound {
            // Equal zeros: x is taken, which is right for a bound of +0 (−0 stays), but not for −0.
            if !bound.is_nan() && bound.to_bits() != (-0.0f64).to_bits() {
                return x.at_most(bound);
            }
        }
    }
    (a.lane_min(b).bits() | b.lane_min(a).bits()).float()
}

/// The larger of two; NaN if either is; +0 above −0.
pub(super) fn maximum<'s>(a: Term<'s>, b: Term<'s>) -> Term<'s> {
    for (bound, x) in [(a.known(), b), (b.known(), a)] {
        if let Some(bound) = bound.filter(|bound| !bound.is_nan()) {
            let larger = x.at_least(bound);
            // Equal zeros: x is taken; adding +0 turns its −0 into the bound and changes nothing else.
            return if bound.to_bits() == 0 { larger + 0.0 } else { larger };
        }
    }
    -minimum(-a, -b)
}

/// |a| with the sign of b, NaN being positive.
pub(super) fn copysign<'s>(a: Term<'s>, b: Term<'s>) -> Term<'s> {
    // b < inf ? b : inf has the sign of b, and is inf for NaN.
    a.abs().with_sign(b.lane_min(f64::INFINITY).sign())
}
