//! Rows: what reductions and row functions give where it is easy to be wrong.
//!
//! Special values and degenerate shapes as `docs/semantics.md` says; sums near to the exact ones, and with bits that depend on
//! the row alone, not on where its axis is, how it lies in memory, how many rows there are, or who computes them; row
//! functions near to the truth on many random rows.

mod common;

use common::{Array, Random, assert_same_bits, bits, call, call_views, engines, groups, name};
use fuselet::ir::reference::{self, evaluate};
use fuselet::ir::shape::ShapeError;
use fuselet::ir::ulp::ulp_distance_f32;
use fuselet::ir::{IntoProgram, Library, Meaning, Program};
use fuselet::lane::{ACCUMULATOR_LANES, Combine, combine_lanes};
use fuselet::{BackendChoice, CallError, Engine, Fusion, TensorMut, TensorRef};

const INF: f32 = f32::INFINITY;

fn program(text: &str) -> Program {
    text.into_program(&Library::standard()).unwrap()
}

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

/// The sum as it is defined: blocks of 256 elements in 32 lanes, lanes by the fixed tree, blocks in float64.
fn defined_sum(row: &[f32]) -> f32 {
    let lanes_of = |values: &mut dyn Iterator<Item = f32>| {
        let mut lanes = [-0.0f32; ACCUMULATOR_LANES];
        for (at, value) in values.enumerate() {
            lanes[at % ACCUMULATOR_LANES] += value;
        }
        f64::from(combine_lanes(Combine::Sum, lanes))
    };
    let block = |block: &[f32]| {
        let quarter = block.len() / 4;
        let (fours, rest) = block.split_at(4 * quarter);
        let at = |body: usize, i: usize| fours[body * quarter + i];
        let mut total = 0.0;
        if quarter > 0 {
            total += lanes_of(&mut (0..quarter).map(|i| (at(0, i) + at(1, i)) + (at(2, i) + at(3, i))));
        }
        if !rest.is_empty() {
            total += lanes_of(&mut rest.iter().copied());
        }
        total
    };
    row.chunks(1024).map(block).sum::<f64>() as f32
}

/// Positive rows of different kinds.
fn positive_rows(length: usize) -> Vec<(&'static str, Vec<f32>)> {
    let mut random = Random(length as u64);
    let ratio = (-100.0 / length as f64).exp2();
    vec![
        ("random", (0..length).map(|_| random.unit() + 1e-3).collect()),
        ("of many sizes", (0..length).map(|_| (random.between(-60.0, 20.0)).exp2()).collect()),
        ("equal", vec![0.1; length]),
        ("falling", (0..length).map(|at| ratio.powi(at as i32) as f32).collect()),
        ("rising", (0..length).map(|at| (ratio.powi((length - at) as i32)) as f32).collect()),
        ("one large", (0..length).map(|at| if at == length / 3 { 1e8 } else { 0.7 }).collect()),
    ]
}

/// The sum in twice float64's precision.
fn exact_sum(row: &[f32]) -> f64 {
    let (mut high, mut low) = (0.0f64, 0.0f64);
    for value in row {
        let value = f64::from(*value);
        let sum = high + value;
        let part = sum - high;
        low += (high - (sum - part)) + (value - part);
        high = sum;
    }
    high + low
}

#[test]
fn sums_of_positive_terms_are_within_four_units_of_the_exact_sum() {
    for length in [10, 100, 255, 256, 257, 1000, 10_000, 100_000, 1_000_000] {
        for (kind, row) in positive_rows(length) {
            let exact = exact_sum(&row);
            let x = Array::vector(row);
            for engine in common::best_engines() {
                for (text, exact) in [("sum(x, axis = 0)", exact), ("mean(x, axis = 0)", exact / length as f64)] {
                    let found =
                        common::run(engine, Fusion::Full, &program(text), std::slice::from_ref(&x)).remove(0).data[0];
                    let error = ulp_distance_f32(found, exact);
                    assert!(error <= 4.0, "{}: {text} of {length} {kind} terms is {error} ULP off", name(engine));
                }
            }
        }
    }
}

