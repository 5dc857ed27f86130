//! The shape of the main loop: how many bodies an iteration interleaves, what stays in registers all along.
//!
//! Both are decided by a small model of the machine, from the body alone; nothing is tuned to a function.

use super::conversion::{Loading, Storing};
use super::machine::{Accumulator, Action, Class, Node, Resident, Selection, ValueId};
use super::registers::ALLOCATABLE_MASKS;
use super::target::{Simd, Target};
use crate::array::ComputeDtype;
use crate::lane::{ACCUMULATOR_LANES, ReductionOperator};

/// What the model decides.
#[derive(Debug)]
pub(super) struct Shape {
    /// Bodies in one iteration of the main loop.
    pub(super) copies: usize,
    /// For each resident the register that holds it, if one does.
    pub(super) pinned: Vec<Option<u8>>,
    /// The registers of each accumulator in the main loop; `None`: they stay in memory.
    pub(super) accumulators: Option<Vec<AccumulatorRegisters>>,
    /// From how many bytes of a span on it pays to align the output first.
    pub(super) align_from: i32,
    /// Vector registers the allocator may hand out in the main loop.
    pub(super) free: u32,
}

/// The registers of one accumulator.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccumulatorRegisters {
    /// The first one of its lanes.
    pub(super) first: u8,
    /// The one that collects where a NaN was met, if that is done apart.
    pub(super) met_nan: Option<u8>,
}

/// The least number of registers left to the allocator: the widest node reads three and writes one, and combining a block of
/// spans ([`super::block`]) takes one for each level of its tree and two more.
const LEAST_FREE: usize = 6;

/// Decides the shape. `reserved` registers, the lowest ones, are scratch.
pub(super) fn shape(selection: &Selection, target: Target, reserved: usize) -> Shape {
    let registers = usize::from(target.vector_registers()) - reserved;
    let estimate = Estimate::of(&selection.body, selection.body_locals, target);
    let parts = ACCUMULATOR_LANES / target.lanes();
    // Keeping NaNs in maxima is a long way round from one vector to the next; one more register makes it short.
    let notes_nan = |accumulator: &Accumulator| accumulator.combine != ReductionOperator::Sum;
    let registers_of = |accumulator: &Accumulator| parts + usize::from(notes_nan(accumulator));
    let wanted: usize = selection.accumulators.iter().map(registers_of).sum();
    let mut copies = estimate.copies(registers);
    // Accumulators stay in registers if each body always meets the same lanes, and there is room.
    let mut accumulators = None;
    if wanted > 0 && wanted + LEAST_FREE <= registers {
        let whole = copies.max(parts);
        if wanted + whole * estimate.pressure <= registers || whole == copies {
            copies = whole;
            accumulators = Some(wanted);
        }
    }
    let mut top = target.vector_registers();
    let accumulators = accumulators.map(|wanted| {
        top -= wanted as u8;
        let mut next = top;
        let registers = selection.accumulators.iter().map(|accumulator| {
            let first = next;
            next += registers_of(accumulator) as u8;
            AccumulatorRegisters { first, met_nan: notes_nan(accumulator).then_some(first + parts as u8) }
        });
        registers.collect()
    });
    let pressure = (copies * estimate.least_pressure + 1).max(LEAST_FREE);
    let room = usize::from(top).saturating_sub(reserved + pressure);
    let mut pinned = vec![None; selection.residents.len()];
    for resident in hottest(selection).into_iter().take(room) {
        top -= 1;
        pinned[resident] = Some(top);
    }
    let free = (u32::MAX >> (32 - top)) & !((1 << reserved) - 1);
    // Aligning costs a body and a branch. It saves a body of a few cycles much of its time, a long one little.
    let align_from = if estimate.throughput <= 4.0 { 2048 } else { 4096 };
    Shape { copies, pinned, accumulators, align_from, free }
}

