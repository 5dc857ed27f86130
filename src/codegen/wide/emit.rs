//! Emission: the nodes of a sequence become instructions, registers being given out on the way.
//!
//! An [`Emitter`] carries what all sequences of a pass share: the assembler, the frame, the pool, where operands,
//! residents and accumulators are. [`Emitter::sequence`] emits one of them: the preheader, the main loop's bodies, or
//! the masked body of the tail.

use super::allocate::{Allocator, Dense, Home, ResidentPlace};
use super::assemble::{Address, Assembler, Operand};
use super::block::Blocks;
use super::constants::Pool;
use super::contiguous::Fetched;
use super::frame::{Frame, slot_address};
use super::machine::{Action, Class, FusedForms, Node, ValueId};
use super::target::{Simd, Target, mask};
use crate::lane::Layout;
use iced_x86::{Code, Register};

/// Bytes from the start of the span to the current element.
pub(super) const INDEX: Register = Register::RAX;
/// Bytes of the whole span.
pub(super) const END: Register = Register::RSI;
/// The last index at which the main loop may start.
pub(super) const LIMIT: Register = Register::RDI;
/// Scratch.
pub(super) const SCRATCH: Register = Register::R11;
/// Scratch, and the count of a shift.
pub(super) const COUNT: Register = Register::RCX;
/// Hold the pointers of operands, the first ones first.
pub(super) const POINTERS: [Register; 9] = [
    Register::RDX,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::RBX,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// Holds [`INDEX`] with the gaps of cyclic operands, where there are some; else it holds a pointer.
pub(super) const CYCLIC_INDEX: Register = Register::RDX;

/// The mask of the tail, on AVX-512 and on AVX2.
pub(super) const TAIL_MASK: u8 = 1;
pub(super) const TAIL_VECTOR: u8 = 0;
/// A mask register for the use of one node.
pub(super) const SCRATCH_MASK: u8 = 2;
/// Mask registers the allocator may hand out: k3 to k7.
pub(super) const ALLOCATABLE_MASKS: u32 = 0xf8;

/// Which sequence is being emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Uniform values, once a span.
    Preheader,
    /// Whole vectors.
    Main,
    /// At most one vector, under the tail's mask.
    Tail,
}

/// Where the pointer of an operand is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pointer {
    Register(Register),
    Slot(i32),
}

/// Where an operand is while the pass runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct OperandPlace {
    pub(super) layout: Layout,
    /// The current pointer: of the span's start, but walking along with the loop if strided.
    pub(super) pointer: Pointer,
    /// Slot of the span's start, if the pointer walks.
    pub(super) start: i32,
    /// Slot of the stride in bytes, if strided.
    pub(super) stride: i32,
    /// Slot of the bytes one gather or scatter advances, if strided.
    pub(super) step: i32,
    /// Slot of the vector of lane offsets, if strided.
    pub(super) offsets: i32,
}

/// Where an accumulator is while the pass runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccumulatorPlace {
    /// The slot of its lanes.
    pub(super) slot: i32,
    /// The first of the registers that hold its lanes in the main loop, if they do.
    pub(super) registers: Option<u8>,
    /// The register that collects, in the main loop, where a NaN was met.
    pub(super) met_nan: Option<u8>,
}

/// Everything emission needs and makes.
pub(super) struct Emitter {
    pub(super) target: Target,
    pub(super) assembler: Assembler,
    pub(super) frame: Frame,
    pub(super) pool: Pool,
    pub(super) operands: Vec<OperandPlace>,
    pub(super) residents: Vec<ResidentPlace>,
    pub(super) accumulators: Vec<AccumulatorPlace>,
    /// Where vectors of many spans are collected, if that is done.
    pub(super) blocks: Option<Blocks>,
    /// The operand that is stored past caches in the sequence at hand, whose addresses are aligned then.
    pub(super) streaming: Option<usize>,
    /// What the main loop fetches ahead.
    pub(super) fetched: Vec<Fetched>,
    /// Slot of the number of elements the tail still has.
    pub(super) tail_count: i32,
    /// Vector registers that single nodes may use as they like.
    pub(super) scratch: [u8; 3],
}

/// One sequence while it is emitted.
pub(super) struct Run<'emitter> {
    pub(super) emitter: &'emitter mut Emitter,
    pub(super) allocator: Allocator,
    pub(super) mode: Mode,
    /// How many bodies are interleaved.
    copies: usize,
    /// Slots whose values died at this node.
    returned: Vec<(Class, i32)>,
    /// Values that are left in their arrays until they are used.
    pub(super) in_arrays: Vec<Dense>,
}

