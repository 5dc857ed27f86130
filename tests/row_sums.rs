//! Rows: the bits of sums and row functions depend on the row alone, not on where its axis is, how it lies in memory, how many
//! rows there are, how many threads, or who computes them; and sums are near to the exact ones.

mod common;

use common::{Array, Random, assert_same_bits, bits, call_views, engines, groups, name, program};
use fuselet::ir::ulp::ulp_distance_f32;
use fuselet::lane::{ACCUMULATOR_LANES, ReductionOperator, combine_lanes};
use fuselet::{ArrayMut, ArrayRef, BackendChoice, Engine, Fusion};

/// The sum as it is defined: in a block of 1024 elements, and in the whole groups of 128 of what is left, fours of elements 32
/// apart; then fours a quarter apart; then what is left. Fours go to 32 lanes in turn; lanes add up by the fixed tree, all of
/// these sums in float64.
fn defined_sum(row: &[f32]) -> f32 {
    let lanes_of = |values: &mut dyn Iterator<Item = f32>| {
        let mut lanes = [0.0f32; ACCUMULATOR_LANES];
        for (at, value) in values.enumerate() {
            lanes[at % ACCUMULATOR_LANES] += value;
        }
        f64::from(combine_lanes(ReductionOperator::Sum, lanes))
    };
    let four = |part: &[f32], first: usize, distance: usize| {
        let at = |body: usize| part[first + body * distance];
        (at(0) + at(1)) + (at(2) + at(3))
    };
    let grouped = |part: &[f32]| lanes_of(&mut (0..part.len() / 4).map(|i| four(part, i / 32 * 128 + i % 32, 32)));
    let (blocks, rest) = row.split_at(row.len() / 1024 * 1024);
    let (groups, rest) = rest.split_at(rest.len() / 128 * 128);
    let (fours, ones) = rest.split_at(rest.len() / 4 * 4);
    let quarter = fours.len() / 4;
    let mut total: f64 = blocks.chunks(1024).map(grouped).sum();
    if !groups.is_empty() {
        total += grouped(groups);
    }
    if quarter > 0 {
        total += lanes_of(&mut (0..quarter).map(|i| four(fours, i, quarter)));
    }
    if !ones.is_empty() {
        total += lanes_of(&mut ones.iter().copied());
    }
    total as f32
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
    let check = |what: &str, view: ArrayRef<'_>, axes: &str, at: usize| {
        for engine in engines {
            let function = engine.compile(format!("sum(x, axis = {axes})")).unwrap();
            let found = call_views(&function, &[view]).unwrap().remove(0).data[at];
            assert_eq!(bits(found), bits(wanted), "{}: {what}, length {length}: {found:e} {wanted:e}", name(engine));
        }
    };
    let n = length as isize;
    check("alone", ArrayRef::new(row, &[length]).unwrap(), "0", 0);
    check("as a column", ArrayRef::new(row, &[length, 1]).unwrap(), "0", 0);
    let reversed: Vec<f32> = row.iter().rev().copied().collect();
    check("backwards", ArrayRef::strided(&reversed, &[length], &[-1], length - 1).unwrap(), "0", 0);
    let sparse: Vec<f32> = row.iter().flat_map(|value| [*value, f32::NAN, 9.0]).collect();
    check("strided", ArrayRef::strided(&sparse, &[length], &[3], 0).unwrap(), "0", 0);
    for columns in [2, 5, 16, 37] {
        let own = columns / 2;
        let beside = |other: usize, at: usize| if other == own { row[at] } else { other as f32 - 0.3 * at as f32 };
        let rows: Vec<f32> = (0..columns * length).map(|at| beside(at / length, at % length)).collect();
        let across: Vec<f32> = (0..columns * length).map(|at| beside(at % columns, at / columns)).collect();
        let c = columns as isize;
        check("a row of several", ArrayRef::new(&rows, &[columns, length]).unwrap(), "1", own);
        check("a column of several", ArrayRef::new(&across, &[length, columns]).unwrap(), "0", own);
        check(
            "a row of a transposed array",
            ArrayRef::strided(&across, &[columns, length], &[1, c], 0).unwrap(),
            "1",
            own,
        );
        check(
            "a column of a transposed array",
            ArrayRef::strided(&rows, &[length, columns], &[1, n], 0).unwrap(),
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
                check("two axes apart", ArrayRef::new(&apart, &[outer, columns, inner]).unwrap(), "[0, 2]", own);
                check("two axes that merge", ArrayRef::new(&rows, &[columns, outer, inner]).unwrap(), "[1, 2]", own);
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
        let (turned, strides) = ([length, rows], [1, length as isize]);
        let transposed = ArrayRef::strided(&x.data, &turned, &strides, 0).unwrap();
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
                let shape = [1, length];
                let array = ArrayMut::new(&mut data, &shape).unwrap();
                assert_eq!(function.call_in_place(("x", array), &[]), Ok(()));
                assert_same_bits(&data, &wanted.data, || format!("{} in place", context()));
                // Two axes that do not merge: the row is packed first.
                if length % 2 == 0 {
                    let turned =
                        Array::from_fn(&[2, 1, length / 2], |at| x.data[at % (length / 2) * 2 + at / (length / 2)]);
                    let (shape, strides) = ([length / 2, 1, 2], [1, 1, length as isize / 2]);
                    let view = ArrayRef::strided(&turned.data, &shape, &strides, 0);
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
        let view = ArrayRef::strided(&data, &shape, &strides, start as usize).unwrap();
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
