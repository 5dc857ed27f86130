//! The wide backend's own promises, beyond equal bits: which instructions it picks, sizes without limit, strides without
//! limit, levels as values.
#![cfg(all(feature = "wide", target_arch = "x86_64"))]

use fuselet::array::ComputeDtype;
use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::isa::Isa;
use fuselet::codegen::wide::Wide;
use fuselet::codegen::{Backend, BackendError, Code};
use fuselet::lane::{LaneBuilder, LaneOp, Layout, Operand, OperandArgument, OperandId, Pass, Role, Value};
use std::sync::Arc;

const C: Layout = Layout::Contiguous;

fn levels() -> Vec<(Isa, Wide)> {
    Isa::available().filter_map(|isa| Some((isa, Wide::new(isa).ok()?))).collect()
}

/// y = f(x).
fn pass(dtype: ComputeDtype, layout: Layout, body: impl FnOnce(&mut LaneBuilder, Value) -> Value) -> Pass {
    let mut builder = LaneBuilder::new(dtype, true);
    let x = builder.load(OperandId(0));
    let y = body(&mut builder, x);
    builder.store(OperandId(1), y);
    let operand = |role, name: &str| Operand { role, dtype: dtype.storage(), layout, name: name.to_owned() };
    let operands = vec![operand(Role::Read, "x"), operand(Role::Write, "y")];
    Pass { name: "test".to_owned(), program: builder.finish(), operands }
}

fn run(code: &dyn Code, x: &[f32]) -> Vec<u32> {
    let (mut x, mut y) = (x.to_vec(), vec![0f32; x.len()]);
    let operands = [x.as_mut_ptr(), y.as_mut_ptr()].map(|pointer| OperandArgument {
        pointer: pointer.cast(),
        stride: 0,
        outer_stride: 0,
    });
    // SAFETY: the pass is `y = f(x)` on float32, and both arrays have as many elements.
    unsafe { code.run(&operands, x.len(), 1) };
    y.iter().map(|value| value.to_bits()).collect()
}

/// The instructions of the listing, without addresses and constants.
fn instructions(code: &Arc<dyn Code>) -> Vec<String> {
    let listing = code.disassembly().expect("x86-64 has a disassembler");
    listing.lines().filter(|line| !line.contains(".data")).map(|line| line[8..].to_owned()).collect()
}

#[test]
fn levels_without_wide_vectors_are_errors() {
    for isa in [Isa::Baseline, Isa::AvxFma] {
        assert!(matches!(Wide::new(isa), Err(BackendError::Unavailable { .. })));
    }
    for isa in [Isa::Avx2, Isa::Avx512] {
        assert_eq!(Wide::new(isa).is_ok(), isa.is_available());
    }
}

#[test]
fn code_ends_by_clearing_the_upper_halves() {
    for (_, wide) in levels() {
        let code = wide.compile(&pass(ComputeDtype::F32, C, |builder, x| builder.mul(x, x))).expect("it compiles");
        let instructions = instructions(&code);
        let returns: Vec<usize> = (0..instructions.len()).filter(|i| instructions[*i].starts_with("ret")).collect();
        assert_eq!(returns.len(), 1);
        let clear = instructions.iter().rposition(|i| i == "vzeroupper").expect("it is there");
        let vectors = instructions.iter().rposition(|i| i.contains("mm")).expect("there are vectors");
        assert!(vectors < clear && clear < returns[0]);
    }
}

/// Horner's rule is one instruction a step: no copies, no loads of constants, nothing spilled.
#[test]
fn polynomials_cost_one_instruction_a_step() {
    for (isa, wide) in levels() {
        let degree = 9;
        let coefficients: Vec<f64> = (0..=degree).map(|k| 1.0 / f64::from(k + 1)).collect();
        let code = wide
            .compile(&pass(ComputeDtype::F32, C, |builder, x| builder.horner(x, &coefficients)))
            .expect("it compiles");
        let instructions = instructions(&code);
        // The main loop: up to the first jump backward.
        let end = instructions.iter().position(|i| i.starts_with("jle")).expect("a loop");
        let start =
            instructions.iter().rposition(|i| i.contains("vbroadcast") || i.starts_with("nop")).filter(|s| *s < end);
        let body = &instructions[start.map_or(0, |start| start + 1)..end];
        let copies = body.iter().filter(|i| i.starts_with("vfmadd")).count() / degree as usize;
        assert!(copies >= 1, "{isa}: {body:#?}");
        assert_eq!(body.iter().filter(|i| i.starts_with("vfmadd")).count(), copies * degree as usize);
        // A load, a store and one register to start from for each body.
        let moves = body.iter().filter(|i| i.starts_with("vmov")).count();
        assert!(moves <= 3 * copies, "{isa}: {body:#?}");
        assert!(!body.iter().any(|i| i.contains("[rbp")), "{isa}: {body:#?}");
    }
}

