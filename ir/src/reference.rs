//! The float64 meaning of a graph: the oracle every compiled kernel is judged by.
//!
//! [`evaluate`] walks the live nodes in order and applies the meanings of the op table, one array per node. An array
//! is dropped after its last use, and a graph that is elementwise throughout is evaluated in blocks, so that a long
//! input costs the memory of its outputs and not of every node. Nothing recurses; the depth of a graph is no limit.
//!
//! Bool values are 0 and 1. Halves are copies. A reduction over several axes has one row of all their elements, in
//! row-major order, and keeps the axes with length 1.
//!
//! [`ScalarEvaluator`] is the same meaning for one element of an elementwise graph, without allocation per call.

use crate::display::debug_as_displayed;
use crate::graph::shape::{self, Shape, ShapeError};
use crate::graph::verify::{VerifyError, verify};
use crate::graph::{Axes, Graph, Half, Node};
use crate::op::Op;
use std::borrow::Cow;
use thiserror::Error;

/// Elements of a block of an elementwise graph: the values of a node fit into the L1 cache.
const BLOCK: usize = 2048;

/// Why a graph has no value.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The graph breaks an invariant.
    #[error(transparent)]
    Graph(#[from] VerifyError),
    /// The shapes do not fit the graph.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// An array whose data do not fill its shape.
    #[error("an array of shape {shape:?} has {expected} elements, but {given} were given")]
    DataLength {
        /// The shape.
        shape: Shape,
        /// How many elements it has.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A graph with reductions or halves, where only elementwise ops make sense.
    #[error("`{operation}` works on whole rows; evaluate this graph on arrays, not on single elements")]
    NotElementwise {
        /// The first op that is not elementwise.
        operation: &'static str,
    },
    /// Too few or too many elements for the inputs.
    #[error("the graph has {expected} inputs, but {given} numbers were given")]
    InputCount {
        /// How many inputs the graph has.
        expected: usize,
        /// How many numbers were given.
        given: usize,
    },
}

/// A dense float64 array in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Shape,
    data: Vec<f64>,
}

impl Array {
    /// An array of this shape; an error unless the data fill it.
    pub fn new(shape: impl Into<Shape>, data: Vec<f64>) -> Result<Array, ReferenceError> {
        let shape = shape.into();
        let expected = shape::element_count(&shape)?;
        if expected != data.len() {
            return Err(ReferenceError::DataLength { shape, expected, given: data.len() });
        }
        Ok(Array { shape, data })
    }

    /// An array of rank 0.
    pub fn scalar(value: f64) -> Array {
        Array { shape: Shape::new(), data: vec![value] }
    }

    /// An array of rank 1.
    pub fn vector(data: impl Into<Vec<f64>>) -> Array {
        let data = data.into();
        Array { shape: vec![data.len()], data }
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its elements, the last axis running fastest.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// Its elements, given away.
    pub fn into_data(self) -> Vec<f64> {
        self.data
    }
}

/// The outputs of a graph for these inputs, in the order of [`Graph::inputs`] and [`Graph::outputs`].
pub fn evaluate(graph: &Graph, inputs: &[Array]) -> Result<Vec<Array>, ReferenceError> {
    verify(graph)?;
    let input_shapes: Vec<Shape> = inputs.iter().map(|array| array.shape.clone()).collect();
    let shapes = shape::infer(graph, &input_shapes)?;
    let uses = count_uses(graph);
    let data: Vec<&[f64]> = inputs.iter().map(Array::data).collect();
    let values = match blockwise_length(graph, &shapes, &uses) {
        Some(length) => evaluate_blocks(graph, &shapes, &uses, &data, length),
        None => walk(graph, &shapes, &uses, &data),
    };
    let arrays = graph.outputs().iter().zip(values);
    Ok(arrays.map(|(output, data)| Array { shape: shapes[output.node.index()].clone(), data }).collect())
}

/// How often each node is read by live nodes and outputs: 0 for dead nodes.
fn count_uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0usize; graph.nodes().len()];
    for output in graph.outputs() {
        uses[output.node.index()] += 1;
    }
    for id in graph.ids().rev() {
        if uses[id.index()] > 0 {
            for argument in graph.node(id).arguments() {
                uses[argument.index()] += 1;
            }
        }
    }
    uses
}

/// The number of elements of the one shape all values have, but for single elements, if the graph is elementwise
/// throughout and long enough to be worth cutting.
fn blockwise_length(graph: &Graph, shapes: &[Shape], uses: &[usize]) -> Option<usize> {
    let mut long: Option<&Shape> = None;
    for id in graph.ids().filter(|id| uses[id.index()] > 0) {
        if matches!(graph.node(id), Node::Reduce { .. } | Node::Half { .. }) {
            return None;
        }
        let shape = &shapes[id.index()];
        if !is_single(shape) && *long.get_or_insert(shape) != shape {
            return None;
        }
    }
    let length = long?.iter().product();
    (length > BLOCK).then_some(length)
}

/// Whether an array of this shape has one element.
fn is_single(shape: &[usize]) -> bool {
    shape.iter().all(|length| *length == 1)
}

