//! Why a view cannot be made.

use super::dtype::Dtype;
use super::layout::MAX_RANK;
use thiserror::Error;

/// Why a view cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// More axes than a view can have.
    #[error("rank {rank} is above the highest, {MAX_RANK}; merge neighbouring axes")]
    Rank {
        /// The rank asked for.
        rank: usize,
    },
    /// The slice does not have as many elements as the shape.
    #[error("shape {shape:?} has {expected} elements, but the slice has {length}")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The slice's number of elements.
        length: usize,
    },
    /// Bytes that are no whole number of elements.
    #[error("{bytes} bytes are no whole number of {dtype} elements")]
    Bytes {
        /// The dtype.
        dtype: Dtype,
        /// The slice's number of bytes.
        bytes: usize,
    },
    /// Not as many strides as axes.
    #[error("shape {shape:?} needs {} strides, but {strides} were given", shape.len())]
    Strides {
        /// The shape.
        shape: Vec<usize>,
        /// The number of strides.
        strides: usize,
    },
    /// An element outside the slice.
    #[error("shape {shape:?} with strides {strides:?} from offset {offset} leaves the slice of {length} elements")]
    OutOfBounds {
        /// The shape.
        shape: Vec<usize>,
        /// The strides in elements.
        strides: Vec<isize>,
        /// The place of the first element.
        offset: usize,
        /// The slice's number of elements.
        length: usize,
    },
    /// Two places of a written view that are one element.
    #[error(
        "shape {shape:?} with strides {strides:?} writes some element twice; give each place an element of its own"
    )]
    Overlapping {
        /// The shape.
        shape: Vec<usize>,
        /// The strides in elements.
        strides: Vec<isize>,
    },
    /// Two written views of one slice that share an element.
    #[error("shape {shape:?} with strides {strides:?} from offsets {offsets:?} shares elements between the two views")]
    Shared {
        /// The shape.
        shape: Vec<usize>,
        /// The strides in elements.
        strides: Vec<isize>,
        /// The places of the first elements.
        offsets: [usize; 2],
    },
}
