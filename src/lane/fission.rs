//! Cuts a long pass into several, which hand values to each other through memory in L1.
//!
//! A loop's turns overlap only as far as the machine looks ahead. The chain of dependent operations of a long body is
//! longer than that, so the end of one turn and the beginning of the next do not overlap, and arithmetic units wait:
//! gelu, then tanh, then mish in one loop take longer than in three (4.1 ns an element against 3.2 at 128 bits, 1.73
//! against 1.25 at 512, on a Zen 4). A cut costs a store and a load that stay in L1, a few percent of what lies
//! between two cuts.
//!
//! Bodies of several chains side by side (four elements of a row, say) are not cut: they keep the units busy by themselves.
//!
//! A cut lies between two instructions of a program. What is made before it and read behind it is *kept*, one scratch
//! operand a value. Loads and what is uniform along the span are done again where they are needed; masks and integers
//! are never kept, so there are places where no cut is possible. Where to cut is decided by least cost, by dynamic
//! programming over all possible cuts. No bit depends on it.
//!
//! All stores to operands are in the last part: an output may be the very array of an input, and inputs are read
//! by every part. Passes with accumulators stay whole, since a part runs over a piece of the span at a time
//! ([`crate::exec`] does that).

use super::op::LaneKind;
use super::pass::{Layout, Operand, Pass, Role};
use super::program::{Instruction, LaneProgram, OperandId, Value};

/// The parts of a pass, in the order they run.
#[derive(Clone, Debug)]
pub struct Split {
    /// The parts.
    pub parts: Vec<Part>,
    /// How many scratch operands there are in all; each has as many elements as a part is run over at a time.
    pub scratch: usize,
}

/// One part: a pass of its own, and where its operands come from.
#[derive(Clone, Debug)]
pub struct Part {
    /// The pass.
    pub pass: Pass,
    /// For each of its operands what it is.
    pub sources: Vec<PartOperand>,
}

/// What an operand of a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOperand {
    /// The operand of the whole pass at this place.
    Operand(usize),
    /// The scratch operand with this number.
    Scratch(usize),
}

/// What keeping a value costs, in operations: a store, a load, and the address of each.
const KEEPING: usize = 3;
/// What a loop of its own costs, in operations.
const LOOP: usize = 4;
/// Passes that would need more scratch operands than this stay whole: tiles would be short.
pub const MOST_SCRATCH: usize = 32;
/// Stands for the values kept over a cut that cannot be.
const TOO_MANY: usize = usize::MAX;

/// Cuts a pass if it has more than `long_body` operations, most of them one behind the other, and if it gains by it. Parts get
/// little longer than that.
pub fn split(pass: &Pass, long_body: usize) -> Option<Split> {
    let long = pass.program.operation_count() > long_body && 3 * longest_chain(&pass.program) > 2 * long_body;
    if !long || pass.operands.iter().any(|operand| operand.role == Role::Accumulate) {
        return None;
    }
    let uniform = pass.uniform();
    let cuts = best_cuts(&pass.program, &uniform, long_body)?;
    let split = Splitter { pass, uniform: &uniform, cuts: &cuts }.split();
    (split.scratch <= MOST_SCRATCH).then_some(split)
}

/// The most operations that wait for each other.
fn longest_chain(program: &LaneProgram) -> usize {
    let mut chains: Vec<usize> = Vec::with_capacity(program.instructions.len());
    for instruction in &program.instructions {
        let waits = instruction.arguments().iter().map(|argument| chains[argument.index()]).max().unwrap_or(0);
        chains.push(waits + usize::from(instruction.is_operation()));
    }
    chains.into_iter().max().unwrap_or(0)
}

/// Whether a value that is needed behind a cut has to be kept: it is neither done again nor a constant.
fn is_kept(program: &LaneProgram, uniform: &[bool], value: usize) -> bool {
    !uniform[value] && !matches!(program.instructions[value], Instruction::Load { .. })
}

/// What a part of so many operations costs: more than their number where the machine cannot look beyond it.
fn body_cost(operations: usize, long_body: usize) -> usize {
    operations + operations.saturating_sub(long_body)
}

/// A place where a cut may be.
#[derive(Clone, Copy)]
struct Cut {
    place: usize,
    /// Operations before it.
    operations: usize,
    /// The least cost of everything before it.
    cost: usize,
    /// The cut where the last part before it begins, at that cost.
    before: usize,
}

