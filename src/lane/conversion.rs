//! Conversions between storage and lanes, written as lane ops: for backends without an instruction for a dtype.
//!
//! A load becomes [`Instruction::LoadBits`] and some ops on integers, a store some ops and [`Instruction::StoreBits`]; what they
//! compute is what [`crate::array::Dtype`] says, bit for bit, NaN as a class. All formats go one way, since all are a sign, an exponent
//! and a mantissa:
//!
//! - widening moves the mantissa up and corrects the exponent; a subnormal is what its bits add to the least normal number;
//! - narrowing adds half of what is cut off, less one where the last bit kept is even, and moves down; a subnormal is rounded by adding a
//!   number whose last bit is worth as much as the subnormal's;
//! - integers are the low bits of a float whose last bit is worth 1; those of 32 bits in float32 are two halves.

use super::builder::{LaneBuilder, renumber};
use super::op::LaneOp;
use super::pass::{Layout, Operand, Pass};
use super::program::{Instruction, OperandId, Shift, Value};
use crate::array::{ComputeDtype, Dtype};

/// The fields of a binary format.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    /// Bits in all.
    width: u8,
    /// Bits of the mantissa, the leading one not counted.
    pub(crate) mantissa: u8,
    /// What exponents are stored above.
    pub(crate) bias: u64,
}

impl Format {
    /// The fields of a dtype, if it is one of floats.
    pub(crate) fn of(dtype: Dtype) -> Option<Format> {
        let format = |width, mantissa, bias| Some(Format { width, mantissa, bias });
        match dtype {
            Dtype::F64 => format(64, 52, 1023),
            Dtype::F32 => format(32, 23, 127),
            Dtype::F16 => format(16, 10, 15),
            Dtype::Bf16 => format(16, 7, 127),
            _ => None,
        }
    }

    /// The bits of an exponent and no mantissa.
    fn exponent(self, biased: u64) -> u64 {
        biased << self.mantissa
    }

    /// The bits of infinity.
    fn infinity(self) -> u64 {
        self.exponent(2 * self.bias + 1)
    }

    /// The bit of the sign.
    fn sign(self) -> u64 {
        1 << (self.width - 1)
    }
}

/// The pass with every conversion written as lane ops, but for dtypes that are `native` to a backend.
pub fn expand_conversions(pass: &Pass, native: impl Fn(Dtype) -> bool) -> Option<Pass> {
    expand_operands(pass, |operand| native(operand.dtype))
}

/// The pass with every conversion written as lane ops, but for those of operands that are `native` to a backend. `None` if that is all.
pub fn expand_operands(pass: &Pass, native: impl Fn(&Operand) -> bool) -> Option<Pass> {
    let expands = |operand: OperandId| !pass.is_plain(operand) && !native(&pass.operands[operand.index()]);
    let concerned = pass.program.instructions.iter().any(|instruction| match instruction {
        Instruction::Load { operand } | Instruction::Store { operand, .. } => expands(*operand),
        _ => false,
    });
    if !concerned {
        return None;
    }
    let to_upper_half = |instruction: &Instruction| match instruction {
        Instruction::Store { operand, .. } => expands(*operand) && pass.operands[operand.index()].dtype == Dtype::Bf16,
        _ => false,
    };
    let rounds_upper_halves = pass.program.instructions.iter().any(to_upper_half);
    // Ops of the program are taken as they are, fused or not.
    let mut conversion = Conversion { builder: LaneBuilder::new(pass.program.dtype, true), lane: pass.program.dtype };
    let mut values: Vec<Value> = Vec::with_capacity(pass.program.instructions.len());
    let mut short_nans: Vec<bool> = Vec::with_capacity(pass.program.instructions.len());
    for instruction in &pass.program.instructions {
        let dtype = |operand: OperandId| pass.operands[operand.index()].dtype;
        let value = match *instruction {
            Instruction::Load { operand } if expands(operand) => {
                let bits = conversion.builder.load_bits(operand);
                conversion.load(dtype(operand), bits)
            }
            Instruction::Store { operand, value } if expands(operand) => {
                let bits = conversion.store(dtype(operand), values[value.index()], short_nans[value.index()]);
                conversion.builder.store_bits(operand, bits);
                bits
            }
            // Once a span, to spare each store a look for NaN.
            Instruction::Load { operand } if rounds_upper_halves && is_uniform_float(pass, operand) => {
                let loaded = conversion.builder.load(operand);
                let is_nan = conversion.builder.unequal(loaded, loaded);
                let nan = conversion.builder.number(f64::NAN);
                conversion.builder.select(is_nan, nan, loaded)
            }
            _ => conversion.builder.take(renumber(*instruction, &values)),
        };
        values.push(value);
        if rounds_upper_halves {
            short_nans.push(has_short_nans(pass, instruction, &short_nans));
        } else {
            short_nans.push(false);
        }
    }
    Some(Pass { name: pass.name.clone(), program: conversion.builder.finish(), operands: pass.operands.clone() })
}

