//! Every backend at every instruction-set level of the host gives the bits the lane ops mean.

mod backend_suite;

use fuselet::codegen::Backend;
use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::isa::Isa;

fn interpreter(isa: Isa) -> Option<Box<dyn Backend>> {
    isa.is_available().then(|| Box::new(Interpreter::new(isa)) as Box<dyn Backend>)
}

backend_suite!(interpreter_baseline, interpreter(Isa::Baseline));
backend_suite!(interpreter_avx_fma, interpreter(Isa::AvxFma));
backend_suite!(interpreter_avx2, interpreter(Isa::Avx2));
backend_suite!(interpreter_avx512, interpreter(Isa::Avx512));

#[cfg(feature = "cranelift")]
mod cranelift {
    use super::*;
    use fuselet::codegen::InParts;
    use fuselet::codegen::cranelift::Cranelift;

    fn cranelift(isa: Isa) -> Option<Box<dyn Backend>> {
        isa.is_available().then(|| Box::new(Cranelift::new(isa).expect("it knows this machine")) as Box<dyn Backend>)
    }

    /// As the engine has it: long passes cut into parts.
    fn in_parts(isa: Isa) -> Option<Box<dyn Backend>> {
        let inner = || Cranelift::new(isa).expect("it knows this machine");
        isa.is_available().then(|| Box::new(InParts { inner: inner() }) as Box<dyn Backend>)
    }

    backend_suite!(baseline, cranelift(Isa::Baseline));
    backend_suite!(avx_fma, cranelift(Isa::AvxFma));
    backend_suite!(baseline_in_parts, in_parts(Isa::Baseline));
    backend_suite!(avx_fma_in_parts, in_parts(Isa::AvxFma));
}

#[cfg(all(feature = "wide", target_arch = "x86_64"))]
mod wide {
    use super::*;
    use fuselet::codegen::InParts;
    use fuselet::codegen::wide::Wide;

    fn wide(isa: Isa) -> Option<Box<dyn Backend>> {
        isa.is_available().then(|| Box::new(Wide::new(isa).expect("the machine has it")) as Box<dyn Backend>)
    }

    fn wide_in_parts(isa: Isa) -> Option<Box<dyn Backend>> {
        let inner = || Wide::new(isa).expect("the machine has it");
        isa.is_available().then(|| Box::new(InParts { inner: inner() }) as Box<dyn Backend>)
    }

    backend_suite!(avx2, wide(Isa::Avx2));
    backend_suite!(avx512, wide(Isa::Avx512));
    backend_suite!(avx2_in_parts, wide_in_parts(Isa::Avx2));
    backend_suite!(avx512_in_parts, wide_in_parts(Isa::Avx512));
}
