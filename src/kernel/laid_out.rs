//! The loops of a call, kept for calls of arrays laid out the same.
//!
//! Merging the dimensions of a call's arrays costs some hundred nanoseconds, and comes out the same for all arrays of equal
//! dtypes, shapes and strides. So an elementwise function keeps what came out for the layouts it met first.

use crate::engine::{Compiled, Engine};
use crate::fuse::Buffer;
use crate::run::elementwise::{self, Loops};
use crate::run::operands::Nest;
use crate::run::prepared::PreparedPlan;
use crate::run::{Arrays, Mode, threads};
use crate::tensor::Placement;
use smallvec::SmallVec;
use std::sync::Arc;

/// The loops over arrays of one layout, on the calling thread.
pub(super) struct LaidOutKernel {
    compiled: Compiled,
    prepared: Arc<PreparedPlan>,
    /// Dtypes, shapes and strides it is for; the addresses mean nothing.
    inputs: SmallVec<[Placement; 4]>,
    output: Placement,
    /// The array of each operand, and how many bytes from its first element the operand begins.
    operands: SmallVec<[(Buffer, isize); 8]>,
    nest: Nest,
}

impl LaidOutKernel {
    /// The loops for arrays that a plan was made for, if it is one elementwise kernel and too little work for threads.
    pub(super) fn new(
        engine: &Engine,
        prepared: &Arc<PreparedPlan>,
        inputs: &[Placement],
        output: &Placement,
        sizes: &[usize],
    ) -> Option<LaidOutKernel> {
        let [kernel] = prepared.kernels.as_slice() else { return None };
        let plan = &prepared.plan.kernels[kernel.index];
        if plan.is_row() || plan.stages.len() != 1 {
            return None;
        }
        // The domain of an elementwise kernel is its output's; asked first, since laying out is most of the work here.
        let elements = output.shape().iter().fold(1usize, |product, length| product.saturating_mul(*length));
        if threads::parts(engine, elements, kernel.work) > 1 {
            return None;
        }
        let outputs = std::slice::from_ref(output);
        let arrays = Arrays { inputs, outputs, temporaries: SmallVec::new(), sizes, mode: Mode::Compile };
        let Loops { compiled, bounds, nest } = elementwise::lay_out(engine, prepared, kernel, plan, &arrays)?;
        let mut operands = SmallVec::new();
        for (slot, bound) in plan.stages[0].along.slots.iter().zip(&bounds) {
            let buffer = plan.buffer(*slot)?;
            let base = match buffer {
                Buffer::Input(_) | Buffer::Output(_) => arrays.get(buffer).pointer,
                Buffer::Temporary(_) => return None,
            };
            operands.push((buffer, bound.pointer as isize - base as isize));
        }
        let inputs = inputs.iter().map(Placement::copied).collect();
        let (compiled, prepared) = (compiled.clone(), prepared.clone());
        Some(LaidOutKernel { compiled, prepared, inputs, output: output.copied(), operands, nest })
    }

    /// Whether it is for an input laid out like this one at this place.
    pub(super) fn takes_input(&self, at: usize, input: &Placement) -> bool {
        self.inputs[at].same_layout(input)
    }

    /// Whether it is for an output laid out like this one.
    pub(super) fn takes_output(&self, output: &Placement) -> bool {
        self.output.same_layout(output)
    }

    /// Whether the output may be the very array of an input.
    pub(super) fn allows_in_place(&self, input: usize) -> bool {
        self.prepared.plan.in_place[0][input]
    }

    /// Runs the loops.
    ///
    /// # Safety
    /// Inputs are valid for reads and the output for writes, laid out as the kernel is for; the output overlaps no input,
    /// but may be the very array of one that the plan allows.
    pub(super) unsafe fn run(&self, input: impl Fn(usize) -> *mut u8, output: *mut u8) {
        let pointer = |at: usize| {
            let (buffer, offset) = self.operands[at];
            let base = match buffer {
                Buffer::Input(at) => input(at),
                _ => output,
            };
            base.wrapping_offset(offset)
        };
        // SAFETY: the caller's promise, for all elements of the nest that was laid out for these arrays.
        unsafe { elementwise::run_nest(self.compiled.code.as_ref(), pointer, &self.nest) };
    }
}
