//! How elements become lanes, and lanes elements: what each dtype has instructions for at each level.
//!
//! A load is one instruction that widens, from memory (two for bfloat16), and at most one operation on lanes behind it; a store is some operations on lanes
//! and one of few ways to narrow a vector. What has neither here is written as lane ops before selection
//! ([`crate::lane::expand_operands`]), and only the bits of its elements are moved. All of it means what
//! [`crate::array::Dtype`] says, bit for bit.
//!
//! What hardware has and does not serve: `vcvtneps2bf16` takes subnormals for zeros; conversions from float64 to float16 by way of
//! float32 round twice.

use super::target::{Simd, Target};
use crate::array::{ComputeDtype, Dtype};
use crate::lane::{Operand, Role};
use iced_x86::Code;

/// What a load makes of the elements of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    /// Lanes are what lies there.
    Whole,
    /// Integers with zeros above.
    ZeroExtended,
    /// Integers with their signs above.
    SignExtended,
    /// float32 from bfloat16, their upper halves; an instruction more shifts them there.
    FromUpperHalf,
    /// float32 from float16.
    FromHalf,
    /// float64 from float32.
    FromSingle,
    /// float64 from 32-bit signed integers.
    FromIntegers,
}

/// What a store makes of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storing {
    /// Lanes are what is to lie there.
    Whole,
    /// The low bits of integers.
    Truncated,
    /// The upper half of each lane, of two bytes.
    UpperHalf,
    /// float16 from float32.
    ToHalf,
    /// float32 from float64.
    ToSingle,
}

/// Operations on lanes before a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// None.
    Nothing,
    /// To 32-bit signed integers.
    ToInteger,
    /// To 32-bit unsigned integers, on AVX-512.
    ToUnsigned,
}

/// How elements of a dtype are loaded as lanes, and the operation behind it, if instructions do it.
pub(super) fn loading(target: Target, dtype: Dtype) -> Option<(Loading, Option<Simd>)> {
    match (target.dtype, dtype) {
        (lane, dtype) if dtype == lane.storage() => Some((Loading::Whole, None)),
        (ComputeDtype::F32, Dtype::F16) => target.half.then_some((Loading::FromHalf, None)),
        (ComputeDtype::F32, Dtype::Bf16) => Some((Loading::FromUpperHalf, None)),
        (ComputeDtype::F32, Dtype::I8 | Dtype::I16) => Some((Loading::SignExtended, Some(Simd::FromInteger))),
        (ComputeDtype::F32, Dtype::U8 | Dtype::U16) => Some((Loading::ZeroExtended, Some(Simd::FromInteger))),
        (ComputeDtype::F32, Dtype::I32) => Some((Loading::Whole, Some(Simd::FromInteger))),
        (ComputeDtype::F32, Dtype::U32) => target.masks.then_some((Loading::Whole, Some(Simd::FromUnsigned))),
        (ComputeDtype::F64, Dtype::F32) => Some((Loading::FromSingle, None)),
        (ComputeDtype::F64, Dtype::I32) => Some((Loading::FromIntegers, None)),
        _ => None,
    }
}

/// How the bits of elements are loaded.
pub(super) fn loading_bits(target: Target, dtype: Dtype) -> Loading {
    if dtype.size() == target.dtype.size() { Loading::Whole } else { Loading::ZeroExtended }
}

/// How lanes are stored as elements of a dtype, and the operations before it, if instructions do it.
pub(super) fn storing(target: Target, dtype: Dtype) -> Option<(Storing, Rounding)> {
    match (target.dtype, dtype) {
        (lane, dtype) if dtype == lane.storage() => Some((Storing::Whole, Rounding::Nothing)),
        (ComputeDtype::F32, Dtype::F16) => target.half.then_some((Storing::ToHalf, Rounding::Nothing)),
        (ComputeDtype::F32, Dtype::I32) => Some((Storing::Whole, Rounding::ToInteger)),
        (ComputeDtype::F32, Dtype::U32) => target.masks.then_some((Storing::Whole, Rounding::ToUnsigned)),
        (ComputeDtype::F64, Dtype::F32) => Some((Storing::ToSingle, Rounding::Nothing)),
        _ => None,
    }
}

/// How the low bits of lanes are stored.
pub(super) fn storing_bits(target: Target, dtype: Dtype) -> Storing {
    if dtype.size() == target.dtype.size() { Storing::Whole } else { Storing::Truncated }
}

