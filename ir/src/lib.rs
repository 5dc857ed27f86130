//! What Fuselet computes: graphs of elementwise ops and reductions, without a machine in sight.

#![forbid(unsafe_code)]

pub mod graph;
pub mod op;
pub mod reference;
pub mod shape;
pub mod special;
pub mod ulp;

pub use graph::{Axes, Graph, Half, Node, NodeId};
pub use op::{Class, Kind, Op, Reduction};
