//! Executable memory: machine code goes in as bytes, comes out as a function, and is freed when the last user is gone.
//!
//! The memory is `cranelift-jit`'s, behind cranelift's `Module` trait (so that the same bytes can go to
//! `cranelift-object` for ahead-of-time export). A module can only be freed as a whole, so what is published together has a
//! module, and with it a mapping, of its own; that is also what makes single kernels freeable from a cache.
//!
//! Invariants:
//! 1. Pages are writable while the code is copied in and executable afterwards, never both (W^X).
//! 2. Code is position-independent and complete: it refers to nothing outside itself, so there are no relocations.
//! 3. A mapping lives exactly as long as the [`Executable`]s published into it; also on the paths where publishing fails.

use crate::lane::OperandArgument;
use cranelift::codegen::ir::Signature;
use cranelift::codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift::codegen::settings::{self, Configurable as _};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Module as _, ModuleError};
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::{Arc, OnceLock};
use thiserror::Error;

/// Why code could not be made executable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodeMemoryError {
    /// Cranelift does not know this machine.
    #[error("no code generator for this machine: {0}")]
    UnknownMachine(String),
    /// The system refused memory, or refused to make it executable.
    #[error(
        "the system gave no executable memory ({0}); allow it for this process, or use the interpreter \
         (FUSELET_BACKEND=interpreter)"
    )]
    Refused(String),
    /// There are no bytes.
    #[error("there is no code to publish")]
    Empty,
}

/// The calling convention of every compiled pass, whichever backend made it: the operands, the length of the span, the
/// number of spans.
pub type PassFunction = unsafe extern "C" fn(*const OperandArgument, usize, usize);

/// Room that is left for what brings a function to its alignment, when several are published.
const PADDED: usize = 64;

/// A function in executable memory of its own.
pub struct Executable {
    function: PassFunction,
    size: usize,
    /// Keeps the mapping; never looked at again.
    _memory: Arc<OwnedModule>,
}

impl Executable {
    /// Copies machine code into memory of its own and makes it executable. The first byte is the entry, which is a
    /// multiple of `alignment` (a power of two, at most a page).
    ///
    /// # Errors
    /// Where the system gives no executable memory.
    pub fn publish(code: &[u8], alignment: u64) -> Result<Executable, CodeMemoryError> {
        let mut published = Executable::publish_all(std::slice::from_ref(&code), alignment)?;
        published.pop().ok_or(CodeMemoryError::Empty)
    }

    /// The same for several functions that live and die together: they share a mapping, which costs more to make than
    /// small code does to write.
    ///
    /// # Errors
    /// As [`Executable::publish`].
    pub fn publish_all(codes: &[impl AsRef<[u8]>], alignment: u64) -> Result<Vec<Executable>, CodeMemoryError> {
        if codes.iter().any(|code| code.as_ref().is_empty()) {
            return Err(CodeMemoryError::Empty);
        }
        // One function to the module: it would give each a mapping of its own where they do not fit one page.
        let mut bytes: Vec<u8> = Vec::with_capacity(codes.iter().map(|code| code.as_ref().len() + PADDED).sum());
        let mut places = Vec::with_capacity(codes.len());
        for code in codes {
            bytes.resize(bytes.len().next_multiple_of(alignment as usize), 0);
            places.push(bytes.len());
            bytes.extend_from_slice(code.as_ref());
        }
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        let isa = host()?;
        let mut memory = OwnedModule::new(isa.clone());
        let refused = |error: ModuleError| CodeMemoryError::Refused(error.to_string());
        // The signature is a formality: nothing inside the module calls the function.
        let signature = Signature::new(CallConv::triple_default(isa.triple()));
        let id = memory.0.declare_anonymous_function(&signature).map_err(refused)?;
        memory.0.define_function_bytes(id, alignment, &bytes, &[]).map_err(refused)?;
        memory.0.finalize_definitions().map_err(refused)?;
        let start = memory.0.get_finalized_function(id);
        let memory = Arc::new(memory);
        let published = places.into_iter().zip(codes).map(|(place, code)| {
            let entry = start.wrapping_add(place);
            // SAFETY: a pointer to code is as large as a function pointer on every target Cranelift has, and not null.
            // That the bytes are a function of this type is what the caller of `call` vouches for.
            let function = unsafe { std::mem::transmute::<*const u8, PassFunction>(entry) };
            Executable { function, size: code.as_ref().len(), _memory: memory.clone() }
        });
        Ok(published.collect())
    }

    /// Calls the code.
    ///
    /// # Safety
    /// The published bytes are a function of type [`PassFunction`] for this machine, and the arguments are what that
    /// function asks for (for a compiled pass: [`crate::codegen::Code::run`]).
    #[inline]
    pub unsafe fn call(&self, operands: *const OperandArgument, span: usize, outer: usize) {
        // SAFETY: the mapping lives as long as `self`; the rest is the caller's.
        unsafe { (self.function)(operands, span, outer) }
    }

