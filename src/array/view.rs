//! Borrowed strided views of arrays, as calls take them: an address, a dtype, a borrowed shape and borrowed strides.
//!
//! Making a view allocates nothing. Safe constructors check that every element lies inside the borrowed slice, and that
//! no element of a view that is written stands for two places of its shape.

use super::dtype::Dtype;
use super::error::ArrayError;
use super::layout::{ArrayLayout, MAX_RANK};
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// A type that arrays can hold: Rust's numbers up to 32 bits, `f64`, `bool`, and with the feature `half` the types of the crate
/// `half`.
pub trait Element: sealed::Sealed + Copy + Send + Sync + 'static {
    /// Its dtype.
    const DTYPE: Dtype;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($type:ty: $dtype:ident;)*) => { $(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
        }
    )* };
}
elements! {
    f64: F64;
    f32: F32;
    i32: I32;
    i16: I16;
    i8: I8;
    u32: U32;
    u16: U16;
    u8: U8;
    bool: Bool;
}
#[cfg(feature = "half")]
elements! {
    half::f16: F16;
    half::bf16: Bf16;
}

/// A borrowed array that is read.
///
/// Slices, arrays, vectors and numbers convert by [`From`]; shapes and strides are borrowed like the elements.
///
/// ```
/// use fuselet::ArrayRef;
/// let data = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let matrix = ArrayRef::new(&data, &[2, 3])?;
/// let transposed = ArrayRef::strided(&data, &[3, 2], &[1, 3], 0)?;
/// let flat = ArrayRef::from(&data[1..4]);
/// assert_eq!((matrix.shape(), transposed.shape(), flat.shape()), (&[2, 3][..], &[3, 2][..], &[3][..]));
/// # Ok::<(), fuselet::ArrayError>(())
/// ```
#[derive(Clone, Copy)]
pub struct ArrayRef<'a> {
    pub(crate) pointer: *const u8,
    pub(crate) layout: ArrayLayout<'a>,
    elements: PhantomData<&'a [u8]>,
}

// SAFETY: a view stands for `&[T]` of a `Sync` element type, or for memory whose provider promised as much.
unsafe impl Send for ArrayRef<'_> {}
// SAFETY: as above.
unsafe impl Sync for ArrayRef<'_> {}

impl<'a> ArrayRef<'a> {
    pub(super) fn of(pointer: *const u8, layout: ArrayLayout<'a>) -> ArrayRef<'a> {
        ArrayRef { pointer, layout, elements: PhantomData }
    }

    /// A layout that is only looked at: nothing is ever read there.
    pub(crate) fn nowhere(layout: ArrayLayout<'a>) -> ArrayRef<'a> {
        ArrayRef::of(std::ptr::null(), layout)
    }

    /// A row-major array of a shape over a whole slice.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; a slice of another length.
    #[inline]
    pub fn new<T: Element>(data: &'a [T], shape: &'a [usize]) -> Result<ArrayRef<'a>, ArrayError> {
        check_length(shape, data.len())?;
        Ok(ArrayRef::of(data.as_ptr().cast(), ArrayLayout::row_major(T::DTYPE, shape)))
    }

    /// A view with strides in elements (negative or zero ones too), whose first element is at `offset` of the slice.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis; an element outside the slice.
    #[inline]
    pub fn strided<T: Element>(
        data: &'a [T],
        shape: &'a [usize],
        strides: &'a [isize],
        offset: usize,
    ) -> Result<ArrayRef<'a>, ArrayError> {
        check_bounds(data.len(), shape, strides, offset)?;
        let pointer = data.as_ptr().wrapping_add(offset).cast();
        Ok(ArrayRef::of(pointer, ArrayLayout::strided(T::DTYPE, shape, strides)))
    }

    /// A view of memory that this process does not hold as a slice. Strides are in elements.
    ///
    /// # Safety
    /// Every element of the view is valid for reads for the lifetime `'a`. It may also be an output of the same call, if
    /// it is the same view; other overlaps are refused by the call.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis.
    ///
    /// ```
    /// use fuselet::ArrayRef;
    /// let data = [1.0f32, 2.0, 3.0, 4.0];
    /// // SAFETY: both elements are elements of `data`.
    /// let view = unsafe { ArrayRef::from_raw_parts(data.as_ptr(), &[2], &[2]) }?;
    /// assert_eq!(view.shape(), [2]);
    /// # Ok::<(), fuselet::ArrayError>(())
    /// ```
    pub unsafe fn from_raw_parts<T: Element>(
        pointer: *const T,
        shape: &'a [usize],
        strides: &'a [isize],
    ) -> Result<ArrayRef<'a>, ArrayError> {
        check_strides(shape, strides)?;
        Ok(ArrayRef::of(pointer.cast(), ArrayLayout::strided(T::DTYPE, shape, strides)))
    }

    /// The same layout at another address, with no check at all: for hosts that move over equal tiles.
    ///
    /// # Safety
    /// As [`ArrayRef::from_raw_parts`], for the elements of this layout from `pointer` on.
    #[inline]
    #[must_use]
    pub unsafe fn moved_to(self, pointer: *const u8) -> ArrayRef<'a> {
        ArrayRef { pointer, ..self }
    }

    /// The dtype of its elements.
    pub fn dtype(&self) -> Dtype {
        self.layout.dtype
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// Its first element.
    pub fn as_ptr(&self) -> *const u8 {
        self.pointer
    }
}

