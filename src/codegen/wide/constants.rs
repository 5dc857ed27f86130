//! The constant pool behind the code.
//!
//! On AVX-512 an entry is one element, repeated in every lane by the instruction that reads it; on AVX2 it is a whole
//! vector. Entries of the machine's own (the window of tail masks) are bytes as they are.

use super::target::Target;
use std::ops::Range;

/// The pool of one function.
#[derive(Debug, Default)]
pub(super) struct Pool {
    bytes: Vec<u8>,
    /// The shuffles that are there, by the bytes of each lane that they take, and their places.
    shuffles: Vec<(Range<usize>, u32)>,
    /// The place of the order of [`Pool::first_halves`].
    first_halves: Option<u32>,
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

    /// Adds the pattern of a shuffle, `width` bytes long, that puts some bytes of each lane side by side, in each 16 bytes of a register.
    /// Says where.
    pub(super) fn shuffle(&mut self, width: usize, lane: usize, taken: Range<usize>) -> u32 {
        const PART: usize = 16;
        /// Makes a byte zero.
        const NOTHING: u8 = 0x80;
        if let Some((_, offset)) = self.shuffles.iter().find(|(known, _)| *known == taken) {
            return *offset;
        }
        let offset = self.align(width);
        for _ in 0..width / PART {
            let bytes = (0..PART).filter(|byte| taken.contains(&(byte % lane))).map(|byte| byte as u8);
            self.bytes.extend(bytes.chain(std::iter::repeat(NOTHING)).take(PART));
        }
        self.shuffles.push((taken, offset));
        offset
    }

    /// Adds the order that puts the first halves of a register's quarters side by side. Says where.
    pub(super) fn first_halves(&mut self) -> u32 {
        if let Some(offset) = self.first_halves {
            return offset;
        }
        let offset = self.align(64);
        self.bytes.extend([0u64, 2, 4, 6, 0, 0, 0, 0].into_iter().flat_map(u64::to_le_bytes));
        self.first_halves = Some(offset);
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
