//! From a pass to its code: the cache of compiled passes, the interpreter as fallback, and checking new code against it.
//!
//! Knows lane programs and backends, no arrays. Compiled passes are shared through the cache ([`cache`]): bounded in bytes,
//! one compile a key however many threads ask. Where a backend cannot compile a pass, the interpreter takes it, and an
//! [`Event`] says so. With [`Verify::OnCompile`] so does code whose results differ from the interpreter's on probe
//! values ([`probe`]).

// Sizes and keys are never cut short: a key that was led to reads behind an array.
#![warn(clippy::cast_possible_truncation)]

mod cache;
mod compiled;
mod compiler;
mod event;
#[allow(clippy::cast_possible_truncation, reason = "it draws numbers, and takes them apart")]
mod probe;

pub use cache::CacheUsage;
pub use compiled::Compiled;
pub(crate) use compiler::Compiler;
pub use compiler::Verify;
pub use event::Event;
pub(crate) use event::Subscriber;
