//! Backends: a pass in, code out.
//!
//! A backend compiles one [`Pass`] at a time. It never decides what a pass means: bits are fixed by the lane ops and by
//! the accumulators' lanes ([`crate::lane`]), so all backends agree, and one suite (`tests/backend_suite`) demands it of
//! each. The interpreter is the judge and the fallback; Cranelift serves every target it has; the wide backend is for
//! x86-64 with AVX2 or AVX-512. Around these two the engine puts [`InParts`], which cuts long passes.

pub mod code_memory;
pub mod cranelift;
pub mod disassembly;
mod fission;
pub mod interpreter;
pub mod isa;
#[cfg(target_arch = "x86_64")]
pub mod wide;
pub(crate) mod write;

pub use fission::InParts;

use crate::lane::{OperandArgument, Pass};
use std::sync::Arc;
use thiserror::Error;

/// Why a backend could not compile a pass.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The pass asks for what this backend or machine does not have.
    #[error("the {backend} backend cannot compile pass `{pass}`: {reason}")]
    Unsupported {
        /// The backend.
        backend: String,
        /// The pass.
        pass: String,
        /// What is missing.
        reason: String,
    },
    /// The machine does not let this process make executable memory, or has no code generator.
    #[error("the {backend} backend cannot generate code here: {reason}")]
    Unavailable {
        /// The backend.
        backend: String,
        /// What the system said.
        reason: String,
    },
}

/// Something that compiles passes.
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// The name users see, the level included: `cranelift avx-fma`.
    fn name(&self) -> String;

    /// Whether the machine it compiles for has a fused multiply-add; lowering asks before it writes programs.
    fn has_fma(&self) -> bool;

    /// Bodies of more operations than this are better run as several loops ([`crate::lane::split`]).
    fn long_body(&self) -> usize {
        usize::MAX
    }

    /// Compiles a pass. The pass obeys [`Pass::verify`].
    ///
    /// # Errors
    /// What is missing; the engine then falls back to the interpreter.
    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError>;

    /// Compiles passes that live and die together, such as the parts of a long one; their code may share memory.
    ///
    /// # Errors
    /// As [`Backend::compile`], for the first pass that cannot be compiled.
    fn compile_all(&self, passes: &[Pass]) -> Result<Vec<Arc<dyn Code>>, BackendError> {
        passes.iter().map(|pass| self.compile(pass)).collect()
    }
}

/// A compiled pass. Dropping the last handle frees its memory.
pub trait Code: Send + Sync + std::fmt::Debug {
    /// Runs the pass: `outer` spans of `span` elements each. Either may be 0 (accumulators of `outer` empty spans are
    /// still written: they hold the identity).
    ///
    /// # Safety
    /// `operands` has one entry for each operand of the pass, in order. For every outer index `o < outer` and element
    /// `i < span`, the address `pointer + o · outer_stride + place(i) · step`
    /// ([`Layout::place`](crate::lane::Layout::place); step: `stride` if strided, else the element size) is valid for
    /// reads, and for writes where the operand is written; an accumulator's `pointer + o · outer_stride` is valid for
    /// writes of one element, and that of a prefetched operand for nothing. A broadcast operand is read only if `span`
    /// is not 0. Elements need not be aligned. A written element is no element of another operand, unless both are the
    /// same element at the same `o` and `i` (in place). Spans run in order: where both outer strides are 0, a span
    /// reads what the one before it wrote.
    unsafe fn run(&self, operands: &[OperandArgument], span: usize, outer: usize);

    /// The size of the machine code in bytes; 0 for an interpreter.
    fn code_size(&self) -> usize;

    /// How the pass is run where it is not one loop, in a few words: in how many parts, over tiles of what length.
    fn arrangement(&self) -> Option<String> {
        None
    }

    /// The machine code, disassembled, one instruction a line; `None` where there is none.
    fn disassembly(&self) -> Option<String> {
        None
    }

    /// The intermediate form the backend compiled (Cranelift's CLIF, say), if it keeps or can remake one.
    fn intermediate(&self) -> Option<String> {
        None
    }
}
