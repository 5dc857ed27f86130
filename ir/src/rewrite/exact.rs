//! The rules that keep every bit, one row each.

use super::fold;
use super::matching::{
    EXTREMES, arguments, comparison, covers, decided, is, is_power_of_two, left_constant, negated, ordered,
    right_constant, with_constant,
};
use super::rule::Rule;
use crate::graph::{Axes, Graph, Node, NodeId};
use crate::op::{Class, Op, Reduction};

macro_rules! exact_rules {
    ($( $name:ident: $pattern:literal, $why:literal, $apply:expr; )*) => {
        pub(super) static RULES: &[Rule] = &[ $(
            Rule { name: stringify!($name), pattern: $pattern, exact: true, why: $why, apply: $apply },
        )* ];
    };
}

exact_rules! {
// name                       pattern                              why every bit stays                                             rule
fold_constants:               "1 + 2 → 3",                         "folded only where float32 holds the operands and the unrounded result",
    fold::exactly;
multiply_by_one:              "x * 1 → x",                         "the exact product is x, which needs no rounding; a NaN stays one",
    |g, n| { let (x, c) = with_constant(g, n, Op::Mul)?; is(c, 1.0).then_some(x) };
divide_by_one:                "x / 1 → x",                         "the exact quotient is x; a NaN stays one",
    |g, n| { let (x, c) = right_constant(g, n, Op::Div)?; is(c, 1.0).then_some(x) };
multiply_by_minus_one:        "x * -1 → -x",                       "the exact product is −x, signs of zeros too",
    |g, n| { let (x, c) = with_constant(g, n, Op::Mul)?; is(c, -1.0).then(|| g.apply(Op::Neg, &[x])) };
divide_by_minus_one:          "x / -1 → -x",                       "the exact quotient is −x, signs of zeros too",
    |g, n| { let (x, c) = right_constant(g, n, Op::Div)?; is(c, -1.0).then(|| g.apply(Op::Neg, &[x])) };
add_negative_zero:            "x + -0 → x",                        "−0 is the neutral element of IEEE addition: +0 + −0 is +0, −0 + −0 is −0",
    |g, n| { let (x, c) = with_constant(g, n, Op::Add)?; is(c, -0.0).then_some(x) };
subtract_zero:                "x - 0 → x",                         "x − (+0) is x + (−0)",
    |g, n| { let (x, c) = right_constant(g, n, Op::Sub)?; is(c, 0.0).then_some(x) };
subtract_from_negative_zero:  "-0 - x → -x",                       "−0 + (−x) is −x, −0 being neutral",
    |g, n| { let (c, x) = left_constant(g, n, Op::Sub)?; is(c, -0.0).then(|| g.apply(Op::Neg, &[x])) };
negate_twice:                 "-(-x) → x",                         "the sign bit flips twice",
    |g, n| negated(g, negated(g, n)?);
absolute_of_sign_change:      "abs(-x), abs(abs(x)), abs(copysign(x, s)) → abs(x)", "abs clears the bit the others set",
    |g, n| { let [inner] = arguments(g, n, Op::Abs)?; let x = under_sign_change(g, inner, &[])?; Some(g.apply(Op::Abs, &[x])) };
copysign_of_sign_change:      "copysign(-x, s), copysign(abs(x), s), copysign(copysign(x, t), s) → copysign(x, s)", "copysign overwrites the bit the others set",
    |g, n| { let [inner, s] = arguments(g, n, Op::CopySign)?; let x = under_sign_change(g, inner, &[s])?; Some(g.apply(Op::CopySign, &[x, s])) };
copysign_from_itself:         "copysign(x, x) → x",                "the sign bit is overwritten by itself",
    |g, n| { let [x, s] = arguments(g, n, Op::CopySign)?; (x == s).then_some(x) };
copysign_from_copysign:       "copysign(x, copysign(2, s)) → copysign(x, s)", "only the sign of copysign(c, s) is read, which is that of s; a NaN for c would read as +",
    |g, n| {
        let [x, sign] = arguments(g, n, Op::CopySign)?;
        let [y, s] = arguments(g, sign, Op::CopySign)?;
        (!g.constant_value(y)?.is_nan()).then(|| g.apply(Op::CopySign, &[x, s]))
    };
copysign_from_positive:       "copysign(x, 1) → abs(x)",           "a constant's sign survives rounding; a NaN constant is left alone",
    |g, n| { let (x, c) = right_constant(g, n, Op::CopySign)?; (!c.is_nan() && c.is_sign_positive()).then(|| g.apply(Op::Abs, &[x])) };
add_negation:                 "a + -b, -b + a → a - b",            "IEEE defines a − b as a + (−b), and addition commutes",
    |g, n| { let (b, a) = ordered(g, n, Op::Add, negated)?; Some(g.apply(Op::Sub, &[a, b])) };
subtract_negation:            "a - -b → a + b",                    "a − (−b) is a + (−(−b))",
    |g, n| { let [a, b] = arguments(g, n, Op::Sub)?; let b = negated(g, b)?; Some(g.apply(Op::Add, &[a, b])) };
multiply_negations:           "-a * -b → a * b",                   "signs of products multiply, magnitudes do not see them",
    |g, n| { let [a, b] = arguments(g, n, Op::Mul)?; let (a, b) = (negated(g, a)?, negated(g, b)?); Some(g.apply(Op::Mul, &[a, b])) };
multiply_negation_by_constant: "-a * c → a * -c",                  "signs of products multiply; rounding c is odd",
    |g, n| { let (a, c) = with_constant(g, n, Op::Mul)?; let a = negated(g, a)?; let c = g.constant(-c); Some(g.apply(Op::Mul, &[a, c])) };
divide_negations:             "-a / -b → a / b",                   "signs of quotients multiply, magnitudes do not see them",
    |g, n| { let [a, b] = arguments(g, n, Op::Div)?; let (a, b) = (negated(g, a)?, negated(g, b)?); Some(g.apply(Op::Div, &[a, b])) };
divide_negation_by_constant:  "-a / c → a / -c",                   "signs of quotients multiply; rounding c is odd",
    |g, n| { let (a, c) = right_constant(g, n, Op::Div)?; let a = negated(g, a)?; let c = g.constant(-c); Some(g.apply(Op::Div, &[a, c])) };
divide_constant_by_negation:  "c / -a → -c / a",                   "signs of quotients multiply; rounding c is odd",
    |g, n| { let (c, a) = left_constant(g, n, Op::Div)?; let a = negated(g, a)?; let c = g.constant(-c); Some(g.apply(Op::Div, &[c, a])) };
divide_by_power_of_two:       "x / 2^k → x * 2^-k",                "both round the same real number once, gradual underflow and overflow included; 2^-k is exact and normal in float32 for |k| ≤ 126",
    |g, n| { let (x, c) = right_constant(g, n, Op::Div)?; is_power_of_two(c).then(|| { let c = g.constant(1.0 / c); g.apply(Op::Mul, &[x, c]) }) };
multiply_powers_of_two:       "x * 2^j * 2^k → x * 2^(j+k), j, k ≥ 0", "scaling up is exact or overflows, and what overflows in between overflows in the end",
    |g, n| {
        let (product, b) = with_constant(g, n, Op::Mul)?;
        let (x, a) = with_constant(g, product, Op::Mul)?;
        let grows = |c: f64| is_power_of_two(c) && c.abs() >= 1.0;
        (grows(a) && grows(b) && grows(a * b)).then(|| { let c = g.constant(a * b); g.apply(Op::Mul, &[x, c]) })
    };
fma_by_one:                   "fma(a, 1, c) → a + c",              "both round a + c once",
    |g, n| { let (a, k, c) = fma_with_constant(g, n)?; is(k, 1.0).then(|| g.apply(Op::Add, &[a, c])) };
fma_by_minus_one:             "fma(a, -1, c) → c - a",             "both round c − a once, with the same sign of an exact zero",
    |g, n| { let (a, k, c) = fma_with_constant(g, n)?; is(k, -1.0).then(|| g.apply(Op::Sub, &[c, a])) };
fma_of_negations:             "fma(-a, -b, c) → fma(a, b, c)",     "the exact product is the same",
    |g, n| { let [a, b, c] = arguments(g, n, Op::Fma)?; let (a, b) = (negated(g, a)?, negated(g, b)?); Some(g.apply(Op::Fma, &[a, b, c])) };
extreme_of_itself:            "max(x, x) → x",                     "either operand is the answer; a NaN stays one (min alike)",
    |g, n| EXTREMES.iter().find_map(|(op, _, _)| arguments(g, n, *op).and_then(|[a, b]| (a == b).then_some(a)));
extreme_absorbs:              "max(max(a, b), b) → max(a, b)",     "max is associative and idempotent on the order with −0 below +0, NaN on top (min alike)",
    |g, n| EXTREMES.iter().find_map(|(op, _, _)| {
        let [a, b] = arguments(g, n, *op)?;
        let holds = |outer: NodeId, inner: NodeId| arguments(g, outer, *op).is_some_and(|both: [NodeId; 2]| both.contains(&inner));
        if holds(a, b) { Some(a) } else { holds(b, a).then_some(b) }
    });
extreme_with_infinity:        "max(x, -inf) → x",                  "−inf is the least of all numbers; a NaN stays one (min with inf alike)",
    |g, n| EXTREMES.iter().find_map(|(op, _, meaning)| {
        let (x, c) = with_constant(g, n, *op)?;
        (c.is_infinite() && is(meaning(c, 0.0), 0.0)).then_some(x)
    });
merge_extremes:               "max(max(x, c), d) → max(x, max(c, d))", "max is associative, and rounding constants is monotone, so it commutes with max (min alike)",
    |g, n| {
        let (op, x, c) = EXTREMES.iter().find_map(|(op, _, meaning)| {
            let (inner, d) = with_constant(g, n, *op)?;
            let (x, c) = with_constant(g, inner, *op)?;
            Some((*op, x, meaning(c, d)))
        })?;
        let c = g.constant(c);
        Some(g.apply(op, &[x, c]))
    };
clamp_twice:                  "max(min(max(x, a), b), a) → min(max(x, a), b), a ≤ b", "the inner value is not below a, in the order with −0 below +0; a NaN stays one (min alike)",
    |g, n| EXTREMES.iter().find_map(|(op, opposite, meaning)| {
        let (clamped, a) = with_constant(g, n, *op)?;
        let (inner, b) = with_constant(g, clamped, *opposite)?;
        let (_, c) = with_constant(g, inner, *op)?;
        (is(a, c) && is(meaning(a, b), b)).then_some(clamped)
    });
round_whole:                  "floor(round(x)) → round(x)",        "whole numbers, zeros with their sign, infinities and NaN are fixed points of floor, ceil, trunc and round",
    |g, n| { let inner = rounded(g, n)?; rounded(g, inner).map(|_| inner) };
cast_again:                   "cast(cast(x, f16), f16) → cast(x, f16)", "what has been rounded to a type is one of its numbers",
    |g, n| {
        let Node::Elementwise { op, arguments: outer } = g.node(n) else { return None };
        let (op, inner) = (*op, *outer.first()?);
        let again = op.class() == Class::Cast && matches!(g.node(inner), Node::Elementwise { op: under, .. } if *under == op);
        again.then_some(inner)
    };
not_twice:                    "not not c → c",                     "bools have no third",
    |g, n| { let [c] = arguments(g, n, Op::Not)?; let [c] = arguments(g, c, Op::Not)?; Some(c) };
logic_of_itself:              "c and c, c or c → c",               "either operand is the answer",
    |g, n| [Op::And, Op::Or].iter().find_map(|op| arguments(g, n, *op).and_then(|[a, b]| (a == b).then_some(a)));
compare_negations:            "-a < -b → b < a",                   "negation reverses the order, keeps equality of zeros, and a NaN compares false either way (≤, = alike)",
    |g, n| { let (op, a, b) = comparison(g, n)?; let (a, b) = (negated(g, a)?, negated(g, b)?); Some(g.apply(op, &[b, a])) };
compare_negation_with_constant: "-a < c → -c < a",                 "the same, and rounding c is odd (c < -a, ≤, = alike)",
    |g, n| {
        let (op, a, b) = comparison(g, n)?;
        if let (Some(a), Some(c)) = (negated(g, a), g.constant_value(b)) {
            let c = g.constant(-c);
            return Some(g.apply(op, &[c, a]));
        }
        let (c, b) = (g.constant_value(a)?, negated(g, b)?);
        let c = g.constant(-c);
        Some(g.apply(op, &[b, c]))
    };
select_equal_branches:        "if c then a else a → a",            "either branch is the answer; a must have the shape of both",
    |g, n| { let [c, a, b] = arguments(g, n, Op::Select)?; (a == b && covers(g, &[a], c)).then_some(a) };
select_decided:               "if 1 < 2 then a else b → a",        "the condition is known for every dtype (x < x is false, for NaN too); a must have the shape of all",
    |g, n| {
        let [c, a, b] = arguments(g, n, Op::Select)?;
        let (kept, dropped) = if decided(g, c)? { (a, b) } else { (b, a) };
        (covers(g, &[kept], c) && covers(g, &[kept], dropped)).then_some(kept)
    };
select_by_negation:           "if not c then a else b → if c then b else a", "the same choice",
    |g, n| { let [c, a, b] = arguments(g, n, Op::Select)?; let [c] = arguments(g, c, Op::Not)?; Some(g.apply(Op::Select, &[c, b, a])) };
select_by_same_condition:     "if c then (if c then a else d) else b → if c then a else b", "the inner choice is known where it is looked at (in the else branch alike)",
    |g, n| {
        let [c, a, b] = arguments(g, n, Op::Select)?;
        if let Some([inner, x, dropped]) = arguments(g, a, Op::Select) && inner == c && covers(g, &[c, x, b], dropped) {
            return Some(g.apply(Op::Select, &[c, x, b]));
        }
        let [inner, dropped, x] = arguments(g, b, Op::Select)?;
        (inner == c && covers(g, &[c, a, x], dropped)).then(|| g.apply(Op::Select, &[c, a, x]))
    };
select_again:                 "relu(relu(x)) → relu(x), relu(x) being if 0 < x then x else 0", "what was kept is kept again by the same comparison; what was replaced is the replacement, whichever branch takes it; NaN included",
    select_again;
reduce_nothing:               "sum(x, axis = []) → x + 0",         "the reduction of one element is it, and like every result of a reduction a zero is +0 (max, min, mean alike)",
    |g, n| {
        let Node::Reduce { reduction, argument, axes: Axes::List(axes) } = g.node(n) else { return None };
        let (reduction, x) = (*reduction, *argument);
        if !axes.is_empty() { return None }
        match reduction {
            Reduction::Max | Reduction::Min | Reduction::Sum | Reduction::Mean => { let zero = g.constant(0.0); Some(g.apply(Op::Add, &[x, zero])) }
            Reduction::SumHigh | Reduction::SumLow | Reduction::SparsemaxTau => None,
        }
    };
reduce_again:                 "max(max(x, axis = 1), axis = 1) → max(x, axis = 1)", "the axes have length 1 the second time (min alike)",
    |g, n| {
        let Node::Reduce { reduction: Reduction::Max | Reduction::Min, argument, .. } = g.node(n) else { return None };
        let inner = *argument;
        (same_reduction(g.node(n), g.node(inner))).then_some(inner)
    };
}

