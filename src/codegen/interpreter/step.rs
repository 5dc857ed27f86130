//! Steps: what planning writes and the loops read.

use crate::array::Dtype;
use crate::lane::{LaneOp, Layout, ReductionOperator, Shift};

/// Bytes of a chunk, a cache line: loops take whole chunks.
pub(super) const CHUNK_BYTES: usize = 64;

/// What a step does. `out`, `a`, `b`, `c` are those of [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The op on a, b, c.
    Apply(LaneOp),
    /// a shifted by the integer b.
    Shift(Shift),
    /// As many fused multiply-adds as said: out = a, then out · b + each constant from c on.
    Horner(u32),
    /// Fills one chunk of `out` with the first element of a.
    Splat,
    /// Copies a.
    Copy,
    /// Collects elements from a, b[0] bytes apart.
    Gather,
    /// Spreads a to elements b[0] bytes apart.
    Scatter,
    /// Converts elements of operand a, b[0] bytes apart if strided, to lanes.
    Load(Dtype, Layout),
    /// Converts lanes a to elements of the operand `out`, b[0] bytes apart if strided.
    Store(Dtype, Layout),
    /// Takes the bits of elements as lanes, zeros above; otherwise as [`Action::Load`].
    LoadBits(Dtype, Layout),
    /// Writes the low bits of lanes to elements; otherwise as [`Action::Store`].
    StoreBits(Dtype, Layout),
    /// Takes a into the accumulator `out`.
    Accumulate(ReductionOperator),
}

/// One loop over a tile. Places are indices into the table of pointers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    /// Bit k set: argument k is the same in every lane, its place holds one chunk of equal elements.
    pub(super) uniform: u8,
    pub(super) out: u32,
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) c: u32,
}
