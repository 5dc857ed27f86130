//! The op table: every operation a graph can hold, one row each.
//!
//! A row states the name in the language, the class, the arguments, the float64 meaning, the derivative by each
//! argument (text of the language, in which `y` stands for the op's own result) and the documentation.
//! Everything that needs to know something of *all* ops reads it here: the parser finds names, the printer prints
//! them, the verifier checks arities, the reference evaluates meanings. The only other `match` over all ops is
//! lowering (`fuselet::lower`), where the compiler finds what is missing. Adding an op is one row here and one
//! lowering function there.
//!
//! [`Op`], [`Reduction`] and [`Class`] can be matched without a wildcard on purpose, outside of this crate too: a lowering
//! that misses a new row should not compile. A new row is therefore a new minor version.
//!
//! Bools (results of comparisons and of logic) are a kind of their own in a graph; the float64 reference
//! carries them as 0 and 1.

use super::special;
use super::storage::StorageType;

/// What an op belongs to; decides the kinds of its arguments and its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Arithmetic and rounding: one or a few IEEE operations.
    Arithmetic,
    /// Two numbers in, a bool out.
    Comparison,
    /// Bools in, a bool out.
    Logic,
    /// A bool and two numbers in, one of the numbers out.
    Select,
    /// Special functions, expanded by lowering.
    Special,
    /// Companions that forms need and most users never write: valid on a stated domain only.
    Companion,
    /// Rounding to a storage type ([`StorageType`](super::StorageType)); written `cast(x, bf16)` in the language.
    Cast,
}

/// The kind of a graph value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A floating-point number.
    Number,
    /// A bool.
    Bool,
}

macro_rules! op_table {
    ($( $variant:ident = $name:literal, $class:ident, [$($argument:ident),*], $meaning:expr, [$($derivative:literal),*], $doc:literal; )*) => {
        /// An elementwise operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Op { $( #[doc = $doc] $variant, )* }

        static TABLE: &[OpRow] = &[ $( OpRow {
            op: Op::$variant,
            name: $name,
            class: Class::$class,
            arguments: &[$(stringify!($argument)),*],
            meaning: { #[allow(clippy::float_cmp)] fn meaning([$($argument,)* ..]: [f64; 3]) -> f64 { $meaning } meaning },
            derivative: &[$($derivative),*],
            doc: $doc,
        }, )* ];
    };
}

/// One row of the op table.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpRow {
    /// The op the row describes.
    pub op: Op,
    /// Its name in the language.
    pub name: &'static str,
    /// Its class.
    pub class: Class,
    /// The names of its arguments; their number is the arity.
    pub arguments: &'static [&'static str],
    /// Its float64 meaning. Arguments past the arity are ignored; bools are 0 and 1.
    pub meaning: fn([f64; 3]) -> f64,
    /// The derivative by each argument, as text of the language over the argument names and the result `y`.
    /// Empty where no derivative exists (comparisons, logic, companions that only repair rounding).
    pub derivative: &'static [&'static str],
    /// What it computes, for people.
    pub doc: &'static str,
}