/// Vector residents the body reads: uniforms, then constants, those first that save the most by being in a register.
fn hottest(selection: &Selection) -> Vec<usize> {
    let mut savings = vec![0usize; selection.residents.len()];
    for node in &selection.body {
        for (place, argument) in node.arguments.iter().enumerate() {
            if *argument != ValueId::NONE && argument.is_resident() {
                savings[argument.index()] += if memory_serves(node, place) { 1 } else { 4 };
            }
        }
    }
    // A uniform would be written to the frame at the start of every span, and rows may be short.
    let is_uniform = |index: usize| matches!(selection.residents[index], Resident::Uniform { .. });
    let mut order: Vec<usize> = (0..savings.len())
        .filter(|index| savings[*index] > 0)
        .filter(|index| !matches!(selection.residents[*index], Resident::Uniform { class: Class::Mask }))
        .collect();
    order.sort_by_key(|index| (std::cmp::Reverse((is_uniform(*index), savings[*index])), *index));
    order
}

/// Whether an argument may as well be read from memory.
fn memory_serves(node: &Node, place: usize) -> bool {
    let resident = |value: ValueId| value != ValueId::NONE && value.is_resident();
    match node.action {
        Action::Binary { commutative: true, .. } | Action::Compare { .. } => !resident(node.arguments[1 - place]),
        Action::Binary { .. } | Action::Select | Action::Merge { .. } => place == 1,
        Action::Unary { .. } => true,
        // One operand may; two of them cannot.
        Action::Fused(_) | Action::Ternary { .. } => {
            node.arguments.iter().filter(|value| resident(**value)).count() == 1
        }
        _ => false,
    }
}

/// What a body costs.
#[derive(Debug)]
struct Estimate {
    /// Nodes, which are instructions but for a few.
    instructions: usize,
    /// Locals alive at once in vector registers, at most, while results are not written over arguments.
    pressure: usize,
    /// The same where they are, as far as an argument ends at its node.
    least_pressure: usize,
    /// The same in mask registers.
    mask_pressure: usize,
    /// Cycles the arithmetic units, or those that load and store, are busy.
    throughput: f64,
    /// Cycles from the first load to the last store.
    latency: usize,
    /// Instructions that the core has in flight, in effect.
    window: usize,
}

impl Estimate {
    fn of(body: &[Node], locals: usize, target: Target) -> Estimate {
        let mut last = vec![0usize; locals];
        for (index, node) in body.iter().enumerate() {
            for argument in node.arguments().filter(|value| value.is_local()) {
                last[argument.index()] = index;
            }
        }
        let mut ready = vec![0usize; locals];
        let mut classes = vec![None; locals];
        let mut estimate = Estimate {
            instructions: body.len(),
            pressure: 0,
            least_pressure: 0,
            mask_pressure: 0,
            throughput: 0.0,
            latency: 0,
            window: target.window,
        };
        let (mut live, mut live_masks, mut halves, mut accesses, mut divider) =
            (0usize, 0usize, 0usize, 0usize, 0usize);
        for (index, node) in body.iter().enumerate() {
            let (latency, arithmetic, division) = cost(node.action, target);
            halves += arithmetic;
            divider += division;
            accesses += match node.action {
                Action::Load { .. } => 1,
                Action::Store { .. } => 2,
                _ => 0,
            };
            let start =
                node.arguments().filter(|value| value.is_local()).map(|value| ready[value.index()]).max().unwrap_or(0);
            estimate.latency = estimate.latency.max(start + latency);
            let dying = |class: Class| {
                let dies = |(place, value): &(usize, &ValueId)| {
                    value.is_local()
                        && classes[value.index()] == Some(class)
                        && last[value.index()] == index
                        && !node.arguments[..*place].contains(value)
                };
                node.arguments.iter().enumerate().filter(dies).count()
            };
            let (dying, dying_masks) = (dying(Class::Vector), dying(Class::Mask));
            if node.result != ValueId::NONE {
                ready[node.result.index()] = start + latency;
                classes[node.result.index()] = Some(node.class);
                live += usize::from(node.class == Class::Vector);
                live_masks += usize::from(node.class == Class::Mask);
            }
            estimate.pressure = estimate.pressure.max(live);
            estimate.least_pressure = estimate.least_pressure.max(live - dying.min(1));
            estimate.mask_pressure = estimate.mask_pressure.max(live_masks);
            live -= dying;
            live_masks -= dying_masks;
        }
        estimate.throughput = halves.max(accesses).max(2 * divider).max(1) as f64 / 2.0;
        estimate
    }

