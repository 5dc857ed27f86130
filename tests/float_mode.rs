//! The caller's floating-point mode changes no bit, and is the caller's again afterwards.
//!
//! Hosts run with subnormals flushed to zero (torch, ONNX Runtime, audio hosts) or with another rounding; some enable traps.
//! Whatever is set when the library is entered, in compiling (where constants are folded), in every way to call, in events
//! and on other threads, results have the bits of the default mode; and after a success, an error and a panic the mode is
//! what it was.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use fuselet::{ArrayMut, ArrayOut, ArrayRef, BackendChoice, Dtype, Engine, Event, Executor, Fusion, Signature};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[cfg(target_arch = "x86_64")]
mod mode {
    use std::arch::asm;

    pub type Word = u32;

    const DEFAULT: Word = 0x1f80;

    /// Flags that arithmetic sets, which are no part of the mode.
    pub const FLAGS: Word = 0x3f;

    /// FTZ and DAZ, each and both; the other roundings; both at once.
    pub const ALL: [Word; 8] = [
        DEFAULT,
        DEFAULT | 0x8000,
        DEFAULT | 0x0040,
        DEFAULT | 0x8040,
        DEFAULT | 0x2000,
        DEFAULT | 0x4000,
        DEFAULT | 0x6000,
        DEFAULT | 0x8040 | 0x6000,
    ];

    /// Division by zero, overflow and invalid operations trap; the rest as in the default mode.
    pub const TRAPS: Word = DEFAULT & !0x0680;

    pub fn get() -> Word {
        let mut word: Word = 0;
        // SAFETY: stores four bytes to a local.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack, preserves_flags)) };
        word & !FLAGS
    }

    pub fn set(word: Word) {
        // SAFETY: a valid word; the code that runs under it is the library's border, which the test is about, and moves of data.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod mode {
    use std::arch::asm;

    pub type Word = u64;

    /// Flush to zero; the other roundings; both.
    pub const ALL: [Word; 6] = [0, 1 << 24, 1 << 22, 2 << 22, 3 << 22, 1 << 24 | 3 << 22];

    /// AArch64 may have no traps to enable.
    pub const TRAPS: Word = 0;

    pub fn get() -> Word {
        let word: Word;
        // SAFETY: reads the control register.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    pub fn set(word: Word) {
        // SAFETY: bits the architecture defines; as above.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }
}

/// Runs the body in a mode; fails if the mode is another one afterwards.
#[track_caller]
fn under<R>(word: mode::Word, what: &str, body: impl FnOnce() -> R) -> R {
    let before = mode::get();
    mode::set(word);
    let result = body();
    let after = mode::get();
    mode::set(before);
    assert_eq!(after, word, "{what}: the mode was {word:#x} and is {after:#x}");
    result
}

/// Elements: more than one thread's share of a chain.
const LENGTH: usize = 40_000;

/// Subnormals in and out, sums and products that round, and what overflows.
fn numbers() -> Vec<f32> {
    (0..LENGTH as u32)
        .map(|at| match at % 5 {
            0 => f32::from_bits(at * 37 % 0x0080_0000),
            1 => -f32::from_bits(at * 91 % 0x0100_0000),
            2 => (at as f32).mul_add(0.37e-3, -7.0),
            3 => f32::from_bits(0x2000_0000 + at.wrapping_mul(0x9e37)),
            _ => -1.0 / (1.0 + at as f32),
        })
        .collect()
}

/// Chains, each with constants to be parsed and folded on the way; and rows.
const TEXTS: [&str; 7] = [
    "x * 0.1 + 1e-39 |> silu |> tanh",
    "gelu(x / 3) * (0.1 * 0.7) + exp(-3.7)",
    "x ^ (0.1 * 30) + log1p(sqrt(0.173)) * 1e-38",
    "exp(x * 30) - 1.000000059604644775390625",
    "softmax(x * 0.3)",
    "layer_norm(x + 0.1) * 1e-30 * 1e-10",
    "sum(x * 1e-20) / 3",
];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() }).collect()
}

