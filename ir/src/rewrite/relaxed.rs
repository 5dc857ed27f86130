//! The rules that hold for real numbers only, one row each; applied on request.

use super::fold::{self, is_ordinary};
use super::matching::{arguments, covers, is, left_constant, ordered, right_constant, with_constant};
use super::rule::Rule;
use crate::graph::{Graph, Node, NodeId};
use crate::op::{Op, Reduction};

macro_rules! relaxed_rules {
    ($( $name:ident: $pattern:literal, $why:literal, $apply:expr; )*) => {
        pub(super) static RULES: &[Rule] = &[ $(
            Rule { name: stringify!($name), pattern: $pattern, exact: false, why: $why, apply: $apply },
        )* ];
    };
}

relaxed_rules! {
// name                       pattern                              what it may change                                              rule
fold_inexact_constants:       "exp(1) → 2.718…",                   "one rounding, of the result, instead of one for each op",
    fold::nearly;
add_zero:                     "x + 0, x - -0 → x",                 "−0 + 0 is +0",
    |g, n| {
        let sum = with_constant(g, n, Op::Add).filter(|(_, c)| is(*c, 0.0));
        sum.or_else(|| right_constant(g, n, Op::Sub).filter(|(_, c)| is(*c, -0.0))).map(|(x, _)| x)
    };
subtract_from_zero:           "0 - x → -x",                        "0 − 0 is +0",
    |g, n| { let (c, x) = left_constant(g, n, Op::Sub)?; is(c, 0.0).then(|| g.apply(Op::Neg, &[x])) };
negate_difference:            "-(a - b) → b - a",                  "the sign of the zero where a = b",
    |g, n| { let [d] = arguments(g, n, Op::Neg)?; let [a, b] = arguments(g, d, Op::Sub)?; Some(g.apply(Op::Sub, &[b, a])) };
add_zero_product:             "x * 0 + y → y",                     "the product is NaN where x is infinite or NaN; y must have the shape of both",
    |g, n| {
        let zero_product = |g: &Graph, id| with_constant(g, id, Op::Mul).filter(|(_, c)| is(c.abs(), 0.0));
        let ((x, _), y) = ordered(g, n, Op::Add, zero_product)?;
        covers(g, &[y], x).then_some(y)
    };
divide_by_constant:           "x / c → x * (1 / c)",               "the reciprocal is rounded: up to one more unit in the last place",
    |g, n| { let (x, c) = right_constant(g, n, Op::Div)?; is_normal(1.0 / c).then(|| { let c = g.constant(1.0 / c); g.apply(Op::Mul, &[x, c]) }) };
add_constants:                "x + c + d → x + (c + d)",           "one rounding less; an overflow in between, or a constant lost in a larger x, comes back",
    |g, n| {
        let (sum, d) = offset(g, n)?;
        let (x, c) = offset(g, sum)?;
        is_ordinary(c + d).then(|| { let c = g.constant(c + d); g.apply(Op::Add, &[x, c]) })
    };
multiply_constants:           "x * c * d → x * (c * d)",           "one rounding less; an overflow or underflow in between comes back",
    |g, n| {
        let (product, d) = with_constant(g, n, Op::Mul)?;
        let (x, c) = with_constant(g, product, Op::Mul)?;
        is_normal(c * d).then(|| { let c = g.constant(c * d); g.apply(Op::Mul, &[x, c]) })
    };
add_constant_to_fma:          "fma(a, b, c) + d → fma(a, b, c + d)", "one rounding less",
    |g, n| {
        let (product, d) = offset(g, n)?;
        let [a, b, c] = arguments(g, product, Op::Fma)?;
        let c = g.constant_value(c)? + d;
        is_ordinary(c).then(|| { let c = g.constant(c); g.apply(Op::Fma, &[a, b, c]) })
    };
factor:                       "a * c + b * c → (a + b) * c",       "other roundings; a + b may cancel or overflow where the products do not (− alike)",
    |g, n| {
        let both = |op| arguments(g, n, op).map(|[p, q]: [NodeId; 2]| (op, p, q));
        let (op, p, q) = both(Op::Add).or_else(|| both(Op::Sub))?;
        let (p, q): ([NodeId; 2], [NodeId; 2]) = (arguments(g, p, Op::Mul)?, arguments(g, q, Op::Mul)?);
        let common = *p.iter().find(|factor| q.contains(factor))?;
        let other = |factors: [NodeId; 2]| if factors[0] == common { factors[1] } else { factors[0] };
        let sum = g.apply(op, &[other(p), other(q)]);
        Some(g.apply(Op::Mul, &[sum, common]))
    };
contract:                     "a * b + c → fma(a, b, c)",          "the product is not rounded",
    |g, n| { let ([a, b], c) = ordered(g, n, Op::Add, |g, id| arguments(g, id, Op::Mul))?; Some(g.apply(Op::Fma, &[a, b, c])) };
contract_difference:          "a * b - k → fma(a, b, -k); c - a * k → fma(a, -k, c)", "the product is not rounded",
    |g, n| {
        let [p, q] = arguments(g, n, Op::Sub)?;
        if let (Some([a, b]), Some(k)) = (arguments(g, p, Op::Mul), g.constant_value(q)) {
            let k = g.constant(-k);
            return Some(g.apply(Op::Fma, &[a, b, k]));
        }
        let (a, k) = with_constant(g, q, Op::Mul)?;
        let k = g.constant(-k);
        Some(g.apply(Op::Fma, &[a, k, p]))
    };
power_of_one:                 "x ^ 1 → x",                         "the error of pow",
    |g, n| { let (x, c) = right_constant(g, n, Op::Pow)?; is(c, 1.0).then_some(x) };
power_of_two:                 "x ^ 2 → x * x",                     "the error of pow",
    |g, n| { let (x, c) = right_constant(g, n, Op::Pow)?; is(c, 2.0).then(|| g.apply(Op::Mul, &[x, x])) };
power_of_three:               "x ^ 3 → x * x * x",                 "one rounding more; an overflow or underflow of x²",
    |g, n| { let (x, c) = right_constant(g, n, Op::Pow)?; is(c, 3.0).then(|| { let square = g.apply(Op::Mul, &[x, x]); g.apply(Op::Mul, &[square, x]) }) };
power_of_minus_one:           "x ^ -1 → 1 / x",                    "the error of pow",
    |g, n| { let (x, c) = right_constant(g, n, Op::Pow)?; is(c, -1.0).then(|| { let one = g.constant(1.0); g.apply(Op::Div, &[one, x]) }) };
power_of_half:                "x ^ 0.5 → sqrt(x)",                 "the error of pow; −0 ^ 0.5 is +0, (−inf) ^ 0.5 is inf",
    |g, n| { let (x, c) = right_constant(g, n, Op::Pow)?; is(c, 0.5).then(|| g.apply(Op::Sqrt, &[x])) };
root_of_square:               "sqrt(x * x) → abs(x)",              "an overflow or underflow of x² comes back",
    |g, n| { let [s] = arguments(g, n, Op::Sqrt)?; let [a, b] = arguments(g, s, Op::Mul)?; (a == b).then(|| g.apply(Op::Abs, &[a])) };
sum_of_scaled:                "sum(x * c) → sum(x) * c",           "other roundings; an overflow or underflow of single products comes back (mean alike)",
    |g, n| {
        let Node::Reduce { reduction, argument, axes } = g.node(n).clone() else { return None };
        if !matches!(reduction, Reduction::Sum | Reduction::Mean) { return None }
        let (x, c) = with_constant(g, argument, Op::Mul).filter(|(_, c)| c.is_finite())?;
        let (sum, c) = (g.reduce(reduction, x, axes), g.constant(c));
        Some(g.apply(Op::Mul, &[sum, c]))
    };
}

/// Whether float32 holds something near a number without losing bits to underflow.
fn is_normal(value: f64) -> bool {
    (value as f32).is_normal()
}

/// x and c of x + c or x − c, the sign of c adjusted.
fn offset(graph: &Graph, id: NodeId) -> Option<(NodeId, f64)> {
    with_constant(graph, id, Op::Add).or_else(|| right_constant(graph, id, Op::Sub).map(|(x, c)| (x, -c)))
}