/// The row laid out in every way this file knows; each entry is a view, the axes to reduce, and the place of the row's sum.
fn check_sum_everywhere(row: &[f32], engines: &[&Engine]) {
    let length = row.len();
    let wanted = defined_sum(row);
    let check = |what: &str, view: TensorRef<'_>, axes: &str, at: usize| {
        for engine in engines {
            let function = engine.compile(format!("sum(x, axis = {axes})")).unwrap();
            let found = call_views(&function, &[view]).unwrap().remove(0).data[at];
            assert_eq!(bits(found), bits(wanted), "{}: {what}, length {length}: {found:e} {wanted:e}", name(engine));
        }
    };
    let n = length as isize;
    check("alone", TensorRef::new(row, &[length]).unwrap(), "0", 0);
    check("as a column", TensorRef::new(row, &[length, 1]).unwrap(), "0", 0);
    let reversed: Vec<f32> = row.iter().rev().copied().collect();
    check("backwards", TensorRef::strided(&reversed, &[length], &[-1], length - 1).unwrap(), "0", 0);
    let sparse: Vec<f32> = row.iter().flat_map(|value| [*value, f32::NAN, 9.0]).collect();
    check("strided", TensorRef::strided(&sparse, &[length], &[3], 0).unwrap(), "0", 0);
    for columns in [2, 5, 16, 37] {
        let own = columns / 2;
        let beside = |other: usize, at: usize| if other == own { row[at] } else { other as f32 - 0.3 * at as f32 };
        let rows: Vec<f32> = (0..columns * length).map(|at| beside(at / length, at % length)).collect();
        let across: Vec<f32> = (0..columns * length).map(|at| beside(at % columns, at / columns)).collect();
        let c = columns as isize;
        check("a row of several", TensorRef::new(&rows, &[columns, length]).unwrap(), "1", own);
        check("a column of several", TensorRef::new(&across, &[length, columns]).unwrap(), "0", own);
        check(
            "a row of a transposed array",
            TensorRef::strided(&across, &[columns, length], &[1, c], 0).unwrap(),
            "1",
            own,
        );
        check(
            "a column of a transposed array",
            TensorRef::strided(&rows, &[length, columns], &[1, n], 0).unwrap(),
            "0",
            own,
        );
        for inner in [2, 3, 8] {
            if length.is_multiple_of(inner) {
                let outer = length / inner;
                // The row is [outer, inner] in row-major order, as two axes around the others.
                let apart: Vec<f32> = (0..columns * length)
                    .map(|at| {
                        let (o, rest) = (at / (columns * inner), at % (columns * inner));
                        beside(rest / inner, o * inner + rest % inner)
                    })
                    .collect();
                check("two axes apart", TensorRef::new(&apart, &[outer, columns, inner]).unwrap(), "[0, 2]", own);
                check("two axes that merge", TensorRef::new(&rows, &[columns, outer, inner]).unwrap(), "[1, 2]", own);
            }
        }
    }
}

#[test]
fn the_bits_of_a_sum_depend_on_the_row_alone() {
    let all: Vec<&Engine> = engines().collect();
    let best = common::best_engines();
    for length in (1..=70).chain([96, 127, 128, 250, 255, 256, 257, 258, 384, 511, 512, 513, 1000, 2048, 4097]) {
        let mut random = Random(length as u64);
        let row: Vec<f32> = (0..length).map(|_| random.between(-1.0, 3.0) * random.between(0.0, 20.0).exp2()).collect();
        check_sum_everywhere(&row, if length % 32 <= 2 { &all } else { &best });
    }
}

#[test]
fn the_bits_of_a_sum_do_not_depend_on_threads() {
    let two: Vec<Engine> = [BackendChoice::Interpreter, BackendChoice::Auto]
        .map(|choice| Engine::builder().backend(choice).threads(2).build().unwrap())
        .into();
    let two: Vec<&Engine> = two.iter().collect();
    for length in [1000, 9001, 65_536, 100_003] {
        let mut random = Random(length as u64);
        let row: Vec<f32> = (0..length).map(|_| random.between(-1.0, 3.0)).collect();
        check_sum_everywhere(&row, &two);
    }
    // So many rows that they are split over threads, each the same.
    for (rows, length) in [(40_000, 7), (6000, 70), (300, 1500)] {
        let mut random = Random(rows as u64);
        let row: Vec<f32> = (0..length).map(|_| random.between(-1.0, 3.0)).collect();
        let wanted = vec![defined_sum(&row); rows];
        let repeated = row.repeat(rows);
        let columns: Vec<f32> = row.iter().flat_map(|value| std::iter::repeat_n(*value, rows)).collect();
        for engine in &two {
            let last = common::run(
                engine,
                Fusion::Full,
                &program("sum(x, axis = 1)"),
                &[Array::new(&[rows, length], repeated.clone())],
            );
            assert_same_bits(&last[0].data, &wanted, || format!("{}: {rows} rows of {length}", name(engine)));
            let first = common::run(
                engine,
                Fusion::Full,
                &program("sum(x, axis = 0)"),
                &[Array::new(&[length, rows], columns.clone())],
            );
            assert_same_bits(&first[0].data, &wanted, || format!("{}: {rows} columns of {length}", name(engine)));
        }
    }
}

