//! Making new code visible where instruction caches do not look at stores.
//!
//! x86-64 and s390x keep instruction caches coherent. On AArch64 the writer cleans its data cache to where the caches meet and
//! has the lines dropped from all instruction caches; cores that fetched ahead are made to start over, by the system. RISC-V
//! leaves all of it to the system. Elsewhere nothing is known to work, and no code is published.

/// Whether this machine can be made to see new code.
pub(super) const CAN_BE_SYNCHRONISED: bool = cfg!(any(
    target_arch = "x86_64",
    target_arch = "s390x",
    all(target_arch = "aarch64", any(target_os = "linux", target_os = "android", target_vendor = "apple", windows)),
    all(target_arch = "riscv64", target_os = "linux"),
));

/// Makes code written to `bytes` bytes from `start` on visible to all cores.
///
/// # Safety
/// The bytes are readable.
pub(super) unsafe fn synchronise(start: *const u8, bytes: usize) {
    #[cfg(all(target_arch = "aarch64", any(target_os = "linux", target_os = "android")))]
    // SAFETY: the caller's promise.
    unsafe {
        aarch64::clean_and_drop(start as usize, bytes);
        aarch64::restart_other_cores();
    }
    #[cfg(all(target_arch = "aarch64", target_vendor = "apple"))]
    {
        unsafe extern "C" {
            fn sys_icache_invalidate(start: *const core::ffi::c_void, bytes: usize);
        }
        // SAFETY: a function of the system's library, for readable memory.
        unsafe { sys_icache_invalidate(start.cast(), bytes) };
    }
    #[cfg(all(target_arch = "aarch64", windows))]
    {
        #[link(name = "kernel32")]
        unsafe extern "system" {
            fn GetCurrentProcess() -> *mut core::ffi::c_void;
            fn FlushInstructionCache(
                process: *mut core::ffi::c_void,
                start: *const core::ffi::c_void,
                bytes: usize,
            ) -> i32;
        }
        // SAFETY: functions of the system, for memory of this process.
        unsafe { FlushInstructionCache(GetCurrentProcess(), start.cast(), bytes) };
    }
    #[cfg(all(target_arch = "riscv64", target_os = "linux"))]
    {
        const RISCV_FLUSH_ICACHE: libc::c_long = 259;
        let (from, to, all_cores) = (start as usize, start as usize + bytes, 0usize);
        // SAFETY: a system call that touches no memory of the program.
        unsafe { libc::syscall(RISCV_FLUSH_ICACHE, from, to, all_cores) };
    }
    let _ = (start, bytes);
}

#[cfg(all(target_arch = "aarch64", any(target_os = "linux", target_os = "android")))]
mod aarch64 {
    use std::arch::asm;
    use std::sync::Once;

    /// Cleans the data cache to the point of unification, and drops the lines from instruction caches of all cores.
    ///
    /// # Safety
    /// The bytes are readable.
    pub(super) unsafe fn clean_and_drop(start: usize, bytes: usize) {
        let cache_type: usize;
        // SAFETY: the register may be read in user mode.
        unsafe { asm!("mrs {}, ctr_el0", out(reg) cache_type, options(nomem, nostack, preserves_flags)) };
        // The logarithms of the shortest lines of all caches, in words of four bytes.
        let data_line = 4usize << (cache_type >> 16 & 15);
        let instruction_line = 4usize << (cache_type & 15);
        let end = start + bytes;
        // SAFETY: these instructions act on readable memory, whose contents they leave as they are.
        unsafe {
            for line in (start & !(data_line - 1)..end).step_by(data_line) {
                asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags));
            }
            asm!("dsb ish", options(nostack, preserves_flags));
            for line in (start & !(instruction_line - 1)..end).step_by(instruction_line) {
                asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags));
            }
            asm!("dsb ish", "isb", options(nostack, preserves_flags));
        }
    }

    /// Has all cores that run this process forget what they fetched ahead. Kernels before 4.16 cannot; there, the way to a
    /// core that learns of new code leads through a barrier and an indirect jump, which is as much as a program can do.
    pub(super) fn restart_other_cores() {
        const SYNC_CORE: libc::c_int = 1 << 5;
        const REGISTER_SYNC_CORE: libc::c_int = 1 << 6;
        static REGISTER: Once = Once::new();
        let membarrier = |command: libc::c_int| {
            // SAFETY: a system call that touches no memory of the program.
            unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }
        };
        REGISTER.call_once(|| _ = membarrier(REGISTER_SYNC_CORE));
        let _ = membarrier(SYNC_CORE);
    }
}
