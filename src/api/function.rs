//! A compiled function: what it keeps, and how a call finds the plan that is bound to its arrays.

use super::arrays::{Arrays, InPlace, Inputs, Overlap};
use super::bound_cache::{BoundCache, BoundCall, Fingerprint};
use super::engine::Engine;
use super::error::CallError;
use super::flat::{FlatKind, FlatLoop, FlatLoops};
use crate::array::{ArrayLayout, ComputeDtype};
use crate::compile::Event;
use crate::exec::bind::{self, BindRequest};
use crate::exec::compiled::CompiledPlan;
use crate::exec::float_mode::FloatMode;
use crate::exec::scratch::OutOfMemory;
use crate::exec::shape_key::{ShapeKey, SymbolicShapes};
use crate::lower;
use crate::plan::{self, Fusion};
use fuselet_ir::rewrite::Rewritten;
use fuselet_ir::shape::Shape;
use fuselet_ir::{Graph, Node};
use lru::LruCache;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A function keeps the plans of this many patterns of shapes; the least recently used leave.
const MOST_PLANS: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not zero");

struct Inner {
    engine: Engine,
    rewritten: Rewritten,
    fusion: Fusion,
    /// Whether plans depend on exact lengths.
    exact: bool,
    plans: Mutex<LruCache<ShapeKey, Arc<CompiledPlan>, FxBuildHasher>>,
    /// The loops of flat calls, if it is an elementwise function.
    flat: Option<FlatLoops>,
    bound: BoundCache,
}

/// A compiled function. Cloning gives another handle.
///
/// What happens when: compiling a function checks its expression, and nothing else. The first call for a pattern of shapes
/// (ranks, which lengths are 1, which are equal) *plans*; the first call for a kind of layout (contiguous, broadcast,
/// strided) *compiles* code, which takes tens to hundreds of microseconds; further lengths are only *bound*, below a
/// microsecond or so; and a call of arrays laid out like an earlier call's is only checked. [`Function::prepare`] does all
/// of it ahead.
///
/// ```
/// use fuselet::{ArrayMut, ArrayRef, Engine};
/// let engine = Engine::new()?;
/// let f = engine.compile("relu(x + bias)")?;
/// let x = [1.0f32, -2.0, 3.0, -4.0];
/// let mut y = [0.0f32; 4];
/// f.call(
///     &[("x", ArrayRef::new(&x, &[2, 2])?), ("bias", (&[1.0f32, 1.0]).into())],
///     ArrayMut::new(&mut y, &[2, 2])?,
/// )?;
/// assert_eq!(y, [2.0, 0.0, 4.0, 0.0]);
/// # Ok::<(), fuselet::Error>(())
/// ```
#[derive(Clone)]
pub struct Function(Arc<Inner>);

impl Function {
    pub(super) fn new(engine: Engine, rewritten: Rewritten, fusion: Fusion) -> Function {
        let exact = rewritten.graph.nodes().iter().any(|node| matches!(node, Node::Half { .. }));
        let flat = FlatLoops::of(&rewritten.graph);
        let bound = BoundCache::new(engine.function_cache_bytes());
        let plans = Mutex::new(LruCache::with_hasher(MOST_PLANS, FxBuildHasher));
        Function(Arc::new(Inner { engine, rewritten, fusion, exact, plans, flat, bound }))
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

    /// The names of the inputs, in the order of positional calls.
    pub fn inputs(&self) -> &[String] {
        self.graph().inputs()
    }

    /// The names of the outputs, in the order of positional calls.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = &str> {
        self.graph().outputs().iter().map(|output| output.name.as_str())
    }

    /// How many layouts' bound plans the function keeps, and how many bytes they take.
    pub fn cache_usage(&self) -> (usize, usize) {
        self.0.bound.usage()
    }

