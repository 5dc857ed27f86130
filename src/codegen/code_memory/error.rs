//! What can go wrong when code is published.

use thiserror::Error;

/// Why code could not be made executable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodeMemoryError {
    /// The system refused memory, or refused to make it executable.
    #[error(
        "the system gave no executable memory ({0}); allow it for this process, or use the interpreter \
         (FUSELET_BACKEND=interpreter)"
    )]
    Refused(String),
    /// There is no way to make this machine see new code.
    #[error("new code cannot be made visible to the cores of this machine")]
    UnknownMachine,
    /// There are no bytes.
    #[error("there is no code to publish")]
    Empty,
    /// The alignment is no power of two, or more than a page.
    #[error("code cannot be aligned to {alignment} bytes: that is no power of two up to the size of a page")]
    Alignment {
        /// What was asked for.
        alignment: usize,
    },
}
