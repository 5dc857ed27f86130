//! Every public oracle point through every backend at every level: equal bits inside a group of equal FMA support, fused
//! or not, and within the stated distance of the exact value.
//!
//! `tests/data/oracle/README.md` says how the data were made and how to compare. Entries it marks `convention` are
//! choices that the library's entries document; the data hold ours, and they are compared like all others.

mod common;

use common::{Array, groups};
use fuselet::ir::library::Value;
use fuselet::ir::ulp::{ulp_distance_f32, ulp_steps_f32};
use fuselet::ir::{Activation, IntoProgram, Library, Program};
use serde_json::Value as Json;
use std::path::Path;

/// The bound on the library's functions, in units in the last place: on the distance from the exact value and on the
/// steps from the correctly rounded one. Subnormal results included.
const BOUND: f64 = 4.0;

/// The bound on sparsemax, whose results are differences of numbers up to 1: absolute, two units at 1.
const SPARSEMAX_BOUND: f64 = 1.0 / (1 << 23) as f64;

/// The functions for which a zero keeps its sign.
const KEEPS_ZERO_SIGN: &[&str] =
    &["linear", "tanh", "softsign", "tanh_shrink", "silu", "gelu", "mish", "elu", "selu", "celu", "hard_tanh"];

fn data(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oracle").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Float32 numbers given as bit patterns.
fn floats(bits: &Json) -> Vec<f32> {
    let float = |bits: &Json| f32::from_bits(u32::from_str_radix(bits.as_str().unwrap(), 16).unwrap());
    bits.as_array().unwrap().iter().map(float).collect()
}

/// Exact results, rounded to float64.
fn exact(values: &Json) -> Vec<f64> {
    let number = |value: &Json| match value {
        Json::String(text) => text.parse().unwrap(),
        value => value.as_f64().unwrap(),
    };
    values.as_array().unwrap().iter().map(number).collect()
}

fn shape(value: &Json) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|length| length.as_u64().unwrap() as usize).collect()
}

/// The activation of a case; parameters take part rounded to float32, defaults as users get them.
fn activation(library: &Library, case: &Json, function: &str) -> Activation {
    let mut activation = library.activation(function).unwrap();
    for (name, value) in case["params"].as_object().unwrap() {
        let value = match value {
            Json::Bool(value) => Value::Boolean(*value),
            Json::Null => Value::None,
            Json::Array(axes) => Value::Axes(axes.iter().map(|axis| axis.as_i64().unwrap()).collect()),
            value => Value::Number(f64::from(value.as_f64().unwrap() as f32)),
        };
        activation = activation.with(name, value);
    }
    activation
}

/// One case of a function.
struct Case {
    name: String,
    program: Program,
    input: Array,
    out_shape: Vec<usize>,
    exact: Vec<f64>,
    rounded: Vec<f32>,
}

fn cases(function: &str) -> Vec<Case> {
    let library = Library::standard();
    let file = data(&format!("{function}.json"));
    let rows = file["kind"] == "row";
    let case = |case: &Json| {
        let x = floats(&case["x_bits"]);
        let (in_shape, out_shape) = match rows {
            true => (shape(&case["shape"]), shape(&case["out_shape"])),
            false => (vec![x.len()], vec![x.len()]),
        };
        Case {
            name: case["id"].as_str().unwrap().to_owned(),
            program: activation(&library, case, function).into_program(&library).unwrap(),
            input: Array::new(&in_shape, x),
            out_shape,
            exact: exact(&case["y"]),
            rounded: floats(&case["y_bits"]),
        }
    };
    file["cases"].as_array().unwrap().iter().map(case).collect()
}

/// How far a result is from the truth, in units of its bound: at most 1 is right.
fn distance(function: &str, found: f32, exact: f64, rounded: f32) -> f64 {
    if function == "sparsemax" {
        let both_nan = found.is_nan() && exact.is_nan();
        return if both_nan { 0.0 } else { (f64::from(found) - exact).abs() / SPARSEMAX_BOUND };
    }
    ulp_distance_f32(found, exact).max(f64::from(ulp_steps_f32(found, rounded))) / BOUND
}

fn check(function: &str) {
    let mut failures = String::new();
    let mut points = 0;
    for case in cases(function) {
        points += case.input.data.len();
        for group in groups() {
            let found = common::agreed(group, &case.program, std::slice::from_ref(&case.input), &case.name).remove(0);
            assert_eq!(found.shape, case.out_shape, "{}", case.name);
            let mut worst = (1.0, None);
            for (at, found) in found.data.iter().enumerate() {
                let distance = distance(function, *found, case.exact[at], case.rounded[at]);
                // NaN, where a number is missing, is no distance and fails too.
                if distance > worst.0 || distance.is_nan() {
                    worst = (distance, Some(at));
                }
                if case.input.data[at] == 0.0
                    && KEEPS_ZERO_SIGN.contains(&function)
                    && found.is_sign_negative() != case.input.data[at].is_sign_negative()
                {
                    failures += &format!("\n{} at {}: the sign of zero is lost", case.name, case.input.data[at]);
                }
            }
            if let (distance, Some(at)) = worst {
                failures += &format!(
                    "\n{} (fma: {}): {:e} instead of {:e} at [{at}] of {:e}: {:.2} times the bound",
                    case.name,
                    group.fma,
                    found.data[at],
                    case.exact[at],
                    case.input.data.get(at).copied().unwrap_or(f32::NAN),
                    distance
                );
            }
            if function == "sparsemax" {
                failures += &support_differs(&case, &found);
            }
        }
    }
    let index = data("index.json");
    assert_eq!(points as u64, index["functions"][function]["points"].as_u64().unwrap(), "{function}: points left out");
    assert!(failures.is_empty(), "{failures}");
}

/// Sparsemax's support is exact, but for entries that tie with the threshold: their exact value is tiny, not 0.
fn support_differs(case: &Case, found: &Array) -> String {
    let differs = |at: &usize| {
        let (found, exact) = (found.data[*at], case.exact[*at]);
        !exact.is_nan() && (found > 0.0) != (exact > 0.0) && (exact == 0.0 || exact > SPARSEMAX_BOUND)
    };
    match (0..found.data.len()).find(differs) {
        Some(at) => format!("\n{}: [{at}] is {:e}, exactly {:e}", case.name, found.data[at], case.exact[at]),
        None => String::new(),
    }
}

macro_rules! functions {
    ($($function:ident)*) => {
        $(
            #[test]
            fn $function() {
                check(stringify!($function));
            }
        )*

        /// The functions that have a test here.
        const TESTED: &[&str] = &[$(stringify!($function)),*];
    };
}

functions! {
    linear relu leaky_relu relu6 sigmoid tanh gelu silu mish selu elu celu softplus softsign exponential hard_sigmoid
    hard_silu hard_tanh hard_shrink soft_shrink tanh_shrink threshold sparse_plus sparse_sigmoid squareplus log_sigmoid
    softmax log_softmax sparsemax glu
}

#[test]
fn every_function_of_the_data_is_tested() {
    let index = data("index.json");
    let functions: Vec<&str> = index["functions"].as_object().unwrap().keys().map(String::as_str).collect();
    for function in &functions {
        assert!(TESTED.contains(function), "{function}");
    }
    assert_eq!(functions.len(), TESTED.len());
}
