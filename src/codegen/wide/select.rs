//! Instruction selection: a pass becomes machine programs.
//!
//! One walk over the lane program, an instruction at a time; what is dead is dropped. Uniform values go to the
//! preheader, constants to the pool, everything else to the body. Loads are placed at their first use and stores as
//! soon as nothing is left to load, so that no register is held longer than it has to be. (All loads stay before all
//! stores: an operand may be written in place of one that is read.)

use super::conversion::{self, Loading, Rounding, Storing};
use super::machine::{Accumulator, Action, Class, FusedForms, Node, Resident, Selection, ValueId};
use super::patterns::{self, Leaf, Logic, Pattern};
use super::target::{Simd, Target};
use crate::array::ComputeDtype;
use crate::lane::{Instruction, LaneKind, LaneOp, Layout, Pass, Shift};
use iced_x86::Code;
use rustc_hash::{FxBuildHasher, FxHashMap};

/// `roundps` immediates: the direction, with the inexact exception suppressed.
const TO_EVEN: u8 = 0x8;
const DOWN: u8 = 0x9;
const UP: u8 = 0xa;
const TOWARD_ZERO: u8 = 0xb;

/// `cmpps` immediates: ordered, quiet (only unordered for ≠).
const EQUAL: u8 = 0x00;
const LESS: u8 = 0x11;
const LESS_EQUAL: u8 = 0x12;
const UNEQUAL: u8 = 0x04;

const FMA: FusedForms = FusedForms { form132: Simd::Fma132, form213: Simd::Fma213, form231: Simd::Fma231 };
const FMS: FusedForms = FusedForms { form132: Simd::Fms132, form213: Simd::Fms213, form231: Simd::Fms231 };
const FNMA: FusedForms = FusedForms { form132: Simd::Fnma132, form213: Simd::Fnma213, form231: Simd::Fnma231 };

/// Where a lane value is to be found by the selected programs.
#[derive(Clone, Copy)]
enum Place {
    /// Not selected yet, or dead.
    Nowhere,
    /// A constant, not in the pool before somebody reads it.
    Constant(u64),
    /// A constant mask of AVX-512.
    ConstantMask(bool),
    /// A local of the preheader, and its resident once the body has read it.
    Uniform { local: ValueId, resident: Option<ValueId> },
    /// A local of the body.
    Body(ValueId),
}

/// Selects instructions for a pass.
pub(super) fn select(pass: &Pass, target: Target) -> Selection {
    let mut selector = Selector::new(pass, target);
    selector.walk();
    selector.selection
}

/// The operand of a load, and whether it loads bits.
fn load_of(instruction: &Instruction) -> Option<(usize, bool)> {
    match instruction {
        Instruction::Load { operand } => Some((operand.index(), false)),
        Instruction::LoadBits { operand } => Some((operand.index(), true)),
        _ => None,
    }
}

/// The values that are the upper half of a float32 lane, for a store of two bytes and nobody else: the store takes it from where it is.
fn halved(pass: &Pass, readers: &[u32], uniform: &[bool]) -> Vec<bool> {
    let mut halved = vec![false; readers.len()];
    for instruction in &pass.program.instructions {
        if let Instruction::StoreBits { operand, value } = instruction
            && let Instruction::Shift { direction: Shift::Right, count: 16, .. } = pass.program.instruction(*value)
        {
            let fits = pass.program.dtype == ComputeDtype::F32 && pass.operands[operand.index()].dtype.size() == 2;
            halved[value.index()] = fits && readers[value.index()] == 1 && !uniform[value.index()];
        }
    }
    halved
}

struct Selector<'pass> {
    pass: &'pass Pass,
    target: Target,
    uniform: Vec<bool>,
    /// How many live instructions read each value; stores and accumulations count as live.
    readers: Vec<u32>,
    patterns: Vec<Pattern>,
    /// Values that stores take out of others.
    halved: Vec<bool>,
    places: Vec<Place>,
    /// For each operand the value of its load, and of the load of its bits.
    loaded: Vec<[Option<ValueId>; 2]>,
    constants: FxHashMap<u64, ValueId>,
    selection: Selection,
}

