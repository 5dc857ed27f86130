//! The invariants of a pass. Checked in debug builds, in tests, and wherever a pass comes from outside lowering.
//!
//! 1. Every argument of an instruction comes before it and makes a value.
//! 2. Arguments have the kinds their op wants; loads, stores and accumulations move floats, or bits as integers.
//! 3. Shift counts are below the lane's width; the bits of constants fit the lane's width; a constant mask is all
//!    ones or all zeros.
//! 4. Loads come before stores and accumulations, so that an operand may be written in place of one that is read.
//! 5. Loads name operands that are read; each written operand is stored exactly once, each accumulator taken into
//!    exactly once, and never the other way round.
//! 6. An accumulator has the program's dtype, other operands any of which lanes are as wide (no float64 in a program of
//!    float32); a written operand is not broadcast; an accumulator is contiguous; what is only
//!    prefetched is block-cyclic, and no instruction names it.

use super::op::LaneKind;
use super::pass::{Layout, Pass, Role};
use super::program::Instruction;
use thiserror::Error;

/// A broken invariant of a pass.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("pass `{pass}`, {place}: {what}")]
pub struct LaneError {
    /// The pass.
    pub pass: String,
    /// The instruction (`%3`) or the operand (`operand 1`) at fault.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl Pass {
    /// Checks every invariant of the module's list.
    ///
    /// # Errors
    /// The first broken one.
    pub fn verify(&self) -> Result<(), LaneError> {
        let fail = |place: String, what: String| Err(LaneError { pass: self.name.clone(), place, what });
        let program = &self.program;
        let width = program.dtype.size() * 8;
        let mut uses = vec![0usize; self.operands.len()];
        let mut sinking = false;
        for (index, instruction) in program.instructions.iter().enumerate() {
            let place = || format!("%{index}");
            for argument in instruction.arguments() {
                if argument.index() >= index || program.instruction(*argument).result().is_none() {
                    return fail(place(), format!("%{} is not a value made before", argument.index()));
                }
            }
            let wanted: &[LaneKind] = match instruction {
                Instruction::Apply { op, .. } => op.arguments(),
                Instruction::Shift { .. } | Instruction::StoreBits { .. } => &[LaneKind::Int],
                Instruction::Store { .. } | Instruction::Accumulate { .. } => &[LaneKind::Float],
                Instruction::Constant { .. } | Instruction::Load { .. } | Instruction::LoadBits { .. } => &[],
            };
            for (argument, kind) in instruction.arguments().iter().zip(wanted) {
                if program.instruction(*argument).result() != Some(*kind) {
                    return fail(place(), format!("%{} is not of kind {kind:?}", argument.index()));
                }
            }
            let (operand, role) = match instruction {
                Instruction::Load { operand } | Instruction::LoadBits { operand } => (operand, Role::Read),
                Instruction::Store { operand, .. } | Instruction::StoreBits { operand, .. } => (operand, Role::Write),
                Instruction::Accumulate { operand, .. } => (operand, Role::Accumulate),
                Instruction::Shift { count, .. } if usize::from(*count) >= width => {
                    return fail(place(), format!("shifts a lane of {width} bits by {count}"));
                }
                Instruction::Constant { kind, bits } => {
                    let all_ones = u64::MAX >> (64 - width);
                    if *bits > all_ones || (*kind == LaneKind::Mask && *bits != 0 && *bits != all_ones) {
                        return fail(place(), format!("{bits:#x} is no constant {kind:?} of {width} bits"));
                    }
                    continue;
                }
                _ => continue,
            };
            match self.operands.get(operand.index()) {
                None => return fail(place(), format!("there is no operand {}", operand.index())),
                Some(found) if found.role != role => {
                    return fail(place(), format!("operand {} is for {:?}, not {role:?}", operand.index(), found.role));
                }
                Some(_) => uses[operand.index()] += 1,
            }
            if role == Role::Read && sinking {
                return fail(place(), "loads after a store".to_owned());
            }
            sinking |= role != Role::Read;
        }
        for (index, operand) in self.operands.iter().enumerate() {
            let place = || format!("operand {index}");
            let plain = operand.dtype == program.dtype.storage();
            if operand.role == Role::Accumulate && !plain {
                return fail(
                    place(),
                    format!("is an accumulator of {} in a program of {}", operand.dtype, program.dtype),
                );
            }
            if operand.dtype.compute() > program.dtype {
                return fail(place(), format!("is {} in a program of {}", operand.dtype, program.dtype));
            }
            if matches!(operand.role, Role::Write | Role::Accumulate) && uses[index] != 1 {
                return fail(place(), format!("is written {} times instead of once", uses[index]));
            }
            match (operand.role, operand.layout) {
                (Role::Prefetch, Layout::Contiguous | Layout::Broadcast | Layout::Strided | Layout::NonTemporal) => {
                    return fail(place(), "is prefetched, but not block-cyclic".to_owned());
                }
                (Role::Read, Layout::NonTemporal) => return fail(place(), "is read, but non-temporal".to_owned()),
                (Role::Write, Layout::Broadcast) => return fail(place(), "is written, but broadcast".to_owned()),
                (Role::Accumulate, Layout::Broadcast | Layout::Strided | Layout::BlockCyclic | Layout::NonTemporal) => {
                    return fail(place(), "is an accumulator, but not contiguous".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
