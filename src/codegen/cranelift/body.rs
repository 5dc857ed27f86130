//! The body of the loop: lane operations as Cranelift instructions on 128-bit vectors.
//!
//! Compilation runs without Cranelift's optimiser, so what is written here is what is executed:
//! - the constants used most are loaded once, in the entry block; the others beside each use, once for all vectors of a
//!   turn, which keeps registers free;
//! - `min`, `max` and `select` take the shapes that become one instruction on x86-64;
//! - there, signs are changed by masks that are constants too, since Cranelift would build them anew each time.

use super::target::Target;
use crate::array::ComputeDtype;
use crate::codegen::isa::Isa;
use crate::lane::{Instruction, Lane, LaneKind, LaneOp, Pass, ReductionOperator, Shift};
use cranelift::codegen::ir::{ConstantData, MemFlagsData};
use cranelift::prelude::*;
use rustc_hash::FxHashMap;

/// The vector types of a dtype.
#[derive(Clone, Copy)]
pub(super) struct Types {
    /// A float lane.
    pub(super) float_lane: Type,
    /// An integer lane.
    pub(super) int_lane: Type,
    /// A vector of floats.
    pub(super) float: Type,
    /// A vector of integers, or of masks.
    pub(super) int: Type,
}

/// Bytes of a vector.
pub(super) const VECTOR_BYTES: usize = 16;

impl Types {
    pub(super) fn of(dtype: ComputeDtype) -> Types {
        match dtype {
            ComputeDtype::F32 => {
                Types { float_lane: types::F32, int_lane: types::I32, float: types::F32X4, int: types::I32X4 }
            }
            ComputeDtype::F64 => {
                Types { float_lane: types::F64, int_lane: types::I64, float: types::F64X2, int: types::I64X2 }
            }
        }
    }

    pub(super) fn of_kind(self, kind: LaneKind) -> Type {
        match kind {
            LaneKind::Float => self.float,
            LaneKind::Int | LaneKind::Mask => self.int,
        }
    }
}

/// Writes lane operations of one pass.
pub(super) struct Body<'a> {
    pass: &'a Pass,
    target: &'a Target,
    pub(super) types: Types,
    /// The constants kept in registers, by bits; vectors of the type they are used as.
    hoisted: FxHashMap<(LaneKind, u64), Value>,
    /// For each value the place of its last use in the loop; past the end if it outlives the turn.
    last_uses: Vec<usize>,
}

/// Floats and integers that share bits are different constants only in type; masks are integers.
fn constant_key(kind: LaneKind, bits: u64) -> (LaneKind, u64) {
    (if kind == LaneKind::Mask { LaneKind::Int } else { kind }, bits)
}

