//! A compiled function, and its checked calls.

use super::arrays::{Arrays, InPlace, Inputs, Overlap};
use super::bound_cache::{BoundCache, BoundCall, Fingerprint};
use super::engine::Engine;
use super::error::CallError;
use super::explanation::Explanation;
use super::flat::{FlatKind, FlatLoops};
use super::prepared::Prepared;
use super::signature::Signature;
use super::tile::Tile;
use crate::array::{ArrayLayout, ArrayMut, ArrayOut, ArrayRef, Dtype, Element};
use crate::exec::bind::{self, BindRequest};
use crate::exec::compiled::CompiledPlan;
use crate::exec::float_mode::FloatMode;
use crate::exec::scratch::OutOfMemory;
use crate::exec::shape_key::{ShapeKey, SymbolicShapes};
use crate::plan::{self, Fusion};
use fuselet_ir::rewrite::Rewritten;
use fuselet_ir::shape::Shape;
use fuselet_ir::{Graph, Node};
use lru::LruCache;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

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

    /// Calls a function of one output.
    ///
    /// Inputs broadcast like NumPy's arrays. The output has the shape of the result; it is written whole, never read first, and
    /// not touched if the call fails.
    ///
    /// # Errors
    /// Names, dtypes, shapes or overlaps that do not fit; scratch memory that is not to be had.
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("silu(gate) * up")?;
    /// let (gate, up) = ([1.0f32, -1.0], [2.0f32, 3.0]);
    /// let mut y = [0.0f32; 2];
    /// f.call(&[("gate", (&gate).into()), ("up", (&up).into())], &mut y)?;
    /// assert_eq!(y, [1.462_117_2, -0.806_824_3]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[inline]
    pub fn call<'a>(&self, inputs: &[(&str, ArrayRef<'_>)], output: impl Into<ArrayOut<'a>>) -> Result<(), CallError> {
        let output = output.into();
        self.call_named(inputs, std::slice::from_ref(&output))
    }

    /// Calls a function of one output, inputs in the order of [`Function::inputs`].
    ///
    /// # Errors
    /// As [`Function::call`]; another number of inputs than the function has.
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("input x, y; x - y")?;
    /// let mut z = [0.0f32; 2];
    /// f.call_positional(&[(&[3.0f32, 4.0]).into(), (&1.0f32).into()], &mut z)?;
    /// assert_eq!(z, [2.0, 3.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[inline]
    pub fn call_positional<'a>(
        &self,
        inputs: &[ArrayRef<'_>],
        output: impl Into<ArrayOut<'a>>,
    ) -> Result<(), CallError> {
        let output = output.into();
        self.call_views(inputs, std::slice::from_ref(&output))
    }

    /// Calls the function with all arrays by position: what a host uses that knows inputs and outputs only at run time.
    ///
    /// # Errors
    /// As [`Function::call`]; another number of inputs or outputs than the function has.
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("double = x * 2, half = x / 2")?;
    /// let (mut double, mut half) = ([0.0f32; 2], [0.0f32; 2]);
    /// f.call_views(&[(&[1.0f32, 3.0]).into()], &[(&mut double).into(), (&mut half).into()])?;
    /// assert_eq!((double, half), ([2.0, 6.0], [0.5, 1.5]));
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[inline]
    pub fn call_views(&self, inputs: &[ArrayRef<'_>], outputs: &[ArrayOut<'_>]) -> Result<(), CallError> {
        if inputs.len() != self.inputs().len() {
            return Err(CallError::InputCount { expected: self.inputs().to_vec(), given: inputs.len() });
        }
        self.call_arrays(&Arrays { inputs, outputs })
    }

    /// Calls a function of any number of outputs, given by name.
    ///
    /// # Errors
    /// As [`Function::call`].
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("double = x * 2, half = x / 2")?;
    /// let (mut double, mut half) = ([0.0f32; 2], [0.0f32; 2]);
    /// f.call_many(&[("x", (&[1.0f32, 3.0]).into())], [("half", (&mut half).into()), ("double", (&mut double).into())])?;
    /// assert_eq!((double, half), ([2.0, 6.0], [0.5, 1.5]));
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn call_many<'n, 'a>(
        &self,
        inputs: &[(&str, ArrayRef<'_>)],
        outputs: impl IntoIterator<Item = (&'n str, ArrayOut<'a>)>,
    ) -> Result<(), CallError> {
        let outputs = self.outputs_in_order(outputs)?;
        self.call_named(inputs, &outputs)
    }

    /// Calls a function that writes its one output over one of its inputs.
    ///
    /// # Errors
    /// As [`Function::call`]; and a function that cannot work in place.
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("x * scale |> relu")?;
    /// let mut x = [1.0f32, -2.0, 3.0];
    /// f.call_in_place(("x", (&mut x).into()), &[("scale", (&2.0f32).into())])?;
    /// assert_eq!(x, [2.0, 0.0, 6.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[inline]
    pub fn call_in_place(
        &self,
        (name, array): (&str, ArrayMut<'_>),
        inputs: &[(&str, ArrayRef<'_>)],
    ) -> Result<(), CallError> {
        let mut all: SmallVec<[(&str, ArrayRef<'_>); 8]> = SmallVec::new();
        // Where the input comes in order, none has to be looked for.
        let place = self.inputs().iter().position(|own| same_name(own, name)).unwrap_or(0).min(inputs.len());
        all.extend_from_slice(&inputs[..place]);
        all.push((name, array.as_view()));
        all.extend_from_slice(&inputs[place..]);
        let output = array.as_output();
        self.call_named(&all, std::slice::from_ref(&output))
    }

    /// Calls a function of any number of outputs, some of which go over inputs: `in_place` gives the output, the input, and
    /// their array.
    ///
    /// # Errors
    /// As [`Function::call_in_place`].
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("m = 0.9 * m + g, w = w - 0.1 * (0.9 * m + g)")?;
    /// let (mut m, mut w) = ([1.0f32, 2.0], [0.5f32, 0.5]);
    /// f.call_many_in_place(
    ///     [("m", "m", (&mut m).into()), ("w", "w", (&mut w).into())],
    ///     &[("g", (&[0.1f32, 0.2]).into())],
    ///     [],
    /// )?;
    /// assert_eq!(m, [1.0, 2.0]);
    /// assert_eq!(w, [0.4, 0.3]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn call_many_in_place<'n, 'a>(
        &self,
        in_place: impl IntoIterator<Item = (&'n str, &'n str, ArrayMut<'a>)>,
        inputs: &[(&str, ArrayRef<'_>)],
        outputs: impl IntoIterator<Item = (&'n str, ArrayOut<'a>)>,
    ) -> Result<(), CallError> {
        let both: SmallVec<[(&str, &str, ArrayMut<'a>); 4]> = in_place.into_iter().collect();
        let mut all: SmallVec<[(&str, ArrayRef<'_>); 8]> = inputs.iter().copied().collect();
        all.extend(both.iter().map(|(_, input, array)| (*input, array.as_view())));
        let mut targets: SmallVec<[(&str, ArrayOut<'_>); 4]> = SmallVec::new();
        targets.extend(both.iter().map(|(output, _, array)| (*output, array.as_output())));
        targets.extend(outputs.into_iter().map(|(name, output)| shorter(name, output)));
        let outputs = self.outputs_in_order(targets)?;
        self.call_named(&all, &outputs)
    }

    /// Calls a function of one output, into a vector made for it: the elements in row-major order. Its shape is that of
    /// [`Function::output_shapes`].
    ///
    /// # Errors
    /// As [`Function::call`]; another element type than the inputs'.
    ///
    /// ```
    /// let f = fuselet::Engine::new()?.compile("x + 1")?;
    /// assert_eq!(f.call_to_vec::<f32>(&[("x", (&[1.0f32, 2.0]).into())])?, [2.0, 3.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn call_to_vec<T: Element>(&self, inputs: &[(&str, ArrayRef<'_>)]) -> Result<Vec<T>, CallError> {
        let ordered = self.inputs_in_order(inputs)?;
        let shapes: Vec<Shape> = ordered.iter().map(|input| input.shape().to_vec()).collect();
        let shape = self.output_shapes(&shapes)?.swap_remove(0);
        let elements = shape.iter().product();
        let mut result: Vec<T> = Vec::new();
        let bytes = usize::saturating_mul(elements, size_of::<T>());
        result.try_reserve_exact(elements).map_err(|_| CallError::OutOfMemory { bytes })?;
        let room = &mut result.spare_capacity_mut()[..elements];
        let output = ArrayOut::uninit(room, &shape).map_err(|_| CallError::OutOfMemory { bytes })?;
        self.call_views(&ordered, std::slice::from_ref(&output))?;
        // SAFETY: a call that succeeds has written its output whole.
        unsafe { result.set_len(elements) };
        Ok(result)
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

    /// The function made ready for arrays of one signature: planned, compiled and bound now, so that no call of it does any
    /// of that.
    ///
    /// # Errors
    /// A signature that does not fit.
    pub fn prepare(&self, signature: &Signature) -> Result<Prepared, CallError> {
        Prepared::new(self, signature)
    }

    /// The function as a kernel for tiles of a matrix, such as the epilogue of a matrix product: any number of rows and
    /// columns, any distance between rows.
    ///
    /// # Errors
    /// A signature that does not fit; a function that is more than one elementwise loop.
    pub fn tile(&self, signature: &Signature) -> Result<Tile, CallError> {
        Tile::new(self, signature)
    }

    /// What would be run for arrays of one signature, and why: plan, passes, machine code.
    ///
    /// # Errors
    /// As [`Function::prepare`].
    pub fn explain(&self, signature: &Signature) -> Result<Explanation, CallError> {
        Ok(self.prepare(signature)?.explain())
    }

    fn call_named(&self, inputs: &[(&str, ArrayRef<'_>)], outputs: &[ArrayOut<'_>]) -> Result<(), CallError> {
        let names = self.inputs();
        // Most calls give the inputs in order.
        if inputs.len() == names.len() && inputs.iter().zip(names).all(|((given, _), name)| same_name(given, name)) {
            return self.call_arrays(&Arrays { inputs, outputs });
        }
        let ordered = self.inputs_in_order(inputs)?;
        self.call_arrays(&Arrays { inputs: ordered.as_slice(), outputs })
    }

    /// Inputs given by name, in the function's order.
    fn inputs_in_order<'a>(&self, inputs: &[(&str, ArrayRef<'a>)]) -> Result<SmallVec<[ArrayRef<'a>; 8]>, CallError> {
        let names = self.inputs();
        if let Some((name, _)) = inputs.iter().find(|(given, _)| !names.iter().any(|known| known == given)) {
            return Err(CallError::unknown_input(name, names));
        }
        let mut ordered = SmallVec::with_capacity(names.len());
        for name in names {
            let mut given = inputs.iter().filter(|(given, _)| given == name);
            match (given.next(), given.next()) {
                (Some((_, array)), None) => ordered.push(*array),
                (None, _) => return Err(CallError::MissingInput { name: name.clone(), expected: names.to_vec() }),
                (Some(_), Some(_)) => return Err(CallError::RepeatedInput { name: name.clone() }),
            }
        }
        Ok(ordered)
    }

    /// Outputs given by name, in the function's order.
    fn outputs_in_order<'n, 'a>(
        &self,
        outputs: impl IntoIterator<Item = (&'n str, ArrayOut<'a>)>,
    ) -> Result<SmallVec<[ArrayOut<'a>; 4]>, CallError> {
        let expected = self.graph().outputs();
        let names = || self.outputs().map(str::to_owned).collect::<Vec<_>>();
        let mut placed: SmallVec<[Option<ArrayOut<'a>>; 4]> = expected.iter().map(|_| None).collect();
        let mut given = 0;
        for (name, output) in outputs {
            given += 1;
            match expected.iter().position(|known| known.name == name) {
                None => return Err(CallError::unknown_output(name, names())),
                Some(at) if placed[at].is_some() => return Err(CallError::RepeatedOutput { name: name.to_owned() }),
                Some(at) => placed[at] = Some(output),
            }
        }
        let all: SmallVec<[ArrayOut<'a>; 4]> = placed.into_iter().flatten().collect();
        if all.len() == expected.len() { Ok(all) } else { Err(CallError::OutputCount { expected: names(), given }) }
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
        // What was written piece by piece is not copied as a whole right after: that stalls for as long as a small loop runs.
        let in_place = if arrays.are_apart() {
            None
        } else {
            Some(arrays.in_place().map_err(|overlap| self.overlap_error(arrays, overlap))?)
        };
        let mut new_kind = None;
        if let Some(flat) = &inner.flat
            && let Some((kind, elements)) = flat.kind(arrays)
        {
            match flat.find(kind) {
                Some(Some(flat)) if in_place.as_ref().is_none_or(|in_place| flat.allows(in_place)) => {
                    // SAFETY: the views borrow their arrays through the call; they are of the loop's kind, and overlap only
                    // as the plan allows.
                    return Ok(unsafe { flat.run(inner.engine.resources(), arrays, elements) }?);
                }
                Some(_) => {}
                None => new_kind = Some(kind),
            }
        }
        let in_place = in_place.unwrap_or_default();
        let fingerprint = Fingerprint::of(arrays, &in_place);
        // SAFETY: the views borrow their arrays through the call; they have the layouts of the bound plan, and the same outputs
        // are the very array of an input.
        let run = |call: &BoundCall| unsafe { call.plan.run(inner.engine.resources(), |at| arrays.pointer(at)) };
        match inner.bound.with(fingerprint, arrays, &in_place, run) {
            Some(result) => Ok(result?),
            None => self.call_new(arrays, in_place, fingerprint, new_kind),
        }
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
        let call = Arc::new(call);
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
    ) -> Result<(BoundCall, Arc<CompiledPlan>), CallError> {
        let (inputs, outputs) = (arrays.input_layouts(), arrays.output_layouts());
        let (symbolic, compiled) = self.plan(&inputs, &outputs)?;
        self.check_outputs(&compiled, &symbolic.sizes, &outputs)?;
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
            sizes: &symbolic.sizes,
            in_place: &in_place,
        })?;
        Ok((BoundCall::new(arrays, in_place, plan), compiled))
    }

    /// The plan for inputs of these layouts, made if it is new.
    pub(super) fn plan(
        &self,
        inputs: &[ArrayLayout<'_>],
        outputs: &[ArrayLayout<'_>],
    ) -> Result<(SymbolicShapes, Arc<CompiledPlan>), CallError> {
        let dtype = self.common_dtype(inputs, outputs)?;
        let symbolic = SymbolicShapes::of(inputs, dtype, self.0.exact);
        if let Some(known) = self.plans().get(&symbolic.key) {
            let known = known.clone();
            return Ok((symbolic, known));
        }
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let extent = |length: usize| {
            if self.0.exact && length != 1 { plan::Extent::Fixed(length) } else { symbolic.extent(length) }
        };
        let plan = plan::plan(self.graph(), &shapes, self.0.fusion, &extent)?;
        let compiled = Arc::new(CompiledPlan::new(plan, dtype));
        self.plans().put(symbolic.key.clone(), compiled.clone());
        Ok((symbolic, compiled))
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, LruCache<ShapeKey, Arc<CompiledPlan>, FxBuildHasher>> {
        // The map is whole between any two of its operations.
        self.0.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn common_dtype(&self, inputs: &[ArrayLayout<'_>], outputs: &[ArrayLayout<'_>]) -> Result<Dtype, CallError> {
        let mut all = inputs.iter().chain(outputs);
        let expected = all.clone().next().map_or(Dtype::F32, |first| first.dtype);
        let Some(at) = all.position(|array| array.dtype != expected) else { return Ok(expected) };
        let name = |at: usize| match at.checked_sub(inputs.len()) {
            None => self.inputs()[at].clone(),
            Some(output) => self.output_name(output),
        };
        let found = inputs.iter().chain(outputs).nth(at).map_or(expected, |array| array.dtype);
        Err(CallError::Dtype { name: name(at), found, other: name(0), expected })
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
            .and_then(|(symbolic, compiled)| self.check_outputs(&compiled, &symbolic.sizes, &outputs));
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

/// An output, borrowed for a shorter time.
fn shorter<'s, 'n: 's, 'a: 's>(name: &'n str, output: ArrayOut<'a>) -> (&'s str, ArrayOut<'s>) {
    (name, output)
}

/// Whether two names are one. Names are short: a loop is over before a comparison of memory is called.
#[inline]
fn same_name(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b)
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
