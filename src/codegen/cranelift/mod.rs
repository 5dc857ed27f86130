//! Native loops through Cranelift: portable, 128 bits wide.
//!
//! It serves every target Cranelift has, at the hardware's width on AArch64; on x86-64, where its vectors end at half or
//! a quarter of the registers, it stands behind the wide backend and before the interpreter.
//!
//! - `target`: flags, and what is known of the machine;
//! - `body`: lane operations as instructions, constants in registers;
//! - `loops`: the loops around, with `vectors`, the innermost; `tail`: what is left of a span; `accumulator`: lanes of
//!   reductions; `nest`: what these have in common.
//!
//! Code is entered through `vzeroupper` on machines with AVX. Cranelift spills and copies by legacy SSE instructions, which
//! cost hundreds of cycles each while upper halves of registers are dirty, and nobody knows what ran before.

mod accumulator;
mod body;
mod elements;
mod loops;
mod nest;
mod tail;
mod target;
mod vectors;

use super::backend::{Backend, BackendError, Code};
use super::code_memory::Executable;
use super::isa::Isa;
use super::machine_code::MachineCode;
use super::native::NativeCode;
use crate::lane::{OperandArgument, Pass, Role, expand_conversions};
use cranelift::codegen::Context;
use cranelift::codegen::control::ControlPlane;
use cranelift::codegen::ir::Function;
use cranelift::prelude::FunctionBuilderContext;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use target::Target;

/// The Cranelift backend at one level of the machine's instruction set.
#[derive(Clone)]
pub struct Cranelift {
    target: Target,
}

/// What compilations of one thread share, so that warm ones allocate little. It is taken for a compilation and put back when
/// that has come to an end: one that panics leaves builders behind that are good for nothing.
struct Workshop {
    context: Context,
    builder: FunctionBuilderContext,
    control: ControlPlane,
}

impl Workshop {
    fn new() -> Workshop {
        Workshop { context: Context::new(), builder: FunctionBuilderContext::new(), control: ControlPlane::default() }
    }
}

thread_local! {
    static WORKSHOP: Cell<Option<Box<Workshop>>> = const { Cell::new(None) };
}

/// Programs longer than this leave so large a workshop behind that it is thrown away.
const ORDINARY_LENGTH: usize = 2000;

/// What code and the constants behind it are aligned to; no constant is larger than a vector.
const ALIGNMENT: usize = 64;

/// `vzeroupper`, then no-operations up to 16 bytes, which keeps the alignment of everything behind.
const CLEAR_UPPER_HALVES: [u8; 16] = [0xc5, 0xf8, 0x77, 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x0f, 0x1f, 0x40, 0];

impl Cranelift {
    /// The backend for code of this level; levels above AVX and FMA have nothing to add at 128 bits.
    ///
    /// # Errors
    /// Where the machine lacks the level, or Cranelift does not know the machine.
    pub fn new(isa: Isa) -> Result<Cranelift, BackendError> {
        Ok(Cranelift { target: Target::new(isa)? })
    }

    fn unsupported(&self, pass: &Pass, reason: impl Into<String>) -> BackendError {
        BackendError::Unsupported { backend: self.name(), pass: pass.name.clone(), reason: reason.into() }
    }

    /// The machine code of a pass.
    ///
    /// # Errors
    /// What the machine or Cranelift has not.
    pub fn machine_code(&self, pass: &Pass) -> Result<MachineCode, BackendError> {
        // A thread that is ending, or compiling already, has no workshop to lend.
        let warm = WORKSHOP.try_with(Cell::take).ok().flatten();
        let mut workshop = warm.unwrap_or_else(|| Box::new(Workshop::new()));
        let code = self.machine_code_in(pass, &mut workshop);
        if pass.program.instructions.len() <= ORDINARY_LENGTH {
            let _ = WORKSHOP.try_with(|kept| kept.set(Some(workshop)));
        }
        code
    }

