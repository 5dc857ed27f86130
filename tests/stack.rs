//! How much stack calls need: what the README says is enough, on threads that have no more.

mod common;

use common::best_engines;
use fuselet::{ArrayMut, ArrayRef, Engine, Function};

const KIB: usize = 1 << 10;
const TEXTS: [&str; 5] = [
    "gelu(x) * 2 + tanh(x)",
    "softmax(x * 2) |> gelu",
    "sparsemax(x)",
    "layer_norm(x)",
    "softmax(softmax(x, axis = 0), axis = 1)",
];

fn call(function: &Function) {
    let (x, mut y) = ([0.5f32; 7 * 40], [0.0f32; 7 * 40]);
    function.call(&[("x", ArrayRef::new(&x, &[7, 40]).unwrap())], ArrayMut::new(&mut y, &[7, 40]).unwrap()).unwrap();
    assert!(y.iter().all(|y| y.is_finite()));
}

/// Runs on a thread with a stack of so many bytes. (What needs more ends the process, by a signal.)
fn on_a_stack_of(bytes: usize, body: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(bytes).spawn_scoped(scope, body).unwrap().join().unwrap();
    });
}

#[test]
fn calls_that_compile_need_as_much_as_is_said() {
    for engine in best_engines() {
        let bytes = if engine.backend_name().starts_with("cranelift") { 256 * KIB } else { 64 * KIB };
        for text in TEXTS {
            // Nothing of it is compiled yet.
            let function = engine.compile(format!("{text} |> * 1.25")).unwrap();
            on_a_stack_of(bytes, || call(&function));
        }
    }
}

#[test]
fn calls_of_compiled_code_need_as_much_as_is_said() {
    for engine in best_engines() {
        for text in TEXTS {
            let function = engine.compile(text).unwrap();
            call(&function);
            on_a_stack_of(32 * KIB, || call(&function));
        }
    }
}

#[test]
fn parsing_deep_text_needs_as_much_as_is_said() {
    let engine = Engine::builder().threads(1).build().unwrap();
    let text = format!("{}x{}", "exp(".repeat(190), ")".repeat(190));
    on_a_stack_of(512 * KIB, || assert!(engine.compile(&text).is_ok()));
}
