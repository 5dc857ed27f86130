//! The runtime: runs stages one after another over buffers that they share.
//!
//! What stages are, and which layers make one, is the business of [`stages`](super::stages).

use super::array::{MOST_ELEMENTS, elements_of};
use super::error::Error;
use super::kernel::{Arrays, Failure, Kernel, Operand, Source, Workspace, grow, with_batch};
use super::weights::Dense;
use fuselet::{ArrayRef, CallError, Fusion};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A model ready to run. It may be shared by threads; each has its own [`Workspace`].
pub struct Runtime {
    pub(super) stages: Vec<Stage>,
    /// The shapes of the inputs, without the batch axis, as all shapes here but those of constants.
    pub(super) inputs: Vec<Vec<usize>>,
    pub(super) outputs: Vec<(Source, Vec<usize>)>,
    /// What kernels read beside values: biases, factors and offsets, with their shapes.
    pub(super) constants: Vec<(Vec<usize>, Vec<f32>)>,
    pub(super) buffers: usize,
}

/// Layers that run together.
pub struct Stage {
    /// Their names and classes.
    pub layers: Vec<String>,
    /// What comes first, if anything does.
    pub work: Option<Work>,
    /// What finishes it, or computes from earlier results, if there is anything to compute.
    pub kernel: Option<Kernel>,
    /// The shape the stage gives.
    pub output_shape: Vec<usize>,
}

/// What a stage does before its kernel.
#[derive(Clone, Debug)]
pub enum Work {
    /// `into` = `from` · kernel.
    Product {
        /// The weights; the bias belongs to the kernel.
        dense: Arc<Dense>,
        /// The factor.
        from: Source,
        /// The buffer of the result.
        into: usize,
    },
    /// Arrays side by side.
    Concatenate {
        /// The arrays, and how many elements of each lie side by side.
        parts: Vec<(Source, usize)>,
        /// The buffer of the result.
        into: usize,
        /// The elements of the result for one input.
        elements: usize,
    },
}

/// How a kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// How many loop nests.
    pub kernels: usize,
    /// Whether it overwrites what it reads.
    pub in_place: bool,
}

/// Where the time of a call went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Matrix products.
    pub products: Duration,
    /// Everything else.
    pub kernels: Duration,
}

impl Runtime {
    /// The stages in order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The shapes of one of each input.
    pub fn input_shapes(&self) -> &[Vec<usize>] {
        &self.inputs
    }

    /// The shapes of one of each output.
    pub fn output_shapes(&self) -> impl Iterator<Item = &[usize]> {
        self.outputs.iter().map(|(_, shape)| shape.as_slice())
    }

    /// Computes the outputs for `batch` inputs, row-major, into `workspace`. Adds to `times`.
    pub fn run(
        &self,
        inputs: &[&[f32]],
        batch: usize,
        fusion: Fusion,
        workspace: &mut Workspace,
        times: &mut Times,
    ) -> Result<(), Error> {
        for (input, shape) in inputs.iter().zip(&self.inputs) {
            // A slice of the wrong length is told by the view that is made of it.
            ArrayRef::new(input, &with_batch(batch, shape))?;
        }
        workspace.buffers.resize_with(self.buffers.max(workspace.buffers.len()), Vec::new);
        let arrays = Arrays { inputs, constants: &self.constants, batch };
        for stage in &self.stages {
            stage.run(&arrays, fusion, workspace, times)?;
        }
        Ok(())
    }

    /// An output of the last run, which had these inputs.
    pub fn output<'a>(&self, place: usize, inputs: &[&'a [f32]], batch: usize, workspace: &'a Workspace) -> &'a [f32] {
        let (source, shape) = &self.outputs[place];
        let elements = elements_of(&with_batch(batch, shape)).unwrap_or(0);
        match source {
            Source::Input(place) => &inputs[*place][..elements],
            Source::Buffer(place) => &workspace.buffers[*place][..elements],
            // Every output depends on an input.
            Source::Constant(_) => &[],
        }
    }
}

impl Work {
    /// The buffer of its result.
    pub fn result(&self) -> usize {
        match self {
            Work::Product { into, .. } | Work::Concatenate { into, .. } => *into,
        }
    }
}

impl Stage {
    /// A stage without a kernel.
    pub(super) fn only(layers: Vec<String>, work: Work, operands: &[Operand]) -> Stage {
        let result = operands.iter().find(|operand| operand.source == Source::Buffer(work.result()));
        let output_shape = result.map_or_else(Vec::new, |operand| operand.shape.clone());
        Stage { layers, work: Some(work), kernel: None, output_shape }
    }

    /// Everything it reads.
    pub(super) fn sources(&self) -> Vec<Source> {
        let mut sources: Vec<Source> = match &self.work {
            Some(Work::Product { from, .. }) => vec![*from],
            Some(Work::Concatenate { parts, .. }) => parts.iter().map(|(source, _)| *source).collect(),
            None => Vec::new(),
        };
        sources.extend(self.kernel.iter().flat_map(|kernel| &kernel.operands).map(|operand| operand.source));
        sources
    }

