//! Notation: lane values with operators, so that lowering reads like the paper it comes from.
//!
//! A [`Term`] is a float lane, [`Bits`] its bits as an integer, a [`Bool`] a mask. They are `Copy` and carry the builder
//! with them; `x * y + 1.0` writes a multiplication and an addition, each rounded. Whatever may be fused into one
//! rounding says so: [`Term::times_plus`]. Numbers on either side of an operator are constants of the dtype.

use crate::array::ComputeDtype;
use crate::lane::{LaneBuilder, LaneOp, Shift, Value};
use std::cell::RefCell;
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Shl, Shr, Sub};

/// Parses a hexadecimal float (`-0x1.8p-3`) at compile time. Rust has no literals for them, and decimal constants hide
/// which bits a coefficient has.
pub(super) const fn hex(text: &str) -> f64 {
    let text = text.as_bytes();
    let negative = text[0] == b'-';
    let mut place = if negative { 3 } else { 2 };
    assert!(text[place - 2] == b'0' && text[place - 1] == b'x', "a hexadecimal float starts with 0x");
    let (mut digits, mut exponent, mut fraction) = (0u64, 0i32, false);
    while text[place] != b'p' {
        let digit = match text[place] {
            b'.' => {
                fraction = true;
                place += 1;
                continue;
            }
            digit @ b'0'..=b'9' => digit - b'0',
            digit @ b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("not a hexadecimal digit"),
        };
        assert!(digits >> 60 == 0, "too many digits");
        digits = (digits << 4) | digit as u64;
        if fraction {
            exponent -= 4;
        }
        place += 1;
    }
    place += 1;
    let down = text[place] == b'-';
    if down || text[place] == b'+' {
        place += 1;
    }
    let mut power = 0i32;
    while place < text.len() {
        assert!(text[place].is_ascii_digit(), "not a digit of an exponent");
        power = power * 10 + (text[place] - b'0') as i32;
        place += 1;
    }
    exponent += if down { -power } else { power };
    assert!(digits >> 53 == 0 || digits.trailing_zeros() >= 11, "more digits than a float64 holds");
    let mut value = digits as f64;
    while exponent > 0 {
        value *= 2.0;
        exponent -= 1;
    }
    while exponent < 0 {
        value *= 0.5;
        exponent += 1;
    }
    if negative { -value } else { value }
}

/// The builder, shared by the terms of one expansion.
pub(super) struct Scope(RefCell<LaneBuilder>);

impl Scope {
    /// Runs an expansion on a builder: `arguments` as terms in, a term out.
    pub(super) fn run<const N: usize>(
        builder: &mut LaneBuilder,
        arguments: [Value; N],
        expansion: impl for<'s> FnOnce(&'s Scope, [Term<'s>; N]) -> Term<'s>,
    ) -> Value {
        let empty = LaneBuilder::new(builder.dtype(), builder.has_fma());
        let scope = Scope(RefCell::new(std::mem::replace(builder, empty)));
        let result = expansion(&scope, arguments.map(|value| Term { scope: &scope, value })).value;
        *builder = scope.0.into_inner();
        result
    }

    /// A constant of the dtype.
    pub(super) fn number(&self, value: f64) -> Term<'_> {
        Term { scope: self, value: self.0.borrow_mut().number(value) }
    }

    /// An integer constant.
    pub(super) fn integer(&self, bits: u64) -> Bits<'_> {
        Bits { scope: self, value: self.0.borrow_mut().integer(bits) }
    }

    /// The dtype of float lanes.
    pub(super) fn dtype(&self) -> ComputeDtype {
        self.0.borrow().dtype()
    }

    /// Whether the machine has a fused multiply-add.
    pub(super) fn has_fma(&self) -> bool {
        self.0.borrow().has_fma()
    }

    fn apply(&self, op: LaneOp, arguments: &[Value]) -> Value {
        self.0.borrow_mut().apply(op, arguments)
    }
}

/// A float lane.
#[derive(Clone, Copy)]
pub(super) struct Term<'s> {
    scope: &'s Scope,
    value: Value,
}

/// The bits of a lane, as an integer.
#[derive(Clone, Copy)]
pub(super) struct Bits<'s> {
    scope: &'s Scope,
    value: Value,
}

/// A mask.
#[derive(Clone, Copy)]
pub(super) struct Bool<'s> {
    scope: &'s Scope,
    value: Value,
}

/// What may stand beside a term: another term, or a number.
pub(super) trait Operand<'s> {
    /// The operand as a term.
    fn term(self, scope: &'s Scope) -> Term<'s>;
}
impl<'s> Operand<'s> for Term<'s> {
    fn term(self, _scope: &'s Scope) -> Term<'s> {
        self
    }
}
impl<'s> Operand<'s> for f64 {
    fn term(self, scope: &'s Scope) -> Term<'s> {
        scope.number(self)
    }
}

impl<'s> Term<'s> {
    /// Where the term lives.
    pub(super) fn scope(self) -> &'s Scope {
        self.scope
    }

