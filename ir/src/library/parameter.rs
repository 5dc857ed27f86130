//! The parameters of a library function, and what they accept.

use crate::choice::choices;
use crate::value::Value;

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

choices!("type", ParameterType {
    Number = "number",
    OptionalNumber = "optional_number",
    Boolean = "boolean",
    Axis = "axis",
    Axes = "axes",
});

impl ParameterType {
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
#[non_exhaustive]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it accepts.
    pub ty: ParameterType,
    /// Its value when it is not given.
    pub default: Value,
}