op_table! {
// variant      name              class       arguments  float64 meaning                        derivative by each argument               documentation
   Neg        = "neg",            Arithmetic, [a],       -a,                                    ["-1"],                                   "−a: the sign bit flips, also of zeros and NaN.";
   Abs        = "abs",            Arithmetic, [a],       a.abs(),                               ["if a < 0 then -1 else 1"],              "|a|: the sign bit cleared.";
   Add        = "add",            Arithmetic, [a, b],    a + b,                                 ["1", "1"],                               "a + b.";
   Sub        = "sub",            Arithmetic, [a, b],    a - b,                                 ["1", "-1"],                              "a − b.";
   Mul        = "mul",            Arithmetic, [a, b],    a * b,                                 ["b", "a"],                               "a · b.";
   Div        = "div",            Arithmetic, [a, b],    a / b,                                 ["1 / b", "-(y / b)"],                    "a / b.";
   Fma        = "fma",            Arithmetic, [a, b, c], libm::fma(a, b, c),                    ["b", "a", "1"],                          "a · b + c with one rounding.";
   MultiplyAdd = "multiply_add",  Arithmetic, [a, b, c], libm::fma(a, b, c),                    ["b", "a", "1"],                          "a · b + c with one rounding where the machine has a fused multiply-add, else with two: for where it does not matter.";
   Sqrt       = "sqrt",           Arithmetic, [a],       a.sqrt(),                              ["0.5 / y"],                              "The square root; NaN below zero.";
   Minimum    = "minimum",        Arithmetic, [a, b],    special::minimum(a, b),                ["if a < b then 1 else 0", "if a < b then 0 else 1"], "The smaller of two; NaN if either is; −0 below +0.";
   Maximum    = "maximum",        Arithmetic, [a, b],    special::maximum(a, b),                ["if a > b then 1 else 0", "if a > b then 0 else 1"], "The larger of two; NaN if either is; +0 above −0.";
   CopySign   = "copysign",       Arithmetic, [a, b],    special::copysign(a, b),               ["copysign(1, a) * copysign(1, b)", "0"], "|a| with the sign of b; a NaN counts as positive, whatever its sign bit.";
   Floor      = "floor",          Arithmetic, [a],       a.floor(),                             ["0"],                                    "The largest whole number not above a.";
   Ceil       = "ceil",           Arithmetic, [a],       a.ceil(),                              ["0"],                                    "The smallest whole number not below a.";
   Trunc      = "trunc",          Arithmetic, [a],       a.trunc(),                             ["0"],                                    "a without its fraction.";
   Round      = "round",          Arithmetic, [a],       a.round_ties_even(),                   ["0"],                                    "The nearest whole number, ties to even.";
   Less       = "less",           Comparison, [a, b],    f64::from(a < b),                      [],                                       "a < b; false if either is NaN.";
   LessEqual  = "less_equal",     Comparison, [a, b],    f64::from(a <= b),                     [],                                       "a ≤ b; false if either is NaN.";
   Equal      = "equal",          Comparison, [a, b],    f64::from(a == b),                     [],                                       "a = b; false if either is NaN; −0 equals +0.";
   And        = "and",            Logic,      [a, b],    f64::from(a != 0.0 && b != 0.0),       [],                                       "Both.";
   Or         = "or",             Logic,      [a, b],    f64::from(a != 0.0 || b != 0.0),       [],                                       "Either.";
   Not        = "not",            Logic,      [a],       f64::from(a == 0.0),                   [],                                       "Not.";
   Select     = "select",         Select,     [c, a, b], if c != 0.0 { a } else { b },          ["0", "if c then 1 else 0", "if c then 0 else 1"], "a where c holds, else b; the other is not looked at.";
   Exp        = "exp",            Special,    [a],       libm::exp(a),                          ["y"],                                    "eᵃ.";
   Expm1      = "expm1",          Special,    [a],       libm::expm1(a),                        ["exp(a)"],                               "eᵃ − 1 without cancellation near 0.";
   Log        = "log",            Special,    [a],       libm::log(a),                          ["1 / a"],                                "The natural logarithm; −inf at zero, NaN below.";
   Log1p      = "log1p",          Special,    [a],       libm::log1p(a),                        ["1 / (1 + a)"],                          "log(1 + a) without cancellation near 0.";
   Tanh       = "tanh",           Special,    [a],       libm::tanh(a),                         ["let w = exp(-2 * abs(a)); 4 * w / ((1 + w) * (1 + w))"], "The hyperbolic tangent.";
   Sin        = "sin",            Special,    [a],       libm::sin(a),                          ["cos(a)"],                               "The sine; a in radians.";
   Cos        = "cos",            Special,    [a],       libm::cos(a),                          ["-sin(a)"],                              "The cosine; a in radians.";
   Erf        = "erf",            Special,    [a],       libm::erf(a),                          ["1.1283791670955126 * exp(-a * a)"],     "The error function.";
   Erfc       = "erfc",           Special,    [a],       libm::erfc(a),                         ["-1.1283791670955126 * exp(-a * a)"],    "1 − erf(a) without cancellation.";
   Erfcx      = "erfcx",          Special,    [a],       special::erfcx(a),                     ["2 * a * y - 1.1283791670955126"],       "exp(a²) · erfc(a), the scaled complementary error function.";
   NormalCdf  = "normal_cdf",     Special,    [a],       special::normal_cdf(a),                ["0.3989422804014327 * exp(-0.5 * a * a)"], "Φ(a), the normal distribution's cumulative distribution function.";
   Pow        = "pow",            Special,    [a, b],    libm::pow(a, b),                       ["b * a ^ (b - 1)", "log(a) * y"],        "a to the power b, with C's special cases; also written a ^ b.";
   ExpNegScaled = "exp_neg_scaled", Companion, [a],      special::exp_neg_scaled(a, 0.0),       ["-y"],                                   "2⁶⁴ · e⁻ᵃ for a from 0 to exp_cutoff(): carries all bits where e⁻ᵃ is subnormal.";
   ExpNegScaledSum = "exp_neg_scaled_sum", Companion, [a, low], special::exp_neg_scaled(a, low), ["-y", "-y"],                            "2⁶⁴ · e⁻⁽ᵃ⁺ˡᵒʷ⁾ for a from 0 to exp_cutoff() and a small correction `low`.";
   ExpScaled  = "exp_scaled",     Companion,  [a, k],    special::exp_scaled(a, k),             ["y", "0.6931471805599453 * y"],          "2ᵏ · eᵃ for a whole k and |a| up to 3 · exp_cutoff(), where the result is a normal number: the scale costs nothing.";
   Expm1Nonpositive = "expm1_nonpositive", Companion, [a], libm::expm1(a),                      ["exp(a)"],                               "eᵃ − 1 for a ≤ 0, cheaper than expm1.";
   Log1pUnit  = "log1p_unit",     Companion,  [a],       libm::log1p(a),                        ["1 / (1 + a)"],                          "log(1 + a) for a from 0 to 1, cheaper than log1p.";
   NormalTailScaled = "normal_tail_scaled", Companion, [a], special::normal_tail_scaled(a),     ["-0x1p64 * 0.3989422804014327 * exp(-0.5 * a * a)"], "2⁶⁴ · Φ(−a) for a ≥ 0, the normal distribution's upper tail.";
   TanhGap    = "tanh_gap",       Special,    [a],       special::tanh_gap(a),                  ["tanh(a) * tanh(a)"],                    "a − tanh(a) without cancellation near 0.";
   ExpCutoff  = "exp_cutoff",     Companion,  [],        752.0,                                 [],                                       "A number past which a · e⁻ᵃ is nothing in the computing dtype (float32 110, float64 752).";
   Binade     = "binade",         Companion,  [a],       special::binade(a),                    ["0"],                                    "The power of two at or below |a|; the least normal number of the computing dtype for a zero or subnormal, inf for an infinity or NaN. Its reciprocal scales without rounding.";
   ProductError = "product_error", Companion, [a, b],    libm::fma(a, b, -(a * b)),             [],                                       "a · b minus its own rounding: exact.";
   DifferenceError = "difference_error", Companion, [a, b], special::difference_error(a, b),    [],                                       "a − b minus its own rounding: exact; NaN where a − b is not finite.";
   CastF32    = "cast_f32",       Cast,       [a],       StorageType::F32.round(a),           ["1"],                                    "a rounded to float32, to nearest even; infinite past its largest number.";
   CastF16    = "cast_f16",       Cast,       [a],       StorageType::F16.round(a),           ["1"],                                    "a rounded to float16, to nearest even; infinite past its largest number.";
   CastBf16   = "cast_bf16",      Cast,       [a],       StorageType::Bf16.round(a),          ["1"],                                    "a rounded to bfloat16, to nearest even; infinite past its largest number.";
   CastI32    = "cast_i32",       Cast,       [a],       StorageType::I32.round(a),           ["1"],                                    "a rounded to int32, to nearest even; its ends past them, 0 for NaN.";
   CastI16    = "cast_i16",       Cast,       [a],       StorageType::I16.round(a),           ["1"],                                    "a rounded to int16, to nearest even; its ends past them, 0 for NaN.";
   CastI8     = "cast_i8",        Cast,       [a],       StorageType::I8.round(a),            ["1"],                                    "a rounded to int8, to nearest even; its ends past them, 0 for NaN.";
   CastU32    = "cast_u32",       Cast,       [a],       StorageType::U32.round(a),           ["1"],                                    "a rounded to uint32, to nearest even; its ends past them, 0 for NaN.";
   CastU16    = "cast_u16",       Cast,       [a],       StorageType::U16.round(a),           ["1"],                                    "a rounded to uint16, to nearest even; its ends past them, 0 for NaN.";
   CastU8     = "cast_u8",        Cast,       [a],       StorageType::U8.round(a),            ["1"],                                    "a rounded to uint8, to nearest even; its ends past them, 0 for NaN.";
}

