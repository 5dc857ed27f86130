//! Views of memory whose dtype is known only at run time: bytes of a file, tensors of a host.

use super::dtype::Dtype;
use super::error::ArrayError;
use super::layout::ArrayLayout;
use super::view::{ArrayMut, ArrayOut, ArrayRef, check_bytes, check_strides, distinct};

impl<'a> ArrayRef<'a> {
    /// A row-major array of a dtype and shape over the whole of some bytes, which need not be aligned: native byte order.
    ///
    /// # Errors
    /// A rank above [`super::MAX_RANK`]; another number of bytes than the shape needs.
    ///
    /// ```
    /// use fuselet::{ArrayRef, Dtype, Engine};
    /// let f = Engine::new()?.compile("x * 2")?;
    /// let bytes = [0x00, 0x3c, 0x00, 0xc0]; // 1 and −2 in float16, as a little-endian machine stores them
    /// # let bytes = if cfg!(target_endian = "little") { bytes } else { [0x3c, 0, 0xc0, 0] };
    /// let x = ArrayRef::from_bytes(&bytes, Dtype::F16, &[2])?;
    /// assert_eq!(f.call_to_vec::<f32>(&[("x", x)])?, [2.0, -4.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn from_bytes(bytes: &'a [u8], dtype: Dtype, shape: &'a [usize]) -> Result<ArrayRef<'a>, ArrayError> {
        check_bytes(dtype, shape, bytes.len())?;
        Ok(ArrayRef::of(bytes.as_ptr(), ArrayLayout::row_major(dtype, shape)))
    }

    /// A view of memory by address, dtype, shape and strides in elements.
    ///
    /// # Safety
    /// As [`ArrayRef::from_raw_parts`], for elements of the dtype; the address need not be aligned.
    ///
    /// # Errors
    /// As [`ArrayRef::from_raw_parts`].
    pub unsafe fn from_raw(
        pointer: *const u8,
        dtype: Dtype,
        shape: &'a [usize],
        strides: &'a [isize],
    ) -> Result<ArrayRef<'a>, ArrayError> {
        check_strides(shape, strides)?;
        Ok(ArrayRef::of(pointer, ArrayLayout::strided(dtype, shape, strides)))
    }
}

impl<'a> ArrayMut<'a> {
    /// A row-major array of a dtype and shape over the whole of some bytes, which need not be aligned: native byte order.
    ///
    /// # Errors
    /// As [`ArrayRef::from_bytes`].
    ///
    /// ```
    /// use fuselet::{ArrayMut, Dtype, Engine};
    /// let f = Engine::new()?.compile("x > 1")?;
    /// let mut mask = [7u8; 3];
    /// f.call(&[("x", (&[0.5f32, 1.5, 2.5]).into())], ArrayMut::from_bytes(&mut mask, Dtype::Bool, &[3])?)?;
    /// assert_eq!(mask, [0, 1, 1]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn from_bytes(bytes: &'a mut [u8], dtype: Dtype, shape: &'a [usize]) -> Result<ArrayMut<'a>, ArrayError> {
        check_bytes(dtype, shape, bytes.len())?;
        Ok(ArrayMut::of(bytes.as_mut_ptr(), ArrayLayout::row_major(dtype, shape)))
    }

    /// A view of memory by address, dtype, shape and strides in elements.
    ///
    /// # Safety
    /// As [`ArrayMut::from_raw_parts`], for elements of the dtype; the address need not be aligned.
    ///
    /// # Errors
    /// As [`ArrayMut::from_raw_parts`].
    pub unsafe fn from_raw(
        pointer: *mut u8,
        dtype: Dtype,
        shape: &'a [usize],
        strides: &'a [isize],
    ) -> Result<ArrayMut<'a>, ArrayError> {
        check_strides(shape, strides)?;
        let layout = distinct(ArrayLayout::strided(dtype, shape, strides), strides)?;
        Ok(ArrayMut::of(pointer, layout))
    }
}

impl<'a> ArrayOut<'a> {
    /// A view of memory that need not be initialised, by address, dtype, shape and strides in elements.
    ///
    /// # Safety
    /// As [`ArrayMut::from_raw`], but that nothing need be there yet.
    ///
    /// # Errors
    /// As [`ArrayMut::from_raw_parts`].
    pub unsafe fn from_raw(
        pointer: *mut u8,
        dtype: Dtype,
        shape: &'a [usize],
        strides: &'a [isize],
    ) -> Result<ArrayOut<'a>, ArrayError> {
        // SAFETY: the caller's promise; nothing is read through a view that becomes an output.
        Ok(unsafe { ArrayMut::from_raw(pointer, dtype, shape, strides) }?.into())
    }
}
