//! Tails: what is left of a span behind its last whole quantum.
//!
//! A scratch area on the stack has a quantum for each operand. The elements left are gathered there, the body of the loop
//! runs once with scratch for operands, and what it made is scattered. So a tail costs no second body, reads and writes
//! nothing outside the operands, and works in place, with any stride, and with accumulators (whose lanes are gathered
//! and scattered like elements).

use super::body::VECTOR_BYTES;
use super::nest::{Access, LoopNest, aligned, block_arguments, plain};
use crate::lane::Role;
use cranelift::prelude::*;

/// The tail of one operand: its end if contiguous, its beginning if strided.
struct TailCopy {
    operand: usize,
    base: Value,
    stride: Option<Value>,
}

impl LoopNest<'_> {
    /// Copies what is left of a span into scratch, and runs the body there.
    pub(super) fn gather(
        &self,
        builder: &mut FunctionBuilder,
        gather: Block,
        run: Block,
        pointers: &[Value],
        rest: Value,
    ) {
        builder.switch_to_block(gather);
        let scratch = builder.ins().stack_addr(self.pointer, self.slot, 0);
        let taken = |role: Role| role != Role::Write;
        let copies = self.tail_copies(builder, pointers, rest, taken);
        // Lanes past the last element repeat the first one left, so that they cost no more than it does: what lies on
        // the stack may be subnormal, and slow.
        for copy in &copies {
            let first = match copy.stride {
                Some(_) => copy.base,
                None => {
                    let rest = self.scaled(builder, copy.operand, rest);
                    builder.ins().isub(copy.base, rest)
                }
            };
            let filled = self.repeated(builder, copy.operand, first);
            for vector in 0..self.unroll {
                let place = copy.operand as i64 * self.quantum + (vector * VECTOR_BYTES) as i64;
                builder.ins().store(aligned(), filled, scratch, place as i32);
            }
        }
        let ready = builder.create_block();
        self.copy_loop(builder, &copies, scratch, rest, ready, true);
        builder.switch_to_block(ready);
        let start = builder.ins().iconst(self.pointer, -self.quantum);
        let in_tail = builder.ins().iconst(types::I8, 1);
        let places: Vec<Option<(Value, Value)>> = self
            .access
            .iter()
            .enumerate()
            .map(|(operand, access)| {
                let place = operand as i64 * self.quantum;
                match access {
                    Access::Broadcast | Access::Prefetch => None,
                    Access::Contiguous => Some(place + self.operand_bytes(operand, self.quantum)),
                    Access::Strided | Access::BlockCyclic | Access::Accumulator(_) => Some(place),
                }
                .map(|place| {
                    let stride = builder.ins().iconst(self.pointer, self.operand_bytes(operand, self.size));
                    (builder.ins().iadd_imm_s(scratch, place), stride)
                })
            })
            .collect();
        builder.ins().jump(run, &self.run_arguments(start, in_tail, &places));
    }

    /// Copies what the body made out of scratch.
    pub(super) fn scatter(
        &self,
        builder: &mut FunctionBuilder,
        scatter: Block,
        next: Block,
        pointers: &[Value],
        rest: Value,
    ) {
        builder.switch_to_block(scatter);
        let scratch = builder.ins().stack_addr(self.pointer, self.slot, 0);
        let copies = self.tail_copies(builder, pointers, rest, |role| role != Role::Read);
        self.copy_loop(builder, &copies, scratch, rest, next, false);
    }

    /// Where the tails of the operands are.
    fn tail_copies(
        &self,
        builder: &mut FunctionBuilder,
        pointers: &[Value],
        rest: Value,
        wanted: impl Fn(Role) -> bool,
    ) -> Vec<TailCopy> {
        let mut copies = Vec::new();
        for (operand, access) in self.access.iter().enumerate() {
            if !wanted(self.pass.operands[operand].role) {
                continue;
            }
            let pointer = pointers[operand];
            let (base, stride) = match access {
                Access::Broadcast | Access::Prefetch => continue,
                Access::Contiguous => {
                    let bytes = self.scaled(builder, operand, self.span_bytes);
                    (builder.ins().iadd(pointer, bytes), None)
                }
                Access::BlockCyclic => {
                    let offset = self.cyclic_offset(builder, self.main_bytes);
                    let offset = builder.ins().iadd(offset, rest);
                    let offset = self.scaled(builder, operand, offset);
                    (builder.ins().iadd(pointer, offset), None)
                }
                Access::Accumulator(_) => {
                    let lane = builder.ins().band_imm_u(self.main_bytes, self.lanes_bytes() - 1);
                    let lanes = self.lanes_of(builder, operand);
                    let place = builder.ins().iadd(lanes, lane);
                    (builder.ins().iadd(place, rest), None)
                }
                Access::Strided => {
                    let elements = builder.ins().ushr_imm_u(self.main_bytes, i64::from(self.size.trailing_zeros()));
                    let bytes = builder.ins().imul(elements, self.strides[operand]);
                    (builder.ins().iadd(pointer, bytes), Some(self.strides[operand]))
                }
            };
            copies.push(TailCopy { operand, base, stride });
        }
        copies
    }

    /// One loop that copies the elements left, one of each operand a turn; goes to `then`.
    fn copy_loop(
        &self,
        builder: &mut FunctionBuilder,
        copies: &[TailCopy],
        scratch: Value,
        rest: Value,
        then: Block,
        into_scratch: bool,
    ) {
        if copies.is_empty() {
            builder.ins().jump(then, &[]);
            return;
        }
        let turn = builder.create_block();
        let start = builder.ins().ineg(rest);
        let strided = |copy: &&TailCopy| copy.stride.is_some();
        let first = std::iter::once(start).chain(copies.iter().filter(strided).map(|copy| copy.base));
        builder.ins().jump(turn, &block_arguments(first));
        builder.switch_to_block(turn);
        // A block's parameters come before its first instruction.
        let index = builder.append_block_param(turn, self.pointer);
        let walking: Vec<Option<(Value, Value)>> = copies
            .iter()
            .map(|copy| copy.stride.map(|stride| (builder.append_block_param(turn, self.pointer), stride)))
            .collect();
        let done = builder.ins().iadd(rest, index);
        let mut advanced = Vec::new();
        for (copy, walking) in copies.iter().zip(walking) {
            let there = match walking {
                None => {
                    let index = self.scaled(builder, copy.operand, index);
                    builder.ins().iadd(copy.base, index)
                }
                Some((place, stride)) => {
                    advanced.push(builder.ins().iadd(place, stride));
                    place
                }
            };
            let done = self.scaled(builder, copy.operand, done);
            let here = builder.ins().iadd(scratch, done);
            let offset = (copy.operand as i64 * self.quantum) as i32;
            let ((from, from_offset), (to, to_offset)) =
                if into_scratch { ((there, 0), (here, offset)) } else { ((here, offset), (there, 0)) };
            let element = builder.ins().load(self.element_type(copy.operand), plain(), from, from_offset);
            builder.ins().store(plain(), element, to, to_offset);
        }
        let index = builder.ins().iadd_imm_s(index, self.size);
        let again = block_arguments(std::iter::once(index).chain(advanced));
        builder.ins().brif(index, turn, &again, then, &[]);
    }
}
