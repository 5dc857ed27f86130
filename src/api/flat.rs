//! Loops over flat arrays: every array is one row-major run of the same shape as the output, or a number.
//!
//! For an elementwise function such a call is one loop over one dimension, whatever the rank and the lengths. So nothing
//! has to be laid out: the code is known by which inputs are numbers.

use super::known::MOST_INPUTS;
use crate::api::Engine;
use crate::array::Placement;
use crate::compile::Compiled;
use crate::exec::operands;
use crate::exec::prepared::{Layouts, Position, PreparedPlan};
use crate::exec::threads;
use crate::lane::{Layout, OperandArgument};
use crate::plan::{Buffer, Form, Slot};
use smallvec::SmallVec;
use std::sync::Arc;

/// Which inputs are numbers (a bit each), and the dtype.
pub(super) type Class = u32;

/// One loop over flat arrays.
pub(super) struct FlatKernel {
    compiled: Compiled,
    prepared: Arc<PreparedPlan>,
    /// The array of each operand and its byte stride: 0 for a number.
    operands: SmallVec<[(Buffer, isize); 8]>,
}

/// The class of a call of no inputs yet, if its output is flat. Arrays of one element say nothing about the class.
pub(super) fn class_of_output(output: &Placement) -> Option<Class> {
    (output.is_contiguous() && !output.is_single()).then_some((output.dtype as Class) << MOST_INPUTS)
}

/// The class with one more input, if that is flat too.
pub(super) fn with_input(class: Class, at: usize, input: &Placement, output: &Placement) -> Option<Class> {
    Some(class | Class::from(is_number(input, output)?) << at)
}

/// Whether an input is a number (and not a flat array); `None` if it is neither.
fn is_number(input: &Placement, output: &Placement) -> Option<bool> {
    if input.dtype != output.dtype {
        None
    } else if input.shape().is_empty() {
        Some(true)
    } else {
        (input.same_shape(output) && input.is_contiguous()).then_some(false)
    }
}

impl FlatKernel {
    /// The kernel for flat arrays that a plan was made for, if the plan is one loop.
    pub(super) fn new(
        engine: &Engine,
        prepared: &Arc<PreparedPlan>,
        inputs: &[Placement],
        output: &Placement,
    ) -> Option<FlatKernel> {
        let flat = inputs.iter().all(|input| is_number(input, output).is_some());
        if !flat || class_of_output(output).is_none() || output.is_empty() {
            return None;
        }
        let [kernel] = prepared.kernels.as_slice() else { return None };
        let plan = &prepared.plan.kernels[kernel.index];
        if plan.is_row() || plan.stages.len() != 1 {
            return None;
        }
        let size = prepared.dtype.size() as isize;
        let mut operands = SmallVec::new();
        let mut layouts = Layouts::new();
        for slot in &plan.stages[0].along.slots {
            if matches!(slot, Slot::Source(at) if !plan.sources[*at].cuts.is_empty()) {
                return None;
            }
            let buffer = plan.buffer(*slot)?;
            let stride = match buffer {
                Buffer::Input(at) if inputs[at].shape().is_empty() => 0,
                Buffer::Input(_) | Buffer::Output(_) => size,
                Buffer::Temporary(_) => return None,
            };
            operands.push((buffer, stride));
            layouts.push(if stride == 0 { Layout::Broadcast } else { Layout::Contiguous });
        }
        let compiled = prepared.compiled_for(engine, kernel, 0, Position::Along, Form::Span, &layouts).clone();
        Some(FlatKernel { compiled, prepared: prepared.clone(), operands })
    }

    /// Whether a call of so many elements stays on the calling thread.
    pub(super) fn runs_on_one_thread(&self, engine: &Engine, elements: usize) -> bool {
        threads::parts(engine, elements, self.prepared.kernels[0].work) == 1
    }

    /// Whether the output may be the very array of these inputs, a bit each.
    pub(super) fn allows_in_place(&self, inputs: u32) -> bool {
        self.prepared.plan.allows_in_place(inputs)
    }

    /// Runs the loop.
    ///
    /// # Safety
    /// Inputs are valid for reads and the output for writes, of `elements` elements of the plan's dtype each (numbers:
    /// of one); the output overlaps no input, but may be the very array of one that the plan allows.
    pub(super) unsafe fn run(&self, input: impl Fn(usize) -> *mut u8, output: *mut u8, elements: usize) {
        // Filled where it stays: a copy of what was just written piece by piece stalls for as long as a small loop runs.
        let mut arguments: SmallVec<[OperandArgument; 8]> = SmallVec::new();
        for (buffer, stride) in &self.operands {
            let pointer = match buffer {
                Buffer::Input(at) => input(*at),
                _ => output,
            };
            arguments.push(operands::argument(pointer, *stride, 0));
        }
        // SAFETY: the caller's promise; operands are contiguous or broadcast as the code was compiled for.
        unsafe { self.compiled.code.run(&arguments, elements, 1) };
    }
}
