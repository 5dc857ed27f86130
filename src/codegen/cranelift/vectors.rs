//! The inner loop: quantum after quantum, each a few vectors that take turns instruction by instruction.

use super::body::VECTOR_BYTES;
use super::nest::{Access, LoopNest, block_arguments, plain};
use crate::lane::Instruction;
use cranelift::codegen::ir::MemFlagsData;
use cranelift::prelude::*;

impl LoopNest<'_> {
    /// The loop over quanta: `index` counts up from `start` to zero.
    pub(super) fn inner_loop(
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
                Access::Contiguous => {
                    let index = self.scaled(builder, operand, index);
                    Some(builder.ins().iadd(base, index))
                }
                Access::Accumulator(_) => {
                    let lane = *lanes.get_or_insert_with(|| {
                        let done = builder.ins().isub(index, start);
                        builder.ins().band_imm_u(done, self.lanes_bytes() - 1)
                    });
                    Some(builder.ins().iadd(base, lane))
                }
                Access::BlockCyclic => {
                    let offset = *with_gaps.get_or_insert_with(|| {
                        let done = builder.ins().isub(index, start);
                        self.cyclic_offset(builder, done)
                    });
                    let offset = self.scaled(builder, operand, offset);
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
                    Instruction::LoadBits { operand } => {
                        let operand = operand.index();
                        values[index] = Some(if self.access[operand] == Access::Strided {
                            met[operand] = true;
                            let lanes = lane_places(builder, current, operand);
                            self.load_element_lanes(builder, operand, &lanes)
                        } else {
                            let offset = self.operand_bytes(operand, offset.into()) as i32;
                            self.load_bits(builder, operand, base(current, operand), offset)
                        });
                    }
                    Instruction::StoreBits { operand, value } => {
                        let operand = operand.index();
                        let value = self.body.argument(builder, *value, values);
                        if self.access[operand] == Access::Strided {
                            met[operand] = true;
                            for (lane, place) in lane_places(builder, current, operand).into_iter().enumerate() {
                                let lane = builder.ins().extractlane(value, lane as u8);
                                self.store_element(builder, operand, lane, place);
                            }
                        } else {
                            let offset = self.operand_bytes(operand, offset.into()) as i32;
                            self.store_bits(builder, operand, value, base(current, operand), offset);
                        }
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

    /// The bits of elements that lie apart.
    fn load_element_lanes(&self, builder: &mut FunctionBuilder, operand: usize, lanes: &[Value]) -> Value {
        let mut vector = None;
        for (lane, place) in lanes.iter().enumerate() {
            let element = self.load_element(builder, operand, *place);
            vector = Some(match vector {
                None => builder.ins().scalar_to_vector(self.body.types.int, element),
                Some(vector) => builder.ins().insertlane(vector, element, lane as u8),
            });
        }
        vector.unwrap_or_else(|| unreachable!("a vector has lanes"))
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
