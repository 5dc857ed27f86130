//! Memory for values between passes and arrays between kernels, kept by an engine between calls.
//!
//! A call takes one block before it stores anything, and gives it back at its end, so that calls after the first allocate
//! nothing and no call fails halfway. What an engine keeps is bounded ([`ScratchPool::new`]); larger blocks are freed at
//! once, and [`ScratchPool::release`] frees the rest.

use super::shard::Sharded;
use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

const ALIGNMENT: usize = 64;
/// A thread's share keeps this many blocks: calls are nested one or two deep.
const MOST_KEPT: usize = 2;

/// The memory a call needs between its kernels or passes is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    pub(crate) bytes: usize,
}

/// The scratch memory of one engine.
pub(crate) struct ScratchPool {
    kept: Sharded<Vec<Block>>,
    /// Bytes of all kept blocks.
    bytes: AtomicUsize,
    limit: usize,
}

/// Memory aligned to cache lines, initialised.
struct Block {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block owns its memory.
unsafe impl Send for Block {}

impl Block {
    /// Zeroed, so that no byte that is ever looked at is uninitialised. (The system's fresh pages are; only blocks that are
    /// reused by the allocator are cleared.)
    fn new(bytes: usize) -> Result<Block, OutOfMemory> {
        let error = OutOfMemory { bytes };
        let layout = Block::layout(bytes).ok_or(error)?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }).ok_or(error)?;
        Ok(Block { start, bytes })
    }

    fn layout(bytes: usize) -> Option<Layout> {
        Layout::from_size_align(bytes, ALIGNMENT).ok().filter(|layout| layout.size() > 0)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Block::layout(self.bytes) {
            // SAFETY: allocated with this very layout.
            unsafe { alloc::dealloc(self.start.as_ptr(), layout) };
        }
    }
}

/// A block of memory with unspecified contents, until it is dropped.
pub(crate) struct Scratch<'a> {
    block: Option<Block>,
    pool: &'a ScratchPool,
}

impl ScratchPool {
    /// A pool that keeps at most so many bytes between calls.
    pub(crate) fn new(limit: usize) -> ScratchPool {
        ScratchPool { kept: Sharded::default(), bytes: AtomicUsize::new(0), limit }
    }

    /// At least `bytes` bytes.
    pub(crate) fn take(&self, bytes: usize) -> Result<Scratch<'_>, OutOfMemory> {
        if bytes == 0 {
            return Ok(Scratch { block: None, pool: self });
        }
        let kept = self.kept.take().and_then(|mut kept| {
            let at = kept.iter().position(|block| block.bytes >= bytes)?;
            Some(kept.swap_remove(at))
        });
        if let Some(block) = kept {
            self.bytes.fetch_sub(block.bytes, Ordering::Relaxed);
            return Ok(Scratch { block: Some(block), pool: self });
        }
        Ok(Scratch { block: Some(Block::new(round_up(bytes))?), pool: self })
    }

    /// Keeps a block, if there is room for it.
    fn keep(&self, block: Block) {
        let Some(mut kept) = self.kept.take() else { return };
        // A block takes the place of a smaller one.
        if kept.len() >= MOST_KEPT {
            let Some(smallest) = (0..kept.len()).min_by_key(|at| kept[*at].bytes) else { return };
            if kept[smallest].bytes >= block.bytes {
                return;
            }
            let freed = kept.swap_remove(smallest);
            self.bytes.fetch_sub(freed.bytes, Ordering::Relaxed);
        }
        // Once only: what grows later finds room already taken.
        if kept.capacity() < MOST_KEPT && kept.try_reserve_exact(MOST_KEPT).is_err() {
            return;
        }
        if self.bytes.fetch_add(block.bytes, Ordering::Relaxed).saturating_add(block.bytes) > self.limit {
            self.bytes.fetch_sub(block.bytes, Ordering::Relaxed);
            return;
        }
        kept.push(block);
    }

    /// Frees what is kept.
    pub(crate) fn release(&self) {
        for mut kept in self.kept.take_all() {
            for block in kept.drain(..) {
                self.bytes.fetch_sub(block.bytes, Ordering::Relaxed);
            }
        }
    }

    /// Bytes that are kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for ScratchPool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ScratchPool").field("bytes", &self.kept_bytes()).field("limit", &self.limit).finish()
    }
}

impl Scratch<'_> {
    /// The address of the block.
    pub(crate) fn base(&self) -> *mut u8 {
        self.block.as_ref().map_or(std::ptr::null_mut(), |block| block.start.as_ptr())
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.pool.keep(block);
        }
    }
}

/// The next multiple of a cache line.
pub(crate) fn round_up(bytes: usize) -> usize {
    bytes.div_ceil(ALIGNMENT).saturating_mul(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_what_is_kept_is_bounded() {
        let pool = ScratchPool::new(10_000);
        let first = pool.take(1000).expect("there is memory").base();
        assert_eq!(pool.kept_bytes(), 1024);
        assert_eq!(pool.take(900).expect("there is memory").base(), first);
        let two = [pool.take(4000), pool.take(100)].map(|taken| taken.expect("there is memory"));
        assert_eq!(pool.kept_bytes(), 0);
        drop(two);
        assert_eq!(pool.kept_bytes(), 4032 + 1024);
        drop(pool.take(20_000).expect("there is memory"));
        assert!(pool.kept_bytes() <= 10_000);
        pool.release();
        assert_eq!(pool.kept_bytes(), 0);
        assert!(pool.take(usize::MAX / 2).is_err());
    }
}
