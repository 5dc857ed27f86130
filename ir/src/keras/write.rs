//! Activations to configs: for Keras 3, and for documents.
//!
//! Keras reads `{"class_name": "relu", "config": {…}}` nowhere: parameters need a layer or an operation, and what neither
//! has cannot be written for it. A document holds every activation, so it has that form for all parameters.

use super::classes::{Accepts, CLASSES, Class, NOT_BY_NAME, function_defaults};
use super::config::ConfigError;
use super::parameters::value_to_json;
use super::plain::clip;
use crate::language;
use crate::library::{Activation, Library, ParameterType};
use crate::value::Value;
use serde_json::{Map, Value as Json, json};

impl Library {
    /// The config of an activation, as Keras 3 reads it (inside a layer's `activation`, say): a name, or the dictionary of a
    /// layer or an operation. An error if Keras has no spelling for the parameters. What the user defined is a "function"
    /// dictionary; Keras finds it among its custom objects, [`Library::deserialize`] in the dictionary itself.
    ///
    /// ```
    /// use fuselet_ir::{Library, activations};
    /// let library = Library::standard();
    /// let config = library.serialize(&activations::leaky_relu().into())?;
    /// assert_eq!(config["class_name"], "LeakyReLU");
    /// assert_eq!(config["config"]["negative_slope"], 0.01);
    /// assert_eq!(library.serialize(&activations::gelu().into())?, "gelu");
    /// # Ok::<(), fuselet_ir::keras::ConfigError>(())
    /// ```
    pub fn serialize(&self, activation: &Activation) -> Result<Json, ConfigError> {
        activation.validate()?;
        if !activation.function().is_standard() {
            return definition(activation);
        }
        if parameters(activation).is_empty() && !NOT_BY_NAME.contains(&activation.name()) {
            return Ok(activation.name().into());
        }
        let mut reason = None;
        for class in CLASSES.iter().filter(|class| class.written && class.activation == activation.name()) {
            match write_class(class, activation) {
                Ok(config) => return Ok(config),
                // The first is the one most like it.
                Err(refused) => _ = reason.get_or_insert(refused),
            }
        }
        let reason = reason.unwrap_or(NOT_COVERED);
        Err(ConfigError::NoSpelling { activation: activation.to_string(), reason })
    }
}

/// An activation in a document: its name, or its name and parameters.
pub(crate) fn for_document(activation: &Activation) -> Result<Json, ConfigError> {
    activation.validate()?;
    if !activation.function().is_standard() {
        return definition(activation);
    }
    let parameters = parameters(activation);
    Ok(match parameters.is_empty() {
        true => Json::from(activation.name()),
        false => json!({ "class_name": activation.name(), "config": parameters }),
    })
}

/// The parameters that have to be written, since Keras' defaults are others.
fn parameters(activation: &Activation) -> Map<String, Json> {
    let function = activation.function();
    let keras = function_defaults(activation.name());
    let standard = function.is_standard();
    let mut written = Map::new();
    for (parameter, value) in function.parameters().iter().zip(activation.values()) {
        let preset = keras.iter().find(|(name, _)| standard && *name == parameter.name);
        let default = preset.map_or_else(|| parameter.default.clone(), |(_, preset)| Value::from(*preset));
        if value != default {
            written.insert(parameter.name.clone(), value_to_json(&value, parameter.ty));
        }
    }
    written
}

const NOT_COVERED: &str = "no layer or operation of Keras has these parameters";

/// An activation as an object of a class, or why not.
fn write_class(class: &Class, activation: &Activation) -> Result<Json, &'static str> {
    let mut config = Map::new();
    let value_of = |parameter: &str| {
        let value = activation.value(parameter).unwrap_or(Value::None);
        match (activation.name(), parameter, &value) {
            // `threshold(value = v)` is both of the pair.
            ("threshold", "threshold" | "default_value", Value::None) => {
                activation.value("value").unwrap_or(Value::None)
            }
            _ => value,
        }
    };
    let function = activation.function();
    for key in class.keys.iter().filter(|key| key.written) {
        let value = single_axis(value_of(key.parameter));
        match (key.accepts, &value) {
            (Accepts::NotNegative, Value::Number(number)) if *number < 0.0 => {
                return Err("its layer allows no negative number, and there is no operation with these parameters");
            }
            (Accepts::NoList, Value::Axes(_)) => return Err("it takes one axis only"),
            (_, Value::Axes(axes)) if axes.is_empty() => return Err("it takes at least one axis"),
            (_, Value::None) if class.name == "LayerNormalization" || class.name == "RMSNorm" => {
                return Err("it cannot be told of all axes without saying which");
            }
            _ => {}
        }
        let ty = function.place(key.parameter).map_or(ParameterType::Number, |place| function.parameters()[place].ty);
        config.insert(key.key.to_owned(), value_to_json(&value, ty));
    }
    let covered = |name: &str| class.keys.iter().any(|key| key.written && key.parameter == name);
    let pair = |name: &str| activation.name() == "threshold" && name == "value";
    if activation.non_default().iter().any(|(name, _)| !covered(name) && !pair(name)) {
        return Err(NOT_COVERED);
    }
    for (key, value, _) in class.fixed.iter().filter(|(_, value, missing)| value != missing) {
        config.insert((*key).to_owned(), (*value).into());
    }
    let registered = if class.is_layer() { Json::Null } else { class.name.into() };
    Ok(json!({ "module": class.module, "class_name": class.name, "config": config, "registered_name": registered }))
}

/// One axis in a list is one axis.
fn single_axis(value: Value) -> Value {
    match value {
        Value::Axes(axes) if axes.len() == 1 => Value::Number(axes[0] as f64),
        value => value,
    }
}

/// What the user defined: Keras' "function" dictionary, with the definition.
fn definition(activation: &Activation) -> Result<Json, ConfigError> {
    let function = activation.function();
    let definition = language::definitions(std::slice::from_ref(function))
        .map_err(|_| ConfigError::Ambiguous { identifier: clip(function.name()) })?;
    Ok(json!({
        "module": "builtins",
        "class_name": "function",
        "config": function.name(),
        "registered_name": "function",
        "definition": definition,
        "parameters": parameters(activation),
    }))
}