/// Whether an operand is one element for all lanes, whose NaNs may have any bits.
fn is_uniform_float(pass: &Pass, operand: OperandId) -> bool {
    let Operand { dtype, layout, .. } = &pass.operands[operand.index()];
    *layout == Layout::Broadcast && matches!(dtype, Dtype::F32 | Dtype::F16) && pass.program.dtype == ComputeDtype::F32
}

/// Whether all NaNs that an instruction may give are zero in the lower half of a float32, so that rounding to the upper half leaves them a
/// NaN. (One of another kind may be rounded up past its exponent.) The machine's own NaN is, and those of bfloat16 are; arithmetic gives an argument's NaN, made quiet,
/// or the machine's own; integers are no NaN. `before` says the same of the instructions before.
fn has_short_nans(pass: &Pass, instruction: &Instruction, before: &[bool]) -> bool {
    const LOWER_HALF: u64 = 0xffff;
    if pass.program.dtype != ComputeDtype::F32 {
        return false;
    }
    let all = |arguments: &[Value]| arguments.iter().all(|argument| before[argument.index()]);
    let any = |arguments: &[Value]| arguments.iter().any(|argument| before[argument.index()]);
    match instruction {
        Instruction::Constant { bits, .. } => bits & LOWER_HALF == 0 || !f32::from_bits(*bits as u32).is_nan(),
        Instruction::Load { operand } => {
            let dtype = pass.operands[operand.index()].dtype;
            is_uniform_float(pass, *operand) || !matches!(dtype, Dtype::F32 | Dtype::F16)
        }
        // The same bits, looked at as a float.
        Instruction::Apply { op: LaneOp::And, arguments } => any(&arguments[..2]),
        Instruction::Apply { op: LaneOp::Select, arguments } => all(&arguments[1..]),
        Instruction::Apply { op, arguments } => match op {
            LaneOp::Or | LaneOp::Xor | LaneOp::AndNot | LaneOp::IntAdd | LaneOp::IntSub => false,
            _ => all(&arguments[..op.arguments().len()]),
        },
        Instruction::Shift { direction: Shift::Left, count, .. } => *count >= 16,
        _ => false,
    }
}

/// Writes conversions.
struct Conversion {
    builder: LaneBuilder,
    lane: ComputeDtype,
}

impl Conversion {
    /// The format of lanes.
    fn format(&self) -> Format {
        Format::of(self.lane.storage()).expect("lanes are floats")
    }

    fn integer(&mut self, bits: u64) -> Value {
        self.builder.integer(bits)
    }

    /// The float that some bits are.
    fn float(&mut self, bits: u64) -> Value {
        let bits = self.builder.integer(bits);
        self.builder.to_float(bits)
    }

    fn left(&mut self, value: Value, count: u8) -> Value {
        self.builder.shift(Shift::Left, value, count)
    }

