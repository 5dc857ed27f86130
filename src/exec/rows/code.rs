//! What row kernels of one class share: stages, code, and what each argument is; no length, no stride, no address.
//!
//! A plan keeps it for the classes it has met ([`RowCodes`]), so that arrays of new lengths find all code at once and fill in
//! numbers ([`super::loops`]).

use super::class::RowClass;
use crate::array::ComputeDtype;
use crate::codegen::Code;
use crate::codegen::write::{Form, OperandBinding};
use crate::exec::operands::Storage;
use crate::lane::ReductionOperator;
use crate::plan::Condition;
use fuselet_ir::Reduction;
use lru::LruCache;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A plan keeps the code of this many classes of all its row kernels together.
const MOST_CLASSES: NonZeroUsize = NonZeroUsize::new(32).expect("32 is not zero");

/// The code of a row kernel for one class of layouts. Sources, then sinks, are its *operands*.
pub(crate) struct RowCode {
    /// How many of the operands are sources.
    pub(super) sources: usize,
    /// Which operands vary along the row.
    pub(super) varying: SmallVec<[bool; 8]>,
    /// Their dtypes.
    pub(super) storage: Storage,
    pub(super) form: Form,
    pub(super) dtype: ComputeDtype,
    pub(super) stages: Vec<StageCode>,
    /// The segments of all passes along rows.
    pub(super) segments: Vec<SegmentCode>,
    /// What the arguments of all passes are.
    pub(super) bindings: Vec<OperandBinding>,
    /// Where each kept value lies: in the memory of an operand that is written later, or in scratch.
    pub(super) homes: SmallVec<[Option<usize>; 4]>,
    /// How many reductions the stage that has most of them has.
    pub(super) most_reductions: usize,
    /// Whether a reduction needs whole rows.
    pub(super) takes_whole_rows: bool,
    /// In strip form, what the accumulators need, each way of combining once.
    pub(super) strips: Vec<(ReductionOperator, StripCode)>,
    /// Bytes of scratch that code works in.
    pub(super) code_scratch: usize,
}

/// Code over strips of an accumulator.
pub(super) struct StripCode {
    /// Fills a strip with the identity.
    pub(super) fill: Arc<dyn Code>,
    /// Combines a strip with another.
    pub(super) combine: Arc<dyn Code>,
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
    /// Whether it reduces into accumulators.
    pub(super) reduces: bool,
}

/// The code of a segment: a part of every row that one kind of code runs in equal chunks, one after the other.
pub(super) struct SegmentCode {
    pub(super) code: Arc<dyn Code>,
    /// Where its arguments are.
    pub(super) arguments: Range<usize>,
}

impl RowCode {
    /// The code of all passes.
    pub(super) fn codes(&self) -> impl Iterator<Item = &Arc<dyn Code>> {
        let per_row = self.stages.iter().filter_map(|stage| stage.per_row.as_ref()).map(|pass| &pass.code);
        let strips = self.strips.iter().flat_map(|(_, strip)| [&strip.fill, &strip.combine]);
        self.segments.iter().map(|segment| &segment.code).chain(per_row).chain(strips)
    }
}

/// The code of the classes a plan has met; what was not used longest leaves.
pub(crate) struct RowCodes(Mutex<LruCache<RowClass, Arc<RowCode>, FxBuildHasher>>);

impl RowCodes {
    /// Of none yet.
    pub(crate) fn new() -> RowCodes {
        RowCodes(Mutex::new(LruCache::with_hasher(MOST_CLASSES, FxBuildHasher)))
    }

    /// The code of a class, found by `find` if it is new.
    pub(super) fn of(&self, class: RowClass, find: impl FnOnce() -> RowCode) -> Arc<RowCode> {
        // The map is whole between any two of its operations.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&class) {
            return known.clone();
        }
        let found = Arc::new(find());
        lock().put(class, found.clone());
        found
    }
}
