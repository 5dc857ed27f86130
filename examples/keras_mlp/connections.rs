//! How layers of a functional model are connected, in the spellings of Keras 2 and 3.
//!
//! A layer has a node for each of its calls; a node names the tensors it was called with, each by a layer, the node of that
//! layer, and which of its results. Keras 2 writes `[[["dense", 0, 0, {}]]]`, Keras 3
//! `[{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["dense", 0, 0], …}}], "kwargs": {}}]`, with lists
//! within lists where a layer takes several tensors.

use serde_json::{Map, Value};

/// A tensor: what the `node`-th call of a layer gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor<'j> {
    /// The layer's name.
    pub layer: &'j str,
    /// Which call of it.
    pub node: usize,
}

/// Arguments of calls that change nothing after training.
const NEUTRAL_ARGUMENTS: &[&str] = &["training", "mask", "name"];

/// The tensors of each call of a layer.
pub fn nodes(inbound: Option<&Value>) -> Result<Vec<Vec<Tensor<'_>>>, &'static str> {
    match inbound {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(nodes)) => nodes.iter().map(node).collect(),
        Some(_) => Err("a list of calls"),
    }
}

fn node(node: &Value) -> Result<Vec<Tensor<'_>>, &'static str> {
    let mut tensors = Vec::new();
    match node {
        Value::Object(call) => {
            if let Some(arguments) = call.get("args") {
                collect(arguments, &mut tensors)?;
            }
            if let Some(Value::Object(named)) = call.get("kwargs") {
                named_arguments(named, &mut tensors)?;
            }
        }
        _ => collect(node, &mut tensors)?,
    }
    Ok(tensors)
}

fn named_arguments<'j>(named: &'j Map<String, Value>, tensors: &mut Vec<Tensor<'j>>) -> Result<(), &'static str> {
    for (name, value) in named {
        match name.as_str() {
            "inputs" | "x" => collect(value, tensors)?,
            _ if NEUTRAL_ARGUMENTS.contains(&name.as_str()) && (value.is_null() || !value.is_array()) => {}
            _ if value.is_null() => {}
            _ => return Err("calls with tensors as their only arguments"),
        }
    }
    Ok(())
}

/// Tensors, one or many, in lists nested in any way (as deep as JSON may be).
pub fn tensors(json: &Value) -> Result<Vec<Tensor<'_>>, &'static str> {
    let mut tensors = Vec::new();
    collect(json, &mut tensors)?;
    Ok(tensors)
}

fn collect<'j>(json: &'j Value, tensors: &mut Vec<Tensor<'j>>) -> Result<(), &'static str> {
    match json {
        Value::Array(items) => match items.as_slice() {
            [Value::String(layer), node, result, rest @ ..] => {
                let (Some(node), Some(0)) = (node.as_u64(), result.as_u64()) else {
                    return Err("a layer, the number of its call, and 0, as each layer here has one result");
                };
                let node = usize::try_from(node).unwrap_or(usize::MAX);
                tensors.push(Tensor { layer, node });
                match rest {
                    [] | [Value::Null] => Ok(()),
                    [Value::Object(named)] => named_arguments(named, tensors),
                    _ => Err("a layer, the numbers of its call and result, and a dictionary"),
                }
            }
            [Value::String(_), ..] => Err("a layer with the numbers of its call and result"),
            _ => items.iter().try_for_each(|item| collect(item, tensors)),
        },
        Value::Object(map) => {
            let is_tensor = map.get("class_name").and_then(Value::as_str) == Some("__keras_tensor__");
            let history = map.get("config").and_then(|config| config.get("keras_history"));
            match (is_tensor, history) {
                (true, Some(history)) => collect(history, tensors),
                (true, None) => Err("a tensor with its `keras_history`"),
                // Tensors by names.
                (false, _) if map.values().all(Value::is_array) => {
                    map.values().try_for_each(|item| collect(item, tensors))
                }
                (false, _) => Err("tensors"),
            }
        }
        _ => Err("tensors"),
    }
}