/// A borrowed array that is written.
///
/// Its elements are initialised, so a function may also work on it in place. What is only an output is an [`ArrayOut`].
///
/// ```
/// use fuselet::{ArrayMut, Engine};
/// let double = Engine::new()?.compile("x * 2")?;
/// let mut every_other = [0.0f32; 6];
/// double.call(&[("x", (&[1.0f32, 2.0, 3.0]).into())], ArrayMut::strided(&mut every_other, &[3], &[2], 0)?)?;
/// assert_eq!(every_other, [2.0, 0.0, 4.0, 0.0, 6.0, 0.0]);
/// # Ok::<(), fuselet::Error>(())
/// ```
pub struct ArrayMut<'a> {
    pub(crate) pointer: *mut u8,
    pub(crate) layout: ArrayLayout<'a>,
    elements: PhantomData<&'a mut [u8]>,
}

// SAFETY: a view stands for `&mut [T]` of a `Send` element type, or for memory whose provider promised as much.
unsafe impl Send for ArrayMut<'_> {}
// SAFETY: nothing is written through a shared view.
unsafe impl Sync for ArrayMut<'_> {}

impl<'a> ArrayMut<'a> {
    pub(super) fn of(pointer: *mut u8, layout: ArrayLayout<'a>) -> ArrayMut<'a> {
        ArrayMut { pointer, layout, elements: PhantomData }
    }

    /// A row-major array of a shape over a whole slice.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; a slice of another length.
    #[inline]
    pub fn new<T: Element>(data: &'a mut [T], shape: &'a [usize]) -> Result<ArrayMut<'a>, ArrayError> {
        check_length(shape, data.len())?;
        Ok(ArrayMut::of(data.as_mut_ptr().cast(), ArrayLayout::row_major(T::DTYPE, shape)))
    }

