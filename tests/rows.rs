//! Rows: what reductions and row functions give where it is easy to be wrong.
//!
//! Special values and degenerate shapes, as the documentation of the library's entries says; axes and shapes that are
//! errors; results in place. Sums and their order are in `row_sums`, distances from the truth in `rows_near_the_truth`.

mod common;

use common::{Array, Random, assert_same_bits, call, engines, groups, name, program};
use fuselet::ir::shape::ShapeError;
use fuselet::{ArrayMut, ArrayRef, CallError, Fusion};

const INF: f32 = f32::INFINITY;

/// The row once as the last axis of several rows, once as the first axis of several columns, with other rows beside it: both
/// forms of row kernels, on every engine. Returns the row's results, which must all be the same.
fn in_every_place(function: &str, row: &[f32]) -> Vec<f32> {
    let mut agreed: Option<Vec<f32>> = None;
    let length = row.len();
    for columns in [1, 3, 40] {
        let beside = |other: usize, at: usize| if other == columns / 2 { row[at] } else { (at + other) as f32 * 0.25 };
        let rows = Array::from_fn(&[columns, length], |at| beside(at / length, at % length));
        let across = Array::from_fn(&[length, columns], |at| beside(at % columns, at / columns));
        for engine in engines() {
            for (axis, array) in [(-1, &rows), (0, &across)] {
                let found = common::run(
                    engine,
                    Fusion::Full,
                    &program(&format!("{function}(x, axis = {axis})")),
                    std::slice::from_ref(array),
                )
                .remove(0);
                let width = found.data.len() / columns;
                let own: Vec<f32> = match axis {
                    0 => (0..width).map(|at| found.data[at * columns + columns / 2]).collect(),
                    _ => found.data[columns / 2 * width..][..width].to_vec(),
                };
                // No NaN of one row may reach another.
                if length > 0 && function != "sum" && function != "max" && function != "min" && function != "mean" {
                    let others = found.data.iter().filter(|value| value.is_nan()).count();
                    assert!(own.iter().filter(|value| value.is_nan()).count() == others, "{function} of {row:?}");
                }
                match &agreed {
                    // Values that do not depend on FMA: specials do not.
                    None => agreed = Some(own),
                    Some(wanted) => assert_same_bits(&own, wanted, || {
                        format!("{}: {function} of {row:?} over axis {axis} of {columns}", name(engine))
                    }),
                }
            }
        }
    }
    agreed.unwrap()
}

#[track_caller]
fn assert_row(function: &str, row: &[f32], wanted: &[f32]) {
    assert_same_bits(&in_every_place(function, row), wanted, || format!("{function} of {row:?}"));
}

/// The row at lengths with and without tails, its entries from `fill` but for one.
fn with_one(length: usize, fill: f32, at: usize, one: f32) -> Vec<f32> {
    (0..length).map(|index| if index == at { one } else { fill }).collect()
}

#[test]
fn entries_of_minus_infinity_are_masks() {
    for length in [2, 7, 33, 65] {
        for at in [0, length / 2, length - 1] {
            let row = with_one(length, -INF, at, 1.5);
            assert_row("softmax", &row, &with_one(length, 0.0, at, 1.0));
            assert_row("sparsemax", &row, &with_one(length, 0.0, at, 1.0));
            assert_row("log_softmax", &row, &with_one(length, -INF, at, 0.0));
        }
        let row: Vec<f32> = (0..length).map(|at| if at % 2 == 0 { 3.0 } else { -INF }).collect();
        let found = in_every_place("softmax", &row);
        let share = 1.0 / length.div_ceil(2) as f32;
        for (at, value) in found.iter().enumerate() {
            let wanted = if at % 2 == 0 { share } else { 0.0 };
            assert_eq!(value.to_bits(), wanted.to_bits(), "softmax of {row:?} at {at}");
        }
    }
}

#[test]
fn a_row_of_minus_infinities_and_a_row_with_nan_or_infinity_is_nan_everywhere() {
    for function in ["softmax", "log_softmax", "sparsemax"] {
        for length in [1, 2, 7, 16, 33] {
            let nan = vec![f32::NAN; length];
            assert_row(function, &vec![-INF; length], &nan);
            for at in [0, length / 2, length - 1] {
                assert_row(function, &with_one(length, 0.5, at, f32::NAN), &nan);
                assert_row(function, &with_one(length, 0.5, at, INF), &nan);
                assert_row(function, &with_one(length, -INF, at, INF), &nan);
                assert_row(function, &with_one(length, -INF, at, f32::NAN), &nan);
            }
        }
    }
}

