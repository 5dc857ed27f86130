//! Running bound rows: batch after batch, on one thread or several.

use super::batch::Batch;
use super::loops::RowLoops;
use super::{pack, stages};
use crate::codegen::write::Form;
use crate::exec::operands::{self, Dimension};
use crate::exec::threads::Threads;
use smallvec::SmallVec;

/// Where operands begin, and scratch.
struct Starts<'a>(&'a [*mut u8], *mut u8);

// SAFETY: addresses; threads read and write disjoint rows of what they lead to, and have scratch of their own.
unsafe impl Sync for Starts<'_> {}

impl RowLoops {
    /// Runs the loops on arrays that begin at `starts`.
    ///
    /// # Safety
    /// The arrays have the layouts the loops are bound to; every element they reach is valid, as
    /// [`crate::codegen::Code::run_in`] asks. `scratch` is aligned to cache lines, has [`RowLoops::thread_scratch`] bytes for
    /// each of [`RowLoops::threads`], and is this call's own.
    pub(crate) unsafe fn run(&self, threads: &Threads, starts: &[*mut u8], scratch: *mut u8) {
        if self.parts == 1 {
            // SAFETY: the caller's promise, for all rows.
            return unsafe { run_rows(self, threads, starts, scratch, &self.nest) };
        }
        let nest = &self.nest;
        let cut = dimension_to_cut(nest, self.parts);
        let grain = if self.code.form == Form::Strip && cut == nest.len() - 1 { 64 } else { 1 };
        let shared = Starts(starts, scratch);
        threads.split(nest[cut].length, grain, self.parts, |number, first, count| {
            let mut part = nest.clone();
            part[cut].length = count;
            let Starts(starts, scratch) = &shared;
            let moved: SmallVec<[*mut u8; 16]> = starts
                .iter()
                .zip(&nest[cut].strides)
                .map(|(start, stride)| start.wrapping_offset(stride * first as isize))
                .collect();
            let own = scratch.wrapping_add(number * self.scratch_bytes);
            // SAFETY: the caller's promise, for rows that no other thread has. Parts are numbered below `self.parts`.
            unsafe { run_rows(self, threads, &moved, own, &part) };
        });
    }
}

/// The dimension of which each of so many threads gets a part: the outermost that can be shared out evenly, so that each reads memory
/// in order, else the longest.
fn dimension_to_cut(nest: &[Dimension], parts: usize) -> usize {
    const EVEN_ENOUGH: usize = 8;
    let longest = || (0..nest.len()).max_by_key(|at| nest[*at].length).unwrap_or(0);
    nest.iter().position(|dimension| dimension.length >= EVEN_ENOUGH * parts).unwrap_or_else(longest)
}

/// Runs the rows of a nest on this thread.
///
/// # Safety
/// As [`RowLoops::run`], for these rows.
unsafe fn run_rows(loops: &RowLoops, threads: &Threads, starts: &[*mut u8], scratch: *mut u8, nest: &[Dimension]) {
    let batch = Batch { loops, threads, scratch };
    // SAFETY: the caller's promise.
    unsafe {
        match &loops.packed {
            Some(along) => pack::run(&batch, along, starts, nest),
            None => walk(&batch, starts, nest),
        }
    }
}

/// Runs batch after batch.
///
/// # Safety
/// As [`RowLoops::run`].
unsafe fn walk(batch: &Batch<'_>, pointers: &[*mut u8], nest: &[Dimension]) {
    let Some((last, outer)) = nest.split_last() else { return };
    let mut offsets: SmallVec<[isize; 16]> = SmallVec::from_elem(0, pointers.len());
    let mut starts: SmallVec<[*mut u8; 16]> = SmallVec::from_slice(pointers);
    operands::walk(outer, &mut offsets, &mut |offsets| {
        let mut first = 0;
        while first < last.length {
            let count = batch.loops.batch.min(last.length - first);
            for (at, start) in starts.iter_mut().enumerate() {
                *start = pointers[at].wrapping_offset(offsets[at] + last.strides[at] * first as isize);
            }
            let next = if first + count < last.length { count as isize } else { 0 };
            // SAFETY: the caller's promise; scratch has room for a batch, and for the arguments.
            unsafe {
                batch.point(&starts, |at| last.strides[at] * next);
                stages::run(batch, count);
            }
            first += count;
        }
    });
}
