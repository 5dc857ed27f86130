//! Listings of passes, for people: `:explain` in the REPL, snapshots in tests.
//!
//! Uniform values (the same in all lanes of a span) are marked with a dot, float constants show hex and decimal.

use super::op::{LaneKind, LaneOp};
use super::pass::{Layout, Pass, Role};
use super::program::{Instruction, LaneProgram, OperandId, Shift};
use crate::array::ComputeDtype;
use std::fmt::{self, Write as _};

impl fmt::Display for Pass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "pass {}  ", self.name)?;
        for (index, operand) in self.operands.iter().enumerate() {
            if index > 0 {
                formatter.write_str(", ")?;
            }
            let layout = match (operand.role, operand.layout) {
                (Role::Accumulate, _) => "accumulator",
                (Role::Prefetch, _) => "prefetched",
                (_, Layout::Contiguous) => "contiguous",
                (_, Layout::Broadcast) => "broadcast",
                (_, Layout::Strided) => "strided",
                (_, Layout::BlockCyclic) => "block-cyclic",
                (_, Layout::NonTemporal) => "non-temporal",
            };
            write!(formatter, "{}: {layout}", operand.name)?;
            if operand.dtype != self.program.dtype.storage() {
                write!(formatter, " {}", operand.dtype)?;
            }
        }
        let divisions = self
            .program
            .instructions
            .iter()
            .filter(|i| matches!(i, Instruction::Apply { op: LaneOp::Div | LaneOp::Sqrt, .. }))
            .count();
        writeln!(
            formatter,
            "   {} {} ops, {divisions} div or sqrt, {} live at most",
            self.program.dtype,
            self.program.operation_count(),
            self.most_live()
        )?;
        let uniform = self.uniform();
        for (index, instruction) in self.program.instructions.iter().enumerate() {
            let text = self.instruction_text(instruction);
            match instruction.result() {
                Some(_) => {
                    let constant = matches!(instruction, Instruction::Constant { .. });
                    let mark = if uniform[index] && !constant { '.' } else { ' ' };
                    writeln!(formatter, " {mark}%{index} = {text}")?;
                }
                None => writeln!(formatter, "  {text}")?,
            }
        }
        Ok(())
    }
}

impl Pass {
    fn instruction_text(&self, instruction: &Instruction) -> String {
        let name = |operand: &OperandId| &self.operands[operand.index()].name;
        match instruction {
            Instruction::Constant { kind, bits } => constant_text(&self.program, *kind, *bits),
            Instruction::Load { operand } => format!("load {}", name(operand)),
            Instruction::LoadBits { operand } => format!("load bits {}", name(operand)),
            Instruction::Apply { op, .. } => {
                let mut text = op.name().to_owned();
                for (place, argument) in instruction.arguments().iter().enumerate() {
                    let _ = write!(text, "{} %{}", if place == 0 { "" } else { "," }, argument.index());
                }
                text
            }
            Instruction::Shift { direction: Shift::Left, value, count } => format!("shl %{}, {count}", value.index()),
            Instruction::Shift { direction: Shift::Right, value, count } => format!("shr %{}, {count}", value.index()),
            Instruction::Store { operand, value } => format!("store {}, %{}", name(operand), value.index()),
            Instruction::StoreBits { operand, value } => format!("store bits {}, %{}", name(operand), value.index()),
            Instruction::Accumulate { operand, combine, value } => {
                format!("accumulate {} {}, %{}", combine.name(), name(operand), value.index())
            }
        }
    }

    /// The most values, constants aside, that are alive at once: the register pressure of the program as it stands.
    pub fn most_live(&self) -> usize {
        let last = self.program.last_uses();
        let mut ends = vec![0usize; self.program.instructions.len() + 1];
        let (mut live, mut most) = (0usize, 0usize);
        for (index, instruction) in self.program.instructions.iter().enumerate() {
            if instruction.result().is_some() && !matches!(instruction, Instruction::Constant { .. }) {
                live += 1;
                ends[last[index]] += 1;
            }
            most = most.max(live);
            live -= ends[index];
        }
        most
    }
}

fn constant_text(program: &LaneProgram, kind: LaneKind, bits: u64) -> String {
    match kind {
        LaneKind::Mask => if bits == 0 { "false" } else { "true" }.to_owned(),
        LaneKind::Int => format!("{bits:#x}"),
        LaneKind::Float => match program.dtype {
            ComputeDtype::F32 => format!("{:?}  ; {bits:#010x}", f32::from_bits(bits as u32)),
            ComputeDtype::F64 => format!("{:?}  ; {bits:#018x}", f64::from_bits(bits)),
        },
    }
}
