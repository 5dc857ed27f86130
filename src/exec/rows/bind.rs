//! Binding a row kernel to layouts: its form, its batches, where its values are kept.

use super::arguments::Arguments;
use super::geometry::{Geometry, varies};
use super::loops::RowLoops;
use super::passes::Passes;
use super::places;
use crate::codegen::write::{self, Form};
use crate::compile::Compiler;
use crate::exec::compiled::CompiledPlan;
use crate::exec::operands::{self, AlignedOperand, Dimension, LoopNest, Storage};
use crate::exec::scratch::{OutOfMemory, round_up};
use crate::lane::{GROUP, OperandArgument};
use crate::plan::KernelPlan;
use smallvec::SmallVec;

/// Rows shorter than this are run in strips even where the row itself is contiguous.
const SHORT_ROW: usize = 16;
/// Rows from this length on are split over threads where there are fewer rows than threads. Threads are woken for every stage:
/// with two of them, softmax of 200 000 elements takes longer than with one, softmax of a million less.
const SPLIT_ROW: usize = 1 << 19;
/// What a batch of whole rows is in memory should not exceed part of a second-level cache: what is read, kept and written of them.
/// (The passes compute too much to be slower there than in a first-level one.) The more a batch reads of an array at a time, the
/// better a machine fetches it ahead: masked softmax of (4096, 1024) takes 1.1 ns an element with batches of 256 KiB, 1.3 with half of
/// that, 1.6 with 32 KiB, and in cache no longer with either.
const SPAN_BYTES: usize = 256 << 10;
/// A sink of so many bytes is more than a core has of any cache. Its rows are written once, past caches, from a row kept in scratch:
/// where the row was kept in the sink itself, it filled caches and was written twice. Softmax of (4096, 1024) takes 0.37 to 0.44 ns an
/// element instead of 0.45 to 0.52, layer_norm 0.37 instead of 0.5. (Elementwise kernels gain nothing: a core that stores whole lines one
/// after the other does not read them first.)
const STREAM_BYTES: usize = 16 << 20;
/// Kept values of a strip should not exceed a second-level cache by much. Wide strips are read in order where they take in the whole
/// of the dimensions inside, and almost so elsewhere: softmax over axis 1 of (32, 64, 56, 56) takes 0.7 ns an element with strips of
/// up to 4096 lanes, 0.9 with 1024; the maximum over the first axis of (2000, 3000) takes 0.42 and 0.74.
const STRIP_BYTES: usize = 1 << 20;
/// A batch has at most this many rows, however short they are.
const MOST_ROWS: usize = 1024;
/// A strip has at most this many lanes: those of its accumulators should stay in a second-level cache.
const MOST_LANES: usize = 4096;

/// What a row kernel is bound to.
pub(crate) struct RowRequest<'a> {
    pub(crate) compiler: &'a Compiler,
    pub(crate) compiled: &'a CompiledPlan,
    pub(crate) kernel: usize,
    pub(crate) sizes: &'a [usize],
    /// The operands, aligned to the domain.
    pub(crate) aligned: &'a [AlignedOperand],
    /// Their dtypes.
    pub(crate) storage: &'a Storage,
    /// Bytes of the array of each sink.
    pub(crate) sink_bytes: &'a [usize],
    /// How many threads may share the work.
    pub(crate) parts: usize,
    /// Which sources are the very array of which sinks: (source, sink).
    pub(crate) same: &'a [(usize, usize)],
}

