//! Runs elementwise kernels: one pass over the whole domain.
//!
//! The domain's dimensions merge as far as strides allow. The innermost is the span, the next the dimension around it,
//! which the code walks itself; what is left is walked here.

use super::operands::{self, Bound, Dimension, Nest};
use super::prepared::{Layouts, Position, PreparedKernel, PreparedPlan};
use super::{Arrays, Mode, threads};
use crate::api::Engine;
use crate::array::{MAX_RANK, Placement};
use crate::codegen::Code;
use crate::compile::Compiled;
use crate::lane::{Layout, OperandArgument, Role};
use crate::plan::{Form, KernelPlan, Slot};
use smallvec::SmallVec;

/// A span shorter than this is given up for a longer dimension, if there is one of [`LONG_SPAN`]: gathering lanes is then
/// cheaper than a loop of its own for each few elements.
const SHORT_SPAN: usize = 4;
const LONG_SPAN: usize = 16;

/// Runs the kernel.
///
/// # Safety
/// As [`super::run`].
pub(crate) unsafe fn run(
    engine: &Engine,
    prepared: &PreparedPlan,
    kernel: &PreparedKernel,
    plan: &KernelPlan,
    arrays: &Arrays<'_>,
) {
    // SAFETY: the caller's promise.
    if unsafe { run_flat(engine, prepared, kernel, plan, arrays) } {
        return;
    }
    let Some(Loops { compiled, bounds, nest }) = lay_out(engine, prepared, kernel, plan, arrays) else { return };
    if arrays.mode == Mode::Compile {
        return;
    }
    let code = compiled.code.as_ref();
    let parts = threads::parts(engine, plan.elements(arrays.sizes), kernel.work);
    if parts == 1 {
        // SAFETY: the caller's promise, for the whole domain.
        unsafe { run_nest(code, |at| bounds[at].pointer, &nest) };
        return;
    }
    // Split the longest dimension. Parts of the span are whole cache lines of lanes.
    let longest = (0..nest.len()).max_by_key(|at| nest[*at].length).unwrap_or(0);
    let grain = if longest == nest.len() - 1 { 64 } else { 1 };
    threads::split(nest[longest].length, grain, parts, |first, count| {
        let mut part = nest.clone();
        part[longest].length = count;
        let mut moved = bounds.clone();
        for (bound, stride) in moved.iter_mut().zip(&nest[longest].strides) {
            bound.pointer = bound.pointer.wrapping_offset(stride * first as isize);
        }
        // SAFETY: the caller's promise, for a part of the domain that no other thread has.
        unsafe { run_nest(code, |at| moved[at].pointer, &part) };
    });
}

/// The loops of an elementwise kernel over the arrays of a call.
pub(crate) struct Loops<'a> {
    pub(crate) compiled: &'a Compiled,
    /// Where each operand begins.
    pub(crate) bounds: SmallVec<[Bound; 8]>,
    /// The dimensions; the last is the span.
    pub(crate) nest: Nest,
}

/// Lays the operands of a kernel out. `None` if there are no elements.
pub(crate) fn lay_out<'a>(
    engine: &Engine,
    prepared: &PreparedPlan,
    kernel: &'a PreparedKernel,
    plan: &KernelPlan,
    arrays: &Arrays<'_>,
) -> Option<Loops<'a>> {
    let pass = &plan.stages[0].along;
    let rank = plan.domain.len();
    debug_assert!(rank <= MAX_RANK);
    let bounds: SmallVec<[Bound; 8]> = pass
        .slots
        .iter()
        .map(|slot| match slot {
            Slot::Source(at) => operands::bind_source(&plan.sources[*at], arrays.get(plan.sources[*at].buffer), rank),
            Slot::Sink(at) => operands::bind(arrays.get(plan.sinks[*at].buffer), &[], rank),
            _ => unreachable!("an elementwise kernel has sources and sinks only"),
        })
        .collect();
    let role = |at: usize| if matches!(pass.slots[at], Slot::Sink(_)) { Role::Write } else { Role::Read };
    let leader = pass.slots.iter().position(|slot| matches!(slot, Slot::Sink(_)));
    let mut nest = operands::nest(&plan.domain, arrays.sizes, 0..rank, &bounds, leader)?;
    if nest.is_empty() {
        nest.push(Dimension { length: 1, strides: SmallVec::from_elem(0, bounds.len()) });
    }
    lengthen_span(&mut nest);
    let size = prepared.dtype.size();
    let span = &nest[nest.len() - 1];
    let layouts: Layouts =
        span.strides.iter().enumerate().map(|(at, s)| operands::layout(role(at), *s, span.length, size)).collect();
    let compiled = prepared.compiled_for(engine, kernel, 0, Position::Along, Form::Span, &layouts);
    Some(Loops { compiled, bounds, nest })
}

