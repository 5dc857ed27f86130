//! The builder: expressions as values of Rust, with operators.
//!
//! An [`Expr`] is an immutable expression, cheap to clone; clones share, so an expression may be a DAG. Library calls
//! stay calls until a graph is made ([`crate::Program::graph`]), because only then it is known whether the
//! textbook definition or the numerically good form is wanted. Everything that walks expressions, dropping included,
//! does it in loops: a chain of a million terms is as safe as one.
//!
//! ```
//! use fuselet_ir::{Expr, Library};
//! let (x, gate) = (Expr::input("x"), Expr::input("gate"));
//! let silu = Library::standard().activation("silu")?;
//! let y = silu.apply(&(&x * 2.0 + 1.0)) * gate;
//! assert_eq!(y.to_string(), "silu(x * 2 + 1) * gate");
//! # Ok::<(), fuselet_ir::Error>(())
//! ```

use crate::graph::{Axes, Half};
use crate::library::Activation;
use crate::op::{Kind, Op, Reduction};
use std::ops;
use std::sync::Arc;

/// An expression. See the module's documentation.
#[derive(Clone)]
pub struct Expr(Arc<ExprNode>);

/// A node: what it computes, and from what.
pub(crate) struct ExprNode {
    pub operation: Operation,
    pub arguments: Vec<Expr>,
}

/// What an expression computes from its arguments.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Input(Arc<str>),
    /// The tensor argument at this place of the function whose body this is.
    Argument(usize),
    /// Float64 bits.
    Constant(u64),
    /// `reversed`: the second argument stands on the left (`a > b` is `less(b, a)`), so it is mentioned first.
    Elementwise {
        op: Op,
        reversed: bool,
    },
    Reduce {
        reduction: Reduction,
        axes: Axes,
    },
    Half {
        axis: i64,
        half: Half,
    },
    Call(Activation),
}

impl Drop for ExprNode {
    fn drop(&mut self) {
        let mut pending = std::mem::take(&mut self.arguments);
        while let Some(expr) = pending.pop() {
            if let Some(mut node) = Arc::into_inner(expr.0) {
                pending.append(&mut node.arguments);
            }
        }
    }
}

impl Expr {
    fn new(operation: Operation, arguments: Vec<Expr>) -> Expr {
        Expr(Arc::new(ExprNode { operation, arguments }))
    }

    /// The input of this name.
    pub fn input(name: impl AsRef<str>) -> Expr {
        Expr::new(Operation::Input(name.as_ref().into()), Vec::new())
    }

    /// A number. It is rounded to the dtype it is computed in.
    pub fn number(value: impl Into<f64>) -> Expr {
        Expr::new(Operation::Constant(value.into().to_bits()), Vec::new())
    }

    pub(crate) fn argument(index: usize) -> Expr {
        Expr::new(Operation::Argument(index), Vec::new())
    }

    /// A library function applied to its tensors. Invalid parameters, or the wrong number of tensors, are an error
    /// when the expression is used.
    pub fn call(activation: &Activation, arguments: &[Expr]) -> Expr {
        Expr::call_unchecked(activation.clone(), arguments.to_vec())
    }

    pub(crate) fn call_unchecked(activation: Activation, arguments: Vec<Expr>) -> Expr {
        Expr::new(Operation::Call(activation), arguments.into_iter().map(Expr::into_number).collect())
    }

    /// An op applied to its arguments; `None` if their number is not the op's arity.
    pub fn apply_op(op: Op, arguments: &[Expr]) -> Option<Expr> {
        (arguments.len() == op.arity()).then(|| Expr::elementwise(op, arguments.to_vec()))
    }

    /// As many arguments as the op's arity.
    pub(crate) fn elementwise(op: Op, arguments: Vec<Expr>) -> Expr {
        Expr::oriented(op, arguments, false)
    }

    fn oriented(op: Op, arguments: Vec<Expr>, reversed: bool) -> Expr {
        let arguments = arguments
            .into_iter()
            .enumerate()
            .map(|(index, argument)| match op.argument_kind(index) {
                Kind::Number => argument.into_number(),
                Kind::Truth => argument.into_truth(),
            })
            .collect();
        Expr::new(Operation::Elementwise { op, reversed }, arguments)
    }

    /// The same operation on other arguments.
    pub(crate) fn with_arguments(&self, arguments: Vec<Expr>) -> Expr {
        Expr::new(self.0.operation.clone(), arguments)
    }

