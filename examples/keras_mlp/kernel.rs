//! Kernels: what they read, and how they run over the buffers of a workspace.

use super::array::elements_of;
use super::error::Error;
use fuselet::ir::Expr;
use fuselet::{ArrayMut, ArrayRef, CallError, Dtype, Function, Fusion, Prepared, Signature};

/// Where an array is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An input of the model.
    Input(usize),
    /// A buffer of the workspace.
    Buffer(usize),
    /// Something learned.
    Constant(usize),
}

/// One fused kernel.
pub struct Kernel {
    /// What it computes.
    pub expression: Expr,
    pub(super) fused: Function,
    pub(super) unfused: Function,
    /// The arrays it reads, by the names of the expression's inputs.
    pub operands: Vec<Operand>,
    pub(super) into: usize,
    /// The operand whose buffer it writes.
    pub(super) overwrites: Option<usize>,
}

/// An array that a kernel reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// The input's name.
    pub name: String,
    /// Where it is.
    pub source: Source,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// Memory that calls use again. Buffers only grow; a stage uses as much of their beginning as its shapes ask for.
#[derive(Default)]
pub struct Workspace {
    pub(super) buffers: Vec<Vec<f32>>,
    spare: Vec<f32>,
}

/// What a stage runs over.
pub(super) struct Arrays<'a> {
    pub inputs: &'a [&'a [f32]],
    pub constants: &'a [(Vec<usize>, Vec<f32>)],
    pub batch: usize,
}

impl Arrays<'_> {
    /// The first elements of a source.
    pub fn get<'a>(&'a self, buffers: &'a [Vec<f32>], source: Source, elements: usize) -> &'a [f32] {
        match source {
            Source::Input(place) => &self.inputs[place][..elements],
            Source::Buffer(place) => &buffers[place][..elements],
            Source::Constant(place) => &self.constants[place].1[..elements],
        }
    }
}

impl Source {
    pub(super) fn buffer(self) -> Option<usize> {
        match self {
            Source::Buffer(buffer) => Some(buffer),
            _ => None,
        }
    }

    pub(super) fn move_buffer(&mut self, places: &[usize]) {
        if let Source::Buffer(buffer) = self {
            *buffer = places[*buffer];
        }
    }
}

impl Operand {
    /// Its shape for a batch.
    pub fn full_shape(&self, batch: usize) -> Vec<usize> {
        match self.source {
            Source::Constant(_) => self.shape.clone(),
            _ => with_batch(batch, &self.shape),
        }
    }
}

/// Why a kernel did not run.
pub(super) enum Failure {
    Call(CallError),
    Array(fuselet::ArrayError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        Failure::Call(error)
    }
}

impl From<fuselet::ArrayError> for Failure {
    fn from(error: fuselet::ArrayError) -> Failure {
        Failure::Array(error)
    }
}

impl Kernel {
    /// Whether it may overwrite an operand.
    pub fn allows_in_place(&self, name: &str, batch: usize) -> Result<bool, Error> {
        let prepared = self.prepare(batch, Fusion::Full)?;
        let place = self.fused.inputs().iter().position(|input| input == name);
        Ok(place.is_some_and(|place| prepared.allows_in_place(0, place)))
    }

    /// Ready for arrays of a batch.
    pub fn prepare(&self, batch: usize, fusion: Fusion) -> Result<Prepared, Error> {
        let mut signature = Signature::new();
        for operand in &self.operands {
            signature = signature.with(&operand.name, Dtype::F32, &operand.full_shape(batch))?;
        }
        let failed = |error| {
            let layers = self.operands.first().map_or_else(String::new, |operand| operand.name.clone());
            Error::Call { layers, error: Box::new(error) }
        };
        self.function(fusion).prepare(&signature).map_err(failed)
    }
    /// The function, fused or not.
    pub(super) fn function(&self, fusion: Fusion) -> &Function {
        if fusion == Fusion::Off { &self.unfused } else { &self.fused }
    }

    /// Computes into its buffer.
    pub(super) fn run(
        &self,
        arrays: &Arrays<'_>,
        fusion: Fusion,
        (shape, elements): (&[usize], usize),
        workspace: &mut Workspace,
    ) -> Result<(), Failure> {
        let function = self.function(fusion);
        let Workspace { buffers, spare } = workspace;
        let mut own = std::mem::take(&mut buffers[self.into]);
        let overwritten = self.overwrites.map(|number| &self.operands[number]);
        let shapes: Vec<Vec<usize>> = self.operands.iter().map(|operand| operand.full_shape(arrays.batch)).collect();
        let mut inputs: Vec<(&str, ArrayRef<'_>)> = Vec::with_capacity(self.operands.len());
        for (operand, shape) in self.operands.iter().zip(&shapes) {
            if Some(operand) != overwritten {
                let elements = elements_of(shape).unwrap_or(0);
                inputs.push((&operand.name, ArrayRef::new(arrays.get(buffers, operand.source, elements), shape)?));
            }
        }
        let done = match overwritten {
            None => {
                grow(&mut own, elements);
                function.call(&inputs, ArrayMut::new(&mut own[..elements], shape)?)
            }
            Some(operand) => {
                let array = ArrayMut::new(&mut own[..elements], shape)?;
                match function.call_in_place((&operand.name, array), &inputs) {
                    // Nothing was written: a plan of several kernels may read it after it began to write.
                    Err(CallError::Overlap { .. }) => {
                        grow(spare, elements);
                        inputs.push((&operand.name, ArrayRef::new(&own[..elements], shape)?));
                        let done = function.call(&inputs, ArrayMut::new(&mut spare[..elements], shape)?);
                        drop(inputs);
                        std::mem::swap(&mut own, spare);
                        done
                    }
                    done => done,
                }
            }
        };
        buffers[self.into] = own;
        done.map_err(Failure::Call)
    }
}

/// Makes a buffer long enough.
pub(super) fn grow(buffer: &mut Vec<f32>, elements: usize) {
    if buffer.len() < elements {
        buffer.resize(elements, 0.0);
    }
}

/// A shape with the batch axis.
pub(super) fn with_batch(batch: usize, shape: &[usize]) -> Vec<usize> {
    [&[batch], shape].concat()
}
