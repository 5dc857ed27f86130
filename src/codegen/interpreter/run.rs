//! Walks spans and tiles.
//!
//! What a call works in (uniform values, accumulators, tile slots, copies of operands, the table of pointers) is scratch that
//! the caller brings, and as large as the plan says; a call allocates nothing. It begins with anything in it: every byte
//! that is read was written by the call.
//!
//! A tile whose length is no whole number of chunks, the last of a span, runs on padded copies of its contiguous
//! operands, so that the loops know no tails. BlockCyclic operands are copied for every tile, so that the loops know no groups.

use super::kernels::{self, Loops};
use super::plan::Plan;
use super::step::CHUNK_BYTES;
use crate::array::ComputeDtype;
use crate::codegen::backend::Code;
use crate::codegen::isa::Isa;
use crate::lane::{ACCUMULATOR_LANES, CYCLE, Lane, Layout, OperandArgument, ReductionOperator, Role, combine_lanes};

/// A pass ready to be interpreted.
#[derive(Debug)]
pub(super) struct Interpreted {
    plan: Plan,
    loops: Loops,
    isa: Isa,
    /// The plan's constants, a chunk of equal elements each.
    constants: Vec<Chunk>,
}

/// A cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Chunk([u8; CHUNK_BYTES]);

/// Chunks of padding after each row of scratch, so that rows do not lie a multiple of 4096 bytes apart, which the
/// store buffer mistakes for the same place.
const ROW_PADDING: usize = 1;

/// Chunks of an accumulator's lanes, for the wider dtype.
const ACCUMULATOR_CHUNKS: usize = ACCUMULATOR_LANES * size_of::<f64>() / CHUNK_BYTES;

impl Interpreted {
    /// `isa` is a level of the host.
    pub(super) fn new(plan: Plan, isa: Isa) -> Interpreted {
        let (f32, f64) = kernels::loops(isa);
        let (loops, size) = match plan.dtype {
            ComputeDtype::F32 => (f32, 4),
            ComputeDtype::F64 => (f64, 8),
        };
        let constants = plan.constants.iter().map(|bits| {
            let mut chunk = Chunk([0; CHUNK_BYTES]);
            for element in chunk.0.chunks_exact_mut(size) {
                match plan.dtype {
                    ComputeDtype::F32 => element.copy_from_slice(&(*bits as u32).to_ne_bytes()),
                    ComputeDtype::F64 => element.copy_from_slice(&bits.to_ne_bytes()),
                }
            }
            chunk
        });
        let constants = constants.collect();
        Interpreted { plan, loops, isa, constants }
    }

    /// Chunks of scratch; the table of pointers lies behind them.
    fn chunks(&self) -> usize {
        let plan = &self.plan;
        let rows = plan.slots + plan.operands.len();
        plan.uniforms + plan.operands.len() * ACCUMULATOR_CHUNKS + rows * self.row_chunks()
    }

