//! Arrays from `.npy` data: any plain number type, either order, to row-major.

use super::error::Error;
use npyz::{NpyFile, Order};
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
        let array = NpyFile::new(BufReader::new(file)).and_then(|file| Array::from_npy(file, convert));
        array.map(Some).map_err(failed)
    }

    /// Reads the elements that follow a header.
    pub fn from_npy<R: Read>(file: NpyFile<R>, convert: fn(f64) -> T) -> io::Result<Array<T>> {
        let shape = shape(&file)?;
        let order = file.order();
        let stored = elements(file, convert)?;
        let values = if order == Order::Fortran { to_row_major(&stored, &shape) } else { stored };
        Ok(Array { shape, values })
    }
}

/// The shape a header gives, if that many elements can be held.
pub fn shape<R: Read>(file: &NpyFile<R>) -> io::Result<Vec<usize>> {
    let shape: Option<Vec<usize>> = file.shape().iter().map(|length| usize::try_from(*length).ok()).collect();
    shape
        .filter(|shape| elements_of(shape).is_some())
        .ok_or_else(|| invalid(format!("shape {:?} has more than {MOST_ELEMENTS} elements", file.shape())))
}

/// The number of elements of a shape, if it is not above [`MOST_ELEMENTS`].
pub fn elements_of(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let product = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length))?;
    (product <= MOST_ELEMENTS).then_some(product)
}

fn elements<R: Read, T>(file: NpyFile<R>, convert: fn(f64) -> T) -> io::Result<Vec<T>> {
    macro_rules! first_that_fits {
        ($file:ident: $($number:ty),*) => { $(
            let $file = match $file.try_data::<$number>() {
                Ok(numbers) => return numbers.map(|number| Ok(convert(number? as f64))).collect(),
                Err(file) => file,
            };
        )* };
    }
    first_that_fits!(file: f32, f64, i64, i32, i16, i8, u64, u32, u16, u8);
    Err(invalid(format!("elements of type {} are not supported; store plain numbers", file.dtype().descr())))
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
