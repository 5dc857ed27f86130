//! Functions of rows are as near to the truth as their documentation says, on rows that are hard on sums, means and squares;
//! and the passes that only some rows need change no bit of the others.

#![allow(dead_code, reason = "the certify example uses the rest")]

mod common;
#[path = "../examples/certify/precise/mod.rs"]
mod precise;
#[path = "../examples/certify/rows.rs"]
mod rows;
#[path = "../examples/certify/subject.rs"]
mod subject;

use common::{Array, agreed, assert_same_bits, bits, groups, name, program};
use fuselet::ir::reference::{self, evaluate};
use fuselet::ir::{Library, Meaning};
use fuselet::{Dtype, Fusion, Signature};
use serde_json::Value as Json;
use subject::Subject;

/// Random rows of each function here, the worst of them bent further; the record's bounds come from thirty times as many.
const ROWS: u64 = 3200;

#[test]
fn functions_of_rows_keep_what_is_promised_of_them() {
    let record: Json = serde_json::from_str(include_str!("data/accuracy_bounds.json")).unwrap();
    for text in record["rows"].as_object().unwrap().keys() {
        let subject = Subject::activation(&Library::standard(), text).unwrap();
        for group in groups() {
            let engine = group.engines.last().unwrap();
            let bound = rows::promise(text);
            let found = rows::certify(engine, &subject, ROWS, &|_| {}).unwrap();
            println!("{}: {text}: {} of {bound}", name(engine), found.worst);
            assert!(
                found.worst <= bound,
                "{}: {text} is {} off, not {bound}: {:?} for {:?}",
                name(engine),
                found.worst,
                found.worst_result,
                found.worst_row
            );
        }
    }
}

/// The one result every engine has, fused and unfused.
fn found(text: &str, shape: &[usize], data: &[f32]) -> Vec<Vec<f32>> {
    let x = Array::new(shape, data.to_vec());
    groups().iter().map(|group| agreed(group, &program(text), std::slice::from_ref(&x), text).remove(0).data).collect()
}

/// The definition in float64.
fn reference_of(text: &str, data: &[f64]) -> Vec<f64> {
    let graph = program(text).graph(Meaning::Definition).unwrap();
    evaluate(&graph, &[reference::Array::vector(data)]).unwrap().remove(0).into_data()
}

#[test]
fn a_row_without_spread_is_zero_whatever_it_is() {
    let values = [
        12345.678,
        0.1,
        -1e-3,
        1e20,
        -3.4028235e38,
        1e-20,
        -1e-38,
        1e-45,
        7e-45,
        0.0,
        -0.0,
        16_777_215.0,
        1.0 / 3.0,
        7.174884e24,
    ];
    for epsilon in ["1e-5", "0", "1e-30", "1e10"] {
        let text = format!("layer_norm(x, epsilon = {epsilon})");
        for length in [1, 2, 3, 5, 7, 16, 33, 100, 1000, 1025, 5000] {
            let data: Vec<f32> = values.iter().flat_map(|value| std::iter::repeat_n(*value, length)).collect();
            for found in found(&text, &[values.len(), length], &data) {
                assert!(found.iter().all(|y| *y == 0.0), "{text} of equal entries, {length} of them: {found:?}");
            }
            for value in values.iter().map(|value| f64::from(*value)).chain([1e300, -1.7e308, 5e-324]) {
                let y = reference_of(&text, &vec![value; length]);
                assert!(y.iter().all(|y| *y == 0.0), "{text} in float64 of {length} times {value:e}: {y:?}");
            }
        }
        let zeros = format!("rms_norm(x, epsilon = {epsilon})");
        assert!(found(&zeros, &[9], &[0.0; 9]).iter().flatten().all(|y| *y == 0.0), "{zeros}");
        assert!(reference_of(&zeros, &[0.0; 9]).iter().all(|y| *y == 0.0), "{zeros}");
    }
}

