//! Configs to activations.

use super::classes::{self, CLASSES, Class};
use super::config::ConfigError;
use super::definition::{load, of_keras_2};
use super::identifier::{CustomObjects, Identifier};
use super::parameters::{by_name, configure, configure_class};
use super::plain::{clip, describe, plain};
use super::version::Version;
use crate::expr::{Expr, Program};
use crate::library::{Activation, Functions, Library};
use crate::nearest::nearest;
use serde_json::{Map, Value as Json};
use std::sync::LazyLock;

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
    "inbound_nodes",
    "keras_version",
    "backend",
    "dtype",
    "trainable",
    "batch_input_shape",
    "build_input_shape",
    "date_saved",
];

/// Where Keras keeps its activations: `keras.activations.relu` is `relu`.
const PACKAGES: &[&str] = &["keras", "tf_keras", "tf", "tensorflow"];

static NO_CUSTOM_OBJECTS: LazyLock<CustomObjects> = LazyLock::new(CustomObjects::new);

/// Reads configs: with the functions of a library, as a version of Keras means them.
///
/// ```
/// use fuselet_ir::{Library, keras::{Reader, Version}};
/// let library = Library::standard();
/// let reader = Reader::new(&library);
/// // Keras' default, which is not the language's.
/// assert_eq!(reader.activation("leaky_relu")?.to_string(), "leaky_relu(negative_slope = 0.2)");
/// assert_eq!(reader.activation("hard_sigmoid")?.name(), "hard_sigmoid");
/// assert_eq!(reader.version(Version::Two).activation("hard_sigmoid")?.name(), "hard_sigmoid_of_keras_2");
/// # Ok::<(), fuselet_ir::keras::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Reader<'r> {
    library: &'r Library,
    version: Version,
    custom: &'r CustomObjects,
}

impl<'r> Reader<'r> {
    /// Of configs of Keras 3, without custom objects.
    pub fn new(library: &'r Library) -> Reader<'r> {
        Reader { library, version: Version::Three, custom: &NO_CUSTOM_OBJECTS }
    }

    /// The same for configs of another version.
    #[must_use]
    pub fn version(self, version: Version) -> Reader<'r> {
        Reader { version, ..self }
    }

    /// The same with custom objects, which are looked up before everything else.
    #[must_use]
    pub fn custom_objects(self, custom: &'r CustomObjects) -> Reader<'r> {
        Reader { custom, ..self }
    }

    /// The version whose functions are meant.
    pub(super) fn meant(&self) -> Version {
        self.version
    }

    /// The activation an identifier stands for: nothing is `linear`, a name or an alias, a config, an activation itself.
    pub fn activation<'a>(&self, identifier: impl Into<Identifier<'a>>) -> Result<Activation, ConfigError> {
        match identifier.into() {
            Identifier::None => self.by_name("linear"),
            Identifier::Name(name) => self.named(name),
            Identifier::Config(config) => self.config(config),
            Identifier::Activation(activation) => {
                activation.validate()?;
                Ok(activation.clone())
            }
        }
    }

    fn config(&self, config: &Json) -> Result<Activation, ConfigError> {
        let mut config = plain(config);
        // An `Activation` layer holds another config. A loop: configs may be nested without end.
        loop {
            let map = match config {
                Json::Null => return self.by_name("linear"),
                Json::String(name) => return self.named(name),
                Json::Object(map) => map,
                other => return Err(ConfigError::NotAnIdentifier { identifier: describe(other) }),
            };
            let Some(Json::String(class_name)) = map.get("class_name") else {
                let mut keys = map.keys().map(|key| clip(key)).take(8).collect::<Vec<_>>().join(", ");
                keys.insert_str(0, "a dictionary without a `class_name`, with the keys ");
                return Err(ConfigError::NotAnIdentifier { identifier: keys });
            };
            if class_name == "function" {
                return self.function_config(map);
            }
            if class_name == "__lambda__" {
                let reason = "it is a Python function, whose code only Python runs; give it as a custom object";
                return Err(ConfigError::Refused { identifier: clip(class_name), reason: reason.to_owned() });
            }
            check_beside(class_name, map)?;
            let inner = dictionary(class_name, "config", map.get("config"))?;
            if let Some(activation) = self.custom.get(class_name) {
                return configure(activation.clone(), class_name, inner.unwrap_or(&Map::new()));
            }
            if class_name == "Activation" {
                match inner.and_then(|inner| inner.get("activation")) {
                    Some(next) => {
                        config = plain(next);
                        continue;
                    }
                    None => {
                        let identifier = "an Activation layer without an activation".to_owned();
                        return Err(ConfigError::NotAnIdentifier { identifier });
                    }
                }
            }
            if let Some(activation) = self.class(class_name, inner)? {
                return Ok(activation);
            }
            return configure(self.function(class_name)?, class_name, inner.unwrap_or(&Map::new()));
        }
    }