    /// The shapes of the outputs for inputs of these shapes, in the order of [`Function::inputs`].
    ///
    /// # Errors
    /// Shapes that do not fit.
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("x + bias")?;
    /// assert_eq!(f.output_shapes(&[vec![5, 3], vec![3]])?, [[5, 3]]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn output_shapes(&self, inputs: &[Shape]) -> Result<Vec<Shape>, CallError> {
        let shapes = fuselet_ir::shape::infer(self.graph(), inputs)?;
        Ok(self.graph().outputs().iter().map(|output| shapes[output.node.index()].clone()).collect())
    }

    /// Calls the function with as many inputs as it has.
    #[inline]
    pub(super) fn call_arrays<I: Inputs + ?Sized>(&self, arrays: &Arrays<'_, I>) -> Result<(), CallError> {
        let _mode = FloatMode::enter();
        let inner = &*self.0;
        let outputs = inner.rewritten.graph.outputs().len();
        if arrays.outputs.len() != outputs {
            let expected = self.outputs().map(str::to_owned).collect();
            return Err(CallError::OutputCount { expected, given: arrays.outputs.len() });
        }
        let mut new_kind = None;
        if let Some(flat) = &inner.flat
            && let Some((kind, elements)) = flat.kind(arrays)
        {
            match flat.find(kind) {
                Some(Some(flat)) if kind.are_apart(arrays, elements) || self.allows_flat(flat, arrays) => {
                    // SAFETY: the views borrow their arrays through the call; they are of the loop's kind, and overlap only
                    // as the plan allows.
                    return Ok(unsafe { flat.run(inner.engine.resources(), arrays, elements) }?);
                }
                Some(_) => {}
                None => new_kind = Some(kind),
            }
        }
        let in_place = if arrays.are_apart() {
            InPlace::new()
        } else {
            arrays.in_place().map_err(|overlap| self.overlap_error(arrays, overlap))?
        };
        let fingerprint = Fingerprint::of(arrays, &in_place);
        // SAFETY: the views borrow their arrays through the call; they have the layouts of the bound plan, and the same outputs
        // are the very array of an input.
        let run = |call: &BoundCall| unsafe { call.plan.run(inner.engine.resources(), |at| arrays.pointer(at)) };
        match inner.bound.with(fingerprint, arrays, &in_place, run) {
            Some(result) => Ok(result?),
            None => self.call_new(arrays, in_place, fingerprint, new_kind),
        }
    }

    /// Whether outputs of a flat call that overlap are the very arrays of inputs, and the loop allows it.
    #[inline(never)]
    fn allows_flat<I: Inputs + ?Sized>(&self, flat: &FlatLoop, arrays: &Arrays<'_, I>) -> bool {
        arrays.in_place().is_ok_and(|in_place| flat.allows(&in_place))
    }

    /// Checks, plans and binds a call that is not known, runs it, and keeps what was bound.
    #[cold]
    #[inline(never)]
    fn call_new<I: Inputs + ?Sized>(
        &self,
        arrays: &Arrays<'_, I>,
        in_place: InPlace,
        fingerprint: Fingerprint,
        kind: Option<FlatKind>,
    ) -> Result<(), CallError> {
        let (call, compiled) = self.bind(arrays, in_place)?;
        if let (Some(flat), Some(kind)) = (&self.0.flat, kind) {
            flat.keep(kind, self.engine().compiler(), &compiled);
        }
        self.0.bound.keep(fingerprint, &call);
        // SAFETY: as in `call_arrays`.
        unsafe { call.plan.run(self.engine().resources(), |at| arrays.pointer(at)) }?;
        Ok(())
    }

    /// Checks a call and binds a plan to its layouts.
    pub(super) fn bind<I: Inputs + ?Sized>(
        &self,
        arrays: &Arrays<'_, I>,
        in_place: InPlace,
    ) -> Result<(Arc<BoundCall>, Arc<CompiledPlan>), CallError> {
        let (inputs, outputs) = (arrays.input_layouts(), arrays.output_layouts());
        let (sizes, compiled) = self.plan(&inputs, &outputs)?;
        self.check_outputs(&compiled, &sizes, &outputs)?;
        for (output, input) in &in_place {
            if !compiled.plan.in_place[*output][*input] {
                let reason =
                    "the function still reads the input after it writes the output, or reads it at other places";
                return Err(self.overlap(*output, self.inputs()[*input].clone(), reason));
            }
        }
        let plan = bind::bind(&BindRequest {
            compiler: self.engine().compiler(),
            threads: &self.engine().resources().threads,
            compiled: &compiled,
            inputs: &inputs,
            outputs: &outputs,
            sizes: &sizes,
            in_place: &in_place,
        })?;
        Ok((BoundCall::new(arrays, in_place, plan), compiled))
    }

    /// The plan for inputs of these layouts, made if it is new, and the lengths that its dimensions name.
    pub(super) fn plan(
        &self,
        inputs: &[ArrayLayout<'_>],
        outputs: &[ArrayLayout<'_>],
    ) -> Result<(SmallVec<[usize; 8]>, Arc<CompiledPlan>), CallError> {
        let dtype = ComputeDtype::of(inputs.iter().chain(outputs).map(|array| array.dtype));
        let rereads = outputs.iter().all(|output| output.dtype == dtype.storage());
        let symbolic = SymbolicShapes::of(inputs, (dtype, rereads), self.0.exact);
        if let Some(known) = self.plans().get(&symbolic.key) {
            let known = known.clone();
            return Ok((symbolic.sizes, known));
        }
        let begin = Instant::now();
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let extent = |length: usize| {
            if self.0.exact && length != 1 { plan::Extent::Fixed(length) } else { symbolic.extent(length) }
        };
        let graph = lower::fold_constants(self.graph(), dtype, self.engine().compiler().has_fma());
        if let Cow::Owned(_) = graph {
            fuselet_ir::shape::infer(self.graph(), &shapes)?;
        }
        let plan = plan::plan(&graph, &shapes, self.0.fusion, &extent)?;
        let plan = if rereads { plan } else { plan.without_reread_outputs() };
        let compiled = Arc::new(CompiledPlan::new(plan, dtype));
        self.plans().put(symbolic.key.clone(), compiled.clone());
        // Told once the plan is kept and nothing is locked.
        let kernels = compiled.plan.kernels.len();
        self.engine().compiler().report(&Event::Planned { kernels, time: begin.elapsed() });
        Ok((symbolic.sizes, compiled))
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, LruCache<ShapeKey, Arc<CompiledPlan>, FxBuildHasher>> {
        // The map is whole between any two of its operations.
        self.0.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_outputs(
        &self,
        compiled: &CompiledPlan,
        sizes: &[usize],
        outputs: &[ArrayLayout<'_>],
    ) -> Result<(), CallError> {
        for (at, (output, dimensions)) in outputs.iter().zip(&compiled.plan.outputs).enumerate() {
            let fits = output.shape().len() == dimensions.len()
                && output.shape().iter().zip(dimensions).all(|(length, extent)| *length == extent.resolve(sizes));
            if !fits {
                return Err(CallError::OutputShape {
                    name: self.output_name(at),
                    found: output.shape().to_vec(),
                    expected: dimensions.iter().map(|extent| extent.resolve(sizes)).collect(),
                });
            }
        }
        Ok(())
    }

    fn output_name(&self, at: usize) -> String {
        self.graph().outputs()[at].name.clone()
    }

    fn overlap(&self, output: usize, other: String, reason: &'static str) -> CallError {
        CallError::Overlap { output: self.output_name(output), other, reason }
    }

    /// What is wrong with a call whose arrays overlap: its shapes and dtypes, if they do not fit either.
    #[cold]
    pub(super) fn overlap_error<I: Inputs + ?Sized>(&self, arrays: &Arrays<'_, I>, overlap: Overlap) -> CallError {
        let outputs = arrays.output_layouts();
        let fits = self
            .plan(&arrays.input_layouts(), &outputs)
            .and_then(|(sizes, compiled)| self.check_outputs(&compiled, &sizes, &outputs));
        if let Err(error) = fits {
            return error;
        }
        match overlap {
            Overlap::Input(output, input) => {
                let reason = "they share memory without being the same array";
                self.overlap(output, self.inputs()[input].clone(), reason)
            }
            Overlap::Output(output, other) => {
                self.overlap(output, self.output_name(other), "two outputs cannot share memory")
            }
        }
    }
}

impl From<OutOfMemory> for CallError {
    fn from(error: OutOfMemory) -> CallError {
        CallError::OutOfMemory { bytes: error.bytes }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Function").field("graph", &self.graph()).field("engine", &self.0.engine).finish()
    }
}
