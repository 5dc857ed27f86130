//! Random chains near to the truth: an error bound is carried along with each value, and no kernel may exceed it.
//!
//! Only where every step is well-conditioned can a bound be stated in advance, so all values here are positive, no step
//! subtracts, and every function's relative condition number on the positive numbers is known. The bound of a step is the
//! arguments' bounds times the condition, plus the step's own error. Products of errors are left out and covered by
//! [`SECOND_ORDER`].

mod common;

use common::{Array, Random, groups};
use fuselet::Fusion;
use fuselet::ir::reference::{self, evaluate};
use fuselet::ir::{Axes, Expr, Library, Meaning, Program, Reduction};
use proptest::prelude::*;

/// The unit of all bounds: one unit in the last place is at most 2⁻²³ of the value.
const UNIT: f64 = 1.0 / (1u64 << 23) as f64;

/// Bounds stay below 1000 units, 2⁻¹³; products of two of them below 2⁻¹³ of themselves.
const SECOND_ORDER: f64 = 1.001;

/// A positive value: an expression, what it lies between, its relative error in units, and its shape.
#[derive(Clone)]
struct Value {
    expr: Expr,
    low: f64,
    high: f64,
    error: f64,
    shape: Vec<usize>,
}

/// The error of one IEEE operation, and of a function that promises `BOUND` units.
const ROUNDED: f64 = 0.5;
const BOUND: f64 = 4.0;

fn call(name: &str, value: &Value) -> Expr {
    Library::standard().activation(name).unwrap().apply(&value.expr)
}

impl Value {
    fn map(&self, expr: Expr, low: f64, high: f64, error: f64) -> Value {
        Value { expr, low, high, error, shape: self.shape.clone() }
    }

    /// Brought back to numbers of ordinary size.
    fn tamed(self) -> Value {
        if self.high < 8.0 && self.low > 1e-3 {
            return self;
        }
        // log1p has condition x / ((1 + x) log1p(x)), at most 1; the constant keeps it away from 0.
        let plus = self.map(&self.expr + 0.5, self.low + 0.5, self.high + 0.5, self.error + ROUNDED);
        let tamed = plus.map(plus.expr.log1p(), plus.low.ln_1p(), plus.high.ln_1p(), plus.error + BOUND);
        if tamed.high < 8.0 { tamed } else { tamed.tamed() }
    }

    fn unary(&self, which: u8) -> Value {
        let v = self;
        match which % 11 {
            // x · f'(x) / f(x), the condition: 1/2.
            0 => v.map(v.expr.sqrt(), v.low.sqrt(), v.high.sqrt(), v.error / 2.0 + ROUNDED),
            // The condition is x itself, at most 8.
            1 => v.map(v.expr.exp(), v.low.exp(), v.high.exp(), v.error * v.high + BOUND),
            // 2x / sinh(2x): at most 1.
            2 => v.map(v.expr.tanh(), v.low.tanh(), v.high.tanh(), v.error + BOUND),
            // x · σ(−x): at most 0.28.
            3 => v.map(call("sigmoid", v), 0.5, 1.0, v.error * 0.28 + BOUND),
            // 1 + x · σ(−x): at most 1.28.
            4 => v.map(call("silu", v), v.low / 2.0, v.high, v.error * 1.28 + BOUND),
            // x σ(x) / log(1 + eˣ): below 1.
            5 => v.map(call("softplus", v), v.low.max(0.69), v.high + 0.7, v.error + BOUND),
            // 1 + x φ(x) / Φ(x): at most 1.3.
            6 => v.map(call("gelu", v), v.low / 2.0, v.high, v.error * 1.3 + BOUND),
            // 1 / (1 + x): at most 1.
            7 => v.map(call("softsign", v), v.low / (1.0 + v.low), 1.0, v.error + BOUND),
            // x / √(x² + 4): at most 1.
            8 => v.map(call("squareplus", v), 1.0, v.high + 1.0, v.error + BOUND),
            // 1 + x · d/dx log tanh(softplus(x)): below 1.4.
            9 => v.map(call("mish", v), v.low / 2.0, v.high, v.error * 1.4 + BOUND),
            // The identity above 0.
            _ => v.map(call("relu", v), v.low, v.high, v.error),
        }
    }

