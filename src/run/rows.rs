//! Runs row kernels: stages of passes along rows and across them.
//!
//! A row is everything along the reduced axes, merged into one dimension. Rows are run in batches, in one of two forms:
//! - [`Form::Span`]: the span is the row. A batch is a few neighbouring rows, one outer step of the code each.
//! - [`Form::Strip`]: the span is a strip of neighbouring rows, and the code steps along them: for axes that are not the
//!   last, without transposing, and for short rows, where lanes would be idle.
//!
//! Both sum in the same order, fixed by the row's length alone. A row is cut into blocks of [`BLOCK`] elements, the last
//! one shorter. A block is cut into quarters (what does not fit, at most three elements, is a block of its own, of one
//! quarter); element `i` of each quarter is added up, (first + second) + (third + fourth), and goes to lane `i mod 32`; the
//! lanes combine by the fixed tree, and blocks add up in float64 in ascending order. In strip form lanes are strips of
//! scratch. The quarters are what code does at a time, so that there is one step of an accumulator for four elements.
//!
//! Reduced axes that do not merge (a transposed array, reduced over two axes that lie apart) are packed row by row into
//! scratch first.

mod batch;
mod finish;
mod pack;
mod span;
mod strip;

use super::operands::{self, Bound, Dimension, Nest};
use super::prepared::{PreparedKernel, PreparedPlan};
use super::scratch::OutOfMemory;
use super::{Arrays, Mode, threads};
use crate::engine::Engine;
use crate::fuse::{Form, KernelPlan};
use batch::{Rows, Task};
use smallvec::SmallVec;

/// Elements of a row that lanes add up in the storage precision before float64 takes over: 8 quadruples a lane, so that
/// the error of a block is at most 2 (quadruples) + 7 (lanes) + 5 (tree) roundings, and about 1 ULP in practice
/// (`tests/rows.rs` holds it to 4). Library forms that sum in two exact parts rely on it too: `Reduction::SumHigh`.
pub(crate) const BLOCK: usize = 1024;

/// Rows shorter than this are run in strips even where the row itself is contiguous.
const SHORT_ROW: usize = 16;

/// Rows from this length on are split over threads where there are fewer rows than threads. Threads are woken for every stage:
/// with two of them, softmax of 200 000 elements takes longer than with one, softmax of a million less.
const SPLIT_ROW: usize = 1 << 19;

/// Runs the kernel.
///
/// # Safety
/// As [`super::run`].
pub(crate) unsafe fn run(
    engine: &Engine,
    prepared: &PreparedPlan,
    kernel: &PreparedKernel,
    plan: &KernelPlan,
    arrays: &Arrays<'_>,
) -> Result<(), OutOfMemory> {
    let rank = plan.domain.len();
    let sources = plan.sources.iter().map(|source| operands::bind_source(source, arrays.get(source.buffer), rank));
    let sinks = plan.sinks.iter().map(|sink| operands::bind(arrays.get(sink.buffer), &[], rank));
    let bounds: SmallVec<[Bound; 8]> = sources.chain(sinks).collect();
    let size = prepared.dtype.size();
    let others = (0..rank).filter(|axis| !plan.axes.contains(axis));
    // The array that leads the order of walking: the first that is written along rows, else the first that is read.
    let leader = plan
        .sinks
        .iter()
        .position(|sink| sink.varying)
        .map(|at| plan.sources.len() + at)
        .or_else(|| plan.sources.iter().position(|source| source.varying));
    let Some(mut rows) = operands::nest(&plan.domain, arrays.sizes, others, &bounds, leader) else {
        return Ok(());
    };
    if rows.is_empty() {
        rows.push(Dimension { length: 1, strides: SmallVec::from_elem(0, bounds.len()) });
    }
    // The order of elements in a row is the row-major order of its axes, whatever the strides.
    let along = operands::nest(&plan.domain, arrays.sizes, plan.axes.iter().copied(), &bounds, None);
    let empty = along.is_none();
    let along = along.unwrap_or_default();
    let packed = along.len() > 1;
    let row_length = if empty { 0 } else { along.iter().map(|dimension| dimension.length).product() };
    let row_strides: SmallVec<[isize; 8]> = match along.as_slice() {
        [one] => one.strides.clone(),
        _ => SmallVec::from_elem(0, bounds.len()),
    };
    let form =
        if packed || empty { Form::Span } else { choose_form(&mut rows, row_length, &row_strides, leader, size) };
    let mut task = Task { engine, prepared, kernel, plan, form, row_length, size, mode: arrays.mode, parts: 1 };
    let rows = Rows { bounds, row_strides, nest: rows, along };
    let elements = rows.nest.iter().fold(row_length.max(1), |product, d| product.saturating_mul(d.length));
    let parts = if arrays.mode == Mode::Run { threads::parts(engine, elements, kernel.work) } else { 1 };
    if parts == 1 {
        // SAFETY: the caller's promise, for all rows.
        return unsafe { task.run(&rows) };
    }
    let longest = (0..rows.nest.len()).max_by_key(|at| rows.nest[*at].length).unwrap_or(0);
    // Too few rows for all threads: each row is split, if it is long.
    if rows.nest[longest].length < parts && form == Form::Span && row_length >= SPLIT_ROW {
        task.parts = parts;
        // SAFETY: the caller's promise, for all rows.
        return unsafe { task.run(&rows) };
    }
    let grain = if form == Form::Strip && longest == rows.nest.len() - 1 { 64 } else { 1 };
    let failed = std::sync::Mutex::new(None);
    threads::split(rows.nest[longest].length, grain, parts, |first, count| {
        let part = rows.part(longest, first, count);
        // SAFETY: the caller's promise, for rows that no other thread has.
        if let Err(error) = unsafe { task.run(&part) } {
            *failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
        }
    });
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Chooses the form, and puts the dimension that is to be the strip, or the batch, last in the nest of rows.
fn choose_form(rows: &mut Nest, row_length: usize, row_strides: &[isize], leader: Option<usize>, size: usize) -> Form {
    let stride_of = |strides: &[isize]| leader.map_or(0, |leader| strides[leader].unsigned_abs());
    let contiguous_row = stride_of(row_strides) == size;
    if contiguous_row && row_length >= SHORT_ROW {
        return Form::Span;
    }
    // The best strip: contiguous if there is one, else the longest.
    let strip = (0..rows.len())
        .max_by_key(|at| (stride_of(&rows[*at].strides) == size && rows[*at].length >= 4, rows[*at].length))
        .unwrap_or(0);
    if rows[strip].length < 4 {
        return Form::Span;
    }
    let strip = rows.remove(strip);
    rows.push(strip);
    Form::Strip
}