    /// The machine code, constants and padding included.
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

/// A module that frees its memory when dropped; `JITModule` on its own leaks it, by design.
struct OwnedModule(ManuallyDrop<JITModule>);

// SAFETY: once its code is published a module is only touched by its own `drop`, which has it to itself. Freeing is
// `munmap` or its like, which any thread may call.
unsafe impl Send for OwnedModule {}
// SAFETY: nobody does anything with a shared module but keep it.
unsafe impl Sync for OwnedModule {}

impl OwnedModule {
    fn new(isa: OwnedTargetIsa) -> OwnedModule {
        // Code that refers to nothing asks for no library function.
        let no_names = Box::new(|call: cranelift::codegen::ir::LibCall| call.to_string());
        OwnedModule(ManuallyDrop::new(JITModule::new(JITBuilder::with_isa(isa, no_names))))
    }
}

impl Drop for OwnedModule {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and never used after.
        let module = unsafe { ManuallyDrop::take(&mut self.0) };
        // SAFETY: the only pointers into the memory are those in `Executable`s, the last of which is being dropped (or
        // none was made); a call borrows its `Executable`, so none is running.
        unsafe { module.free_memory() };
    }
}

/// The host as Cranelift knows it, found once. Publishing asks it for alignments and the pointer width only, so the
/// level of the instruction set does not matter.
fn host() -> Result<&'static OwnedTargetIsa, CodeMemoryError> {
    static HOST: OnceLock<Result<OwnedTargetIsa, CodeMemoryError>> = OnceLock::new();
    let found = HOST.get_or_init(|| {
        let mut flags = settings::builder();
        flags.set("is_pic", "false").map_err(|error| CodeMemoryError::UnknownMachine(error.to_string()))?;
        cranelift_native::builder()
            .map_err(|what| CodeMemoryError::UnknownMachine(what.to_owned()))?
            .finish(settings::Flags::new(flags))
            .map_err(|error| CodeMemoryError::UnknownMachine(error.to_string()))
    });
    found.as_ref().map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_unchanged_at_the_alignment_asked_for() {
        for alignment in [1, 16, 64, 4096] {
            let code: Vec<u8> = (0..5000u32).map(|i| (i * 7) as u8).collect();
            let executable = Executable::publish(&code, alignment).expect("this machine runs generated code");
            assert_eq!(executable.bytes(), code);
            assert_eq!(executable.address() as u64 % alignment, 0);
        }
    }

    #[test]
    fn functions_published_together_stay_until_the_last_one_is_dropped() {
        let codes: [Vec<u8>; 3] = [vec![0xc3; 70], vec![0x90; 5000], vec![0xcc; 1]];
        let mut published = Executable::publish_all(&codes, 64).expect("this machine runs generated code");
        for (executable, code) in published.iter().zip(&codes) {
            assert_eq!(executable.bytes(), code);
            assert_eq!(executable.address() % 64, 0);
        }
        let last = published.pop().expect("there are three");
        drop(published);
        assert_eq!(last.bytes(), codes[2]);
        assert_eq!(Executable::publish_all(&[&codes[0][..], &[]], 16).map(|_| ()), Err(CodeMemoryError::Empty));
    }

    #[test]
    fn no_code_is_an_error() {
        assert_eq!(Executable::publish(&[], 16).map(|_| ()), Err(CodeMemoryError::Empty));
    }

    #[test]
    fn code_can_be_made_used_and_freed_on_different_threads() {
        fn crosses_threads<T: Send + Sync>() {}
        crosses_threads::<Executable>();
        let executable = Executable::publish(&[0xc3; 64], 16).expect("this machine runs generated code");
        std::thread::spawn(move || assert_eq!(executable.bytes().len(), 64)).join().expect("no panic");
    }

    /// Anonymous executable mappings of this process, in bytes.
    #[cfg(target_os = "linux")]
    fn executable_bytes() -> usize {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        maps.lines()
            .filter_map(|line| {
                // begin-end permissions offset device inode [path]
                let fields: Vec<&str> = line.split_whitespace().collect();
                let (begin, end) = fields[0].split_once('-')?;
                let [begin, end] = [begin, end].map(|place| usize::from_str_radix(place, 16).expect("an address"));
                (fields.len() == 5 && fields[1].contains('x')).then_some(end - begin)
            })
            .sum()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn code_is_executable_and_not_writable() {
        let executable = Executable::publish(&[0xc3; 100], 16).expect("this machine runs generated code");
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let permissions = maps.lines().find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (begin, end) = range.split_once('-')?;
            let [begin, end] = [begin, end].map(|place| usize::from_str_radix(place, 16).expect("an address"));
            (begin..end).contains(&executable.address()).then_some(&rest[..4])
        });
        assert_eq!(permissions, Some("r-xp"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn dropping_code_gives_its_memory_back() {
        let publish = || Executable::publish(&[0xc3; 100], 16).expect("this machine runs generated code");
        let kept: Vec<Executable> = (0..1000).map(|_| publish()).collect();
        assert!(executable_bytes() >= kept.len() * 4096, "every piece of code has a page of its own");
        drop(kept);
        (0..20_000).for_each(|_| drop(publish()));
        // Other tests of this process hold a few pieces of code beside this one; a leak would be 21 000 pages.
        assert!(executable_bytes() < 1000 * 4096);
    }
}
