//! A function made ready for arrays of one signature.

use super::arrays::{Arrays, InPlace, Reach, outputs_are_apart};
use super::bound_cache::BoundCall;
use super::error::CallError;
use super::explanation::Explanation;
use super::function::Function;
use super::signature::Signature;
use crate::array::{ArrayLayout, ArrayMut, ArrayOut, ArrayRef, Dtype};
use crate::exec::compiled::CompiledPlan;
use crate::exec::float_mode::FloatMode;
use fuselet_ir::shape::Shape;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// A function made ready for arrays of one signature: planned, compiled and bound. Cloning gives another handle.
///
/// It may be called by many threads at once; no call takes a lock or compiles anything.
///
/// ```
/// use fuselet::{ArrayMut, ArrayRef, Dtype, Engine, Signature};
/// let f = Engine::new()?.compile("softmax(x)")?;
/// let prepared = f.prepare(&Signature::new().with("x", Dtype::F32, &[2, 2])?)?;
/// let (x, mut y) = ([1.0f32, 1.0, 0.0, 0.0], [0.0f32; 4]);
/// prepared.call(&[ArrayRef::new(&x, &[2, 2])?], ArrayMut::new(&mut y, &[2, 2])?)?;
/// assert_eq!(y, [0.5; 4]);
/// # Ok::<(), fuselet::Error>(())
/// ```
#[derive(Clone)]
pub struct Prepared(Arc<Inner>);

struct Inner {
    function: Function,
    call: BoundCall,
    compiled: Arc<CompiledPlan>,
    /// What each array may touch, inputs before outputs, in bytes from its first element.
    reaches: SmallVec<[(isize, isize); 4]>,
    free_lengths: bool,
}

impl Inner {
    /// Whether no output of a call of arrays that lie as they were bound shares addresses with another array.
    #[inline]
    fn are_apart(&self, inputs: &[ArrayRef<'_>], outputs: &[ArrayOut<'_>]) -> bool {
        outputs_are_apart(inputs.len(), outputs.len(), |at| {
            let pointer = match at.checked_sub(inputs.len()) {
                None => inputs[at].pointer,
                Some(output) => outputs[output].pointer.cast_const(),
            };
            Reach::around(pointer, self.reaches[at])
        })
    }
}

impl Prepared {
    pub(super) fn new(function: &Function, signature: &Signature) -> Result<Prepared, CallError> {
        let _mode = FloatMode::enter();
        let inputs = signature.inputs_in_order(function.inputs())?;
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.borrow().shape().to_vec()).collect();
        let outputs = function.output_shapes(&shapes)?;
        let names: Vec<String> = function.outputs().map(str::to_owned).collect();
        let promoted = Dtype::of_result(inputs.iter().map(|input| input.dtype));
        let layouts: SmallVec<[ArrayLayout<'_>; 4]> = names
            .iter()
            .zip(&outputs)
            .map(|(name, shape)| {
                let given = signature.output(name, &names)?;
                Ok(given.map_or_else(|| ArrayLayout::row_major(promoted, shape), |given| given.borrow()))
            })
            .collect::<Result<_, CallError>>()?;
        // Views of nothing: binding looks at layouts alone.
        let inputs: SmallVec<[ArrayRef<'_>; 4]> =
            inputs.iter().map(|input| ArrayRef::nowhere(input.borrow())).collect();
        let outputs: SmallVec<[ArrayOut<'_>; 4]> = layouts.into_iter().map(ArrayOut::nowhere).collect();
        let arrays = Arrays { inputs: inputs.as_slice(), outputs: &outputs };
        let (call, compiled) = function.bind(&arrays, InPlace::new())?;
        let call = Arc::into_inner(call).expect("nobody else has what was just bound");
        let free_lengths = signature.has_free_lengths();
        let reaches = call.inputs.iter().chain(&call.outputs).map(|layout| layout.borrow().reach()).collect();
        Ok(Prepared(Arc::new(Inner { function: function.clone(), call, compiled, reaches, free_lengths })))
    }

    /// Calls a function of one output, inputs in the order of [`Function::inputs`]. Only layouts and overlaps are checked.
    ///
    /// # Errors
    /// Arrays that are not laid out as in the signature (with free lengths: not of its classes); overlaps; scratch memory
    /// that is not to be had. Nothing is written then.
    #[inline]
    pub fn call<'a>(&self, inputs: &[ArrayRef<'_>], output: impl Into<ArrayOut<'a>>) -> Result<(), CallError> {
        let output = output.into();
        self.call_views(inputs, std::slice::from_ref(&output))
    }