/// The places of the cuts that cost least: a cut at `i` is before instruction `i`. `None` if none is worth it.
fn best_cuts(program: &LaneProgram, uniform: &[bool], long_body: usize) -> Option<Vec<usize>> {
    let values = program.instructions.iter().take_while(|instruction| instruction.result().is_some()).count();
    let is_float = |value: usize| program.instructions[value].result() == Some(LaneKind::Float);
    let last_uses = program.last_uses();
    // At each place the operations before it, and the values kept over a cut there; all too many where one of them is no
    // float.
    let mut places: Vec<(usize, usize)> = Vec::with_capacity(values + 1);
    places.push((0, TOO_MANY));
    let (mut operations, mut alive, mut not_floats) = (0usize, 0usize, 0usize);
    for (at, instruction) in program.instructions[..values].iter().enumerate() {
        operations += usize::from(instruction.is_operation() && !uniform[at]);
        if is_kept(program, uniform, at) && last_uses[at] > at {
            alive += 1;
            not_floats += usize::from(!is_float(at));
        }
        // What this instruction reads last is not needed behind it.
        let arguments = instruction.arguments();
        for (place, value) in arguments.iter().enumerate() {
            let again = arguments[..place].contains(value);
            if last_uses[value.index()] == at && !again && is_kept(program, uniform, value.index()) {
                alive -= 1;
                not_floats -= usize::from(!is_float(value.index()));
            }
        }
        places.push((operations, if not_floats == 0 { alive } else { TOO_MANY }));
    }
    // Where a cut may be: where no more values are alive than a place before and a place behind; and the ends.
    let mut cuts: Vec<Cut> = Vec::with_capacity(64);
    cuts.push(Cut { place: 0, operations: 0, cost: 0, before: 0 });
    let mut first = 0;
    for place in 1..=values {
        let (operations, kept) = places[place];
        let last = place == values;
        let narrow = |&(_, neighbour): &(usize, usize)| kept <= neighbour;
        let may_be = || kept < TOO_MANY && narrow(&places[place - 1]) && narrow(&places[place + 1]);
        if !last && (operations == 0 || !may_be()) {
            continue;
        }
        // The least cost of everything before it, and where its last part begins.
        let own = LOOP + if last { 0 } else { kept * KEEPING };
        let is_long = |cut: &Cut| operations - cut.operations > 2 * long_body;
        // Longer parts only cost more, and a part without operations is none.
        while cuts.get(first + 1).is_some_and(is_long) {
            first += 1;
        }
        let end = cuts.partition_point(|cut| cut.operations < operations);
        let mut best = Cut { place, operations, cost: usize::MAX, before: 0 };
        for (before, cut) in (first..end).zip(&cuts[first..end]) {
            let cost = cut.cost + body_cost(operations - cut.operations, long_body) + own;
            // Of equals the shortest part.
            if cost <= best.cost {
                (best.cost, best.before) = (cost, before);
            }
        }
        if first == end {
            let before = cuts[cuts.len() - 1];
            (best.cost, best.before) = (before.cost, before.before);
        }
        cuts.push(best);
    }
    let mut chosen = Vec::new();
    let mut last = cuts[cuts.len() - 1];
    while last.before > 0 {
        last = cuts[last.before];
        chosen.push(last.place);
    }
    chosen.reverse();
    (!chosen.is_empty()).then_some(chosen)
}

struct Splitter<'a> {
    pass: &'a Pass,
    uniform: &'a [bool],
    cuts: &'a [usize],
}

