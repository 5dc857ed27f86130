//! What the two levels are made of: register files, widths, and the instruction of each operation by width and dtype.

use super::assemble::Address;
use crate::array::ComputeDtype;
use iced_x86::{Code, Register};
use std::arch::x86_64::__cpuid;

/// A level and a dtype: everything emission must know about the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// AVX-512 (zmm and mask registers) rather than AVX2 (ymm).
    pub(super) masks: bool,
    /// The dtype of lanes.
    pub(super) dtype: ComputeDtype,
    /// Whether there are conversions between float16 and float32.
    pub(super) half: bool,
    /// Instructions that the core has in flight, in effect ([`window`]).
    pub(super) window: usize,
}

/// How many instructions this core has in flight, in effect: those among which it finds some that are ready. Measured, as how many
/// bodies have to be interleaved until chains of dependent operations no longer wait: 350 on AMD's Zen 4 and Intel's Emerald
/// Rapids. Intel's Skylake servers (and Cascade Lake) keep all that wait in one scheduler of 97 entries, and 80 suits them:
/// 5 to 15 % for activations of 10 to 30 operations.
pub(super) fn window() -> usize {
    const SKYLAKE_SERVER: u32 = 0x5_0650;
    const FAMILY_AND_MODEL: u32 = 0x0fff_0ff0;
    // Leaf 0 says who made it: the registers hold "GenuineIntel".
    let intel = __cpuid(0).ebx == u32::from_le_bytes(*b"Genu");
    if intel && __cpuid(1).eax & FAMILY_AND_MODEL == SKYLAKE_SERVER { 80 } else { 350 }
}

impl Target {
    /// Bytes of a vector.
    pub(super) fn vector_bytes(self) -> usize {
        if self.masks { 64 } else { 32 }
    }

    /// Lanes of a vector.
    pub(super) fn lanes(self) -> usize {
        self.vector_bytes() / self.dtype.size()
    }

    /// How many vector registers there are.
    pub(super) fn vector_registers(self) -> u8 {
        if self.masks { 32 } else { 16 }
    }

    /// A vector register of full width.
    pub(super) fn vector(self, number: u8) -> Register {
        let first = if self.masks { Register::ZMM0 } else { Register::YMM0 };
        first + u32::from(number)
    }

    /// The instruction of an operation.
    pub(super) fn code(self, simd: Simd) -> Code {
        let codes = simd.codes();
        codes[usize::from(self.masks) * 2 + usize::from(self.dtype == ComputeDtype::F64)]
    }

    /// The address of one element as the operand of an operation on vectors: AVX-512 repeats it in every lane; on AVX2
    /// it has to be a whole vector.
    pub(super) fn constant(self, address: Address) -> Address {
        if self.masks { address.broadcast() } else { address }
    }
}

/// A mask register.
pub(super) fn mask(number: u8) -> Register {
    Register::K0 + u32::from(number)
}

macro_rules! simd_table {
    ($( $variant:ident: $f32_256:ident, $f64_256:ident, $f32_512:ident, $f64_512:ident; )*) => {
        /// An operation on vectors that is one instruction at either level.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Simd { $($variant),* }

        impl Simd {
            /// The instructions: AVX2 for float32 and float64, AVX-512 for float32 and float64.
            fn codes(self) -> [Code; 4] {
                match self { $( Simd::$variant => [Code::$f32_256, Code::$f64_256, Code::$f32_512, Code::$f64_512], )* }
            }
        }
    };
}