impl Op {
    /// The op's row of the table.
    pub fn row(self) -> &'static OpRow {
        &TABLE[self as usize]
    }

    /// Every op, in the order of the table.
    pub fn all() -> impl ExactSizeIterator<Item = Op> {
        TABLE.iter().map(|row| row.op)
    }

    /// The op of this name in the language.
    pub fn by_name(name: &str) -> Option<Op> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.op)
    }

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// How many arguments it takes (0 to 3).
    pub fn arity(self) -> usize {
        self.row().arguments.len()
    }

    /// Its class.
    pub fn class(self) -> Class {
        self.row().class
    }

    /// The kind of its result.
    pub fn kind(self) -> Kind {
        match self.class() {
            Class::Comparison | Class::Logic => Kind::Bool,
            Class::Arithmetic | Class::Select | Class::Special | Class::Companion | Class::Cast => Kind::Number,
        }
    }

    /// The kind it wants for its argument `index`.
    pub fn argument_kind(self, index: usize) -> Kind {
        match (self.class(), index) {
            (Class::Logic, _) | (Class::Select, 0) => Kind::Bool,
            _ => Kind::Number,
        }
    }
}

macro_rules! reduction_table {
    ($( $variant:ident = $name:literal, $meaning:expr, $doc:literal; )*) => {
        /// A reduction over one or several axes, which stay as axes of length 1.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reduction { $( #[doc = $doc] $variant, )* }

        static REDUCTIONS: &[ReductionRow] = &[ $( ReductionRow {
            reduction: Reduction::$variant, name: $name, meaning: $meaning, doc: $doc,
        }, )* ];
    };
}