/// Whether instructions convert an operand's elements.
pub(super) fn is_native(target: Target, operand: &Operand) -> bool {
    match operand.role {
        Role::Read => loading(target, operand.dtype).is_some(),
        Role::Write => storing(target, operand.dtype).is_some(),
        Role::Accumulate | Role::Prefetch => true,
    }
}

impl Loading {
    /// The instruction that loads elements of so many bytes, fewer than a lane's.
    pub(super) fn code(self, target: Target, size: usize) -> Code {
        let [narrow, wide] = match (self, target.dtype, size) {
            (Loading::ZeroExtended, ComputeDtype::F32, 1) => {
                [Code::VEX_Vpmovzxbd_ymm_xmmm64, Code::EVEX_Vpmovzxbd_zmm_k1z_xmmm128]
            }
            (Loading::FromUpperHalf, ..) | (Loading::ZeroExtended, ComputeDtype::F32, _) => {
                [Code::VEX_Vpmovzxwd_ymm_xmmm128, Code::EVEX_Vpmovzxwd_zmm_k1z_ymmm256]
            }
            (Loading::ZeroExtended, ComputeDtype::F64, 1) => {
                [Code::VEX_Vpmovzxbq_ymm_xmmm32, Code::EVEX_Vpmovzxbq_zmm_k1z_xmmm64]
            }
            (Loading::ZeroExtended, ComputeDtype::F64, 2) => {
                [Code::VEX_Vpmovzxwq_ymm_xmmm64, Code::EVEX_Vpmovzxwq_zmm_k1z_xmmm128]
            }
            (Loading::ZeroExtended, ComputeDtype::F64, _) => {
                [Code::VEX_Vpmovzxdq_ymm_xmmm128, Code::EVEX_Vpmovzxdq_zmm_k1z_ymmm256]
            }
            (Loading::SignExtended, _, 1) => [Code::VEX_Vpmovsxbd_ymm_xmmm64, Code::EVEX_Vpmovsxbd_zmm_k1z_xmmm128],
            (Loading::SignExtended, ..) => [Code::VEX_Vpmovsxwd_ymm_xmmm128, Code::EVEX_Vpmovsxwd_zmm_k1z_ymmm256],
            (Loading::FromHalf, ..) => [Code::VEX_Vcvtph2ps_ymm_xmmm128, Code::EVEX_Vcvtph2ps_zmm_k1z_ymmm256_sae],
            (Loading::FromSingle, ..) => [Code::VEX_Vcvtps2pd_ymm_xmmm128, Code::EVEX_Vcvtps2pd_zmm_k1z_ymmm256b32_sae],
            (Loading::FromIntegers, ..) => {
                [Code::VEX_Vcvtdq2pd_ymm_xmmm128, Code::EVEX_Vcvtdq2pd_zmm_k1z_ymmm256b32_er]
            }
            (Loading::Whole, ..) => unreachable!("whole lanes are moved"),
        };
        if target.masks { wide } else { narrow }
    }
}

impl Storing {
    /// The instruction that narrows a vector to elements of so many bytes, to a register or to memory, if there is one.
    pub(super) fn code(self, target: Target, size: usize) -> Option<Code> {
        match (self, target.masks, target.dtype, size) {
            (Storing::Truncated, true, ComputeDtype::F32, 1) => Some(Code::EVEX_Vpmovdb_xmmm128_k1z_zmm),
            (Storing::Truncated, true, ComputeDtype::F32, _) => Some(Code::EVEX_Vpmovdw_ymmm256_k1z_zmm),
            (Storing::Truncated, true, ComputeDtype::F64, 1) => Some(Code::EVEX_Vpmovqb_xmmm64_k1z_zmm),
            (Storing::Truncated, true, ComputeDtype::F64, 2) => Some(Code::EVEX_Vpmovqw_xmmm128_k1z_zmm),
            (Storing::Truncated, true, ComputeDtype::F64, _) => Some(Code::EVEX_Vpmovqd_ymmm256_k1z_zmm),
            (Storing::ToHalf, true, ..) => Some(Code::EVEX_Vcvtps2ph_ymmm256_k1z_zmm_imm8_sae),
            (Storing::ToHalf, false, ..) => Some(Code::VEX_Vcvtps2ph_xmmm128_ymm_imm8),
            (Storing::Truncated, false, ..) | (Storing::UpperHalf | Storing::ToSingle | Storing::Whole, ..) => None,
        }
    }
}
