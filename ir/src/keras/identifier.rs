//! What stands for an activation.

use crate::library::Activation;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Activations by the names a config may use for them; they are looked up before the library.
pub type CustomObjects = BTreeMap<String, Activation>;

/// What [`Library::get`](crate::Library::get) takes: nothing (`linear`), a name, a config, or an activation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Identifier<'a> {
    /// Nothing: linear.
    None,
    /// A name or an alias; case counts.
    Name(&'a str),
    /// A config.
    Config(&'a Json),
    /// An activation as it is.
    Activation(&'a Activation),
}

impl<'a> From<&'a str> for Identifier<'a> {
    fn from(name: &'a str) -> Self {
        Identifier::Name(name)
    }
}

impl<'a> From<Option<&'a str>> for Identifier<'a> {
    fn from(name: Option<&'a str>) -> Self {
        name.map_or(Identifier::None, Identifier::Name)
    }
}

impl<'a> From<&'a Json> for Identifier<'a> {
    fn from(config: &'a Json) -> Self {
        Identifier::Config(config)
    }
}

impl<'a> From<&'a Activation> for Identifier<'a> {
    fn from(activation: &'a Activation) -> Self {
        Identifier::Activation(activation)
    }
}
