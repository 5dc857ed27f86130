//! What users hold: engines, functions, prepared calls, tile kernels, signatures, errors.
//!
//! A call checks names, dtypes, shapes and overlaps before a single element is touched, finds the plan bound to its arrays'
//! layouts ([`bound_cache`], [`flat`]), and runs it. Nothing is written if anything is wrong. After the first call of a
//! kind, a call allocates nothing and waits for no other thread.
//!
//! An output may be the very array of an input (*in place*) where the plan allows it: the input is read whole, element by
//! element as the output is written, and by no later pass. Every other overlap of an output is refused.

// Sizes and keys are never cut short: a key that was led to reads behind an array.
#![warn(clippy::cast_possible_truncation)]

mod ahead;
mod arrays;
mod bound_cache;
mod builder;
mod by_name;
mod calls;
mod compile;
mod engine;
mod error;
mod explanation;
mod flat;
mod function;
mod prepared;
mod signature;
mod tile;

pub use builder::{BackendChoice, EngineBuilder, UnknownBackend};
pub use engine::Engine;
pub use error::{CallError, CompileError, EngineError, Error};
pub use explanation::Explanation;
pub use function::Function;
pub use prepared::Prepared;
pub use signature::Signature;
pub use tile::Tile;
