//! Row kernels whose span is a strip of neighbouring rows.
//!
//! The 32 lanes of a sum are strips of scratch, each filled by the elements of the rows that [`super::span`] would put in
//! that lane, in the same order. The tree that combines lanes is walked depth first, so that a few strips are enough, and
//! they stay in the first-level cache. Maxima and minima need no lanes: their order is of no consequence.

use super::batch::{Homes, PassCode, Passes, Places, Rows, Segment, SegmentArguments, Task};
use super::finish::{self, Strip};
use crate::fuse::{self, Slot};
use crate::lane::{ACCUMULATOR_LANES, OperandArgument};
use crate::run::operands;
use smallvec::SmallVec;

/// Strips of an accumulator: one for each level of the tree.
pub(super) const DEPTH: usize = ACCUMULATOR_LANES.trailing_zeros() as usize + 1;

/// Runs all stages for a strip of `count` rows, which the passes point at; kept rows and accumulators are `width` elements
/// wide.
///
/// # Safety
/// Every element of the rows is valid, as [`crate::backend::Code::run`] asks; scratch has room for the strip.
pub(super) unsafe fn run(task: &Task<'_>, passes: &Passes<'_>, count: usize, width: usize, places: &Places) {
    let line = width * task.size;
    for (number, code) in passes.stages.iter().enumerate() {
        if let Some(along) = &code.along {
            // SAFETY: the caller's promise.
            unsafe { run_along(task, number, along, passes.arguments(along), (count, line), places) };
        }
        // SAFETY: scalars and kept rows of the strip were written above.
        unsafe {
            finish::reductions(task, number, count, places, |row, kept| {
                (places.kept(kept).wrapping_add(row * task.size), line as isize)
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

/// # Safety
/// As [`run`].
unsafe fn run_along(
    task: &Task<'_>,
    stage: usize,
    along: &PassCode<'_>,
    arguments: &[OperandArgument],
    (count, line): (usize, usize),
    places: &Places,
) {
    let reduces = along.slots.iter().any(|slot| matches!(slot, Slot::Reduction(_)));
    let sums = task.sums(stage);
    let (segments, results) = task.segments(stage, along);
    for segment in &segments {
        let mut own = segment.arguments(task.plan, along.slots, arguments, |argument| argument.outer_stride);
        let elements = (segment.bodies * segment.span) as isize;
        for span in 0..segment.spans {
            let lanes = if sums { segment.span.min(ACCUMULATOR_LANES) } else { 1 };
            let tree = Tree { task, stage, segment, slots: along.slots, arguments: &own, lanes, count, line, places };
            // SAFETY: the caller's promise.
            unsafe {
                if reduces {
                    tree.fold(0, if sums { 1 } else { ACCUMULATOR_LANES }, 0);
                    let result = (results > 1).then_some(segment.result + span);
                    finish::take_strip(task, stage, Strip { at: 0, count }, result, line, places);
                } else {
                    segment.code.run(&own, count, segment.span);
                }
            }
            for (at, argument) in own.iter_mut().enumerate() {
                if moves(task, along.slots, at) {
                    argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * elements);
                }
            }
        }
    }
    if reduces && results > 1 {
        // SAFETY: all spans were combined above.
        unsafe { finish::add_blocks(task, stage, count, results, (task.size as isize, line as isize), places) };
    }
}

/// Whether the argument at a place is at another place for each element of a row. After the slots come the strips as they
/// are read, one for each reduction, then the other bodies.
fn moves(task: &Task<'_>, slots: &[Slot], at: usize) -> bool {
    let reductions = slots.iter().filter(|slot| matches!(slot, Slot::Reduction(_))).count();
    match slots.get(at) {
        Some(slot) => fuse::moves(task.plan, *slot),
        None => at >= slots.len() + reductions,
    }
}

/// The tree of [`crate::lane::combine_lanes`] over one span, a strip for a lane.
struct Tree<'a> {
    task: &'a Task<'a>,
    stage: usize,
    segment: &'a Segment<'a>,
    slots: &'a [Slot],
    arguments: &'a SegmentArguments,
    /// How many lanes have elements. The others would hold the identity, and combining with it changes nothing.
    lanes: usize,
    count: usize,
    line: usize,
    places: &'a Places,
}

impl Tree<'_> {
    /// What comes of the lanes `lane`, `lane + step`, `lane + 2 · step` … goes to the strip of this depth.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn fold(&self, lane: usize, step: usize, depth: usize) {
        let strip = Strip { at: depth * self.line, count: self.count };
        // SAFETY: the caller's promise; a strip for each depth was set aside.
        unsafe {
            if step == ACCUMULATOR_LANES {
                finish::clear_strip(self.task, self.stage, strip, self.places);
                self.run_lane(lane, strip.at as isize);
                return;
            }
            self.fold(lane, 2 * step, depth);
            if lane + step < self.lanes {
                self.fold(lane + step, 2 * step, depth + 1);
                finish::combine_strips(self.task, self.stage, strip, self.line, self.places);
            }
        }
    }

    /// Takes every 32nd element from `lane` on into the strip at `strip`; all elements where there are no lanes.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn run_lane(&self, lane: usize, strip: isize) {
        let stride = if self.lanes == 1 && self.segment.span > 1 { 1 } else { ACCUMULATOR_LANES };
        let mut own = self.arguments.clone();
        for (at, argument) in own.iter_mut().enumerate() {
            if moves(self.task, self.slots, at) {
                argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * lane as isize);
                argument.outer_stride *= stride as isize;
            } else if !matches!(self.slots.get(at), Some(Slot::Source(_) | Slot::Scalar(_) | Slot::SetScalar(_))) {
                argument.pointer = argument.pointer.wrapping_offset(strip);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.segment.code.run(&own, self.count, (self.segment.span - lane).div_ceil(stride)) };
    }
}

/// The arguments of a pass along the rows at their first elements, outer strides leading along them. Reduction strips are
/// read again after all slots, as `fuse::emit` appends them.
pub(super) fn arguments(
    task: &Task<'_>,
    stage: usize,
    (rows, homes): (&Rows, &Homes),
    width: usize,
    places: &Places,
    arguments: &mut SmallVec<[OperandArgument; 32]>,
) {
    let line = (width * task.size) as isize;
    let element = task.size as isize;
    let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
    let slots = &task.plan.stages[stage].along.slots;
    for slot in slots {
        arguments.push(match slot {
            Slot::Source(at) => operands::argument(rows.bounds[*at].pointer, batch_strides[*at], rows.row_strides[*at]),
            Slot::Sink(at) => {
                let at = task.plan.sources.len() + at;
                operands::argument(rows.bounds[at].pointer, batch_strides[at], rows.row_strides[at])
            }
            Slot::Kept(at) | Slot::Keep(at) => match homes[*at] {
                Some(at) => operands::argument(rows.bounds[at].pointer, element, rows.row_strides[at]),
                None => operands::argument(places.kept(*at), element, line),
            },
            Slot::Scalar(at) | Slot::SetScalar(at) => operands::argument(places.scalar(*at), element, 0),
            Slot::Reduction(at) => operands::argument(places.accumulator(*at), element, 0),
        });
    }
    for slot in slots {
        if let Slot::Reduction(at) = slot {
            arguments.push(operands::argument(places.accumulator(*at), element, 0));
        }
    }
}
