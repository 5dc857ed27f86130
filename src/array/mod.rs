//! Element types, and borrowed strided views of arrays as calls take them.

// Sizes and keys are never cut short: a key that was led to reads behind an array.
#![warn(clippy::cast_possible_truncation)]

pub(crate) mod convert;
mod dtype;
mod error;
mod layout;
#[cfg(feature = "ndarray")]
mod ndarray;
mod untyped;
mod view;

pub use dtype::{ComputeDtype, Dtype, UnknownDtype};
pub use error::ArrayError;
pub use layout::MAX_RANK;
pub(crate) use layout::{ArrayLayout, OwnedLayout};
pub use view::{ArrayMut, ArrayOut, ArrayRef, Element};
