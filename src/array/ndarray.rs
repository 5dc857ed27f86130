//! Arrays and views of the crate `ndarray` as arguments: what lies in memory is taken as it lies, whatever its strides.
//!
//! Arrays of fixed rank convert by [`From`]; those of any rank by [`TryFrom`], since a call takes [`MAX_RANK`] axes at most.
//!
//! ```
//! use fuselet::{ArrayMut, Engine};
//! use ndarray::{Array2, array};
//!
//! let f = Engine::new()?.compile("x + y")?;
//! let x = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
//! let y = array![[10.0f32, 20.0], [30.0, 40.0], [50.0, 60.0]];
//! let mut z = Array2::<f32>::zeros((2, 3));
//! f.call(&[("x", (&x).into()), ("y", (&y.t()).into())], ArrayMut::from(&mut z))?;
//! assert_eq!(z, array![[11.0, 32.0, 53.0], [24.0, 45.0, 66.0]]);
//! # Ok::<(), fuselet::Error>(())
//! ```

use super::{ArrayError, ArrayMut, ArrayOut, ArrayRef, Element};
use ndarray::{ArrayBase, Data, DataMut, Dimension, Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6, IxDyn};

#[cfg(doc)]
use super::MAX_RANK;

fn read<'a, T: Element, S: Data<Elem = T>, D: Dimension>(
    array: &'a ArrayBase<S, D>,
) -> Result<ArrayRef<'a>, ArrayError> {
    // SAFETY: an array's elements are valid for as long as it is borrowed, and are those its shape and strides lead to.
    unsafe { ArrayRef::from_raw_parts(array.as_ptr(), array.shape(), array.strides()) }
}

fn write<'a, T: Element, S: DataMut<Elem = T>, D: Dimension>(
    array: &'a mut ArrayBase<S, D>,
) -> Result<ArrayMut<'a>, ArrayError> {
    // First the pointer: an array that shares its elements with another gets its own then, with strides of its own.
    let pointer = array.as_mut_ptr();
    // SAFETY: as above; and nobody else looks at the elements of an array that is borrowed mutably.
    unsafe { ArrayMut::from_raw_parts(pointer, array.shape(), array.strides()) }
}

macro_rules! fixed_ranks {
    ($($rank:ty),*) => { $(
        impl<'a, T: Element, S: Data<Elem = T>> From<&'a ArrayBase<S, $rank>> for ArrayRef<'a> {
            fn from(array: &'a ArrayBase<S, $rank>) -> ArrayRef<'a> {
                read(array).expect("its rank is below the highest")
            }
        }

        impl<'a, T: Element, S: DataMut<Elem = T>> From<&'a mut ArrayBase<S, $rank>> for ArrayMut<'a> {
            fn from(array: &'a mut ArrayBase<S, $rank>) -> ArrayMut<'a> {
                write(array).expect("its rank is below the highest, and its places are elements of their own")
            }
        }

        impl<'a, T: Element, S: DataMut<Elem = T>> From<&'a mut ArrayBase<S, $rank>> for ArrayOut<'a> {
            fn from(array: &'a mut ArrayBase<S, $rank>) -> ArrayOut<'a> {
                ArrayMut::from(array).into()
            }
        }
    )* };
}
fixed_ranks!(Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6);

impl<'a, T: Element, S: Data<Elem = T>> TryFrom<&'a ArrayBase<S, IxDyn>> for ArrayRef<'a> {
    type Error = ArrayError;

    fn try_from(array: &'a ArrayBase<S, IxDyn>) -> Result<ArrayRef<'a>, ArrayError> {
        read(array)
    }
}

impl<'a, T: Element, S: DataMut<Elem = T>> TryFrom<&'a mut ArrayBase<S, IxDyn>> for ArrayMut<'a> {
    type Error = ArrayError;

    fn try_from(array: &'a mut ArrayBase<S, IxDyn>) -> Result<ArrayMut<'a>, ArrayError> {
        write(array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array, ArrayD, Axis, s};

    #[test]
    fn views_keep_their_shapes_and_first_elements() {
        let mut array = Array::from_iter((0..24).map(|i| i as f32)).into_shape_with_order((4, 6)).expect("24 elements");
        let view = array.slice(s![..;-1, 1..;2]);
        let taken = ArrayRef::from(&view);
        assert_eq!((taken.shape(), taken.as_ptr()), (&[4, 3][..], view.as_ptr().cast()));
        array.invert_axis(Axis(1));
        let first = array.as_ptr();
        assert_eq!(ArrayMut::from(&mut array).as_mut_ptr().cast_const(), first.cast());
    }

    #[test]
    fn more_axes_than_a_call_takes_are_an_error() {
        let mut many = ArrayD::<f64>::zeros(vec![1; 9]);
        assert!(matches!(ArrayRef::try_from(&many), Err(ArrayError::Rank { rank: 9 })));
        assert!(matches!(ArrayMut::try_from(&mut many), Err(ArrayError::Rank { rank: 9 })));
        assert!(ArrayRef::try_from(&ArrayD::<f64>::zeros(vec![2, 0, 3])).is_ok());
    }
}
