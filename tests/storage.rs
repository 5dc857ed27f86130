//! Arrays of every storage dtype, in every backend at every level: the bits the judge and the interpreter give.
//!
//! Passes are compared with the backend suite's judge, which converts element by element; whole calls with the interpreter, by
//! engines that may not fall back to it.

#[allow(dead_code, unused_macros)]
mod backend_suite;

use backend_suite::judge::{Case, Lay, Writer};
use backend_suite::random::{Choices, random_pass_of};
use backend_suite::values::{DTYPES, Random};
use fuselet::array::{ComputeDtype, Dtype};
use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::isa::Isa;
use fuselet::codegen::{Backend, InParts};
use fuselet::lane::{ACCUMULATOR_LANES, LaneOp, Layout, Pass, ReductionOperator};
use fuselet::{ArrayMut, ArrayRef, BackendChoice, Engine, Event, Fusion};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::sync::{Arc, Mutex};

const C: Layout = Layout::Contiguous;

/// The dtypes that arrays may have where lanes are of one.
fn stored_beside(lane: ComputeDtype) -> impl Iterator<Item = Dtype> + Clone {
    Dtype::ALL.iter().copied().filter(move |dtype| dtype.compute() <= lane)
}

/// How an operand lies: strides in elements (and bytes beside), spans one behind the other with a gap.
fn lay(pass: &Pass, operand: usize, span: usize, stride: isize, skew: usize) -> Lay {
    let size = pass.operands[operand].dtype.size() as isize;
    let reach = span as isize * if pass.operands[operand].layout == Layout::BlockCyclic { 4 } else { 1 };
    Lay {
        stride: stride * size + isize::from(stride > 3),
        outer_stride: (reach + 3) * (stride.abs().max(1) * size + 1),
        skew,
    }
}

/// `b` of `from` and a number of lanes: a conversion to `to`, and what arithmetic makes of both.
fn conversion(lane: ComputeDtype, from: (Dtype, Layout), to: (Dtype, Layout)) -> Pass {
    let mut writer = Writer::new(lane);
    writer.storage = from.0;
    let element = writer.load(from.1);
    writer.storage = lane.storage();
    let number = writer.load(C);
    let product = writer.apply(LaneOp::Mul, &[element, number]);
    writer.storage = to.0;
    writer.store(to.1, element);
    writer.storage = from.0;
    writer.store(to.1, product);
    writer.storage = to.0;
    writer.store(to.1, number);
    writer.finish("conversion")
}

fn every_dtype_to_every_other(backend: &dyn Backend) {
    for lane in DTYPES {
        for from in stored_beside(lane) {
            for to in stored_beside(lane) {
                let pass = conversion(lane, (from, C), (to, C));
                let dense = from == to || to == Dtype::F32;
                let spans = (0..=130).filter(|span| dense || matches!(span, 0 | 1 | 7 | 31 | 130)).chain([1111]);
                for span in spans {
                    let case = Case::new(&pass, span, 1 + span % 2, span as u64, |at| {
                        lay(&pass, at, span, 1, (at + span) % 9)
                    });
                    case.check(backend);
                }
            }
        }
    }
}

fn every_layout(backend: &dyn Backend) {
    let reads = [
        (C, 1),
        (Layout::Broadcast, 0),
        (Layout::Strided, 3),
        (Layout::Strided, -2),
        (Layout::Strided, 5),
        (Layout::Strided, 0),
        (Layout::BlockCyclic, 1),
    ];
    let writes = [
        (C, 1),
        (Layout::Strided, 2),
        (Layout::Strided, -3),
        (Layout::Strided, 4),
        (Layout::BlockCyclic, 1),
        (Layout::NonTemporal, 1),
    ];
    for lane in DTYPES {
        for dtype in stored_beside(lane) {
            for (read, from) in reads {
                for (write, to) in writes {
                    let pass = conversion(lane, (dtype, read), (dtype, write));
                    for span in [0, 1, 2, 3, 5, 8, 13, 16, 29, 31, 32, 33, 64, 67, 130, 515] {
                        let strides = [from, 1, to, to, to];
                        Case::new(&pass, span, 3, span as u64, |at| lay(&pass, at, span, strides[at], at))
                            .check(backend);
                    }
                }
            }
        }
    }
}

fn every_offset_and_in_place(backend: &dyn Backend) {
    for lane in DTYPES {
        for dtype in stored_beside(lane) {
            for write in [C, Layout::NonTemporal] {
                let pass = conversion(lane, (dtype, C), (dtype, write));
                for skew in 0..=64 {
                    for span in [17, 300, 2100] {
                        let mut case =
                            Case::new(&pass, span, 1, skew as u64, |at| lay(&pass, at, span, 1, skew + at * 3));
                        if skew % 3 == 0 {
                            case.put_in_place(2, 0);
                        }
                        case.check(backend);
                    }
                }
            }
        }
    }
}

