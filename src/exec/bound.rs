//! A plan bound to layouts: the one thing that runs.
//!
//! A [`BoundPlan`] holds code, loops, arguments relative to base addresses, and what scratch it needs. Running it takes the
//! base addresses of one call and a pool of threads and memory ([`Resources`]): neither compiler nor cache.

use super::elementwise::ElementwiseLoops;
use super::rows::RowLoops;
use super::scratch::{OutOfMemory, ScratchPool};
use super::threads::Threads;
use smallvec::SmallVec;

/// What a run may use.
#[derive(Debug)]
pub(crate) struct Resources {
    pub(crate) threads: Threads,
    pub(crate) scratch: ScratchPool,
}

/// What an operand's place is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// An array of the call: inputs, then outputs.
    Array(usize),
    /// The call's scratch.
    Scratch,
}

/// A kernel with its loops, and where each of its operands begins.
pub(crate) struct BoundKernel {
    pub(crate) operands: SmallVec<[(Base, isize); 4]>,
    pub(crate) loops: Loops,
}

pub(crate) enum Loops {
    Elementwise(ElementwiseLoops),
    Rows(Box<RowLoops>),
}

/// A plan bound to layouts.
pub(crate) struct BoundPlan {
    kernels: SmallVec<[BoundKernel; 1]>,
    /// Bytes of arrays between kernels; the scratch of threads comes after them.
    temporaries: usize,
    scratch_bytes: usize,
}

impl BoundPlan {
    /// Kernels that run one after the other, with so many bytes of arrays between them.
    ///
    /// # Errors
    /// More scratch than can be addressed.
    pub(crate) fn new(kernels: SmallVec<[BoundKernel; 1]>, temporaries: usize) -> Result<BoundPlan, OutOfMemory> {
        let threads = kernels.iter().map(|kernel| match &kernel.loops {
            Loops::Rows(loops) => loops.thread_scratch().saturating_mul(loops.threads()),
            Loops::Elementwise(loops) => loops.thread_scratch().saturating_mul(loops.threads()),
        });
        // Kernels run one after the other, so their threads' scratch may be the same.
        let scratch_bytes = temporaries.saturating_add(threads.max().unwrap_or(0));
        if scratch_bytes > isize::MAX as usize {
            return Err(OutOfMemory { bytes: scratch_bytes });
        }
        Ok(BoundPlan { kernels, temporaries, scratch_bytes })
    }

    /// Runs all kernels on arrays at these addresses.
    ///
    /// # Safety
    /// `base` gives for each input, then each output, the first element of an array of the layout it was bound to, inputs
    /// valid for reads and outputs for writes. Outputs overlap neither each other nor inputs, but for the pairs the plan
    /// was bound with, which are the same array.
    ///
    /// # Errors
    /// Scratch that is not to be had; nothing was done then.
    #[inline]
    pub(crate) unsafe fn run(&self, resources: &Resources, base: impl Fn(usize) -> *mut u8) -> Result<(), OutOfMemory> {
        if self.scratch_bytes == 0
            && let [BoundKernel { operands, loops: Loops::Elementwise(loops) }] = self.kernels.as_slice()
        {
            let pointer = |at: usize| {
                let (from, offset) = operands[at];
                let Base::Array(from) = from else { unreachable!("there is no scratch") };
                base(from).wrapping_offset(offset)
            };
            // SAFETY: the caller's promise.
            unsafe { loops.run(&resources.threads, pointer, std::ptr::null_mut()) };
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.run_all(resources, base) }
    }

    /// # Safety
    /// As [`BoundPlan::run`].
    #[inline(never)]
    unsafe fn run_all(&self, resources: &Resources, base: impl Fn(usize) -> *mut u8) -> Result<(), OutOfMemory> {
        let scratch = resources.scratch.take(self.scratch_bytes)?;
        let start = scratch.base();
        let threads_start = start.wrapping_add(self.temporaries);
        for kernel in &self.kernels {
            let pointer = |at: usize| {
                let (from, offset) = kernel.operands[at];
                let from = match from {
                    Base::Array(at) => base(at),
                    Base::Scratch => start,
                };
                from.wrapping_offset(offset)
            };
            // SAFETY: the caller's promise; temporaries alive at the same time are disjoint parts of this call's scratch,
            // and what threads use of it lies behind them.
            unsafe {
                match &kernel.loops {
                    Loops::Elementwise(loops) => loops.run(&resources.threads, pointer, threads_start),
                    Loops::Rows(loops) => {
                        let starts: SmallVec<[*mut u8; 16]> = (0..kernel.operands.len()).map(pointer).collect();
                        loops.run(&resources.threads, &starts, threads_start);
                    }
                }
            }
        }
        Ok(())
    }

    /// Bytes it takes on the heap, its code not counted.
    pub(crate) fn heap_bytes(&self) -> usize {
        let loops = |kernel: &BoundKernel| match &kernel.loops {
            Loops::Elementwise(loops) => loops.heap_bytes(),
            Loops::Rows(loops) => loops.heap_bytes(),
        };
        let operands = |kernel: &BoundKernel| kernel.operands.len() * size_of::<(Base, isize)>();
        self.kernels.iter().map(|kernel| size_of::<BoundKernel>() + operands(kernel) + loops(kernel)).sum()
    }
}
