//! The runtime: stages, each a matrix product (or none) and one fused kernel that finishes its result in place.
//!
//! A stage begins with each Dense or Flatten layer. The bias, the layer's activation and all activation layers up to the
//! next stage become one expression over the product `x`, which the engine compiles to one kernel; it is also compiled
//! unfused, op by op, to show what fusing is worth. Shapes are known when the model is loaded, up to the batch, so that
//! weights that do not fit are found before anything runs.

use super::array::{MOST_ELEMENTS, elements_of};
use super::error::Error;
use super::model::{Layer, Model, Operation};
use super::weights::{Dense, Weights};
use fuselet::ir::{Expr, Node};
use fuselet::{ArrayMut, ArrayRef, CallError, Dtype, Engine, Function, Fusion, Signature};
use std::time::{Duration, Instant};

/// The product a kernel finishes, and its bias, as expressions call them.
const PRODUCT: &str = "x";
const BIAS: &str = "bias";

/// Stands for the batch while shapes are inferred; any length would do.
const SOME_BATCH: usize = 2;

/// A model ready to run. It may be shared by threads; each has its own [`Workspace`].
pub struct Runtime {
    stages: Vec<Stage>,
    input_shape: Vec<usize>,
}

/// Layers that run together.
pub struct Stage {
    /// Their names and classes.
    pub layers: Vec<String>,
    /// The product, if the stage begins with a Dense layer.
    pub dense: Option<Dense>,
    /// What finishes it, if there is anything to compute.
    pub epilogue: Option<Epilogue>,
    /// The shape the epilogue takes, without the batch axis.
    pub shape: Vec<usize>,
    /// The shape the stage gives, without the batch axis.
    pub output_shape: Vec<usize>,
}

/// Bias, activation, and the activation layers after it.
pub struct Epilogue {
    /// What it computes.
    pub expression: Expr,
    fused: Function,
    unfused: Function,
}

/// How an epilogue runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execution {
    /// How many kernels.
    pub kernels: usize,
    /// Whether it overwrites the product.
    pub in_place: bool,
}

/// Memory that calls use again. Buffers only grow; a stage uses as much of their beginning as its shapes ask for.
#[derive(Default)]
pub struct Workspace {
    /// What the stage before gave.
    current: Vec<f32>,
    /// Where a product goes.
    next: Vec<f32>,
}

/// Where the time of a call went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Matrix products.
    pub products: Duration,
    /// Epilogues.
    pub epilogues: Duration,
}

impl Runtime {
    /// Compiles a model for inputs of a shape (without the batch axis), and reads its weights.
    pub fn new(model: &Model, weights: &mut Weights, engine: &Engine, input_shape: &[usize]) -> Result<Runtime, Error> {
        let mut builder = Builder { engine, stages: Vec::new(), open: Open::new(None, input_shape.to_vec()) };
        let mut dense_layers = 0;
        for layer in &model.layers {
            match &layer.operation {
                Operation::Dense { units, use_bias, activation } => {
                    let shape = builder.finish()?;
                    let Some((inputs, rows)) = shape.split_last() else {
                        return Err(Error::LayerInput {
                            class: "Dense",
                            name: layer.name.clone(),
                            shape,
                            reason: "it needs an axis beside the batch",
                        });
                    };
                    let dense = weights.dense(dense_layers, &layer.name, *inputs, *units, *use_bias)?;
                    dense_layers += 1;
                    builder.open = Open::new(Some(dense), [rows, &[*units]].concat());
                    builder.open.layers.push(describe(layer));
                    builder.open.expression = activation.apply(&builder.open.expression);
                }
                Operation::Flatten => {
                    let shape = builder.finish()?;
                    let flat = elements_of(&shape).ok_or_else(|| too_large(&layer.name))?;
                    builder.open = Open::new(None, vec![flat]);
                    builder.open.layers.push(describe(layer));
                }
                Operation::Activation(activation) => {
                    builder.open.layers.push(describe(layer));
                    builder.open.expression = activation.apply(&builder.open.expression);
                }
                Operation::Identity => builder.open.layers.push(describe(layer)),
            }
        }
        builder.finish()?;
        Ok(Runtime { stages: builder.stages, input_shape: input_shape.to_vec() })
    }

