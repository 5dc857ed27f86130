//! The table of primitive lane operations, and their meaning on one lane.
//!
//! Every row is an IEEE operation or a bit operation with exactly one correct result (NaN as a class), the same on
//! every machine. That is the whole reason why all backends give equal bits. The meaning of a row is plain Rust,
//! generic over the lane's float type; constant folding calls it ([`LaneOp::evaluate`]), and the interpreter runs
//! its loops over it ([`LaneOp::dispatch`]), so there is no second opinion about what an op means.

/// The kind of a lane value. All kinds of one program have the width of its dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneKind {
    /// A float of the program's dtype.
    Float,
    /// An unsigned integer of the same width.
    Int,
    /// All bits set or all clear; on AVX-512 a bit of a mask register.
    Mask,
}

/// The float type of a lane, with the integer of its width.
pub trait Lane:
    Copy
    + Send
    + Sync
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + 'static
{
    /// The unsigned integer of the same width.
    type Bits: LaneBits;
    /// The bits of a float.
    fn bits(self) -> Self::Bits;
    /// The float of bits.
    fn float(bits: Self::Bits) -> Self;
    /// Rounds a float64.
    fn round_from(value: f64) -> Self;
    /// Widens exactly.
    fn widen(self) -> f64;
    /// The correctly rounded square root.
    fn square_root(self) -> Self;
    /// a · b + c, rounded once.
    fn fused(a: Self, b: Self, c: Self) -> Self;
    /// The sign bit cleared.
    fn magnitude(self) -> Self;
    /// Rounds down.
    fn round_down(self) -> Self;
    /// Rounds up.
    fn round_up(self) -> Self;
    /// Rounds toward zero.
    fn round_toward_zero(self) -> Self;
    /// Rounds to the nearest, ties to even.
    fn round_to_even(self) -> Self;
}

/// The unsigned integer of a lane's width.
pub trait LaneBits:
    Copy
    + Send
    + Sync
    + Default
    + Eq
    + std::ops::BitAnd<Output = Self>
    + std::ops::BitOr<Output = Self>
    + std::ops::BitXor<Output = Self>
    + std::ops::Not<Output = Self>
    + 'static
{
    /// Addition modulo 2 to the width.
    fn plus(self, other: Self) -> Self;
    /// Subtraction modulo 2 to the width.
    fn minus(self, other: Self) -> Self;
    /// Shift left, zeros in; `count` below the width.
    fn left(self, count: u32) -> Self;
    /// Logical shift right, zeros in; `count` below the width.
    fn right(self, count: u32) -> Self;
    /// The low bits of a 64-bit pattern.
    fn truncate(bits: u64) -> Self;
    /// Widened with zeros.
    fn extend(self) -> u64;
}

