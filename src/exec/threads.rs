//! Splitting a kernel over threads: whose threads, how many parts, and that every part is run.
//!
//! Threads are asked for only where a kernel has enough work to pay for waking them, and parts are disjoint pieces of the
//! domain: whole rows, or runs of elements. No sum is ever split in an order of its own, so bits do not depend on
//! the number of threads.

use super::float_mode::FloatMode;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where an engine runs parts of large calls: a host's own thread pool.
///
/// ```
/// use fuselet::{Engine, Executor};
/// use std::sync::Arc;
///
/// struct Scoped;
///
/// impl Executor for Scoped {
///     fn parallelism(&self) -> usize {
///         2
///     }
///     fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
///         std::thread::scope(|scope| {
///             for number in 1..parts {
///                 scope.spawn(move || part(number));
///             }
///             part(0);
///         });
///     }
/// }
///
/// let engine = Engine::builder().executor(Arc::new(Scoped)).build()?;
/// assert_eq!(engine.threads(), 2);
/// # Ok::<(), fuselet::EngineError>(())
/// ```
pub trait Executor: Send + Sync {
    /// How many parts run side by side at best, the calling thread's among them.
    fn parallelism(&self) -> usize;

    /// Calls `part` with every number below `parts`, on whatever threads, and returns when all calls have. (Parts that are
    /// left out are run by the caller afterwards; the same part is never run twice.)
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync));
}

/// The threads an engine may use.
#[derive(Clone)]
pub(crate) struct Threads {
    executor: Option<Arc<dyn Executor>>,
    most: usize,
}

/// Lane ops below which a kernel runs on the calling thread. Waking a rayon worker and joining it costs 5–20 µs on the
/// machines of `docs/performance.md`; at 16 lane ops a nanosecond this is about 60 µs of work.
const WORK_TO_SPLIT: usize = 1 << 20;

impl Threads {
    /// At most `most` threads (all there are, if `None`) of an executor.
    pub(crate) fn new(executor: Option<Arc<dyn Executor>>, most: Option<usize>) -> Threads {
        let parallelism = executor.as_ref().map_or(1, |executor| executor.parallelism());
        Threads { executor, most: most.unwrap_or(parallelism).min(parallelism).max(1) }
    }

    /// The most threads a call uses.
    #[inline]
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many parts to split `elements` elements of `work` lane ops each into.
    #[inline]
    pub(crate) fn parts(&self, elements: usize, work: usize) -> usize {
        if self.most <= 1 {
            return 1;
        }
        let total = elements.saturating_mul(work.max(4));
        if total < WORK_TO_SPLIT { 1 } else { self.most.min(total / (WORK_TO_SPLIT / 2)).max(1) }
    }

    /// Runs `body(part, first, count)` for disjoint parts of `0..length`, each a multiple of `grain` but the last.
    pub(crate) fn split(&self, length: usize, grain: usize, parts: usize, body: impl Fn(usize, usize, usize) + Sync) {
        let grains = length.div_ceil(grain);
        let share = grains.div_ceil(parts.max(1)).max(1) * grain;
        let count = length.div_ceil(share);
        let Some(executor) = self.executor.as_ref().filter(|_| count > 1) else {
            return body(0, 0, length);
        };
        // Parts are claimed, so that each is run once whatever an executor does.
        let next = AtomicUsize::new(0);
        let claim = || {
            let _mode = FloatMode::enter();
            let part = next.fetch_add(1, Ordering::Relaxed);
            if part < count {
                body(part, part * share, share.min(length - part * share));
            }
            part < count
        };
        executor.run(count, &|_| _ = claim());
        while claim() {}
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Threads").field("most", &self.most).finish_non_exhaustive()
    }
}

/// The executor of an engine that was given none: rayon's pool around the call, or its global one.
#[cfg(feature = "rayon")]
pub(crate) fn default_executor() -> Option<Arc<dyn Executor>> {
    Some(Arc::new(Ambient))
}

/// An engine that was given no executor runs on the calling thread.
#[cfg(not(feature = "rayon"))]
pub(crate) fn default_executor() -> Option<Arc<dyn Executor>> {
    None
}

#[cfg(feature = "rayon")]
struct Ambient;

#[cfg(feature = "rayon")]
impl Executor for Ambient {
    fn parallelism(&self) -> usize {
        // Not asked of rayon, which would start its threads.
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        /// By joins, which need no memory of their own.
        fn halve(first: usize, end: usize, part: &(dyn Fn(usize) + Sync)) {
            if end - first <= 1 {
                return (first..end).for_each(part);
            }
            let middle = first.midpoint(end);
            rayon::join(|| halve(first, middle, part), || halve(middle, end, part));
        }
        if rayon::current_thread_index().is_some() || global_pool_is_there() {
            halve(0, parts, part);
        } else {
            (0..parts).for_each(part);
        }
    }
}

/// Whether rayon has a global pool, or could start one: a process may be out of threads, which rayon answers with a panic.
#[cfg(feature = "rayon")]
fn global_pool_is_there() -> bool {
    static THERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let mut refusal = None;
    let there = *THERE.get_or_init(|| {
        // A cause is the system's: there are no threads to be had. None: the pool is there already.
        let built = rayon::ThreadPoolBuilder::new().build_global();
        refusal = built.err().and_then(|error| std::error::Error::source(&error).map(ToString::to_string));
        refusal.is_none()
    });
    // Only now, since a logger may call this library.
    if let Some(cause) = refusal {
        log::warn!("large calls run on the calling thread alone: no thread pool could be started ({cause})");
    }
    there
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Runs some parts, some twice, and leaves others out.
    struct Careless;

    impl Executor for Careless {
        fn parallelism(&self) -> usize {
            5
        }
        fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
            (0..parts / 2).for_each(part);
            part(0);
        }
    }

    #[test]
    fn every_element_is_in_one_part_whatever_the_executor_does() {
        for executor in [None, default_executor(), Some(Arc::new(Careless) as Arc<dyn Executor>)] {
            let threads = Threads::new(executor, Some(5));
            for (length, grain) in [(0, 1), (1, 64), (63, 64), (64, 64), (1000, 64), (7, 1), (100, 3)] {
                let seen = Mutex::new(vec![0; length]);
                let parts = Mutex::new(Vec::new());
                threads.split(length, grain, 5, |part, first, count| {
                    parts.lock().expect("no panic").push(part);
                    seen.lock().expect("no panic")[first..first + count].iter_mut().for_each(|n| *n += 1);
                });
                assert!(seen.into_inner().expect("no panic").iter().all(|count| *count == 1));
                let mut parts = parts.into_inner().expect("no panic");
                parts.sort_unstable();
                assert_eq!(parts, (0..parts.len()).collect::<Vec<_>>(), "parts have numbers of their own");
            }
        }
    }
}
