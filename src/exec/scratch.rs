//! Memory for values between passes and arrays between kernels, kept by each thread between calls.
//!
//! A call takes a block and gives it back when the block is dropped, so that calls after the first allocate nothing. Blocks
//! above [`LARGEST_KEPT`] bytes are freed instead of kept, and [`release_scratch`] frees what a thread keeps.

use std::cell::RefCell;

/// A thread keeps no block above this size. Fresh pages cost more than a kernel does (2 ns an element here), so arrays
/// between kernels are worth keeping up to sizes at which a program would notice them.
const LARGEST_KEPT: usize = 256 << 20;
/// A thread keeps at most this many blocks: nested calls are two or three deep.
const MOST_KEPT: usize = 4;
const ALIGNMENT: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT]);

thread_local! {
    static BLOCKS: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// The memory a call needs between its kernels or passes is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory {
    pub(crate) bytes: usize,
}

/// A block of memory, aligned to cache lines, with unspecified contents.
#[derive(Default)]
pub(crate) struct Scratch(Vec<Line>);

impl Scratch {
    /// At least `bytes` bytes.
    pub(crate) fn take(bytes: usize) -> Result<Scratch, OutOfMemory> {
        let lines = bytes.div_ceil(ALIGNMENT);
        let mut block = BLOCKS.with(|blocks| {
            let mut blocks = blocks.borrow_mut();
            let fitting = blocks.iter().position(|block| block.len() >= lines);
            fitting.or(blocks.len().checked_sub(1)).map(|at| blocks.swap_remove(at)).unwrap_or_default()
        });
        if block.len() < lines {
            block.try_reserve_exact(lines - block.len()).map_err(|_| OutOfMemory { bytes })?;
            block.resize(lines, Line([0; ALIGNMENT]));
        }
        Ok(Scratch(block))
    }

    /// The address of the block.
    pub(crate) fn base(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast::<u8>()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.0);
        if block.is_empty() || block.len() * ALIGNMENT > LARGEST_KEPT {
            return;
        }
        // While a thread ends its blocks may be gone already: then this one is freed.
        let _ = BLOCKS.try_with(|blocks| {
            if let Ok(mut blocks) = blocks.try_borrow_mut()
                && blocks.len() < MOST_KEPT
            {
                blocks.push(block);
            }
        });
    }
}

/// Frees the scratch memory that the calling thread keeps between calls: row buffers, and arrays between kernels of up to
/// 256 MiB. The next call that needs some takes it anew.
pub fn release_scratch() {
    let _ = BLOCKS.try_with(|blocks| {
        if let Ok(mut blocks) = blocks.try_borrow_mut() {
            blocks.clear();
        }
    });
}

/// The next multiple of a cache line.
pub(crate) fn round_up(bytes: usize) -> usize {
    bytes.div_ceil(ALIGNMENT).saturating_mul(ALIGNMENT)
}
