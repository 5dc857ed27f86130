//! How an array lies in memory: dtype, shape, strides; never an address.
//!
//! Views ([`super::ArrayRef`], [`super::ArrayMut`]) are an address and a borrowed [`ArrayLayout`]; what is kept (a signature, a
//! bound plan's key) is an [`OwnedLayout`]. Both borrow or own shapes and strides as their users write them: strides in
//! *elements*, none for a row-major array. A layout whose strides happen to be row-major is made a row-major one, so
//! equal memory has equal layouts.

use super::dtype::Dtype;
use smallvec::SmallVec;
use std::fmt;

/// The highest rank of an array.
pub const MAX_RANK: usize = 8;

/// The layout of an array.
#[derive(Clone, Copy)]
pub(crate) struct ArrayLayout<'a> {
    pub(crate) dtype: Dtype,
    form: Form<'a>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    /// One axis, one element after the other.
    Run(usize),
    /// Row-major without gaps.
    RowMajor(&'a [usize]),
    /// With a stride in elements for each axis.
    Strided(&'a [usize], &'a [isize]),
}

impl<'a> ArrayLayout<'a> {
    /// `length` elements, one after the other.
    #[inline(always)]
    pub(crate) fn run(dtype: Dtype, length: usize) -> ArrayLayout<'a> {
        ArrayLayout { dtype, form: Form::Run(length) }
    }

    /// A row-major array; its rank is at most [`MAX_RANK`].
    #[inline(always)]
    pub(crate) fn row_major(dtype: Dtype, shape: &'a [usize]) -> ArrayLayout<'a> {
        debug_assert!(shape.len() <= MAX_RANK);
        ArrayLayout { dtype, form: Form::RowMajor(shape) }
    }

    /// An array with strides in elements, as many as axes. Empty arrays are row-major: no step has a meaning there.
    pub(crate) fn strided(dtype: Dtype, shape: &'a [usize], strides: &'a [isize]) -> ArrayLayout<'a> {
        debug_assert!(shape.len() <= MAX_RANK && shape.len() == strides.len());
        let mut expected = 1isize;
        let mut row_major = true;
        for (length, stride) in shape.iter().zip(strides).rev() {
            if *length == 0 {
                return ArrayLayout::row_major(dtype, shape);
            }
            row_major &= *length == 1 || *stride == expected;
            // Only compared with, and only while every axis inside fits the memory of one array.
            expected = expected.wrapping_mul(*length as isize);
        }
        if row_major {
            ArrayLayout::row_major(dtype, shape)
        } else {
            ArrayLayout { dtype, form: Form::Strided(shape, strides) }
        }
    }

    /// The lengths of the axes.
    #[inline(always)]
    pub(crate) fn shape(&self) -> &[usize] {
        match &self.form {
            Form::Run(length) => std::slice::from_ref(length),
            Form::RowMajor(shape) | Form::Strided(shape, _) => shape,
        }
    }

    /// The strides in elements, where it is not row-major.
    #[inline(always)]
    pub(crate) fn strides(&self) -> Option<&'a [isize]> {
        match self.form {
            Form::Run(_) | Form::RowMajor(_) => None,
            Form::Strided(_, strides) => Some(strides),
        }
    }

    /// Whether it is row-major without gaps.
    #[inline(always)]
    pub(crate) fn is_row_major(&self) -> bool {
        !matches!(self.form, Form::Strided(..))
    }

    /// Whether it has no axis.
    #[inline(always)]
    pub(crate) fn is_scalar(&self) -> bool {
        matches!(self.form, Form::RowMajor([]))
    }

    /// Whether it has no element.
    pub(crate) fn is_empty(&self) -> bool {
        self.shape().contains(&0)
    }

    /// How many elements it has; what saturates is more than there is memory for.
    #[inline]
    pub(crate) fn elements(&self) -> usize {
        match self.form {
            Form::Run(length) => length,
            _ if self.is_empty() => 0,
            _ => self.shape().iter().fold(1, |count, length| count.saturating_mul(*length)),
        }
    }

    /// Calls `body` for every axis, the last first: with its place from the end, its length, and its stride in bytes, 0 for axes of
    /// length 1 and in empty arrays, so that nothing is reached by them.
    #[inline]
    pub(crate) fn each_axis_from_end(&self, mut body: impl FnMut(usize, usize, isize)) {
        let (shape, strides) = (self.shape(), self.strides());
        let size = self.dtype.size() as isize;
        let is_empty = self.is_empty();
        let mut step = size;
        for (from_end, length) in shape.iter().rev().enumerate() {
            let stride = strides.map_or(step, |strides| strides[shape.len() - 1 - from_end].wrapping_mul(size));
            body(from_end, *length, if *length == 1 || is_empty { 0 } else { stride });
            step = step.wrapping_mul(*length as isize);
        }
    }

    /// The stride of every axis in bytes, as [`ArrayLayout::each_axis_from_end`] gives them.
    pub(crate) fn byte_strides(&self) -> SmallVec<[isize; MAX_RANK]> {
        let rank = self.shape().len();
        let mut bytes: SmallVec<[isize; MAX_RANK]> = SmallVec::from_elem(0, rank);
        self.each_axis_from_end(|from_end, _, stride| bytes[rank - 1 - from_end] = stride);
        bytes
    }

    /// What of memory the array may touch, in bytes from its first element: from the first byte to one past the last.
    /// Both are 0 where it has no element.
    #[inline]
    pub(crate) fn reach(&self) -> (isize, isize) {
        let size = self.dtype.size() as isize;
        match self.form {
            Form::Run(length) => (0, (length as isize).wrapping_mul(size)),
            Form::RowMajor(_) => (0, (self.elements() as isize).wrapping_mul(size)),
            Form::Strided(shape, strides) => {
                let (mut low, mut high) = (0isize, 0isize);
                for (length, stride) in shape.iter().zip(strides) {
                    let reach = stride.wrapping_mul(*length as isize - 1).wrapping_mul(size);
                    low = low.wrapping_add(reach.min(0));
                    high = high.wrapping_add(reach.max(0));
                }
                (low, high.wrapping_add(size))
            }
        }
    }

    /// Whether the two have one shape. (A loop over a few axes: to call for a comparison of memory takes longer.)
    #[inline]
    pub(crate) fn same_shape(&self, other: &ArrayLayout<'_>) -> bool {
        let (a, b) = (self.shape(), other.shape());
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b)
    }

    /// Whether no two places of the shape are one element: each stride steps over all that smaller strides reach.
    pub(crate) fn is_injective(&self) -> bool {
        let Some(strides) = self.strides() else { return true };
        // Most arrays have their strides in order.
        let mut reach = 1usize;
        let in_order =
            self.shape().iter().zip(strides).rev().filter(|(length, _)| **length > 1).all(|(length, stride)| {
                let wide = stride.unsigned_abs() >= reach;
                reach = stride.unsigned_abs().saturating_mul(*length);
                wide
            });
        if in_order {
            return true;
        }
        reach = 1;
        for (stride, length) in ascending(self.shape(), strides) {
            if stride < reach {
                return false;
            }
            // Reaches of arrays that are there fit; of others nothing is asked further.
            reach = stride.saturating_mul(length);
        }
        true
    }

    /// Whether this array and another of the same layout, `distance` bytes further on, have a byte in common. Exact for
    /// injective layouts: arrays that interleave, like the two halves of a matrix's rows, have none.
    pub(crate) fn meets_itself_at(&self, distance: isize) -> bool {
        let size = self.dtype.size();
        if self.is_empty() {
            return false;
        }
        if self.strides().is_none() {
            return distance.unsigned_abs() < self.elements().saturating_mul(size);
        }
        let bytes = self.byte_strides();
        let mut axes: SmallVec<[(isize, isize); MAX_RANK]> = ascending(self.shape(), &bytes)
            .into_iter()
            .map(|(stride, length)| (stride as isize, length as isize - 1))
            .collect();
        // From the largest stride on: of each, as many steps as bring the two nearest, from either side. All smaller
        // strides together reach less than one step.
        axes.reverse();
        meets(&axes, distance, size as isize)
    }

    /// Kept.
    pub(crate) fn to_owned(self) -> OwnedLayout {
        OwnedLayout { dtype: self.dtype, shape: self.shape().into(), strides: self.strides().map(Into::into) }
    }
}

