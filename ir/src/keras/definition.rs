//! The definition that a config brings along.

use super::config::{ConfigError, clip};
use crate::language;
use crate::library::{Function, Functions};
use crate::nearest::nearest;
use std::sync::Arc;

/// The function `name` of a text of definitions over the standard library. Later definitions hide earlier ones.
pub(super) fn load(text: &str, name: &str) -> Result<Arc<Function>, ConfigError> {
    let functions = language::load(text)
        .map_err(|error| ConfigError::Definition { identifier: clip(name), error: Box::new(error.into()) })?;
    functions.find(name).ok_or_else(|| ConfigError::Unknown {
        identifier: clip(name),
        nearest: nearest(name, functions.keys().map(String::as_str)),
    })
}
