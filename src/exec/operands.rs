//! Laying operands out over a kernel's domain, and merging dimensions.
//!
//! An operand aligned to a domain has a byte stride for each of its dimensions, 0 where it is broadcast. Dimensions of
//! length 1 are dropped; neighbours that every operand steps through as if they were one are merged; what is left is
//! ordered so that the array that is written is walked in the order of its memory.

use crate::array::{MAX_RANK, Placement};
use crate::lane::{Layout, OperandArgument, Role};
use crate::plan::{Extent, Source};
use fuselet_ir::Half;
use smallvec::SmallVec;

/// Byte strides of one operand, one for each dimension of a domain.
pub(crate) type Strides = [isize; MAX_RANK];

/// An operand over a domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) pointer: *mut u8,
    pub(crate) strides: Strides,
}

// SAFETY: a bound is an address and steps; whoever reads or writes through it promises that no other thread has the
// elements meanwhile ([`super::threads::split`] hands out disjoint parts).
unsafe impl Send for Bound {}
// SAFETY: as above; nothing is read or written through a shared bound itself.
unsafe impl Sync for Bound {}

/// Where the operands of a kernel begin in one call.
#[derive(Clone, Debug)]
pub(crate) struct Pointers(pub(crate) SmallVec<[*mut u8; 8]>);

// SAFETY: as for bounds.
unsafe impl Sync for Pointers {}

/// Aligns an array to a domain of this rank, after cutting it in halves.
pub(crate) fn bind(placement: &Placement, cuts: &[(usize, Half)], rank: usize) -> Bound {
    let mut pointer = placement.pointer;
    let mut shape: SmallVec<[usize; MAX_RANK]> = SmallVec::from_slice(placement.shape());
    for (from_end, half) in cuts {
        let axis = shape.len() - from_end;
        shape[axis] /= 2;
        if *half == Half::Second {
            pointer = pointer.wrapping_offset(placement.strides()[axis] * shape[axis] as isize);
        }
    }
    let mut strides = [0; MAX_RANK];
    for from_end in 1..=rank.min(shape.len()) {
        let axis = shape.len() - from_end;
        if shape[axis] != 1 {
            strides[rank - from_end] = placement.strides()[axis];
        }
    }
    Bound { pointer, strides }
}

/// Aligns a source to a domain.
pub(crate) fn bind_source(source: &Source, placement: &Placement, rank: usize) -> Bound {
    bind(placement, &source.cuts, rank)
}

/// One dimension of a loop nest: its length and every operand's byte stride.
#[derive(Clone, Debug)]
pub(crate) struct Dimension {
    pub(crate) length: usize,
    pub(crate) strides: SmallVec<[isize; 8]>,
}

/// A loop nest over some dimensions of a domain, outermost first, merged as far as strides allow.
pub(crate) type Nest = SmallVec<[Dimension; 4]>;

/// The nest of the domain's dimensions `axes`, walked in the order of `leader`'s memory. `None` if one has length 0.
pub(crate) fn nest(
    domain: &[Extent],
    sizes: &[usize],
    axes: impl Iterator<Item = usize>,
    operands: &[Bound],
    leader: Option<usize>,
) -> Option<Nest> {
    let mut nest: Nest = SmallVec::new();
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
pub(crate) fn merge(nest: &mut Nest) {
    let mut at = nest.len();
    while at >= 2 {
        at -= 1;
        let inner = &nest[at];
        let length = inner.length as isize;
        let one = nest[at - 1].strides.iter().zip(&inner.strides).all(|(outer, inner)| *outer == *inner * length);
        if one {
            let inner = nest.remove(at);
            let outer = &mut nest[at - 1];
            outer.length *= inner.length;
            outer.strides = inner.strides;
        }
    }
}

/// How an operand with this byte stride lies along a span of `length` elements of `size` bytes.
pub(crate) fn layout(role: Role, stride: isize, length: usize, size: usize) -> Layout {
    if length <= 1 || stride == size as isize {
        Layout::Contiguous
    } else if stride == 0 && role == Role::Read {
        Layout::Broadcast
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
