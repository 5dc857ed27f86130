//! Dtypes, shapes and strides of a call's arrays, named.

use super::by_name::inputs_in_order;
use super::error::CallError;
use crate::array::{ArrayError, ArrayLayout, ArrayRef, Dtype, MAX_RANK, OwnedLayout};
use smallvec::SmallVec;
use std::fmt;

/// The dtype, shape and strides of each input of a function, and of outputs that are not row-major.
///
/// ```
/// use fuselet::{Dtype, Signature};
/// let signature = Signature::new().with("x", Dtype::F32, &[8, 128])?.with("scale", Dtype::F32, &[])?;
/// assert_eq!(signature.to_string(), "x: float32 [8, 128], scale: float32 []");
/// # Ok::<(), fuselet::ArrayError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Signature {
    inputs: Vec<(String, OwnedLayout)>,
    outputs: Vec<(String, OwnedLayout)>,
    free_lengths: bool,
}

impl Signature {
    /// Of no inputs yet.
    pub fn new() -> Signature {
        Signature::default()
    }

    /// With a row-major input of a dtype and shape.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`].
    pub fn with(mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Signature, ArrayError> {
        check_rank(shape)?;
        self.inputs.push((name.to_owned(), ArrayLayout::row_major(dtype, shape).to_owned()));
        Ok(self)
    }

    /// With an input of a dtype and shape, and strides in elements.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis.
    pub fn with_strides(
        mut self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<Signature, ArrayError> {
        self.inputs.push((name.to_owned(), strided(dtype, shape, strides)?));
        Ok(self)
    }

    /// With an input that lies like this array, strides included.
    #[must_use]
    pub fn with_input(mut self, name: &str, input: ArrayRef<'_>) -> Signature {
        self.inputs.push((name.to_owned(), input.layout.to_owned()));
        self
    }

    /// With an output of these strides, in elements; outputs that are not named are row-major.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis; strides by which two places could be one element.
    pub fn with_output(
        mut self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<Signature, ArrayError> {
        let layout = strided(dtype, shape, strides)?;
        if !layout.borrow().is_injective() {
            return Err(ArrayError::Overlapping { shape: shape.to_vec(), strides: strides.to_vec() });
        }
        self.outputs.push((name.to_owned(), layout));
        Ok(self)
    }

    /// For calls of any lengths whose arrays are of the same classes: dtype, rank, row-major or not. What is prepared is
    /// compiled for the lengths given; other lengths are bound when they first come, and compile only where they need other
    /// code (an axis of length 1, rows shorter than 16).
    ///
    /// ```
    /// use fuselet::{ArrayMut, ArrayRef, Dtype, Engine, Signature};
    /// let f = Engine::new()?.compile("x * 2")?;
    /// let prepared = f.prepare(&Signature::new().with("x", Dtype::F32, &[2, 4])?.with_free_lengths())?;
    /// let (x, mut y) = ([1.0f32; 15], [0.0f32; 15]);
    /// prepared.call(&[ArrayRef::new(&x, &[3, 5])?], ArrayMut::new(&mut y, &[3, 5])?)?;
    /// assert_eq!(y, [2.0; 15]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[must_use]
    pub fn with_free_lengths(mut self) -> Signature {
        self.free_lengths = true;
        self
    }

    pub(super) fn has_free_lengths(&self) -> bool {
        self.free_lengths
    }

    /// The layouts of inputs, in the order of these names.
    pub(super) fn inputs_in_order(&self, names: &[String]) -> Result<SmallVec<[&OwnedLayout; 8]>, CallError> {
        inputs_in_order(self.inputs.iter().map(|(name, layout)| (name.as_str(), layout)), names)
    }

    /// The layout of an output, if it was given; an error for layouts of outputs that are none of these.
    pub(super) fn output(&self, name: &str, names: &[String]) -> Result<Option<&OwnedLayout>, CallError> {
        if let Some((unknown, _)) = self.outputs.iter().find(|(given, _)| !names.contains(given)) {
            return Err(CallError::unknown_output(unknown, names.to_vec()));
        }
        let mut given = self.outputs.iter().filter(|(given, _)| given == name);
        match (given.next(), given.next()) {
            (Some(_), Some(_)) => Err(CallError::RepeatedOutput { name: name.to_owned() }),
            (first, _) => Ok(first.map(|(_, layout)| layout)),
        }
    }
}

fn check_rank(shape: &[usize]) -> Result<(), ArrayError> {
    if shape.len() > MAX_RANK { Err(ArrayError::Rank { rank: shape.len() }) } else { Ok(()) }
}

fn strided(dtype: Dtype, shape: &[usize], strides: &[isize]) -> Result<OwnedLayout, ArrayError> {
    check_rank(shape)?;
    if shape.len() != strides.len() {
        return Err(ArrayError::Strides { shape: shape.to_vec(), strides: strides.len() });
    }
    Ok(ArrayLayout::strided(dtype, shape, strides).to_owned())
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, layout)) in self.inputs.iter().enumerate() {
            write!(formatter, "{}{name}: {layout:?}", if at > 0 { ", " } else { "" })?;
        }
        for (at, (name, layout)) in self.outputs.iter().enumerate() {
            write!(formatter, "{}{name}: {layout:?}", if at > 0 { ", " } else { " → " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signature({self})")
    }
}
