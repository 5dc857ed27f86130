//! Finding the code of a row kernel for a class of layouts: its passes, in the forms that the chunks of a row need.
//!
//! Nothing here may depend on more of lengths and strides than the class says ([`super::class`]): what is found serves all
//! layouts of the class.

use super::chunks;
use super::code::{BoundReduction, PerRowPass, RowCode, RowPass, SegmentCode, StageCode, StripCode};
use super::geometry::{Geometry, varies};
use crate::codegen::write::{self, Form, OperandBinding};
use crate::compile::Compiler;
use crate::exec::compiled::{CompiledPass, CompiledPlan, Layouts, Position, pass_of};
use crate::exec::operands;
use crate::exec::scratch::round_up;
use crate::lane::{LaneBuilder, Layout, Role};
use crate::plan::Slot;
use std::ops::Range;
use std::sync::Arc;

/// Finds the code of a kernel.
pub(super) struct Passes<'a> {
    pub(super) compiler: &'a Compiler,
    pub(super) compiled: &'a CompiledPlan,
    pub(super) kernel: usize,
    pub(super) geometry: &'a Geometry<'a>,
}

impl Passes<'_> {
    /// All of it.
    pub(super) fn find(&self) -> RowCode {
        let plan = self.geometry.plan;
        let operands = plan.sources.len() + plan.sinks.len();
        let mut code = RowCode {
            sources: plan.sources.len(),
            varying: (0..operands).map(|at| varies(plan, at)).collect(),
            storage: self.geometry.storage.clone(),
            form: self.geometry.form,
            dtype: self.compiled.dtype,
            stages: Vec::with_capacity(plan.stages.len()),
            segments: Vec::with_capacity(2 * plan.stages.len()),
            bindings: Vec::new(),
            homes: self.geometry.find_homes(),
            most_reductions: plan.stages.iter().map(|stage| stage.reductions.len()).max().unwrap_or(0),
            takes_whole_rows: plan.stages.iter().flat_map(|stage| &stage.reductions).any(|r| r.kept.is_some()),
            strips: Vec::new(),
            code_scratch: 0,
        };
        for (number, stage) in plan.stages.iter().enumerate() {
            let row = (!stage.row_pass.is_empty()).then(|| self.row_pass(number, &mut code));
            let reductions = stage.reductions.iter().map(|reduction| BoundReduction {
                reduction: reduction.reduction,
                scalar: reduction.scalar,
                kept: reduction.kept,
            });
            let per_row = (!stage.per_row_pass.is_empty()).then(|| self.per_row_pass(number, &mut code));
            let sums = write::sums(stage);
            // What an empty row reduces to is another thing than what zeros do.
            let condition = stage.condition.filter(|_| self.geometry.row_length > 0);
            code.stages.push(StageCode { row, reductions: reductions.collect(), per_row, sums, condition });
        }
        if self.geometry.form == Form::Strip {
            self.strips(&mut code);
        }
        code.code_scratch = round_up(code.codes().map(|code| code.scratch_bytes()).max().unwrap_or(0));
        code
    }

    /// Finds the code that accumulators need in strip form.
    fn strips(&self, code: &mut RowCode) {
        let reductions = self.geometry.plan.stages.iter().flat_map(|stage| &stage.reductions);
        for combine in reductions.filter(|reduction| reduction.kept.is_none()).map(|r| write::operator_of(r.reduction))
        {
            if code.strips.iter().all(|(known, _)| *known != combine) {
                let builder = || LaneBuilder::new(code.dtype, self.compiler.has_fma());
                let [fill, combining] = write::strip_passes(combine, builder).map(|pass| self.compiler.code(pass).code);
                code.strips.push((combine, StripCode { fill, combine: combining }));
            }
        }
    }

    fn row_pass(&self, stage: usize, code: &mut RowCode) -> RowPass {
        let own = &self.geometry.plan.stages[stage];
        let first = code.segments.len();
        for chunks in chunks::cut(self.geometry.row_length, write::sums(own), self.geometry.shared) {
            let pass = self.pass(stage, Position::Row, chunks.form(self.geometry.form));
            let arguments = push(&mut code.bindings, &pass);
            code.segments.push(SegmentCode { code: pass.compiled.code.clone(), arguments });
        }
        let reduces = own.reductions.iter().any(|reduction| reduction.kept.is_none());
        RowPass { segments: first..code.segments.len(), reduces }
    }

    fn per_row_pass(&self, stage: usize, code: &mut RowCode) -> PerRowPass {
        let pass = self.pass(stage, Position::PerRow, Form::Span);
        PerRowPass { code: pass.compiled.code.clone(), arguments: push(&mut code.bindings, &pass) }
    }

    /// A pass compiled for how its operands lie here.
    fn pass(&self, stage: usize, position: Position, form: Form) -> Arc<CompiledPass> {
        let geometry = self.geometry;
        let along_span = position == Position::Row && geometry.form == Form::Span;
        let length = if along_span { geometry.row_length } else { geometry.batch };
        let strides = if along_span { &geometry.row_strides } else { &geometry.batch_strides };
        let element = geometry.size as isize;
        let size_of = |slot: &Slot| match slot {
            Slot::Source(at) => geometry.storage[*at].size(),
            Slot::Sink(at) => geometry.storage[geometry.sink(*at)].size(),
            _ => geometry.size,
        };
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
            match operands::layout(role, stride, length, size_of(slot), number) {
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
        self.compiled.pass(self.compiler, (self.kernel, stage), position, form, &layouts, geometry.storage)
    }
}

/// Appends what the arguments of a pass are; says where they are.
fn push(bindings: &mut Vec<OperandBinding>, pass: &CompiledPass) -> Range<usize> {
    let first = bindings.len();
    bindings.extend_from_slice(&pass.bindings);
    first..bindings.len()
}
