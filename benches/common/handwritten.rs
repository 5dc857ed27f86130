//! Kernels written by hand with `std::arch`: the same algorithms as the lowering, op by op, so that the bits are equal
//! and only the code differs. They are what generated loops are measured against.

use super::Array;
use super::lanes::Lanes;
#[cfg(target_arch = "x86_64")]
use super::lanes::{Lanes4, Lanes16};

use std::rc::Rc;

/// Vectors an iteration computes, to hide latency.
const UNROLL: usize = 2;

/// Every length must be a multiple of this: the benches need no tails.
pub const GRAIN: usize = 16 * UNROLL;

/// A kernel of one input.
pub type Unary = fn(&[f32], &mut [f32]);

/// `silu(x · 1.3 + b) · 0.7 + r`, `b` a row: `(x, b, r, y)`.
pub type Affine = fn(&[f32], &[f32], &[f32], &mut [f32]);

/// 2⁶⁴ · e⁻ʸ for 0 ≤ y ≤ 110.
#[inline(always)]
unsafe fn exp_neg_scaled<L: Lanes>(y: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let magic = L::splat(12583103.0);
        let t = y.fma(L::splat(-std::f32::consts::LOG2_E), magic);
        let n = t.sub(magic);
        let r = n.fma(L::splat(f32::from_bits(0x3f31_7200)), y);
        let r = n.fma(L::splat(f32::from_bits(0x35bf_be8e)), r);
        let q = r.fma(L::splat(f32::from_bits(0x3ab4_3468)), L::splat(f32::from_bits(0xbc09_1e88)));
        let q = r.fma(q, L::splat(f32::from_bits(0x3d2a_adc2)));
        let q = r.fma(q, L::splat(f32::from_bits(0xbe2a_aa46)));
        let q = r.fma(q, L::splat(f32::from_bits(0x3eff_fffc)));
        let q = r.fma(q, L::splat(-1.0));
        let q = r.fma(q, L::splat(1.0));
        q.mul(t.power_of_two())
    }
}

#[inline(always)]
unsafe fn silu<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let a = L::splat(110.0).min(x.abs());
        let t = exp_neg_scaled(a);
        let numerator = x.if_negative(a.mul(t).mul(L::splat(-1.0 / 18446744073709551616.0)), x);
        numerator.div(t.fma(L::splat(1.0 / 18446744073709551616.0), L::splat(1.0)))
    }
}

#[inline(always)]
unsafe fn mish<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let a = L::splat(110.0).min(x.abs());
        let t = exp_neg_scaled(a);
        let scale = x.if_negative(L::splat(1.0 / 18446744073709551616.0), L::splat(1.0 / 9223372036854775808.0));
        let v = t.mul(scale);
        let half = L::splat(0.5).mul(v);
        let negative = a.mul(t.fma(half, t)).mul(L::splat(-1.0 / 18446744073709551616.0));
        let numerator = x.if_negative(negative, x.mul(L::splat(1.0).add(v)));
        numerator.div(L::splat(1.0).add(v.fma(half, v)))
    }
}

#[inline(always)]
unsafe fn tanh<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let a = L::splat(9.25).min(x.abs());
        let magic = L::splat(12583039.0);
        let t = a.fma(L::splat(-2.0 * std::f32::consts::LOG2_E), magic);
        let n = t.sub(magic);
        let r = n.fma(L::splat(f32::from_bits(0x3eb1_7218)), a);
        let q = r.fma(L::splat(f32::from_bits(0xbd35_b8b4)), L::splat(f32::from_bits(0x3e09_13d8)));
        let q = r.fma(q, L::splat(f32::from_bits(0xbeaa_ab8c)));
        let q = r.fma(q, L::splat(f32::from_bits(0x3f2a_aa58)));
        let q = r.fma(q, L::splat(f32::from_bits(0xbf7f_ffff)));
        let p = r.mul(r).fma(q, r);
        let s = t.power_of_two();
        let half = s.fma(L::splat(-0.5), L::splat(0.5));
        let numerator = p.fma(s, half);
        let denominator = p.fnma(s, L::splat(1.0).sub(half));
        numerator.div(denominator).or_sign(x)
    }
}

