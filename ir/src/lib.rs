//! What Fuselet computes: graphs of elementwise ops and reductions, without a machine in sight.
//!
//! A [`Graph`] is [verified](verify), [rewritten](rewrite) to fewer ops that keep every bit (or, on request, to ones
//! that hold for real numbers), and written as [JSON](json) where it has to travel. Its meaning is what
//! [`mod@reference`] computes in float64; [`ulp`] measures how far from that a result is.

#![forbid(unsafe_code)]

pub mod graph;
pub mod json;
pub mod op;
pub mod reference;
pub mod rewrite;
pub mod shape;
pub mod special;
pub mod ulp;
pub mod verify;

pub use graph::{Axes, Graph, Half, Node, NodeId};
pub use op::{Class, Kind, Op, Reduction};
