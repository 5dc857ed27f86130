//! Holds every activation to the accuracy on record, `tests/data/accuracy_bounds.json`, in every run.
//!
//! `cargo run --release --example certify` measures on all 2³² bit patterns and writes the record; here are a dense sample
//! of them, the machines with FMA and without, and the places that quote the record: `docs/accuracy.md` and the
//! library's documentation.
//!
//! The truth is the definition (not the form) in float64, computed by the float64 lowering, which is itself held to the
//! float64 reference here and to arbitrary precision in `accuracy_primitives`.

use fuselet::array::ComputeDtype;
use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::isa::Isa;
use fuselet::codegen::{Backend, Code};
use fuselet::lane::{LaneBuilder, Layout, Operand, OperandArgument, OperandId, Pass, Role, Value};
use fuselet_ir::library::Value as Parameter;
use fuselet_ir::reference::ScalarEvaluator;
use fuselet_ir::rewrite;
use fuselet_ir::ulp::ulp_distance_f32;
use fuselet_ir::{Activation, Graph, IntoProgram, Library, Meaning, Node};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Elements a run: as many as fit into the cache.
const BLOCK: usize = 4096;

/// The project's promise.
const PROMISE: f64 = 4.0;

/// Parameters that are not on record: those of the public oracle and others that are not exact in binary.
const OFF_THE_RECORD: &[&str] = &[
    "relu(negative_slope = 0.5, max_value = 5, threshold = 5)",
    "relu(negative_slope = 0.1, threshold = -1.5)",
    "elu(alpha = 0.5)",
    "celu(alpha = 0.5)",
    "celu(alpha = 3)",
    "celu(alpha = -0.3)",
    "hard_shrink(lambd = 0.1)",
    "soft_shrink(lambd = 0.1)",
    "threshold(threshold = 1, default_value = 20)",
    "squareplus(b = 1)",
    "squareplus(b = 0.25)",
];

/// The functions of rows.
const ROWS: [&str; 7] = ["glu", "layer_norm", "log_softmax", "logsumexp", "rms_norm", "softmax", "sparsemax"];

/// A part of the record: functions and what was measured.
fn record(part: &str) -> Map<String, Json> {
    let text = include_str!("data/accuracy_bounds.json");
    let root: Json = serde_json::from_str(text).expect("the record is JSON");
    root[part].as_object().expect("the record has this part").clone()
}

/// The columns of the record.
const MACHINES: [(&str, bool); 2] = [("fma", true), ("no_fma", false)];

fn number(measured: &Json, key: &str) -> f64 {
    measured[key].as_f64().unwrap_or_else(|| panic!("{key} is on record"))
}

/// The activation with its parameters rounded to float32: what they mean for a kernel.
fn with_float32_parameters(text: &str) -> Activation {
    let mut activation = Library::standard().parse_activation(text).unwrap_or_else(|error| panic!("{error}"));
    for (parameter, value) in activation.function().parameters().to_vec().iter().zip(activation.values()) {
        // A parameter that was not given is left so where it is exact: `threshold` asks which were given.
        if let Parameter::Number(value) = value
            && f64::from(value as f32) != value
        {
            activation = activation.with(&parameter.name, value as f32);
        }
    }
    activation
}

fn graph(activation: &Activation, meaning: Meaning) -> Graph {
    let program = activation.clone().into_program(&Library::standard()).unwrap_or_else(|error| panic!("{error}"));
    program.graph(meaning).unwrap_or_else(|error| panic!("{error}"))
}

/// One activation of x, compiled.
struct Kernel {
    code: Arc<dyn Code>,
    operations: usize,
}

