//! What a node of a graph becomes: [`lower`] is the only `match` over all ops outside the op table.

use super::math;
use crate::lane::{GRID_EXPONENT, LaneBuilder, LaneOp, Value};
use fuselet_ir::{Graph, Node, NodeId, Op, Reduction};
use smallvec::SmallVec;

/// Writes the lane ops of a node that is neither input nor half; `value` gives the lanes of its arguments. The graph's
/// constants are folded.
///
/// A power with a constant node for exponent may have a shorter form, and other bits, than one with a computed exponent.
pub(crate) fn lower_node(
    builder: &mut LaneBuilder,
    graph: &Graph,
    node: NodeId,
    value: impl Fn(NodeId) -> Value,
) -> Value {
    match graph.node(node) {
        Node::Constant(bits) => builder.number(f64::from_bits(*bits)),
        Node::Elementwise { op, arguments } => {
            let values: SmallVec<[Value; 3]> = arguments.iter().map(|argument| value(*argument)).collect();
            let exponent = if *op == Op::Pow { graph.constant_value(arguments[1]) } else { None };
            exponent
                .and_then(|exponent| math::whole_power(builder, values[0], exponent))
                .unwrap_or_else(|| lower(builder, *op, &values))
        }
        // A reduction over axes of length 1 is its argument (a zero as +0, like every result of a reduction); the
        // threshold of a single element is 1 below it.
        Node::Reduce { reduction: Reduction::SparsemaxTau, argument, .. } => {
            let one = builder.number(1.0);
            builder.sub(value(*argument), one)
        }
        Node::Reduce { reduction: reduction @ (Reduction::SumHigh | Reduction::SumLow), argument, .. } => {
            part_of_sum(builder, *reduction, value(*argument))
        }
        Node::Reduce { argument, .. } => {
            let zero = builder.number(0.0);
            builder.add(value(*argument), zero)
        }
        Node::Input(_) | Node::Half { .. } => unreachable!("inputs and halves are sources"),
    }
}

/// The part of a number from 0 to 2⁶⁸ that a reduction sums. Adding 1.5 · 2⁷⁴ rounds to a multiple of 2⁵¹ (float64: 2²²),
/// of which a block of numbers up to 2⁶⁵ adds up exactly in any order (see [`GRID_EXPONENT`]).
pub(crate) fn part_of_sum(builder: &mut LaneBuilder, reduction: Reduction, value: Value) -> Value {
    if !matches!(reduction, Reduction::SumHigh | Reduction::SumLow) {
        return value;
    }
    let grid = builder.number(1.5 * 2f64.powi(GRID_EXPONENT));
    let raised = builder.add(value, grid);
    let high = builder.sub(raised, grid);
    if reduction == Reduction::SumHigh { high } else { builder.sub(value, high) }
}

/// Writes the lane ops of one graph op. `arguments` has as many values as the op's arity.
pub fn lower(builder: &mut LaneBuilder, op: Op, arguments: &[Value]) -> Value {
    let argument = |index: usize| arguments[index];
    match op {
        Op::Neg => builder.neg(argument(0)),
        Op::Abs => builder.abs(argument(0)),
        Op::Add => builder.add(argument(0), argument(1)),
        Op::Sub => builder.sub(argument(0), argument(1)),
        Op::Mul => builder.mul(argument(0), argument(1)),
        Op::Div => builder.div(argument(0), argument(1)),
        Op::MultiplyAdd => builder.multiply_add(argument(0), argument(1), argument(2)),
        Op::Sqrt => builder.sqrt(argument(0)),
        Op::Floor => builder.apply(LaneOp::Floor, arguments),
        Op::Ceil => builder.apply(LaneOp::Ceil, arguments),
        Op::Trunc => builder.apply(LaneOp::Trunc, arguments),
        Op::Round => builder.apply(LaneOp::Round, arguments),
        Op::Less => builder.less(argument(0), argument(1)),
        Op::LessEqual => builder.less_equal(argument(0), argument(1)),
        Op::Equal => builder.equal(argument(0), argument(1)),
        Op::And => builder.mask_and(argument(0), argument(1)),
        Op::Or => builder.mask_or(argument(0), argument(1)),
        Op::Not => builder.mask_not(argument(0)),
        Op::Select => builder.select(argument(0), argument(1), argument(2)),
        _ => math::lower(builder, op, arguments),
    }
}
