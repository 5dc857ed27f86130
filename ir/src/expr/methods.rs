//! Ops and reductions as methods.

use super::node::Expr;
use crate::graph::Axes;
use crate::op::{Op, Reduction};

macro_rules! unary_methods {
    ($( $method:ident = $op:ident, $doc:literal; )*) => { impl Expr { $(
        #[doc = $doc]
        pub fn $method(&self) -> Expr { Expr::elementwise(Op::$op, vec![self.clone()]) }
    )* } };
}

unary_methods! {
    abs = Abs, "The absolute value.";
    sqrt = Sqrt, "The square root.";
    floor = Floor, "The largest whole number not above this.";
    ceil = Ceil, "The smallest whole number not below this.";
    trunc = Trunc, "This without its fraction.";
    round = Round, "The nearest whole number, ties to even.";
    exp = Exp, "e to this power.";
    expm1 = Expm1, "e to this power, minus 1.";
    log = Log, "The natural logarithm.";
    log1p = Log1p, "The natural logarithm of 1 plus this.";
    tanh = Tanh, "The hyperbolic tangent.";
    sin = Sin, "The sine.";
    cos = Cos, "The cosine.";
    erf = Erf, "The error function.";
    erfc = Erfc, "The complementary error function.";
    erfcx = Erfcx, "The scaled complementary error function.";
    normal_cdf = NormalCdf, "The normal distribution's cumulative distribution function.";
}

macro_rules! binary_methods {
    ($( $method:ident = $op:ident, $doc:literal; )*) => { impl Expr { $(
        #[doc = $doc]
        pub fn $method(&self, other: impl Into<Expr>) -> Expr { Expr::elementwise(Op::$op, vec![self.clone(), other.into()]) }
    )* } };
}

binary_methods! {
    minimum = Minimum, "The smaller of two; NaN if either is.";
    maximum = Maximum, "The larger of two; NaN if either is.";
    copysign = CopySign, "This with the sign of the other.";
    pow = Pow, "This to the power of the other.";
    less = Less, "Whether this is less.";
    less_equal = LessEqual, "Whether this is less or equal.";
    equal = Equal, "Whether the two are equal; false if either is NaN.";
    and = And, "Whether both hold.";
    or = Or, "Whether either holds.";
}

macro_rules! reduction_methods {
    ($( $method:ident = $reduction:ident, $doc:literal; )*) => { impl Expr { $(
        #[doc = $doc]
        pub fn $method(&self, axes: impl Into<Axes>) -> Expr { self.reduce(Reduction::$reduction, axes) }
    )* } };
}

reduction_methods! {
    max = Max, "The largest element over axes; reduced axes stay with length 1.";
    min = Min, "The smallest element over axes; reduced axes stay with length 1.";
    sum = Sum, "The sum over axes; reduced axes stay with length 1.";
    mean = Mean, "The mean over axes; reduced axes stay with length 1.";
    sparsemax_tau = SparsemaxTau, "The sparsemax threshold over axes; reduced axes stay with length 1.";
}
