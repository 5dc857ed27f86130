//! Lowering: graph ops become primitive lane ops.
//!
//! Each op is expanded here, once, before any backend sees it; so every backend computes the same bits, and common
//! subexpressions of different functions are shared. [`lower`] is the only `match` over all ops outside the op table.

pub mod math;

use crate::lane::{LaneBuilder, LaneOp, Value};
use fuselet_ir::Op;

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