#[inline(always)]
unsafe fn gelu<L: Lanes>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let outer = L::splat(40.0).min(x.abs());
        let a = L::splat(16.0).min(outer);
        let square = a.mul(a);
        let error = a.fms(a, square);
        let magic = L::splat(12583102.0);
        let t = square.fma(L::splat(-0.5 * std::f32::consts::LOG2_E), magic);
        let n = t.sub(magic);
        let high = n.fma(L::splat(f32::from_bits(0x3fb1_7200)), square);
        let low = n.fma(L::splat(f32::from_bits(0x363f_be8e)), error);
        let r = high.add(low);
        let q = r.fma(L::splat(f32::from_bits(0x37b4_3468)), L::splat(f32::from_bits(0xb989_1e88)));
        let q = r.fma(q, L::splat(f32::from_bits(0x3b2a_adc2)));
        let q = r.fma(q, L::splat(f32::from_bits(0xbcaa_aa46)));
        let q = r.fma(q, L::splat(f32::from_bits(0x3dff_fffc)));
        let q = r.fma(q, L::splat(-0.5));
        let q = r.mul(q);
        let s = t.power_of_two();
        let numerator = a.fma(L::splat(f32::from_bits(0x3c1e_5e68)), L::splat(f32::from_bits(0x3db9_ed2a)));
        let numerator = a.fma(numerator, L::splat(f32::from_bits(0x3ec9_f453)));
        let numerator = a.fma(numerator, L::splat(f32::from_bits(0x3f69_f473)));
        let numerator = a.fma(numerator, L::splat(1.0));
        let correction = a.fma(L::splat(f32::from_bits(0xbc1e_5963)), L::splat(f32::from_bits(0xbda1_3a57)));
        let correction = a.fma(correction, L::splat(f32::from_bits(0xbe8f_27bb)));
        let correction = a.fma(correction, L::splat(f32::from_bits(0xbee9_2df8)));
        let k = numerator.fma(L::splat(f32::from_bits(0x3fa0_6c99)), correction);
        let denominator = a.fma(k, numerator);
        let p = s.mul(numerator);
        let tail = q.fma(p, p).div(denominator);
        outer.mul(tail).fma(L::splat(-1.0 / 18446744073709551616.0), L::splat(0.0).max(x))
    }
}

#[inline(always)]
unsafe fn unary<L: Lanes>(x: &[f32], y: &mut [f32], body: impl Fn(L) -> L) {
    assert!(x.len() == y.len() && x.len().is_multiple_of(GRAIN));
    let (from, to) = (x.as_ptr(), y.as_mut_ptr());
    let mut at = 0;
    while at < x.len() {
        // SAFETY: `at` and the vectors after it are inside, as the length is a multiple of `GRAIN`.
        unsafe {
            let first = L::load(from.add(at));
            let second = L::load(from.add(at + L::WIDTH));
            body(first).store(to.add(at));
            body(second).store(to.add(at + L::WIDTH));
        }
        at += UNROLL * L::WIDTH;
    }
}

#[inline(always)]
unsafe fn affine<L: Lanes>(x: *const f32, b: *const f32, r: *const f32) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let sum = L::load(b).add(L::load(x).mul(L::splat(1.3)));
        L::load(r).add(silu(sum).mul(L::splat(0.7)))
    }
}

#[inline(always)]
unsafe fn affine_rows<L: Lanes>(x: &[f32], b: &[f32], r: &[f32], y: &mut [f32]) {
    let width = b.len();
    assert!(x.len() == y.len() && r.len() == y.len() && x.len().is_multiple_of(width) && width.is_multiple_of(GRAIN));
    for row in (0..x.len()).step_by(width) {
        // SAFETY: rows are inside, and so are vectors, as the width is a multiple of `GRAIN`.
        unsafe {
            let (x, r, y, b) = (x.as_ptr().add(row), r.as_ptr().add(row), y.as_mut_ptr().add(row), b.as_ptr());
            let mut at = 0;
            while at < width {
                let next = at + L::WIDTH;
                let first = affine::<L>(x.add(at), b.add(at), r.add(at));
                let second = affine::<L>(x.add(next), b.add(next), r.add(next));
                first.store(y.add(at));
                second.store(y.add(next));
                at += UNROLL * L::WIDTH;
            }
        }
    }
}

