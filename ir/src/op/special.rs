//! Float64 meanings that are not one call of `libm`: what the op table's rows point to.
//!
//! Everything here is the truth float32 results are judged by, so each function states its error.

/// The larger of two; NaN if either is; +0 above −0.
pub fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b || (a == b && b.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// The smaller of two; NaN if either is; −0 below +0.
pub fn minimum(a: f64, b: f64) -> f64 {
    -maximum(-a, -b)
}

/// |a| with the sign of b. A NaN counts as positive: which sign bit a computed one has depends on the machine.
pub fn copysign(a: f64, b: f64) -> f64 {
    if b.is_nan() { a.abs() } else { a.copysign(b) }
}

/// exp(x²) · erfc(x), within about 10 units of 2⁻⁵³ for x ≥ −26; infinite below.
///
/// Up to 10 the product itself, with x² split exactly so that the exponential keeps its bits; beyond, the continued
/// fraction of erfc (Abramowitz and Stegun 7.1.14), which converges to float64 in under 40 steps there.
pub fn erfcx(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < -27.0 {
        return f64::INFINITY;
    }
    if x < 10.0 {
        let square = x * x;
        let error = libm::fma(x, x, -square);
        return libm::exp(square) * (1.0 + error) * libm::erfc(x);
    }
    if x > 1e8 {
        return 0.564_189_583_547_756_3 / x;
    }
    let mut tail = 0.0;
    for k in (1..=40).rev() {
        tail = 0.5 * f64::from(k) / (x + tail);
    }
    0.564_189_583_547_756_3 / (x + tail)
}

/// Φ(x), the cumulative distribution function of the normal distribution, within 1e-15 relative while normal.
///
/// erfc of the rounded x/√2 would lose x² units in the last place; the argument's rounding error is carried along
/// through the derivative (d/dz erfc = −2/√π · exp(−z²), relative to erfc: −2z for large z).
pub fn normal_cdf(x: f64) -> f64 {
    const SQRT_HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;
    /// √½ − SQRT_HALF.
    const SQRT_HALF_LOW: f64 = -4.833_646_656_726_457e-17;
    if x.is_nan() {
        return x;
    }
    if x.abs() > 40.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let z = -x * SQRT_HALF;
    let error = libm::fma(-x, SQRT_HALF, -z) - x * SQRT_HALF_LOW;
    let value = 0.5 * libm::erfc(z);
    value - error * 0.564_189_583_547_756_3 * libm::exp(-z * z)
}

/// 2⁶⁴ · e^−(a + low).
pub fn exp_neg_scaled(a: f64, low: f64) -> f64 {
    const LN_2_TO_64: f64 = 44.361_419_555_836_5;
    if a < 100.0 {
        libm::exp(-a) * libm::exp(-low) * 18_446_744_073_709_551_616.0
    } else {
        // Past the normal range e^−a alone loses bits: shift the exponent first, in two exact steps.
        let shifted = (-a + 44.0) + (LN_2_TO_64 - 44.0);
        libm::exp(shifted) * libm::exp(-low)
    }
}

/// 2ᵏ · eᵃ for a whole k: the powers of two of both factors are applied together.
pub fn exp_scaled(a: f64, k: f64) -> f64 {
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let n = (a * std::f64::consts::LOG2_E).round_ties_even();
    if !(n.abs() < 1e6 && k.abs() < 1e6) {
        return libm::exp(a) * libm::exp2(k);
    }
    // n has few enough bits for an exact product with the high part.
    libm::scalbn(libm::exp((a - n * LN_2_HIGH) - n * LN_2_LOW), (n + k) as i32)
}

/// 2⁶⁴ · Φ(−a).
pub fn normal_tail_scaled(a: f64) -> f64 {
    if a < 30.0 {
        normal_cdf(-a) * 18_446_744_073_709_551_616.0
    } else {
        let square = a * a;
        let error = libm::fma(a, a, -square);
        exp_neg_scaled(0.5 * square, 0.5 * error) * 0.5 * erfcx(a * std::f64::consts::FRAC_1_SQRT_2)
    }
}

/// x − tanh(x), within 2e-15 relative: the Taylor series of x·cosh(x) − sinh(x) over cosh(x) up to |x| = 1, where
/// the subtraction would cancel.
pub fn tanh_gap(x: f64) -> f64 {
    if x.abs() >= 1.0 || x.is_nan() {
        return x - libm::tanh(x);
    }
    // x·cosh(x) − sinh(x) = Σ 2k · x^(2k+1) / (2k+1)!
    let square = x * x;
    let mut term = x;
    let mut sum = 0.0;
    for k in 1..=14 {
        let k = f64::from(k);
        term *= square / (2.0 * k * (2.0 * k + 1.0));
        sum += 2.0 * k * term;
    }
    // The sum starts from +0, which would swallow the sign of −0.
    (sum / libm::cosh(x)).copysign(x)
}

/// The power of two at or below |a|, at least the least normal number; infinite for an infinity or NaN.
pub fn binade(a: f64) -> f64 {
    f64::from_bits(a.to_bits() & f64::INFINITY.to_bits()).max(f64::MIN_POSITIVE)
}

/// (a − b) − fl(a − b), exactly (Knuth's TwoSum); NaN where the difference is not finite.
pub fn difference_error(a: f64, b: f64) -> f64 {
    let difference = a - b;
    let b_part = a - difference;
    let a_part = difference + b_part;
    (a - a_part) + (b_part - b)
}

/// The largest element of a row, a zero as +0; NaN if any is; −inf for an empty row.
pub fn row_max(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, maximum) + 0.0
}

