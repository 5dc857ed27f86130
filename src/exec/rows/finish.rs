//! The end of a reduction: combining strips, adding up chunks, and what a row's result still needs.
//!
//! Ordinary Rust on the lanes' dtype, but for strips, which have code of their own. The order of every sum is fixed: the tree of
//! [`crate::lane::combine_lanes`] in a chunk, ascending chunks in float64 (with the errors of the additions carried along, for
//! float64 itself).

use super::batch::Batch;
use super::code::{BoundReduction, StageCode, StripCode};
use crate::array::ComputeDtype;
use crate::codegen::write::{Form, operator_of};
use crate::exec::operands;
use crate::lane::{Lane, ReductionOperator};
use crate::plan::Condition;
use fuselet_ir::{Reduction, special};

/// Calls a function generic over the lane with the lane of a dtype.
macro_rules! with_lane {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype {
            ComputeDtype::F64 => $function::<f64>($($argument),*),
            ComputeDtype::F32 => $function::<f32>($($argument),*),
        }
    };
}

/// Adds up the `results` of each of `count` rows into the stage's scalars. The results of neighbouring rows lie
/// `steps.0` bytes apart, those of a row `steps.1`.
///
/// # Safety
/// Every result of the rows was written; the scalars have room.
pub(super) unsafe fn add_results(
    batch: &Batch<'_>,
    stage: &StageCode,
    count: usize,
    results: usize,
    steps: (isize, isize),
) {
    let places = &batch.loops.places;
    for (at, reduction) in accumulated(stage) {
        let combine = operator_of(reduction.reduction);
        let (source, target) = (batch.scratch(places.results(at)), batch.scratch(places.scalar(reduction.scalar)));
        // SAFETY: the caller's promise.
        unsafe { with_lane!(batch.loops.code.dtype, add_rows(combine, source, steps, (count, results), target)) };
    }
}

/// # Safety
/// As [`add_results`], for one reduction: `count.0` rows of `count.1` results.
unsafe fn add_rows<L: Lane>(
    combine: ReductionOperator,
    source: *const u8,
    steps: (isize, isize),
    count: (usize, usize),
    target: *mut u8,
) {
    for row in 0..count.0 {
        // SAFETY: the caller's promise.
        unsafe {
            let source = source.offset(row as isize * steps.0);
            add_up::<L>(combine, source, steps.1, count.1, target.add(row * size_of::<L>()));
        }
    }
}

/// The stage's reductions that have an accumulator, with their places.
fn accumulated(stage: &StageCode) -> impl Iterator<Item = (usize, &BoundReduction)> {
    stage.reductions.iter().enumerate().filter(|(_, reduction)| reduction.kept.is_none())
}

/// # Safety
/// `source` has `count` lanes `step` bytes apart, `target` room for one.
unsafe fn add_up<L: Lane>(combine: ReductionOperator, source: *const u8, step: isize, count: usize, target: *mut u8) {
    // SAFETY: the caller's promise.
    let blocks = (0..count as isize).map(|at| unsafe { source.offset(at * step).cast::<L>().read_unaligned() });
    let total = match combine {
        // Blocks of float32 have bits to spare.
        ReductionOperator::Sum if size_of::<L>() < size_of::<f64>() => {
            L::round_from(blocks.map(Lane::widen).fold(0.0, |total, block| total + block))
        }
        ReductionOperator::Sum => {
            let mut total = Total::default();
            blocks.for_each(|block| total.add(block.widen()));
            L::round_from(total.value())
        }
        ReductionOperator::Max | ReductionOperator::Min => {
            blocks.fold(combine.identity::<L>(), |total, block| combine.apply(total, block))
        }
    };
    // SAFETY: the caller's promise.
    unsafe { target.cast::<L>().write_unaligned(total) };
}

/// A float64 sum that carries the errors of its additions (Neumaier 1974).
#[derive(Clone, Copy, Default)]
struct Total {
    sum: f64,
    error: f64,
}

impl Total {
    fn add(&mut self, value: f64) {
        let next = self.sum + value;
        let larger = self.sum.abs() >= value.abs();
        self.error += if larger { (self.sum - next) + value } else { (value - next) + self.sum };
        self.sum = next;
    }

    fn value(self) -> f64 {
        // An infinite sum has no meaningful error.
        if self.sum.is_finite() { self.sum + self.error } else { self.sum }
    }
}

/// Strips of every accumulator of a stage: their first bytes are at these places, `count` elements of each matter.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub(super) at: usize,
    pub(super) count: usize,
}

/// Fills a strip of every accumulator of a stage with its identity.
///
/// # Safety
/// The accumulators have the strip.
pub(super) unsafe fn clear_strip(batch: &Batch<'_>, stage: &StageCode, strip: Strip) {
    for (strips, code) in strips(batch, stage, strip) {
        // SAFETY: the caller's promise.
        unsafe {
            let arguments = [operands::argument(strips, batch.size() as isize, 0)];
            code.fill.run_in(&arguments, strip.count, 1, batch.code_scratch());
        }
    }
}

/// Combines a strip of every accumulator with another, `upper` bytes after it.
///
/// # Safety
/// The accumulators have both strips, which do not overlap.
pub(super) unsafe fn combine_strips(batch: &Batch<'_>, stage: &StageCode, strip: Strip, upper: usize) {
    for (lower, code) in strips(batch, stage, strip) {
        let arguments =
            [lower, lower.wrapping_add(upper), lower].map(|at| operands::argument(at, batch.size() as isize, 0));
        // SAFETY: the caller's promise; the first strip is written over itself.
        unsafe { code.combine.run_in(&arguments, strip.count, 1, batch.code_scratch()) };
    }
}