#[test]
fn row_functions_have_the_same_bits_along_every_axis() {
    let functions = ["softmax", "log_softmax", "sparsemax", "logsumexp", "layer_norm", "rms_norm", "max", "mean"];
    for (rows, length) in [(3, 5), (5, 16), (40, 33), (7, 300), (70, 9)] {
        let mut random = Random(length as u64);
        let x = Array::from_fn(&[rows, length], |_| random.between(-8.0, 8.0));
        let transposed = TensorRef::strided(&x.data, &[length, rows], &[1, length as isize], 0).unwrap();
        let turned = Array::from_fn(&[length, rows], |at| x.data[at % rows * length + at / rows]);
        for function in functions {
            for group in groups() {
                let by_rows = program(&format!("{function}(x, axis = 1)"));
                let by_columns = program(&format!("{function}(x, axis = 0)"));
                let wanted = common::agreed(group, &by_rows, std::slice::from_ref(&x), function).remove(0);
                let width = wanted.shape[1];
                let in_turn = Array::from_fn(&[width, rows], |at| wanted.data[at % rows * width + at / rows]);
                let found = common::agreed(group, &by_columns, std::slice::from_ref(&turned), function).remove(0);
                assert_same_bits(&found.data, &in_turn.data, || {
                    format!("{function} over the first of [{length}, {rows}]")
                });
                for engine in &group.engines {
                    let found = call_views(&engine.compile(&by_columns).unwrap(), &[transposed]).unwrap().remove(0);
                    assert_same_bits(&found.data, &in_turn.data, || {
                        format!("{}: {function} of a transposed array [{length}, {rows}]", name(engine))
                    });
                }
            }
        }
    }
}

#[test]
fn a_million_elements_are_one_row_like_any_other() {
    let mut random = Random(1);
    let length = 1_000_000;
    let x = Array::vector((0..length).map(|_| random.between(-4.0, 4.0)).collect());
    for text in ["softmax(x)", "log_softmax(x)", "layer_norm(x)"] {
        let wanted =
            common::run(groups().last().unwrap().judge(), Fusion::Full, &program(text), std::slice::from_ref(&x))
                .remove(0);
        // The best level, on one thread and on all; whatever the environment asks for.
        let one = groups().last().unwrap().engines.last().unwrap();
        let all = Engine::builder().isa(one.isa()).build().unwrap();
        for engine in [one, &all] {
            let found = common::run(engine, Fusion::Full, &program(text), std::slice::from_ref(&x)).remove(0);
            assert_same_bits(&found.data, &wanted.data, || format!("{}: {text}", name(engine)));
        }
        if text == "softmax(x)" {
            let total = exact_sum(&wanted.data);
            assert!((total - 1.0).abs() < 1e-6, "{total}");
        }
    }
}