/// Strides without sign and lengths of the axes longer than 1, smallest stride first.
fn ascending(shape: &[usize], strides: &[isize]) -> SmallVec<[(usize, usize); MAX_RANK]> {
    let mut axes: SmallVec<[(usize, usize); MAX_RANK]> =
        strides.iter().zip(shape).filter(|(_, n)| **n > 1).map(|(s, n)| (s.unsigned_abs(), *n)).collect();
    axes.sort_unstable();
    axes
}

/// Whether steps of these strides, each at most so often in either direction, come nearer to `distance` than `size`.
fn meets(axes: &[(isize, isize)], distance: isize, size: isize) -> bool {
    let Some(((stride, most), inner)) = axes.split_first() else { return distance.abs() < size };
    if *stride == 0 {
        return meets(inner, distance, size);
    }
    let below = distance.div_euclid(*stride);
    [below, below.wrapping_add(1)]
        .into_iter()
        .filter(|steps| (-most..=*most).contains(steps))
        .any(|steps| meets(inner, distance.wrapping_sub(steps.wrapping_mul(*stride)), size))
}

impl PartialEq for ArrayLayout<'_> {
    #[inline]
    fn eq(&self, other: &ArrayLayout<'_>) -> bool {
        if self.dtype != other.dtype || !self.same_shape(other) {
            return false;
        }
        match (self.strides(), other.strides()) {
            (None, None) => true,
            (Some(a), Some(b)) => self.shape().iter().zip(a).zip(b).all(|((length, a), b)| *length == 1 || a == b),
            _ => false,
        }
    }
}

