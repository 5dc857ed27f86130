//! The library: functions defined in the language, and the registry that holds them.
//!
//! [`Library::standard`] holds the activations of `library/activations.fuse`. An embedding program adds its own with
//! [`Library::define`], from any thread: a [`Library`] is a handle, clones share one registry, and whoever is
//! reading keeps what was there when the reading began. Names bind when they are used in a definition, so replacing a
//! function never changes another one.
//!
//! What a function computes is written in the language, which stands above: a function holds its body as a
//! `Body`, and reading texts is a matter of [`crate::language`].

mod activation;
mod function;
mod parameter;
mod registry;

pub use crate::error::ActivationError;
pub use crate::value::Value;
pub use activation::Activation;
pub use function::Function;
pub(crate) use function::{Body, Callees, Entry, MAX_HEIGHT, Part};
pub use parameter::{Parameter, ParameterType};
pub use registry::Library;
pub(crate) use registry::{Functions, Table};
