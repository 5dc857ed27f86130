//! What is given by name, brought into the order of a function's inputs: arrays of a call, layouts of a signature.

use super::error::CallError;
use smallvec::SmallVec;

/// What was given for each of these inputs, in their order.
///
/// # Errors
/// A name that is none of theirs, an input that is given twice or not at all.
pub(super) fn inputs_in_order<'n, T>(
    given: impl Iterator<Item = (&'n str, T)> + Clone,
    names: &[String],
) -> Result<SmallVec<[T; 8]>, CallError> {
    if let Some((name, _)) = given.clone().find(|(name, _)| !names.iter().any(|known| known == name)) {
        return Err(CallError::unknown_input(name, names));
    }
    names
        .iter()
        .map(|name| {
            let mut own = given.clone().filter(|(given, _)| given == name);
            match (own.next(), own.next()) {
                (Some((_, value)), None) => Ok(value),
                (None, _) => Err(CallError::MissingInput { name: name.clone(), expected: names.to_vec() }),
                (Some(_), Some(_)) => Err(CallError::RepeatedInput { name: name.clone() }),
            }
        })
        .collect()
}
