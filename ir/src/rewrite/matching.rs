//! What rules are written in: small questions about a node and its arguments.
//!
//! Each gives `None` where the node is not of the asked form, so that a rule is a chain of `?`.

use crate::graph::{Graph, Node, NodeId};
use crate::op::Op;
use crate::op::special;
use rustc_hash::FxHashSet;

/// The arguments of a node, if it is this op. `N` is the op's arity.
pub(super) fn arguments<const N: usize>(graph: &Graph, id: NodeId, op: Op) -> Option<[NodeId; N]> {
    match graph.node(id) {
        Node::Elementwise { op: found, arguments } if *found == op => arguments[..].try_into().ok(),
        _ => None,
    }
}

/// The argument of a negation.
pub(super) fn negated(graph: &Graph, id: NodeId) -> Option<NodeId> {
    arguments(graph, id, Op::Neg).map(|[x]| x)
}

/// The arguments of an op, the second being a number.
pub(super) fn right_constant(graph: &Graph, id: NodeId, op: Op) -> Option<(NodeId, f64)> {
    let [x, c] = arguments(graph, id, op)?;
    Some((x, graph.constant_value(c)?))
}

/// The arguments of an op, the first being a number.
pub(super) fn left_constant(graph: &Graph, id: NodeId, op: Op) -> Option<(f64, NodeId)> {
    let [c, x] = arguments(graph, id, op)?;
    Some((graph.constant_value(c)?, x))
}

/// The arguments of a commutative op, one of which is a number.
pub(super) fn with_constant(graph: &Graph, id: NodeId, op: Op) -> Option<(NodeId, f64)> {
    right_constant(graph, id, op).or_else(|| left_constant(graph, id, op).map(|(c, x)| (x, c)))
}

/// The arguments of a commutative op in the order in which `wanted` accepts the first.
pub(super) fn ordered<T>(
    graph: &Graph,
    id: NodeId,
    op: Op,
    wanted: impl Fn(&Graph, NodeId) -> Option<T>,
) -> Option<(T, NodeId)> {
    let [a, b] = arguments(graph, id, op)?;
    wanted(graph, a).map(|found| (found, b)).or_else(|| wanted(graph, b).map(|found| (found, a)))
}

/// Whether two numbers are one, −0 and +0 being two.
pub(super) fn is(value: f64, wanted: f64) -> bool {
    value.to_bits() == wanted.to_bits()
}

/// Whether float32 holds this number without rounding, its infinities included.
pub(super) fn is_float32(value: f64) -> bool {
    is(f64::from(value as f32), value)
}

/// Whether float32 and float64 both hold the number and its reciprocal exactly and normally: ±2ᵏ, |k| ≤ 126.
pub(super) fn is_power_of_two(value: f64) -> bool {
    value.to_bits() << 12 == 0 && (2f64.powi(-126)..=2f64.powi(126)).contains(&value.abs())
}

/// The op of a comparison and its arguments.
pub(super) fn comparison(graph: &Graph, id: NodeId) -> Option<(Op, NodeId, NodeId)> {
    let of = |op| arguments(graph, id, op).map(|[a, b]| (op, a, b));
    of(Op::Less).or_else(|| of(Op::LessEqual)).or_else(|| of(Op::Equal))
}

/// One of the two extremes of two numbers, the other one, and the meaning of the first.
type Extreme = (Op, Op, fn(f64, f64) -> f64);

/// Maximum and minimum.
pub(super) const EXTREMES: [Extreme; 2] =
    [(Op::Maximum, Op::Minimum, special::maximum), (Op::Minimum, Op::Maximum, special::minimum)];

/// Whether a bool is the same for every element and dtype, and which.
pub(super) fn decided(graph: &Graph, id: NodeId) -> Option<bool> {
    let (op, a, b) = comparison(graph, id)?;
    if a == b && op == Op::Less {
        return Some(false);
    }
    let (a, b) = (graph.constant_value(a)?, graph.constant_value(b)?);
    let exact = |value: f64| value.is_nan() || is_float32(value);
    (exact(a) && exact(b)).then(|| (op.row().meaning)([a, b, 0.0]) != 0.0)
}

/// How many nodes [`covers`] looks at on either side.
const SEARCH: usize = 64;

/// Whether `dropped` never has a longer axis than `kept` together have, whatever the shapes of the inputs.
///
/// An elementwise node has the shape its arguments broadcast to, so it covers all it is computed from up to reductions
/// and halves; it is covered when all its arguments are. A reduction is covered by what covers its argument.
/// Looks at a few nodes only: a "no" may be wrong, a "yes" never is.
pub(super) fn covers(graph: &Graph, kept: &[NodeId], dropped: NodeId) -> bool {
    let mut covered: FxHashSet<NodeId> = FxHashSet::default();
    let mut pending = kept.to_vec();
    while let Some(id) = pending.pop() {
        if covered.len() < SEARCH
            && covered.insert(id)
            && let Node::Elementwise { arguments, .. } = graph.node(id)
        {
            pending.extend_from_slice(arguments);
        }
    }
    let mut pending = vec![dropped];
    let mut seen: FxHashSet<NodeId> = FxHashSet::default();
    while let Some(id) = pending.pop() {
        if covered.contains(&id) || !seen.insert(id) {
            continue;
        }
        match graph.node(id) {
            _ if seen.len() > SEARCH => return false,
            Node::Input(_) | Node::Half { .. } => return false,
            Node::Constant(_) => {}
            node @ (Node::Elementwise { .. } | Node::Reduce { .. }) => pending.extend_from_slice(node.arguments()),
        }
    }
    true
}