/// Every way to call a function of one input, each on its own function so that each plans and compiles.
const WAYS: usize = 9;

fn shape(text: &str) -> Vec<usize> {
    if text.contains("softmax") || text.contains("norm") || text.contains("sum") {
        vec![40, LENGTH / 40]
    } else {
        vec![LENGTH]
    }
}

/// A result by one of the ways; `None` where the function cannot be called so.
fn result(engine: &Engine, text: &str, fusion: Fusion, way: usize, x: &[f32], mode: mode::Word) -> Option<Vec<u32>> {
    let context = format!("{text}, {fusion:?}, way {way}, {}", engine.backend_name());
    let shape = shape(text);
    let view = || ArrayRef::new(x, &shape).unwrap();
    let function = under(mode, &context, || engine.compile_with(text, fusion)).unwrap();
    let length: usize = function.output_shapes(&[shape.clone()]).unwrap()[0].iter().product();
    let output_shape = function.output_shapes(&[shape.clone()]).unwrap()[0].clone();
    let mut y = vec![f32::NAN; length];
    let signature = || Signature::new().with("x", Dtype::F32, &shape).unwrap();
    match way {
        0 => under(mode, &context, || function.call(&[("x", view())], ArrayMut::new(&mut y, &output_shape).unwrap()))
            .unwrap(),
        1 => {
            under(mode, &context, || function.call_positional(&[view()], ArrayMut::new(&mut y, &output_shape).unwrap()))
                .unwrap()
        }
        2 => {
            let output = ArrayOut::from(ArrayMut::new(&mut y, &output_shape).unwrap());
            under(mode, &context, || function.call_many(&[("x", view())], [("out", output)])).unwrap();
        }
        3 => y = under(mode, &context, || function.call_to_vec::<f32>(&[("x", view())])).unwrap(),
        4 => {
            let mut both = x.to_vec();
            let array = ArrayMut::new(&mut both, &shape).unwrap();
            if under(mode, &context, || function.call_in_place(("x", array), &[])).is_err() {
                return None;
            }
            y = both;
        }
        5 => {
            let prepared = under(mode, &context, || function.prepare(&signature())).unwrap();
            under(mode, &context, || prepared.call(&[view()], ArrayMut::new(&mut y, &output_shape).unwrap())).unwrap();
        }
        6 => {
            let prepared = under(mode, &context, || function.prepare(&signature())).unwrap();
            // SAFETY: arrays of the signature's shapes.
            under(mode, &context, || unsafe { prepared.call_raw(&[x.as_ptr().cast()], &[y.as_mut_ptr().cast()]) })
                .unwrap();
        }
        7 => {
            let signature = Signature::new().with("x", Dtype::F32, &[2, 2]).unwrap();
            let tile = under(mode, &context, || function.tile(&signature)).ok()?;
            let (rows, columns) = (40, LENGTH / 40);
            let pointers = [x.as_ptr().cast_mut().cast(), y.as_mut_ptr().cast()];
            // SAFETY: two matrices of so many rows and columns.
            under(mode, &context, || unsafe { tile.call(&pointers, &[columns as isize; 2], rows, columns) });
        }
        // A second call, of what is kept.
        8 => {
            function.call(&[("x", view())], ArrayMut::new(&mut y, &output_shape).unwrap()).unwrap();
            y.fill(f32::NAN);
            under(mode, &context, || function.call(&[("x", view())], ArrayMut::new(&mut y, &output_shape).unwrap()))
                .unwrap();
        }
        _ => unreachable!(),
    }
    Some(bits(&y))
}

/// Threads of the host's that run in a mode of their own.
struct InMode(mode::Word);

impl Executor for InMode {
    fn parallelism(&self) -> usize {
        3
    }
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for number in 0..parts {
                scope.spawn(move || under(self.0, "a worker", || part(number)));
            }
        });
    }
}

