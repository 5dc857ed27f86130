//! A compiled function, and its checked call.

use super::error::CallError;
use super::known::KnownCalls;
use super::prebound::{Explanation, Kernel, Signature};
use crate::api::Engine;
use crate::array::Dtype;
use crate::array::{Input, Output, Placement};
use crate::exec;
use crate::exec::prepared::{Chain, PreparedPlan};
use crate::exec::scratch::OutOfMemory;
use crate::exec::signature::Pattern;
use crate::plan::{self, Fusion};
use fuselet_ir::rewrite::Rewritten;
use fuselet_ir::shape::Shape;
use fuselet_ir::{Graph, Node};
use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A function keeps the plans of this many patterns of shapes. Calls of further patterns plan anew each time, which
/// costs tens of microseconds; their passes still come from the engine's cache.
const MOST_PLANS: usize = 256;

type Key = SmallVec<[u16; 32]>;
pub(super) type Placements = SmallVec<[Placement; 6]>;

struct Inner {
    engine: Engine,
    rewritten: Rewritten,
    fusion: Fusion,
    /// Whether plans depend on exact lengths.
    exact: bool,
    plans: Chain<Key, Arc<PreparedPlan>>,
    /// The calls it knows again, if it can have any.
    known: Option<KnownCalls>,
    plan_count: AtomicUsize,
}

/// A plan that the function keeps, or one for a single call.
pub(super) enum PlanHandle<'a> {
    Kept(&'a Arc<PreparedPlan>),
    Passing(Arc<PreparedPlan>),
}

impl PlanHandle<'_> {
    pub(super) fn share(&self) -> Arc<PreparedPlan> {
        match self {
            PlanHandle::Kept(plan) => Arc::clone(plan),
            PlanHandle::Passing(plan) => Arc::clone(plan),
        }
    }
}

impl Deref for PlanHandle<'_> {
    type Target = PreparedPlan;
    fn deref(&self) -> &PreparedPlan {
        match self {
            PlanHandle::Kept(plan) => plan,
            PlanHandle::Passing(plan) => plan,
        }
    }
}

/// A compiled function: plans itself at its first call for each pattern of shapes. Cloning gives another handle.
///
/// ```
/// use fuselet::{Engine, TensorMut, TensorRef};
/// let engine = Engine::new()?;
/// let f = engine.compile("relu(x + bias)")?;
/// let x = [1.0f32, -2.0, 3.0, -4.0];
/// let mut y = [0.0f32; 4];
/// f.call(
///     &[("x", &TensorRef::new(&x, &[2, 2])?), ("bias", &[1.0f32, 1.0])],
///     &mut TensorMut::new(&mut y, &[2, 2])?,
/// )?;
/// assert_eq!(y, [2.0, 0.0, 4.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Fused(Arc<Inner>);

impl Fused {
    pub(crate) fn new(engine: Engine, rewritten: Rewritten, fusion: Fusion) -> Fused {
        let exact = rewritten.graph.nodes().iter().any(|node| matches!(node, Node::Half { .. }));
        let known = KnownCalls::of(&rewritten.graph);
        let (plans, plan_count) = (Chain::default(), AtomicUsize::new(0));
        Fused(Arc::new(Inner { engine, rewritten, fusion, exact, plans, known, plan_count }))
    }

    /// The graph that is computed, after rewriting.
    pub fn graph(&self) -> &Graph {
        &self.0.rewritten.graph
    }

    /// The rewrites that were applied, with how often each was.
    pub fn rewrites(&self) -> &Rewritten {
        &self.0.rewritten
    }

    /// The engine it runs on.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The names of the inputs, in the order of [`Kernel::call_raw`].
    pub fn inputs(&self) -> &[String] {
        self.graph().inputs()
    }

