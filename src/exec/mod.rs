//! Running a plan: everything around passes, written once for all backends.
//!
//! A backend's code loops over a span, and over one dimension around it. Here is the rest: finding the pattern of a call
//! ([`signature`]), laying a kernel's operands out and merging dimensions ([`operands`]), walking what is left
//! ([`elementwise`], [`rows`]), running passes that were cut into parts tile by tile ([`parts`]), scratch for values between passes and arrays between kernels ([`scratch`]), and the
//! split over threads ([`threads`]). No order of summation, so no bit, depends on any of it but on the length of a row.

pub(crate) mod elementwise;
pub(crate) mod operands;
pub(crate) mod prepared;
pub(crate) mod rows;
pub(crate) mod scratch;
pub(crate) mod signature;
pub(crate) mod threads;

use crate::api::Engine;
use crate::array::{MAX_RANK, Placement};
use crate::plan::Buffer;
use prepared::PreparedPlan;
use scratch::{OutOfMemory, Scratch, round_up};
use smallvec::SmallVec;

/// What to do with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Run it.
    Run,
    /// Only have every pass compiled for these arrays; nothing is read or written.
    Compile,
}

/// The arrays of one call.
pub(crate) struct Arrays<'a> {
    pub(crate) inputs: &'a [Placement],
    pub(crate) outputs: &'a [Placement],
    pub(crate) temporaries: SmallVec<[Placement; 4]>,
    pub(crate) sizes: &'a [usize],
    pub(crate) mode: Mode,
}

impl Arrays<'_> {
    pub(crate) fn get(&self, buffer: Buffer) -> &Placement {
        match buffer {
            Buffer::Input(at) => &self.inputs[at],
            Buffer::Output(at) => &self.outputs[at],
            Buffer::Temporary(at) => &self.temporaries[at],
        }
    }
}

/// Runs a plan, or only has it compiled.
///
/// # Safety
/// In [`Mode::Run`] the placements are valid arrays of the plan's shapes and one dtype: inputs for reads, outputs for writes; outputs
/// overlap neither each other nor inputs, but for pairs that the plan's in-place table allows and that are the same view.
pub(crate) unsafe fn run(
    engine: &Engine,
    prepared: &PreparedPlan,
    inputs: &[Placement],
    outputs: &[Placement],
    sizes: &[usize],
    mode: Mode,
) -> Result<(), OutOfMemory> {
    let plan = &prepared.plan;
    let mut arrays = Arrays { inputs, outputs, temporaries: SmallVec::new(), sizes, mode };
    let mut memory = Scratch::default();
    if !plan.temporaries.is_empty() {
        let shapes: SmallVec<[SmallVec<[usize; MAX_RANK]>; 4]> = plan
            .temporaries
            .iter()
            .map(|temporary| temporary.dimensions.iter().map(|extent| extent.resolve(sizes)).collect())
            .collect();
        let bytes = |shape: &[usize]| shape.iter().fold(prepared.dtype.size(), |bytes, n| bytes.saturating_mul(*n));
        // Temporaries that share a slot have equal dimensions.
        let slots = plan.temporaries.iter().map(|temporary| temporary.slot + 1).max().unwrap_or(0);
        let mut offsets: SmallVec<[usize; 4]> = SmallVec::from_elem(0, slots);
        let mut total = 0usize;
        for slot in 0..slots {
            offsets[slot] = total;
            let at = plan.temporaries.iter().position(|temporary| temporary.slot == slot);
            total = total.saturating_add(at.map_or(0, |at| round_up(bytes(&shapes[at]))));
        }
        if total > isize::MAX as usize {
            return Err(OutOfMemory { bytes: total });
        }
        if mode == Mode::Run {
            memory = Scratch::take(total)?;
        }
        let base = memory.base();
        for (temporary, shape) in plan.temporaries.iter().zip(&shapes) {
            let pointer = base.wrapping_add(offsets[temporary.slot]);
            arrays.temporaries.push(Placement::contiguous(pointer, prepared.dtype, shape));
        }
    }
    for kernel in &prepared.kernels {
        let plan = &plan.kernels[kernel.index];
        // SAFETY: the caller's promise; temporaries alive at the same time were laid out disjoint above and outlive the loop in `memory`.
        unsafe {
            if plan.is_row() {
                rows::run(engine, prepared, kernel, plan, &arrays)?;
            } else {
                elementwise::run(engine, prepared, kernel, plan, &arrays);
            }
        }
    }
    drop(memory);
    Ok(())
}