    /// A view with strides in elements, whose first element is at `offset` of the slice.
    ///
    /// # Errors
    /// As [`ArrayRef::strided`]; and strides by which two places could be one element.
    #[inline]
    pub fn strided<T: Element>(
        data: &'a mut [T],
        shape: &'a [usize],
        strides: &'a [isize],
        offset: usize,
    ) -> Result<ArrayMut<'a>, ArrayError> {
        check_bounds(data.len(), shape, strides, offset)?;
        let layout = distinct(ArrayLayout::strided(T::DTYPE, shape, strides), strides)?;
        Ok(ArrayMut::of(data.as_mut_ptr().wrapping_add(offset).cast(), layout))
    }

    /// Two views of one slice, of the same shape and strides, that share no element, such as the gates and the values in the
    /// interleaved result of one matrix product.
    ///
    /// # Errors
    /// As [`ArrayMut::strided`]; and views that share an element.
    ///
    /// ```
    /// use fuselet::{ArrayMut, Engine};
    /// let swiglu = Engine::new()?.compile("silu(gate) * up")?;
    /// // Two rows of [gate | up], three of each; the result goes over the gates.
    /// let mut product = [1.0f32, 2.0, 3.0, 10.0, 10.0, 10.0, -1.0, -2.0, -3.0, 1.0, 1.0, 1.0];
    /// let (gate, up) = ArrayMut::strided_pair(&mut product, &[2, 3], &[6, 1], [0, 3])?;
    /// swiglu.call_in_place(("gate", gate), &[("up", up.as_view())])?;
    /// assert!((product[2] - 28.577_22).abs() < 1e-4);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn strided_pair<T: Element>(
        data: &'a mut [T],
        shape: &'a [usize],
        strides: &'a [isize],
        offsets: [usize; 2],
    ) -> Result<(ArrayMut<'a>, ArrayMut<'a>), ArrayError> {
        for offset in offsets {
            check_bounds(data.len(), shape, strides, offset)?;
        }
        let layout = distinct(ArrayLayout::strided(T::DTYPE, shape, strides), strides)?;
        let [first, second] = offsets.map(|offset| data.as_mut_ptr().wrapping_add(offset).cast::<u8>());
        if layout.meets_itself_at((second as isize).wrapping_sub(first as isize)) {
            return Err(ArrayError::Shared { shape: shape.to_vec(), strides: strides.to_vec(), offsets });
        }
        Ok((ArrayMut::of(first, layout), ArrayMut::of(second, layout)))
    }

    /// A view of memory that this process does not hold as a slice. Strides are in elements.
    ///
    /// # Safety
    /// Every element of the view is valid for writes for the lifetime `'a`, and nothing else looks at it meanwhile but the
    /// same call.
    ///
    /// # Errors
    /// A rank above [`MAX_RANK`]; not one stride an axis; strides by which two places could be one element.
    ///
    /// ```
    /// use fuselet::ArrayMut;
    /// let mut data = [0.0f32; 4];
    /// // SAFETY: both elements are elements of `data`, which nothing else uses.
    /// let view = unsafe { ArrayMut::from_raw_parts(data.as_mut_ptr(), &[2], &[2]) }?;
    /// assert_eq!(view.shape(), [2]);
    /// # Ok::<(), fuselet::ArrayError>(())
    /// ```
    pub unsafe fn from_raw_parts<T: Element>(
        pointer: *mut T,
        shape: &'a [usize],
        strides: &'a [isize],
    ) -> Result<ArrayMut<'a>, ArrayError> {
        check_strides(shape, strides)?;
        let layout = distinct(ArrayLayout::strided(T::DTYPE, shape, strides), strides)?;
        Ok(ArrayMut::of(pointer.cast(), layout))
    }

    /// The same layout at another address, with no check at all: for hosts that move over equal tiles.
    ///
    /// # Safety
    /// As [`ArrayMut::from_raw_parts`], for the elements of this layout from `pointer` on.
    #[inline]
    #[must_use]
    pub unsafe fn moved_to(self, pointer: *mut u8) -> ArrayMut<'a> {
        ArrayMut { pointer, ..self }
    }

    /// The dtype of its elements.
    pub fn dtype(&self) -> Dtype {
        self.layout.dtype
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// Its first element.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.pointer
    }

    /// The same array, to be read.
    pub fn as_view(&self) -> ArrayRef<'_> {
        ArrayRef::of(self.pointer, self.layout)
    }

    /// The same array as an output of the call that reads it, too: a call in place.
    pub(crate) fn as_output(&self) -> ArrayOut<'_> {
        ArrayOut { pointer: self.pointer, layout: self.layout, elements: PhantomData }
    }

    /// The same array, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> ArrayMut<'_> {
        ArrayMut::of(self.pointer, self.layout)
    }
}

/// A borrowed array that a call writes: initialised or not.
///
/// A call that succeeds has written it whole and has not read it before; a call that fails has not touched it. Everything
/// that converts to an [`ArrayMut`] converts to it, and so does `&mut [MaybeUninit<f32>]`.
pub struct ArrayOut<'a> {
    pub(crate) pointer: *mut u8,
    pub(crate) layout: ArrayLayout<'a>,
    elements: PhantomData<&'a mut [u8]>,
}

// SAFETY: as for `ArrayMut`.
unsafe impl Send for ArrayOut<'_> {}
// SAFETY: as for `ArrayMut`.
unsafe impl Sync for ArrayOut<'_> {}

impl<'a> ArrayOut<'a> {
    /// A layout that is only looked at: nothing is ever written there.
    pub(crate) fn nowhere(layout: ArrayLayout<'a>) -> ArrayOut<'a> {
        ArrayOut { pointer: std::ptr::null_mut(), layout, elements: PhantomData }
    }

    /// The same layout at another address, with no check at all: for hosts that move over equal tiles.
    ///
    /// # Safety
    /// As [`ArrayMut::from_raw_parts`], for the elements of this layout from `pointer` on, which need not be initialised.
    #[inline]
    #[must_use]
    pub unsafe fn moved_to(self, pointer: *mut u8) -> ArrayOut<'a> {
        ArrayOut { pointer, ..self }
    }

