//! The lane program: straight-line SSA, one lane of the result from one lane of the operands.

use super::op::{LaneKind, LaneOp, ReductionOperator};
use crate::array::ComputeDtype;
use std::hash::{Hash, Hasher};

/// A value of a program: the place of the instruction that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u32);

impl Value {
    /// The place of the instruction.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The value of the instruction at `index`.
    pub fn from_index(index: usize) -> Value {
        Value(u32::try_from(index).expect("a program holds at most 2^32 instructions"))
    }
}

/// An operand of a pass: a place in [`Pass::operands`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperandId(pub u32);

impl OperandId {
    /// The place in the list of operands.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The operand at `index`.
    pub fn from_index(index: usize) -> OperandId {
        OperandId(u32::try_from(index).expect("a pass has at most 2^32 operands"))
    }
}

/// Which way a shift goes; both bring in zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shift {
    /// Toward the high bits.
    Left,
    /// Toward the low bits, without regard to a sign.
    Right,
}

/// One instruction; its place in the program is the [`Value`] it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// The same bits in every lane.
    Constant {
        /// What the bits are.
        kind: LaneKind,
        /// The bits, in the low end where the lane is narrower.
        bits: u64,
    },
    /// A lane of an operand that is read, converted from the operand's dtype.
    Load {
        /// Which.
        operand: OperandId,
    },
    /// The bits of an element of an operand that is read, as an integer with zeros above: what a conversion in lane ops begins
    /// with ([`super::expand_conversions`]).
    LoadBits {
        /// Which.
        operand: OperandId,
    },
    /// An operation; arguments past its arity repeat the first.
    Apply {
        /// Which.
        op: LaneOp,
        /// On what.
        arguments: [Value; 3],
    },
    /// An integer shifted by a constant below the lane's width.
    Shift {
        /// Which way.
        direction: Shift,
        /// What.
        value: Value,
        /// How far.
        count: u8,
    },
    /// Writes a lane of an operand, converted to the operand's dtype. Makes no value.
    Store {
        /// Which.
        operand: OperandId,
        /// What.
        value: Value,
    },
    /// Writes the low bits of an integer to an element of an operand. Makes no value.
    StoreBits {
        /// Which.
        operand: OperandId,
        /// What.
        value: Value,
    },
    /// Takes a lane into an accumulator operand. Makes no value.
    Accumulate {
        /// Which.
        operand: OperandId,
        /// How.
        combine: ReductionOperator,
        /// What.
        value: Value,
    },
}

/// By two words: programs are hash-consed and are keys of the cache of code, so this is done often.
impl Hash for Instruction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let words = |tag: u8, kind: u8, high: u32, low: u64| {
            [u64::from(tag) | u64::from(kind) << 8 | u64::from(high) << 32, low]
        };
        let pair = |first: u32, second: u32| u64::from(first) << 32 | u64::from(second);
        let words = match *self {
            Instruction::Constant { kind, bits } => words(0, kind as u8, 0, bits),
            Instruction::Load { operand } => words(1, 0, operand.0, 0),
            Instruction::LoadBits { operand } => words(1, 1, operand.0, 0),
            Instruction::Apply { op, arguments: [a, b, c] } => words(2, op as u8, a.0, pair(b.0, c.0)),
            Instruction::Shift { direction, value, count } => words(3, direction as u8, value.0, count.into()),
            Instruction::Store { operand, value } => words(4, 0, operand.0, value.0.into()),
            Instruction::StoreBits { operand, value } => words(4, 1, operand.0, value.0.into()),
            Instruction::Accumulate { operand, combine, value } => words(5, combine as u8, operand.0, value.0.into()),
        };
        words.into_iter().for_each(|word| state.write_u64(word));
    }
}

impl Instruction {
    /// The values the instruction reads.
    pub fn arguments(&self) -> &[Value] {
        match self {
            Instruction::Constant { .. } | Instruction::Load { .. } | Instruction::LoadBits { .. } => &[],
            Instruction::Apply { op, arguments } => &arguments[..op.arguments().len()],
            Instruction::Shift { value, .. }
            | Instruction::Store { value, .. }
            | Instruction::StoreBits { value, .. }
            | Instruction::Accumulate { value, .. } => std::slice::from_ref(value),
        }
    }

    /// Whether it does arithmetic: it is no constant, load, store or reinterpretation of bits.
    pub fn is_operation(&self) -> bool {
        match self {
            Instruction::Apply { op, .. } => !matches!(op, LaneOp::ToBits | LaneOp::ToFloat),
            Instruction::Shift { .. } | Instruction::Accumulate { .. } => true,
            Instruction::Constant { .. }
            | Instruction::Load { .. }
            | Instruction::LoadBits { .. }
            | Instruction::Store { .. }
            | Instruction::StoreBits { .. } => false,
        }
    }

    /// The kind of the value made; `None` for stores and accumulations.
    pub fn result(&self) -> Option<LaneKind> {
        match self {
            Instruction::Constant { kind, .. } => Some(*kind),
            Instruction::Load { .. } => Some(LaneKind::Float),
            Instruction::Apply { op, .. } => Some(op.result()),
            Instruction::Shift { .. } | Instruction::LoadBits { .. } => Some(LaneKind::Int),
            Instruction::Store { .. } | Instruction::StoreBits { .. } | Instruction::Accumulate { .. } => None,
        }
    }
}

/// A straight-line program over lanes of one dtype.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LaneProgram {
    /// The dtype of float lanes, and so the width of all.
    pub dtype: ComputeDtype,
    /// The instructions: loads and arithmetic first, then stores and accumulations.
    pub instructions: Vec<Instruction>,
}

impl LaneProgram {
    /// The instruction that makes a value.
    pub fn instruction(&self, value: Value) -> &Instruction {
        &self.instructions[value.index()]
    }

    /// How many instructions do arithmetic.
    pub fn operation_count(&self) -> usize {
        self.instructions.iter().filter(|instruction| instruction.is_operation()).count()
    }

    /// For each instruction the place of the last one that reads it (its own place if none does).
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.instructions.len()).collect();
        for (index, instruction) in self.instructions.iter().enumerate() {
            for argument in instruction.arguments() {
                last[argument.index()] = index;
            }
        }
        last
    }
}
