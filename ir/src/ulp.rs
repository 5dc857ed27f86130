//! Distances in units in the last place: how far a computed number is from the true one.
//!
//! [`ulp_distance_f32`] measures a float32 against a float64 truth: |got − true| / ulp(true), where the unit of
//! subnormals, and of a true zero, is 2⁻¹⁴⁹. So a wrong answer where the truth is 0 costs what it is worth, and a
//! result flushed to zero is not free. [`ulp_distance_f64`] counts the float64 numbers between two of them; nothing
//! more exact than float64 is at hand to measure those against.
//!
//! The sign of a zero is not a distance: tests that care compare bits.

/// The unit in the last place of float32 numbers as large as `truth`: 2⁻¹⁴⁹ for zero and subnormals, 2¹⁰⁴ for all
/// that overflows. NaN for NaN.
pub fn ulp_f32(truth: f64) -> f64 {
    if truth.is_nan() {
        return f64::NAN;
    }
    // The exponent field of a float64 subnormal is 0, which clamps like any other tiny number.
    let exponent = ((truth.to_bits() >> 52) & 0x7ff) as i64 - 1023;
    let exponent = exponent.clamp(-126, 127) - 23;
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// |got − truth| in units of [`ulp_f32`] of the truth: at most 0.5 for a correctly rounded result.
///
/// - NaN is right only where the truth is NaN; otherwise the distance is infinite.
/// - A truth that rounds to infinity makes the infinity of its sign exact. An infinity where the truth is still below
///   the overflow threshold counts as 2¹²⁸, one unit above the largest finite float32.
/// - A finite result where the truth is infinite, or an infinity of the wrong sign, is infinitely far.
pub fn ulp_distance_f32(got: f32, truth: f64) -> f64 {
    /// The first number that rounds to infinity: halfway between the largest finite float32 and 2¹²⁸.
    const OVERFLOW: f64 = 340_282_356_779_733_661_637_539_395_458_142_568_448.0;
    /// 2¹²⁸.
    const BEYOND: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;
    if got.is_nan() || truth.is_nan() {
        return if got.is_nan() && truth.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got.is_infinite() {
        let same_sign = got.is_sign_negative() == truth.is_sign_negative();
        return match truth.abs() {
            _ if !same_sign => f64::INFINITY,
            magnitude if magnitude >= OVERFLOW => 0.0,
            magnitude => (BEYOND - magnitude) / ulp_f32(truth),
        };
    }
    (f64::from(got) - truth).abs() / ulp_f32(truth)
}

/// How many steps from one float32 to the next lie between two of them; both zeros are one number, all NaN are one.
/// `u32::MAX` between NaN and a number.
pub fn ulp_steps_f32(left: f32, right: f32) -> u32 {
    if left.is_nan() || right.is_nan() {
        return if left.is_nan() && right.is_nan() { 0 } else { u32::MAX };
    }
    let place = |x: f32| {
        let magnitude = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -magnitude } else { magnitude }
    };
    place(left).abs_diff(place(right)) as u32
}

/// How many steps from one float64 to the next lie between two of them; both zeros are one number, all NaN are one.
/// `u64::MAX` between NaN and a number.
pub fn ulp_distance_f64(left: f64, right: f64) -> u64 {
    if left.is_nan() || right.is_nan() {
        return if left.is_nan() && right.is_nan() { 0 } else { u64::MAX };
    }
    let place = |x: f64| {
        let magnitude = (x.to_bits() & (u64::MAX >> 1)) as i64;
        if x.is_sign_negative() { -magnitude } else { magnitude }
    };
    place(left).abs_diff(place(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_where_the_truth_is_zero_is_not_free() {
        assert_eq!(ulp_distance_f32(f32::from_bits(3), 0.0), 3.0);
        assert_eq!(ulp_distance_f32(-f32::from_bits(3), -0.0), 3.0);
        assert_eq!(ulp_distance_f32(0.0, f64::from(f32::from_bits(5))), 5.0);
        assert_eq!(ulp_distance_f32(0.0, 1e-300), 1e-300 / 2f64.powi(-149));
    }

    #[test]
    fn neighbours_are_one_unit_apart_everywhere() {
        for bits in [1u32, 2, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x7f7f_fffe] {
            let (here, next) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            assert_eq!(ulp_distance_f32(next, f64::from(here)), 1.0, "at {here:e}");
            assert_eq!(ulp_distance_f32(-next, f64::from(-here)), 1.0, "at -{here:e}");
            assert_eq!(ulp_steps_f32(next, here), 1);
        }
        assert_eq!(ulp_distance_f64(1.0, 1.0 + f64::EPSILON), 1);
        assert_eq!(ulp_distance_f64(-f64::from_bits(1), f64::from_bits(1)), 2);
    }

    #[test]
    fn overflow_is_exact_only_past_the_threshold() {
        let largest = f64::from(f32::MAX);
        assert_eq!(ulp_distance_f32(f32::INFINITY, largest), 1.0);
        assert_eq!(ulp_distance_f32(f32::INFINITY, largest + 2f64.powi(103)), 0.0);
        assert_eq!(ulp_distance_f32(f32::INFINITY, 1e300), 0.0);
        assert_eq!(ulp_distance_f32(f32::NEG_INFINITY, 1e300), f64::INFINITY);
        assert_eq!(ulp_distance_f32(f32::MAX, f64::INFINITY), f64::INFINITY);
        assert_eq!(ulp_distance_f32(f32::MAX, 2f64.powi(128)), 1.0);
    }

    #[test]
    fn nan_is_right_only_where_the_truth_is_nan() {
        assert_eq!(ulp_distance_f32(f32::NAN, f64::NAN), 0.0);
        assert_eq!(ulp_distance_f32(f32::NAN, 0.0), f64::INFINITY);
        assert_eq!(ulp_distance_f32(0.0, f64::NAN), f64::INFINITY);
        assert_eq!(ulp_distance_f64(f64::NAN, 0.0), u64::MAX);
        assert_eq!(ulp_steps_f32(f32::NAN, f32::NAN), 0);
    }
}
