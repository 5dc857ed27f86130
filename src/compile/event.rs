//! What an engine tells its user of.

use crate::codegen::BackendError;
use std::fmt;
use std::sync::Arc;

/// What is called for every event.
pub(crate) type Subscriber = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something an engine did that its user may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A pass runs in the interpreter because the backend could not compile it.
    FellBack {
        /// The pass.
        pass: String,
        /// What the backend said.
        error: BackendError,
    },
    /// A pass runs in the interpreter because the backend's code gave other bits on a probe value.
    Mismatch {
        /// The pass.
        pass: String,
        /// The backend.
        backend: String,
        /// The operand that was written.
        operand: String,
        /// The place in it.
        element: usize,
        /// The interpreter's bits.
        expected: u64,
        /// The backend's bits.
        found: u64,
    },
}

#[cfg(feature = "tracing")]
impl Event {
    /// Tells subscribers of the crate `tracing`, with what the event holds as fields.
    pub(crate) fn trace(&self) {
        match self {
            Event::FellBack { pass, error } => {
                tracing::warn!(target: "fuselet", pass = pass.as_str(), %error, "runs in the interpreter");
            }
            Event::Mismatch { pass, backend, operand, element, expected, found } => tracing::error!(
                target: "fuselet",
                pass = pass.as_str(),
                backend = backend.as_str(),
                operand = operand.as_str(),
                element,
                expected,
                found,
                "runs in the interpreter: the backend gave other bits",
            ),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::FellBack { pass, error } => write!(formatter, "`{pass}` runs in the interpreter: {error}"),
            Event::Mismatch { pass, backend, operand, element, expected, found } => write!(
                formatter,
                "`{pass}` runs in the interpreter: {backend} gave {found:#x} instead of {expected:#x} at {operand}[{element}]"
            ),
        }
    }
}
