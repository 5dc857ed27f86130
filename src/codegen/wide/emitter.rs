//! What all sequences of a pass share, and what all nodes of a sequence do: values get registers, and are found where they are.
//!
//! An [`Emitter`] carries the assembler, the frame, the pool, and where operands, residents and accumulators are; a [`Run`] is
//! one sequence while it is emitted. The nodes themselves are written in [`super::emit`], those of several instructions in
//! the files it calls.

use super::allocate::{Allocator, Dense, Home, ResidentPlace};
use super::assemble::{Address, Assembler, Operand};
use super::constants::Pool;
use super::frame::{Frame, slot_address};
use super::machine::Class;
use super::places::{AccumulatorPlace, Blocks, Fetched, OperandPlace, Pointer};
use super::registers::{CYCLIC_INDEX, INDEX, SCRATCH};
use super::target::{Simd, Target, mask};
use crate::lane::{ACCUMULATOR_LANES, CYCLE, Layout};
use iced_x86::{Code, Register};

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

/// Everything emission needs and makes.
pub(super) struct Emitter {
    pub(super) target: Target,
    pub(super) assembler: Assembler,
    pub(super) frame: Frame,
    pub(super) pool: Pool,
    pub(super) operands: Vec<OperandPlace>,
    /// What the index counts for an element: its bytes where that is the same for all operands, else 1.
    pub(super) unit: usize,
    pub(super) residents: Vec<ResidentPlace>,
    pub(super) accumulators: Vec<AccumulatorPlace>,
    /// Where vectors of many spans are collected, if that is done.
    pub(super) blocks: Option<Blocks>,
    /// The operand that is stored past caches in the sequence at hand, whose addresses are aligned then.
    pub(super) streaming: Option<usize>,
    /// What the main loop fetches ahead.
    pub(super) fetched: Vec<Fetched>,
    /// Slot of the number of elements the tail still has; AVX-512 only has it if `counts_tail`.
    pub(super) tail_count: i32,
    pub(super) counts_tail: bool,
    /// Whether bodies of the main loop share vectors of memory, two each ([`super::pairs`]).
    pub(super) pairs: bool,
    /// The place in the pool of the mask of upper halves, once it is there.
    pub(super) upper_half: Option<u32>,
    /// Slot of a vector that narrow elements go through one by one.
    pub(super) staging: i32,
    /// Vector registers that single nodes may use as they like.
    pub(super) scratch: [u8; 3],
}

/// One sequence while it is emitted.
pub(super) struct Run<'emitter> {
    pub(super) emitter: &'emitter mut Emitter,
    pub(super) allocator: Allocator,
    pub(super) mode: Mode,
    /// How many bodies are interleaved.
    pub(super) copies: usize,
    /// Slots whose values died at this node.
    pub(super) returned: Vec<(Class, i32)>,
    /// Values that are left in their arrays until they are used.
    pub(super) in_arrays: Vec<Dense>,
}

impl Emitter {
    pub(super) fn vector(&self, number: u8) -> Operand {
        self.target.vector(number).into()
    }

    /// The pointer of an operand in a register: its own, or the scratch register.
    pub(super) fn pointer(&mut self, operand: usize) -> Register {
        match self.operands[operand].pointer {
            Pointer::Register(register) => register,
            Pointer::Slot(slot) => {
                self.assembler.load(SCRATCH, slot_address(slot));
                SCRATCH
            }
        }
    }

    /// What the index is multiplied by, in addresses of an operand.
    pub(super) fn scale(&self, operand: usize) -> usize {
        self.operands[operand].size / self.unit
    }

    /// Bytes of an operand that a vector of lanes comes from or goes to.
    pub(super) fn operand_bytes(&self, operand: usize) -> usize {
        self.target.lanes() * self.operands[operand].size
    }

    /// The place in a cyclic operand that is so many bytes of it past the index, `offset` bytes from where that is. (The index is
    /// a whole number of groups, or all bodies of an iteration stay within one.) `pointer` is the operand's.
    pub(super) fn cyclic_address(&self, operand: usize, pointer: Register, offset: usize, bytes: usize) -> Address {
        let gaps = (CYCLE - 1) * (bytes - bytes % self.group_bytes(operand));
        Address::scaled(pointer, CYCLIC_INDEX, self.scale(operand), (offset + bytes + gaps) as i32)
    }

    /// Bytes of a group of lanes of a cyclic operand.
    pub(super) fn group_bytes(&self, operand: usize) -> usize {
        ACCUMULATOR_LANES * self.operands[operand].size
    }
}

impl Run<'_> {
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

    /// The register of a value in one, taken from it if nobody needs it there, else a copy in another.
    pub(super) fn overwrite(&mut self, value: Dense) -> u8 {
        if self.allocator.may_overwrite(value) {
            return self.allocator.steal(value);
        }
        let from = self.in_register(value);
        let number = self.take(Class::Vector);
        let to = self.emitter.vector(number);
        self.emitter.assembler.emit(self.emitter.target.code(Simd::Move), [to, from]);
        number
    }

    /// Like [`Run::operand`], but never loads.
    pub(super) fn memory_operand(&mut self, value: Dense) -> Operand {
        match (self.allocator.register(value), self.allocator.home(value)) {
            (Some(_), _) => self.in_register(value),
            (None, Home::Pool(offset)) => self.emitter.target.constant(Address::pool(offset)).into(),
            (None, Home::Fixed(slot) | Home::Spilled(slot)) => slot_address(slot).into(),
            (None, Home::Array { operand, copy }) => self.array_address(operand, copy).into(),
            (None, Home::Nowhere) => unreachable!("a value is in a register or in memory"),
        }
    }

    pub(super) fn contiguous_address(&mut self, operand: usize, copy: usize) -> Address {
        let pointer = self.emitter.pointer(operand);
        let bytes = copy * self.emitter.operand_bytes(operand);
        match self.emitter.operands[operand].layout {
            Layout::BlockCyclic => self.emitter.cyclic_address(operand, pointer, 0, bytes),
            _ => Address::scaled(pointer, INDEX, self.emitter.scale(operand), bytes as i32),
        }
    }

    fn array_address(&mut self, operand: u32, copy: u32) -> Address {
        self.contiguous_address(operand as usize, copy as usize)
    }
}
