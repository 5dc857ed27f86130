//! From calls of layers to stages: a matrix product or a concatenation (or neither), and one fused kernel that finishes it.
//!
//! What layers of single elements or rows compute is collected in one expression for as long as its result has one user:
//! bias, activations, normalisations, the sum with a skipped connection. A value is stored where a product, another shape or
//! several users need it, and at the model's outputs. Every expression is also compiled unfused, op by op, to show what fusing
//! is worth. Shapes are known when the model is loaded, up to the batch, so that weights that do not fit are found before
//! anything runs; and so are the buffers, which stages share.

use super::array::{MOST_ELEMENTS, elements_of};
use super::buffers::share;
use super::error::Error;
use super::kernel::{Kernel, Operand, Source};
use super::model::{Call, Layer, Model, Operation};
use super::runtime::{Runtime, Stage, Work};
use super::shapes::{InferError, infer};
use super::weights::{Dense, Weights};
use fuselet::ir::{Expr, Node, keras};
use fuselet::{ArrayRef, Engine, Fusion};
use std::collections::HashMap;
use std::sync::Arc;

/// A value: what a call gave, or an input.
struct Value {
    state: State,
    shape: Vec<usize>,
}

enum State {
    Stored(Source),
    Open(Box<Open>),
    /// Its one user has it.
    Taken,
}

/// An array that a layer takes beside its inputs.
struct Learned {
    part: &'static str,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// What is still to be computed.
struct Open {
    layers: Vec<String>,
    work: Option<Work>,
    expression: Expr,
    operands: Vec<Operand>,
}

/// Collects calls to stages.
pub struct Builder<'b> {
    model: &'b Model,
    weights: &'b mut Weights,
    engine: &'b Engine,
    values: Vec<Value>,
    /// How often each value is used; a use as the model's output counts twice, so that it is stored.
    uses: Vec<usize>,
    stages: Vec<Stage>,
    buffers: usize,
    constants: Vec<(Vec<usize>, Vec<f32>)>,
    dense: HashMap<usize, Arc<Dense>>,
    /// Constants by layer and part, and the shape they have there: a layer that is called again has the same.
    learned: HashMap<(String, Vec<usize>), Source>,
    /// What a source should be called, and what it is called, once it is read by a kernel.
    wanted: HashMap<Source, String>,
    names: HashMap<Source, String>,
    /// Names in use, and how many others were made of each.
    taken: HashMap<String, usize>,
}

/// A model for inputs of these shapes (without the batch axis), with its weights.
pub fn build(
    model: &Model,
    weights: &mut Weights,
    engine: &Engine,
    input_shapes: &[Vec<usize>],
) -> Result<Runtime, Error> {
    let mut uses = vec![0; model.inputs.len() + model.calls.len()];
    model.calls.iter().flat_map(|call| &call.inputs).for_each(|value| uses[*value] += 1);
    model.outputs.iter().for_each(|value| uses[*value] += 2);
    let mut builder = Builder {
        model,
        weights,
        engine,
        values: Vec::new(),
        uses,
        stages: Vec::new(),
        buffers: 0,
        constants: Vec::new(),
        dense: HashMap::new(),
        learned: HashMap::new(),
        wanted: HashMap::new(),
        names: HashMap::new(),
        taken: HashMap::new(),
    };
    for (place, (input, shape)) in model.inputs.iter().zip(input_shapes).enumerate() {
        builder.wanted.insert(Source::Input(place), input.name.clone());
        builder.values.push(Value { state: State::Stored(Source::Input(place)), shape: shape.clone() });
    }
    for call in &model.calls {
        builder.call(call)?;
    }
    builder.finish(input_shapes)
}