impl Emitter {
    /// Emits `copies` interleaved copies of `nodes`, using the vector registers in `vectors`.
    pub(super) fn sequence(&mut self, mode: Mode, nodes: &[Node], locals: usize, copies: usize, vectors: u32) {
        let masks = if self.target.masks { ALLOCATABLE_MASKS } else { 0 };
        let allocator = Allocator::new(nodes, locals, copies, &self.residents, vectors, masks);
        let (returned, in_arrays) = (Vec::new(), Vec::new());
        let mut run = Run { emitter: self, allocator, mode, copies, returned, in_arrays };
        // Lines are fetched all along: one after the other they would have to wait for each other.
        let fetched = if mode == Mode::Main { run.emitter.fetched.clone() } else { Vec::new() };
        let mut fetched = fetched.into_iter().enumerate().map(|(at, lines)| (at * nodes.len(), lines)).peekable();
        let each = fetched.len();
        for (index, node) in nodes.iter().enumerate() {
            while let Some((_, lines)) = fetched.next_if(|(place, _)| *place <= index * each) {
                run.emitter.fetch(lines, copies);
            }
            for copy in 0..copies {
                if let Action::Store { .. } = node.action {
                    run.fetch_from_arrays();
                }
                run.allocator.set_position(index * copies + copy);
                run.node(node, copy);
                run.allocator.unlock();
                for (class, slot) in run.returned.drain(..) {
                    run.emitter.frame.give_back(class, slot);
                }
            }
        }
    }

    pub(super) fn vector(&self, number: u8) -> Operand {
        self.target.vector(number).into()
    }
}

