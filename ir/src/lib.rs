//! What Fuselet computes: graphs of elementwise ops and reductions, without a machine in sight.
//!
//! Text ([`syntax`]), the builder ([`Expr`]) and named functions ([`library`]) make a [`Program`], and a program makes
//! a [`Graph`]. A graph is [verified](verify), [rewritten](rewrite) to fewer ops that keep every bit (or, on request,
//! to ones that hold for real numbers), and written as [JSON](json) where it has to travel. Its meaning is what
//! [`mod@reference`] computes in float64; [`ulp`] measures how far from that a result is.

#![forbid(unsafe_code)]

pub mod activations;
mod error;
mod expr;
pub mod graph;
pub mod json;
pub mod library;
pub mod op;
mod program;
pub mod reference;
pub mod rewrite;
pub mod shape;
pub mod special;
pub mod syntax;
pub mod ulp;
pub mod verify;

pub use error::Error;
pub use expr::Expr;
pub use graph::{Axes, Graph, Half, Node, NodeId};
pub use library::{Activation, ActivationError, Library};
pub use op::{Class, Kind, Op, Reduction};
pub use program::{IntoProgram, Meaning, Program};
