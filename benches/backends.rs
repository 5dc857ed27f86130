//! Every elementwise activation on every backend and level, in cache.

mod common;

use common::chains::{ACTIVATIONS, expression};
use common::{CACHED, Case, engines, size_name};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fuselet::Fusion;
use std::time::Duration;

fn activations(criterion: &mut Criterion) {
    for activation in ACTIVATIONS {
        let mut group = criterion.benchmark_group(format!("backends/{activation}"));
        group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(300));
        for n in CACHED {
            group.throughput(Throughput::Elements(n as u64));
            for (name, engine) in engines() {
                let mut case = Case::sized(&engine, &expression(activation), Fusion::Full, n);
                group.bench_function(BenchmarkId::new(name, size_name(n)), |bencher| bencher.iter(|| case.call()));
            }
        }
        group.finish();
    }
}

criterion_group!(benches, activations);
criterion_main!(benches);
