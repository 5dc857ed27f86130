//! A row kernel bound to layouts, as data: its code, and the numbers that come of lengths and strides.
//!
//! Nothing here is an address. An argument says from what it is counted ([`Base`]): from the first element that a source or
//! sink has in the batch, or from the beginning of scratch.

use super::code::{RowCode, RowPass, SegmentCode};
use super::places::Places;
use crate::exec::operands::{Dimension, LoopNest};
use smallvec::SmallVec;
use std::sync::Arc;

/// A row kernel bound to arrays of certain shapes and strides.
pub(crate) struct RowLoops {
    pub(super) code: Arc<RowCode>,
    pub(super) row_length: usize,
    /// How many threads share the rows.
    pub(super) parts: usize,
    /// How many threads share each row.
    pub(super) row_parts: usize,
    /// The loops over rows; steps of the last one are batched.
    pub(super) nest: LoopNest,
    /// The row's own dimensions, if it has to be packed.
    pub(super) packed: Option<Box<LoopNest>>,
    /// Steps of a batch, at most.
    pub(super) batch: usize,
    pub(super) places: Places,
    /// Scratch of one thread, its arguments included.
    pub(super) scratch_bytes: usize,
    /// Where in scratch the arguments of the current batch are.
    pub(super) arguments_at: usize,
    /// Where in scratch code works; each of the threads that share a row has [`RowCode::code_scratch`] bytes there.
    pub(super) code_scratch_at: usize,
    /// The lengths of the code's segments, one for each.
    pub(super) segments: SmallVec<[SegmentLengths; 4]>,
    /// The arguments of all passes.
    pub(super) arguments: Vec<Argument>,
}

/// What the pointer of an argument is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The first element of this operand in the batch.
    Operand(usize),
    /// The first element of this operand in the next batch; in the last one, if there is no next.
    Ahead(usize),
    /// The beginning of scratch.
    Scratch,
}

/// How the elements of an argument go with those of the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Motion {
    /// Another one for each element.
    Moves,
    /// The same for the whole row.
    Stays,
    /// Results of a reduction, or strips of an accumulator.
    Accumulates,
}

/// An argument of a pass, but for the address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argument {
    pub(super) motion: Motion,
    pub(super) base: Base,
    /// Bytes behind the base.
    pub(super) offset: isize,
    pub(super) stride: isize,
    pub(super) outer_stride: isize,
}

/// How long a segment is.
#[derive(Clone, Copy)]
pub(super) struct SegmentLengths {
    /// How many elements a body does: 1 or 4.
    pub(super) bodies: usize,
    /// Elements of a chunk that each body does.
    pub(super) span: usize,
    pub(super) chunks: usize,
    /// The place of the first chunk's result among the row's.
    pub(super) result: usize,
}

impl RowLoops {
    /// The segments of a pass along the row, in order.
    pub(super) fn segments(&self, pass: &RowPass) -> impl Iterator<Item = (&SegmentCode, &SegmentLengths)> {
        self.code.segments[pass.segments.clone()].iter().zip(&self.segments[pass.segments.clone()])
    }

    /// How many results a reduction of a pass has a row: one for each chunk.
    pub(super) fn results(&self, pass: &RowPass) -> usize {
        self.segments[pass.segments.clone()].last().map_or(0, |last| last.result + last.chunks)
    }

    /// Scratch that one thread needs.
    pub(crate) fn thread_scratch(&self) -> usize {
        self.scratch_bytes
    }

    /// How many threads need scratch.
    pub(crate) fn threads(&self) -> usize {
        self.parts
    }

    /// Bytes it takes on the heap, its code not counted, which it shares.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<RowLoops>() + self.arguments.len() * size_of::<Argument>() + self.nest.len() * size_of::<Dimension>()
    }
}

impl Argument {
    #[inline(always)]
    pub(super) fn in_scratch(motion: Motion, offset: isize, stride: isize, outer_stride: isize) -> Argument {
        Argument { motion, base: Base::Scratch, offset, stride, outer_stride }
    }
}
