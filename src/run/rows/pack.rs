//! Rows whose axes do not merge: each is packed into scratch, run there, and unpacked.

use super::batch::{Passes, Places, Rows, Task};
use super::span;
use crate::run::Mode;
use crate::run::operands::{self, Bound, Dimension};
use smallvec::{SmallVec, smallvec};

/// Runs all rows, one at a time, through packed copies of what varies along them. `packed` is scratch with room for a row
/// of `packed_bytes` for each source and sink.
///
/// # Safety
/// As [`Task::run`].
pub(super) unsafe fn run(task: &Task<'_>, rows: &Rows, places: &Places, packed: *mut u8, packed_bytes: usize) {
    let count = rows.bounds.len();
    let varying = |at: usize| match at.checked_sub(task.plan.sources.len()) {
        None => task.plan.sources[at].varying,
        Some(sink) => task.plan.sinks[sink].varying,
    };
    let copy = |at: usize| packed.wrapping_add(at * packed_bytes);
    let flat = Rows {
        bounds: rows.bounds.clone(),
        row_strides: (0..count).map(|at| if varying(at) { task.size as isize } else { 0 }).collect(),
        nest: smallvec![Dimension { length: 1, strides: SmallVec::from_elem(0, count) }],
        along: SmallVec::new(),
    };
    let mut passes = Passes::default();
    task.prepare(&flat, 1, places, &mut passes);
    if task.mode == Mode::Compile {
        return;
    }
    let mut offsets: SmallVec<[isize; 8]> = SmallVec::from_elem(0, count);
    let mut bounds: SmallVec<[Bound; 8]> = rows.bounds.clone();
    operands::walk(&rows.nest, &mut offsets, &mut |offsets| {
        for at in 0..count {
            let place = rows.bounds[at].pointer.wrapping_offset(offsets[at]);
            bounds[at].pointer = if varying(at) { copy(at) } else { place };
            if varying(at) && at < task.plan.sources.len() {
                // SAFETY: the caller's promise; the copy has room for a row.
                unsafe { transfer(&rows.along, at, place, copy(at), task.size, Direction::Pack) };
            }
        }
        passes.point(&bounds);
        // SAFETY: the caller's promise; what varies lies in the copies.
        unsafe { span::run(task, &passes, 1, places) };
        for (at, offset) in offsets.iter().enumerate().skip(task.plan.sources.len()) {
            if varying(at) {
                let place = rows.bounds[at].pointer.wrapping_offset(*offset);
                // SAFETY: as above.
                unsafe { transfer(&rows.along, at, place, copy(at), task.size, Direction::Unpack) };
            }
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
    let nest: SmallVec<[Dimension; 4]> =
        along.iter().map(|d| Dimension { length: d.length, strides: smallvec![d.strides[at]] }).collect();
    let mut packed = copy;
    operands::walk(&nest, &mut [0], &mut |offsets| {
        let element = place.wrapping_offset(offsets[0]);
        let (from, to) = if direction == Direction::Pack { (element, packed) } else { (packed, element) };
        // SAFETY: the caller's promise; an element and the copy in scratch do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, to, size) };
        packed = packed.wrapping_add(size);
    });
}