    fn right(&mut self, value: Value, count: u8) -> Value {
        self.builder.shift(Shift::Right, value, count)
    }

    /// An integer plus a constant.
    fn plus(&mut self, value: Value, constant: u64) -> Value {
        let constant = self.integer(constant);
        self.builder.int_add(value, constant)
    }

    fn masked(&mut self, value: Value, mask: u64) -> Value {
        let mask = self.integer(mask);
        self.builder.and(value, mask)
    }

    /// `then` where `mask`, else `otherwise`, of bits.
    fn select_bits(&mut self, mask: Value, then: Value, otherwise: Value) -> Value {
        let [then, otherwise] = [then, otherwise].map(|bits| self.builder.to_float(bits));
        let selected = self.builder.select(mask, then, otherwise);
        self.builder.to_bits(selected)
    }

    /// The float of an element's bits.
    fn load(&mut self, dtype: Dtype, bits: Value) -> Value {
        if let Some(narrow) = Format::of(dtype) {
            return self.widen(narrow, bits);
        }
        match dtype {
            Dtype::Bool => {
                let number = self.unsigned(bits, 0);
                let zero = self.builder.number(0.0);
                let one = self.builder.number(1.0);
                let is_zero = self.builder.equal(number, zero);
                self.builder.select(is_zero, zero, one)
            }
            Dtype::I32 | Dtype::U32 if self.lane == ComputeDtype::F32 => self.load_wide(bits, dtype == Dtype::I32),
            Dtype::I8 | Dtype::I16 | Dtype::I32 => {
                let sign = 1 << (8 * dtype.size() - 1);
                let flipped = self.integer(sign);
                let flipped = self.builder.xor(bits, flipped);
                self.unsigned(flipped, sign)
            }
            _ => self.unsigned(bits, 0),
        }
    }

    /// A small integer less a constant, as a float: the integer is the low bits of a number whose last bit is worth 1.
    fn unsigned(&mut self, bits: Value, less: u64) -> Value {
        let format = self.format();
        let unit = self.integer(format.exponent(format.bias + u64::from(format.mantissa)));
        let shifted = self.builder.or(bits, unit);
        let shifted = self.builder.to_float(shifted);
        let offset = self.builder.number((1u64 << format.mantissa) as f64 + less as f64);
        self.builder.sub(shifted, offset)
    }

    /// A 32-bit integer in float32: two exact halves, and one rounding where they are added.
    fn load_wide(&mut self, bits: Value, signed: bool) -> Value {
        let high = self.right(bits, 16);
        let high = if signed {
            let sign = self.integer(1 << 15);
            let flipped = self.builder.xor(high, sign);
            self.unsigned(flipped, 1 << 15)
        } else {
            self.unsigned(high, 0)
        };
        let low = self.masked(bits, 0xffff);
        let low = self.unsigned(low, 0);
        let scale = self.builder.number(65536.0);
        let high = self.builder.mul(high, scale);
        self.builder.add(high, low)
    }

    /// A narrower format's number as a lane.
    fn widen(&mut self, narrow: Format, bits: Value) -> Value {
        let wide = self.format();
        let up = wide.mantissa - narrow.mantissa;
        if narrow.bias == wide.bias {
            let bits = self.left(bits, wide.width - narrow.width);
            return self.builder.to_float(bits);
        }
        let distance = wide.bias - narrow.bias;
        let magnitude = self.masked(bits, narrow.sign() - 1);
        let sign = self.masked(bits, narrow.sign());
        let sign = self.left(sign, wide.width - narrow.width);
        let shifted = self.left(magnitude, up);
        let normal = self.plus(shifted, wide.exponent(distance));
        let normal_float = self.builder.to_float(normal);
        let least = self.float(wide.exponent(distance + 1));
        let subnormal = self.plus(normal, wide.exponent(1));
        let subnormal = self.builder.to_float(subnormal);
        let subnormal = self.builder.sub(subnormal, least);
        let past = self.float(wide.exponent(distance + 2 * narrow.bias + 1));
        let infinite = self.plus(normal, wide.exponent(2 * wide.bias + 1 - (distance + 2 * narrow.bias + 1)));
        let infinite = self.builder.to_float(infinite);
        let is_subnormal = self.builder.less(normal_float, least);
        let is_infinite = self.builder.less_equal(past, normal_float);
        let value = self.builder.select(is_infinite, infinite, normal_float);
        let value = self.builder.select(is_subnormal, subnormal, value);
        let value = self.builder.to_bits(value);
        let value = self.builder.or(value, sign);
        self.builder.to_float(value)
    }