    /// The activation of a name, which may be that of a class, as Keras' defaults have it.
    fn named(&self, name: &str) -> Result<Activation, ConfigError> {
        if let Some(activation) = self.custom.get(name) {
            return Ok(activation.clone());
        }
        let short = last_part(name);
        let is_layer = short == "PReLU" || classes::find(short).is_some_and(Class::is_layer);
        // A function of one's own may be called like a layer.
        if is_layer
            && self.library.function(name).is_none()
            && let Some(activation) = self.class(short, None)?
        {
            return Ok(activation);
        }
        self.by_name(name)
    }

    /// The activation of a class; nothing if it is none.
    fn class(&self, class_name: &str, config: Option<&Map<String, Json>>) -> Result<Option<Activation>, ConfigError> {
        let reason = match class_name {
            "PReLU" => {
                "its slopes are learned weights; read it as a layer, or write `if x > 0 then x else alpha * x` with the \
                 weights as an input"
            }
            "BatchNormalization" | "RMSNormalization" => "it has weights; read it as a layer",
            _ => match classes::find(class_name) {
                Some(class) => {
                    return configure_class(class, self.standard(class.activation)?, config).map(Some);
                }
                None => return Ok(None),
            },
        };
        Err(ConfigError::Refused { identifier: class_name.to_owned(), reason: reason.to_owned() })
    }

    /// Keras' "function" dictionary, and ours with a definition.
    fn function_config(&self, map: &Map<String, Json>) -> Result<Activation, ConfigError> {
        const OURS: &[&str] = &["definition", "parameters"];
        if let Some(key) = map.keys().find(|key| !OURS.iter().chain(BESIDE_A_CONFIG).any(|known| known == key)) {
            let nearest = nearest(key, OURS.iter().chain(BESIDE_A_CONFIG).copied());
            return Err(ConfigError::UnknownKey { identifier: "function".to_owned(), key: clip(key), nearest });
        }
        let Some(Json::String(registered)) = map.get("config") else {
            let found = map.get("config").map_or("missing".to_owned(), describe);
            let (identifier, key) = ("function".to_owned(), "config".to_owned());
            return Err(ConfigError::Type { identifier, key, expected: "the name of a function", found });
        };
        // Keras registers custom functions as `package>name`.
        let name = registered.rsplit('>').next().unwrap_or(registered);
        let activation = match (self.custom.get(registered).or_else(|| self.custom.get(name)), map.get("definition")) {
            (Some(activation), _) => activation.clone(),
            (None, Some(Json::String(text))) => Activation::new(load(text, name)?),
            (None, Some(other)) => {
                let (identifier, key) = (clip(name), "definition".to_owned());
                return Err(ConfigError::Type { identifier, key, expected: "a text", found: describe(other) });
            }
            (None, None) => {
                let parameters = map.get("parameters");
                match self.function(registered).or_else(|_| self.function(name)) {
                    Ok(activation) => activation,
                    // A layer's name in the place of a function's.
                    Err(error) => {
                        return if parameters.is_none() { self.named(name).map_err(|_| error) } else { Err(error) };
                    }
                }
            }
        };
        let parameters = dictionary(name, "parameters", map.get("parameters"))?;
        configure(activation, name, parameters.unwrap_or(&Map::new()))
    }

