//! The frame: where a running pass keeps what has no register.
//!
//! Every slot is an offset from [`FRAME`], which is aligned to a cache line. Frames up to [`STACK_LIMIT`] live on the
//! stack, below which a compiler would not probe either; a larger one is memory the caller brings
//! ([`MachineCode::outside_frame`](crate::codegen::machine_code::MachineCode::outside_frame)), so that no program, however many values it spills, can jump over a guard page.

use super::assemble::Address;
use super::machine::Class;
use super::target::Target;
use iced_x86::Register;

/// Holds the address of the frame.
pub(super) const FRAME: Register = Register::RBP;

/// The largest frame on the stack.
pub(super) const STACK_LIMIT: usize = 4096;

/// Hands out slots.
#[derive(Debug)]
pub(super) struct Frame {
    target: Target,
    size: usize,
    free_vectors: Vec<i32>,
    free_words: Vec<i32>,
}

impl Frame {
    pub(super) fn new(target: Target) -> Frame {
        Frame { target, size: 0, free_vectors: Vec::new(), free_words: Vec::new() }
    }

    /// A new slot.
    pub(super) fn slot(&mut self, bytes: usize, alignment: usize) -> i32 {
        let offset = self.size.next_multiple_of(alignment);
        self.size = offset + bytes;
        // A frame beyond 2 GiB would need 2^25 live vectors; the encoder then refuses the code before it runs.
        i32::try_from(offset).unwrap_or(i32::MAX)
    }

    /// A new slot for a pointer or a count.
    pub(super) fn word(&mut self) -> i32 {
        self.slot(8, 8)
    }

    /// A slot for a value, perhaps one that was given back.
    pub(super) fn spill_slot(&mut self, class: Class) -> i32 {
        match class {
            Class::Vector => match self.free_vectors.pop() {
                Some(slot) => slot,
                None => self.slot(self.target.vector_bytes(), self.target.vector_bytes()),
            },
            Class::Mask => match self.free_words.pop() {
                Some(slot) => slot,
                None => self.word(),
            },
        }
    }

    /// Gives a value's slot back.
    pub(super) fn give_back(&mut self, class: Class, slot: i32) {
        match class {
            Class::Vector => self.free_vectors.push(slot),
            Class::Mask => self.free_words.push(slot),
        }
    }

    /// Bytes in all, whole cache lines.
    pub(super) fn size(&self) -> usize {
        self.size.next_multiple_of(64)
    }
}

/// The address of a slot.
pub(super) fn slot_address(slot: i32) -> Address {
    Address::at(FRAME, slot)
}
