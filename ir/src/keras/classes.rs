//! Keras' classes that are activations, and where Keras' functions are not those of the language: the one table that
//! reading and writing share.
//!
//! A class is a layer, or an *operation*: what Keras 3 writes for `keras.ops` objects, which are the only way to spell
//! parameters that no layer has.

use crate::value::Value;

/// What the value of a key may be, beside what the parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    /// Everything.
    Anything,
    /// No negative number: the layer refuses it.
    NotNegative,
    /// No list: Keras fails when it computes.
    NoList,
}

/// A default in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Preset {
    None,
    Boolean(bool),
    Number(f64),
}

impl From<Preset> for Value {
    fn from(preset: Preset) -> Value {
        match preset {
            Preset::None => Value::None,
            Preset::Boolean(value) => Value::Boolean(value),
            Preset::Number(value) => Value::Number(value),
        }
    }
}

/// Parameters and the values they have if nothing else is said.
pub(super) type Presets = &'static [(&'static str, Preset)];

/// A key of a class's config.
pub(super) struct Key {
    pub key: &'static str,
    pub parameter: &'static str,
    pub accepts: Accepts,
    /// Whether Keras 3 reads it; what only older ones wrote is read here all the same.
    pub written: bool,
}

/// A class that is an activation.
pub(super) struct Class {
    pub name: &'static str,
    pub module: &'static str,
    pub activation: &'static str,
    pub keys: &'static [Key],
    /// Parameters where the class's default is not the language's, or that no key gives.
    pub defaults: Presets,
    /// Keys that have to hold a boolean for the class to be this activation, and what they hold if they are missing.
    pub fixed: &'static [(&'static str, bool, bool)],
    /// Whether Keras 3 reads it.
    pub written: bool,
}

const LAYERS: &str = "keras.layers";
const NN: &str = "keras.src.ops.nn";
const NUMPY: &str = "keras.src.ops.numpy";
const MATH: &str = "keras.src.ops.math";

const fn key(key: &'static str, parameter: &'static str, accepts: Accepts) -> Key {
    Key { key, parameter, accepts, written: true }
}

const fn old(key: &'static str, parameter: &'static str, accepts: Accepts) -> Key {
    Key { key, parameter, accepts, written: false }
}

const fn class(name: &'static str, module: &'static str, activation: &'static str, keys: &'static [Key]) -> Class {
    Class { name, module, activation, keys, defaults: &[], fixed: &[], written: true }
}

use Accepts::{Anything, NoList, NotNegative};

