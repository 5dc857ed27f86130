//! A pass: one loop over a span, with at most one more dimension around it. What a backend compiles.
//!
//! Operands are arrays seen along the span: contiguous, broadcast (the same element for every lane), strided, or every
//! fourth group of a contiguous array. In the dimension around, every operand steps by a byte stride of its own. Everything else (more dimensions, rows,
//! scratch, threads) is the business of `exec`.
//!
//! Lanes are of the program's dtype, float32 or float64; each operand has a storage dtype of its own. Loads and stores convert
//! between the two, one correctly rounded step, as [`Dtype`] says.
//!
//! An accumulator has [`ACCUMULATOR_LANES`] lanes whatever the machine: element `i` of the span goes to lane
//! `i mod ACCUMULATOR_LANES`, in ascending order of `i`, starting from [`super::ReductionOperator::identity`] at the beginning of
//! each span. At the end of each span the lanes are combined by one fixed tree, [`super::combine_lanes`], and the **one
//! element** that comes out is written to the accumulator's pointer, which then steps by its outer stride. So the bits
//! of a reduction do not depend on the width of vectors.

use super::op::LaneOp;
use super::program::{Instruction, LaneProgram, OperandId};
use super::summation_order::{ACCUMULATOR_LANES, CYCLE};
use crate::array::Dtype;

/// What a pass does with an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Loads from it.
    Read,
    /// Stores to it. It may be the very array of an operand that is read: a lane is loaded before it is stored.
    Write,
    /// Writes one element to it after each span: the accumulator's lanes, combined by [`super::combine_lanes`].
    Accumulate,
    /// A hint: what four cyclic operands from here on would share will be read soon, and may be fetched into a second-level cache
    /// meanwhile. No instruction names it, and nothing need be there.
    Prefetch,
}

/// How an operand lies along the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One element after another.
    Contiguous,
    /// The same element for every lane; only for operands that are read.
    Broadcast,
    /// Elements [`OperandArgument::stride`] bytes apart.
    Strided,
    /// Every fourth group of [`ACCUMULATOR_LANES`] elements of a contiguous array (block-cyclic). Four such operands, a group
    /// apart, are one array that four bodies of a loop go through side by side, from one end to the other.
    BlockCyclic,
    /// Contiguous, and more than caches hold, so that what is stored may go past them; only for operands that are written.
    NonTemporal,
}

impl Layout {
    /// Where element `index` of a span is: how many elements' steps from the first, a step being the stride if the operand is
    /// strided, else one element.
    ///
    /// ```
    /// use fuselet::lane::Layout;
    /// assert_eq!([0, 31, 32, 64].map(|index| Layout::BlockCyclic.place(index)), [0, 31, 128, 256]);
    /// ```
    pub fn place(self, index: usize) -> usize {
        match self {
            Layout::Contiguous | Layout::NonTemporal | Layout::Strided => index,
            Layout::Broadcast => 0,
            Layout::BlockCyclic => index + (CYCLE - 1) * (index - index % ACCUMULATOR_LANES),
        }
    }
}

/// One operand of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    /// What is done with it.
    pub role: Role,
    /// How its elements are stored. A load converts to the program's dtype, a store from it.
    pub dtype: Dtype,
    /// How it lies along the span. Accumulators are contiguous.
    pub layout: Layout,
    /// What listings call it.
    pub name: String,
}

/// A program, and the operands it loops over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    /// What listings call it.
    pub name: String,
    /// The body of the loop.
    pub program: LaneProgram,
    /// What it loads and stores.
    pub operands: Vec<Operand>,
}

/// Where one operand is in one call of a pass.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OperandArgument {
    /// The first element.
    pub pointer: *mut u8,
    /// Bytes from one element of the span to the next; looked at only where the layout is strided.
    pub stride: isize,
    /// Bytes from one span to the next.
    pub outer_stride: isize,
}

impl Pass {
    /// For each instruction: is its value the same in every lane of a span?
    ///
    /// Such values depend only on constants and on broadcast operands; a backend computes them once a span. (They may
    /// still change from span to span.)
    pub fn uniform(&self) -> Vec<bool> {
        let mut uniform = Vec::with_capacity(self.program.instructions.len());
        for instruction in &self.program.instructions {
            let flag = match instruction {
                Instruction::Constant { .. } => true,
                Instruction::Load { operand } | Instruction::LoadBits { operand } => {
                    self.operands[operand.index()].layout == Layout::Broadcast
                }
                Instruction::Apply { .. } | Instruction::Shift { .. } => {
                    instruction.arguments().iter().all(|argument| uniform[argument.index()])
                }
                Instruction::Store { .. } | Instruction::StoreBits { .. } | Instruction::Accumulate { .. } => false,
            };
            uniform.push(flag);
        }
        uniform
    }

    /// Whether an operand stores its elements as lanes are, so that loads and stores are copies.
    pub fn is_plain(&self, operand: OperandId) -> bool {
        self.operands[operand.index()].dtype == self.program.dtype.storage()
    }

    /// Whether the program needs a machine with a fused multiply-add.
    pub fn needs_fma(&self) -> bool {
        self.program
            .instructions
            .iter()
            .any(|i| matches!(i, Instruction::Apply { op: LaneOp::Fma | LaneOp::Fms | LaneOp::Fnma, .. }))
    }
}
