//! Bits that never move: every activation gives one result for one number, wherever it stands.
//!
//! The judge computes each number alone. Then every backend at every level of equal FMA support, fused and unfused, must give
//! the same bits for arrays of every length from 0 to 130, at every place of a vector's width in memory, in place, inside
//! arrays that are split over threads, and as float64. Row functions are compared row by row in the same ways.

mod common;

use common::{Array, Group, Random, SPECIALS, assert_same_bits, groups, groups_on_two_threads, name};
use fuselet::ir::{Activation, Library};
use fuselet::{ArrayMut, ArrayRef, Function, Fusion};

/// The longest array of the dense walk: past two of the longest unrolled steps of any backend.
const LONGEST: usize = 130;

/// What stands in memory where nothing may be written.
const GUARD: f32 = -1234.5;

const ROWS: [&str; 4] = ["softmax", "log_softmax", "sparsemax", "glu"];

/// The elementwise activations with their defaults, and with parameters where they have any.
fn elementwise() -> Vec<Activation> {
    let library = Library::standard();
    let named = |name: &str| library.activation(name).unwrap();
    let normalisations = ["layer_norm", "rms_norm", "logsumexp"];
    let mut activations: Vec<Activation> = library
        .functions()
        .iter()
        .map(|function| function.name().to_owned())
        .filter(|name| !ROWS.contains(&name.as_str()) && !normalisations.contains(&name.as_str()))
        .map(|name| named(&name))
        .collect();
    assert_eq!(activations.len() + ROWS.len(), 30, "the thirty activations of the library");
    activations.extend([
        named("relu").with("negative_slope", 0.25).with("max_value", 5.0).with("threshold", -1.0),
        named("leaky_relu").with("negative_slope", 1.5),
        named("gelu").with("approximate", true),
        named("elu").with("alpha", 0.3),
        named("celu").with("alpha", -0.7),
        named("soft_shrink").with("lambd", 0.1),
        named("hard_shrink").with("lambd", 2.0),
        named("threshold").with("threshold", 1.0).with("default_value", 20.0),
        named("squareplus").with("b", 1e-30),
    ]);
    activations
}

/// Numbers where functions bend, special values, and any bit patterns.
fn numbers() -> Vec<f32> {
    let mut random = Random(7);
    (0..LONGEST).map(|at| if at % 3 == 0 { SPECIALS[at / 3 % SPECIALS.len()] } else { random.wild() }).collect()
}

/// What the judge of a group gives for each number alone.
fn alone(group: &Group, activation: &Activation, numbers: &[f32]) -> Vec<f32> {
    let function = group.judge().compile(activation).unwrap();
    let one = |number: &f32| {
        let mut result = [GUARD];
        function.call(&[("x", (&[*number]).into())], &mut result).unwrap();
        result[0]
    };
    numbers.iter().map(one).collect()
}

/// Calls a function with input and output at places of larger arrays, and in place; nothing else may change.
fn check_placed(
    function: &Function,
    numbers: &[f32],
    wanted: &[f32],
    (from, to): (usize, usize),
    context: &dyn Fn() -> String,
) {
    let length = numbers.len();
    let mut input = vec![GUARD; from + length + 9];
    input[from..from + length].copy_from_slice(numbers);
    let mut output = vec![GUARD; to + length + 9];
    function.call(&[("x", (&input[from..from + length]).into())], &mut output[to..to + length]).unwrap();
    assert_same_bits(&output[to..to + length], wanted, context);
    function.call_in_place(("x", (&mut input[from..from + length]).into()), &[]).unwrap();
    assert_same_bits(&input[from..from + length], wanted, || format!("{} in place", context()));
    for (array, start) in [(&input, from), (&output, to)] {
        let around = array[..start].iter().chain(&array[start + length..]);
        assert!(
            around.clone().all(|value| value.to_bits() == GUARD.to_bits()),
            "{} writes beside its output",
            context()
        );
    }
}

#[test]
fn every_length_and_place_gives_each_number_its_own_bits() {
    let numbers = numbers();
    for activation in elementwise() {
        for group in groups() {
            let wanted = alone(group, &activation, &numbers);
            for engine in &group.engines {
                for fusion in [Fusion::Full, Fusion::Off] {
                    let function = engine.compile_with(&activation, fusion).unwrap();
                    for length in 0..=LONGEST {
                        let places = (length % 17, (length * 5 + 3) % 16);
                        let context =
                            || format!("{}, {fusion:?}: {activation}, length {length}, at {places:?}", name(engine));
                        check_placed(&function, &numbers[..length], &wanted[..length], places, &context);
                    }
                }
            }
        }
    }
}

