//! Holds functions to correct rounding in float16 and bfloat16, as `certify --half` counted it: all 65 536 inputs of some
//! functions on every engine, fused and unfused, and the record of all functions.

#![allow(dead_code, reason = "the example uses the rest")]

mod common;
#[path = "../examples/certify/halves.rs"]
mod halves;
#[path = "../examples/certify/precise/mod.rs"]
#[allow(unused_imports, reason = "the example uses the rest")]
mod precise;
#[path = "../examples/certify/subject.rs"]
mod subject;

use common::{groups, name};
use fuselet::ir::Library;
use fuselet::{BackendChoice, Dtype, Engine, Fusion, Isa};
use halves::Verdict;
use serde_json::Value as Json;
use subject::Subject;

/// The project's promise in float32, in units in the last place.
const PROMISE: f64 = 4.0;

/// Functions with undecided results in either dtype or both, and some with none.
const SOME: &[&str] = &["gelu", "sigmoid", "elu(alpha = 1.7)", "leaky_relu", "tanh", "relu6"];

fn record(part: &str) -> serde_json::Map<String, Json> {
    let root: Json = serde_json::from_str(include_str!("data/accuracy_bounds.json")).expect("the record is JSON");
    root[part].as_object().expect("the record has this part").clone()
}

fn column(fma: bool) -> &'static str {
    if fma { "fma" } else { "no_fma" }
}

#[test]
fn every_engine_gives_one_of_the_two_nearest_on_every_half_number() {
    let best = Engine::builder().isa(Isa::detect()).backend(BackendChoice::Auto).threads(1).build().unwrap();
    let record = record("halves");
    for text in SOME {
        let subject = Subject::activation(&Library::standard(), text).unwrap();
        let reference = best.compile_graph(&subject.definition, Fusion::Full).unwrap();
        for dtype in halves::DTYPES {
            let truths = halves::truths(&subject, &reference, dtype).unwrap();
            for group in groups() {
                let mut first: Option<Vec<u16>> = None;
                for engine in &group.engines {
                    for fusion in [Fusion::Full, Fusion::Off] {
                        let function = engine.compile_graph(&subject.form, fusion).unwrap();
                        let found = halves::results(&function, dtype).unwrap();
                        let expected = first.get_or_insert_with(|| found.clone());
                        let nan = |bits: u16| halves::number(dtype, bits).is_nan();
                        for (input, (found, expected)) in found.iter().zip(&*expected).enumerate() {
                            let same = found == expected || (nan(*found) && nan(*expected));
                            let context = || format!("{text} of {dtype} {input:#06x} on {} {fusion:?}", name(engine));
                            assert!(same, "{}: {found:#06x} instead of {expected:#06x}", context());
                        }
                    }
                }
                let counts = halves::count(dtype, &first.expect("a group has an engine"), &truths, PROMISE);
                assert_eq!((counts.wrong, counts.first_wrong), (0, None), "{text}, {dtype}, fma = {}", group.fma);
                let recorded = record[subject.name.as_str()][column(group.fma)][dtype.name()]["undecided"].as_u64();
                assert_eq!(Some(counts.undecided), recorded, "{text}, {dtype}, fma = {}", group.fma);
            }
        }
    }
}

#[test]
fn every_elementwise_function_is_on_record_with_nothing_wrong_and_documented() {
    let (record, all) = (record("halves"), record("elementwise"));
    assert!(record.keys().eq(all.keys()), "`certify --half --record` for every function");
    let document = include_str!("../docs/accuracy.md");
    for (text, measured) in &record {
        let mut cells = Vec::new();
        for fma in [true, false] {
            for dtype in halves::DTYPES {
                let counts = &measured[column(fma)][dtype.name()];
                assert_eq!(counts["wrong"].as_u64(), Some(0), "{text}, {dtype}, fma = {fma}");
                cells.push(counts["undecided"].as_u64().expect("a count").to_string());
            }
        }
        let line = format!("| `{text}` | {} |", cells.join(" | "));
        assert!(document.contains(&line), "`certify --document` writes `{line}`");
    }
}

#[test]
fn every_pair_of_bfloat16_is_on_record_with_nothing_wrong_and_documented() {
    let record = record("pairs");
    assert!(!record.is_empty());
    let document = include_str!("../docs/accuracy.md");
    for (text, measured) in &record {
        let count =
            |fma: bool, key: &str| measured[column(fma)][key].as_u64().unwrap_or_else(|| panic!("{text}: {key}"));
        for fma in [true, false] {
            assert_eq!((count(fma, "pairs"), count(fma, "wrong")), (1 << 32, 0), "{text}, fma = {fma}");
        }
        let with = ["pairs", "undecided", "distant"].map(|key| count(true, key).to_string()).join(" | ");
        let without = ["undecided", "distant"].map(|key| count(false, key).to_string()).join(", ");
        let line = format!("| `{text}` | {with} | {without} |");
        assert!(document.contains(&line), "`certify --document` writes `{line}`");
    }
}

#[test]
fn a_result_is_judged_by_the_numbers_beside_the_truth() {
    // 1 and the next float16, 1 + 2⁻¹⁰: the middle between them is 1 + 2⁻¹¹.
    let (one, next, far, middle) = (0x3c00, 0x3c01, 0x3c03, 1.0 + 2f64.powi(-11));
    let cases = [
        (one, 1.0, 0.0, Verdict::Correct),
        (next, 1.0, 1e-7, Verdict::Wrong),
        (one, middle - 1e-8, 1e-7, Verdict::Correct),
        (next, middle - 1e-8, 1e-7, Verdict::Undecided),
        (next, middle - 1e-6, 1e-7, Verdict::Wrong),
        (far, middle + 1e-8, 1e-7, Verdict::Wrong),
        (far, middle + 1e-8, 1e-2, Verdict::Distant),
        (0x7e00, 1.0, 1e-7, Verdict::Wrong),
        (0x7e00, f64::NAN, 1e-7, Verdict::Correct),
        (0x7c00, f64::NAN, 1e-7, Verdict::Wrong),
        // Both zeros are one place; past the last number is infinity.
        (0x8000, 0.0, 0.0, Verdict::Correct),
        (0x7bff, 65520.0, 0.01, Verdict::Undecided),
        (0x7bff, 1e6, 0.01, Verdict::Wrong),
        (0xbc00, 1.0, 1e-7, Verdict::Wrong),
    ];
    for (result, truth, allowed, verdict) in cases {
        assert_eq!(
            halves::judge(Dtype::F16, result, truth, allowed),
            verdict,
            "{result:#06x} for {truth:e} ± {allowed:e}"
        );
    }
    for (bits, dtype) in (0..=u16::MAX).flat_map(|bits| halves::DTYPES.map(|dtype| (bits, dtype))) {
        let number = halves::number(dtype, bits);
        assert!(halves::nearest(dtype, number) == bits || number.is_nan(), "{dtype} {bits:#06x}");
    }
}
