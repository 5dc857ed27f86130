//! Compile-time values and the types parameters accept.

use crate::syntax::printer::number_text;
use std::fmt;

/// A compile-time value: what a parameter holds.
#[derive(Clone, Debug)]
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

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// A finite number.
    Number,
    /// A finite number or none.
    OptionalNumber,
    /// `true` or `false`.
    Boolean,
    /// One axis: an integer.
    Axis,
    /// An integer, a list of integers, or none for all axes.
    Axes,
}

impl ParameterType {
    /// The type of this name in a definition.
    pub(crate) fn by_name(name: &str) -> Option<ParameterType> {
        Some(match name {
            "number" => ParameterType::Number,
            "optional_number" => ParameterType::OptionalNumber,
            "boolean" => ParameterType::Boolean,
            "axis" => ParameterType::Axis,
            "axes" => ParameterType::Axes,
            _ => return None,
        })
    }

    /// The type of a parameter whose definition states only a default.
    pub(crate) fn of_default(default: &Value) -> ParameterType {
        match default {
            Value::None => ParameterType::OptionalNumber,
            Value::Boolean(_) => ParameterType::Boolean,
            Value::Number(_) => ParameterType::Number,
            Value::Axes(_) => ParameterType::Axes,
        }
    }

    /// What it accepts, in words.
    pub fn expected(self) -> &'static str {
        match self {
            ParameterType::Number => "a finite number",
            ParameterType::OptionalNumber => "a finite number or none",
            ParameterType::Boolean => "true or false",
            ParameterType::Axis => "one axis, an integer",
            ParameterType::Axes => "an integer, a list of integers or none",
        }
    }

    /// Whether a value is of this type; if not, what is expected.
    pub(crate) fn check(self, value: &Value) -> Result<(), &'static str> {
        /// Beyond every rank, and exact as float64.
        const LARGEST_AXIS: f64 = 1e9;
        let is_axis = |value: f64| value.fract() == 0.0 && value.abs() <= LARGEST_AXIS;
        let fits = match (self, value) {
            (ParameterType::Number | ParameterType::OptionalNumber, Value::Number(value)) => value.is_finite(),
            (ParameterType::OptionalNumber | ParameterType::Axes, Value::None) => true,
            (ParameterType::Boolean, Value::Boolean(_)) => true,
            (ParameterType::Axis | ParameterType::Axes, Value::Number(value)) => is_axis(*value),
            (ParameterType::Axes, Value::Axes(_)) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.expected()) }
    }
}

/// A parameter of a library function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it accepts.
    pub ty: ParameterType,
    /// Its value when it is not given.
    pub default: Value,
}
