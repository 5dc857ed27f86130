//! Configs to activations.

use super::config::{ConfigError, clip, describe};
use super::definition::load;
use super::identifier::{CustomObjects, Identifier};
use super::layers::LAYERS;
use super::parameters::configure;
use crate::expr::{Expr, Program};
use crate::library::{Activation, Functions, Library};
use crate::nearest::nearest;
use serde_json::{Map, Value as Json};

/// What Keras writes beside a config and what changes nothing here.
const BESIDE_A_CONFIG: &[&str] = &[
    "class_name",
    "config",
    "module",
    "registered_name",
    "build_config",
    "compile_config",
    "name",
    "shared_object_id",
];

/// A dictionary in a place of a config; missing and null count as empty.
fn dictionary<'a>(
    identifier: &str,
    key: &str,
    json: Option<&'a Json>,
) -> Result<Option<&'a Map<String, Json>>, ConfigError> {
    match json {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(map)) => Ok(Some(map)),
        Some(other) => Err(ConfigError::Type {
            identifier: clip(identifier),
            key: key.to_owned(),
            expected: "a dictionary",
            found: describe(other),
        }),
    }
}

impl Library {
    /// The activation an identifier stands for: nothing is `linear`, a name or an alias, a config, an activation itself.
    ///
    /// ```
    /// use fuselet_ir::{Library, keras::Identifier};
    /// let library = Library::standard();
    /// assert_eq!(library.get("swish")?.name(), "silu");
    /// assert_eq!(library.get(Identifier::None)?.name(), "linear");
    /// # Ok::<(), fuselet_ir::keras::ConfigError>(())
    /// ```
    pub fn get<'a>(&self, identifier: impl Into<Identifier<'a>>) -> Result<Activation, ConfigError> {
        match identifier.into() {
            Identifier::None => known(self, "linear"),
            Identifier::Name(name) => known(self, name),
            Identifier::Config(config) => self.deserialize(config, &CustomObjects::new()),
            Identifier::Activation(activation) => {
                activation.validate()?;
                Ok(activation.clone())
            }
        }
    }

    /// The activation of a config. `custom` is looked up first, then the definition in the config, then the library.
    /// `null` is `linear`.
    ///
    /// ```
    /// use fuselet_ir::{Library, keras::{CustomObjects, parse_config}};
    /// let config = parse_config(r#"{"class_name": "LeakyReLU", "config": {"negative_slope": 0.2}}"#)?;
    /// let activation = Library::standard().deserialize(&config, &CustomObjects::new())?;
    /// assert_eq!(activation.to_string(), "leaky_relu(negative_slope = 0.2)");
    /// # Ok::<(), fuselet_ir::keras::ConfigError>(())
    /// ```
    pub fn deserialize(&self, config: &Json, custom: &CustomObjects) -> Result<Activation, ConfigError> {
        let mut config = config;
        // An `Activation` layer holds another config. A loop: configs may be nested without end.
        loop {
            let map = match config {
                Json::Null => return known(self, "linear"),
                Json::String(name) => return custom.get(name).cloned().map_or_else(|| known(self, name), Ok),
                Json::Object(map) => map,
                other => return Err(ConfigError::NotAnIdentifier { identifier: describe(other) }),
            };
            let Some(Json::String(class_name)) = map.get("class_name") else {
                let mut keys = map.keys().map(|key| clip(key)).take(8).collect::<Vec<_>>().join(", ");
                keys.insert_str(0, "a dictionary without a `class_name`, with the keys ");
                return Err(ConfigError::NotAnIdentifier { identifier: keys });
            };
            if class_name == "function" {
                return self.function_config(map, custom);
            }
            if let Some(key) = map.keys().find(|key| !BESIDE_A_CONFIG.contains(&key.as_str())) {
                let nearest = nearest(key, BESIDE_A_CONFIG.iter().copied());
                return Err(ConfigError::UnknownKey { identifier: clip(class_name), key: clip(key), nearest });
            }
            let inner = dictionary(class_name, "config", map.get("config"))?;
            if let Some(activation) = custom.get(class_name) {
                return configure(activation.clone(), class_name, inner.unwrap_or(&Map::new()));
            }
            if let Some(layer) = LAYERS.iter().find(|layer| layer.class_name == class_name) {
                return layer.configure(known(self, layer.activation)?, inner);
            }
            if class_name == "PReLU" {
                let reason = "its slopes are learned weights; write `if x > 0 then x else alpha * x` with the weights as an input";
                return Err(ConfigError::Refused { identifier: class_name.clone(), reason: reason.to_owned() });
            }
            if class_name == "Activation" {
                match inner.and_then(|inner| inner.get("activation")) {
                    Some(next) => {
                        config = next;
                        continue;
                    }
                    None => {
                        let identifier = "an Activation layer without an activation".to_owned();
                        return Err(ConfigError::NotAnIdentifier { identifier });
                    }
                }
            }
            return configure(known(self, class_name)?, class_name, inner.unwrap_or(&Map::new()));
        }
    }

    /// Keras' "function" dictionary, and ours with a definition.
    fn function_config(&self, map: &Map<String, Json>, custom: &CustomObjects) -> Result<Activation, ConfigError> {
        const KEYS: &[&str] = &["class_name", "config", "module", "registered_name", "definition", "parameters"];
        if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let nearest = nearest(key, KEYS.iter().copied());
            return Err(ConfigError::UnknownKey { identifier: "function".to_owned(), key: clip(key), nearest });
        }
        let Some(Json::String(registered)) = map.get("config") else {
            let found = map.get("config").map_or("missing".to_owned(), describe);
            let (identifier, key) = ("function".to_owned(), "config".to_owned());
            return Err(ConfigError::Type { identifier, key, expected: "the name of a function", found });
        };
        // Keras registers custom functions as `package>name`.
        let name = registered.rsplit('>').next().unwrap_or(registered);
        let activation = match (custom.get(registered).or_else(|| custom.get(name)), map.get("definition")) {
            (Some(activation), _) => activation.clone(),
            (None, Some(Json::String(text))) => Activation::new(load(text, name)?),
            (None, Some(other)) => {
                let (identifier, key) = (clip(name), "definition".to_owned());
                return Err(ConfigError::Type { identifier, key, expected: "a text", found: describe(other) });
            }
            (None, None) => known(self, registered).or_else(|_| known(self, name))?,
        };
        let parameters = dictionary(name, "parameters", map.get("parameters"))?;
        configure(activation, name, parameters.unwrap_or(&Map::new()))
    }

    /// A list of configs as one program: each is applied to the result of the one before, the first to `x`.
    pub fn deserialize_chain(&self, configs: &Json, custom: &CustomObjects) -> Result<Program, ConfigError> {
        let Json::Array(configs) = configs else {
            return Err(ConfigError::NotAnIdentifier {
                identifier: format!("{}, not a list of configs", describe(configs)),
            });
        };
        let mut expr = Expr::input("x");
        for config in configs {
            expr = self.deserialize(config, custom)?.apply(&expr);
        }
        Ok(expr.into())
    }
}

/// The activation of a name, with the error of a config.
fn known(library: &Library, name: &str) -> Result<Activation, ConfigError> {
    match library.function(name) {
        Some(function) => Ok(Activation::new(function)),
        None => {
            let names = library.snapshot().names();
            let layers = LAYERS.iter().map(|layer| layer.class_name);
            let nearest = nearest(name, names.iter().map(String::as_str).chain(layers));
            Err(ConfigError::Unknown { identifier: clip(name), nearest })
        }
    }
}
