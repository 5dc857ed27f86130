//! Scratch for code that is run on its own, outside the loops of an engine.
//!
//! An engine's calls take what their code needs from the engine's pool, before anything is written. A tile kernel has no
//! way to say that there is no memory, and takes no lock: its code works on the stack.

use super::backend::Code;
use crate::lane::OperandArgument;
use std::mem::MaybeUninit;

/// Code that needs more scratch is never run on the stack.
pub(crate) const STACK_BYTES: usize = 64 << 10;
/// Most code that needs any scratch needs less than this.
const FEW_BYTES: usize = 12 << 10;

/// Runs code whose scratch, at most [`STACK_BYTES`], is on the stack.
///
/// # Safety
/// As [`Code::run_in`], but for scratch.
#[inline]
pub(crate) unsafe fn run_on_stack(
    code: &dyn Code,
    scratch_bytes: usize,
    operands: &[OperandArgument],
    span: usize,
    outer: usize,
) {
    // SAFETY: the caller's promise; the frames below have the room they say.
    unsafe {
        match scratch_bytes {
            0 => code.run_in(operands, span, outer, std::ptr::null_mut()),
            1..=FEW_BYTES => run_on_frame::<FEW_BYTES>(code, operands, span, outer),
            _ => run_on_frame::<STACK_BYTES>(code, operands, span, outer),
        }
    }
}

#[repr(C, align(64))]
struct Frame<const BYTES: usize>([u8; BYTES]);

/// # Safety
/// As [`Code::run_in`], but for scratch, of which the code needs at most `BYTES`.
#[inline(never)]
unsafe fn run_on_frame<const BYTES: usize>(code: &dyn Code, operands: &[OperandArgument], span: usize, outer: usize) {
    debug_assert!(code.scratch_bytes() <= BYTES);
    let mut frame = MaybeUninit::<Frame<BYTES>>::uninit();
    // SAFETY: the caller's promise; the frame is this call's own, and what is in it is of no matter.
    unsafe { code.run_in(operands, span, outer, frame.as_mut_ptr().cast()) };
}