/// The first that holds all parameters is written.
pub(super) const CLASSES: &[Class] = &[
    class(
        "ReLU",
        LAYERS,
        "relu",
        &[
            key("max_value", "max_value", NotNegative),
            key("negative_slope", "negative_slope", NotNegative),
            key("threshold", "threshold", NotNegative),
        ],
    ),
    Class {
        defaults: &[("negative_slope", Preset::Number(0.3))],
        ..class(
            "LeakyReLU",
            LAYERS,
            "leaky_relu",
            &[key("negative_slope", "negative_slope", NotNegative), old("alpha", "negative_slope", NotNegative)],
        )
    },
    class("ELU", LAYERS, "elu", &[key("alpha", "alpha", Anything)]),
    Class {
        defaults: &[("threshold", Preset::Number(1.0)), ("default_value", Preset::Number(0.0))],
        written: false,
        ..class("ThresholdedReLU", LAYERS, "threshold", &[old("theta", "threshold", Anything)])
    },
    class("Softmax", LAYERS, "softmax", &[key("axis", "axis", Anything)]),
    Class {
        defaults: &[("epsilon", Preset::Number(1e-3))],
        fixed: &[("center", false, true), ("scale", false, true), ("rms_scaling", false, false)],
        ..class(
            "LayerNormalization",
            LAYERS,
            "layer_norm",
            &[key("axis", "axis", Anything), key("epsilon", "epsilon", Anything)],
        )
    },
    Class {
        defaults: &[("negative_slope", Preset::Number(0.2))],
        ..class("LeakyRelu", NN, "leaky_relu", &[key("negative_slope", "negative_slope", Anything)])
    },
    class("Elu", NN, "elu", &[key("alpha", "alpha", Anything)]),
    class("Celu", NN, "celu", &[key("alpha", "alpha", Anything)]),
    Class {
        defaults: &[("approximate", Preset::Boolean(true))],
        ..class("Gelu", NN, "gelu", &[key("approximate", "approximate", Anything)])
    },
    class("Glu", NN, "glu", &[key("axis", "axis", NoList)]),
    class("HardShrink", NN, "hard_shrink", &[key("threshold", "lambd", Anything)]),
    class("SoftShrink", NN, "soft_shrink", &[key("threshold", "lambd", Anything)]),
    class("LogSoftmax", NN, "log_softmax", &[key("axis", "axis", NoList)]),
    class("Sparsemax", NN, "sparsemax", &[key("axis", "axis", NoList)]),
    class("Squareplus", NN, "squareplus", &[key("b", "b", Anything)]),
    class(
        "Threshold",
        NN,
        "threshold",
        &[key("threshold", "threshold", Anything), key("default_value", "default_value", Anything)],
    ),
    Class {
        defaults: &[("epsilon", Preset::Number(1e-7))],
        ..class("RMSNorm", NN, "rms_norm", &[key("axis", "axis", Anything), key("epsilon", "epsilon", Anything)])
    },
    Class {
        defaults: &[("axis", Preset::None)],
        fixed: &[("keepdims", true, false)],
        ..class("Logsumexp", MATH, "logsumexp", &[key("axis", "axis", NoList)])
    },
    class("Relu", NN, "relu", &[]),
    class("Relu6", NN, "relu6", &[]),
    class("Selu", NN, "selu", &[]),
    class("Sigmoid", NN, "sigmoid", &[]),
    class("Silu", NN, "silu", &[]),
    class("Softplus", NN, "softplus", &[]),
    class("Softsign", NN, "softsign", &[]),
    class("SparsePlus", NN, "sparse_plus", &[]),
    class("SparseSigmoid", NN, "sparse_sigmoid", &[]),
    class("TanhShrink", NN, "tanh_shrink", &[]),
    class("HardSigmoid", NN, "hard_sigmoid", &[]),
    class("HardSilu", NN, "hard_silu", &[]),
    class("HardTanh", NN, "hard_tanh", &[]),
    class("LogSigmoid", NN, "log_sigmoid", &[]),
    class("Tanh", NUMPY, "tanh", &[]),
    class("Exp", NUMPY, "exponential", &[]),
];

impl Class {
    /// Whether it is a layer; an operation if not.
    pub fn is_layer(&self) -> bool {
        self.module == LAYERS
    }
}

/// The class of this name.
pub(super) fn find(name: &str) -> Option<&'static Class> {
    CLASSES.iter().find(|class| class.name == name)
}

/// Functions whose defaults in Keras are not the language's.
const FUNCTION_DEFAULTS: &[(&str, Presets)] = &[("leaky_relu", &[("negative_slope", Preset::Number(0.2))])];

/// The defaults of a Keras function that are not the language's.
pub(super) fn function_defaults(function: &str) -> Presets {
    FUNCTION_DEFAULTS.iter().find(|(name, _)| *name == function).map_or(&[], |(_, defaults)| defaults)
}

/// Functions of the library that Keras has not, or not without parameters: their name alone says nothing to it.
pub(super) const NOT_BY_NAME: &[&str] = &["layer_norm", "logsumexp", "rms_norm", "threshold"];

/// What parameters of functions were called until Keras 2: function, old name, parameter.
pub(super) const OLD_PARAMETERS: &[(&str, &str, &str)] =
    &[("relu", "alpha", "negative_slope"), ("leaky_relu", "alpha", "negative_slope")];
