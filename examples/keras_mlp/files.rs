//! The arrays beside a model: its inputs, and what should come out.

use super::array::Array;
use super::error::Error;
use super::model::{Input, Model};
use super::report;
use std::path::Path;

/// The file of an array: `inputs.npy`, or of several `inputs_0.npy`, `inputs_1.npy`, …
pub fn numbered(name: &str, place: usize, count: usize) -> String {
    if count == 1 { format!("{name}.npy") } else { format!("{name}_{place}.npy") }
}

/// What is known of a model's inputs.
pub struct Given {
    /// The arrays of all inputs, or of none.
    pub arrays: Vec<Array<f32>>,
    /// The shape of one of each.
    pub shapes: Vec<Vec<usize>>,
}

/// The arrays of all inputs, or of none if there are no files, and the shape of one of each: as the config says; where it
/// leaves lengths open, as the arrays have them.
pub fn read_inputs(model: &Model, directory: &Path) -> Result<Given, Error> {
    let (mut arrays, mut shapes) = (Vec::new(), Vec::new());
    for (place, input) in model.inputs.iter().enumerate() {
        let path = directory.join(numbered("inputs", place, model.inputs.len()));
        let given = Array::read_if_present(&path, |number| number as f32)?;
        if place > 0 && given.is_some() == arrays.is_empty() {
            let missing = if given.is_some() { numbered("inputs", 0, model.inputs.len()) } else { String::new() };
            let path = if missing.is_empty() { path } else { directory.join(missing) };
            return Err(Error::MissingInput { path });
        }
        shapes.push(input_shape(input, given.as_ref(), &path)?);
        arrays.extend(given);
    }
    let count = arrays.first().map(|array| array.shape[0]);
    if let Some(place) = arrays.iter().position(|array| Some(array.shape[0]) != count) {
        let path = directory.join(numbered("inputs", place, model.inputs.len()));
        let expected = format!("as many rows as the first input, {}", count.unwrap_or(0));
        return Err(Error::ArrayShape { path, expected, found: arrays[place].shape.clone() });
    }
    Ok(Given { arrays, shapes })
}

fn input_shape(input: &Input, given: Option<&Array<f32>>, path: &Path) -> Result<Vec<usize>, Error> {
    let known = input.shape.as_deref();
    let text = || match known {
        None => "(None, …)".to_owned(),
        Some(lengths) => {
            let text = |length: &Option<usize>| length.map_or(", None".to_owned(), |length| format!(", {length}"));
            format!("(None{})", lengths.iter().map(text).collect::<String>())
        }
    };
    let Some(given) = given else {
        let closed = known.and_then(|lengths| lengths.iter().copied().collect::<Option<Vec<usize>>>());
        return closed.ok_or_else(|| Error::UnknownInputShape { path: path.to_owned(), known: text() });
    };
    let fits = |shape: &[usize]| match known {
        None => true,
        Some(lengths) => {
            lengths.len() == shape.len()
                && lengths.iter().zip(shape).all(|(known, length)| known.is_none_or(|known| known == *length))
        }
    };
    match given.shape.split_first() {
        Some((_, shape)) if fits(shape) => Ok(shape.to_vec()),
        _ => Err(Error::ArrayShape { path: path.to_owned(), expected: text(), found: given.shape.clone() }),
    }
}

/// How many labels are the answers of a model, of how many.
pub fn compare_labels(path: &Path, outputs: &[f32], shape: &[usize]) -> Result<Option<(usize, usize)>, Error> {
    let Some(labels) = Array::read_if_present(path, |number| number as i64)? else { return Ok(None) };
    let (classes, rows) = shape.split_last().map_or((1, 1), |(classes, rows)| (*classes, rows.iter().product()));
    if labels.values.len() != rows {
        let expected = format!("one label for each of {rows} outputs");
        return Err(Error::ArrayShape { path: path.to_owned(), expected, found: labels.shape });
    }
    Ok(Some((report::count_right(outputs, classes, &labels.values), rows)))
}

/// The largest difference from the outputs of a file.
pub fn compare_outputs(path: &Path, outputs: &[f32], shape: &[usize]) -> Result<Option<f32>, Error> {
    let Some(expected) = Array::read_if_present(path, |number| number as f32)? else { return Ok(None) };
    if expected.shape != shape {
        let found = expected.shape;
        return Err(Error::ArrayShape { path: path.to_owned(), expected: format!("{shape:?}"), found });
    }
    Ok(Some(report::largest_difference(outputs, &expected)))
}
