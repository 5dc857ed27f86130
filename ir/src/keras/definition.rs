//! Functions that no library has: the definition that a config brings along, and what Keras computed formerly.

use super::config::ConfigError;
use super::plain::clip;
use crate::language;
use crate::library::{Activation, Function, Functions};
use crate::nearest::nearest;
use std::sync::{Arc, OnceLock};

/// The function `name` of a text of definitions over the standard library. Later definitions hide earlier ones.
pub(super) fn load(text: &str, name: &str) -> Result<Arc<Function>, ConfigError> {
    let functions = language::load(text)
        .map_err(|error| ConfigError::Definition { identifier: clip(name), error: Box::new(error.into()) })?;
    functions.find(name).ok_or_else(|| ConfigError::Unknown {
        identifier: clip(name),
        nearest: nearest(name, functions.keys().map(String::as_str)),
    })
}

const HARD_SIGMOID: &str = "hard_sigmoid_of_keras_2";

/// Until Keras 2: the product rounds, then the sum, as there.
const HARD_SIGMOID_TEXT: &str = "/// Keras' hard_sigmoid until Keras 2: 0.2 · x + 0.5 cut at 0 and 1.
fn hard_sigmoid_of_keras_2(x) = minimum(maximum(0.2 * x + 0.5, 0), 1)
  derivative if abs(x) < 2.5 then 0.2 else 0";

/// What Keras computed by a name until Keras 2, where it computes another function now.
pub(super) fn of_keras_2(name: &str) -> Option<Activation> {
    static FUNCTION: OnceLock<Option<Arc<Function>>> = OnceLock::new();
    if name != "hard_sigmoid" {
        return None;
    }
    let function = FUNCTION.get_or_init(|| load(HARD_SIGMOID_TEXT, HARD_SIGMOID).ok());
    function.clone().map(Activation::new)
}
