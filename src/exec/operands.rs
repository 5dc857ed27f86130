//! Laying operands out over a kernel's domain, and merging dimensions.
//!
//! An operand aligned to a domain has a byte stride for each of its dimensions, 0 where it is broadcast. Dimensions of
//! length 1 are dropped; neighbours that every operand steps through as if they were one are merged; what is left is
//! ordered so that the array that is written is walked in the order of its memory.

use crate::array::{ArrayLayout, Dtype, MAX_RANK};
use crate::lane::{Layout, OperandArgument, Role};
use crate::plan::Extent;
use fuselet_ir::Half;
use smallvec::SmallVec;

/// How the arrays of a kernel's sources, then of its sinks, store their elements.
pub(crate) type Storage = SmallVec<[Dtype; 8]>;

/// Byte strides of one operand, one for each dimension of a domain.
pub(crate) type Strides = [isize; MAX_RANK];

/// An array aligned to a domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlignedOperand {
    /// Bytes from the array's first element to the operand's.
    pub(crate) offset: isize,
    pub(crate) strides: Strides,
}

/// Aligns an array to a domain of this rank, after cutting it in halves.
pub(crate) fn align(array: &ArrayLayout<'_>, cuts: &[(usize, Half)], rank: usize) -> AlignedOperand {
    let mut aligned = AlignedOperand { offset: 0, strides: [0; MAX_RANK] };
    let mut lengths = [1; MAX_RANK];
    let mut steps = [0; MAX_RANK];
    let own = array.shape().len();
    // Counted from the end, as broadcasting does.
    array.each_axis_from_end(|from_end, length, step| (lengths[from_end], steps[from_end]) = (length, step));
    for (from_end, half) in cuts {
        let axis = from_end - 1;
        lengths[axis] /= 2;
        if *half == Half::Second {
            aligned.offset = aligned.offset.wrapping_add(steps[axis].wrapping_mul(lengths[axis] as isize));
        }
    }
    for axis in 0..rank.min(own) {
        if lengths[axis] != 1 {
            aligned.strides[rank - 1 - axis] = steps[axis];
        }
    }
    aligned
}

/// One dimension of a loop nest: its length and every operand's byte stride.
#[derive(Clone, Debug)]
pub(crate) struct Dimension {
    pub(crate) length: usize,
    pub(crate) strides: SmallVec<[isize; 6]>,
}

/// A loop nest over some dimensions of a domain, outermost first, merged as far as strides allow.
pub(crate) type LoopNest = SmallVec<[Dimension; 2]>;

/// The nest of the domain's dimensions `axes`, walked in the order of `leader`'s memory. `None` if one has length 0.
pub(crate) fn nest(
    domain: &[Extent],
    sizes: &[usize],
    axes: impl Iterator<Item = usize>,
    operands: &[AlignedOperand],
    leader: Option<usize>,
) -> Option<LoopNest> {
    let mut nest: LoopNest = SmallVec::new();
    for axis in axes {
        let length = domain[axis].resolve(sizes);
        match length {
            0 => return None,
            1 => {}
            _ => nest.push(Dimension { length, strides: operands.iter().map(|o| o.strides[axis]).collect() }),
        }
    }
    if let Some(leader) = leader
        && nest.windows(2).any(|pair| pair[0].strides[leader].unsigned_abs() < pair[1].strides[leader].unsigned_abs())
    {
        nest.sort_by_key(|dimension| std::cmp::Reverse(dimension.strides[leader].unsigned_abs()));
    }
    merge(&mut nest);
    Some(nest)
}

/// Merges neighbours of which every operand's outer step is the inner dimension's whole reach.
pub(crate) fn merge(nest: &mut LoopNest) {
    let mut at = nest.len();
    while at >= 2 {
        at -= 1;
        let inner = &nest[at];
        let length = inner.length as isize;
        let one =
            nest[at - 1].strides.iter().zip(&inner.strides).all(|(outer, inner)| *outer == inner.wrapping_mul(length));
        if one {
            let inner = nest.remove(at);
            let outer = &mut nest[at - 1];
            outer.length *= inner.length;
            outer.strides = inner.strides;
        }
    }
}

/// How an operand with this byte stride lies along a span of `length` elements of `size` bytes; `number` if its array has no axis.
///
/// A span of one element could be anything. It is what longer spans of the same arrays are, where that is known, so that they
/// share code: a number is broadcast, an array is contiguous.
pub(crate) fn layout(role: Role, stride: isize, length: usize, size: usize, number: bool) -> Layout {
    let single = length <= 1;
    if role == Role::Read && (if single { number } else { stride == 0 }) {
        Layout::Broadcast
    } else if single || stride == size as isize {
        Layout::Contiguous
    } else {
        Layout::Strided
    }
}

/// Walks a nest, calling `body` with the operands' byte offsets at each point.
pub(crate) fn walk(nest: &[Dimension], offsets: &mut [isize], body: &mut impl FnMut(&[isize])) {
    match nest.split_first() {
        None => body(offsets),
        Some((dimension, inner)) => {
            for _ in 0..dimension.length {
                walk(inner, offsets, body);
                for (offset, stride) in offsets.iter_mut().zip(&dimension.strides) {
                    *offset += stride;
                }
            }
            for (offset, stride) in offsets.iter_mut().zip(&dimension.strides) {
                *offset -= stride * dimension.length as isize;
            }
        }
    }
}

/// The argument of a pass for an operand at `pointer`.
pub(crate) fn argument(pointer: *mut u8, stride: isize, outer_stride: isize) -> OperandArgument {
    OperandArgument { pointer, stride, outer_stride }
}
