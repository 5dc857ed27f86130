//! Vectors of `std::arch` behind one trait, so that a kernel is written by hand once and compiled at 128 and at 512 bits.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// The instructions the hand-written kernels use.
///
/// # Safety
/// All methods: the CPU has the instructions, and the caller is a function of that target feature. Pointers are valid
/// for `WIDTH` elements.
#[allow(clippy::missing_safety_doc, reason = "said above for all")]
pub unsafe trait Lanes: Copy {
    const WIDTH: usize;
    unsafe fn load(pointer: *const f32) -> Self;
    unsafe fn store(self, pointer: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self · factor + addend`, rounded once.
    unsafe fn fma(self, factor: Self, addend: Self) -> Self;
    /// `self · factor − subtrahend`, rounded once.
    unsafe fn fms(self, factor: Self, subtrahend: Self) -> Self;
    /// `addend − self · factor`, rounded once.
    unsafe fn fnma(self, factor: Self, addend: Self) -> Self;
    /// `self < other ? self : other`.
    unsafe fn min(self, other: Self) -> Self;
    /// `self > other ? self : other`.
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn abs(self) -> Self;
    /// The sign of `sign` added to the bits of `self`.
    unsafe fn or_sign(self, sign: Self) -> Self;
    /// The bits moved up into the exponent: 2ⁿ of a number rounded by the magic constant.
    unsafe fn power_of_two(self) -> Self;
    /// `self < 0 ? negative : other`.
    unsafe fn if_negative(self, negative: Self, other: Self) -> Self;
    /// The greatest lane.
    unsafe fn greatest(self) -> f32;
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Lanes4(__m128);

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Lanes16(__m512);

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each is the trait's promise")]
// SAFETY: each method is the instruction it is named after.
unsafe impl Lanes for Lanes4 {
    const WIDTH: usize = 4;
    #[inline(always)] unsafe fn load(pointer: *const f32) -> Self { unsafe { Lanes4(_mm_loadu_ps(pointer)) } }
    #[inline(always)] unsafe fn store(self, pointer: *mut f32) { unsafe { _mm_storeu_ps(pointer, self.0) } }
    #[inline(always)] unsafe fn splat(value: f32) -> Self { unsafe { Lanes4(_mm_set1_ps(value)) } }
    #[inline(always)] unsafe fn add(self, other: Self) -> Self { unsafe { Lanes4(_mm_add_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn sub(self, other: Self) -> Self { unsafe { Lanes4(_mm_sub_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn mul(self, other: Self) -> Self { unsafe { Lanes4(_mm_mul_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn div(self, other: Self) -> Self { unsafe { Lanes4(_mm_div_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn fma(self, factor: Self, addend: Self) -> Self { unsafe { Lanes4(_mm_fmadd_ps(self.0, factor.0, addend.0)) } }
    #[inline(always)] unsafe fn fms(self, factor: Self, subtrahend: Self) -> Self { unsafe { Lanes4(_mm_fmsub_ps(self.0, factor.0, subtrahend.0)) } }
    #[inline(always)] unsafe fn fnma(self, factor: Self, addend: Self) -> Self { unsafe { Lanes4(_mm_fnmadd_ps(self.0, factor.0, addend.0)) } }
    #[inline(always)] unsafe fn min(self, other: Self) -> Self { unsafe { Lanes4(_mm_min_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn max(self, other: Self) -> Self { unsafe { Lanes4(_mm_max_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn abs(self) -> Self { unsafe { Lanes4(_mm_andnot_ps(_mm_set1_ps(-0.0), self.0)) } }
    #[inline(always)] unsafe fn or_sign(self, sign: Self) -> Self { unsafe { Lanes4(_mm_or_ps(_mm_and_ps(_mm_set1_ps(-0.0), sign.0), self.0)) } }
    #[inline(always)] unsafe fn power_of_two(self) -> Self { unsafe { Lanes4(_mm_castsi128_ps(_mm_slli_epi32::<23>(_mm_castps_si128(self.0)))) } }
    #[inline(always)] unsafe fn if_negative(self, negative: Self, other: Self) -> Self {
        unsafe { Lanes4(_mm_blendv_ps(other.0, negative.0, _mm_cmplt_ps(self.0, _mm_setzero_ps()))) }
    }
    #[inline(always)] unsafe fn greatest(self) -> f32 {
        let mut lanes = [0.0; 4];
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks, reason = "each is the trait's promise")]
// SAFETY: each method is the instruction it is named after.
unsafe impl Lanes for Lanes16 {
    const WIDTH: usize = 16;
    #[inline(always)] unsafe fn load(pointer: *const f32) -> Self { unsafe { Lanes16(_mm512_loadu_ps(pointer)) } }
    #[inline(always)] unsafe fn store(self, pointer: *mut f32) { unsafe { _mm512_storeu_ps(pointer, self.0) } }
    #[inline(always)] unsafe fn splat(value: f32) -> Self { unsafe { Lanes16(_mm512_set1_ps(value)) } }
    #[inline(always)] unsafe fn add(self, other: Self) -> Self { unsafe { Lanes16(_mm512_add_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn sub(self, other: Self) -> Self { unsafe { Lanes16(_mm512_sub_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn mul(self, other: Self) -> Self { unsafe { Lanes16(_mm512_mul_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn div(self, other: Self) -> Self { unsafe { Lanes16(_mm512_div_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn fma(self, factor: Self, addend: Self) -> Self { unsafe { Lanes16(_mm512_fmadd_ps(self.0, factor.0, addend.0)) } }
    #[inline(always)] unsafe fn fms(self, factor: Self, subtrahend: Self) -> Self { unsafe { Lanes16(_mm512_fmsub_ps(self.0, factor.0, subtrahend.0)) } }
    #[inline(always)] unsafe fn fnma(self, factor: Self, addend: Self) -> Self { unsafe { Lanes16(_mm512_fnmadd_ps(self.0, factor.0, addend.0)) } }
    #[inline(always)] unsafe fn min(self, other: Self) -> Self { unsafe { Lanes16(_mm512_min_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn max(self, other: Self) -> Self { unsafe { Lanes16(_mm512_max_ps(self.0, other.0)) } }
    #[inline(always)] unsafe fn abs(self) -> Self { unsafe { Lanes16(_mm512_andnot_ps(_mm512_set1_ps(-0.0), self.0)) } }
    #[inline(always)] unsafe fn or_sign(self, sign: Self) -> Self { unsafe { Lanes16(_mm512_or_ps(_mm512_and_ps(_mm512_set1_ps(-0.0), sign.0), self.0)) } }
    #[inline(always)] unsafe fn power_of_two(self) -> Self { unsafe { Lanes16(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0)))) } }
    #[inline(always)] unsafe fn if_negative(self, negative: Self, other: Self) -> Self {
        unsafe { Lanes16(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, _mm512_setzero_ps()), other.0, negative.0)) }
    }
    #[inline(always)] unsafe fn greatest(self) -> f32 { unsafe { _mm512_reduce_max_ps(self.0) } }
}