/// Binds a row kernel. `None` if there are no rows.
pub(crate) fn bind(request: &RowRequest<'_>) -> Result<Option<Box<RowLoops>>, OutOfMemory> {
    let RowRequest { compiled, sizes, aligned, storage, parts, same, .. } = *request;
    let plan = &compiled.plan.kernels[request.kernel];
    let rank = plan.domain.len();
    let size = compiled.dtype.size();
    let others = (0..rank).filter(|axis| !plan.axes.contains(axis));
    // The array that leads the order of walking: the first that is written along rows, else the first that is read.
    let leader = plan
        .sinks
        .iter()
        .position(|sink| sink.varying)
        .map(|at| plan.sources.len() + at)
        .or_else(|| plan.sources.iter().position(|source| source.varying));
    let Some(mut nest) = operands::nest(&plan.domain, sizes, others, aligned, leader) else { return Ok(None) };
    let none: SmallVec<[isize; 6]> = SmallVec::from_elem(0, aligned.len());
    if nest.is_empty() {
        nest.push(Dimension { length: 1, strides: none.clone() });
    }
    // The order of elements in a row is the row-major order of its axes, whatever the strides.
    let along = operands::nest(&plan.domain, sizes, plan.axes.iter().copied(), aligned, None);
    let empty = along.is_none();
    let mut along = along.unwrap_or_default();
    let row_length = if empty { 0 } else { along.iter().map(|dimension| dimension.length).product() };
    let mut row_strides: SmallVec<[isize; 6]> = match along.as_slice() {
        [one] => SmallVec::from_slice(&one.strides),
        _ => SmallVec::from_slice(&none),
    };
    let mut form = Form::Span;
    if along.len() <= 1 && !empty {
        form = choose_form(&mut nest, row_length, &row_strides, leader, |at| storage[at].size());
    }
    let long_sum = row_length >= GROUP && plan.stages.iter().any(write::sums);
    let apart = row_strides.iter().zip(storage).any(|(stride, dtype)| *stride != 0 && *stride != dtype.size() as isize);
    let packed =
        (along.len() > 1 || (form == Form::Span && long_sum && apart)).then(|| Box::new(std::mem::take(&mut along)));
    let mut batch_strides: SmallVec<[isize; 6]> = SmallVec::from_slice(&nest[nest.len() - 1].strides);
    let mut batched = nest[nest.len() - 1].length;
    if packed.is_some() {
        row_strides =
            (0..aligned.len()).map(|at| if varies(plan, at) { storage[at].size() as isize } else { 0 }).collect();
        (batch_strides, batched) = (none, 1);
    }
    let longest = nest.iter().map(|dimension| dimension.length).max().unwrap_or(1);
    // Too few rows for all threads: each row is split, if it is long.
    let split = form == Form::Span && longest < parts && row_length >= SPLIT_ROW;
    let row_parts = if split { parts } else { 1 };
    let streams = streams(plan, form, &row_strides, &batch_strides);
    let batch = batch_rows(form, row_length.saturating_mul(streams * size)).min(batched).max(1);
    let non_temporal = plan.sinks.iter().zip(request.sink_bytes).enumerate().map(|(at, (sink, bytes))| {
        let in_place = same.iter().any(|(_, other)| *other == at);
        sink.varying && *bytes >= STREAM_BYTES && !in_place && packed.is_none()
    });
    let non_temporal = non_temporal.collect();
    let geometry = Geometry {
        plan,
        form,
        size,
        storage,
        row_length,
        batch,
        shared: split,
        row_strides,
        batch_strides,
        non_temporal,
        same,
    };
    let code = compiled.rows.of(geometry.class(request.kernel), || {
        Passes { compiler: request.compiler, compiled, kernel: request.kernel, geometry: &geometry }.find()
    });
    let (places, arguments_at) = places::lay_out(&code, plan.scalars.len(), row_length, batch, size, packed.is_some())?;
    let (segments, arguments) = Arguments { geometry: &geometry, code: &code, places: &places }.fill();
    let bytes = arguments.len().saturating_mul(size_of::<OperandArgument>());
    let code_scratch_at = arguments_at.saturating_add(round_up(bytes));
    let scratch_bytes = code_scratch_at.saturating_add(code.code_scratch.saturating_mul(row_parts));
    Ok(Some(Box::new(RowLoops {
        code,
        row_length,
        parts: if row_parts > 1 { 1 } else { parts },
        row_parts,
        nest,
        packed,
        batch,
        places,
        scratch_bytes,
        arguments_at,
        code_scratch_at,
        segments,
        arguments,
    })))
}

/// Chooses the form, and puts the dimension that is to be the strip, or the batch, last in the nest of rows.
fn choose_form(
    rows: &mut LoopNest,
    row_length: usize,
    row_strides: &[isize],
    leader: Option<usize>,
    size_of: impl Fn(usize) -> usize,
) -> Form {
    let is_contiguous =
        |strides: &[isize]| leader.is_some_and(|leader| strides[leader].unsigned_abs() == size_of(leader));
    let contiguous_row = is_contiguous(row_strides);
    if contiguous_row && row_length >= SHORT_ROW {
        return Form::Span;
    }
    // The best strip: contiguous if there is one, else the longest.
    let strip = (0..rows.len())
        .max_by_key(|at| (is_contiguous(&rows[*at].strides) && rows[*at].length >= 4, rows[*at].length))
        .unwrap_or(0);
    if rows[strip].length < 4 {
        return Form::Span;
    }
    let strip = rows.remove(strip);
    rows.push(strip);
    Form::Strip
}

/// How many rows of memory a row is, as far as batches are concerned: of spans all that is read, kept and written, of strips
/// what is kept.
fn streams(plan: &KernelPlan, form: Form, row_strides: &[isize], batch_strides: &[isize]) -> usize {
    if form != Form::Span {
        return plan.kept.len().max(1);
    }
    let moving = row_strides.iter().zip(batch_strides).filter(|(row, batch)| **row != 0 && **batch != 0).count();
    // Kept values lie where sinks will be.
    let sinks = plan.sinks.iter().filter(|sink| sink.varying).count();
    (moving + plan.kept.len().saturating_sub(sinks)).max(1)
}

/// How many rows of so many bytes make a batch.
fn batch_rows(form: Form, row_bytes: usize) -> usize {
    let (budget, least, most) = match form {
        Form::Span => (SPAN_BYTES, 1, MOST_ROWS),
        // A strip must fill vectors, whatever the row's length.
        _ => (STRIP_BYTES, 32, MOST_LANES),
    };
    (budget / row_bytes.max(1)).clamp(least, most)
}
