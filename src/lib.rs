//! Fuselet: fused neural-network activations and elementwise arithmetic, compiled to native loops at run time.

pub mod backend;
pub mod code_memory;
pub mod dtype;
mod engine;
pub mod fuse;
pub mod isa;
mod kernel;
pub mod lane;
pub mod lower;
mod run;
mod tensor;

pub use dtype::Dtype;
pub use engine::{BackendChoice, CompileError, Compiled, Engine, EngineBuilder, EngineError, Event, Verify};
pub use fuse::Fusion;
pub use isa::Isa;
pub use kernel::{CallError, Explanation, Fused, Kernel, Signature};
pub use tensor::{Element, Input, MAX_RANK, Output, TensorError, TensorMut, TensorRef};

pub use fuselet_ir as ir;
