//! From a pass to steps over tiles: what `compile` does once so that `run` is lean.
//!
//! Every place a step reads or writes is an index into a table of pointers that `run` fills: the operands as they lie
//! in this tile, then the operands' strides, the accumulators, constants, uniform values and tile slots ([`Plan`]'s
//! fields say how many of each).
//!
//! Invariants:
//! 1. A step's result is in another slot than its arguments: the loops are vectorised only for places that are apart.
//! 2. A written operand may be the very array of an operand that is read. So a step writes straight to an operand only
//!    if no later step reads one; otherwise the value waits in a slot for a copy at the end.
//! 3. Steps that write operands from slots come last, after all that read operands.

use super::step::{Action, CHUNK_BYTES, Step};
use crate::array::ComputeDtype;
use crate::lane::{Instruction, LaneOp, Layout, Operand, Pass, ReductionOperator, Role, Value};
use rustc_hash::FxHashMap;

/// What is known of an operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct OperandPlan {
    pub(super) role: Role,
    pub(super) layout: Layout,
    /// Bytes of an element.
    pub(super) size: usize,
    /// Whether elements are stored as lanes are; others are only touched by steps that convert.
    pub(super) is_plain: bool,
    /// For accumulators.
    pub(super) combine: Option<ReductionOperator>,
}

/// A compiled pass.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) dtype: ComputeDtype,
    pub(super) operands: Vec<OperandPlan>,
    /// Constants, a chunk of equal elements each; element k of the list as 64 bits.
    pub(super) constants: Vec<u64>,
    /// Run once a span, on one chunk.
    pub(super) uniform_steps: Vec<Step>,
    /// How many uniform values the uniform steps make.
    pub(super) uniforms: usize,
    /// Run once a tile.
    pub(super) steps: Vec<Step>,
    /// How many tile slots the steps need.
    pub(super) slots: usize,
    /// Operands (written, read) by one and the same step.
    pub(super) met: Vec<(usize, usize)>,
    /// Lanes of a tile, a multiple of an accumulator's lanes.
    pub(super) tile: usize,
}

/// Where a value is while planning; resolved to an index of the table of pointers at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Operand(usize),
    Stride(usize),
    Accumulator(usize),
    Constant(usize),
    Uniform(usize),
    Slot(usize),
    /// A value that has no place yet: the root of its aliases.
    Value(usize),
    None,
}

/// A step before places are resolved.
#[derive(Clone, Copy, Debug)]
struct Draft {
    action: Action,
    out: Place,
    arguments: [Place; 3],
}

impl Plan {
    /// Plans a pass that obeys [`Pass::verify`].
    pub(super) fn new(pass: &Pass) -> Plan {
        let mut planner = Planner::new(pass);
        planner.draft();
        planner.fuse_horner();
        planner.write_in_place();
        let slots = planner.assign_slots();
        planner.finish(slots)
    }

    /// Where the table of pointers holds the strides; the operands are at its start.
    pub(super) fn strides_at(&self) -> usize {
        self.operands.len()
    }

    /// Where it holds the accumulators, one place for each operand.
    pub(super) fn accumulators_at(&self) -> usize {
        2 * self.operands.len()
    }

    /// Where it holds the constants.
    pub(super) fn constants_at(&self) -> usize {
        3 * self.operands.len()
    }

    /// Where it holds the uniform values.
    pub(super) fn uniforms_at(&self) -> usize {
        self.constants_at() + self.constants.len()
    }

    /// Where it holds the tile slots.
    pub(super) fn slots_at(&self) -> usize {
        self.uniforms_at() + self.uniforms
    }

    /// How long it is.
    pub(super) fn places(&self) -> usize {
        self.slots_at() + self.slots
    }
}

struct Planner<'a> {
    pass: &'a Pass,
    uniform: Vec<bool>,
    places: Vec<Place>,
    constants: Vec<u64>,
    known_constants: FxHashMap<u64, usize>,
    uniforms: usize,
    uniform_drafts: Vec<Draft>,
    drafts: Vec<Draft>,
}

