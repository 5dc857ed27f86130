//! The loops around the body.
//!
//! A *quantum* is what one turn of the inner loop takes: `unroll` vectors. The body is in the code once; what is left
//! of a span behind its last whole quantum goes through it too, by way of scratch ([`super::tail`]).
//!
//! ```text
//! entry ──► span ──► begin ──────────────┬──► run ──► body ⟲ ──► after ─┬─► next ──► span … return
//!           │ accumulators  broadcasts,  │     ▲                        ├─► gather …
//!           │ start         uniform      ▼     │                        ▼
//!           │ span = 0      values     gather ─┘ (operands: scratch)   scatter ──► next
//!           └──────────────────────────────────────────────────────────────────────► next
//! ```
//!
//! Contiguous operands are addressed from their end by one negative byte index that counts up to zero; strided ones by
//! pointers that advance; lanes of accumulators by the byte index modulo their size ([`super::accumulator`]); cyclic ones from
//! their beginning, by the byte index with gaps. That index counts bytes of lanes; [`super::elements`] has what is narrower. A turn is never longer than a group of lanes.

use super::body::{Body, VECTOR_BYTES};
use super::nest::{Access, LoopNest, accesses, aligned, block_arguments, plain};
use super::target::Target;
use crate::lane::{ACCUMULATOR_LANES, Instruction, LaneOp, OperandArgument, Pass};
use cranelift::codegen::ir::Function;
use cranelift::prelude::*;
use std::mem::{offset_of, size_of};

/// How many vectors a turn of the loop takes; they take turns instruction by instruction.
///
/// Bodies of few operations are bound by the loop's own instructions. All others are chains of dependent operations, and
/// the machine holds only so many instructions at a time: side by side, vectors wait less, and they share the loads of
/// constants. Measured at 16 k elements on a Zen 4, with one vector a turn, two and four: silu 0.97, 0.86, 0.75 ns an
/// element; gelu 1.55, 1.22, 1.10; softplus 1.62, 1.29, 1.00; bodies of a dozen operations gain nothing from four.
fn unroll(pass: &Pass) -> usize {
    match (pass.program.operation_count(), pass.most_live()) {
        (0..=6, _) => 4,
        (7..=12, _) => 2,
        (_, ..=MOST_LIVE) => 4,
        (_, _) => 2,
    }
}

/// With more values of one vector alive at a time than this, four vectors would mostly be spilled.
const MOST_LIVE: usize = 12;