impl Builder<'_> {
    fn call(&mut self, call: &Call) -> Result<(), Error> {
        let layer = &self.model.layers[call.layer];
        let mut value = match &layer.operation {
            Operation::Elementwise(of_elements) => self.elementwise(layer, of_elements, &call.inputs)?,
            Operation::Concatenate(axis) => self.concatenate(layer, *axis, &call.inputs)?,
            _ => {
                let [input] = call.inputs.as_slice() else {
                    return Err(self.wrong(layer, call, "it takes one input"));
                };
                match &layer.operation {
                    Operation::Dense { .. } => self.product(call, *input)?,
                    Operation::Reshape(target) => self.reshape(layer, call, *input, target)?,
                    _ => self.reshape(layer, call, *input, &[None])?,
                }
            }
        };
        if self.uses[self.values.len()] != 1 {
            value = self.stored(value)?;
        }
        self.values.push(value);
        Ok(())
    }

    fn wrong(&self, layer: &Layer, call: &Call, reason: &'static str) -> Error {
        let shape = call.inputs.first().map_or_else(Vec::new, |input| self.values[*input].shape.clone());
        Error::LayerInput { class: layer.class.clone(), name: layer.name.clone(), shape, reason }
    }

    fn product(&mut self, call: &Call, input: usize) -> Result<Value, Error> {
        let layer = &self.model.layers[call.layer];
        let Operation::Dense { index, units, use_bias, activation } = &layer.operation else {
            return Err(self.wrong(layer, call, "it is no product"));
        };
        let from = self.source(input)?;
        let shape = self.values[input].shape.clone();
        let Some((inputs, rows)) = shape.split_last() else {
            return Err(self.wrong(layer, call, "it needs an axis beside the batch"));
        };
        let dense = match self.dense.get(&call.layer) {
            Some(dense) if dense.inputs == *inputs => Arc::clone(dense),
            Some(_) => return Err(self.wrong(layer, call, "its last axis has another length in another call")),
            None => Arc::new(self.weights.dense(*index, &layer.name, *inputs, *units, *use_bias)?),
        };
        self.dense.insert(call.layer, Arc::clone(&dense));
        let shape = [rows, &[*units]].concat();
        elements_of(&shape).ok_or_else(|| too_large(&describe(layer)))?;
        let into = self.buffer();
        let result = self.operand(Source::Buffer(into), &layer.name, shape.clone());
        let mut expression = Expr::input(&result.name);
        let mut operands = vec![result];
        if let Some(bias) = &dense.bias {
            let bias = self.constant(&layer.name, "bias", vec![*units], bias.clone());
            expression = expression + Expr::input(&bias.name);
            operands.push(bias);
        }
        let shape = self.infer(layer, &activation.apply(&Expr::input("x")), &[("x", &shape)])?;
        let expression = activation.apply(&expression);
        let work = Some(Work::Product { dense, from, into });
        let open = Open { layers: vec![describe(layer)], work, expression, operands };
        Ok(Value { state: State::Open(Box::new(open)), shape })
    }

    fn reshape(&mut self, layer: &Layer, call: &Call, input: usize, target: &[Option<usize>]) -> Result<Value, Error> {
        let source = self.source(input)?;
        let elements = elements_of(&self.values[input].shape).ok_or_else(|| too_large(&layer.name))?;
        let known: Vec<usize> = target.iter().flatten().copied().collect();
        let known = elements_of(&known).ok_or_else(|| too_large(&layer.name))?;
        let rest = elements.checked_div(known).unwrap_or(0);
        let shape: Vec<usize> = target.iter().map(|length| length.unwrap_or(rest)).collect();
        if elements_of(&shape) != Some(elements) {
            return Err(self.wrong(layer, call, "another shape must have as many elements"));
        }
        Ok(Value { state: State::Stored(source), shape })
    }

    fn concatenate(&mut self, layer: &Layer, axis: i64, inputs: &[usize]) -> Result<Value, Error> {
        let call = Call { layer: 0, inputs: inputs.to_vec() };
        let Some(first) = inputs.first() else { return Err(self.wrong(layer, &call, "it takes one input or more")) };
        let mut shape = self.values[*first].shape.clone();
        let rank = shape.len() as i64 + 1;
        let place = if axis < 0 { axis.saturating_add(rank) } else { axis };
        if !(1..rank).contains(&place) {
            return Err(self.wrong(layer, &call, "it can join along the axes after the batch only"));
        }
        let place = place as usize - 1;
        shape[place] = 0;
        let mut parts = Vec::with_capacity(inputs.len());
        for input in inputs {
            let source = self.source(*input)?;
            let part = &self.values[*input].shape;
            let same = |axis: usize| axis == place || part[axis] == shape[axis];
            if part.len() != shape.len() || !(0..part.len()).all(same) {
                return Err(self.wrong(layer, &call, "all inputs must have the same lengths along the other axes"));
            }
            shape[place] += part[place];
            // As many elements of it lie side by side in the result.
            parts.push((source, elements_of(&part[place..]).ok_or_else(|| too_large(&layer.name))?));
        }
        elements_of(&shape).ok_or_else(|| too_large(&layer.name))?;
        let into = self.buffer();
        let result = self.operand(Source::Buffer(into), &layer.name, shape.clone());
        let work = Some(Work::Concatenate { parts, into, elements: elements_of(&shape).unwrap_or(0) });
        let expression = Expr::input(&result.name);
        let open = Open { layers: vec![describe(layer)], work, expression, operands: vec![result] };
        Ok(Value { state: State::Open(Box::new(open)), shape })
    }

    fn elementwise(&mut self, layer: &Layer, of_elements: &keras::Layer, inputs: &[usize]) -> Result<Value, Error> {
        let named =
            |error| Error::Activation { class: layer.class.clone(), name: layer.name.clone(), error: Box::new(error) };
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| self.values[*input].shape.clone()).collect();
        let first = shapes.first().cloned().unwrap_or_default();
        if shapes.iter().any(|shape| shape.len() != first.len()) {
            let call = Call { layer: 0, inputs: inputs.to_vec() };
            return Err(self.wrong(layer, &call, "all inputs must have the same rank"));
        }
        // The layer by itself, for its shape.
        let alone: Vec<String> = (0..inputs.len()).map(|place| format!("x{place}")).collect();
        let arguments: Vec<Expr> = alone.iter().map(Expr::input).collect();
        let constants = of_elements.operands(&first).map_err(named)?;
        let by_itself = of_elements.apply(&arguments, |name| Expr::input(name)).map_err(named)?;
        let mut known: Vec<(&str, &[usize])> =
            alone.iter().zip(&shapes).map(|(name, shape)| (&**name, &**shape)).collect();
        known.extend(constants.iter().map(|constant| (constant.name, constant.shape.as_slice())));
        let batched = inputs.len();
        let shape = infer(&by_itself, &known, batched).map_err(|error| self.shape_error(layer, &first, error))?;

        let mut merged = Open { layers: Vec::new(), work: None, expression: Expr::number(0.0), operands: Vec::new() };
        let mut arguments = Vec::with_capacity(inputs.len());
        for input in inputs {
            let part = match std::mem::replace(&mut self.values[*input].state, State::Taken) {
                State::Open(open) => *open,
                State::Stored(source) => {
                    self.values[*input].state = State::Stored(source);
                    let operand = self.operand(source, "value", self.values[*input].shape.clone());
                    let expression = Expr::input(&operand.name);
                    Open { layers: Vec::new(), work: None, expression, operands: vec![operand] }
                }
                State::Taken => continue,
            };
            if let (Some(work), Some(_)) = (&merged.work, &part.work) {
                // One of two products is stored as it is, and the other's kernel reads it.
                let layers = std::mem::take(&mut merged.layers);
                self.stages.push(Stage::only(layers, work.clone(), &merged.operands));
                merged.work = None;
            }
            merged.work = merged.work.or(part.work);
            merged.layers.extend(part.layers);
            for operand in part.operands {
                if !merged.operands.contains(&operand) {
                    merged.operands.push(operand);
                }
            }
            arguments.push(part.expression);
        }
        let mut names = HashMap::new();
        for Learned { part, shape, values } in self.computed(layer, of_elements, &first)? {
            let operand = self.constant(&layer.name, part, shape, values);
            names.insert(part, operand.name.clone());
            if !merged.operands.contains(&operand) {
                merged.operands.push(operand);
            }
        }
        let operand = |name: &str| Expr::input(names.get(name).map_or(name, String::as_str));
        merged.expression = of_elements.apply(&arguments, operand).map_err(named)?;
        merged.layers.push(describe(layer));
        Ok(Value { state: State::Open(Box::new(merged)), shape })
    }

    /// The arrays a layer takes beside its inputs, computed from its weights.
    fn computed(&mut self, layer: &Layer, of_elements: &keras::Layer, shape: &[usize]) -> Result<Vec<Learned>, Error> {
        let named =
            |error| Error::Activation { class: layer.class.clone(), name: layer.name.clone(), error: Box::new(error) };
        let mut weights = HashMap::new();
        for weight in of_elements.weights(shape).map_err(named)? {
            let values = match weight.values {
                Some(values) => values.into_iter().map(|value| value as f32).collect(),
                None => self.weights.named(&layer.name, weight.name, &weight.shape)?,
            };
            weights.insert(weight.name, values);
        }
        let mut computed = Vec::new();
        for operand in of_elements.operands(shape).map_err(named)? {
            let values = match weights.get(operand.name) {
                Some(values) => values.clone(),
                None => {
                    let failed = |error| Error::Compile { layers: describe(layer), error: Box::new(error) };
                    let function = self.engine.compile(&operand.expression).map_err(failed)?;
                    let inputs: Vec<(&str, ArrayRef<'_>)> = weights
                        .iter()
                        .filter(|(name, _)| function.inputs().iter().any(|input| input == *name))
                        .map(|(name, values)| (*name, values.into()))
                        .collect();
                    let failed = |error| Error::Call { layers: describe(layer), error: Box::new(error) };
                    function.call_to_vec(&inputs).map_err(failed)?
                }
            };
            computed.push(Learned { part: operand.name, shape: operand.shape, values });
        }
        Ok(computed)
    }

    fn infer(&self, layer: &Layer, expression: &Expr, inputs: &[(&str, &[usize])]) -> Result<Vec<usize>, Error> {
        infer(expression, inputs, inputs.len()).map_err(|error| self.shape_error(layer, inputs[0].1, error))
    }

    fn shape_error(&self, layer: &Layer, shape: &[usize], error: InferError) -> Error {
        match error {
            InferError::Ir(error) => Error::Compile { layers: describe(layer), error: Box::new((*error).into()) },
            InferError::Batch => Error::LayerInput {
                class: layer.class.clone(),
                name: layer.name.clone(),
                shape: shape.to_vec(),
                reason: "it changes the length of the batch axis",
            },
            InferError::Shape(error) => Error::Call { layers: describe(layer), error: Box::new((*error).into()) },
        }
    }

    // ------------------------------------------------------------------------------------------ names and places

    fn buffer(&mut self) -> usize {
        self.buffers += 1;
        self.buffers - 1
    }

    /// The name of a source in expressions: that of the layer it comes from, made different from all others.
    fn name(&mut self, source: Source, layer: &str) -> String {
        if let Some(name) = self.names.get(&source) {
            return name.clone();
        }
        let wanted = self.wanted.get(&source).map_or(layer, String::as_str);
        let mut word: String =
            wanted.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' }).collect();
        if !word.starts_with(|sign: char| sign.is_ascii_alphabetic()) {
            word.insert(0, '_');
        }
        let mut name = word.clone();
        while self.taken.contains_key(&name) {
            let uses = self.taken.entry(word.clone()).or_insert(1);
            *uses += 1;
            name = format!("{word}_{uses}");
        }
        self.taken.insert(name.clone(), 1);
        self.names.insert(source, name.clone());
        name
    }

    fn operand(&mut self, source: Source, layer: &str, shape: Vec<usize>) -> Operand {
        Operand { name: self.name(source, layer), source, shape }
    }

    /// Something learned: a layer's part in a shape, with its values if there is none yet.
    fn constant(&mut self, layer: &str, part: &str, shape: Vec<usize>, values: Vec<f32>) -> Operand {
        let key = (format!("{layer}/{part}"), shape.clone());
        let source = match self.learned.get(&key) {
            Some(source) => *source,
            None => {
                let source = Source::Constant(self.constants.len());
                self.constants.push((shape.clone(), values));
                self.learned.insert(key, source);
                source
            }
        };
        self.operand(source, &format!("{layer}_{part}"), shape)
    }

    /// Where a value is; it is computed now if it was not yet.
    fn source(&mut self, value: usize) -> Result<Source, Error> {
        let state = std::mem::replace(&mut self.values[value].state, State::Taken);
        let shape = self.values[value].shape.clone();
        let stored = self.stored(Value { state, shape })?;
        self.values[value] = stored;
        match self.values[value].state {
            State::Stored(source) => Ok(source),
            _ => unreachable!("a value was stored"),
        }
    }

    fn stored(&mut self, value: Value) -> Result<Value, Error> {
        let shape = value.shape;
        let open = match value.state {
            State::Open(open) => *open,
            state => return Ok(Value { state, shape }),
        };
        let Open { layers, work, expression, operands } = open;
        let failed = |error| Error::Compile { layers: layers.join(", "), error: Box::new(error) };
        let fused = self.engine.compile_with(&expression, Fusion::Full).map_err(failed)?;
        let graph = fused.graph();
        // `linear` without a bias leaves nothing to compute.
        let as_it_is = match graph.outputs() {
            [output] => match graph.node(output.node) {
                Node::Input(place) => Some(&fused.inputs()[*place as usize]),
                _ => None,
            },
            _ => None,
        };
        if let Some(name) = as_it_is {
            let found = operands.iter().find(|operand| operand.name == *name);
            let source = found.map_or(Source::Constant(0), |operand| operand.source);
            if let Some(work) = work {
                self.stages.push(Stage::only(layers, work, &operands));
            }
            return Ok(Value { state: State::Stored(source), shape });
        }
        elements_of(&shape).ok_or_else(|| too_large(&layers.join(", ")))?;
        let unfused = self.engine.compile_with(&expression, Fusion::Off).map_err(failed)?;
        let into = self.buffer();
        let last = layers.last().map_or("value", |layer| layer.split(' ').next().unwrap_or(layer));
        self.wanted.insert(Source::Buffer(into), last.to_owned());
        let kernel = Kernel { expression, fused, unfused, operands, into, overwrites: None };
        self.stages.push(Stage { layers, work, kernel: Some(kernel), output_shape: shape.clone() });
        Ok(Value { state: State::Stored(Source::Buffer(into)), shape })
    }

    // ----------------------------------------------------------------------------------------------------- the end

    fn finish(mut self, input_shapes: &[Vec<usize>]) -> Result<Runtime, Error> {
        let mut outputs = Vec::with_capacity(self.model.outputs.len());
        for output in &self.model.outputs {
            let source = self.source(*output)?;
            outputs.push((source, self.values[*output].shape.clone()));
        }
        let buffers = share(&mut self.stages, &mut outputs, self.buffers)?;
        Ok(Runtime { stages: self.stages, inputs: input_shapes.to_vec(), outputs, constants: self.constants, buffers })
    }
}

fn describe(layer: &Layer) -> String {
    if layer.name.is_empty() { layer.class.clone() } else { format!("{} ({})", layer.name, layer.class) }
}

fn too_large(what: &str) -> Error {
    Error::TooLarge { what: format!("the result of {what}"), limit: MOST_ELEMENTS }
}