    /// The function of a name with Keras' defaults.
    fn by_name(&self, name: &str) -> Result<Activation, ConfigError> {
        self.function(name).map(by_name)
    }

    /// The function of a name, as this version of Keras means it; parameters are still the language's.
    fn function(&self, name: &str) -> Result<Activation, ConfigError> {
        let short = last_part(name);
        let found = self.library.function(name).or_else(|| self.library.function(short));
        let Some(function) = found else {
            let names = self.library.snapshot().names();
            let classes = CLASSES.iter().filter(|class| class.is_layer()).map(|class| class.name);
            let known = names.iter().map(String::as_str).chain(classes).filter(|known| *known != name);
            return Err(ConfigError::Unknown { identifier: clip(name), nearest: nearest(name, known) });
        };
        if self.version == Version::Two
            && function.is_standard()
            && let Some(former) = of_keras_2(function.name())
        {
            return Ok(former);
        }
        Ok(Activation::new(function))
    }

    /// A function of the standard library, which classes mean whatever else a library calls so.
    pub(super) fn standard(&self, name: &str) -> Result<Activation, ConfigError> {
        match self.library.function(name) {
            Some(function) if function.is_standard() => self.function(name),
            _ => Reader { library: &STANDARD, ..*self }.function(name),
        }
    }
}

static STANDARD: LazyLock<Library> = LazyLock::new(Library::standard);

/// The name without the packages before it.
fn last_part(name: &str) -> &str {
    match name.split_once('.') {
        Some((package, _)) if PACKAGES.contains(&package) => name.rsplit('.').next().unwrap_or(name),
        _ => name,
    }
}

/// Whether all that stands beside a config is known to say nothing about what is computed.
pub(super) fn check_beside(class_name: &str, map: &Map<String, Json>) -> Result<(), ConfigError> {
    match map.keys().find(|key| !BESIDE_A_CONFIG.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let nearest = nearest(key, BESIDE_A_CONFIG.iter().copied());
            Err(ConfigError::UnknownKey { identifier: clip(class_name), key: clip(key), nearest })
        }
    }
}

/// A dictionary in a place of a config; missing and null count as empty.
pub(super) fn dictionary<'a>(
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
    /// The activation an identifier stands for, as `keras.activations.get` finds it: nothing is `linear`, a name or an alias,
    /// a config, an activation itself. Defaults are Keras'.
    ///
    /// ```
    /// use fuselet_ir::{Library, keras::Identifier};
    /// let library = Library::standard();
    /// assert_eq!(library.get("swish")?.name(), "silu");
    /// assert_eq!(library.get(Identifier::None)?.name(), "linear");
    /// # Ok::<(), fuselet_ir::keras::ConfigError>(())
    /// ```
    pub fn get<'a>(&self, identifier: impl Into<Identifier<'a>>) -> Result<Activation, ConfigError> {
        Reader::new(self).activation(identifier)
    }

    /// The activation of a config of Keras 3. `custom` is looked up first, then the definition in the config, then the
    /// library. `null` is `linear`. (A [`Reader`] reads configs of other versions, and layers.)
    ///
    /// ```
    /// use fuselet_ir::{Library, keras::{CustomObjects, parse_config}};
    /// let config = parse_config(r#"{"class_name": "LeakyReLU", "config": {"negative_slope": 0.2}}"#)?;
    /// let activation = Library::standard().deserialize(&config, &CustomObjects::new())?;
    /// assert_eq!(activation.to_string(), "leaky_relu(negative_slope = 0.2)");
    /// # Ok::<(), fuselet_ir::keras::ConfigError>(())
    /// ```
    pub fn deserialize(&self, config: &Json, custom: &CustomObjects) -> Result<Activation, ConfigError> {
        Reader::new(self).custom_objects(custom).activation(config)
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