simd_table! {
    Add: VEX_Vaddps_ymm_ymm_ymmm256, VEX_Vaddpd_ymm_ymm_ymmm256, EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er;
    Sub: VEX_Vsubps_ymm_ymm_ymmm256, VEX_Vsubpd_ymm_ymm_ymmm256, EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vsubpd_zmm_k1z_zmm_zmmm512b64_er;
    Mul: VEX_Vmulps_ymm_ymm_ymmm256, VEX_Vmulpd_ymm_ymm_ymmm256, EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vmulpd_zmm_k1z_zmm_zmmm512b64_er;
    Div: VEX_Vdivps_ymm_ymm_ymmm256, VEX_Vdivpd_ymm_ymm_ymmm256, EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vdivpd_zmm_k1z_zmm_zmmm512b64_er;
    Min: VEX_Vminps_ymm_ymm_ymmm256, VEX_Vminpd_ymm_ymm_ymmm256, EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae, EVEX_Vminpd_zmm_k1z_zmm_zmmm512b64_sae;
    Max: VEX_Vmaxps_ymm_ymm_ymmm256, VEX_Vmaxpd_ymm_ymm_ymmm256, EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae, EVEX_Vmaxpd_zmm_k1z_zmm_zmmm512b64_sae;
    Sqrt: VEX_Vsqrtps_ymm_ymmm256, VEX_Vsqrtpd_ymm_ymmm256, EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er, EVEX_Vsqrtpd_zmm_k1z_zmmm512b64_er;
    Round: VEX_Vroundps_ymm_ymmm256_imm8, VEX_Vroundpd_ymm_ymmm256_imm8, EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, EVEX_Vrndscalepd_zmm_k1z_zmmm512b64_imm8_sae;
    FloatAnd: VEX_Vandps_ymm_ymm_ymmm256, VEX_Vandpd_ymm_ymm_ymmm256, EVEX_Vandps_zmm_k1z_zmm_zmmm512b32, EVEX_Vandpd_zmm_k1z_zmm_zmmm512b64;
    FloatXor: VEX_Vxorps_ymm_ymm_ymmm256, VEX_Vxorpd_ymm_ymm_ymmm256, EVEX_Vxorps_zmm_k1z_zmm_zmmm512b32, EVEX_Vxorpd_zmm_k1z_zmm_zmmm512b64;
    FloatOr: VEX_Vorps_ymm_ymm_ymmm256, VEX_Vorpd_ymm_ymm_ymmm256, EVEX_Vorps_zmm_k1z_zmm_zmmm512b32, EVEX_Vorpd_zmm_k1z_zmm_zmmm512b64;
    And: VEX_Vpand_ymm_ymm_ymmm256, VEX_Vpand_ymm_ymm_ymmm256, EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpandq_zmm_k1z_zmm_zmmm512b64;
    AndNot: VEX_Vpandn_ymm_ymm_ymmm256, VEX_Vpandn_ymm_ymm_ymmm256, EVEX_Vpandnd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpandnq_zmm_k1z_zmm_zmmm512b64;
    Or: VEX_Vpor_ymm_ymm_ymmm256, VEX_Vpor_ymm_ymm_ymmm256, EVEX_Vpord_zmm_k1z_zmm_zmmm512b32, EVEX_Vporq_zmm_k1z_zmm_zmmm512b64;
    Xor: VEX_Vpxor_ymm_ymm_ymmm256, VEX_Vpxor_ymm_ymm_ymmm256, EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, EVEX_Vpxorq_zmm_k1z_zmm_zmmm512b64;
    IntAdd: VEX_Vpaddd_ymm_ymm_ymmm256, VEX_Vpaddq_ymm_ymm_ymmm256, EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpaddq_zmm_k1z_zmm_zmmm512b64;
    IntSub: VEX_Vpsubd_ymm_ymm_ymmm256, VEX_Vpsubq_ymm_ymm_ymmm256, EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32, EVEX_Vpsubq_zmm_k1z_zmm_zmmm512b64;
    ShiftLeft: VEX_Vpslld_ymm_ymm_imm8, VEX_Vpsllq_ymm_ymm_imm8, EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8, EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8;
    ShiftRight: VEX_Vpsrld_ymm_ymm_imm8, VEX_Vpsrlq_ymm_ymm_imm8, EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8, EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8;
    Compare: VEX_Vcmpps_ymm_ymm_ymmm256_imm8, VEX_Vcmppd_ymm_ymm_ymmm256_imm8, EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae, EVEX_Vcmppd_kr_k1_zmm_zmmm512b64_imm8_sae;
    Blend: VEX_Vblendvps_ymm_ymm_ymmm256_ymm, VEX_Vblendvpd_ymm_ymm_ymmm256_ymm, EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32, EVEX_Vblendmpd_zmm_k1z_zmm_zmmm512b64;
    Fma132: VEX_Vfmadd132ps_ymm_ymm_ymmm256, VEX_Vfmadd132pd_ymm_ymm_ymmm256, EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd132pd_zmm_k1z_zmm_zmmm512b64_er;
    Fma213: VEX_Vfmadd213ps_ymm_ymm_ymmm256, VEX_Vfmadd213pd_ymm_ymm_ymmm256, EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd213pd_zmm_k1z_zmm_zmmm512b64_er;
    Fma231: VEX_Vfmadd231ps_ymm_ymm_ymmm256, VEX_Vfmadd231pd_ymm_ymm_ymmm256, EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmadd231pd_zmm_k1z_zmm_zmmm512b64_er;
    Fms132: VEX_Vfmsub132ps_ymm_ymm_ymmm256, VEX_Vfmsub132pd_ymm_ymm_ymmm256, EVEX_Vfmsub132ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmsub132pd_zmm_k1z_zmm_zmmm512b64_er;
    Fms213: VEX_Vfmsub213ps_ymm_ymm_ymmm256, VEX_Vfmsub213pd_ymm_ymm_ymmm256, EVEX_Vfmsub213ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmsub213pd_zmm_k1z_zmm_zmmm512b64_er;
    Fms231: VEX_Vfmsub231ps_ymm_ymm_ymmm256, VEX_Vfmsub231pd_ymm_ymm_ymmm256, EVEX_Vfmsub231ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfmsub231pd_zmm_k1z_zmm_zmmm512b64_er;
    Fnma132: VEX_Vfnmadd132ps_ymm_ymm_ymmm256, VEX_Vfnmadd132pd_ymm_ymm_ymmm256, EVEX_Vfnmadd132ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfnmadd132pd_zmm_k1z_zmm_zmmm512b64_er;
    Fnma213: VEX_Vfnmadd213ps_ymm_ymm_ymmm256, VEX_Vfnmadd213pd_ymm_ymm_ymmm256, EVEX_Vfnmadd213ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfnmadd213pd_zmm_k1z_zmm_zmmm512b64_er;
    Fnma231: VEX_Vfnmadd231ps_ymm_ymm_ymmm256, VEX_Vfnmadd231pd_ymm_ymm_ymmm256, EVEX_Vfnmadd231ps_zmm_k1z_zmm_zmmm512b32_er, EVEX_Vfnmadd231pd_zmm_k1z_zmm_zmmm512b64_er;
    FromInteger: VEX_Vcvtdq2ps_ymm_ymmm256, INVALID, EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, INVALID;
    ToInteger: VEX_Vcvtps2dq_ymm_ymmm256, INVALID, EVEX_Vcvtps2dq_zmm_k1z_zmmm512b32_er, INVALID;
    FromUnsigned: INVALID, INVALID, EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er, INVALID;
    ToUnsigned: INVALID, INVALID, EVEX_Vcvtps2udq_zmm_k1z_zmmm512b32_er, INVALID;
    Ternary: INVALID, INVALID, EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8, EVEX_Vpternlogq_zmm_k1z_zmm_zmmm512b64_imm8;
    Move: VEX_Vmovups_ymm_ymmm256, VEX_Vmovups_ymm_ymmm256, EVEX_Vmovups_zmm_k1z_zmmm512, EVEX_Vmovupd_zmm_k1z_zmmm512;
    PutPast: VEX_Vmovntps_m256_ymm, VEX_Vmovntpd_m256_ymm, EVEX_Vmovntps_m512_zmm, EVEX_Vmovntpd_m512_zmm;
    Put: VEX_Vmovups_ymmm256_ymm, VEX_Vmovups_ymmm256_ymm, EVEX_Vmovups_zmmm512_k1z_zmm, EVEX_Vmovupd_zmmm512_k1z_zmm;
    Broadcast: VEX_Vbroadcastss_ymm_m32, VEX_Vbroadcastsd_ymm_m64, EVEX_Vbroadcastss_zmm_k1z_xmmm32, EVEX_Vbroadcastsd_zmm_k1z_xmmm64;
}
