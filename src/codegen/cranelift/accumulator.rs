//! Accumulators: lanes on the stack, combined and written when a span ends.
//!
//! There are too many lanes to keep in registers, and each is met so seldom (once in 32 elements) that memory is as
//! fast.

use super::body::VECTOR_BYTES;
use super::nest::{Access, LoopNest, aligned, plain};
use crate::lane::{ACCUMULATOR_LANES, ReductionOperator};
use cranelift::prelude::*;

impl LoopNest<'_> {
    /// The bytes of the lanes of an accumulator, a power of two.
    pub(super) fn lanes_bytes(&self) -> i64 {
        ACCUMULATOR_LANES as i64 * self.size
    }

    /// The accumulators: operand, how it combines, and where in `lanes` it is.
    fn accumulators(&self) -> impl Iterator<Item = (usize, ReductionOperator, i32)> {
        let accumulators = self.access.iter().enumerate().filter_map(|(operand, access)| match access {
            Access::Accumulator(combine) => Some((operand, *combine)),
            _ => None,
        });
        let bytes = self.lanes_bytes() as i32;
        accumulators.zip(0..).map(move |((operand, combine), place)| (operand, combine, place * bytes))
    }

    /// The address of an accumulator's lanes.
    pub(super) fn lanes_of(&self, builder: &mut FunctionBuilder, accumulator: usize) -> Value {
        let place = self.accumulators().find(|(operand, ..)| *operand == accumulator).map_or(0, |(.., place)| place);
        builder.ins().stack_addr(self.pointer, self.lanes, place)
    }

    pub(super) fn start_accumulators(&self, builder: &mut FunctionBuilder) {
        for (_, combine, place) in self.accumulators() {
            let identity = self.body.identity(builder, combine);
            let lanes = builder.ins().stack_addr(self.pointer, self.lanes, place);
            for offset in (0..self.lanes_bytes() as i32).step_by(VECTOR_BYTES) {
                builder.ins().store(aligned(), identity, lanes, offset);
            }
        }
    }

    /// Combines the lanes of the accumulators by the tree of [`crate::lane::combine_lanes`], and writes the elements.
    pub(super) fn finish_accumulators(&self, builder: &mut FunctionBuilder, pointers: &[Value]) {
        let float = self.body.types.float;
        for (operand, combine, place) in self.accumulators() {
            let lanes = builder.ins().stack_addr(self.pointer, self.lanes, place);
            let mut vectors: Vec<Value> = (0..self.lanes_bytes() as i32)
                .step_by(VECTOR_BYTES)
                .map(|offset| builder.ins().load(float, aligned(), lanes, offset))
                .collect();
            // The upper half of the lanes goes into the lower half: first whole vectors, then within the last one.
            while vectors.len() > 1 {
                let upper = vectors.split_off(vectors.len() / 2);
                for (lower, upper) in vectors.iter_mut().zip(upper) {
                    *lower = self.body.combine(builder, combine, *lower, upper);
                }
            }
            let mut all = vectors[0];
            let mut half = VECTOR_BYTES / 2;
            while half >= self.size as usize {
                let upper = self.body.move_down(builder, all, half);
                all = self.body.combine(builder, combine, all, upper);
                half /= 2;
            }
            let element = builder.ins().extractlane(all, 0);
            builder.ins().store(plain(), element, pointers[operand], 0);
        }
    }
}
