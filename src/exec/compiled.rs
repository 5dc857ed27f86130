//! A plan with its compiled passes.
//!
//! A pass is compiled once for each loop form and layout of its operands, when a plan is first bound to arrays that need
//! it. What is kept of that is bounded: the least recently used variants leave, and their code goes with the last bound plan
//! that runs it.

use super::operands::Storage;
use super::rows::RowCodes;
use crate::array::ComputeDtype;
use crate::codegen::write::{self, Form, OperandBinding, PassRequest};
use crate::compile::{Compiled, Compiler};
use crate::lane::Layout;
use crate::plan::{self, KernelPlan, PassPlan, Plan};
use lru::LruCache;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// The layouts of a pass's slots.
pub(crate) type Layouts = SmallVec<[Layout; 8]>;

/// A plan keeps this many variants of all its passes together.
const MOST_VARIANTS: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

/// Which pass of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Position {
    /// The one along the row, or along the domain of an elementwise kernel.
    Row,
    /// The one that runs once a row.
    PerRow,
}

/// Which pass, and how it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Variant {
    kernel: usize,
    stage: usize,
    position: Position,
    form: Form,
    layouts: Layouts,
    storage: Storage,
}

/// In few words: a variant is looked for with every pass that is bound.
impl Hash for Variant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.kernel);
        state.write_usize(self.stage << 16 | (self.position as usize) << 8 | self.form as usize);
        for some in self.layouts.chunks(8) {
            state.write_u64(some.iter().fold(0, |word, layout| word << 8 | *layout as u64));
        }
        for some in self.storage.chunks(8) {
            state.write_u64(some.iter().fold(0, |word, dtype| word << 8 | *dtype as u64));
        }
    }
}

/// A pass with its code, and what its operands are.
pub(crate) struct CompiledPass {
    pub(crate) compiled: Compiled,
    pub(crate) bindings: Vec<OperandBinding>,
}

/// A plan with its compiled passes.
pub(crate) struct CompiledPlan {
    pub(crate) plan: Plan,
    pub(crate) dtype: ComputeDtype,
    /// Lane ops for each element of each kernel, roughly: decides about threads.
    pub(crate) work: Vec<usize>,
    variants: Mutex<LruCache<Variant, Arc<CompiledPass>, FxBuildHasher>>,
    /// What row kernels need of them, by class of layouts.
    pub(crate) rows: RowCodes,
}

impl CompiledPlan {
    pub(crate) fn new(plan: Plan, dtype: ComputeDtype) -> CompiledPlan {
        let work = plan.kernels.iter().map(|kernel| plan::kernel_work(&plan.graph, kernel)).collect();
        let variants = Mutex::new(LruCache::with_hasher(MOST_VARIANTS, FxBuildHasher));
        CompiledPlan { plan, dtype, work, variants, rows: RowCodes::new() }
    }

    /// A pass for these layouts of its slots and dtypes of its kernel's arrays with its code, compiled if it is new.
    pub(crate) fn pass(
        &self,
        compiler: &Compiler,
        (kernel, stage): (usize, usize),
        position: Position,
        form: Form,
        layouts: &Layouts,
        storage: &Storage,
    ) -> Arc<CompiledPass> {
        let variant = Variant { kernel, stage, position, form, layouts: layouts.clone(), storage: storage.clone() };
        if let Some(found) = self.lock().get(&variant) {
            return found.clone();
        }
        let kernel = &self.plan.kernels[kernel];
        let written = write::write(&PassRequest {
            graph: &self.plan.graph,
            kernel,
            stage,
            pass: pass_of(kernel, stage, position),
            form,
            layouts,
            storage,
            dtype: self.dtype,
            fma: compiler.has_fma(),
        });
        let made = Arc::new(CompiledPass { compiled: compiler.code(written.pass), bindings: written.bindings });
        // Two threads that miss one variant at once have the same code from the compiler's cache.
        self.lock().put(variant, made.clone());
        made
    }

    /// All passes that are kept, in the order of kernels and stages.
    pub(crate) fn passes(&self) -> Vec<Compiled> {
        let variants = self.lock();
        let mut all: Vec<(&Variant, &Arc<CompiledPass>)> = variants.iter().collect();
        // The order in which they were compiled, among equals.
        all.reverse();
        all.sort_by_key(|(variant, _)| (variant.kernel, variant.stage, variant.position == Position::PerRow));
        all.into_iter().map(|(_, pass)| pass.compiled.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Variant, Arc<CompiledPass>, FxBuildHasher>> {
        // The map is whole between any two of its operations.
        self.variants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pass of a kernel.
pub(crate) fn pass_of(kernel: &KernelPlan, stage: usize, position: Position) -> &PassPlan {
    match position {
        Position::Row => &kernel.stages[stage].row_pass,
        Position::PerRow => &kernel.stages[stage].per_row_pass,
    }
}
