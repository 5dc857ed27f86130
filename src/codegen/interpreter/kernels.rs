//! The loops of the interpreter: one per op, per mix of arguments that vary or not, per dtype, per level.
//!
//! Lanes go in chunks of one cache line: a tile is a whole number of chunks (`run` sees to that), so that loops have no
//! scalar tail. Arguments that are the same in every lane are read once and stay in a register. A loop asks first
//! whether what it writes overlaps what it reads, and is scalar if so: right, but slow, so planning gives results slots of
//! their own, and `run` lets values that replace an operand in place wait in scratch.
//!
//! The code of all levels is this one text. It is inlined into a function for each level that the level's features
//! are enabled for; the compiler does the rest.

use super::step::{Action, Step};
use super::transfer::{self, Transfer};
use crate::array::Dtype;
use crate::array::convert::Computed;
use crate::codegen::isa::Isa;
use crate::lane::{ACCUMULATOR_LANES, Lane, LaneBits, LaneVisitor, Layout, ReductionOperator, Shift};

/// Runs `steps` on the first `lanes` lanes of the places they name.
///
/// # Safety
/// The host has the level the function was taken for by [`loops`]. Each place named by a step is a pointer into
/// `places`: to whole chunks for `lanes` lanes, readable or writable as the step needs; for an argument marked uniform, to
/// one chunk; for a stride, to an `isize`; for an accumulator, to its lanes; for [`Action::Gather`],
/// [`Action::Scatter`], [`Action::Load`], [`Action::Store`] and those of bits, to the first of `lanes` elements so far apart; for [`Action::Splat`], to one element. Ranges of two places
/// of one step are equal or apart.
pub(super) type Loops = unsafe fn(steps: &[Step], places: &[*mut u8], lanes: usize);

