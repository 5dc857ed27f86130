//! What can go wrong, in words for the person who has the model.

use fuselet::ir::keras::ConfigError;
use fuselet::{ArrayError, CallError, CompileError, EngineError};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a model does not load or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A mistake on the command line.
    #[error("{problem}\n{}", super::USAGE)]
    Usage {
        /// Which.
        problem: String,
    },
    /// A file that cannot be read, or is not what its name says.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// A config that is no JSON, is too long, or too deep.
    #[error("{}: {error}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// A place of the config that does not hold what it should.
    #[error("{place} must be {expected}, but is {found}")]
    Malformed {
        /// Where: a key and its layer.
        place: String,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A layer of a class that is not supported.
    #[error("layer `{name}` is a {class}, which is not supported; supported are {}", super::model::supported())]
    UnsupportedLayer {
        /// The layer's class.
        class: String,
        /// Its name.
        name: String,
    },
    /// An activation that does not exist or whose parameters are wrong.
    #[error("layer `{name}` ({class}): {error}")]
    Activation {
        /// The layer's class.
        class: String,
        /// Its name.
        name: String,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// A connection that leads nowhere.
    #[error("`{layer}` takes a result of `{tensor}`, which there is not")]
    UnknownTensor {
        /// Who takes it.
        layer: String,
        /// What is taken.
        tensor: String,
    },
    /// A layer that needs its own result.
    #[error("layer `{layer}` depends on its own result")]
    Circle {
        /// The layer.
        layer: String,
    },
    /// Some inputs have a file, and some have none.
    #[error("{} is missing, while other inputs are given", path.display())]
    MissingInput {
        /// The file.
        path: PathBuf,
    },
    /// The config does not say what shape the inputs have, and there are none to look at.
    #[error("the config leaves the shape of the inputs open ({known}); put {} beside it", path.display())]
    UnknownInputShape {
        /// The file that would say it.
        path: PathBuf,
        /// What the config says.
        known: String,
    },
    /// A layer that cannot take the shape it gets.
    #[error("layer `{name}` ({class}) cannot take inputs of shape {}: {reason}", batched(shape))]
    LayerInput {
        /// The layer's class.
        class: String,
        /// Its name.
        name: String,
        /// The shape, without the batch axis.
        shape: Vec<usize>,
        /// Why not.
        reason: &'static str,
    },
    /// Weights that are not in the file.
    #[error(
        "layer `{layer}` has no weights: looked for {}, but {} has {}",
        list(tried), path.display(), if present.is_empty() { "no arrays".to_owned() } else { list(present) }
    )]
    MissingWeights {
        /// The layer.
        layer: String,
        /// The names that were looked for.
        tried: Vec<String>,
        /// The file.
        path: PathBuf,
        /// The arrays it has.
        present: Vec<String>,
    },
    /// Weights of another shape than the layer needs.
    #[error("layer `{layer}`: `{array}` must have shape {expected:?}, but has {found:?}")]
    WeightsShape {
        /// The layer.
        layer: String,
        /// The array.
        array: String,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// Inputs, labels or outputs that do not fit the model.
    #[error("{} must have shape {expected}, but has {found:?}", path.display())]
    ArrayShape {
        /// The file.
        path: PathBuf,
        /// The shape it must have.
        expected: String,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// More elements than are worked on at once.
    #[error("{what} would have more than {limit} elements; choose a smaller batch")]
    TooLarge {
        /// The array.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// No engine with these options.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A kernel that cannot be compiled.
    #[error("{layers}: {error}")]
    Compile {
        /// The layers it was for.
        layers: String,
        /// What is wrong.
        error: Box<CompileError>,
    },
    /// A kernel that cannot be called, as its shapes do not fit.
    #[error("{layers}: {error}")]
    Call {
        /// The layers it was for.
        layers: String,
        /// What is wrong.
        error: Box<CallError>,
    },
    /// An array of too high a rank.
    #[error(transparent)]
    Array(#[from] ArrayError),
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if names.len() > SHOWN {
        shown.push(format!("{} more", names.len() - SHOWN));
    }
    shown.join(", ")
}

/// A shape as Keras prints it.
pub fn batched(shape: &[usize]) -> String {
    let lengths: String = shape.iter().map(|length| format!(", {length}")).collect();
    format!("(None{lengths})")
}
