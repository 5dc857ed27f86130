//! A pass with its code: what compiling gives, and what is kept of it.

use crate::codegen::Code;
use crate::lane::Pass;
use std::sync::Arc;

/// A pass with its code.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What was compiled.
    pub pass: Arc<Pass>,
    /// The code.
    pub code: Arc<dyn Code>,
    /// The backend that made it.
    pub backend: String,
}
