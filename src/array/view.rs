//! Borrowed strided views of arrays, as calls take them.
//!
//! A view is a pointer, a dtype, a shape and byte strides. Safe constructors check that every element lies inside the
//! borrowed slice, and that no element of a view that is written stands for two places of its shape.

use crate::array::Dtype;
use std::fmt;
use std::marker::PhantomData;
use thiserror::Error;

/// The highest rank of an array.
pub const MAX_RANK: usize = 8;

/// Why a view cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// More axes than a view can have.
    #[error("rank {rank} is above the highest, {MAX_RANK}; merge neighbouring axes")]
    Rank {
        /// The rank asked for.
        rank: usize,
    },
    /// The slice does not have as many elements as the shape.
    #[error("shape {shape:?} has {expected} elements, but the slice has {length}")]
    Length {
        /// The shape.
        shape: Vec<usize>,
        /// Its number of elements.
        expected: usize,
        /// The slice's number of elements.
        length: usize,
    },
    /// Not as many strides as axes.
    #[error("shape {shape:?} needs {} strides, but {strides} were given", shape.len())]
    Strides {
        /// The shape.
        shape: Vec<usize>,
        /// The number of strides.
        strides: usize,
    },
    /// An element outside the slice.
    #[error("shape {shape:?} with strides {strides:?} from offset {offset} leaves the slice of {length} elements")]
    OutOfBounds {
        /// The shape.
        shape: Vec<usize>,
        /// The strides in elements.
        strides: Vec<isize>,
        /// The place of the first element.
        offset: usize,
        /// The slice's number of elements.
        length: usize,
    },
    /// Two places of a written view that are one element.
    #[error(
        "shape {shape:?} with strides {strides:?} writes some element twice; give each place an element of its own"
    )]
    Overlapping {
        /// The shape.
        shape: Vec<usize>,
        /// The strides in elements.
        strides: Vec<isize>,
    },
}

/// A number type arrays can hold.
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Its dtype.
    const DTYPE: Dtype;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Element for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

impl Element for f64 {
    const DTYPE: Dtype = Dtype::F64;
}

/// Where an array lies: what views and temporaries have in common. Strides are in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) pointer: *mut u8,
    pub(crate) dtype: Dtype,
    /// Whether it is row-major without gaps.
    contiguous: bool,
    rank: u8,
    shape: [usize; MAX_RANK],
    strides: [isize; MAX_RANK],
}

// SAFETY: a placement is an address and numbers. The views that hold one borrow their elements, which are `Send` and
// `Sync`; everything that reads or writes through a placement is unsafe and says who may.
unsafe impl Send for Placement {}
// SAFETY: as above.
unsafe impl Sync for Placement {}

impl Placement {
    /// A row-major array at `pointer`. The rank is at most [`MAX_RANK`].
    #[inline(always)]
    pub(crate) fn contiguous(pointer: *mut u8, dtype: Dtype, shape: &[usize]) -> Placement {
        let rank = shape.len().min(MAX_RANK);
        let mut lengths = [1; MAX_RANK];
        let mut strides = [0; MAX_RANK];
        let mut stride = dtype.size() as isize;
        // All axes there may be, from the last on: where indices are known, fields need not be in memory before they are in place.
        for axis in (0..MAX_RANK).rev() {
            if axis < rank {
                lengths[axis] = shape[axis];
                strides[axis] = stride;
                stride = stride.wrapping_mul(shape[axis] as isize);
            }
        }
        Placement { pointer, dtype, contiguous: true, rank: rank as u8, shape: lengths, strides }
    }

    /// `length` elements one after the other at `pointer`. Written in one piece, so that it need not be copied: see
    /// [`Placement::copied`].
    #[inline(always)]
    pub(crate) fn run(pointer: *mut u8, dtype: Dtype, length: usize) -> Placement {
        let stride = dtype.size() as isize;
        Placement {
            pointer,
            dtype,
            contiguous: true,
            rank: 1,
            shape: [length, 1, 1, 1, 1, 1, 1, 1],
            strides: [stride, 0, 0, 0, 0, 0, 0, 0],
        }
    }

    /// A copy that moves only the axes there are: a block copy of the whole, right after it was written piece by piece,
    /// would stall for as long as a small kernel runs.
    #[inline]
    pub(crate) fn copied(&self) -> Placement {
        let mut copy = Placement { shape: [1; MAX_RANK], strides: [0; MAX_RANK], ..*self };
        for axis in 0..usize::from(self.rank).min(MAX_RANK) {
            copy.shape[axis] = self.shape[axis];
            copy.strides[axis] = self.strides[axis];
        }
        copy
    }

