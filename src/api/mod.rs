//! Compiled functions and their calls: what is checked before a single element is touched.
//!
//! A call checks names, dtypes, shapes and aliasing, finds the plan of its inputs' pattern, and runs it. Nothing is
//! written if anything is wrong. After the first call of a pattern and layout, a call allocates nothing and takes no
//! lock.
//!
//! An output may be the very array of an input (*in place*) where the plan allows it: the input is read whole, element by
//! element as the output is written, and by no later pass. Every other overlap of an output is refused.

mod builder;
mod call;
pub(crate) mod engine;
mod error;
mod flat;
mod known;
mod laid_out;
mod prebound;

pub use builder::{BackendChoice, EngineBuilder, EngineError};
pub use call::Fused;
pub use engine::{CompileError, Engine};
pub use error::CallError;
pub use prebound::{Explanation, Kernel, Signature};
