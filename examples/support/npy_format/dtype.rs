//! Dtypes, by all names NumPy has for them.

/// A kind of plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
    /// Two bytes without a meaning: what NumPy makes of bfloat16, which it does not know.
    V2,
}

/// Kind, name, and what may be written for it: `kind and bytes`, NumPy's letter, names. (A letter's length is that of Linux and
/// macOS, where `l` has 8 bytes.)
const KINDS: &[(Kind, &str, &[&str])] = &[
    (Kind::Bool, "bool", &["b1", "?", "bool", "bool_", "bool8"]),
    (Kind::I8, "int8", &["i1", "b", "int8", "byte"]),
    (Kind::I16, "int16", &["i2", "h", "int16", "short"]),
    (Kind::I32, "int32", &["i4", "i", "int32", "intc"]),
    (Kind::I64, "int64", &["i8", "l", "q", "p", "n", "int64", "int", "int_", "intp", "long", "longlong"]),
    (Kind::U8, "uint8", &["u1", "B", "uint8", "ubyte"]),
    (Kind::U16, "uint16", &["u2", "H", "uint16", "ushort"]),
    (Kind::U32, "uint32", &["u4", "I", "uint32", "uintc"]),
    (Kind::U64, "uint64", &["u8", "L", "Q", "P", "N", "uint64", "uint", "uintp", "ulong", "ulonglong"]),
    (Kind::F16, "float16", &["f2", "e", "float16", "half"]),
    (Kind::F32, "float32", &["f4", "f", "float32", "single"]),
    (Kind::F64, "float64", &["f8", "d", "float64", "float", "float_", "double"]),
    (Kind::V2, "bfloat16 (V2)", &["V2", "bfloat16"]),
];

impl Kind {
    /// Kind and whether the first byte is the highest, of NumPy's description of a dtype: `<f4`, `f4`, `float32`, `f`, `>f4`.
    pub fn parse(description: &str) -> Option<(Kind, bool)> {
        let (order, name) = match description.chars().next()? {
            order @ ('<' | '>' | '=' | '|') => (order, &description[1..]),
            _ => ('=', description),
        };
        let (kind, ..) = KINDS.iter().find(|(_, _, names)| names.contains(&name))?;
        let big = match order {
            '>' => true,
            '<' => false,
            // The machine's own.
            _ => cfg!(target_endian = "big"),
        };
        Some((*kind, big && kind.size() > 1))
    }

    /// What NumPy calls it.
    #[allow(dead_code, reason = "for messages, which not every example has")]
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Kind::Bool | Kind::I8 | Kind::U8 => 1,
            Kind::I16 | Kind::U16 | Kind::F16 | Kind::V2 => 2,
            Kind::I32 | Kind::U32 | Kind::F32 => 4,
            Kind::I64 | Kind::U64 | Kind::F64 => 8,
        }
    }
}

/// What a description stands for that is no kind of plain number.
pub(super) fn describe(description: &str) -> String {
    let name = description.trim_start_matches(['<', '>', '=', '|']);
    let (letter, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    let bits = rest.parse::<u32>().ok().and_then(|bytes| bytes.checked_mul(8));
    match (letter, bits) {
        ("O", _) => "Python objects".to_owned(),
        ("S" | "a" | "U", _) => "texts".to_owned(),
        ("M", _) => "dates".to_owned(),
        ("m", _) => "lengths of time".to_owned(),
        ("c", Some(bits)) => format!("complex{bits}"),
        ("f", Some(bits)) => format!("float{bits}"),
        _ => format!("the dtype `{}`", super::header::clip(description)),
    }
}

/// The number of float16 bits.
pub(super) fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}