    /// The dtype of the lane.
    pub(super) fn dtype(self) -> ComputeDtype {
        self.scope.dtype()
    }

    /// The value, if it is a constant. Only for choices that change no bit: unfused, the same value may come from memory.
    pub(super) fn known(self) -> Option<f64> {
        self.scope.0.borrow().known_number(self.value)
    }

    fn unary(self, op: LaneOp) -> Term<'s> {
        Term { scope: self.scope, value: self.scope.apply(op, &[self.value]) }
    }

    fn binary(self, op: LaneOp, other: impl Operand<'s>) -> Term<'s> {
        let other = other.term(self.scope);
        Term { scope: self.scope, value: self.scope.apply(op, &[self.value, other.value]) }
    }

    fn compare(self, op: LaneOp, other: impl Operand<'s>) -> Bool<'s> {
        let other = other.term(self.scope);
        Bool { scope: self.scope, value: self.scope.apply(op, &[self.value, other.value]) }
    }

    fn ternary(self, op: LaneOp, b: impl Operand<'s>, c: impl Operand<'s>) -> Term<'s> {
        let (b, c) = (b.term(self.scope), c.term(self.scope));
        Term { scope: self.scope, value: self.scope.apply(op, &[self.value, b.value, c.value]) }
    }

    /// self · b + c: one rounding where the machine has FMA, else two. The caller's bound counts on neither.
    pub(super) fn times_plus(self, b: impl Operand<'s>, c: impl Operand<'s>) -> Term<'s> {
        let (b, c) = (b.term(self.scope), c.term(self.scope));
        let value = self.scope.0.borrow_mut().multiply_add(self.value, b.value, c.value);
        Term { scope: self.scope, value }
    }

    /// c − self · b, like [`Term::times_plus`].
    pub(super) fn times_from(self, b: impl Operand<'s>, c: impl Operand<'s>) -> Term<'s> {
        let (b, c) = (b.term(self.scope), c.term(self.scope));
        if self.scope.has_fma() { self.ternary(LaneOp::Fnma, b, c) } else { c - self * b }
    }

    /// self · b + c with one rounding. Only where the machine has it.
    pub(super) fn fused(self, b: impl Operand<'s>, c: impl Operand<'s>) -> Term<'s> {
        self.ternary(LaneOp::Fma, b, c)
    }

    /// self · b − c with one rounding. Only where the machine has it.
    pub(super) fn fused_minus(self, b: impl Operand<'s>, c: impl Operand<'s>) -> Term<'s> {
        self.ternary(LaneOp::Fms, b, c)
    }

    /// Σ coefficients[k] · selfᵏ by Horner's rule.
    pub(super) fn polynomial(self, coefficients: &[f64]) -> Term<'s> {
        let value = self.scope.0.borrow_mut().horner(self.value, coefficients);
        Term { scope: self.scope, value }
    }

    /// |self|.
    pub(super) fn abs(self) -> Term<'s> {
        self.unary(LaneOp::Abs)
    }

    /// The nearest whole number, ties to even.
    pub(super) fn round(self) -> Term<'s> {
        self.unary(LaneOp::Round)
    }

    /// The whole part.
    pub(super) fn trunc(self) -> Term<'s> {
        self.unary(LaneOp::Trunc)
    }

    /// The bound if self exceeds it, else self: NaN stays.
    pub(super) fn at_most(self, bound: f64) -> Term<'s> {
        self.scope.number(bound).binary(LaneOp::Min, self)
    }

    /// The bound if self is below it, else self: NaN stays.
    pub(super) fn at_least(self, bound: f64) -> Term<'s> {
        self.scope.number(bound).binary(LaneOp::Max, self)
    }

    /// self < other ? self : other.
    pub(super) fn lane_min(self, other: impl Operand<'s>) -> Term<'s> {
        self.binary(LaneOp::Min, other)
    }

    /// self > other ? self : other.
    pub(super) fn lane_max(self, other: impl Operand<'s>) -> Term<'s> {
        self.binary(LaneOp::Max, other)
    }

    /// self < other.
    pub(super) fn less(self, other: impl Operand<'s>) -> Bool<'s> {
        self.compare(LaneOp::Less, other)
    }

    /// self > other.
    pub(super) fn greater(self, other: impl Operand<'s>) -> Bool<'s> {
        other.term(self.scope).compare(LaneOp::Less, self)
    }

    /// self = other.
    pub(super) fn equals(self, other: impl Operand<'s>) -> Bool<'s> {
        self.compare(LaneOp::Equal, other)
    }

    /// self ≠ other, or unordered.
    pub(super) fn differs(self, other: impl Operand<'s>) -> Bool<'s> {
        self.compare(LaneOp::Unequal, other)
    }

    /// The bits; no instruction.
    pub(super) fn bits(self) -> Bits<'s> {
        Bits { scope: self.scope, value: self.scope.apply(LaneOp::ToBits, &[self.value]) }
    }

    /// The sign bit alone.
    pub(super) fn sign(self) -> Bits<'s> {
        self.bits() & self.scope.integer(1 << (8 * self.dtype().size() - 1))
    }

    /// self, which is not negative, with a sign bit.
    pub(super) fn with_sign(self, sign: Bits<'s>) -> Term<'s> {
        (self.bits() | sign).float()
    }

    /// self with its sign flipped where the sign bit is set.
    pub(super) fn flip_sign(self, sign: Bits<'s>) -> Term<'s> {
        (self.bits() ^ sign).float()
    }
}

impl<'s> Bits<'s> {
    /// The dtype whose width the lane has.
    pub(super) fn dtype(self) -> ComputeDtype {
        self.scope.dtype()
    }

    /// The float of these bits; no instruction.
    pub(super) fn float(self) -> Term<'s> {
        Term { scope: self.scope, value: self.scope.apply(LaneOp::ToFloat, &[self.value]) }
    }

    fn binary(self, op: LaneOp, other: Bits<'s>) -> Bits<'s> {
        Bits { scope: self.scope, value: self.scope.apply(op, &[self.value, other.value]) }
    }

    fn shifted(self, direction: Shift, count: u8) -> Bits<'s> {
        let value = self.scope.0.borrow_mut().shift(direction, self.value, count);
        Bits { scope: self.scope, value }
    }
}

impl<'s> Bool<'s> {
    /// `then` where true, else `otherwise`.
    pub(super) fn select(self, then: impl Operand<'s>, otherwise: impl Operand<'s>) -> Term<'s> {
        let (then, otherwise) = (then.term(self.scope), otherwise.term(self.scope));
        Term { scope: self.scope, value: self.scope.0.borrow_mut().select(self.value, then.value, otherwise.value) }
    }
}

macro_rules! float_operator {
    ($($trait:ident $method:ident $op:ident;)*) => { $(
        impl<'s, R: Operand<'s>> $trait<R> for Term<'s> {
            type Output = Term<'s>;
            fn $method(self, other: R) -> Term<'s> {
                self.binary(LaneOp::$op, other)
            }
        }
        impl<'s> $trait<Term<'s>> for f64 {
            type Output = Term<'s>;
            fn $method(self, other: Term<'s>) -> Term<'s> {
                other.scope.number(self).binary(LaneOp::$op, other)
            }
        }
    )* };
}
float_operator! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}

impl<'s> Neg for Term<'s> {
    type Output = Term<'s>;
    fn neg(self) -> Term<'s> {
        self.unary(LaneOp::Neg)
    }
}

