//! What a backend is, and what it makes.

use super::scratch;
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
    /// The backend is not part of this build of the library.
    #[error("the {backend} backend is not in this build; it comes with the feature `{backend}` of the crate `fuselet`")]
    NotBuilt {
        /// The backend, and the feature.
        backend: &'static str,
    },
    /// The backend panicked, which is a defect of it or of this library.
    #[error("the {backend} backend panicked while it compiled pass `{pass}`: {reason}")]
    Panicked {
        /// The backend.
        backend: String,
        /// The pass.
        pass: String,
        /// What it said.
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
    /// How many bytes a run needs to work in, beside its operands; the same for every run. Whoever runs code takes them
    /// before anything is written, so that a call that cannot have them has done nothing.
    fn scratch_bytes(&self) -> usize {
        0
    }

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
    ///
    /// `scratch` is aligned to [`SCRATCH_ALIGNMENT`](super::SCRATCH_ALIGNMENT), valid for reads and writes of
    /// [`Code::scratch_bytes`], and no part of an operand; what is in it is of no matter, before and after. It may be
    /// anything where no bytes are needed.
    unsafe fn run_in(&self, operands: &[OperandArgument], span: usize, outer: usize, scratch: *mut u8);

    /// Runs the pass in scratch allocated for the occasion; for probes and tests.
    ///
    /// # Safety
    /// As [`Code::run_in`].
    unsafe fn run(&self, operands: &[OperandArgument], span: usize, outer: usize) {
        let mut scratch = scratch::Lines::new(self.scratch_bytes());
        // SAFETY: the caller's promise; scratch is new.
        unsafe { self.run_in(operands, span, outer, scratch.start()) }
    }

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
