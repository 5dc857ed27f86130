//! A plan with its compiled passes: what a call looks up.
//!
//! A pass is compiled once for each layout of its operands, at the first call that needs it. Finding it again takes no
//! lock: variants hang in a list that only grows, of [`std::sync::OnceLock`]s.

use crate::api::Engine;
use crate::array::Dtype;
use crate::codegen::Code;
use crate::compile::Compiled;
use crate::lane::Layout;
use crate::plan::{self, Form, KernelPlan, PassPlan, Plan};
use smallvec::SmallVec;
use std::sync::OnceLock;

/// The layouts of a pass's operands.
pub(crate) type Layouts = SmallVec<[Layout; 8]>;

/// A list that grows at its end and is read without a lock.
pub(crate) struct Chain<K, V> {
    head: OnceLock<Box<Link<K, V>>>,
}

struct Link<K, V> {
    key: K,
    value: V,
    next: OnceLock<Box<Link<K, V>>>,
}

impl<K, V> Default for Chain<K, V> {
    fn default() -> Self {
        Chain { head: OnceLock::new() }
    }
}

impl<K, V> Drop for Chain<K, V> {
    fn drop(&mut self) {
        // Link by link, so that a long chain does not use up the stack.
        let mut next = self.head.take();
        while let Some(mut link) = next {
            next = link.next.take();
        }
    }
}

impl<K: PartialEq, V> Chain<K, V> {
    /// The value of the key that `is` recognises.
    pub(crate) fn find(&self, is: impl Fn(&K) -> bool) -> Option<&V> {
        self.iter().find(|(key, _)| is(key)).map(|(_, value)| value)
    }

    /// The value of a key; with `make`, added if missing. Two threads that miss one key at once may both make a value;
    /// one of them is kept.
    pub(crate) fn find_or_add<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<&V, E> {
        let mut slot = &self.head;
        while let Some(link) = slot.get() {
            if link.key == key {
                return Ok(&link.value);
            }
            slot = &link.next;
        }
        let mut link = Some(Box::new(Link { key, value: make()?, next: OnceLock::new() }));
        loop {
            let here = slot.get_or_init(|| link.take().expect("taken only once, when it is placed"));
            if link.as_ref().is_none_or(|own| own.key == here.key) {
                return Ok(&here.value);
            }
            slot = &here.next;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut slot = &self.head;
        std::iter::from_fn(move || {
            let link = slot.get()?;
            slot = &link.next;
            Some((&link.key, &link.value))
        })
    }
}

/// Which pass of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Along,
    Across,
}

type Variants = Chain<(Form, Layouts), Compiled>;

/// The compiled passes of one stage.
#[derive(Default)]
pub(crate) struct PreparedStage {
    along: Variants,
    across: Variants,
}

/// The compiled passes of one kernel.
pub(crate) struct PreparedKernel {
    pub(crate) index: usize,
    pub(crate) stages: Vec<PreparedStage>,
    /// Lane ops for each element, roughly: decides about threads.
    pub(crate) work: usize,
}

/// A plan with its compiled passes.
pub(crate) struct PreparedPlan {
    pub(crate) plan: Plan,
    pub(crate) dtype: Dtype,
    pub(crate) kernels: Vec<PreparedKernel>,
}

impl PreparedPlan {
    pub(crate) fn new(plan: Plan, dtype: Dtype) -> PreparedPlan {
        let kernels = plan
            .kernels
            .iter()
            .enumerate()
            .map(|(index, kernel)| PreparedKernel {
                index,
                stages: kernel.stages.iter().map(|_| PreparedStage::default()).collect(),
                work: plan::kernel_work(&plan.graph, kernel),
            })
            .collect();
        PreparedPlan { plan, dtype, kernels }
    }

    /// The code of a pass for these layouts, compiled if it is new.
    pub(crate) fn code<'a>(
        &self,
        engine: &Engine,
        kernel: &'a PreparedKernel,
        stage: usize,
        position: Position,
        form: Form,
        layouts: &Layouts,
    ) -> &'a dyn Code {
        self.compiled_for(engine, kernel, stage, position, form, layouts).code.as_ref()
    }

    /// A pass for these layouts with its code, compiled if it is new.
    pub(crate) fn compiled_for<'a>(
        &self,
        engine: &Engine,
        kernel: &'a PreparedKernel,
        stage: usize,
        position: Position,
        form: Form,
        layouts: &Layouts,
    ) -> &'a Compiled {
        let variants = &kernel.stages[stage];
        let variants = match position {
            Position::Along => &variants.along,
            Position::Across => &variants.across,
        };
        let is = |key: &(Form, Layouts)| key.0 == form && key.1.as_slice() == layouts.as_slice();
        if let Some(compiled) = variants.find(is) {
            return compiled;
        }
        let plan = &self.plan.kernels[kernel.index];
        let make = || {
            let pass = pass_of(plan, stage, position);
            let pass = plan::emit(
                (&self.plan.graph, plan, stage),
                pass,
                form,
                layouts,
                (self.dtype, engine.compiler().has_fma()),
            );
            Ok::<_, std::convert::Infallible>(engine.compiler().code(pass))
        };
        let Ok(compiled) = variants.find_or_add((form, layouts.clone()), make);
        compiled
    }

    /// All code compiled so far.
    pub(crate) fn compiled(&self) -> impl Iterator<Item = &Compiled> {
        self.kernels
            .iter()
            .flat_map(|kernel| &kernel.stages)
            .flat_map(|stage| stage.along.iter().chain(stage.across.iter()))
            .map(|(_, compiled)| compiled)
    }
}

/// A pass of a kernel.
pub(crate) fn pass_of(kernel: &KernelPlan, stage: usize, position: Position) -> &PassPlan {
    match position {
        Position::Along => &kernel.stages[stage].along,
        Position::Across => &kernel.stages[stage].across,
    }
}
