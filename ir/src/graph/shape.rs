//! Shapes: broadcasting, reduced axes, halves, and the inference of every node's shape from the inputs'.
//!
//! Shapes align at the last axis, as in NumPy. A graph holds no shapes, so that one graph (and one compiled kernel)
//! serves every size; they are found anew for the shapes of a call.

use super::arena::Graph;
use super::node::{Axes, Node, NodeId};
use thiserror::Error;

/// The lengths of an array's axes.
pub type Shape = Vec<usize>;

/// Why shapes do not fit a graph.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Two shapes that do not broadcast.
    #[error("shapes {left:?} and {right:?} do not broadcast: axis {axis} from the end has lengths {} and {}",
        left[left.len() + 1 - axis - 1], right[right.len() + 1 - axis - 1])]
    Broadcast {
        /// The shape of the first argument.
        left: Shape,
        /// The shape of the second.
        right: Shape,
        /// The axis at fault, 1 being the last.
        axis: usize,
    },
    /// An axis outside the array.
    #[error("axis {axis} is out of range for an array of rank {rank} (shape {shape:?}); {}", axis_hint(*rank))]
    AxisOutOfRange {
        /// The axis as written.
        axis: i64,
        /// The rank of the array.
        rank: usize,
        /// Its shape.
        shape: Shape,
    },
    /// An axis named twice.
    #[error("axis {axis} is named twice for an array of rank {rank}; name each axis once")]
    RepeatedAxis {
        /// The axis as written the second time.
        axis: i64,
        /// The rank of the array.
        rank: usize,
    },
    /// Half of an axis of odd length.
    #[error(
        "axis {axis} of shape {shape:?} has length {length}, which is not divisible by 2; it cannot be cut in halves"
    )]
    OddLength {
        /// The axis as written.
        axis: i64,
        /// Its length.
        length: usize,
        /// The array's shape.
        shape: Shape,
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
            _ => return Err(ShapeError::Broadcast { left: left.to_vec(), right: right.to_vec(), axis }),
        };
    }
    Ok(shape)
}

/// The place from the front of an axis that may count from the end.
pub fn resolve_axis(axis: i64, shape: &[usize]) -> Result<usize, ShapeError> {
    let rank = shape.len();
    let resolved = if axis < 0 { axis + rank as i64 } else { axis };
    if (0..rank as i64).contains(&resolved) {
        Ok(resolved as usize)
    } else {
        Err(ShapeError::AxisOutOfRange { axis, rank, shape: shape.to_vec() })
    }
}

/// The axes from the front, ascending. `Axes::All` of a scalar is an error, as is every axis of one.
pub fn resolve_axes(axes: &Axes, shape: &[usize]) -> Result<Vec<usize>, ShapeError> {
    match axes {
        Axes::All if shape.is_empty() => Err(ShapeError::AxisOutOfRange { axis: -1, rank: 0, shape: Shape::new() }),
        Axes::All => Ok((0..shape.len()).collect()),
        Axes::List(list) => {
            let mut resolved = Vec::with_capacity(list.len());
            for &axis in list {
                let place = resolve_axis(axis, shape)?;
                if resolved.contains(&place) {
                    return Err(ShapeError::RepeatedAxis { axis, rank: shape.len() });
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
    let of = |shapes: &[Shape], id: NodeId| shapes[id.index()].clone();
    for node in graph.nodes() {
        let shape = match node {
            Node::Input(index) => inputs[*index as usize].clone(),
            Node::Constant(_) => Shape::new(),
            Node::Elementwise { arguments, .. } => {
                let mut shapes = arguments.iter().map(|id| &shapes[id.index()]);
                // Most arguments have the shape of the first, or are numbers.
                let first = shapes.next().cloned().unwrap_or_default();
                shapes.filter(|shape| !shape.is_empty()).try_fold(first, |shape, other| {
                    if shape == *other { Ok(shape) } else { broadcast(&shape, other) }
                })?
            }
            Node::Reduce { argument, axes, .. } => {
                let mut shape = of(&shapes, *argument);
                for axis in resolve_axes(axes, &shape)? {
                    shape[axis] = 1;
                }
                shape
            }
            Node::Half { argument, axis, .. } => {
                let mut shape = of(&shapes, *argument);
                let place = resolve_axis(*axis, &shape)?;
                if shape[place] % 2 != 0 {
                    return Err(ShapeError::OddLength { axis: *axis, length: shape[place], shape });
                }
                shape[place] /= 2;
                shape
            }
        };
        element_count(&shape)?;
        shapes.push(shape);
    }
    Ok(shapes)
}
