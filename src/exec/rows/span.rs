//! Row kernels whose span is the row.

use super::batch::Batch;
use super::finish;
use super::loops::{AlongCode, Argument, Segment, View};
use crate::exec::threads;
use crate::lane::OperandArgument;
use crate::plan::{self, Slot};
use smallvec::SmallVec;

/// The arguments of a pass along the row for the first row, outer strides leading to the next.
pub(super) fn arguments(view: &View<'_>, stage: usize) -> SmallVec<[Argument; 8]> {
    let element = view.size as isize;
    let row_bytes = (view.row_length * view.size) as isize;
    let stage = &view.plan.stages[stage];
    view.arguments(&stage.along.slots, row_bytes, |slot| match slot {
        Slot::Reduction(at) => Argument::in_scratch(view.places.scalar(stage.reductions[*at].scalar), element, element),
        Slot::Scalar(at) | Slot::SetScalar(at) => Argument::in_scratch(view.places.scalar(*at), 0, element),
        _ => unreachable!("operands and kept values are no others"),
    })
}

/// Runs a pass along `count` rows, segment by segment; where a row has several results, they are added up.
///
/// # Safety
/// Every element of the rows is valid, as [`crate::codegen::Code::run`] asks; scratch has room for the batch.
pub(super) unsafe fn run(batch: &Batch<'_>, stage: usize, along: &AlongCode, count: usize) {
    for segment in &along.segments {
        let arguments = batch.arguments(&segment.arguments);
        // SAFETY: the caller's promise, for this part of the rows.
        unsafe {
            if segment.sections == 1 {
                segment.code.run(arguments, segment.span, count);
            } else {
                run_sections(batch, stage, segment, arguments, count);
            }
        }
    }
    if along.results > 1 {
        let size = batch.size() as isize;
        // SAFETY: all sections of the rows were written above.
        unsafe { finish::add_results(batch, stage, count, along.results, (along.results as isize * size, size)) };
    }
}

/// Runs the sections of a segment for `count` rows, a row at a time, its sections perhaps on several threads.
///
/// # Safety
/// As [`run`].
unsafe fn run_sections(
    batch: &Batch<'_>,
    stage: usize,
    segment: &Segment,
    arguments: &[OperandArgument],
    count: usize,
) {
    let mut row: SmallVec<[OperandArgument; 16]> = SmallVec::from_slice(arguments);
    let slots = &batch.plan.stages[stage].along.slots;
    // From section to section, instead of row to row.
    let elements = (segment.bodies * segment.span) as isize;
    for (at, argument) in row.iter_mut().enumerate() {
        argument.outer_stride = match slots.get(at) {
            Some(Slot::Reduction(_)) => batch.size() as isize,
            Some(slot) if !plan::moves(batch.plan, *slot) => 0,
            _ => argument.stride * elements,
        };
    }
    for _ in 0..count {
        let shared = Shared(&row);
        let run = |first: usize, sections: usize| {
            let mut own: SmallVec<[OperandArgument; 16]> = SmallVec::from_slice(shared.get());
            for argument in &mut own {
                argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * first as isize);
            }
            // SAFETY: the caller's promise, for these sections.
            unsafe { segment.code.run(&own, segment.span, sections) };
        };
        if batch.loops.row_parts > 1 {
            threads::split(segment.sections, 1, batch.loops.row_parts, run);
        } else {
            run(0, segment.sections);
        }
        for (argument, of_row) in row.iter_mut().zip(arguments) {
            argument.pointer = argument.pointer.wrapping_offset(of_row.outer_stride);
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
