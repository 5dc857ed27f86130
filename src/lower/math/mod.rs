//! Special functions, one file a family.

use crate::lane::{LaneBuilder, Value};
use fuselet_ir::Op;

pub(super) fn lower(_builder: &mut LaneBuilder, op: Op, _arguments: &[Value]) -> Value {
    unimplemented!("{}", op.name())
}