    /// The stages in order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The shape of one input.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The shape of one output.
    pub fn output_shape(&self) -> &[usize] {
        self.stages.last().map_or(&self.input_shape, |stage| &stage.output_shape)
    }

    /// The outputs for `batch` inputs, row-major, in `workspace` until its next use. Adds to `times`.
    pub fn run<'w>(
        &self,
        inputs: &[f32],
        batch: usize,
        fusion: Fusion,
        workspace: &'w mut Workspace,
        times: &mut Times,
    ) -> Result<&'w [f32], Error> {
        let Workspace { current, next } = workspace;
        let shape = with_batch(batch, &self.input_shape);
        // A slice of the wrong length is told by the view that is made of it.
        ArrayRef::new(inputs, &shape)?;
        let mut stages = self.stages.iter();
        let first = match stages.as_slice().first() {
            // The first product reads the inputs where they are.
            Some(Stage { dense: Some(_), .. }) => stages.next(),
            _ => None,
        };
        if let Some(stage) = first {
            stage.run(Some(inputs), batch, fusion, current, next, times)?;
        } else {
            grow(current, inputs.len());
            current[..inputs.len()].copy_from_slice(inputs);
        }
        for stage in stages {
            stage.run(None, batch, fusion, current, next, times)?;
        }
        let outputs = elements_of(&with_batch(batch, self.output_shape())).unwrap_or(0);
        Ok(&current[..outputs])
    }
}

