//! Backends: a pass in, code out.
//!
//! A backend compiles one [`Pass`](crate::lane::Pass) at a time. It never decides what a pass means: bits are fixed by
//! the lane ops and by the accumulators' lanes ([`crate::lane`]), so all backends agree, and one suite
//! (`tests/backend_suite`) demands it of each. The interpreter is the judge and the fallback; Cranelift serves every
//! target it has; the wide backend is for x86-64 with AVX2 or AVX-512. Around these two the engine puts [`InParts`],
//! which cuts long passes.
//!
//! A backend that generates code does it in two steps: bytes with what has to be known of them ([`machine_code`]), then
//! memory they can be run in ([`code_memory`]). [`native`] is what both come to: code that runs.

mod backend;
#[cfg(any(feature = "cranelift", all(feature = "wide", target_arch = "x86_64")))]
pub mod code_memory;
#[cfg(feature = "cranelift")]
pub mod cranelift;
pub mod disassembly;
mod fission;
pub mod interpreter;
pub mod isa;
#[cfg(any(feature = "cranelift", all(feature = "wide", target_arch = "x86_64")))]
pub mod machine_code;
#[cfg(any(feature = "cranelift", all(feature = "wide", target_arch = "x86_64")))]
mod native;
mod scratch;
pub(crate) mod stack;
#[cfg(all(feature = "wide", target_arch = "x86_64"))]
pub mod wide;
pub(crate) mod write;

pub use backend::{Backend, BackendError, Code};
pub use fission::InParts;
pub use scratch::SCRATCH_ALIGNMENT;