fn evaluate_blocks<'a>(
    graph: &Graph,
    shapes: &[Shape],
    uses: &[usize],
    inputs: &[&'a [f64]],
    length: usize,
) -> Vec<Vec<f64>> {
    let flat_shapes = |block: usize| -> Vec<Shape> {
        shapes.iter().map(|shape| if is_single(shape) { Shape::new() } else { vec![block] }).collect()
    };
    let mut results: Vec<Vec<f64>> = vec![Vec::new(); graph.outputs().len()];
    let mut block_shapes = flat_shapes(BLOCK);
    for start in (0..length).step_by(BLOCK) {
        let end = length.min(start + BLOCK);
        if end - start < BLOCK {
            block_shapes = flat_shapes(end - start);
        }
        // Only single elements and dead inputs, which nobody reads, are of another length.
        let piece = |data: &&'a [f64]| if data.len() == length { &data[start..end] } else { *data };
        let pieces: Vec<&[f64]> = inputs.iter().map(piece).collect();
        let block = walk(graph, &block_shapes, uses, &pieces);
        for ((result, piece), output) in results.iter_mut().zip(block).zip(graph.outputs()) {
            if start == 0 || !is_single(&shapes[output.node.index()]) {
                result.extend(piece);
            }
        }
    }
    results
}

/// The outputs' elements. `uses` counts the readers of every node, so that values go when the last one has read them.
fn walk(graph: &Graph, shapes: &[Shape], uses: &[usize], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
    let mut uses = uses.to_vec();
    let mut values: Vec<Cow<'_, [f64]>> = vec![Cow::Borrowed(&[]); graph.nodes().len()];
    for id in graph.ids().filter(|id| uses[id.index()] > 0).collect::<Vec<_>>() {
        let node = graph.node(id);
        let shape = &shapes[id.index()];
        let value = match node {
            Node::Input(index) => Cow::Borrowed(inputs[*index as usize]),
            Node::Constant(bits) => Cow::Owned(vec![f64::from_bits(*bits)]),
            Node::Elementwise { op, arguments } => {
                let operands: Vec<Operand<'_>> = arguments
                    .iter()
                    .map(|argument| Operand { data: &values[argument.index()], shape: &shapes[argument.index()] })
                    .collect();
                Cow::Owned(apply(*op, &operands, shape))
            }
            Node::Reduce { reduction, argument, axes } => {
                let operand = Operand { data: &values[argument.index()], shape: &shapes[argument.index()] };
                Cow::Owned(reduce(reduction.row().meaning, operand, axes))
            }
            Node::Half { argument, axis, half } => {
                let operand = Operand { data: &values[argument.index()], shape: &shapes[argument.index()] };
                Cow::Owned(cut(operand, *axis, *half))
            }
        };
        values[id.index()] = value;
        for argument in node.arguments() {
            uses[argument.index()] -= 1;
            if uses[argument.index()] == 0 {
                values[argument.index()] = Cow::Borrowed(&[]);
            }
        }
    }
    let take = |output: &crate::graph::Output| {
        let index = output.node.index();
        uses[index] -= 1;
        if uses[index] == 0 { std::mem::take(&mut values[index]).into_owned() } else { values[index].to_vec() }
    };
    graph.outputs().iter().map(take).collect()
}

/// An argument of an op: elements and shape.
#[derive(Clone, Copy)]
struct Operand<'a> {
    data: &'a [f64],
    shape: &'a [usize],
}

/// An elementwise op, its arguments broadcast to `shape`.
fn apply(op: Op, operands: &[Operand<'_>], shape: &[usize]) -> Vec<f64> {
    let meaning = op.row().meaning;
    let count: usize = shape.iter().product();
    // Arrays of the full shape and single elements need no walk over axes: they are one long row.
    let flat = [count];
    let flatten = operands.iter().all(|operand| operand.shape == shape || is_single(operand.shape));
    let shape = if flatten { &flat[..] } else { shape };
    let strides: Vec<Vec<usize>> = operands
        .iter()
        .map(|operand| match flatten {
            true => vec![usize::from(!is_single(operand.shape))],
            false => broadcast_strides(operand.shape, shape),
        })
        .collect();
    let row_length = shape.last().copied().unwrap_or(1);
    let mut result = Vec::with_capacity(count);
    let mut index = vec![0usize; shape.len().saturating_sub(1)];
    while result.len() < count {
        let mut starts = [0usize; 3];
        let mut steps = [0usize; 3];
        for (place, stride) in strides.iter().enumerate() {
            starts[place] = index.iter().zip(stride).map(|(i, s)| i * s).sum();
            steps[place] = stride.last().copied().unwrap_or(0);
        }
        for element in 0..row_length {
            let mut arguments = [0.0; 3];
            for (place, operand) in operands.iter().enumerate() {
                arguments[place] = operand.data[starts[place] + element * steps[place]];
            }
            result.push(meaning(arguments));
        }
        advance(&mut index, shape);
    }
    result
}

/// The next index of all but the last axis, the last of them running fastest.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (place, length) in index.iter_mut().zip(shape).rev() {
        *place += 1;
        if *place < *length {
            return;
        }
        *place = 0;
    }
}

