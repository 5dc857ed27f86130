//! Element types, and borrowed strided views of arrays as calls take them.

mod dtype;
mod error;
mod layout;
#[cfg(feature = "ndarray")]
mod ndarray;
mod view;

pub use dtype::Dtype;
pub use error::ArrayError;
pub use layout::MAX_RANK;
pub(crate) use layout::{ArrayLayout, OwnedLayout};
pub use view::{ArrayMut, ArrayOut, ArrayRef, Element};
