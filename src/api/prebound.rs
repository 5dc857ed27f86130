//! Kernels made ahead of a call, for a signature; and the explanation of what they run.

use super::call::{Fused, Placements, unwritten};
use super::error::CallError;
use super::flat::FlatKernel;
use super::laid_out::LaidOutKernel;
use crate::array::Dtype;
use crate::array::{Input, Placement, TensorError};
use crate::compile::Compiled;
use crate::exec::prepared::PreparedPlan;
use crate::exec::signature::Pattern;
use crate::exec::{self, Mode};
use crate::plan::Plan;
use fuselet_ir::Graph;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// The dtype, shape and strides of each input of a function.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    inputs: Vec<(String, Placement)>,
}

impl Signature {
    /// Of no inputs yet.
    pub fn new() -> Signature {
        Signature::default()
    }

    /// With a row-major input of a dtype and shape.
    ///
    /// # Errors
    /// A rank above [`crate::MAX_RANK`].
    pub fn with(mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Signature, TensorError> {
        if shape.len() > crate::array::MAX_RANK {
            return Err(TensorError::Rank { rank: shape.len() });
        }
        self.inputs.push((name.to_owned(), unwritten(shape, dtype)));
        Ok(self)
    }

    /// With an input laid out like this array, strides included.
    #[must_use]
    pub fn with_input(mut self, name: &str, input: &dyn Input) -> Signature {
        self.inputs.push((name.to_owned(), input.tensor().placement));
        self
    }
}

/// A function made ready for inputs of one signature and row-major outputs: planned and compiled. Cloning gives another
/// handle.
#[derive(Clone)]
pub struct Kernel {
    fused: Fused,
    prepared: Arc<PreparedPlan>,
    sizes: SmallVec<[usize; 8]>,
    inputs: Arc<[Placement]>,
    outputs: Arc<[Placement]>,
    /// The loop itself and its number of elements, if all arrays are flat.
    flat: Option<(Arc<FlatKernel>, usize)>,
    /// The loops, if it is one kernel on one thread over arrays of any other layout.
    laid_out: Option<Arc<LaidOutKernel>>,
}

impl Kernel {
    pub(super) fn new(fused: &Fused, signature: &Signature) -> Result<Kernel, CallError> {
        let names = fused.inputs();
        let mut inputs = Placements::new();
        for name in names {
            match signature.inputs.iter().find(|(given, _)| given == name) {
                Some((_, placement)) => inputs.push(*placement),
                None => return Err(CallError::MissingInput { name: name.clone(), expected: names.to_vec() }),
            }
        }
        if let Some((name, _)) = signature.inputs.iter().find(|(given, _)| !names.contains(given)) {
            return Err(CallError::UnknownInput { name: name.clone(), expected: names.to_vec() });
        }
        let dtype = fused.common_dtype(&inputs, &[])?;
        let pattern = Pattern::of(&inputs, dtype, fused.is_exact());
        let prepared = fused.prepared(dtype, &pattern, &inputs)?.share();
        let shape = |dimensions: &[crate::plan::Extent]| -> Vec<usize> {
            dimensions.iter().map(|extent| extent.resolve(&pattern.sizes)).collect()
        };
        let outputs: Vec<Placement> =
            prepared.plan.outputs.iter().map(|dimensions| unwritten(&shape(dimensions), dtype)).collect();
        // SAFETY: nothing is read or written while only compiling.
        unsafe { exec::run(fused.engine(), &prepared, &inputs, &outputs, &pattern.sizes, Mode::Compile) }?;
        let flat = match outputs.as_slice() {
            [output] => FlatKernel::new(fused.engine(), &prepared, &inputs, output)
                .map(|flat| (Arc::new(flat), output.shape().iter().product()))
                .filter(|(flat, elements)| flat.runs_on_one_thread(fused.engine(), *elements)),
            _ => None,
        };
        let laid_out = match outputs.as_slice() {
            [output] if flat.is_none() => {
                LaidOutKernel::new(fused.engine(), &prepared, &inputs, output, &pattern.sizes, 0).map(Arc::new)
            }
            _ => None,
        };
        let (sizes, inputs, outputs) = (pattern.sizes, inputs.as_slice().into(), outputs.into());
        Ok(Kernel { fused: fused.clone(), prepared, sizes, inputs, outputs, flat, laid_out })
    }

    /// Runs the kernel without any check.
    ///
    /// # Safety
    /// `inputs` and `outputs` have one pointer for each of the function's inputs and outputs, in order. Each is the first
    /// element of an array with the signature's dtype, shape and strides (outputs: row-major), valid for reads, and for
    /// writes where it is an output. An output overlaps no other array, unless it is the same array as an input of equal
    /// layout and [`Kernel::allows_in_place`] says so.
    ///
    /// # Errors
    /// Arrays between kernels that do not fit into memory.
    pub unsafe fn call_raw(&self, inputs: &[*const u8], outputs: &[*mut u8]) -> Result<(), CallError> {
        assert_eq!((inputs.len(), outputs.len()), (self.inputs.len(), self.outputs.len()), "one pointer an array");
        if let Some((flat, elements)) = &self.flat {
            // SAFETY: the caller's promise; the signature is flat.
            unsafe { flat.run(|at| inputs[at].cast_mut(), outputs[0], *elements) };
            return Ok(());
        }
        if let Some(laid_out) = &self.laid_out {
            let same = inputs.iter().enumerate().map(|(at, input)| u32::from(*input == outputs[0].cast_const()) << at);
            if laid_out.allows_in_place(same.take(32).sum()) {
                // SAFETY: the caller's promise; the arrays are laid out as in the signature.
                unsafe { laid_out.run(|at| inputs[at].cast_mut(), outputs[0]) }?;
                return Ok(());
            }
        }
        let placed: Placements =
            self.inputs.iter().zip(inputs).map(|(array, pointer)| array.moved_to(pointer.cast_mut())).collect();
        let written: Placements =
            self.outputs.iter().zip(outputs).map(|(array, pointer)| array.moved_to(*pointer)).collect();
        // SAFETY: the caller's promise.
        unsafe { exec::run(self.fused.engine(), &self.prepared, &placed, &written, &self.sizes, Mode::Run) }?;
        Ok(())
    }

    /// The function it was made of.
    pub fn function(&self) -> &Fused {
        &self.fused
    }

    /// Whether an output may be the very array of an input, by their places.
    pub fn allows_in_place(&self, output: usize, input: usize) -> bool {
        self.prepared.plan.in_place.get(output).and_then(|row| row.get(input)).copied().unwrap_or(false)
    }

    /// What it runs, and why.
    pub fn explain(&self) -> Explanation {
        Explanation {
            graph: self.fused.graph().clone(),
            plan: self.prepared.plan.clone(),
            passes: self.prepared.compiled().cloned().collect(),
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kernel").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

/// What a kernel runs, and why it is as it is.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The graph, after rewriting.
    pub graph: Graph,
    /// Kernels, passes, and the reasons for every boundary.
    pub plan: Plan,
    /// Every pass with its code, in the order in which they were compiled.
    pub passes: Vec<Compiled>,
}
