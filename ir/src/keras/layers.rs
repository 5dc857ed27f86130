//! The layer classes that are activations.

use super::config::{ConfigError, clip, describe};
use super::parameters::json_to_value;
use crate::library::Activation;
use crate::nearest::nearest;
use crate::value::Value;
use serde_json::{Map, Value as Json};

/// Likewise inside a layer's config.
const OF_EVERY_LAYER: &[&str] = &["name", "trainable", "dtype", "batch_input_shape"];

/// A layer class: its activation, the parameters it takes (with other names for them), and its own defaults.
pub(super) struct LayerClass {
    pub class_name: &'static str,
    pub activation: &'static str,
    /// Key in the layer's config, parameter, whether a negative number is refused.
    parameters: &'static [(&'static str, &'static str, bool)],
    /// Where the layer's default is not the function's.
    defaults: &'static [(&'static str, f64)],
}

pub(super) const LAYERS: &[LayerClass] = &[
    LayerClass {
        class_name: "ReLU",
        activation: "relu",
        parameters: &[
            ("max_value", "max_value", true),
            ("negative_slope", "negative_slope", true),
            ("threshold", "threshold", true),
        ],
        defaults: &[],
    },
    LayerClass {
        class_name: "LeakyReLU",
        activation: "leaky_relu",
        // `alpha` until Keras 2.
        parameters: &[("negative_slope", "negative_slope", true), ("alpha", "negative_slope", true)],
        defaults: &[("negative_slope", 0.3)],
    },
    LayerClass { class_name: "ELU", activation: "elu", parameters: &[("alpha", "alpha", false)], defaults: &[] },
    LayerClass { class_name: "Softmax", activation: "softmax", parameters: &[("axis", "axis", false)], defaults: &[] },
];

impl LayerClass {
    /// The layer's activation, which has its own defaults still, configured.
    pub fn configure(
        &self,
        mut activation: Activation,
        config: Option<&Map<String, Json>>,
    ) -> Result<Activation, ConfigError> {
        let identifier = self.class_name;
        for (key, json) in config.into_iter().flatten() {
            if OF_EVERY_LAYER.contains(&key.as_str()) {
                continue;
            }
            let Some((_, parameter, refuses_negative)) = self.parameters.iter().find(|(known, ..)| known == key) else {
                let nearest = nearest(key, self.parameters.iter().map(|(known, ..)| *known));
                return Err(ConfigError::UnknownKey { identifier: identifier.to_owned(), key: clip(key), nearest });
            };
            let value = json_to_value(identifier, key, json)?;
            if *refuses_negative && matches!(value, Value::Number(number) if number < 0.0) {
                return Err(ConfigError::Type {
                    identifier: identifier.to_owned(),
                    key: key.clone(),
                    expected: "a number from 0 (the layer allows no other)",
                    found: describe(json),
                });
            }
            activation.set(parameter, value);
        }
        for (parameter, default) in self.defaults {
            let given = config.is_some_and(|config| self.parameters.iter().any(|(key, ..)| config.contains_key(*key)));
            if !given {
                activation.set(parameter, Value::Number(*default));
            }
        }
        activation.validate()?;
        Ok(activation)
    }
}