    /// The activation, if this is a call of one on the input of this name alone.
    pub(crate) fn as_call_of_input(&self, input: &str) -> Option<Activation> {
        match (&self.0.operation, self.0.arguments.as_slice()) {
            (Operation::Call(activation), [argument]) => match &argument.0.operation {
                Operation::Input(name) if **name == *input => Some(activation.clone()),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn node(&self) -> &ExprNode {
        &self.0
    }

    /// The address of the shared node: equal for clones.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    pub(crate) fn constant_value(&self) -> Option<f64> {
        match self.0.operation {
            Operation::Constant(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// Whether the value is a number or a truth value.
    pub fn kind(&self) -> Kind {
        let mut expr = self;
        loop {
            match &expr.0.operation {
                Operation::Elementwise { op: Op::Select, .. } => return Kind::Number,
                Operation::Elementwise { op, .. } => return op.kind(),
                Operation::Half { .. } => expr = &expr.0.arguments[0],
                _ => return Kind::Number,
            }
        }
    }

    /// A truth value as 1 or 0; a number as it is.
    pub(crate) fn into_number(self) -> Expr {
        match self.kind() {
            Kind::Number => self,
            Kind::Truth => self.select(1.0, 0.0),
        }
    }

    /// A number as whether it is not 0; a truth value as it is.
    fn into_truth(self) -> Expr {
        match self.kind() {
            Kind::Truth => self,
            Kind::Number => self.not_equal(0.0),
        }
    }

    /// Where this holds (is true, or is a number other than 0), `then`, elsewhere `otherwise`.
    pub fn select(&self, then: impl Into<Expr>, otherwise: impl Into<Expr>) -> Expr {
        Expr::elementwise(Op::Select, vec![self.clone(), then.into(), otherwise.into()])
    }

    /// self · factor + summand with one rounding.
    pub fn fma(&self, factor: impl Into<Expr>, summand: impl Into<Expr>) -> Expr {
        Expr::elementwise(Op::Fma, vec![self.clone(), factor.into(), summand.into()])
    }

    /// Whether this is greater.
    pub fn greater(&self, other: impl Into<Expr>) -> Expr {
        Expr::oriented(Op::Less, vec![other.into(), self.clone()], true)
    }

    /// Whether this is greater or equal.
    pub fn greater_equal(&self, other: impl Into<Expr>) -> Expr {
        Expr::oriented(Op::LessEqual, vec![other.into(), self.clone()], true)
    }

    /// Whether the two differ; true if either is NaN.
    pub fn not_equal(&self, other: impl Into<Expr>) -> Expr {
        !self.equal(other)
    }

    /// A reduction over axes, which stay with length 1.
    pub fn reduce(&self, reduction: Reduction, axes: impl Into<Axes>) -> Expr {
        Expr::new(Operation::Reduce { reduction, axes: axes.into() }, vec![self.clone().into_number()])
    }

    /// One half of an axis of even length.
    pub fn half(&self, axis: i64, half: Half) -> Expr {
        Expr::new(Operation::Half { axis, half }, vec![self.clone()])
    }

    /// The elements before the middle of an axis.
    pub fn first_half(&self, axis: i64) -> Expr {
        self.half(axis, Half::First)
    }

    /// The elements from the middle of an axis on.
    pub fn second_half(&self, axis: i64) -> Expr {
        self.half(axis, Half::Second)
    }
}

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

impl From<i64> for Axes {
    fn from(axis: i64) -> Axes {
        Axes::one(axis)
    }
}

impl From<&[i64]> for Axes {
    fn from(axes: &[i64]) -> Axes {
        Axes::List(axes.to_vec())
    }
}

impl<const N: usize> From<[i64; N]> for Axes {
    fn from(axes: [i64; N]) -> Axes {
        Axes::List(axes.to_vec())
    }
}

impl From<&Expr> for Expr {
    fn from(expr: &Expr) -> Expr {
        expr.clone()
    }
}

macro_rules! number_conversions {
    ($( $number:ty )*) => { $(
        impl From<$number> for Expr {
            fn from(value: $number) -> Expr { Expr::number(value) }
        }
    )* };
}

number_conversions! { f32 f64 i32 }

impl ops::Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        Expr::elementwise(Op::Neg, vec![self])
    }
}

impl ops::Neg for &Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        -self.clone()
    }
}

/// Logical not; a number counts as true if it is not 0.
impl ops::Not for Expr {
    type Output = Expr;
    fn not(self) -> Expr {
        Expr::elementwise(Op::Not, vec![self])
    }
}

impl ops::Not for &Expr {
    type Output = Expr;
    fn not(self) -> Expr {
        !self.clone()
    }
}

macro_rules! operators {
    ($( $operator:ident $method:ident $op:ident; )*) => { $(
        operators!(@one $operator $method $op, Expr, Expr);
        operators!(@one $operator $method $op, Expr, &Expr);
        operators!(@one $operator $method $op, &Expr, Expr);
        operators!(@one $operator $method $op, &Expr, &Expr);
        operators!(@one $operator $method $op, Expr, f32);
        operators!(@one $operator $method $op, &Expr, f32);
        operators!(@one $operator $method $op, f32, Expr);
        operators!(@one $operator $method $op, f32, &Expr);
        operators!(@one $operator $method $op, Expr, f64);
        operators!(@one $operator $method $op, &Expr, f64);
        operators!(@one $operator $method $op, f64, Expr);
        operators!(@one $operator $method $op, f64, &Expr);
        operators!(@one $operator $method $op, Expr, i32);
        operators!(@one $operator $method $op, &Expr, i32);
        operators!(@one $operator $method $op, i32, Expr);
        operators!(@one $operator $method $op, i32, &Expr);
    )* };
    (@one $operator:ident $method:ident $op:ident, $left:ty, $right:ty) => {
        impl ops::$operator<$right> for $left {
            type Output = Expr;
            fn $method(self, other: $right) -> Expr {
                Expr::elementwise(Op::$op, vec![Expr::from(self), Expr::from(other)])
            }
        }
    };
}

operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}
