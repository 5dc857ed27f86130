//! What a call costs around the loop, at 16 elements: the checked call, the kernel without checks, the code alone.

mod common;

use common::chains::SILU_AFFINE;
use common::{Array, Case, backends};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fuselet::lane::OperandArgument;
use fuselet::{Fusion, Input};
use std::rc::Rc;

const N: usize = 16;

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
            let given: Vec<(&str, &dyn Input)> =
                names.iter().zip(&slices).map(|(name, slice)| (name.as_str(), slice as &dyn Input)).collect();
            group.bench_function(BenchmarkId::new("checked call", name), |bencher| {
                let mut output = output.data_mut();
                bencher.iter(|| case.function.call(&given, &mut output));
            });

            let kernel = case.kernel();
            let pointers: Vec<*const u8> = case.inputs.iter().map(|x| x.data().as_ptr().cast()).collect();
            let outputs = [output.data_mut().as_mut_ptr().cast::<u8>()];
            group.bench_function(BenchmarkId::new("call_raw", name), |bencher| {
                // SAFETY: the arrays are those of the kernel's signature, and the output is none of the inputs.
                bencher.iter(|| unsafe { kernel.call_raw(&pointers, &outputs) });
            });

            let compiled = kernel.explain().passes.swap_remove(0);
            let arguments: Vec<OperandArgument> = pointers
                .iter()
                .map(|pointer| pointer.cast_mut())
                .chain(outputs)
                .map(|pointer| OperandArgument { pointer, stride: 4, outer_stride: 0 })
                .collect();
            group.bench_function(BenchmarkId::new("code alone", name), |bencher| {
                // SAFETY: an elementwise pass has one operand for each input and output, in order.
                bencher.iter(|| unsafe { compiled.code.run(&arguments, N, 1) });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, calls);
criterion_main!(benches);
