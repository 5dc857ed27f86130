//! What a call costs around the loop, at 16 elements: by name, by position, prepared, on a tile, the code alone; and what
//! new lengths, more layouts, more arrays and more threads add to it.
//!
//! Criterion times the groups `calls/…`. What is a difference or a ratio is measured in turns (`common::timing`) and printed
//! as tables: `cargo bench --bench calls -- overheads` prints only these, `lengths` only what new lengths cost; any other word
//! filters Criterion's groups.

mod common;

use common::chains::SILU_AFFINE;
use common::timing::{Contender, ratio, take_turns};
use common::{Array, Case, CodeScratch, backends};
use criterion::{BenchmarkId, Criterion};
use fuselet::lane::OperandArgument;
use fuselet::{ArrayMut, ArrayOut, ArrayRef, BackendChoice, Dtype, Engine, Function, Fusion, Isa, Signature};
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

const N: usize = 16;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if words.iter().any(|word| word == "lengths") {
        heading();
        return new_lengths();
    }
    let only_tables = words.iter().any(|word| word == "overheads");
    if !only_tables {
        let mut criterion = Criterion::default().configure_from_args();
        calls(&mut criterion);
        criterion.final_summary();
    }
    if only_tables || words.is_empty() {
        overheads();
        ratios();
    }
}

