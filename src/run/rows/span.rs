//! Row kernels whose span is the row.

use super::batch::{Homes, PassCode, Passes, Places, Rows, Segment, SegmentArguments, Task};
use super::finish;
use crate::fuse::{self, Slot};
use crate::lane::OperandArgument;
use crate::run::{operands, threads};
use smallvec::SmallVec;

/// Runs all stages for a batch of `count` rows, which the passes point at.
///
/// # Safety
/// Every element of the rows is valid, as [`crate::backend::Code::run`] asks; scratch has room for the batch.
pub(super) unsafe fn run(task: &Task<'_>, passes: &Passes<'_>, count: usize, places: &Places) {
    for (number, code) in passes.stages.iter().enumerate() {
        if let Some(along) = &code.along {
            // SAFETY: the caller's promise.
            unsafe { run_along(task, number, along, passes.arguments(along), count, places) };
        }
        // SAFETY: scalars and kept rows of the batch were written above.
        unsafe {
            finish::reductions(task, number, count, places, |row, kept| {
                let bytes = task.row_length * task.size;
                (places.kept(kept).wrapping_add(row * bytes), task.size as isize)
            })
        };
        if let Some(across) = &code.across
            && let Some(code) = across.single
        {
            // SAFETY: the caller's promise.
            unsafe { code.run(passes.arguments(across), count, 1) };
        }
    }
}

/// The arguments of a pass along the row for the first row, outer strides leading to the next.
pub(super) fn arguments(
    task: &Task<'_>,
    stage: usize,
    (rows, homes): (&Rows, &Homes),
    places: &Places,
    arguments: &mut SmallVec<[OperandArgument; 32]>,
) {
    let element = task.size as isize;
    let row_bytes = (task.row_length * task.size) as isize;
    let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
    let stage = &task.plan.stages[stage];
    for slot in &stage.along.slots {
        arguments.push(match slot {
            Slot::Source(at) => operands::argument(rows.bounds[*at].pointer, rows.row_strides[*at], batch_strides[*at]),
            Slot::Sink(at) => {
                let at = task.plan.sources.len() + at;
                operands::argument(rows.bounds[at].pointer, rows.row_strides[at], batch_strides[at])
            }
            Slot::Kept(at) | Slot::Keep(at) => match homes[*at] {
                Some(at) => operands::argument(rows.bounds[at].pointer, element, batch_strides[at]),
                None => operands::argument(places.kept(*at), element, row_bytes),
            },
            Slot::Scalar(at) | Slot::SetScalar(at) => operands::argument(places.scalar(*at), 0, element),
            Slot::Reduction(at) => operands::argument(places.scalar(stage.reductions[*at].scalar), element, element),
        });
    }
}

/// Runs a pass along `count` rows, segment by segment; where a row has several results, they are added up.
///
/// # Safety
/// As [`run`].
unsafe fn run_along(
    task: &Task<'_>,
    stage: usize,
    along: &PassCode<'_>,
    arguments: &[OperandArgument],
    count: usize,
    places: &Places,
) {
    if let Some((code, span)) = along.whole {
        // SAFETY: the caller's promise.
        return unsafe { code.run(arguments, span, count) };
    }
    let (segments, results) = task.segments(stage, along);
    let size = task.size as isize;
    let row_results = results as isize * size;
    for segment in &segments {
        let mut own = segment.arguments(task.plan, along.slots, arguments, |argument| argument.stride);
        if results > 1 {
            for (argument, slot) in own.iter_mut().zip(along.slots) {
                if let Slot::Reduction(at) = slot {
                    argument.pointer = places.block(*at).wrapping_offset(segment.result as isize * size);
                    argument.outer_stride = row_results;
                }
            }
        }
        // SAFETY: the caller's promise, for this part of the rows.
        unsafe {
            if segment.spans == 1 {
                segment.code.run(&own, segment.span, count);
            } else {
                run_spans(task, segment, along, own, count);
            }
        }
    }
    if results > 1 {
        // SAFETY: all spans of the rows were written above.
        unsafe { finish::add_blocks(task, stage, count, results, (row_results, size), places) };
    }
}

/// Runs the spans of a segment for `count` rows, a row at a time, its spans perhaps on several threads.
///
/// # Safety
/// As [`run`].
unsafe fn run_spans(
    task: &Task<'_>,
    segment: &Segment<'_>,
    along: &PassCode<'_>,
    mut row: SegmentArguments,
    count: usize,
) {
    // From row to row; and from span to span.
    let row_steps: SmallVec<[isize; 16]> = row.iter().map(|argument| argument.outer_stride).collect();
    let elements = (segment.bodies * segment.span) as isize;
    for (at, argument) in row.iter_mut().enumerate() {
        argument.outer_stride = match along.slots.get(at) {
            Some(Slot::Reduction(_)) => task.size as isize,
            Some(slot) if !fuse::moves(task.plan, *slot) => 0,
            _ => argument.stride * elements,
        };
    }
    for _ in 0..count {
        let shared = Shared(&row);
        let run = |first: usize, spans: usize| {
            let mut own = SegmentArguments::from_slice(shared.get());
            for argument in &mut own {
                argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * first as isize);
            }
            // SAFETY: the caller's promise, for these spans.
            unsafe { segment.code.run(&own, segment.span, spans) };
        };
        if task.parts > 1 {
            threads::split(segment.spans, 1, task.parts, run);
        } else {
            run(0, segment.spans);
        }
        for (argument, step) in row.iter_mut().zip(&row_steps) {
            argument.pointer = argument.pointer.wrapping_offset(*step);
        }
    }
}

/// The arguments of a row that threads share.
struct Shared<'a>(&'a [OperandArgument]);

impl Shared<'_> {
    fn get(&self) -> &[OperandArgument] {
        self.0
    }
}

// SAFETY: arguments are addresses and steps; threads read and write disjoint blocks of what they lead to.
unsafe impl Sync for Shared<'_> {}
