//! Writes lane programs: hash-consing, constant folding and simplification while building.
//!
//! Whatever is simplified here keeps every bit (NaN as a class), for the same reason as the exact rewrites of graphs:
//! fused and unfused execution simplify different programs and must agree. Folding evaluates the op's own meaning in the
//! program's dtype, so a folded constant is what a backend would have computed.

use super::op::{LaneKind, LaneOp, ReductionOperator};
use super::program::{Instruction, LaneProgram, OperandId, Shift, Value};
use crate::array::ComputeDtype;
use rustc_hash::{FxBuildHasher, FxHashMap};

/// Room for so many instructions is made at once: a few activations, constants and dead values included.
const USUAL_LENGTH: usize = 224;

/// Builds one [`LaneProgram`].
#[derive(Debug)]
pub struct LaneBuilder {
    dtype: ComputeDtype,
    fma: bool,
    instructions: Vec<Instruction>,
    known: FxHashMap<Instruction, Value>,
    sinks: Vec<Instruction>,
}

impl LaneBuilder {
    /// A builder for lanes of `dtype`, for machines with (`fma`) or without a fused multiply-add.
    pub fn new(dtype: ComputeDtype, fma: bool) -> LaneBuilder {
        let known = FxHashMap::with_capacity_and_hasher(USUAL_LENGTH, FxBuildHasher);
        LaneBuilder { dtype, fma, instructions: Vec::with_capacity(USUAL_LENGTH), known, sinks: Vec::new() }
    }

    /// The dtype of float lanes.
    pub fn dtype(&self) -> ComputeDtype {
        self.dtype
    }

    /// Whether the machine has a fused multiply-add.
    pub fn has_fma(&self) -> bool {
        self.fma
    }

    /// The finished program: values first, then stores and accumulations in the order they were asked for. Values
    /// that nothing reads are dropped.
    pub fn finish(self) -> LaneProgram {
        let mut live = vec![false; self.instructions.len()];
        for sink in &self.sinks {
            for value in sink.arguments() {
                live[value.index()] = true;
            }
        }
        for (index, instruction) in self.instructions.iter().enumerate().rev() {
            if live[index] {
                for value in instruction.arguments() {
                    live[value.index()] = true;
                }
            }
        }
        let mut places = vec![Value::from_index(0); self.instructions.len()];
        let mut instructions = Vec::with_capacity(self.instructions.len() + self.sinks.len());
        for (index, instruction) in self.instructions.iter().enumerate().filter(|(index, _)| live[*index]) {
            places[index] = Value::from_index(instructions.len());
            instructions.push(renumber(*instruction, &places));
        }
        instructions.extend(self.sinks.iter().map(|sink| renumber(*sink, &places)));
        LaneProgram { dtype: self.dtype, instructions }
    }

    fn push(&mut self, instruction: Instruction) -> Value {
        let next = Value::from_index(self.instructions.len());
        let value = *self.known.entry(instruction).or_insert(next);
        if value == next {
            self.instructions.push(instruction);
        }
        value
    }

    /// An instruction of another program, its arguments values of this one. Returns the value it makes; any value for a sink.
    pub(super) fn take(&mut self, instruction: Instruction) -> Value {
        match instruction {
            Instruction::Apply { op, .. } => self.apply(op, instruction.arguments()),
            Instruction::Shift { direction, value, count } => self.shift(direction, value, count),
            Instruction::Store { .. } | Instruction::StoreBits { .. } | Instruction::Accumulate { .. } => {
                self.sinks.push(instruction);
                Value::from_index(0)
            }
            Instruction::Constant { .. } | Instruction::Load { .. } | Instruction::LoadBits { .. } => {
                self.push(instruction)
            }
        }
    }

    // ---- operands

    /// Loads a lane of an operand.
    pub fn load(&mut self, operand: OperandId) -> Value {
        self.push(Instruction::Load { operand })
    }

    /// Loads the bits of an element, zeros above.
    pub fn load_bits(&mut self, operand: OperandId) -> Value {
        self.push(Instruction::LoadBits { operand })
    }

    /// Stores the low bits of an integer as an element.
    pub fn store_bits(&mut self, operand: OperandId, value: Value) {
        self.sinks.push(Instruction::StoreBits { operand, value });
    }