impl Stage {
    /// Turns `current` (or `inputs` in its place) into the stage's result, in `current`.
    fn run(
        &self,
        inputs: Option<&[f32]>,
        batch: usize,
        fusion: Fusion,
        current: &mut Vec<f32>,
        next: &mut Vec<f32>,
        times: &mut Times,
    ) -> Result<(), Error> {
        let shape = with_batch(batch, &self.shape);
        let elements = elements_of(&shape).ok_or_else(|| self.too_large())?;
        if let Some(dense) = &self.dense {
            let inputs = match inputs {
                Some(inputs) => inputs,
                None => &current[..elements / dense.units * dense.inputs],
            };
            grow(next, elements);
            let start = Instant::now();
            multiply(inputs, dense, &mut next[..elements]);
            times.products += start.elapsed();
            std::mem::swap(current, next);
        }
        if let Some(epilogue) = &self.epilogue {
            let output_shape = with_batch(batch, &self.output_shape);
            let output_elements = elements_of(&output_shape).ok_or_else(|| self.too_large())?;
            let bias = self.dense.as_ref().and_then(|dense| dense.bias.as_ref());
            let bias: Option<(&str, ArrayRef<'_>)> = bias.map(|bias| (BIAS, bias.into()));
            let function = epilogue.function(fusion);
            let start = Instant::now();
            let mut done = false;
            if shape == output_shape {
                let product = ArrayMut::new(&mut current[..elements], &shape)?;
                match function.call_in_place((PRODUCT, product), bias.as_slice()) {
                    Ok(()) => done = true,
                    // Nothing was written: a plan of several kernels may read the product after it began to write.
                    Err(CallError::Overlap { .. }) => {}
                    Err(error) => return Err(self.call_error(error)),
                }
            }
            if !done {
                grow(next, output_elements);
                let product = ArrayRef::new(&current[..elements], &shape)?;
                let inputs: Vec<(&str, ArrayRef<'_>)> = std::iter::once((PRODUCT, product)).chain(bias).collect();
                let output = ArrayMut::new(&mut next[..output_elements], &output_shape)?;
                function.call(&inputs, output).map_err(|error| self.call_error(error))?;
                std::mem::swap(current, next);
            }
            times.epilogues += start.elapsed();
        }
        Ok(())
    }

    /// How the epilogue runs for a batch, from the plan; `None` if there is none.
    pub fn execution(&self, batch: usize, fusion: Fusion) -> Result<Option<Execution>, Error> {
        let Some(epilogue) = &self.epilogue else { return Ok(None) };
        let mut signature = Signature::new().with(PRODUCT, Dtype::F32, &with_batch(batch, &self.shape))?;
        if let Some(bias) = self.dense.as_ref().and_then(|dense| dense.bias.as_ref()) {
            signature = signature.with_input(BIAS, bias.into());
        }
        let function = epilogue.function(fusion);
        let prepared = function.prepare(&signature).map_err(|error| self.call_error(error))?;
        let product = function.inputs().iter().position(|name| name == PRODUCT);
        let in_place =
            self.shape == self.output_shape && product.is_some_and(|product| prepared.allows_in_place(0, product));
        Ok(Some(Execution { kernels: prepared.explain().plan.kernels.len(), in_place }))
    }

    fn call_error(&self, error: CallError) -> Error {
        Error::Call { layers: self.layers.join(", "), error: Box::new(error) }
    }

    fn too_large(&self) -> Error {
        too_large(&self.layers.join(", "))
    }
}

impl Epilogue {
    fn function(&self, fusion: Fusion) -> &Function {
        if fusion == Fusion::Off { &self.unfused } else { &self.fused }
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

fn grow(buffer: &mut Vec<f32>, elements: usize) {
    if buffer.len() < elements {
        buffer.resize(elements, 0.0);
    }
}

/// Collects layers to stages.
struct Builder<'e> {
    engine: &'e Engine,
    stages: Vec<Stage>,
    open: Open,
}

/// The stage that still takes layers.
struct Open {
    layers: Vec<String>,
    dense: Option<Dense>,
    shape: Vec<usize>,
    expression: Expr,
}

impl Open {
    fn new(dense: Option<Dense>, shape: Vec<usize>) -> Open {
        let product = Expr::input(PRODUCT);
        let has_bias = dense.as_ref().is_some_and(|dense| dense.bias.is_some());
        let expression = if has_bias { product + Expr::input(BIAS) } else { product };
        Open { layers: Vec::new(), dense, shape, expression }
    }
}

impl Builder<'_> {
    /// Compiles the open stage and leaves an empty one. Returns the shape it gives.
    fn finish(&mut self) -> Result<Vec<usize>, Error> {
        let Open { layers, dense, shape, expression } = std::mem::replace(&mut self.open, Open::new(None, Vec::new()));
        if layers.is_empty() {
            return Ok(shape);
        }
        let failed = |error| Error::Compile { layers: layers.join(", "), error: Box::new(error) };
        let fused = self.engine.compile_with(&expression, Fusion::Full).map_err(failed)?;
        let unfused = self.engine.compile_with(&expression, Fusion::Off).map_err(failed)?;
        // `linear` without a bias leaves nothing to compute.
        let graph = fused.graph();
        let computes = !graph.outputs().iter().all(|output| matches!(graph.node(output.node), Node::Input(_)));
        let output_shape = if computes { infer(&fused, &layers, &dense, &shape)? } else { shape.clone() };
        let epilogue = computes.then_some(Epilogue { expression, fused, unfused });
        self.stages.push(Stage { layers, dense, epilogue, shape, output_shape: output_shape.clone() });
        Ok(output_shape)
    }
}

/// The shape an epilogue gives, without the batch axis.
fn infer(fused: &Function, layers: &[String], dense: &Option<Dense>, shape: &[usize]) -> Result<Vec<usize>, Error> {
    let product = with_batch(SOME_BATCH, shape);
    let bias = vec![dense.as_ref().map_or(0, |dense| dense.units)];
    let inputs: Vec<Vec<usize>> =
        fused.inputs().iter().map(|name| if name == BIAS { bias.clone() } else { product.clone() }).collect();
    let failed = |error| Error::Call { layers: layers.join(", "), error: Box::new(error) };
    match fused.output_shapes(&inputs).map_err(failed)?.first().map(Vec::as_slice) {
        Some([SOME_BATCH, rest @ ..]) => Ok(rest.to_vec()),
        _ => Err(Error::LayerInput {
            class: "activation",
            name: layers.join(", "),
            shape: shape.to_vec(),
            reason: "it changes the length of the batch axis",
        }),
    }
}

fn describe(layer: &Layer) -> String {
    if layer.name.is_empty() { layer.class.clone() } else { format!("{} ({})", layer.name, layer.class) }
}

fn with_batch(batch: usize, shape: &[usize]) -> Vec<usize> {
    [&[batch], shape].concat()
}

fn too_large(what: &str) -> Error {
    Error::TooLarge { what: format!("the result of {what}"), limit: MOST_ELEMENTS }
}
