//! Configs: activations as JSON, in the ways Keras 3 writes them, and back.
//!
//! An activation with its defaults is its name; with parameters it is `{"class_name": name, "config": {…}}`; one that
//! the user defined is Keras' "function" dictionary, with its definition in the language beside the name, so that
//! it survives the way to another process. Reading also takes the layer classes ReLU, LeakyReLU, ELU, Softmax and
//! Activation. Numbers survive bit for bit. Hostile JSON (deep, long, with duplicate keys) is an error.

mod config;
mod definition;
mod identifier;
mod layers;
mod parameters;
mod read;
mod write;

pub(crate) use config::read_config;
pub use config::{ConfigError, parse_config};
pub use identifier::{CustomObjects, Identifier};
pub(crate) use write::serialize as write_config;
