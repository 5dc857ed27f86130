//! The end of a reduction: combining strips, adding blocks, and what a row's result still needs.
//!
//! Ordinary Rust on the lanes' dtype. The order of every sum is fixed: the tree of [`crate::lane::combine_lanes`] in a
//! block, ascending blocks in float64 (with the errors of the additions carried along, for float64 itself).

use super::BLOCK;
use super::batch::{Places, Task};
use crate::dtype::Dtype;
use crate::fuse::{StageReduction, combine_of};
use crate::lane::{ACCUMULATOR_LANES, Combine, Lane};
use fuselet_ir::Reduction;

/// Calls a function generic over the lane with the lane of a dtype.
macro_rules! with_lane {
    ($dtype:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $dtype {
            Dtype::F64 => $function::<f64>($($argument),*),
            _ => $function::<f32>($($argument),*),
        }
    };
}

/// Adds up the blocks of `count` rows into the stage's scalars from `first` on. The blocks of a row lie `step` bytes
/// apart in the accumulators' block results, the rows one element apart.
///
/// # Safety
/// Every block result of the rows was written; the scalars have room.
pub(super) unsafe fn add_blocks(
    task: &Task<'_>,
    stage: usize,
    first: usize,
    count: usize,
    step: usize,
    places: &Places,
) {
    let blocks = task.row_length.div_ceil(BLOCK);
    for (at, reduction) in accumulated(task, stage) {
        let combine = combine_of(reduction.reduction);
        for row in 0..count {
            let source = places.block(at).wrapping_add(row * task.size);
            let target = places.scalar(reduction.scalar).wrapping_add((first + row) * task.size);
            // SAFETY: the caller's promise.
            unsafe { with_lane!(task.prepared.dtype, add_up(combine, source, step, blocks, target)) };
        }
    }
}

/// The stage's reductions that have an accumulator, with their places.
fn accumulated<'a>(task: &Task<'a>, stage: usize) -> impl Iterator<Item = (usize, &'a StageReduction)> {
    task.plan.stages[stage].reductions.iter().enumerate().filter(|(_, reduction)| reduction.kept.is_none())
}