fn calls(criterion: &mut Criterion) {
    for (function, text) in [("silu", "silu(x)"), (SILU_AFFINE.name, SILU_AFFINE.text)] {
        let mut group = criterion.benchmark_group(format!("calls/{function}"));
        for (name, engine) in backends() {
            let inputs: Vec<Rc<Array>> = {
                let count = engine.compile(text).expect("it is valid").inputs().len();
                (0..count).map(|at| Array::normal(at as u64, &[N])).collect()
            };
            let case = Case::new(&engine, text, Fusion::Full, inputs);
            let mut output = Array::zeros(0, &[N]);

            let names = case.function.inputs();
            let slices: Vec<&[f32]> = case.inputs.iter().map(|array| array.data()).collect();
            let given: Vec<(&str, ArrayRef<'_>)> =
                names.iter().zip(&slices).map(|(name, slice)| (name.as_str(), (*slice).into())).collect();
            group.bench_function(BenchmarkId::new("checked call", name), |bencher| {
                let output = output.data_mut();
                bencher.iter(|| case.function.call(&given, &mut *output));
            });

            let prepared = case.prepared();
            let pointers: Vec<*const u8> = case.inputs.iter().map(|x| x.data().as_ptr().cast()).collect();
            let outputs = [output.data_mut().as_mut_ptr().cast::<u8>()];
            group.bench_function(BenchmarkId::new("call_raw", name), |bencher| {
                // SAFETY: the arrays are those of the signature, and the output is none of the inputs.
                bencher.iter(|| unsafe { prepared.call_raw(&pointers, &outputs) });
            });

            let compiled = prepared.explain().passes.swap_remove(0);
            let arguments: Vec<OperandArgument> = pointers
                .iter()
                .map(|pointer| pointer.cast_mut())
                .chain(outputs)
                .map(|pointer| OperandArgument { pointer, stride: 4, outer_stride: 0 })
                .collect();
            let mut scratch = CodeScratch::of(compiled.code.as_ref());
            group.bench_function(BenchmarkId::new("code alone", name), |bencher| {
                // SAFETY: an elementwise pass has one operand for each input and output, in order.
                bencher.iter(|| unsafe { compiled.code.run_in(&arguments, N, 1, scratch.start()) });
            });
        }
        group.finish();
    }
}

/// How long the contenders of one row of a table take turns.
fn budget() -> Duration {
    // `cargo test --benches` only asks whether it runs.
    let benching = std::env::args().any(|argument| argument == "--bench");
    Duration::from_millis(if benching { 400 } else { 0 })
}

/// `relu` of 16 numbers, by every way to call it, views and all: nanoseconds above those of the code alone.
fn overheads() {
    println!("\n## relu of 16 elements, one thread: ns of the code alone, and ns above it\n");
    println!(
        "| backend | code alone | by name | by position | prepared | prepared, raw | tile of 2x8 | two strided views |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, engine) in backends() {
        let function = engine.compile("relu(x)").expect("it is valid");
        let signature = |shape: &[usize]| Signature::new().with("x", Dtype::F32, shape).expect("the rank is small");
        let prepared = function.prepare(&signature(&[N])).expect("it fits");
        let tile = function.tile(&signature(&[2, 2])).expect("it is elementwise");
        let code = prepared.explain().passes.swap_remove(0).code;
        let input = Array::normal(1, &[N]);
        let x = input.data();
        let mut output = Array::zeros(2, &[N]);
        let y = output.data_mut();
        let pointers = [x.as_ptr().cast::<u8>().cast_mut(), y.as_mut_ptr().cast()];
        let arguments = |outer_stride| pointers.map(|pointer| OperandArgument { pointer, stride: 4, outer_stride });
        let (span, rows) = (arguments(0), arguments(4 * 8));
        // Slices of the same memory, one a way to call it; no two are alive during one call.
        // SAFETY: the array lives until the end, and contenders run one after the other.
        let output = || unsafe { std::slice::from_raw_parts_mut(pointers[1].cast::<f32>(), N) };
        let mut scratch = CodeScratch::of(code.as_ref());
        let scratch = scratch.start();
        let turns = &mut [
            // SAFETY: one operand for the input, one for the output, of 16 elements.
            Contender::new("code", || unsafe { code.run_in(black_box(&span), black_box(N), 1, scratch) }),
            Contender::new("by name", || function.call(&[("x", black_box(x).into())], output()).expect("it fits")),
            Contender::new("by position", || {
                function.call_positional(&[black_box(x).into()], output()).expect("it fits");
            }),
            Contender::new("prepared", || prepared.call(&[black_box(x).into()], output()).expect("it fits")),
            Contender::new("prepared, raw", || {
                let [x, y] = black_box(pointers);
                // SAFETY: 16 elements each, as the signature says.
                unsafe { prepared.call_raw(&[x.cast_const()], &[y]) }.expect("there is memory");
            }),
            // SAFETY: as the first, in two rows of eight.
            Contender::new("code on rows", || unsafe {
                code.run_in(black_box(&rows), black_box(8), black_box(2), scratch)
            }),
            // SAFETY: two rows of eight elements, eight apart, in each array.
            Contender::new("tile", || unsafe { tile.call(black_box(&pointers), &[8, 8], black_box(2), black_box(8)) }),
            Contender::new("two strided views", || {
                let (shape, strides) = (black_box([2, 4]), black_box([8isize, 2]));
                black_box(ArrayRef::strided(black_box(x), &shape, &strides, 0).expect("it fits"));
                black_box(ArrayMut::strided(output(), &shape, &strides, 0).expect("it fits"));
            }),
            Contender::new("nothing", || ()),
        ];
        take_turns(turns, budget() * 2);
        let [code, by_name, by_position, prepared, raw, code_on_rows, tile, views, nothing] =
            std::array::from_fn(|at| turns[at].least());
        let above =
            [by_name - code, by_position - code, prepared - code, raw - code, tile - code_on_rows, views - nothing];
        let cells: Vec<String> =
            std::iter::once(code - nothing).chain(above).map(|time| format!("{time:.1}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn heading() {
    println!(
        "\n## More of something against less, one thread each: ns of a call, and how many times longer more takes\n"
    );
    println!("| call | less | more | ratio |");
    println!("| --- | --- | --- | --- |");
}

/// What more of something adds to a call: ratios of contenders that took turns.
fn ratios() {
    heading();
    new_lengths();
    let engine = common::engine(BackendChoice::Auto, Isa::detect()).expect("this machine has it");
    choices_of_numbers(&engine);
    choices_of_strides(&engine);
    numbers_of_inputs(&engine);
    numbers_of_outputs(&engine);
    numbers_of_threads(&engine);
}

/// Sixteen shapes by turns, planned and compiled: to a function that keeps them all, and to one that keeps so few of them that
/// each is new again when its turn comes.
fn new_lengths() {
    const SHAPES: usize = 16;
    /// Bytes of two or three bound calls.
    const FEW: usize = 8 << 10;
    for (name, engine) in backends() {
        let forgetful = common::builder_named(name).function_cache_bytes(FEW).build().expect("it was built before");
        for text in ["rms_norm(x) * w", "softmax(x)"] {
            let by_rows: [[usize; 2]; SHAPES] = std::array::from_fn(|at| [25 + at, 128]);
            let by_lengths: [[usize; 2]; SHAPES] = std::array::from_fn(|at| [32, 121 + at]);
            for (what, shapes) in [("rows", by_rows), ("lengths", by_lengths)] {
                let (x, w) = (Array::normal(1, &[40, 136]), Array::normal(2, &[136]));
                let caller = |engine: &Engine| {
                    let function = engine.compile(text).expect("it is valid");
                    let (x, w, mut y, mut at) = (x.clone(), w.clone(), vec![0.0f32; 40 * 136], 0);
                    move || {
                        at = (at + 1) % SHAPES;
                        let shape = &shapes[at];
                        let elements = shape[0] * shape[1];
                        let x = ArrayRef::new(&x.data()[..elements], shape).expect("it fits");
                        let y = ArrayMut::new(&mut y[..elements], shape).expect("it fits");
                        let inputs = [x, w.data()[..shape[1]].into()];
                        function.call_positional(&inputs[..function.inputs().len()], y).expect("it fits");
                    }
                };
                let (mut known, mut new) = (caller(&engine), caller(&forgetful));
                for _ in 0..SHAPES {
                    known();
                    new();
                }
                compare(&format!("`{text}`, {name}: {SHAPES} {what} about [32, 128], each new"), known, new);
            }
        }
    }
}

fn compare(what: &str, less: impl FnMut(), more: impl FnMut()) {
    let turns = &mut [Contender::new("less", less), Contender::new("more", more)];
    take_turns(turns, budget());
    let (least, median) = ratio(&turns[1], &turns[0]);
    println!("| {what} | {:.1} | {:.1} | {least:.2} (~{median:.2}) |", turns[0].least(), turns[1].least());
}

/// The ninth choice of which inputs are numbers, against the eighth: two of four each.
fn choices_of_numbers(engine: &Engine) {
    let function = engine.compile("a + b + c + d").expect("it is valid");
    let (number, x, mut y) = (1.5f32, [1.0f32; N], [0.0f32; N]);
    let views = |choice: u32| -> [ArrayRef<'_>; 4] {
        std::array::from_fn(|at| if choice >> at & 1 == 0 { (&x).into() } else { (&number).into() })
    };
    let choices = [0b0000, 0b0001, 0b0010, 0b0100, 0b1000, 0b0011, 0b0101, 0b0110, 0b1001].map(views);
    for inputs in &choices {
        function.call_positional(inputs, &mut y).expect("it fits");
    }
    let mut z = y;
    compare(
        "`a + b + c + d` of 16: the ninth choice of numbers, the eighth",
        || function.call_positional(black_box(&choices[7]), &mut y).expect("it fits"),
        || function.call_positional(black_box(&choices[8]), &mut z).expect("it fits"),
    );
}

/// The ninth distance between rows, against the eighth.
fn choices_of_strides(engine: &Engine) {
    let function = engine.compile("relu(x)").expect("it is valid");
    let (x, mut y) = ([1.0f32; 64], [0.0f32; N]);
    let strides: [[isize; 2]; 9] = std::array::from_fn(|at| [9 + at as isize, 1]);
    let views = strides.each_ref().map(|strides| ArrayRef::strided(&x, &[2, 8], strides, 0).expect("it fits"));
    for view in views {
        let y = ArrayMut::new(&mut y, &[2, 8]).expect("it fits");
        function.call_positional(&[view], y).expect("it fits");
    }
    let mut z = y;
    let call = |view: ArrayRef<'_>, y: &mut [f32]| {
        let y = ArrayMut::new(y, &[2, 8]).expect("it fits");
        function.call_positional(&[black_box(view)], y).expect("it fits");
    };
    compare(
        "`relu(x)` of rows apart, [2, 8]: the ninth distance, the eighth",
        || call(views[7], &mut y),
        || call(views[8], &mut z),
    );
}

/// Twelve inputs against eight.
fn numbers_of_inputs(engine: &Engine) {
    let x = [1.0f32; N];
    let function = |count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("x{at}")).collect();
        engine.compile(names.join(" + ")).expect("it is valid")
    };
    let (eight, twelve) = (function(8), function(12));
    let (mut y, mut z) = ([0.0f32; N], [0.0f32; N]);
    compare(
        "a sum of arrays of 16: twelve, eight",
        || eight.call_positional(&black_box([ArrayRef::from(&x); 8]), &mut y).expect("it fits"),
        || twelve.call_positional(&black_box([ArrayRef::from(&x); 12]), &mut z).expect("it fits"),
    );
}

/// Two outputs against one.
fn numbers_of_outputs(engine: &Engine) {
    let x = [1.0f32; N];
    let one = engine.compile("x * 2").expect("it is valid");
    let two = engine.compile("double = x * 2, half = x / 2").expect("it is valid");
    let (mut y, mut double, mut half) = ([0.0f32; N], [0.0f32; N], [0.0f32; N]);
    compare(
        "`x * 2` of 16: with `x / 2` as a second output, alone",
        || one.call_views(&[black_box(&x).into()], &[(&mut y).into()]).expect("it fits"),
        || {
            let outputs: [ArrayOut<'_>; 2] = [(&mut double).into(), (&mut half).into()];
            two.call_views(&[black_box(&x).into()], &outputs).expect("it fits");
        },
    );
}

/// Two threads that call one function, each with a shape of its own: against one thread that calls it with both by turns,
/// which also shows what the two cores do to each other, and against two threads that have a function each.
fn numbers_of_threads(engine: &Engine) {
    /// Much longer than it takes to start a thread.
    const CALLS: usize = 20_000;
    type Shapes = [[usize; 2]; 2];
    let [shared, other] = [(); 2].map(|()| engine.compile("softmax(x)").expect("it is valid"));
    let (first, second): (Shapes, Shapes) = ([[4, 16]; 2], [[2, 32]; 2]);
    let x = [1.0f32; 64];
    let calls = |function: &Function, shapes: &Shapes| {
        // Each thread has memory of its own, far from others'.
        let mut y = vec![0.0f32; 1024];
        for at in 0..CALLS {
            let shape = &shapes[at % 2];
            let x = ArrayRef::new(black_box(&x), shape).expect("it fits");
            let y = ArrayMut::new(&mut y[..64], shape).expect("it fits");
            function.call_positional(&[x], y).expect("it fits");
        }
    };
    let threads = |all: &[(&Function, Shapes)]| {
        std::thread::scope(|scope| {
            for (function, shapes) in all {
                scope.spawn(|| calls(function, shapes));
            }
        });
    };
    let two = [(&shared, first), (&shared, second)];
    compare(
        &format!("{CALLS} calls of `softmax(x)`, 64 elements, a thread: two threads, one"),
        || threads(&[(&shared, [first[0], second[0]])]),
        || threads(&two),
    );
    compare(
        &format!("{CALLS} calls of `softmax(x)`, 64 elements, two threads: one function, two"),
        || threads(&[(&shared, first), (&other, second)]),
        || threads(&two),
    );
}