#[test]
fn a_long_row_has_the_same_bits_on_any_number_of_threads() {
    let texts =
        ["softmax(x)", "log_softmax(x)", "layer_norm(x) * 2", "(x - min(x)) / (max(x) - min(x))", "softmax(x * 2) + x"];
    let split: Vec<Engine> = [(BackendChoice::Interpreter, 2), (BackendChoice::Auto, 2), (BackendChoice::Auto, 3)]
        .map(|(choice, threads)| Engine::builder().backend(choice).threads(threads).build().unwrap())
        .into();
    for length in [524_288, 524_288 + 1023, 700_002] {
        let mut random = Random(length as u64);
        let x = Array::from_fn(&[1, length], |_| random.between(-9.0, 9.0));
        for text in texts {
            for engine in &split {
                let alone = if name(engine).starts_with("interpreter") { "interpreter" } else { "" };
                let alone = groups().last().unwrap().engines.iter().rfind(|own| name(own).starts_with(alone)).unwrap();
                let wanted = common::run(alone, Fusion::Full, &program(text), std::slice::from_ref(&x)).remove(0);
                let found = common::run(engine, Fusion::Full, &program(text), std::slice::from_ref(&x)).remove(0);
                let context = || format!("{}: {text} of {length}", name(engine));
                assert_same_bits(&found.data, &wanted.data, context);
                let mut data = x.data.clone();
                let function = engine.compile(text).unwrap();
                let mut array = TensorMut::new(&mut data, &[1, length]).unwrap();
                assert_eq!(function.call_in_place(("x", &mut array), &[]), Ok(()));
                assert_same_bits(&data, &wanted.data, || format!("{} in place", context()));
                // Two axes that do not merge: the row is packed first.
                if length % 2 == 0 {
                    let turned =
                        Array::from_fn(&[2, 1, length / 2], |at| x.data[at % (length / 2) * 2 + at / (length / 2)]);
                    let view = TensorRef::strided(&turned.data, &[length / 2, 1, 2], &[1, 1, length as isize / 2], 0);
                    let text = text.replace("(x)", "(x, axis = [0, 2])").replace("(x * 2)", "(x * 2, axis = [0, 2])");
                    let found = call_views(&engine.compile(&text).unwrap(), &[view.unwrap()]).unwrap().remove(0);
                    assert_same_bits(&found.data, &wanted.data, || format!("{} apart", context()));
                }
            }
        }
    }
}

