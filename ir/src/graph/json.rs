//! Graphs as JSON, for caches, bug reports and other languages.
//!
//! ```json
//! {
//!   "inputs": ["x"],
//!   "nodes": [
//!     {"input": 0},
//!     {"constant": 0.5},
//!     {"apply": {"op": "mul", "arguments": [0, 1]}},
//!     {"reduce": {"by": "max", "argument": 2, "axes": [-1]}},
//!     {"half": {"which": "first", "argument": 0, "axis": -1}}
//!   ],
//!   "outputs": [{"name": "out", "node": 3}],
//!   "labels": [{"node": 2, "label": "scaled", "arguments": [0]}]
//! }
//! ```
//!
//! `axes` is a list or `"all"`. A finite constant is a number that reads back bit for bit, −0 included; the others
//! are `"inf"`, `"-inf"`, `"nan"` and, for a NaN with another sign or payload, `"nan:"` with its 16 hexadecimal
//! digits. What is read is verified: a graph that breaks an invariant is an error, whoever wrote it.
//!
//! [`Graph`] implements serde's traits, so it can be a part of larger documents; [`to_string`] and [`from_str`] are
//! the plain way. Text longer than [`MAX_JSON`] is not read, and no graph of more than [`MAX_NODES`] nodes, wherever it
//! comes from.

use super::arena::Graph;
use super::node::{Arguments, Axes, Half, Label, Node, NodeId, Output};
use super::verify::VerifyError;
use crate::choice::UnknownName;
use crate::display::debug_as_displayed;
use crate::op::{Op, Reduction};
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use thiserror::Error;

/// The longest text that [`from_str`] reads, in bytes.
pub const MAX_JSON: usize = 1 << 26;

/// The most nodes of a graph that is read, and the most inputs, outputs and labels.
pub const MAX_NODES: usize = 1 << 20;

