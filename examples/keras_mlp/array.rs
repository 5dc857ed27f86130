//! Arrays from `.npy` data: any plain number type, either order, to row-major.

use super::error::Error;
use super::npy_format::{Header, HeaderError, read_numbers};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// No array has more elements than this: a header is believed only so far.
pub const MOST_ELEMENTS: usize = 1 << 28;

/// A row-major array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T> {
    /// The lengths of its axes.
    pub shape: Vec<usize>,
    /// Its elements.
    pub values: Vec<T>,
}

impl<T: Copy> Array<T> {
    /// Reads a file, if there is one. Every number type converts through float64.
    pub fn read_if_present(path: &Path, convert: fn(f64) -> T) -> Result<Option<Array<T>>, Error> {
        let failed = |error| Error::File { path: path.to_owned(), error };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let mut reader = BufReader::new(file);
        let array = read_header(&mut reader)
            .and_then(|(header, shape)| Array::read_elements(&header, shape, &mut reader, convert));
        array.map(Some).map_err(failed)
    }

    /// Reads the elements that follow a header.
    pub fn read_elements(
        header: &Header,
        shape: Vec<usize>,
        reader: &mut impl Read,
        convert: fn(f64) -> T,
    ) -> io::Result<Array<T>> {
        let count = elements_of(&shape).unwrap_or(0);
        let stored = read_numbers(header, reader, count as u64, convert)?;
        if stored.len() < count {
            return Err(invalid(format!("it is cut off: {count} elements are claimed, {} are there", stored.len())));
        }
        let values = if header.column_major { to_row_major(&stored, &shape) } else { stored };
        Ok(Array { shape, values })
    }
}

/// A header and the shape it gives, if that many elements can be held.
pub fn read_header(reader: &mut impl Read) -> io::Result<(Header, Vec<usize>)> {
    let header = Header::read(reader).map_err(|error| match error {
        HeaderError::Io(error) => error,
        HeaderError::NotNpy(reason) => invalid(format!("no .npy data: {reason}")),
        HeaderError::Dtype(_) => invalid(error.to_string()),
    })?;
    let shape: Option<Vec<usize>> = header.shape.iter().map(|length| usize::try_from(*length).ok()).collect();
    match shape.filter(|shape| elements_of(shape).is_some()) {
        Some(shape) => Ok((header, shape)),
        None => Err(invalid(format!("shape {:?} has more than {MOST_ELEMENTS} elements", header.shape))),
    }
}

/// The number of elements of a shape, if it is not above [`MOST_ELEMENTS`].
pub fn elements_of(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let product = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length))?;
    (product <= MOST_ELEMENTS).then_some(product)
}

/// The elements of a column-major array in row-major order.
fn to_row_major<T: Copy>(stored: &[T], shape: &[usize]) -> Vec<T> {
    let place = |flat: usize| {
        // Coordinates come from the last axis on, steps from the first.
        let (mut rest, mut place, mut step) = (flat, 0, stored.len());
        for length in shape.iter().rev() {
            step /= length;
            place += rest % length * step;
            rest /= length;
        }
        place
    };
    (0..stored.len()).map(|flat| stored[place(flat)]).collect()
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