macro_rules! lane {
    ($float:ty, $bits:ty) => {
        impl Lane for $float {
            type Bits = $bits;
            #[inline(always)]
            fn bits(self) -> $bits {
                self.to_bits()
            }
            #[inline(always)]
            fn float(bits: $bits) -> $float {
                <$float>::from_bits(bits)
            }
            #[inline(always)]
            fn round_from(value: f64) -> $float {
                value as $float
            }
            #[inline(always)]
            fn widen(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn square_root(self) -> $float {
                self.sqrt()
            }
            #[inline(always)]
            fn fused(a: $float, b: $float, c: $float) -> $float {
                a.mul_add(b, c)
            }
            #[inline(always)]
            fn magnitude(self) -> $float {
                self.abs()
            }
            #[inline(always)]
            fn round_down(self) -> $float {
                self.floor()
            }
            #[inline(always)]
            fn round_up(self) -> $float {
                self.ceil()
            }
            #[inline(always)]
            fn round_toward_zero(self) -> $float {
                self.trunc()
            }
            #[inline(always)]
            fn round_to_even(self) -> $float {
                self.round_ties_even()
            }
        }
        impl LaneBits for $bits {
            #[inline(always)]
            fn plus(self, other: $bits) -> $bits {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: $bits) -> $bits {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn left(self, count: u32) -> $bits {
                self << count
            }
            #[inline(always)]
            fn right(self, count: u32) -> $bits {
                self >> count
            }
            #[inline(always)]
            fn truncate(bits: u64) -> $bits {
                bits as $bits
            }
            #[inline(always)]
            fn extend(self) -> u64 {
                u64::from(self)
            }
        }
    };
}
lane!(f32, u32);
lane!(f64, u64);

/// What [`LaneOp::dispatch`] hands the meaning of an op to: called once, with a function that inlines.
pub trait LaneVisitor<L: Lane> {
    /// What the visitor returns.
    type Output;
    /// Takes the meaning of the op whose number is `OP` (`LaneOp as u8`) on the bits of one lane; arguments past its arity are
    /// ignored.
    fn visit<const OP: u8, F: Fn(L::Bits, L::Bits, L::Bits) -> L::Bits + Copy>(self, meaning: F) -> Self::Output;
}

macro_rules! kind_type {
    (Float, $lane:ident) => {
        $lane
    };
    (Int, $lane:ident) => {
        <$lane as Lane>::Bits
    };
    (Mask, $lane:ident) => {
        bool
    };
}
macro_rules! from_bits {
    (Float, $lane:ident, $bits:expr) => {
        <$lane as Lane>::float($bits)
    };
    (Int, $lane:ident, $bits:expr) => {
        $bits
    };
    (Mask, $lane:ident, $bits:expr) => {
        $bits != <<$lane as Lane>::Bits as Default>::default()
    };
}
macro_rules! to_bits {
    (Float, $lane:ident, $value:expr) => {
        <$lane as Lane>::bits($value)
    };
    (Int, $lane:ident, $value:expr) => {
        $value
    };
    (Mask, $lane:ident, $value:expr) => {{
        let clear = <<$lane as Lane>::Bits as Default>::default();
        if $value { !clear } else { clear }
    }};
}
macro_rules! apply_meaning {
    ($lane:ident, $meaning:ident, $a:ident, $b:ident, $c:ident, [$($kind:ident),*] -> $result:ident) => {
        apply_meaning!(@ $lane, $meaning, [$($kind),*], $result, $a, $b, $c)
    };
    (@ $lane:ident, $meaning:ident, [$ka:ident], $result:ident, $a:ident, $b:ident, $c:ident) => {{
        let _ = ($b, $c);
        to_bits!($result, $lane, $meaning::<$lane>(from_bits!($ka, $lane, $a)))
    }};
    (@ $lane:ident, $meaning:ident, [$ka:ident, $kb:ident], $result:ident, $a:ident, $b:ident, $c:ident) => {{
        let _ = $c;
        to_bits!($result, $lane, $meaning::<$lane>(from_bits!($ka, $lane, $a), from_bits!($kb, $lane, $b)))
    }};
    (@ $lane:ident, $meaning:ident, [$ka:ident, $kb:ident, $kc:ident], $result:ident, $a:ident, $b:ident, $c:ident) => {
        to_bits!($result, $lane,
            $meaning::<$lane>(from_bits!($ka, $lane, $a), from_bits!($kb, $lane, $b), from_bits!($kc, $lane, $c)))
    };
}

macro_rules! lane_op_table {
    ($( $variant:ident = $name:literal, ($($argument:ident: $kind:ident),*) -> $result:ident, $meaning:expr, $doc:literal; )*) => {
        /// A primitive operation on lanes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum LaneOp { $( #[doc = $doc] $variant, )* }

        impl LaneOp {
            /// Every op, in the order of the table.
            pub const ALL: &'static [LaneOp] = &[$(LaneOp::$variant),*];

            /// The name in listings.
            pub fn name(self) -> &'static str {
                match self { $( LaneOp::$variant => $name, )* }
            }

            /// The kinds of the arguments; their number is the arity (1 to 3).
            pub const fn arguments(self) -> &'static [LaneKind] {
                match self { $( LaneOp::$variant => &[$(LaneKind::$kind),*], )* }
            }

            /// The kind of the result.
            pub fn result(self) -> LaneKind {
                match self { $( LaneOp::$variant => LaneKind::$result, )* }
            }

            /// Hands the op's meaning to a visitor, as a function the visitor's loop can inline.
            #[inline(always)]
            pub fn dispatch<L: Lane, V: LaneVisitor<L>>(self, visitor: V) -> V::Output {
                match self {
                    $( LaneOp::$variant => {
                        #[inline(always)]
                        #[allow(clippy::extra_unused_type_parameters)]
                        fn meaning<L: Lane>($($argument: kind_type!($kind, L)),*) -> kind_type!($result, L) { $meaning }
                        visitor.visit::<{ LaneOp::$variant as u8 }, _>(#[inline(always)] |a: L::Bits, b: L::Bits, c: L::Bits| {
                            apply_meaning!(L, meaning, a, b, c, [$($kind),*] -> $result)
                        })
                    } )*
                }
            }
        }
    };
}

