//! Row kernels whose span is a strip of neighbouring rows.
//!
//! The 32 lanes of a reduction are 32 strips of scratch. Element `i` of the rows is taken into strip `i mod 32`, in
//! ascending order within each strip, so the order is that of [`super::span`].

use super::BLOCK;
use super::batch::{Arguments, Places, Rows, StageCode, Task};
use super::finish::{self, Strips};
use crate::fuse::Slot;
use crate::lane::ACCUMULATOR_LANES;
use crate::run::operands::{self, Bound};

/// Runs all stages for a strip of `count` rows; kept rows and accumulators are `width` elements wide.
///
/// # Safety
/// Every element of the rows at `bounds` is valid, as [`crate::backend::Code::run`] asks; scratch has room for the strip.
pub(super) unsafe fn run(
    task: &Task<'_>,
    codes: &[StageCode<'_>],
    bounds: &[Bound],
    count: usize,
    width: usize,
    places: &Places,
) {
    let line = (width * task.size) as isize;
    for (number, code) in codes.iter().enumerate() {
        let stage = &task.plan.stages[number];
        if let Some(along) = &code.along {
            let arguments = along.arguments(bounds);
            let along = along.code;
            let reduces = stage.along.slots.iter().any(|slot| matches!(slot, Slot::Reduction(_)));
            let blocked = task.blocked(number);
            let block = if blocked { BLOCK } else { task.row_length };
            let mut first = 0;
            while reduces && first < task.row_length {
                let length = block.min(task.row_length - first);
                let lanes = length.min(ACCUMULATOR_LANES);
                // SAFETY: the caller's promise; accumulators are 32 strips of `width`.
                unsafe {
                    finish::clear_strips(task, number, lanes * width, places);
                    for lane in 0..lanes {
                        let moved = lane_arguments(&arguments, stage, first + lane, lane as isize * line);
                        along.run(&moved, count, (length - lane).div_ceil(ACCUMULATOR_LANES));
                    }
                    let strips = Strips { lanes, width, count };
                    finish::combine_strips(task, number, strips, blocked.then_some(first / BLOCK), places);
                }
                first += length;
            }
            if reduces && blocked {
                // SAFETY: all blocks were combined above.
                unsafe { finish::add_blocks(task, number, 0, count, line as usize, places) };
            }
            if !reduces {
                // SAFETY: the caller's promise.
                unsafe { along.run(&arguments, count, task.row_length) };
            }
        }
        // SAFETY: scalars and kept rows of the strip were written above.
        unsafe {
            finish::reductions(task, number, count, places, |row, kept| {
                (places.kept(kept).wrapping_add(row * task.size), line)
            })
        };
        if let Some(across) = &code.across {
            // SAFETY: the caller's promise.
            unsafe { across.code.run(&across.arguments(bounds), count, 1) };
        }
    }
}

/// The arguments of a pass along the rows at their first elements, outer strides leading along them. Reduction strips are
/// read again after all slots, as `fuse::emit` appends them.
pub(super) fn arguments(task: &Task<'_>, stage: usize, rows: &Rows, width: usize, places: &Places) -> Arguments {
    let line = (width * task.size) as isize;
    let element = task.size as isize;
    let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
    let slots = &task.plan.stages[stage].along.slots;
    let mut arguments: Arguments = slots
        .iter()
        .map(|slot| match slot {
            Slot::Source(at) => operands::argument(rows.bounds[*at].pointer, batch_strides[*at], rows.row_strides[*at]),
            Slot::Sink(at) => {
                let at = task.plan.sources.len() + at;
                operands::argument(rows.bounds[at].pointer, batch_strides[at], rows.row_strides[at])
            }
            Slot::Kept(at) | Slot::Keep(at) => operands::argument(places.kept(*at), element, line),
            Slot::Scalar(at) | Slot::SetScalar(at) => operands::argument(places.scalar(*at), element, 0),
            Slot::Reduction(at) => operands::argument(places.accumulator(*at), element, 0),
        })
        .collect();
    for slot in slots {
        if let Slot::Reduction(at) = slot {
            arguments.push(operands::argument(places.accumulator(*at), element, 0));
        }
    }
    arguments
}

/// The arguments for every 32nd element of the rows from `first` on; reduction strips move by `strip` bytes.
fn lane_arguments(arguments: &Arguments, stage: &crate::fuse::Stage, first: usize, strip: isize) -> Arguments {
    let slots = &stage.along.slots;
    let mut moved = Arguments::from_slice(arguments);
    for (at, argument) in moved.iter_mut().enumerate() {
        if matches!(slots.get(at), None | Some(Slot::Reduction(_))) {
            argument.pointer = argument.pointer.wrapping_offset(strip);
        } else {
            argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * first as isize);
            argument.outer_stride *= ACCUMULATOR_LANES as isize;
        }
    }
    moved
}
