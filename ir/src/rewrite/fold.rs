//! Ops on constants, computed now where that is computed exactly.
//!
//! A constant is rounded to the kernel's dtype before the op sees it. So the value known here is the kernel's value
//! only if float32 holds the operands and the unrounded result: then neither dtype rounds anything. Sign changes and
//! minimum and maximum commute with rounding (it is odd and monotone), so for them any constants will do.

use super::matching::{is, is_float32};
use crate::graph::{Graph, Node, NodeId};
use crate::op::special;
use crate::op::{Class, Op};

/// The constant arguments of an elementwise node of at least one argument, filled up with zeros.
fn constants(graph: &Graph, id: NodeId) -> Option<(Op, usize, [f64; 3])> {
    let Node::Elementwise { op, arguments } = graph.node(id) else { return None };
    let mut values = [0.0; 3];
    for (value, argument) in values.iter_mut().zip(arguments.iter()) {
        *value = graph.constant_value(*argument)?;
    }
    (!arguments.is_empty()).then_some((*op, arguments.len(), values))
}

/// The value of an op on constants, if every dtype gives exactly this.
pub(super) fn exactly(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (op, count, values) = constants(graph, id)?;
    let result = (op.row().meaning)(values);
    let exact = match op {
        Op::Neg | Op::Abs | Op::Minimum | Op::Maximum | Op::CopySign => true,
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Fma | Op::Sqrt | Op::Floor | Op::Ceil | Op::Trunc | Op::Round => {
            let operands = &values[..count];
            let held = operands.iter().chain([&result]).all(|value| value.is_nan() || is_float32(*value));
            held && (is_special(operands, result) || is_unrounded(op, values, result))
        }
        // A cast rounds the same number the same way in either dtype.
        _ if op.class() == Class::Cast => values[0].is_nan() || (is_float32(values[0]) && is_float32(result)),
        _ => false,
    };
    exact.then(|| graph.constant(result))
}

/// Whether the result is one that IEEE 754 lists, the same in every format: of infinities, of NaN, of a division by
/// zero, of a root of a negative number. (Finite float32 operands overflow nothing in float64.)
fn is_special(operands: &[f64], result: f64) -> bool {
    !result.is_finite() || operands.iter().any(|operand| !operand.is_finite())
}

/// Whether the float64 result of an op on finite float32 operands is the real one.
fn is_unrounded(op: Op, [a, b, c]: [f64; 3], result: f64) -> bool {
    match op {
        Op::Add => is_zero(special::difference_error(a, -b)),
        Op::Sub => is_zero(special::difference_error(a, b)),
        // 24 bits times 24 bits fit into 53.
        Op::Mul | Op::Floor | Op::Ceil | Op::Trunc | Op::Round => true,
        Op::Div => is_zero(libm::fma(result, b, -a)),
        Op::Sqrt => is_zero(libm::fma(result, result, -a)),
        Op::Fma => is_zero(special::difference_error(a * b, -c)),
        _ => false,
    }
}

fn is_zero(value: f64) -> bool {
    value.abs().to_bits() == 0
}

/// The float64 value of an op on constants, if float32 holds something near it.
pub(super) fn nearly(graph: &mut Graph, id: NodeId) -> Option<NodeId> {
    let (op, count, values) = constants(graph, id)?;
    let result = (op.row().meaning)(values);
    let computed = matches!(op.class(), Class::Arithmetic | Class::Special);
    let finite = values[..count].iter().all(|value| value.is_finite());
    (computed && finite && is_ordinary(result)).then(|| graph.constant(result))
}

/// Whether a number is zero or normal in float32.
pub(super) fn is_ordinary(value: f64) -> bool {
    let rounded = value as f32;
    rounded.is_normal() || is(value.abs(), 0.0)
}