/// Sums along rows of every dtype as they are compiled: four bodies that share an array, stores and accumulators beside.
fn sums_of_cyclic_bodies(backend: &dyn Backend) {
    for lane in DTYPES {
        for dtype in stored_beside(lane) {
            let mut writer = Writer::new(lane);
            writer.storage = dtype;
            let factor = writer.load(Layout::Broadcast);
            let loads = [(); 4].map(|()| writer.load(Layout::BlockCyclic));
            let products = loads.map(|value| writer.apply(LaneOp::Mul, &[value, factor]));
            products.iter().for_each(|product| writer.store(Layout::BlockCyclic, *product));
            let pairs = [[0, 1], [2, 3]].map(|pair| writer.apply(LaneOp::Add, &pair.map(|at: usize| products[at])));
            let sum = writer.apply(LaneOp::Add, &pairs);
            writer.accumulate(ReductionOperator::Sum, sum);
            writer.accumulate(ReductionOperator::Max, sum);
            writer.prefetch();
            let pass = writer.finish("bodies");
            for span in (1..=33).chain([64, 96, 128, 160, 224, 256]) {
                for outer in [1, 3, 40] {
                    let size = |at: usize| pass.operands[at].dtype.size();
                    let lay = |at| Lay { stride: 0, outer_stride: (4 * span * size(at)) as isize, skew: 0 };
                    let mut case = Case::new(&pass, span, outer, span as u64, lay);
                    let distance = span.min(ACCUMULATOR_LANES) * dtype.size();
                    case.share(1..5, distance);
                    case.share(5..9, distance);
                    case.views[11].start = usize::MAX / 2;
                    case.check(backend);
                }
            }
        }
    }
}

fn accumulators_of_contiguous_and_strided(backend: &dyn Backend) {
    for lane in DTYPES {
        for dtype in stored_beside(lane) {
            for (layout, stride) in [(C, 1), (Layout::Strided, 3), (Layout::Broadcast, 0)] {
                let mut writer = Writer::new(lane);
                writer.storage = dtype;
                let value = writer.load(layout);
                let square = writer.apply(LaneOp::Mul, &[value, value]);
                writer.accumulate(ReductionOperator::Sum, square);
                writer.accumulate(ReductionOperator::Min, value);
                let pass = writer.finish("sum of squares");
                for span in (0..=67).chain([130, 1111]) {
                    Case::new(&pass, span, 18, span as u64, |at| lay(&pass, at, span, stride, at)).check(backend);
                }
            }
        }
    }
}

/// More operands than there are registers for pointers, of dtypes in turn.
fn many_operands(backend: &dyn Backend) {
    for lane in DTYPES {
        let dtypes: Vec<Dtype> = stored_beside(lane).collect();
        for layout in [C, Layout::Strided, Layout::BlockCyclic] {
            let mut writer = Writer::new(lane);
            let mut sums = Vec::new();
            for dtype in &dtypes {
                writer.storage = *dtype;
                let value = writer.load(layout);
                let last = *sums.last().unwrap_or(&value);
                sums.push(writer.apply(LaneOp::Add, &[last, value]));
            }
            for (dtype, sum) in dtypes.iter().rev().zip(&sums) {
                writer.storage = *dtype;
                writer.store(layout, *sum);
            }
            let pass = writer.finish("many");
            for span in [1, 6, 31, 64, 97, 130] {
                Case::new(&pass, span, 2, span as u64, |at| lay(&pass, at, span, 2, at)).check(backend);
            }
        }
    }
}

fn random_programs(backend: &dyn Backend) {
    let mut runner = TestRunner::deterministic();
    let strategy = Choices::strategy();
    for round in 0..600 {
        let choices = strategy.new_tree(&mut runner).expect("a strategy without filters").current();
        let lane = if choices.wide { ComputeDtype::F64 } else { ComputeDtype::F32 };
        // Where all are bfloat16, bodies go in pairs, and fewer NaNs need be looked for.
        let dtypes = if round % 3 == 0 { vec![Dtype::Bf16] } else { stored_beside(lane).collect() };
        let pass = random_pass_of(&choices, backend.has_fma(), &dtypes);
        let span = choices.span;
        let strides = [2, -1, 5];
        Case::new(&pass, span, choices.outer, choices.seed, |at| lay(&pass, at, span, strides[at % 3], at))
            .check(backend);
    }
}

fn interpreter(isa: Isa) -> Option<Box<dyn Backend>> {
    isa.is_available().then(|| Box::new(Interpreter::new(isa)) as Box<dyn Backend>)
}

