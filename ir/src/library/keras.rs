//! Configs: activations as JSON, in the ways Keras 3 writes them, and back.
//!
//! An activation with its defaults is its name; with parameters it is `{"class_name": name, "config": {…}}`; one that
//! the user defined is Keras' "function" dictionary, with its definition in the language beside the name, so that
//! it survives the way to another process. Reading also takes the layer classes ReLU, LeakyReLU, ELU, Softmax and
//! Activation. Numbers survive bit for bit. Hostile JSON (deep, long, with duplicate keys) is an error.

use super::config::{ConfigError, Unique, clip, describe};
use super::{Activation, Function, Functions, Library, ParameterType, Scope, Value};
use crate::error::Error;
use crate::expr::Expr;
use crate::program::Program;
use crate::syntax::nearest::nearest;
use crate::syntax::parser;
use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Activations by the names a config may use for them; they are looked up before the library.
pub type CustomObjects = BTreeMap<String, Activation>;

/// What [`Library::get`] takes: nothing (`linear`), a name, a config, or an activation.
#[derive(Clone, Copy, Debug)]
pub enum Identifier<'a> {
    /// Nothing: linear.
    None,
    /// A name or an alias; case counts.
    Name(&'a str),
    /// A config.
    Config(&'a Json),
    /// An activation as it is.
    Activation(&'a Activation),
}

impl<'a> From<&'a str> for Identifier<'a> {
    fn from(name: &'a str) -> Self {
        Identifier::Name(name)
    }
}

impl<'a> From<Option<&'a str>> for Identifier<'a> {
    fn from(name: Option<&'a str>) -> Self {
        name.map_or(Identifier::None, Identifier::Name)
    }
}

impl<'a> From<&'a Json> for Identifier<'a> {
    fn from(config: &'a Json) -> Self {
        Identifier::Config(config)
    }
}

impl<'a> From<&'a Activation> for Identifier<'a> {
    fn from(activation: &'a Activation) -> Self {
        Identifier::Activation(activation)
    }
}

fn value_to_json(value: &Value, ty: ParameterType) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Boolean(value) => json!(value),
        // Checked to be whole when the parameter was set.
        Value::Number(value) if matches!(ty, ParameterType::Axis | ParameterType::Axes) => json!(*value as i64),
        Value::Number(value) => json!(value),
        Value::Axes(axes) => json!(axes),
    }
}

fn json_to_value(identifier: &str, key: &str, json: &Json) -> Result<Value, ConfigError> {
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
fn configure(activation: Activation, identifier: &str, config: &Map<String, Json>) -> Result<Activation, ConfigError> {
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

/// Likewise inside a layer's config.
const OF_EVERY_LAYER: &[&str] = &["name", "trainable", "dtype", "batch_input_shape"];

/// A layer class: its activation, the parameters it takes (with other names for them), and its own defaults.
struct LayerClass {
    class_name: &'static str,
    activation: &'static str,
    /// Key in the layer's config, parameter, whether a negative number is refused.
    parameters: &'static [(&'static str, &'static str, bool)],
    /// Where the layer's default is not the function's.
    defaults: &'static [(&'static str, f64)],
}

