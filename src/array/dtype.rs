//! Element types: how arrays store numbers, and what kernels compute in.
//!
//! An array has a *storage dtype* ([`Dtype`]). Arithmetic is in a *compute dtype* ([`ComputeDtype`]): float32, or float64 if any
//! array of a call is float64. What lies between, one conversion a load and one a store, is [`super::convert`]'s.

use fuselet_ir::StorageType;
use std::fmt;

/// How an array stores its elements.
///
/// Dtypes mix freely in one call: arithmetic is in float32, or in float64 if any array is float64. A load converts exactly
/// (32-bit integers are rounded to float32 once, to nearest even); a store rounds once:
///
/// - to float types to nearest even, past the largest number to infinity, NaN to NaN;
/// - to integers to nearest even, past the ends of the type to its ends, NaN to 0;
/// - to bool what is not 0 to true (NaN is not 0).
///
/// Intermediate values are never rounded to a storage dtype, fused or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Dtype {
    /// IEEE binary32.
    #[default]
    F32,
    /// IEEE binary64.
    F64,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32: 8 bits of exponent, 7 of mantissa.
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
    /// A byte: 0 is false, any other true; 1 is what is written for true.
    Bool,
}

impl Dtype {
    /// Every dtype.
    pub const ALL: &'static [Dtype] = &[
        Dtype::F64,
        Dtype::F32,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::I32,
        Dtype::I16,
        Dtype::I8,
        Dtype::U32,
        Dtype::U16,
        Dtype::U8,
        Dtype::Bool,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F64 => 8,
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 | Dtype::U16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
        }
    }

    /// The name users see, NumPy's.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F64 => "float64",
            Dtype::F32 => "float32",
            Dtype::F16 => "float16",
            Dtype::Bf16 => "bfloat16",
            Dtype::I32 => "int32",
            Dtype::I16 => "int16",
            Dtype::I8 => "int8",
            Dtype::U32 => "uint32",
            Dtype::U16 => "uint16",
            Dtype::U8 => "uint8",
            Dtype::Bool => "bool",
        }
    }

    /// Whether its elements are floats.
    pub const fn is_float(self) -> bool {
        matches!(self, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16)
    }

    /// The dtype that holds what both do, as JAX promotes dtypes: bool below integers below floats; integers of both signs to a signed
    /// one that holds both, 32 bits of both to float32, and float16 with bfloat16 to float32.
    ///
    /// ```
    /// use fuselet::Dtype;
    /// assert_eq!(Dtype::F16.promote(Dtype::Bf16), Dtype::F32);
    /// assert_eq!(Dtype::I32.promote(Dtype::Bf16), Dtype::Bf16);
    /// assert_eq!(Dtype::U8.promote(Dtype::I8), Dtype::I16);
    /// ```
    pub fn promote(self, other: Dtype) -> Dtype {
        let is_signed = |dtype: Dtype| matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32);
        let (small, large) = if self.rank() <= other.rank() { (self, other) } else { (other, self) };
        match (small, large) {
            _ if small == large || small == Dtype::Bool => large,
            (Dtype::Bf16, Dtype::F16) | (Dtype::F16, Dtype::Bf16) => Dtype::F32,
            _ if large.is_float() || is_signed(small) == is_signed(large) => large,
            // Of both signs.
            _ if is_signed(large) && large.size() > small.size() => large,
            _ => match small.size().max(large.size()) {
                1 => Dtype::I16,
                2 => Dtype::I32,
                _ => Dtype::F32,
            },
        }
    }

    /// The dtype of a result of inputs of these dtypes where its array is not there to say: the promoted one, or float32 where that is
    /// no float, as no input is.
    pub(crate) fn of_result(inputs: impl IntoIterator<Item = Dtype>) -> Dtype {
        inputs.into_iter().reduce(Dtype::promote).filter(|dtype| dtype.is_float()).unwrap_or_default()
    }

    /// Where it comes among dtypes when one of two has to give way.
    fn rank(self) -> usize {
        match self {
            Dtype::Bool => 0,
            Dtype::U8 => 1,
            Dtype::I8 => 2,
            Dtype::U16 => 3,
            Dtype::I16 => 4,
            Dtype::U32 => 5,
            Dtype::I32 => 6,
            Dtype::Bf16 => 7,
            Dtype::F16 => 8,
            Dtype::F32 => 9,
            Dtype::F64 => 10,
        }
    }

    /// What a call computes in if this is one of its arrays' dtypes and no other asks for more.
    pub const fn compute(self) -> ComputeDtype {
        match self {
            Dtype::F64 => ComputeDtype::F64,
            _ => ComputeDtype::F32,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What `cast` rounds to in the language, as a dtype of arrays.
impl From<StorageType> for Dtype {
    fn from(ty: StorageType) -> Dtype {
        match ty {
            StorageType::F64 => Dtype::F64,
            StorageType::F32 => Dtype::F32,
            StorageType::F16 => Dtype::F16,
            StorageType::Bf16 => Dtype::Bf16,
            StorageType::I32 => Dtype::I32,
            StorageType::I16 => Dtype::I16,
            StorageType::I8 => Dtype::I8,
            StorageType::U32 => Dtype::U32,
            StorageType::U16 => Dtype::U16,
            StorageType::U8 => Dtype::U8,
            StorageType::Bool => Dtype::Bool,
        }
    }
}

/// A name that is no dtype's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no dtype `{name}`; the dtypes are float64, float32, float16, bfloat16, int32, int16, int8, uint32, uint16, uint8 and bool"
)]
pub struct UnknownDtype {
    /// The name.
    pub name: String,
}

impl std::str::FromStr for Dtype {
    type Err = UnknownDtype;

    /// By NumPy's name (`bfloat16`) or the short one (`bf16`).
    ///
    /// ```
    /// use fuselet::Dtype;
    /// assert_eq!(("bfloat16".parse(), "bf16".parse()), (Ok(Dtype::Bf16), Ok(Dtype::Bf16)));
    /// assert!("float8".parse::<Dtype>().is_err());
    /// ```
    fn from_str(name: &str) -> Result<Dtype, UnknownDtype> {
        let named = name.parse::<StorageType>().map(Dtype::from);
        named.map_err(|_| UnknownDtype { name: name.to_owned() })
    }
}

/// The floats that lanes of a kernel are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ComputeDtype {
    /// IEEE binary32.
    #[default]
    F32,
    /// IEEE binary64.
    F64,
}

impl ComputeDtype {
    /// What a call of arrays of these dtypes computes in.
    pub fn of(dtypes: impl IntoIterator<Item = Dtype>) -> ComputeDtype {
        dtypes.into_iter().map(Dtype::compute).max().unwrap_or_default()
    }

    /// Bytes of one lane.
    pub const fn size(self) -> usize {
        self.storage().size()
    }

    /// The name users see.
    pub const fn name(self) -> &'static str {
        self.storage().name()
    }

    /// The dtype that stores lanes as they are.
    pub const fn storage(self) -> Dtype {
        match self {
            ComputeDtype::F32 => Dtype::F32,
            ComputeDtype::F64 => Dtype::F64,
        }
    }
}

impl fmt::Display for ComputeDtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