    /// Calls a function of any number of outputs, all arrays by position.
    ///
    /// # Errors
    /// As [`Prepared::call`].
    ///
    /// ```
    /// use fuselet::{Dtype, Engine, Signature};
    /// let f = Engine::new()?.compile("double = x * 2, half = x / 2")?;
    /// let prepared = f.prepare(&Signature::new().with("x", Dtype::F32, &[2])?)?;
    /// let (mut double, mut half) = ([0.0f32; 2], [0.0f32; 2]);
    /// prepared.call_views(&[(&[1.0f32, 3.0]).into()], &[(&mut double).into(), (&mut half).into()])?;
    /// assert_eq!((double, half), ([2.0, 6.0], [0.5, 1.5]));
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[inline]
    pub fn call_views(&self, inputs: &[ArrayRef<'_>], outputs: &[ArrayOut<'_>]) -> Result<(), CallError> {
        let arrays = Arrays { inputs, outputs };
        let Inner { function, call, .. } = &*self.0;
        if call.fits_layouts(&arrays) {
            if self.0.are_apart(inputs, outputs) {
                let _mode = FloatMode::enter();
                let resources = function.engine().resources();
                // SAFETY: the views borrow their arrays through the call; they have the layouts that were bound, and no
                // output overlaps another array.
                return Ok(unsafe { call.plan.run(resources, |at| arrays.pointer(at)) }?);
            }
        } else if !self.0.free_lengths || !self.is_of_class(inputs, outputs) {
            return Err(self.layout_error(inputs, outputs));
        }
        function.call_views(inputs, outputs)
    }

