//! What can be wrong between a text and a graph.

mod excerpt;
mod problem;
mod span;

pub use problem::{ActivationError, Problem, SyntaxError};
pub use span::Span;

use crate::display::debug_as_displayed;
use crate::graph::verify::VerifyError;
use thiserror::Error;

/// Why a text, an expression or a config gives no graph.
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A mistake in a text.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// A mistake in an activation's name or parameters.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// A text that should be one activation and is something else.
    #[error("`{text}` is not an activation; write a name, with parameters in parentheses if need be")]
    NotAnActivation {
        /// The text.
        text: String,
    },
    /// A text that should be one expression and names its outputs.
    #[error("`{text}` is not one expression; leave the names of outputs away")]
    NotAnExpression {
        /// The text.
        text: String,
    },
    /// An expression without end when its functions are expanded.
    #[error("the expression is too large: more than {limit} steps to expand it")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Functions that call functions, twice and twice again.
    #[error(
        "the expression is too large: its functions expand to more than {limit} operations; \
         a function that calls another several times multiplies its operations"
    )]
    TooManyOps {
        /// The limit, which grows with what is written outside of functions.
        limit: usize,
    },
    /// A graph that breaks an invariant: two outputs of one name, an axis named twice, no output at all.
    #[error(transparent)]
    Graph(#[from] VerifyError),
}

debug_as_displayed!(Error);