impl<'a> Planner<'a> {
    fn new(pass: &'a Pass) -> Planner<'a> {
        Planner {
            pass,
            uniform: pass.uniform(),
            places: vec![Place::None; pass.program.instructions.len()],
            constants: Vec::new(),
            known_constants: FxHashMap::default(),
            uniforms: 0,
            uniform_drafts: Vec::new(),
            drafts: Vec::new(),
        }
    }

    /// Which instructions something depends on.
    fn live(&self) -> Vec<bool> {
        let instructions = &self.pass.program.instructions;
        let mut live = vec![false; instructions.len()];
        for (index, instruction) in instructions.iter().enumerate().rev() {
            live[index] |= instruction.result().is_none();
            if live[index] {
                for argument in instruction.arguments() {
                    live[argument.index()] = true;
                }
            }
        }
        live
    }

    fn constant(&mut self, bits: u64) -> Place {
        let next = self.constants.len();
        let index = *self.known_constants.entry(bits).or_insert(next);
        if index == next {
            self.constants.push(bits);
        }
        Place::Constant(index)
    }

    fn place(&self, value: Value) -> Place {
        self.places[value.index()]
    }

    /// Adds a step that makes the value of an instruction.
    fn make(&mut self, index: usize, action: Action, arguments: [Place; 3]) {
        let (out, list) = if self.uniform[index] {
            self.uniforms += 1;
            (Place::Uniform(self.uniforms - 1), &mut self.uniform_drafts)
        } else {
            (Place::Value(index), &mut self.drafts)
        };
        list.push(Draft { action, out, arguments });
        self.places[index] = out;
    }

    /// A step for each live instruction that is not an alias; accumulations, then stores, at the end.
    fn draft(&mut self) {
        let pass = self.pass;
        let live = self.live();
        let stores = pass.program.instructions.iter().filter(|i| matches!(i, Instruction::Store { .. })).count();
        let mut sinks = Vec::new();
        for (index, instruction) in pass.program.instructions.iter().enumerate().filter(|(index, _)| live[*index]) {
            match *instruction {
                Instruction::Constant { bits, .. } => self.places[index] = self.constant(bits),
                Instruction::LoadBits { operand } => {
                    let operand = operand.index();
                    let Operand { dtype, layout, .. } = pass.operands[operand];
                    let arguments = [Place::Operand(operand), Place::Stride(operand), Place::None];
                    self.make(index, Action::LoadBits(dtype, layout), arguments);
                }
                Instruction::Load { operand } if !pass.is_plain(operand) => {
                    let operand = operand.index();
                    let Operand { dtype, layout, .. } = pass.operands[operand];
                    let arguments = [Place::Operand(operand), Place::Stride(operand), Place::None];
                    self.make(index, Action::Load(dtype, layout), arguments);
                }
                Instruction::Load { operand } => {
                    let operand = operand.index();
                    match pass.operands[operand].layout {
                        Layout::Contiguous | Layout::NonTemporal | Layout::BlockCyclic => {
                            self.places[index] = Place::Operand(operand);
                        }
                        Layout::Broadcast => {
                            self.make(index, Action::Splat, [Place::Operand(operand), Place::None, Place::None]);
                        }
                        Layout::Strided => {
                            let arguments = [Place::Operand(operand), Place::Stride(operand), Place::None];
                            self.make(index, Action::Gather, arguments);
                        }
                    }
                }
                Instruction::Apply { op: LaneOp::ToBits | LaneOp::ToFloat, arguments } => {
                    self.places[index] = self.place(arguments[0]);
                }
                Instruction::Apply { op, arguments } => {
                    // All bits of a mask's lane are equal.
                    let op = match op {
                        LaneOp::MaskAnd => LaneOp::And,
                        LaneOp::MaskOr => LaneOp::Or,
                        op => op,
                    };
                    let mut places = [Place::None; 3];
                    for (place, argument) in places.iter_mut().zip(&arguments[..op.arguments().len()]) {
                        *place = self.place(*argument);
                    }
                    self.make(index, Action::Apply(op), places);
                }
                Instruction::Shift { direction, value, count } => {
                    let count = self.constant(u64::from(count));
                    self.make(index, Action::Shift(direction), [self.place(value), count, Place::None]);
                }
                Instruction::Accumulate { operand, combine, value } => self.drafts.push(Draft {
                    action: Action::Accumulate(combine),
                    out: Place::Accumulator(operand.index()),
                    arguments: [self.place(value), Place::None, Place::None],
                }),
                Instruction::Store { operand, value } | Instruction::StoreBits { operand, value } => {
                    let mut from = self.place(value);
                    // With several stores, one may overwrite what another is yet to copy: two operands swapped in
                    // place. So the copy passes through a slot.
                    if stores > 1 && matches!(from, Place::Operand(_)) {
                        let out = Place::Value(index);
                        let arguments = [from, Place::None, Place::None];
                        self.drafts.push(Draft { action: Action::Copy, out, arguments });
                        from = out;
                    }
                    let Operand { dtype, layout, .. } = pass.operands[operand.index()];
                    sinks.push(match layout {
                        _ if matches!(instruction, Instruction::StoreBits { .. }) => Draft {
                            action: Action::StoreBits(dtype, layout),
                            out: Place::Operand(operand.index()),
                            arguments: [from, Place::Stride(operand.index()), Place::None],
                        },
                        _ if !pass.is_plain(operand) => Draft {
                            action: Action::Store(dtype, layout),
                            out: Place::Operand(operand.index()),
                            arguments: [from, Place::Stride(operand.index()), Place::None],
                        },
                        Layout::Strided => Draft {
                            action: Action::Scatter,
                            out: Place::Operand(operand.index()),
                            arguments: [from, Place::Stride(operand.index()), Place::None],
                        },
                        Layout::Contiguous | Layout::NonTemporal | Layout::BlockCyclic | Layout::Broadcast => Draft {
                            action: Action::Copy,
                            out: Place::Operand(operand.index()),
                            arguments: [from, Place::None, Place::None],
                        },
                    });
                }
            }
        }
        self.drafts.append(&mut sinks);
    }

    /// How often each value is read.
    fn reads(&self) -> FxHashMap<Place, usize> {
        let mut reads = FxHashMap::default();
        for draft in &self.drafts {
            for place in draft.arguments {
                *reads.entry(place).or_insert(0) += 1;
            }
        }
        reads
    }

    /// Joins runs of sum · x + constant, each sum read by the next alone, into one step that keeps the sum in registers.
    fn fuse_horner(&mut self) {
        let reads = self.reads();
        // For each value that ends a run: the place of its draft, x, the sum at the start, the constants.
        let mut runs: FxHashMap<Place, (usize, Place, Place, Vec<u64>)> = FxHashMap::default();
        let mut ended = Vec::new();
        for (index, draft) in self.drafts.iter().enumerate() {
            let (Action::Apply(LaneOp::Fma), [a, b, Place::Constant(constant)]) = (draft.action, draft.arguments)
            else {
                continue;
            };
            let constant = self.constants[constant];
            let earlier = [(a, b), (b, a)].into_iter().find(|(sum, x)| {
                reads.get(sum) == Some(&1) && runs.get(sum).is_some_and(|(_, earlier_x, ..)| earlier_x == x)
            });
            let run = if let Some((sum, x)) = earlier {
                let (place, _, start, mut constants) = runs.remove(&sum).unwrap_or((index, x, sum, Vec::new()));
                ended.push(place);
                constants.push(constant);
                (index, x, start, constants)
            } else {
                // Which of the factors is x shows in the next step of the run; a constant cannot be.
                let guess = self.guess_x(index, draft.out, a, b);
                match guess {
                    Some((x, start)) => (index, x, start, vec![constant]),
                    None => continue,
                }
            };
            runs.insert(draft.out, run);
        }
        for (_, (index, x, start, constants)) in runs.into_iter().filter(|(_, run)| run.3.len() > 1) {
            let first = self.constants.len();
            let count = constants.len() as u32;
            // The run's own copies, side by side.
            self.constants.extend(constants);
            self.drafts[index].action = Action::Horner(count);
            self.drafts[index].arguments = [start, x, Place::Constant(first)];
        }
        for index in ended {
            self.drafts[index].out = Place::None;
        }
        self.drafts.retain(|draft| draft.out != Place::None);
    }

    /// Of the factors of a first step, the one that multiplies its sum again in a later one: (x, the other).
    fn guess_x(&self, index: usize, out: Place, a: Place, b: Place) -> Option<(Place, Place)> {
        let next = self.drafts[index + 1..].iter().find(|draft| draft.arguments.contains(&out))?;
        let [p, q, _] = next.arguments;
        let x = if p == out { q } else { p };
        match x {
            _ if next.action != Action::Apply(LaneOp::Fma) || matches!(x, Place::Constant(_) | Place::Uniform(_)) => {
                None
            }
            _ if x == b => Some((b, a)),
            _ if x == a => Some((a, b)),
            _ => None,
        }
    }

    /// Lets the step that makes a value write it straight to the operand it is stored to, where invariant 2 allows.
    fn write_in_place(&mut self) {
        let is_operand = |place: &Place| matches!(place, Place::Operand(_));
        let last_read = self.drafts.iter().rposition(|draft| draft.arguments.iter().any(is_operand)).unwrap_or(0);
        let mut index = self.drafts.len();
        while index > 0 {
            index -= 1;
            let Draft { action: Action::Copy, out: out @ Place::Operand(_), arguments: [from @ Place::Value(_), ..] } =
                self.drafts[index]
            else {
                continue;
            };
            let Some(maker) = self.drafts.iter().position(|draft| draft.out == from) else { continue };
            if maker < last_read {
                continue;
            }
            // From here on the value is where it is stored; who reads it reads it there. Its own readers come later
            // than the last read of an operand that may be the same array, and read what was meant.
            self.drafts[maker].out = out;
            self.drafts.remove(index);
            for draft in &mut self.drafts {
                for place in draft.arguments.iter_mut().filter(|place| **place == from) {
                    *place = out;
                }
            }
        }
    }

    /// Linear scan: a slot for each value from the step that makes it to the last that reads it.
    fn assign_slots(&mut self) -> usize {
        let mut last: FxHashMap<usize, usize> = FxHashMap::default();
        for (index, draft) in self.drafts.iter().enumerate() {
            for place in draft.arguments.iter().chain([&draft.out]) {
                if let Place::Value(value) = place {
                    last.insert(*value, index);
                }
            }
        }
        let mut slots: FxHashMap<usize, usize> = FxHashMap::default();
        let mut free = Vec::new();
        let mut count = 0;
        for (index, draft) in self.drafts.iter_mut().enumerate() {
            let mut dying = Vec::new();
            for place in &mut draft.arguments {
                let Place::Value(value) = *place else { continue };
                let slot = slots[&value];
                *place = Place::Slot(slot);
                if last[&value] == index && !dying.contains(&slot) {
                    dying.push(slot);
                }
            }
            if let Place::Value(value) = draft.out {
                // The slot freed last is reused first: it is the warmest.
                let slot = free.pop().unwrap_or_else(|| {
                    count += 1;
                    count - 1
                });
                slots.insert(value, slot);
                draft.out = Place::Slot(slot);
                if last[&value] == index {
                    dying.push(slot);
                }
            }
            free.append(&mut dying);
        }
        count
    }

    fn finish(self, slots: usize) -> Plan {
        let operands = self.pass.operands.iter().enumerate().map(|(index, operand)| OperandPlan {
            role: operand.role,
            layout: operand.layout,
            size: operand.dtype.size(),
            is_plain: operand.dtype == self.pass.program.dtype.storage(),
            combine: self.pass.program.instructions.iter().find_map(|instruction| match instruction {
                Instruction::Accumulate { operand, combine, .. } if operand.index() == index => Some(*combine),
                _ => None,
            }),
        });
        let mut plan = Plan {
            dtype: self.pass.program.dtype,
            operands: operands.collect(),
            constants: self.constants,
            uniform_steps: Vec::new(),
            uniforms: self.uniforms,
            steps: Vec::new(),
            slots,
            met: Vec::new(),
            tile: tile_lanes(self.pass, slots),
        };
        for draft in &self.drafts {
            let Place::Operand(written) = draft.out else { continue };
            for place in draft.arguments {
                if let Place::Operand(read) = place {
                    plan.met.push((written, read));
                }
            }
        }
        // On one chunk a uniform argument is like any other.
        plan.uniform_steps = self.uniform_drafts.iter().map(|draft| Step { uniform: 0, ..plan.step(draft) }).collect();
        plan.steps = self.drafts.iter().map(|draft| plan.step(draft)).collect();
        plan
    }
}

impl Plan {
    fn step(&self, draft: &Draft) -> Step {
        let index = |place: Place| {
            let index = match place {
                Place::Operand(operand) => operand,
                Place::Stride(operand) => self.strides_at() + operand,
                Place::Accumulator(operand) => self.accumulators_at() + operand,
                Place::Constant(constant) => self.constants_at() + constant,
                Place::Uniform(uniform) => self.uniforms_at() + uniform,
                Place::Slot(slot) => self.slots_at() + slot,
                Place::Value(_) | Place::None => 0,
            };
            index as u32
        };
        let mut uniform = 0;
        for (bit, place) in draft.arguments.iter().enumerate() {
            uniform |= u8::from(matches!(place, Place::Constant(_) | Place::Uniform(_))) << bit;
        }
        // A loop may read arguments its op has not: let them be one that is there, and as long as the tile if one is.
        let is_varying = |place: &&Place| !matches!(place, Place::None | Place::Constant(_) | Place::Uniform(_));
        let filler = *draft.arguments.iter().find(is_varying).unwrap_or(&draft.arguments[0]);
        let [a, b, c] = draft.arguments.map(|place| index(if place == Place::None { filler } else { place }));
        Step { action: draft.action, uniform, out: index(draft.out), a, b, c }
    }
}

/// Tiles so long that dispatch is paid rarely, so short that slots and operands stay in L1 together.
fn tile_lanes(pass: &Pass, slots: usize) -> usize {
    const CACHE_BYTES: usize = 24 << 10;
    let rows = slots + pass.operands.iter().filter(|operand| operand.layout != Layout::Broadcast).count();
    let lanes = CACHE_BYTES / (rows.max(1) * pass.program.dtype.size());
    (lanes / CHUNK_BYTES * CHUNK_BYTES).clamp(64, 512)
}
