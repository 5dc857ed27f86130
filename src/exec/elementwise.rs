//! Elementwise kernels: one pass over the whole domain.
//!
//! The domain's dimensions merge as far as strides allow. The innermost is the span, the next the dimension around it,
//! which the code walks itself; what is left is walked here.

use super::compiled::{CompiledPlan, Layouts, Position};
use super::operands::{self, AlignedOperand, Dimension, LoopNest, Storage};
use super::scratch::round_up;
use super::threads::Threads;
use crate::codegen::Code;
use crate::codegen::write::{Form, OperandBinding};
use crate::compile::Compiler;
use crate::lane::{OperandArgument, Role};
use crate::plan::{KernelPlan, Slot};
use smallvec::SmallVec;
use std::sync::Arc;

/// A span shorter than this is given up for a longer dimension, if there is one of [`LONG_SPAN`]: gathering lanes is then
/// cheaper than a loop of its own for each few elements.
const SHORT_SPAN: usize = 4;
const LONG_SPAN: usize = 16;

/// The loops of an elementwise kernel over arrays of certain layouts.
pub(crate) struct ElementwiseLoops {
    code: Arc<dyn Code>,
    /// The dimensions; the last is the span.
    nest: LoopNest,
    /// How many threads share them.
    parts: usize,
    /// Bytes of scratch that one thread needs.
    scratch_bytes: usize,
}

/// Binds an elementwise kernel to aligned operands (its sources, then its sinks) of some dtypes. With the loops come the operands of the
/// code, as places in `aligned`. `None` if there are no elements.
pub(crate) fn bind(
    compiler: &Compiler,
    compiled: &CompiledPlan,
    kernel: usize,
    sizes: &[usize],
    (aligned, storage): (&[AlignedOperand], &Storage),
    parts: usize,
) -> Option<(Box<ElementwiseLoops>, SmallVec<[usize; 8]>)> {
    let plan = &compiled.plan.kernels[kernel];
    let place = |slot: &Slot| operand_of(plan, *slot);
    let slots = &plan.stages[0].row_pass.slots;
    let own: SmallVec<[AlignedOperand; 8]> = slots.iter().map(|slot| aligned[place(slot)]).collect();
    let leader = slots.iter().position(|slot| matches!(slot, Slot::Sink(_)));
    let mut nest = operands::nest(&plan.domain, sizes, 0..plan.domain.len(), &own, leader)?;
    if nest.is_empty() {
        nest.push(Dimension { length: 1, strides: SmallVec::from_elem(0, own.len()) });
    }
    lengthen_span(&mut nest);
    let span = &nest[nest.len() - 1];
    let layout = |(at, stride): (usize, &isize)| {
        let size = storage[place(&slots[at])].size();
        match slots[at] {
            Slot::Source(source) => {
                let number = plan.sources[source].dimensions.is_empty();
                operands::layout(Role::Read, *stride, span.length, size, number)
            }
            _ => operands::layout(Role::Write, *stride, span.length, size, false),
        }
    };
    let layouts: Layouts = span.strides.iter().enumerate().map(layout).collect();
    let pass = compiled.pass(compiler, (kernel, 0), Position::Row, Form::Span, &layouts, storage);
    let operands = pass
        .bindings
        .iter()
        .map(|binding| match binding {
            OperandBinding::Slot { slot, .. } => place(slot),
            _ => unreachable!("an elementwise pass has slots only"),
        })
        .collect();
    let code = pass.compiled.code.clone();
    let scratch_bytes = round_up(code.scratch_bytes());
    Some((Box::new(ElementwiseLoops { code, nest, parts, scratch_bytes }), operands))
}

/// Where a slot's array is among a kernel's operands: its sources, then its sinks.
fn operand_of(plan: &KernelPlan, slot: Slot) -> usize {
    match slot {
        Slot::Source(at) => at,
        Slot::Sink(at) => plan.sources.len() + at,
        _ => unreachable!("an elementwise kernel has sources and sinks only"),
    }
}

/// Swaps a very short span for a longer dimension.
fn lengthen_span(nest: &mut LoopNest) {
    let last = nest.len() - 1;
    if nest[last].length >= SHORT_SPAN {
        return;
    }
    if let Some(longest) = (0..last).max_by_key(|at| nest[*at].length)
        && nest[longest].length >= LONG_SPAN
    {
        let span = nest.remove(longest);
        nest.push(span);
    }
}