    /// A row-major array of a shape over a whole slice of memory that is not initialised yet.
    ///
    /// # Errors
    /// As [`ArrayMut::new`].
    ///
    /// ```
    /// use fuselet::{ArrayOut, Engine};
    /// let f = Engine::new()?.compile("x + 1")?;
    /// let mut y: Vec<f32> = Vec::with_capacity(3);
    /// let room = &mut y.spare_capacity_mut()[..3];
    /// f.call(&[("x", (&[1.0f32, 2.0, 3.0]).into())], ArrayOut::uninit(room, &[3])?)?;
    /// // SAFETY: a call that succeeds has written its output whole.
    /// unsafe { y.set_len(3) };
    /// assert_eq!(y, [2.0, 3.0, 4.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[inline]
    pub fn uninit<T: Element>(data: &'a mut [MaybeUninit<T>], shape: &'a [usize]) -> Result<ArrayOut<'a>, ArrayError> {
        check_length(shape, data.len())?;
        Ok(ArrayOut {
            pointer: data.as_mut_ptr().cast(),
            layout: ArrayLayout::row_major(T::DTYPE, shape),
            elements: PhantomData,
        })
    }

    /// A view with strides in elements over memory that is not initialised yet, the first element at `offset` of the slice.
    ///
    /// # Errors
    /// As [`ArrayMut::strided`].
    ///
    /// ```
    /// use fuselet::{ArrayOut, Engine};
    /// let f = Engine::new()?.compile("x + 1")?;
    /// // Every other element of six.
    /// let mut y: Vec<f32> = Vec::with_capacity(6);
    /// let room = &mut y.spare_capacity_mut()[..6];
    /// f.call(&[("x", (&[1.0f32, 2.0, 3.0]).into())], ArrayOut::uninit_strided(room, &[3], &[2], 0)?)?;
    /// // SAFETY: the call has written it.
    /// assert_eq!(unsafe { room[4].assume_init() }, 4.0);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn uninit_strided<T: Element>(
        data: &'a mut [MaybeUninit<T>],
        shape: &'a [usize],
        strides: &'a [isize],
        offset: usize,
    ) -> Result<ArrayOut<'a>, ArrayError> {
        check_bounds(data.len(), shape, strides, offset)?;
        let layout = distinct(ArrayLayout::strided(T::DTYPE, shape, strides), strides)?;
        Ok(ArrayOut { pointer: data.as_mut_ptr().wrapping_add(offset).cast(), layout, elements: PhantomData })
    }

    /// The dtype of its elements.
    pub fn dtype(&self) -> Dtype {
        self.layout.dtype
    }

    /// The lengths of its axes.
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }

    /// Its first element.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.pointer
    }
}

impl<'a> From<ArrayMut<'a>> for ArrayOut<'a> {
    #[inline]
    fn from(array: ArrayMut<'a>) -> ArrayOut<'a> {
        ArrayOut { pointer: array.pointer, layout: array.layout, elements: PhantomData }
    }
}

impl<'a> From<&'a mut ArrayMut<'_>> for ArrayOut<'a> {
    fn from(array: &'a mut ArrayMut<'_>) -> ArrayOut<'a> {
        array.reborrow().into()
    }
}

impl<'a, T: Element> From<&'a mut [MaybeUninit<T>]> for ArrayOut<'a> {
    #[inline]
    fn from(data: &'a mut [MaybeUninit<T>]) -> ArrayOut<'a> {
        let layout = ArrayLayout::run(T::DTYPE, data.len());
        ArrayOut { pointer: data.as_mut_ptr().cast(), layout, elements: PhantomData }
    }
}

impl fmt::Debug for ArrayOut<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ArrayOut of {:?}", self.layout)
    }
}

#[inline]
fn check_rank(shape: &[usize]) -> Result<(), ArrayError> {
    if shape.len() > MAX_RANK { Err(ArrayError::Rank { rank: shape.len() }) } else { Ok(()) }
}

#[inline]
pub(super) fn check_strides(shape: &[usize], strides: &[isize]) -> Result<(), ArrayError> {
    check_rank(shape)?;
    if strides.len() == shape.len() {
        return Ok(());
    }
    Err(ArrayError::Strides { shape: shape.to_vec(), strides: strides.len() })
}

/// Whether so many bytes are the elements of a row-major array.
pub(super) fn check_bytes(dtype: Dtype, shape: &[usize], bytes: usize) -> Result<(), ArrayError> {
    if bytes.is_multiple_of(dtype.size()) {
        return check_length(shape, bytes / dtype.size());
    }
    Err(ArrayError::Bytes { dtype, bytes })
}

#[inline]
fn check_length(shape: &[usize], length: usize) -> Result<(), ArrayError> {
    check_rank(shape)?;
    let mut expected = Some(1usize);
    for axis in shape {
        expected = expected.and_then(|count| count.checked_mul(*axis));
    }
    if expected == Some(length) {
        return Ok(());
    }
    wrong_length(shape, length)
}

