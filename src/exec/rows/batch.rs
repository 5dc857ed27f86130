//! One batch of rows: the loops, this thread's scratch, and the arguments in it.

use super::loops::{Base, RowLoops};
use crate::exec::operands;
use crate::exec::threads::Threads;
use crate::lane::OperandArgument;

/// What passes run on: the loops, with this thread's scratch.
pub(super) struct Batch<'a> {
    pub(super) loops: &'a RowLoops,
    pub(super) threads: &'a Threads,
    pub(super) scratch: *mut u8,
}

impl Batch<'_> {
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

    /// Bytes of a lane, which is what elements in scratch are.
    pub(super) fn size(&self) -> usize {
        self.loops.code.dtype.size()
    }
}