    /// Stores a float to an operand.
    pub fn store(&mut self, operand: OperandId, value: Value) {
        self.sinks.push(Instruction::Store { operand, value });
    }

    /// Takes a float into an accumulator.
    pub fn accumulate(&mut self, operand: OperandId, combine: ReductionOperator, value: Value) {
        self.sinks.push(Instruction::Accumulate { operand, combine, value });
    }

    // ---- constants

    /// A float, rounded to the lane's dtype.
    pub fn number(&mut self, value: f64) -> Value {
        let bits = match self.dtype {
            ComputeDtype::F32 => u64::from((value as f32).to_bits()),
            ComputeDtype::F64 => value.to_bits(),
        };
        self.push(Instruction::Constant { kind: LaneKind::Float, bits })
    }

    /// A float that depends on the dtype.
    pub fn number_of(&mut self, f32: f32, f64: f64) -> Value {
        match self.dtype {
            ComputeDtype::F32 => self.number(f64::from(f32)),
            ComputeDtype::F64 => self.number(f64),
        }
    }

    /// An integer; its low bits where the lane is narrower.
    pub fn integer(&mut self, bits: u64) -> Value {
        let bits = bits & self.all_ones();
        self.push(Instruction::Constant { kind: LaneKind::Int, bits })
    }

    /// A mask, the same in all lanes.
    pub fn mask(&mut self, set: bool) -> Value {
        let bits = if set { self.all_ones() } else { 0 };
        self.push(Instruction::Constant { kind: LaneKind::Mask, bits })
    }

    /// The value of a float constant.
    pub fn known_number(&self, value: Value) -> Option<f64> {
        match self.instructions[value.index()] {
            Instruction::Constant { kind: LaneKind::Float, bits } => Some(match self.dtype {
                ComputeDtype::F32 => f64::from(f32::from_bits(bits as u32)),
                ComputeDtype::F64 => f64::from_bits(bits),
            }),
            _ => None,
        }
    }

    fn all_ones(&self) -> u64 {
        u64::MAX >> (64 - 8 * self.dtype.size())
    }

    fn known_bits(&self, value: Value) -> Option<u64> {
        match self.instructions[value.index()] {
            Instruction::Constant { bits, .. } => Some(bits),
            _ => None,
        }
    }

    // ---- operations

    /// Any op; arguments as many as its arity.
    pub fn apply(&mut self, op: LaneOp, arguments: &[Value]) -> Value {
        debug_assert_eq!(arguments.len(), op.arguments().len());
        debug_assert!(self.fma || !matches!(op, LaneOp::Fma | LaneOp::Fms | LaneOp::Fnma), "no fma on this machine");
        if let Some(value) = self.fold(op, arguments).or_else(|| self.simplify(op, arguments)) {
            return value;
        }
        // One order for commutative ops, so that equal values are found equal. (Min and Max are not commutative.)
        let (first, second) = (arguments[0], arguments.get(1).copied().unwrap_or(arguments[0]));
        let (first, second) = if op.is_commutative() && second < first { (second, first) } else { (first, second) };
        let padded = match arguments.len() {
            1 => [first; 3],
            2 => [first, second, first],
            _ => [first, second, arguments[2]],
        };
        self.push(Instruction::Apply { op, arguments: padded })
    }

    fn fold(&mut self, op: LaneOp, arguments: &[Value]) -> Option<Value> {
        let mut bits = [0u64; 3];
        for (slot, argument) in bits.iter_mut().zip(arguments) {
            *slot = self.known_bits(*argument)?;
        }
        let bits = match self.dtype {
            ComputeDtype::F32 => u64::from(op.evaluate::<f32>(bits.map(|b| b as u32))),
            ComputeDtype::F64 => op.evaluate::<f64>(bits),
        };
        Some(self.push(Instruction::Constant { kind: op.result(), bits }))
    }