#[cfg(feature = "cranelift")]
fn cranelift(isa: Isa) -> Option<Box<dyn Backend>> {
    use fuselet::codegen::cranelift::Cranelift;
    isa.is_available().then(|| Box::new(Cranelift::new(isa).expect("it knows this machine")) as Box<dyn Backend>)
}

#[cfg(all(feature = "wide", target_arch = "x86_64"))]
fn wide(isa: Isa) -> Option<Box<dyn Backend>> {
    use fuselet::codegen::wide::Wide;
    isa.is_available().then(|| Box::new(Wide::new(isa).expect("the machine has it")) as Box<dyn Backend>)
}

#[cfg(all(feature = "wide", target_arch = "x86_64"))]
fn wide_in_parts(isa: Isa) -> Option<Box<dyn Backend>> {
    use fuselet::codegen::wide::Wide;
    let inner = || Wide::new(isa).expect("the machine has it");
    isa.is_available().then(|| Box::new(InParts { inner: inner() }) as Box<dyn Backend>)
}

/// The tests of one backend at one level.
macro_rules! storage_suite {
    ($name:ident, $constructor:expr) => {
        mod $name {
            use super::*;
            storage_suite!(@tests $constructor; every_dtype_to_every_other, every_layout, every_offset_and_in_place,
                sums_of_cyclic_bodies, accumulators_of_contiguous_and_strided, many_operands, random_programs);
        }
    };
    (@tests $constructor:expr; $($test:ident),*) => {
        $(
            #[test]
            fn $test() {
                match $constructor {
                    Some(backend) => super::$test(backend.as_ref()),
                    None => eprintln!("skipped: this machine lacks the level"),
                }
            }
        )*
    };
}

storage_suite!(interpreter_avx2, interpreter(Isa::Avx2));
/// Cranelift takes milliseconds a pass: the parts of the suite that compile few.
#[cfg(feature = "cranelift")]
#[test]
fn cranelift_gives_the_same_bits() {
    for backend in [Isa::Baseline, Isa::AvxFma].into_iter().filter_map(cranelift) {
        many_operands(backend.as_ref());
        random_programs(backend.as_ref());
    }
}

#[cfg(all(feature = "wide", target_arch = "x86_64"))]
storage_suite!(wide_avx2, wide(Isa::Avx2));
#[cfg(all(feature = "wide", target_arch = "x86_64"))]
storage_suite!(wide_avx512, wide(Isa::Avx512));
#[cfg(all(feature = "wide", target_arch = "x86_64"))]
storage_suite!(wide_avx512_in_parts, wide_in_parts(Isa::Avx512));

#[cfg(all(feature = "wide", target_arch = "x86_64"))]
#[test]
fn machines_without_conversions_of_float16_have_them_written_out() {
    use fuselet::codegen::wide::Wide;
    if let Ok(backend) = Wide::new(Isa::Avx2).map(Wide::without_f16c) {
        every_dtype_to_every_other(&backend);
        random_programs(&backend);
    }
}

// ---- whole calls

/// An engine, and what it told of that should not have happened.
struct Watched {
    engine: Engine,
    warnings: Arc<Mutex<Vec<Event>>>,
}

fn watched(backend: BackendChoice, isa: Isa) -> Option<Watched> {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&warnings);
    let subscriber = move |event: &Event| {
        if event.is_warning() {
            told.lock().expect("nobody panics with it").push(event.clone());
        }
    };
    let builder = Engine::builder().backend(backend).isa(isa).threads(1).on_event(subscriber);
    let engine = builder.build().ok()?;
    Some(Watched { engine, warnings })
}

/// A row-major array of a dtype.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn random(dtype: Dtype, shape: &[usize], random: &mut Random) -> Stored {
        let elements = shape.iter().product::<usize>();
        let bytes = (0..elements)
            .flat_map(|_| random.element(dtype.compute(), dtype).to_le_bytes().into_iter().take(dtype.size()))
            .collect();
        Stored { dtype, shape: shape.to_vec(), bytes }
    }

    fn view(&self) -> ArrayRef<'_> {
        ArrayRef::from_bytes(&self.bytes, self.dtype, &self.shape).expect("as many bytes as its shape says")
    }

    /// Its elements' bits, all NaNs being one.
    fn elements(&self) -> Vec<u64> {
        let bits = |element: &[u8]| {
            let mut wide = [0; 8];
            wide[..element.len()].copy_from_slice(element);
            u64::from_le_bytes(wide)
        };
        let merged = |bits: u64| {
            let is_nan = backend_suite::values::is_nan_element(self.dtype, bits);
            if is_nan { backend_suite::values::nan(self.dtype) } else { bits }
        };
        self.bytes.chunks(self.dtype.size()).map(bits).map(merged).collect()
    }
}

const GUARD: usize = 32;