const LAYERS: &[LayerClass] = &[
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
    fn activation(&self, library: &Library, config: Option<&Map<String, Json>>) -> Result<Activation, ConfigError> {
        let identifier = self.class_name;
        let mut activation = library.known(self.activation)?;
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

impl Library {
    /// The activation of a name, with the error of a config.
    fn known(&self, name: &str) -> Result<Activation, ConfigError> {
        match self.function(name) {
            Some(function) => Ok(Activation::new(function)),
            None => {
                let table = self.snapshot();
                let layers = LAYERS.iter().map(|layer| layer.class_name);
                let nearest = nearest(name, table.names.keys().map(String::as_str).chain(layers));
                Err(ConfigError::Unknown { identifier: clip(name), nearest })
            }
        }
    }

    /// The activation an identifier stands for: nothing is `linear`, a name or an alias, a config, an activation itself.
    ///
    /// ```
    /// use fuselet_ir::{Library, library::Identifier};
    /// let library = Library::standard();
    /// assert_eq!(library.get("swish")?.name(), "silu");
    /// assert_eq!(library.get(Identifier::None)?.name(), "linear");
    /// # Ok::<(), fuselet_ir::library::ConfigError>(())
    /// ```
    pub fn get<'a>(&self, identifier: impl Into<Identifier<'a>>) -> Result<Activation, ConfigError> {
        match identifier.into() {
            Identifier::None => self.known("linear"),
            Identifier::Name(name) => self.known(name),
            Identifier::Config(config) => self.deserialize(config, &CustomObjects::new()),
            Identifier::Activation(activation) => {
                activation.validate()?;
                Ok(activation.clone())
            }
        }
    }

    /// The config of an activation. See the module's documentation for its three shapes.
    pub fn serialize(&self, activation: &Activation) -> Result<Json, ConfigError> {
        serialize(activation)
    }

    /// The activation of a config. `custom` is looked up first, then the definition in the config, then the library.
    /// `null` is `linear`.
    ///
    /// ```
    /// use fuselet_ir::{Library, library::{CustomObjects, parse_config}};
    /// let config = parse_config(r#"{"class_name": "LeakyReLU", "config": {"negative_slope": 0.2}}"#)?;
    /// let activation = Library::standard().deserialize(&config, &CustomObjects::new())?;
    /// assert_eq!(activation.to_string(), "leaky_relu(negative_slope = 0.2)");
    /// # Ok::<(), fuselet_ir::library::ConfigError>(())
    /// ```
    pub fn deserialize(&self, config: &Json, custom: &CustomObjects) -> Result<Activation, ConfigError> {
        let mut config = config;
        // An `Activation` layer holds another config. A loop: configs may be nested without end.
        loop {
            let map = match config {
                Json::Null => return self.known("linear"),
                Json::String(name) => return custom.get(name).cloned().map_or_else(|| self.known(name), Ok),
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
                return layer.activation(self, inner);
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
            return configure(self.known(class_name)?, class_name, inner.unwrap_or(&Map::new()));
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
            (None, None) => self.known(registered).or_else(|_| self.known(name))?,
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

fn serialize(activation: &Activation) -> Result<Json, ConfigError> {
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
    let definition = definition_text(function);
    // Functions of one name may hide each other in the text; what it gives is compared.
    if load(&definition, function.name()).ok().as_ref() != Some(function) {
        return Err(ConfigError::Ambiguous { identifier: clip(function.name()) });
    }
    Ok(json!({
        "module": "builtins",
        "class_name": "function",
        "config": function.name(),
        "registered_name": "function",
        "definition": definition,
        "parameters": config,
    }))
}

/// The source of a function after the sources of all that it calls, the standard library left out.
fn definition_text(function: &Arc<Function>) -> String {
    fn collect(function: &Arc<Function>, found: &mut Vec<Arc<Function>>) {
        if found.contains(function) {
            return;
        }
        // Not deeper than functions may call one another.
        for callee in function.callees().filter(|callee| !callee.is_standard()) {
            collect(callee, found);
        }
        found.push(Arc::clone(function));
    }
    let mut found = Vec::new();
    collect(function, &mut found);
    found.iter().map(|function| function.source()).collect::<Vec<_>>().join("\n")
}

/// The function `name` of a text of definitions over the standard library. Later definitions hide earlier ones.
fn load(text: &str, name: &str) -> Result<Arc<Function>, ConfigError> {
    let failed = |error: Error| ConfigError::Definition { identifier: clip(name), error: Box::new(error) };
    let (source, definitions) = parser::definitions(text).map_err(|error| failed(error.into()))?;
    let source = Arc::new(source);
    let mut functions: BTreeMap<String, Arc<Function>> = BTreeMap::new();
    for definition in definitions {
        let scope = Scope { private: &functions, table: &super::STANDARD_TABLE };
        let function =
            Arc::new(Function::new(&source, definition, &scope, false).map_err(|error| failed(error.into()))?);
        for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
            functions.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    functions.find(name).ok_or_else(|| ConfigError::Unknown {
        identifier: clip(name),
        nearest: nearest(name, functions.keys().map(String::as_str)),
    })
}

/// As [`Library::serialize`].
impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

/// As [`Library::deserialize`] with the standard library; definitions in the config are read too.
impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Activation, D::Error> {
        let Unique(config) = Unique::deserialize(deserializer)?;
        Library::standard().deserialize(&config, &CustomObjects::new()).map_err(de::Error::custom)
    }
}
