//! The passes of a row kernel: their code, and what their arguments are, chunk by chunk of the row.
//!
//! Every argument comes from the [`OperandBinding`] that its pass was written with.

use super::geometry::Geometry;
use super::loops::{
    Argument, Base, BoundReduction, Motion, PerRowPass, RowLoops, RowPass, Segment, StageCode, StripCode,
};
use crate::codegen::write::{self, Form, OperandBinding, Prefetched};
use crate::compile::Compiler;
use crate::exec::compiled::{CompiledPass, CompiledPlan, Layouts, Position, pass_of};
use crate::exec::operands;
use crate::lane::{ACCUMULATOR_LANES, BLOCK, CYCLE, GROUP, LaneBuilder, Layout, Role};
use crate::plan::Slot;
use smallvec::{SmallVec, smallvec};
use std::ops::Range;
use std::sync::Arc;

/// Binds the passes of a kernel.
pub(super) struct Passes<'a> {
    pub(super) compiler: &'a Compiler,
    pub(super) compiled: &'a CompiledPlan,
    pub(super) kernel: usize,
    pub(super) geometry: &'a Geometry<'a>,
    pub(super) loops: &'a mut RowLoops,
}

impl Passes<'_> {
    /// Appends the stages to the loops.
    pub(super) fn bind(&mut self) {
        for (number, stage) in self.geometry.plan.stages.iter().enumerate() {
            let row = (!stage.row_pass.is_empty()).then(|| self.row_pass(number));
            let reductions = stage.reductions.iter().map(|reduction| BoundReduction {
                reduction: reduction.reduction,
                scalar: reduction.scalar,
                kept: reduction.kept,
            });
            let per_row = (!stage.per_row_pass.is_empty()).then(|| self.per_row_pass(number));
            let sums = write::sums(stage);
            // What an empty row reduces to is another thing than what zeros do.
            let condition = stage.condition.filter(|_| self.geometry.row_length > 0);
            self.loops.stages.push(StageCode { row, reductions: reductions.collect(), per_row, sums, condition });
        }
        if self.geometry.form == Form::Strip {
            self.strips();
        }
    }

    /// Finds the code that accumulators need in strip form.
    fn strips(&mut self) {
        let reductions = self.geometry.plan.stages.iter().flat_map(|stage| &stage.reductions);
        for combine in reductions.filter(|reduction| reduction.kept.is_none()).map(|r| write::operator_of(r.reduction))
        {
            if self.loops.strips.iter().all(|(known, _)| *known != combine) {
                let builder = || LaneBuilder::new(self.loops.dtype, self.compiler.has_fma());
                let [fill, combining] = write::strip_passes(combine, builder).map(|pass| self.compiler.code(pass).code);
                self.loops.strips.push((combine, StripCode { fill, combine: combining }));
            }
        }
    }

    fn row_pass(&mut self, stage: usize) -> RowPass {
        let all = self.chunks(stage);
        let results = all.iter().map(|chunks| chunks.count).sum();
        let first_segment = self.loops.segments.len();
        let mut result = 0;
        for chunks in all {
            let pass = self.pass(stage, Position::Row, chunks.form(self.geometry.form));
            let arguments =
                self.push(&pass, |passes, binding| passes.row_argument(stage, *binding, &chunks, result, results));
            let Chunks { bodies, span, count, .. } = chunks;
            let code = pass.compiled.code.clone();
            self.loops.segments.push(Segment { code, bodies, span, chunks: count, result, arguments });
            result += count;
        }
        let reduces = self.geometry.plan.stages[stage].reductions.iter().any(|reduction| reduction.kept.is_none());
        RowPass { segments: first_segment..self.loops.segments.len(), results, reduces }
    }

    fn per_row_pass(&mut self, stage: usize) -> PerRowPass {
        let pass = self.pass(stage, Position::PerRow, Form::Span);
        let arguments = self.push(&pass, |passes, binding| passes.per_row_argument(*binding));
        PerRowPass { code: pass.compiled.code.clone(), arguments }
    }

    /// Appends the arguments of a pass; says where they are.
    fn push(&mut self, pass: &CompiledPass, argument: impl Fn(&Self, &OperandBinding) -> Argument) -> Range<usize> {
        let first = self.loops.arguments.len();
        for binding in &pass.bindings {
            let argument = argument(self, binding);
            self.loops.arguments.push(argument);
        }
        first..self.loops.arguments.len()
    }

    /// An argument of a pass along the row, for the first element of some chunks. In spans outer strides lead to the next row,
    /// in strips along the row.
    fn row_argument(
        &self,
        stage: usize,
        binding: OperandBinding,
        chunks: &Chunks,
        result: usize,
        results: usize,
    ) -> Argument {
        let geometry = self.geometry;
        let element = geometry.size as isize;
        let is_span = geometry.form == Form::Span;
        let reduction = |at: usize| &geometry.plan.stages[stage].reductions[at];
        let (slot, body) = match binding {
            OperandBinding::Slot { slot, body } => (slot, body),
            OperandBinding::StripRead(at) => {
                return Argument::in_scratch(Motion::Accumulates, geometry.places.accumulator(at), element, 0);
            }
            OperandBinding::Prefetch(prefetched) => return self.prefetched(prefetched, chunks),
        };
        let mut argument = match slot {
            Slot::Source(at) => geometry.along(at),
            Slot::Sink(at) => geometry.along(geometry.sink(at)),
            Slot::Kept(at) | Slot::Keep(at) => match geometry.homes[at] {
                Some(operand) => Argument { stride: element, ..geometry.along(operand) },
                None => {
                    let line = if is_span { geometry.row_length } else { geometry.batch } * geometry.size;
                    Argument::in_scratch(Motion::Moves, geometry.places.kept(at), element, line as isize)
                }
            },
            Slot::Scalar(at) | Slot::SetScalar(at) => {
                let (stride, outer) = if is_span { (0, element) } else { (element, 0) };
                Argument::in_scratch(Motion::Stays, geometry.places.scalar(at), stride, outer)
            }
            // A row of several chunks has a result for each, to be added up.
            Slot::Reduction(at) if is_span && results > 1 => {
                let place = geometry.places.results(at) + (result * geometry.size) as isize;
                Argument::in_scratch(Motion::Accumulates, place, element, (results * geometry.size) as isize)
            }
            Slot::Reduction(at) if is_span => {
                let place = geometry.places.scalar(reduction(at).scalar);
                Argument::in_scratch(Motion::Accumulates, place, element, element)
            }
            Slot::Reduction(at) => {
                Argument::in_scratch(Motion::Accumulates, geometry.places.accumulator(at), element, 0)
            }
        };
        if argument.motion == Motion::Moves {
            let step = if is_span { argument.stride } else { argument.outer_stride };
            argument.offset += step * (chunks.first + body * chunks.distance) as isize;
        }
        argument
    }

    fn prefetched(&self, Prefetched { slot, ahead }: Prefetched, chunks: &Chunks) -> Argument {
        let geometry = self.geometry;
        let operand = match slot {
            Slot::Sink(at) => geometry.sink(at),
            Slot::Source(at) => at,
            _ => unreachable!("only arrays are prefetched"),
        };
        let [along, row] = [geometry.row_strides[operand], geometry.batch_strides[operand]];
        let mut argument = geometry.of_operand(operand, along, row);
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
    fn per_row_argument(&self, binding: OperandBinding) -> Argument {
        let geometry = self.geometry;
        let OperandBinding::Slot { slot, .. } = binding else {
            unreachable!("a pass that runs once a row has slots only")
        };
        match slot {
            Slot::Source(at) => geometry.of_operand(at, geometry.batch_strides[at], 0),
            Slot::Sink(at) => geometry.of_operand(geometry.sink(at), geometry.batch_strides[geometry.sink(at)], 0),
            Slot::Scalar(at) | Slot::SetScalar(at) => {
                Argument::in_scratch(Motion::Stays, geometry.places.scalar(at), geometry.size as isize, 0)
            }
            Slot::Kept(_) | Slot::Keep(_) | Slot::Reduction(_) => {
                unreachable!("a pass that runs once a row has nothing along it")
            }
        }
    }

    /// How a row is cut into chunks, for a stage.
    fn chunks(&self, stage: usize) -> SmallVec<[Chunks; 4]> {
        let length = self.geometry.row_length;
        let (blocks, rest) = (length / BLOCK, length % BLOCK);
        if !write::sums(&self.geometry.plan.stages[stage]) {
            // Only threads want it in pieces.
            if self.loops.row_parts == 1 {
                return smallvec![Chunks::single(0, length, 1)];
            }
            let pieces = [Chunks::single(0, BLOCK, blocks), Chunks::single(blocks * BLOCK, rest, 1)];
            return pieces.into_iter().filter(|chunk| chunk.span * chunk.count > 0).collect();
        }
        let (groups, last) = (rest / GROUP * GROUP, rest % GROUP);
        let fours =
            |distance, first, elements, count| Chunks { bodies: CYCLE, distance, first, span: elements / CYCLE, count };
        let all = [
            fours(ACCUMULATOR_LANES, 0, BLOCK, blocks),
            fours(ACCUMULATOR_LANES, blocks * BLOCK, groups, 1),
            fours(last / CYCLE, length - last, last, 1),
            Chunks::single(length - last % CYCLE, last % CYCLE, 1),
        ];
        if length == 0 {
            return smallvec![Chunks::single(0, 0, 1)];
        }
        all.into_iter().filter(|chunk| chunk.span * chunk.count > 0).collect()
    }

    /// A pass compiled for how its operands lie here.
    fn pass(&self, stage: usize, position: Position, form: Form) -> Arc<CompiledPass> {
        let geometry = self.geometry;
        let along_span = position == Position::Row && geometry.form == Form::Span;
        let length = if along_span { geometry.row_length } else { geometry.batch };
        let strides = if along_span { &geometry.row_strides } else { &geometry.batch_strides };
        let element = geometry.size as isize;
        let layout = |slot: &Slot| {
            let (stride, role) = match slot {
                Slot::Source(at) => (strides[*at], Role::Read),
                Slot::Sink(at) => (strides[geometry.sink(*at)], Role::Write),
                Slot::Scalar(_) if along_span => (0, Role::Read),
                Slot::Kept(_) | Slot::Scalar(_) => (element, Role::Read),
                Slot::Keep(_) | Slot::SetScalar(_) | Slot::Reduction(_) => (element, Role::Write),
            };
            let number = match slot {
                Slot::Source(at) => geometry.plan.sources[*at].dimensions.is_empty(),
                _ => stride == 0,
            };
            match operands::layout(role, stride, length, geometry.size, number) {
                Layout::Contiguous
                    if form.bodies() == 1 && matches!(slot, Slot::Sink(at) if geometry.non_temporal[*at]) =>
                {
                    Layout::NonTemporal
                }
                Layout::Contiguous if form == Form::SpanOfFours && write::moves(geometry.plan, *slot) => {
                    Layout::BlockCyclic
                }
                layout => layout,
            }
        };
        let layouts: Layouts = pass_of(geometry.plan, stage, position).slots.iter().map(layout).collect();
        self.compiled.pass(self.compiler, (self.kernel, stage), position, form, &layouts)
    }
}

/// Equal chunks of a row.
#[derive(Clone, Copy)]
struct Chunks {
    /// How many elements a body does, this far apart.
    bodies: usize,
    distance: usize,
    first: usize,
    /// Elements of each that a body does.
    span: usize,
    count: usize,
}

impl Chunks {
    /// Chunks done an element at a time.
    fn single(first: usize, span: usize, count: usize) -> Chunks {
        Chunks { bodies: 1, distance: 0, first, span, count }
    }

    fn form(&self, form: Form) -> Form {
        match form {
            Form::Span if self.bodies > 1 => Form::SpanOfFours,
            Form::Strip if self.bodies > 1 => Form::StripOfFours,
            form => form,
        }
    }
}
