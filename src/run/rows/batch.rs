//! What both forms share: the rows of a kernel, its scratch, and the arguments of its passes.

use super::{BLOCK, pack, span, strip};
use crate::backend::Code;
use crate::engine::Engine;
use crate::fuse::{Form, KernelPlan, PassPlan, Slot};
use crate::lane::{ACCUMULATOR_LANES, OperandArgument, Role};
use crate::run::Mode;
use crate::run::operands::{self, Bound, Nest};
use crate::run::prepared::{Layouts, Position, PreparedKernel, PreparedPlan, pass_of};
use crate::run::scratch::{OutOfMemory, Scratch, round_up};
use fuselet_ir::Reduction;
use smallvec::SmallVec;

/// Scratch that a batch of whole rows should not exceed: about a first-level cache.
const SPAN_BYTES: usize = 32 << 10;
/// The same for strips: part of a second-level cache. Wider strips mean fewer calls of code: softmax over axis 1 of
/// (32, 64, 56, 56) takes 1.5 ns an element with strips of 1024 lanes, 2.5 with 256, 3.1 with 128.
const STRIP_BYTES: usize = 256 << 10;
/// A batch has at most this many rows (and a strip this many lanes), however short they are.
const MOST_ROWS: usize = 1024;

/// What is run.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) engine: &'a Engine,
    pub(super) prepared: &'a PreparedPlan,
    pub(super) kernel: &'a PreparedKernel,
    pub(super) plan: &'a KernelPlan,
    pub(super) form: Form,
    pub(super) row_length: usize,
    /// Bytes of an element.
    pub(super) size: usize,
    pub(super) mode: Mode,
}

/// Where it is run: sources, then sinks, and the loops over rows, the last of which is batched.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) bounds: SmallVec<[Bound; 8]>,
    /// Byte strides along the row.
    pub(super) row_strides: SmallVec<[isize; 8]>,
    pub(super) nest: Nest,
    /// The row's own dimensions; more than one if it has to be packed.
    pub(super) along: Nest,
}

impl Rows {
    /// `count` steps of one dimension of the rows, from `first` on.
    pub(super) fn part(&self, dimension: usize, first: usize, count: usize) -> Rows {
        let mut part = self.clone();
        part.nest[dimension].length = count;
        for (bound, stride) in part.bounds.iter_mut().zip(&self.nest[dimension].strides) {
            bound.pointer = bound.pointer.wrapping_offset(stride * first as isize);
        }
        part
    }
}

/// Scratch of one batch: addresses of kept rows, scalars, accumulators and block results.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) kept: *mut u8,
    pub(super) kept_bytes: usize,
    pub(super) scalars: *mut u8,
    pub(super) scalar_bytes: usize,
    pub(super) accumulators: *mut u8,
    pub(super) accumulator_bytes: usize,
    pub(super) blocks: *mut u8,
    pub(super) block_bytes: usize,
}

impl Places {
    pub(super) fn kept(&self, at: usize) -> *mut u8 {
        self.kept.wrapping_add(at * self.kept_bytes)
    }

    pub(super) fn scalar(&self, at: usize) -> *mut u8 {
        self.scalars.wrapping_add(at * self.scalar_bytes)
    }

    /// The 32 strips of a reduction, in strip form.
    pub(super) fn accumulator(&self, at: usize) -> *mut u8 {
        self.accumulators.wrapping_add(at * self.accumulator_bytes)
    }

    /// The results of a reduction's blocks.
    pub(super) fn block(&self, at: usize) -> *mut u8 {
        self.blocks.wrapping_add(at * self.block_bytes)
    }
}

/// The arguments of a pass.
pub(super) type Arguments = SmallVec<[OperandArgument; 8]>;

/// A pass compiled for this run's layouts, with its arguments but for where a batch's sources and sinks are.
pub(super) struct PassCode<'a> {
    pub(super) code: &'a dyn Code,
    pass: &'a PassPlan,
    arguments: Arguments,
    sources: usize,
}

