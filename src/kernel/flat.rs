//! The short way of a call: every array is one row-major run of the same shape as the output, or a number.
//!
//! For an elementwise function such a call is one loop over one dimension, whatever the rank and the lengths. So nothing
//! has to be laid out: the code is known by which inputs are numbers, and what is left of a call is to check names, dtypes,
//! shapes and overlaps and to fill in pointers. Anything else, errors included, is left to the long way. At 16 elements
//! the long way costs more than ten times what the loop does.

use super::call::{Fused, PlanHandle};
use crate::engine::{Compiled, Engine};
use crate::fuse::{Buffer, Form, Slot};
use crate::lane::{Layout, OperandArgument};
use crate::run::operands;
use crate::run::prepared::{Chain, Layouts, Position, PreparedPlan};
use crate::run::threads;
use crate::tensor::{Input, Placement};
use fuselet_ir::{Graph, Node};
use smallvec::SmallVec;
use std::sync::Arc;

/// Functions of more inputs go the long way: a kernel is made for each set of inputs that are numbers.
const MOST_INPUTS: usize = 8;

/// Which inputs are numbers (a bit each), and the dtype.
type Class = u32;

/// The kernels of a function's flat calls; `None` for a class that has no single loop.
pub(super) type FlatKernels = Chain<Class, Option<Arc<FlatKernel>>>;

/// One loop over flat arrays.
pub(super) struct FlatKernel {
    compiled: Compiled,
    prepared: Arc<PreparedPlan>,
    /// The array of each operand and its byte stride: 0 for a number.
    operands: SmallVec<[(Buffer, isize); 8]>,
}

/// Whether a function can have flat calls: one output, elementwise throughout, so that its shape is that of any input
/// that is no number.
pub(super) fn is_elementwise(graph: &Graph) -> bool {
    let elementwise = |node: &Node| !matches!(node, Node::Reduce { .. } | Node::Half { .. });
    graph.outputs().len() == 1
        && (1..=MOST_INPUTS).contains(&graph.inputs().len())
        && graph.nodes().iter().all(elementwise)
}

/// The class of inputs beside an output of several elements, if they are flat.
fn class<'a>(inputs: impl Iterator<Item = &'a Placement>, output: &Placement) -> Option<Class> {
    let mut class = (output.dtype as Class) << MOST_INPUTS;
    for (at, input) in inputs.enumerate() {
        class |= Class::from(is_number(input, output)?) << at;
    }
    Some(class)
}

/// Whether an input is a number (and not a flat array); `None` if it is neither.
fn is_number(input: &Placement, output: &Placement) -> Option<bool> {
    if input.dtype != output.dtype {
        None
    } else if input.shape().is_empty() {
        Some(true)
    } else {
        (input.shape() == output.shape() && input.is_contiguous()).then_some(false)
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
        let several = output.is_contiguous() && output.shape().iter().any(|length| *length > 1);
        if !several || output.is_empty() || class(inputs.iter(), output).is_none() {
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
            let buffer = match slot {
                Slot::Source(at) if plan.sources[*at].cuts.is_empty() => plan.sources[*at].buffer,
                Slot::Sink(at) => plan.sinks[*at].buffer,
                _ => return None,
            };
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

    /// Whether the output may be the very array of an input.
    fn allows_in_place(&self, input: usize) -> bool {
        self.prepared.plan.in_place[0][input]
    }

    /// Runs the loop.
    ///
    /// # Safety
    /// Inputs are valid for reads and the output for writes, of `elements` elements of the plan's dtype each (numbers:
    /// of one); the output overlaps no input, but may be the very array of one that the plan allows.
    pub(super) unsafe fn run(&self, input: impl Fn(usize) -> *mut u8, output: *mut u8, elements: usize) {
        let arguments: SmallVec<[OperandArgument; 8]> = self
            .operands
            .iter()
            .map(|(buffer, stride)| match buffer {
                Buffer::Input(at) => operands::argument(input(*at), *stride, 0),
                _ => operands::argument(output, *stride, 0),
            })
            .collect();
        // SAFETY: the caller's promise; operands are contiguous or broadcast as the code was compiled for.
        unsafe { self.compiled.code.run(&arguments, elements, 1) };
    }
}

impl Fused {
    /// Calls the function if all arrays are flat and nothing is wrong. If not, nothing was done.
    pub(super) fn call_flat(&self, inputs: &[(&str, &dyn Input)], output: &Placement) -> bool {
        let Some(kernels) = self.flat_kernels() else { return false };
        let names = self.inputs();
        let elements = output.shape().iter().fold(1usize, |product, length| product.saturating_mul(*length));
        if inputs.len() != names.len() || elements <= 1 || !output.is_contiguous() {
            return false;
        }
        let size = output.dtype.size();
        let start = output.pointer as usize;
        let end = start + elements * size;
        let mut class = (output.dtype as Class) << MOST_INPUTS;
        let mut pointers: [*mut u8; MOST_INPUTS] = [std::ptr::null_mut(); MOST_INPUTS];
        // Inputs that are the output's very array.
        let mut same: Class = 0;
        for (at, ((given, input), name)) in inputs.iter().zip(names).enumerate() {
            let view = input.tensor();
            let Some(number) = is_number(&view.placement, output) else { return false };
            if given != name {
                return false;
            }
            let pointer = view.placement.pointer;
            let first = pointer as usize;
            if first < end && start < first + if number { size } else { elements * size } {
                if number || first != start {
                    return false;
                }
                same |= 1 << at;
            }
            class |= Class::from(number) << at;
            pointers[at] = pointer;
        }
        let Some(Some(kernel)) = kernels.find(|known| *known == class) else { return false };
        if !(0..names.len()).all(|at| same & (1 << at) == 0 || kernel.allows_in_place(at))
            || !kernel.runs_on_one_thread(self.engine(), elements)
        {
            return false;
        }
        // SAFETY: the views borrow their arrays for as long as `inputs` and the output are borrowed; they were found to
        // be flat, of one dtype and of the output's shape, which is the result's as one of them is no number (else no
        // kernel is kept); and they overlap only as the plan allows.
        unsafe { kernel.run(|at| pointers[at], output.pointer, elements) };
        true
    }

    /// Keeps the kernel for calls like this one, which was found to be right and has been planned.
    pub(super) fn keep_flat(&self, prepared: &PlanHandle<'_>, inputs: &[Placement], outputs: &[Placement]) {
        let (Some(kernels), [output]) = (self.flat_kernels(), outputs) else { return };
        // Arrays of one element or none say nothing about the class.
        if output.is_empty() || output.shape().iter().all(|length| *length == 1) {
            return;
        }
        if let Some(class) = class(inputs.iter(), output)
            && kernels.find(|known| *known == class).is_none()
        {
            let make = || {
                Ok::<_, std::convert::Infallible>(
                    FlatKernel::new(self.engine(), &prepared.share(), inputs, output).map(Arc::new),
                )
            };
            let Ok(_) = kernels.find_or_add(class, make);
        }
    }
}
