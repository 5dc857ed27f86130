//! What only Cranelift can get wrong: which instructions are used, listings, huge bodies, dirty registers.
//! What every backend can get wrong is in `backends.rs`.

#![cfg(feature = "cranelift")]

#[allow(dead_code)]
mod backend_suite;

#[cfg(target_arch = "x86_64")]
use backend_suite::random::{Choices, random_pass};
use fuselet::array::{ComputeDtype, Dtype};
use fuselet::codegen::cranelift::Cranelift;
use fuselet::codegen::isa::Isa;
use fuselet::codegen::{Backend, BackendError, Code};
use fuselet::lane::{LaneBuilder, LaneOp, Layout, Operand, OperandArgument, OperandId, Pass, Role};

fn levels() -> impl Iterator<Item = Cranelift> {
    // Levels above make the same code as AVX and FMA.
    Isa::available()
        .filter(|level| *level <= Isa::AvxFma)
        .map(|level| Cranelift::new(level).expect("the host has the level"))
}

fn operand(role: Role, dtype: Dtype, name: &str) -> Operand {
    Operand { role, dtype, layout: Layout::Contiguous, name: name.to_owned() }
}

/// From `x` to `y`: products with constants below 2 and sums with `x` in turn, `length` in all.
fn chain(length: usize) -> Pass {
    let mut builder = LaneBuilder::new(ComputeDtype::F32, false);
    let x = builder.load(OperandId(0));
    let mut value = x;
    for index in 0..length {
        let constant = builder.number(factor(index, length).into());
        value = if index % 2 == 0 { builder.mul(value, constant) } else { builder.add(value, x) };
    }
    builder.store(OperandId(1), value);
    let operands = vec![operand(Role::Read, Dtype::F32, "x"), operand(Role::Write, Dtype::F32, "y")];
    Pass { name: "chain".to_owned(), program: builder.finish(), operands }
}

fn factor(index: usize, length: usize) -> f32 {
    index as f32 / length as f32 / 2.0
}

/// What [`chain`] means.
fn chained(x: f32, length: usize) -> f32 {
    (0..length).fold(x, |value, index| if index % 2 == 0 { value * factor(index, length) } else { value + x })
}

