//! What can go wrong in the REPL itself; the library's own errors pass through as they are.

use fuselet::ir::reference::ReferenceError;
use fuselet::ir::shape::ShapeError;
use fuselet::{ArrayError, CallError, CompileError, Dtype, EngineError};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a command failed. The message is all a user sees, so it says what to do.
#[derive(Debug, Error)]
pub enum Error {
    #[error("{0}\n(`--help` shows what there is)")]
    Usage(String),
    #[error("{0}")]
    Command(String),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Array(#[from] ArrayError),
    #[error(transparent)]
    Shape(#[from] ShapeError),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error("{}", missing(names, *interactive))]
    MissingInputs { names: Vec<(String, bool)>, interactive: bool },
    #[error("{origin} is no array: {problem}\n  │ {line}\n  │ {}^", " ".repeat(*column))]
    Literal { origin: String, problem: String, line: String, column: usize },
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is no .npy file: {reason}", path.display())]
    NotNpy { path: PathBuf, reason: String },
    #[error("{} holds {found}, not plain numbers; split or convert it in Python: `a[\"field\"]`, `a.real`, `a.astype(\"float32\")`",
        path.display())]
    FileDtype { path: PathBuf, found: String },
    #[error("{} holds {found}, and {outside} is outside of {dtype}, the widest integers that are computed with; \
        convert it with `a.astype(\"float64\")`", path.display())]
    LongInteger { path: PathBuf, found: &'static str, dtype: Dtype, outside: i128 },
    #[error("`--dtype {name}={dtype}` concerns nothing: {has}")]
    UnknownName { name: String, dtype: Dtype, has: String },
    #[error("{} is cut off: shape {shape:?} of {dtype} needs {expected} bytes after the header, but {found} are there",
        path.display())]
    Truncated { path: PathBuf, shape: Vec<u64>, dtype: &'static str, expected: u64, found: u64 },
    #[error("{} has rank {rank}, above the highest, {}; merge axes with `a.reshape`", path.display(), fuselet::MAX_RANK)]
    FileRank { path: PathBuf, rank: usize },
    #[error("an array of shape {shape:?} does not fit into memory")]
    OutOfMemory { shape: Vec<usize> },
    /// Writing the answer failed: most often because the reader has gone.
    #[error(transparent)]
    Terminal(#[from] io::Error),
}

impl From<fuselet::ir::Error> for Error {
    fn from(error: fuselet::ir::Error) -> Error {
        Error::Compile(error.into())
    }
}

/// `names`: the inputs without a value, and whether each is the name of a function.
fn missing(names: &[(String, bool)], interactive: bool) -> String {
    let list = names.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let first = &names[0].0;
    let give = if interactive {
        format!("write `{first} = [-2, -1, 0, 1, 2]` or `{first} = file.npy`")
    } else {
        format!("add `--input {first}=FILE.npy` or `--input {first}=[-2,-1,0,1,2]`")
    };
    let plural = if names.len() == 1 { "input" } else { "inputs" };
    let verb = if names.len() == 1 { "has" } else { "have" };
    let mut text = format!("{plural} {list} {verb} no value; {give}");
    if let Some((function, _)) = names.iter().find(|(_, is_function)| *is_function) {
        text.push_str(&format!(" (`{function}` is also a function: to call it, write `{function}(x)`)"));
    }
    text
}