    /// Takes byte strides from strides in elements.
    fn set_strides(&mut self, strides: &[isize]) {
        let size = self.dtype.size() as isize;
        for (axis, stride) in strides.iter().enumerate() {
            let bytes = if self.shape[axis] <= 1 { 0 } else { stride.wrapping_mul(size) };
            self.contiguous &= self.shape[axis] <= 1 || self.strides[axis] == bytes;
            self.strides[axis] = bytes;
        }
    }

    /// Whether it is row-major without gaps.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.contiguous
    }

    /// Whether it has exactly one element.
    pub(crate) fn is_single(&self) -> bool {
        self.shape().iter().all(|length| *length == 1)
    }

    /// The same layout at another address.
    pub(crate) fn moved_to(&self, pointer: *mut u8) -> Placement {
        Placement { pointer, ..*self }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape[..usize::from(self.rank)]
    }

    pub(crate) fn strides(&self) -> &[isize] {
        &self.strides[..usize::from(self.rank)]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shape().contains(&0)
    }

    /// The addresses the array may touch: from the first byte to one past the last.
    pub(crate) fn address_range(&self) -> (usize, usize) {
        let (mut low, mut high) = (0isize, 0isize);
        for (length, stride) in self.shape().iter().zip(self.strides()) {
            let reach = stride * (*length as isize - 1);
            low += reach.min(0);
            high += reach.max(0);
        }
        let start = self.pointer as usize;
        (start.wrapping_add_signed(low), start.wrapping_add_signed(high) + self.dtype.size())
    }

    /// Whether the two may share an element. (Conservative for interleaved arrays.)
    pub(crate) fn overlaps(&self, other: &Placement) -> bool {
        if self.is_empty() || other.is_empty() {
            return false;
        }
        let (a, b) = (self.address_range(), other.address_range());
        a.0 < b.1 && b.0 < a.1
    }

    /// Whether the two are the same elements at the same places.
    pub(crate) fn same_as(&self, other: &Placement) -> bool {
        self.pointer == other.pointer && self.same_layout(other)
    }

    /// Whether the two have one shape. (A loop over a few axes: to call for a comparison of memory takes longer.)
    #[inline]
    pub(crate) fn same_shape(&self, other: &Placement) -> bool {
        self.rank == other.rank && self.shape().iter().zip(other.shape()).all(|(a, b)| a == b)
    }

    /// Whether the two differ in nothing but their address.
    pub(crate) fn same_layout(&self, other: &Placement) -> bool {
        let same_axes = self.dtype == other.dtype && self.same_shape(other);
        same_axes
            && (self.contiguous && other.contiguous
                || self
                    .shape()
                    .iter()
                    .zip(self.strides())
                    .zip(other.strides())
                    .all(|((length, a), b)| *length <= 1 || a == b))
    }

    fn strided<T: Element>(
        data: *const T,
        length: usize,
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<Placement, TensorError> {
        check_rank(shape)?;
        if strides.len() != shape.len() {
            return Err(TensorError::Strides { shape: shape.to_vec(), strides: strides.len() });
        }
        let outside = || TensorError::OutOfBounds { shape: shape.to_vec(), strides: strides.to_vec(), offset, length };
        let mut placement = Placement::contiguous(data.cast_mut().cast(), T::DTYPE, shape);
        let (mut low, mut high) = (offset as i128, offset as i128);
        placement.set_strides(strides);
        for (&extent, &stride) in shape.iter().zip(strides) {
            let reach = stride as i128 * (extent as i128 - 1).max(0);
            // One reach fits, two may not; what saturates is out of bounds.
            low = low.saturating_add(reach.min(0));
            high = high.saturating_add(reach.max(0));
        }
        if shape.contains(&0) {
            // Nothing is there, so no step has a meaning, nor should it overflow where halves are cut.
            placement.strides = [0; MAX_RANK];
        } else {
            if low < 0 || high >= length as i128 {
                return Err(outside());
            }
            placement.pointer = placement.pointer.wrapping_add(offset * T::DTYPE.size());
        }
        Ok(placement)
    }

    /// Whether no two places of the shape are one element: each stride steps over all that smaller strides reach.
    fn is_injective(&self) -> bool {
        let mut axes: Vec<(usize, usize)> = self
            .shape()
            .iter()
            .zip(self.strides())
            .filter(|(length, _)| **length > 1)
            .map(|(length, stride)| (stride.unsigned_abs(), *length))
            .collect();
        axes.sort_unstable();
        let mut reach = self.dtype.size();
        for (stride, length) in axes {
            if stride < reach {
                return false;
            }
            reach = stride * length;
        }
        true
    }
}

