//! Row functions are near to the truth: on rows that are hard to sum, and on many random ones.

mod common;

use common::{Array, Random, groups, name, program};
use fuselet::Fusion;
use fuselet::ir::Meaning;
use fuselet::ir::reference::{self, evaluate};
use fuselet::ir::ulp::ulp_distance_f32;

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
