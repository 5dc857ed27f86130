//! Configs: activations and layers as JSON, in the ways all Keras write them, and back.
//!
//! Reading takes what is in files: names (with Keras' defaults, which for `leaky_relu` are not the language's), "function"
//! dictionaries, layers and operations, with the marks and leftovers of TensorFlow 2 and Keras 2. What cannot be read is an
//! error that names it, and so is hostile JSON (deep, long, with duplicate keys). A [`Reader`] knows which [`Version`] of
//! Keras is meant; a [`Layer`] is a layer that computes single elements or rows.
//!
//! Writing gives what Keras 3 reads: a name for an activation with Keras' defaults, a layer or an operation where there
//! are parameters, or an error. An activation that the user defined is Keras' "function" dictionary, with its definition
//! in the language beside the name, so that it survives the way to another process. Numbers survive bit for bit.

mod classes;
mod config;
mod definition;
mod fields;
mod identifier;
mod layer;
mod parameters;
mod plain;
mod read;
mod read_layer;
mod version;
mod write;

pub(crate) use config::read_config;
pub use config::{ConfigError, parse_config};
pub use identifier::{CustomObjects, Identifier};
pub use layer::{Layer, Operand, Weight};
pub use plain::plain;
pub use read::Reader;
pub use read_layer::supported as supported_layers;
pub use version::Version;
pub(crate) use write::for_document as write_config;
