//! The parts of the `certify` example that everything else rests on: what it counts, and what it takes for the truth.

#![allow(dead_code, reason = "the example uses the rest")]

#[path = "../examples/certify/precise/mod.rs"]
#[allow(unused_imports, reason = "the example uses the rest")]
mod precise;
#[path = "../examples/certify/statistics.rs"]
mod statistics;
#[path = "../examples/certify/subject.rs"]
mod subject;

use fuselet::ir::Library;
use fuselet::ir::ulp::{ulp_distance_f32, ulp_distance_f64};
use precise::{Precise, to_f64};
use statistics::Statistics;
use subject::Subject;

/// Truths that bite: powers of two and their neighbours, subnormals, zeros, the edge of overflow, infinities, NaN.
fn truths() -> Vec<f64> {
    let mut truths = vec![0.0, 1e-60, 2f64.powi(-150), 3.4028236e38, 1e300, f64::INFINITY, f64::NAN];
    for exponent in (-152..=127).step_by(3) {
        let power = 2f64.powi(exponent);
        truths.extend([power, power * (1.0 - 1e-9), power * (1.0 + 1e-9), power * 1.37, power * 1.999_999_99]);
    }
    truths.iter().flat_map(|truth| [*truth, -truth]).collect()
}

/// The float32 some steps away.
fn stepped(from: f32, steps: i32) -> f32 {
    (0..steps.abs()).fold(from, |x, _| if steps > 0 { x.next_up() } else { x.next_down() })
}

#[test]
fn nothing_counted_is_nearer_than_it_is() {
    let mut cases = Vec::new();
    for truth in truths() {
        for steps in [-7, -3, -1, 0, 1, 2, 5] {
            cases.push((stepped(truth as f32, steps), truth));
        }
        cases.extend([(f32::NAN, truth), (0.0, truth), (-(truth as f32), truth)]);
    }
    // One at a time, so that each is its own worst; then all of them in blocks of a whole group and a tail.
    for (result, truth) in &cases {
        let mut statistics = Statistics::default();
        statistics.add_block(&[1.0], &[*result], &[*truth]);
        let exact = ulp_distance_f32(*result, *truth);
        let opposite = *result != 0.0 && *truth != 0.0 && (*result < 0.0) != (*truth < 0.0);
        let mut total = Statistics::default();
        total.merge(statistics);
        if exact.is_infinite() || opposite {
            assert_eq!(
                (total.mistakes, total.mistakes_at.as_slice()),
                (1, &[1f32.to_bits()][..]),
                "{result:e} for {truth:e}"
            );
            continue;
        }
        assert_eq!(total.mistakes, 0, "{result:e} for {truth:e}");
        let found = total.worst().first().map_or(0.0, |found| found.ulp);
        // Just above a power of two the unit of the binade below counts: twice the distance, never less.
        assert!(found >= exact && found <= exact * 2.0 + 1e-9, "{result:e} for {truth:e}: {found} instead of {exact}");
    }
    let finite: Vec<(f32, f64)> =
        cases.iter().copied().filter(|(result, truth)| (result / *truth as f32) > 0.0).collect();
    let (results, truths): (Vec<f32>, Vec<f64>) = finite.iter().copied().unzip();
    let x: Vec<f32> = (0..results.len()).map(|at| f32::from_bits(at as u32)).collect();
    let mut statistics = Statistics::default();
    statistics.add_block(&x, &results, &truths);
    let mut total = Statistics::default();
    total.merge(statistics);
    assert_eq!(total.inputs, results.len() as u64);
    assert_eq!(total.histogram.iter().sum::<u64>() + total.mistakes, results.len() as u64);
    let worst = finite.iter().map(|(result, truth)| ulp_distance_f32(*result, *truth)).fold(0.0, f64::max);
    assert!(total.worst()[0].ulp >= worst);
}

