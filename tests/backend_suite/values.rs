//! Bit patterns that bite, and a small random generator to find more.

use fuselet::array::Dtype;

/// Both dtypes.
pub const DTYPES: [Dtype; 2] = [Dtype::F32, Dtype::F64];

/// All bits of a lane.
pub fn all_ones(dtype: Dtype) -> u64 {
    u64::MAX >> (64 - 8 * dtype.size())
}

/// The bits of a number in `dtype`.
pub fn bits(dtype: Dtype, value: f64) -> u64 {
    match dtype {
        Dtype::F32 => u64::from((value as f32).to_bits()),
        _ => value.to_bits(),
    }
}

/// Whether bits are a NaN.
pub fn is_nan(dtype: Dtype, bits: u64) -> bool {
    match dtype {
        Dtype::F32 => f32::from_bits(bits as u32).is_nan(),
        _ => f64::from_bits(bits).is_nan(),
    }
}

/// Few special values, for cubes of them.
pub fn core_specials(dtype: Dtype) -> Vec<u64> {
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

fn smallest_normal(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::F32 => 0x0080_0000,
        _ => 0x0010_0000_0000_0000,
    }
}

/// Special values, for squares of them: the core, NaN payloads (signalling ones too), halfway cases of rounding, the edge
/// where numbers have no fraction bits, integers' edges.
pub fn specials(dtype: Dtype) -> Vec<u64> {
    let sign = all_ones(dtype) ^ (all_ones(dtype) >> 1);
    let infinity = bits(dtype, f64::INFINITY);
    let integers_from = match dtype {
        Dtype::F32 => 2f64.powi(23),
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

    /// Mostly numbers of everyday size, now and then a special value or any bits.
    pub fn lane(&mut self, dtype: Dtype) -> u64 {
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
