//! Wide native loops: AVX2 and AVX-512, on x86-64.
//!
//! Cranelift stops at 128 bits there, which in cache costs a factor of two to four. This backend writes the same passes
//! as ymm or zmm code, with the same bits. A pass goes through it in one direction:
//!
//! - [`conversion`] says which dtypes of storage have instructions; what the others need is written as lane ops;
//! - [`select`]: lane ops become machine operations ([`machine`]) on values without registers, groups of them one
//!   operation where AVX-512 has it ([`patterns`]);
//! - [`order`]: where a body is several chains, they are woven together;
//! - [`schedule`]: how many bodies the main loop interleaves, which constants keep a register;
//! - [`emit`], [`contiguous`], [`strided`], [`elements`], [`pairs`], [`reduce`], [`block`]: operations become instructions, written by an [`emitter`],
//!   registers being given out by [`allocate`], with slots of the [`frame`] for what has none ([`registers`] and [`places`]
//!   say what is where);
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
mod conversion;
mod elements;
mod emit;
mod emitter;
mod frame;
mod loops;
mod machine;
mod order;
mod pairs;
mod patterns;
mod places;
mod reduce;
mod registers;
mod schedule;
mod select;
mod strided;
mod target;

use super::backend::{Backend, BackendError, Code};
use super::code_memory::Executable;
use super::isa::Isa;
use super::machine_code::MachineCode;
use super::native::NativeCode;
use crate::lane::{Pass, Role, expand_operands};
use std::sync::Arc;
use target::Target;

/// The wide backend at one level of the machine's instruction set.
#[derive(Clone, Debug)]
pub struct Wide {
    isa: Isa,
    window: usize,
    half: bool,
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
        // AVX-512 has its own conversions of float16; those of AVX2 are an extension that nearly all have.
        let half = isa == Isa::Avx512 || is_x86_feature_detected!("f16c");
        Ok(Wide { isa, window: target::window(), half })
    }

    /// The same for a machine that has no instructions between float16 and float32.
    #[must_use]
    pub fn without_f16c(self) -> Wide {
        Wide { half: false, ..self }
    }

    /// The machine code of a pass.
    ///
    /// # Errors
    /// What the encoder refused: code of more than 2 GiB.
    pub fn machine_code(&self, pass: &Pass) -> Result<MachineCode, BackendError> {
        debug_assert_eq!(pass.verify(), Ok(()));
        let (masks, dtype) = (self.isa == Isa::Avx512, pass.program.dtype);
        let target = Target { masks, dtype, half: self.half, window: self.window };
        let unsupported = |reason| BackendError::Unsupported { backend: self.name(), pass: pass.name.clone(), reason };
        let expanded = expand_operands(pass, |operand| conversion::is_native(target, operand));
        let compiled = loops::compile(expanded.as_ref().unwrap_or(pass), target).map_err(unsupported)?;
        Ok(MachineCode {
            name: pass.name.clone(),
            bytes: compiled.bytes,
            alignment: loops::ALIGNMENT,
            outside_frame: compiled.outside_frame,
            operands: pass.operands.len(),
            accumulates: pass.operands.iter().any(|operand| operand.role == Role::Accumulate),
        })
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
        let codes = passes.iter().map(|pass| self.machine_code(pass)).collect::<Result<Vec<_>, _>>()?;
        let executables = Executable::publish_all(&codes)
            .map_err(|error| BackendError::Unavailable { backend: self.name(), reason: error.to_string() })?;
        let codes = executables
            .into_iter()
            .zip(&codes)
            .map(|(executable, code)| Arc::new(NativeCode::new(executable, code)) as Arc<dyn Code>);
        Ok(codes.collect())
    }
}
