//! A layer from its dictionary.
//!
//! Only what matters for inference is read; initializers, regularizers and dtype policies (everything is computed in
//! float32) are passed over. What a layer of single elements or rows computes is the library's business.

use super::error::Error;
use super::model::{Layer, Operation};
use fuselet::ir::keras::{ConfigError, Reader, plain};
use serde_json::{Map, Value};

/// The name in a config.
pub(super) fn name_of(config: Option<&Value>, otherwise: &str) -> String {
    config.and_then(|config| config.get("name")).and_then(Value::as_str).unwrap_or(otherwise).to_owned()
}

/// A layer's dictionary.
pub(super) struct Entry<'j> {
    json: &'j Value,
    config: &'j Map<String, Value>,
    pub class: &'j str,
    pub name: String,
}

/// What a shape is.
pub(super) const SHAPE: &str = "a list of whole numbers and nulls that begins with the batch axis";

impl<'j> Entry<'j> {
    pub fn new(json: &'j Value, index: usize) -> Result<Entry<'j>, Error> {
        let place = format!("layer {index}");
        let class = text(json, "class_name", &place)?;
        let Some(Value::Object(config)) = json.get("config") else {
            return Err(malformed(&format!("`config` of {place}"), "a dictionary", json.get("config")));
        };
        // In a functional model connections use the name beside the config.
        let name = json.get("name").or_else(|| config.get("name")).and_then(Value::as_str);
        Ok(Entry { json, config, class, name: name.unwrap_or(&place).to_owned() })
    }

    /// The shape of one input without the batch axis, if the layer says it.
    pub fn input_shape(&self) -> Result<Option<Vec<Option<usize>>>, Error> {
        // `batch_input_shape` until Keras 2.
        for (key, has_batch) in [("batch_shape", true), ("batch_input_shape", true), ("input_shape", false)] {
            if let Some(shape) = self.config.get(key).filter(|shape| !shape.is_null()) {
                return shape_of(shape, &format!("`{key}` of layer `{}`", self.name), has_batch).map(Some);
            }
        }
        // Of Dense layers until Keras 2.
        Ok(self.config.get("input_dim").and_then(length).map(|length| vec![Some(length)]))
    }

    pub fn layer(&self, reader: &Reader<'_>, dense_layers: &mut usize) -> Result<Layer, Error> {
        let operation = self.operation(reader, dense_layers)?;
        Ok(Layer { class: self.class.to_owned(), name: self.name.clone(), operation })
    }

    fn operation(&self, reader: &Reader<'_>, dense_layers: &mut usize) -> Result<Operation, Error> {
        let (class, config) = (self.class, self.config);
        let named = |error: ConfigError| Error::Activation {
            class: class.to_owned(),
            name: self.name.clone(),
            error: Box::new(error),
        };
        let place = |key: &str| format!("`{key}` of layer `{}` ({class})", self.name);
        match class {
            "Dense" => {
                let units = config.get("units").or_else(|| config.get("output_dim"));
                let Some(units) = units.and_then(length).filter(|units| *units > 0) else {
                    return Err(malformed(&place("units"), "a whole number above 0", units));
                };
                let use_bias = match config.get("use_bias").or_else(|| config.get("bias")) {
                    None => true,
                    Some(Value::Bool(use_bias)) => *use_bias,
                    other => return Err(malformed(&place("use_bias"), "true or false", other)),
                };
                let activation = config.get("activation").unwrap_or(&Value::Null);
                let activation = reader.activation(activation).map_err(named)?;
                *dense_layers += 1;
                Ok(Operation::Dense { index: *dense_layers - 1, units, use_bias, activation })
            }
            "Flatten" => match config.get("data_format").and_then(Value::as_str) {
                None | Some("channels_last") => Ok(Operation::Flatten),
                // It moves an axis, too.
                _ => Err(malformed(&place("data_format"), "\"channels_last\"", config.get("data_format"))),
            },
            "Reshape" => {
                let target = config.get("target_shape").map(plain);
                let lengths = target.and_then(Value::as_array).and_then(|lengths| {
                    let length = |json: &Value| match json.as_i64() {
                        Some(-1) => Some(None),
                        _ => length(json).map(Some),
                    };
                    lengths.iter().map(length).collect::<Option<Vec<_>>>()
                });
                match lengths {
                    Some(lengths) if lengths.iter().filter(|length| length.is_none()).count() <= 1 => {
                        Ok(Operation::Reshape(lengths))
                    }
                    _ => Err(malformed(&place("target_shape"), "a list of lengths, one of which may be -1", target)),
                }
            }
            "Concatenate" => {
                let axis = config.get("axis").map_or(Some(-1), |axis| plain(axis).as_i64());
                let axis = axis.ok_or_else(|| malformed(&place("axis"), "a whole number", config.get("axis")))?;
                Ok(Operation::Concatenate(axis))
            }
            _ => match reader.layer(self.json) {
                Ok(layer) => Ok(Operation::Elementwise(Box::new(layer))),
                Err(ConfigError::UnsupportedLayer { .. }) => {
                    Err(Error::UnsupportedLayer { class: class.to_owned(), name: self.name.clone() })
                }
                Err(error) => Err(named(error)),
            },
        }
    }
}

/// A shape without the batch axis.
pub(super) fn shape_of(shape: &Value, place: &str, has_batch: bool) -> Result<Vec<Option<usize>>, Error> {
    let shape = plain(shape);
    let Value::Array(lengths) = shape else { return Err(malformed(place, SHAPE, Some(shape))) };
    let lengths: Option<Vec<Option<usize>>> =
        lengths.iter().map(|value| if value.is_null() { Some(None) } else { length(value).map(Some) }).collect();
    match lengths {
        Some(lengths) if !has_batch => Ok(lengths),
        Some(lengths) if !lengths.is_empty() => Ok(lengths[1..].to_vec()),
        _ => Err(malformed(place, SHAPE, Some(shape))),
    }
}

fn length(value: &Value) -> Option<usize> {
    usize::try_from(plain(value).as_u64()?).ok()
}

/// The text of a key.
pub(super) fn text<'a>(json: &'a Value, key: &str, place: &str) -> Result<&'a str, Error> {
    let value = json.get(key);
    value.and_then(Value::as_str).ok_or_else(|| malformed(&format!("`{key}` of {place}"), "a text", value))
}

/// The error of a place that holds something else than it should.
pub(super) fn malformed(place: &str, expected: &'static str, found: Option<&Value>) -> Error {
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
