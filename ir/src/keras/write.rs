//! Activations to configs.

use super::config::{ConfigError, clip};
use super::parameters::value_to_json;
use crate::language;
use crate::library::{Activation, Library};
use serde_json::{Map, Value as Json, json};

impl Library {
    /// The config of an activation. See the module's documentation for its three shapes.
    pub fn serialize(&self, activation: &Activation) -> Result<Json, ConfigError> {
        serialize(activation)
    }
}

/// As [`Library::serialize`].
pub(crate) fn serialize(activation: &Activation) -> Result<Json, ConfigError> {
    activation.validate()?;
    let function = activation.function();
    let mut config = Map::new();
    for (name, value) in activation.non_default() {
        let place = function.place(name).unwrap_or_default();
        config.insert(name.to_owned(), value_to_json(&value, function.parameters()[place].ty));
    }
    if function.is_standard() {
        return Ok(match config.is_empty() {
            true => Json::from(activation.name()),
            false => json!({ "class_name": activation.name(), "config": config }),
        });
    }
    let definition = language::definitions(std::slice::from_ref(function))
        .map_err(|_| ConfigError::Ambiguous { identifier: clip(function.name()) })?;
    Ok(json!({
        "module": "builtins",
        "class_name": "function",
        "config": function.name(),
        "registered_name": "function",
        "definition": definition,
        "parameters": config,
    }))
}