fn engines(workers: mode::Word) -> Vec<Engine> {
    let choices = [BackendChoice::Interpreter, BackendChoice::Cranelift, BackendChoice::Auto];
    choices
        .into_iter()
        .flat_map(|choice| {
            let one = Engine::builder().backend(choice).threads(1);
            let many = Engine::builder().backend(choice).executor(Arc::new(InMode(workers)));
            [one, many]
        })
        .map(|builder| builder.build().unwrap())
        .collect()
}

#[test]
fn no_mode_changes_a_bit_of_any_way_to_call() {
    let x = numbers();
    // Engines keep code, so each mode has its own, which compile under it.
    let by_mode: Vec<Vec<Engine>> = mode::ALL.iter().map(|word| engines(*word)).collect();
    for text in TEXTS {
        for fusion in [Fusion::Full, Fusion::Off] {
            for way in 0..WAYS {
                for (engine, wanted_of) in by_mode[0].iter().enumerate() {
                    let wanted = result(wanted_of, text, fusion, way, &x, mode::ALL[0]);
                    for (word, engines) in mode::ALL.iter().zip(&by_mode).skip(1) {
                        let found = result(&engines[engine], text, fusion, way, &x, *word);
                        let differing = match (&found, &wanted) {
                            (Some(found), Some(wanted)) => found.iter().zip(wanted).filter(|(a, b)| a != b).count(),
                            (None, None) => 0,
                            _ => LENGTH,
                        };
                        assert_eq!(
                            differing, 0,
                            "{text}, {fusion:?}, way {way}, mode {word:#x}, {:?}",
                            engines[engine]
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn traps_of_the_caller_are_not_sprung() {
    let x = [0.0f32, -0.0, f32::MAX, f32::INFINITY, f32::NAN, -1.0, 1e-45, 100.0];
    for engine in engines(mode::TRAPS) {
        for text in ["1 / x", "log(x)", "exp(x * x)", "sqrt(x)", "x - x ^ 0.3", "x + 1e300 * 1e300"] {
            let wanted = engine.compile(text).unwrap().call_to_vec::<f32>(&[("x", (&x).into())]).unwrap();
            let function = under(mode::TRAPS, text, || engine.compile(text)).unwrap();
            let mut y = [0.0f32; 8];
            under(mode::TRAPS, text, || function.call(&[("x", (&x).into())], &mut y)).unwrap();
            assert_eq!(bits(&y), bits(&wanted), "{text}");
        }
    }
}

#[test]
fn the_mode_is_the_callers_after_an_error_and_after_a_panic() {
    for word in mode::ALL {
        let engine = Engine::builder().threads(1).build().unwrap();
        under(word, "a text that is wrong", || assert!(engine.compile("x +").is_err()));
        let function = engine.compile("x + y").unwrap();
        let mut z = [0.0f32; 2];
        under(word, "no such input", || {
            let call = function.call(&[("q", (&[1.0f32, 2.0]).into())], &mut z);
            assert!(call.is_err());
        });
        under(word, "shapes that do not fit", || {
            let call = function.call(&[("x", (&[1.0f32, 2.0]).into()), ("y", (&[1.0f32; 3]).into())], &mut z);
            assert!(call.is_err());
        });
        under(word, "a signature that does not fit", || assert!(function.prepare(&Signature::new()).is_err()));
        let panicking = Engine::builder().threads(1).on_event(|event| panic!("{event}")).build().unwrap();
        let function = panicking.compile("x * 3").unwrap();
        under(word, "a subscriber that panics", || {
            let call = AssertUnwindSafe(|| function.call_to_vec::<f32>(&[("x", (&[1.0f32]).into())]));
            assert!(catch_unwind(call).is_err());
        });
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let list = heard.clone();
        let listening = Engine::builder()
            .threads(1)
            .on_event(move |event: &Event| list.lock().unwrap().push((mode::get(), event.clone())))
            .build()
            .unwrap();
        under(word, "a subscriber", || {
            listening.compile("x * 3").unwrap().call_to_vec::<f32>(&[("x", (&[1.0f32]).into())]).unwrap();
        });
        // Subscribers are Rust code, which expects the default mode.
        assert!(heard.lock().unwrap().iter().all(|(inside, _)| *inside == mode::ALL[0]));
    }
}
