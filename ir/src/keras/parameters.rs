//! Parameters from the dictionaries of configs, and back.

use super::classes::{Accepts, Class, OLD_PARAMETERS, Presets, function_defaults};
use super::config::ConfigError;
use super::plain::{clip, describe, describe_list, number, plain};
use crate::library::{Activation, ParameterType};
use crate::nearest::nearest;
use crate::value::{Value, whole};
use serde_json::{Map, Value as Json, json};

/// What is written into the config of every layer, or is left over from other versions, and changes no result.
const NEUTRAL: &[&str] = &[
    "name",
    "trainable",
    "dtype",
    "dtype_policy",
    "autocast",
    "dynamic",
    "batch_input_shape",
    "batch_shape",
    "batch_size",
    "input_shape",
    "input_dim",
    "input_dtype",
    "input_spec",
    "build_input_shape",
    "sparse",
    "ragged",
    "seed",
    "supports_masking",
    "quantization_config",
    "activity_regularizer",
    "shared_object_id",
    "registered_name",
    "module",
];

/// Only training needs what these say.
const NEUTRAL_ENDS: &[&str] = &["_initializer", "_regularizer", "_constraint"];

/// Whether a key of a layer's config changes no result.
pub(super) fn is_neutral(key: &str) -> bool {
    NEUTRAL.contains(&key) || NEUTRAL_ENDS.iter().any(|end| key.ends_with(end))
}

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

fn json_to_value(identifier: &str, key: &str, ty: ParameterType, json: &Json) -> Result<Value, ConfigError> {
    let json = plain(json);
    let fail = |found: String| {
        let expected = match ty {
            ParameterType::Number => "a number",
            ParameterType::OptionalNumber => "a number or null",
            ParameterType::Boolean => "true or false",
            ParameterType::Axis => "an axis, an integer",
            ParameterType::Axes => "an axis, a list of axes, or null for all",
        };
        Err(ConfigError::Type { identifier: clip(identifier), key: clip(key), expected, found })
    };
    Ok(match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(_) => match number(json) {
            Some(value) => Value::Number(value),
            None => return fail("beyond all float64 numbers".to_owned()),
        },
        Json::Array(items) if matches!(ty, ParameterType::Axis | ParameterType::Axes) => {
            let axes: Option<Vec<i64>> = items.iter().map(|item| plain(item).as_i64()).collect();
            match axes {
                // One axis in a list is one axis, where a list cannot be meant.
                Some(axes) if ty == ParameterType::Axis && axes.len() == 1 => {
                    json_to_value(identifier, key, ty, &items[0])?
                }
                Some(axes) => Value::Axes(axes),
                None => return fail(describe_list(items, |item| plain(item).as_i64().is_some())),
            }
        }
        // An array of one number.
        Json::Array(_) => match number(json) {
            Some(value) => Value::Number(value),
            None => return fail(describe(json)),
        },
        _ => return fail(describe(json)),
    })
}

/// The type of an activation's parameter.
fn type_of(activation: &Activation, parameter: &str) -> ParameterType {
    let function = activation.function();
    function.place(parameter).map_or(ParameterType::OptionalNumber, |place| function.parameters()[place].ty)
}

/// Gives parameters their defaults, where nothing was given.
fn preset(activation: &mut Activation, presets: Presets, given: &[&str]) {
    for (parameter, value) in presets.iter().filter(|(parameter, _)| !given.contains(parameter)) {
        activation.set(parameter, Value::from(*value));
    }
}

/// A function of the library as Keras' function of that name: with Keras' defaults.
pub(super) fn by_name(mut activation: Activation) -> Activation {
    if activation.function().is_standard() {
        let defaults = function_defaults(activation.name());
        preset(&mut activation, defaults, &[]);
    }
    activation
}

/// The parameters of a function from a dictionary.
pub(super) fn configure(
    activation: Activation,
    identifier: &str,
    config: &Map<String, Json>,
) -> Result<Activation, ConfigError> {
    let mut activation = activation;
    let standard = activation.function().is_standard();
    let mut given = Vec::new();
    for (key, json) in config {
        let name = activation.function().name();
        let old = OLD_PARAMETERS.iter().find(|(function, old, _)| standard && *function == name && old == key);
        let parameter = old.map_or(key.as_str(), |(.., parameter)| *parameter);
        if !activation.function().has_parameter(parameter) {
            if is_neutral(key) {
                continue;
            }
            let nearest = nearest(key, activation.function().parameter_names());
            return Err(ConfigError::UnknownKey { identifier: clip(identifier), key: clip(key), nearest });
        }
        let value = json_to_value(identifier, key, type_of(&activation, parameter), json)?;
        activation.set(parameter, value);
        given.push(parameter);
    }
    if standard {
        let defaults = function_defaults(activation.name());
        preset(&mut activation, defaults, &given);
    }
    activation.validate()?;
    Ok(activation)
}

/// The activation of a class, from the library's function and the class's config.
pub(super) fn configure_class(
    class: &Class,
    mut activation: Activation,
    config: Option<&Map<String, Json>>,
) -> Result<Activation, ConfigError> {
    let identifier = class.name;
    let mut given = Vec::new();
    for (key, json) in config.into_iter().flatten() {
        let Some(known) = class.keys.iter().find(|known| known.key == key) else {
            if is_neutral(key) || class.fixed.iter().any(|(fixed, ..)| fixed == key) {
                continue;
            }
            let nearest = nearest(key, class.keys.iter().map(|known| known.key));
            return Err(ConfigError::UnknownKey { identifier: identifier.to_owned(), key: clip(key), nearest });
        };
        let value = json_to_value(identifier, key, type_of(&activation, known.parameter), json)?;
        if known.accepts == Accepts::NotNegative && matches!(value, Value::Number(number) if number < 0.0) {
            return Err(ConfigError::Type {
                identifier: identifier.to_owned(),
                key: key.clone(),
                expected: "a number from 0 (the layer allows no other)",
                found: describe(plain(json)),
            });
        }
        activation.set(known.parameter, value);
        given.push(known.parameter);
    }
    for (key, expected, missing) in class.fixed {
        let found = config.and_then(|config| config.get(*key)).map_or(Some(*missing), Json::as_bool);
        if found != Some(*expected) {
            let reason = match class.name {
                "LayerNormalization" => {
                    "only without `center`, `scale` and `rms_scaling` is it an activation; otherwise it is a layer with \
                     weights"
                }
                _ => "only with `keepdims` its result has the rank of its input",
            };
            return Err(ConfigError::Refused { identifier: identifier.to_owned(), reason: reason.to_owned() });
        }
    }
    preset(&mut activation, class.defaults, &given);
    activation.validate()?;
    Ok(activation)
}