#[test]
fn offsets_and_sizes_do_not_count() {
    let near = |text: &str, data: &[f32], wanted: &[f64]| {
        for found in found(text, &[data.len()], data) {
            for (found, wanted) in found.iter().zip(wanted) {
                let error = (f64::from(*found) - wanted).abs();
                assert!(error <= 4.0 * 2f64.powi(-23), "{text} of {data:?}: {found} for {wanted}");
            }
        }
        let y = reference_of(text, &data.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        assert!(y.iter().zip(wanted).all(|(y, wanted)| (y - wanted).abs() < 1e-14), "{text} in float64: {y:?}");
    };
    // Sixteen equal steps after any offset that keeps them exact: (i − 7.5) / √(255 / 12).
    let steps: Vec<f64> = (0..16).map(|at| (f64::from(at) - 7.5) / (255.0f64 / 12.0).sqrt()).collect();
    for (offset, step) in
        [(0.0, 1.0), (1000.0, 0.0009765625), (-1000.0, 0.125), (1e6, 0.0625), (1e20, 1e15), (-3e38, 2e36)]
    {
        let step = 2f32.powi((step as f32).log2().floor() as i32);
        // A multiple of the step.
        let offset = (offset as f32 / step).round() * step;
        let data: Vec<f32> = (0..16).map(|at| offset + at as f32 * step).collect();
        near("layer_norm(x, epsilon = 0)", &data, &steps);
    }
    let half = 1.5f64.sqrt();
    for size in [1e20f32, 3.4028235e38, 1e19, 1.0, 1e-19, 1e-30, 1e-38, 4e-45] {
        near("layer_norm(x, epsilon = 0)", &[-size, 0.0, size], &[-half, 0.0, half]);
        near("rms_norm(x, epsilon = 0)", &[-size, 0.0, size], &[-half, 0.0, half]);
        near("rms_norm(x, epsilon = 0)", &[size; 9], &[1.0; 9]);
    }
    near("layer_norm(x)", &[-1e20, 0.0, 1e20], &[-half, 0.0, half]);
    let thousands: Vec<f32> = (0..16).map(|at| 1000.0 + at as f32 / 1000.0).collect();
    assert!(
        (reference_of("layer_norm(x)", &thousands.iter().map(|x| f64::from(*x)).collect::<Vec<_>>())[0] + 1.341_507_76)
            .abs()
            < 1e-8
    );
}

#[test]
fn a_row_with_nan_or_an_infinity_is_nan() {
    for text in ["layer_norm(x)", "rms_norm(x)", "layer_norm(x, epsilon = 0)", "rms_norm(x, epsilon = 0)"] {
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for length in [1, 2, 9, 1500] {
                let mut data = vec![1.5; length];
                data[length / 2] = special;
                for found in found(text, &[length], &data) {
                    assert!(found.iter().all(|y| y.is_nan()), "{text} with {special}: {found:?}");
                }
                let wide: Vec<f64> = data.iter().map(|x| f64::from(*x)).collect();
                assert!(reference_of(text, &wide).iter().all(|y| y.is_nan()), "{text} with {special} in float64");
            }
        }
    }
}

/// Rows that need the passes others do without, among rows that do not, in every order.
#[test]
fn a_rows_bits_do_not_depend_on_its_neighbours() {
    let row = |kind: usize, length: usize| -> Vec<f32> {
        let entry = |at: usize| (at as f32 * 0.7).sin() + 0.1 * (at % 5) as f32;
        (0..length)
            .map(|at| match kind {
                0 => entry(at),
                1 => entry(at) * 1e25,
                2 => 12345.678,
                3 => entry(at) * 1e-30,
                4 => 1e6 + entry(at),
                _ => {
                    if at == 1 {
                        f32::NAN
                    } else {
                        entry(at)
                    }
                }
            })
            .collect()
    };
    let texts = [
        "layer_norm(x)",
        "layer_norm(x, epsilon = 0)",
        "rms_norm(x, epsilon = 0)",
        "layer_norm(gelu(x)) * 2 + x",
        "rms_norm(layer_norm(x) + x)",
        "layer_norm(x) + softmax(x)",
    ];
    for text in texts {
        for length in [3, 9, 40, 128, 1500] {
            let kinds: Vec<usize> = (0..70).map(|at| [0, 0, 0, 1, 0, 2, 3, 4, 5, 0, 0][at * at % 11]).collect();
            let data: Vec<f32> = kinds.iter().flat_map(|kind| row(*kind, length)).collect();
            let together = found(text, &[kinds.len(), length], &data);
            for kind in 0..6 {
                let alone = found(text, &[1, length], &row(kind, length));
                for (alone, together) in alone.iter().zip(&together) {
                    for (at, _) in kinds.iter().enumerate().filter(|(_, other)| **other == kind) {
                        let context = || format!("{text}: row {at} of kind {kind}, length {length}");
                        assert_same_bits(&together[at * length..][..length], alone, context);
                    }
                }
            }
            // As columns: strips of rows have their passes left out together.
            let columns: Vec<f32> =
                (0..data.len()).map(|at| data[at % kinds.len() * length + at / kinds.len()]).collect();
            let along = text
                .replace("(x", "(x, axis = 0")
                .replace("layer_norm(gelu(x, axis = 0))", "layer_norm(gelu(x), axis = 0)");
            if text.matches("norm").count() == 1 && !text.contains("gelu") {
                for (by_column, by_row) in found(&along, &[length, kinds.len()], &columns).iter().zip(&together) {
                    for (at, value) in by_column.iter().enumerate() {
                        let wanted = by_row[at % kinds.len() * length + at / kinds.len()];
                        assert_eq!(bits(*value), bits(wanted), "{along}: element {at}, length {length}");
                    }
                }
            }
        }
    }
}

#[test]
fn passes_that_no_row_needs_are_known_to_the_plan() {
    for engine in groups().iter().flat_map(|group| &group.engines) {
        for (text, passes) in [("layer_norm(x)", 3), ("rms_norm(x)", 2), ("softmax(x)", 0)] {
            let function = engine.compile_with(program(text), Fusion::Full).unwrap();
            let signature = Signature::new().with("x", Dtype::F32, &[64, 128]).unwrap();
            let plan = function.explain(&signature).unwrap().plan.to_string();
            assert_eq!(plan.matches("where a row needs it").count(), passes, "{}: {plan}", name(engine));
        }
    }
}