impl Run<'_> {
    fn node(&mut self, node: &Node, copy: usize) {
        let mut arguments = [usize::MAX; 4];
        let mut count = 0;
        for argument in node.arguments() {
            arguments[count] = self.allocator.dense(argument, copy);
            // What is in a register already must not be evicted to make room for what is not.
            self.allocator.lock(arguments[count]);
            count += 1;
        }
        let result = if node.result == ValueId::NONE { usize::MAX } else { self.allocator.dense(node.result, copy) };
        let read = &arguments[..count];
        let [a, b, c, d] = arguments;
        match node.action {
            Action::Binary { simd, commutative } => self.binary(simd, commutative, result, a, b),
            Action::Merge { simd } => self.merge(simd, result, [a, b, c, d]),
            Action::Unary { simd, immediate } => self.unary(simd, immediate, result, a),
            Action::Shift { simd, count } => {
                let source = if self.emitter.target.masks { self.operand(a) } else { self.in_register(a) };
                self.write(result, read, |run, to| {
                    let code = run.emitter.target.code(simd);
                    run.emitter.assembler.emit(code, [to, source, count.into()]);
                });
            }
            Action::Fused(forms) => self.fused(forms, result, [a, b, c]),
            Action::Ternary { table } => self.ternary(table, result, [a, b, c]),
            Action::Compare { predicate } => self.compare(predicate, result, a, b),
            Action::Select => self.select(result, a, b, c),
            Action::MaskLogic { code } => {
                let (first, second) = (self.in_register(a), self.in_register(b));
                self.write(result, read, |run, to| run.emitter.assembler.emit(code, [to, first, second]));
            }
            Action::MaskNot => {
                let source = self.in_register(a);
                self.write(result, read, |run, to| {
                    run.emitter.assembler.emit(Code::VEX_Knotw_kr_kr, [to, source]);
                });
            }
            Action::MaskConstant { set } => {
                let code = if set { Code::VEX_Kxnorw_kr_kr_kr } else { Code::VEX_Kxorw_kr_kr_kr };
                self.write(result, read, |run, to| run.emitter.assembler.emit(code, [to, to, to]));
            }
            Action::Load { operand } => match self.emitter.operands[operand].layout {
                Layout::Strided => self.load_strided(operand, result),
                _ => self.load_contiguous(operand, result, copy),
            },
            Action::LoadBroadcast { operand } => {
                let pointer = self.emitter.pointer(operand);
                self.write(result, read, |run, to| {
                    let code = run.emitter.target.code(Simd::Broadcast);
                    run.emitter.assembler.emit(code, [to, Address::at(pointer, 0).into()]);
                });
            }
            Action::Store { operand } => {
                let source = self.in_register(a);
                match self.emitter.operands[operand].layout {
                    Layout::Strided => self.store_strided(operand, source),
                    _ => self.store_contiguous(operand, source, copy),
                }
                self.finish(read);
            }
            Action::Accumulate { accumulator, combine } => {
                let next = (copy + 1 < self.copies).then(|| self.allocator.dense(node.arguments[0], copy + 1));
                self.accumulate(accumulator, combine, a, next, copy);
                self.finish(read);
            }
            Action::Export { resident } => {
                let source = self.in_register(a);
                self.export(resident, source);
                self.finish(read);
            }
        }
    }

    // ---- registers and memory

    /// The register of a number in a class.
    pub(super) fn named(&self, class: Class, number: u8) -> Register {
        match class {
            Class::Vector => self.emitter.target.vector(number),
            Class::Mask => mask(number),
        }
    }

    /// A register that is the current node's own; what it held is saved if it is needed.
    pub(super) fn take(&mut self, class: Class) -> u8 {
        let evicted = self.allocator.take(class);
        if let Some(value) = evicted.spill {
            let slot = self.emitter.frame.spill_slot(class);
            let register = self.named(class, evicted.register).into();
            let code = match class {
                Class::Vector => self.emitter.target.code(Simd::Put),
                Class::Mask => Code::VEX_Kmovw_m16_kr,
            };
            self.emitter.assembler.emit(code, [slot_address(slot).into(), register]);
            self.allocator.spilled(value, slot);
        }
        evicted.register
    }

    /// A value in a register, loaded if need be.
    pub(super) fn in_register(&mut self, value: Dense) -> Operand {
        let class = self.allocator.class(value);
        let number = match self.allocator.register(value) {
            Some(number) => number,
            None => {
                let number = self.take(class);
                self.reload(value, class, number);
                self.allocator.assign(value, number);
                number
            }
        };
        self.allocator.lock(value);
        self.named(class, number).into()
    }

    fn reload(&mut self, value: Dense, class: Class, number: u8) {
        let target = self.emitter.target;
        let register = self.named(class, number).into();
        let (code, address) = match (self.allocator.home(value), class) {
            (Home::Array { operand, copy }, _) => (target.code(Simd::Move), self.array_address(operand, copy)),
            (Home::Pool(offset), _) => (target.code(Simd::Broadcast), Address::pool(offset)),
            (Home::Fixed(slot) | Home::Spilled(slot), Class::Vector) => (target.code(Simd::Move), slot_address(slot)),
            (Home::Fixed(slot) | Home::Spilled(slot), Class::Mask) => (Code::VEX_Kmovw_kr_km16, slot_address(slot)),
            (Home::Nowhere, _) => unreachable!("a value is in a register or in memory"),
        };
        self.emitter.assembler.emit(code, [register, address.into()]);
    }

    /// A vector as an operand that may be memory.
    pub(super) fn operand(&mut self, value: Dense) -> Operand {
        if self.allocator.register(value).is_some() {
            return self.in_register(value);
        }
        match self.allocator.home(value) {
            Home::Pool(offset) => self.emitter.target.constant(Address::pool(offset)).into(),
            // One load serves the later uses too, if a register is to be had for nothing.
            Home::Fixed(_) | Home::Spilled(_)
                if self.allocator.has_free(Class::Vector) && self.allocator.next_use(value) != u32::MAX =>
            {
                self.in_register(value)
            }
            Home::Fixed(slot) | Home::Spilled(slot) => slot_address(slot).into(),
            Home::Array { operand, copy } => self.array_address(operand, copy).into(),
            Home::Nowhere => unreachable!("a value is in a register or in memory"),
        }
    }

    /// Done reading these values at this node.
    pub(super) fn finish(&mut self, read: &[Dense]) {
        for value in read {
            let class = self.allocator.class(*value);
            if let Some(slot) = self.allocator.done_reading(*value) {
                // Not before the node is over: its instruction may still read the slot.
                self.returned.push((class, slot));
            }
        }
    }

    /// Ends a node of one instruction: what dies may lend its register to the result.
    pub(super) fn write(&mut self, result: Dense, read: &[Dense], emit: impl FnOnce(&mut Self, Operand)) {
        self.finish(read);
        let class = self.allocator.class(result);
        let number = self.take(class);
        let to = self.named(class, number).into();
        emit(self, to);
        self.settle(result, number);
    }

    /// The result is in a taken register; a result that nobody reads frees it at once.
    pub(super) fn settle(&mut self, result: Dense, number: u8) {
        self.allocator.assign(result, number);
        if self.allocator.next_use(result) == u32::MAX {
            self.finish(&[result]);
        }
    }

    // ---- nodes of one instruction

    fn binary(&mut self, simd: Simd, commutative: bool, result: Dense, mut a: Dense, mut b: Dense) {
        let read = [a, b];
        if commutative && self.allocator.register(a).is_none() && self.allocator.register(b).is_some() {
            std::mem::swap(&mut a, &mut b);
        }
        let (first, second) = (self.in_register(a), self.operand(b));
        self.write(result, &read, |run, to| {
            let code = run.emitter.target.code(simd);
            run.emitter.assembler.emit(code, [to, first, second]);
        });
    }

    fn merge(&mut self, simd: Simd, result: Dense, [a, b, condition, otherwise]: [Dense; 4]) {
        let (first, condition_at) = (self.in_register(a), self.in_register(condition));
        self.in_register(otherwise);
        let second = self.operand(b);
        let number = self.overwrite(otherwise);
        let to = self.emitter.vector(number);
        let Operand::Register(lanes) = condition_at else { unreachable!("masks are in registers") };
        let code = self.emitter.target.code(simd);
        self.emitter.assembler.emit_masked(code, [to, first, second], lanes, false);
        self.finish(&[a, b, condition, otherwise]);
        self.settle(result, number);
    }

    /// The register of a value in one, taken from it if nobody needs it there, else a copy in another.
    fn overwrite(&mut self, value: Dense) -> u8 {
        if self.allocator.may_overwrite(value) {
            return self.allocator.steal(value);
        }
        let from = self.in_register(value);
        let number = self.take(Class::Vector);
        let to = self.emitter.vector(number);
        self.emitter.assembler.emit(self.emitter.target.code(Simd::Move), [to, from]);
        number
    }

    fn unary(&mut self, simd: Simd, immediate: Option<u8>, result: Dense, a: Dense) {
        let source = self.operand(a);
        self.write(result, &[a], |run, to| {
            let code = run.emitter.target.code(simd);
            match immediate {
                Some(immediate) => run.emitter.assembler.emit(code, [to, source, immediate.into()]),
                None => run.emitter.assembler.emit(code, [to, source]),
            }
        });
    }

    fn compare(&mut self, predicate: u8, result: Dense, mut a: Dense, mut b: Dense) {
        let read = [a, b];
        let mut predicate = predicate;
        if self.allocator.register(a).is_none() && self.allocator.register(b).is_some() {
            std::mem::swap(&mut a, &mut b);
            // a < b is b > a; the others are symmetric.
            predicate = match predicate {
                0x11 => 0x1e,
                0x12 => 0x1d,
                symmetric => symmetric,
            };
        }
        let (first, second) = (self.in_register(a), self.operand(b));
        self.write(result, &read, |run, to| {
            let code = run.emitter.target.code(Simd::Compare);
            run.emitter.assembler.emit(code, [to, first, second, predicate.into()]);
        });
    }

    fn select(&mut self, result: Dense, condition: Dense, then: Dense, otherwise: Dense) {
        let (condition_at, otherwise_at) = (self.in_register(condition), self.in_register(otherwise));
        let then_at = self.operand(then);
        self.write(result, &[condition, then, otherwise], |run, to| {
            let code = run.emitter.target.code(Simd::Blend);
            match condition_at {
                Operand::Register(register) if run.emitter.target.masks => {
                    run.emitter.assembler.emit_masked(code, [to, otherwise_at, then_at], register, false);
                }
                _ => run.emitter.assembler.emit(code, [to, otherwise_at, then_at, condition_at]),
            }
        });
    }

    /// Picks the form of a fused multiply-add: overwrite an operand that dies here, read from memory one that is there.
    fn fused(&mut self, forms: FusedForms, result: Dense, [mut a, mut b, c]: [Dense; 3]) {
        let read = [a, b, c];
        // At most one operand may stay in memory, and only in one place; the others are loaded, and what is loaded may be overwritten.
        // Where nothing may be, a copy of a register is: that is renamed, while a load would take a register more.
        let in_memory = |run: &Self, value: Dense| run.allocator.register(value).is_none();
        let overwritable = |run: &Self, value: Dense| !in_memory(run, value) && run.allocator.may_overwrite(value);
        let occurrences = |value: Dense| read.iter().filter(|other| **other == value).count();
        let mut may_keep = true;
        // The factors are asked first: an addend that is loaded and overwritten leaves them free to be memory.
        for value in [b, a, c] {
            if in_memory(self, value) {
                if may_keep && occurrences(value) == 1 {
                    may_keep = false;
                } else {
                    self.in_register(value);
                }
            }
        }
        // The register to be overwritten: an operand nobody needs in it, else a copy.
        let dies = |run: &Self, value: Dense| overwritable(run, value) && run.allocator.next_use(value) == u32::MAX;
        let pick = [a, b, c]
            .into_iter()
            .find(|value| dies(self, *value))
            .or_else(|| [a, b, c].into_iter().find(|value| overwritable(self, *value)));
        let anything = || [c, a, b].into_iter().find(|value| !in_memory(self, *value));
        let victim = pick.or_else(anything).unwrap_or(c);
        let overwrites_addend = victim == c && victim != a && victim != b;
        if !overwrites_addend && victim == b && victim != a {
            std::mem::swap(&mut a, &mut b);
        }
        let (simd, second, third) = if overwrites_addend {
            let (second, third) = if in_memory(self, a) { (b, a) } else { (a, b) };
            (forms.form231, second, third)
        } else if in_memory(self, b) {
            (forms.form132, c, b)
        } else {
            (forms.form213, b, c)
        };
        let (second, third) = (self.in_register(second), self.memory_operand(third));
        let number = self.overwrite(victim);
        let to = self.emitter.vector(number);
        self.emitter.assembler.emit(self.emitter.target.code(simd), [to, second, third]);
        self.finish(&read);
        self.settle(result, number);
    }

    /// Like [`Run::operand`], but never loads.
    fn memory_operand(&mut self, value: Dense) -> Operand {
        match (self.allocator.register(value), self.allocator.home(value)) {
            (Some(_), _) => self.in_register(value),
            (None, Home::Pool(offset)) => self.emitter.target.constant(Address::pool(offset)).into(),
            (None, Home::Fixed(slot) | Home::Spilled(slot)) => slot_address(slot).into(),
            (None, Home::Array { operand, copy }) => self.array_address(operand, copy).into(),
            (None, Home::Nowhere) => unreachable!("a value is in a register or in memory"),
        }
    }

    fn ternary(&mut self, table: u8, result: Dense, [a, b, c]: [Dense; 3]) {
        let read = [a, b, c];
        // Whoever may be overwritten goes first, whoever is in memory last; the table follows.
        let mut order = [0usize, 1, 2];
        let overwritable =
            |run: &Self, value: Dense| run.allocator.register(value).is_some() && run.allocator.may_overwrite(value);
        if let Some(place) = order.iter().position(|place| overwritable(self, read[*place])) {
            order.swap(0, place);
        }
        if self.allocator.register(read[order[2]]).is_some() && self.allocator.register(read[order[1]]).is_none() {
            order.swap(1, 2);
        }
        let table = permute_table(table, order);
        let [first, second, third] = order.map(|place| read[place]);
        self.in_register(first);
        let second_at = self.in_register(second);
        let third_at = self.memory_operand(third);
        let number = self.overwrite(first);
        let to = self.emitter.vector(number);
        let code = self.emitter.target.code(Simd::Ternary);
        self.emitter.assembler.emit(code, [to, second_at, third_at, table.into()]);
        self.finish(&read);
        self.settle(result, number);
    }

    fn export(&mut self, resident: usize, source: Operand) {
        let place = self.emitter.residents[resident];
        let target = self.emitter.target;
        let (code, to): (Code, Operand) = match (place.pinned, place.home, place.class) {
            (Some(number), ..) => (target.code(Simd::Move), self.emitter.vector(number)),
            (None, Home::Fixed(slot), Class::Vector) => (target.code(Simd::Put), slot_address(slot).into()),
            (None, Home::Fixed(slot), Class::Mask) => (Code::VEX_Kmovw_m16_kr, slot_address(slot).into()),
            _ => unreachable!("a uniform has a register or a slot"),
        };
        self.emitter.assembler.emit(code, [to, source]);
    }
}

/// The table of a Boolean function whose arguments are taken in another order: argument `i` of the new function is
/// argument `order[i]` of the old.
fn permute_table(table: u8, order: [usize; 3]) -> u8 {
    (0..8).fold(0, |permuted, index: u8| {
        // Bit 2 of the index is the first argument.
        let old = (0..3).fold(0u8, |old, place| old | ((index >> (2 - place)) & 1) << (2 - order[place as usize]));
        permuted | ((table >> old) & 1) << index
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permuted_tables_give_the_same_function_of_permuted_arguments() {
        for table in 0..=255u8 {
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let permuted = permute_table(table, order);
                for index in 0..8u8 {
                    let old = [index >> 2 & 1, index >> 1 & 1, index & 1];
                    let new = order.map(|place| old[place]);
                    let at = new[0] << 2 | new[1] << 1 | new[2];
                    assert_eq!(permuted >> at & 1, table >> index & 1, "{table:#x} {order:?} {index:03b}");
                }
            }
        }
    }
}
