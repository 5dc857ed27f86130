//! Sine and cosine, right over the whole float range.
//!
//! Reduction (Payne and Hanek 1983): the quadrant and the fraction of |x|·2/π, of which only the bits around the binary
//! point matter. 2/π is kept in pieces of p bits (p the precision); for |x| past 2ᵀ the leading pieces contribute
//! multiples of 4 quadrants and are skipped, a few pieces at a time, by selecting which pieces to use and scaling x
//! down accordingly. Each product is exact in two parts; large parts are reduced modulo 4, which is exact; then all are
//! summed without error down to 2⁻⁵⁶ (float32) or 2⁻¹¹⁸ (float64) of a quadrant: the closest any float comes to a
//! multiple of π/2 is 2⁻³⁰, 2⁻⁶². So r keeps all its bits, in two parts. Below π/4 r is x itself.
//!
//! Then sin r or cos r for |r| ≤ π/4, minimax polynomials with r's low part entering to first order.

use super::error_free::{Pair, fast_two_sum, two_product, two_sum};
use super::exp::magic;
use super::notation::{Bits, Bool, Term, hex};
use crate::array::ComputeDtype;

/// 2/π in pieces of 24 bits, each scaled to below 1.
const TWO_OVER_PI_F32: [f64; 9] = [
    hex("0x1.45f306p-1"),
    hex("0x1.b9391p-2"),
    hex("0x1.529fcp-4"),
    hex("0x1.3abe88p-3"),
    hex("0x1.ea69bap-1"),
    hex("0x1.81b6c4p-1"),
    hex("0x1.2b3278p-1"),
    hex("0x1.0e4104p-2"),
    hex("0x1.fca2c6p-1"),
];

/// 2/π in pieces of 53 bits, each scaled to below 1.
const TWO_OVER_PI_F64: [f64; 24] = [
    hex("0x1.45f306dc9c882p-1"),
    hex("0x1.4a7f09d5f47d4p-1"),
    hex("0x1.a6ee06db14accp-1"),
    hex("0x1.3c439041fe516p-1"),
    hex("0x1.d5ef5de2b0db8p-3"),
    hex("0x1.2371d2126e97p-2"),
    hex("0x1.924bba82746p-8"),
    hex("0x1.21cfe1deb1cb1p-1"),
    hex("0x1.4d39f74411af8p-3"),
    hex("0x1.4baed1213a671p-1"),
    hex("0x1.8135a2fbf209cp-1"),
    hex("0x1.91d639835339fp-1"),
    hex("0x1.272117e2ef7e4p-2"),
    hex("0x1.41d8ffc4bffeep-2"),
    hex("0x1.02cc07f79788cp-1"),
    hex("0x1.6b414da3eda6cp-2"),
    hex("0x1.fb3c9f2c26dd2p-2"),
    hex("0x1.d18fd9a797fa8p-1"),
    hex("0x1.6ba93dd63f5f2p-1"),
    hex("0x1.f17b3d0739f78p-1"),
    hex("0x1.4a525d4d7f6bfp-1"),
    hex("0x1.88fc6ae842bp-2"),
    hex("0x1.98237e3db5d5fp-1"),
    hex("0x1.0cfbc209af436p-1"),
];

/// (sin(r)/r − 1)/r² in r² for |r| ≤ π/4, float32.
const SIN_F32: [f64; 4] = [hex("-0x1.555556p-3"), hex("0x1.111174p-7"), hex("-0x1.a0594ep-13"), hex("0x1.7c2946p-19")];
/// (cos(r) − 1 + r²/2)/r⁴ in r² for |r| ≤ π/4, float32.
const COS_F32: [f64; 3] = [hex("0x1.55554ap-5"), hex("-0x1.6c0c28p-10"), hex("0x1.99e80cp-16")];

/// The same as `SIN_F32` for float64; error 2⁻⁵⁸ of r³.
const SIN_F64: [f64; 6] = [
    hex("-0x1.5555555555549p-3"),
    hex("0x1.111111110f89p-7"),
    hex("-0x1.a01a019c1196ap-13"),
    hex("0x1.71de35761418dp-19"),
    hex("-0x1.ae5e63fe05e9cp-26"),
    hex("0x1.5d92227d64f8dp-33"),
];
/// The same as `COS_F32` for float64; error 2⁻⁶⁴.
const COS_F64: [f64; 6] = [
    hex("0x1.555555555554cp-5"),
    hex("-0x1.6c16c16c1520cp-10"),
    hex("0x1.a01a019cbc2a1p-16"),
    hex("-0x1.27e4f80f9b0bbp-22"),
    hex("0x1.1ee9eec5604c2p-29"),
    hex("-0x1.8fafacda27362p-37"),
];

/// What differs between the dtypes.
struct Scheme {
    /// Bits of a piece of 2/π.
    piece: i32,
    /// Pieces.
    pieces: &'static [f64],
    /// How many of them a window skips.
    step: usize,
    /// How many of them are used.
    used: usize,
    /// Arguments are scaled below 2 to this power.
    top: i32,
    /// The exponent no argument reaches.
    limit: i32,
    /// π/2 in two parts.
    half_pi: (f64, f64),
    sin: &'static [f64],
    cos: &'static [f64],
}

