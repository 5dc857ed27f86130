//! Lowering: graph ops become primitive lane ops.
//!
//! Each op is expanded here, once, before any backend sees it; so every backend computes the same bits, and common
//! subexpressions of different functions are shared. [`lower`] is the only `match` over all ops outside the op table.
//!
//! What an op becomes depends on its node and the nodes of its arguments, never on the lanes they became: two kernels that
//! hold one node, one computing its argument and the other loading it, must give it the same bits. What is constant is
//! therefore settled in the graph, before planning ([`constants`]).

mod constants;
pub mod math;
mod node;

pub(crate) use constants::fold_constants;
pub use node::lower;
pub(crate) use node::{lower_node, part_of_sum};