#[test]
fn arrays_of_rank_eight_with_steps_of_any_sign_have_the_rows_of_their_copies() {
    let shape = [2, 1, 3, 2, 1, 5, 2, 6];
    let count: usize = shape.iter().product();
    let mut random = Random(8);
    let data: Vec<f32> = (0..count).map(|_| random.between(-8.0, 8.0)).collect();
    // Axes in another order of memory, every other one backwards; and one that is broadcast.
    for broadcast in [None, Some(2), Some(7)] {
        let order = [3, 7, 0, 6, 2, 1, 5, 4];
        let (mut strides, mut next, mut start) = ([0isize; 8], 1isize, 0isize);
        for (turn, axis) in order.into_iter().enumerate() {
            if Some(axis) == broadcast {
                continue;
            }
            strides[axis] = if turn % 2 == 0 { -next } else { next };
            start += if turn % 2 == 0 { next * (shape[axis] as isize - 1) } else { 0 };
            next *= shape[axis] as isize;
        }
        let view = TensorRef::strided(&data, &shape, &strides, start as usize).unwrap();
        let copy = Array::from_fn(&shape, |at| {
            let (mut rest, mut place) = (at, start);
            for axis in (0..8).rev() {
                place += strides[axis] * (rest % shape[axis]) as isize;
                rest /= shape[axis];
            }
            data[place as usize]
        });
        for function in ["softmax", "log_softmax", "sparsemax", "glu", "layer_norm", "sum"] {
            for axes in ["7", "5", "0", "4", "[2, 7]", "[0, 3, 5]", "none"] {
                if (function == "glu" && !["7", "0"].contains(&axes)) || (function == "sparsemax" && axes.len() > 1) {
                    continue;
                }
                let text = program(&format!("{function}(x, axis = {axes})"));
                for group in groups() {
                    let wanted = common::agreed(group, &text, std::slice::from_ref(&copy), function).remove(0);
                    for engine in &group.engines {
                        let found = call_views(&engine.compile(&text).unwrap(), &[view]).unwrap().remove(0);
                        assert_same_bits(&found.data, &wanted.data, || {
                            format!("{}: {function} over {axes}, {broadcast:?} broadcast", name(engine))
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn kept_values_in_the_memory_of_an_output_disturb_no_one() {
    // The exponentials lie where an output will be, unless that output is an input which is read later.
    let texts = [
        "{ a = softmax(x), b = softmax(x) * x }",
        "{ a = softmax(x), b = log_softmax(x), c = sum(softmax(x) * x) }",
        "{ a = softmax(softmax(x)) }",
        "{ a = softmax(x) * max(softmax(x) + x) }",
        "{ a = softmax(x, axis = 0) - softmax(x * 2, axis = 0) }",
    ];
    for shape in [[5, 7], [3, 64], [9, 1030], [70, 33]] {
        let mut random = Random(shape[1] as u64);
        let x = Array::from_fn(&shape, |_| random.between(-5.0, 5.0));
        for text in texts {
            for group in groups() {
                let judged = common::run(group.judge(), Fusion::Off, &program(text), std::slice::from_ref(&x));
                for engine in &group.engines {
                    let found = common::run(engine, Fusion::Full, &program(text), std::slice::from_ref(&x));
                    for (found, wanted) in found.iter().zip(&judged) {
                        assert_same_bits(&found.data, &wanted.data, || format!("{}: {text} {shape:?}", name(engine)));
                    }
                }
            }
        }
    }
}

/// Rows that are hard on sums: the largest term first, many equal ones, and what is small last; and rows whose maximum lies
/// where differences with it begin to be exact, or far out.
#[test]
fn softmax_is_within_four_units_on_rows_that_are_hard_to_sum() {
    let mut random = Random(17);
    let mut worst = 0.0f64;
    for length in [17, 64, 100, 256, 300, 1000, 1024, 1500] {
        let rows = 120_000 / length;
        let data = (0..rows).flat_map(|_| {
            let scale = random.between(-6.0, 5.0).exp2();
            let offset = [0.0, 1.0, -20.0, 150.0, 219.5, 221.0, -230.0, 1e4, -1e6, 1e30][random.below(10)];
            let ties = random.below(3) == 0;
            let mut row: Vec<f32> = (0..length)
                .map(|_| random.between(-scale, scale) + random.between(-scale, scale))
                .map(|x| if ties { (x * 4.0).round() / 4.0 } else { x } + offset)
                .collect();
            match random.below(3) {
                0 => row.sort_by(|a, b| b.total_cmp(a)),
                1 => row[0] = offset + 3.0 * scale,
                _ => {}
            }
            row
        });
        let x = Array::new(&[rows, length], data.collect());
        for text in ["softmax(x)", "log_softmax(x)"] {
            let definition = program(text).graph(Meaning::Definition).unwrap();
            let exact = x.data.iter().map(|value| f64::from(*value)).collect();
            let exact = reference::Array::new(x.shape.clone(), exact).unwrap();
            let wanted = evaluate(&definition, &[exact]).unwrap().remove(0);
            for group in groups() {
                let engine = group.engines.last().unwrap();
                let found = common::run(engine, Fusion::Full, &program(text), std::slice::from_ref(&x)).remove(0);
                for (at, (found, wanted)) in found.data.iter().zip(wanted.data()).enumerate() {
                    let error = ulp_distance_f32(*found, *wanted);
                    worst = worst.max(error);
                    let row = &x.data[at / length * length..][..length];
                    assert!(error <= 4.0, "{}: {text} is {error} ULP off at {} of {row:?}", name(engine), at % length);
                }
            }
        }
    }
    println!("worst {worst}");
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
            let result = function.call_in_place(("x", &mut TensorMut::new(&mut data, &[9, 50]).unwrap()), &[]);
            assert_eq!(result, Ok(()), "{text}");
            assert_same_bits(&data, &wanted.data, || format!("{} in place: {text}", name(engine)));
        }
    }
}

/// Rows of every length and spread, against the float64 definition; the largest error and where it was.
fn worst_of_random_rows(text: &str, error: impl Fn(f32, f64) -> f64) -> (f64, Vec<f32>, usize) {
    let program = program(text);
    let definition = program.graph(Meaning::Definition).unwrap();
    let mut worst = (0.0, Vec::new(), 0);
    let mut random = Random(99);
    let mut rows_seen = 0;
    for length in [1usize, 2, 3, 4, 5, 7, 8, 13, 16, 21, 32, 33, 64, 100] {
        let rows = if length < 40 { 8600 } else { 2600 };
        rows_seen += rows;
        let data = (0..rows).flat_map(|_| {
            let (scale, offset) =
                (random.between(-12.0, 6.5).exp2(), random.between(-1.0, 1.0) * random.between(0.0, 14.0).exp2());
            (0..2 * length).map(|_| random.between(-1.0, 1.0) * scale + offset).collect::<Vec<f32>>()
        });
        let data: Vec<f32> = data.collect();
        let (shape, data) = match text.starts_with("glu") {
            true => ([rows, 2 * length], data),
            false => ([rows, length], data[..rows * length].to_vec()),
        };
        let exact = data.iter().map(|value| f64::from(*value)).collect();
        let wanted = evaluate(&definition, &[reference::Array::new(shape.to_vec(), exact).unwrap()]).unwrap().remove(0);
        let x = Array::new(&shape, data);
        for group in groups() {
            let found =
                common::run(group.engines.last().unwrap(), Fusion::Full, &program, std::slice::from_ref(&x)).remove(0);
            for (at, (found, wanted)) in found.data.iter().zip(wanted.data()).enumerate() {
                let error = error(*found, *wanted);
                if error > worst.0 || error.is_nan() {
                    let row = at / (wanted_width(&shape, text));
                    worst = (error, x.data[row * shape[1]..][..shape[1]].to_vec(), at % wanted_width(&shape, text));
                }
            }
        }
    }
    assert!(rows_seen >= 100_000);
    worst
}

fn wanted_width(shape: &[usize; 2], text: &str) -> usize {
    if text.starts_with("glu") { shape[1] / 2 } else { shape[1] }
}

#[test]
fn softmax_log_softmax_and_glu_are_within_four_units_on_random_rows() {
    let mut failures = String::new();
    for text in ["softmax(x)", "log_softmax(x)", "glu(x)"] {
        let (error, row, at) = worst_of_random_rows(text, ulp_distance_f32);
        println!("{text}: at most {error:.3} ULP, at {at} of {row:?}");
        if error > 4.0 || error.is_nan() {
            failures += &format!("\n{text}: {error} ULP at {at} of {row:?}");
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn sparsemax_is_within_two_units_of_one_on_random_rows() {
    let (error, row, at) = worst_of_random_rows("sparsemax(x)", |found, wanted| (f64::from(found) - wanted).abs());
    println!("sparsemax: at most {error:.3e}, at {at} of {row:?}");
    assert!(error <= f64::from(2f32.powi(-23)), "{error} at {at} of {row:?}");
}

#[test]
fn normalisations_are_near_to_their_definitions() {
    // The mean is within 4 units; centring adds the rounding of entries as large as the row's largest, M. Dividing by the
    // deviation s makes that an absolute error of a few 2^-24 M/s; the deviation itself and the division add a few relative
    // roundings of results no larger than M/s.
    const ROUNDINGS: f64 = 16.0;
    let mut random = Random(5);
    for text in ["layer_norm(x)", "rms_norm(x)", "logsumexp(x)"] {
        let program = program(text);
        let definition = program.graph(Meaning::Definition).unwrap();
        for length in [1usize, 5, 32, 100, 1000] {
            let rows = 200;
            let x = Array::from_fn(&[rows, length], |at| {
                random.between(-1.0, 1.0) * ((at / length) as f32 / 20.0 - 5.0).exp2()
            });
            let exact = x.data.iter().map(|value| f64::from(*value)).collect();
            let wanted =
                evaluate(&definition, &[reference::Array::new(x.shape.clone(), exact).unwrap()]).unwrap().remove(0);
            for group in groups() {
                let found = common::agreed(group, &program, std::slice::from_ref(&x), text).remove(0);
                let width = found.shape[1];
                for (at, (found, wanted)) in found.data.iter().zip(wanted.data()).enumerate() {
                    let row = &x.data[at / width * length..][..length];
                    let largest = row.iter().fold(0.0f64, |most, value| most.max(f64::from(value.abs())));
                    let results = &f64::from(found.abs());
                    let scale = match text {
                        "logsumexp(x)" => largest + 10.0,
                        _ => {
                            let mean = row.iter().map(|value| f64::from(*value)).sum::<f64>() / length as f64;
                            let spread = row.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
                            largest / (spread / length as f64 + 1e-5).sqrt() + results
                        }
                    };
                    let error = (f64::from(*found) - wanted).abs();
                    assert!(error <= ROUNDINGS * scale * 2f64.powi(-24), "{text} of {row:?}: {found:e} for {wanted:e}");
                }
            }
        }
    }
}
