//! Shapes: broadcasting, reduced axes, halves, and the inference of every node's shape from the inputs'.
//!
//! Shapes align at the last axis, as in NumPy. A graph holds no shapes, so that one graph (and one compiled kernel)
//! serves every size; they are found anew for the shapes of a call.

use super::arena::Graph;
use super::node::{Axes, Node, NodeId};
use crate::display::debug_as_displayed;
use std::fmt;
use thiserror::Error;

/// The lengths of an array's axes.
pub type Shape = Vec<usize>;

/// An input and the shape it was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InputShape {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {:?}", self.name, self.shape)
    }
}

/// Why shapes do not fit a graph. `inputs` are those that what is at fault is computed from, in the order of the graph's
/// inputs; they are empty where shapes are looked at without a graph.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Two shapes that do not broadcast.
    #[error("shapes {left:?} and {right:?} do not broadcast: axis {axis} from the end has lengths {} and {}{}",
        left[left.len() - axis], right[right.len() - axis], given(inputs))]
    Broadcast {
        /// The shape of the first argument.
        left: Shape,
        /// The shape of the second.
        right: Shape,
        /// The axis at fault, 1 being the last.
        axis: usize,
        /// The inputs at fault.
        inputs: Vec<InputShape>,
    },
    /// An axis outside the array.
    #[error("axis {axis} is out of range for an array of rank {rank} (shape {shape:?}); {}{}", axis_hint(*rank), given(inputs))]
    AxisOutOfRange {
        /// The axis as written.
        axis: i64,
        /// The rank of the array.
        rank: usize,
        /// Its shape.
        shape: Shape,
        /// The inputs at fault.
        inputs: Vec<InputShape>,
    },
    /// An axis named twice.
    #[error("axis {axis} is named twice for an array of rank {rank}; name each axis once{}", given(inputs))]
    RepeatedAxis {
        /// The axis as written the second time.
        axis: i64,
        /// The rank of the array.
        rank: usize,
        /// The inputs at fault.
        inputs: Vec<InputShape>,
    },
    /// Half of an axis of odd length.
    #[error(
        "axis {axis} of shape {shape:?} has length {length}, which is not divisible by 2; it cannot be cut in halves{}",
        given(inputs)
    )]
    OddLength {
        /// The axis as written.
        axis: i64,
        /// Its length.
        length: usize,
        /// The array's shape.
        shape: Shape,
        /// The inputs at fault.
        inputs: Vec<InputShape>,
    },
    /// The shape of an input is missing.
    #[error("the graph has {expected} inputs, but {given} shapes were given")]
    InputCount {
        /// How many inputs the graph has.
        expected: usize,
        /// How many shapes were given.
        given: usize,
    },
    /// More elements than an address can count.
    #[error("shape {shape:?} has more elements than memory can hold")]
    TooLarge {
        /// The shape.
        shape: Shape,
    },
}

/// The inputs at fault, at the end of a message.
fn given(inputs: &[InputShape]) -> String {
    /// More are counted.
    const SHOWN: usize = 6;
    if inputs.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = inputs.iter().take(SHOWN).map(InputShape::to_string).collect();
    let more = match inputs.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more inputs"),
    };
    format!(" ({}{more})", shown.join(", "))
}

fn axis_hint(rank: usize) -> String {
    if rank == 0 { "a scalar has no axes".to_owned() } else { format!("use -{rank} to {}", rank - 1) }
}

/// The number of elements of a shape, if it can be counted.
pub fn element_count(shape: &[usize]) -> Result<usize, ShapeError> {
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(1usize, |count, length| count.checked_mul(*length))
        .filter(|count| *count <= isize::MAX as usize / 16)
        .ok_or_else(|| ShapeError::TooLarge { shape: shape.to_vec() })
}

/// The shape two shapes broadcast to.
pub fn broadcast(left: &[usize], right: &[usize]) -> Result<Shape, ShapeError> {
    let rank = left.len().max(right.len());
    let mut shape = vec![1; rank];
    for axis in 1..=rank {
        let a = if axis <= left.len() { left[left.len() - axis] } else { 1 };
        let b = if axis <= right.len() { right[right.len() - axis] } else { 1 };
        shape[rank - axis] = match (a, b) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => {
                let (left, right) = (left.to_vec(), right.to_vec());
                return Err(ShapeError::Broadcast { left, right, axis, inputs: Vec::new() });
            }
        };
    }
    Ok(shape)
}