lane_op_table! {
// variant     name        signature                                   meaning                               documentation
   Add       = "add",      (a: Float, b: Float) -> Float,              a + b,                                "a + b.";
   Sub       = "sub",      (a: Float, b: Float) -> Float,              a - b,                                "a − b.";
   Mul       = "mul",      (a: Float, b: Float) -> Float,              a * b,                                "a · b.";
   Div       = "div",      (a: Float, b: Float) -> Float,              a / b,                                "a / b.";
   Fma       = "fma",      (a: Float, b: Float, c: Float) -> Float,    L::fused(a, b, c),                    "a · b + c, rounded once. Only in programs for machines that have it.";
   Fms       = "fms",      (a: Float, b: Float, c: Float) -> Float,    L::fused(a, b, -c),                   "a · b − c, rounded once.";
   Fnma      = "fnma",     (a: Float, b: Float, c: Float) -> Float,    L::fused(-a, b, c),                   "c − a · b, rounded once.";
   Sqrt      = "sqrt",     (a: Float) -> Float,                        a.square_root(),                      "√a.";
   Min       = "min",      (a: Float, b: Float) -> Float,              if a < b { a } else { b },            "a < b ? a : b, so b if either is NaN or both are zeros.";
   Max       = "max",      (a: Float, b: Float) -> Float,              if a > b { a } else { b },            "a > b ? a : b, so b if either is NaN or both are zeros.";
   Abs       = "abs",      (a: Float) -> Float,                        a.magnitude(),                        "The sign bit cleared.";
   Neg       = "neg",      (a: Float) -> Float,                        -a,                                   "The sign bit flipped.";
   Floor     = "floor",    (a: Float) -> Float,                        a.round_down(),                       "Rounds down.";
   Ceil      = "ceil",     (a: Float) -> Float,                        a.round_up(),                         "Rounds up.";
   Trunc     = "trunc",    (a: Float) -> Float,                        a.round_toward_zero(),                "Rounds toward zero.";
   Round     = "round",    (a: Float) -> Float,                        a.round_to_even(),                    "Rounds to nearest, ties to even.";
   Less      = "lt",       (a: Float, b: Float) -> Mask,               a < b,                                "a < b, ordered.";
   LessEqual = "le",       (a: Float, b: Float) -> Mask,               a <= b,                               "a ≤ b, ordered.";
   Equal     = "eq",       (a: Float, b: Float) -> Mask,               a == b,                               "a = b, ordered.";
   Unequal   = "ne",       (a: Float, b: Float) -> Mask,               a != b,                               "a ≠ b or unordered; of a and a: is it NaN?";
   Select    = "select",   (m: Mask, a: Float, b: Float) -> Float,     if m { a } else { b },                "a where m, else b.";
   MaskAnd   = "mask_and", (a: Mask, b: Mask) -> Mask,                 a & b,                                "Both.";
   MaskOr    = "mask_or",  (a: Mask, b: Mask) -> Mask,                 a | b,                                "Either.";
   MaskNot   = "mask_not", (a: Mask) -> Mask,                          !a,                                   "Not.";
   ToBits    = "bits",     (a: Float) -> Int,                          a.bits(),                             "The bits of a float; no instruction.";
   ToFloat   = "float",    (a: Int) -> Float,                          L::float(a),                          "The float of bits; no instruction.";
   IntAdd    = "iadd",     (a: Int, b: Int) -> Int,                    a.plus(b),                            "a + b modulo 2 to the width.";
   IntSub    = "isub",     (a: Int, b: Int) -> Int,                    a.minus(b),                           "a − b modulo 2 to the width.";
   And       = "and",      (a: Int, b: Int) -> Int,                    a & b,                                "Bitwise and.";
   Or        = "or",       (a: Int, b: Int) -> Int,                    a | b,                                "Bitwise or.";
   Xor       = "xor",      (a: Int, b: Int) -> Int,                    a ^ b,                                "Bitwise exclusive or.";
   AndNot    = "andnot",   (a: Int, b: Int) -> Int,                    !a & b,                               "Bits of b that a does not have.";
}