impl ElementwiseLoops {
    /// Runs the loops over operands that begin at `pointer(at)`.
    ///
    /// # Safety
    /// Every element the loops reach from these pointers is valid, as [`Code::run_in`] asks. `scratch` is aligned to cache
    /// lines, has [`ElementwiseLoops::thread_scratch`] bytes for each of [`ElementwiseLoops::threads`], and is this call's own.
    #[inline]
    pub(crate) unsafe fn run(&self, threads: &Threads, pointer: impl Fn(usize) -> *mut u8, scratch: *mut u8) {
        if self.parts == 1 {
            // SAFETY: the caller's promise, for the whole domain.
            unsafe { run_nest(self.code.as_ref(), pointer, &self.nest, scratch) };
            return;
        }
        let starts = Starts((0..self.nest[0].strides.len()).map(pointer).collect(), scratch);
        // Split the longest dimension. Parts of the span are whole cache lines of lanes.
        let longest = (0..self.nest.len()).max_by_key(|at| self.nest[*at].length).unwrap_or(0);
        let grain = if longest == self.nest.len() - 1 { 64 } else { 1 };
        threads.split(self.nest[longest].length, grain, self.parts, |number, first, count| {
            let mut part = self.nest.clone();
            part[longest].length = count;
            let Starts(starts, scratch) = &starts;
            let pointer =
                |at: usize| starts[at].wrapping_offset(self.nest[longest].strides[at].wrapping_mul(first as isize));
            let own = scratch.wrapping_add(number * self.scratch_bytes);
            // SAFETY: the caller's promise, for a part of the domain that no other thread has. Parts are numbered below
            // `self.parts`.
            unsafe { run_nest(self.code.as_ref(), pointer, &part, own) };
        });
    }

    /// The code, the span and the dimension around it, if these are all and one thread runs them without scratch.
    pub(crate) fn single(&self) -> Option<(&Arc<dyn Code>, &Dimension, Option<&Dimension>)> {
        let (span, rest) = self.nest.split_last()?;
        let single = self.parts == 1 && self.scratch_bytes == 0 && rest.len() <= 1;
        single.then(|| (&self.code, span, rest.first()))
    }

    /// Scratch that one thread needs.
    pub(crate) fn thread_scratch(&self) -> usize {
        self.scratch_bytes
    }

    /// How many threads need scratch.
    pub(crate) fn threads(&self) -> usize {
        self.parts
    }

    /// Bytes it takes on the heap, its code not counted.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<ElementwiseLoops>() + self.nest.len() * size_of::<Dimension>()
    }
}

/// Where operands begin, and scratch.
struct Starts(SmallVec<[*mut u8; 16]>, *mut u8);

// SAFETY: addresses; threads read and write disjoint parts of what they lead to, and have scratch of their own.
unsafe impl Sync for Starts {}

/// Runs a kernel's code over a nest, operand `at` beginning at `pointer(at)`.
///
/// # Safety
/// Every element the nest reaches from these pointers is valid, and scratch is as [`Code::run_in`] asks.
#[inline]
unsafe fn run_nest(code: &dyn Code, pointer: impl Fn(usize) -> *mut u8, nest: &[Dimension], scratch: *mut u8) {
    let (span, rest) = nest.split_last().expect("a nest has a span");
    let outer = rest.split_last();
    let mut arguments: SmallVec<[OperandArgument; 16]> = SmallVec::new();
    for (at, stride) in span.strides.iter().enumerate() {
        let outer_stride = outer.map_or(0, |(outer, _)| outer.strides[at]);
        arguments.push(operands::argument(pointer(at), *stride, outer_stride));
    }
    let Some((outer, rest)) = outer.filter(|(_, rest)| !rest.is_empty()) else {
        // SAFETY: the caller's promise.
        unsafe { code.run_in(&arguments, span.length, outer.map_or(1, |(outer, _)| outer.length), scratch) };
        return;
    };
    let mut offsets: SmallVec<[isize; 16]> = SmallVec::from_elem(0, arguments.len());
    operands::walk(rest, &mut offsets, &mut |offsets| {
        for (at, (argument, offset)) in arguments.iter_mut().zip(offsets).enumerate() {
            argument.pointer = pointer(at).wrapping_offset(*offset);
        }
        // SAFETY: the caller's promise.
        unsafe { code.run_in(&arguments, span.length, outer.length, scratch) };
    });
}