fn run(code: &dyn Code, x: &mut [f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    let arguments = [x.as_mut_ptr(), y.as_mut_ptr()].map(|pointer| OperandArgument {
        pointer: pointer.cast(),
        stride: 0,
        outer_stride: 0,
    });
    // SAFETY: both arrays hold the span, and are not the same.
    unsafe { code.run(&arguments, x.len(), 1) };
}

fn check_chain(backend: &Cranelift, length: usize, span: usize) {
    let code = backend.compile(&chain(length)).expect("it compiles");
    let mut x: Vec<f32> = (0..span).map(|i| i as f32 / 7.0 - 3.0).collect();
    let mut y = vec![f32::NAN; span];
    run(code.as_ref(), &mut x, &mut y);
    let meant: Vec<f32> = x.iter().map(|x| chained(*x, length)).collect();
    assert_eq!(y, meant, "{backend:?}, {length} operations");
}

#[test]
fn bodies_of_thousands_of_operations_compile_and_are_right() {
    for backend in levels() {
        for length in [3, 500, 5000, 20_000] {
            check_chain(&backend, length, 37);
        }
    }
}

#[test]
fn a_pass_lowered_for_fma_is_refused_by_a_machine_without() {
    let backend = Cranelift::new(Isa::Baseline).expect("every machine has the baseline");
    let mut builder = LaneBuilder::new(ComputeDtype::F32, true);
    let x = builder.load(OperandId(0));
    let value = builder.apply(LaneOp::Fma, &[x, x, x]);
    builder.store(OperandId(1), value);
    let operands = vec![operand(Role::Read, Dtype::F32, "x"), operand(Role::Write, Dtype::F32, "y")];
    let pass = Pass { name: "fma".to_owned(), program: builder.finish(), operands };
    if !backend.has_fma() {
        assert!(matches!(backend.compile(&pass), Err(BackendError::Unsupported { .. })));
    }
}

#[test]
fn intermediate_and_machine_code_can_be_read() {
    for backend in levels() {
        let code = backend.compile(&chain(4)).expect("it compiles");
        assert!(code.code_size() > 0);
        let clif = code.intermediate().expect("Cranelift can always remake it");
        assert!(clif.contains("function u0:0(") && clif.contains("f32x4"), "{clif}");
        if cfg!(target_arch = "x86_64") {
            let text = code.disassembly().expect("x86-64 has a disassembler");
            assert!(text.contains("mulps") && text.contains("ret"), "{text}");
            assert!(!text.contains("(bad)"), "{text}");
        }
    }
}

/// The baseline has to run on machines without AVX. `vzeroupper` at the entry is there only where the host has it.
#[cfg(target_arch = "x86_64")]
#[test]
fn baseline_code_has_no_avx_instruction() {
    let backend = Cranelift::new(Isa::Baseline).expect("every machine has the baseline");
    for wide in [false, true] {
        for seed in 0..60 {
            let instructions =
                (0..200).map(|index: u64| (seed * 1000 + index).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let choices = Choices { wide, seed, instructions, span: 0, outer: 0 };
            let pass = random_pass(&choices, false);
            let text = backend.compile(&pass).expect("it compiles").disassembly().expect("x86-64");
            for line in text.lines().filter(|line| !line.contains(".data")) {
                let name = line.split_whitespace().nth(1).expect("a mnemonic");
                assert!(!name.starts_with('v') || name == "vzeroupper", "{line}\n{text}");
            }
        }
    }
}

/// Upper halves left dirty by whatever ran before change nothing (and are cleared, or the code would crawl).
#[cfg(target_arch = "x86_64")]
#[test]
fn dirty_upper_halves_do_not_matter() {
    if !is_x86_feature_detected!("avx") {
        return;
    }
    #[target_feature(enable = "avx")]
    fn dirty() {
        // SAFETY: writes registers the compiler is told of.
        unsafe {
            std::arch::asm!(
                "vcmpps ymm0, ymm0, ymm0, 15",
                "vmovaps ymm1, ymm0",
                "vmovaps ymm7, ymm0",
                "vmovaps ymm15, ymm0",
                out("ymm0") _, out("ymm1") _, out("ymm7") _, out("ymm15") _
            )
        };
    }
    for backend in levels() {
        let code = backend.compile(&chain(40)).expect("it compiles");
        assert!(code.disassembly().expect("x86-64").lines().next().expect("an instruction").contains("vzeroupper"));
        let mut x: Vec<f32> = (0..1003).map(|i| i as f32 / 100.0).collect();
        let (mut clean, mut after) = (x.clone(), x.clone());
        run(code.as_ref(), &mut x, &mut clean);
        // SAFETY: the machine has AVX.
        unsafe { dirty() };
        run(code.as_ref(), &mut x, &mut after);
        assert_eq!(clean, after);
    }
}

#[test]
fn threads_compile_and_share_code() {
    let backend = Cranelift::new(Isa::detect()).expect("the host has the level");
    std::thread::scope(|scope| {
        for length in 1..5 {
            let backend = &backend;
            scope.spawn(move || (0..50).for_each(|span| check_chain(backend, length, span)));
        }
    });
}

#[test]
fn comparisons_take_operands_from_any_address_without_avx() {
    let engine = fuselet::Engine::builder()
        .backend(fuselet::BackendChoice::Cranelift)
        .isa(fuselet::Isa::Baseline)
        .threads(1)
        .build()
        .unwrap();
    let data: Vec<f32> = (0..80).map(|at| at as f32 - 40.0).collect();
    for expression in ["if 1.5 <= x then 2 else 3", "if x < 1.5 then 2 else 3", "if x == 1.5 then 2 else 3", "max(x)"] {
        let f = engine.compile(expression).unwrap();
        for offset in 0..5 {
            for length in [1, 3, 4, 5, 16, 17, 64, 67] {
                let x = &data[offset..offset + length];
                if expression == "max(x)" {
                    let mut y = [0.0f32];
                    f.call(&[("x", x.into())], &mut y).unwrap();
                    assert_eq!(y[0], x[length - 1]);
                } else {
                    let mut y = vec![0.0f32; length];
                    f.call(&[("x", x.into())], &mut y).unwrap();
                    assert!(y.iter().all(|y| *y == 2.0 || *y == 3.0), "{expression}");
                }
            }
        }
    }
}