fn scheme(dtype: ComputeDtype) -> Scheme {
    match dtype {
        ComputeDtype::F32 => Scheme {
            piece: 24,
            pieces: &TWO_OVER_PI_F32,
            step: 1,
            used: 5,
            top: 50,
            limit: 128,
            half_pi: (hex("0x1.921fb6p+0"), hex("-0x1.777a5cp-25")),
            sin: &SIN_F32,
            cos: &COS_F32,
        },
        ComputeDtype::F64 => Scheme {
            piece: 53,
            pieces: &TWO_OVER_PI_F64,
            step: 2,
            used: 6,
            top: 160,
            limit: 1024,
            half_pi: (hex("0x1.921fb54442d18p+0"), hex("0x1.1a62633145c07p-54")),
            sin: &SIN_F64,
            cos: &COS_F64,
        },
    }
}

/// x = quadrant · π/2 + r for x ≥ 0.
struct Reduced<'s> {
    quadrant: Term<'s>,
    r: Pair<'s>,
}

fn reduce<'s>(x: Term<'s>, scheme: &Scheme) -> Reduced<'s> {
    let scope = x.scope();
    // The window: which pieces, and x scaled to them.
    let mut pieces: Vec<Term<'s>> = scheme.pieces[..scheme.used].iter().map(|piece| scope.number(*piece)).collect();
    let mut scale = scope.number(1.0);
    let stride = scheme.piece * scheme.step as i32;
    for window in 1.. {
        let threshold = scheme.top + stride * (window - 1);
        if threshold >= scheme.limit {
            break;
        }
        let beyond = !x.less(2f64.powi(threshold));
        let first = scheme.step * window as usize;
        for (slot, piece) in pieces.iter_mut().zip(&scheme.pieces[first..]) {
            *slot = beyond.select(*piece, *slot);
        }
        scale = beyond.select(2f64.powi(-stride * window), scale);
    }
    let scaled = x * scale;

    // Exact products. A part of size 2^size lies among the coarse ones while it can reach a quadrant.
    let mut coarse: Vec<Term<'s>> = Vec::new();
    let mut fine: Vec<Term<'s>> = Vec::new();
    let mut finest: Vec<Term<'s>> = Vec::new();
    for (place, piece) in pieces.into_iter().enumerate() {
        let product = two_product(scaled, piece * 2f64.powi(-scheme.piece * place as i32));
        let size = scheme.top - scheme.piece * place as i32;
        for (part, size) in [(product.high, size), (product.low, size - scheme.piece)] {
            if size > 3 {
                let turns = (part * 0.25).round();
                coarse.push(turns.times_plus(-4.0, part));
            } else if size > -8 {
                coarse.push(part);
            } else if size > -8 - scheme.piece {
                fine.push(part);
            } else if size > -8 - 2 * scheme.piece {
                finest.push(part);
            }
        }
    }
    // The quadrant comes off the coarse sum, exactly; everything below is then summed onto the fraction.
    let mut sum = coarse[0];
    let mut errors = Vec::new();
    for part in &coarse[1..] {
        let next = two_sum(sum, *part);
        sum = next.high;
        errors.push(next.low);
    }
    let quadrant = sum.round();
    let mut fraction = sum - quadrant;
    let mut rest = scope.number(-0.0);
    for part in errors.into_iter().chain(fine) {
        let next = two_sum(fraction, part);
        fraction = next.high;
        rest = rest + next.low;
    }
    for part in finest {
        rest = rest + part;
    }
    let fraction = fast_two_sum(fraction, rest);
    let (high, low) = scheme.half_pi;
    let r = two_product(fraction.high, scope.number(high));
    let low = fraction.high.times_plus(low, fraction.low.times_plus(high, r.low));

    let small = x.less(hex("0x1.92p-1"));
    Reduced {
        quadrant: small.select(0.0, quadrant),
        r: Pair { high: small.select(x, r.high), low: small.select(0.0, low) },
    }
}

/// sin r.
fn sin_kernel<'s>(r: Pair<'s>, scheme: &Scheme) -> Term<'s> {
    let square = r.high * r.high;
    r.high + (square * r.high).times_plus(square.polynomial(scheme.sin), r.low)
}

/// cos r: 1 − r²/2 first, then what that rounding lost, r⁴·C(r²), and the low part's share.
fn cos_kernel<'s>(r: Pair<'s>, scheme: &Scheme) -> Term<'s> {
    let square = r.high * r.high;
    let half = square * 0.5;
    let lead = 1.0 - half;
    let lost = (1.0 - lead) - half;
    lead + (square * square).times_plus(square.polynomial(scheme.cos), r.high.times_from(r.low, lost))
}

/// Whether a whole number is odd, and the bit that says whether quadrant 2 or 3 is meant, as a sign.
fn quadrant_parts<'s>(quadrant: Term<'s>) -> (Bool<'s>, Bits<'s>) {
    let half = quadrant * 0.5;
    let odd = half.differs(half.round());
    let sign_place = 8 * quadrant.dtype().size() as u8 - 1;
    let low_bits = (quadrant + magic(quadrant.dtype())).bits();
    (odd, (low_bits >> 1) << sign_place)
}

/// sin x.
pub(super) fn sin(x: Term<'_>) -> Term<'_> {
    let scheme = scheme(x.dtype());
    let Reduced { quadrant, r } = reduce(x.abs(), &scheme);
    let (odd, sign) = quadrant_parts(quadrant);
    let result = odd.select(cos_kernel(r, &scheme), sin_kernel(r, &scheme));
    result.flip_sign(sign ^ x.sign())
}

/// cos x.
pub(super) fn cos(x: Term<'_>) -> Term<'_> {
    let scheme = scheme(x.dtype());
    let Reduced { quadrant, r } = reduce(x.abs(), &scheme);
    let (odd, _) = quadrant_parts(quadrant);
    let (_, sign) = quadrant_parts(quadrant + 1.0);
    let result = odd.select(sin_kernel(r, &scheme), cos_kernel(r, &scheme));
    result.flip_sign(sign)
}