impl<'a> Body<'a> {
    /// Chooses the constants to keep in registers and loads them; `builder` is in the entry block.
    pub(super) fn new(pass: &'a Pass, uniform: &[bool], target: &'a Target, builder: &mut FunctionBuilder) -> Body<'a> {
        let types = Types::of(pass.program.dtype);
        let mut last_uses = pass.program.last_uses();
        for (last, _) in last_uses.iter_mut().zip(uniform).filter(|(_, uniform)| **uniform) {
            *last = usize::MAX;
        }
        let mut body = Body { pass, target, types, hoisted: FxHashMap::default(), last_uses };
        let mut uses: FxHashMap<(LaneKind, u64), (usize, usize)> = FxHashMap::default();
        let mut count = |kind: LaneKind, bits: u64, place: usize| {
            uses.entry(constant_key(kind, bits)).or_insert((0, place)).0 += 1;
        };
        let mut uniform_inputs = vec![false; uniform.len()];
        for (index, instruction) in pass.program.instructions.iter().enumerate().filter(|(index, _)| !uniform[*index]) {
            for argument in instruction.arguments() {
                match pass.program.instruction(*argument) {
                    Instruction::Constant { kind, bits } => count(*kind, *bits, index),
                    _ => uniform_inputs[argument.index()] = uniform[argument.index()],
                }
            }
            if let Instruction::Apply { op, .. } = instruction
                && let Some(bits) = body.sign_mask(*op)
            {
                count(LaneKind::Float, bits, index);
            }
        }
        // Registers for the values of the program and two for Cranelift to move things through; a few constants are
        // worth having even if something else is spilled for them.
        let registers = target.vector_registers();
        let taken = pass.most_live() + uniform_inputs.iter().filter(|flag| **flag).count() + 2;
        let room = registers.saturating_sub(taken).clamp(4, registers - 4);
        let mut ranked: Vec<_> = uses.into_iter().collect();
        // Most used first, then by place, so that equal passes give equal code.
        ranked.sort_unstable_by_key(|((_, bits), (count, place))| (std::cmp::Reverse(*count), *place, *bits));
        for ((kind, bits), _) in ranked.into_iter().take(room) {
            let value = body.constant(builder, kind, bits);
            body.hoisted.insert((kind, bits), value);
        }
        body
    }

    /// Whether a load folded into an instruction may be at any address: not without AVX.
    pub(super) fn folds_unaligned_loads(&self) -> bool {
        !self.target.x86 || self.target.level > Isa::Baseline
    }

    /// The bits of the mask that `Abs` and `Neg` use on x86-64.
    fn sign_mask(&self, op: LaneOp) -> Option<u64> {
        let width = self.pass.program.dtype.size() * 8;
        match op {
            LaneOp::Neg if self.target.x86 => Some(1 << (width - 1)),
            LaneOp::Abs if self.target.x86 => Some((1 << (width - 1)) - 1),
            _ => None,
        }
    }

    /// A vector with the same bits in every lane.
    pub(super) fn constant(&self, builder: &mut FunctionBuilder, kind: LaneKind, bits: u64) -> Value {
        let key = constant_key(kind, bits);
        if let Some(value) = self.hoisted.get(&key) {
            return *value;
        }
        let lane = self.pass.program.dtype.size();
        let bytes: Vec<u8> = bits.to_le_bytes()[..lane].iter().copied().cycle().take(VECTOR_BYTES).collect();
        let handle = builder.func.dfg.constants.insert(ConstantData::from(bytes));
        builder.ins().vconst(self.types.of_kind(kind), handle)
    }

    /// The vector an accumulator starts from.
    pub(super) fn identity(&self, builder: &mut FunctionBuilder, combine: ReductionOperator) -> Value {
        let bits = match self.pass.program.dtype {
            ComputeDtype::F32 => u64::from(combine.identity::<f32>().bits()),
            ComputeDtype::F64 => combine.identity::<f64>().bits(),
        };
        self.constant(builder, LaneKind::Float, bits)
    }

    /// The value of an instruction that is neither a load, a store nor an accumulation. `values` has the arguments;
    /// constants that have no value there are loaded on the spot.
    pub(super) fn value(&self, builder: &mut FunctionBuilder, index: usize, values: &[Option<Value>]) -> Option<Value> {
        let instruction = &self.pass.program.instructions[index];
        match instruction {
            Instruction::Constant { .. }
            | Instruction::Load { .. }
            | Instruction::LoadBits { .. }
            | Instruction::Store { .. }
            | Instruction::StoreBits { .. }
            | Instruction::Accumulate { .. } => None,
            Instruction::Shift { direction, value, count } => {
                let value = self.argument(builder, *value, values);
                let count = builder.ins().iconst(types::I32, i64::from(*count));
                Some(match direction {
                    Shift::Left => builder.ins().ishl(value, count),
                    Shift::Right => builder.ins().ushr(value, count),
                })
            }
            Instruction::Apply { op, .. } => {
                let mut arguments = [Value::from_u32(0); 3];
                for (slot, argument) in arguments.iter_mut().zip(instruction.arguments()) {
                    *slot = self.argument(builder, *argument, values);
                }
                // Many instructions write over their first argument: better one that nobody needs any more.
                if swaps(*op) && self.outlives(instruction.arguments()[0], index) {
                    arguments.swap(0, 1);
                }
                Some(self.apply(builder, *op, arguments))
            }
        }
    }

    /// Whether a value is needed after the instruction at `index`, or stays in its register anyway.
    fn outlives(&self, value: crate::lane::Value, index: usize) -> bool {
        match self.pass.program.instruction(value) {
            Instruction::Constant { .. } => self.is_hoisted(value) || self.shares(index, value),
            _ => self.last_uses[value.index()] > index,
        }
    }

    fn is_hoisted(&self, value: crate::lane::Value) -> bool {
        match self.pass.program.instruction(value) {
            Instruction::Constant { kind, bits } => self.hoisted.contains_key(&constant_key(*kind, *bits)),
            _ => false,
        }
    }

    /// Whether the vectors of a turn share one load of a constant that the instruction at `index` reads. A load each is
    /// better where the instruction writes over the constant because everything else is still needed.
    pub(super) fn shares(&self, index: usize, constant: crate::lane::Value) -> bool {
        let instruction = &self.pass.program.instructions[index];
        let is_constant = |value| matches!(self.pass.program.instruction(value), Instruction::Constant { .. });
        if !is_constant(constant) || self.is_hoisted(constant) {
            return false;
        }
        let Instruction::Apply { op, .. } = instruction else { return true };
        let fused = matches!(op, LaneOp::Fma | LaneOp::Fms | LaneOp::Fnma);
        let keeps_arguments = self.target.x86 && self.target.level > Isa::Baseline && !fused;
        if keeps_arguments || !swaps(*op) {
            return true;
        }
        let [first, second, ..] = *instruction.arguments() else { return true };
        let other = if constant == first { second } else { first };
        // An addend is never written over, nor a constant beside a value that ends here.
        (constant != first && constant != second) || (!is_constant(other) && self.last_uses[other.index()] <= index)
    }

    /// An argument's vector.
    pub(super) fn argument(
        &self,
        builder: &mut FunctionBuilder,
        argument: crate::lane::Value,
        values: &[Option<Value>],
    ) -> Value {
        match (values[argument.index()], self.pass.program.instruction(argument)) {
            (Some(value), _) => value,
            (None, Instruction::Constant { kind, bits }) => self.constant(builder, *kind, *bits),
            (None, instruction) => unreachable!("{instruction:?} comes before its uses in a verified pass"),
        }
    }

    fn apply(&self, builder: &mut FunctionBuilder, op: LaneOp, [a, b, c]: [Value; 3]) -> Value {
        let sign_mask = self.sign_mask(op).map(|bits| self.constant(builder, LaneKind::Float, bits));
        let Types { float, int, .. } = self.types;
        match op {
            LaneOp::Add => builder.ins().fadd(a, b),
            LaneOp::Sub => builder.ins().fsub(a, b),
            LaneOp::Mul => builder.ins().fmul(a, b),
            LaneOp::Div => builder.ins().fdiv(a, b),
            LaneOp::Fma => builder.ins().fma(a, b, c),
            // The negations are taken into the instruction (vfmsub, vfnmadd).
            LaneOp::Fms => {
                let negated = builder.ins().fneg(c);
                builder.ins().fma(a, b, negated)
            }
            LaneOp::Fnma => {
                let negated = builder.ins().fneg(a);
                builder.ins().fma(negated, b, c)
            }
            LaneOp::Sqrt => builder.ins().sqrt(a),
            LaneOp::Min => self.extremum(builder, a, b, (a, b)),
            LaneOp::Max => self.extremum(builder, a, b, (b, a)),
            LaneOp::Abs => match sign_mask {
                Some(mask) => builder.ins().band(a, mask),
                None => builder.ins().fabs(a),
            },
            LaneOp::Neg => match sign_mask {
                Some(mask) => builder.ins().bxor(a, mask),
                None => builder.ins().fneg(a),
            },
            LaneOp::Floor => builder.ins().floor(a),
            LaneOp::Ceil => builder.ins().ceil(a),
            LaneOp::Trunc => builder.ins().trunc(a),
            LaneOp::Round => builder.ins().nearest(a),
            LaneOp::Less => builder.ins().fcmp(FloatCC::LessThan, a, b),
            LaneOp::LessEqual => builder.ins().fcmp(FloatCC::LessThanOrEqual, a, b),
            LaneOp::Equal => builder.ins().fcmp(FloatCC::Equal, a, b),
            LaneOp::Unequal => builder.ins().fcmp(FloatCC::NotEqual, a, b),
            LaneOp::Select => self.select(builder, a, b, c),
            LaneOp::MaskAnd | LaneOp::And => builder.ins().band(a, b),
            LaneOp::MaskOr | LaneOp::Or => builder.ins().bor(a, b),
            LaneOp::MaskNot => builder.ins().bnot(a),
            LaneOp::ToBits => builder.ins().bitcast(int, MemFlagsData::new(), a),
            LaneOp::ToFloat => builder.ins().bitcast(float, MemFlagsData::new(), a),
            LaneOp::IntAdd => builder.ins().iadd(a, b),
            LaneOp::IntSub => builder.ins().isub(a, b),
            LaneOp::Xor => builder.ins().bxor(a, b),
            LaneOp::AndNot => builder.ins().band_not(b, a),
        }
    }

    /// `compared.0 < compared.1 ? a : b`. With (a, b) compared it is one `minps` on x86-64, with (b, a) one `maxps`.
    fn extremum(&self, builder: &mut FunctionBuilder, a: Value, b: Value, compared: (Value, Value)) -> Value {
        let less = builder.ins().fcmp(FloatCC::LessThan, compared.0, compared.1);
        let less = builder.ins().bitcast(self.types.float, MemFlagsData::new(), less);
        builder.ins().bitselect(less, a, b)
    }

    fn select(&self, builder: &mut FunctionBuilder, mask: Value, then: Value, otherwise: Value) -> Value {
        if self.target.x86 && self.target.has_rounding {
            // Masks are all ones or all zeros, so the sign bit decides: one blend, wherever the mask comes from.
            let [then, otherwise] =
                [then, otherwise].map(|value| builder.ins().bitcast(self.types.int, MemFlagsData::new(), value));
            let blended = builder.ins().blendv(mask, then, otherwise);
            builder.ins().bitcast(self.types.float, MemFlagsData::new(), blended)
        } else {
            let mask = builder.ins().bitcast(self.types.float, MemFlagsData::new(), mask);
            builder.ins().bitselect(mask, then, otherwise)
        }
    }

    /// The vector's bytes from `bytes` on moved to its beginning; what is behind them is any value.
    pub(super) fn move_down(&self, builder: &mut FunctionBuilder, vector: Value, bytes: usize) -> Value {
        let flags = MemFlagsData::new().with_endianness(cranelift::codegen::ir::Endianness::Little);
        let vector = builder.ins().bitcast(types::I8X16, flags, vector);
        let places: Vec<u8> = (0..VECTOR_BYTES).map(|byte| ((byte + bytes) % VECTOR_BYTES) as u8).collect();
        let places = builder.func.dfg.immediates.push(ConstantData::from(places));
        let moved = builder.ins().shuffle(vector, vector, places);
        builder.ins().bitcast(self.types.float, flags, moved)
    }

    /// An accumulator after taking in `value`.
    pub(super) fn combine(
        &self,
        builder: &mut FunctionBuilder,
        combine: ReductionOperator,
        accumulator: Value,
        value: Value,
    ) -> Value {
        let extremum = match combine {
            ReductionOperator::Sum => return builder.ins().fadd(accumulator, value),
            ReductionOperator::Max => self.extremum(builder, accumulator, value, (value, accumulator)),
            ReductionOperator::Min => self.extremum(builder, accumulator, value, (accumulator, value)),
        };
        // A NaN in the accumulator stays; one in `value` has already won.
        let is_nan = builder.ins().fcmp(FloatCC::Unordered, accumulator, accumulator);
        self.select(builder, is_nan, accumulator, extremum)
    }
}

/// Whether the first two arguments may trade places. (Not in `Min` and `Max`, where the second wins ties.)
fn swaps(op: LaneOp) -> bool {
    matches!(
        op,
        LaneOp::Add
            | LaneOp::Mul
            | LaneOp::Fma
            | LaneOp::Fms
            | LaneOp::Fnma
            | LaneOp::MaskAnd
            | LaneOp::MaskOr
            | LaneOp::IntAdd
            | LaneOp::And
            | LaneOp::Or
            | LaneOp::Xor
    )
}
