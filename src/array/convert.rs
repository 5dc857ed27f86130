//! What storing and loading an element of each dtype means: the one definition that every backend's bits equal.
//!
//! Each conversion is one correctly rounded step (see [`super::Dtype`]); nothing depends on the floating-point mode but rounding
//! to nearest. The functions are without branches, so that loops over them are vectors.

#![allow(clippy::cast_possible_truncation, reason = "conversions are what this is for")]

use super::dtype::Dtype;

/// An element as it lies in memory.
pub(crate) trait Stored: Copy + Default + Send + Sync + 'static {
    /// As float32; exact but for 32-bit integers, which are rounded, and float64, which is rounded.
    fn to_f32(self) -> f32;
    /// As float64, exactly.
    fn to_f64(self) -> f64;
    /// Rounded from float32.
    fn of_f32(value: f32) -> Self;
    /// Rounded from float64, once.
    fn of_f64(value: f64) -> Self;
    /// Its bits, with zeros above.
    fn raw_bits(self) -> u64;
    /// The element of the low bits.
    fn of_bits(bits: u64) -> Self;
}

/// A number as lanes hold it.
pub(crate) trait Computed: Copy {
    /// An element, loaded.
    fn of_stored<S: Stored>(element: S) -> Self;
    /// The element that a store makes of it.
    fn stored<S: Stored>(self) -> S;
}

impl Computed for f32 {
    #[inline(always)]
    fn of_stored<S: Stored>(element: S) -> f32 {
        element.to_f32()
    }
    #[inline(always)]
    fn stored<S: Stored>(self) -> S {
        S::of_f32(self)
    }
}

impl Computed for f64 {
    #[inline(always)]
    fn of_stored<S: Stored>(element: S) -> f64 {
        element.to_f64()
    }
    #[inline(always)]
    fn stored<S: Stored>(self) -> S {
        S::of_f64(self)
    }
}

macro_rules! floats {
    ($($type:ty),*) => { $(
        impl Stored for $type {
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn of_f32(value: f32) -> $type {
                value as $type
            }
            #[inline(always)]
            fn of_f64(value: f64) -> $type {
                value as $type
            }
            fn raw_bits(self) -> u64 {
                self.to_bits().into()
            }
            fn of_bits(bits: u64) -> $type {
                <$type>::from_bits(bits as _)
            }
        }
    )* };
}
floats!(f32, f64);

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Stored for $type {
            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            // `as` goes to the ends of the type past them, and takes NaN to 0.
            #[inline(always)]
            fn of_f32(value: f32) -> $type {
                value.round_ties_even() as $type
            }
            #[inline(always)]
            fn of_f64(value: f64) -> $type {
                value.round_ties_even() as $type
            }
            fn raw_bits(self) -> u64 {
                u64::from_ne_bytes(i64::from(self).to_ne_bytes()) & (u64::MAX >> (64 - <$type>::BITS))
            }
            fn of_bits(bits: u64) -> $type {
                bits as $type
            }
        }
    )* };
}
integers!(i32, i16, i8, u32, u16, u8);

/// The bits of a binary16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct F16(pub(crate) u16);

/// The bits of a bfloat16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

/// A byte that is a bool: false if 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Flag(pub(crate) u8);

impl Stored for F16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        // The exponent's distance between the two formats; and what the two ends of the narrow one's exponents need beside it.
        const DISTANCE: u32 = (127 - 15) << 23;
        let magnitude = (u32::from(self.0) & 0x7fff) << 13;
        let exponent = magnitude & (0x7c00 << 13);
        let normal = magnitude + DISTANCE;
        let infinite = normal + ((128 - 16) << 23);
        // A subnormal is what its bits add to the least normal number.
        let subnormal = f32::from_bits(normal + (1 << 23)) - f32::from_bits(DISTANCE + (1 << 23));
        let bits = if exponent == 0 {
            subnormal.to_bits()
        } else if exponent == 0x7c00 << 13 {
            infinite
        } else {
            normal
        };
        f32::from_bits(bits | (u32::from(self.0) & 0x8000) << 16)
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }

    #[inline(always)]
    fn of_f32(value: f32) -> F16 {
        const INFINITY: u32 = 0xff << 23;
        const TOO_LARGE: u32 = (127 + 16) << 23;
        const LEAST_NORMAL: u32 = (127 - 14) << 23;
        // A number whose last bit is worth as much as a subnormal's: adding it rounds there.
        const SUBNORMAL: u32 = ((127 - 15) + (23 - 10) + 1) << 23;
        let sign = value.to_bits() & (1 << 31);
        let bits = value.to_bits() ^ sign;
        let large = if bits > INFINITY { 0x7e00 } else { 0x7c00 };
        let subnormal = (f32::from_bits(bits) + f32::from_bits(SUBNORMAL)).to_bits().wrapping_sub(SUBNORMAL);
        let odd = bits >> 13 & 1;
        let normal = bits.wrapping_add(0xfff + odd).wrapping_sub((127 - 15) << 23) >> 13;
        let rounded = if bits >= TOO_LARGE {
            large
        } else if bits < LEAST_NORMAL {
            subnormal
        } else {
            normal
        };
        F16((rounded | sign >> 16) as u16)
    }

    #[inline(always)]
    fn of_f64(value: f64) -> F16 {
        F16::of_f32(round_to_odd(value))
    }

    fn raw_bits(self) -> u64 {
        self.0.into()
    }

    fn of_bits(bits: u64) -> F16 {
        F16(bits as u16)
    }
}

