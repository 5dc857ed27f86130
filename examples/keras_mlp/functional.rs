//! Functional models: the order in which layers are called.

use super::connections::{Tensor, nodes, tensors};
use super::error::Error;
use super::layers::{Entry, malformed, name_of};
use super::model::{Call, Input, Model};
use fuselet::ir::keras::Reader;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Layers connected in any way without a circle.
pub(super) fn functional(config: Option<&Value>, reader: &Reader<'_>) -> Result<Model, Error> {
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
    let called: BTreeSet<usize> = order.iter().map(|(index, _)| *index).collect();
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
    let mut begun = HashSet::new();
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
