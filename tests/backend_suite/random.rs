//! Random lane programs, valid by construction, that shrink by losing instructions.
//!
//! A program is decoded from a list of numbers, an instruction each, so any list is a program and a shorter list is
//! a smaller one. One thing needs care: which NaN an operation gives is open, so the *bits* of a computed float are
//! taken only after a select has put a number in place of NaN. Floats whose bits are certain (loaded, constant, made
//! from integers, sign operations and selections of these) are taken as they are, NaN payloads and all.

use super::judge::Writer;
use super::values::{Random, all_ones, specials};
use fuselet::array::{ComputeDtype, Dtype};
use fuselet::lane::{LaneKind, LaneOp, Layout, Pass, ReductionOperator, Shift, Value};
use proptest::prelude::*;

/// What a random pass is decoded from.
#[derive(Clone, Debug)]
pub struct Choices {
    /// float64, else float32.
    pub wide: bool,
    /// Picks operands and sinks, and values to run on.
    pub seed: u64,
    /// An instruction each.
    pub instructions: Vec<u64>,
    /// Lanes of a span.
    pub span: usize,
    /// Spans.
    pub outer: usize,
}

impl Choices {
    /// Programs of up to a hundred instructions on spans of up to 150 lanes, now and then longer.
    pub fn strategy() -> impl Strategy<Value = Choices> {
        let instructions = prop::collection::vec(any::<u64>(), 1..100);
        let span = prop_oneof![8 => 0usize..150, 1 => 500usize..1200];
        (any::<bool>(), any::<u64>(), instructions, span, 0usize..4)
            .prop_map(|(wide, seed, instructions, span, outer)| Choices { wide, seed, instructions, span, outer })
    }
}

struct Pool {
    floats: Vec<Value>,
    integers: Vec<Value>,
    masks: Vec<Value>,
    /// Floats whose NaNs have certain bits.
    certain: Vec<bool>,
}

impl Pool {
    /// A value of a kind; half the time one of the latest, so that programs are deep.
    fn pick(&self, kind: LaneKind, random: &mut Random) -> Value {
        let values = match kind {
            LaneKind::Float => &self.floats,
            LaneKind::Int => &self.integers,
            LaneKind::Mask => &self.masks,
        };
        let from = if random.below(2) == 0 { values.len().saturating_sub(5) } else { 0 };
        values[from + random.below(values.len() - from)]
    }

    fn add(&mut self, kind: LaneKind, value: Value, certain: bool) {
        match kind {
            LaneKind::Float => self.floats.push(value),
            LaneKind::Int => self.integers.push(value),
            LaneKind::Mask => self.masks.push(value),
        }
        self.certain.resize(value.index() + 1, false);
        self.certain[value.index()] = certain;
    }

    fn is_certain(&self, value: Value) -> bool {
        self.certain.get(value.index()).copied().unwrap_or(false)
    }
}

/// The pass of these choices; with fused multiply-adds if `fma`.
pub fn random_pass(choices: &Choices, fma: bool) -> Pass {
    let dtype = if choices.wide { ComputeDtype::F64 } else { ComputeDtype::F32 };
    random_pass_of(choices, fma, &[dtype.storage()])
}

/// The same with operands that store their elements as any of these dtypes.
pub fn random_pass_of(choices: &Choices, fma: bool, dtypes: &[Dtype]) -> Pass {
    let dtype = if choices.wide { ComputeDtype::F64 } else { ComputeDtype::F32 };
    let mut storages = Random(!choices.seed);
    let mut storage = || dtypes[storages.below(dtypes.len())];
    let mut random = Random(choices.seed);
    let mut writer = Writer::new(dtype);
    let mut pool = Pool { floats: Vec::new(), integers: Vec::new(), masks: Vec::new(), certain: Vec::new() };
    for _ in 0..1 + random.below(4) {
        const LAYOUTS: [Layout; 5] =
            [Layout::Contiguous, Layout::Contiguous, Layout::Broadcast, Layout::Strided, Layout::BlockCyclic];
        let layout = LAYOUTS[random.below(LAYOUTS.len())];
        writer.storage = storage();
        let value = writer.load(layout);
        pool.add(LaneKind::Float, value, writer.storage == dtype.storage());
    }
    let some_bits = writer.constant(LaneKind::Int, 0x1234_5678);
    pool.add(LaneKind::Int, some_bits, true);
    let set = writer.constant(LaneKind::Mask, all_ones(dtype));
    pool.add(LaneKind::Mask, set, true);
    for instruction in &choices.instructions {
        add_instruction(&mut writer, &mut pool, &mut Random(*instruction), fma);
    }
    for sink in 0..1 + random.below(3) {
        let value = if sink == 0 { *pool.floats.last().unwrap() } else { pool.pick(LaneKind::Float, &mut random) };
        writer.storage = storage();
        match random.below(7) {
            0 => writer.accumulate(
                [ReductionOperator::Sum, ReductionOperator::Max, ReductionOperator::Min][random.below(3)],
                value,
            ),
            1 => writer.store(Layout::Strided, value),
            2 => writer.store(Layout::BlockCyclic, value),
            _ if choices.seed.is_multiple_of(3) => writer.store(Layout::NonTemporal, value),
            _ => writer.store(Layout::Contiguous, value),
        }
    }
    writer.finish("random")
}

fn add_instruction(writer: &mut Writer, pool: &mut Pool, random: &mut Random, fma: bool) {
    let dtype = writer.dtype;
    match random.below(LaneOp::ALL.len() + 6) {
        0 | 1 => {
            let specials = specials(dtype);
            let number = writer.constant(LaneKind::Float, specials[random.below(specials.len())]);
            pool.add(LaneKind::Float, number, true);
        }
        2 => {
            let integer = writer.constant(LaneKind::Int, random.next() & all_ones(dtype));
            pool.add(LaneKind::Int, integer, true);
        }
        3..=5 => {
            let value = pool.pick(LaneKind::Int, random);
            let direction = if random.below(2) == 0 { Shift::Left } else { Shift::Right };
            let shifted = writer.shift(direction, value, random.below(dtype.size() * 8) as u8);
            pool.add(LaneKind::Int, shifted, true);
        }
        place => {
            let op = match LaneOp::ALL[place - 6] {
                LaneOp::Fma | LaneOp::Fms | LaneOp::Fnma if !fma => LaneOp::Mul,
                op => op,
            };
            let mut arguments: Vec<Value> = op.arguments().iter().map(|kind| pool.pick(*kind, random)).collect();
            if op == LaneOp::ToBits && !pool.is_certain(arguments[0]) {
                let nan = writer.apply(LaneOp::Unequal, &[arguments[0], arguments[0]]);
                let number = writer.number(0.75);
                arguments[0] = writer.apply(LaneOp::Select, &[nan, number, arguments[0]]);
            }
            let certain = match op {
                LaneOp::ToFloat => true,
                LaneOp::Abs | LaneOp::Neg => pool.is_certain(arguments[0]),
                LaneOp::Select => arguments[1..].iter().all(|value| pool.is_certain(*value)),
                _ => op.result() != LaneKind::Float,
            };
            let value = writer.apply(op, &arguments);
            pool.add(op.result(), value, certain);
        }
    }
}
