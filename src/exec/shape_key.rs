//! What of the inputs' shapes a plan depends on.
//!
//! A plan depends on the dtype of arithmetic, ranks, which axes have length 1, and which lengths are equal; not on the lengths
//! themselves. So lengths are numbered in the order in which they first appear, and the sequence of numbers is the key
//! by which a function finds its plan. Graphs with halves also depend on arithmetic between lengths; their key
//! holds the lengths themselves.

use crate::array::{ArrayLayout, ComputeDtype};
use crate::plan::Extent;
use smallvec::SmallVec;

/// The key of a plan. Its words are as wide as lengths, so that none is cut off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ShapeKey {
    dtype: ComputeDtype,
    /// Whether every output stores what was computed as it is, so that it may be read again.
    rereads: bool,
    words: SmallVec<[usize; 14]>,
}

/// The shapes of the inputs of a call, as a plan sees them.
#[derive(Clone, Debug)]
pub(crate) struct SymbolicShapes {
    pub(crate) key: ShapeKey,
    /// The distinct lengths other than 1, in the order of their numbers.
    pub(crate) sizes: SmallVec<[usize; 8]>,
}

impl SymbolicShapes {
    /// The shapes of inputs of a call that computes in a dtype, and whose outputs may be read again or not; with the lengths themselves in the key if `exact`.
    pub(crate) fn of(
        inputs: &[ArrayLayout<'_>],
        (dtype, rereads): (ComputeDtype, bool),
        exact: bool,
    ) -> SymbolicShapes {
        let mut sizes = Numbers::default();
        let mut words = SmallVec::new();
        for input in inputs {
            words.push(input.shape().len());
            for &length in input.shape() {
                words.push(if length == 1 { 0 } else { 1 + sizes.number(length) });
            }
        }
        let sizes = sizes.lengths;
        if exact {
            words.extend_from_slice(&sizes);
        }
        SymbolicShapes { key: ShapeKey { dtype, rereads, words }, sizes }
    }

    /// How a plan names a length of these shapes.
    pub(crate) fn extent(&self, length: usize) -> Extent {
        match self.sizes.iter().position(|known| *known == length) {
            _ if length == 1 => Extent::One,
            Some(number) => Extent::Size(number),
            None => Extent::Fixed(length),
        }
    }
}

/// Lengths by number.
#[derive(Default)]
struct Numbers {
    lengths: SmallVec<[usize; 8]>,
    /// The numbers again, where there are so many that looking through them would take long.
    many: rustc_hash::FxHashMap<usize, usize>,
}

impl Numbers {
    const FEW: usize = 32;

    fn number(&mut self, length: usize) -> usize {
        let known = if self.lengths.len() <= Numbers::FEW {
            self.lengths.iter().position(|known| *known == length)
        } else {
            self.many.get(&length).copied()
        };
        known.unwrap_or_else(|| {
            let number = self.lengths.len();
            self.lengths.push(length);
            if number == Numbers::FEW {
                self.many.extend(self.lengths.iter().copied().zip(0..));
            } else if number > Numbers::FEW {
                self.many.insert(length, number);
            }
            number
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Dtype;

    #[test]
    fn as_many_lengths_as_there_may_be_have_numbers_of_their_own() {
        // Past 2^16 and back to the first: a key of narrower words took one for the other, and read behind an array.
        let shapes: Vec<[usize; 8]> = (0..10_000).map(|at| std::array::from_fn(|axis| 2 + at * 8 + axis)).collect();
        let layouts: Vec<ArrayLayout<'_>> = shapes.iter().map(|s| ArrayLayout::row_major(Dtype::F32, s)).collect();
        let symbolic = SymbolicShapes::of(&layouts, (ComputeDtype::F32, true), false);
        assert_eq!(symbolic.sizes.len(), 80_000);
        let mut other = layouts.clone();
        let first = [shapes[0][0]];
        other.push(ArrayLayout::row_major(Dtype::F32, &first));
        let mut last = layouts.clone();
        let wrapped = [shapes[8192][0]];
        last.push(ArrayLayout::row_major(Dtype::F32, &wrapped));
        let [a, b] = [other, last].map(|layouts| SymbolicShapes::of(&layouts, (ComputeDtype::F32, true), false).key);
        assert_ne!(a, b);
    }
}
