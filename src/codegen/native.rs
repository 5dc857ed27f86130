//! Published machine code as the code of a pass.

use super::backend::Code;
use super::code_memory::Executable;
use super::disassembly;
use super::machine_code::MachineCode;
use crate::lane::OperandArgument;
use std::mem::size_of;

/// A pass compiled to machine code, in executable memory.
#[derive(Debug)]
pub(super) struct NativeCode {
    executable: Executable,
    /// Bytes of the frame, if the caller brings it.
    outside_frame: usize,
    operands: usize,
    accumulates: bool,
}

impl NativeCode {
    /// `executable` is `code`, published.
    pub(super) fn new(executable: Executable, code: &MachineCode) -> NativeCode {
        let MachineCode { outside_frame, operands, accumulates, .. } = *code;
        NativeCode { executable, outside_frame, operands, accumulates }
    }

    /// Runs code whose frame is in scratch, with the operands behind it: the code finds the frame as the pointer of one
    /// operand more than the pass has.
    ///
    /// # Safety
    /// As [`Code::run_in`].
    #[cold]
    unsafe fn run_with_frame(&self, operands: &[OperandArgument], span: usize, outer: usize, scratch: *mut u8) {
        let list = scratch.wrapping_add(self.outside_frame).cast::<OperandArgument>();
        let frame = OperandArgument { pointer: scratch, stride: 0, outer_stride: 0 };
        // SAFETY: scratch has room for the frame, whole cache lines, and for one operand more than there are.
        unsafe {
            list.copy_from_nonoverlapping(operands.as_ptr(), self.operands);
            list.add(self.operands).write(frame);
            self.executable.call(list, span, outer);
        }
    }
}

impl Code for NativeCode {
    fn scratch_bytes(&self) -> usize {
        match self.outside_frame {
            0 => 0,
            frame => frame + (self.operands + 1) * size_of::<OperandArgument>(),
        }
    }

    #[inline]
    unsafe fn run_in(&self, operands: &[OperandArgument], span: usize, outer: usize, scratch: *mut u8) {
        debug_assert_eq!(operands.len(), self.operands, "one argument for each operand of the pass");
        if outer == 0 || (span == 0 && !self.accumulates) {
            return;
        }
        // SAFETY: the code was compiled for this machine from the pass, so it accesses what the contract of `run_in` makes
        // valid, which the caller keeps.
        unsafe {
            if self.outside_frame == 0 {
                self.executable.call(operands.as_ptr(), span, outer);
            } else {
                self.run_with_frame(operands, span, outer, scratch);
            }
        }
    }

    fn code_size(&self) -> usize {
        self.executable.bytes().len()
    }

    fn disassembly(&self) -> Option<String> {
        disassembly::disassemble(self.executable.bytes(), self.executable.address())
    }
}
