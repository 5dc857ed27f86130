//! What Cranelift is told about the machine, and what the code written here needs to know of it.

use crate::codegen::backend::BackendError;
use crate::codegen::isa::Isa;
use cranelift::codegen::isa::OwnedTargetIsa;
use cranelift::codegen::settings::{self, Configurable as _, SetError};

/// A machine at one level of its instruction set.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) isa: OwnedTargetIsa,
    /// The level code is made for; nothing above [`Isa::AvxFma`], since Cranelift's vectors end at 128 bits.
    pub(super) level: Isa,
    /// Whether the machine is an x86-64, where some operations are better spelled differently.
    pub(super) x86: bool,
    /// Whether rounding to integers and blending by sign bits are instructions.
    pub(super) has_rounding: bool,
    /// Whether the host has registers wider than 128 bits, whose upper halves may be dirty when code is entered.
    pub(super) has_upper_halves: bool,
}

impl Target {
    pub(super) fn new(level: Isa) -> Result<Target, BackendError> {
        let unavailable = |reason: String| BackendError::Unavailable { backend: "cranelift".to_owned(), reason };
        if !level.is_available() {
            return Err(unavailable(format!("this machine does not have {level}")));
        }
        let level = level.min(Isa::AvxFma);
        let setting = |error: SetError| unavailable(error.to_string());
        let mut flags = settings::builder();
        for (name, value) in [
            // Values are placed and shared by lane programs and by `body`; the optimiser would hoist every constant,
            // run out of registers and spill.
            ("opt_level", "none"),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
            ("is_pic", "false"),
            // Code calls nothing and unwinds nothing.
            ("unwind_info", "false"),
            // Bodies with thousands of values may spill more than a page: touch the stack page by page.
            ("enable_probestack", "true"),
            ("probestack_strategy", "inline"),
        ] {
            flags.set(name, value).map_err(setting)?;
        }
        let x86 = cfg!(target_arch = "x86_64");
        // On x86-64 a level names its instructions; elsewhere everything the host has is the base set.
        let mut builder = cranelift_native::builder_with_options(!x86).map_err(|what| unavailable(what.to_owned()))?;
        #[cfg(target_arch = "x86_64")]
        let (has_rounding, has_upper_halves) = (is_x86_feature_detected!("sse4.2"), is_x86_feature_detected!("avx"));
        #[cfg(not(target_arch = "x86_64"))]
        let (has_rounding, has_upper_halves) = (true, false);
        if x86 {
            let wanted: &[&str] = match level {
                Isa::Baseline if has_rounding => &["sse42"],
                Isa::Baseline => &[],
                _ => &["sse42", "has_avx", "has_fma"],
            };
            for name in wanted {
                builder.enable(name).map_err(setting)?;
            }
        }
        let isa = builder.finish(settings::Flags::new(flags)).map_err(|error| unavailable(error.to_string()))?;
        Ok(Target { isa, level, x86, has_rounding, has_upper_halves })
    }

    /// How many vector registers there are.
    pub(super) fn vector_registers(&self) -> usize {
        if self.x86 { 16 } else { 32 }
    }
}
