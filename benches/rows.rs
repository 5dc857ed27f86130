//! Row functions, fused and unfused, beside their own arithmetic: the elementwise kernel `exp(x - c)` and one reading pass.

mod common;

use common::rows::{FUNCTIONS, SHAPES, case, shape_name, text};
use common::{backends, handwritten};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fuselet::Fusion;
use std::hint::black_box;
use std::time::Duration;

fn rows(criterion: &mut Criterion) {
    for (shape, axis) in SHAPES {
        let mut group = criterion.benchmark_group(format!("rows/{}", shape_name(shape, axis)));
        group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
        group.throughput(Throughput::Elements(shape.iter().product::<usize>() as u64));
        for (name, engine) in backends() {
            for function in &FUNCTIONS {
                for (how, fusion) in [("fused", Fusion::Full), ("unfused", Fusion::Off)] {
                    let mut case = case(&engine, &text(function, axis), fusion, shape);
                    let id = BenchmarkId::new(format!("{} {how}", function.name), name);
                    group.bench_function(id, |bencher| bencher.iter(|| case.call()));
                }
            }
            let mut arithmetic = case(&engine, "exp(x - c)", Fusion::Full, shape);
            let read = handwritten::at_width(if name.starts_with("wide") { 512 } else { 128 }).map(|k| k.read);
            group.bench_function(BenchmarkId::new("softmax's own arithmetic", name), |bencher| {
                bencher.iter(|| {
                    arithmetic.call();
                    if let Some(read) = read {
                        black_box(read(arithmetic.inputs[0].data()));
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, rows);
criterion_main!(benches);
