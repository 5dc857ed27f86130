//! Row functions and the shapes they are measured at.

use super::{Array, Case};
use fuselet::{Engine, Fusion};

/// A row function; `AXIS` in the text is the axis.
pub struct RowFunction {
    pub name: &'static str,
    pub text: &'static str,
}

/// The row functions.
pub const FUNCTIONS: [RowFunction; 5] = [
    RowFunction { name: "softmax", text: "softmax(x, axis = AXIS)" },
    RowFunction { name: "log_softmax", text: "log_softmax(x, axis = AXIS)" },
    RowFunction { name: "layer_norm", text: "layer_norm(x, axis = AXIS)" },
    RowFunction { name: "glu", text: "glu(x, axis = AXIS)" },
    RowFunction { name: "masked_softmax", text: "x * scale + mask |> softmax(axis = AXIS) |> * gate" },
];

/// Shapes with the axis of the rows: small rows, rows in L1, many rows, long rows, an axis in the middle.
pub const SHAPES: [(&[usize], usize); 5] =
    [(&[64, 128], 1), (&[256, 1024], 1), (&[4096, 1024], 1), (&[16, 32768], 1), (&[32, 64, 56, 56], 1)];

/// How a table writes a shape.
pub fn shape_name(shape: &[usize], axis: usize) -> String {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let suffix = if axis + 1 == shape.len() { String::new() } else { format!(" axis {axis}") };
    format!("{}{suffix}", lengths.join("x"))
}

/// The text of a row function along an axis.
pub fn text(function: &RowFunction, axis: usize) -> String {
    function.text.replace("AXIS", &axis.to_string())
}

/// A row function of arrays of a shape.
pub fn case(engine: &Engine, text: &str, fusion: Fusion, shape: &[usize]) -> Case {
    let function = engine.compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let make = |(at, name): (usize, &String)| match name.as_str() {
        "scale" | "c" => Array::number(0.125),
        _ => Array::normal(at as u64 + 1, shape),
    };
    let inputs = function.inputs().iter().enumerate().map(make).collect();
    Case::new(engine, text, fusion, inputs)
}