impl Eq for ArrayLayout<'_> {}

impl fmt::Debug for ArrayLayout<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}", self.dtype, self.shape())?;
        self.strides().map_or(Ok(()), |strides| write!(formatter, " strides {strides:?}"))
    }
}

/// A layout that is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OwnedLayout {
    pub(crate) dtype: Dtype,
    shape: SmallVec<[usize; 4]>,
    strides: Option<SmallVec<[isize; 4]>>,
}

impl OwnedLayout {
    /// Borrowed.
    #[inline]
    pub(crate) fn borrow(&self) -> ArrayLayout<'_> {
        let form = match &self.strides {
            None => Form::RowMajor(&self.shape),
            Some(strides) => Form::Strided(&self.shape, strides),
        };
        ArrayLayout { dtype: self.dtype, form }
    }

    /// Whether an array lies like this.
    #[inline]
    pub(crate) fn is(&self, array: &ArrayLayout<'_>) -> bool {
        match array.form {
            Form::Run(length) => {
                self.dtype == array.dtype && self.strides.is_none() && matches!(*self.shape, [own] if own == length)
            }
            _ => self.borrow() == *array,
        }
    }

    /// The lengths of the axes.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes it takes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        let strides = self.strides.as_ref().filter(|strides| strides.spilled()).map_or(0, |strides| strides.len());
        (if self.shape.spilled() { self.shape.len() } else { 0 } + strides) * size_of::<usize>()
    }
}

impl fmt::Debug for OwnedLayout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All byte offsets of elements.
    fn offsets(layout: &ArrayLayout<'_>) -> Vec<isize> {
        let mut all = vec![0];
        for (length, stride) in layout.shape().iter().zip(layout.byte_strides()) {
            all = all.iter().flat_map(|at| (0..*length as isize).map(move |i| at + i * stride)).collect();
        }
        all
    }

    #[test]
    fn arrays_of_equal_strides_meet_exactly_where_an_element_is_shared() {
        let cases: &[(&[usize], &[isize])] = &[
            (&[3, 4], &[8, 1]),
            (&[3, 4], &[4, 1]),
            (&[4, 3], &[1, 4]),
            (&[2, 3, 2], &[20, -5, 2]),
            (&[5], &[3]),
            (&[2, 2], &[-9, 2]),
            (&[1, 4], &[0, 2]),
            (&[2, 0], &[7, 1]),
        ];
        for (shape, strides) in cases {
            let layout = ArrayLayout::strided(Dtype::F32, shape, strides);
            assert!(layout.is_injective());
            let own = offsets(&layout);
            for distance in -260..=260isize {
                let truth = own.iter().any(|a| own.iter().any(|b| (b + distance - a).abs() < 4));
                assert_eq!(layout.meets_itself_at(distance), truth, "{layout:?} at {distance}");
            }
        }
    }

    #[test]
    fn row_major_strides_are_no_strides() {
        assert!(ArrayLayout::strided(Dtype::F32, &[2, 1, 3], &[3, 77, 1]).is_row_major());
        assert!(ArrayLayout::strided(Dtype::F32, &[2, 0], &[9, 9]).is_row_major());
        assert!(!ArrayLayout::strided(Dtype::F32, &[2, 3], &[4, 1]).is_row_major());
        assert_eq!(ArrayLayout::run(Dtype::F32, 3), ArrayLayout::row_major(Dtype::F32, &[3]));
    }

    #[test]
    fn overlapping_places_are_found() {
        for (shape, strides, injective) in [
            (&[2usize, 3][..], &[3isize, 1][..], true),
            (&[2, 3], &[2, 1], false),
            (&[2, 3], &[0, 1], false),
            (&[3, 2], &[-1, 3], true),
            (&[1, 3], &[0, 1], true),
        ] {
            assert_eq!(
                ArrayLayout::strided(Dtype::F64, shape, strides).is_injective(),
                injective,
                "{shape:?} {strides:?}"
            );
        }
    }
}
