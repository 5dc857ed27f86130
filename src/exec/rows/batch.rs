//! Running bound rows: batch after batch, on one thread or several.

use super::loops::{Base, RowLoops};
use super::{finish, pack, span, strip};
use crate::codegen::write::Form;
use crate::exec::operands::{self, Dimension};
use crate::exec::threads::Threads;
use crate::lane::OperandArgument;
use smallvec::SmallVec;

/// What passes run on: the loops, with this thread's scratch.
pub(super) struct Batch<'a> {
    pub(super) loops: &'a RowLoops,
    pub(super) threads: &'a Threads,
    scratch: *mut u8,
}

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
        let grain = if self.form == Form::Strip && cut == nest.len() - 1 { 64 } else { 1 };
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
            None => batch.walk(starts, nest),
        }
    }
}

impl Batch<'_> {
    /// Runs batch after batch.
    ///
    /// # Safety
    /// As [`run_loops`].
    unsafe fn walk(&self, pointers: &[*mut u8], nest: &[Dimension]) {
        let Some((last, outer)) = nest.split_last() else { return };
        let mut offsets: SmallVec<[isize; 16]> = SmallVec::from_elem(0, pointers.len());
        let mut starts: SmallVec<[*mut u8; 16]> = SmallVec::from_slice(pointers);
        operands::walk(outer, &mut offsets, &mut |offsets| {
            let mut first = 0;
            while first < last.length {
                let count = self.loops.batch.min(last.length - first);
                for (at, start) in starts.iter_mut().enumerate() {
                    *start = pointers[at].wrapping_offset(offsets[at] + last.strides[at] * first as isize);
                }
                let next = if first + count < last.length { count as isize } else { 0 };
                // SAFETY: the caller's promise; scratch has room for a batch, and for the arguments.
                unsafe {
                    self.point(&starts, |at| last.strides[at] * next);
                    self.run(count);
                }
                first += count;
            }
        });
    }

    /// Points all arguments at a batch whose operands begin here, in the next batch so many bytes on.
    ///
    /// # Safety
    /// As [`RowLoops::run`].
    pub(super) unsafe fn point(&self, starts: &[*mut u8], next: impl Fn(usize) -> isize) {
        let own = self.scratch.wrapping_add(self.loops.arguments_at).cast::<OperandArgument>();
        for (at, argument) in self.loops.arguments.iter().enumerate() {
            let base = match argument.base {
                Base::Operand(at) => starts[at],
                Base::Ahead(at) => starts[at].wrapping_offset(next(at)),
                Base::Scratch => self.scratch,
            };
            let pointed =
                operands::argument(base.wrapping_offset(argument.offset), argument.stride, argument.outer_stride);
            // SAFETY: scratch has room for all arguments there, aligned to cache lines.
            unsafe { own.add(at).write(pointed) };
        }
    }

    /// Runs all stages on the `count` rows that the arguments point at.
    ///
    /// # Safety
    /// As [`RowLoops::run`]; `count` is at most a batch, and the arguments point at it.
    pub(super) unsafe fn run(&self, count: usize) {
        for stage in &self.loops.stages {
            // SAFETY: the caller's promise; what a pass reads of scratch, the passes before it wrote.
            unsafe {
                if let Some(row) = &stage.row {
                    match self.loops.form {
                        Form::Span => span::run(self, stage, row, count),
                        _ => strip::run(self, stage, row, count),
                    }
                }
                finish::reductions(self, stage, count);
                if let Some(per_row) = &stage.per_row {
                    per_row.code.run_in(self.arguments(&per_row.arguments), count, 1, self.code_scratch());
                }
            }
        }
    }

    /// Arguments, by their places.
    ///
    /// # Safety
    /// [`Batch::point`] has written them.
    pub(super) unsafe fn arguments(&self, places: &std::ops::Range<usize>) -> &[OperandArgument] {
        let own = self.scratch.wrapping_add(self.loops.arguments_at).cast::<OperandArgument>();
        // SAFETY: written by the caller's promise; places are below the number of arguments. No pass writes there.
        unsafe { std::slice::from_raw_parts(own.add(places.start), places.len()) }
    }

    /// A place in scratch.
    pub(super) fn scratch(&self, offset: isize) -> *mut u8 {
        self.scratch.wrapping_offset(offset)
    }

    /// What code works in; the further threads that share a row have theirs behind it.
    pub(super) fn code_scratch(&self) -> *mut u8 {
        self.scratch.wrapping_add(self.loops.code_scratch_at)
    }

    /// Bytes of an element.
    pub(super) fn size(&self) -> usize {
        self.loops.dtype.size()
    }
}
