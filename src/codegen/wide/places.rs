//! Where things are while a pass runs: operands, lanes of accumulators, blocks of spans.

use super::frame::Frame;
use super::target::Target;
use crate::lane::Layout;
use iced_x86::Register;

/// Where the pointer of an operand is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pointer {
    Register(Register),
    Slot(i32),
}

/// Where an operand is while the pass runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct OperandPlace {
    pub(super) layout: Layout,
    /// Bytes of an element.
    pub(super) size: usize,
    /// The current pointer: of the span's start, but walking along with the loop if strided.
    pub(super) pointer: Pointer,
    /// Slot of the span's start, if the pointer walks.
    pub(super) start: i32,
    /// Slot of the stride in bytes, if strided.
    pub(super) stride: i32,
    /// Slot of the bytes one gather or scatter advances, if strided.
    pub(super) step: i32,
    /// Slot of the vector of lane offsets, if strided.
    pub(super) offsets: i32,
}

/// Where an accumulator is while the pass runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct AccumulatorPlace {
    /// The slot of its lanes.
    pub(super) slot: i32,
    /// The first of the registers that hold its lanes in the main loop, if they do.
    pub(super) registers: Option<u8>,
    /// The register that collects, in the main loop, where a NaN was met.
    pub(super) met_nan: Option<u8>,
}

/// Lines that an iteration of the main loop fetches: those of one body of a cyclic operand that is only prefetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched {
    pub(super) operand: usize,
    pub(super) body: usize,
}

/// Where an accumulator's elements go: the slot of the pointer to the current span's, and where an argument has the distance to
/// the next one's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) pointer: i32,
    pub(super) outer_stride: i32,
}

/// Where the vectors of a pass's spans are collected.
#[derive(Debug)]
pub(super) struct Blocks {
    /// Slot of the number of bytes that a block holds so far; −1 where too few spans are left for one.
    pub(super) filled: i32,
    /// For each accumulator, the slot of the vectors.
    pub(super) vectors: Vec<i32>,
}

/// What blocks may take of the frame, so that it fits the stack.
const MOST_BYTES: usize = 3 << 10;

impl Blocks {
    /// Blocks for so many accumulators, unless there are none, or too many.
    pub(super) fn place(frame: &mut Frame, target: Target, accumulators: usize) -> Option<Blocks> {
        let bytes = block_bytes(target);
        (1..=MOST_BYTES / bytes).contains(&accumulators).then(|| Blocks {
            filled: frame.word(),
            vectors: (0..accumulators).map(|_| frame.slot(bytes, target.vector_bytes())).collect(),
        })
    }
}

/// A vector for each lane of a vector.
pub(super) fn block_bytes(target: Target) -> usize {
    target.lanes() * target.vector_bytes()
}
