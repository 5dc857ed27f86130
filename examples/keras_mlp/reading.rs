//! Models from the configs that Keras' `model.to_json()` writes, in Keras 2 or 3.

use super::error::Error;
use super::functional::functional;
use super::layers::{Entry, SHAPE, malformed, name_of, shape_of, text};
use super::model::{Call, Input, Model};
use fuselet::ir::Library;
use fuselet::ir::keras::{Reader, Version, parse_config};
use serde_json::Value;
use std::fs;
use std::path::Path;

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
