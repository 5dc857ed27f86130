//! What both forms share: the rows of a kernel, its scratch, and the arguments of its passes.

use super::{BLOCK, pack, span, strip};
use crate::backend::Code;
use crate::engine::Engine;
use crate::fuse::{self, Form, KernelPlan, PassPlan, Slot, combine_of};
use crate::lane::{Combine, OperandArgument, Role};
use crate::run::Mode;
use crate::run::operands::{self, Bound, Nest};
use crate::run::prepared::{Layouts, Position, PreparedKernel, PreparedPlan, pass_of};
use crate::run::scratch::{OutOfMemory, Scratch, round_up};
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
    /// How many threads share each row.
    pub(super) parts: usize,
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

    /// The strips of a reduction, in strip form.
    pub(super) fn accumulator(&self, at: usize) -> *mut u8 {
        self.accumulators.wrapping_add(at * self.accumulator_bytes)
    }

    /// The results of a reduction's spans, where a row has several.
    pub(super) fn block(&self, at: usize) -> *mut u8 {
        self.blocks.wrapping_add(at * self.block_bytes)
    }
}

/// A pass compiled for this run's layouts.
#[derive(Clone, Copy)]
pub(super) struct PassCode<'a> {
    /// An element at a time; missing where everything is done in fours.
    pub(super) single: Option<&'a dyn Code>,
    /// An element of each quarter of a block at a time; missing where there is no sum.
    pub(super) fours: Option<&'a dyn Code>,
    pub(super) slots: &'a [Slot],
    /// The span, where one call of one kind of code does whole rows, and the arguments are that call's.
    pub(super) whole: Option<(&'a dyn Code, usize)>,
    /// Where its arguments are in [`Passes::arguments`].
    first: usize,
    end: usize,
}

/// A part of every row that one kind of code runs in equal spans, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) code: &'a dyn Code,
    /// How many elements a body does: 1 or 4, `span` apart.
    pub(super) bodies: usize,
    /// The first element.
    pub(super) first: usize,
    pub(super) span: usize,
    pub(super) spans: usize,
    /// The place of the first span's result among the row's.
    pub(super) result: usize,
}

/// The arguments of a segment: those of the pass, then those of the other bodies.
pub(super) type SegmentArguments = SmallVec<[OperandArgument; 16]>;

impl Segment<'_> {
    /// The arguments for the segment's first element. `step` is the bytes from an element of the row to the next.
    pub(super) fn arguments(
        &self,
        plan: &KernelPlan,
        slots: &[Slot],
        arguments: &[OperandArgument],
        step: impl Fn(&OperandArgument) -> isize,
    ) -> SegmentArguments {
        let mut own = SegmentArguments::from_slice(arguments);
        for body in 0..self.bodies {
            for (at, _) in slots.iter().enumerate().filter(|(_, slot)| fuse::moves(plan, **slot)) {
                let mut argument = arguments[at];
                let elements = (self.first + body * self.span) as isize;
                argument.pointer = argument.pointer.wrapping_offset(step(&argument) * elements);
                if body == 0 {
                    own[at] = argument;
                } else {
                    own.push(argument);
                }
            }
        }
        own
    }
}

/// The segments of a pass along the row.
pub(super) type Segments<'a> = SmallVec<[Segment<'a>; 3]>;

/// The passes of one stage.
#[derive(Clone, Copy)]
pub(super) struct StageCode<'a> {
    pub(super) along: Option<PassCode<'a>>,
    pub(super) across: Option<PassCode<'a>>,
}

/// Where each kept value lies: in the memory of a sink (as a bound) that is written later, or in scratch.
pub(super) type Homes = SmallVec<[Option<usize>; 4]>;

/// All passes of a run, their arguments one after the other: made once, where they stay, and pointed at batch after batch.
#[derive(Default)]
pub(super) struct Passes<'a> {
    arguments: SmallVec<[OperandArgument; 32]>,
    /// (argument, bound, bytes after it) of everything that is read or written in arrays.
    moving: SmallVec<[(u32, u32, isize); 32]>,
    pub(super) stages: SmallVec<[StageCode<'a>; 4]>,
}

