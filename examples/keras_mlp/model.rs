//! The model: layers and how they are connected.

use fuselet::ir::Activation;
use fuselet::ir::keras::{self, supported_layers};

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