impl<'pass> Selector<'pass> {
    fn new(pass: &'pass Pass, target: Target) -> Selector<'pass> {
        let instructions = &pass.program.instructions;
        let mut readers = vec![0u32; instructions.len()];
        for (index, instruction) in instructions.iter().enumerate().rev() {
            if readers[index] > 0 || instruction.result().is_none() {
                for argument in instruction.arguments() {
                    readers[argument.index()] += 1;
                }
            }
        }
        let selection = Selection {
            preheader: Vec::new(),
            body: Vec::with_capacity(instructions.len()),
            preheader_locals: 0,
            body_locals: 0,
            residents: Vec::with_capacity(32),
            accumulators: Vec::new(),
        };
        let uniform = pass.uniform();
        let patterns = if target.masks {
            patterns::find(pass, &readers, &uniform)
        } else {
            vec![Pattern::None; instructions.len()]
        };
        let halved = halved(pass, &readers, &uniform);
        Selector {
            halved,
            pass,
            target,
            uniform,
            patterns,
            readers,
            places: vec![Place::Nowhere; instructions.len()],
            loaded: vec![[None; 2]; pass.operands.len()],
            constants: FxHashMap::with_capacity_and_hasher(32, FxBuildHasher),
            selection,
        }
    }

    fn walk(&mut self) {
        let instructions = &self.pass.program.instructions;
        // The last instruction at which some operand is loaded for the first time; stores may follow it.
        let mut seen = vec![false; instructions.len()];
        let mut last_load = 0;
        for (index, instruction) in instructions.iter().enumerate() {
            // What only stores read is loaded before the first store, whichever that is.
            let reads = instruction.result().is_some() && self.readers[index] > 0;
            for argument in instruction.arguments().iter().filter(|_| reads) {
                let is_load = load_of(&instructions[argument.index()]).is_some();
                if is_load && !std::mem::replace(&mut seen[argument.index()], true) {
                    last_load = index;
                }
            }
        }
        // Stores, by the place after which they may stand; equal places keep the program's order.
        let mut sinks: Vec<(usize, usize)> = (0..instructions.len())
            .filter(|index| instructions[*index].result().is_none())
            .map(|index| (instructions[index].arguments()[0].index().max(last_load), index))
            .collect();
        sinks.sort_unstable();
        let mut any_sink = false;
        let mut sinks = sinks.into_iter().peekable();
        for (index, instruction) in instructions.iter().enumerate() {
            if instruction.result().is_some() && self.readers[index] > 0 {
                self.places[index] = self.value(index, instruction);
            }
            while let Some((_, sink)) = sinks.next_if(|(after, _)| *after <= index) {
                if !std::mem::replace(&mut any_sink, true) {
                    self.load_what_stores_read();
                }
                self.sink(&instructions[sink]);
            }
        }
    }

    /// Loads every live operand, if it is not loaded yet; called before the first store.
    fn load_what_stores_read(&mut self) {
        for (index, instruction) in self.pass.program.instructions.iter().enumerate() {
            if let Some((operand, bits)) = load_of(instruction)
                && self.readers[index] > 0
                && self.pass.operands[operand].layout != Layout::Broadcast
            {
                self.load(operand, bits);
            }
        }
    }

    // ---- values

    fn value(&mut self, index: usize, instruction: &Instruction) -> Place {
        match self.patterns[index] {
            Pattern::None => {}
            Pattern::Absorbed => return Place::Nowhere,
            Pattern::Logic(logic) => return self.logic(index, logic),
            Pattern::Merge(simd) => return self.merge(instruction, simd),
        }
        match *instruction {
            Instruction::Shift { .. } if self.halved[index] => Place::Nowhere,
            Instruction::Constant { kind: LaneKind::Mask, bits } if self.target.masks => Place::ConstantMask(bits != 0),
            Instruction::Constant { bits, .. } => Place::Constant(bits),
            Instruction::Load { operand } | Instruction::LoadBits { operand } if self.uniform[index] => {
                let (loading, behind) =
                    self.loading(operand.index(), matches!(instruction, Instruction::LoadBits { .. }));
                let action = Action::LoadBroadcast { operand: operand.index(), loading };
                let local = self.push(true, Class::Vector, action, &[]);
                let local = self.converted(true, local, behind);
                Place::Uniform { local, resident: None }
            }
            // Placed at its first use.
            Instruction::Load { .. } | Instruction::LoadBits { .. } => Place::Nowhere,
            Instruction::Apply { op: LaneOp::ToBits | LaneOp::ToFloat, arguments } => {
                // No instruction; but a load must be placed to have a name.
                match self.places[arguments[0].index()] {
                    Place::Nowhere => Place::Body(self.read(false, arguments[0].index())),
                    place => place,
                }
            }
            Instruction::Apply { op, arguments } => {
                let uniform = self.uniform[index];
                let arguments = &arguments[..op.arguments().len()];
                let local = self.apply(uniform, op, arguments.iter().map(|value| value.index()));
                self.place(uniform, local)
            }
            Instruction::Shift { direction, value, count } => {
                let uniform = self.uniform[index];
                let value = self.read(uniform, value.index());
                let simd = match direction {
                    Shift::Left => Simd::ShiftLeft,
                    Shift::Right => Simd::ShiftRight,
                };
                let local = self.push(uniform, Class::Vector, Action::Shift { simd, count }, &[value]);
                self.place(uniform, local)
            }
            Instruction::Store { .. } | Instruction::StoreBits { .. } | Instruction::Accumulate { .. } => {
                Place::Nowhere
            }
        }
    }

    fn logic(&mut self, index: usize, logic: Logic) -> Place {
        let uniform = self.uniform[index];
        let leaves = logic.leaves().expect("a tree has a leaf");
        let arguments = leaves.map(|leaf| match leaf {
            Leaf::Value(value) => self.read(uniform, value),
            Leaf::SignBit => self.sign_bit(),
        });
        let local = self.push(uniform, Class::Vector, Action::Ternary { table: logic.table }, &arguments);
        self.place(uniform, local)
    }

    fn merge(&mut self, select: &Instruction, simd: Simd) -> Place {
        let [mask, then, otherwise] = *select.arguments() else { unreachable!("a select has three arguments") };
        let operation = self.pass.program.instruction(then);
        let [a, b] = *operation.arguments() else { unreachable!("only binary operations are merged") };
        let arguments = [a, b, mask, otherwise].map(|value| self.read(false, value.index()));
        Place::Body(self.push(false, Class::Vector, Action::Merge { simd }, &arguments))
    }

    fn place(&self, uniform: bool, local: ValueId) -> Place {
        if uniform { Place::Uniform { local, resident: None } } else { Place::Body(local) }
    }

    /// A lane value as an argument in the preheader or in the body.
    fn read(&mut self, in_preheader: bool, index: usize) -> ValueId {
        match self.places[index] {
            Place::Constant(bits) => self.constant(bits),
            Place::ConstantMask(set) => self.push(in_preheader, Class::Mask, Action::MaskConstant { set }, &[]),
            Place::Uniform { local, .. } if in_preheader => local,
            Place::Uniform { resident: Some(resident), .. } => resident,
            Place::Uniform { local, resident: None } => {
                let class = self.class_of(index);
                let number = self.selection.residents.len();
                self.selection.residents.push(Resident::Uniform { class });
                self.push_effect(true, Action::Export { resident: number }, local);
                let resident = ValueId::resident(number);
                self.places[index] = Place::Uniform { local, resident: Some(resident) };
                resident
            }
            Place::Body(local) => local,
            Place::Nowhere => {
                let Some((operand, bits)) = load_of(&self.pass.program.instructions[index]) else {
                    unreachable!("a value is selected before it is read")
                };
                let local = self.load(operand, bits);
                self.places[index] = Place::Body(local);
                local
            }
        }
    }

    fn class_of(&self, index: usize) -> Class {
        match self.pass.program.instructions[index].result() {
            Some(LaneKind::Mask) if self.target.masks => Class::Mask,
            _ => Class::Vector,
        }
    }

    fn load(&mut self, operand: usize, bits: bool) -> ValueId {
        if let Some(local) = self.loaded[operand][usize::from(bits)] {
            return local;
        }
        let (loading, behind) = self.loading(operand, bits);
        let local = self.push(false, Class::Vector, Action::Load { operand, loading }, &[]);
        let local = self.converted(false, local, behind);
        self.loaded[operand][usize::from(bits)] = Some(local);
        local
    }

    /// How an operand is loaded, and the operation behind it.
    fn loading(&self, operand: usize, bits: bool) -> (Loading, Option<Simd>) {
        let dtype = self.pass.operands[operand].dtype;
        if bits {
            return (conversion::loading_bits(self.target, dtype), None);
        }
        conversion::loading(self.target, dtype).expect("what is not native is written as lane ops")
    }

    fn converted(&mut self, in_preheader: bool, loaded: ValueId, behind: Option<Simd>) -> ValueId {
        match behind {
            Some(simd) => self.push(in_preheader, Class::Vector, Action::Unary { simd, immediate: None }, &[loaded]),
            None => loaded,
        }
    }

    /// How lanes are stored to an operand, and what is stored.
    fn storing(&mut self, operand: usize, value: ValueId) -> (Storing, ValueId) {
        let dtype = self.pass.operands[operand].dtype;
        let (storing, rounding) =
            conversion::storing(self.target, dtype).expect("what is not native is written as lane ops");
        let mask_class = if self.target.masks { Class::Mask } else { Class::Vector };
        let unary = |simd| Action::Unary { simd, immediate: None };
        let zero = || f32::to_bits(0.0).into();
        let value = match rounding {
            Rounding::Nothing => value,
            Rounding::ToInteger => {
                // NaN is 0; what is past the largest integer is that, where the instruction gives the smallest.
                const PAST: f32 = 2_147_483_648.0;
                let [zero, past] = [zero(), PAST.to_bits().into()].map(|bits| self.constant(bits));
                let largest = self.constant(i32::MAX as u64);
                let is_nan = self.push(false, mask_class, Action::Compare { predicate: UNEQUAL }, &[value, value]);
                let is_past = self.push(false, mask_class, Action::Compare { predicate: LESS_EQUAL }, &[past, value]);
                let number = self.push(false, Class::Vector, Action::Select, &[is_nan, zero, value]);
                let integer = self.push(false, Class::Vector, unary(Simd::ToInteger), &[number]);
                self.push(false, Class::Vector, Action::Select, &[is_past, largest, integer])
            }
            Rounding::ToUnsigned => {
                // NaN and what is below 0 are 0: the maximum is its second argument if the first is NaN. The instruction gives the
                // largest integer for what is past it.
                let zero = self.constant(zero());
                let maximum = Action::Binary { simd: Simd::Max, commutative: false };
                let number = self.push(false, Class::Vector, maximum, &[value, zero]);
                self.push(false, Class::Vector, unary(Simd::ToUnsigned), &[number])
            }
        };
        (storing, value)
    }

    fn constant(&mut self, bits: u64) -> ValueId {
        let residents = &mut self.selection.residents;
        *self.constants.entry(bits).or_insert_with(|| {
            residents.push(Resident::Constant { bits });
            ValueId::resident(residents.len() - 1)
        })
    }

    fn sign_bit(&mut self) -> ValueId {
        self.constant(match self.target.dtype {
            ComputeDtype::F32 => 1 << 31,
            ComputeDtype::F64 => 1 << 63,
        })
    }

    fn all_ones(&self) -> u64 {
        u64::MAX >> (64 - 8 * self.target.dtype.size())
    }

    // ---- nodes

    fn push(&mut self, in_preheader: bool, class: Class, action: Action, arguments: &[ValueId]) -> ValueId {
        let selection = &mut self.selection;
        let (nodes, locals) = if in_preheader {
            (&mut selection.preheader, &mut selection.preheader_locals)
        } else {
            (&mut selection.body, &mut selection.body_locals)
        };
        let result = ValueId::local(*locals);
        *locals += 1;
        let mut padded = [ValueId::NONE; 4];
        padded[..arguments.len()].copy_from_slice(arguments);
        nodes.push(Node { action, arguments: padded, result, class });
        result
    }

    fn push_effect(&mut self, in_preheader: bool, action: Action, argument: ValueId) {
        let arguments = [argument, ValueId::NONE, ValueId::NONE, ValueId::NONE];
        let node = Node { action, arguments, result: ValueId::NONE, class: Class::Vector };
        if in_preheader { &mut self.selection.preheader } else { &mut self.selection.body }.push(node);
    }

    fn sink(&mut self, instruction: &Instruction) {
        match *instruction {
            Instruction::Store { operand, value } => {
                let value = self.read(false, value.index());
                let (storing, value) = self.storing(operand.index(), value);
                self.push_effect(false, Action::Store { operand: operand.index(), storing }, value);
            }
            Instruction::StoreBits { operand, value } => {
                let dtype = self.pass.operands[operand.index()].dtype;
                let (storing, value) = match self.pass.program.instruction(value) {
                    Instruction::Shift { value: whole, .. } if self.halved[value.index()] => {
                        (Storing::UpperHalf, whole.index())
                    }
                    _ => (conversion::storing_bits(self.target, dtype), value.index()),
                };
                let value = self.read(false, value);
                self.push_effect(false, Action::Store { operand: operand.index(), storing }, value);
            }
            Instruction::Accumulate { operand, combine, value } => {
                let value = self.read(false, value.index());
                let accumulator = self.selection.accumulators.len();
                self.selection.accumulators.push(Accumulator { operand: operand.index(), combine });
                self.push_effect(false, Action::Accumulate { accumulator, combine }, value);
            }
            _ => unreachable!("only stores and accumulations make no value"),
        }
    }

    fn apply(&mut self, uniform: bool, op: LaneOp, arguments: impl Iterator<Item = usize>) -> ValueId {
        let mut values = [ValueId::NONE; 3];
        for (slot, index) in values.iter_mut().zip(arguments) {
            *slot = self.read(uniform, index);
        }
        let [a, b, c] = values;
        let binary = |simd, commutative| Action::Binary { simd, commutative };
        let masks = self.target.masks;
        let mask_class = if masks { Class::Mask } else { Class::Vector };
        let (class, action, arguments): (Class, Action, [ValueId; 3]) = match op {
            LaneOp::Add => (Class::Vector, binary(Simd::Add, true), values),
            LaneOp::Sub => (Class::Vector, binary(Simd::Sub, false), values),
            LaneOp::Mul => (Class::Vector, binary(Simd::Mul, true), values),
            LaneOp::Div => (Class::Vector, binary(Simd::Div, false), values),
            // `a < b ? a : b` is the instruction's own meaning, in this order of operands.
            LaneOp::Min => (Class::Vector, binary(Simd::Min, false), values),
            LaneOp::Max => (Class::Vector, binary(Simd::Max, false), values),
            LaneOp::Fma => (Class::Vector, Action::Fused(FMA), values),
            LaneOp::Fms => (Class::Vector, Action::Fused(FMS), values),
            LaneOp::Fnma => (Class::Vector, Action::Fused(FNMA), values),
            LaneOp::Sqrt => (Class::Vector, Action::Unary { simd: Simd::Sqrt, immediate: None }, values),
            LaneOp::Floor => (Class::Vector, Action::Unary { simd: Simd::Round, immediate: Some(DOWN) }, values),
            LaneOp::Ceil => (Class::Vector, Action::Unary { simd: Simd::Round, immediate: Some(UP) }, values),
            LaneOp::Trunc => (Class::Vector, Action::Unary { simd: Simd::Round, immediate: Some(TOWARD_ZERO) }, values),
            LaneOp::Round => (Class::Vector, Action::Unary { simd: Simd::Round, immediate: Some(TO_EVEN) }, values),
            LaneOp::Abs => {
                let magnitude = self.constant(self.all_ones() >> 1);
                (Class::Vector, binary(Simd::FloatAnd, true), [a, magnitude, ValueId::NONE])
            }
            LaneOp::Neg => {
                let sign = self.sign_bit();
                (Class::Vector, binary(Simd::FloatXor, true), [a, sign, ValueId::NONE])
            }
            LaneOp::Less => (mask_class, Action::Compare { predicate: LESS }, values),
            LaneOp::LessEqual => (mask_class, Action::Compare { predicate: LESS_EQUAL }, values),
            LaneOp::Equal => (mask_class, Action::Compare { predicate: EQUAL }, values),
            LaneOp::Unequal => (mask_class, Action::Compare { predicate: UNEQUAL }, values),
            LaneOp::Select => (Class::Vector, Action::Select, [a, b, c]),
            LaneOp::MaskAnd if masks => (mask_class, Action::MaskLogic { code: Code::VEX_Kandw_kr_kr_kr }, values),
            LaneOp::MaskOr if masks => (mask_class, Action::MaskLogic { code: Code::VEX_Korw_kr_kr_kr }, values),
            LaneOp::MaskNot if masks => (mask_class, Action::MaskNot, values),
            LaneOp::MaskAnd => (Class::Vector, binary(Simd::FloatAnd, true), values),
            LaneOp::MaskOr => (Class::Vector, binary(Simd::FloatOr, true), values),
            LaneOp::MaskNot => {
                let ones = self.constant(self.all_ones());
                (Class::Vector, binary(Simd::FloatXor, true), [a, ones, ValueId::NONE])
            }
            LaneOp::IntAdd => (Class::Vector, binary(Simd::IntAdd, true), values),
            LaneOp::IntSub => (Class::Vector, binary(Simd::IntSub, false), values),
            LaneOp::And => (Class::Vector, binary(Simd::And, true), values),
            LaneOp::Or => (Class::Vector, binary(Simd::Or, true), values),
            LaneOp::Xor => (Class::Vector, binary(Simd::Xor, true), values),
            LaneOp::AndNot => (Class::Vector, binary(Simd::AndNot, false), values),
            LaneOp::ToBits | LaneOp::ToFloat => unreachable!("no instruction"),
        };
        self.push(uniform, class, action, &arguments)
    }
}