/// The place from the front of an axis that may count from the end.
pub fn resolve_axis(axis: i64, shape: &[usize]) -> Result<usize, ShapeError> {
    let rank = shape.len();
    let distance = usize::try_from(axis.unsigned_abs()).ok();
    let place = match axis < 0 {
        true => distance.and_then(|back| rank.checked_sub(back)),
        false => distance.filter(|place| *place < rank),
    };
    place.ok_or_else(|| ShapeError::AxisOutOfRange { axis, rank, shape: shape.to_vec(), inputs: Vec::new() })
}

/// The axes from the front, ascending. `Axes::All` of a scalar is an error, as is every axis of one.
pub fn resolve_axes(axes: &Axes, shape: &[usize]) -> Result<Vec<usize>, ShapeError> {
    match axes {
        Axes::All if shape.is_empty() => resolve_axis(-1, shape).map(|axis| vec![axis]),
        Axes::All => Ok((0..shape.len()).collect()),
        Axes::List(list) => {
            let mut resolved = Vec::with_capacity(list.len());
            for &axis in list {
                let place = resolve_axis(axis, shape)?;
                if resolved.contains(&place) {
                    return Err(ShapeError::RepeatedAxis { axis, rank: shape.len(), inputs: Vec::new() });
                }
                resolved.push(place);
            }
            resolved.sort_unstable();
            Ok(resolved)
        }
    }
}

/// The shape of every node, by node index, for the given input shapes.
pub fn infer(graph: &Graph, inputs: &[Shape]) -> Result<Vec<Shape>, ShapeError> {
    if inputs.len() != graph.inputs().len() {
        return Err(ShapeError::InputCount { expected: graph.inputs().len(), given: inputs.len() });
    }
    let mut shapes: Vec<Shape> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let shape = shape_of(node, &shapes, inputs).map_err(|error| naming(error, graph, node, inputs))?;
        shapes.push(shape);
    }
    Ok(shapes)
}

/// The shape of a node whose predecessors have these shapes.
fn shape_of(node: &Node, shapes: &[Shape], inputs: &[Shape]) -> Result<Shape, ShapeError> {
    let of = |id: NodeId| shapes[id.index()].clone();
    let shape = match node {
        Node::Input(index) => inputs[*index as usize].clone(),
        Node::Constant(_) => Shape::new(),
        Node::Elementwise { arguments, .. } => {
            let mut shapes = arguments.iter().map(|id| &shapes[id.index()]);
            // Most arguments have the shape of the first, or are numbers.
            let first = shapes.next().cloned().unwrap_or_default();
            shapes
                .filter(|shape| !shape.is_empty())
                .try_fold(first, |shape, other| if shape == *other { Ok(shape) } else { broadcast(&shape, other) })?
        }
        Node::Reduce { argument, axes, .. } => {
            let mut shape = of(*argument);
            for axis in resolve_axes(axes, &shape)? {
                shape[axis] = 1;
            }
            shape
        }
        Node::Half { argument, axis, .. } => {
            let mut shape = of(*argument);
            let place = resolve_axis(*axis, &shape)?;
            if shape[place] % 2 != 0 {
                let (length, inputs) = (shape[place], Vec::new());
                return Err(ShapeError::OddLength { axis: *axis, length, shape, inputs });
            }
            shape[place] /= 2;
            shape
        }
    };
    element_count(&shape)?;
    Ok(shape)
}

/// The error with the inputs that the node at fault is computed from.
fn naming(mut error: ShapeError, graph: &Graph, node: &Node, shapes: &[Shape]) -> ShapeError {
    if let ShapeError::Broadcast { inputs, .. }
    | ShapeError::AxisOutOfRange { inputs, .. }
    | ShapeError::RepeatedAxis { inputs, .. }
    | ShapeError::OddLength { inputs, .. } = &mut error
    {
        let mut read = vec![false; shapes.len()];
        let mut seen = vec![false; graph.nodes().len()];
        let mut pending = node.arguments().to_vec();
        while let Some(id) = pending.pop() {
            if std::mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            match graph.node(id) {
                Node::Input(index) => read[*index as usize] = true,
                node => pending.extend(node.arguments()),
            }
        }
        let named = graph.inputs().iter().zip(shapes).zip(read).filter(|(_, read)| *read);
        inputs.extend(named.map(|((name, shape), _)| InputShape { name: name.clone(), shape: shape.clone() }));
    }
    error
}

debug_as_displayed!(ShapeError);
