//! The ways to call a function: by name, by position, in place, into a new vector. All are [`Function::call_arrays`] once
//! arrays are in order.

use super::arrays::Arrays;
use super::by_name::inputs_in_order;
use super::error::CallError;
use super::function::Function;
use crate::array::{ArrayLayout, ArrayMut, ArrayOut, ArrayRef, Element};
use fuselet_ir::shape::Shape;
use smallvec::SmallVec;

impl Function {
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
        let elements = ArrayLayout::row_major(T::DTYPE, &shape).elements();
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
        inputs_in_order(inputs.iter().copied(), self.inputs())
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