macro_rules! levels {
    ($( $(#[$feature:meta])* $f32:ident, $f64:ident; )*) => { $(
        $(#[$feature])*
        unsafe fn $f32(steps: &[Step], places: &[*mut u8], lanes: usize) {
            // SAFETY: passed on to the caller.
            unsafe { run_steps::<f32, 16>(steps, places, lanes) }
        }
        $(#[$feature])*
        unsafe fn $f64(steps: &[Step], places: &[*mut u8], lanes: usize) {
            // SAFETY: passed on to the caller.
            unsafe { run_steps::<f64, 8>(steps, places, lanes) }
        }
    )* };
}
levels! {
    baseline_f32, baseline_f64;
}
#[cfg(target_arch = "x86_64")]
levels! {
    #[target_feature(enable = "sse4.2")]
    sse42_f32, sse42_f64;
    #[target_feature(enable = "avx,fma")]
    avx_fma_f32, avx_fma_f64;
    #[target_feature(enable = "avx2,fma")]
    avx2_f32, avx2_f64;
    #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
    avx512_f32, avx512_f64;
}

/// The loops of a level for float32 and float64.
pub(super) fn loops(isa: Isa) -> (Loops, Loops) {
    #[cfg(target_arch = "x86_64")]
    match isa {
        // Rounding and selection take a single instruction from SSE4.1 on.
        Isa::Baseline if is_x86_feature_detected!("sse4.2") => return (sse42_f32, sse42_f64),
        Isa::Baseline => {}
        Isa::AvxFma => return (avx_fma_f32, avx_fma_f64),
        Isa::Avx2 => return (avx2_f32, avx2_f64),
        Isa::Avx512 => return (avx512_f32, avx512_f64),
    }
    let _ = isa;
    (baseline_f32, baseline_f64)
}

/// The body of every level.
#[inline(always)]
unsafe fn run_steps<L: Lane + Computed, const CHUNK: usize>(steps: &[Step], places: &[*mut u8], lanes: usize) {
    let chunks = lanes.div_ceil(CHUNK);
    for step in steps {
        let place = |index: u32| places[index as usize];
        let sweep = Sweep::<CHUNK> {
            uniform: step.uniform,
            out: place(step.out),
            arguments: [place(step.a), place(step.b), place(step.c)],
            chunks,
        };
        // SAFETY: what the caller promises of places is what each of these asks for.
        unsafe {
            match step.action {
                Action::Apply(op) => op.dispatch::<L, _>(sweep),
                Action::Shift(Shift::Left) => {
                    let count = sweep.first::<L>(1).extend() as u32;
                    sweep.unary::<L, _>(
                        #[inline(always)]
                        |a| a.left(count),
                    );
                }
                Action::Shift(Shift::Right) => {
                    let count = sweep.first::<L>(1).extend() as u32;
                    sweep.unary::<L, _>(
                        #[inline(always)]
                        |a| a.right(count),
                    );
                }
                Action::Horner(count) => sweep.horner::<L>(count as usize),
                Action::Splat => {
                    let value = sweep.first::<L>(0);
                    sweep.write::<L>(0, [value; CHUNK]);
                }
                Action::Copy if step.uniform != 0 => {
                    let value = sweep.first::<L>(0);
                    let out = sweep.out.cast::<L::Bits>();
                    for lane in 0..chunks * CHUNK {
                        out.add(lane).write_unaligned(value);
                    }
                }
                Action::Copy => sweep.unary::<L, _>(
                    #[inline(always)]
                    |a| a,
                ),
                Action::Gather => sweep.gather::<L>(lanes),
                Action::Scatter => sweep.scatter::<L>(lanes, step.uniform & 1 != 0),
                Action::Load(dtype, layout) | Action::LoadBits(dtype, layout) => {
                    let broadcast = layout == Layout::Broadcast;
                    let count = if broadcast { 1 } else { lanes };
                    let transfer = sweep.transfer(dtype, layout, place(step.a), sweep.out, count);
                    if matches!(step.action, Action::Load(..)) {
                        transfer::load::<L>(transfer);
                    } else {
                        transfer::load_bits::<L>(transfer);
                    }
                    if broadcast {
                        transfer::repeat::<L>(sweep.out, CHUNK);
                    } else {
                        transfer::clear::<L>(sweep.out, count, chunks * CHUNK);
                    }
                }
                Action::Store(dtype, layout) => {
                    let transfer = sweep.transfer(dtype, layout, sweep.out, place(step.a), lanes);
                    transfer::store::<L>(transfer, step.uniform & 1 != 0);
                }
                Action::StoreBits(dtype, layout) => {
                    let transfer = sweep.transfer(dtype, layout, sweep.out, place(step.a), lanes);
                    transfer::store_bits::<L>(transfer, step.uniform & 1 != 0);
                }
                Action::Accumulate(combine) => {
                    let uniform = step.uniform != 0;
                    match combine {
                        ReductionOperator::Sum => sweep.accumulate::<L>(ReductionOperator::Sum, lanes, uniform),
                        ReductionOperator::Max => sweep.accumulate::<L>(ReductionOperator::Max, lanes, uniform),
                        ReductionOperator::Min => sweep.accumulate::<L>(ReductionOperator::Min, lanes, uniform),
                    }
                }
            }
        }
    }
}

/// One step about to run. Made only in [`run_steps`], whose caller vouches for the pointers.
#[derive(Clone, Copy)]
struct Sweep<const CHUNK: usize> {
    uniform: u8,
    out: *mut u8,
    arguments: [*mut u8; 3],
    chunks: usize,
}

impl<L: Lane, const CHUNK: usize> LaneVisitor<L> for Sweep<CHUNK> {
    type Output = ();

    /// The loop of an op, once for each mix of varying and uniform arguments that occurs: where all are uniform, one chunk is
    /// computed as if they varied. Arguments past the arity repeat the first.
    #[inline(always)]
    fn visit<const ARITY: usize, F: Fn(L::Bits, L::Bits, L::Bits) -> L::Bits + Copy>(self, meaning: F) {
        debug_assert!(self.uniform & 7 != 7, "uniform steps take arguments as they come");
        // SAFETY: whoever made this sweep vouches for its pointers.
        unsafe {
            match (ARITY, self.uniform) {
                (1, _) | (_, 0) => self.mixed::<L, F, 0>(meaning),
                (2, uniform) if uniform & 1 != 0 => self.mixed::<L, F, 1>(meaning),
                (2, _) | (_, 2) => self.mixed::<L, F, 2>(meaning),
                (_, 1) => self.mixed::<L, F, 1>(meaning),
                (_, 3) => self.mixed::<L, F, 3>(meaning),
                (_, 4) => self.mixed::<L, F, 4>(meaning),
                (_, 5) => self.mixed::<L, F, 5>(meaning),
                (_, _) => self.mixed::<L, F, 6>(meaning),
            }
        }
    }
}

impl<const CHUNK: usize> Sweep<CHUNK> {
    /// out[i] = meaning(a[i], b[i], c[i]); where a bit of `UNIFORM` is set, of the first element throughout.
    #[inline(always)]
    unsafe fn mixed<L: Lane, F: Fn(L::Bits, L::Bits, L::Bits) -> L::Bits, const UNIFORM: u8>(self, meaning: F) {
        let out = self.out.cast::<L::Bits>();
        // One by one: a closure here would be code for each of some hundred loops.
        let [a, b, c] = self.arguments;
        let (a, b, c) = (a.cast::<L::Bits>(), b.cast::<L::Bits>(), c.cast::<L::Bits>());
        // SAFETY: the caller's promise; a uniform argument has one chunk, the others as many as the loop reads.
        unsafe {
            let (first_a, first_b, first_c) = (a.read_unaligned(), b.read_unaligned(), c.read_unaligned());
            for lane in 0..self.chunks * CHUNK {
                let a = if UNIFORM & 1 != 0 { first_a } else { a.add(lane).read_unaligned() };
                let b = if UNIFORM & 2 != 0 { first_b } else { b.add(lane).read_unaligned() };
                let c = if UNIFORM & 4 != 0 { first_c } else { c.add(lane).read_unaligned() };
                out.add(lane).write_unaligned(meaning(a, b, c));
            }
        }
    }

    /// out[i] = meaning(a[i]).
    #[inline(always)]
    unsafe fn unary<L: Lane, F: Fn(L::Bits) -> L::Bits>(self, meaning: F) {
        let (out, a) = (self.out.cast::<L::Bits>(), self.arguments[0].cast::<L::Bits>());
        for lane in 0..self.chunks * CHUNK {
            // SAFETY: the caller's promise.
            unsafe { out.add(lane).write_unaligned(meaning(a.add(lane).read_unaligned())) };
        }
    }

    /// Horner's rule with the sums of several chunks in registers.
    #[inline(always)]
    unsafe fn horner<L: Lane>(self, count: usize) {
        const TOGETHER: usize = 4;
        // SAFETY: the caller's promise; constants are a chunk each, `count` of them side by side.
        unsafe {
            let mut chunk = 0;
            while chunk + TOGETHER <= self.chunks {
                self.horner_block::<L, TOGETHER>(chunk, count);
                chunk += TOGETHER;
            }
            while chunk < self.chunks {
                self.horner_block::<L, 1>(chunk, count);
                chunk += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn horner_block<L: Lane, const TOGETHER: usize>(self, chunk: usize, count: usize) {
        // SAFETY: as above.
        unsafe {
            let mut sums = [[L::Bits::default(); CHUNK]; TOGETHER];
            let mut factors = sums;
            for k in 0..TOGETHER {
                sums[k] = if self.uniform & 1 != 0 { self.read::<L>(0, 0) } else { self.read::<L>(0, chunk + k) };
                factors[k] = self.read::<L>(1, chunk + k);
            }
            for index in 0..count {
                let constant = self.read::<L>(2, index);
                for k in 0..TOGETHER {
                    for lane in 0..CHUNK {
                        let (sum, factor) = (L::float(sums[k][lane]), L::float(factors[k][lane]));
                        sums[k][lane] = L::fused(sum, factor, L::float(constant[lane])).bits();
                    }
                }
            }
            for (k, sum) in sums.into_iter().enumerate() {
                self.write::<L>(chunk + k, sum);
            }
        }
    }

    #[inline(always)]
    unsafe fn gather<L: Lane>(self, lanes: usize) {
        // SAFETY: the caller's promise: b is a stride, a the first of `lanes` elements.
        unsafe {
            let stride = self.arguments[1].cast::<isize>().read_unaligned();
            for lane in 0..lanes {
                let from = self.arguments[0].wrapping_offset(stride.wrapping_mul(lane as isize));
                let bits = from.cast::<L::Bits>().read_unaligned();
                self.out.cast::<L::Bits>().add(lane).write_unaligned(bits);
            }
            // What is computed on the rest of the last chunk is never looked at; zeros cost no more than any other.
            for lane in lanes..self.chunks * CHUNK {
                self.out.cast::<L::Bits>().add(lane).write_unaligned(L::Bits::default());
            }
        }
    }

    #[inline(always)]
    unsafe fn scatter<L: Lane>(self, lanes: usize, uniform: bool) {
        // SAFETY: the caller's promise: b is a stride, `out` the first of `lanes` elements.
        unsafe {
            let stride = self.arguments[1].cast::<isize>().read_unaligned();
            for lane in 0..lanes {
                let from = if uniform { 0 } else { lane };
                let bits = self.arguments[0].cast::<L::Bits>().add(from).read_unaligned();
                let to = self.out.wrapping_offset(stride.wrapping_mul(lane as isize));
                to.cast::<L::Bits>().write_unaligned(bits);
            }
        }
    }

    /// A conversion between an operand and lanes; b is the operand's stride.
    #[inline(always)]
    unsafe fn transfer(
        &self,
        dtype: Dtype,
        layout: Layout,
        operand: *mut u8,
        lanes: *mut u8,
        count: usize,
    ) -> Transfer {
        // SAFETY: the caller's promise: b is a stride.
        let stride = unsafe { self.arguments[1].cast::<isize>().read_unaligned() };
        Transfer { dtype, layout, operand, stride, lanes, count }
    }

    /// Takes exactly `lanes` lanes into the accumulator's lanes at `out`, in ascending order.
    #[inline(always)]
    unsafe fn accumulate<L: Lane>(self, combine: ReductionOperator, lanes: usize, uniform: bool) {
        // SAFETY: the caller's promise: `out` has the accumulator's lanes; a uniform argument is a chunk, which is why it is read
        // by its first element alone.
        unsafe {
            let accumulator = self.out.cast::<[L::Bits; ACCUMULATOR_LANES]>();
            let mut sums = accumulator.read_unaligned();
            let first = self.first::<L>(0);
            let values = self.arguments[0].cast::<L::Bits>();
            let take = |sum: L::Bits, value: L::Bits| combine.apply(L::float(sum), L::float(value)).bits();
            let mut lane = 0;
            while lane + ACCUMULATOR_LANES <= lanes {
                let values = if uniform {
                    [first; ACCUMULATOR_LANES]
                } else {
                    values.add(lane).cast::<[L::Bits; ACCUMULATOR_LANES]>().read_unaligned()
                };
                for k in 0..ACCUMULATOR_LANES {
                    sums[k] = take(sums[k], values[k]);
                }
                lane += ACCUMULATOR_LANES;
            }
            for (k, sum) in sums.iter_mut().enumerate().take(lanes - lane) {
                let value = if uniform { first } else { values.add(lane + k).read_unaligned() };
                *sum = take(*sum, value);
            }
            accumulator.write_unaligned(sums);
        }
    }

    /// The first element of an argument.
    #[inline(always)]
    unsafe fn first<L: Lane>(&self, argument: usize) -> L::Bits {
        // SAFETY: the caller's promise: every argument has an element.
        unsafe { self.arguments[argument].cast::<L::Bits>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn read<L: Lane>(&self, argument: usize, chunk: usize) -> [L::Bits; CHUNK] {
        // SAFETY: the caller's promise: the argument has more than `chunk` chunks.
        unsafe { self.arguments[argument].cast::<[L::Bits; CHUNK]>().add(chunk).read_unaligned() }
    }

    #[inline(always)]
    unsafe fn write<L: Lane>(&self, chunk: usize, values: [L::Bits; CHUNK]) {
        // SAFETY: the caller's promise: `out` has more than `chunk` chunks.
        unsafe { self.out.cast::<[L::Bits; CHUNK]>().add(chunk).write_unaligned(values) }
    }
}
