//! An expression's nodes, and how they are walked.

use super::expand::{Budget, Meaning};
use crate::error::ActivationError;
use crate::graph::{Axes, Half};
use crate::op::{Kind, Op, Reduction};
use crate::value::Value;
use rustc_hash::FxHashMap;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// An expression. See the module's documentation.
#[derive(Clone)]
pub struct Expr(Arc<ExprNode>);

/// A node: what it computes, and from what.
pub(crate) struct ExprNode {
    pub operation: Operation,
    pub arguments: Vec<Expr>,
}

/// Something an expression calls: it has a name, parameters and a body. The library's functions are that; expressions do
/// not know the library. In this file because an expression holds what it calls, and a body is an expression.
///
/// `Display` is the call as users write it, without its tensors: a graph's label.
pub(crate) trait Call: Any + fmt::Debug + fmt::Display + Send + Sync {
    /// The name that is called.
    fn name(&self) -> &str;

    /// The parameters that are not at their defaults.
    fn non_default(&self) -> Vec<(&str, Value)>;

    /// Whether it takes so many tensors.
    fn check_tensors(&self, given: usize) -> Result<(), ActivationError>;

    /// What it computes, over [`Expr::argument`]s.
    fn body(&self, meaning: Meaning, budget: &mut Budget) -> Result<Expr, ActivationError>;
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
    Call(Arc<dyn Call>),
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

    /// A call of something on its tensors. Mistakes are found when the expression is used.
    pub(crate) fn call_unchecked(call: Arc<dyn Call>, arguments: Vec<Expr>) -> Expr {
        Expr::new(Operation::Call(call), arguments.into_iter().map(Expr::into_number).collect())
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
                Kind::Bool => argument.into_truth(),
            })
            .collect();
        Expr::new(Operation::Elementwise { op, reversed }, arguments)
    }

    /// The same operation on other arguments.
    pub(crate) fn with_arguments(&self, arguments: Vec<Expr>) -> Expr {
        Expr::new(self.0.operation.clone(), arguments)
    }

    /// What is called, if this is a call on the input of this name alone.
    pub(crate) fn as_call_of_input(&self, input: &str) -> Option<&dyn Call> {
        match (&self.0.operation, self.0.arguments.as_slice()) {
            (Operation::Call(call), [argument]) => match &argument.0.operation {
                Operation::Input(name) if **name == *input => Some(&**call),
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

    /// Whether the value is a number or a bool.
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

    /// A bool as 1 or 0; a number as it is.
    pub(crate) fn into_number(self) -> Expr {
        match self.kind() {
            Kind::Number => self,
            Kind::Bool => self.select(1.0, 0.0),
        }
    }

    /// A number as whether it is not 0; a bool as it is.
    pub(crate) fn into_truth(self) -> Expr {
        match self.kind() {
            Kind::Bool => self,
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

impl Expr {
    /// This body with its tensor arguments replaced.
    pub(crate) fn substitute(&self, arguments: &[Expr]) -> Expr {
        let mut done: FxHashMap<usize, Expr> = FxHashMap::default();
        let mut pending: Vec<(&Expr, bool)> = vec![(self, false)];
        while let Some((expr, ready)) = pending.pop() {
            if done.contains_key(&expr.address()) {
                continue;
            }
            let node = expr.node();
            if !ready && !node.arguments.is_empty() {
                pending.push((expr, true));
                pending.extend(node.arguments.iter().map(|argument| (argument, false)));
                continue;
            }
            let replaced = match node.operation {
                Operation::Argument(index) => arguments.get(index).unwrap_or(expr).clone(),
                _ if node.arguments.is_empty() => expr.clone(),
                _ => {
                    let built = node.arguments.iter().map(|argument| done[&argument.address()].clone()).collect();
                    expr.with_arguments(built)
                }
            };
            done.insert(expr.address(), replaced);
        }
        done[&self.address()].clone()
    }
}