impl LaneOp {
    /// Whether the first two arguments may change places: with equal bits, but for which of two NaNs shows.
    /// Not so [`LaneOp::Min`] and [`LaneOp::Max`], which tell zeros apart.
    pub const fn is_commutative(self) -> bool {
        matches!(
            self,
            LaneOp::Add
                | LaneOp::Mul
                | LaneOp::Fma
                | LaneOp::Fms
                | LaneOp::Fnma
                | LaneOp::Equal
                | LaneOp::Unequal
                | LaneOp::MaskAnd
                | LaneOp::MaskOr
                | LaneOp::IntAdd
                | LaneOp::And
                | LaneOp::Or
                | LaneOp::Xor
        )
    }

    /// The op on the bits of one lane; arguments past the arity are ignored.
    pub fn evaluate<L: Lane>(self, arguments: [L::Bits; 3]) -> L::Bits {
        struct Once<L: Lane>([L::Bits; 3]);
        impl<L: Lane> LaneVisitor<L> for Once<L> {
            type Output = L::Bits;
            fn visit<const OP: u8, F: Fn(L::Bits, L::Bits, L::Bits) -> L::Bits + Copy>(self, meaning: F) -> L::Bits {
                meaning(self.0[0], self.0[1], self.0[2])
            }
        }
        self.dispatch::<L, _>(Once::<L>(arguments))
    }
}

/// How an accumulator takes in one more value, lane by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReductionOperator {
    /// accumulator + value; starts at +0, so that no sum is −0.
    Sum,
    /// The larger; a NaN stays. Starts at −inf.
    Max,
    /// The smaller; a NaN stays. Starts at inf.
    Min,
}

impl ReductionOperator {
    /// The name in listings.
    pub fn name(self) -> &'static str {
        match self {
            ReductionOperator::Sum => "sum",
            ReductionOperator::Max => "max",
            ReductionOperator::Min => "min",
        }
    }

    /// What a fresh accumulator holds: combining with it gives the value itself (of a sum, −0 gives +0).
    pub fn identity<L: Lane>(self) -> L {
        match self {
            ReductionOperator::Sum => L::round_from(0.0),
            ReductionOperator::Max => L::round_from(f64::NEG_INFINITY),
            ReductionOperator::Min => L::round_from(f64::INFINITY),
        }
    }

    /// The accumulator after taking in `value`. Of equal values (±0 too) the later one stays.
    #[inline(always)]
    #[allow(clippy::eq_op)]
    pub fn apply<L: Lane>(self, accumulator: L, value: L) -> L {
        match self {
            ReductionOperator::Sum => accumulator + value,
            ReductionOperator::Max => {
                if accumulator != accumulator || accumulator > value {
                    accumulator
                } else {
                    value
                }
            }
            ReductionOperator::Min => {
                if accumulator != accumulator || accumulator < value {
                    accumulator
                } else {
                    value
                }
            }
        }
    }
}