impl Stored for Bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }

    #[inline(always)]
    fn of_f32(value: f32) -> Bf16 {
        let bits = value.to_bits();
        let odd = bits >> 16 & 1;
        let rounded = bits.wrapping_add(0x7fff + odd) >> 16;
        let quiet = bits >> 16 | 0x40;
        Bf16(if value.is_nan() { quiet } else { rounded } as u16)
    }

    #[inline(always)]
    fn of_f64(value: f64) -> Bf16 {
        Bf16::of_f32(round_to_odd(value))
    }

    fn raw_bits(self) -> u64 {
        self.0.into()
    }

    fn of_bits(bits: u64) -> Bf16 {
        Bf16(bits as u16)
    }
}

impl Stored for Flag {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(u8::from(self.0 != 0))
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self.0 != 0))
    }
    #[inline(always)]
    fn of_f32(value: f32) -> Flag {
        Flag(u8::from(value != 0.0))
    }
    #[inline(always)]
    fn of_f64(value: f64) -> Flag {
        Flag(u8::from(value != 0.0))
    }

    fn raw_bits(self) -> u64 {
        self.0.into()
    }

    fn of_bits(bits: u64) -> Flag {
        Flag(bits as u8)
    }
}

/// The float32 next to a float64 toward zero, its last bit set if that is inexact: what rounds from there to a format of at least
/// two bits less rounds as from the float64 itself (Boldo and Melquiond 2008).
#[inline(always)]
fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    let back = f64::from(nearest);
    let away = u32::from(back.abs() > value.abs());
    let inexact = u32::from(back != value);
    // NaN is "inexact", and stays NaN.
    f32::from_bits((nearest.to_bits() - away) | inexact)
}

/// Calls `$body` with `$stored` standing for the type that stores elements of a dtype.
macro_rules! with_stored {
    ($dtype:expr, $stored:ident => $body:expr) => {{
        use $crate::array::convert;
        match $dtype {
            $crate::array::Dtype::F64 => with_stored!(@ f64, $stored => $body),
            $crate::array::Dtype::F32 => with_stored!(@ f32, $stored => $body),
            $crate::array::Dtype::F16 => with_stored!(@ convert::F16, $stored => $body),
            $crate::array::Dtype::Bf16 => with_stored!(@ convert::Bf16, $stored => $body),
            $crate::array::Dtype::I32 => with_stored!(@ i32, $stored => $body),
            $crate::array::Dtype::I16 => with_stored!(@ i16, $stored => $body),
            $crate::array::Dtype::I8 => with_stored!(@ i8, $stored => $body),
            $crate::array::Dtype::U32 => with_stored!(@ u32, $stored => $body),
            $crate::array::Dtype::U16 => with_stored!(@ u16, $stored => $body),
            $crate::array::Dtype::U8 => with_stored!(@ u8, $stored => $body),
            $crate::array::Dtype::Bool => with_stored!(@ convert::Flag, $stored => $body),
        }
    }};
    (@ $type:ty, $stored:ident => $body:expr) => {{
        type $stored = $type;
        $body
    }};
}
pub(crate) use with_stored;

