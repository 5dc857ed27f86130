//! Native loops through Cranelift: portable, 128 bits wide.
//!
//! It serves every target Cranelift has, at the hardware's width on AArch64; on x86-64, where its vectors end at half or
//! a quarter of the registers, it stands behind the wide backend and before the interpreter.
//!
//! - `target`: flags, and what is known of the machine;
//! - `body`: lane operations as instructions, constants in registers;
//! - `nest`: the loops around; `tail`: what is left of a span; `accumulator`: lanes of reductions.
//!
//! Code is entered through `vzeroupper` on machines with AVX. Cranelift spills and copies by legacy SSE instructions, which
//! cost hundreds of cycles each while upper halves of registers are dirty, and nobody knows what ran before.

mod accumulator;
mod body;
mod nest;
mod tail;
mod target;

use crate::codegen::code_memory::Executable;
use crate::codegen::isa::Isa;
use crate::codegen::{Backend, BackendError, Code, disassembly};
use crate::lane::{OperandArgument, Pass};
use cranelift::codegen::Context;
use cranelift::codegen::control::ControlPlane;
use cranelift::codegen::ir::Function;
use cranelift::prelude::FunctionBuilderContext;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use target::Target;

/// The Cranelift backend at one level of the machine's instruction set.
#[derive(Clone)]
pub struct Cranelift {
    target: Target,
}

/// What compilations of one thread share, so that warm ones allocate little.
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
    static WORKSHOP: RefCell<Workshop> = RefCell::new(Workshop::new());
}

/// Programs longer than this leave so large a workshop behind that it is thrown away.
const ORDINARY_LENGTH: usize = 2000;

/// What code and the constants behind it are aligned to; no constant is larger than a vector.
const ALIGNMENT: u64 = 64;

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
    fn code(&self, pass: &Pass, workshop: &mut Workshop) -> Result<Vec<u8>, BackendError> {
        debug_assert_eq!(pass.verify(), Ok(()));
        if pass.needs_fma() && !self.has_fma() {
            return Err(self.unsupported(pass, "it was lowered for a machine with a fused multiply-add"));
        }
        if nest::needs_rounding(pass) && !self.target.has_rounding {
            return Err(self.unsupported(pass, "rounding to integers needs SSE4.1"));
        }
        let Workshop { context, builder, control } = workshop;
        context.clear();
        nest::write(&mut context.func, builder, pass, &self.target);
        let compiled = context
            .compile(&*self.target.isa, control)
            .map_err(|error| self.unsupported(pass, error.inner.to_string()))?;
        if !compiled.buffer.relocs().is_empty() {
            return Err(self.unsupported(pass, "it would need library functions"));
        }
        if u64::from(compiled.buffer.alignment) > ALIGNMENT {
            return Err(self.unsupported(pass, "its constants need a larger alignment than code has"));
        }
        let mut code = Vec::with_capacity(CLEAR_UPPER_HALVES.len() + compiled.code_buffer().len());
        if self.target.has_upper_halves {
            code.extend_from_slice(&CLEAR_UPPER_HALVES);
        }
        code.extend_from_slice(compiled.code_buffer());
        if pass.program.instructions.len() > ORDINARY_LENGTH {
            *workshop = Workshop::new();
        }
        Ok(code)
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
        let all = |workshop: &mut Workshop| -> Result<Vec<Vec<u8>>, BackendError> {
            passes.iter().map(|pass| self.code(pass, workshop)).collect()
        };
        let warm = WORKSHOP.try_with(|workshop| {
            let mut workshop = workshop.try_borrow_mut().ok()?;
            Some(all(&mut workshop))
        });
        // A thread that is ending, or compiling already, has no workshop to lend.
        let codes = warm.ok().flatten().unwrap_or_else(|| all(&mut Workshop::new()))?;
        let executables = Executable::publish_all(&codes, ALIGNMENT)
            .map_err(|error| BackendError::Unavailable { backend: self.name(), reason: error.to_string() })?;
        let codes = executables.into_iter().zip(passes).map(|(executable, pass)| {
            Arc::new(CraneliftCode { executable, pass: pass.clone(), target: self.target.clone() }) as Arc<dyn Code>
        });
        Ok(codes.collect())
    }
}

/// A pass compiled by Cranelift.
struct CraneliftCode {
    executable: Executable,
    /// What the code was made from, to show its intermediate form when asked.
    pass: Pass,
    target: Target,
}

impl fmt::Debug for CraneliftCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CraneliftCode({}, {}, {:?})", self.pass.name, self.target.level, self.executable)
    }
}

impl Code for CraneliftCode {
    unsafe fn run(&self, operands: &[OperandArgument], span: usize, outer: usize) {
        debug_assert_eq!(operands.len(), self.pass.operands.len());
        // SAFETY: the code was compiled for this machine from this pass, so it accesses what the contract of `run` makes
        // valid, which the caller keeps.
        unsafe { self.executable.call(operands.as_ptr(), span, outer) }
    }

    fn code_size(&self) -> usize {
        self.executable.bytes().len()
    }

    fn disassembly(&self) -> Option<String> {
        disassembly::disassemble(self.executable.bytes(), self.executable.address())
    }

    fn intermediate(&self) -> Option<String> {
        let mut function = Function::new();
        nest::write(&mut function, &mut FunctionBuilderContext::new(), &self.pass, &self.target);
        Some(function.display().to_string())
    }
}
