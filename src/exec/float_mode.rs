//! The floating-point mode of a thread: rounding to nearest, subnormals kept, no traps.
//!
//! Every bit this library promises is computed in that mode. A host may run in another one (torch, ONNX Runtime and audio
//! hosts flush subnormals to zero), and worker threads need not share their caller's. So the mode is looked at wherever
//! code is entered, set only if it differs, and put back on the way out: [`FloatMode::enter`] at the border of a call and
//! of a compile (constants are folded there), and in each worker.

/// While it lives, the thread computes in the default floating-point mode.
pub(crate) struct FloatMode {
    /// What to put back.
    found: Option<control::Word>,
    /// The mode belongs to the thread.
    not_send: std::marker::PhantomData<*const ()>,
}

impl FloatMode {
    /// Looks at the mode, and sets the default one if it is another.
    #[inline(always)]
    pub(crate) fn enter() -> FloatMode {
        let word = control::read();
        let found = if control::is_default(word) { None } else { Some(FloatMode::set(word)) };
        FloatMode { found, not_send: std::marker::PhantomData }
    }

    #[cold]
    fn set(word: control::Word) -> control::Word {
        control::write(control::default_of(word));
        word
    }
}

impl Drop for FloatMode {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(word) = self.found {
            control::write(word);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    pub(super) type Word = u32;

    /// All that is no sticky flag: denormals are zero (bit 6), masks of exceptions (7 to 12), rounding (13, 14), flush to
    /// zero (15).
    const CONTROL: Word = 0xffc0;
    /// No flushing, all exceptions masked, to nearest.
    const DEFAULT: Word = 0x1f80;

    #[inline(always)]
    pub(super) fn is_default(word: Word) -> bool {
        word & CONTROL == DEFAULT
    }

    pub(super) fn default_of(word: Word) -> Word {
        word & !CONTROL | DEFAULT
    }

    #[inline(always)]
    pub(super) fn read() -> Word {
        let mut word: Word = 0;
        // SAFETY: stores MXCSR, four bytes, to a local.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack, preserves_flags)) };
        word
    }

    pub(super) fn write(word: Word) {
        // SAFETY: loads MXCSR from a local. Only control bits that the architecture defines are changed, or a word that was
        // read is put back. Rust code that runs in between is this library's own, in the mode Rust expects.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    pub(super) type Word = u64;

    #[inline(always)]
    pub(super) fn is_default(word: Word) -> bool {
        word == 0
    }

    pub(super) fn default_of(_word: Word) -> Word {
        0
    }

    #[inline(always)]
    pub(super) fn read() -> Word {
        let word: Word;
        // SAFETY: reads FPCR, the control register of floating-point arithmetic.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    pub(super) fn write(word: Word) {
        // SAFETY: 0 is the mode a program starts in; any other word was read before.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) type Word = ();

    pub(super) fn is_default(_word: Word) -> bool {
        true
    }

    pub(super) fn default_of(word: Word) -> Word {
        word
    }

    pub(super) fn read() -> Word {}

    pub(super) fn write(_word: Word) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    const OTHERS: [control::Word; 5] = [0x9fc0, 0x1f80 | 0x2000, 0x1f80 | 0x4000, 0x1f80 | 0x6000, 0x9fc0 | 0x6000];
    #[cfg(target_arch = "aarch64")]
    const OTHERS: [control::Word; 4] = [1 << 24, 1 << 22, 2 << 22, 3 << 22];

    #[test]
    fn another_mode_is_left_and_put_back() {
        let own = control::read();
        for other in OTHERS {
            control::write(other);
            let inside = {
                let _mode = FloatMode::enter();
                control::read()
            };
            let after = control::read();
            control::write(own);
            assert!(control::is_default(inside), "{other:#x}");
            assert_eq!(after, other);
        }
    }
}