    /// Calls a function that writes its one output over the input at a place; `inputs` are the others, in order.
    ///
    /// # Errors
    /// As [`Prepared::call`]; a function that cannot work in place; a place that no input has.
    ///
    /// ```
    /// use fuselet::{Dtype, Engine, Signature};
    /// let f = Engine::new()?.compile("input x, y; x - y")?;
    /// let signature = Signature::new().with("x", Dtype::F32, &[2])?.with("y", Dtype::F32, &[2])?;
    /// let prepared = f.prepare(&signature)?;
    /// let mut x = [3.0f32, 4.0];
    /// prepared.call_in_place((0, (&mut x).into()), &[(&[1.0f32, 2.0]).into()])?;
    /// assert_eq!(x, [2.0, 2.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn call_in_place(
        &self,
        (place, array): (usize, ArrayMut<'_>),
        inputs: &[ArrayRef<'_>],
    ) -> Result<(), CallError> {
        let names = self.0.function.inputs();
        if place > inputs.len() || place >= names.len() {
            return Err(CallError::InputCount { expected: names.to_vec(), given: inputs.len() });
        }
        let mut all: SmallVec<[ArrayRef<'_>; 8]> = SmallVec::from_slice(inputs);
        all.insert(place, array.as_view());
        self.call_views(&all, &[array.as_output()])
    }

    /// Runs without any check.
    ///
    /// # Safety
    /// `inputs` and `outputs` have one pointer for each of the function's inputs and outputs, in order. Each is the first
    /// element of an array with the signature's dtype, shape and strides, valid for reads, and for writes where it is an
    /// output. An output overlaps no other array, but may be the very array of an input.
    ///
    /// # Errors
    /// Scratch memory that is not to be had; an output that may not be the very array of that input
    /// ([`Prepared::allows_in_place`]).
    ///
    /// ```
    /// use fuselet::{Dtype, Engine, Signature};
    /// let f = Engine::new()?.compile("x * 2")?;
    /// let prepared = f.prepare(&Signature::new().with("x", Dtype::F32, &[2])?)?;
    /// let (x, mut y) = ([1.0f32, 2.0], [0.0f32; 2]);
    /// // SAFETY: two float32 elements each, that do not overlap.
    /// unsafe { prepared.call_raw(&[x.as_ptr().cast()], &[y.as_mut_ptr().cast()]) }?;
    /// assert_eq!(y, [2.0, 4.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[inline]
    pub unsafe fn call_raw(&self, inputs: &[*const u8], outputs: &[*mut u8]) -> Result<(), CallError> {
        let Inner { function, call, .. } = &*self.0;
        assert_eq!((inputs.len(), outputs.len()), (call.inputs.len(), call.outputs.len()), "one pointer an array");
        if outputs.iter().any(|output| inputs.contains(&output.cast_const())) {
            // SAFETY: the caller's promise.
            return unsafe { self.call_raw_in_place(inputs, outputs) };
        }
        let _mode = FloatMode::enter();
        let base = |at: usize| match at.checked_sub(inputs.len()) {
            None => inputs[at].cast_mut(),
            Some(output) => outputs[output],
        };
        // SAFETY: the caller's promise.
        Ok(unsafe { call.plan.run(function.engine().resources(), base) }?)
    }

    /// A raw call some of whose arrays begin at one address: they are one, or empty. Where values are kept meanwhile may depend on
    /// it, so the plan is another one.
    ///
    /// # Safety
    /// As [`Prepared::call_raw`].
    #[inline(never)]
    unsafe fn call_raw_in_place(&self, inputs: &[*const u8], outputs: &[*mut u8]) -> Result<(), CallError> {
        let call = &self.0.call;
        let mut all: SmallVec<[ArrayRef<'_>; 8]> = SmallVec::new();
        for (own, pointer) in call.inputs.iter().zip(inputs) {
            // SAFETY: the caller's promise: the array has this layout.
            all.push(unsafe { ArrayRef::nowhere(own.borrow()).moved_to(*pointer) });
        }
        let mut written: SmallVec<[ArrayOut<'_>; 4]> = SmallVec::new();
        for (own, pointer) in call.outputs.iter().zip(outputs) {
            // SAFETY: as above.
            written.push(unsafe { ArrayOut::nowhere(own.borrow()).moved_to(*pointer) });
        }
        self.0.function.call_views(&all, &written)
    }

    /// The function it was made of.
    pub fn function(&self) -> &Function {
        &self.0.function
    }

    /// The shapes of the outputs, for the lengths of the signature.
    pub fn output_shapes(&self) -> impl Iterator<Item = &[usize]> {
        self.0.call.outputs.iter().map(|output| output.shape())
    }

    /// Whether an output may be the very array of an input, by their places.
    pub fn allows_in_place(&self, output: usize, input: usize) -> bool {
        let table = &self.0.compiled.plan.in_place;
        table.get(output).and_then(|row| row.get(input)).copied().unwrap_or(false)
    }

    /// What it runs, and why.
    pub fn explain(&self) -> Explanation {
        Explanation {
            graph: self.0.function.graph().clone(),
            plan: self.0.compiled.plan.clone(),
            passes: self.0.compiled.passes(),
        }
    }

    /// Whether arrays have the dtypes, ranks and kinds of strides of the signature.
    fn is_of_class(&self, inputs: &[ArrayRef<'_>], outputs: &[ArrayOut<'_>]) -> bool {
        let same = |own: ArrayLayout<'_>, given: &ArrayLayout<'_>| {
            own.dtype == given.dtype
                && own.shape().len() == given.shape().len()
                && own.is_row_major() == given.is_row_major()
        };
        let call = &self.0.call;
        call.inputs.len() == inputs.len()
            && call.outputs.len() == outputs.len()
            && call.inputs.iter().zip(inputs).all(|(own, given)| same(own.borrow(), &given.layout))
            && call.outputs.iter().zip(outputs).all(|(own, given)| same(own.borrow(), &given.layout))
    }

    #[cold]
    fn layout_error(&self, inputs: &[ArrayRef<'_>], outputs: &[ArrayOut<'_>]) -> CallError {
        let Inner { function, call, .. } = &*self.0;
        let names = function.outputs().map(str::to_owned);
        if inputs.len() != call.inputs.len() {
            return CallError::InputCount { expected: function.inputs().to_vec(), given: inputs.len() };
        }
        if outputs.len() != call.outputs.len() {
            return CallError::OutputCount { expected: names.collect(), given: outputs.len() };
        }
        let given = inputs.iter().map(|input| input.layout).chain(outputs.iter().map(|output| output.layout));
        let own = call.inputs.iter().chain(&call.outputs);
        let named = function.inputs().iter().cloned().chain(names);
        let mut all = named.zip(own).zip(given);
        let different = all.find(|((_, own), given)| own.borrow() != *given);
        let ((name, own), found) = different.expect("some array has another layout");
        CallError::Layout { name, found: format!("{found:?}"), expected: format!("{own:?}") }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = &self.0.call;
        formatter.debug_struct("Prepared").field("inputs", &call.inputs).field("outputs", &call.outputs).finish()
    }
}