#[test]
fn every_place_in_memory_gives_the_same_bits() {
    let numbers = numbers();
    for activation in elementwise() {
        for group in groups() {
            let wanted = alone(group, &activation, &numbers);
            for engine in &group.engines {
                for fusion in [Fusion::Full, Fusion::Off] {
                    let function = engine.compile_with(&activation, fusion).unwrap();
                    for from in 0..17 {
                        for length in [1, 15, 37, 66] {
                            let places = (from, (from * 7) % 16);
                            let context = || {
                                format!("{}, {fusion:?}: {activation}, length {length}, at {places:?}", name(engine))
                            };
                            check_placed(&function, &numbers[..length], &wanted[..length], places, &context);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn arrays_split_over_threads_hold_the_same_bits() {
    // Long enough that even one op an element is worth two threads, and no multiple of a vector.
    let repeats = 2301;
    let numbers = numbers();
    let long: Vec<f32> = numbers.iter().cycle().take(repeats * LONGEST).copied().collect();
    for activation in elementwise() {
        for group in groups_on_two_threads() {
            let wanted: Vec<f32> =
                alone(group, &activation, &numbers).iter().cycle().take(long.len()).copied().collect();
            for (at, engine) in group.engines.iter().enumerate() {
                for fusion in [Fusion::Full, Fusion::Off] {
                    let function = engine.compile_with(&activation, fusion).unwrap();
                    let context = || format!("{}, {fusion:?}: {activation}", name(engine));
                    check_placed(&function, &long, &wanted, (at, (at * 5 + 3) % 16), &context);
                }
            }
        }
    }
}

#[test]
fn float64_has_one_set_of_bits_too() {
    let numbers: Vec<f64> = numbers().iter().map(|number| f64::from(*number) * 1.000_000_1).collect();
    let class = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    for activation in elementwise() {
        for group in groups() {
            let mut wanted = vec![0.0f64; LONGEST];
            group.judge().compile(&activation).unwrap().call(&[("x", (&numbers).into())], &mut wanted).unwrap();
            for engine in &group.engines {
                for fusion in [Fusion::Full, Fusion::Off] {
                    let function = engine.compile_with(&activation, fusion).unwrap();
                    for length in [1, 2, 3, 7, 8, 9, 31, 64, 127, LONGEST] {
                        // To another place, and in place, each at some offset from a vector.
                        let (from, to) = (length % 9, (length * 3 + 1) % 8);
                        let mut input = vec![f64::from(GUARD); from + length + 5];
                        input[from..from + length].copy_from_slice(&numbers[..length]);
                        let mut output = vec![f64::from(GUARD); to + length + 5];
                        let written = &mut output[to..to + length];
                        function.call(&[("x", (&input[from..from + length]).into())], written).unwrap();
                        function.call_in_place(("x", (&mut input[from..from + length]).into()), &[]).unwrap();
                        for (found, how) in [(&output[to..], "to another place"), (&input[from..], "in place")] {
                            for at in 0..length {
                                assert_eq!(
                                    class(found[at]),
                                    class(wanted[at]),
                                    "{}, {fusion:?}: {activation} of {:e}, length {length}, {how}: {:e} instead of {:e}",
                                    name(engine),
                                    numbers[at],
                                    found[at],
                                    wanted[at]
                                );
                            }
                            assert!(
                                found[length..].iter().all(|value| *value == f64::from(GUARD)),
                                "{activation}, {how}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// Rows of one length, as the judge gives them one by one, and as every engine gives them together.
fn check_rows(function: &str, group: &Group, rows: usize, length: usize) {
    let mut random = Random((rows * 1000 + length) as u64);
    // Row by row: ordinary, with masks, with a special value.
    let mut x = Array::from_fn(&[rows, length], |at| match at / length % 3 {
        1 if random.below(4) == 0 => f32::NEG_INFINITY,
        2 if random.below(2 * length) == 0 => SPECIALS[random.below(SPECIALS.len())],
        _ => random.between(-9.0, 9.0),
    });
    x.data[0] = 0.5;
    let library = Library::standard();
    let last = library.activation(function).unwrap();
    let first = last.clone().with("axis", 0);
    let width = if function == "glu" { length / 2 } else { length };
    let by_one = group.judge().compile(&last).unwrap();
    let mut wanted = vec![GUARD; rows * width];
    for row in 0..rows {
        let row_of = ArrayRef::from(&x.data[row * length..][..length]);
        by_one.call(&[("x", row_of)], &mut wanted[row * width..][..width]).unwrap();
    }
    for engine in &group.engines {
        for fusion in [Fusion::Full, Fusion::Off] {
            let context =
                |how: &str| format!("{}, {fusion:?}: {function} of {rows} rows of {length}, {how}", name(engine));
            let along = engine.compile_with(&last, fusion).unwrap();
            // From and to a place that is no multiple of a vector.
            let place = length % 7;
            let mut input = vec![GUARD; place];
            input.extend(&x.data);
            let mut output = vec![GUARD; place + rows * width + 5];
            let shape = [rows, length];
            let view = ArrayRef::new(&input[place..], &shape).unwrap();
            let written_shape = [rows, width];
            let written = ArrayMut::new(&mut output[place..][..rows * width], &written_shape).unwrap();
            along.call(&[("x", view)], written).unwrap();
            assert_same_bits(&output[place..][..rows * width], &wanted, || context("last axis"));
            let around = output[..place].iter().chain(&output[place + rows * width..]);
            assert!(around.clone().all(|value| value.to_bits() == GUARD.to_bits()), "{}", context("writes beside"));
            if function != "glu" {
                along.call_in_place(("x", ArrayMut::new(&mut input[place..], &shape).unwrap()), &[]).unwrap();
                assert_same_bits(&input[place..], &wanted, || context("in place"));
            }
            let across = engine.compile_with(&first, fusion).unwrap();
            let turned = Array::from_fn(&[length, rows], |at| x.data[at % rows * length + at / rows]);
            let found = common::call(&across, &[turned]).unwrap().remove(0);
            let back: Vec<f32> = (0..rows * width).map(|at| found.data[at % width * rows + at / width]).collect();
            assert_same_bits(&back, &wanted, || context("first axis"));
        }
    }
}

#[test]
fn every_row_has_the_same_bits_alone_and_among_others() {
    for function in ROWS {
        for group in groups() {
            for length in (1..=LONGEST).chain([255, 256, 257, 513]) {
                if function != "glu" || length % 2 == 0 {
                    check_rows(function, group, [1, 3, 19][length % 3], length);
                }
            }
            check_rows(function, group, 300, 4);
            check_rows(function, group, 70, 34);
        }
    }
}

#[test]
fn rows_split_over_threads_hold_the_same_bits() {
    let mut random = Random(11);
    for (rows, length) in [(20_000, 8), (3000, 66), (400, 770), (3, 60_000)] {
        let x = Array::from_fn(&[rows, length], |_| random.between(-9.0, 9.0));
        for function in ROWS {
            let activation = Library::standard().activation(function).unwrap();
            for axis in [-1, 0] {
                if function == "glu" && x.shape[(axis + 2) as usize % 2] % 2 == 1 {
                    continue;
                }
                let activation = activation.clone().with("axis", axis);
                for (one, two) in groups().iter().zip(groups_on_two_threads()) {
                    let wanted = common::run_activation(one.judge(), Fusion::Full, &activation, &x);
                    for engine in &two.engines {
                        for fusion in [Fusion::Full, Fusion::Off] {
                            let context = |how| {
                                format!("{}, {fusion:?}: {activation} of [{rows}, {length}], {how}", name(engine))
                            };
                            let found = common::run_activation(engine, fusion, &activation, &x);
                            assert_same_bits(&found.data, &wanted.data, || context("to another place"));
                            if function != "glu" {
                                let mut data = x.data.clone();
                                let place = ArrayMut::new(&mut data, &x.shape).unwrap();
                                let compiled = engine.compile_with(&activation, fusion).unwrap();
                                compiled.call_in_place(("x", place), &[]).unwrap();
                                assert_same_bits(&data, &wanted.data, || context("in place"));
                            }
                        }
                    }
                }
            }
        }
    }
}