impl Kernel {
    /// The activation, rewritten as the engine would, lowered, and compiled by the fastest backend of this machine.
    fn new(activation: &Activation, meaning: Meaning, dtype: ComputeDtype, fma: bool) -> Kernel {
        let graph = rewrite::rewrite(&graph(activation, meaning), rewrite::Rules::Exact).graph;
        let live = graph.live();
        let mut builder = LaneBuilder::new(dtype, fma);
        let mut values: Vec<Option<Value>> = vec![None; graph.nodes().len()];
        for id in graph.ids().filter(|id| live[id.index()]) {
            values[id.index()] = Some(match graph.node(id) {
                Node::Input(index) => builder.load(OperandId(*index)),
                Node::Constant(bits) => builder.number(f64::from_bits(*bits)),
                Node::Elementwise { op, arguments } => {
                    let arguments: Vec<Value> =
                        arguments.iter().map(|argument| values[argument.index()].expect("made before")).collect();
                    fuselet::lower::lower(&mut builder, *op, &arguments)
                }
                other => panic!("{activation} is not elementwise: {other:?}"),
            });
        }
        let result = values[graph.outputs()[0].node.index()].expect("the output is live");
        builder.store(OperandId(1), result);
        let operand = |role, name: &str| Operand {
            role,
            dtype: dtype.storage(),
            layout: Layout::Contiguous,
            name: name.to_owned(),
        };
        let operands = vec![operand(Role::Read, "x"), operand(Role::Write, "y")];
        let pass = Pass { name: activation.to_string(), program: builder.finish(), operands };
        pass.verify().unwrap_or_else(|error| panic!("{error}"));
        let operations = pass.program.operation_count();
        let code = fast(&pass).unwrap_or_else(|| {
            Interpreter::new(Isa::detect()).compile(&pass).expect("the interpreter compiles every pass")
        });
        Kernel { code, operations }
    }

    fn run<T>(&self, x: &[T], y: &mut [T]) {
        assert_eq!(x.len(), y.len());
        let argument = |pointer: *mut T| OperandArgument { pointer: pointer.cast(), stride: 0, outer_stride: 0 };
        let operands = [argument(x.as_ptr().cast_mut()), argument(y.as_mut_ptr())];
        // SAFETY: both arrays have as many elements of the pass's dtype; y is borrowed mutably.
        unsafe { self.code.run(&operands, x.len(), 1) };
    }
}

/// A pass compiled by the fastest backend there is.
fn fast(pass: &Pass) -> Option<Arc<dyn Code>> {
    #[cfg(all(feature = "wide", target_arch = "x86_64"))]
    if let Ok(wide) = fuselet::codegen::wide::Wide::new(Isa::detect()) {
        return wide.compile(pass).ok();
    }
    #[cfg(feature = "cranelift")]
    if let Ok(cranelift) = fuselet::codegen::cranelift::Cranelift::new(Isa::detect()) {
        return cranelift.compile(pass).ok();
    }
    let _ = pass;
    None
}

/// The worst distance, and where.
#[derive(Clone, Copy, Debug)]
struct Worst {
    ulp: f64,
    x: f32,
    got: f32,
    truth: f64,
    /// An input that gives a zero of the other sign than the truth, itself a zero.
    other_zero: Option<f32>,
}

/// An activation and its truth.
struct Judged {
    kernel: Kernel,
    truth: Kernel,
}

impl Judged {
    fn new(text: &str, fma: bool) -> Judged {
        let activation = with_float32_parameters(text);
        let native_fma = Isa::detect().has_fma();
        Judged {
            kernel: Kernel::new(&activation, Meaning::Form, ComputeDtype::F32, fma),
            truth: Kernel::new(&activation, Meaning::Definition, ComputeDtype::F64, native_fma),
        }
    }

