//! Calls of flat arrays: every array is row-major and of one shape, or a number.
//!
//! For an elementwise function such a call is one loop over one dimension, whatever the rank and the lengths, so nothing has
//! to be laid out: the loop is found by the dtype and by which inputs are numbers. This is sound because what makes a
//! function elementwise is asked of its graph, not of a plan: a plan for one call's lengths may have dropped a reduction
//! over an axis of length 1.

use super::arrays::{Arrays, InPlace, Inputs};
use crate::array::{ArrayLayout, Dtype};
use crate::codegen::Code;
use crate::codegen::write::{Form, OperandBinding};
use crate::compile::Compiler;
use crate::exec::bound::Resources;
use crate::exec::compiled::{CompiledPlan, Layouts, Position};
use crate::exec::operands::{self, Storage};
use crate::exec::scratch::{OutOfMemory, round_up};
use crate::lane::{Layout, OperandArgument};
use crate::plan::Buffer;
use fuselet_ir::{Graph, Node};
use smallvec::SmallVec;
use std::sync::{Arc, OnceLock};

/// Functions of more inputs take the other ways, which are as short for them.
const MOST_INPUTS: usize = 24;
/// A function keeps loops for so many choices of numbers among its inputs: all that five inputs have. They are never freed before
/// the function is, so that finding one takes no lock; calls of further kinds are bound as any others.
const MOST_LOOPS: usize = 32;

/// The dtype, and which inputs are numbers (a bit each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlatKind {
    dtype: Dtype,
    numbers: u32,
}

impl FlatKind {
    /// Whether no output of a call of this kind, with so many elements an array, shares memory with another array.
    #[inline]
    pub(super) fn are_apart<I: Inputs + ?Sized>(self, arrays: &Arrays<'_, I>, elements: usize) -> bool {
        let number = self.dtype.size();
        let bytes = elements.saturating_mul(number);
        arrays.outputs.iter().enumerate().all(|(place, output)| {
            let own = output.pointer as usize;
            // Distances one way and the other; the negative ones wrap to more than any array has.
            let apart = |other: usize, its_bytes: usize| {
                other.wrapping_sub(own) >= bytes && own.wrapping_sub(other) >= its_bytes
            };
            (0..arrays.inputs.count()).all(|at| {
                let its_bytes = if self.numbers >> at & 1 != 0 { number } else { bytes };
                apart(arrays.inputs.at(at).pointer as usize, its_bytes)
            }) && arrays.outputs[..place].iter().all(|other| apart(other.pointer as usize, bytes))
        })
    }

    /// The places its loop may have, the likeliest first.
    #[inline]
    fn places(self) -> impl Iterator<Item = usize> {
        let first = self.numbers as usize + self.dtype as usize;
        (0..MOST_LOOPS).map(move |step| first.wrapping_add(step) % MOST_LOOPS)
    }
}

/// A kind with its loop, if it has one of its own.
type Place = OnceLock<(FlatKind, Option<FlatLoop>)>;

/// The flat loops of an elementwise function.
pub(super) struct FlatLoops {
    /// For each output, the inputs it depends on, a bit each: it has the common shape if one of them is no number.
    needs: SmallVec<[u32; 2]>,
    loops: Box<[Place]>,
}

/// One loop over flat arrays.
pub(super) struct FlatLoop {
    code: Arc<dyn Code>,
    /// The array of each operand (inputs, then outputs), and its byte stride: 0 for a number.
    operands: SmallVec<[(usize, isize); 8]>,
    /// Lane ops for each element, roughly.
    work: usize,
    /// Bytes of scratch that one thread needs.
    scratch_bytes: usize,
    /// For each output, the inputs it may be the very array of, a bit each.
    in_place: SmallVec<[u32; 2]>,
}

