//! The constant pool behind the code.
//!
//! On AVX-512 an entry is one element, repeated in every lane by the instruction that reads it; on AVX2 it is a whole
//! vector. Entries of the machine's own (the window of tail masks) are bytes as they are.

use super::target::Target;

/// The pool of one function.
#[derive(Debug, Default)]
pub(super) struct Pool {
    bytes: Vec<u8>,
}

impl Pool {
    /// Adds a lane constant; says where.
    pub(super) fn constant(&mut self, target: Target, bits: u64) -> u32 {
        let size = target.dtype.size();
        let copies = if target.masks { 1 } else { target.lanes() };
        let offset = self.align(size * copies);
        for _ in 0..copies {
            self.bytes.extend_from_slice(&bits.to_le_bytes()[..size]);
        }
        offset
    }

    /// Adds the window of tail masks: a vector of ones, then one of zeros. The vector that starts `n` bytes before the
    /// zeros has its first `n` bytes set. Says where the zeros start.
    pub(super) fn tail_window(&mut self, target: Target) -> u32 {
        let width = target.vector_bytes();
        let offset = self.align(width);
        self.bytes.resize(self.bytes.len() + width, 0xff);
        self.bytes.resize(self.bytes.len() + width, 0);
        offset + width as u32
    }

    fn align(&mut self, alignment: usize) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self.bytes.len() as u32
    }

    /// The bytes so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