#[test]
fn a_row_of_one_entry_is_a_whole() {
    for value in [0.0, -3.5, 1e30, -1e-40] {
        assert_row("softmax", &[value], &[1.0]);
        assert_row("sparsemax", &[value], &[1.0]);
        assert_row("log_softmax", &[value], &[0.0]);
    }
}

#[test]
fn reducing_over_no_axes_makes_each_element_a_row() {
    let x = Array::from_fn(&[3, 5], |at| at as f32 - 7.0);
    for engine in engines() {
        for (text, wanted) in [("softmax(x, axis = [])", 1.0), ("log_softmax(x, axis = [])", 0.0)] {
            let found = common::run(engine, Fusion::Full, &program(text), std::slice::from_ref(&x)).remove(0);
            assert_same_bits(&found.data, &[wanted; 15], || format!("{}: {text}", name(engine)));
        }
        let found =
            common::run(engine, Fusion::Full, &program("sum(x, axis = [])"), std::slice::from_ref(&x)).remove(0);
        assert_same_bits(&found.data, &x.data, || name(engine));
    }
}

#[test]
fn axes_in_any_order_and_from_either_end_are_the_same_axes() {
    let x = Array::from_fn(&[3, 4, 5], |at| (at as f32 * 0.7).sin() * 4.0);
    for function in ["softmax", "log_softmax", "logsumexp", "layer_norm", "rms_norm", "sum", "max", "mean"] {
        for group in groups() {
            for same in [
                &["[0, 2]", "[2, 0]", "[-1, 0]", "[-3, -1]"][..],
                &["none", "[0, 1, 2]", "[2, 0, -2]"],
                &["1", "-2", "[1]"],
            ] {
                let result = |axes: &&str| {
                    let text = format!("{function}(x, axis = {axes})");
                    common::agreed(group, &program(&text), std::slice::from_ref(&x), &text).remove(0)
                };
                let wanted = result(&same[0]);
                assert!(same.iter().all(|axes| result(axes).same_bits(&wanted)), "{function} over {}", same[0]);
            }
        }
    }
}

#[test]
fn wrong_axes_are_errors_that_name_axis_and_rank() {
    let engine = groups()[0].judge();
    let refused = |text: &str, shape: &[usize]| {
        let function = engine.compile(text).unwrap();
        call(&function, &[Array::from_fn(shape, |_| 1.0)]).unwrap_err()
    };
    for function in ["softmax", "log_softmax", "sparsemax", "glu", "sum", "max", "min", "mean"] {
        for (axis, shape) in [(2i64, &[2, 4][..]), (-3, &[2, 4]), (0, &[]), (-1, &[]), (7, &[4])] {
            let error = refused(&format!("{function}(x, axis = {axis})"), shape);
            let wanted = ShapeError::AxisOutOfRange { axis, rank: shape.len(), shape: shape.to_vec() };
            assert_eq!(error, CallError::Shape(wanted), "{function} over {axis} of {shape:?}");
            let text = error.to_string();
            assert!(
                text.contains(&format!("axis {axis}")) && text.contains(&format!("rank {}", shape.len())),
                "{text}"
            );
        }
    }
    // One axis by two numbers shows in a call; by one number twice, in the expression already.
    let error = engine.compile("softmax(x, axis = [0, 0])").unwrap_err().to_string();
    assert!(error.contains("axis 0") && error.contains("twice"), "{error}");
    for (axes, axis) in [("[1, -1]", -1), ("[-2, 0]", 0)] {
        let error = refused(&format!("softmax(x, axis = {axes})"), &[2, 4]);
        assert_eq!(error, CallError::Shape(ShapeError::RepeatedAxis { axis, rank: 2 }));
    }
}

