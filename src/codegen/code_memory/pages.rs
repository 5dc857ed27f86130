//! Mappings of the system, and what their pages may be used for.
//!
//! All pages of a mapping are readable and executable, but for those that are being filled. So a mapping is one entry in
//! the system's table whatever it holds, and three while a thread fills some of its pages. (On Linux neighbours merge only
//! if they belong to one `anon_vma`, which a mapping gets at its first store; that is why one is made right away.)

use super::error::CodeMemoryError;
use super::instruction_cache;
use region::{Allocation, Protection};
use std::ptr::NonNull;

/// What room between functions is filled with: it traps on x86-64 (`int3`), and four of it on AArch64 and RISC-V are no
/// instruction or, at worst, one nobody can be led to.
pub(super) const TRAP: u8 = if cfg!(target_arch = "x86_64") { 0xcc } else { 0 };

/// Bytes of a page.
pub(super) fn page_bytes() -> usize {
    region::page::size()
}

/// Whole pages, readable and executable.
pub(super) struct Mapping(Allocation);

fn refused(error: region::Error) -> CodeMemoryError {
    CodeMemoryError::Refused(error.to_string())
}

impl Mapping {
    /// A mapping of so many bytes, rounded up to whole pages.
    pub(super) fn new(bytes: usize) -> Result<Mapping, CodeMemoryError> {
        if !instruction_cache::CAN_BE_SYNCHRONISED {
            return Err(CodeMemoryError::UnknownMachine);
        }
        let mut allocation = region::alloc(bytes, Protection::READ_WRITE).map_err(refused)?;
        let start = allocation.as_mut_ptr::<u8>();
        // SAFETY: the first byte of pages that are this mapping's own and writable.
        unsafe { start.write_volatile(TRAP) };
        // SAFETY: as above; nobody knows of these pages.
        unsafe { region::protect(start, allocation.len(), Protection::READ_EXECUTE) }.map_err(refused)?;
        Ok(Mapping(allocation))
    }

    pub(super) fn start(&self) -> usize {
        self.0.as_ptr::<u8>() as usize
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Fills pages from byte `place` on with code, and what is left of the last page with traps. When this returns, every
    /// core that learns of the place sees the code.
    ///
    /// # Errors
    /// Where the system does not let the pages be written, or not be executed again.
    ///
    /// # Safety
    /// `place` is the beginning of pages of this mapping that hold no live code; `bytes` fit there.
    pub(super) unsafe fn fill(&mut self, place: usize, bytes: &[u8]) -> Result<NonNull<u8>, CodeMemoryError> {
        let filled = bytes.len().next_multiple_of(page_bytes());
        debug_assert!(place.is_multiple_of(page_bytes()) && place + filled <= self.bytes());
        let start = self.0.as_mut_ptr::<u8>().wrapping_add(place);
        // SAFETY: by the caller's promise nobody runs or reads these pages, and they are part of the mapping.
        unsafe {
            region::protect(start, filled, Protection::READ_WRITE).map_err(refused)?;
            start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            start.wrapping_add(bytes.len()).write_bytes(TRAP, filled - bytes.len());
            region::protect(start, filled, Protection::READ_EXECUTE).map_err(refused)?;
            instruction_cache::synchronise(start, filled);
        }
        NonNull::new(start).ok_or_else(|| CodeMemoryError::Refused("a mapping at address 0".to_owned()))
    }
}