/// The smallest element of a row, a zero as +0; NaN if any is; inf for an empty row.
pub fn row_min(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::INFINITY, minimum) + 0.0
}

/// The sum of a row, compensated (Neumaier), so that the order hardly matters.
pub fn row_sum(row: &[f64]) -> f64 {
    let mut sum = 0.0f64;
    let mut compensation = 0.0f64;
    for &x in row {
        let next = sum + x;
        if next.is_finite() {
            compensation += if sum.abs() >= x.abs() { (sum - next) + x } else { (x - next) + sum };
        }
        sum = next;
    }
    sum + compensation
}

/// The mean of a row; NaN for an empty one.
pub fn row_mean(row: &[f64]) -> f64 {
    let mean = row_sum(row) / row.len() as f64;
    if mean.is_finite() || !row.iter().all(|x| x.is_finite()) {
        return mean;
    }
    // Only the sum is too large: no row has so many elements that a 2⁶⁴th of them adds up to that much.
    let scaled: Vec<f64> = row.iter().map(|x| x * 2f64.powi(-64)).collect();
    row_sum(&scaled) / row.len() as f64 * 2f64.powi(64)
}

/// The sparsemax threshold of a row: the τ for which the sum of max(x − τ, 0) is 1.
///
/// Sort descending; the support is the longest prefix with 1 + k·x₍ₖ₎ > Σ of the prefix. The maximum is subtracted
/// first, so that offsets do not cancel. −inf entries never join the support; NaN or +inf, or a row of −inf
/// alone, gives NaN; an empty row too.
pub fn row_sparsemax_tau(row: &[f64]) -> f64 {
    sparsemax_tau_in_place(&mut row.to_vec())
}

/// [`row_sparsemax_tau`] without memory of its own: the row is spoilt.
pub fn sparsemax_tau_in_place(row: &mut [f64]) -> f64 {
    let largest = row_max(row);
    if !largest.is_finite() {
        return f64::NAN;
    }
    // What can join the support, at the front.
    let mut count = 0;
    for at in 0..row.len() {
        let z = row[at] - largest;
        if z > -1.0 {
            row[count] = z;
            count += 1;
        }
    }
    let sorted = &mut row[..count];
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut prefix = 0.0;
    let mut tau = -1.0;
    for (index, z) in sorted.iter().enumerate() {
        let count = (index + 1) as f64;
        if 1.0 + count * z <= prefix + z {
            break;
        }
        prefix += z;
        tau = (prefix - 1.0) / count;
    }
    largest + tau
}