fn check_rank(shape: &[usize]) -> Result<(), TensorError> {
    if shape.len() > MAX_RANK { Err(TensorError::Rank { rank: shape.len() }) } else { Ok(()) }
}

fn check_length(shape: &[usize], length: usize) -> Result<(), TensorError> {
    check_rank(shape)?;
    let expected = shape.iter().fold(1usize, |count, axis| count.saturating_mul(*axis));
    let expected = if shape.contains(&0) { 0 } else { expected };
    if expected == length { Ok(()) } else { Err(TensorError::Length { shape: shape.to_vec(), expected, length }) }
}

/// A borrowed array that is read.
///
/// ```
/// use fuselet::TensorRef;
/// let data = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let matrix = TensorRef::new(&data, &[2, 3])?;
/// let transposed = TensorRef::strided(&data, &[3, 2], &[1, 3], 0)?;
/// assert_eq!(matrix.shape(), [2, 3]);
/// assert_eq!(transposed.shape(), [3, 2]);
/// # Ok::<(), fuselet::TensorError>(())
/// ```
#[derive(Clone, Copy)]
pub struct TensorRef<'a> {
    pub(crate) placement: Placement,
    lifetime: PhantomData<&'a [u8]>,
}

impl<'a> TensorRef<'a> {
    /// A row-major array of a shape over a whole slice.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; a slice of another length.
    #[inline(always)]
    pub fn new<T: Element>(data: &'a [T], shape: &[usize]) -> Result<TensorRef<'a>, TensorError> {
        check_length(shape, data.len())?;
        let placement = Placement::contiguous(data.as_ptr().cast_mut().cast(), T::DTYPE, shape);
        Ok(TensorRef { placement, lifetime: PhantomData })
    }

    /// A view with strides in elements (negative or zero ones too), whose first element is at `offset` of the slice.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis; an element outside the slice.
    pub fn strided<T: Element>(
        data: &'a [T],
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<TensorRef<'a>, TensorError> {
        let placement = Placement::strided(data.as_ptr(), data.len(), shape, strides, offset)?;
        Ok(TensorRef { placement, lifetime: PhantomData })
    }

    /// A view of memory that this process does not hold as a slice. Strides are in elements.
    ///
    /// # Safety
    /// Every element of the view is valid for reads for the lifetime `'a`. It may also be an output of the same call, if
    /// it is the same view; other overlaps are refused by the call.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis.
    pub unsafe fn from_raw_parts<T: Element>(
        pointer: *const T,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<TensorRef<'a>, TensorError> {
        let placement = raw_placement(pointer, shape, strides)?;
        Ok(TensorRef { placement, lifetime: PhantomData })
    }

    /// The dtype of its elements.
    pub fn dtype(&self) -> Dtype {
        self.placement.dtype
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        self.placement.shape()
    }
}

/// A borrowed array that is written.
pub struct TensorMut<'a> {
    pub(crate) placement: Placement,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl<'a> TensorMut<'a> {
    /// A row-major array of a shape over a whole slice.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; a slice of another length.
    #[inline(always)]
    pub fn new<T: Element>(data: &'a mut [T], shape: &[usize]) -> Result<TensorMut<'a>, TensorError> {
        check_length(shape, data.len())?;
        let placement = Placement::contiguous(data.as_mut_ptr().cast(), T::DTYPE, shape);
        Ok(TensorMut { placement, lifetime: PhantomData })
    }

    /// A view with strides in elements, whose first element is at `offset` of the slice.
    ///
    /// # Errors
    /// As [`TensorRef::strided`]; and strides by which two places could be one element.
    pub fn strided<T: Element>(
        data: &'a mut [T],
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<TensorMut<'a>, TensorError> {
        let placement = Placement::strided(data.as_mut_ptr().cast_const(), data.len(), shape, strides, offset)?;
        distinct(placement, shape, strides)
    }

    /// A view of memory that this process does not hold as a slice. Strides are in elements.
    ///
    /// # Safety
    /// Every element of the view is valid for reads and writes for the lifetime `'a`, and nothing else looks at it
    /// meanwhile but the same call.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis; strides by which two places could be one element.
    pub unsafe fn from_raw_parts<T: Element>(
        pointer: *mut T,
        shape: &[usize],
        strides: &[isize],
    ) -> Result<TensorMut<'a>, TensorError> {
        distinct(raw_placement(pointer.cast_const(), shape, strides)?, shape, strides)
    }

    /// The dtype of its elements.
    pub fn dtype(&self) -> Dtype {
        self.placement.dtype
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        self.placement.shape()
    }

    /// The same array, to be read.
    pub fn as_ref(&self) -> TensorRef<'_> {
        TensorRef { placement: self.placement, lifetime: PhantomData }
    }
}

