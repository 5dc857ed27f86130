//! The builder: expressions as values of Rust, with operators.
//!
//! An [`Expr`] is an immutable expression, cheap to clone; clones share, so an expression may be a DAG. Library calls
//! stay calls until a graph is made ([`crate::Program::graph`]), because only then it is known whether the
//! textbook definition or the numerically good form is wanted. Everything that walks expressions, dropping included,
//! does it in loops: a chain of a million terms is as safe as one.
//!
//! ```
//! use fuselet_ir::{Expr, Library};
//! let (x, gate) = (Expr::input("x"), Expr::input("gate"));
//! let silu = Library::standard().activation("silu")?;
//! let y = silu.apply(&(&x * 2.0 + 1.0)) * gate;
//! assert_eq!(y.to_string(), "silu(x * 2 + 1) * gate");
//! # Ok::<(), fuselet_ir::Error>(())
//! ```

mod expand;
mod methods;
mod node;
mod operators;
mod program;
mod storage;

pub(crate) use expand::Budget;
pub use expand::Meaning;
pub use node::Expr;
pub(crate) use node::{Call, Operation};
pub use program::Program;