    /// Simplifications that keep every bit. The reason stands beside each.
    fn simplify(&mut self, op: LaneOp, arguments: &[Value]) -> Option<Value> {
        let one_of = |builder: &LaneBuilder, wanted: f64| {
            let is = |value: Value| builder.known_number(value).is_some_and(|n| n.to_bits() == wanted.to_bits());
            if is(arguments[1]) {
                Some(arguments[0])
            } else if is(arguments[0]) {
                Some(arguments[1])
            } else {
                None
            }
        };
        match op {
            // x · 1 is x for every x, NaN as a class.
            LaneOp::Mul => one_of(self, 1.0),
            // x + (−0) is x for every x: −0 + −0 = −0 and +0 + −0 = +0.
            LaneOp::Add => one_of(self, -0.0),
            // x − (+0) is x + (−0).
            LaneOp::Sub if self.known_number(arguments[1]).is_some_and(|n| n.to_bits() == 0) => Some(arguments[0]),
            LaneOp::Div => {
                let divisor = self.known_number(arguments[1])?;
                if divisor == 1.0 {
                    return Some(arguments[0]);
                }
                // Dividing by a power of two is multiplying by its reciprocal, if that is a normal number: both round
                // the same exact value.
                let reciprocal = 1.0 / divisor;
                let exact = divisor.is_normal()
                    && divisor.to_bits() & ((1 << 52) - 1) == 0
                    && match self.dtype {
                        ComputeDtype::F32 => (reciprocal as f32).is_normal(),
                        ComputeDtype::F64 => reciprocal.is_normal(),
                    };
                if !exact {
                    return None;
                }
                let reciprocal = self.number(reciprocal);
                Some(self.mul(arguments[0], reciprocal))
            }
            // Sign operations are bit operations.
            LaneOp::Neg => match self.instructions[arguments[0].index()] {
                Instruction::Apply { op: LaneOp::Neg, arguments: inner } => Some(inner[0]),
                _ => None,
            },
            LaneOp::Abs => match self.instructions[arguments[0].index()] {
                Instruction::Apply { op: LaneOp::Abs, .. } => Some(arguments[0]),
                Instruction::Apply { op: LaneOp::Neg, arguments: inner } => Some(self.abs(inner[0])),
                _ => None,
            },
            LaneOp::ToFloat => match self.instructions[arguments[0].index()] {
                Instruction::Apply { op: LaneOp::ToBits, arguments: inner } => Some(inner[0]),
                _ => None,
            },
            LaneOp::ToBits => match self.instructions[arguments[0].index()] {
                Instruction::Apply { op: LaneOp::ToFloat, arguments: inner } => Some(inner[0]),
                _ => None,
            },
            LaneOp::MaskNot => match self.instructions[arguments[0].index()] {
                Instruction::Apply { op: LaneOp::MaskNot, arguments: inner } => Some(inner[0]),
                // ¬(a = b) and a ≠ b agree on unordered operands too; < and ≤ have no such partner.
                Instruction::Apply { op: LaneOp::Equal, arguments: inner } => {
                    Some(self.apply(LaneOp::Unequal, &inner[..2]))
                }
                Instruction::Apply { op: LaneOp::Unequal, arguments: inner } => {
                    Some(self.apply(LaneOp::Equal, &inner[..2]))
                }
                _ => None,
            },
            LaneOp::Select => {
                let [mask, then, otherwise] = [arguments[0], arguments[1], arguments[2]];
                if then == otherwise {
                    return Some(then);
                }
                match self.instructions[mask.index()] {
                    Instruction::Constant { bits, .. } => Some(if bits == 0 { otherwise } else { then }),
                    Instruction::Apply { op: LaneOp::MaskNot, arguments: inner } => {
                        Some(self.select(inner[0], otherwise, then))
                    }
                    // (a < b ? a : b) and (b > a ? b : a) are what Min and Max mean.
                    Instruction::Apply { op: LaneOp::Less, arguments: [a, b, _] } if (then, otherwise) == (a, b) => {
                        Some(self.apply(LaneOp::Min, &[a, b]))
                    }
                    Instruction::Apply { op: LaneOp::Less, arguments: [a, b, _] } if (then, otherwise) == (b, a) => {
                        Some(self.apply(LaneOp::Max, &[b, a]))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// An integer shifted by a constant below the width, zeros in.
    pub fn shift(&mut self, direction: Shift, value: Value, count: u8) -> Value {
        if count == 0 {
            return value;
        }
        if let Some(bits) = self.known_bits(value) {
            return match direction {
                Shift::Left => self.integer(bits << count),
                Shift::Right => self.integer(bits >> count),
            };
        }
        self.push(Instruction::Shift { direction, value, count })
    }

    /// a · b + c with one rounding where the machine has it, else with two. For polynomials, whose bound counts on
    /// neither.
    pub fn multiply_add(&mut self, a: Value, b: Value, c: Value) -> Value {
        if self.fma {
            self.apply(LaneOp::Fma, &[a, b, c])
        } else {
            let product = self.mul(a, b);
            self.add(product, c)
        }
    }

    /// The polynomial Σ `coefficients[k]` · xᵏ by Horner's rule.
    pub fn horner(&mut self, x: Value, coefficients: &[f64]) -> Value {
        let (last, rest) = coefficients.split_last().expect("a polynomial has a coefficient");
        let mut sum = self.number(*last);
        for coefficient in rest.iter().rev() {
            let coefficient = self.number(*coefficient);
            sum = self.multiply_add(sum, x, coefficient);
        }
        sum
    }
}

macro_rules! shorthand {
    ($($method:ident = $op:ident ($($argument:ident),*), $doc:literal;)*) => {
        #[allow(clippy::wrong_self_convention, reason = "methods are named after ops, `to_bits` among them")]
        impl LaneBuilder {
            $( #[doc = $doc] pub fn $method(&mut self, $($argument: Value),*) -> Value {
                self.apply(LaneOp::$op, &[$($argument),*])
            } )*
        }
    };
}
shorthand! {
    add = Add(a, b), "a + b.";
    sub = Sub(a, b), "a − b.";
    mul = Mul(a, b), "a · b.";
    div = Div(a, b), "a / b.";
    sqrt = Sqrt(a), "√a.";
    min = Min(a, b), "a < b ? a : b: with the constant first, NaN passes.";
    max = Max(a, b), "a > b ? a : b: with the constant first, NaN passes.";
    abs = Abs(a), "|a|.";
    neg = Neg(a), "−a.";
    less = Less(a, b), "a < b.";
    less_equal = LessEqual(a, b), "a ≤ b.";
    equal = Equal(a, b), "a = b.";
    unequal = Unequal(a, b), "a ≠ b or unordered.";
    select = Select(mask, a, b), "a where mask, else b.";
    to_bits = ToBits(a), "The bits of a float.";
    to_float = ToFloat(a), "The float of bits.";
    int_add = IntAdd(a, b), "a + b of integers.";
    int_sub = IntSub(a, b), "a − b of integers.";
    and = And(a, b), "Bitwise and of integers.";
    or = Or(a, b), "Bitwise or of integers.";
    xor = Xor(a, b), "Bitwise exclusive or of integers.";
    and_not = AndNot(a, b), "Bits of b that a does not have.";
    mask_and = MaskAnd(a, b), "Both.";
    mask_or = MaskOr(a, b), "Either.";
    mask_not = MaskNot(a), "Not.";
}

/// An instruction with each argument replaced by its place.
pub(super) fn renumber(instruction: Instruction, places: &[Value]) -> Instruction {
    let at = |value: Value| places[value.index()];
    match instruction {
        Instruction::Constant { .. } | Instruction::Load { .. } | Instruction::LoadBits { .. } => instruction,
        Instruction::Apply { op, arguments } => {
            let mut renumbered = [at(arguments[0]); 3];
            for (slot, argument) in renumbered.iter_mut().zip(&arguments[..op.arguments().len()]) {
                *slot = at(*argument);
            }
            Instruction::Apply { op, arguments: renumbered }
        }
        Instruction::Shift { direction, value, count } => Instruction::Shift { direction, value: at(value), count },
        Instruction::Store { operand, value } => Instruction::Store { operand, value: at(value) },
        Instruction::StoreBits { operand, value } => Instruction::StoreBits { operand, value: at(value) },
        Instruction::Accumulate { operand, combine, value } => {
            Instruction::Accumulate { operand, combine, value: at(value) }
        }
    }
}