impl Passes<'_> {
    /// The arguments of a pass.
    pub(super) fn arguments(&self, pass: &PassCode<'_>) -> &[OperandArgument] {
        &self.arguments[pass.first..pass.end]
    }

    /// Points all arguments at a batch.
    pub(super) fn point(&mut self, bounds: &[Bound]) {
        for (argument, bound, offset) in &self.moving {
            self.arguments[*argument as usize].pointer = bounds[*bound as usize].pointer.wrapping_offset(*offset);
        }
    }
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
        let strips = match self.form {
            Form::Span => 0,
            _ => strip::DEPTH * batch,
        };
        let blocks = (self.row_length / BLOCK + 2).saturating_mul(batch);
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
                let mut passes = Passes::default();
                self.prepare(rows, batch, &places, &mut passes);
                if self.mode == Mode::Compile {
                    return Ok(());
                }
                self.walk(rows, batch, &mut |bounds, count| {
                    passes.point(bounds);
                    match self.form {
                        Form::Span => span::run(self, &passes, count, &places),
                        _ => strip::run(self, &passes, count, batch, &places),
                    }
                });
            }
        }
        Ok(())
    }

    fn batch_rows(&self) -> usize {
        let (budget, least) = match self.form {
            Form::Span => (SPAN_BYTES, 1),
            // A strip must fill vectors, whatever the row's length.
            _ => (STRIP_BYTES, 32),
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

    /// Finds the code of every pass for the layouts of these rows, and writes its arguments.
    pub(super) fn prepare(&self, rows: &Rows, batch: usize, places: &Places, passes: &mut Passes<'a>) {
        let homes = self.homes(rows);
        for (number, stage) in self.plan.stages.iter().enumerate() {
            let along =
                (!stage.along.is_empty()).then(|| self.prepare_along(rows, &homes, batch, number, places, passes));
            let across = (!stage.across.is_empty()).then(|| {
                let first = passes.arguments.len();
                self.across_arguments(&stage.across, rows, places, &mut passes.arguments);
                self.note_moving(&stage.across, &homes, first, &mut passes.moving);
                let code = self.code(rows, batch, number, Position::Across, Form::Span);
                let end = passes.arguments.len();
                PassCode { single: Some(code), fours: None, slots: &stage.across.slots, whole: None, first, end }
            });
            passes.stages.push(StageCode { along, across });
        }
    }

    /// The same for the pass along the row of one stage.
    fn prepare_along(
        &self,
        rows: &Rows,
        homes: &Homes,
        batch: usize,
        stage: usize,
        places: &Places,
        passes: &mut Passes<'a>,
    ) -> PassCode<'a> {
        let plan = self.plan;
        let along = &plan.stages[stage].along;
        let length = self.row_length;
        let first = passes.arguments.len();
        match self.form {
            Form::Span => span::arguments(self, stage, (rows, homes), places, &mut passes.arguments),
            _ => strip::arguments(self, stage, (rows, homes), batch, places, &mut passes.arguments),
        }
        self.note_moving(along, homes, first, &mut passes.moving);
        // Sums go in fours, as far as those go.
        let sums = self.sums(stage);
        let in_fours = sums && length >= 4;
        let one_by_one = !sums || length == 0 || !length.is_multiple_of(4);
        let (one, four) = match self.form {
            Form::Span => (Form::Span, Form::SpanOfFours),
            _ => (Form::Strip, Form::StripOfFours),
        };
        let code = |form| self.code(rows, batch, stage, Position::Along, form);
        let (single, fours) = (one_by_one.then(|| code(one)), in_fours.then(|| code(four)));
        let mut whole = None;
        if self.form == Form::Span && self.parts == 1 && (!sums || length <= BLOCK) {
            whole = match (single, fours) {
                (Some(code), None) => Some((code, length)),
                (None, Some(code)) => Some((code, length / 4)),
                _ => None,
            };
        }
        if let (Some((_, span)), true) = (whole, in_fours) {
            self.add_bodies(passes, first, &along.slots, span);
        }
        PassCode { single, fours, slots: &along.slots, whole, first, end: passes.arguments.len() }
    }

    /// Appends the arguments of the other bodies, `span` elements apart, to those of a pass.
    fn add_bodies(&self, passes: &mut Passes<'_>, first: usize, slots: &[Slot], span: usize) {
        for body in 1..4 {
            for (at, _) in slots.iter().enumerate().filter(|(_, slot)| fuse::moves(self.plan, **slot)) {
                let mut argument = passes.arguments[first + at];
                let offset = argument.stride * (body * span) as isize;
                let bound = passes.moving.iter().find(|(place, ..)| *place as usize == first + at).map(|entry| entry.1);
                if let Some(bound) = bound {
                    passes.moving.push((passes.arguments.len() as u32, bound, offset));
                }
                argument.pointer = argument.pointer.wrapping_offset(offset);
                passes.arguments.push(argument);
            }
        }
    }

    fn note_moving(
        &self,
        pass: &PassPlan,
        homes: &Homes,
        first: usize,
        moving: &mut SmallVec<[(u32, u32, isize); 32]>,
    ) {
        for (at, slot) in pass.slots.iter().enumerate() {
            let bound = match slot {
                Slot::Source(at) => *at,
                Slot::Sink(at) => self.plan.sources.len() + at,
                Slot::Kept(at) | Slot::Keep(at) => match homes[*at] {
                    Some(bound) => bound,
                    None => continue,
                },
                _ => continue,
            };
            moving.push(((first + at) as u32, bound as u32, 0));
        }
    }

    /// A kept value may lie where a sink is going to be: the row then fills a cache once, not twice. The sink must be written
    /// by the last pass that reads the value, lie like a kept row, and be no array that is read once the value is
    /// written.
    fn homes(&self, rows: &Rows) -> Homes {
        let plan = self.plan;
        let span_strides = match self.form {
            Form::Span => &rows.row_strides,
            _ => &rows.nest[rows.nest.len() - 1].strides,
        };
        let mut homes: Homes = SmallVec::new();
        for kept in 0..plan.kept.len() {
            let stage_with = |wanted: Slot| plan.stages.iter().rposition(|stage| stage.along.slots.contains(&wanted));
            let (written, read) = (stage_with(Slot::Keep(kept)), stage_with(Slot::Kept(kept)));
            let whole = plan.stages.iter().flat_map(|stage| &stage.reductions).any(|r| r.kept == Some(kept));
            let suits = |sink: usize| {
                let bound = plan.sources.len() + sink;
                let same = |source: usize| rows.bounds[source].pointer == rows.bounds[bound].pointer;
                let late = |source: usize| stage_with(Slot::Source(source)) > written;
                plan.sinks[sink].varying
                    && span_strides[bound] == self.size as isize
                    && stage_with(Slot::Sink(sink)) == read
                    && !homes.contains(&Some(bound))
                    && !(0..plan.sources.len()).any(|source| same(source) && late(source))
            };
            let home = (0..plan.sinks.len()).find(|sink| !whole && read > written && suits(*sink));
            homes.push(home.map(|sink| plan.sources.len() + sink));
        }
        homes
    }

    fn code(&self, rows: &Rows, batch: usize, stage: usize, position: Position, form: Form) -> &'a dyn Code {
        let (_, pass) = pass_of(self.plan, stage, position);
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
        self.prepared.code(self.engine, self.kernel, stage, position, form, &layouts)
    }

    /// The arguments of a pass across a batch of rows.
    fn across_arguments(
        &self,
        pass: &PassPlan,
        rows: &Rows,
        places: &Places,
        arguments: &mut SmallVec<[OperandArgument; 32]>,
    ) {
        let batch_strides = &rows.nest[rows.nest.len() - 1].strides;
        let element = self.size as isize;
        for slot in &pass.slots {
            arguments.push(match slot {
                Slot::Source(at) => operands::argument(rows.bounds[*at].pointer, batch_strides[*at], 0),
                Slot::Sink(at) => {
                    let at = self.plan.sources.len() + at;
                    operands::argument(rows.bounds[at].pointer, batch_strides[at], 0)
                }
                Slot::Scalar(at) | Slot::SetScalar(at) => operands::argument(places.scalar(*at), element, 0),
                Slot::Kept(_) | Slot::Keep(_) | Slot::Reduction(_) => {
                    unreachable!("a pass across rows has nothing along them")
                }
            });
        }
    }

    /// Whether a stage sums along the row.
    pub(super) fn sums(&self, stage: usize) -> bool {
        let mut reductions = self.plan.stages[stage].reductions.iter();
        reductions.any(|r| r.kept.is_none() && combine_of(r.reduction) == Combine::Sum)
    }

    /// The segments of a pass along the row, and how many results they have.
    pub(super) fn segments(&self, stage: usize, along: &PassCode<'a>) -> (Segments<'a>, usize) {
        let mut segments = Segments::new();
        let mut results = 0;
        let mut add = |code: Option<&'a dyn Code>, bodies, first, span, spans| {
            if let Some(code) = code {
                segments.push(Segment { code, bodies, first, span, spans, result: results });
                results += spans;
            }
        };
        let length = self.row_length;
        let (full, rest) = (length / BLOCK, length % BLOCK);
        if !self.sums(stage) {
            // Only threads want it in pieces.
            if self.parts == 1 {
                add(along.single, 1, 0, length, 1);
            } else {
                add(along.single, 1, 0, BLOCK, full);
                add(along.single.filter(|_| rest > 0), 1, full * BLOCK, rest, 1);
            }
        } else {
            add(along.fours.filter(|_| full > 0), 4, 0, BLOCK / 4, full);
            add(along.fours.filter(|_| rest >= 4), 4, full * BLOCK, rest / 4, 1);
            add(along.single, 1, length - rest % 4, rest % 4, 1);
        }
        (segments, results)
    }
}