    /// The names of the outputs.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = &str> {
        self.graph().outputs().iter().map(|output| output.name.as_str())
    }

    pub(super) fn known_calls(&self) -> Option<&KnownCalls> {
        self.0.known.as_ref()
    }

    pub(super) fn is_exact(&self) -> bool {
        self.0.exact
    }

    /// Calls a function of one output.
    ///
    /// # Errors
    /// Names, dtypes, shapes or overlaps that do not fit; nothing is written then.
    pub fn call(&self, inputs: &[(&str, &dyn Input)], output: &mut dyn Output) -> Result<(), CallError> {
        let output = output.tensor_mut();
        if self.call_known(inputs, None, &output.placement) {
            return Ok(());
        }
        self.call_placed(inputs, None, std::slice::from_ref(&output.placement))
    }

    /// Calls a function that writes its one output over one of its inputs.
    ///
    /// # Errors
    /// As [`Fused::call`]; and a function that cannot work in place.
    ///
    /// ```
    /// use fuselet::Engine;
    /// let f = Engine::new()?.compile("x * scale |> relu")?;
    /// let mut x = [1.0f32, -2.0, 3.0];
    /// f.call_in_place(("x", &mut x), &[("scale", &2.0f32)])?;
    /// assert_eq!(x, [2.0, 0.0, 6.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_in_place(
        &self,
        in_place: (&str, &mut dyn Output),
        inputs: &[(&str, &dyn Input)],
    ) -> Result<(), CallError> {
        let array = in_place.1.tensor_mut().placement;
        if self.call_known(inputs, Some((in_place.0, &array)), &array) {
            return Ok(());
        }
        self.call_placed(inputs, Some((in_place.0, array)), &[array])
    }

    /// Calls a function of any number of outputs, given by name.
    ///
    /// # Errors
    /// As [`Fused::call`].
    pub fn call_many(
        &self,
        inputs: &[(&str, &dyn Input)],
        outputs: &mut [(&str, &mut dyn Output)],
    ) -> Result<(), CallError> {
        let expected = self.graph().outputs();
        let names = || expected.iter().map(|output| output.name.clone()).collect::<Vec<_>>();
        if outputs.len() != expected.len() {
            return Err(CallError::OutputCount { expected: names(), given: outputs.len() });
        }
        let mut placed: SmallVec<[Option<Placement>; 6]> = SmallVec::from_elem(None, expected.len());
        for (name, output) in outputs {
            match expected.iter().position(|known| known.name == *name) {
                None => return Err(CallError::UnknownOutput { name: (*name).to_owned(), expected: names() }),
                Some(at) if placed[at].is_some() => {
                    return Err(CallError::OutputCount { expected: names(), given: expected.len() });
                }
                Some(at) => placed[at] = Some(output.tensor_mut().placement),
            }
        }
        let placed: Placements = placed.into_iter().flatten().collect();
        self.call_placed(inputs, None, &placed)
    }

    /// The shapes of the outputs for inputs of these shapes, in the order of [`Fused::inputs`].
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>, CallError> {
        let shapes = fuselet_ir::shape::infer(self.graph(), inputs)?;
        Ok(self.graph().outputs().iter().map(|output| shapes[output.node.index()].clone()).collect())
    }

    /// The kernel for inputs of one signature, compiled now instead of at the first call.
    ///
    /// # Errors
    /// A signature that does not fit.
    pub fn kernel_for(&self, signature: &Signature) -> Result<Kernel, CallError> {
        Kernel::new(self, signature)
    }

    /// What would be run for inputs of one signature, and why: plan, passes, machine code.
    ///
    /// # Errors
    /// As [`Fused::kernel_for`].
    pub fn explain(&self, signature: &Signature) -> Result<Explanation, CallError> {
        Ok(Kernel::new(self, signature)?.explain())
    }

    fn call_placed(
        &self,
        inputs: &[(&str, &dyn Input)],
        in_place: Option<(&str, Placement)>,
        outputs: &[Placement],
    ) -> Result<(), CallError> {
        let placed = self.place_inputs(inputs, in_place)?;
        self.check_outputs_count(outputs.len())?;
        let dtype = self.common_dtype(&placed, outputs)?;
        let pattern = Pattern::of(&placed, dtype, self.0.exact);
        let prepared = self.prepared(dtype, &pattern, &placed)?;
        self.check_outputs(&prepared, &pattern.sizes, outputs)?;
        self.check_overlaps(&prepared, &placed, outputs)?;
        // SAFETY: inputs and outputs are borrowed for the call, of the plan's shapes and dtype, and overlap only as
        // the plan allows.
        unsafe { exec::run(&self.0.engine, &prepared, &placed, outputs, &pattern.sizes, exec::Mode::Run) }?;
        self.keep_known(&prepared, &placed, outputs, &pattern.sizes);
        Ok(())
    }

    /// The inputs in the graph's order.
    fn place_inputs(
        &self,
        inputs: &[(&str, &dyn Input)],
        in_place: Option<(&str, Placement)>,
    ) -> Result<Placements, CallError> {
        let names = self.graph().inputs();
        let given = inputs.len() + usize::from(in_place.is_some());
        let mut placed = Placements::new();
        for (at, name) in names.iter().enumerate() {
            if let Some((own, placement)) = &in_place
                && own == name
            {
                placed.push(*placement);
                continue;
            }
            // Most calls give the inputs in order.
            let found = match inputs.get(at) {
                Some((given, input)) if given == name => Some(input),
                _ => inputs.iter().find(|(given, _)| given == name).map(|(_, input)| input),
            };
            match found {
                Some(input) => placed.push(input.tensor().placement.copied()),
                None => {
                    return Err(match self.unknown(inputs, in_place) {
                        Some(error) => error,
                        None => CallError::MissingInput { name: name.clone(), expected: names.to_vec() },
                    });
                }
            }
        }
        if given != names.len() {
            let repeated = |name: &str| {
                inputs.iter().filter(|(given, _)| *given == name).count()
                    + usize::from(in_place.is_some_and(|(own, _)| own == name))
                    > 1
            };
            let repeated = names.iter().find(|name| repeated(name));
            return Err(match (self.unknown(inputs, in_place), repeated) {
                (Some(error), _) => error,
                (None, Some(name)) => CallError::RepeatedInput { name: name.clone() },
                (None, None) => unreachable!("more inputs than names, all known, none repeated"),
            });
        }
        Ok(placed)
    }

    fn unknown(&self, inputs: &[(&str, &dyn Input)], in_place: Option<(&str, Placement)>) -> Option<CallError> {
        let names = self.graph().inputs();
        let given = inputs.iter().map(|(name, _)| *name).chain(in_place.map(|(name, _)| name));
        let unknown = given.into_iter().find(|name| !names.iter().any(|known| known == name))?;
        Some(CallError::UnknownInput { name: unknown.to_owned(), expected: names.to_vec() })
    }

    pub(super) fn check_outputs_count(&self, given: usize) -> Result<(), CallError> {
        if given == self.graph().outputs().len() {
            return Ok(());
        }
        Err(CallError::OutputCount { expected: self.outputs().map(str::to_owned).collect(), given })
    }

    pub(super) fn common_dtype(&self, inputs: &[Placement], outputs: &[Placement]) -> Result<Dtype, CallError> {
        let all = inputs.iter().chain(outputs);
        let expected = all.clone().next().map_or(Dtype::F32, |first| first.dtype);
        match all.clone().position(|array| array.dtype != expected) {
            None => Ok(expected),
            Some(at) => {
                let name = |at: usize| match at.checked_sub(inputs.len()) {
                    None => self.graph().inputs()[at].clone(),
                    Some(output) => self.graph().outputs()[output].name.clone(),
                };
                let found = all.clone().nth(at).map_or(expected, |array| array.dtype);
                Err(CallError::Dtype { name: name(at), found, other: name(0), expected })
            }
        }
    }

    /// The plan for a pattern, made if it is new.
    pub(super) fn prepared(
        &self,
        dtype: Dtype,
        pattern: &Pattern,
        inputs: &[Placement],
    ) -> Result<PlanHandle<'_>, CallError> {
        let is = |key: &Key| key.as_slice() == pattern.key.as_slice();
        if let Some(prepared) = self.0.plans.find(is) {
            return Ok(PlanHandle::Kept(prepared));
        }
        let make = || {
            let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().to_vec()).collect();
            let extent = |length: usize| {
                if self.0.exact && length != 1 { plan::Extent::Fixed(length) } else { pattern.extent(length) }
            };
            let plan = plan::plan(self.graph(), &shapes, self.0.fusion, &extent)?;
            Ok::<_, CallError>(Arc::new(PreparedPlan::new(plan, dtype)))
        };
        if self.0.plan_count.load(Ordering::Relaxed) >= MOST_PLANS {
            return make().map(PlanHandle::Passing);
        }
        let counted = || {
            let plan = make()?;
            self.0.plan_count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, CallError>(plan)
        };
        self.0.plans.find_or_add(pattern.key.clone(), counted).map(PlanHandle::Kept)
    }

    pub(super) fn check_outputs(
        &self,
        prepared: &PreparedPlan,
        sizes: &[usize],
        outputs: &[Placement],
    ) -> Result<(), CallError> {
        for (at, (output, dimensions)) in outputs.iter().zip(&prepared.plan.outputs).enumerate() {
            let fits = output.shape().len() == dimensions.len()
                && output.shape().iter().zip(dimensions).all(|(length, extent)| *length == extent.resolve(sizes));
            if !fits {
                return Err(CallError::OutputShape {
                    name: self.graph().outputs()[at].name.clone(),
                    found: output.shape().to_vec(),
                    expected: dimensions.iter().map(|extent| extent.resolve(sizes)).collect(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn check_overlaps(
        &self,
        prepared: &PreparedPlan,
        inputs: &[Placement],
        outputs: &[Placement],
    ) -> Result<(), CallError> {
        let name = |at: usize| self.graph().outputs()[at].name.clone();
        for (at, output) in outputs.iter().enumerate() {
            for (index, input) in inputs.iter().enumerate() {
                if !output.overlaps(input) {
                    continue;
                }
                let reason = if !output.same_as(input) {
                    "they share memory without being the same array"
                } else if !prepared.plan.in_place[at][index] {
                    "the function still reads the input after it writes the output, or reads it at other places"
                } else {
                    continue;
                };
                return Err(CallError::Overlap {
                    output: name(at),
                    other: self.graph().inputs()[index].clone(),
                    reason,
                });
            }
            if let Some(other) = outputs[..at].iter().position(|other| output.overlaps(other)) {
                let reason = "two outputs cannot share memory";
                return Err(CallError::Overlap { output: name(at), other: name(other), reason });
            }
        }
        Ok(())
    }
}

impl From<OutOfMemory> for CallError {
    fn from(error: OutOfMemory) -> CallError {
        CallError::OutOfMemory { bytes: error.bytes }
    }
}

impl fmt::Debug for Fused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Fused").field("graph", &self.graph()).field("engine", &self.0.engine).finish()
    }
}

/// An array that is only measured, never read or written.
pub(super) fn unwritten(shape: &[usize], dtype: Dtype) -> Placement {
    Placement::contiguous(std::ptr::NonNull::<u64>::dangling().as_ptr().cast(), dtype, shape)
}
