//! Row kernels whose span is the row.

use super::batch::{Arguments, Places, Rows, StageCode, Task};
use super::{BLOCK, finish};
use crate::backend::Code;
use crate::fuse::{PassPlan, Slot};
use crate::run::operands::{self, Bound};
use smallvec::SmallVec;

/// Runs all stages for a batch of `count` rows.
///
/// # Safety
/// Every element of the rows at `bounds` is valid, as [`Code::run`] asks; scratch has room for the batch.
pub(super) unsafe fn run(task: &Task<'_>, codes: &[StageCode<'_>], bounds: &[Bound], count: usize, places: &Places) {
    for (number, code) in codes.iter().enumerate() {
        if let Some(along) = &code.along {
            let arguments = along.arguments(bounds);
            // SAFETY: the caller's promise.
            unsafe {
                if task.blocked(number) {
                    run_blocks(task, number, along.code, arguments, count, places);
                } else {
                    along.code.run(&arguments, task.row_length, count);
                }
            }
        }
        // SAFETY: scalars and kept rows of the batch were written above.
        unsafe {
            finish::reductions(task, number, count, places, |row, kept| {
                let bytes = task.row_length * task.size;
                (places.kept(kept).wrapping_add(row * bytes), task.size as isize)
            })
        };
        if let Some(across) = &code.across {
            // SAFETY: the caller's promise.
            unsafe { across.code.run(&across.arguments(bounds), count, 1) };
        }
    }
}

/// The arguments of a pass along the row for the first row, outer strides leading to the next.
pub(super) fn arguments(task: &Task<'_>, stage: usize, rows: &Rows, places: &Places) -> Arguments {
    let element = task.size as isize;
    let row_bytes = (task.row_length * task.size) as isize;
    let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
    let stage = &task.plan.stages[stage];
    stage
        .along
        .slots
        .iter()
        .map(|slot| match slot {
            Slot::Source(at) => operands::argument(rows.bounds[*at].pointer, rows.row_strides[*at], batch_strides[*at]),
            Slot::Sink(at) => {
                let at = task.plan.sources.len() + at;
                operands::argument(rows.bounds[at].pointer, rows.row_strides[at], batch_strides[at])
            }
            Slot::Kept(at) | Slot::Keep(at) => operands::argument(places.kept(*at), element, row_bytes),
            Slot::Scalar(at) | Slot::SetScalar(at) => operands::argument(places.scalar(*at), 0, element),
            Slot::Reduction(at) => operands::argument(places.scalar(stage.reductions[*at].scalar), element, element),
        })
        .collect()
}

/// Runs `count` rows, each block by block, and adds up the blocks of each.
///
/// # Safety
/// As [`run`].
unsafe fn run_blocks(
    task: &Task<'_>,
    stage: usize,
    code: &dyn Code,
    mut row: Arguments,
    count: usize,
    places: &Places,
) {
    let pass: &PassPlan = &task.plan.stages[stage].along;
    let full = task.row_length / BLOCK;
    let rest = task.row_length - full * BLOCK;
    // From row to row, and within a row from block to block.
    let row_steps: SmallVec<[isize; 8]> = row.iter().map(|argument| argument.outer_stride).collect();
    for (argument, slot) in row.iter_mut().zip(&pass.slots) {
        argument.outer_stride = match slot {
            Slot::Source(at) if !task.plan.sources[*at].varying => 0,
            Slot::Source(_) | Slot::Sink(_) | Slot::Kept(_) | Slot::Keep(_) => argument.stride * BLOCK as isize,
            Slot::Scalar(_) | Slot::SetScalar(_) => 0,
            Slot::Reduction(at) => {
                argument.pointer = places.block(*at);
                task.size as isize
            }
        };
    }
    let mut tail = Arguments::from_slice(&row);
    for argument in &mut tail {
        argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * full as isize);
    }
    for number in 0..count {
        // SAFETY: the caller's promise, for whole blocks and then for what is left of the row.
        unsafe {
            code.run(&row, BLOCK, full);
            if rest > 0 {
                code.run(&tail, rest, 1);
            }
            finish::add_blocks(task, stage, number, 1, task.size, places);
        }
        for ((argument, tail), (slot, step)) in row.iter_mut().zip(&mut tail).zip(pass.slots.iter().zip(&row_steps)) {
            if !matches!(slot, Slot::Reduction(_)) {
                argument.pointer = argument.pointer.wrapping_offset(*step);
                tail.pointer = tail.pointer.wrapping_offset(*step);
            }
        }
    }
}
