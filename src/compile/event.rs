//! What an engine tells its user of.
//!
//! Events are told once what they tell of is done and kept, and no lock is held meanwhile: a subscriber may call the
//! engine, even the very function whose call caused the event, and may panic; so may a logger.

use crate::codegen::BackendError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is called for every event.
pub(crate) type Subscriber = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something an engine did that its user may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A function was planned, at its first call for a pattern of shapes.
    #[non_exhaustive]
    Planned {
        /// How many kernels it has become.
        kernels: usize,
        /// How long planning took.
        time: Duration,
    },
    /// A pass was compiled. What the cache already holds is not.
    #[non_exhaustive]
    Compiled {
        /// The pass.
        pass: String,
        /// What runs it: the engine's backend, or the interpreter (then a [`Event::FellBack`] or [`Event::Mismatch`] came
        /// before).
        backend: String,
        /// The size of the machine code; 0 for the interpreter.
        bytes: usize,
        /// How long compiling took, checking with [`Verify::OnCompile`](crate::Verify::OnCompile) included.
        time: Duration,
    },
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

impl Event {
    /// Whether something is not as it was asked for, and not just a step on the way.
    pub fn is_warning(&self) -> bool {
        match self {
            Event::Planned { .. } | Event::Compiled { .. } => false,
            Event::FellBack { .. } | Event::Mismatch { .. } => true,
        }
    }

    /// The level it is logged at.
    pub(super) fn level(&self) -> log::Level {
        if self.is_warning() { log::Level::Warn } else { log::Level::Debug }
    }

    /// Tells subscribers of the crate `tracing`, with what the event holds as fields.
    #[cfg(feature = "tracing")]
    pub(super) fn trace(&self) {
        match self {
            Event::Planned { kernels, time } => tracing::debug!(target: "fuselet", kernels, ?time, "planned"),
            Event::Compiled { pass, backend, bytes, time } => tracing::debug!(
                target: "fuselet",
                pass = pass.as_str(),
                backend = backend.as_str(),
                bytes,
                ?time,
                "compiled",
            ),
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
            Event::Planned { kernels: 1, time } => write!(formatter, "planned 1 kernel in {time:.1?}"),
            Event::Planned { kernels, time } => write!(formatter, "planned {kernels} kernels in {time:.1?}"),
            Event::Compiled { pass, backend, bytes, time } => {
                write!(formatter, "`{pass}` compiled by {backend} to {bytes} bytes in {time:.1?}")
            }
            Event::FellBack { pass, error } => write!(formatter, "`{pass}` runs in the interpreter: {error}"),
            Event::Mismatch { pass, backend, operand, element, expected, found } => write!(
                formatter,
                "`{pass}` runs in the interpreter: {backend} gave {found:#x} instead of {expected:#x} at {operand}[{element}]"
            ),
        }
    }
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};

    /// Keeps the fields of events as text.
    #[derive(Default)]
    struct Recorder {
        events: Mutex<Vec<String>>,
        spans: AtomicU64,
    }

    struct Fields(String);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!("{field}={value:?} "));
        }
    }

    impl tracing::Subscriber for Recorder {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.target() == "fuselet"
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            let mut fields = Fields(format!("{} ", event.metadata().level()));
            event.record(&mut fields);
            self.events.lock().expect("nobody panics with it").push(fields.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn events_reach_subscribers_of_tracing_with_their_fields() {
        let recorder = Arc::new(Recorder::default());
        tracing::subscriber::with_default(recorder.clone(), || {
            let error = BackendError::Unavailable { backend: "wide".to_owned(), reason: "no".to_owned() };
            Event::FellBack { pass: "silu".to_owned(), error }.trace();
        });
        let events = recorder.events.lock().expect("nobody panics with it").clone();
        assert_eq!(events.len(), 1);
        assert!(events[0].starts_with("WARN") && events[0].contains("pass=\"silu\""), "{events:?}");
    }
}
