//! The constant pool behind the code.
//!
//! On AVX-512 an entry is one element, repeated in every lane by the instruction that reads it; on AVX2 it is a whole
//! vector. Entries of the machine's own (the window of tail masks) are bytes as they are.

use super::target::Target;

/// The pool of one function.
#[derive(Debug, Default)]
pub(super) struct Pool {
    bytes: Vec<u8>,
    /// The shuffle that takes so many low bytes of each lane, where it is needed, and its place.
    shuffles: Vec<(usize, u32)>,
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

    /// Adds the pattern of an AVX2 shuffle that puts the low `size` bytes of each lane side by side, in each half of a register. Says where.
    pub(super) fn low_bytes(&mut self, lane: usize, size: usize) -> u32 {
        const HALF: usize = 16;
        /// Makes a byte zero.
        const NOTHING: u8 = 0x80;
        if let Some((_, offset)) = self.shuffles.iter().find(|(known, _)| *known == size) {
            return *offset;
        }
        let offset = self.align(2 * HALF);
        for _ in 0..2 {
            let taken = (0..HALF).filter(|byte| byte % lane < size).map(|byte| byte as u8);
            self.bytes.extend(taken.chain(std::iter::repeat(NOTHING)).take(HALF));
        }
        self.shuffles.push((size, offset));
        offset
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
