//! The model: layers from the config that Keras' `model.to_json()` writes.
//!
//! Only what matters for inference is read; initializers, regularizers and dtype policies (everything is computed in
//! float32) are passed over. What is an activation, by name, dictionary or layer, is the library's business.

use super::error::Error;
use fuselet::ir::keras::{ConfigError, parse_config};
use fuselet::ir::{Activation, Library};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// Layers that are an activation and nothing else.
const ACTIVATIONS: &[&str] = &["Activation", "ReLU", "LeakyReLU", "ELU", "Softmax"];

/// Layers that change nothing when a model is used, only while it is trained.
const IDENTITIES: &[&str] = &[
    "Dropout",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "ActivityRegularization",
    "Identity",
];

/// The supported classes, for people.
pub fn supported() -> String {
    [&["InputLayer", "Dense", "Flatten"], ACTIVATIONS, IDENTITIES].concat().join(", ")
}

/// A chain of layers.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// The shape of one input without the batch axis; `None` where the config leaves it open.
    pub input_shape: Option<Vec<Option<usize>>>,
    /// The layers in order, without input layers.
    pub layers: Vec<Layer>,
}

/// A layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its class.
    pub class: String,
    /// Its name.
    pub name: String,
    /// What it computes.
    pub operation: Operation,
}

/// What a layer computes.
#[derive(Clone, Debug)]
pub enum Operation {
    /// activation(x · kernel + bias) along the last axis.
    Dense {
        /// The length of the last axis of x · kernel.
        units: usize,
        /// Whether there is a bias.
        use_bias: bool,
        /// `linear` if the config has none.
        activation: Activation,
    },
    /// An activation.
    Activation(Activation),
    /// All axes but the first become one.
    Flatten,
    /// Nothing.
    Identity,
}

impl Model {
    /// Reads `config.json`.
    pub fn read(path: &Path, library: &Library) -> Result<Model, Error> {
        let text = fs::read_to_string(path).map_err(|error| Error::File { path: path.to_owned(), error })?;
        let json =
            parse_config(&text).map_err(|error| Error::Config { path: path.to_owned(), error: Box::new(error) })?;
        Model::from_json(&json, library)
    }

    /// The model of a config.
    pub fn from_json(json: &Value, library: &Library) -> Result<Model, Error> {
        let class = text(json, "class_name", "the model")?;
        if class != "Sequential" {
            let (place, expected) = ("the model's `class_name`".to_owned(), "Sequential, a chain of layers");
            return Err(Error::Malformed { place, expected, found: format!("{class:?}") });
        }
        let config = entry(json, "config");
        let Some(Value::Array(entries)) = entry_of(config, "layers") else {
            return Err(malformed("`layers` of the model", "a list", entry_of(config, "layers")));
        };
        let mut model = Model {
            name: entry_of(config, "name").and_then(Value::as_str).unwrap_or("sequential").to_owned(),
            input_shape: None,
            layers: Vec::with_capacity(entries.len()),
        };
        for (index, json) in entries.iter().enumerate() {
            let place = format!("layer {index}");
            let class = text(json, "class_name", &place)?;
            let Some(Value::Object(config)) = entry(json, "config") else {
                return Err(malformed(&format!("`config` of {place}"), "a dictionary", entry(json, "config")));
            };
            let name = config.get("name").and_then(Value::as_str).unwrap_or(&place).to_owned();
            if class == "InputLayer" {
                if index != 0 {
                    let (place, expected) = (format!("{place}, `{name}`,"), "a layer that is no input");
                    return Err(Error::Malformed { place, expected, found: "an InputLayer".to_owned() });
                }
                // `batch_input_shape` until Keras 2.
                let shape = config.get("batch_shape").or_else(|| config.get("batch_input_shape"));
                model.input_shape = Some(input_shape(shape, &format!("`batch_shape` of layer `{name}`"))?);
                continue;
            }
            let operation = operation(class, &name, json, config, library)?;
            model.layers.push(Layer { class: class.to_owned(), name, operation });
        }
        if model.input_shape.is_none()
            && let Some(shape) = entry_of(config, "build_input_shape").filter(|shape| !shape.is_null())
        {
            model.input_shape = Some(input_shape(Some(shape), "`build_input_shape` of the model")?);
        }
        Ok(model)
    }
}

fn operation(
    class: &str,
    name: &str,
    json: &Value,
    config: &Map<String, Value>,
    library: &Library,
) -> Result<Operation, Error> {
    let named = |error: ConfigError| Error::Activation {
        class: class.to_owned(),
        name: name.to_owned(),
        error: Box::new(error),
    };
    let place = |key: &str| format!("`{key}` of layer `{name}` ({class})");
    if class == "Dense" {
        let units = config.get("units");
        let Some(units) = units.and_then(length).filter(|units| *units > 0) else {
            return Err(malformed(&place("units"), "a whole number above 0", units));
        };
        let use_bias = match config.get("use_bias") {
            None => true,
            Some(Value::Bool(use_bias)) => *use_bias,
            other => return Err(malformed(&place("use_bias"), "true or false", other)),
        };
        let activation = library.get(config.get("activation").unwrap_or(&Value::Null)).map_err(named)?;
        return Ok(Operation::Dense { units, use_bias, activation });
    }
    if class == "Flatten" {
        return match config.get("data_format").and_then(Value::as_str) {
            None | Some("channels_last") => Ok(Operation::Flatten),
            // It moves an axis, too.
            _ => Err(malformed(&place("data_format"), "\"channels_last\"", config.get("data_format"))),
        };
    }
    if ACTIVATIONS.contains(&class) {
        return Ok(Operation::Activation(library.get(json).map_err(named)?));
    }
    if IDENTITIES.contains(&class) {
        return Ok(Operation::Identity);
    }
    Err(Error::UnsupportedLayer { class: class.to_owned(), name: name.to_owned() })
}

/// A shape with the batch axis to one without.
fn input_shape(shape: Option<&Value>, place: &str) -> Result<Vec<Option<usize>>, Error> {
    let expected = "a list of whole numbers and nulls that begins with the batch axis";
    let Some(Value::Array(lengths)) = shape else { return Err(malformed(place, expected, shape)) };
    let lengths: Option<Vec<Option<usize>>> =
        lengths.iter().map(|value| if value.is_null() { Some(None) } else { length(value).map(Some) }).collect();
    match lengths.as_deref() {
        Some([_, rest @ ..]) => Ok(rest.to_vec()),
        _ => Err(malformed(place, expected, shape)),
    }
}

fn length(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

fn entry<'a>(json: &'a Value, key: &str) -> Option<&'a Value> {
    json.as_object()?.get(key)
}

fn entry_of<'a>(json: Option<&'a Value>, key: &str) -> Option<&'a Value> {
    entry(json?, key)
}

fn text<'a>(json: &'a Value, key: &str, place: &str) -> Result<&'a str, Error> {
    let value = entry(json, key);
    value.and_then(Value::as_str).ok_or_else(|| malformed(&format!("`{key}` of {place}"), "a text", value))
}

fn malformed(place: &str, expected: &'static str, found: Option<&Value>) -> Error {
    const SHOWN: usize = 60;
    let found = match found {
        None => "missing".to_owned(),
        Some(value) => {
            let text = value.to_string();
            match text.char_indices().nth(SHOWN) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    };
    Error::Malformed { place: place.to_owned(), expected, found }
}
