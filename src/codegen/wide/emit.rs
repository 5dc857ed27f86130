//! Emission: the nodes of a sequence become instructions, registers being given out on the way.
//!
//! [`Emitter::sequence`] emits one of a pass's sequences: the preheader, the main loop's bodies, or the masked body of the tail.
//! Here are the nodes that are one instruction.

use super::allocate::{Allocator, Dense, Home};
use super::assemble::{Address, Operand};
use super::conversion::{Loading, Storing};
use super::emitter::{Emitter, Mode, Run};
use super::frame::slot_address;
use super::machine::{Action, Class, FusedForms, Node, ValueId};
use super::registers::ALLOCATABLE_MASKS;
use super::target::Simd;
use crate::lane::Layout;
use iced_x86::Code;

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
            Action::Load { operand, loading } => match (loading, self.emitter.operands[operand].layout) {
                (Loading::Whole, Layout::Strided) => self.load_strided(operand, result),
                (Loading::Whole, _) => self.load_contiguous(operand, result, copy),
                _ => self.load_elements(operand, loading, result, copy),
            },
            Action::LoadBroadcast { operand, loading } if loading != Loading::Whole => {
                self.load_element_broadcast(operand, loading, result);
            }
            Action::LoadBroadcast { operand, .. } => {
                let pointer = self.emitter.pointer(operand);
                self.write(result, read, |run, to| {
                    let code = run.emitter.target.code(Simd::Broadcast);
                    run.emitter.assembler.emit(code, [to, Address::at(pointer, 0).into()]);
                });
            }
            Action::Store { operand, storing } => {
                let source = self.in_register(a);
                match (storing, self.emitter.operands[operand].layout) {
                    (Storing::Whole, Layout::Strided) => self.store_strided(operand, source),
                    (Storing::Whole, _) => self.store_contiguous(operand, source, copy),
                    _ => {
                        let is_first = copy.is_multiple_of(2) && copy + 1 < self.copies;
                        let next = is_first.then(|| self.allocator.dense(node.arguments[0], copy + 1));
                        self.store_elements(operand, storing, source, next, copy);
                    }
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
