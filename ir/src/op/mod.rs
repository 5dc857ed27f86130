//! The operations a graph can hold: their table, and the float64 meanings that are more than one call of `libm`.

mod cast;
mod names;
// Rounding to whole numbers and back is what some of them are about.
#[allow(clippy::cast_possible_truncation)]
pub mod special;
mod storage;
mod table;

pub use storage::StorageType;
pub use table::{Class, Kind, Op, OpRow, Reduction, ReductionRow};
