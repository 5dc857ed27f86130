//! Bit patterns that bite, and a small random generator to find more.

use fuselet::array::{ComputeDtype, Dtype};
use half::{bf16, f16};

/// Both dtypes.
pub const DTYPES: [ComputeDtype; 2] = [ComputeDtype::F32, ComputeDtype::F64];

/// All bits of a lane.
pub fn all_ones(dtype: ComputeDtype) -> u64 {
    u64::MAX >> (64 - 8 * dtype.size())
}

/// The bits of a number in `dtype`.
pub fn bits(dtype: ComputeDtype, value: f64) -> u64 {
    match dtype {
        ComputeDtype::F32 => u64::from((value as f32).to_bits()),
        _ => value.to_bits(),
    }
}

/// Whether an element's bits are a NaN.
pub fn is_nan_element(dtype: Dtype, bits: u64) -> bool {
    match dtype {
        Dtype::F64 => f64::from_bits(bits).is_nan(),
        Dtype::F32 => f32::from_bits(bits as u32).is_nan(),
        Dtype::F16 => f16::from_bits(bits as u16).is_nan(),
        Dtype::Bf16 => bf16::from_bits(bits as u16).is_nan(),
        _ => false,
    }
}

/// The one NaN that all of a dtype are compared as.
pub fn nan(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::F64 => f64::NAN.to_bits(),
        Dtype::F32 => f32::NAN.to_bits().into(),
        Dtype::F16 => f16::NAN.to_bits().into(),
        Dtype::Bf16 => bf16::NAN.to_bits().into(),
        _ => unreachable!("integers have no NaN"),
    }
}

/// The lane that an element is loaded as.
pub fn load(lane: ComputeDtype, dtype: Dtype, element: u64) -> u64 {
    if dtype == lane.storage() {
        return element;
    }
    bits(
        lane,
        match dtype {
            Dtype::F64 => f64::from_bits(element),
            Dtype::F32 => f32::from_bits(element as u32).into(),
            Dtype::F16 => f16::from_bits(element as u16).to_f64(),
            Dtype::Bf16 => bf16::from_bits(element as u16).to_f64(),
            Dtype::I32 => (element as i32).into(),
            Dtype::I16 => (element as i16).into(),
            Dtype::I8 => (element as i8).into(),
            Dtype::U32 => (element as u32).into(),
            Dtype::U16 => (element as u16).into(),
            Dtype::U8 => (element as u8).into(),
            Dtype::Bool => f64::from(u8::from(element != 0)),
            other => panic!("no meaning for {other}"),
        },
    )
}

/// The element that a lane is stored as.
pub fn store(lane: ComputeDtype, dtype: Dtype, bits: u64) -> u64 {
    if dtype == lane.storage() {
        return bits;
    }
    let value = match lane {
        ComputeDtype::F32 => f32::from_bits(bits as u32).into(),
        ComputeDtype::F64 => f64::from_bits(bits),
    };
    // By itself: the nearest of the dtype's values; then exactly.
    let rounded = dtype.round(value);
    match dtype {
        Dtype::F64 => rounded.to_bits(),
        Dtype::F32 => (rounded as f32).to_bits().into(),
        Dtype::F16 => f16::from_f64(rounded).to_bits().into(),
        Dtype::Bf16 => bf16::from_f64(rounded).to_bits().into(),
        _ => (rounded as i64 as u64) & (u64::MAX >> (64 - 8 * dtype.size())),
    }
}

/// Few special values, for cubes of them.
pub fn core_specials(dtype: ComputeDtype) -> Vec<u64> {
    let sign = all_ones(dtype) ^ (all_ones(dtype) >> 1);
    let infinity = bits(dtype, f64::INFINITY);
    let positive = [
        0,
        1,
        bits(dtype, 1.0),
        bits(dtype, 1.5),
        bits(dtype, -1.0) ^ sign ^ 1,
        // The smallest normal number, the largest finite one.
        smallest_normal(dtype),
        infinity - 1,
        infinity,
        // A quiet NaN.
        infinity | (infinity & infinity.wrapping_neg()) >> 1,
    ];
    positive.iter().flat_map(|bits| [*bits, bits | sign]).collect()
}

fn smallest_normal(dtype: ComputeDtype) -> u64 {
    match dtype {
        ComputeDtype::F32 => 0x0080_0000,
        _ => 0x0010_0000_0000_0000,
    }
}

/// Special values, for squares of them: the core, NaN payloads (signalling ones too), halfway cases of rounding, the edge
/// where numbers have no fraction bits, integers' edges.
pub fn specials(dtype: ComputeDtype) -> Vec<u64> {
    let sign = all_ones(dtype) ^ (all_ones(dtype) >> 1);
    let infinity = bits(dtype, f64::INFINITY);
    let integers_from = match dtype {
        ComputeDtype::F32 => 2f64.powi(23),
        _ => 2f64.powi(52),
    };
    let numbers =
        [0.5, 2.5, 3.0, 0.1, 1e-3, 7.25, 100.0, 127.0, integers_from, integers_from - 0.5, integers_from / 2.0 + 0.5];
    let mut all = core_specials(dtype);
    let more = numbers.map(|number| bits(dtype, number));
    let patterns = [
        smallest_normal(dtype) - 1,
        smallest_normal(dtype) + 1,
        bits(dtype, 0.5) - 1,
        bits(dtype, 1.0) + 1,
        infinity + 1,
        all_ones(dtype) >> 1,
    ];
    all.extend(more.iter().chain(&patterns).flat_map(|bits| [*bits, bits | sign]));
    all
}

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// The same of an element of some dtype in a program of some lanes.
    pub fn element(&mut self, lane: ComputeDtype, dtype: Dtype) -> u64 {
        let any = self.next() >> (64 - 8 * dtype.size());
        let value = self.lane(lane);
        if self.below(4) == 0 && dtype != lane.storage() { any } else { store(lane, dtype, value) }
    }

    /// Mostly numbers of everyday size, now and then a special value or any bits.
    pub fn lane(&mut self, dtype: ComputeDtype) -> u64 {
        match self.below(16) {
            0 => {
                let specials = specials(dtype);
                specials[self.below(specials.len())]
            }
            1 => self.next() & all_ones(dtype),
            _ => bits(dtype, (self.next() >> 11) as f64 / 2f64.powi(53) * 20.0 - 10.0),
        }
    }
}