    /// The bits of the element that a lane is stored as; what is above them is any value. NaNs are known to be short, or not
    /// ([`has_short_nans`]).
    fn store(&mut self, dtype: Dtype, value: Value, short_nans: bool) -> Value {
        if let Some(narrow) = Format::of(dtype) {
            return self.narrow(narrow, value, short_nans);
        }
        let zero = self.builder.number(0.0);
        if dtype == Dtype::Bool {
            let is_true = self.builder.unequal(value, zero);
            let [one, none] = [1, 0].map(|bits| self.integer(bits));
            return self.select_bits(is_true, one, none);
        }
        let is_nan = self.builder.unequal(value, value);
        let value = self.builder.select(is_nan, zero, value);
        let bits = 8 * dtype.size() as i32;
        let signed = matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32);
        let power = |exponent: i32| f64::from(exponent).exp2();
        let (low, past) = if signed { (-power(bits - 1), power(bits - 1)) } else { (0.0, power(bits)) };
        if self.lane == ComputeDtype::F32 && bits == 32 {
            return self.store_wide(value, low, past);
        }
        let clamped = self.clamp(value, low, past - 1.0);
        self.low_bits(clamped, true)
    }

    fn clamp(&mut self, value: Value, low: f64, high: f64) -> Value {
        let [low, high] = [low, high].map(|bound| self.builder.number(bound));
        let value = self.builder.max(value, low);
        self.builder.min(value, high)
    }

    /// A whole number of few bits, after rounding, as the low bits of a sum with a number whose last bit is worth 1; with room below it for
    /// negative numbers, if there are some.
    fn low_bits(&mut self, value: Value, may_be_negative: bool) -> Value {
        let unit = (1u64 << self.format().mantissa) as f64;
        let unit = self.builder.number(if may_be_negative { 1.5 * unit } else { unit });
        let sum = self.builder.add(value, unit);
        self.builder.to_bits(sum)
    }

    /// A float32 as a 32-bit integer from `low` to below `past`, by halves.
    fn store_wide(&mut self, value: Value, low: f64, past: f64) -> Value {
        let greatest = f64::from((past as f32).next_down());
        let clamped = self.clamp(value, low, greatest);
        let whole = self.builder.apply(LaneOp::Round, &[clamped]);
        let [scale, inverse] = [65536.0, 1.0 / 65536.0].map(|factor| self.builder.number(factor));
        let high = self.builder.mul(whole, inverse);
        let high = self.builder.apply(LaneOp::Floor, &[high]);
        let back = self.builder.mul(high, scale);
        let rest = self.builder.sub(whole, back);
        let high = self.low_bits(high, true);
        let high = self.left(high, 16);
        let rest = self.low_bits(rest, false);
        let rest = self.masked(rest, 0xffff);
        let bits = self.builder.or(high, rest);
        let past_value = self.builder.number(past);
        let is_past = self.builder.less_equal(past_value, value);
        let last = self.integer(if low < 0.0 { 0x7fff_ffff } else { 0xffff_ffff });
        self.select_bits(is_past, last, bits)
    }

    /// A lane rounded to a narrower format.
    fn narrow(&mut self, narrow: Format, value: Value, short_nans: bool) -> Value {
        let wide = self.format();
        let down = wide.mantissa - narrow.mantissa;
        let bits = self.builder.to_bits(value);
        let half = (1u64 << (down - 1)) - 1;
        let rounded = |conversion: &mut Conversion, bits: Value, less: u64| {
            let odd = conversion.right(bits, down);
            let odd = conversion.masked(odd, 1);
            let sum = conversion.builder.int_add(bits, odd);
            conversion.plus(sum, half.wrapping_sub(less))
        };
        if narrow.bias == wide.bias {
            let mut sum = rounded(self, bits, 0);
            if !short_nans {
                let is_nan = self.builder.unequal(value, value);
                let quiet = self.integer((narrow.infinity() | 1 << (narrow.mantissa - 1)) << down);
                sum = self.select_bits(is_nan, quiet, sum);
            }
            return self.right(sum, down);
        }
        let is_nan = self.builder.unequal(value, value);
        let distance = wide.bias - narrow.bias;
        let sign = self.masked(bits, wide.sign());
        let magnitude = self.masked(bits, wide.sign() - 1);
        let size = self.builder.to_float(magnitude);
        let normal = rounded(self, magnitude, wide.exponent(distance));
        let normal = self.right(normal, down);
        let grid = wide.exponent(distance + u64::from(down) + 1);
        let grid_float = self.float(grid);
        let subnormal = self.builder.add(size, grid_float);
        let subnormal = self.builder.to_bits(subnormal);
        let grid = self.integer(grid);
        let subnormal = self.builder.int_sub(subnormal, grid);
        let least = self.float(wide.exponent(distance + 1));
        let is_subnormal = self.builder.less(size, least);
        let past = self.float(wide.exponent(wide.bias + narrow.bias + 1));
        let is_past = self.builder.less_equal(past, size);
        let infinity = self.integer(narrow.infinity());
        let quiet = self.integer(narrow.infinity() | 1 << (narrow.mantissa - 1));
        let number = self.select_bits(is_subnormal, subnormal, normal);
        let number = self.select_bits(is_past, infinity, number);
        let number = self.select_bits(is_nan, quiet, number);
        let sign = self.right(sign, wide.width - narrow.width);
        self.builder.or(number, sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::convert::{Computed, Stored, with_stored};
    use crate::lane::{Layout, Operand, Role};

    /// A program that loads a dtype and stores it as lanes are, or the other way round.
    fn pass(lane: ComputeDtype, from: Dtype, to: Dtype) -> Pass {
        let mut builder = LaneBuilder::new(lane, true);
        let value = builder.load(OperandId(0));
        builder.store(OperandId(1), value);
        let operand = |role, dtype| Operand { role, dtype, layout: Layout::Contiguous, name: "a".into() };
        let operands = vec![operand(Role::Read, from), operand(Role::Write, to)];
        let pass = Pass { name: "conversion".into(), program: builder.finish(), operands };
        let expanded = expand_conversions(&pass, |_| false).expect("something is converted");
        expanded.verify().expect("an expanded pass is one");
        expanded
    }

    /// Runs a program on one lane: the bits of an element in, the low bits of an element out.
    fn evaluate(pass: &Pass, element: u64) -> u64 {
        let mask = |bits: u64, bytes: usize| bits & (u64::MAX >> (64 - 8 * bytes));
        let lane = pass.program.dtype;
        let mut values: Vec<u64> = Vec::new();
        for instruction in &pass.program.instructions {
            values.push(match *instruction {
                Instruction::Constant { bits, .. } => bits,
                Instruction::Load { .. } | Instruction::LoadBits { .. } => element,
                Instruction::Apply { op, arguments } => {
                    let arguments = arguments.map(|argument| values[argument.index()]);
                    match lane {
                        ComputeDtype::F32 => op.evaluate::<f32>(arguments.map(|bits| bits as u32)).into(),
                        ComputeDtype::F64 => op.evaluate::<f64>(arguments),
                    }
                }
                Instruction::Shift { direction: Shift::Left, value, count } => {
                    mask(values[value.index()] << count, lane.size())
                }
                Instruction::Shift { direction: Shift::Right, value, count } => values[value.index()] >> count,
                Instruction::Store { value, .. } | Instruction::StoreBits { value, .. } => {
                    return mask(values[value.index()], pass.operands[1].dtype.size());
                }
                Instruction::Accumulate { .. } => unreachable!("nothing is accumulated"),
            });
        }
        unreachable!("the program stores")
    }

    /// Floats at and about all that conversions turn on, and many others.
    fn floats() -> Vec<f64> {
        let mut all = vec![0.0, f64::INFINITY, f64::NAN, 5e-324, f64::MAX, 65519.99, 65520.0, 3.4e38, 1e39];
        for power in -180..140 {
            let power = f64::from(power).exp2();
            for step in 0..64 {
                all.push(power * (1.0 + f64::from(step) / 64.0));
                all.push(power * (1.0 + f64::from(2 * step + 1) / 4096.0));
            }
        }
        for whole in
            [0.0, 1.0, 2.0, 126.0, 127.0, 128.0, 254.0, 255.0, 256.0, 32767.0, 65535.0, 2147483647.0, 4294967295.0]
        {
            all.extend([whole, whole + 0.5, whole + 0.49, whole - 0.5, f64::from((whole as f32).next_up())]);
        }
        let near: Vec<f64> = all.iter().flat_map(|value| [value.next_up(), value.next_down()]).collect();
        all.extend(near);
        let negative: Vec<f64> = all.iter().map(|value| -value).collect();
        all.extend(negative);
        all
    }

    fn check<L: Computed + Stored>(lane: ComputeDtype) {
        let own = lane.storage();
        for dtype in Dtype::ALL.iter().copied().filter(|dtype| *dtype != own && dtype.compute() <= lane) {
            let load = pass(lane, dtype, own);
            let store = pass(lane, own, dtype);
            let is_same = |a: u64, b: u64, dtype: Dtype| {
                let is_nan =
                    |bits: u64| Format::of(dtype).is_some_and(|format| bits & (format.sign() - 1) > format.infinity());
                a == b || (is_nan(a) && is_nan(b))
            };
            // Every element, or many.
            let bits = 8 * dtype.size();
            let step = if bits == 32 { 65_521 } else { 1 };
            for element in (0..1u64 << bits).step_by(step) {
                let expected = with_stored!(dtype, S => L::of_stored(S::of_bits(element)).raw_bits());
                let found = evaluate(&load, element);
                assert!(is_same(found, expected, own), "{dtype} {element:#x}: {found:#x} instead of {expected:#x}");
            }
            for value in floats() {
                let value = L::of_stored(value);
                let expected = with_stored!(dtype, S => value.stored::<S>().raw_bits());
                let found = evaluate(&store, value.raw_bits());
                assert!(
                    is_same(found, expected, dtype),
                    "{:#x} as {dtype}: {found:#x} instead of {expected:#x}",
                    value.raw_bits()
                );
            }
        }
    }

    #[test]
    fn lane_ops_convert_as_dtypes_say() {
        check::<f32>(ComputeDtype::F32);
        check::<f64>(ComputeDtype::F64);
    }

    #[test]
    fn what_is_native_is_left() {
        let mut builder = LaneBuilder::new(ComputeDtype::F32, true);
        let value = builder.load(OperandId(0));
        builder.store(OperandId(1), value);
        let operand = |role, dtype| Operand { role, dtype, layout: Layout::Contiguous, name: "a".into() };
        let operands = vec![operand(Role::Read, Dtype::F16), operand(Role::Write, Dtype::F32)];
        let pass = Pass { name: "conversion".into(), program: builder.finish(), operands };
        assert!(expand_conversions(&pass, |dtype| dtype == Dtype::F16).is_none());
    }
}
