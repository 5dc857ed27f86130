//! Fuselet: fused neural-network activations and elementwise arithmetic, compiled to native loops at run time.

pub mod backend;
pub mod code_memory;
pub mod dtype;
pub mod fuse;
pub mod isa;
pub mod lane;
pub mod lower;