    fn worst(&self, sample: &[f32]) -> Worst {
        let mut worst = Worst { ulp: 0.0, x: 0.0, got: 0.0, truth: 0.0, other_zero: None };
        let (mut y, mut wide_x, mut wide_y) = (vec![0.0f32; BLOCK], vec![0.0f64; BLOCK], vec![0.0f64; BLOCK]);
        for x in sample.chunks(BLOCK) {
            let (y, wide_x, wide_y) = (&mut y[..x.len()], &mut wide_x[..x.len()], &mut wide_y[..x.len()]);
            self.kernel.run(x, y);
            wide_x.iter_mut().zip(x).for_each(|(wide, x)| *wide = f64::from(*x));
            self.truth.run(wide_x, wide_y);
            for ((x, got), truth) in x.iter().zip(&*y).zip(&*wide_y) {
                if *got == 0.0 && *truth == 0.0 && got.is_sign_negative() != truth.is_sign_negative() {
                    worst.other_zero = Some(*x);
                }
                // A unit is at least 2⁻²⁴ of the truth and 2⁻¹⁴⁹: most points are done with here.
                let least_unit = (truth.abs() * 2f64.powi(-24)).max(2f64.powi(-149));
                if (f64::from(*got) - truth).abs() <= worst.ulp * least_unit {
                    continue;
                }
                let ulp = ulp_distance_f32(*got, *truth);
                if ulp > worst.ulp || ulp.is_nan() {
                    worst = Worst { ulp, x: *x, got: *got, truth: *truth, ..worst };
                }
            }
        }
        worst
    }
}

/// Every 4093rd bit pattern, every 149th where functions bend (2⁻¹³ ≤ |x| < 2⁷), and what bites.
fn dense_sample() -> Vec<f32> {
    let all = (0..=u32::MAX).step_by(4093);
    let bend = (0x3900_0000..0x4300_0000u32).step_by(149).flat_map(|bits| [bits, bits | 0x8000_0000]);
    let specials = [0, 1, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000, 0x7fff_ffff];
    let specials = specials.into_iter().flat_map(|bits: u32| [bits, bits | 0x8000_0000]);
    all.chain(bend).chain(specials).map(f32::from_bits).collect()
}

/// The worst distances of activations, each with FMA (where this machine has it) and without: text, machine, distance.
/// All cores share the work.
fn worst_of_all(texts: &[&str]) -> Vec<(String, bool, Worst)> {
    let sample = dense_sample();
    let binades: BTreeSet<u32> = sample.iter().map(|x| x.to_bits() >> 23).collect();
    assert!(sample.len() >= 1_000_000 && binades.len() == 512, "a dense sample of all exponents of both signs");
    let machines = MACHINES.iter().map(|(_, fma)| *fma).filter(|fma| !fma || Isa::detect().has_fma());
    let jobs: Vec<(&str, bool)> = machines.flat_map(|fma| texts.iter().map(move |text| (*text, fma))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((text, fma)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let judged = Judged::new(text, *fma);
            let worst = judged.worst(&sample);
            let Worst { ulp, x, got, truth, .. } = worst;
            let (machine, operations) = (if *fma { "fma" } else { "no fma" }, judged.kernel.operations);
            println!("{text:62} {machine:6} {operations:3} ops {ulp:8.4} ULP at {x:e}: {got:e} for {truth:e}");
            found.push(((*text).to_owned(), *fma, worst));
        }
        found
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
    })
}