/// One row of the table of reductions.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReductionRow {
    /// The reduction the row describes.
    pub reduction: Reduction,
    /// Its name in the language.
    pub name: &'static str,
    /// Its float64 meaning on one row.
    pub meaning: fn(&[f64]) -> f64,
    /// What it computes, for people.
    pub doc: &'static str,
}

reduction_table! {
// variant       name             meaning on a row          documentation
   Max         = "max",           special::row_max,         "The largest element, a zero as +0; NaN if any is; −inf for an empty row.";
   Min         = "min",           special::row_min,         "The smallest element, a zero as +0; NaN if any is; inf for an empty row.";
   Sum         = "sum",           special::row_sum,         "The sum; 0 for an empty row.";
   Mean        = "mean",          special::row_mean,        "The sum divided by the number of elements; NaN for an empty row.";
   SumHigh     = "sum_high",      special::row_sum,         "The sum of numbers from 0 to 2⁶⁵, fours of them rounded to a grid so coarse that nothing more is rounded; the rest is `sum_low`.";
   SumLow      = "sum_low",       |_| 0.0,                  "What `sum_high` leaves out: with it the sum is nearly exact.";
   SparsemaxTau = "sparsemax_tau", special::row_sparsemax_tau, "The threshold τ for which the sum of max(x − τ, 0) is 1 (Martins and Astudillo 2016); NaN if the row holds NaN or +inf.";
}

impl Reduction {
    /// The reduction's row of the table.
    pub fn row(self) -> &'static ReductionRow {
        &REDUCTIONS[self as usize]
    }

    /// Every reduction, in the order of the table.
    pub fn all() -> impl ExactSizeIterator<Item = Reduction> {
        REDUCTIONS.iter().map(|row| row.reduction)
    }

    /// The reduction of this name in the language.
    pub fn by_name(name: &str) -> Option<Reduction> {
        REDUCTIONS.iter().find(|row| row.name == name).map(|row| row.reduction)
    }

    /// Its name in the language.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}