/// Calls a function on arrays, with bytes about the output that may not change.
fn call(engine: &Engine, text: &str, fusion: Fusion, inputs: &[(&str, &Stored)], dtype: Dtype) -> Stored {
    let function = engine.compile_with(text, fusion).expect("the text is right");
    let views: Vec<(&str, ArrayRef<'_>)> = inputs.iter().map(|(name, array)| (*name, array.view())).collect();
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|(_, array)| array.shape.clone()).collect();
    let shape = function.output_shapes(&shapes).expect("shapes fit").remove(0);
    let bytes = shape.iter().product::<usize>() * dtype.size();
    let mut memory = vec![0xa5u8; bytes + 2 * GUARD];
    let output =
        ArrayMut::from_bytes(&mut memory[GUARD..GUARD + bytes], dtype, &shape).expect("as many bytes as needed");
    function.call(&views, output).unwrap_or_else(|error| panic!("{text}: {error}"));
    let (before, rest) = memory.split_at(GUARD);
    let (inside, after) = rest.split_at(bytes);
    assert!(before.iter().chain(after).all(|byte| *byte == 0xa5), "{text} to {dtype} writes beside its output");
    Stored { dtype, shape: shape.to_vec(), bytes: inside.to_vec() }
}

/// Engines of every backend that compiles, with fused multiply-adds.
fn engines() -> Vec<Watched> {
    let levels =
        [(BackendChoice::Cranelift, Isa::AvxFma), (BackendChoice::Wide, Isa::Avx2), (BackendChoice::Wide, Isa::Avx512)];
    levels.into_iter().filter_map(|(backend, isa)| watched(backend, isa)).collect()
}

const FUNCTIONS: [(&str, &[&str]); 6] = [
    ("silu(x) * y", &["x", "y"]),
    ("relu(x + y)", &["x", "y"]),
    ("select(x > y, x, 0.5)", &["x", "y"]),
    ("softmax(x) + y", &["x", "y"]),
    ("rms_norm(x) * y", &["x", "y"]),
    ("softmax(x, axis=0) * y", &["x", "y"]),
];

fn check(engines: &[Watched], text: &str, inputs: &[(&str, &Stored)], dtype: Dtype) {
    // Where there are no fused multiply-adds there is no engine to compare.
    let Some(judge) = watched(BackendChoice::Interpreter, Isa::AvxFma) else { return };
    let wanted = call(&judge.engine, text, Fusion::Full, inputs, dtype).elements();
    for Watched { engine, warnings } in engines {
        for fusion in [Fusion::Full, Fusion::Off] {
            let context = || {
                let dtypes: Vec<String> =
                    inputs.iter().map(|(_, array)| format!("{} {:?}", array.dtype, array.shape)).collect();
                format!("{}, {fusion:?}: {text} of {} to {dtype}", engine.backend_name(), dtypes.join(", "))
            };
            let found = call(engine, text, fusion, inputs, dtype).elements();
            let differing = (0..found.len()).find(|at| found[*at] != wanted[*at]);
            if let Some(at) = differing {
                panic!("{}: element {at} is {:#x} instead of {:#x}", context(), found[at], wanted[at]);
            }
            let warnings = warnings.lock().expect("nobody panics with it");
            assert!(warnings.is_empty(), "{}: {warnings:?}", context());
        }
    }
}

#[test]
fn calls_give_the_interpreters_bits_for_every_mix_of_dtypes() {
    let engines = engines();
    let mut random = Random(16);
    for (text, names) in FUNCTIONS {
        for (at, x) in Dtype::ALL.iter().enumerate() {
            for shift in 0..3 {
                let [y, to] = [1, 5].map(|step| Dtype::ALL[(at * 3 + shift * step + step) % Dtype::ALL.len()]);
                let to = if shift == 0 { *x } else { to };
                for shape in [&[3, 37][..], &[19, 130], &[2, 5000], &[300, 4]] {
                    let row = [shape[1]];
                    let x = Stored::random(*x, shape, &mut random);
                    let y = Stored::random(y, if shift == 1 { shape } else { &row }, &mut random);
                    check(&engines, text, &[(names[0], &x), (names[1], &y)], to);
                }
            }
        }
    }
}

#[test]
fn calls_of_every_length_give_the_interpreters_bits() {
    let engines = engines();
    let mut random = Random(17);
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::I8, Dtype::U16, Dtype::Bool] {
        for length in 0..=130 {
            let x = Stored::random(dtype, &[length], &mut random);
            let y = Stored::random(Dtype::Bf16, &[length], &mut random);
            check(&engines, "silu(x) * y", &[("x", &x), ("y", &y)], dtype);
            if length > 0 {
                let x = Stored::random(dtype, &[3, length], &mut random);
                check(&engines, "softmax(x)", &[("x", &x)], dtype);
            }
        }
    }
}
