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
//! their beginning, by the byte index with gaps. A turn is never longer than a group of lanes.

use super::body::{Body, VECTOR_BYTES};
use super::target::Target;
use crate::lane::{ACCUMULATOR_LANES, CYCLE, Combine, Instruction, LaneOp, Layout, OperandArgument, Pass, Role};
use cranelift::codegen::ir::{BlockArg, Function, MemFlagsData, StackSlot};
use cranelift::prelude::*;
use std::mem::{offset_of, size_of};

/// How an operand is reached inside the loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Not at all: it was loaded before.
    Broadcast,
    /// Not at all: there is no instruction that fetches into a cache only.
    Prefetch,
    Contiguous,
    Strided,
    Cyclic,
    Accumulator(Combine),
}

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
    let nest = Nest {
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

fn accesses(pass: &Pass) -> Vec<Access> {
    let mut access: Vec<Access> = pass
        .operands
        .iter()
        .map(|operand| match operand.layout {
            _ if operand.role == Role::Prefetch => Access::Prefetch,
            Layout::Broadcast => Access::Broadcast,
            Layout::Contiguous | Layout::Streamed => Access::Contiguous,
            Layout::Strided => Access::Strided,
            Layout::Cyclic => Access::Cyclic,
        })
        .collect();
    for instruction in &pass.program.instructions {
        if let Instruction::Accumulate { operand, combine, .. } = instruction {
            access[operand.index()] = Access::Accumulator(*combine);
        }
    }
    access
}

pub(super) struct Nest<'a> {
    pub(super) pass: &'a Pass,
    pub(super) body: Body<'a>,
    uniform: Vec<bool>,
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
    arguments: Value,
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

impl Nest<'_> {
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
                Access::Contiguous | Access::Cyclic | Access::Accumulator(_) => {
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

    fn strided(&self) -> impl Iterator<Item = usize> {
        self.access.iter().enumerate().filter(|(_, access)| **access == Access::Strided).map(|(index, _)| index)
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
                Access::Cyclic => Some((*pointer, *pointer)),
                Access::Accumulator(_) => {
                    let lanes = self.lanes_of(builder, index);
                    Some((lanes, lanes))
                }
                Access::Contiguous => {
                    let end = builder.ins().iadd(*pointer, self.main_bytes);
                    Some((end, end))
                }
            });
        }
        places
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

    /// The loop over quanta: `index` counts up from `start` to zero.
    fn inner_loop(
        &self,
        builder: &mut FunctionBuilder,
        inner: Block,
        after: Block,
        start: Value,
        places: &[Option<(Value, Value)>],
        values: Vec<Option<Value>>,
    ) {
        builder.switch_to_block(inner);
        let index = builder.append_block_param(inner, self.pointer);
        // Where each operand is now: advancing pointers of strided ones, ends of contiguous ones, lanes of accumulators.
        let mut current: Vec<Option<Value>> = places.iter().map(|place| place.map(|(base, _)| base)).collect();
        for strided in self.strided() {
            current[strided] = Some(builder.append_block_param(inner, self.pointer));
        }
        let (mut lanes, mut with_gaps) = (None, None);
        for (operand, access) in self.access.iter().enumerate() {
            let Some(base) = current[operand] else { continue };
            current[operand] = match access {
                Access::Contiguous => Some(builder.ins().iadd(base, index)),
                Access::Accumulator(_) => {
                    let lane = *lanes.get_or_insert_with(|| {
                        let done = builder.ins().isub(index, start);
                        builder.ins().band_imm_u(done, self.lanes_bytes() - 1)
                    });
                    Some(builder.ins().iadd(base, lane))
                }
                Access::Cyclic => {
                    let offset = *with_gaps.get_or_insert_with(|| {
                        let done = builder.ins().isub(index, start);
                        self.cyclic_offset(builder, done)
                    });
                    Some(builder.ins().iadd(base, offset))
                }
                Access::Strided | Access::Broadcast | Access::Prefetch => Some(base),
            };
        }
        self.vectors(builder, places, &mut current, values);
        let advanced = builder.ins().iadd_imm_s(index, self.quantum);
        let again: Vec<Value> = std::iter::once(advanced).chain(self.strided().filter_map(|i| current[i])).collect();
        builder.ins().brif(advanced, inner, &block_arguments(again), after, &[]);
    }

    /// The body, for all vectors of a turn: they take turns instruction by instruction, so that their chains of dependent
    /// operations run side by side. (All loads still come before all stores.) Pointers of strided operands are behind
    /// the last element afterwards.
    fn vectors(
        &self,
        builder: &mut FunctionBuilder,
        places: &[Option<(Value, Value)>],
        current: &mut [Option<Value>],
        values: Vec<Option<Value>>,
    ) {
        let mut values = vec![values; self.unroll];
        let lane_count = VECTOR_BYTES as i64 / self.size;
        let strides: Vec<Option<Value>> = places.iter().map(|place| place.map(|(_, stride)| stride)).collect();
        // The lanes' addresses of strided operands, made when an operand is first met.
        let lane_places = |builder: &mut FunctionBuilder, current: &mut [Option<Value>], operand: usize| {
            let mut lanes = Vec::new();
            if let (Some(mut place), Some(stride)) = (current[operand], strides[operand]) {
                for _ in 0..lane_count {
                    lanes.push(place);
                    place = builder.ins().iadd(place, stride);
                }
                current[operand] = Some(place);
            }
            lanes
        };
        let mut met: Vec<bool> = vec![false; current.len()];
        let base = |current: &[Option<Value>], operand: usize| match current[operand] {
            Some(base) => base,
            None => unreachable!("only operands that are read are broadcast, and their loads are uniform"),
        };
        for (index, instruction) in self.pass.program.instructions.iter().enumerate() {
            if self.uniform[index] {
                continue;
            }
            // One load of a constant serves all vectors; it is forgotten after the instruction, to keep registers free.
            let shared: Vec<_> =
                instruction.arguments().iter().filter(|argument| self.body.shares(index, **argument)).collect();
            for argument in &shared {
                let constant = self.body.argument(builder, **argument, &values[0]);
                values.iter_mut().for_each(|values| values[argument.index()] = Some(constant));
            }
            for (vector, values) in values.iter_mut().enumerate() {
                let offset = (vector * VECTOR_BYTES) as i32;
                match instruction {
                    Instruction::Load { operand } => {
                        let operand = operand.index();
                        values[index] = Some(if self.access[operand] == Access::Strided {
                            met[operand] = true;
                            let lanes = lane_places(builder, current, operand);
                            self.load_lanes(builder, &lanes)
                        } else {
                            self.load_vector(builder, base(current, operand), offset)
                        });
                    }
                    Instruction::Store { operand, value } => {
                        let operand = operand.index();
                        let value = self.body.argument(builder, *value, values);
                        if self.access[operand] == Access::Strided {
                            met[operand] = true;
                            for (lane, place) in lane_places(builder, current, operand).into_iter().enumerate() {
                                let element = builder.ins().extractlane(value, lane as u8);
                                builder.ins().store(plain(), element, place, 0);
                            }
                        } else {
                            builder.ins().store(plain(), value, base(current, operand), offset);
                        }
                    }
                    Instruction::Accumulate { operand, combine, value } => {
                        let value = self.body.argument(builder, *value, values);
                        let place = base(current, operand.index());
                        let lanes = self.load_vector(builder, place, offset);
                        let combined = self.body.combine(builder, *combine, lanes, value);
                        builder.ins().store(plain(), combined, place, offset);
                    }
                    _ => values[index] = self.body.value(builder, index, values),
                }
            }
            for argument in shared {
                values.iter_mut().for_each(|values| values[argument.index()] = None);
            }
        }
        // An operand nobody reads still has a pointer to advance.
        for operand in self.strided().filter(|operand| !met[*operand]) {
            for _ in 0..self.unroll {
                let _ = lane_places(builder, current, operand);
            }
        }
    }

    /// A vector of elements that lie together, at any address.
    ///
    /// Without AVX a comparison may not take an operand from an address that is no multiple of 16, but Cranelift 0.135
    /// folds loads into `cmpps` all the same. It does not look through a bitcast, which is no instruction.
    fn load_vector(&self, builder: &mut FunctionBuilder, place: Value, offset: i32) -> Value {
        let types = self.body.types;
        if self.body.folds_unaligned_loads() {
            return builder.ins().load(types.float, plain(), place, offset);
        }
        let bits = builder.ins().load(types.int, plain(), place, offset);
        builder.ins().bitcast(types.float, MemFlagsData::new(), bits)
    }

    /// A vector of elements that lie apart.
    fn load_lanes(&self, builder: &mut FunctionBuilder, lanes: &[Value]) -> Value {
        let types = self.body.types;
        let mut vector = None;
        for (lane, place) in lanes.iter().enumerate() {
            let element = builder.ins().load(types.float_lane, plain(), *place, 0);
            vector = Some(match vector {
                None => builder.ins().scalar_to_vector(types.float, element),
                Some(vector) => builder.ins().insertlane(vector, element, lane as u8),
            });
        }
        vector.unwrap_or_else(|| unreachable!("a vector has lanes"))
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
