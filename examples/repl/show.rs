//! Numbers and arrays as NumPy prints them: the shortest text that reads back to the same bits, brackets, columns,
//! and three elements at either end of long axes.

use crate::arrays::Array;
use crate::data::{Stored, with_elements};
use fuselet::Dtype;
use std::fmt::{LowerExp, Write};

/// More elements than this are summarised, as in NumPy.
const MOST_SHOWN: usize = 1000;
/// Elements shown at either end of a summarised axis.
const EDGE: usize = 3;
/// Where lines are broken.
const LINE: usize = 75;

/// A floating-point number, shortest.
pub trait Number: Copy + LowerExp + std::fmt::Display {
    fn magnitude(self) -> f64;
}

impl Number for f32 {
    fn magnitude(self) -> f64 {
        f64::from(self).abs()
    }
}

impl Number for f64 {
    fn magnitude(self) -> f64 {
        self.abs()
    }
}

/// A number: `0.5`, `-0`, `1e-05`, `1e+16`, `nan`, `inf`.
pub fn number<T: Number>(value: T) -> String {
    let magnitude = value.magnitude();
    if magnitude.is_nan() {
        return "nan".to_owned();
    }
    if magnitude.is_infinite() || magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// An element: a number of its dtype, `True` or `False`.
fn element<T: Stored>(element: T) -> String {
    let value = element.to_f64();
    match T::DTYPE {
        Dtype::F32 => number(value as f32),
        Dtype::F16 | Dtype::Bf16 => number(shortest(T::DTYPE, value)),
        Dtype::Bool => if value == 0.0 { "False" } else { "True" }.to_owned(),
        _ => number(value),
    }
}

/// The number of fewest digits that a half type rounds to this one.
fn shortest(dtype: Dtype, value: f64) -> f64 {
    // Five digits tell any two of them apart.
    let candidates = (0..5).filter_map(|digits| format!("{value:.digits$e}").parse().ok());
    candidates.into_iter().find(|candidate| dtype.round(*candidate) == value).unwrap_or(value)
}

/// An array. Further lines are indented by `indent` blanks.
pub fn array(array: &Array, indent: usize) -> String {
    with_elements!(&array.data, elements => Printer::new(array, elements).print(indent))
}

struct Printer<'a, T> {
    data: &'a [T],
    shape: &'a [usize],
    strides: &'a [isize],
    summarised: bool,
    width: usize,
    out: String,
}

impl<'a, T: Stored> Printer<'a, T> {
    fn new(array: &'a Array, data: &'a [T]) -> Printer<'a, T> {
        let summarised = array.len() > MOST_SHOWN;
        Printer { data, shape: &array.shape, strides: array.strides(), summarised, width: 0, out: String::new() }
    }

    fn print(mut self, indent: usize) -> String {
        if self.shape.is_empty() {
            return element(self.data[0]);
        }
        // Columns are aligned where there are several lines.
        let (mut widest, mut total) = (0, 0);
        self.each_shown(0, 0, &mut |text| {
            widest = widest.max(text.len());
            total += text.len() + 2;
        });
        if self.shape.len() > 1 || indent + total > LINE {
            self.width = widest;
        }
        self.axis(0, 0, indent);
        self.out
    }

    /// The places along an axis that are shown; `None` for those left out.
    fn places(&self, axis: usize) -> impl Iterator<Item = Option<usize>> + use<T> {
        let length = self.shape[axis];
        let cut = self.summarised && length > 2 * EDGE;
        let head = if cut { EDGE } else { length };
        let tail = if cut { length - EDGE } else { length };
        (0..head).map(Some).chain(cut.then_some(None)).chain((tail..length).map(Some))
    }

    fn each_shown(&self, axis: usize, offset: isize, visit: &mut impl FnMut(String)) {
        if axis == self.shape.len() {
            visit(element(self.data[offset as usize]));
            return;
        }
        for place in self.places(axis).flatten() {
            self.each_shown(axis + 1, offset + place as isize * self.strides[axis], visit);
        }
    }

    fn axis(&mut self, axis: usize, offset: isize, indent: usize) {
        self.out.push('[');
        let last = axis + 1 == self.shape.len();
        let mut column = indent + axis + 1;
        let start = column;
        for (count, place) in self.places(axis).enumerate() {
            if !last {
                if count > 0 {
                    let lines = self.shape.len() - axis - 1;
                    self.out.push(',');
                    self.out.push_str(&"\n".repeat(lines));
                    self.out.push_str(&" ".repeat(indent + axis + 1));
                }
                match place {
                    Some(place) => self.axis(axis + 1, offset + place as isize * self.strides[axis], indent),
                    None => self.out.push_str("..."),
                }
                continue;
            }
            let text = match place {
                Some(place) => element(self.data[(offset + place as isize * self.strides[axis]) as usize]),
                None => "...".to_owned(),
            };
            let width = if place.is_some() { text.len().max(self.width) } else { text.len() };
            if count > 0 {
                self.out.push(',');
                if column + width + 2 > LINE {
                    let _ = write!(self.out, "\n{}", " ".repeat(start));
                    column = start;
                } else {
                    self.out.push(' ');
                    column += 1;
                }
            }
            let _ = write!(self.out, "{text:>width$}");
            column += width + 1;
        }
        self.out.push(']');
    }
}
