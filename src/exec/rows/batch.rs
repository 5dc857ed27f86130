//! Running laid-out rows: batch after batch, on one thread or several.

use super::loops::{Base, RowLoops};
use super::{finish, pack, span, strip};
use crate::exec::operands::{self, Dimension, Pointers};
use crate::exec::scratch::{OutOfMemory, Scratch};
use crate::exec::threads;
use crate::lane::OperandArgument;
use crate::plan::{Form, KernelPlan};
use smallvec::SmallVec;

/// What passes run on: the loops, with this thread's scratch.
pub(super) struct Batch<'a> {
    pub(super) plan: &'a KernelPlan,
    pub(super) loops: &'a RowLoops,
    scratch: *mut u8,
    /// The arguments of all passes, for the current batch.
    arguments: SmallVec<[OperandArgument; 32]>,
}

/// Runs a kernel's loops on arrays that begin at `pointers`, rows being split over so many threads.
///
/// # Safety
/// The arrays are laid out as those the loops are for; every element they reach is valid, as [`crate::codegen::Code::run`]
/// asks.
pub(crate) unsafe fn run_loops(
    loops: &RowLoops,
    plan: &KernelPlan,
    pointers: &Pointers,
    parts: usize,
) -> Result<(), OutOfMemory> {
    if parts == 1 || loops.row_parts > 1 {
        // SAFETY: the caller's promise, for all rows.
        return unsafe { run_rows(loops, plan, &pointers.0, &loops.nest) };
    }
    let nest = &loops.nest;
    let cut = dimension_to_cut(nest, parts);
    let grain = if loops.form == Form::Strip && cut == nest.len() - 1 { 64 } else { 1 };
    let failed = std::sync::Mutex::new(None);
    threads::split(nest[cut].length, grain, parts, |first, count| {
        let mut part = nest.clone();
        part[cut].length = count;
        let Pointers(pointers) = pointers;
        let steps = pointers.iter().zip(&nest[cut].strides);
        let moved: SmallVec<[*mut u8; 8]> =
            steps.map(|(pointer, stride)| pointer.wrapping_offset(stride * first as isize)).collect();
        // SAFETY: the caller's promise, for rows that no other thread has.
        if let Err(error) = unsafe { run_rows(loops, plan, &moved, &part) } {
            *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        }
    });
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
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
/// As [`run_loops`], for these rows.
unsafe fn run_rows(
    loops: &RowLoops,
    plan: &KernelPlan,
    pointers: &[*mut u8],
    nest: &[Dimension],
) -> Result<(), OutOfMemory> {
    let mut scratch = Scratch::take(loops.scratch_bytes)?;
    let mut batch = Batch { plan, loops, scratch: scratch.base(), arguments: SmallVec::new() };
    // SAFETY: the caller's promise; scratch is this call's own, as large as the loops ask for.
    unsafe {
        match &loops.packed {
            Some(along) => pack::run(&mut batch, along, pointers, nest),
            None => batch.walk(pointers, nest),
        }
    }
    Ok(())
}

impl Batch<'_> {
    /// Runs batch after batch.
    ///
    /// # Safety
    /// As [`run_loops`].
    unsafe fn walk(&mut self, pointers: &[*mut u8], nest: &[Dimension]) {
        let Some((last, outer)) = nest.split_last() else { return };
        let mut offsets: SmallVec<[isize; 8]> = SmallVec::from_elem(0, pointers.len());
        let mut starts: SmallVec<[*mut u8; 8]> = SmallVec::from_slice(pointers);
        operands::walk(outer, &mut offsets, &mut |offsets| {
            let mut first = 0;
            while first < last.length {
                let count = self.loops.batch.min(last.length - first);
                for (at, start) in starts.iter_mut().enumerate() {
                    *start = pointers[at].wrapping_offset(offsets[at] + last.strides[at] * first as isize);
                }
                let next = if first + count < last.length { count as isize } else { 0 };
                self.point(&starts, |at| last.strides[at] * next);
                // SAFETY: the caller's promise; scratch has room for a batch.
                unsafe { self.run(count) };
                first += count;
            }
        });
    }

    /// Points all arguments at a batch whose operands begin here, in the next batch so many bytes on.
    pub(super) fn point(&mut self, starts: &[*mut u8], next: impl Fn(usize) -> isize) {
        let (loops, scratch) = (self.loops, self.scratch);
        self.arguments.clear();
        self.arguments.extend(loops.arguments.iter().map(|argument| {
            let base = match argument.base {
                Base::Operand(at) => starts[at],
                Base::Ahead(at) => starts[at].wrapping_offset(next(at)),
                Base::Scratch => scratch,
            };
            operands::argument(base.wrapping_offset(argument.offset), argument.stride, argument.outer_stride)
        }));
    }

    /// Runs all stages on the `count` rows that the arguments point at.
    ///
    /// # Safety
    /// As [`run_loops`]; `count` is at most a batch.
    pub(super) unsafe fn run(&self, count: usize) {
        for (number, stage) in self.loops.stages.iter().enumerate() {
            // SAFETY: the caller's promise; what a pass reads of scratch, the passes before it wrote.
            unsafe {
                if let Some(along) = &stage.along {
                    match self.loops.form {
                        Form::Span => span::run(self, number, along, count),
                        _ => strip::run(self, number, along, count),
                    }
                }
                finish::reductions(self, number, count);
                if let Some((code, arguments)) = &stage.across {
                    code.run(self.arguments(arguments), count, 1);
                }
            }
        }
    }

    /// Arguments, by their places.
    pub(super) fn arguments(&self, places: &std::ops::Range<usize>) -> &[OperandArgument] {
        &self.arguments[places.clone()]
    }

    /// A place in scratch.
    pub(super) fn scratch(&self, offset: isize) -> *mut u8 {
        self.scratch.wrapping_offset(offset)
    }

    /// Bytes of an element.
    pub(super) fn size(&self) -> usize {
        self.loops.dtype.size()
    }
}