impl PassCode<'_> {
    /// The arguments for a batch at these bounds.
    pub(super) fn arguments(&self, bounds: &[Bound]) -> Arguments {
        let mut arguments = Arguments::from_slice(&self.arguments);
        for (argument, slot) in arguments.iter_mut().zip(&self.pass.slots) {
            match slot {
                Slot::Source(at) => argument.pointer = bounds[*at].pointer,
                Slot::Sink(at) => argument.pointer = bounds[self.sources + at].pointer,
                _ => {}
            }
        }
        arguments
    }
}

/// The passes of one stage.
pub(super) struct StageCode<'a> {
    pub(super) along: Option<PassCode<'a>>,
    pub(super) across: Option<PassCode<'a>>,
}

impl<'a> Task<'a> {
    /// Runs all rows.
    ///
    /// # Safety
    /// Every element the rows reach is valid, as [`Code::run`] asks.
    pub(super) unsafe fn run(&self, rows: &Rows) -> Result<(), OutOfMemory> {
        let batched = rows.nest.last().map_or(1, |dimension| dimension.length);
        let batch = self.batch_rows().min(batched).max(1);
        let most_reductions = self.plan.stages.iter().map(|stage| stage.reductions.len()).max().unwrap_or(0);
        let (strips, wide) = match self.form {
            Form::Span => (0, 1),
            Form::Strip => (ACCUMULATOR_LANES * batch, batch),
        };
        let blocks = self.row_length.div_ceil(BLOCK) * wide;
        let overflow = OutOfMemory { bytes: usize::MAX };
        let row_bytes = self.row_length.checked_mul(batch * self.size).ok_or(overflow)?;
        let packed = if rows.along.len() > 1 { rows.bounds.len() } else { 0 };
        let sections = [
            (self.plan.kept.len(), round_up(row_bytes)),
            (self.plan.scalars.len().max(1), round_up(batch * self.size)),
            (most_reductions, round_up(strips * self.size)),
            (most_reductions, round_up(blocks.saturating_mul(self.size))),
            (packed, round_up(row_bytes)),
        ];
        let total = sections
            .iter()
            .try_fold(0usize, |sum, (count, bytes)| sum.checked_add(count.checked_mul(*bytes)?))
            .filter(|total| *total <= isize::MAX as usize)
            .ok_or(overflow)?;
        let mut scratch = Scratch::take(total)?;
        let base = scratch.base();
        let starts: SmallVec<[usize; 8]> = sections
            .iter()
            .scan(0, |offset, (count, bytes)| {
                let start = *offset;
                *offset += count * bytes;
                Some(start)
            })
            .collect();
        let places = Places {
            kept: base.wrapping_add(starts[0]),
            kept_bytes: sections[0].1,
            scalars: base.wrapping_add(starts[1]),
            scalar_bytes: sections[1].1,
            accumulators: base.wrapping_add(starts[2]),
            accumulator_bytes: sections[2].1,
            blocks: base.wrapping_add(starts[3]),
            block_bytes: sections[3].1,
        };
        // SAFETY: the caller's promise; scratch was sized for the batch above.
        unsafe {
            if packed > 0 {
                pack::run(self, rows, &places, base.wrapping_add(starts[4]), sections[4].1);
            } else {
                let codes = self.codes(rows, batch, &places);
                if self.mode == Mode::Compile {
                    return Ok(());
                }
                self.walk(rows, batch, &mut |bounds, count| match self.form {
                    Form::Span => span::run(self, &codes, bounds, count, &places),
                    Form::Strip => strip::run(self, &codes, bounds, count, batch, &places),
                });
            }
        }
        Ok(())
    }

    fn batch_rows(&self) -> usize {
        let (budget, least) = match self.form {
            Form::Span => (SPAN_BYTES, 1),
            // A strip must fill vectors, whatever the row's length.
            Form::Strip => (STRIP_BYTES, 32),
        };
        let streams = self.plan.kept.len().max(1) * self.size;
        (budget / (self.row_length.max(1).saturating_mul(streams))).clamp(least, MOST_ROWS)
    }

