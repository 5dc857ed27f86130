//! The arguments of a row kernel's passes, chunk by chunk of the row: the numbers that lengths and strides add to its code.
//!
//! Every argument comes from the [`OperandBinding`] that its pass was written with.

use super::chunks::{self, Chunks};
use super::code::{RowCode, RowPass};
use super::geometry::Geometry;
use super::loops::{Argument, Base, Motion, SegmentLengths};
use super::places::Places;
use crate::codegen::write::{Form, OperandBinding, Prefetched};
use crate::plan::Slot;
use smallvec::SmallVec;

/// The lengths of all segments of a kernel's code, and all its arguments.
pub(super) type Filled = (SmallVec<[SegmentLengths; 4]>, Vec<Argument>);

/// What arguments are made of.
pub(super) struct Arguments<'a> {
    pub(super) geometry: &'a Geometry<'a>,
    pub(super) code: &'a RowCode,
    pub(super) places: &'a Places,
}

/// Which chunks of the row an argument is for: their first result is at this place of so many.
struct Part<'a> {
    stage: usize,
    chunks: &'a Chunks,
    result: usize,
    results: usize,
}

impl Arguments<'_> {
    /// Fills in the numbers of all passes.
    pub(super) fn fill(&self) -> Filled {
        let code = self.code;
        let mut segments = SmallVec::new();
        let mut arguments = Vec::with_capacity(code.bindings.len());
        for (number, stage) in code.stages.iter().enumerate() {
            if let Some(pass) = &stage.row {
                self.row_pass(number, stage.sums, pass, &mut segments, &mut arguments);
            }
            if let Some(per_row) = &stage.per_row {
                let bindings = &code.bindings[per_row.arguments.clone()];
                arguments.extend(bindings.iter().map(|binding| self.per_row(*binding)));
            }
        }
        debug_assert_eq!((segments.len(), arguments.len()), (code.segments.len(), code.bindings.len()));
        (segments, arguments)
    }

    fn row_pass(
        &self,
        stage: usize,
        sums: bool,
        pass: &RowPass,
        segments: &mut SmallVec<[SegmentLengths; 4]>,
        arguments: &mut Vec<Argument>,
    ) {
        let all = chunks::cut(self.geometry.row_length, sums, self.geometry.shared);
        let results = all.iter().map(|chunks| chunks.count).sum();
        let own = &self.code.segments[pass.segments.clone()];
        assert_eq!(all.len(), own.len(), "layouts of one class have chunks of the same forms");
        let mut result = 0;
        for (chunks, segment) in all.iter().zip(own) {
            let part = Part { stage, chunks, result, results };
            let bindings = &self.code.bindings[segment.arguments.clone()];
            arguments.extend(bindings.iter().map(|binding| self.row(&part, *binding)));
            let Chunks { bodies, span, count, .. } = *chunks;
            segments.push(SegmentLengths { bodies, span, chunks: count, result });
            result += count;
        }
    }

    #[inline(always)]
    fn of_operand(&self, operand: usize, stride: isize, outer_stride: isize) -> Argument {
        let motion = if self.code.varying[operand] { Motion::Moves } else { Motion::Stays };
        Argument { motion, base: Base::Operand(operand), offset: 0, stride, outer_stride }
    }

    /// The argument of an operand in a pass along the row.
    #[inline(always)]
    fn along(&self, operand: usize) -> Argument {
        let geometry = self.geometry;
        let [row, batch] = [geometry.row_strides[operand], geometry.batch_strides[operand]];
        let (stride, outer_stride) = if geometry.form == Form::Span { (row, batch) } else { (batch, row) };
        self.of_operand(operand, stride, outer_stride)
    }

    /// An argument of a pass along the row, for the first element of some chunks. In spans outer strides lead to the next row,
    /// in strips along the row.
    #[inline(always)]
    fn row(&self, part: &Part<'_>, binding: OperandBinding) -> Argument {
        let (geometry, places) = (self.geometry, self.places);
        let element = geometry.size as isize;
        let is_span = geometry.form == Form::Span;
        let (slot, body) = match binding {
            OperandBinding::Slot { slot, body } => (slot, body),
            OperandBinding::StripRead(at) => {
                return Argument::in_scratch(Motion::Accumulates, places.accumulator(at), element, 0);
            }
            OperandBinding::Prefetch(prefetched) => return self.prefetched(prefetched, part.chunks),
        };
        let mut argument = match slot {
            Slot::Source(at) => self.along(at),
            Slot::Sink(at) => self.along(geometry.sink(at)),
            Slot::Kept(at) | Slot::Keep(at) => match self.code.homes[at] {
                Some(operand) => Argument { stride: element, ..self.along(operand) },
                None => {
                    let line = if is_span { geometry.row_length } else { geometry.batch } * geometry.size;
                    Argument::in_scratch(Motion::Moves, places.kept(at), element, line as isize)
                }
            },
            Slot::Scalar(at) | Slot::SetScalar(at) => {
                let (stride, outer) = if is_span { (0, element) } else { (element, 0) };
                Argument::in_scratch(Motion::Stays, places.scalar(at), stride, outer)
            }
            // A row of several chunks has a result for each, to be added up.
            Slot::Reduction(at) if is_span && part.results > 1 => {
                let place = places.results(at) + (part.result * geometry.size) as isize;
                Argument::in_scratch(Motion::Accumulates, place, element, (part.results * geometry.size) as isize)
            }
            Slot::Reduction(at) if is_span => {
                let place = places.scalar(self.code.stages[part.stage].reductions[at].scalar);
                Argument::in_scratch(Motion::Accumulates, place, element, element)
            }
            Slot::Reduction(at) => Argument::in_scratch(Motion::Accumulates, places.accumulator(at), element, 0),
        };
        if argument.motion == Motion::Moves {
            let step = if is_span { argument.stride } else { argument.outer_stride };
            argument.offset += step * (part.chunks.first + body * part.chunks.distance) as isize;
        }
        argument
    }

    #[inline(always)]
    fn prefetched(&self, Prefetched { slot, ahead }: Prefetched, chunks: &Chunks) -> Argument {
        let geometry = self.geometry;
        let operand = match slot {
            Slot::Sink(at) => geometry.sink(at),
            Slot::Source(at) => at,
            _ => unreachable!("only arrays are prefetched"),
        };
        let [along, row] = [geometry.row_strides[operand], geometry.batch_strides[operand]];
        let mut argument = self.of_operand(operand, along, row);
        if ahead {
            argument.base = Base::Ahead(operand);
        } else if geometry.non_temporal.contains(&true) {
            // Out of cache the next rows are enough to fetch meanwhile (masked softmax of (4096, 1024) takes 0.73 ns an element
            // with them alone, 0.88 with its gate too), and what goes past caches is not wanted in one.
            argument = Argument::in_scratch(Motion::Moves, 0, along, 0);
        }
        argument.motion = Motion::Moves;
        argument.offset = along * chunks.first as isize;
        argument
    }

    /// An argument of the pass that runs once a row: its span is the rows of a batch.
    fn per_row(&self, binding: OperandBinding) -> Argument {
        let geometry = self.geometry;
        let OperandBinding::Slot { slot, .. } = binding else {
            unreachable!("a pass that runs once a row has slots only")
        };
        match slot {
            Slot::Source(at) => self.of_operand(at, geometry.batch_strides[at], 0),
            Slot::Sink(at) => self.of_operand(geometry.sink(at), geometry.batch_strides[geometry.sink(at)], 0),
            Slot::Scalar(at) | Slot::SetScalar(at) => {
                Argument::in_scratch(Motion::Stays, self.places.scalar(at), geometry.size as isize, 0)
            }
            Slot::Kept(_) | Slot::Keep(_) | Slot::Reduction(_) => {
                unreachable!("a pass that runs once a row has nothing along it")
            }
        }
    }
}