    /// # Safety
    /// As for [`Code::run_in`].
    unsafe fn interpret(&self, base: *mut u8, operands: &[OperandArgument], span: usize, outer: usize) {
        let plan = &self.plan;
        let size = plan.dtype.size();
        let row = self.row_chunks();
        // All of scratch is reached through this one pointer.
        let at = |chunk: usize| base.wrapping_add(chunk * CHUNK_BYTES);
        // SAFETY: the caller's promise: the table is the part of scratch behind its chunks, and null pointers are pointers.
        let places: &mut [*mut u8] = unsafe {
            let table = at(self.chunks()).cast::<*mut u8>();
            table.write_bytes(0, plan.places());
            std::slice::from_raw_parts_mut(table, plan.places())
        };

        let accumulators = plan.uniforms;
        let slots = accumulators + plan.operands.len() * ACCUMULATOR_CHUNKS;
        let staged = slots + plan.slots * row;
        for (index, argument) in operands.iter().enumerate() {
            places[plan.strides_at() + index] = (&raw const argument.stride).cast_mut().cast();
            places[plan.accumulators_at() + index] = at(accumulators + index * ACCUMULATOR_CHUNKS);
        }
        for (index, constant) in self.constants.iter().enumerate() {
            // Only read.
            places[plan.constants_at() + index] = (&raw const *constant).cast_mut().cast();
        }
        for index in 0..plan.uniforms {
            places[plan.uniforms_at() + index] = at(index);
        }
        for index in 0..plan.slots {
            places[plan.slots_at() + index] = at(slots + index * row);
        }

        for turn in 0..outer {
            let span_start = |index: usize| {
                let argument: &OperandArgument = &operands[index];
                argument.pointer.wrapping_offset(argument.outer_stride.wrapping_mul(turn as isize))
            };
            for (index, operand) in plan.operands.iter().enumerate() {
                places[index] = span_start(index);
                if let Some(combine) = operand.combine {
                    let lanes = places[plan.accumulators_at() + index];
                    // SAFETY: the accumulator's chunks in scratch hold the lanes of either dtype.
                    unsafe {
                        match plan.dtype {
                            ComputeDtype::F32 => {
                                lanes.cast::<[f32; ACCUMULATOR_LANES]>().write([combine.identity(); ACCUMULATOR_LANES])
                            }
                            ComputeDtype::F64 => {
                                lanes.cast::<[f64; ACCUMULATOR_LANES]>().write([combine.identity(); ACCUMULATOR_LANES])
                            }
                        }
                    }
                }
            }
            if span > 0 {
                // SAFETY: the host has the level. The uniform steps read broadcast operands' elements, constants and
                // uniform values, and write uniform values, a chunk each.
                unsafe { (self.loops)(&plan.uniform_steps, places, 1) };
            }
            // A step that replaces an operand in place would run its loop lane by lane: the result waits in scratch.
            let in_place = |index: usize| {
                let same =
                    |&(written, read): &(usize, usize)| written == index && span_start(written) == span_start(read);
                plan.met.iter().any(same)
            };
            let group = ACCUMULATOR_LANES * size;
            let gap = |layout: Layout| if layout == Layout::BlockCyclic { (CYCLE - 1) * group } else { 0 };
            let mut start = 0;
            while start < span {
                let lanes = plan.tile.min(span - start);
                let ragged = !(lanes * size).is_multiple_of(CHUNK_BYTES);
                let bytes = lanes * size;
                for (index, operand) in plan.operands.iter().enumerate() {
                    let step =
                        if operand.layout == Layout::Strided { operands[index].stride } else { operand.size as isize };
                    let steps = operand.layout.place(start) as isize;
                    let here = span_start(index).wrapping_offset(step.wrapping_mul(steps));
                    places[index] = here;
                    let apart = operand.layout == Layout::BlockCyclic && lanes > ACCUMULATOR_LANES;
                    let copied = match (operand.layout, operand.role) {
                        _ if !operand.is_plain => false,
                        (Layout::Broadcast | Layout::Strided, _) => false,
                        (_, Role::Accumulate | Role::Prefetch) => false,
                        (_, Role::Write) => ragged || apart || in_place(index),
                        (_, Role::Read) => ragged || apart,
                    };
                    if copied {
                        let copy = at(staged + index * row);
                        if operand.role == Role::Read {
                            // SAFETY: the operand has `lanes` elements from here on; the row has a tile's, and the
                            // rest of its last chunk. Zeros there: what is computed on them is never looked at.
                            unsafe {
                                copy.add(bytes / CHUNK_BYTES * CHUNK_BYTES).write_bytes(0, CHUNK_BYTES);
                                copy_pieces((here, gap(operand.layout)), (copy, 0), bytes, group);
                            }
                        }
                        places[index] = copy;
                    }
                }
                // SAFETY: the host has the level. Contiguous operands have whole chunks from here on, or are copies
                // that do; strided ones have `lanes` elements; slots have room for a tile. Operands overlap, if at all,
                // element for element; slots are apart from all.
                unsafe { (self.loops)(&plan.steps, places, lanes) };
                for (index, operand) in plan.operands.iter().enumerate() {
                    let copy = at(staged + index * row);
                    if operand.role == Role::Write && operand.is_plain && places[index] == copy {
                        let here = span_start(index).wrapping_add(operand.layout.place(start) * size);
                        // SAFETY: the operand has `lanes` elements from here on, and so has its copy.
                        unsafe { copy_pieces((copy, 0), (here, gap(operand.layout)), bytes, group) };
                    }
                }
                start += lanes;
            }
            for (index, operand) in plan.operands.iter().enumerate() {
                if let Some(combine) = operand.combine {
                    let lanes = places[plan.accumulators_at() + index];
                    // SAFETY: the lanes are where they were filled; the operand has an element, by the caller's promise.
                    unsafe {
                        match plan.dtype {
                            ComputeDtype::F32 => finish::<f32>(combine, lanes, span_start(index)),
                            ComputeDtype::F64 => finish::<f64>(combine, lanes, span_start(index)),
                        }
                    }
                }
            }
        }
    }

    /// Chunks from one row of scratch to the next.
    fn row_chunks(&self) -> usize {
        self.plan.tile * self.plan.dtype.size() / CHUNK_BYTES + ROW_PADDING
    }
}

/// Copies `bytes` bytes, `piece` at a time, between places of which each has a gap after every piece.
///
/// # Safety
/// All pieces at `from` are valid for reads, those at `to` for writes; none overlaps another.
unsafe fn copy_pieces(from: (*const u8, usize), to: (*mut u8, usize), bytes: usize, piece: usize) {
    if from.1 == 0 && to.1 == 0 {
        // SAFETY: the caller's promise.
        return unsafe { to.0.copy_from_nonoverlapping(from.0, bytes) };
    }
    let mut done = 0;
    for at in 0..bytes.div_ceil(piece) {
        let (from, to) = (from.0.wrapping_add(done + at * from.1), to.0.wrapping_add(done + at * to.1));
        let length = piece.min(bytes - done);
        // SAFETY: the caller's promise.
        unsafe { to.copy_from_nonoverlapping(from, length) };
        done += length;
    }
}

/// Writes the combination of an accumulator's lanes to `to`.
///
/// # Safety
/// `lanes` holds the lanes, aligned; `to` is valid for the write of an element.
unsafe fn finish<L: Lane>(combine: ReductionOperator, lanes: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        let lanes = lanes.cast::<[L; ACCUMULATOR_LANES]>().read();
        to.cast::<L>().write_unaligned(combine_lanes(combine, lanes));
    }
}

impl Code for Interpreted {
    fn scratch_bytes(&self) -> usize {
        self.chunks() * CHUNK_BYTES + self.plan.places() * size_of::<*mut u8>()
    }

    unsafe fn run_in(&self, operands: &[OperandArgument], span: usize, outer: usize, scratch: *mut u8) {
        assert_eq!(operands.len(), self.plan.operands.len(), "one argument for each operand of the pass");
        // SAFETY: passed on to the caller.
        unsafe { self.interpret(scratch, operands, span, outer) };
    }

    fn code_size(&self) -> usize {
        0
    }

    fn intermediate(&self) -> Option<String> {
        Some(format!("interpreter {}, tiles of {} lanes\n{}", self.isa, self.plan.tile, self.plan))
    }
}
