//! Where in scratch the values of a batch are.

use super::code::RowCode;
use crate::codegen::write::Form;
use crate::exec::scratch::{OutOfMemory, round_up};
use crate::lane::{BLOCK, TREE_DEPTH};

/// Offsets in scratch: of kept rows, scalars, accumulators, results of chunks, packed rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    kept: Section,
    scalars: Section,
    accumulators: Section,
    results: Section,
    packed: Section,
    whole_row: Section,
}

/// A part of scratch: equal pieces, one after the other.
#[derive(Clone, Copy, Debug)]
struct Section {
    start: usize,
    piece: usize,
}

impl Section {
    #[inline(always)]
    fn at(self, index: usize) -> isize {
        (self.start + index * self.piece) as isize
    }
}

impl Places {
    #[inline]
    pub(super) fn kept(&self, at: usize) -> isize {
        self.kept.at(at)
    }

    #[inline]
    pub(super) fn scalar(&self, at: usize) -> isize {
        self.scalars.at(at)
    }

    /// The strips of a reduction, in strip form.
    #[inline]
    pub(super) fn accumulator(&self, at: usize) -> isize {
        self.accumulators.at(at)
    }

    /// The results of a reduction's chunks, where a row has several.
    #[inline]
    pub(super) fn results(&self, at: usize) -> isize {
        self.results.at(at)
    }

    /// A row in float64, for reductions that need it whole.
    pub(super) fn whole_row(&self) -> isize {
        self.whole_row.at(0)
    }

    /// The packed row of an operand.
    pub(super) fn packed(&self, operand: usize) -> isize {
        self.packed.at(operand)
    }
}

/// Lays scratch out for batches of a kernel that keeps so many scalars; says how many bytes it is.
///
/// # Errors
/// More than can be addressed.
pub(super) fn lay_out(
    code: &RowCode,
    scalars: usize,
    row_length: usize,
    batch: usize,
    size: usize,
    packed: bool,
) -> Result<(Places, usize), OutOfMemory> {
    let overflow = OutOfMemory { bytes: usize::MAX };
    let strips = if code.form == Form::Span { 0 } else { TREE_DEPTH * batch };
    // Blocks, and up to three shorter chunks.
    let results = (row_length / BLOCK + 3).saturating_mul(batch);
    let row_bytes = row_length.checked_mul(batch * size).ok_or(overflow)?;
    let packed = if packed { code.varying.len() } else { 0 };
    let whole = code.takes_whole_rows;
    let whole_row_bytes = if whole { row_length.checked_mul(size_of::<f64>()).ok_or(overflow)? } else { 0 };
    let mut total = 0usize;
    let mut section = |count: usize, bytes: usize| {
        let section = Section { start: total, piece: round_up(bytes) };
        total = count.checked_mul(section.piece)?.checked_add(total)?;
        Some(section)
    };
    let mut sections = || {
        Some(Places {
            kept: section(code.homes.len(), row_bytes)?,
            scalars: section(scalars.max(1), batch * size)?,
            accumulators: section(code.most_reductions, strips * size)?,
            results: section(code.most_reductions, results.saturating_mul(size))?,
            packed: section(packed, row_bytes)?,
            whole_row: section(usize::from(whole), whole_row_bytes)?,
        })
    };
    let places = sections().ok_or(overflow)?;
    if total > isize::MAX as usize { Err(overflow) } else { Ok((places, total)) }
}
