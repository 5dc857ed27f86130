//! Row kernels whose span is the row.

use super::batch::{Places, Rows, StageCode, Task};
use super::{BLOCK, finish};
use crate::backend::Code;
use crate::fuse::{PassPlan, Slot};
use crate::lane::OperandArgument;
use crate::run::operands::{self, Bound};
use smallvec::SmallVec;

type Arguments = SmallVec<[OperandArgument; 8]>;

/// Runs all stages for a batch of `count` rows.
///
/// # Safety
/// Every element of the rows at `bounds` is valid, as [`Code::run`] asks; scratch has room for the batch.
pub(super) unsafe fn run(
    task: &Task<'_>,
    codes: &[StageCode<'_>],
    rows: &Rows,
    bounds: &[Bound],
    count: usize,
    places: &Places,
) {
    for (number, code) in codes.iter().enumerate() {
        let stage = &task.plan.stages[number];
        if let Some(along) = code.along {
            let mut arguments = along_arguments(task, number, rows, bounds, places);
            // SAFETY: the caller's promise.
            unsafe {
                if task.blocked(number) {
                    for row in 0..count {
                        run_blocks(task, number, along, &arguments, places);
                        finish::add_blocks(task, number, row, 1, task.size, places);
                        step(&mut arguments);
                    }
                } else {
                    along.run(&arguments, task.row_length, count);
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
        if let Some(across) = code.across {
            let arguments = task.across_arguments(&stage.across, rows, bounds, places);
            // SAFETY: the caller's promise.
            unsafe { across.run(&arguments, count, 1) };
        }
    }
}

/// The arguments for the batch's first row, outer strides leading to the next.
fn along_arguments(task: &Task<'_>, stage: usize, rows: &Rows, bounds: &[Bound], places: &Places) -> Arguments {
    let element = task.size as isize;
    let row_bytes = (task.row_length * task.size) as isize;
    let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
    let stage = &task.plan.stages[stage];
    stage
        .along
        .slots
        .iter()
        .map(|slot| match slot {
            Slot::Source(at) => operands::argument(bounds[*at].pointer, rows.row_strides[*at], batch_strides[*at]),
            Slot::Sink(at) => {
                let at = task.plan.sources.len() + at;
                operands::argument(bounds[at].pointer, rows.row_strides[at], batch_strides[at])
            }
            Slot::Kept(at) | Slot::Keep(at) => operands::argument(places.kept(*at), element, row_bytes),
            Slot::Scalar(at) | Slot::SetScalar(at) => operands::argument(places.scalar(*at), 0, element),
            Slot::Reduction(at) => operands::argument(places.scalar(stage.reductions[*at].scalar), element, element),
        })
        .collect()
}

/// Moves on to the next row of the batch.
fn step(arguments: &mut Arguments) {
    for argument in arguments {
        argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride);
    }
}

/// Runs one row block by block.
///
/// # Safety
/// As [`run`].
unsafe fn run_blocks(task: &Task<'_>, stage: usize, code: &dyn Code, row: &Arguments, places: &Places) {
    let pass: &PassPlan = &task.plan.stages[stage].along;
    let element = task.size as isize;
    let full = task.row_length / BLOCK;
    let mut arguments = row.clone();
    for (argument, slot) in arguments.iter_mut().zip(&pass.slots) {
        let stride = match slot {
            Slot::Source(at) if !task.plan.sources[*at].varying => 0,
            Slot::Source(_) | Slot::Sink(_) | Slot::Kept(_) | Slot::Keep(_) => argument.stride * BLOCK as isize,
            Slot::Scalar(_) | Slot::SetScalar(_) => 0,
            Slot::Reduction(at) => {
                argument.pointer = places.block(*at);
                element
            }
        };
        argument.outer_stride = stride;
    }
    // SAFETY: the caller's promise, for whole blocks and then for what is left of the row.
    unsafe {
        code.run(&arguments, BLOCK, full);
        let rest = task.row_length - full * BLOCK;
        if rest > 0 {
            for argument in &mut arguments {
                argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * full as isize);
            }
            code.run(&arguments, rest, 1);
        }
    }
}
