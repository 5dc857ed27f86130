//! Arrays the REPL owns: what literals and files become, and what results are.
//!
//! Elements lie in one vector, row-major or (files that say so) column-major; calls see them through strided views, so
//! nothing is ever transposed in silence.

use crate::error::Error;
use fuselet::ir::reference;
use fuselet::{ArrayError, ArrayMut, ArrayRef, Dtype};
use std::borrow::Cow;

/// The elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

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
    pub fn new(data: Data, shape: Vec<usize>) -> Array {
        let strides = strides_of(&shape, false);
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
        let data = match dtype {
            Dtype::F64 => zeroed(count).map(Data::F64),
            _ => zeroed(count).map(Data::F32),
        };
        let data = data.ok_or_else(|| Error::OutOfMemory { shape: shape.to_vec() })?;
        Ok(Array::new(data, shape.to_vec()).ordered(column_major))
    }

    pub fn dtype(&self) -> Dtype {
        match self.data {
            Data::F32(_) => Dtype::F32,
            Data::F64(_) => Dtype::F64,
        }
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::F32(data) => data.len(),
            Data::F64(data) => data.len(),
        }
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
        match &self.data {
            Data::F32(data) => ArrayRef::strided(data, &self.shape, &self.strides, 0),
            Data::F64(data) => ArrayRef::strided(data, &self.shape, &self.strides, 0),
        }
    }

    /// The array as a call writes it.
    pub fn view_mut(&mut self) -> Result<ArrayMut<'_>, ArrayError> {
        match &mut self.data {
            Data::F32(data) => ArrayMut::strided(data, &self.shape, &self.strides, 0),
            Data::F64(data) => ArrayMut::strided(data, &self.shape, &self.strides, 0),
        }
    }

    /// A literal in float64, whose numbers are read anew; other arrays as they are.
    pub fn widened(&self) -> Cow<'_, Array> {
        match &self.exact {
            Some(exact) => Cow::Owned(Array::new(Data::F64(exact.clone()), self.shape.clone())),
            None => Cow::Borrowed(self),
        }
    }

    /// The array as the float64 reference reads it: row-major.
    pub fn to_reference(&self) -> Result<reference::Array, Error> {
        let data = match (&self.exact, &self.data) {
            (Some(exact), _) => exact.clone(),
            (None, Data::F32(data)) => self.row_major(data).map(f64::from).collect(),
            (None, Data::F64(data)) => self.row_major(data).collect(),
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
        let mut tiled = Array::zeros(self.dtype(), &shape, false)?;
        match (&self.data, &mut tiled.data) {
            (Data::F32(from), Data::F32(to)) => repeat(self.row_major(from).collect(), to),
            (Data::F64(from), Data::F64(to)) => repeat(self.row_major(from).collect(), to),
            _ => unreachable!("one dtype"),
        }
        Ok(tiled)
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

fn repeat<T: Copy>(from: Vec<T>, to: &mut [T]) {
    if !from.is_empty() {
        to.chunks_mut(from.len()).for_each(|part| part.copy_from_slice(&from[..part.len()]));
    }
}

fn zeroed<T: Clone + Default>(count: usize) -> Option<Vec<T>> {
    let mut data = Vec::new();
    data.try_reserve_exact(count).ok()?;
    data.resize(count, T::default());
    Some(data)
}
