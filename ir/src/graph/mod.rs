//! The graph: what to compute, as hash-consed SSA.
//!
//! A [`Graph`] is an arena of [`Node`]s in topological order: every node comes after its arguments, and no two nodes
//! are equal, so common subexpressions are shared from the start and the order is the same on every run. Ids are
//! `Copy` and belong to the graph that gave them out. Constants are float64 bit patterns; a backend rounds them to
//! the dtype it computes in. Shapes are not stored: [`shape::infer`] finds them for given input shapes.
//!
//! Labels remember which nodes are the results of named functions (`gelu`, `softmax(axis = 1)`); they mean nothing to
//! the value, name things in reports, and mark the kernel boundaries of unfused execution.
//!
//! A graph is [verified](verify) where it comes from strangers, and written as [JSON](json) where it has to travel.

mod arena;
pub mod json;
mod node;
pub mod shape;
pub mod verify;

pub use arena::Graph;
pub use node::{Arguments, Axes, Half, Label, Node, NodeId, Output};
