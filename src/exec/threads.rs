//! Splitting a kernel over threads.
//!
//! Threads start only where a kernel has enough work to pay for waking them, and parts are disjoint pieces of the
//! domain: whole rows, or runs of elements. No sum is ever split in an order of its own, so bits do not depend on
//! the number of threads.

use crate::api::Engine;

/// Lane ops below which a kernel runs on the calling thread. Waking a rayon worker and joining it costs 5–20 µs here;
/// at 16 lane ops a nanosecond this is about 60 µs of work.
const WORK_TO_SPLIT: usize = 1 << 20;

/// How many parts to split `elements` elements of `work` lane ops each into.
pub(crate) fn parts(engine: &Engine, elements: usize, work: usize) -> usize {
    let threads = engine.threads();
    if threads <= 1 {
        return 1;
    }
    let total = elements.saturating_mul(work.max(4));
    if total < WORK_TO_SPLIT { 1 } else { threads.min(total / (WORK_TO_SPLIT / 2)).max(1) }
}

/// Runs `body(first, count)` for disjoint parts of `0..length`, each a multiple of `grain` but the last.
pub(crate) fn split(length: usize, grain: usize, parts: usize, body: impl Fn(usize, usize) + Sync) {
    let grains = length.div_ceil(grain);
    let share = grains.div_ceil(parts.max(1)).max(1) * grain;
    let count = length.div_ceil(share);
    if count <= 1 {
        body(0, length);
        return;
    }
    let body = &body;
    rayon::scope(|scope| {
        for part in 1..count {
            scope.spawn(move |_| body(part * share, share.min(length - part * share)));
        }
        body(0, share);
    });
}
