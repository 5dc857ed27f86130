//! Definitions and forms against exact data: both evaluated in float64, so that what is compared is the formula and not
//! the arithmetic of a kernel. `tests/data/oracle/README.md` says how the data were made.

use fuselet_ir::library::Value;
use fuselet_ir::reference::{Array, evaluate};
use fuselet_ir::ulp::ulp_f32;
use fuselet_ir::{Activation, Expr, IntoProgram, Library, Meaning, Program};
use serde_json::Value as Json;
use std::path::Path;

/// Units in the last place of float32. Float64 formulas with a few roundings stay far below; a formula that cancels,
/// even mildly, does not.
const FORMULA_ERROR: f64 = 1.0 / 1024.0;

/// The arguments at which the sign of a zero result is that of the argument.
const KEEPS_ZERO_SIGN: &[&str] =
    &["linear", "tanh", "softsign", "tanh_shrink", "silu", "gelu", "mish", "elu", "selu", "celu", "hard_tanh"];

fn data(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/oracle").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn floats(bits: &Json) -> Vec<f64> {
    let float = |bits: &Json| f32::from_bits(u32::from_str_radix(bits.as_str().unwrap(), 16).unwrap());
    bits.as_array().unwrap().iter().map(|bits| f64::from(float(bits))).collect()
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

/// The activation of a case; parameters take part rounded to float32.
fn activation(library: &Library, case: &Json, function: &str) -> Activation {
    let mut activation = library.activation(function).unwrap();
    for parameter in library.function(function).unwrap().parameters() {
        // Setting a parameter is not the same as leaving it: `threshold` tells its two signatures apart by that.
        if let Value::Number(default) = parameter.default
            && f64::from(default as f32) != default
        {
            activation = activation.with(&parameter.name, default as f32);
        }
    }
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

fn agrees(got: f64, exact: f64, allowed: f64) -> bool {
    if exact.is_nan() || got.is_nan() {
        return exact.is_nan() && got.is_nan();
    }
    if exact.is_infinite() || got.is_infinite() {
        return got == exact;
    }
    (got - exact).abs() <= allowed
}

fn check(meaning: Meaning, name: &str) -> usize {
    let library = Library::standard();
    let file = data(&format!("{name}.json"));
    let mut points = 0;
    for case in file["cases"].as_array().unwrap() {
        let activation = activation(&library, case, name);
        let graph = (&activation).into_program(&library).unwrap().graph(meaning).unwrap();
        let x = floats(&case["x_bits"]);
        let rows = file["kind"] == "row";
        let array = Array::new(if rows { shape(&case["shape"]) } else { vec![x.len()] }, x.clone()).unwrap();
        let result = evaluate(&graph, &[array]).unwrap().remove(0);
        if rows {
            assert_eq!(result.shape(), shape(&case["out_shape"]), "{}", case["id"]);
        }
        let y = exact(&case["y"]);
        assert_eq!(result.data().len(), y.len(), "{}", case["id"]);
        for (index, (got, y)) in result.data().iter().zip(&y).enumerate() {
            // Sparsemax is exact up to a rounding of numbers of the size of the row's entries.
            let allowed = if name == "sparsemax" { 1e-12 } else { FORMULA_ERROR * ulp_f32(*y) };
            let at = if rows { format!("[{index}]") } else { format!("({:e})", x[index]) };
            assert!(agrees(*got, *y, allowed), "{activation}{at} is {y:e}, but its {meaning:?} gives {got:e}");
            if !rows && x[index] == 0.0 && KEEPS_ZERO_SIGN.contains(&name) {
                assert_eq!(got.is_sign_negative(), x[index].is_sign_negative(), "{activation}{at} loses the sign of 0");
            }
        }
        points += x.len();
    }
    points
}

/// Some derivatives cross zero between −2 and 0; there the exact value has no bits in common with its parts, which are of the size of 1.
const ZERO_CROSSING_ERROR: f64 = 1e-14;

/// The `derivative` clause in float64 against exact derivatives; returns how many points were compared.
fn check_derivative(name: &str) -> usize {
    let library = Library::standard();
    let file = data(&format!("{name}.json"));
    let rows = file["kind"] == "row";
    let mut points = 0;
    for case in file["cases"].as_array().unwrap() {
        let activation = activation(&library, case, name);
        let (x, g) = (Expr::input("x"), Expr::input("g"));
        let y = activation.apply(&x);
        let Some(derivative) = activation.derivative(std::slice::from_ref(&x), &y, &g).unwrap() else { return 0 };
        let graph =
            Program::from(derivative).with_inputs(["x".to_owned(), "g".to_owned()]).graph(Meaning::Form).unwrap();
        let x = floats(&case["x_bits"]);
        if rows && !case["g_bits"].is_array() {
            continue;
        }
        let g = if rows { floats(&case["g_bits"]) } else { vec![1.0; x.len()] };
        let exact = exact(&case[if rows { "dx" } else { "dy" }]);
        let of = |key: &str, length: usize| if rows { shape(&case[key]) } else { vec![length] };
        let inputs =
            [Array::new(of("shape", x.len()), x.clone()).unwrap(), Array::new(of("out_shape", g.len()), g).unwrap()];
        let result = evaluate(&graph, &inputs).unwrap().remove(0);
        // A result that does not depend on x (the derivative of the identity is 1) has the shape of g.
        assert_eq!(result.data().len(), exact.len(), "{}", case["id"]);
        for (index, (got, exact)) in result.data().iter().zip(&exact).enumerate() {
            // What a NaN gives to a derivative is a convention, marked as such.
            if !rows && x[index].is_nan() {
                continue;
            }
            let crosses = ["gelu", "silu", "mish", "hard_silu"].contains(&name) && x[index].abs() < 2.0;
            let allowed = match rows {
                // The parts of a vector-Jacobian product cancel as they like; exact up to the size of the cotangent.
                true => 1e-10,
                false => FORMULA_ERROR * ulp_f32(*exact) + if crosses { ZERO_CROSSING_ERROR } else { 0.0 },
            };
            let at = if rows { format!("[{index}] of {}", case["id"]) } else { format!("({:e})", x[index]) };
            assert!(agrees(*got, *exact, allowed), "{activation}'{at} is {exact:e}, but its clause gives {got:e}");
            points += 1;
        }
    }
    points
}

#[test]
fn derivative_clauses_give_every_exact_derivative() {
    let index = data("index.json");
    let mut failed = String::new();
    for name in index["functions"].as_object().unwrap().keys() {
        match std::panic::catch_unwind(|| check_derivative(name)) {
            Ok(points) => assert!(points > 300 || name == "glu", "{name}: only {points} points compared"),
            Err(error) => failed += &format!("\n{}", error.downcast_ref::<String>().map_or("", String::as_str)),
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

fn check_all(meaning: Meaning) {
    let index = data("index.json");
    let mut failed = String::new();
    for (name, entry) in index["functions"].as_object().unwrap() {
        match std::panic::catch_unwind(|| check(meaning, name)) {
            Ok(points) => assert_eq!(points as u64, entry["points"].as_u64().unwrap(), "{name}: points left out"),
            Err(error) => failed += &format!("\n{}", error.downcast_ref::<String>().map_or("", String::as_str)),
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn definitions_give_every_exact_value() {
    check_all(Meaning::Definition);
}

#[test]
fn forms_give_every_exact_value() {
    check_all(Meaning::Form);
}

#[test]
fn aliases_are_the_functions_they_name() {
    let library = Library::standard();
    for (alias, name) in data("index.json")["aliases"].as_object().unwrap() {
        assert_eq!(library.activation(alias).unwrap(), library.activation(name.as_str().unwrap()).unwrap());
    }
}
