//! How the operands of a row kernel lie along rows and batches: what the class of its code and its arguments are made of.

use super::chunks;
use super::class::{ClassRequest, RowClass};
use crate::codegen::write::Form;
use crate::exec::operands::Storage;
use crate::plan::{KernelPlan, Slot};
use smallvec::SmallVec;

/// How the operands lie.
pub(super) struct Geometry<'a> {
    pub(super) plan: &'a KernelPlan,
    pub(super) form: Form,
    /// Bytes of a lane, which is what elements in scratch are.
    pub(super) size: usize,
    /// The operands' dtypes.
    pub(super) storage: &'a Storage,
    pub(super) row_length: usize,
    pub(super) batch: usize,
    /// Whether threads share each row.
    pub(super) shared: bool,
    /// Byte strides of the operands along the row, and from a row of a batch to the next.
    pub(super) row_strides: SmallVec<[isize; 6]>,
    pub(super) batch_strides: SmallVec<[isize; 6]>,
    /// Which sinks go past caches.
    pub(super) non_temporal: SmallVec<[bool; 4]>,
    /// Which sources are the very array of which sinks.
    pub(super) same: &'a [(usize, usize)],
}

impl Geometry<'_> {
    /// The class that the kernel's code is found by.
    pub(super) fn class(&self, kernel: usize) -> RowClass {
        RowClass::of(&ClassRequest {
            kernel,
            form: self.form,
            storage: self.storage,
            row_length: self.row_length,
            batch: self.batch,
            chunks: chunks::pattern(self.row_length),
            shared: self.shared,
            row_strides: &self.row_strides,
            batch_strides: &self.batch_strides,
            non_temporal: &self.non_temporal,
            same: self.same,
        })
    }

    /// The operand that a sink is.
    pub(super) fn sink(&self, at: usize) -> usize {
        self.plan.sources.len() + at
    }

    /// A kept value may lie where a sink is going to be: the row then fills a cache once, not twice. The sink must not go past caches,
    /// store floats as lanes are, be written by the last pass that reads the value, lie like a kept row, and be no array that is read
    /// once the value is written.
    pub(super) fn find_homes(&self) -> SmallVec<[Option<usize>; 4]> {
        let plan = self.plan;
        let span_strides = if self.form == Form::Span { &self.row_strides } else { &self.batch_strides };
        let mut homes: SmallVec<[Option<usize>; 4]> = SmallVec::new();
        for kept in 0..plan.kept.len() {
            let stage_with =
                |wanted: Slot| plan.stages.iter().rposition(|stage| stage.row_pass.slots.contains(&wanted));
            let (written, read) = (stage_with(Slot::Keep(kept)), stage_with(Slot::Kept(kept)));
            let whole = plan.stages.iter().flat_map(|stage| &stage.reductions).any(|r| r.kept == Some(kept));
            let suits = |sink: usize| {
                let late = |source: usize| stage_with(Slot::Source(source)) > written;
                plan.sinks[sink].varying
                    && !self.non_temporal[sink]
                    && span_strides[self.sink(sink)] == self.size as isize
                    && self.storage[self.sink(sink)].size() == self.size
                    && self.storage[self.sink(sink)].is_float()
                    && stage_with(Slot::Sink(sink)) == read
                    && !homes.contains(&Some(self.sink(sink)))
                    && !self.same.iter().any(|(source, other)| *other == sink && late(*source))
            };
            let home = (0..plan.sinks.len()).find(|sink| !whole && read > written && suits(*sink));
            homes.push(home.map(|sink| self.sink(sink)));
        }
        homes
    }
}

/// Whether an operand varies along the row.
pub(super) fn varies(plan: &KernelPlan, operand: usize) -> bool {
    match operand.checked_sub(plan.sources.len()) {
        None => plan.sources[operand].varying,
        Some(sink) => plan.sinks[sink].varying,
    }
}
