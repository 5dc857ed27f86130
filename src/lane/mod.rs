//! The waist of the house: straight-line SSA programs on lanes, and the passes that loop them over arrays.
//!
//! Lowering writes a [`LaneProgram`]; every backend reads one. A program computes one lane of the result from one lane of
//! the operands, by primitive operations ([`LaneOp`]) that have exactly one correct result each. There is no control
//! flow, no call, and no width: a backend runs as many lanes at a time as it likes.
//!
//! Lanes are float32 or float64; arrays may store other dtypes, which loads and stores convert. For backends without an
//! instruction for a dtype [`expand_conversions`] writes that as lane ops.
//!
//! A [`Pass`] is a program and its operands: one loop over a span, with at most one more dimension around it.

mod builder;
mod conversion;
mod fission;
mod op;
mod pass;
mod print;
mod program;
mod summation_order;
mod verify;

pub use builder::LaneBuilder;
pub(crate) use conversion::Format;
pub use conversion::{expand_conversions, expand_operands};
pub use fission::{MOST_SCRATCH, Part, PartOperand, Split, split};
pub use op::{Lane, LaneBits, LaneKind, LaneOp, LaneVisitor, ReductionOperator};
pub use pass::{Layout, Operand, OperandArgument, Pass, Role};
pub use program::{Instruction, LaneProgram, OperandId, Shift, Value};
pub use summation_order::{
    ACCUMULATOR_LANES, BLOCK, CYCLE, GRID_EXPONENT, GROUP, LARGEST_TERM_EXPONENT, TREE_DEPTH, combine_lanes,
};
pub use verify::LaneError;
