//! The pattern of a call: what of its inputs' shapes a plan depends on.
//!
//! A plan depends on dtypes, ranks, which axes have length 1, and which lengths are equal; not on the lengths
//! themselves. So lengths are numbered in the order in which they first appear, and the sequence of numbers is the key
//! by which a call finds its plan. Graphs with halves also depend on arithmetic between lengths; their key
//! holds the lengths themselves.

use crate::array::Dtype;
use crate::array::Placement;
use crate::plan::Extent;
use smallvec::SmallVec;

/// The pattern of the inputs of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    pub(crate) key: SmallVec<[u16; 32]>,
    /// The distinct lengths other than 1, in the order of their numbers.
    pub(crate) sizes: SmallVec<[usize; 8]>,
}

impl Pattern {
    /// The pattern of inputs of one dtype; with the lengths themselves in the key if `exact`.
    pub(crate) fn of(inputs: &[Placement], dtype: Dtype, exact: bool) -> Pattern {
        let mut pattern = Pattern::default();
        pattern.key.push(dtype as u16);
        for input in inputs {
            pattern.key.push(input.shape().len() as u16);
            for &length in input.shape() {
                let number = if length == 1 { 0 } else { 1 + pattern.number(length) };
                pattern.key.push(number as u16);
            }
        }
        if exact {
            for at in 0..pattern.sizes.len() {
                let length = pattern.sizes[at] as u64;
                pattern.key.extend((0..4).map(|part| (length >> (16 * part)) as u16));
            }
        }
        pattern
    }

    fn number(&mut self, length: usize) -> usize {
        self.sizes.iter().position(|known| *known == length).unwrap_or_else(|| {
            self.sizes.push(length);
            self.sizes.len() - 1
        })
    }

    /// How a plan names a length of this pattern.
    pub(crate) fn extent(&self, length: usize) -> Extent {
        match self.sizes.iter().position(|known| *known == length) {
            _ if length == 1 => Extent::One,
            Some(number) => Extent::Size(number),
            None => Extent::Fixed(length),
        }
    }
}