    pub(super) fn move_buffers(&mut self, places: &[usize]) {
        match &mut self.work {
            Some(Work::Product { from, into, .. }) => {
                from.move_buffer(places);
                *into = places[*into];
            }
            Some(Work::Concatenate { parts, into, .. }) => {
                parts.iter_mut().for_each(|(source, _)| source.move_buffer(places));
                *into = places[*into];
            }
            None => {}
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.into = places[kernel.into];
            kernel.operands.iter_mut().for_each(|operand| operand.source.move_buffer(places));
        }
    }

    fn run(
        &self,
        arrays: &Arrays<'_>,
        fusion: Fusion,
        workspace: &mut Workspace,
        times: &mut Times,
    ) -> Result<(), Error> {
        let large =
            || Error::TooLarge { what: format!("the result of {}", self.layers.join(", ")), limit: MOST_ELEMENTS };
        let count = |elements: Option<usize>| elements.ok_or_else(large);
        let buffers = &mut workspace.buffers;
        if let Some(work) = &self.work {
            let start = Instant::now();
            let mut result = std::mem::take(&mut buffers[work.result()]);
            match work {
                Work::Product { dense, from, .. } => {
                    // The kernel may give another shape than the product has; all rows are counted by inputs.
                    let rows = count(self.rows(dense, arrays.batch))?;
                    let elements = count(elements_of(&[rows, dense.units]))?;
                    let inputs = arrays.get(buffers, *from, count(elements_of(&[rows, dense.inputs]))?);
                    grow(&mut result, elements);
                    multiply(inputs, dense, &mut result[..elements]);
                    times.products += start.elapsed();
                }
                Work::Concatenate { parts, elements, .. } => {
                    let elements = count(elements_of(&[arrays.batch, *elements]))?;
                    grow(&mut result, elements);
                    let side_by_side: usize = parts.iter().map(|(_, length)| length).sum();
                    let rows = elements.checked_div(side_by_side).unwrap_or(0);
                    let mut begin = 0;
                    for (source, length) in parts.iter().filter(|(_, length)| *length > 0) {
                        let part = arrays.get(buffers, *source, rows * length);
                        let places = result[..elements].chunks_mut(side_by_side);
                        for (place, row) in places.zip(part.chunks(*length)) {
                            place[begin..begin + length].copy_from_slice(row);
                        }
                        begin += length;
                    }
                    times.kernels += start.elapsed();
                }
            }
            buffers[work.result()] = result;
        }
        if let Some(kernel) = &self.kernel {
            let start = Instant::now();
            let shape = with_batch(arrays.batch, &self.output_shape);
            let elements = count(elements_of(&shape))?;
            kernel.run(arrays, fusion, (&shape, elements), workspace).map_err(|error| match error {
                Failure::Call(error) => self.call_error(error),
                Failure::Array(error) => error.into(),
            })?;
            times.kernels += start.elapsed();
        }
        Ok(())
    }

    /// How many rows a product has.
    fn rows(&self, dense: &Dense, batch: usize) -> Option<usize> {
        let Some(Work::Product { into, .. }) = &self.work else { return None };
        let operands = self.kernel.iter().flat_map(|kernel| &kernel.operands);
        let mut product = operands.filter(|operand| operand.source == Source::Buffer(*into));
        let shape = product.next().map_or(&self.output_shape, |operand| &operand.shape);
        let (_, rows) = shape.split_last()?;
        debug_assert_eq!(shape.last(), Some(&dense.units));
        elements_of(&with_batch(batch, rows))
    }

    /// How the kernel runs for a batch, from the plan; `None` if there is none.
    pub fn execution(&self, batch: usize, fusion: Fusion) -> Result<Option<Execution>, Error> {
        let Some(kernel) = &self.kernel else { return Ok(None) };
        let prepared = kernel.prepare(batch, fusion).map_err(|error| match error {
            Error::Call { error, .. } => self.call_error(*error),
            error => error,
        })?;
        let names = kernel.function(fusion).inputs();
        let in_place = kernel.overwrites.is_some_and(|number| {
            let place = names.iter().position(|name| *name == kernel.operands[number].name);
            place.is_some_and(|place| prepared.allows_in_place(0, place))
        });
        Ok(Some(Execution { kernels: prepared.explain().plan.kernels.len(), in_place }))
    }

    fn call_error(&self, error: CallError) -> Error {
        Error::Call { layers: self.layers.join(", "), error: Box::new(error) }
    }
}

/// `result` = `inputs` · kernel, where `inputs` has as many rows as `result`.
fn multiply(inputs: &[f32], dense: &Dense, result: &mut [f32]) {
    let (depth, units) = (dense.inputs, dense.units);
    let rows = result.len() / units;
    assert_eq!(result.len(), rows * units, "whole rows of results");
    assert_eq!(inputs.len(), rows * depth, "as many rows of inputs");
    assert_eq!(dense.kernel.len(), depth * units, "a kernel of its own shape");
    let (depth_stride, units_stride) = (depth as isize, units as isize);
    // SAFETY: by the lengths above, the three row-major matrices lie inside their slices; the result is borrowed mutably,
    // so it shares no memory with the others.
    unsafe {
        matrixmultiply::sgemm(
            rows,
            depth,
            units,
            1.0,
            inputs.as_ptr(),
            depth_stride,
            1,
            dense.kernel.as_ptr(),
            units_stride,
            1,
            0.0,
            result.as_mut_ptr(),
            units_stride,
            1,
        );
    }
}