#[test]
fn glu_of_an_odd_length_is_an_error_that_names_shape_and_axis() {
    let engine = groups()[0].judge();
    for (axis, shape) in [(-1i64, [4, 5, 7]), (1, [2, 5, 4]), (-3, [1, 2, 2])] {
        let function = engine.compile(format!("glu(x, axis = {axis})")).unwrap();
        let error = call(&function, &[Array::from_fn(&shape, |_| 1.0)]).unwrap_err();
        let CallError::Shape(ShapeError::OddLength { axis: named, shape: in_shape, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!((named.rem_euclid(3), in_shape.as_slice()), (axis.rem_euclid(3), &shape[..]));
        assert!(
            error.to_string().contains("divisible by 2") && error.to_string().contains(&format!("{shape:?}")),
            "{error}"
        );
    }
}

#[test]
fn a_closed_gate_lets_nothing_through_but_infinity_is_nan() {
    for group in groups() {
        let found = |a: f32, b: f32| {
            common::agreed(group, &program("glu(x)"), &[Array::vector(vec![a, b])], "glu").remove(0).data[0]
        };
        assert_eq!(found(3.0, -INF).to_bits(), 0);
        assert_eq!(found(-3.0, -INF).to_bits(), (-0.0f32).to_bits());
        assert!(found(INF, -INF).is_nan());
        assert!(found(-INF, -INF).is_nan());
        assert_eq!(found(3.0, INF), 3.0);
        assert!(found(f32::NAN, 1.0).is_nan() && found(1.0, f32::NAN).is_nan());
    }
}

#[test]
fn empty_rows_and_no_rows_give_empty_results_and_identities() {
    for engine in engines() {
        for shape in [&[0][..], &[3, 0], &[0, 4], &[2, 0, 3], &[0, 0]] {
            let x = Array::from_fn(shape, |_| 1.0);
            for function in ["softmax", "log_softmax", "sparsemax", "layer_norm", "glu"] {
                if function == "glu" && shape[shape.len() - 1] % 2 == 1 {
                    continue;
                }
                let found =
                    common::run(engine, Fusion::Full, &program(&format!("{function}(x)")), std::slice::from_ref(&x))
                        .remove(0);
                assert!(found.data.is_empty(), "{function} of {shape:?}");
            }
        }
        let identities = [("sum", 0.0), ("max", -INF), ("min", INF), ("mean", f32::NAN), ("logsumexp", -INF)];
        for (function, identity) in identities {
            for (shape, axis, rows) in [(&[3, 0][..], 1, 3), (&[0, 40], 0, 40), (&[2, 0, 5], 1, 10)] {
                let x = Array::from_fn(shape, |_| 1.0);
                let text = format!("{function}(x, axis = {axis})");
                for fusion in [Fusion::Full, Fusion::Off] {
                    let found = common::run(engine, fusion, &program(&text), std::slice::from_ref(&x)).remove(0);
                    assert_same_bits(&found.data, &vec![identity; rows], || {
                        format!("{}, {fusion:?}: {text} of {shape:?}", name(engine))
                    });
                }
            }
        }
    }
}

#[test]
fn reductions_find_nan_and_zeros_at_every_place() {
    for length in [1, 2, 3, 15, 16, 17, 31, 32, 33, 64, 65, 257, 300] {
        let places: Vec<usize> = if length < 40 { (0..length).collect() } else { vec![0, 31, 32, 33, length - 1] };
        for at in places {
            for function in ["sum", "max", "min", "mean"] {
                assert_row(function, &with_one(length, 2.0, at, f32::NAN), &[f32::NAN]);
            }
            assert_row("max", &with_one(length, -7.0, at, -0.5), &[-0.5]);
            assert_row("min", &with_one(length, 7.0, at, 0.5), &[0.5]);
            assert_row("max", &with_one(length, -INF, at, -3.0), &[-3.0]);
            assert_row("min", &with_one(length, INF, at, 3.0), &[3.0]);
        }
        // A zero leaves a reduction as +0, whatever zeros went in.
        for fill in [0.0, -0.0] {
            for one in [0.0, -0.0] {
                for function in ["sum", "max", "min", "mean"] {
                    assert_row(function, &with_one(length, fill, length / 2, one), &[0.0]);
                }
            }
        }
    }
    for function in ["sum", "mean"] {
        assert_row(function, &[INF, 1.0, -INF], &[f32::NAN]);
        assert_row(function, &[INF, 1.0, 2.0], &[INF]);
    }
}

#[test]
fn row_functions_work_in_place() {
    let texts = [
        "softmax(x)",
        "log_softmax(x, axis = 0)",
        "sparsemax(x)",
        "softmax(x, axis = none)",
        "layer_norm(x)",
        "softmax(x * 2) + x",
    ];
    for text in texts {
        for engine in engines() {
            let mut random = Random(3);
            let x = Array::from_fn(&[9, 50], |_| random.between(-5.0, 5.0));
            let function = engine.compile(text).unwrap();
            let wanted = call(&function, std::slice::from_ref(&x)).unwrap().remove(0);
            let mut data = x.data.clone();
            let result = function.call_in_place(("x", ArrayMut::new(&mut data, &[9, 50]).unwrap()), &[]);
            assert_eq!(result, Ok(()), "{text}");
            assert_same_bits(&data, &wanted.data, || format!("{} in place: {text}", name(engine)));
        }
    }
}

/// Rows go in batches; these are several, of which the last is not full.
#[test]
fn a_row_among_many_gives_what_it_gives_alone() {
    const ROWS: usize = 701;
    const LENGTH: usize = 300;
    let mut random = Random(8);
    let inputs: Vec<Array> = (0..3).map(|_| Array::from_fn(&[ROWS, LENGTH], |_| random.between(-6.0, 6.0))).collect();
    for text in [
        "softmax(x * 0.5 + m) * g",
        "log_softmax(x) + m",
        "layer_norm(x)",
        "sum(x * m, axis = -1)",
        "max(x, axis = -1)",
    ] {
        for engine in engines() {
            let function = engine.compile(text).unwrap();
            let inputs = &inputs[..function.inputs().len()];
            let whole = call(&function, inputs).unwrap().remove(0);
            let width = whole.data.len() / ROWS;
            for row in (0..ROWS).step_by(13).chain([15, 16, 17, ROWS - 1]) {
                let alone: Vec<Array> = inputs
                    .iter()
                    .map(|input| Array::new(&[1, LENGTH], input.data[row * LENGTH..][..LENGTH].to_vec()))
                    .collect();
                let alone = call(&function, &alone).unwrap().remove(0);
                let context = || format!("{}: row {row} of {text}", name(engine));
                assert_same_bits(&whole.data[row * width..][..width], &alone.data, context);
            }
        }
    }
}

/// Outputs of 16 MiB and more go past caches. Parts of them do not, and have the same bits.
#[test]
fn an_output_past_caches_has_the_bits_of_its_parts() {
    let mut random = Random(12);
    for (rows, length) in [(14_001, 300), (4_100, 1024)] {
        let elements = rows * length;
        let inputs: Vec<Vec<f32>> =
            (0..3).map(|_| (0..elements).map(|_| random.between(-6.0, 6.0)).collect()).collect();
        for (text, start) in
            [("softmax(x * 0.5 + m) * g", 0), ("softmax(x)", 1), ("log_softmax(x) + m", 3), ("layer_norm(x)", 0)]
        {
            for engine in engines() {
                let function = engine.compile(text).unwrap();
                let run = |first: usize, count: usize, output: &mut [f32]| {
                    let shape = [count, length];
                    let part = first * length..(first + count) * length;
                    let views = inputs.iter().map(|input| ArrayRef::new(&input[part.clone()], &shape).unwrap());
                    let names = function.inputs().iter().map(String::as_str);
                    let given: Vec<(&str, ArrayRef<'_>)> = names.zip(views).collect();
                    function.call(&given, ArrayMut::new(output, &shape).unwrap()).unwrap();
                };
                let mut whole = vec![7.0; elements + 8];
                run(0, rows, &mut whole[start..][..elements]);
                let around = whole[..start].iter().chain(&whole[start + elements..]);
                assert!(
                    around.into_iter().all(|guard| *guard == 7.0),
                    "{}: {text} writes past its output",
                    name(engine)
                );
                let mut part = vec![0.0; 500 * length];
                for first in (0..rows).step_by(500) {
                    let count = 500.min(rows - first);
                    run(first, count, &mut part[..count * length]);
                    let context = || format!("{}: rows from {first} of {text}", name(engine));
                    assert_same_bits(
                        &whole[start + first * length..][..count * length],
                        &part[..count * length],
                        context,
                    );
                }
            }
        }
    }
}

/// The same of strips: rows along an axis that is not the last.
#[test]
fn a_column_among_many_gives_what_it_gives_alone() {
    const COLUMNS: usize = 9001;
    const LENGTH: usize = 23;
    let mut random = Random(9);
    let inputs: Vec<Array> =
        (0..3).map(|_| Array::from_fn(&[LENGTH, COLUMNS], |_| random.between(-6.0, 6.0))).collect();
    for text in ["softmax(x * 0.5 + m, axis = 0) * g", "log_softmax(x, axis = 0) + m", "sum(x * m, axis = 0)"] {
        for engine in engines() {
            let function = engine.compile(text).unwrap();
            let inputs = &inputs[..function.inputs().len()];
            let whole = call(&function, inputs).unwrap().remove(0);
            for column in (0..COLUMNS).step_by(311).chain([1023, 1024, 4095, 4096, 8192, COLUMNS - 1]) {
                let of =
                    |array: &Array| -> Vec<f32> { array.data.iter().skip(column).step_by(COLUMNS).copied().collect() };
                let alone: Vec<Array> = inputs.iter().map(|input| Array::new(&[LENGTH, 1], of(input))).collect();
                let alone = call(&function, &alone).unwrap().remove(0);
                assert_same_bits(&of(&whole), &alone.data, || format!("{}: column {column} of {text}", name(engine)));
            }
        }
    }
}
