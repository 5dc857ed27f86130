//! How tightly operators bind: what the parser reads by and the printer writes parentheses by.

pub(super) const PIPE: u8 = 1;
pub(super) const OR: u8 = 2;
pub(super) const AND: u8 = 3;
pub(super) const NOT: u8 = 4;
pub(super) const COMPARISON: u8 = 5;
pub(super) const SUM: u8 = 6;
pub(super) const PRODUCT: u8 = 7;
pub(super) const NEGATION: u8 = 8;
pub(super) const POWER: u8 = 9;
pub(super) const ATOM: u8 = 10;
