//! Rounding to a storage type without leaving lanes: what a store and a load of that type would give, bit for bit.
//!
//! A float is rounded where it lies: half of what its bits lose is added to them, less one where the last bit kept is even, and what is
//! below that bit is cleared. Numbers below the format's least normal one are rounded by adding a number whose last bit is worth as
//! much as theirs. Integers are clamped and rounded; in float32 the greatest of 32 bits is what a load would make of it, 2^31 or 2^32.

use super::notation::Term;
use crate::array::Dtype;
use crate::lane::Format;
use fuselet_ir::StorageType;

/// A number rounded to a storage type.
pub(super) fn cast(x: Term<'_>, ty: StorageType) -> Term<'_> {
    let float = || Some((Format::of(Dtype::from(ty))?, Format::of(x.dtype().storage())?));
    match (ty.integer_range(), float()) {
        (Some((least, greatest)), _) => whole(x, least, greatest),
        (None, Some((narrow, wide))) if narrow.mantissa < wide.mantissa => round(x, narrow, wide),
        _ => x,
    }
}

/// The nearest whole number in a range, ties to even; 0 for NaN, and zeros +0.
fn whole(x: Term<'_>, least: f64, greatest: f64) -> Term<'_> {
    let number = x.equals(x).select(x, 0.0);
    number.at_least(least).at_most(greatest).round() + 0.0
}

/// The nearest number of a narrower format, ties to even.
fn round<'s>(x: Term<'s>, narrow: Format, wide: Format) -> Term<'s> {
    let down = wide.mantissa - narrow.mantissa;
    let nearest = |x: Term<'s>| {
        let bits = x.bits();
        let odd = (bits >> down) & 1;
        ((bits + odd + ((1 << (down - 1)) - 1)) & !((1 << down) - 1)).float()
    };
    let rounded = if narrow.bias == wide.bias {
        // The same exponents: subnormals are cut like the rest, and the largest numbers carry into infinity.
        nearest(x)
    } else {
        let power = |exponent: i32| f64::from(exponent).exp2();
        let bias = i32::try_from(narrow.bias).expect("exponents of floats are small");
        let size = x.abs();
        let least = power(1 - bias);
        let grid = power(1 - bias + i32::from(down));
        let rounded = size.less(least).select((size + grid) - grid, nearest(size));
        rounded.less(power(bias + 1)).select(rounded, f64::INFINITY).with_sign(x.sign())
    };
    x.equals(x).select(rounded, x)
}
