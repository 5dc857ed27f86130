//! Wide native loops: AVX2 and AVX-512, on x86-64.
//!
//! Cranelift stops at 128 bits there, which in cache costs a factor of two to four. This backend writes the same passes
//! as ymm or zmm code, with the same bits. A pass goes through it in one direction:
//!
//! - [`select`]: lane ops become machine operations ([`machine`]) on values without registers, groups of them one
//!   operation where AVX-512 has it ([`patterns`]);
//! - [`order`]: where a body is several chains, they are woven together;
//! - [`schedule`]: how many bodies the main loop interleaves, which constants keep a register;
//! - [`emit`], [`contiguous`], [`strided`], [`reduce`], [`block`]: operations become instructions, registers being given out by
//!   [`allocate`], with slots of the [`frame`] for what has none;
//! - [`loops`]: the function around: entry, main loop, masked tail, the dimension around, exit;
//! - [`assemble`]: bytes; [`constants`]: the pool behind them; [`target`]: the instruction of each operation.
//!
//! No program is too large: what has no register is spilled, and a frame that would be large for a stack is brought by
//! the caller. Vectors past the end of an operand are never touched: tails are masked.

mod allocate;
mod assemble;
mod block;
mod constants;
mod contiguous;
mod emit;
mod frame;
mod loops;
mod machine;
mod order;
mod patterns;
mod reduce;
mod schedule;
mod select;
mod strided;
mod target;

use crate::codegen::code_memory::Executable;
use crate::codegen::isa::Isa;
use crate::codegen::{Backend, BackendError, Code, disassembly};
use crate::lane::{OperandArgument, Pass};
use std::sync::Arc;
use target::Target;

/// The wide backend at one level of the machine's instruction set.
#[derive(Clone, Debug)]
pub struct Wide {
    isa: Isa,
    window: usize,
}

impl Wide {
    /// The backend for code of this level: AVX2 or AVX-512.
    ///
    /// # Errors
    /// Where the machine lacks the level, or the level has no wide vectors.
    pub fn new(isa: Isa) -> Result<Wide, BackendError> {
        let unavailable = |reason: String| Err(BackendError::Unavailable { backend: format!("wide {isa}"), reason });
        if !matches!(isa, Isa::Avx2 | Isa::Avx512) {
            return unavailable(format!("level `{isa}` has no wide vectors; use `avx2` or `avx512`"));
        }
        if !isa.is_available() {
            return unavailable(format!("this machine has no `{isa}`"));
        }
        Ok(Wide { isa, window: target::window() })
    }
}

impl Backend for Wide {
    fn name(&self) -> String {
        format!("wide {}", self.isa)
    }

    fn has_fma(&self) -> bool {
        true
    }

    fn long_body(&self) -> usize {
        // Twice the registers let bodies of about 40 operations be interleaved, which then lose 10 % by being cut.
        if self.isa == Isa::Avx512 { 36 } else { 31 }
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        let mut codes = self.compile_all(std::slice::from_ref(pass))?;
        Ok(codes.pop().expect("as many codes as passes"))
    }

    fn compile_all(&self, passes: &[Pass]) -> Result<Vec<Arc<dyn Code>>, BackendError> {
        let mut compiled = Vec::with_capacity(passes.len());
        for pass in passes {
            debug_assert_eq!(pass.verify(), Ok(()));
            let masks = self.isa == Isa::Avx512;
            let target = Target { masks, dtype: pass.program.dtype, window: self.window };
            compiled.push(loops::compile(pass, target).map_err(|reason| BackendError::Unsupported {
                backend: self.name(),
                pass: pass.name.clone(),
                reason,
            })?);
        }
        let bytes: Vec<&[u8]> = compiled.iter().map(|compiled| compiled.bytes.as_slice()).collect();
        let executables = Executable::publish_all(&bytes, loops::ALIGNMENT as u64)
            .map_err(|error| BackendError::Unavailable { backend: self.name(), reason: error.to_string() })?;
        let codes = executables.into_iter().zip(&compiled).zip(passes).map(|((executable, compiled), pass)| {
            let accumulates = pass.operands.iter().any(|operand| operand.role == crate::lane::Role::Accumulate);
            Arc::new(WideCode { executable, outside_frame: compiled.outside_frame, accumulates }) as Arc<dyn Code>
        });
        Ok(codes.collect())
    }
}

/// A compiled pass.
#[derive(Debug)]
struct WideCode {
    executable: Executable,
    /// Bytes of the frame, if it is too large for the stack.
    outside_frame: usize,
    /// Whether even empty spans write something.
    accumulates: bool,
}

/// What a frame is made of: as aligned as the largest vector.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct CacheLine(#[allow(dead_code, reason = "only generated code reads and writes it")] [u8; 64]);

impl Code for WideCode {
    unsafe fn run(&self, operands: &[OperandArgument], span: usize, outer: usize) {
        if outer == 0 || (span == 0 && !self.accumulates) {
            return;
        }
        if self.outside_frame == 0 {
            // SAFETY: the code was compiled for this machine from the pass, so it accesses what the contract of `run`
            // makes valid, which the caller keeps.
            unsafe { self.executable.call(operands.as_ptr(), span, outer) }
            return;
        }
        let mut frame = vec![CacheLine([0; 64]); self.outside_frame.div_ceil(size_of::<CacheLine>())];
        let mut operands = operands.to_vec();
        operands.push(OperandArgument { pointer: frame.as_mut_ptr().cast(), stride: 0, outer_stride: 0 });
        // SAFETY: as above; and the frame is as large as the code asked for, aligned, and lives through the call.
        unsafe { self.executable.call(operands.as_ptr(), span, outer) }
    }

    fn code_size(&self) -> usize {
        self.executable.bytes().len()
    }

    fn disassembly(&self) -> Option<String> {
        disassembly::disassemble(self.executable.bytes(), self.executable.address())
    }
}