    /// How many bodies to interleave on a machine with this many registers for them: doubled as long as the model says
    /// that it pays.
    fn copies(&self, registers: usize) -> usize {
        let mut copies = 1;
        while copies < MOST_COPIES {
            // Two bodies may want half as many registers again as there are: what is spilled is read back as an operand
            // in memory, and waiting costs more. Code grows too, so the more copies there are, the more another
            // doubling must gain.
            let room = if copies == 1 { registers + registers / 2 } else { registers };
            let least_gain = 0.01 * (copies * copies) as f64;
            let gains = self.cycles(2 * copies) <= self.cycles(copies) * (1.0 - least_gain);
            let spills_masks = 2 * copies * self.mask_pressure > ALLOCATABLE_MASKS.count_ones() as usize;
            if 2 * copies * self.pressure >= room || spills_masks || !gains {
                break;
            }
            copies *= 2;
        }
        copies
    }

    /// Cycles per body with this many interleaved. A body waits for its units or for its own results; while it waits,
    /// the machine works ahead: on the bodies its window holds anyway, and on those interleaved with it.
    fn cycles(&self, copies: usize) -> f64 {
        let overlapping = (self.window as f64 / self.instructions as f64).max(1.0) + INTERLEAVED * (copies - 1) as f64;
        let waiting = self.latency as f64 / overlapping;
        waiting.max(self.throughput) + LOOP_CONTROL / copies as f64
    }
}

/// The most bodies of one iteration.
const MOST_COPIES: usize = 8;
/// What a body that is interleaved adds to those that overlap (measured on chains of dependent operations).
const INTERLEAVED: f64 = 0.87;
/// Cycles of an iteration that are no body's.
const LOOP_CONTROL: f64 = 1.0;

/// Latency in cycles.
pub(super) fn latency(action: Action, target: Target) -> usize {
    cost(action, target).0
}

/// Latency in cycles, occupancy of the two arithmetic ports in half cycles, and cycles of the divider.
fn cost(action: Action, target: Target) -> (usize, usize, usize) {
    // Dividers take twice as long for twice the width and for float64, beside whatever else there is to do.
    let doublings = usize::from(target.masks) + usize::from(target.dtype == ComputeDtype::F64);
    let (latency, halves) = match action {
        Action::Binary { simd: Simd::Div, .. } | Action::Merge { simd: Simd::Div } => return (14, 2, 5 << doublings),
        Action::Unary { simd: Simd::Sqrt, .. } => return (18, 2, 6 << doublings),
        Action::Binary { simd: Simd::Add | Simd::Sub | Simd::Mul | Simd::Min | Simd::Max, .. }
        | Action::Merge { .. }
        | Action::Fused(_) => (4, 1),
        Action::Binary { .. } | Action::Shift { .. } | Action::Ternary { .. } => (1, 1),
        Action::Unary { .. } => (8, 2),
        Action::Compare { .. } => (3, 1),
        Action::Select => {
            if target.masks {
                (1, 1)
            } else {
                (2, 2)
            }
        }
        Action::MaskLogic { .. } | Action::MaskNot | Action::MaskConstant { .. } => (1, 1),
        Action::Load { loading: Loading::Whole, .. } | Action::LoadBroadcast { .. } => (6, 0),
        Action::Load { loading: Loading::ZeroExtended | Loading::SignExtended, .. } => (9, 1),
        Action::Load { .. } => (11, 2),
        Action::Store { storing: Storing::Whole, .. } | Action::Export { .. } => (4, 0),
        Action::Store { .. } => (8, 2),
        Action::Accumulate { .. } => (4, 2),
    };
    (latency, halves, 0)
}
