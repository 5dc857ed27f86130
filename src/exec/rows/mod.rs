//! Row kernels: stages of passes along rows and across them.
//!
//! A row is everything along the reduced axes, merged into one dimension. Rows are run in batches, in one of two forms:
//! - [`Form::Span`]: the span is the row. A batch is a few neighbouring rows, one outer step of the code each.
//! - [`Form::Strip`]: the span is a strip of neighbouring rows, and the code steps along them: for axes that are not the
//!   last, without transposing, and for short rows, where lanes would be idle.
//!
//! Both sum in the same order, fixed by the row's length alone ([`crate::lane::combine_lanes`] and its neighbours say which). In
//! strip form lanes are strips of scratch.
//!
//! Binding a kernel ([`bind`]) depends on shapes and strides only, so what comes out ([`loops`]) is kept and run again ([`run`])
//! on other arrays. Most of it depends on less, on the [`class`] of the layouts: that part ([`code`]) is found once a class
//! ([`passes`]), and for another length only numbers are filled in ([`arguments`]).
//!
//! Reduced axes that do not merge (a transposed array, reduced over two axes that lie apart) are packed row by row into
//! scratch first; so are long rows that are summed and whose elements lie apart.

mod arguments;
mod batch;
mod bind;
mod chunks;
mod class;
mod code;
mod finish;
mod geometry;
mod loops;
mod pack;
mod passes;
mod places;
mod run;
mod span;
mod stages;
mod strip;

pub(crate) use bind::{RowRequest, bind};
pub(crate) use code::RowCodes;
pub(crate) use loops::RowLoops;

#[cfg(doc)]
use crate::codegen::write::Form;
