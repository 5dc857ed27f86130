//! How a row is cut into chunks: what a sum's order is made of, and what threads that share a row take.

use crate::codegen::write::Form;
use crate::lane::{ACCUMULATOR_LANES, BLOCK, CYCLE, GROUP};
use smallvec::{SmallVec, smallvec};

/// Equal chunks of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    /// How many elements a body does, this far apart.
    pub(super) bodies: usize,
    pub(super) distance: usize,
    pub(super) first: usize,
    /// Elements of each that a body does.
    pub(super) span: usize,
    pub(super) count: usize,
}

/// The chunks of a row, in order.
pub(super) type RowChunks = SmallVec<[Chunks; 4]>;

/// Cuts rows of a length, for a stage that sums along them or does not, and for rows that threads share.
pub(super) fn cut(length: usize, sums: bool, shared: bool) -> RowChunks {
    let (blocks, rest) = (length / BLOCK, length % BLOCK);
    if length == 0 || !(sums || shared) {
        return smallvec![Chunks::single(0, length, 1)];
    }
    let mut all = RowChunks::new();
    let mut push = |chunks: Chunks| {
        if chunks.span * chunks.count > 0 {
            all.push(chunks);
        }
    };
    if !sums {
        // Only threads want it in pieces.
        push(Chunks::single(0, BLOCK, blocks));
        push(Chunks::single(blocks * BLOCK, rest, 1));
        return all;
    }
    let (groups, last) = (rest / GROUP * GROUP, rest % GROUP);
    let fours =
        |distance, first, elements, count| Chunks { bodies: CYCLE, distance, first, span: elements / CYCLE, count };
    push(fours(ACCUMULATOR_LANES, 0, BLOCK, blocks));
    push(fours(ACCUMULATOR_LANES, blocks * BLOCK, groups, 1));
    push(fours(last / CYCLE, length - last, last, 1));
    push(Chunks::single(length - last % CYCLE, last % CYCLE, 1));
    all
}

/// Which of the chunks that [`cut`] may give there are for a length, a bit each: lengths that agree in it are cut into chunks
/// of the same forms, whether summed or not.
pub(super) fn pattern(length: usize) -> u64 {
    let (blocks, rest) = (length / BLOCK, length % BLOCK);
    let last = rest % GROUP;
    let parts = [blocks > 0, rest >= GROUP, last >= CYCLE, !last.is_multiple_of(CYCLE)];
    parts.iter().fold(0, |bits, there| bits << 1 | u64::from(*there))
}

impl Chunks {
    /// Chunks done an element at a time.
    fn single(first: usize, span: usize, count: usize) -> Chunks {
        Chunks { bodies: 1, distance: 0, first, span, count }
    }

    /// The form of the code that does them, in a kernel of a form.
    pub(super) fn form(&self, form: Form) -> Form {
        match form {
            Form::Span if self.bodies > 1 => Form::SpanOfFours,
            Form::Strip if self.bodies > 1 => Form::StripOfFours,
            form => form,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_one_pattern_are_cut_into_chunks_of_the_same_forms() {
        let mut known: Vec<(u64, bool, bool, Vec<usize>)> = Vec::new();
        let lengths = (0..3 * GROUP).chain([BLOCK, 2 * BLOCK].iter().flat_map(|n| n - 1..n + GROUP + 9));
        for length in lengths {
            for (sums, shared) in [(false, false), (false, true), (true, false), (true, true)] {
                let chunks = cut(length, sums, shared);
                let elements: usize = chunks.iter().map(|chunks| chunks.bodies * chunks.span * chunks.count).sum();
                assert_eq!(elements, length);
                let forms: Vec<usize> = chunks.iter().map(|chunks| chunks.bodies).collect();
                let before = known.iter().find(|(own, s, t, _)| (*own, *s, *t) == (pattern(length), sums, shared));
                match before {
                    Some((.., before)) => assert_eq!(*before, forms, "{length}"),
                    None => known.push((pattern(length), sums, shared, forms)),
                }
            }
        }
        // Four sums, in each of as many ways as there are patterns.
        assert!(known.len() > 4 * 8, "{}", known.len());
    }
}
