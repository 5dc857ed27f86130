//! Element types, and borrowed strided views of arrays as calls take them.

mod dtype;
mod view;

pub use dtype::Dtype;
pub(crate) use view::Placement;
pub use view::{Element, Input, MAX_RANK, Output, TensorError, TensorMut, TensorRef};