/// # Safety
/// `source` has `count` lanes `step` bytes apart, `target` room for one.
unsafe fn add_up<L: Lane>(combine: Combine, source: *const u8, step: usize, count: usize, target: *mut u8) {
    // SAFETY: the caller's promise.
    let blocks = (0..count).map(|at| unsafe { source.add(at * step).cast::<L>().read_unaligned() });
    let total = match combine {
        Combine::Sum => {
            let mut total = Total::default();
            blocks.for_each(|block| total.add(block.widen()));
            L::round_from(total.value())
        }
        Combine::Max | Combine::Min => blocks.fold(combine.identity::<L>(), |total, block| combine.apply(total, block)),
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

/// Sets the first `elements` of every accumulator of a stage to its identity.
///
/// # Safety
/// The accumulators have room.
pub(super) unsafe fn clear_strips(task: &Task<'_>, stage: usize, elements: usize, places: &Places) {
    for (at, reduction) in accumulated(task, stage) {
        let combine = combine_of(reduction.reduction);
        // SAFETY: the caller's promise.
        unsafe { with_lane!(task.prepared.dtype, fill(combine, places.accumulator(at), elements)) };
    }
}

/// # Safety
/// `target` is part of scratch and has room for `count` lanes.
unsafe fn fill<L: Lane>(combine: Combine, target: *mut u8, count: usize) {
    // SAFETY: the caller's promise; scratch is initialised, and sections are aligned to cache lines.
    let target = unsafe { std::slice::from_raw_parts_mut(target.cast::<L>(), count) };
    target.fill(combine.identity());
}

/// The strips of one block: how many lanes were used, how wide a strip is, and how much of it counts.
#[derive(Clone, Copy)]
pub(super) struct Strips {
    pub(super) lanes: usize,
    pub(super) width: usize,
    pub(super) count: usize,
}

/// Combines the strips of each accumulator by the fixed tree. The result goes to the scalars, or, where the row has
/// several blocks, to the results of block `block`.
///
/// # Safety
/// The accumulators hold the strips; the target has room.
pub(super) unsafe fn combine_strips(
    task: &Task<'_>,
    stage: usize,
    strips: Strips,
    block: Option<usize>,
    places: &Places,
) {
    for (at, reduction) in accumulated(task, stage) {
        let combine = combine_of(reduction.reduction);
        let target = match block {
            None => places.scalar(reduction.scalar),
            Some(block) => places.block(at).wrapping_add(block * strips.width * task.size),
        };
        // SAFETY: the caller's promise.
        unsafe { with_lane!(task.prepared.dtype, tree(combine, places.accumulator(at), strips, target)) };
    }
}

/// The tree of [`crate::lane::combine_lanes`], a strip at a time. Lanes that were not used would hold the identity, and
/// combining with it changes nothing, so they are left out.
///
/// # Safety
/// As [`combine_strips`]; `source` and `target` do not overlap.
unsafe fn tree<L: Lane>(combine: Combine, source: *mut u8, strips: Strips, target: *mut u8) {
    let Strips { lanes, width, count } = strips;
    // SAFETY: the caller's promise; scratch is initialised, and sections are aligned to cache lines.
    let (source, target) = unsafe {
        (
            std::slice::from_raw_parts_mut(source.cast::<L>(), lanes * width),
            std::slice::from_raw_parts_mut(target.cast::<L>(), count),
        )
    };
    let mut reach = ACCUMULATOR_LANES / 2;
    while reach > 0 {
        for lane in 0..reach.min(lanes.saturating_sub(reach)) {
            let (low, high) = source.split_at_mut((lane + reach) * width);
            let low = &mut low[lane * width..lane * width + count];
            for (accumulator, value) in low.iter_mut().zip(&high[..count]) {
                *accumulator = combine.apply(*accumulator, *value);
            }
        }
        reach /= 2;
    }
    target.copy_from_slice(&source[..count]);
}

/// What results still need: a mean its division, the sparsemax threshold its whole row; and a zero is +0, so that
/// its sign does not depend on the order in which zeros of either sign came.
///
/// # Safety
/// The stage's scalars hold `count` results; `kept_row(row, kept)` gives the first element of a kept row of the batch and
/// the bytes from one to the next.
pub(super) unsafe fn reductions(
    task: &Task<'_>,
    stage: usize,
    count: usize,
    places: &Places,
    kept_row: impl Fn(usize, usize) -> (*mut u8, isize),
) {
    for reduction in &task.plan.stages[stage].reductions {
        let scalars = places.scalar(reduction.scalar);
        let length = task.row_length;
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(kept) = reduction.kept {
                let mut values = Vec::with_capacity(length);
                for row in 0..count {
                    let (first, step) = kept_row(row, kept);
                    let target = scalars.wrapping_add(row * task.size);
                    with_lane!(
                        task.prepared.dtype,
                        whole_row(reduction.reduction, first, step, length, target, &mut values)
                    );
                }
            } else {
                with_lane!(task.prepared.dtype, settle(reduction.reduction, scalars, count, length));
            }
        }
    }
}

/// # Safety
/// `scalars` is part of scratch and holds `count` lanes.
unsafe fn settle<L: Lane>(reduction: Reduction, scalars: *mut u8, count: usize, length: usize) {
    // SAFETY: the caller's promise; scratch is initialised, and sections are aligned to cache lines.
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
/// The row's elements are valid for reads, `target` for one write.
unsafe fn whole_row<L: Lane>(
    reduction: Reduction,
    first: *const u8,
    step: isize,
    length: usize,
    target: *mut u8,
    values: &mut Vec<f64>,
) {
    values.clear();
    // SAFETY: the caller's promise.
    values
        .extend((0..length).map(|at| unsafe { first.offset(at as isize * step).cast::<L>().read_unaligned() }.widen()));
    let result = (reduction.row().meaning)(values);
    // SAFETY: the caller's promise.
    unsafe { target.cast::<L>().write_unaligned(L::round_from(result)) };
}