/// Writes the function of a pass; its signature is set here too.
pub(super) fn write(function: &mut Function, context: &mut FunctionBuilderContext, pass: &Pass, target: &Target) {
    let pointer = target.isa.pointer_type();
    function.signature.call_conv = target.isa.default_call_conv();
    function.signature.params.extend([AbiParam::new(pointer); 3]);
    let mut builder = FunctionBuilder::new(function, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let [arguments, span, outer] = [0, 1, 2].map(|index| builder.block_params(entry)[index]);

    let uniform = pass.uniform();
    let unroll = unroll(pass);
    let quantum = (unroll * VECTOR_BYTES) as i64;
    let size = pass.program.dtype.size() as i64;
    let access = accesses(pass);
    let slot = builder.create_sized_stack_slot(StackSlotData::new(
        StackSlotKind::ExplicitSlot,
        (access.len().max(1) * unroll * VECTOR_BYTES) as u32,
        4,
    ));
    let accumulators = access.iter().filter(|access| matches!(access, Access::Accumulator(_))).count();
    let lanes = builder.create_sized_stack_slot(StackSlotData::new(
        StackSlotKind::ExplicitSlot,
        (accumulators * ACCUMULATOR_LANES) as u32 * size as u32,
        4,
    ));
    let body = Body::new(pass, &uniform, target, &mut builder);
    let span_bytes = builder.ins().ishl_imm_u(span, i64::from(size.trailing_zeros()));
    let main_bytes = builder.ins().band_imm_s(span_bytes, -quantum);
    let nest = LoopNest {
        pass,
        body,
        uniform,
        pointer,
        unroll,
        quantum,
        size,
        access,
        slot,
        lanes,
        arguments,
        span_bytes,
        main_bytes,
        strides: Vec::new(),
    };
    nest.write(&mut builder, outer);
    builder.seal_all_blocks();
    builder.finalize(target.isa.frontend_config());
}

impl LoopNest<'_> {
    fn write(mut self, builder: &mut FunctionBuilder, outer: Value) {
        let count = self.access.len();
        let field = |index: usize, offset: usize| (index * size_of::<OperandArgument>() + offset) as i32;
        let mut pointers = Vec::with_capacity(count);
        for index in 0..count {
            let place = field(index, offset_of!(OperandArgument, pointer));
            pointers.push(builder.ins().load(self.pointer, aligned(), self.arguments, place));
            let place = field(index, offset_of!(OperandArgument, stride));
            self.strides.push(match self.access[index] {
                Access::Strided => builder.ins().load(self.pointer, aligned(), self.arguments, place),
                _ => self.span_bytes,
            });
        }
        let [span, begin, gather, run, inner, after, scatter, next, done] = [(); 9].map(|()| builder.create_block());
        for cold in [gather, scatter] {
            builder.set_cold_block(cold);
        }

        // entry: are there spans at all?
        let first = block_arguments(std::iter::once(outer).chain(pointers));
        builder.ins().brif(outer, span, &first, done, &[]);

        // span: one turn of the loop around; accumulators start, then elements, if any.
        builder.switch_to_block(span);
        let left = builder.append_block_param(span, self.pointer);
        let pointers: Vec<Value> = (0..count).map(|_| builder.append_block_param(span, self.pointer)).collect();
        self.start_accumulators(builder);
        builder.ins().brif(self.span_bytes, begin, &[], next, &[]);

        // begin: what is the same for the whole span; then whole quanta first, if any.
        builder.switch_to_block(begin);
        let values = self.uniform_values(builder, &pointers);
        let start = builder.ins().ineg(self.main_bytes);
        let rest = builder.ins().isub(self.span_bytes, self.main_bytes);
        let whole = self.whole_places(builder, &pointers);
        let in_tail = builder.ins().iconst(types::I8, 0);
        let main = self.run_arguments(start, in_tail, &whole);
        builder.ins().brif(self.main_bytes, run, &main, gather, &[]);

        // run: the loop's invariants. Its parameters are the same for all turns; only `inner`'s change.
        builder.switch_to_block(run);
        let start = builder.append_block_param(run, self.pointer);
        let in_tail = builder.append_block_param(run, types::I8);
        let places: Vec<Option<(Value, Value)>> = self
            .access
            .iter()
            .map(|access| match access {
                Access::Broadcast | Access::Prefetch => None,
                Access::Strided => {
                    let base = builder.append_block_param(run, self.pointer);
                    Some((base, builder.append_block_param(run, self.pointer)))
                }
                Access::Contiguous | Access::BlockCyclic | Access::Accumulator(_) => {
                    let base = builder.append_block_param(run, self.pointer);
                    Some((base, base))
                }
            })
            .collect();
        let strided: Vec<Value> = self.strided().filter_map(|index| places[index]).map(|(base, _)| base).collect();
        let first = block_arguments(std::iter::once(start).chain(strided));
        builder.ins().jump(inner, &first);

        self.inner_loop(builder, inner, after, start, &places, values);

        // after: the scratch area is emptied, or the tail begins, or the span is done.
        builder.switch_to_block(after);
        let main_done = builder.create_block();
        builder.ins().brif(in_tail, scatter, &[], main_done, &[]);
        builder.switch_to_block(main_done);
        builder.ins().brif(rest, gather, &[], next, &[]);

        self.gather(builder, gather, run, &pointers, rest);
        self.scatter(builder, scatter, next, &pointers, rest);

        // next: accumulators are written, and every operand steps to its next span.
        builder.switch_to_block(next);
        self.finish_accumulators(builder, &pointers);
        let left = builder.ins().iadd_imm_s(left, -1);
        let stepped: Vec<Value> = (0..count)
            .map(|index| {
                let place = field(index, offset_of!(OperandArgument, outer_stride));
                let stride = builder.ins().load(self.pointer, aligned(), self.arguments, place);
                builder.ins().iadd(pointers[index], stride)
            })
            .collect();
        let again = block_arguments(std::iter::once(left).chain(stepped));
        builder.ins().brif(left, span, &again, done, &[]);

        builder.switch_to_block(done);
        builder.ins().return_(&[]);
    }

    /// Loads broadcast operands and computes what depends on nothing else. Constants stay without a value: the body
    /// has its own way with them.
    fn uniform_values(&self, builder: &mut FunctionBuilder, pointers: &[Value]) -> Vec<Option<Value>> {
        let mut values: Vec<Option<Value>> = vec![None; self.uniform.len()];
        for (index, instruction) in self.pass.program.instructions.iter().enumerate() {
            if !self.uniform[index] {
                continue;
            }
            values[index] = match instruction {
                Instruction::Load { operand } => {
                    let lane = builder.ins().load(self.body.types.float_lane, plain(), pointers[operand.index()], 0);
                    Some(builder.ins().splat(self.body.types.float, lane))
                }
                Instruction::LoadBits { operand } => {
                    let lane = self.load_element(builder, operand.index(), pointers[operand.index()]);
                    Some(builder.ins().splat(self.body.types.int, lane))
                }
                _ => self.body.value(builder, index, &values),
            };
        }
        values
    }

    /// Base and stride of every operand for the whole quanta of a span: ends of contiguous operands, beginnings of
    /// others.
    fn whole_places(&self, builder: &mut FunctionBuilder, pointers: &[Value]) -> Vec<Option<(Value, Value)>> {
        let mut places = Vec::with_capacity(pointers.len());
        for (index, pointer) in pointers.iter().enumerate() {
            places.push(match self.access[index] {
                Access::Broadcast | Access::Prefetch => None,
                Access::Strided => Some((*pointer, self.strides[index])),
                Access::BlockCyclic => Some((*pointer, *pointer)),
                Access::Accumulator(_) => {
                    let lanes = self.lanes_of(builder, index);
                    Some((lanes, lanes))
                }
                Access::Contiguous => {
                    let bytes = self.scaled(builder, index, self.main_bytes);
                    let end = builder.ins().iadd(*pointer, bytes);
                    Some((end, end))
                }
            });
        }
        places
    }
}

/// Whether the program rounds to integers, which very old x86-64 machines have no instruction for.
pub(super) fn needs_rounding(pass: &Pass) -> bool {
    pass.program.instructions.iter().any(|instruction| {
        matches!(
            instruction,
            Instruction::Apply { op: LaneOp::Floor | LaneOp::Ceil | LaneOp::Trunc | LaneOp::Round, .. }
        )
    })
}
