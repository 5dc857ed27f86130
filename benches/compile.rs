//! Compile latency, warm: from text to a prepared call, and the backend's share of it.
//!
//! The engine's cache holds one pass, and another expression is compiled between any two samples, so every sample
//! compiles.

mod common;

use common::chains::TEN_OPS;
use common::{WIDTH, backend_alone, engine, engines};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use fuselet::{BackendChoice, Dtype, Engine, Function, Isa, Prepared, Signature};

const FUNCTIONS: [(&str, &str); 3] = [("silu", "silu(x)"), (TEN_OPS.name, TEN_OPS.text), ("softmax", "softmax(x)")];

fn prepared(function: &Function) -> Prepared {
    let signature = function.inputs().iter().fold(Signature::new(), |signature, name| {
        let shape: &[usize] = if name == "b" || name == "v" { &[WIDTH] } else { &[16, WIDTH] };
        signature.with(name, Dtype::F32, shape).expect("the rank is small")
    });
    function.prepare(&signature).expect("the signature fits")
}

fn compile(criterion: &mut Criterion) {
    for (function, text) in FUNCTIONS {
        let mut group = criterion.benchmark_group(format!("compile/{function}"));
        for (name, backend, level) in levels() {
            let engine = Engine::builder().backend(backend).isa(level).threads(1).code_cache_bytes(0);
            let engine = engine.build().expect("it was built before");
            let evict = || drop(prepared(&engine.compile("x * x").expect("it is valid")));
            group.bench_function(BenchmarkId::new("text to kernel", name), |bencher| {
                let make = |()| prepared(&engine.compile(text).expect("it is valid"));
                bencher.iter_batched(evict, make, BatchSize::PerIteration);
            });
            let Some(alone) = backend_alone(backend, level) else { continue };
            let passes = prepared(&engine.compile(text).expect("it is valid")).explain().passes;
            group.bench_function(BenchmarkId::new("backend alone", name), |bencher| {
                bencher.iter_with_large_drop(|| {
                    passes.iter().map(|compiled| alone.compile(&compiled.pass).expect("it can")).collect::<Vec<_>>()
                });
            });
        }
        group.finish();
    }
}

fn levels() -> Vec<(&'static str, BackendChoice, Isa)> {
    let choice = |name: &str| match name {
        "interpreter" => BackendChoice::Interpreter,
        "cranelift" => BackendChoice::Cranelift,
        _ => BackendChoice::Wide,
    };
    engines().into_iter().map(|(name, engine)| (name, choice(name), engine.isa())).collect()
}

fn engines_start(criterion: &mut Criterion) {
    criterion.bench_function("compile/a new engine", |bencher| {
        bencher.iter(|| engine(BackendChoice::Auto, Isa::detect()).expect("this machine has it"));
    });
}

criterion_group!(benches, compile, engines_start);
criterion_main!(benches);