/// For each axis, how many elements lie from one place to the next in row-major order.
fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Strides of an array seen in a larger shape: 0 along axes it is repeated on.
fn broadcast_strides(own: &[usize], shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let missing = shape.len() - own.len();
    for (axis, stride) in row_major_strides(own).into_iter().enumerate() {
        strides[missing + axis] = if own[axis] == 1 { 0 } else { stride };
    }
    strides
}

/// A reduction: one call of the meaning for each place of the axes that stay.
fn reduce(meaning: fn(&[f64]) -> f64, operand: Operand<'_>, axes: &Axes) -> Vec<f64> {
    let axes = shape::resolve_axes(axes, operand.shape).expect("shape inference has resolved these axes");
    let strides = row_major_strides(operand.shape);
    let offsets = |reduced: bool| -> Vec<usize> {
        let mut offsets = vec![0];
        for axis in (0..operand.shape.len()).filter(|axis| axes.contains(axis) == reduced) {
            let along = |start: &usize| {
                let (start, stride) = (*start, strides[axis]);
                (0..operand.shape[axis]).map(move |place| start + place * stride)
            };
            offsets = offsets.iter().flat_map(along).collect();
        }
        offsets
    };
    let (rows, elements) = (offsets(false), offsets(true));
    let mut row = Vec::with_capacity(elements.len());
    let reduce_row = |start: &usize| {
        row.clear();
        row.extend(elements.iter().map(|element| operand.data[start + element]));
        meaning(&row)
    };
    rows.iter().map(reduce_row).collect()
}

/// One half of an axis.
fn cut(operand: Operand<'_>, axis: i64, half: Half) -> Vec<f64> {
    let axis = shape::resolve_axis(axis, operand.shape).expect("shape inference has resolved this axis");
    let inner: usize = operand.shape[axis + 1..].iter().product();
    let length = operand.shape[axis] / 2 * inner;
    if length == 0 {
        return Vec::new();
    }
    let skip = match half {
        Half::First => 0,
        Half::Second => 1,
    };
    operand.data.chunks_exact(length).skip(skip).step_by(2).flatten().copied().collect()
}

/// An elementwise graph for one element at a time.
#[derive(Clone, Debug)]
pub struct ScalarEvaluator {
    steps: Vec<Step>,
    values: Vec<f64>,
    outputs: Vec<usize>,
    inputs: Vec<Option<usize>>,
}

/// One elementwise op: its meaning and the places of its arguments (unused ones read place 0).
#[derive(Clone, Debug)]
struct Step {
    meaning: fn([f64; 3]) -> f64,
    arguments: [usize; 3],
    result: usize,
}

impl ScalarEvaluator {
    /// Prepares a graph; an error if a live node is a reduction or a half.
    pub fn new(graph: &Graph) -> Result<ScalarEvaluator, ReferenceError> {
        verify(graph)?;
        let live = graph.live();
        let mut steps = Vec::new();
        let mut values = vec![0.0; graph.nodes().len()];
        let mut inputs = vec![None; graph.inputs().len()];
        for id in graph.ids().filter(|id| live[id.index()]) {
            match graph.node(id) {
                Node::Input(index) => inputs[*index as usize] = Some(id.index()),
                Node::Constant(bits) => values[id.index()] = f64::from_bits(*bits),
                Node::Elementwise { op, arguments } => {
                    let mut places = [0; 3];
                    for (place, argument) in places.iter_mut().zip(arguments.iter()) {
                        *place = argument.index();
                    }
                    steps.push(Step { meaning: op.row().meaning, arguments: places, result: id.index() });
                }
                Node::Reduce { reduction, .. } => {
                    return Err(ReferenceError::NotElementwise { operation: reduction.name() });
                }
                Node::Half { .. } => return Err(ReferenceError::NotElementwise { operation: "half" }),
            }
        }
        let outputs = graph.outputs().iter().map(|output| output.node.index()).collect();
        Ok(ScalarEvaluator { steps, values, outputs, inputs })
    }

    /// The outputs for one number per input.
    pub fn evaluate(&mut self, inputs: &[f64]) -> Result<impl ExactSizeIterator<Item = f64> + '_, ReferenceError> {
        if inputs.len() != self.inputs.len() {
            return Err(ReferenceError::InputCount { expected: self.inputs.len(), given: inputs.len() });
        }
        for (place, value) in self.inputs.iter().zip(inputs) {
            if let Some(place) = place {
                self.values[*place] = *value;
            }
        }
        for step in &self.steps {
            let arguments = step.arguments.map(|place| self.values[place]);
            self.values[step.result] = (step.meaning)(arguments);
        }
        Ok(self.outputs.iter().map(|place| self.values[*place]))
    }
}

/// The outputs of an elementwise graph for one number per input. Use [`ScalarEvaluator`] for many.
pub fn evaluate_scalar(graph: &Graph, inputs: &[f64]) -> Result<Vec<f64>, ReferenceError> {
    Ok(ScalarEvaluator::new(graph)?.evaluate(inputs)?.collect())
}

debug_as_displayed!(ReferenceError);