    fn machine_code_in(&self, pass: &Pass, workshop: &mut Workshop) -> Result<MachineCode, BackendError> {
        debug_assert_eq!(pass.verify(), Ok(()));
        if pass.needs_fma() && !self.has_fma() {
            return Err(self.unsupported(pass, "it was lowered for a machine with a fused multiply-add"));
        }
        // Cranelift has no conversions of half types.
        let expanded = expand_conversions(pass, |_| false);
        let pass = expanded.as_ref().unwrap_or(pass);
        if loops::needs_rounding(pass) && !self.target.has_rounding {
            return Err(self.unsupported(pass, "rounding to integers needs SSE4.1"));
        }
        let Workshop { context, builder, control } = workshop;
        context.clear();
        loops::write(&mut context.func, builder, pass, &self.target);
        let compiled = context
            .compile(&*self.target.isa, control)
            .map_err(|error| self.unsupported(pass, error.inner.to_string()))?;
        if !compiled.buffer.relocs().is_empty() {
            return Err(self.unsupported(pass, "it would need library functions"));
        }
        if compiled.buffer.alignment as usize > ALIGNMENT {
            return Err(self.unsupported(pass, "its constants need a larger alignment than code has"));
        }
        let mut bytes = Vec::with_capacity(CLEAR_UPPER_HALVES.len() + compiled.code_buffer().len());
        if self.target.has_upper_halves {
            bytes.extend_from_slice(&CLEAR_UPPER_HALVES);
        }
        bytes.extend_from_slice(compiled.code_buffer());
        Ok(MachineCode {
            name: pass.name.clone(),
            bytes,
            alignment: ALIGNMENT,
            outside_frame: 0,
            operands: pass.operands.len(),
            accumulates: pass.operands.iter().any(|operand| operand.role == Role::Accumulate),
        })
    }
}

impl fmt::Debug for Cranelift {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cranelift({})", self.target.level)
    }
}

impl Backend for Cranelift {
    fn name(&self) -> String {
        format!("cranelift {}", self.target.level)
    }

    fn has_fma(&self) -> bool {
        self.target.level.has_fma()
    }

    fn long_body(&self) -> usize {
        // tanh(x) · sigmoid(g), 39 operations, gains 8 % from being cut; activations of one input, up to 35, lose.
        31
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        let mut codes = self.compile_all(std::slice::from_ref(pass))?;
        Ok(codes.pop().expect("as many codes as passes"))
    }

    fn compile_all(&self, passes: &[Pass]) -> Result<Vec<Arc<dyn Code>>, BackendError> {
        let codes = passes.iter().map(|pass| self.machine_code(pass)).collect::<Result<Vec<_>, _>>()?;
        let executables = Executable::publish_all(&codes)
            .map_err(|error| BackendError::Unavailable { backend: self.name(), reason: error.to_string() })?;
        let codes = executables.into_iter().zip(&codes).zip(passes).map(|((executable, code), pass)| {
            let native = NativeCode::new(executable, code);
            Arc::new(CraneliftCode { native, pass: pass.clone(), target: self.target.clone() }) as Arc<dyn Code>
        });
        Ok(codes.collect())
    }
}

/// A pass compiled by Cranelift.
struct CraneliftCode {
    native: NativeCode,
    /// What the code was made from, to show its intermediate form when asked.
    pass: Pass,
    target: Target,
}

impl fmt::Debug for CraneliftCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CraneliftCode({}, {}, {:?})", self.pass.name, self.target.level, self.native)
    }
}

impl Code for CraneliftCode {
    fn scratch_bytes(&self) -> usize {
        self.native.scratch_bytes()
    }

    unsafe fn run_in(&self, operands: &[OperandArgument], span: usize, outer: usize, scratch: *mut u8) {
        // SAFETY: passed on to the caller.
        unsafe { self.native.run_in(operands, span, outer, scratch) }
    }

    fn code_size(&self) -> usize {
        self.native.code_size()
    }

    fn disassembly(&self) -> Option<String> {
        self.native.disassembly()
    }

    fn intermediate(&self) -> Option<String> {
        let mut function = Function::new();
        loops::write(&mut function, &mut FunctionBuilderContext::new(), &self.pass, &self.target);
        Some(function.display().to_string())
    }
}