#[test]
fn every_function_holds_its_recorded_bound_on_a_dense_sample() {
    let record = record("elementwise");
    let texts: Vec<&str> = record.keys().map(String::as_str).collect();
    let mut broken = Vec::new();
    for (text, fma, worst) in worst_of_all(&texts) {
        let bound = number(&record[&text][if fma { "fma" } else { "no_fma" }], "bound");
        if worst.ulp.is_nan() || worst.ulp > bound {
            broken.push(format!("{text}, fma = {fma}: {worst:?}, but the bound is {bound}"));
        }
        // Like relu, relu6 returns −0 as it is.
        if worst.other_zero.is_some_and(|x| text != "relu6" || x != 0.0) {
            broken.push(format!("{text}, fma = {fma}: a zero of the wrong sign, {worst:?}"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The float64 truth and the exact one, by which the record was made, differ by less.
const REFERENCE_ERROR: f64 = 1e-4;

#[test]
fn the_worst_inputs_on_record_give_the_recorded_distances() {
    // A kernel that changed, for better or worse, has to come on record again.
    for (text, measured) in &record("elementwise") {
        for (machine, fma) in MACHINES.into_iter().filter(|(_, fma)| !fma || Isa::detect().has_fma()) {
            let measured = &measured[machine];
            let Some(x) = measured["x"].as_str() else { continue };
            let bits = x.split("(0x").nth(1).and_then(|bits| bits.strip_suffix(')')).expect("an input with its bits");
            let x = f32::from_bits(u32::from_str_radix(bits, 16).expect("bits in hexadecimal"));
            let (found, max) = (Judged::new(text, fma).worst(&[x]).ulp, number(measured, "max"));
            assert!((found - max).abs() < REFERENCE_ERROR, "{text}, {machine}, at {x:e}: {found} ULP, on record {max}");
        }
    }
}

#[test]
fn other_parameters_hold_the_promise_too() {
    for (text, fma, worst) in worst_of_all(OFF_THE_RECORD) {
        assert!(worst.ulp <= PROMISE, "{text}, fma = {fma}: {worst:?}");
    }
}

#[test]
fn the_record_is_of_every_activation_on_every_float32_and_holds_the_promise() {
    let record = record("elementwise");
    for (text, measured) in &record {
        for (machine, _) in MACHINES {
            let measured = &measured[machine];
            assert_eq!(measured["inputs"].as_u64(), Some(1 << 32), "{text}, {machine}: not every float32");
            let (max, bound) = (number(measured, "max"), number(measured, "bound"));
            assert!(max <= bound && bound <= PROMISE, "{text}, {machine}: {max} ULP, bound {bound}");
            assert!(number(measured, "reference_error") <= 1e-4, "{text}, {machine}");
            let counted: u64 = measured["histogram"].as_array().unwrap().iter().map(|bin| bin.as_u64().unwrap()).sum();
            // Where the truth is NaN there is no distance: for the 2²⁴ − 2 NaNs, or for none of them.
            let nans = (1u64 << 32) - counted;
            assert!(nans == 0 || nans == (1 << 24) - 2, "{text}, {machine}: {counted} results counted");
        }
    }
    for function in Library::standard().functions() {
        let name = function.name();
        if ROWS.contains(&name) {
            continue;
        }
        assert!(record.contains_key(name), "{name} is not on record");
        let other = |text: &String| text.starts_with(&format!("{name}("));
        assert!(
            function.parameters().is_empty() || record.keys().any(other),
            "{name} with parameters is not on record"
        );
    }
    for (text, measured) in &self::record("rows") {
        for (machine, _) in MACHINES {
            let measured = &measured[machine];
            assert!(number(measured, "rows") >= 1e5, "{text}, {machine}");
            let promise = match text.split('(').next() {
                // In units of 2⁻²³, of which one is allowed.
                Some("sparsemax") => 1.0,
                // On rows made for it: docs/accuracy.md says which.
                Some("layer_norm") => 6.0,
                _ => PROMISE,
            };
            assert!(number(measured, "max") <= promise, "{text}, {machine}");
        }
    }
    assert!(ROWS.iter().all(|name| self::record("rows").contains_key(*name)));
}

/// `3.12 (3.49 without FMA)`, or one number where they are equal.
fn bounds(measured: &Json) -> String {
    let (fma, without) = (number(&measured["fma"], "bound"), number(&measured["no_fma"], "bound"));
    if fma == without { format!("{fma}") } else { format!("{fma} ({without} without FMA)") }
}

#[test]
fn the_library_quotes_the_bounds_on_record() {
    let (elementwise, rows) = (record("elementwise"), record("rows"));
    for function in Library::standard().functions() {
        let name = function.name();
        let quoted: Vec<&str> = function.docs().lines().filter(|line| line.starts_with("Bound: ")).collect();
        let wanted = match (elementwise.get(name), rows.get(name)) {
            (Some(measured), _) if measured["fma"]["x"].is_null() => {
                assert_eq!(bounds(measured), "0", "{name}: no worst input");
                "Bound: exact on every input (docs/accuracy.md).".to_owned()
            }
            (Some(measured), _) => {
                let x = measured["fma"]["x"].as_str().unwrap().split(' ').next().unwrap();
                format!("Bound: {} ULP, at x = {x} (docs/accuracy.md).", bounds(measured))
            }
            (_, Some(measured)) => {
                let (unit, count) = (measured["fma"]["unit"].as_str().unwrap(), &measured["fma"]["rows"]);
                format!("Bound: {} {unit} on {count} random rows (docs/accuracy.md).", bounds(measured))
            }
            _ => {
                assert!(quoted.is_empty(), "{name} quotes a bound that is not on record");
                continue;
            }
        };
        assert_eq!(quoted, [wanted], "the documentation of {name}; `certify -- --document` writes it");
    }
}

#[test]
fn bounds_above_two_are_explained() {
    for (text, measured) in record("elementwise").iter().chain(&record("rows")) {
        let bound = number(&measured["fma"], "bound").max(number(&measured["no_fma"], "bound"));
        if bound > 2.0 {
            let name = text.split('(').next().expect("it has a name");
            let function = Library::standard().function(name).expect("it is in the library");
            let explained = function.docs().lines().any(|line| line.starts_with("Above 2: "));
            assert!(explained, "the documentation of {text} does not say why its bound is {bound}");
        }
    }
}

#[test]
fn the_document_shows_the_record() {
    let document = include_str!("../docs/accuracy.md");
    for part in ["elementwise", "rows"] {
        let (start, end) = (format!("<!-- {part} -->"), format!("<!-- end of {part} -->"));
        let table = document.split(&start).nth(1).and_then(|rest| rest.split(&end).next()).expect("it has the table");
        let lines: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        let record = record(part);
        assert_eq!(lines.len(), record.len(), "{part}: rows of the document and of the record");
        for (text, measured) in &record {
            let line = lines.iter().find(|line| line.starts_with(&format!("| `{text}` |")));
            let line = line.unwrap_or_else(|| panic!("{text} is not in the document"));
            for (machine, _) in MACHINES {
                let max = number(&measured[machine], "max");
                let shown = if part == "rows" { format!("| {max:.3} ") } else { format!("| {max:.4} ") };
                assert!(line.contains(&shown), "{text}, {machine}: {max}, but the document says: {line}");
            }
        }
    }
}

#[test]
fn the_float64_truth_is_the_definition() {
    let sample: Vec<f64> = dense_sample().into_iter().step_by(17).map(f64::from).collect();
    let mut y = vec![0.0; sample.len()];
    let record = record("elementwise");
    for text in record.keys().map(String::as_str).chain(OFF_THE_RECORD.iter().copied()) {
        let activation = with_float32_parameters(text);
        let kernel = Kernel::new(&activation, Meaning::Definition, ComputeDtype::F64, Isa::detect().has_fma());
        kernel.run(&sample, &mut y);
        let mut reference =
            ScalarEvaluator::new(&graph(&activation, Meaning::Definition)).expect("activations are elementwise");
        for (x, y) in sample.iter().zip(&y) {
            let truth = reference.evaluate(&[*x]).expect("one input").next().expect("one output");
            // Far below a float32's last place, whose half is 6e-8.
            let close = (truth - y).abs() <= 1e-12 * truth.abs() + 1e-60 || (truth.is_nan() && y.is_nan());
            assert!(close || truth == *y, "{text} at {x:e}: {y:e} for {truth:e}");
        }
    }
}
