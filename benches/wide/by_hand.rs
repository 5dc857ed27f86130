//! The same kernels written by hand with AVX-512 intrinsics, two vectors an iteration: what the backend is held to.

use std::arch::x86_64::*;

const MAGIC: f32 = 12_582_912.0;
const LOG2_E: f32 = std::f32::consts::LOG2_E;
const LN2_HIGH: f32 = f32::from_bits(0x3f31_7200);
const LN2_LOW: f32 = f32::from_bits(0x35bf_be8e);

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn set(value: f32) -> __m512 {
    _mm512_set1_ps(value)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn set_bits(bits: u32) -> __m512 {
    _mm512_set1_ps(f32::from_bits(bits))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn magnitude(x: __m512) -> __m512 {
    _mm512_and_ps(x, set_bits(0x7fff_ffff))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn power_of_two(t: __m512) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(t)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn horner<const N: usize>(x: __m512, coefficients: [f32; N]) -> __m512 {
    let mut sum = set(coefficients[N - 1]);
    for power in (0..N - 1).rev() {
        sum = _mm512_fmadd_ps(sum, x, set(coefficients[power]));
    }
    sum
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn negative_exponential(y: __m512) -> __m512 {
    let shift = set(MAGIC + 191.0);
    let t = _mm512_fmadd_ps(y, set(-LOG2_E), shift);
    let n = _mm512_sub_ps(t, shift);
    let r = _mm512_fmadd_ps(n, set(LN2_LOW), _mm512_fmadd_ps(n, set(LN2_HIGH), y));
    let e = super::programs::EXPONENTIAL.map(f32::from_bits);
    let p = horner(r, [1.0, -e[0], e[1], -e[2], e[3], -e[4], e[5]]);
    _mm512_mul_ps(p, power_of_two(t))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn silu_of(x: __m512) -> __m512 {
    let y = _mm512_min_ps(set(110.0), magnitude(x));
    let t = negative_exponential(y);
    let d = _mm512_fmadd_ps(t, set(2f32.powi(-64)), set(1.0));
    let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, set(0.0));
    let product = _mm512_mul_ps(_mm512_mul_ps(y, t), set(-(2f32.powi(-64))));
    _mm512_div_ps(_mm512_mask_blend_ps(negative, x, product), d)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn tanh_of(x: __m512) -> __m512 {
    let sign = _mm512_and_ps(x, set_bits(1 << 31));
    let a = _mm512_min_ps(set(9.25), magnitude(x));
    let shift = set(MAGIC + 127.0);
    let t = _mm512_fmadd_ps(a, set(-2.0 * LOG2_E), shift);
    let n = _mm512_sub_ps(t, shift);
    let r = _mm512_fmadd_ps(n, set(std::f32::consts::LN_2 / 2.0), a);
    let q = horner(r, [0xbf7f_ffff_u32, 0x3f2a_aa58, 0xbeaa_ab8c, 0x3e09_13d8, 0xbd35_b8b4].map(f32::from_bits));
    let p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r);
    let s = power_of_two(t);
    let h = _mm512_fnmadd_ps(s, set(0.5), set(0.5));
    let u = _mm512_fmadd_ps(s, p, h);
    let d = _mm512_fnmadd_ps(s, p, _mm512_sub_ps(set(1.0), h));
    _mm512_or_ps(_mm512_div_ps(u, d), sign)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn mish_of(x: __m512) -> __m512 {
    let y = _mm512_min_ps(set(110.0), magnitude(x));
    let t = negative_exponential(y);
    let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, set(0.0));
    let v = _mm512_mul_ps(t, _mm512_mask_blend_ps(negative, set(2f32.powi(-63)), set(2f32.powi(-64))));
    let hv = _mm512_mul_ps(v, set(0.5));
    let d = _mm512_add_ps(_mm512_fmadd_ps(hv, v, v), set(1.0));
    let left = _mm512_mul_ps(_mm512_mul_ps(y, _mm512_fmadd_ps(hv, t, t)), set(-(2f32.powi(-64))));
    let right = _mm512_mul_ps(x, _mm512_add_ps(v, set(1.0)));
    _mm512_div_ps(_mm512_mask_blend_ps(negative, right, left), d)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn gelu_of(x: __m512) -> __m512 {
    let a = _mm512_min_ps(set(15.0), magnitude(x));
    let s = _mm512_mul_ps(a, a);
    let lo = _mm512_fmsub_ps(a, a, s);
    let shift = set(MAGIC + 191.0);
    let t = _mm512_fmadd_ps(s, set(-LOG2_E / 2.0), shift);
    let n = _mm512_sub_ps(t, shift);
    let r = _mm512_fmadd_ps(n, set(2.0 * LN2_HIGH), s);
    let r = _mm512_add_ps(r, _mm512_fmadd_ps(n, set(2.0 * LN2_LOW), lo));
    let e = super::programs::EXPONENTIAL.map(f32::from_bits);
    let q = horner(r, [-e[0] / 2.0, e[1] / 4.0, -e[2] / 8.0, e[3] / 16.0, -e[4] / 32.0, e[5] / 64.0]);
    let q = _mm512_mul_ps(r, q);
    let power = power_of_two(t);
    let big_r = horner(a, [0x3f80_0000_u32, 0x3f69_f473, 0x3ec9_f453, 0x3db9_ed2a, 0x3b9e_5e68].map(f32::from_bits));
    let c = horner(a, [0x3ee9_2df8_u32, 0x3e8f_27bb, 0x3da1_3a57, 0x3b9e_5963].map(f32::from_bits));
    let k = _mm512_fmsub_ps(big_r, set_bits(0x3fa0_6c99), c);
    let divisor = _mm512_fmadd_ps(a, k, big_r);
    let numerator = _mm512_mul_ps(_mm512_mul_ps(a, power), big_r);
    let w = _mm512_div_ps(_mm512_fmadd_ps(numerator, q, numerator), divisor);
    let positive = _mm512_max_ps(set(0.0), x);
    _mm512_fmadd_ps(w, set(-(2f32.powi(-65))), positive)
}

macro_rules! elementwise {
    ($($name:ident = $function:ident;)*) => { $(
        /// # Safety
        /// The machine has AVX-512; the arrays have `n` elements, a multiple of 32.
        #[target_feature(enable = "avx512f,avx512dq")]
        pub unsafe fn $name(x: *const f32, y: *mut f32, n: usize) {
            for i in (0..n).step_by(32) {
                // SAFETY: the caller's.
                unsafe {
                    let first = $function(_mm512_loadu_ps(x.add(i)));
                    let second = $function(_mm512_loadu_ps(x.add(i + 16)));
                    _mm512_storeu_ps(y.add(i), first);
                    _mm512_storeu_ps(y.add(i + 16), second);
                }
            }
        }
    )* };
}
elementwise! {
    silu = silu_of;
    tanh = tanh_of;
    mish = mish_of;
    gelu = gelu_of;
}

/// # Safety
/// As the others; `scales` has three elements.
#[target_feature(enable = "avx512f,avx512dq")]
pub unsafe fn chain(x: *const f32, r: *const f32, scales: *const f32, y: *mut f32, n: usize) {
    // SAFETY: the caller's.
    let [a, b, c] = unsafe { [set(*scales), set(*scales.add(1)), set(*scales.add(2))] };
    for i in (0..n).step_by(32) {
        for i in [i, i + 16] {
            // SAFETY: the caller's.
            unsafe {
                let inner = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(x.add(i)), a), b);
                let scaled = _mm512_mul_ps(silu_of(inner), c);
                _mm512_storeu_ps(y.add(i), _mm512_add_ps(scaled, _mm512_loadu_ps(r.add(i))));
            }
        }
    }
}
