//! Instruction-set levels as values: a level exists only where the host has it.
//!
//! Levels matter in two places. Lowering asks once whether there is a fused multiply-add ([`Isa::has_fma`]), the only
//! property of a machine that may change bits. Backends ask what they may emit. Tests run every level of the host by
//! walking [`Isa::available`].

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// An instruction-set level of the host, from least to most capable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Isa {
    /// What every machine of the architecture can be asked for: SSE4.2 on x86-64 (no FMA), the base set elsewhere.
    Baseline,
    /// x86-64 with AVX and FMA, 128 bits wide.
    AvxFma,
    /// x86-64 with AVX2 and FMA, 256 bits wide.
    Avx2,
    /// x86-64 with AVX-512 F, VL, DQ and BW, 512 bits wide.
    Avx512,
}

impl Isa {
    const ALL: [Isa; 4] = [Isa::Baseline, Isa::AvxFma, Isa::Avx2, Isa::Avx512];

    /// The best level of the host.
    pub fn detect() -> Isa {
        Isa::available().last().unwrap_or(Isa::Baseline)
    }

    /// Every level of the host, least capable first.
    pub fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|level| level.is_available())
    }

    /// Whether the host has the level.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Baseline => true,
            Isa::AvxFma => is_x86_feature_detected!("avx") && is_x86_feature_detected!("fma"),
            Isa::Avx2 => Isa::AvxFma.is_available() && is_x86_feature_detected!("avx2"),
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
        }
    }

    /// Whether the host has the level.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Isa::Baseline
    }

    /// Whether code of this level has a fused multiply-add instruction.
    pub fn has_fma(self) -> bool {
        if cfg!(target_arch = "x86_64") { self >= Isa::AvxFma } else { cfg!(target_arch = "aarch64") }
    }

    /// The name users write: in `FUSELET_ISA`, in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Baseline => "baseline",
            Isa::AvxFma => "avx-fma",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// The level of this name, whether or not the host has it.
    pub fn by_name(name: &str) -> Option<Isa> {
        Isa::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The text names no instruction-set level.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is no instruction-set level; use one of baseline, avx-fma, avx2, avx512")]
pub struct UnknownIsa {
    /// The text.
    pub name: String,
}

/// ```
/// use fuselet::Isa;
/// assert_eq!("avx-fma".parse(), Ok(Isa::AvxFma));
/// assert_eq!("sse".parse::<Isa>().unwrap_err().name, "sse");
/// ```
impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Isa, UnknownIsa> {
        Isa::by_name(name).ok_or_else(|| UnknownIsa { name: name.to_owned() })
    }
}
