//! What threads do not have to share: a few copies of a thing, of which each thread tries its own first.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many copies there are.
const SHARDS: usize = 8;

/// Copies of a value, each used by one thread at a time and never waited for.
#[derive(Default)]
pub(crate) struct Sharded<T> {
    shards: [Shard<T>; SHARDS],
}

/// Apart from its neighbours by as much as two cache lines, which processors fetch together.
#[derive(Default)]
#[repr(align(128))]
struct Shard<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: a value is reached through `Taken` alone, of which there is one at a time a shard.
unsafe impl<T: Send> Sync for Shard<T> {}

/// A value in use by this thread.
pub(crate) struct Taken<'a, T>(&'a Shard<T>);

impl<T> Sharded<T> {
    /// The calling thread's value, or another one if that is in use; `None` if all are.
    #[inline]
    pub(crate) fn take(&self) -> Option<Taken<'_, T>> {
        let first = thread_number();
        (0..SHARDS).find_map(|step| self.shards[(first.wrapping_add(step)) % SHARDS].take())
    }

    /// All values that are not in use.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = Taken<'_, T>> {
        self.shards.iter().filter_map(Shard::take)
    }
}

impl<T> Shard<T> {
    #[inline]
    fn take(&self) -> Option<Taken<'_, T>> {
        // One locked instruction; giving back is a plain store. (Made only if it is free: dropping one gives it back.)
        (!self.busy.swap(true, Ordering::Acquire)).then(|| Taken(self))
    }
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `busy` was false and is true while `self` lives, so nobody else has the value.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Taken<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// A number of the calling thread: 0, 1, 2 … in the order in which threads first ask.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_taken_by_one_at_a_time() {
        let numbers: Sharded<usize> = Sharded::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut done = 0;
                    while done < 10_000 {
                        if let Some(mut number) = numbers.take() {
                            *number += 1;
                            done += 1;
                        }
                    }
                });
            }
        });
        assert_eq!(numbers.take_all().map(|number| *number).sum::<usize>(), 40_000);
        let held: Vec<_> = (0..SHARDS).map(|_| numbers.take()).collect();
        assert!(held.iter().all(Option::is_some) && numbers.take().is_none());
    }
}