/// x under an op that changes nothing but its sign, whose other argument `also` and x cover.
fn under_sign_change(graph: &Graph, id: NodeId, also: &[NodeId]) -> Option<NodeId> {
    if let Some([x]) = arguments(graph, id, Op::Neg).or_else(|| arguments(graph, id, Op::Abs)) {
        return Some(x);
    }
    let [x, sign] = arguments(graph, id, Op::CopySign)?;
    covers(graph, &[&[x], also].concat(), sign).then_some(x)
}

/// a, the constant k and c of fma(a, k, c) or fma(k, a, c).
fn fma_with_constant(graph: &Graph, id: NodeId) -> Option<(NodeId, f64, NodeId)> {
    let [a, b, c] = arguments(graph, id, Op::Fma)?;
    match (graph.constant_value(a), graph.constant_value(b)) {
        (_, Some(k)) => Some((a, k, c)),
        (Some(k), None) => Some((b, k, c)),
        (None, None) => None,
    }
}

/// The argument of an op that gives whole numbers.
fn rounded(graph: &Graph, id: NodeId) -> Option<NodeId> {
    [Op::Floor, Op::Ceil, Op::Trunc, Op::Round].iter().find_map(|op| arguments(graph, id, *op).map(|[x]| x))
}

/// Whether two nodes reduce the same way over the same axes.
fn same_reduction(left: &Node, right: &Node) -> bool {
    match (left, right) {
        (Node::Reduce { reduction: a, axes: x, .. }, Node::Reduce { reduction: b, axes: y, .. }) => a == b && x == y,
        _ => false,
    }
}

/// F(F(x)) → F(x) for F(t) = `if t ? k then t else k`, with any comparison, either order and either branch.
///
/// F(x) is x or k. Where it is x, the second F sees the same x and decides as the first did. Where it is k, both
/// branches of the second F are k.
fn select_again(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let [outer_condition, p, q] = arguments(graph, id, Op::Select)?;
    let (op, u, v) = comparison(graph, outer_condition)?;
    let again = |y: NodeId, k: NodeId| {
        let [inner_condition, r, s] = arguments(graph, y, Op::Select)?;
        let x = if y == p { r } else { s };
        // F(x) must be what F(y) is when x stands for y, each place of y and of k in its place.
        let with_x = |id: NodeId| if id == y { x } else { id };
        let compares = [u, v].iter().all(|id| *id == y || *id == k) && u != v;
        let same =
            (with_x(p), with_x(q)) == (r, s) && comparison(graph, inner_condition) == Some((op, with_x(u), with_x(v)));
        (compares && same).then_some(y)
    };
    again(p, q).or_else(|| again(q, p))
}
