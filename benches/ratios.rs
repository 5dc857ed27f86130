//! The ratios that say whether Fuselet is as fast as it should be, measured in turns (`common::timing`), so that they
//! hold on a machine that does other things too.
//!
//! `cargo bench --bench ratios` prints all tables, `cargo bench --bench ratios -- chains rows` these; the tables are
//! `chains`, `streaming`, `handwritten`, `widths`, `interpreter`, `rows`, `calls`, `compile`, `verify`. Every figure is for one
//! thread. A ratio is of least times; where the median over turns differs by more than 8 % it stands beside it.

mod common;

use common::chains::{ACTIVATIONS, CHAINS, SILU_AFFINE, TEN_OPS, TEN_STEPS, expression};
use common::timing::{Contender, ratio, take_turns};
use common::{
    Array, CACHED, Case, CodeScratch, SIZES, WIDTH, backends, engine_named, engines, handwritten, rows, size_name,
};
use fuselet::lane::OperandArgument;
use fuselet::{ArrayRef, BackendChoice, Engine, Fusion, Isa, Verify};
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long the contenders of one row of a table take turns.
fn budget() -> Duration {
    // `cargo test --benches` only asks whether it runs.
    let benching = std::env::args().any(|argument| argument == "--bench");
    Duration::from_millis(if benching { 200 } else { 0 })
}

fn main() {
    let tables: [(&str, fn()); 9] = [
        ("chains", chains),
        ("streaming", streaming),
        ("handwritten", by_hand),
        ("widths", widths),
        ("interpreter", over_interpreter),
        ("rows", row_functions),
        ("calls", calls),
        ("compile", compile),
        ("verify", verify),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, table) in tables {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            table();
            println!();
        }
    }
}

fn title(text: &str) {
    println!("\n## {text}\n");
}

/// A ratio as tables print it.
fn times(slow: &Contender<'_>, fast: &Contender<'_>) -> String {
    let (least, median) = ratio(slow, fast);
    if (median / least - 1.0).abs() > 0.08 { format!("{least:.2} (~{median:.2})") } else { format!("{least:.2}") }
}

fn per_element(contender: &Contender<'_>, n: usize) -> String {
    format!("{:.3}", contender.least() / n as f64)
}

