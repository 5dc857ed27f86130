//! Row kernels whose span is the row.

use super::batch::Batch;
use super::code::{RowPass, SegmentCode, StageCode};
use super::finish;
use super::loops::{Motion, SegmentLengths};
use crate::lane::OperandArgument;
use smallvec::SmallVec;

/// Runs a pass along `count` rows, segment by segment; where a row has several results, they are added up.
///
/// # Safety
/// Every element of the rows is valid, as [`crate::codegen::Code::run_in`] asks; scratch has room for the batch.
pub(super) unsafe fn run(batch: &Batch<'_>, stage: &StageCode, pass: &RowPass, count: usize) {
    for (segment, lengths) in batch.loops.segments(pass) {
        // SAFETY: the caller's promise, for this part of the rows.
        unsafe {
            let arguments = batch.arguments(&segment.arguments);
            if lengths.chunks == 1 {
                segment.code.run_in(arguments, lengths.span, count, batch.code_scratch());
            } else {
                run_chunks(batch, (segment, lengths), arguments, count);
            }
        }
    }
    let results = batch.loops.results(pass);
    if results > 1 {
        let size = batch.size() as isize;
        // SAFETY: all chunks of the rows were written above.
        unsafe { finish::add_results(batch, stage, count, results, (results as isize * size, size)) };
    }
}

/// Runs the chunks of a segment for `count` rows, a row at a time, its chunks perhaps on several threads.
///
/// # Safety
/// As [`run`].
unsafe fn run_chunks(
    batch: &Batch<'_>,
    (segment, lengths): (&SegmentCode, &SegmentLengths),
    arguments: &[OperandArgument],
    count: usize,
) {
    let mut row: SmallVec<[OperandArgument; 32]> = SmallVec::from_slice(arguments);
    // From chunk to chunk, instead of row to row.
    let elements = (lengths.bodies * lengths.span) as isize;
    for (argument, bound) in row.iter_mut().zip(&batch.loops.arguments[segment.arguments.clone()]) {
        argument.outer_stride = match bound.motion {
            Motion::Accumulates => batch.size() as isize,
            Motion::Stays => 0,
            Motion::Moves => argument.stride * elements,
        };
    }
    for _ in 0..count {
        let shared = Shared(&row, batch.code_scratch());
        let scratch_bytes = batch.loops.code.code_scratch;
        let run = |thread: usize, first: usize, chunks: usize| {
            let mut own: SmallVec<[OperandArgument; 32]> = SmallVec::from_slice(shared.get());
            for argument in &mut own {
                argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * first as isize);
            }
            // SAFETY: the caller's promise, for these chunks.
            unsafe { segment.code.run_in(&own, lengths.span, chunks, shared.scratch(thread * scratch_bytes)) };
        };
        if batch.loops.row_parts > 1 {
            batch.threads.split(lengths.chunks, 1, batch.loops.row_parts, run);
        } else {
            run(0, 0, lengths.chunks);
        }
        for (argument, of_row) in row.iter_mut().zip(arguments) {
            argument.pointer = argument.pointer.wrapping_offset(of_row.outer_stride);
        }
    }
}

/// The arguments of a row that threads share, and where their code works.
struct Shared<'a>(&'a [OperandArgument], *mut u8);

impl Shared<'_> {
    fn get(&self) -> &[OperandArgument] {
        self.0
    }

    fn scratch(&self, offset: usize) -> *mut u8 {
        self.1.wrapping_add(offset)
    }
}

// SAFETY: arguments are addresses and steps; threads read and write disjoint chunks of what they lead to, and
// have scratch of their own.
unsafe impl Sync for Shared<'_> {}