impl FlatLoops {
    /// For the graph of an elementwise function: one that neither reduces nor cuts.
    pub(super) fn of(graph: &Graph) -> Option<FlatLoops> {
        let live = graph.live();
        let elementwise = graph
            .ids()
            .filter(|id| live[id.index()])
            .all(|id| matches!(graph.node(id), Node::Input(_) | Node::Constant(_) | Node::Elementwise { .. }));
        if !elementwise || graph.inputs().len() > MOST_INPUTS {
            return None;
        }
        let mut needs: Vec<u32> = Vec::with_capacity(graph.nodes().len());
        for id in graph.ids() {
            let node = graph.node(id);
            needs.push(match node {
                Node::Input(at) => 1 << at,
                _ => node.arguments().iter().fold(0, |all, argument| all | needs[argument.index()]),
            });
        }
        let needs = graph.outputs().iter().map(|output| needs[output.node.index()]).collect();
        Some(FlatLoops { needs, loops: (0..MOST_LOOPS).map(|_| OnceLock::new()).collect() })
    }

    /// The kind of a call, if all its arrays are flat.
    #[inline]
    pub(super) fn kind<I: Inputs + ?Sized>(&self, arrays: &Arrays<'_, I>) -> Option<(FlatKind, usize)> {
        let (first, others) = arrays.outputs.split_first()?;
        let common = &first.layout;
        let elements = common.elements();
        // An array of one element could be a number as well as an array.
        if !common.is_row_major() || elements < 2 || !others.iter().all(|other| is_like(&other.layout, common)) {
            return None;
        }
        let mut numbers = 0u32;
        for at in 0..arrays.inputs.count() {
            let input = &arrays.inputs.at(at).layout;
            if input.is_scalar() && input.dtype == common.dtype {
                numbers |= 1 << at;
            } else if !is_like(input, common) {
                return None;
            }
        }
        self.needs
            .iter()
            .all(|needs| needs & !numbers != 0)
            .then_some((FlatKind { dtype: common.dtype, numbers }, elements))
    }

    /// The loop of a kind; `None` if there is none yet, `Some(None)` if the kind has no loop of its own.
    #[inline]
    pub(super) fn find(&self, kind: FlatKind) -> Option<Option<&FlatLoop>> {
        for place in kind.places() {
            match self.loops[place].get() {
                Some((known, flat)) if *known == kind => return Some(flat.as_ref()),
                Some(_) => {}
                None => return None,
            }
        }
        Some(None)
    }

    /// Keeps the loop of a kind, made from the plan of a call of that kind which was found to be right.
    pub(super) fn keep(&self, kind: FlatKind, compiler: &Compiler, compiled: &CompiledPlan) {
        if self.find(kind).is_some() {
            return;
        }
        let mut made = Some((kind, FlatLoop::new(kind, compiler, compiled)));
        for place in kind.places().map(|place| &self.loops[place]) {
            // Another thread may have kept a loop of this kind meanwhile.
            match place.get() {
                Some((known, _)) if *known == kind => return,
                Some(_) => continue,
                None => {}
            }
            if let Some(own) = made.take()
                && let Err(own) = place.set(own)
            {
                made = Some(own);
            }
            if made.is_none() {
                return;
            }
        }
    }
}

/// Whether an array is flat, of the dtype and shape of another flat one.
#[inline]
fn is_like(array: &ArrayLayout<'_>, common: &ArrayLayout<'_>) -> bool {
    array.is_row_major() && array.dtype == common.dtype && array.same_shape(common)
}

