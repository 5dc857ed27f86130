//! The model: layers and how they are connected, from the config that Keras' `model.to_json()` writes, in Keras 2 or 3.
//!
//! Only what matters for inference is read; initializers, regularizers and dtype policies (everything is computed in
//! float32) are passed over. What a layer of single elements or rows computes is the library's business.

use super::connections::{Tensor, nodes, tensors};
use super::error::Error;
use fuselet::ir::keras::{self, ConfigError, Reader, Version, parse_config, plain, supported_layers};
use fuselet::ir::{Activation, Library};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The supported classes, for people.
pub fn supported() -> String {
    [&["InputLayer", "Dense", "Flatten", "Reshape", "Concatenate"][..], &supported_layers()].concat().join(", ")
}

/// Layers and their calls.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// The layers, without input layers.
    pub layers: Vec<Layer>,
    /// The calls of layers; each takes inputs and results of calls before it.
    pub calls: Vec<Call>,
    /// Which values are the model's results: inputs first, then results of calls, in their order.
    pub outputs: Vec<usize>,
}

/// An input of a model.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its layer's name.
    pub name: String,
    /// The shape of one input without the batch axis; `None` for lengths, or the whole, that the config leaves open.
    pub shape: Option<Vec<Option<usize>>>,
}

/// A call of a layer.
#[derive(Clone, Debug)]
pub struct Call {
    /// The layer's place.
    pub layer: usize,
    /// The values it takes.
    pub inputs: Vec<usize>,
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
        /// How many Dense layers stand before it.
        index: usize,
        /// The length of the last axis of x · kernel.
        units: usize,
        /// Whether there is a bias.
        use_bias: bool,
        /// `linear` if the config has none.
        activation: Activation,
    },
    /// Something of single elements or of rows.
    Elementwise(Box<keras::Layer>),
    /// All axes but the first become one.
    Flatten,
    /// The same elements in another shape; one length may be whatever is left.
    Reshape(Vec<Option<usize>>),
    /// Inputs side by side along an axis, which counts the batch axis.
    Concatenate(i64),
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
        let reader = Reader::new(library).version(Version::of(json));
        let config = json.get("config");
        match class {
            // A list was all of a config once.
            "Sequential" => sequential(config, config.filter(|config| config.is_array()), &reader),
            "Functional" | "Model" => functional(config, &reader),
            _ => {
                let (place, expected) = ("the model's `class_name`".to_owned(), "Sequential, Functional or Model");
                Err(Error::Malformed { place, expected, found: format!("{class:?}") })
            }
        }
    }
}

fn name_of(config: Option<&Value>, otherwise: &str) -> String {
    config.and_then(|config| config.get("name")).and_then(Value::as_str).unwrap_or(otherwise).to_owned()
}

/// A chain of layers.
fn sequential(config: Option<&Value>, list: Option<&Value>, reader: &Reader<'_>) -> Result<Model, Error> {
    let layers = list.or_else(|| config?.get("layers"));
    let Some(Value::Array(entries)) = layers else {
        return Err(malformed("`layers` of the model", "a list", layers));
    };
    let mut input = Input { name: "input".to_owned(), shape: None };
    let mut layers = Vec::with_capacity(entries.len());
    let mut counter = 0;
    for (index, json) in entries.iter().enumerate() {
        let entry = Entry::new(json, index)?;
        let given = entry.input_shape()?;
        if entry.class == "InputLayer" {
            if index != 0 {
                let (place, expected) = (format!("layer {index}, `{}`,", entry.name), "a layer that is no input");
                return Err(Error::Malformed { place, expected, found: "an InputLayer".to_owned() });
            }
            let Some(shape) = given else {
                return Err(malformed(&format!("`batch_shape` of layer `{}`", entry.name), SHAPE, None));
            };
            input = Input { name: entry.name, shape: Some(shape) };
            continue;
        }
        if index == 0 {
            input.shape = given;
        }
        layers.push(entry.layer(reader, &mut counter)?);
    }
    if input.shape.is_none()
        && let Some(shape) = config.and_then(|config| config.get("build_input_shape")).filter(|shape| !shape.is_null())
    {
        input.shape = Some(shape_of(shape, "`build_input_shape` of the model", true)?);
    }
    let calls: Vec<Call> = (0..layers.len()).map(|layer| Call { layer, inputs: vec![layer] }).collect();
    let outputs = vec![calls.len()];
    Ok(Model { name: name_of(config, "sequential"), inputs: vec![input], layers, calls, outputs })
}