    /// Calls `body` with the bounds of each batch and its number of rows.
    fn walk(&self, rows: &Rows, batch: usize, body: &mut impl FnMut(&[Bound], usize)) {
        let Some((last, outer)) = rows.nest.split_last() else { return };
        let mut offsets: SmallVec<[isize; 8]> = SmallVec::from_elem(0, rows.bounds.len());
        let mut bounds = rows.bounds.clone();
        operands::walk(outer, &mut offsets, &mut |offsets| {
            let mut first = 0;
            while first < last.length {
                let count = batch.min(last.length - first);
                for (at, bound) in bounds.iter_mut().enumerate() {
                    let offset = offsets[at] + last.strides[at] * first as isize;
                    bound.pointer = rows.bounds[at].pointer.wrapping_offset(offset);
                }
                body(&bounds, count);
                first += count;
            }
        });
    }

    /// The code of every pass for the layouts of these rows, with its arguments.
    pub(super) fn codes(&self, rows: &Rows, batch: usize, places: &Places) -> SmallVec<[StageCode<'a>; 4]> {
        let mut codes = SmallVec::new();
        for (number, stage) in self.plan.stages.iter().enumerate() {
            let make = |position, pass: &'a PassPlan, arguments: Arguments| {
                let code = self.code(rows, batch, number, position)?;
                Some(PassCode { code, pass, arguments, sources: self.plan.sources.len() })
            };
            let along = match self.form {
                Form::Span => span::arguments(self, number, rows, places),
                Form::Strip => strip::arguments(self, number, rows, batch, places),
            };
            codes.push(StageCode {
                along: make(Position::Along, &stage.along, along),
                across: make(Position::Across, &stage.across, self.across_arguments(&stage.across, rows, places)),
            });
        }
        codes
    }

    fn code(&self, rows: &Rows, batch: usize, stage: usize, position: Position) -> Option<&'a dyn Code> {
        let (_, pass) = pass_of(self.plan, stage, position);
        if pass.is_empty() {
            return None;
        }
        let along_span = position == Position::Along && self.form == Form::Span;
        let length = if along_span { self.row_length } else { batch };
        let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
        let layouts: Layouts = pass
            .slots
            .iter()
            .map(|slot| {
                let (stride, role) = match slot {
                    Slot::Source(at) if along_span => (rows.row_strides[*at], Role::Read),
                    Slot::Source(at) => (batch_strides[*at], Role::Read),
                    Slot::Sink(at) => {
                        let at = self.plan.sources.len() + at;
                        (if along_span { rows.row_strides[at] } else { batch_strides[at] }, Role::Write)
                    }
                    Slot::Scalar(_) if along_span => (0, Role::Read),
                    Slot::Kept(_) | Slot::Scalar(_) => (self.size as isize, Role::Read),
                    Slot::Keep(_) | Slot::SetScalar(_) | Slot::Reduction(_) => (self.size as isize, Role::Write),
                };
                operands::layout(role, stride, length, self.size)
            })
            .collect();
        let form = if position == Position::Across { Form::Span } else { self.form };
        Some(self.prepared.code(self.engine, self.kernel, stage, position, form, &layouts))
    }

    /// The arguments of a pass across a batch of rows.
    fn across_arguments(&self, pass: &PassPlan, rows: &Rows, places: &Places) -> Arguments {
        let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
        let element = self.size as isize;
        pass.slots
            .iter()
            .map(|slot| match slot {
                Slot::Source(at) => operands::argument(rows.bounds[*at].pointer, batch_strides[*at], 0),
                Slot::Sink(at) => {
                    let at = self.plan.sources.len() + at;
                    operands::argument(rows.bounds[at].pointer, batch_strides[at], 0)
                }
                Slot::Scalar(at) | Slot::SetScalar(at) => operands::argument(places.scalar(*at), element, 0),
                Slot::Kept(_) | Slot::Keep(_) | Slot::Reduction(_) => {
                    unreachable!("a pass across rows has nothing along them")
                }
            })
            .collect()
    }

    /// Whether a stage's reductions go block by block.
    pub(super) fn blocked(&self, stage: usize) -> bool {
        let sums = |reduction: Reduction| matches!(reduction, Reduction::Sum | Reduction::Mean);
        self.row_length > BLOCK && self.plan.stages[stage].reductions.iter().any(|r| sums(r.reduction))
    }
}
