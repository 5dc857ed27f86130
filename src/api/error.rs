//! What can be wrong.

use crate::array::{ArrayError, Dtype};
use crate::codegen::BackendError;
use crate::codegen::isa::Isa;
use fuselet_ir::shape::ShapeError;
use fuselet_ir::verify::VerifyError;
use std::fmt;
use thiserror::Error;

/// Why an engine cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The backend that was asked for does not work here.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The instruction-set level is not one of this machine.
    #[error("this machine has no {isa}; it has {}", names(Isa::available().map(Isa::name)))]
    Isa {
        /// The level.
        isa: Isa,
    },
    /// An environment variable names nothing.
    #[error("{variable}={value} names nothing; use one of {known}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        known: String,
    },
}

/// Why an expression cannot be compiled.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The text or the builder's expression is wrong.
    #[error(transparent)]
    Expression(#[from] fuselet_ir::Error),
    /// A graph breaks an invariant.
    #[error("the graph is not valid: {0}")]
    Graph(#[from] VerifyError),
}

/// Why a call was refused. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// Not one array for each input.
    #[error("the function takes {}, but {given} arrays were given for them", list(expected))]
    InputCount {
        /// All inputs.
        expected: Vec<String>,
        /// How many arrays were given.
        given: usize,
    },
    /// An input was not given.
    #[error("input `{name}` is missing; the function takes {}", list(expected))]
    MissingInput {
        /// The input.
        name: String,
        /// All inputs.
        expected: Vec<String>,
    },
    /// A name the function does not know.
    #[error("`{name}` is no input of the function, which takes {}{}", list(expected), meant(nearest))]
    UnknownInput {
        /// The name.
        name: String,
        /// The input whose name is nearest, if one is near.
        nearest: Option<String>,
        /// All inputs.
        expected: Vec<String>,
    },
    /// An input was given twice.
    #[error("input `{name}` is given twice")]
    RepeatedInput {
        /// The input.
        name: String,
    },
    /// An output was given twice.
    #[error("output `{name}` is given twice")]
    RepeatedOutput {
        /// The output.
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
    #[error("`{name}` is no output of the function, which has {}{}", list(expected), meant(nearest))]
    UnknownOutput {
        /// The name.
        name: String,
        /// The output whose name is nearest, if one is near.
        nearest: Option<String>,
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
    /// A number of another dtype than the arrays beside it.
    #[error(
        "`{name}` is a {found} number, but `{other}` is {expected}; write the number as {}, all arrays of a call have one dtype{}",
        literal(*expected),
        if *found == Dtype::F64 { " (Rust takes 1.5 for a float64 where nothing says otherwise)" } else { "" }
    )]
    NumberDtype {
        /// The input that is a number.
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
    /// An array that is not laid out as a prepared call is for.
    #[error("`{name}` is {found}, but the call was prepared for {expected}")]
    Layout {
        /// The array.
        name: String,
        /// Its dtype, shape and strides.
        found: String,
        /// Those of the signature.
        expected: String,
    },
    /// A function that is no kernel for tiles.
    #[error("the function cannot run on tiles: {reason}")]
    NotATile {
        /// Why.
        reason: &'static str,
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

impl CallError {
    pub(super) fn unknown_input(name: &str, expected: &[String]) -> CallError {
        CallError::UnknownInput { name: name.to_owned(), nearest: nearest(name, expected), expected: expected.to_vec() }
    }

    pub(super) fn unknown_output(name: &str, expected: Vec<String>) -> CallError {
        CallError::UnknownOutput { name: name.to_owned(), nearest: nearest(name, &expected), expected }
    }
}

fn nearest(name: &str, known: &[String]) -> Option<String> {
    fuselet_ir::language::nearest(name, known.iter().map(String::as_str))
}

/// A number of this dtype in Rust.
fn literal(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F32 => "`1.5f32`",
        Dtype::F64 => "`1.5f64`",
    }
}

fn meant(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

/// Anything that can be wrong, whatever the stage: for programs that only pass errors on.
///
/// ```
/// fn run() -> Result<Vec<f32>, fuselet::Error> {
///     let f = fuselet::Engine::new()?.compile("x + 1")?;
///     Ok(f.call_to_vec::<f32>(&[("y", (&[1.0f32]).into())])?)
/// }
/// assert_eq!(run().unwrap_err().to_string(), "`y` is no input of the function, which takes `x`");
/// ```
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// An engine cannot be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An expression cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// An expression cannot be built.
    #[error(transparent)]
    Expression(#[from] fuselet_ir::Error),
    /// A view cannot be made.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// A call was refused.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// As it is displayed: what `main` prints of an error it returns is for people.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn names(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
