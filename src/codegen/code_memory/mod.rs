//! Executable memory: machine code goes in as bytes, comes out as a function, and is freed when the last user is gone.
//!
//! The memory is this library's own, one [`arena`] for the process: mappings of a megabyte with the code of many functions
//! each, whose pages are given out and taken back, so that neither many functions nor functions that come and go use up
//! what a system allows of mappings.
//!
//! Invariants:
//! 1. No page is ever writable and executable (W^X), nor is a page that holds live code ever anything but readable and
//!    executable: other threads may run it. So code that is published together has pages of its own; they become writable,
//!    are filled, and become executable before anyone knows their address ([`pages`]).
//! 2. A core that is told the address sees the code, on machines whose instruction caches do not look at stores too
//!    ([`instruction_cache`]).
//! 3. Code is position-independent and complete: it refers to nothing outside itself.
//! 4. Pages stay as they are as long as an [`Executable`] published into them lives, and are taken back when the last one is
//!    dropped; a mapping without code is given back to the system.

mod arena;
mod error;
mod instruction_cache;
mod pages;
#[cfg(feature = "perf")]
mod perf_map;

pub use error::CodeMemoryError;

use super::machine_code::MachineCode;
use crate::lane::OperandArgument;
use arena::Block;
use std::fmt;
use std::sync::Arc;

/// The calling convention of every compiled pass, whichever backend made it: the operands, the length of the span, the
/// number of spans.
pub type PassFunction = unsafe extern "C" fn(*const OperandArgument, usize, usize);

/// A function in executable memory.
pub struct Executable {
    function: PassFunction,
    size: usize,
    /// Keeps the pages; never looked at again.
    _block: Arc<Block>,
}

impl Executable {
    /// Copies machine code into executable memory.
    ///
    /// # Errors
    /// Where the system gives no executable memory; code without bytes, or with an alignment that cannot be.
    pub fn publish(code: &MachineCode) -> Result<Executable, CodeMemoryError> {
        let mut published = Executable::publish_all(std::slice::from_ref(code))?;
        published.pop().ok_or(CodeMemoryError::Empty)
    }

    /// The same for several functions that live and die together: they share pages.
    ///
    /// # Errors
    /// As [`Executable::publish`], for the first that cannot be published; then none is.
    pub fn publish_all(codes: &[MachineCode]) -> Result<Vec<Executable>, CodeMemoryError> {
        if codes.is_empty() {
            return Ok(Vec::new());
        }
        // Room for the code; what lies between functions is little.
        let mut bytes: Vec<u8> = Vec::with_capacity(codes.iter().map(|code| code.bytes.len()).sum());
        let mut places = Vec::with_capacity(codes.len());
        for code in codes {
            // Anything is aligned to one byte, and to none.
            let alignment = code.alignment.max(1);
            if !alignment.is_power_of_two() || alignment > pages::page_bytes() {
                return Err(CodeMemoryError::Alignment { alignment });
            }
            if code.bytes.is_empty() {
                return Err(CodeMemoryError::Empty);
            }
            bytes.resize(bytes.len().next_multiple_of(alignment), pages::TRAP);
            places.push(bytes.len());
            bytes.extend_from_slice(&code.bytes);
        }
        let block = Arc::new(arena::publish(&bytes)?);
        let published = places.into_iter().zip(codes).map(|(place, code)| {
            let entry: *const u8 = block.start().wrapping_add(place);
            #[cfg(feature = "perf")]
            perf_map::add(entry as usize, code.bytes.len(), &code.name);
            // SAFETY: a pointer to code is as large as a function pointer on every target there is a backend for, and not
            // null. That the bytes are a function of this type is what the caller of `call` vouches for.
            let function = unsafe { std::mem::transmute::<*const u8, PassFunction>(entry) };
            Executable { function, size: code.bytes.len(), _block: block.clone() }
        });
        Ok(published.collect())
    }

    /// Calls the code.
    ///
    /// # Safety
    /// The published bytes are a function of type [`PassFunction`] for this machine, and the arguments are what that
    /// function asks for (for a compiled pass: [`crate::codegen::Code::run_in`]).
    #[inline]
    pub unsafe fn call(&self, operands: *const OperandArgument, span: usize, outer: usize) {
        // SAFETY: the pages stay as long as `self` lives; the rest is the caller's.
        unsafe { (self.function)(operands, span, outer) }
    }

    /// The machine code, constants included.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `size` bytes were copied there; the pages are readable and never written while `self` lives.
        unsafe { std::slice::from_raw_parts(self.address() as *const u8, self.size) }
    }

    /// Where the code is.
    pub fn address(&self) -> usize {
        self.function as usize
    }
}

impl fmt::Debug for Executable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Executable({} bytes at {:#x})", self.size, self.address())
    }
}

#[cfg(test)]
mod tests;