/// Layers connected in any way without a circle.
fn functional(config: Option<&Value>, reader: &Reader<'_>) -> Result<Model, Error> {
    let entry_of = |key: &str| config.and_then(|config| config.get(key));
    let Some(Value::Array(entries)) = entry_of("layers") else {
        return Err(malformed("`layers` of the model", "a list", entry_of("layers")));
    };
    let ends = |key: &str| {
        let json = entry_of(key);
        let place = format!("`{key}` of the model");
        let found = json.ok_or("a list of layers").and_then(tensors);
        match found {
            Ok(tensors) if !tensors.is_empty() => Ok(tensors),
            Ok(_) => Err(malformed(&place, "a list of layers", json)),
            Err(expected) => Err(malformed(&place, expected, json)),
        }
    };
    let (starts, results) = (ends("input_layers")?, ends("output_layers")?);
    let mut names = HashMap::with_capacity(entries.len());
    let mut parsed = Vec::with_capacity(entries.len());
    for (index, json) in entries.iter().enumerate() {
        let entry = Entry::new(json, index)?;
        let inbound = json.get("inbound_nodes");
        let calls = nodes(inbound)
            .map_err(|expected| malformed(&format!("`inbound_nodes` of layer `{}`", entry.name), expected, inbound))?;
        if names.insert(entry.name.clone(), index).is_some() {
            let (place, expected) = (format!("the name of layer {index}"), "its own");
            return Err(Error::Malformed { place, expected, found: format!("that of another, `{}`", entry.name) });
        }
        parsed.push((entry, calls));
    }
    let mut inputs = Vec::new();
    let mut values = HashMap::new();
    for start in &starts {
        let unknown = || Error::UnknownTensor { layer: "input_layers".to_owned(), tensor: start.layer.to_owned() };
        let index = *names.get(start.layer).ok_or_else(unknown)?;
        let entry = &parsed[index].0;
        values.insert((index, 0), inputs.len());
        inputs.push(Input { name: entry.name.clone(), shape: entry.input_shape()? });
    }
    let order = order_of_calls(&parsed, &names, &results, &mut values, inputs.len())?;
    let mut layers = Vec::new();
    let mut places = HashMap::new();
    let mut counter = 0;
    // In the order of the config, which is the one that weights are counted in.
    let called: std::collections::BTreeSet<usize> = order.iter().map(|(index, _)| *index).collect();
    for (index, (entry, _)) in parsed.iter().enumerate() {
        if called.contains(&index) {
            places.insert(index, layers.len());
            layers.push(entry.layer(reader, &mut counter)?);
        } else if entry.class == "Dense" {
            counter += 1;
        }
    }
    let value = |tensor: &Tensor<'_>| values[&(names[tensor.layer], tensor.node)];
    let calls = order.iter().map(|(index, node)| Call {
        layer: places[index],
        inputs: parsed[*index].1[*node].iter().map(value).collect(),
    });
    let calls = calls.collect();
    let outputs = results.iter().map(value).collect();
    Ok(Model { name: name_of(config, "model"), inputs, layers, calls, outputs })
}

/// The calls that results need, each after those it needs. Adds their values, which go on at `next`. A loop, not recursion:
/// models may be deep.
fn order_of_calls(
    parsed: &[(Entry<'_>, Vec<Vec<Tensor<'_>>>)],
    names: &HashMap<String, usize>,
    results: &[Tensor<'_>],
    values: &mut HashMap<(usize, usize), usize>,
    mut next: usize,
) -> Result<Vec<(usize, usize)>, Error> {
    let find = |user: &str, tensor: &Tensor<'_>| {
        let unknown = || Error::UnknownTensor { layer: user.to_owned(), tensor: tensor.layer.to_owned() };
        Ok::<_, Error>((*names.get(tensor.layer).ok_or_else(unknown)?, tensor.node))
    };
    let mut order = Vec::new();
    let mut begun = std::collections::HashSet::new();
    for result in results {
        let mut pending = vec![(find("output_layers", result)?, 0)];
        while let Some((call, argument)) = pending.pop() {
            if values.contains_key(&call) {
                continue;
            }
            let (entry, calls) = &parsed[call.0];
            let Some(arguments) = calls.get(call.1) else {
                let (layer, tensor) = (entry.name.clone(), format!("{}, call {}", entry.name, call.1));
                return Err(Error::UnknownTensor { layer, tensor });
            };
            if argument == 0 && !begun.insert(call) {
                return Err(Error::Circle { layer: entry.name.clone() });
            }
            match arguments.get(argument) {
                Some(tensor) => {
                    let needed = find(&entry.name, tensor)?;
                    pending.push((call, argument + 1));
                    pending.push((needed, 0));
                }
                None => {
                    values.insert(call, next);
                    next += 1;
                    order.push(call);
                }
            }
        }
    }
    Ok(order)
}

/// A layer's dictionary.
struct Entry<'j> {
    json: &'j Value,
    config: &'j Map<String, Value>,
    class: &'j str,
    name: String,
}

const SHAPE: &str = "a list of whole numbers and nulls that begins with the batch axis";

impl<'j> Entry<'j> {
    fn new(json: &'j Value, index: usize) -> Result<Entry<'j>, Error> {
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
    fn input_shape(&self) -> Result<Option<Vec<Option<usize>>>, Error> {
        // `batch_input_shape` until Keras 2.
        for (key, has_batch) in [("batch_shape", true), ("batch_input_shape", true), ("input_shape", false)] {
            if let Some(shape) = self.config.get(key).filter(|shape| !shape.is_null()) {
                return shape_of(shape, &format!("`{key}` of layer `{}`", self.name), has_batch).map(Some);
            }
        }
        // Of Dense layers until Keras 2.
        Ok(self.config.get("input_dim").and_then(length).map(|length| vec![Some(length)]))
    }

    fn layer(&self, reader: &Reader<'_>, dense_layers: &mut usize) -> Result<Layer, Error> {
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
fn shape_of(shape: &Value, place: &str, has_batch: bool) -> Result<Vec<Option<usize>>, Error> {
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

fn text<'a>(json: &'a Value, key: &str, place: &str) -> Result<&'a str, Error> {
    let value = json.get(key);
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
