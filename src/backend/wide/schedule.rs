//! The shape of the main loop: how many bodies an iteration interleaves, what stays in registers all along.
//!
//! Both are decided by a small model of the machine, from the body alone; nothing is tuned to a function.

use super::machine::{Action, Class, Node, Resident, Selection, ValueId};
use super::target::{Simd, Target};
use crate::lane::ACCUMULATOR_LANES;

/// What the model decides.
#[derive(Debug)]
pub(super) struct Shape {
    /// Bodies in one iteration of the main loop.
    pub(super) copies: usize,
    /// For each resident the register that holds it, if one does.
    pub(super) pinned: Vec<Option<u8>>,
    /// The first register of each accumulator's lanes in the main loop; `None`: they stay in memory.
    pub(super) accumulators: Option<Vec<u8>>,
    /// Vector registers the allocator may hand out in the main loop.
    pub(super) free: u32,
}

/// The least number of registers left to the allocator: the widest node reads three and writes one.
const LEAST_FREE: usize = 6;

/// Decides the shape. `reserved` registers, the lowest ones, are scratch.
pub(super) fn shape(selection: &Selection, target: Target, reserved: usize) -> Shape {
    let registers = usize::from(target.vector_registers()) - reserved;
    let estimate = Estimate::of(&selection.body, selection.body_locals, target);
    let parts = ACCUMULATOR_LANES / target.lanes();
    let wanted = selection.accumulators.len() * parts;
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
        (0..selection.accumulators.len()).map(|index| top + (index * parts) as u8).collect()
    });
    let pressure = (copies * estimate.pressure + 1).max(LEAST_FREE);
    let room = usize::from(top).saturating_sub(reserved + pressure);
    let mut pinned = vec![None; selection.residents.len()];
    for resident in hottest(selection, copies).into_iter().take(room) {
        top -= 1;
        pinned[resident] = Some(top);
    }
    let free = (u32::MAX >> (32 - top)) & !((1 << reserved) - 1);
    Shape { copies, pinned, accumulators, free }
}

/// Vector residents the body reads, those first that save the most by being in a register.
fn hottest(selection: &Selection, copies: usize) -> Vec<usize> {
    let mut savings = vec![0usize; selection.residents.len()];
    for node in &selection.body {
        for (place, argument) in node.arguments.iter().enumerate() {
            if *argument != ValueId::NONE && argument.is_resident() {
                savings[argument.index()] += if memory_serves(node, place) { 1 } else { 4 };
            }
        }
    }
    let mut order: Vec<usize> = (0..savings.len())
        .filter(|index| savings[*index] > 0)
        .filter(|index| !matches!(selection.residents[*index], Resident::Uniform { class: Class::Mask }))
        .collect();
    order.sort_by_key(|index| (std::cmp::Reverse(savings[*index] * copies), *index));
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
    /// Instructions that compute.
    operations: usize,
    /// Locals alive at once, at most.
    pressure: usize,
    /// Cycles the arithmetic units need.
    throughput: usize,
    /// Cycles from the first load to the last store.
    latency: usize,
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
        let mut estimate = Estimate { operations: 0, pressure: 0, throughput: 0, latency: 0 };
        let (mut live, mut halves) = (0usize, 0usize);
        for (index, node) in body.iter().enumerate() {
            let (latency, cost) = cost(node.action, target);
            halves += cost;
            estimate.operations += usize::from(cost > 0);
            let start =
                node.arguments().filter(|value| value.is_local()).map(|value| ready[value.index()]).max().unwrap_or(0);
            estimate.latency = estimate.latency.max(start + latency);
            let mut dying: Vec<usize> = Vec::new();
            for argument in node.arguments().filter(|value| value.is_local()) {
                if last[argument.index()] == index && !dying.contains(&argument.index()) {
                    dying.push(argument.index());
                }
            }
            if node.result != ValueId::NONE {
                ready[node.result.index()] = start + latency;
                if node.class == Class::Vector {
                    live += 1;
                }
            }
            estimate.pressure = estimate.pressure.max(live);
            live = live.saturating_sub(dying.len());
        }
        estimate.throughput = halves.div_ceil(2).max(1);
        estimate
    }

    /// How many bodies to interleave on a machine with this many registers for them.
    fn copies(&self, registers: usize) -> usize {
        // A loop of almost nothing is bound by its own control; long ones fill the machine's window by themselves.
        let wanted = match self.operations {
            0..=6 => 4,
            7..=80 => 2,
            _ => 1,
        };
        let mut copies = wanted;
        while copies > 1 && copies * self.pressure + 1 > registers {
            copies /= 2;
        }
        copies
    }
}

/// Latency in cycles, and occupancy in half cycles (two ports), of a node.
fn cost(action: Action, target: Target) -> (usize, usize) {
    match action {
        Action::Binary { simd: Simd::Div, .. } | Action::Merge { simd: Simd::Div } => {
            (14, if target.masks { 20 } else { 10 })
        }
        Action::Unary { simd: Simd::Sqrt, .. } => (18, if target.masks { 24 } else { 12 }),
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
        Action::Load { .. } | Action::LoadBroadcast { .. } => (6, 0),
        Action::Store { .. } | Action::Export { .. } => (4, 0),
        Action::Accumulate { .. } => (4, 2),
    }
}
