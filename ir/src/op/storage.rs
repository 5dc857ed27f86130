//! Storage types: what arrays store numbers as, and what `cast` rounds to.
//!
//! Here are their names and the float64 meaning of a cast, which the op table's rows point to; `cast` says which row is whose. How an
//! array's bytes are read and written is the engine's business.

use crate::choice::UnknownName;
use crate::nearest::nearest;
use std::fmt;

/// A type that arrays store numbers as.
///
/// It can be matched without a wildcard on purpose, as ops can: an engine that misses one should not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StorageType {
    /// IEEE binary64.
    F64,
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// True or false.
    Bool,
}

/// One row for each type: the name in the language, and NumPy's.
const TABLE: &[(StorageType, &str, &str)] = &[
    (StorageType::F64, "f64", "float64"),
    (StorageType::F32, "f32", "float32"),
    (StorageType::F16, "f16", "float16"),
    (StorageType::Bf16, "bf16", "bfloat16"),
    (StorageType::I32, "i32", "int32"),
    (StorageType::I16, "i16", "int16"),
    (StorageType::I8, "i8", "int8"),
    (StorageType::U32, "u32", "uint32"),
    (StorageType::U16, "u16", "uint16"),
    (StorageType::U8, "u8", "uint8"),
    (StorageType::Bool, "bool", "bool"),
];

impl StorageType {
    /// Every type.
    pub fn all() -> impl ExactSizeIterator<Item = StorageType> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (StorageType, &'static str, &'static str) {
        TABLE.iter().find(|row| row.0 == self).expect("every type has a row")
    }

    /// Its name in the language: `bf16`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// NumPy's name, which is understood too: `bfloat16`.
    pub fn long_name(self) -> &'static str {
        self.row().2
    }

    /// The type of a name, short or long.
    pub(crate) fn by_name(name: &str) -> Option<StorageType> {
        TABLE.iter().find(|row| row.1 == name || row.2 == name).map(|row| row.0)
    }

    /// The least and the greatest number of an integer type.
    pub fn integer_range(self) -> Option<(f64, f64)> {
        Some(match self {
            StorageType::I32 => (i32::MIN.into(), i32::MAX.into()),
            StorageType::I16 => (i16::MIN.into(), i16::MAX.into()),
            StorageType::I8 => (i8::MIN.into(), i8::MAX.into()),
            StorageType::U32 => (0.0, u32::MAX.into()),
            StorageType::U16 => (0.0, u16::MAX.into()),
            StorageType::U8 => (0.0, u8::MAX.into()),
            StorageType::F64 | StorageType::F32 | StorageType::F16 | StorageType::Bf16 | StorageType::Bool => {
                return None;
            }
        })
    }

    /// A number rounded to this type once, as a number again: to floats to nearest even, past the largest to infinity, NaN to NaN; to
    /// integers to nearest even, past the ends to the ends, NaN to 0; to bool 1 for all but 0. An integer's zero is +0.
    ///
    /// ```
    /// use fuselet_ir::op::StorageType;
    /// assert_eq!(StorageType::Bf16.round(1.01), 1.0078125);
    /// assert_eq!(StorageType::I8.round(-2.5), -2.0);
    /// assert_eq!(StorageType::U8.round(f64::INFINITY), 255.0);
    /// ```
    pub fn round(self, value: f64) -> f64 {
        match (self, self.integer_range()) {
            (_, Some(_)) if value.is_nan() => 0.0,
            (_, Some((least, greatest))) => value.round_ties_even().clamp(least, greatest) + 0.0,
            (StorageType::F32, _) => round_to_float(value, 23, 127),
            (StorageType::F16, _) => round_to_float(value, 10, 15),
            (StorageType::Bf16, _) => round_to_float(value, 7, 127),
            (StorageType::Bool, _) => f64::from(value != 0.0),
            _ => value,
        }
    }
}

/// A number rounded to a binary format of so many bits after the leading one, whose exponents reach from 1 − `bias` to `bias`.
fn round_to_float(value: f64, mantissa: i32, bias: i32) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    // What the last bit is worth: no less than for subnormals. Scaling by a power of two is exact here, both ways.
    let unit = libm::ilogb(value).max(1 - bias) - mantissa;
    let rounded = libm::scalbn(libm::scalbn(value, -unit).round_ties_even(), unit);
    let past = libm::scalbn(1.0, bias + 1);
    if rounded.abs() >= past { f64::INFINITY.copysign(value) } else { rounded }
}

impl fmt::Display for StorageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for StorageType {
    type Err = UnknownName;

    /// By either name.
    fn from_str(name: &str) -> Result<StorageType, UnknownName> {
        StorageType::by_name(name).ok_or_else(|| UnknownName {
            what: "storage type",
            name: name.chars().take(80).collect(),
            nearest: nearest(name, StorageType::names()),
        })
    }
}

impl StorageType {
    /// Every name, the short ones first.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.1).chain(TABLE.iter().map(|row| row.2))
    }
}
