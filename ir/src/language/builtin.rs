//! Names that are part of the language: ops, reductions, and a few more.

use crate::op::{Op, Reduction};

/// Functions that are part of the language: neither ops nor reductions.
const BUILTINS: &[&str] =
    &["first_half", "second_half", "constant", "absmax", "isnan", "isinf", "isfinite", CAST, QUANTIZE, DEQUANTIZE];

/// The name of the calls that round to a storage type.
pub(super) const CAST: &str = "cast";
/// The name of the calls that turn numbers into integers with a scale.
pub(super) const QUANTIZE: &str = "quantize";
/// The name of the calls that turn such integers back.
pub(super) const DEQUANTIZE: &str = "dequantize";

pub(super) fn builtin_names<'a>() -> impl Iterator<Item = &'a str> {
    Op::all()
        .map(Op::name)
        .chain(Reduction::all().map(Reduction::name))
        .chain(BUILTINS.iter().copied())
        .map(|name| -> &'a str { name })
}

pub(super) fn is_builtin(name: &str) -> bool {
    Op::by_name(name).is_some() || Reduction::by_name(name).is_some() || BUILTINS.contains(&name)
}