#[inline(always)]
unsafe fn read<L: Lanes>(x: &[f32]) -> f32 {
    assert!(x.len().is_multiple_of(4 * L::WIDTH));
    // SAFETY: four vectors from `at` on are inside, as the length is a multiple of them.
    unsafe {
        let mut greatest = [L::splat(f32::NEG_INFINITY); 4];
        for at in (0..x.len()).step_by(4 * L::WIDTH) {
            for (lane, greatest) in greatest.iter_mut().enumerate() {
                *greatest = L::load(x.as_ptr().add(at + lane * L::WIDTH)).max(*greatest);
            }
        }
        greatest[0].max(greatest[1]).max(greatest[2].max(greatest[3])).greatest()
    }
}

/// The hand-written kernels of one vector width.
pub struct Kernels {
    pub silu: Unary,
    pub gelu: Unary,
    pub mish: Unary,
    pub tanh: Unary,
    pub silu_affine: Affine,
    /// One pass that reads an array and does next to nothing: its greatest element.
    pub read: fn(&[f32]) -> f32,
}

macro_rules! kernels {
    ($module:ident, $lanes:ty, $features:literal) => {
        #[cfg(target_arch = "x86_64")]
        mod $module {
            use super::*;

            macro_rules! unary {
                ($name:ident) => {
                    #[target_feature(enable = $features)]
                    fn $name(x: &[f32], y: &mut [f32]) {
                        // SAFETY: the function has the features.
                        unsafe { super::unary::<$lanes>(x, y, |x| super::$name(x)) }
                    }
                };
            }
            unary!(silu);
            unary!(gelu);
            unary!(mish);
            unary!(tanh);

            #[target_feature(enable = $features)]
            fn affine(x: &[f32], b: &[f32], r: &[f32], y: &mut [f32]) {
                // SAFETY: the function has the features.
                unsafe { super::affine_rows::<$lanes>(x, b, r, y) }
            }

            #[target_feature(enable = $features)]
            fn read(x: &[f32]) -> f32 {
                // SAFETY: the function has the features.
                unsafe { super::read::<$lanes>(x) }
            }

            /// Only for a CPU that has the features, which [`super::at_width`] checks.
            pub(super) const KERNELS: Kernels = Kernels {
                // SAFETY: as said.
                silu: |x, y| unsafe { silu(x, y) },
                // SAFETY: as said.
                gelu: |x, y| unsafe { gelu(x, y) },
                // SAFETY: as said.
                mish: |x, y| unsafe { mish(x, y) },
                // SAFETY: as said.
                tanh: |x, y| unsafe { tanh(x, y) },
                // SAFETY: as said.
                silu_affine: |x, b, r, y| unsafe { affine(x, b, r, y) },
                // SAFETY: as said.
                read: |x| unsafe { read(x) },
            };
        }
    };
}

kernels!(narrow, Lanes4, "avx,fma");
kernels!(wide, Lanes16, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma");

/// The kernels at 128 or 512 bits, if this machine has what they need.
#[cfg(target_arch = "x86_64")]
pub fn at_width(bits: usize) -> Option<Kernels> {
    match bits {
        128 => fuselet::Isa::AvxFma.is_available().then_some(narrow::KERNELS),
        512 => fuselet::Isa::Avx512.is_available().then_some(wide::KERNELS),
        _ => None,
    }
}

/// The kernels at 128 or 512 bits, if this machine has what they need.
#[cfg(not(target_arch = "x86_64"))]
pub fn at_width(_bits: usize) -> Option<Kernels> {
    None
}

impl Kernels {
    /// The kernels of one input by name.
    pub fn unary(&self) -> [(&'static str, Unary); 4] {
        [("silu", self.silu), ("gelu", self.gelu), ("mish", self.mish), ("tanh", self.tanh)]
    }
}

/// Runs the kernel called `name` on the inputs of the same function.
pub fn run(kernels: &Kernels, name: &str, inputs: &[Rc<Array>], output: &mut [f32]) {
    match kernels.unary().iter().find(|(known, _)| *known == name) {
        Some((_, kernel)) => kernel(inputs[0].data(), output),
        None => (kernels.silu_affine)(inputs[0].data(), inputs[1].data(), inputs[2].data(), output),
    }
}

/// Stops a bench whose contenders do not compute the same.
pub fn assert_equal_bits(by_hand: &[f32], ours: &[f32], name: &str) {
    for (at, (hand, ours)) in by_hand.iter().zip(ours).enumerate() {
        assert_eq!(hand.to_bits(), ours.to_bits(), "{name}: element {at} is {hand:e} by hand, but {ours:e} generated");
    }
}
