//! Generated loops against the same algorithms written by hand with `std::arch`. Bits are compared first.

mod common;

use common::chains::SILU_AFFINE;
use common::handwritten::{self, Kernels};
use common::{Array, CACHED, Case, engine_named, size_name};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fuselet::Fusion;
use std::time::Duration;

/// The backend that a width is compared with.
const WIDTHS: [(usize, &str); 2] = [(128, "cranelift"), (512, "wide avx512")];

fn handwritten_kernels(criterion: &mut Criterion) {
    let available = WIDTHS
        .iter()
        .filter_map(|(bits, backend)| Some((*bits, *backend, handwritten::at_width(*bits)?, engine_named(backend)?)));
    let available: Vec<(usize, &str, Kernels, fuselet::Engine)> = available.collect();
    for name in ["silu", "gelu", "mish", "tanh", SILU_AFFINE.name] {
        let mut group = criterion.benchmark_group(format!("handwritten/{name}"));
        group.sample_size(20).warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
        for n in CACHED {
            group.throughput(Throughput::Elements(n as u64));
            for (bits, backend, kernels, engine) in &available {
                let text = if name == SILU_AFFINE.name { SILU_AFFINE.text.to_owned() } else { format!("{name}(x)") };
                let mut case = Case::sized(engine, &text, Fusion::Full, n);
                let mut output = Array::zeros(0, &[n]);
                handwritten::run(kernels, name, &case.inputs, output.data_mut());
                handwritten::assert_equal_bits(output.data(), case.output.data(), name);
                let hand = BenchmarkId::new(format!("by hand {bits}"), size_name(n));
                group.bench_function(hand, |bencher| {
                    bencher.iter(|| handwritten::run(kernels, name, &case.inputs, output.data_mut()));
                });
                group.bench_function(BenchmarkId::new(*backend, size_name(n)), |bencher| bencher.iter(case.raw()));
            }
        }
        group.finish();
    }
}

criterion_group!(benches, handwritten_kernels);
criterion_main!(benches);