/// The error; or none where an axis is empty beside others whose product is past all bounds.
#[cold]
fn wrong_length(shape: &[usize], length: usize) -> Result<(), ArrayError> {
    let product = shape.iter().fold(1usize, |count, axis| count.saturating_mul(*axis));
    let expected = if shape.contains(&0) { 0 } else { product };
    if expected == length { Ok(()) } else { Err(ArrayError::Length { shape: shape.to_vec(), expected, length }) }
}

/// Whether every element lies in a slice of `length` elements, the first one at `offset`.
#[inline]
fn check_bounds(length: usize, shape: &[usize], strides: &[isize], offset: usize) -> Result<(), ArrayError> {
    check_strides(shape, strides)?;
    let mut range = Some((offset, offset));
    for (&extent, &stride) in shape.iter().zip(strides) {
        if extent == 0 {
            return Ok(());
        }
        let reach = stride.unsigned_abs().checked_mul(extent - 1);
        range = range.zip(reach).and_then(|((low, high), reach)| {
            Some(if stride < 0 { (low.checked_sub(reach)?, high) } else { (low, high.checked_add(reach)?) })
        });
    }
    match range {
        Some((_, high)) if high < length => Ok(()),
        // An empty axis further on would have ended the loop only later.
        _ if shape.contains(&0) => Ok(()),
        _ => Err(ArrayError::OutOfBounds { shape: shape.to_vec(), strides: strides.to_vec(), offset, length }),
    }
}

pub(super) fn distinct<'a>(layout: ArrayLayout<'a>, strides: &[isize]) -> Result<ArrayLayout<'a>, ArrayError> {
    if layout.is_injective() {
        return Ok(layout);
    }
    Err(ArrayError::Overlapping { shape: layout.shape().to_vec(), strides: strides.to_vec() })
}

macro_rules! run_of_elements {
    ($([$($generics:tt)*] $type:ty;)*) => { $(
        impl<'a, $($generics)*> From<&'a $type> for ArrayRef<'a> {
            #[inline]
            fn from(data: &'a $type) -> ArrayRef<'a> {
                ArrayRef::of(data.as_ptr().cast(), ArrayLayout::run(T::DTYPE, data.len()))
            }
        }
        impl<'a, $($generics)*> From<&'a mut $type> for ArrayMut<'a> {
            #[inline]
            fn from(data: &'a mut $type) -> ArrayMut<'a> {
                ArrayMut::of(data.as_mut_ptr().cast(), ArrayLayout::run(T::DTYPE, data.len()))
            }
        }
        impl<'a, $($generics)*> From<&'a mut $type> for ArrayOut<'a> {
            #[inline]
            fn from(data: &'a mut $type) -> ArrayOut<'a> {
                ArrayMut::from(data).into()
            }
        }
    )* };
}
run_of_elements! {
    [T: Element] [T];
    [T: Element] Vec<T>;
    [T: Element, const N: usize] [T; N];
}

macro_rules! scalars {
    ($($type:ty),*) => { $(
        impl<'a> From<&'a $type> for ArrayRef<'a> {
            #[inline]
            fn from(number: &'a $type) -> ArrayRef<'a> {
                ArrayRef::of(std::ptr::from_ref(number).cast(), ArrayLayout::row_major(<$type>::DTYPE, &[]))
            }
        }
        impl<'a> From<&'a mut $type> for ArrayMut<'a> {
            #[inline]
            fn from(number: &'a mut $type) -> ArrayMut<'a> {
                ArrayMut::of(std::ptr::from_mut(number).cast(), ArrayLayout::row_major(<$type>::DTYPE, &[]))
            }
        }
        impl<'a> From<&'a mut $type> for ArrayOut<'a> {
            #[inline]
            fn from(number: &'a mut $type) -> ArrayOut<'a> {
                ArrayMut::from(number).into()
            }
        }
    )* };
}
scalars!(f64, f32, i32, i16, i8, u32, u16, u8, bool);
#[cfg(feature = "half")]
scalars!(half::f16, half::bf16);

impl<'a> From<&'a ArrayMut<'_>> for ArrayRef<'a> {
    fn from(array: &'a ArrayMut<'_>) -> ArrayRef<'a> {
        array.as_view()
    }
}

impl<'a> From<&'a mut ArrayMut<'_>> for ArrayMut<'a> {
    fn from(array: &'a mut ArrayMut<'_>) -> ArrayMut<'a> {
        array.reborrow()
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ArrayRef of {:?}", self.layout)
    }
}

impl fmt::Debug for ArrayMut<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ArrayMut of {:?}", self.layout)
    }
}