/// copysign is three operations on bits; AVX-512 does them in one.
#[test]
fn trees_of_bit_operations_are_one_instruction() {
    let Ok(wide) = Wide::new(Isa::Avx512) else { return };
    let copy_sign = pass(ComputeDtype::F32, C, |builder, x| {
        let one = builder.number(1.5);
        let y = builder.add(x, one);
        let (magnitude, bits) = (builder.abs(y), builder.to_bits(x));
        let sign = builder.integer(1 << 31);
        let sign = builder.and(bits, sign);
        let magnitude = builder.to_bits(magnitude);
        let both = builder.or(magnitude, sign);
        builder.to_float(both)
    });
    let code = wide.compile(&copy_sign).expect("it compiles");
    let instructions = instructions(&code);
    assert!(instructions.iter().any(|i| i.starts_with("vpternlog")));
    assert!(!instructions.iter().any(|i| i.starts_with("vpand") || i.starts_with("vand") || i.starts_with("vpor")));
    let x = [-0.0f32, 0.0, -3.0, 2.0, f32::NEG_INFINITY];
    let right: Vec<u32> = x.iter().map(|x| (x + 1.5).copysign(*x).to_bits()).collect();
    assert_eq!(run(code.as_ref(), &x), right);
}

/// A select of a fresh product is the product under a mask.
#[test]
fn selects_of_one_operation_are_merged_into_it() {
    let Ok(wide) = Wide::new(Isa::Avx512) else { return };
    let leaky = pass(ComputeDtype::F32, C, |builder, x| {
        let (zero, slope) = (builder.number(0.0), builder.number(0.01));
        let negative = builder.less(x, zero);
        let scaled = builder.mul(x, slope);
        builder.select(negative, scaled, x)
    });
    let code = wide.compile(&leaky).expect("it compiles");
    assert!(!instructions(&code).iter().any(|i| i.starts_with("vblend")));
    assert_eq!(run(code.as_ref(), &[-1.0, 2.0, -0.0]), [-0.01f32, 2.0, -0.0].map(f32::to_bits));
}

/// Ten thousand operations, thousands of values alive at once: the frame is far larger than a stack would stand.
#[test]
fn no_program_is_too_large() {
    let mut state = 1u64;
    let mut random = move |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    let huge = pass(ComputeDtype::F32, C, |builder, x| {
        let mut values = vec![x];
        for step in 0..10_000 {
            let (a, b) = (values[random(values.len())], values[random(values.len())]);
            let constant = builder.number(f64::from(step) * 1e-3 - 4.0);
            let value =
                if step % 2 == 0 { builder.apply(LaneOp::Fma, &[a, constant, b]) } else { builder.min(a, constant) };
            values.push(value);
        }
        // Everything is read once more, last to first, so everything stays alive.
        values.iter().rev().fold(x, |sum, value| builder.add(sum, *value))
    });
    let x: Vec<f32> = (0..77).map(|i| i as f32 / 16.0 - 2.0).collect();
    let judge = Interpreter::new(Isa::detect()).compile(&huge).expect("it compiles");
    let right = run(judge.as_ref(), &x);
    for (isa, wide) in levels() {
        let code = wide.compile(&huge).expect("it compiles");
        assert_eq!(run(code.as_ref(), &x), right, "{isa}");
    }
}

/// Elements more than 4 GiB apart, forward and backward: no 32-bit offset anywhere.
#[cfg(target_os = "linux")]
#[test]
fn strides_beyond_two_gibibytes_are_right() {
    let stride = (4usize << 30) + 64;
    let count = 20;
    // Address space only: pages that nobody touches cost nothing.
    let mut memory: Vec<u8> = Vec::new();
    if memory.try_reserve_exact(stride * count).is_err() {
        eprintln!("skipped: this machine gives no address space beyond its memory");
        return;
    }
    let at = |element: usize| memory.as_ptr().wrapping_add(element * stride).cast_mut().cast::<f32>();
    for (isa, wide) in levels() {
        for backward in [false, true] {
            let code = wide
                .compile(&pass(ComputeDtype::F32, Layout::Strided, |builder, x| builder.add(x, x)))
                .expect("it compiles");
            for element in 0..count {
                // SAFETY: inside the reservation.
                unsafe { at(element).write_unaligned(element as f32 + 0.5) };
            }
            let (first, stride) = if backward { (count - 1, -(stride as isize)) } else { (0, stride as isize) };
            let argument = OperandArgument { pointer: at(first).cast(), stride, outer_stride: 0 };
            // SAFETY: every element is inside the reservation; the output is in place of the input.
            unsafe { code.run(&[argument, argument], count, 1) };
            for element in 0..count {
                // SAFETY: inside the reservation.
                let value = unsafe { at(element).read_unaligned() };
                assert_eq!(value, 2.0 * (element as f32 + 0.5), "{isa}, element {element}");
            }
        }
    }
}

#[test]
fn many_threads_compile_and_run_at_once() {
    let x: Vec<f32> = (0..500).map(|i| i as f32 / 50.0 - 5.0).collect();
    let right: Vec<u32> = x.iter().map(|x| (x * 3.0).mul_add(*x, 1.0).to_bits()).collect();
    for (_, wide) in levels() {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let pass = pass(ComputeDtype::F32, C, |builder, x| {
                            let (three, one) = (builder.number(3.0), builder.number(1.0));
                            let product = builder.mul(x, three);
                            builder.apply(LaneOp::Fma, &[product, x, one])
                        });
                        let code = wide.compile(&pass).expect("it compiles");
                        assert_eq!(run(code.as_ref(), &x), right);
                    }
                });
            }
        });
    }
}
