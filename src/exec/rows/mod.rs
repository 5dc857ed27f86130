//! Runs row kernels: stages of passes along rows and across them.
//!
//! A row is everything along the reduced axes, merged into one dimension. Rows are run in batches, in one of two forms:
//! - [`Form::Span`]: the span is the row. A batch is a few neighbouring rows, one outer step of the code each.
//! - [`Form::Strip`]: the span is a strip of neighbouring rows, and the code steps along them: for axes that are not the
//!   last, without transposing, and for short rows, where lanes would be idle.
//!
//! Both sum in the same order, fixed by the row's length alone. A row is cut into *chunks*: blocks of [`BLOCK`] elements;
//! of what is left, as many whole groups of [`CYCLE`] · 32 elements as there are; then as many fours as there are; then at
//! most three elements. All but the last are taken four elements at a time, which are 32 apart (in a chunk shorter than a
//! group, a quarter of it), and go as (first + second) + (third + fourth) to lane `i mod 32`, `i` counting the fours; so there
//! is one step of an accumulator for four elements, and memory is met in order. The lanes of a chunk combine by the fixed
//! tree, and chunks add up in float64 in ascending order. In strip form lanes are strips of scratch.
//!
//! Binding a kernel ([`loops`], [`passes`]) costs ten times what a small one takes; it depends on shapes and strides only, so
//! what comes out is kept and run again ([`batch`]) on other arrays.
//!
//! Reduced axes that do not merge (a transposed array, reduced over two axes that lie apart) are packed row by row into
//! scratch first; so are long rows that are summed and whose elements lie apart.

mod batch;
mod finish;
mod loops;
mod pack;
mod passes;
mod places;
mod span;
mod strip;

pub(crate) use loops::{RowLoops, RowRequest, bind};

use crate::lane::{ACCUMULATOR_LANES, CYCLE};

#[cfg(doc)]
use crate::codegen::write::Form;

/// Elements of a row that lanes add up in the storage precision before float64 takes over: 8 fours a lane, so that
/// the error of a block is at most 2 (fours) + 7 (lanes) + 5 (tree) roundings, and about 1 ULP in practice
/// (`tests/row_sums.rs` holds it to 4). Library forms that sum in two exact parts rely on it too: `Reduction::SumHigh`.
pub(crate) const BLOCK: usize = 1024;

/// Elements that four bodies do in turns of the lanes of an accumulator.
const GROUP: usize = CYCLE * ACCUMULATOR_LANES;
