//! What can be wrong with a call.

use crate::array::Dtype;
use fuselet_ir::shape::ShapeError;
use thiserror::Error;

/// Why a call was refused. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// An input was not given.
    #[error("input `{name}` is missing; the function takes {}", list(expected))]
    MissingInput {
        /// The input.
        name: String,
        /// All inputs.
        expected: Vec<String>,
    },
    /// A name the function does not know.
    #[error("`{name}` is no input of the function, which takes {}", list(expected))]
    UnknownInput {
        /// The name.
        name: String,
        /// All inputs.
        expected: Vec<String>,
    },
    /// An input was given twice.
    #[error("input `{name}` is given twice")]
    RepeatedInput {
        /// The input.
        name: String,
    },
    /// Not one array for each output.
    #[error("the function has the outputs {}, but {given} arrays were given for them", list(expected))]
    OutputCount {
        /// All outputs.
        expected: Vec<String>,
        /// How many arrays were given.
        given: usize,
    },
    /// A name that is no output.
    #[error("`{name}` is no output of the function, which has {}", list(expected))]
    UnknownOutput {
        /// The name.
        name: String,
        /// All outputs.
        expected: Vec<String>,
    },
    /// Arrays of different dtypes.
    #[error(
        "`{name}` is {found}, but `{other}` is {expected}; convert one of them, all arrays of a call have one dtype"
    )]
    Dtype {
        /// The array.
        name: String,
        /// Its dtype.
        found: Dtype,
        /// The array it is compared with.
        other: String,
        /// The dtype of that one.
        expected: Dtype,
    },
    /// The shapes of the inputs do not fit the function.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// An output of another shape.
    #[error("output `{name}` has shape {found:?}, but the result has shape {expected:?}")]
    OutputShape {
        /// The output.
        name: String,
        /// The shape of the array given.
        found: Vec<usize>,
        /// The shape of the result.
        expected: Vec<usize>,
    },
    /// An output that overlaps another array.
    #[error("output `{output}` overlaps `{other}`: {reason}")]
    Overlap {
        /// The output.
        output: String,
        /// The array it overlaps.
        other: String,
        /// Why that is not allowed here.
        reason: &'static str,
    },
    /// Arrays between kernels do not fit into memory.
    #[error("the call needs {bytes} bytes for intermediate arrays, which are not to be had")]
    OutOfMemory {
        /// How many.
        bytes: usize,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    }
}
