//! Chains fused into one kernel, against the same chains with every activation and op a kernel of its own.
//!
//! `cargo bench --bench chains -- 16k/cranelift` measures a part.

mod common;

use common::chains::CHAINS;
use common::{Case, SIZES, backends, size_name};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fuselet::Fusion;
use std::time::Duration;

fn chains(criterion: &mut Criterion) {
    for chain in &CHAINS {
        let mut group = criterion.benchmark_group(format!("chains/{}", chain.name));
        group.sample_size(10).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
        for n in SIZES {
            group.throughput(Throughput::Elements(n as u64));
            for (name, engine) in backends() {
                for (how, fusion) in [("fused", Fusion::Full), ("unfused", Fusion::Off)] {
                    let mut case = Case::sized(&engine, chain.text, fusion, n);
                    let id = BenchmarkId::new(how, format!("{}/{name}", size_name(n)));
                    group.bench_function(id, |bencher| bencher.iter(|| case.call()));
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, chains);
criterion_main!(benches);