fn row(cells: impl IntoIterator<Item = String>) {
    println!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

fn header(cells: &[&str]) {
    row(cells.iter().map(|cell| (*cell).to_owned()));
    row(cells.iter().map(|_| "---".to_owned()));
}

/// Unfused over fused.
fn chains() {
    for (name, engine) in backends() {
        title(&format!("Fused, {name}: ns per element, and how many times longer unfused takes"));
        let sizes: Vec<String> = SIZES.iter().map(|n| size_name(*n)).collect();
        header(&[&["chain"], sizes.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
        for chain in &CHAINS {
            let mut cells = vec![chain.name.to_owned()];
            for n in SIZES {
                let mut fused = Case::sized(&engine, chain.text, Fusion::Full, n);
                let mut unfused = Case::sized(&engine, chain.text, Fusion::Off, n);
                let turns =
                    &mut [Contender::new("fused", || fused.call()), Contender::new("unfused", || unfused.call())];
                take_turns(turns, budget());
                cells.push(format!("{} · {}×", per_element(&turns[0], n), times(&turns[1], &turns[0])));
            }
            row(cells);
        }
    }
}

/// Ten ops at sizes out of cache: fused, unfused as the engine does it (with temporaries that it keeps between calls), and as a user
/// would who calls ten functions and reuses two arrays.
fn streaming() {
    title("Ten ops at 16M elements: ns per element");
    header(&["backend", "fused", "unfused ×", "ten calls over reused arrays", "×"]);
    let n = SIZES[3];
    for (name, engine) in backends() {
        let mut fused = Case::sized(&engine, TEN_OPS.text, Fusion::Full, n);
        let mut unfused = Case::sized(&engine, TEN_OPS.text, Fusion::Off, n);
        let input = |name: &str| {
            let at = fused.function.inputs().iter().position(|known| known == name).expect("it is an input");
            fused.inputs[at].clone()
        };
        let (x, extra) = (input("x"), [("b", input("b")), ("r", input("r")), ("v", input("v"))]);
        let steps: Vec<_> = TEN_STEPS.iter().map(|step| engine.compile(*step).expect("it is valid")).collect();
        let mut arrays = [Array::zeros(5, &x.shape), Array::zeros(6, &x.shape)];
        let mut ten_calls = || {
            let (mut from, mut to) = {
                let [first, second] = &mut arrays;
                (first, second)
            };
            for (at, step) in steps.iter().enumerate() {
                let source: &Array = if at == 0 { &x } else { from };
                let mut given: Vec<(&str, ArrayRef<'_>)> = vec![("t", source.view())];
                given.extend(
                    extra
                        .iter()
                        .filter(|(name, _)| step.inputs().iter().any(|known| known == name))
                        .map(|(name, array)| (*name, array.view())),
                );
                step.call(&given, to.view_mut()).expect("the call fits");
                std::mem::swap(&mut from, &mut to);
            }
        };
        let turns = &mut [
            Contender::new("fused", || fused.call()),
            Contender::new("unfused", || unfused.call()),
            Contender::new("ten calls", &mut ten_calls),
        ];
        take_turns(turns, budget() * 5);
        row([
            name.to_owned(),
            per_element(&turns[0], n),
            times(&turns[1], &turns[0]),
            per_element(&turns[2], n),
            times(&turns[2], &turns[0]),
        ]);
    }
}

const BY_HAND: [&str; 5] = ["silu", "gelu", "mish", "tanh", SILU_AFFINE.name];

fn text_of(name: &str) -> String {
    if name == SILU_AFFINE.name { SILU_AFFINE.text.to_owned() } else { format!("{name}(x)") }
}

/// Generated loops over hand-written ones of the same width. Neither is checked: what checking costs, `calls` says.
fn by_hand() {
    for (bits, backend) in [(128, "cranelift"), (512, "wide avx512")] {
        let (Some(kernels), Some(engine)) = (handwritten::at_width(bits), engine_named(backend)) else { continue };
        title(&format!("{backend} over the same algorithm by hand at {bits} bits (equal bits): ns by hand, ratio"));
        header(&["kernel", "1k", "16k", "256k"]);
        for name in BY_HAND {
            let mut cells = vec![name.to_owned()];
            for n in CACHED {
                let mut case = Case::sized(&engine, &text_of(name), Fusion::Full, n);
                let mut output = Array::zeros(0, &[n]);
                handwritten::run(&kernels, name, &case.inputs, output.data_mut());
                handwritten::assert_equal_bits(output.data(), case.output.data(), name);
                let inputs = case.inputs.clone();
                let turns = &mut [
                    Contender::new("by hand", || handwritten::run(&kernels, name, &inputs, output.data_mut())),
                    Contender::new("generated", case.raw()),
                ];
                take_turns(turns, budget());
                cells.push(format!("{} · {}", per_element(&turns[0], n), times(&turns[1], &turns[0])));
            }
            row(cells);
        }
    }
}

/// Cranelift over the wide backend at both its widths, loops alone: what checking a call costs, `calls` says.
fn widths() {
    title("Cranelift: ns per element; how many times longer than avx2, than avx512");
    header(&["kernel", "1k", "16k", "256k"]);
    let Some(cranelift) = engine_named("cranelift") else { return };
    let wide: Vec<Engine> = ["wide avx2", "wide avx512"].into_iter().filter_map(engine_named).collect();
    for name in BY_HAND.into_iter().chain([TEN_OPS.name]) {
        let text = if name == TEN_OPS.name { TEN_OPS.text.to_owned() } else { text_of(name) };
        let mut cells = vec![name.to_owned()];
        for n in CACHED {
            let mut cases: Vec<Case> = std::iter::once(&cranelift)
                .chain(&wide)
                .map(|engine| Case::sized(engine, &text, Fusion::Full, n))
                .collect();
            let mut turns: Vec<Contender<'_>> = cases.iter_mut().map(|case| Contender::new("", case.raw())).collect();
            take_turns(&mut turns, budget());
            let ratios: Vec<String> = turns[1..].iter().map(|wide| format!("{}×", times(&turns[0], wide))).collect();
            cells.push(format!("{} · {}", per_element(&turns[0], n), ratios.join(" · ")));
        }
        row(cells);
    }
}

/// Every activation: ns per element on each engine, and the interpreter over the best.
fn over_interpreter() {
    let engines = engines();
    for n in CACHED {
        title(&format!("Activations at {}: ns per element", size_name(n)));
        let names: Vec<&str> = engines.iter().map(|(name, _)| *name).collect();
        header(&[&["activation"], names.as_slice(), &["interpreter/best native"]].concat());
        for activation in ACTIVATIONS {
            let text = expression(activation);
            let mut cases: Vec<Case> =
                engines.iter().map(|(_, engine)| Case::sized(engine, &text, Fusion::Full, n)).collect();
            let mut turns: Vec<Contender<'_>> =
                cases.iter_mut().map(|case| Contender::new("", || case.call())).collect();
            take_turns(&mut turns, budget());
            let mut cells = vec![activation.to_owned()];
            cells.extend(turns.iter().map(|contender| per_element(contender, n)));
            let best = turns[1..].iter().min_by(|a, b| a.least().total_cmp(&b.least()));
            cells.push(best.map_or("-".to_owned(), |best| times(&turns[0], best)));
            row(cells);
        }
    }
}

/// Row functions: unfused over fused; softmax over its own arithmetic.
fn row_functions() {
    for (name, engine) in backends() {
        title(&format!("Rows, {name}: ns per input element, and how many times longer unfused takes"));
        let shapes: Vec<String> = rows::SHAPES.iter().map(|(shape, axis)| rows::shape_name(shape, *axis)).collect();
        header(&[&["function"], shapes.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat());
        for function in &rows::FUNCTIONS {
            let mut cells = vec![function.name.to_owned()];
            for (shape, axis) in rows::SHAPES {
                let text = rows::text(function, axis);
                let mut fused = rows::case(&engine, &text, Fusion::Full, shape);
                let mut unfused = rows::case(&engine, &text, Fusion::Off, shape);
                let turns =
                    &mut [Contender::new("fused", || fused.call()), Contender::new("unfused", || unfused.call())];
                take_turns(turns, budget());
                let n = shape.iter().product();
                cells.push(format!("{} · {}×", per_element(&turns[0], n), times(&turns[1], &turns[0])));
            }
            row(cells);
        }
        let mut cells = vec!["softmax / own arithmetic".to_owned()];
        let read = handwritten::at_width(if name.starts_with("wide") { 512 } else { 128 }).map(|kernels| kernels.read);
        for (shape, axis) in rows::SHAPES {
            let text = rows::text(&rows::FUNCTIONS[0], axis);
            let mut softmax = rows::case(&engine, &text, Fusion::Full, shape);
            let mut arithmetic = rows::case(&engine, "exp(x - c)", Fusion::Full, shape);
            let turns = &mut [
                Contender::new("softmax", || softmax.call()),
                Contender::new("own arithmetic", || {
                    arithmetic.call();
                    if let Some(read) = read {
                        black_box(read(arithmetic.inputs[0].data()));
                    }
                }),
            ];
            take_turns(turns, budget());
            cells.push(format!("{} · {}", per_element(&turns[1], shape.iter().product()), times(&turns[0], &turns[1])));
        }
        row(cells);
    }
}

/// Calls at 16 elements.
fn calls() {
    const N: usize = 16;
    title("A call at 16 elements: ns");
    header(&["function", "backend", "checked call", "call_raw", "code alone", "checked − code"]);
    for (function, text) in [("silu", "silu(x)"), (SILU_AFFINE.name, SILU_AFFINE.text)] {
        for (name, engine) in backends() {
            let count = engine.compile(text).expect("it is valid").inputs().len();
            let inputs: Vec<Rc<Array>> = (0..count).map(|at| Array::normal(at as u64, &[N])).collect();
            let case = Case::new(&engine, text, Fusion::Full, inputs);
            let prepared = case.prepared();
            let compiled = prepared.explain().passes.swap_remove(0);
            let slices: Vec<&[f32]> = case.inputs.iter().map(|array| array.data()).collect();
            let names = case.function.inputs().iter();
            let given: Vec<(&str, ArrayRef<'_>)> =
                names.zip(&slices).map(|(name, slice)| (name.as_str(), (*slice).into())).collect();
            let pointers: Vec<*const u8> = case.inputs.iter().map(|array| array.data().as_ptr().cast()).collect();
            let (mut checked_output, mut raw_output) = (Array::zeros(0, &[N]), Array::zeros(0, &[N]));
            let checked_output = checked_output.data_mut();
            let outputs = [raw_output.data_mut().as_mut_ptr().cast::<u8>()];
            let arguments: Vec<OperandArgument> = pointers
                .iter()
                .map(|pointer| pointer.cast_mut())
                .chain(outputs)
                .map(|pointer| OperandArgument { pointer, stride: 4, outer_stride: 0 })
                .collect();
            let mut scratch = CodeScratch::of(compiled.code.as_ref());
            let turns = &mut [
                Contender::new("checked", || case.function.call(&given, &mut *checked_output).expect("the call fits")),
                // SAFETY: the arrays are those of the signature, and the output is none of the inputs.
                Contender::new("raw", || unsafe { prepared.call_raw(&pointers, &outputs) }.expect("there is memory")),
                // SAFETY: an elementwise pass has one operand for each input and output, in order.
                Contender::new("code", || unsafe { compiled.code.run_in(&arguments, N, 1, scratch.start()) }),
            ];
            take_turns(turns, budget());
            let mut cells = vec![function.to_owned(), name.to_owned()];
            cells.extend(turns.iter().map(|contender| format!("{:.1}", contender.least())));
            cells.push(format!("{:.1}", turns[0].least() - turns[2].least()));
            row(cells);
        }
    }
}

/// Compile latency, warm.
fn compile() {
    title("Compiling, warm: µs, least (median)");
    header(&["function", "backend", "text to function", "function to kernel", "of it the backend"]);
    for (function, text) in [("silu", "silu(x)"), (TEN_OPS.name, TEN_OPS.text), ("softmax", "softmax(x)")] {
        for (name, engine) in engines() {
            let choice = match name {
                "interpreter" => BackendChoice::Interpreter,
                "cranelift" => BackendChoice::Cranelift,
                _ => BackendChoice::Wide,
            };
            compile_row(function, text, name, choice, engine.isa());
        }
    }
}

fn compile_row(function: &str, text: &str, name: &str, choice: BackendChoice, isa: Isa) {
    // One place in the cache, taken by another expression before each sample.
    let engine = Engine::builder().backend(choice).isa(isa).threads(1).code_cache_bytes(0);
    let engine = engine.build().expect("this machine has it");
    let arrays = common::arrays(&engine.compile(text).expect("it is valid"), 16 * WIDTH);
    let signature = Case::new(&engine, text, Fusion::Full, arrays).signature();
    let passes = engine.compile(text).expect("it is valid").explain(&signature).expect("it fits").passes;
    let other = Array::normal(1, &[WIDTH]);
    let alone = common::backend_alone(choice, isa);
    let mut samples: [Vec<f64>; 3] = Default::default();
    let start = Instant::now();
    while samples[0].len() < 20 || start.elapsed() < budget() * 2 {
        Case::new(&engine, "x * x", Fusion::Full, vec![other.clone()]);
        let clock = Instant::now();
        let function = engine.compile(text).expect("it is valid");
        samples[0].push(clock.elapsed().as_secs_f64() * 1e6);
        let clock = Instant::now();
        let prepared = function.prepare(&signature).expect("it fits");
        samples[1].push(clock.elapsed().as_secs_f64() * 1e6);
        drop(prepared);
        if let Some(alone) = &alone {
            let clock = Instant::now();
            let codes: Vec<_> = passes.iter().map(|pass| alone.compile(&pass.pass).expect("it can")).collect();
            samples[2].push(clock.elapsed().as_secs_f64() * 1e6);
            drop(codes);
        }
    }
    let mut cells = vec![function.to_owned(), name.to_owned()];
    for samples in &mut samples {
        samples.sort_by(f64::total_cmp);
        cells.push(match samples.first() {
            Some(least) => format!("{least:.1} ({:.1})", samples[samples.len() / 2]),
            None => "-".to_owned(),
        });
    }
    row(cells);
}

/// What `Verify::OnCompile` adds to the compilation of a function, warm.
fn verify() {
    title("Function to kernel, warm: µs, least (median)");
    header(&["function", "backend", "passes", "trusted", "verified", "the check, median"]);
    for (function, text) in [("silu", "silu(x)"), (TEN_OPS.name, TEN_OPS.text), ("softmax", "softmax(x)")] {
        for (name, engine) in engines() {
            let choice = match name {
                "interpreter" => continue,
                "cranelift" => BackendChoice::Cranelift,
                _ => BackendChoice::Wide,
            };
            let [trusting, verifying] = [Verify::Off, Verify::OnCompile].map(|verify| {
                let engine = Engine::builder().backend(choice).isa(engine.isa()).threads(1).verify(verify);
                engine.code_cache_bytes(0).build().expect("this machine has it")
            });
            let arrays = common::arrays(&trusting.compile(text).expect("it is valid"), 16 * WIDTH);
            let signature = Case::new(&trusting, text, Fusion::Full, arrays).signature();
            let other = Array::normal(1, &[WIDTH]);
            let mut samples: [Vec<f64>; 2] = Default::default();
            let mut passes = 0;
            let start = Instant::now();
            while samples[0].len() < 20 || start.elapsed() < budget() * 2 {
                for (engine, samples) in [&trusting, &verifying].into_iter().zip(&mut samples) {
                    // Takes the one place in the cache.
                    Case::new(engine, "x * x", Fusion::Full, vec![other.clone()]);
                    let function = engine.compile(text).expect("it is valid");
                    let clock = Instant::now();
                    let prepared = function.prepare(&signature).expect("it fits");
                    samples.push(clock.elapsed().as_secs_f64() * 1e6);
                    passes = prepared.explain().passes.len();
                }
            }
            samples.iter_mut().for_each(|samples| samples.sort_by(f64::total_cmp));
            let median = |samples: &[f64]| samples[samples.len() / 2];
            let mut cells = vec![function.to_owned(), name.to_owned(), passes.to_string()];
            cells.extend(samples.iter().map(|samples| format!("{:.1} ({:.1})", samples[0], median(samples))));
            cells.push(format!("{:.1}", median(&samples[1]) - median(&samples[0])));
            row(cells);
        }
    }
}