macro_rules! bit_operator {
    ($($trait:ident $method:ident $op:ident;)*) => { $(
        impl<'s> $trait for Bits<'s> {
            type Output = Bits<'s>;
            fn $method(self, other: Bits<'s>) -> Bits<'s> {
                self.binary(LaneOp::$op, other)
            }
        }
        impl<'s> $trait<u64> for Bits<'s> {
            type Output = Bits<'s>;
            fn $method(self, other: u64) -> Bits<'s> {
                self.binary(LaneOp::$op, self.scope.integer(other))
            }
        }
    )* };
}
bit_operator! {
    Add add IntAdd;
    Sub sub IntSub;
    BitAnd bitand And;
    BitOr bitor Or;
    BitXor bitxor Xor;
}

impl<'s> Shl<u8> for Bits<'s> {
    type Output = Bits<'s>;
    fn shl(self, count: u8) -> Bits<'s> {
        self.shifted(Shift::Left, count)
    }
}
impl<'s> Shr<u8> for Bits<'s> {
    type Output = Bits<'s>;
    fn shr(self, count: u8) -> Bits<'s> {
        self.shifted(Shift::Right, count)
    }
}

macro_rules! truth_operator {
    ($($trait:ident $method:ident $op:ident;)*) => { $(
        impl<'s> $trait for Bool<'s> {
            type Output = Bool<'s>;
            fn $method(self, other: Bool<'s>) -> Bool<'s> {
                Bool { scope: self.scope, value: self.scope.apply(LaneOp::$op, &[self.value, other.value]) }
            }
        }
    )* };
}
truth_operator! {
    BitAnd bitand MaskAnd;
    BitOr bitor MaskOr;
}

impl<'s> Not for Bool<'s> {
    type Output = Bool<'s>;
    fn not(self) -> Bool<'s> {
        Bool { scope: self.scope, value: self.scope.apply(LaneOp::MaskNot, &[self.value]) }
    }
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn hexadecimal_floats_have_the_bits_they_show() {
        assert_eq!(hex("0x1p+0"), 1.0);
        assert_eq!(hex("-0x1.8p-3"), -0.1875);
        assert_eq!(hex("0x1.fffffffffffffp+1023"), f64::MAX);
        assert_eq!(hex("0x1p-1022"), f64::MIN_POSITIVE);
        assert_eq!(hex("0x1.921fb54442d18p+1"), std::f64::consts::PI);
    }
}