#[test]
fn one_bad_result_among_many_good_ones_is_found_wherever_it_stands() {
    let x: Vec<f32> = (0..4096).map(|at| 1.0 + at as f32 / 4096.0).collect();
    let truths: Vec<f64> = x.iter().map(|x| f64::from(*x) * (1.0 + 1e-8)).collect();
    for at in [0, 1, 7, 8, 63, 64, 100, 4095] {
        for bad in [stepped(x[at], 3), f32::NAN, -x[at]] {
            let mut results = x.clone();
            results[at] = bad;
            let mut statistics = Statistics::default();
            // Thrice, so that the worst are already known when the last comes.
            for _ in 0..3 {
                statistics.add_block(&x, &results, &truths);
            }
            let mut total = Statistics::default();
            total.merge(statistics);
            if bad == stepped(x[at], 3) {
                assert_eq!(total.worst()[0].bits, x[at].to_bits());
                assert_eq!((total.histogram[3], total.mistakes), (3, 0));
            } else {
                assert_eq!((total.mistakes, total.mistakes_at[0]), (3, x[at].to_bits()));
            }
        }
    }
}

#[test]
fn constants_of_the_truth_are_the_float32_a_kernel_computes_with() {
    let library = Library::standard();
    let mut precise = Precise::new();
    let mut truth = |subject: &Subject, x: f64| to_f64(&precise.scalar(&subject.definition, x));
    let chain = Subject::chain(&library, "x * 0.1 + 1e-3").unwrap();
    assert_eq!(truth(&chain, 1.0), f64::from(0.1f32) + f64::from(1e-3f32));
    let leaky = Subject::activation(&library, "leaky_relu").unwrap();
    assert_eq!(truth(&leaky, -1.0), -f64::from(0.01f32));
    let leaky = Subject::activation(&library, "leaky_relu(negative_slope = 0.3)").unwrap();
    assert_eq!(truth(&leaky, -1.0), -f64::from(0.3f32));
    let threshold = Subject::activation(&library, "threshold(threshold = 1.1, default_value = -0.7)").unwrap();
    assert_eq!(truth(&threshold, 1.0), -f64::from(0.7f32));
    // Names may hold digits, and constants of a definition are exact.
    let relu6 = Subject::activation(&library, "relu6").unwrap();
    assert_eq!(truth(&relu6, 7.0), 6.0);
    let selu = Subject::activation(&library, "selu").unwrap();
    assert_eq!(truth(&selu, 1.0), 1.050_700_987_355_480_5);
    assert!(leaky.promised && !chain.promised);
    assert!(Subject::chain(&library, "x * y").is_err());
    assert!(Subject::chain(&library, "softmax(x)").unwrap().require_elementwise().is_err());
}

/// How many of the samples are evaluated: all of them take seconds.
const EVERY: usize = 5;

#[test]
fn high_precision_agrees_with_another_library_on_every_function() {
    let library = Library::standard();
    let folder = format!("{}/tests/data/float64", env!("CARGO_MANIFEST_DIR"));
    let mut functions = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let number = |field: &str| f64::from_bits(u64::from_str_radix(field, 16).unwrap());
        let samples =
            text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').map(number).collect());
        let samples: Vec<Vec<f64>> =
            if path.extension().is_some_and(|end| end == "csv") { samples.collect() } else { continue };
        // The argument, the value, what rounding left; functions of two arguments have one more.
        if samples[0].len() != 3 {
            continue;
        }
        let subject = Subject::chain(&library, &format!("{name}(x)")).unwrap();
        let mut precise = Precise::new();
        for sample in samples.iter().step_by(EVERY) {
            let found = to_f64(&precise.scalar(&subject.definition, sample[0]));
            // Its conversion to float64 may be one number off.
            assert!(
                ulp_distance_f64(found, sample[1]) <= 1,
                "{name}({:e}) = {:e}, but here {found:e}",
                sample[0],
                sample[1]
            );
        }
        functions += 1;
    }
    assert_eq!(functions, 16, "functions of one argument with samples");
}
