//! Rows whose axes do not merge, or whose elements lie apart: each is packed into scratch, run there, and unpacked.

use super::batch::Batch;
use super::stages;
use crate::exec::operands::{self, Dimension};
use smallvec::{SmallVec, smallvec};

/// Runs the rows of a nest, one at a time, through packed copies of what varies along them; `along` are a row's dimensions.
///
/// # Safety
/// As [`super::RowLoops::run`].
pub(super) unsafe fn run(batch: &Batch<'_>, along: &[Dimension], pointers: &[*mut u8], nest: &[Dimension]) {
    let loops = batch.loops;
    let sources = loops.code.sources;
    let mut offsets: SmallVec<[isize; 16]> = SmallVec::from_elem(0, pointers.len());
    let mut starts: SmallVec<[*mut u8; 16]> = SmallVec::from_slice(pointers);
    operands::walk(nest, &mut offsets, &mut |offsets| {
        for (at, start) in starts.iter_mut().enumerate() {
            *start = pointers[at].wrapping_offset(offsets[at]);
            if loops.code.varying[at] {
                let size = loops.code.storage[at].size();
                let copy = batch.scratch(loops.places.packed(at));
                if at < sources {
                    // SAFETY: the caller's promise; the copy has room for a row.
                    unsafe { transfer(along, at, *start, copy, size, Direction::Pack) };
                }
                *start = copy;
            }
        }
        // SAFETY: the caller's promise; what varies lies in the copies.
        unsafe {
            batch.point(&starts, |_| 0);
            stages::run(batch, 1);
        }
        for (at, copy) in starts.iter().enumerate().skip(sources).filter(|(at, _)| loops.code.varying[*at]) {
            let size = loops.code.storage[at].size();
            let place = pointers[at].wrapping_offset(offsets[at]);
            // SAFETY: as above.
            unsafe { transfer(along, at, place, *copy, size, Direction::Unpack) };
        }
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Pack,
    Unpack,
}

/// Copies a row of operand `at` between its place and a packed copy, in row-major order of the row's axes.
///
/// # Safety
/// The row's elements and the copy are valid for reads and writes as the direction asks.
unsafe fn transfer(along: &[Dimension], at: usize, place: *mut u8, copy: *mut u8, size: usize, direction: Direction) {
    // The innermost dimension, in one piece where it is one.
    let (inner, outer) = match along.split_last() {
        Some((inner, outer)) => ((inner.length, inner.strides[at]), outer),
        None => ((1, 0), along),
    };
    let (pieces, step, bytes) =
        if inner.1 == size as isize { (1, 0, inner.0 * size) } else { (inner.0, inner.1, size) };
    let nest: SmallVec<[Dimension; 4]> =
        outer.iter().map(|d| Dimension { length: d.length, strides: smallvec![d.strides[at]] }).collect();
    let mut packed = copy;
    operands::walk(&nest, &mut [0], &mut |offsets| {
        for piece in 0..pieces as isize {
            let there = place.wrapping_offset(offsets[0] + piece * step);
            let (from, to) = if direction == Direction::Pack { (there, packed) } else { (packed, there) };
            // SAFETY: the caller's promise; an array and the copy in scratch do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) };
            packed = packed.wrapping_add(bytes);
        }
    });
}
