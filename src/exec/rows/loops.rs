//! A row kernel bound to layouts, as data: its form, its batches, its passes and where their arguments are.
//!
//! Nothing here is an address. An argument says from what it is counted ([`Base`]): from the first element that a source or
//! sink has in the batch, or from the beginning of scratch.

use super::places::Places;
use crate::array::Dtype;
use crate::codegen::Code;
use crate::codegen::write::Form;
use crate::exec::operands::{Dimension, LoopNest};
use crate::lane::ReductionOperator;
use crate::plan::Condition;
use fuselet_ir::Reduction;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Arc;

/// A row kernel bound to arrays of certain shapes and strides, with its code. Sources, then sinks, are its *operands*.
pub(crate) struct RowLoops {
    /// How many of the operands are sources.
    pub(super) sources: usize,
    /// Which operands vary along the row.
    pub(super) varying: SmallVec<[bool; 8]>,
    pub(super) form: Form,
    pub(super) dtype: Dtype,
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
    /// Where in scratch code works, and how many bytes each of the threads that share a row has there.
    pub(super) code_scratch_at: usize,
    pub(super) code_scratch: usize,
    pub(super) stages: Vec<StageCode>,
    /// The segments of all passes along rows.
    pub(super) segments: Vec<Segment>,
    /// The arguments of all passes.
    pub(super) arguments: Vec<Argument>,
    /// In strip form, what the accumulators need, each way of combining once.
    pub(super) strips: Vec<(ReductionOperator, StripCode)>,
}

/// Code over strips of an accumulator.
pub(super) struct StripCode {
    /// Fills a strip with the identity.
    pub(super) fill: Arc<dyn Code>,
    /// Combines a strip with another.
    pub(super) combine: Arc<dyn Code>,
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

/// The passes of one stage.
pub(super) struct StageCode {
    pub(super) row: Option<RowPass>,
    pub(super) reductions: SmallVec<[BoundReduction; 2]>,
    pub(super) per_row: Option<PerRowPass>,
    /// Whether it sums along the row.
    pub(super) sums: bool,
    /// What rows must fulfil for the pass along them to be run.
    pub(super) condition: Option<Condition>,
}

/// A reduction of a stage.
#[derive(Clone, Copy)]
pub(super) struct BoundReduction {
    pub(super) reduction: Reduction,
    /// The scalar that takes the result.
    pub(super) scalar: usize,
    /// The kept value it reads instead of an accumulator.
    pub(super) kept: Option<usize>,
}

/// The pass that runs once a row, with the place of its arguments.
pub(super) struct PerRowPass {
    pub(super) code: Arc<dyn Code>,
    pub(super) arguments: Range<usize>,
}

/// The pass along the row.
pub(super) struct RowPass {
    pub(super) segments: Range<usize>,
    /// Chunks of the row, each of which has a result of its own if there are several.
    pub(super) results: usize,
    /// Whether it reduces into accumulators.
    pub(super) reduces: bool,
}

/// A part of every row that one kind of code runs in equal chunks, one after the other.
pub(super) struct Segment {
    pub(super) code: Arc<dyn Code>,
    /// How many elements a body does: 1 or 4.
    pub(super) bodies: usize,
    /// Elements of a chunk that each body does.
    pub(super) span: usize,
    pub(super) chunks: usize,
    /// The place of the first chunk's result among the row's.
    pub(super) result: usize,
    /// Where its arguments are.
    pub(super) arguments: Range<usize>,
}

impl RowLoops {
    /// The code of all passes.
    pub(super) fn codes(&self) -> impl Iterator<Item = &Arc<dyn Code>> {
        let per_row = self.stages.iter().filter_map(|stage| stage.per_row.as_ref()).map(|pass| &pass.code);
        let strips = self.strips.iter().flat_map(|(_, strip)| [&strip.fill, &strip.combine]);
        self.segments.iter().map(|segment| &segment.code).chain(per_row).chain(strips)
    }

    /// Scratch that one thread needs.
    pub(crate) fn thread_scratch(&self) -> usize {
        self.scratch_bytes
    }

    /// How many threads need scratch.
    pub(crate) fn threads(&self) -> usize {
        self.parts
    }

    /// Bytes it takes on the heap, its code not counted.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<RowLoops>()
            + self.stages.len() * size_of::<StageCode>()
            + self.segments.len() * size_of::<Segment>()
            + self.arguments.len() * size_of::<Argument>()
            + self.nest.len() * size_of::<Dimension>()
    }
}

impl Argument {
    pub(super) fn in_scratch(motion: Motion, offset: isize, stride: isize, outer_stride: isize) -> Argument {
        Argument { motion, base: Base::Scratch, offset, stride, outer_stride }
    }
}
