//! The shapes that expressions give.

use super::kernel::with_batch;
use fuselet::ir::{Expr, IntoProgram, Library, Meaning, shape};

/// Stands for the batch; any length would do.
const SOME_BATCH: usize = 2;

/// Why there is no shape.
pub enum InferError {
    /// An expression that does not hold.
    Ir(Box<fuselet::ir::Error>),
    /// Shapes that do not fit.
    Shape(Box<shape::ShapeError>),
    /// Another length of the batch axis.
    Batch,
}

/// The shape an expression gives, without the batch axis, from those of its inputs, of which the first `batched` have one.
pub fn infer(expression: &Expr, inputs: &[(&str, &[usize])], batched: usize) -> Result<Vec<usize>, InferError> {
    let ir = |error| InferError::Ir(Box::new(error));
    let program = expression.into_program(&Library::standard()).map_err(ir)?;
    let graph = program.graph(Meaning::Form).map_err(ir)?;
    let mut shapes: Vec<Vec<usize>> = Vec::with_capacity(inputs.len());
    for name in graph.inputs() {
        let place = inputs.iter().position(|(known, _)| *known == &**name).unwrap_or(0);
        let shape = inputs[place].1;
        shapes.push(if place < batched { with_batch(SOME_BATCH, shape) } else { shape.to_vec() });
    }
    let inferred = shape::infer(&graph, &shapes).map_err(|error| InferError::Shape(Box::new(error)))?;
    match graph.outputs().first().map(|output| inferred[output.node.index()].as_slice()) {
        Some([SOME_BATCH, rest @ ..]) => Ok(rest.to_vec()),
        // A constant: the shape is that of what it forgot.
        Some([]) => Ok(inputs[0].1.to_vec()),
        _ => Err(InferError::Batch),
    }
}