/// Why JSON is no graph.
#[derive(Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON, not of the form in the module's documentation, or (the message says so) no sound graph.
    #[error("cannot read a graph from JSON: {0}")]
    Form(#[from] serde_json::Error),
    /// More text than is read.
    #[error("the JSON has {length} bytes, more than the {limit} that are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// What the form of a graph cannot rule out.
#[derive(Debug, Error)]
enum ContentError {
    #[error("node %{node}: {error}")]
    UnknownName { node: usize, error: UnknownName },
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// The graph as one line of JSON.
pub fn to_string(graph: &Graph) -> Result<String, JsonError> {
    Ok(serde_json::to_string(graph)?)
}

/// The graph written by [`to_string`].
pub fn from_str(text: &str) -> Result<Graph, JsonError> {
    if text.len() > MAX_JSON {
        return Err(JsonError::TooLong { length: text.len(), limit: MAX_JSON });
    }
    Ok(serde_json::from_str(text)?)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphForm {
    #[serde(deserialize_with = "bounded")]
    inputs: Vec<String>,
    #[serde(deserialize_with = "bounded")]
    nodes: Vec<NodeForm>,
    #[serde(deserialize_with = "bounded")]
    outputs: Vec<OutputForm>,
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "Vec::is_empty")]
    labels: Vec<LabelForm>,
}

/// A list of at most [`MAX_NODES`], so that reading a longer one stops there.
fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Bounded<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a list")
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() == MAX_NODES {
                    return Err(de::Error::custom(format_args!("a list of more than {MAX_NODES} entries is not read")));
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(Bounded(PhantomData))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum NodeForm {
    Input(u32),
    Constant(ConstantForm),
    Apply { op: String, arguments: Vec<u32> },
    Reduce { by: String, argument: u32, axes: AxesForm },
    Half { which: HalfForm, argument: u32, axis: i64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HalfForm {
    First,
    Second,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputForm {
    name: String,
    node: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelForm {
    node: u32,
    label: String,
    #[serde(default)]
    arguments: Vec<u32>,
}

/// The bits of a constant.
struct ConstantForm(u64);

/// The bits of the NaN that is written without them.
const PLAIN_NAN: u64 = 0x7ff8_0000_0000_0000;

impl Serialize for ConstantForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = f64::from_bits(self.0);
        if value.is_finite() {
            serializer.serialize_f64(value)
        } else if value.is_infinite() {
            serializer.serialize_str(if value > 0.0 { "inf" } else { "-inf" })
        } else if self.0 == PLAIN_NAN {
            serializer.serialize_str("nan")
        } else {
            serializer.collect_str(&format_args!("nan:{:016x}", self.0))
        }
    }
}

impl<'de> Deserialize<'de> for ConstantForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ConstantForm, D::Error> {
        struct ConstantVisitor;
        impl Visitor<'_> for ConstantVisitor {
            type Value = ConstantForm;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number, \"inf\", \"-inf\", \"nan\" or \"nan:\" with 16 hexadecimal digits")
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<ConstantForm, E> {
                Ok(ConstantForm(value.to_bits()))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<ConstantForm, E> {
                Ok(ConstantForm((value as f64).to_bits()))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<ConstantForm, E> {
                Ok(ConstantForm((value as f64).to_bits()))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ConstantForm, E> {
                let invalid = || E::invalid_value(de::Unexpected::Str(text), &self);
                let bits = match text {
                    "inf" => f64::INFINITY.to_bits(),
                    "-inf" => f64::NEG_INFINITY.to_bits(),
                    "nan" => PLAIN_NAN,
                    _ => {
                        let digits = text.strip_prefix("nan:").filter(|digits| digits.len() == 16);
                        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                        let bits = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                        bits.filter(|bits| f64::from_bits(*bits).is_nan()).ok_or_else(invalid)?
                    }
                };
                Ok(ConstantForm(bits))
            }
        }
        deserializer.deserialize_any(ConstantVisitor)
    }
}

/// `"all"`, or a list.
struct AxesForm(Axes);

impl Serialize for AxesForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Axes::All => serializer.serialize_str("all"),
            Axes::List(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AxesForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AxesForm, D::Error> {
        struct AxesVisitor;
        impl<'de> Visitor<'de> for AxesVisitor {
            type Value = AxesForm;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"all\" or a list of whole numbers")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<AxesForm, E> {
                match text {
                    "all" => Ok(AxesForm(Axes::All)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, sequence: A) -> Result<AxesForm, A::Error> {
                let list = Vec::deserialize(de::value::SeqAccessDeserializer::new(sequence))?;
                Ok(AxesForm(Axes::List(list)))
            }
        }
        deserializer.deserialize_any(AxesVisitor)
    }
}

impl Serialize for Graph {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let id = |id: &NodeId| id.number();
        let node = |node: &Node| match node {
            Node::Input(index) => NodeForm::Input(*index),
            Node::Constant(bits) => NodeForm::Constant(ConstantForm(*bits)),
            Node::Elementwise { op, arguments } => {
                NodeForm::Apply { op: op.name().to_owned(), arguments: arguments.iter().map(id).collect() }
            }
            Node::Reduce { reduction, argument, axes } => NodeForm::Reduce {
                by: reduction.name().to_owned(),
                argument: id(argument),
                axes: AxesForm(axes.clone()),
            },
            Node::Half { argument, axis, half } => {
                let which = match half {
                    Half::First => HalfForm::First,
                    Half::Second => HalfForm::Second,
                };
                NodeForm::Half { which, argument: id(argument), axis: *axis }
            }
        };
        let output = |output: &Output| OutputForm { name: output.name.clone(), node: id(&output.node) };
        let label = |(node, label): (NodeId, &Label)| LabelForm {
            node: id(&node),
            label: label.text.clone(),
            arguments: label.arguments.iter().map(id).collect(),
        };
        let form = GraphForm {
            inputs: self.inputs().to_vec(),
            nodes: self.nodes().iter().map(node).collect(),
            outputs: self.outputs().iter().map(output).collect(),
            labels: self.labels().map(label).collect(),
        };
        form.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Graph {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Graph, D::Error> {
        graph_of(GraphForm::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn graph_of(form: GraphForm) -> Result<Graph, ContentError> {
    let id = |index: u32| NodeId::from_index(index as usize);
    let nodes: Result<Vec<Node>, ContentError> = form.nodes.into_iter().enumerate().map(node_of).collect();
    let outputs = form.outputs.into_iter().map(|output| Output { name: output.name, node: id(output.node) });
    let labels = form.labels.into_iter().map(|label| {
        let arguments = label.arguments.into_iter().map(id).collect();
        (id(label.node), Label { text: label.label, arguments })
    });
    Ok(Graph::from_parts(nodes?, form.inputs, outputs.collect(), labels)?)
}

fn node_of((place, form): (usize, NodeForm)) -> Result<Node, ContentError> {
    let unknown = |error| ContentError::UnknownName { node: place, error };
    let id = |index: u32| NodeId::from_index(index as usize);
    Ok(match form {
        NodeForm::Input(index) => Node::Input(index),
        NodeForm::Constant(ConstantForm(bits)) => Node::Constant(bits),
        NodeForm::Apply { op: name, arguments } => {
            let op = name.parse::<Op>().map_err(unknown)?;
            // Before a list of any length becomes one of at most three.
            if arguments.len() != op.arity() {
                let node = NodeId::from_index(place);
                return Err(VerifyError::ArgumentCount { node, op, given: arguments.len() }.into());
            }
            let arguments: Vec<NodeId> = arguments.into_iter().map(id).collect();
            Node::Elementwise { op, arguments: Arguments::new(&arguments) }
        }
        NodeForm::Reduce { by, argument, axes: AxesForm(axes) } => {
            let reduction = by.parse::<Reduction>().map_err(unknown)?;
            Node::Reduce { reduction, argument: id(argument), axes }
        }
        NodeForm::Half { which, argument, axis } => {
            let half = match which {
                HalfForm::First => Half::First,
                HalfForm::Second => Half::Second,
            };
            Node::Half { argument: id(argument), axis, half }
        }
    })
}

debug_as_displayed!(JsonError);
