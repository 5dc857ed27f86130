//! The operations a graph can hold: their table, and the float64 meanings that are more than one call of `libm`.

pub mod special;
mod table;

pub use table::{Class, Kind, Op, OpRow, Reduction, ReductionRow};
