//! The loops of the interpreter: one or more per op, per dtype, per level.
//!
//! Lanes go in chunks of one cache line: a tile is a whole number of chunks (`run` sees to that), so that loops have no
//! scalar tail. Arguments that are the same in every lane are read once and stay in a register. A loop asks first
//! whether what it writes overlaps what it reads, and is scalar if so: right, but slow, so planning gives results slots of
//! their own, and `run` lets values that replace an operand in place wait in scratch.
//!
//! These loops are a good part of what it takes to build this crate. So they have several forms ([`Form`]): for levels that
//! today's machines have, one for each mix of arguments that vary or not ([`Mixes`]); for lesser levels, one an op, over
//! blocks as long as a register, which the compiler has a fraction of the work with ([`Blocks`]); and for hosts below all levels
//! none, but a look at the op for each lane ([`LaneByLane`]).
//!
//! Loads and stores (`gather`, `scatter`, copies) know no ops, and the loops of ops know no layouts.
//!
//! The code of all levels is this one text. It is inlined into a function for each level that the level's features
//! are enabled for; the compiler does the rest.

use super::step::{Action, Step};
use super::transfer::{self, Transfer};
use crate::array::Dtype;
use crate::array::convert::Computed;
use crate::codegen::isa::Isa;
use crate::lane::{ACCUMULATOR_LANES, Lane, LaneBits, LaneOp, LaneVisitor, Layout, ReductionOperator, Shift};

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
    ($( $(#[$attribute:meta])* $f32:ident: $f32_form:ty, $f64:ident: $f64_form:ty; )*) => { $(
        $(#[$attribute])*
        unsafe fn $f32(steps: &[Step], places: &[*mut u8], lanes: usize) {
            // SAFETY: passed on to the caller.
            unsafe { run_steps::<f32, $f32_form, 16>(steps, places, lanes) }
        }
        $(#[$attribute])*
        unsafe fn $f64(steps: &[Step], places: &[*mut u8], lanes: usize) {
            // SAFETY: passed on to the caller.
            unsafe { run_steps::<f64, $f64_form, 8>(steps, places, lanes) }
        }
    )* };
}
#[cfg(not(target_arch = "x86_64"))]
levels! {
    baseline_f32: Mixes, baseline_f64: Mixes;
}
#[cfg(target_arch = "x86_64")]
levels! {
    // Hosts without SSE4.2, from before 2008.
    baseline_f32: LaneByLane, baseline_f64: LaneByLane;
    #[target_feature(enable = "sse4.2")]
    sse42_f32: Blocks<8>, sse42_f64: Blocks<4>;
    // Hosts that have FMA and not AVX2: one family of the years from 2012 to 2014.
    #[target_feature(enable = "avx,fma")]
    fma_f32: LaneByLane, fma_f64: LaneByLane;
    #[target_feature(enable = "avx2,fma")]
    avx2_f32: Mixes, avx2_f64: Mixes;
    #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512dq,avx512bw")]
    avx512_f32: Mixes, avx512_f64: Mixes;
}

/// The loops of a level for float32 and float64.
pub(super) fn loops(isa: Isa) -> (Loops, Loops) {
    #[cfg(target_arch = "x86_64")]
    match isa {
        // Rounding and selection take a single instruction from SSE4.1 on.
        Isa::Baseline if is_x86_feature_detected!("sse4.2") => return (sse42_f32, sse42_f64),
        Isa::Baseline => {}
        // The loops of AVX2 give the same bits; what a level without it is for is code of the other backends.
        Isa::AvxFma if !is_x86_feature_detected!("avx2") => return (fma_f32, fma_f64),
        Isa::AvxFma => return (avx2_f32, avx2_f64),
        Isa::Avx2 => return (avx2_f32, avx2_f64),
        Isa::Avx512 => return (avx512_f32, avx512_f64),
    }
    let _ = isa;
    (baseline_f32, baseline_f64)
}

/// The body of every level.
#[inline(always)]
unsafe fn run_steps<L: Lane + Computed, F: Form, const CHUNK: usize>(steps: &[Step], places: &[*mut u8], lanes: usize) {
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
                Action::Apply(LaneOp::Select) if step.uniform & 1 != 0 => sweep.choose::<L>(),
                Action::Apply(op) => F::apply::<L, CHUNK>(sweep, op),
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
                Action::Copy => sweep.copy::<L>(0),
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

/// How a level runs the loop of an op.
trait Form {
    /// # Safety
    /// Of `sweep`, what [`Loops`] asks for a step that applies `op`.
    unsafe fn apply<L: Lane, const CHUNK: usize>(sweep: Sweep<CHUNK>, op: LaneOp);
}

/// A loop for each mix of varying and uniform arguments, as fast as the compiler makes it.
struct Mixes;

impl Form for Mixes {
    #[inline(always)]
    unsafe fn apply<L: Lane, const CHUNK: usize>(sweep: Sweep<CHUNK>, op: LaneOp) {
        op.dispatch::<L, _>(Mixing(sweep));
    }
}

/// A loop an op, over blocks of so many lanes, a part of a chunk.
#[cfg(target_arch = "x86_64")]
struct Blocks<const BLOCK: usize>;

#[cfg(target_arch = "x86_64")]
impl<const BLOCK: usize> Form for Blocks<BLOCK> {
    #[inline(always)]
    unsafe fn apply<L: Lane, const CHUNK: usize>(sweep: Sweep<CHUNK>, op: LaneOp) {
        op.dispatch::<L, _>(Blocking::<CHUNK, BLOCK>(sweep));
    }
}

/// One loop for all ops, which asks what the op is for each lane.
#[cfg(target_arch = "x86_64")]
struct LaneByLane;

#[cfg(target_arch = "x86_64")]
impl Form for LaneByLane {
    #[inline(always)]
    unsafe fn apply<L: Lane, const CHUNK: usize>(sweep: Sweep<CHUNK>, op: LaneOp) {
        for lane in 0..sweep.chunks * CHUNK {
            // SAFETY: the caller's promise; of a uniform argument, the first lane.
            unsafe {
                let mut bits = [L::Bits::default(); 3];
                for (index, argument) in sweep.arguments.into_iter().enumerate().take(op.arguments().len()) {
                    let at = if sweep.uniform & 1 << index != 0 { 0 } else { lane };
                    bits[index] = argument.cast::<L::Bits>().add(at).read_unaligned();
                }
                sweep.out.cast::<L::Bits>().add(lane).write_unaligned(op.evaluate::<L>(bits));
            }
        }
    }
}

/// The visitor of [`Mixes`].
struct Mixing<const CHUNK: usize>(Sweep<CHUNK>);

impl<L: Lane, const CHUNK: usize> LaneVisitor<L> for Mixing<CHUNK> {
    type Output = ();

    /// The loop of an op, once for each mix of varying and uniform arguments that occurs: where all are uniform, one chunk is
    /// computed as if they varied; of two factors, say, the uniform one comes second.
    #[inline(always)]
    fn visit<const OP: u8, F: Fn(L::Bits, L::Bits, L::Bits) -> L::Bits + Copy>(self, meaning: F) {
        let mut sweep = self.0;
        debug_assert!(sweep.uniform & 7 != 7, "uniform steps take arguments as they come");
        if const { LaneOp::ALL[OP as usize].is_commutative() } && sweep.uniform & 3 == 1 {
            sweep.arguments.swap(0, 1);
            sweep.uniform ^= 3;
        }
        // SAFETY: whoever made this sweep vouches for its pointers.
        unsafe {
            if const { never_applied(LaneOp::ALL[OP as usize]) } {
                unreachable!("a step that planning leaves out");
            } else if const { LaneOp::ALL[OP as usize].arguments().len() == 1 } {
                sweep.mixed::<L, F, 0>(meaning)
            } else if const { LaneOp::ALL[OP as usize].arguments().len() == 2 } {
                match sweep.uniform & 3 {
                    0 => sweep.mixed::<L, F, 0>(meaning),
                    1 if const { !LaneOp::ALL[OP as usize].is_commutative() } => sweep.mixed::<L, F, 1>(meaning),
                    _ => sweep.mixed::<L, F, 2>(meaning),
                }
            } else {
                match sweep.uniform {
                    0 => sweep.mixed::<L, F, 0>(meaning),
                    2 => sweep.mixed::<L, F, 2>(meaning),
                    3 if const { OP != LaneOp::Select as u8 } => sweep.mixed::<L, F, 3>(meaning),
                    4 => sweep.mixed::<L, F, 4>(meaning),
                    _ => sweep.mixed::<L, F, 6>(meaning),
                }
            }
        }
    }
}

/// Ops that no step applies: reinterpretations are aliases, and of masks, whose bits are equal, bits are taken.
const fn never_applied(op: LaneOp) -> bool {
    matches!(op, LaneOp::ToBits | LaneOp::ToFloat | LaneOp::MaskAnd | LaneOp::MaskOr)
}

/// The visitor of [`Blocks`].
#[cfg(target_arch = "x86_64")]
struct Blocking<const CHUNK: usize, const BLOCK: usize>(Sweep<CHUNK>);

#[cfg(target_arch = "x86_64")]
impl<L: Lane, const CHUNK: usize, const BLOCK: usize> LaneVisitor<L> for Blocking<CHUNK, BLOCK> {
    type Output = ();

    /// out[i] = meaning(a[i], b[i], c[i]); of an argument marked uniform, its first block throughout.
    #[inline(always)]
    fn visit<const OP: u8, F: Fn(L::Bits, L::Bits, L::Bits) -> L::Bits + Copy>(self, meaning: F) {
        let Sweep { uniform, out, arguments: [a, b, c], chunks } = self.0;
        // What is below is code for each of some hundred loops: no closures, nothing for arguments past the arity.
        let mut out = out.cast::<[L::Bits; BLOCK]>();
        let (mut a, mut b, mut c) =
            (a.cast::<[L::Bits; BLOCK]>(), b.cast::<[L::Bits; BLOCK]>(), c.cast::<[L::Bits; BLOCK]>());
        let step_a = if uniform & 1 != 0 { 0 } else { 1 };
        let step_b = if uniform & 2 != 0 { 0 } else { 1 };
        let step_c = if uniform & 4 != 0 { 0 } else { 1 };
        for _ in 0..chunks * (CHUNK / BLOCK) {
            // SAFETY: whoever made this sweep vouches for its pointers: a uniform argument has one chunk, the others as many as
            // the loop reads. All of a block is read before any of it is written.
            unsafe {
                let first = a.read_unaligned();
                let second =
                    if const { LaneOp::ALL[OP as usize].arguments().len() > 1 } { b.read_unaligned() } else { first };
                let third =
                    if const { LaneOp::ALL[OP as usize].arguments().len() > 2 } { c.read_unaligned() } else { first };
                let mut results = [L::Bits::default(); BLOCK];
                for lane in 0..BLOCK {
                    results[lane] = meaning(first[lane], second[lane], third[lane]);
                }
                out.write_unaligned(results);
            }
            out = out.wrapping_add(1);
            a = a.wrapping_add(step_a);
            if const { LaneOp::ALL[OP as usize].arguments().len() > 1 } {
                b = b.wrapping_add(step_b);
            }
            if const { LaneOp::ALL[OP as usize].arguments().len() > 2 } {
                c = c.wrapping_add(step_c);
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

    /// out[i] = a[i], of argument `argument`.
    #[inline(always)]
    unsafe fn copy<L: Lane>(mut self, argument: usize) {
        self.arguments[0] = self.arguments[argument];
        // SAFETY: the caller's promise.
        unsafe {
            if self.uniform >> argument & 1 != 0 {
                let value = self.first::<L>(0);
                let out = self.out.cast::<L::Bits>();
                for lane in 0..self.chunks * CHUNK {
                    out.add(lane).write_unaligned(value);
                }
            } else {
                self.unary::<L, _>(
                    #[inline(always)]
                    |a| a,
                );
            }
        }
    }

    /// out[i] = b[i] or c[i], as one mask for all lanes says.
    #[inline(always)]
    unsafe fn choose<L: Lane>(self) {
        // SAFETY: the caller's promise.
        unsafe { self.copy::<L>(if self.first::<L>(0) != L::Bits::default() { 1 } else { 2 }) };
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