fn distinct<'a>(placement: Placement, shape: &[usize], strides: &[isize]) -> Result<TensorMut<'a>, TensorError> {
    if placement.is_empty() || placement.is_injective() {
        Ok(TensorMut { placement, lifetime: PhantomData })
    } else {
        Err(TensorError::Overlapping { shape: shape.to_vec(), strides: strides.to_vec() })
    }
}

fn raw_placement<T: Element>(pointer: *const T, shape: &[usize], strides: &[isize]) -> Result<Placement, TensorError> {
    check_rank(shape)?;
    if strides.len() != shape.len() {
        return Err(TensorError::Strides { shape: shape.to_vec(), strides: strides.len() });
    }
    let mut placement = Placement::contiguous(pointer.cast_mut().cast(), T::DTYPE, shape);
    placement.set_strides(strides);
    Ok(placement)
}

/// What a call can read: slices and vectors (one axis), numbers (no axis), views.
pub trait Input {
    /// The view a call reads.
    fn tensor(&self) -> TensorRef<'_>;
}

/// What a call can write.
pub trait Output {
    /// The view a call writes.
    fn tensor_mut(&mut self) -> TensorMut<'_>;
}

#[inline]
fn flat<T: Element>(data: &[T]) -> TensorRef<'_> {
    TensorRef {
        placement: Placement::run(data.as_ptr().cast_mut().cast(), T::DTYPE, data.len()),
        lifetime: PhantomData,
    }
}

#[inline]
fn flat_mut<T: Element>(data: &mut [T]) -> TensorMut<'_> {
    TensorMut { placement: Placement::run(data.as_mut_ptr().cast(), T::DTYPE, data.len()), lifetime: PhantomData }
}

macro_rules! inputs {
    ($([$($generics:tt)*] $type:ty;)*) => { $(
        impl<$($generics)*> Input for $type {
            fn tensor(&self) -> TensorRef<'_> {
                flat(self)
            }
        }
    )* };
}
macro_rules! outputs {
    ($([$($generics:tt)*] $type:ty;)*) => { $(
        impl<$($generics)*> Output for $type {
            fn tensor_mut(&mut self) -> TensorMut<'_> {
                flat_mut(self)
            }
        }
    )* };
}
inputs! {
    [T: Element] Vec<T>;
    [T: Element] [T];
    [T: Element] &[T];
    [T: Element] &mut [T];
    [T: Element] Box<[T]>;
    [T: Element, const N: usize] [T; N];
}
outputs! {
    [T: Element] Vec<T>;
    [T: Element] [T];
    [T: Element] &mut [T];
    [T: Element] Box<[T]>;
    [T: Element, const N: usize] [T; N];
}

macro_rules! scalars {
    ($($type:ty),*) => { $(
        impl Input for $type {
            fn tensor(&self) -> TensorRef<'_> {
                let placement = Placement::contiguous(std::ptr::from_ref(self).cast_mut().cast(), <$type>::DTYPE, &[]);
                TensorRef { placement, lifetime: PhantomData }
            }
        }
        impl Output for $type {
            fn tensor_mut(&mut self) -> TensorMut<'_> {
                let placement = Placement::contiguous(std::ptr::from_mut(self).cast(), <$type>::DTYPE, &[]);
                TensorMut { placement, lifetime: PhantomData }
            }
        }
    )* };
}
scalars!(f32, f64);

impl Input for TensorRef<'_> {
    fn tensor(&self) -> TensorRef<'_> {
        *self
    }
}

impl Input for TensorMut<'_> {
    fn tensor(&self) -> TensorRef<'_> {
        self.as_ref()
    }
}

impl Output for TensorMut<'_> {
    fn tensor_mut(&mut self) -> TensorMut<'_> {
        TensorMut { placement: self.placement, lifetime: PhantomData }
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?} (strides in bytes {:?})", self.dtype, self.shape(), self.strides())
    }
}

impl fmt::Debug for TensorRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TensorRef of {:?}", self.placement)
    }
}

impl fmt::Debug for TensorMut<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TensorMut of {:?}", self.placement)
    }
}
