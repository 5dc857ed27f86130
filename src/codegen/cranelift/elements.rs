//! Elements narrower than lanes: how far apart they are, and vectors of their bits.
//!
//! Offsets in the loops count bytes of lanes. An operand whose elements are narrower is as many times nearer: offsets are
//! whole elements, so shifting them right is exact.

use super::body::VECTOR_BYTES;
use super::nest::{LoopNest, plain};
use cranelift::codegen::ir::{ConstantData, Endianness, MemFlagsData};
use cranelift::prelude::*;

impl LoopNest<'_> {
    /// The power of two by which an operand's elements are narrower than lanes.
    fn narrower(&self, operand: usize) -> i64 {
        i64::from(self.size.trailing_zeros()) - i64::from(self.pass.operands[operand].dtype.size().trailing_zeros())
    }

    /// How many of an operand's bytes so many bytes of lanes are.
    pub(super) fn operand_bytes(&self, operand: usize, lanes: i64) -> i64 {
        lanes >> self.narrower(operand)
    }

    /// The same of a number that is known only when the code runs.
    pub(super) fn scaled(&self, builder: &mut FunctionBuilder, operand: usize, lanes: Value) -> Value {
        match self.narrower(operand) {
            0 => lanes,
            shift => builder.ins().sshr_imm_u(lanes, shift),
        }
    }

    /// The integer that has the bits of an element.
    pub(super) fn element_type(&self, operand: usize) -> Type {
        match self.pass.operands[operand].dtype.size() {
            1 => types::I8,
            2 => types::I16,
            4 => types::I32,
            _ => types::I64,
        }
    }

    /// The bits of an element, zeros above, as wide as a lane.
    pub(super) fn load_element(&self, builder: &mut FunctionBuilder, operand: usize, place: Value) -> Value {
        let own = self.element_type(operand);
        let element = builder.ins().load(own, plain(), place, 0);
        let lane = self.body.types.int_lane;
        if own == lane { element } else { builder.ins().uextend(lane, element) }
    }

    /// Writes the low bits of a lane to an element.
    pub(super) fn store_element(&self, builder: &mut FunctionBuilder, operand: usize, lane: Value, place: Value) {
        let own = self.element_type(operand);
        let element = if own == self.body.types.int_lane { lane } else { builder.ins().ireduce(own, lane) };
        builder.ins().store(plain(), element, place, 0);
    }

    /// The bits of a vector's elements that lie together, zeros above.
    pub(super) fn load_bits(&self, builder: &mut FunctionBuilder, operand: usize, place: Value, offset: i32) -> Value {
        let int = self.body.types.int;
        let widths = self.narrower(operand);
        if widths == 0 {
            return builder.ins().load(int, plain(), place, offset);
        }
        // As many bytes as there are elements of them, in the low end of a vector; then wider and wider.
        let bytes = VECTOR_BYTES as i64 >> widths;
        let whole = match bytes {
            8 => types::I64,
            4 => types::I32,
            _ => types::I16,
        };
        let mut bits = builder.ins().load(whole, plain(), place, offset);
        let mut lane = whole;
        if whole == types::I16 {
            bits = builder.ins().uextend(types::I32, bits);
            lane = types::I32;
        }
        let mut vector =
            builder.ins().scalar_to_vector(lane.by(VECTOR_BYTES as u32 / lane.bytes()).expect("a vector"), bits);
        let mut element = self.element_type(operand);
        while element != self.body.types.int_lane {
            let narrow = element.by(VECTOR_BYTES as u32 / element.bytes()).expect("a vector");
            vector = builder.ins().bitcast(narrow, little(), vector);
            vector = builder.ins().uwiden_low(vector);
            element = element.double_width().expect("a lane is wider");
        }
        vector
    }

    /// Writes the low bits of a vector's lanes to elements that lie together.
    pub(super) fn store_bits(
        &self,
        builder: &mut FunctionBuilder,
        operand: usize,
        vector: Value,
        place: Value,
        offset: i32,
    ) {
        let widths = self.narrower(operand);
        if widths == 0 {
            builder.ins().store(plain(), vector, place, offset);
            return;
        }
        let size = self.pass.operands[operand].dtype.size();
        let lane = self.size as usize;
        let bytes = builder.ins().bitcast(types::I8X16, little(), vector);
        let places: Vec<u8> =
            (0..VECTOR_BYTES).map(|at| (at / size * lane + at % size) as u8 % VECTOR_BYTES as u8).collect();
        let places = builder.func.dfg.immediates.push(ConstantData::from(places));
        let packed = builder.ins().shuffle(bytes, bytes, places);
        let whole = match VECTOR_BYTES >> widths {
            8 => types::I64,
            4 => types::I32,
            _ => types::I16,
        };
        let lanes = whole.by(VECTOR_BYTES as u32 / whole.bytes()).expect("a vector");
        let packed = builder.ins().bitcast(lanes, little(), packed);
        let low = builder.ins().extractlane(packed, 0);
        builder.ins().store(plain(), low, place, offset);
    }

    /// A vector that repeats an element over and over.
    pub(super) fn repeated(&self, builder: &mut FunctionBuilder, operand: usize, place: Value) -> Value {
        let own = self.element_type(operand);
        let element = builder.ins().load(own, plain(), place, 0);
        builder.ins().splat(own.by(VECTOR_BYTES as u32 / own.bytes()).expect("a vector"), element)
    }
}

fn little() -> MemFlagsData {
    MemFlagsData::new().with_endianness(Endianness::Little)
}
