//! The library's functions through the engine, on each backend: what a user of one gets.

use fuselet::{ArrayMut, ArrayRef, BackendChoice, Engine, Function, Isa};
use std::time::Instant;

const EXPRESSIONS: [&str; 30] = [
    "relu(x)",
    "leaky_relu(x)",
    "elu(x)",
    "selu(x)",
    "celu(x)",
    "sigmoid(x)",
    "tanh(x)",
    "softplus(x)",
    "log_sigmoid(x)",
    "exponential(x)",
    "softsign(x)",
    "silu(x)",
    "mish(x)",
    "gelu(x)",
    "gelu(x, approximate = true)",
    "hard_sigmoid(x)",
    "hard_silu(x)",
    "hard_tanh(x)",
    "soft_shrink(x)",
    "tanh_shrink(x)",
    "sparse_plus(x)",
    "squareplus(x)",
    "erf(x)",
    "log(abs(x))",
    "sin(x)",
    "silu(x * 1.5 + 0.25) * 2 + x",
    "gelu(x + 0.5) + x",
    "x * 2 + 1 |> gelu |> tanh |> silu |> mish",
    "softmax(x)",
    "log_softmax(x)",
];

fn engines() -> Vec<Engine> {
    let choices = [
        (BackendChoice::Wide, Isa::Avx512),
        (BackendChoice::Wide, Isa::Avx2),
        (BackendChoice::Cranelift, Isa::AvxFma),
        (BackendChoice::Interpreter, Isa::Avx512),
    ];
    let available = choices.into_iter().filter(|(_, isa)| isa.is_available());
    available
        .map(|(backend, isa)| Engine::builder().backend(backend).isa(isa).threads(1).build().expect("it builds"))
        .collect()
}

/// A line for each expression and size.
pub fn main(chosen: &[String], dtype_is_f64: bool) {
    let engines = engines();
    for expression in EXPRESSIONS {
        if !chosen.is_empty() && !chosen.iter().any(|name| expression.contains(name.as_str())) {
            continue;
        }
        let functions: Vec<Function> =
            engines.iter().map(|engine| engine.compile(expression).expect("it compiles")).collect();
        for rows in [1usize, 16] {
            let (n, shape) = (1024 * rows, [rows, 1024]);
            let best = if dtype_is_f64 {
                let x: Vec<f64> = (0..n).map(|i| ((i * 7919) % 4001) as f64 / 250.0 - 8.0).collect();
                race(&functions, n, |function, y: &mut [f64]| {
                    let x = ArrayRef::new(&x, &shape).expect("it fits");
                    let y = ArrayMut::new(y, &shape).expect("it fits");
                    function.call(&[("x", x)], y).expect("it runs");
                })
            } else {
                let x: Vec<f32> = (0..n).map(|i| ((i * 7919) % 4001) as f32 / 250.0 - 8.0).collect();
                race(&functions, n, |function, y: &mut [f32]| {
                    let x = ArrayRef::new(&x, &shape).expect("it fits");
                    let y = ArrayMut::new(y, &shape).expect("it fits");
                    function.call(&[("x", x)], y).expect("it runs");
                })
            };
            print!("{expression:45} {n:6}");
            for (engine, time) in engines.iter().zip(&best) {
                print!("  {} {time:.3}", engine.backend_name());
            }
            if let [wide512, wide256, cranelift, interpreter] = best[..] {
                let [a, b, c] = [cranelift / wide512, cranelift / wide256, interpreter / wide512];
                print!("   | cranelift/wide {a:.2} {b:.2}  interpreter/wide {c:.2}");
            }
            println!();
        }
    }
}

fn race<T: Clone + Default>(functions: &[Function], n: usize, mut call: impl FnMut(&Function, &mut [T])) -> Vec<f64> {
    let mut y = vec![T::default(); n];
    let repeats = ((1 << 16) / n).max(1);
    let mut best = vec![f64::INFINITY; functions.len()];
    for _ in 0..30 {
        for (place, function) in functions.iter().enumerate() {
            let start = Instant::now();
            (0..repeats).for_each(|_| call(function, &mut y));
            best[place] = best[place].min(start.elapsed().as_nanos() as f64 / (repeats * n) as f64);
        }
    }
    best
}
