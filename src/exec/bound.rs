//! A plan bound to layouts: the one thing that runs.
//!
//! A [`BoundPlan`] holds code, loops, arguments relative to base addresses, and what scratch it needs. Running it takes the
//! base addresses of one call and a pool of threads and memory ([`Resources`]): neither compiler nor cache.

use super::elementwise::ElementwiseLoops;
use super::operands;
use super::rows::RowLoops;
use super::scratch::{OutOfMemory, ScratchPool};
use super::threads::Threads;
use crate::codegen::Code;
use crate::lane::OperandArgument;
use smallvec::SmallVec;
use std::sync::Arc;

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
    Elementwise(Box<ElementwiseLoops>),
    Rows(Box<RowLoops>),
}

/// A plan bound to layouts.
pub(crate) struct BoundPlan {
    kernels: SmallVec<[BoundKernel; 1]>,
    /// The kernels once more, if they are no more than one loop.
    single: Option<SingleLoop>,
    /// Bytes of arrays between kernels; the scratch of threads comes after them.
    temporaries: usize,
    scratch_bytes: usize,
}

/// A plan that is one loop of at most two dimensions, on one thread and without scratch: what small calls are, of which running
/// the loop is but a part.
struct SingleLoop {
    code: Arc<dyn Code>,
    operands: SmallVec<[SingleOperand; 4]>,
    span: usize,
    outer: usize,
}

#[derive(Clone, Copy)]
struct SingleOperand {
    /// The array, inputs before outputs, and bytes from its first element.
    array: usize,
    offset: isize,
    stride: isize,
    outer_stride: isize,
}

impl SingleLoop {
    fn of(kernels: &[BoundKernel]) -> Option<SingleLoop> {
        let [BoundKernel { operands, loops: Loops::Elementwise(loops) }] = kernels else { return None };
        let (code, span, outer) = loops.single()?;
        let operands = operands.iter().enumerate().map(|(at, (base, offset))| match base {
            Base::Array(array) => Some(SingleOperand {
                array: *array,
                offset: *offset,
                stride: span.strides[at],
                outer_stride: outer.map_or(0, |outer| outer.strides[at]),
            }),
            Base::Scratch => None,
        });
        let operands = operands.collect::<Option<_>>()?;
        Some(SingleLoop {
            code: code.clone(),
            operands,
            span: span.length,
            outer: outer.map_or(1, |outer| outer.length),
        })
    }

    /// # Safety
    /// As [`BoundPlan::run`].
    #[inline]
    unsafe fn run(&self, base: impl Fn(usize) -> *mut u8) {
        let mut arguments: SmallVec<[OperandArgument; 16]> = SmallVec::new();
        for operand in &self.operands {
            let pointer = base(operand.array).wrapping_offset(operand.offset);
            arguments.push(operands::argument(pointer, operand.stride, operand.outer_stride));
        }
        // SAFETY: the caller's promise; no scratch is needed.
        unsafe { self.code.run_in(&arguments, self.span, self.outer, std::ptr::null_mut()) };
    }
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
        let single = if scratch_bytes == 0 { SingleLoop::of(&kernels) } else { None };
        Ok(BoundPlan { kernels, single, temporaries, scratch_bytes })
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
        if let Some(single) = &self.single {
            // SAFETY: the caller's promise.
            unsafe { single.run(base) };
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
