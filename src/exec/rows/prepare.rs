//! Finding the code of every pass of a row kernel, and what its arguments are, section by section of the row.

use super::loops::{AlongCode, Argument, Base, RowLoops, Segment, StageCode, StripCode, View};
use super::{BLOCK, GROUP, span, strip};
use crate::api::Engine;
use crate::codegen::Code;
use crate::exec::operands;
use crate::exec::prepared::{Layouts, Position, PreparedKernel, PreparedPlan, pass_of};
use crate::lane::{ACCUMULATOR_LANES, CYCLE, LaneBuilder, Layout, Role};
use crate::plan::{self, Form, PassPlan, Prefetched, Slot};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;
use std::sync::Arc;

/// Finds the code of every pass, and what its arguments are.
pub(super) struct Preparation<'a> {
    pub(super) engine: &'a Engine,
    pub(super) prepared: &'a PreparedPlan,
    pub(super) kernel: &'a PreparedKernel,
    pub(super) view: &'a View<'a>,
    pub(super) loops: &'a mut RowLoops,
}

impl Preparation<'_> {
    /// Appends the stages to the loops.
    pub(super) fn run(&mut self) {
        for (number, stage) in self.view.plan.stages.iter().enumerate() {
            let along = (!stage.along.is_empty()).then(|| self.along(number));
            let across = (!stage.across.is_empty()).then(|| self.across(number, &stage.across));
            self.loops.stages.push(StageCode { along, across, sums: plan::sums(stage) });
        }
        if self.view.form == Form::Strip {
            self.strips();
        }
    }

    /// Finds the code that accumulators need in strip form.
    fn strips(&mut self) {
        let reductions = self.view.plan.stages.iter().flat_map(|stage| &stage.reductions);
        for combine in reductions.filter(|reduction| reduction.kept.is_none()).map(|r| plan::combine_of(r.reduction)) {
            if self.loops.strips.iter().all(|(known, _)| *known != combine) {
                let builder = || LaneBuilder::new(self.loops.dtype, self.engine.compiler().has_fma());
                let [fill, combining] =
                    plan::strip_passes(combine, builder).map(|pass| self.engine.compiler().code(pass).code);
                self.loops.strips.push((combine, StripCode { fill, combine: combining }));
            }
        }
    }

    fn along(&mut self, stage: usize) -> AlongCode {
        let view = self.view;
        let slots = &view.plan.stages[stage].along.slots;
        let arguments = match view.form {
            Form::Span => span::arguments(view, stage),
            _ => strip::arguments(view, stage),
        };
        let cuts = self.sections(stage);
        let results = cuts.iter().map(|cut| cut.sections).sum();
        let mut segments = SmallVec::new();
        let mut result = 0;
        for cut in cuts {
            let code = self.code(stage, Position::Along, cut.form(view.form));
            let first = self.loops.arguments.len();
            self.push_arguments(stage, &arguments, &cut);
            if view.form == Form::Span && results > 1 {
                let row = (results * view.size) as isize;
                for (argument, slot) in self.loops.arguments[first..].iter_mut().zip(slots) {
                    if let Slot::Reduction(at) = slot {
                        argument.offset = view.places.results(*at) + (result * view.size) as isize;
                        argument.outer_stride = row;
                    }
                }
            }
            let arguments = first..self.loops.arguments.len();
            let Cut { bodies, span, sections, .. } = cut;
            segments.push(Segment { code, bodies, span, sections, result, arguments });
            result += sections;
        }
        AlongCode { segments, results }
    }

    /// The arguments of a pass for the first element of a cut, then those of its other bodies, then what is prefetched.
    fn push_arguments(&mut self, stage: usize, arguments: &[Argument], cut: &Cut) {
        let view = self.view;
        let slots = &view.plan.stages[stage].along.slots;
        let first = self.loops.arguments.len();
        self.loops.arguments.extend_from_slice(arguments);
        for body in 0..cut.bodies {
            for (at, _) in slots.iter().enumerate().filter(|(_, slot)| plan::moves(view.plan, **slot)) {
                let mut argument = arguments[at];
                let step = if view.form == Form::Span { argument.stride } else { argument.outer_stride };
                argument.offset += step * (cut.first + body * cut.distance) as isize;
                if body == 0 {
                    self.loops.arguments[first + at] = argument;
                } else {
                    self.loops.arguments.push(argument);
                }
            }
        }
        if cut.form(view.form) == Form::SpanOfFours {
            for Prefetched { slot, ahead } in plan::prefetched(&self.prepared.plan.graph, view.plan, stage) {
                let operand = match slot {
                    Slot::Sink(at) => view.sink(at),
                    Slot::Source(at) => at,
                    _ => unreachable!("only arrays are prefetched"),
                };
                let [along, row] = [view.row_strides[operand], view.batch_strides[operand]];
                let mut argument = view.of_operand(operand, along, row);
                if ahead {
                    argument.base = Base::Ahead(operand);
                } else if view.streamed.contains(&true) {
                    // Out of cache the next rows are enough to fetch meanwhile (masked softmax of (4096, 1024) takes 0.73 ns an element
                    // with them alone, 0.88 with its gate too), and what goes past caches is not wanted in one.
                    argument = Argument::in_scratch(0, along, 0);
                }
                argument.offset = along * cut.first as isize;
                self.loops.arguments.push(argument);
            }
        }
    }

    /// How a row is cut into sections, for a stage.
    fn sections(&self, stage: usize) -> SmallVec<[Cut; 4]> {
        let length = self.view.row_length;
        let (blocks, rest) = (length / BLOCK, length % BLOCK);
        if !plan::sums(&self.view.plan.stages[stage]) {
            // Only threads want it in pieces.
            if self.loops.row_parts == 1 {
                return smallvec![Cut::single(0, length, 1)];
            }
            let pieces = [Cut::single(0, BLOCK, blocks), Cut::single(blocks * BLOCK, rest, 1)];
            return pieces.into_iter().filter(|cut| cut.span * cut.sections > 0).collect();
        }
        let (groups, last) = (rest / GROUP * GROUP, rest % GROUP);
        let fours = |distance, first, elements, sections| Cut {
            bodies: CYCLE,
            distance,
            first,
            span: elements / CYCLE,
            sections,
        };
        let cuts = [
            fours(ACCUMULATOR_LANES, 0, BLOCK, blocks),
            fours(ACCUMULATOR_LANES, blocks * BLOCK, groups, 1),
            fours(last / CYCLE, length - last, last, 1),
            Cut::single(length - last % CYCLE, last % CYCLE, 1),
        ];
        if length == 0 {
            return smallvec![Cut::single(0, 0, 1)];
        }
        cuts.into_iter().filter(|cut| cut.span * cut.sections > 0).collect()
    }

    fn across(&mut self, stage: usize, pass: &PassPlan) -> (Arc<dyn Code>, Range<usize>) {
        let view = self.view;
        let first = self.loops.arguments.len();
        for slot in &pass.slots {
            let argument = match slot {
                Slot::Source(at) => view.of_operand(*at, view.batch_strides[*at], 0),
                Slot::Sink(at) => view.of_operand(view.sink(*at), view.batch_strides[view.sink(*at)], 0),
                Slot::Scalar(at) | Slot::SetScalar(at) => {
                    Argument::in_scratch(view.places.scalar(*at), view.size as isize, 0)
                }
                Slot::Kept(_) | Slot::Keep(_) | Slot::Reduction(_) => {
                    unreachable!("a pass across rows has nothing along them")
                }
            };
            self.loops.arguments.push(argument);
        }
        (self.code(stage, Position::Across, Form::Span), first..self.loops.arguments.len())
    }

    fn code(&self, stage: usize, position: Position, form: Form) -> Arc<dyn Code> {
        let view = self.view;
        let pass = pass_of(view.plan, stage, position);
        let along_span = position == Position::Along && view.form == Form::Span;
        let length = if along_span { view.row_length } else { view.batch };
        let strides = if along_span { &view.row_strides } else { &view.batch_strides };
        let layouts: Layouts = pass
            .slots
            .iter()
            .map(|slot| {
                let element = view.size as isize;
                let (stride, role) = match slot {
                    Slot::Source(at) => (strides[*at], Role::Read),
                    Slot::Sink(at) => (strides[view.sink(*at)], Role::Write),
                    Slot::Scalar(_) if along_span => (0, Role::Read),
                    Slot::Kept(_) | Slot::Scalar(_) => (element, Role::Read),
                    Slot::Keep(_) | Slot::SetScalar(_) | Slot::Reduction(_) => (element, Role::Write),
                };
                match operands::layout(role, stride, length, view.size) {
                    Layout::Contiguous
                        if form.bodies() == 1 && matches!(slot, Slot::Sink(at) if view.streamed[*at]) =>
                    {
                        Layout::Streamed
                    }
                    Layout::Contiguous if form == Form::SpanOfFours && plan::moves(view.plan, *slot) => Layout::Cyclic,
                    layout => layout,
                }
            })
            .collect();
        let compiled = self.prepared.compiled_for(self.engine, self.kernel, stage, position, form, &layouts);
        Arc::clone(&compiled.code)
    }
}

/// Equal sections of a row.
#[derive(Clone, Copy)]
struct Cut {
    /// How many elements a body does, this far apart.
    bodies: usize,
    distance: usize,
    first: usize,
    /// Elements of each that a body does.
    span: usize,
    sections: usize,
}

impl Cut {
    /// Sections done an element at a time.
    fn single(first: usize, span: usize, sections: usize) -> Cut {
        Cut { bodies: 1, distance: 0, first, span, sections }
    }

    fn form(&self, form: Form) -> Form {
        match form {
            Form::Span if self.bodies > 1 => Form::SpanOfFours,
            Form::Strip if self.bodies > 1 => Form::StripOfFours,
            form => form,
        }
    }
}
