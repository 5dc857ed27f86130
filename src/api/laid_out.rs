//! The loops of a call, kept for calls of arrays laid out the same.
//!
//! Merging the dimensions of a call's arrays and looking up code costs some hundred nanoseconds, and comes out the same for
//! all arrays of equal dtypes, shapes and strides. So a function of one kernel keeps what came out for the layouts it met
//! first.

use crate::api::Engine;
use crate::array::Placement;
use crate::compile::Compiled;
use crate::exec::elementwise::{self, Loops};
use crate::exec::operands::{Nest, Pointers};
use crate::exec::prepared::PreparedPlan;
use crate::exec::rows::{self, RowLoops};
use crate::exec::scratch::OutOfMemory;
use crate::exec::{Arrays, Mode, threads};
use crate::plan::{Buffer, KernelPlan};
use smallvec::SmallVec;
use std::sync::Arc;

/// The loops over arrays of one layout, on the calling thread.
pub(super) struct LaidOutKernel {
    loops: KeptLoops,
    prepared: Arc<PreparedPlan>,
    /// Dtypes, shapes and strides it is for; the addresses mean nothing.
    inputs: SmallVec<[Placement; 4]>,
    output: Placement,
    /// The array of each operand, and how many bytes from its first element the operand begins.
    operands: SmallVec<[(Buffer, isize); 8]>,
}

enum KeptLoops {
    Elementwise {
        compiled: Compiled,
        nest: Box<Nest>,
    },
    Rows {
        loops: Box<RowLoops>,
        /// The inputs, a bit each, that must be the output's very array; no other may be.
        in_place: u32,
    },
}

impl LaidOutKernel {
    /// The loops for arrays that a plan was made for, if it is one kernel and too little work for threads. The inputs with a bit
    /// in `in_place` are the output's very array.
    pub(super) fn new(
        engine: &Engine,
        prepared: &Arc<PreparedPlan>,
        inputs: &[Placement],
        output: &Placement,
        sizes: &[usize],
        in_place: u32,
    ) -> Option<LaidOutKernel> {
        let [kernel] = prepared.kernels.as_slice() else { return None };
        if inputs.len() > u32::BITS as usize {
            return None;
        }
        let plan = &prepared.plan.kernels[kernel.index];
        // Asked first, since laying out is most of the work here.
        if threads::parts(engine, plan.elements(sizes), kernel.work) > 1 {
            return None;
        }
        let outputs = std::slice::from_ref(output);
        let arrays = Arrays { inputs, outputs, temporaries: SmallVec::new(), sizes, mode: Mode::Compile };
        let (loops, buffers, pointers) = if plan.is_row() {
            let same = |source: usize, _| match plan.sources[source].buffer {
                Buffer::Input(at) => in_place & (1 << at) != 0,
                _ => false,
            };
            let (loops, pointers) = rows::lay_out(engine, prepared, kernel, plan, &arrays, 1, same).ok()??;
            (KeptLoops::Rows { loops: Box::new(loops), in_place }, row_buffers(plan), pointers)
        } else {
            if plan.stages.len() != 1 {
                return None;
            }
            let Loops { compiled, bounds, nest } = elementwise::lay_out(engine, prepared, kernel, plan, &arrays)?;
            let slots = &plan.stages[0].along.slots;
            let buffers = slots.iter().map(|slot| plan.buffer(*slot)).collect::<Option<_>>()?;
            let pointers = Pointers(bounds.iter().map(|bound| bound.pointer).collect());
            (KeptLoops::Elementwise { compiled: compiled.clone(), nest: Box::new(nest) }, buffers, pointers)
        };
        let mut operands = SmallVec::new();
        for (buffer, pointer) in buffers.into_iter().zip(&pointers.0) {
            if matches!(buffer, Buffer::Temporary(_)) {
                return None;
            }
            operands.push((buffer, *pointer as isize - arrays.get(buffer).pointer as isize));
        }
        let inputs = inputs.iter().map(Placement::copied).collect();
        Some(LaidOutKernel { loops, prepared: prepared.clone(), inputs, output: output.copied(), operands })
    }

    /// Whether it is for an input laid out like this one at this place.
    pub(super) fn takes_input(&self, at: usize, input: &Placement) -> bool {
        self.inputs[at].same_layout(input)
    }

    /// Whether it is for an output laid out like this one.
    pub(super) fn takes_output(&self, output: &Placement) -> bool {
        self.output.same_layout(output)
    }

    /// Whether it is for calls in which these inputs, a bit each, are the output's very array.
    pub(super) fn allows_in_place(&self, inputs: u32) -> bool {
        match &self.loops {
            KeptLoops::Elementwise { .. } => self.prepared.plan.allows_in_place(inputs),
            KeptLoops::Rows { in_place, .. } => *in_place == inputs,
        }
    }

    /// Runs the loops.
    ///
    /// # Safety
    /// Inputs are valid for reads and the output for writes, laid out as the kernel is for; the output overlaps no input,
    /// but may be the very array of those that [`LaidOutKernel::allows_in_place`] allowed.
    ///
    /// # Errors
    /// Scratch that is not to be had; nothing was done then.
    pub(super) unsafe fn run(&self, input: impl Fn(usize) -> *mut u8, output: *mut u8) -> Result<(), OutOfMemory> {
        let pointer = |at: usize| {
            let (buffer, offset) = self.operands[at];
            let base = match buffer {
                Buffer::Input(at) => input(at),
                _ => output,
            };
            base.wrapping_offset(offset)
        };
        match &self.loops {
            KeptLoops::Elementwise { compiled, nest } => {
                // SAFETY: the caller's promise, for all elements of the nest that was laid out for these arrays.
                unsafe { elementwise::run_nest(compiled.code.as_ref(), pointer, nest) };
                Ok(())
            }
            KeptLoops::Rows { loops, .. } => {
                let pointers = Pointers((0..self.operands.len()).map(pointer).collect());
                let plan = &self.prepared.plan.kernels[0];
                // SAFETY: as above.
                unsafe { rows::run_loops(loops, plan, &pointers, 1) }
            }
        }
    }
}

/// The arrays of a row kernel's operands: sources, then sinks.
fn row_buffers(plan: &KernelPlan) -> SmallVec<[Buffer; 8]> {
    plan.sources.iter().map(|source| source.buffer).chain(plan.sinks.iter().map(|sink| sink.buffer)).collect()
}
