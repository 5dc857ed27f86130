//! Compile-time values: what a parameter holds.

use std::fmt;

/// A compile-time value: what a parameter holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value {
    /// Nothing: `none`.
    None,
    /// `true` or `false`.
    Boolean(bool),
    /// A number. An axis is a whole number.
    Number(f64),
    /// A list of axes.
    Axes(Vec<i64>),
}

/// Numbers are equal when their bits are, so that −0 and 0 are different parameters.
impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::None, Value::None) => true,
            (Value::Boolean(a), Value::Boolean(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a.to_bits() == b.to_bits(),
            (Value::Axes(a), Value::Axes(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// What it is, in an error message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Value::None => "none".to_owned(),
            Value::Boolean(value) => value.to_string(),
            Value::Number(value) => format!("the number {}", number_text(*value)),
            Value::Axes(_) => "a list of axes".to_owned(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => f.write_str("none"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Number(value) => f.write_str(&number_text(*value)),
            Value::Axes(axes) => write!(f, "{axes:?}"),
        }
    }
}

macro_rules! value_from {
    ($( $from:ty => $variant:ident; )*) => { $(
        impl From<$from> for Value {
            fn from(value: $from) -> Value { Value::$variant(value.into()) }
        }
    )* };
}

value_from! {
    bool => Boolean;
    f32 => Number;
    f64 => Number;
    i32 => Number;
    Vec<i64> => Axes;
}

impl From<&[i64]> for Value {
    fn from(axes: &[i64]) -> Value {
        Value::Axes(axes.to_vec())
    }
}

impl<const N: usize> From<[i64; N]> for Value {
    fn from(axes: [i64; N]) -> Value {
        Value::Axes(axes.to_vec())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}

/// A whole number that a float64 holds exactly.
pub(crate) fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within 2^53")]
    (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64)
}

/// A number that parses back to the same bits.
pub(crate) fn number_text(value: f64) -> String {
    const CANONICAL_NAN: u64 = 0x7ff8_0000_0000_0000;
    if value.is_nan() {
        return match value.to_bits() {
            CANONICAL_NAN => "nan".to_owned(),
            bits => format!("nan(0x{bits:016x})"),
        };
    }
    let text = format!("{value:?}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