impl Dtype {
    /// What a float64 is as an element of this dtype, as a float64 again: rounding to storage, and what comes back.
    ///
    /// ```
    /// use fuselet::Dtype;
    /// assert_eq!(Dtype::F16.round(1.0 + 1.0 / 1024.0 / 2.0), 1.0);
    /// assert_eq!(Dtype::I8.round(1000.0), 127.0);
    /// ```
    pub fn round(self, value: f64) -> f64 {
        with_stored!(self, S => S::of_f64(value).to_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest value of a format to a number, by looking at all its values.
    struct Table(Vec<(f64, u16)>);

    impl Table {
        fn of(value: impl Fn(u16) -> f64) -> Table {
            let mut all: Vec<(f64, u16)> =
                (0..0x8000u16).map(|bits| (value(bits), bits)).filter(|(value, _)| value.is_finite()).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            Table(all)
        }

        fn nearest(&self, value: f64, infinity: u16) -> u16 {
            let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
            let value = value.abs();
            let (last, before) = (self.0[self.0.len() - 1], self.0[self.0.len() - 2]);
            if value >= last.0 + (last.0 - before.0) / 2.0 {
                return infinity | sign;
            }
            let at = self.0.partition_point(|(own, _)| *own <= value).max(1);
            let (below, above) = (self.0[at - 1], *self.0.get(at).unwrap_or(&last));
            let (down, up) = (value - below.0, above.0 - value);
            let down = down < up || (down == up && below.1 % 2 == 0);
            (if down { below.1 } else { above.1 }) | sign
        }
    }

    fn half(bits: u16) -> f64 {
        let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        match exponent {
            0 => mantissa * 2f64.powi(-24),
            31 if mantissa == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
        }
    }

    fn brain(bits: u16) -> f64 {
        f64::from(f32::from_bits(u32::from(bits) << 16))
    }

    /// Both signs of every number of a format, its midpoints, and neighbours of both in float32 and float64.
    fn probes(table: &Table) -> Vec<f64> {
        let mut probes = vec![0.0, f64::INFINITY, 1e300, 1e-300, 1e-60, 65519.999, 65520.0, 3.3895e38, 3.4e38, 5e-324];
        for pair in table.0.windows(2).step_by(7) {
            let middle = (pair[0].0 + pair[1].0) / 2.0;
            for value in [pair[0].0, middle] {
                let narrow = value as f32;
                probes.extend([value, value.next_up(), value.next_down().abs()]);
                probes.extend([narrow.next_up(), narrow.next_down().abs()].map(f64::from));
            }
        }
        let negative: Vec<f64> = probes.iter().map(|value| -value).collect();
        probes.extend(negative);
        probes
    }

    #[test]
    fn half_types_round_once_to_nearest_even() {
        let (halves, brains) = (Table::of(half), Table::of(brain));
        for value in probes(&halves) {
            assert_eq!(F16::of_f64(value).0, halves.nearest(value, 0x7c00), "{value:e}");
            let narrow = value as f32;
            assert_eq!(F16::of_f32(narrow).0, halves.nearest(f64::from(narrow), 0x7c00), "{narrow:e}");
        }
        for value in probes(&brains) {
            assert_eq!(Bf16::of_f64(value).0, brains.nearest(value, 0x7f80), "{value:e}");
            let narrow = value as f32;
            assert_eq!(Bf16::of_f32(narrow).0, brains.nearest(f64::from(narrow), 0x7f80), "{narrow:e}");
        }
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
            assert!(F16::of_f32(nan).to_f32().is_nan() && Bf16::of_f32(nan).to_f32().is_nan());
            assert!(F16::of_f64(f64::from(nan)).to_f32().is_nan() && Bf16::of_f64(f64::from(nan)).to_f32().is_nan());
        }
    }

    #[test]
    fn every_half_is_loaded_exactly_and_stored_as_it_was() {
        for bits in 0..=u16::MAX {
            let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
            let (loaded, expected) = (F16(bits).to_f64(), half(bits & 0x7fff) * sign);
            assert!(loaded.to_bits() == expected.to_bits() || (loaded.is_nan() && expected.is_nan()), "{bits:#x}");
            for (loaded, stored) in [
                (F16(bits).to_f32(), F16::of_f32(F16(bits).to_f32()).0),
                (Bf16(bits).to_f32(), Bf16::of_f32(Bf16(bits).to_f32()).0),
            ] {
                assert!(stored == bits || loaded.is_nan(), "{bits:#x} {stored:#x}");
            }
        }
    }

    #[test]
    fn integers_and_flags_go_to_the_nearest_and_no_further_than_their_ends() {
        let cases = [(2.5, 2), (3.5, 4), (-2.5, -2), (-0.5, 0), (126.5, 126), (127.5, 127), (1e9, 127), (-1e9, -128)];
        for (value, expected) in cases {
            assert_eq!(i8::of_f64(value), expected);
            assert_eq!(i8::of_f32(value as f32), expected);
        }
        assert_eq!((u8::of_f32(-1.0), u8::of_f32(255.5), u8::of_f32(f32::NAN)), (0, 255, 0));
        assert_eq!((i32::of_f32(f32::INFINITY), u32::of_f32(4.3e9)), (i32::MAX, u32::MAX));
        assert_eq!(
            (i32::MAX.to_f32(), u32::MAX.to_f32(), 16_777_217i32.to_f32()),
            (2147483648.0, 4294967296.0, 16_777_216.0)
        );
        assert_eq!([0.0, -0.0, 1e-45, f32::NAN].map(|value| Flag::of_f32(value).0), [0, 0, 1, 1]);
        assert_eq!((Flag(2).to_f32(), Flag(0).to_f64()), (1.0, 0.0));
    }
}