/// Runs the kernel where every operand is either the whole domain without gaps or a single element: the common case, and
/// the only one where a small call is over before dimensions could be merged. `false` if it is another case, or work for
/// threads.
///
/// # Safety
/// As [`super::run`].
unsafe fn run_flat(
    engine: &Engine,
    prepared: &PreparedPlan,
    kernel: &PreparedKernel,
    plan: &KernelPlan,
    arrays: &Arrays<'_>,
) -> bool {
    let length = plan.elements(arrays.sizes);
    if threads::parts(engine, length, kernel.work) > 1 {
        return false;
    }
    let whole = |placement: &Placement| {
        placement.is_contiguous()
            && placement.shape().len() == plan.domain.len()
            && placement.shape().iter().zip(&plan.domain).all(|(n, extent)| *n == extent.resolve(arrays.sizes))
    };
    let size = prepared.dtype.size() as isize;
    let mut layouts = Layouts::new();
    let mut arguments: SmallVec<[OperandArgument; 8]> = SmallVec::new();
    for slot in &plan.stages[0].along.slots {
        let placement = match slot {
            Slot::Source(at) if plan.sources[*at].cuts.is_empty() => arrays.get(plan.sources[*at].buffer),
            Slot::Sink(at) => arrays.get(plan.sinks[*at].buffer),
            _ => return false,
        };
        let layout = if whole(placement) {
            Layout::Contiguous
        } else if placement.is_single() {
            Layout::Broadcast
        } else {
            return false;
        };
        layouts.push(layout);
        arguments.push(operands::argument(placement.pointer, size, 0));
    }
    let code = prepared.code(engine, kernel, 0, Position::Along, Form::Span, &layouts);
    if arrays.mode == Mode::Run {
        // SAFETY: the caller's promise, for the whole domain.
        unsafe { code.run(&arguments, length, 1) };
    }
    true
}

/// Swaps a very short span for a longer dimension.
fn lengthen_span(nest: &mut Nest) {
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

/// Runs a kernel's code over a nest, operand `at` beginning at `pointer(at)`.
///
/// # Safety
/// Every element the nest reaches from these pointers is valid, as [`Code::run`] asks.
pub(crate) unsafe fn run_nest(code: &dyn Code, pointer: impl Fn(usize) -> *mut u8, nest: &[Dimension]) {
    let (span, rest) = nest.split_last().expect("a nest has a span");
    let outer = rest.split_last();
    let mut arguments: SmallVec<[OperandArgument; 8]> = SmallVec::new();
    for (at, stride) in span.strides.iter().enumerate() {
        let outer_stride = outer.map_or(0, |(outer, _)| outer.strides[at]);
        arguments.push(operands::argument(pointer(at), *stride, outer_stride));
    }
    let Some((outer, rest)) = outer.filter(|(_, rest)| !rest.is_empty()) else {
        // SAFETY: the caller's promise.
        unsafe { code.run(&arguments, span.length, outer.map_or(1, |(outer, _)| outer.length)) };
        return;
    };
    let mut offsets: SmallVec<[isize; 8]> = SmallVec::from_elem(0, arguments.len());
    operands::walk(rest, &mut offsets, &mut |offsets| {
        for (at, (argument, offset)) in arguments.iter_mut().zip(offsets).enumerate() {
            argument.pointer = pointer(at).wrapping_offset(*offset);
        }
        // SAFETY: the caller's promise.
        unsafe { code.run(&arguments, span.length, outer.length) };
    });
}
