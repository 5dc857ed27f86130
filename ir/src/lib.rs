//! What Fuselet computes: graphs of elementwise ops and reductions, without a machine in sight.
//!
//! Text ([`language`]), the builder ([`Expr`]) and named functions ([`library`]) make a [`Program`], and a program makes
//! a [`Graph`]. A graph is [verified](verify), [rewritten](rewrite) to fewer ops that keep every bit (or, on request,
//! to ones that hold for real numbers), and written as [JSON](json) where it has to travel. Its meaning is what
//! [`mod@reference`] computes in float64; [`ulp`] measures how far from that a result is.
//!
//! Each folder uses those above it in this table, and no others:
//!
//! | folder | holds |
//! |---|---|
//! | [`op`] | the table of operations and their float64 meanings |
//! | [`graph`] | nodes, the arena, shapes, invariants, JSON; beside it [`rewrite`] and [`mod@reference`] |
//! | `error` | what can be wrong between a text and a graph |
//! | `expr` | the builder, what a call is, programs and their graphs |
//! | [`library`] | functions, their parameters, the registry |
//! | [`language`] | texts to functions and programs, and back |
//! | [`keras`], [`document`], [`activations`] | configs, serde, typed constructors |

#![forbid(unsafe_code)]
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod activations;
mod choice;
mod display;
pub mod document;
mod error;
mod expr;
pub mod graph;
pub mod keras;
pub mod language;
pub mod library;
mod nearest;
pub mod op;
pub mod reference;
// Rounding to float32 is what is asked there.
#[allow(clippy::cast_possible_truncation)]
pub mod rewrite;
// Bits are taken for whole numbers, signs included.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
pub mod ulp;
mod value;

pub use choice::UnknownName;
pub use error::Error;
pub use expr::{Expr, Meaning, Program};
pub use graph::{Axes, Graph, Half, Node, NodeId, json, shape, verify};
pub use language::IntoProgram;
pub use library::{Activation, ActivationError, Library};
pub use op::{Class, Kind, Op, Reduction, StorageType, special};

/// The README's Rust blocks, run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