impl FlatLoop {
    fn new(kind: FlatKind, compiler: &Compiler, compiled: &CompiledPlan) -> Option<FlatLoop> {
        let plan = &compiled.plan;
        let [kernel] = plan.kernels.as_slice() else { return None };
        if kernel.is_row() || kernel.stages.len() != 1 {
            return None;
        }
        let inputs = plan.graph.inputs().len();
        let size = kind.dtype.size() as isize;
        let place = |buffer: Buffer| match buffer {
            Buffer::Input(at) if kind.numbers >> at & 1 != 0 => Some((at, 0)),
            Buffer::Input(at) => Some((at, size)),
            Buffer::Output(at) => Some((inputs + at, size)),
            Buffer::Temporary(_) => None,
        };
        let layouts: Layouts = kernel.stages[0]
            .row_pass
            .slots
            .iter()
            .map(|slot| {
                let (_, stride) = place(kernel.buffer(*slot)?)?;
                Some(if stride == 0 { Layout::Broadcast } else { Layout::Contiguous })
            })
            .collect::<Option<_>>()?;
        let storage = Storage::from_elem(kind.dtype, kernel.sources.len() + kernel.sinks.len());
        let pass = compiled.pass(compiler, (0, 0), Position::Row, Form::Span, &layouts, &storage);
        let operands = pass
            .bindings
            .iter()
            .map(|binding| match binding {
                OperandBinding::Slot { slot, .. } => place(kernel.buffer(*slot)?),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let bits =
            |row: &Vec<bool>| row.iter().enumerate().fold(0, |all, (at, allowed)| all | u32::from(*allowed) << at);
        let in_place = plan.in_place.iter().map(bits).collect();
        let code = pass.compiled.code.clone();
        let scratch_bytes = round_up(code.scratch_bytes());
        Some(FlatLoop { code, operands, work: compiled.work[0], scratch_bytes, in_place })
    }

    /// Whether the outputs may be the very arrays of these inputs.
    #[inline]
    pub(super) fn allows(&self, in_place: &InPlace) -> bool {
        in_place.iter().all(|(output, input)| self.in_place[*output] >> input & 1 != 0)
    }

    /// Runs the loop.
    ///
    /// # Errors
    /// Scratch that is not to be had; nothing was done then.
    ///
    /// # Safety
    /// The arrays are of the loop's kind, with so many elements each (numbers: one), inputs valid for reads and outputs for
    /// writes; they overlap at most as [`FlatLoop::allows`] was asked.
    #[inline]
    pub(super) unsafe fn run<I: Inputs + ?Sized>(
        &self,
        resources: &Resources,
        arrays: &Arrays<'_, I>,
        elements: usize,
    ) -> Result<(), OutOfMemory> {
        // Filled where it stays: a copy of what was just written piece by piece stalls for as long as a small loop runs.
        let mut arguments: SmallVec<[OperandArgument; 16]> = SmallVec::new();
        for (array, stride) in &self.operands {
            arguments.push(operands::argument(arrays.pointer(*array), *stride, 0));
        }
        let parts = resources.threads.parts(elements, self.work);
        if parts == 1 && self.scratch_bytes == 0 {
            // SAFETY: the caller's promise; operands are contiguous or broadcast as the code was compiled for.
            unsafe { self.code.run_in(&arguments, elements, 1, std::ptr::null_mut()) };
            return Ok(());
        }
        let scratch = resources.scratch.take(self.scratch_bytes.saturating_mul(parts))?;
        let shared = Shared(&arguments, scratch.base());
        resources.threads.split(elements, 64, parts, |part, first, count| {
            let scratch = shared.scratch().wrapping_add(part * self.scratch_bytes);
            let mut own: SmallVec<[OperandArgument; 16]> = SmallVec::from_slice(shared.get());
            for argument in &mut own {
                argument.pointer = argument.pointer.wrapping_offset(argument.stride.wrapping_mul(first as isize));
            }
            // SAFETY: as above, for elements and scratch that no other thread has.
            unsafe { self.code.run_in(&own, count, 1, scratch) };
        });
        Ok(())
    }
}

/// The arguments of a call that threads share, and their scratch.
struct Shared<'a>(&'a [OperandArgument], *mut u8);

impl Shared<'_> {
    fn get(&self) -> &[OperandArgument] {
        self.0
    }

    fn scratch(&self) -> *mut u8 {
        self.1
    }
}

// SAFETY: arguments are addresses and steps; threads read and write disjoint parts of what they lead to.
unsafe impl Sync for Shared<'_> {}
