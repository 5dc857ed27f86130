//! Row kernels whose span is a strip of neighbouring rows.
//!
//! The 32 lanes of a sum are strips of scratch, each filled by the elements of the rows that [`super::span`] would put in
//! that lane, in the same order. The tree that combines lanes is walked depth first, so that a few strips are enough, and
//! they stay in the first-level cache. Maxima and minima need no lanes: their order is of no consequence.

use super::batch::Batch;
use super::finish::{self, Strip};
use super::loops::{AlongCode, Argument, Segment, View};
use crate::lane::{ACCUMULATOR_LANES, OperandArgument};
use crate::plan::{self, KernelPlan, Slot};
use smallvec::SmallVec;

/// Strips of an accumulator: one for each level of the tree.
pub(super) const DEPTH: usize = ACCUMULATOR_LANES.trailing_zeros() as usize + 1;

/// Arguments of a segment, moved along.
type Arguments = SmallVec<[OperandArgument; 16]>;

/// Runs a pass along a strip of `count` rows, which the arguments point at.
///
/// # Safety
/// Every element of the rows is valid, as [`crate::codegen::Code::run`] asks; scratch has room for the strip.
pub(super) unsafe fn run(batch: &Batch<'_>, stage: usize, along: &AlongCode, count: usize) {
    let slots = &batch.plan.stages[stage].along.slots;
    let line = batch.loops.batch * batch.size();
    let reduces = slots.iter().any(|slot| matches!(slot, Slot::Reduction(_)));
    let sums = batch.loops.stages[stage].sums;
    for segment in &along.segments {
        let mut own = Arguments::from_slice(batch.arguments(&segment.arguments));
        let elements = (segment.bodies * segment.span) as isize;
        for section in 0..segment.sections {
            let lanes = if sums { segment.span.min(ACCUMULATOR_LANES) } else { 1 };
            let tree = Tree { batch, stage, segment, slots, arguments: &own, lanes, count, line };
            // SAFETY: the caller's promise.
            unsafe {
                if reduces {
                    tree.fold(0, if sums { 1 } else { ACCUMULATOR_LANES }, 0);
                    let result = (along.results > 1).then_some(segment.result + section);
                    finish::take_strip(batch, stage, Strip { at: 0, count }, result, line);
                } else {
                    segment.code.run(&own, count, segment.span);
                }
            }
            for (at, argument) in own.iter_mut().enumerate() {
                if moves(batch.plan, slots, at) {
                    argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * elements);
                }
            }
        }
    }
    if reduces && along.results > 1 {
        // SAFETY: all sections were combined above.
        unsafe { finish::add_results(batch, stage, count, along.results, (batch.size() as isize, line as isize)) };
    }
}

/// Whether the argument at a place is at another place for each element of a row. After the slots come the strips as they
/// are read, one for each reduction, then the other bodies.
fn moves(plan: &KernelPlan, slots: &[Slot], at: usize) -> bool {
    let reductions = slots.iter().filter(|slot| matches!(slot, Slot::Reduction(_))).count();
    match slots.get(at) {
        Some(slot) => plan::moves(plan, *slot),
        None => at >= slots.len() + reductions,
    }
}

/// The tree of [`crate::lane::combine_lanes`] over one section, a strip for a lane.
struct Tree<'a> {
    batch: &'a Batch<'a>,
    stage: usize,
    segment: &'a Segment,
    slots: &'a [Slot],
    arguments: &'a Arguments,
    /// How many lanes have elements. The others would hold the identity, and combining with it changes nothing.
    lanes: usize,
    count: usize,
    /// Bytes of a strip.
    line: usize,
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
                finish::clear_strip(self.batch, self.stage, strip);
                self.run_lane(lane, strip.at as isize);
                return;
            }
            self.fold(lane, 2 * step, depth);
            if lane + step < self.lanes {
                self.fold(lane + step, 2 * step, depth + 1);
                finish::combine_strips(self.batch, self.stage, strip, self.line);
            }
        }
    }

    /// Takes all that goes to a lane into the strip at `strip`; all elements where there are no lanes.
    ///
    /// # Safety
    /// As [`run`].
    unsafe fn run_lane(&self, lane: usize, strip: isize) {
        let one_lane = self.lanes == 1 && self.segment.span > 1;
        // Elements of the row from one that goes to the lane to the next, and how many there are.
        let (stride, turns) = if one_lane {
            (1, self.segment.span)
        } else {
            (ACCUMULATOR_LANES * self.segment.bodies, (self.segment.span - lane).div_ceil(ACCUMULATOR_LANES))
        };
        let mut own = self.arguments.clone();
        for (at, argument) in own.iter_mut().enumerate() {
            if moves(self.batch.plan, self.slots, at) {
                argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * lane as isize);
                argument.outer_stride *= stride as isize;
            } else if !matches!(self.slots.get(at), Some(Slot::Source(_) | Slot::Scalar(_) | Slot::SetScalar(_))) {
                argument.pointer = argument.pointer.wrapping_offset(strip);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.segment.code.run(&own, self.count, turns) };
    }
}

/// The arguments of a pass along the rows at their first elements, outer strides leading along them. Reduction strips are
/// read again after all slots, as `plan::emit` appends them.
pub(super) fn arguments(view: &View<'_>, stage: usize) -> SmallVec<[Argument; 8]> {
    let line = (view.batch * view.size) as isize;
    let element = view.size as isize;
    let slots = &view.plan.stages[stage].along.slots;
    let mut arguments = view.arguments(slots, line, |slot| match slot {
        Slot::Reduction(at) => Argument::in_scratch(view.places.accumulator(*at), element, 0),
        Slot::Scalar(at) | Slot::SetScalar(at) => Argument::in_scratch(view.places.scalar(*at), element, 0),
        _ => unreachable!("operands and kept values are no others"),
    });
    for (at, slot) in slots.iter().enumerate() {
        if matches!(slot, Slot::Reduction(_)) {
            arguments.push(arguments[at]);
        }
    }
    arguments
}
