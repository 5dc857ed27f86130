//! Row kernels whose span is a strip of neighbouring rows.
//!
//! The 32 lanes of a sum are strips of scratch, each filled by the elements of the rows that [`super::span`] would put in
//! that lane, in the same order. The tree that combines lanes is walked depth first, so that a few strips are enough, and
//! they stay in the first-level cache. Maxima and minima need no lanes: their order is of no consequence.

use super::batch::Batch;
use super::code::{RowPass, SegmentCode, StageCode};
use super::finish::{self, Strip};
use super::loops::{Argument, Motion, SegmentLengths};
use crate::lane::{ACCUMULATOR_LANES, OperandArgument};
use smallvec::SmallVec;

/// Arguments of a segment, moved along.
type Arguments = SmallVec<[OperandArgument; 32]>;

/// Runs a pass along a strip of `count` rows, which the arguments point at.
///
/// # Safety
/// Every element of the rows is valid, as [`crate::codegen::Code::run_in`] asks; scratch has room for the strip, and the
/// arguments point at it.
pub(super) unsafe fn run(batch: &Batch<'_>, stage: &StageCode, pass: &RowPass, count: usize) {
    let line = batch.loops.batch * batch.size();
    let results = batch.loops.results(pass);
    for (segment, lengths) in batch.loops.segments(pass) {
        let bound = &batch.loops.arguments[segment.arguments.clone()];
        // SAFETY: the caller's promise.
        let mut own = Arguments::from_slice(unsafe { batch.arguments(&segment.arguments) });
        let elements = (lengths.bodies * lengths.span) as isize;
        for chunk in 0..lengths.chunks {
            let lanes = if stage.sums { lengths.span.min(ACCUMULATOR_LANES) } else { 1 };
            let tree = Tree { batch, stage, segment, lengths, bound, arguments: &own, lanes, count, line };
            // SAFETY: the caller's promise.
            unsafe {
                if pass.reduces {
                    tree.fold(0, if stage.sums { 1 } else { ACCUMULATOR_LANES }, 0);
                    let result = (results > 1).then_some(lengths.result + chunk);
                    finish::take_strip(batch, stage, Strip { at: 0, count }, result, line);
                } else {
                    segment.code.run_in(&own, count, lengths.span, batch.code_scratch());
                }
            }
            for (argument, bound) in own.iter_mut().zip(bound) {
                if bound.motion == Motion::Moves {
                    argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * elements);
                }
            }
        }
    }
    if pass.reduces && results > 1 {
        // SAFETY: all chunks were combined above.
        unsafe { finish::add_results(batch, stage, count, results, (batch.size() as isize, line as isize)) };
    }
}

/// The tree of [`crate::lane::combine_lanes`] over one chunk, a strip for a lane.
struct Tree<'a> {
    batch: &'a Batch<'a>,
    stage: &'a StageCode,
    segment: &'a SegmentCode,
    lengths: &'a SegmentLengths,
    bound: &'a [Argument],
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
        let one_lane = self.lanes == 1 && self.lengths.span > 1;
        // Elements of the row from one that goes to the lane to the next, and how many there are.
        let (stride, turns) = if one_lane {
            (1, self.lengths.span)
        } else {
            (ACCUMULATOR_LANES * self.lengths.bodies, (self.lengths.span - lane).div_ceil(ACCUMULATOR_LANES))
        };
        let mut own = self.arguments.clone();
        for (argument, bound) in own.iter_mut().zip(self.bound) {
            match bound.motion {
                Motion::Moves => {
                    argument.pointer = argument.pointer.wrapping_offset(argument.outer_stride * lane as isize);
                    argument.outer_stride *= stride as isize;
                }
                Motion::Accumulates => argument.pointer = argument.pointer.wrapping_offset(strip),
                Motion::Stays => {}
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.segment.code.run_in(&own, self.count, turns, self.batch.code_scratch()) };
    }
}
