//! Machine programs: what instruction selection writes and the register allocator reads.
//!
//! A [`Node`] is one operation of the machine, or one of a few operations that take several instructions (a strided
//! load, taking into an accumulator), on values that have a [`Class`] but no register yet. Values are of two sorts:
//! **locals** are made by a node and used by later ones of the same body; **residents** are constants and the results of
//! the preheader, have a home in memory, and are the same in every body and iteration.

use super::conversion::{Loading, Storing};
use super::target::Simd;
use crate::lane::ReductionOperator;
use iced_x86::Code;

/// A value of a machine program: a local by its number, or a resident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ValueId(u32);

impl ValueId {
    const RESIDENT: u32 = 1 << 31;
    /// No value.
    pub(super) const NONE: ValueId = ValueId(u32::MAX);

    pub(super) fn local(index: usize) -> ValueId {
        ValueId(index as u32)
    }

    pub(super) fn resident(index: usize) -> ValueId {
        ValueId(index as u32 | ValueId::RESIDENT)
    }

    pub(super) fn is_resident(self) -> bool {
        self != ValueId::NONE && self.0 & ValueId::RESIDENT != 0
    }

    pub(super) fn is_local(self) -> bool {
        self.0 & ValueId::RESIDENT == 0
    }

    /// The number within its sort.
    pub(super) fn index(self) -> usize {
        (self.0 & !ValueId::RESIDENT) as usize
    }
}

/// The register file a value lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// ymm or zmm; on AVX2 masks too.
    Vector,
    /// k, on AVX-512.
    Mask,
}

/// The three forms of a fused multiply-add: which operand is overwritten, which may be memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FusedForms {
    /// `a ← a · m + b`.
    pub(super) form132: Simd,
    /// `a ← b · a + m`.
    pub(super) form213: Simd,
    /// `a ← b · m + a`.
    pub(super) form231: Simd,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Two vectors to one; the second may be memory.
    Binary { simd: Simd, commutative: bool },
    /// Two vectors to one where a mask (third) is set, else a vector (fourth), which it overwrites.
    Merge { simd: Simd },
    /// √, or rounding with an immediate.
    Unary { simd: Simd, immediate: Option<u8> },
    /// A shift by a constant.
    Shift { simd: Simd, count: u8 },
    /// Multiply and add; overwrites one of its operands.
    Fused(FusedForms),
    /// A mask from two vectors.
    Compare { predicate: u8 },
    /// Second where the first (a mask), else third.
    Select,
    /// Any Boolean function of three vectors, by its table; overwrites its first operand.
    Ternary { table: u8 },
    /// Two mask registers to one.
    MaskLogic { code: Code },
    /// A mask register inverted.
    MaskNot,
    /// A mask register with all bits clear or set.
    MaskConstant { set: bool },
    /// Loads lanes of an operand (contiguous, strided).
    Load { operand: usize, loading: Loading },
    /// Loads one element into every lane (preheader).
    LoadBroadcast { operand: usize, loading: Loading },
    /// Stores lanes to an operand.
    Store { operand: usize, storing: Storing },
    /// Takes lanes into an accumulator.
    Accumulate { accumulator: usize, combine: ReductionOperator },
    /// Writes a preheader value to its resident.
    Export { resident: usize },
}

/// One operation on values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) action: Action,
    /// The values read; [`ValueId::NONE`] past their number.
    pub(super) arguments: [ValueId; 4],
    /// The local made, or [`ValueId::NONE`].
    pub(super) result: ValueId,
    /// The register file of the result.
    pub(super) class: Class,
}

impl Node {
    /// The values read.
    pub(super) fn arguments(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.arguments.iter().copied().filter(|value| *value != ValueId::NONE)
    }
}

/// A value with a home in memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resident {
    /// The same bits in all lanes: an entry of the pool.
    Constant {
        /// Which.
        bits: u64,
    },
    /// Computed once a span.
    Uniform {
        /// Where it lives between.
        class: Class,
    },
}

/// An accumulator of the pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accumulator {
    /// Its place among the operands.
    pub(super) operand: usize,
    /// How it takes in values.
    pub(super) combine: ReductionOperator,
}

/// A pass after instruction selection.
#[derive(Debug)]
pub(super) struct Selection {
    /// Runs once a span.
    pub(super) preheader: Vec<Node>,
    /// Runs once a vector of lanes.
    pub(super) body: Vec<Node>,
    /// How many locals each has.
    pub(super) preheader_locals: usize,
    pub(super) body_locals: usize,
    /// Constants and uniforms.
    pub(super) residents: Vec<Resident>,
    pub(super) accumulators: Vec<Accumulator>,
}