impl Splitter<'_> {
    fn split(&self) -> Split {
        let program = &self.pass.program;
        let total = program.instructions.len();
        let count = self.cuts.len() + 1;
        // The last part that reads each value. Stores lie behind all cuts.
        let mut read_last = vec![0; total];
        let mut part = 0;
        for (at, instruction) in program.instructions.iter().enumerate() {
            part += usize::from(self.cuts.get(part) == Some(&at));
            for argument in instruction.arguments() {
                read_last[argument.index()] = part;
            }
        }
        let mut slots: Vec<Option<usize>> = vec![None; total];
        // For each scratch operand the last part that reads it.
        let mut busy: Vec<usize> = Vec::new();
        let mut wanted_in = vec![usize::MAX; total];
        let mut parts = Vec::with_capacity(count);
        for part in 0..count {
            let begin = if part == 0 { 0 } else { self.cuts[part - 1] };
            let end = self.cuts.get(part).copied().unwrap_or(total);
            let mut writer = PartWriter::new(self.pass, end - begin);
            self.mark_wanted(begin, end, part, &mut wanted_in);
            for at in (0..end).filter(|at| wanted_in[*at] == part) {
                match slots[at] {
                    Some(slot) if at < begin => writer.load_kept(at, slot),
                    _ => writer.copy(at),
                }
            }
            for value in (begin..end).filter(|at| !self.is_done_again(*at) && read_last[*at] > part) {
                // Not one that this part reads: its loop stores a vector of it while others are still to be read.
                let free = busy.iter().position(|last| *last < part);
                let slot = free.unwrap_or_else(|| {
                    busy.push(0);
                    busy.len() - 1
                });
                busy[slot] = read_last[value];
                slots[value] = Some(slot);
                writer.keep(value, slot);
            }
            parts.push(writer.finish(format!("{}, part {} of {count}", self.pass.name, part + 1)));
        }
        Split { parts, scratch: busy.len() }
    }

    /// Whether every part that needs an instruction's value makes it itself.
    fn is_done_again(&self, at: usize) -> bool {
        self.uniform[at] || matches!(self.pass.program.instructions[at], Instruction::Load { .. })
    }

    /// Marks the instructions a part consists of: its own; and of earlier ones what is kept, what is uniform and what is
    /// loaded, if it reads them.
    fn mark_wanted(&self, begin: usize, end: usize, part: usize, wanted_in: &mut [usize]) {
        for at in (begin..end).filter(|at| !self.is_done_again(*at)) {
            wanted_in[at] = part;
        }
        // From users to arguments, which come before them.
        for at in (0..end).rev().filter(|at| *at >= begin || self.is_done_again(*at)) {
            if wanted_in[at] == part {
                for argument in self.pass.program.instructions[at].arguments() {
                    wanted_in[argument.index()] = part;
                }
            }
        }
    }
}

/// Writes the program of one part, instruction by instruction.
struct PartWriter<'a> {
    pass: &'a Pass,
    instructions: Vec<Instruction>,
    /// Where each value of the whole program is in the part's.
    places: Vec<Value>,
    operands: Vec<Operand>,
    sources: Vec<PartOperand>,
}

impl<'a> PartWriter<'a> {
    fn new(pass: &'a Pass, instructions: usize) -> PartWriter<'a> {
        let places = vec![Value::from_index(0); pass.program.instructions.len()];
        let instructions = Vec::with_capacity(instructions);
        PartWriter { pass, instructions, places, operands: Vec::new(), sources: Vec::new() }
    }

    /// The part's own operand for an operand of the whole pass, added if it is new.
    fn operand(&mut self, at: usize) -> OperandId {
        let source = PartOperand::Operand(at);
        match self.sources.iter().position(|known| *known == source) {
            Some(place) => OperandId::from_index(place),
            None => self.add_operand(source, self.pass.operands[at].clone()),
        }
    }

    fn scratch_operand(&mut self, slot: usize, role: Role) -> OperandId {
        let dtype = self.pass.program.dtype.storage();
        let operand = Operand { role, dtype, layout: Layout::Contiguous, name: format!("kept{slot}") };
        self.add_operand(PartOperand::Scratch(slot), operand)
    }

    fn add_operand(&mut self, source: PartOperand, operand: Operand) -> OperandId {
        self.sources.push(source);
        self.operands.push(operand);
        OperandId::from_index(self.operands.len() - 1)
    }

    /// The instruction at `at` of the whole program; its arguments were written before.
    fn copy(&mut self, at: usize) {
        let mut instruction = super::builder::renumber(self.pass.program.instructions[at], &self.places);
        if let Instruction::Load { operand }
        | Instruction::Store { operand, .. }
        | Instruction::Accumulate { operand, .. } = &mut instruction
        {
            *operand = self.operand(operand.index());
        }
        self.places[at] = Value::from_index(self.instructions.len());
        self.instructions.push(instruction);
    }

    fn load_kept(&mut self, at: usize, slot: usize) {
        let operand = self.scratch_operand(slot, Role::Read);
        self.places[at] = Value::from_index(self.instructions.len());
        self.instructions.push(Instruction::Load { operand });
    }

    fn keep(&mut self, at: usize, slot: usize) {
        let operand = self.scratch_operand(slot, Role::Write);
        self.instructions.push(Instruction::Store { operand, value: self.places[at] });
    }

    fn finish(self, name: String) -> Part {
        let program = LaneProgram { dtype: self.pass.program.dtype, instructions: self.instructions };
        Part { pass: Pass { name, program, operands: self.operands }, sources: self.sources }
    }
}