    fn binary(&self, other: &Value, which: u8) -> Option<Value> {
        let shape = fuselet::ir::shape::broadcast(&self.shape, &other.shape).ok()?;
        let (a, b) = (self, other);
        let made = match which % 5 {
            0 => a.map(&a.expr + &b.expr, a.low + b.low, a.high + b.high, a.error.max(b.error) + ROUNDED),
            1 => a.map(&a.expr * &b.expr, a.low * b.low, a.high * b.high, a.error + b.error + ROUNDED),
            2 => a.map(&a.expr / &b.expr, a.low / b.high, a.high / b.low, a.error + b.error + ROUNDED),
            3 => a.map(a.expr.maximum(&b.expr), a.low.max(b.low), a.high.max(b.high), a.error.max(b.error)),
            _ => a.map(a.expr.minimum(&b.expr), a.low.min(b.low), a.high.min(b.high), a.error.max(b.error)),
        };
        Some(Value { shape, ..made })
    }

    fn reduce(&self, which: u8, axis: u8) -> Value {
        let axis = usize::from(axis) % self.shape.len();
        let count = self.shape[axis] as f64;
        let mut shape = self.shape.clone();
        shape[axis] = 1;
        let (reduction, low, high, error) = match which % 4 {
            // Sums of positive terms are within four units.
            0 => (Reduction::Sum, self.low * count, self.high * count, self.error + BOUND),
            1 => (Reduction::Mean, self.low, self.high, self.error + BOUND + ROUNDED),
            2 => (Reduction::Max, self.low, self.high, self.error),
            _ => (Reduction::Min, self.low, self.high, self.error),
        };
        Value { expr: self.expr.reduce(reduction, Axes::one(axis as i64)), low, high, error, shape }
    }

    /// Softmax of numbers up to 8: an absolute error of x is a relative one of eˣ, here and in the sum.
    fn softmax(&self) -> Value {
        let spread = (self.high - self.low).exp();
        let count = self.shape[self.shape.len() - 1] as f64;
        self.map(call("softmax", self), 1.0 / (1.0 + count * spread), 1.0, 2.0 * self.error * self.high + BOUND)
    }
}

fn make(rows: usize, columns: usize, steps: &[(u8, u8, u8, u8)]) -> Value {
    let input = |name: &str, shape: &[usize]| Value {
        expr: Expr::input(name),
        low: 0.5,
        high: 2.0,
        error: 0.0,
        shape: shape.to_vec(),
    };
    let mut pool = vec![input("x", &[rows, columns]), input("bias", &[1, columns]), input("scale", &[1, 1])];
    for (kind, which, a, b) in steps {
        let take = |ago: &u8| &pool[pool.len() - 1 - usize::from(*ago) % pool.len()];
        let made = match kind % 8 {
            0..=2 => take(a).unary(*which),
            3..=5 => take(a).binary(take(b), *which).unwrap_or_else(|| take(a).clone()),
            6 => take(a).reduce(*which, *b),
            _ => take(a).softmax(),
        };
        let made = made.tamed();
        // A value that is no longer known well is not built upon.
        if made.error < 1000.0 {
            pool.push(made);
        }
    }
    pool.pop().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_chain_exceeds_the_sum_of_its_steps_errors(
        (rows, columns) in (1..12usize, 1..300usize),
        steps in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..12),
        seed in any::<u64>(),
    ) {
        let value = make(rows, columns, &steps);
        let program = Program::from(value.expr.clone());
        let definition = program.graph(Meaning::Definition).unwrap();
        let arrays: Vec<Array> = definition
            .inputs()
            .iter()
            .map(|name| {
                let shape = match name.as_str() { "x" => [rows, columns], "bias" => [1, columns], _ => [1, 1] };
                let mut random = Random(seed ^ name.len() as u64);
                Array::from_fn(&shape, |_| random.between(0.5, 2.0))
            })
            .collect();
        let exact: Vec<reference::Array> = arrays
            .iter()
            .map(|array| reference::Array::new(array.shape.clone(), array.data.iter().map(|x| f64::from(*x)).collect()).unwrap())
            .collect();
        let wanted = evaluate(&definition, &exact).unwrap().remove(0);
        for group in groups() {
            let found = common::run(group.engines.last().unwrap(), Fusion::Full, &program, &arrays).remove(0);
            prop_assert_eq!(&found.shape, wanted.shape());
            for (found, wanted) in found.data.iter().zip(wanted.data()) {
                let slack = value.low * (1.0 - 1e-3)..=value.high * (1.0 + 1e-3);
                prop_assert!(slack.contains(wanted), "{} is {wanted}, not in {slack:?}", value.expr);
                let error = (f64::from(*found) - wanted).abs() / wanted / UNIT;
                prop_assert!(error <= value.error * SECOND_ORDER, "{}: {error} of {} units", value.expr, value.error);
            }
        }
    }
}
