//! What the parts of a function have in common: how operands are reached, and the values all blocks use.

use super::body::Body;
use crate::lane::{CYCLE, Instruction, Layout, Pass, ReductionOperator, Role};
use cranelift::codegen::ir::{BlockArg, MemFlagsData, StackSlot};
use cranelift::prelude::*;

/// How an operand is reached inside the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Not at all: it was loaded before.
    Broadcast,
    /// Not at all: there is no instruction that fetches into a cache only.
    Prefetch,
    Contiguous,
    Strided,
    BlockCyclic,
    Accumulator(ReductionOperator),
}

pub(super) fn accesses(pass: &Pass) -> Vec<Access> {
    let mut access: Vec<Access> = pass
        .operands
        .iter()
        .map(|operand| match operand.layout {
            _ if operand.role == Role::Prefetch => Access::Prefetch,
            Layout::Broadcast => Access::Broadcast,
            Layout::Contiguous | Layout::NonTemporal => Access::Contiguous,
            Layout::Strided => Access::Strided,
            Layout::BlockCyclic => Access::BlockCyclic,
        })
        .collect();
    for instruction in &pass.program.instructions {
        if let Instruction::Accumulate { operand, combine, .. } = instruction {
            access[operand.index()] = Access::Accumulator(*combine);
        }
    }
    access
}

pub(super) struct LoopNest<'a> {
    pub(super) pass: &'a Pass,
    pub(super) body: Body<'a>,
    pub(super) uniform: Vec<bool>,
    pub(super) pointer: Type,
    pub(super) unroll: usize,
    /// Bytes of a quantum.
    pub(super) quantum: i64,
    /// Bytes of an element.
    pub(super) size: i64,
    pub(super) access: Vec<Access>,
    /// The scratch area: a quantum for each operand.
    pub(super) slot: StackSlot,
    /// The lanes of the accumulators, one after the other.
    pub(super) lanes: StackSlot,
    /// The function's first parameter.
    pub(super) arguments: Value,
    pub(super) span_bytes: Value,
    /// Bytes of the whole quanta of a span.
    pub(super) main_bytes: Value,
    /// Element strides of the strided operands, by operand; others hold any value.
    pub(super) strides: Vec<Value>,
}

/// Flags of accesses to elements: they never trap, and nothing is known of their alignment.
pub(super) fn plain() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Flags of accesses to scratch and arguments.
pub(super) fn aligned() -> MemFlagsData {
    MemFlagsData::trusted()
}

pub(super) fn block_arguments(values: impl IntoIterator<Item = Value>) -> Vec<BlockArg> {
    values.into_iter().map(BlockArg::from).collect()
}

impl LoopNest<'_> {
    pub(super) fn strided(&self) -> impl Iterator<Item = usize> {
        self.access.iter().enumerate().filter(|(_, access)| **access == Access::Strided).map(|(index, _)| index)
    }

    pub(super) fn run_arguments(
        &self,
        start: Value,
        in_tail: Value,
        places: &[Option<(Value, Value)>],
    ) -> Vec<BlockArg> {
        let mut arguments = vec![start, in_tail];
        for (access, place) in self.access.iter().zip(places) {
            match (access, place) {
                (Access::Strided, Some((base, stride))) => arguments.extend([*base, *stride]),
                (_, Some((base, _))) => arguments.push(*base),
                (_, None) => {}
            }
        }
        block_arguments(arguments)
    }

    /// How far a cyclic operand is from its beginning, `done` bytes of it being done.
    pub(super) fn cyclic_offset(&self, builder: &mut FunctionBuilder, done: Value) -> Value {
        let groups = builder.ins().band_imm_s(done, -self.lanes_bytes());
        let gaps = builder.ins().imul_imm_s(groups, CYCLE as i64 - 1);
        builder.ins().iadd(done, gaps)
    }
}
