//! Arrays the REPL owns: what literals and files become, and what results are.
//!
//! Elements lie in one vector of their dtype, row-major or (files that say so) column-major; calls see them through strided views, so
//! nothing is ever transposed in silence.

use crate::data::{Data, Stored, with_elements};
use crate::error::Error;
use fuselet::ir::reference;
use fuselet::{ArrayError, ArrayMut, ArrayRef, Dtype};
use std::borrow::Cow;

/// An array in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub data: Data,
    pub shape: Vec<usize>,
    /// Steps from element to element along each axis, in elements: views borrow them.
    strides: Vec<isize>,
    /// Whether the first axis runs fastest.
    column_major: bool,
    /// Of a literal, its numbers in float64: it takes on the dtype of the arrays it meets.
    pub exact: Option<Vec<f64>>,
}

impl Array {
    /// A row-major array. The elements fill the shape.
    pub fn new(data: impl Into<Data>, shape: Vec<usize>) -> Array {
        let (data, strides) = (data.into(), strides_of(&shape, false));
        Array { data, shape, strides, column_major: false, exact: None }
    }

    /// The same elements with the first axis running fastest, if `column_major`.
    pub fn ordered(self, column_major: bool) -> Array {
        Array { strides: strides_of(&self.shape, column_major), column_major, ..self }
    }

    /// The same array, being a literal of these numbers in float64.
    pub fn literal(self, exact: Vec<f64>) -> Array {
        Array { exact: Some(exact), ..self }
    }

    /// The same elements in a shape that has as many; row-major.
    pub fn reshaped(self, shape: Vec<usize>) -> Array {
        Array { strides: strides_of(&shape, false), shape, column_major: false, ..self }
    }

    /// A row-major array of zeros, to be written.
    pub fn zeros(dtype: Dtype, shape: &[usize], column_major: bool) -> Result<Array, Error> {
        let count = fuselet::ir::shape::element_count(shape)?;
        let data = Data::zeros(dtype, count).ok_or_else(|| Error::OutOfMemory { shape: shape.to_vec() })?;
        Ok(Array::new(data, shape.to_vec()).ordered(column_major))
    }

    pub fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether it has more than one axis, and the first runs fastest.
    pub fn is_column_major(&self) -> bool {
        self.column_major && self.shape.len() > 1
    }

    /// Steps from element to element along each axis, in elements.
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// The array as a call reads it.
    pub fn view(&self) -> Result<ArrayRef<'_>, ArrayError> {
        with_elements!(&self.data, elements => ArrayRef::strided(elements, &self.shape, &self.strides, 0))
    }

    /// The array as a call writes it.
    pub fn view_mut(&mut self) -> Result<ArrayMut<'_>, ArrayError> {
        with_elements!(&mut self.data, elements => ArrayMut::strided(elements, &self.shape, &self.strides, 0))
    }

    /// A literal in float64, whose numbers are read anew; other arrays as they are.
    pub fn widened(&self) -> Cow<'_, Array> {
        match &self.exact {
            Some(exact) => Cow::Owned(Array::new(exact.clone(), self.shape.clone())),
            None => Cow::Borrowed(self),
        }
    }

    /// The array in another dtype, each number rounded once; a literal's from float64.
    pub fn converted(&self, dtype: Dtype) -> Result<Array, Error> {
        let data = match &self.exact {
            Some(exact) => Data::of_numbers(dtype, exact.iter().copied()),
            None => self.data.converted(dtype),
        };
        let data = data.ok_or_else(|| Error::OutOfMemory { shape: self.shape.clone() })?;
        let (shape, strides) = (self.shape.clone(), self.strides.clone());
        Ok(Array { data, shape, strides, column_major: self.column_major, exact: None })
    }

    /// The array as the float64 reference reads it: row-major.
    pub fn to_reference(&self) -> Result<reference::Array, Error> {
        let data = match &self.exact {
            Some(exact) => exact.clone(),
            None => with_elements!(&self.data, elements => self.row_major(elements).map(Stored::to_f64).collect()),
        };
        Ok(reference::Array::new(self.shape.clone(), data)?)
    }

    /// The elements, the last axis running fastest.
    fn row_major<'a, T: Copy>(&self, data: &'a [T]) -> impl Iterator<Item = T> + use<'a, T> {
        let (shape, strides) = (self.shape.clone(), self.strides.clone());
        let mut index = vec![0usize; shape.len()];
        let mut at = 0isize;
        let straight = !self.is_column_major();
        (0..data.len()).map(move |count| {
            if straight {
                return data[count];
            }
            let element = data[at as usize];
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                at += strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= strides[axis] * shape[axis] as isize;
                index[axis] = 0;
            }
            element
        })
    }

    /// The same elements repeated along the first axis until there are `rows` of it; row-major.
    pub fn tiled(&self, rows: usize) -> Result<Array, Error> {
        let mut shape = self.shape.clone();
        shape[0] = rows;
        let count = fuselet::ir::shape::element_count(&shape)?;
        let data = with_elements!(&self.data, elements => {
            repeated(&self.row_major(elements).collect::<Vec<_>>(), count).map(Data::from)
        });
        let data = data.ok_or_else(|| Error::OutOfMemory { shape: shape.clone() })?;
        Ok(Array::new(data, shape))
    }
}

fn strides_of(shape: &[usize], column_major: bool) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1isize;
    let mut set = |axis: usize| {
        strides[axis] = stride;
        stride = stride.saturating_mul(shape[axis] as isize);
    };
    if column_major {
        (0..shape.len()).for_each(&mut set);
    } else {
        (0..shape.len()).rev().for_each(&mut set);
    }
    strides
}

/// So many elements: these over and over. (Zeros, if there are none.)
fn repeated<S: Stored>(elements: &[S], count: usize) -> Option<Vec<S>> {
    let mut repeated = Vec::new();
    repeated.try_reserve_exact(count).ok()?;
    repeated.extend(elements.iter().copied().cycle().take(count));
    repeated.resize(count, S::default());
    Some(repeated)
}
