//! The values of parameters in JSON.

use super::config::{ConfigError, clip, describe};
use crate::library::{Activation, ParameterType};
use crate::nearest::nearest;
use crate::value::{Value, whole};
use serde_json::{Map, Value as Json, json};

pub(super) fn value_to_json(value: &Value, ty: ParameterType) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Number(value) => match whole(*value) {
            Some(axis) if matches!(ty, ParameterType::Axis | ParameterType::Axes) => json!(axis),
            _ => json!(value),
        },
        Value::Axes(axes) => json!(axes),
    }
}

pub(super) fn json_to_value(identifier: &str, key: &str, json: &Json) -> Result<Value, ConfigError> {
    let fail = |expected| {
        Err(ConfigError::Type { identifier: clip(identifier), key: clip(key), expected, found: describe(json) })
    };
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => match number.as_f64() {
            Some(value) => Value::Number(value),
            None => return fail("a float64 number"),
        },
        Json::Array(items) => match items.iter().map(Json::as_i64).collect::<Option<Vec<i64>>>() {
            Some(axes) => Value::Axes(axes),
            None => return fail("a list of integers"),
        },
        _ => return fail("a number, true, false, null or a list of integers"),
    })
}

/// The parameters of an activation from a dictionary.
pub(super) fn configure(
    activation: Activation,
    identifier: &str,
    config: &Map<String, Json>,
) -> Result<Activation, ConfigError> {
    let mut activation = activation;
    for (key, json) in config {
        if !activation.function().has_parameter(key) {
            let nearest = nearest(key, activation.function().parameter_names());
            return Err(ConfigError::UnknownKey { identifier: clip(identifier), key: clip(key), nearest });
        }
        activation.set(key, json_to_value(identifier, key, json)?);
    }
    activation.validate()?;
    Ok(activation)
}