/// Where a strip of each accumulator of a stage is, and the code for it.
fn strips<'a>(batch: &Batch<'a>, stage: &'a StageCode, strip: Strip) -> impl Iterator<Item = (*mut u8, &'a StripCode)> {
    let (loops, first) = (batch.loops, batch.scratch(0));
    accumulated(stage).map(move |(at, reduction)| {
        let combine = operator_of(reduction.reduction);
        let found = loops.code.strips.iter().find(|(known, _)| *known == combine);
        let (_, code) = found.expect("binding finds code for every way of combining");
        (first.wrapping_offset(loops.places.accumulator(at)).wrapping_add(strip.at), code)
    })
}

/// Copies a strip of every accumulator to the scalars, or to the results of chunk `result`, which lie `line` bytes apart.
///
/// # Safety
/// The accumulators have the strip; the target has room.
pub(super) unsafe fn take_strip(
    batch: &Batch<'_>,
    stage: &StageCode,
    strip: Strip,
    result: Option<usize>,
    line: usize,
) {
    let places = &batch.loops.places;
    for (at, reduction) in accumulated(stage) {
        let target = match result {
            None => batch.scratch(places.scalar(reduction.scalar)),
            Some(result) => batch.scratch(places.results(at)).wrapping_add(result * line),
        };
        let source = batch.scratch(places.accumulator(at)).wrapping_add(strip.at);
        // SAFETY: the caller's promise; parts of scratch do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(source, target, strip.count * batch.size()) };
    }
}

/// What results still need: a mean its division, the sparsemax threshold its whole row; and a zero is +0, so that its sign does
/// not depend on the order in which zeros of either sign came. Sums need nothing: they start at +0.
///
/// # Safety
/// The stage's scalars hold `count` results, kept rows all elements of as many rows.
pub(super) unsafe fn reductions(batch: &Batch<'_>, stage: &StageCode, count: usize) {
    let (loops, size) = (batch.loops, batch.size());
    // Bytes from a row to the next, and from an element of a row to the next.
    let steps = match loops.code.form {
        Form::Span => (loops.row_length * size, size),
        _ => (size, loops.batch * size),
    };
    for reduction in &stage.reductions {
        let scalars = batch.scratch(loops.places.scalar(reduction.scalar));
        // SAFETY: the caller's promise.
        unsafe {
            match reduction.kept {
                Some(kept) => {
                    let rows = (batch.scratch(loops.places.kept(kept)).cast_const(), steps);
                    let copy = batch.scratch(loops.places.whole_row());
                    with_lane!(loops.code.dtype, whole_rows(rows, count, loops.row_length, copy, scalars));
                }
                None if matches!(reduction.reduction, Reduction::Sum | Reduction::SumHigh | Reduction::SumLow) => {}
                None => with_lane!(loops.code.dtype, settle(reduction.reduction, scalars, count, loops.row_length)),
            }
        }
    }
}

/// Whether any of `count` rows fulfils a condition.
///
/// # Safety
/// The condition's scalar holds `count` bools.
pub(super) unsafe fn any_holds(batch: &Batch<'_>, condition: Condition, count: usize) -> bool {
    let first = batch.scratch(batch.loops.places.scalar(condition.scalar)).cast_const();
    let size = batch.size();
    // SAFETY: the caller's promise; scratch is initialised. Bools are the numbers 0, which has no bit set, and 1.
    let bools = unsafe { std::slice::from_raw_parts(first, count * size) };
    bools.chunks_exact(size).any(|bool| bool.iter().any(|byte| *byte != 0) == condition.holds)
}

/// Writes what all reductions of a stage are of rows of zeros: +0.
///
/// # Safety
/// The stage's scalars have room for `count` results.
pub(super) unsafe fn reductions_of_zeros(batch: &Batch<'_>, stage: &StageCode, count: usize) {
    for reduction in &stage.reductions {
        // SAFETY: the caller's promise. A number without a bit set is +0.
        unsafe { batch.scratch(batch.loops.places.scalar(reduction.scalar)).write_bytes(0, count * batch.size()) };
    }
}

/// # Safety
/// `scalars` is part of scratch and holds `count` lanes.
unsafe fn settle<L: Lane>(reduction: Reduction, scalars: *mut u8, count: usize, length: usize) {
    // SAFETY: the caller's promise; scratch is initialised, and its parts are aligned to cache lines.
    let scalars = unsafe { std::slice::from_raw_parts_mut(scalars.cast::<L>(), count) };
    let zero = L::round_from(0.0);
    if reduction == Reduction::Mean {
        for scalar in scalars {
            *scalar = L::round_from(scalar.widen() / length as f64) + zero;
        }
    } else {
        for scalar in scalars {
            *scalar = *scalar + zero;
        }
    }
}

/// # Safety
/// The elements of `count` rows are valid for reads, `copy` for writes of a row in float64, `target` for as many results.
unsafe fn whole_rows<L: Lane>(
    (first, steps): (*const u8, (usize, usize)),
    count: usize,
    length: usize,
    copy: *mut u8,
    target: *mut u8,
) {
    for row in 0..count {
        let first = first.wrapping_add(row * steps.0);
        // SAFETY: the caller's promise; scratch is initialised and aligned to cache lines.
        let values = unsafe { std::slice::from_raw_parts_mut(copy.cast::<f64>(), length) };
        for (at, value) in values.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *value = unsafe { first.add(at * steps.1).cast::<L>().read_unaligned() }.widen();
        }
        let result = L::round_from(special::sparsemax_tau_in_place(values));
        // SAFETY: the caller's promise.
        unsafe { target.cast::<L>().add(row).write_unaligned(result) };
    }
}
