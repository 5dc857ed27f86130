//! The wide backend against Cranelift, the interpreter and the same algorithms written by hand: nanoseconds an element.
//!
//! `cargo bench --bench wide [-- name…]`; `-- library [name…]` times the library's functions through the engine, `-- library64`
//! in float64. All engines of a row run in turn, many rounds, and each shows its best
//! round, so ratios within a row are good where the machine is shared. Every engine's output is first compared with the
//! interpreter's, bit for bit.

#[cfg(target_arch = "x86_64")]
mod by_hand;
#[cfg(target_arch = "x86_64")]
mod library;
#[cfg(target_arch = "x86_64")]
mod programs;

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("the wide backend is for x86-64");
}

#[cfg(target_arch = "x86_64")]
fn main() {
    x86_64::main();
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{by_hand, programs};
    use fuselet::codegen::cranelift::Cranelift;
    use fuselet::codegen::interpreter::Interpreter;
    use fuselet::codegen::isa::Isa;
    use fuselet::codegen::wide::Wide;
    use fuselet::codegen::{Backend, Code};
    use fuselet::lane::{OperandArgument, Pass};
    use std::sync::Arc;
    use std::time::Instant;

    struct Kernel {
        name: &'static str,
        pass: Pass,
        by_hand: Option<fn(&[OperandArgument], usize)>,
    }

    fn kernels() -> Vec<Kernel> {
        macro_rules! elementwise {
            ($name:ident) => {
                Kernel {
                    name: stringify!($name),
                    pass: programs::elementwise(stringify!($name), programs::$name),
                    // SAFETY: called only where the machine has AVX-512, on arrays of `n` elements.
                    by_hand: Some(|o, n| unsafe { by_hand::$name(o[0].pointer.cast(), o[1].pointer.cast(), n) }),
                }
            };
        }
        vec![
            elementwise!(silu),
            elementwise!(tanh),
            elementwise!(mish),
            elementwise!(gelu),
            Kernel {
                name: "chain",
                pass: programs::chain(),
                // SAFETY: as above; the scales lie one after another.
                by_hand: Some(|o, n| unsafe {
                    let [x, r, a, _, _, y] = [0, 1, 2, 3, 4, 5].map(|operand: usize| o[operand].pointer.cast::<f32>());
                    by_hand::chain(x, r, a, y, n)
                }),
            },
            Kernel { name: "relu", pass: programs::elementwise("relu", programs::relu), by_hand: None },
            Kernel { name: "poly", pass: programs::elementwise("poly", programs::polynomial), by_hand: None },
            Kernel { name: "exp_sum", pass: programs::exponential_sum(), by_hand: None },
            Kernel { name: "max", pass: programs::maximum(), by_hand: None },
        ]
    }

    fn engines() -> Vec<(String, Box<dyn Backend>)> {
        let mut engines: Vec<(String, Box<dyn Backend>)> = Vec::new();
        for isa in [Isa::Avx512, Isa::Avx2] {
            if let Ok(wide) = Wide::new(isa) {
                engines.push((wide.name(), Box::new(wide)));
            }
        }
        if let Ok(cranelift) = Cranelift::new(Isa::AvxFma) {
            engines.push((cranelift.name(), Box::new(cranelift)));
        }
        engines.push(("interpreter".to_owned(), Box::new(Interpreter::new(Isa::detect()))));
        engines
    }

    pub fn main() {
        let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        if let Some(mode @ ("library" | "library64")) = chosen.first().map(String::as_str) {
            return super::library::main(&chosen[1..], mode == "library64");
        }
        for kernel in kernels() {
            if !chosen.is_empty() && !chosen.iter().any(|name| kernel.name.contains(name.as_str())) {
                continue;
            }
            let engines = engines();
            let codes: Vec<Arc<dyn Code>> =
                engines.iter().map(|(_, engine)| engine.compile(&kernel.pass).expect("it compiles")).collect();
            if std::env::var_os("FUSELET_SHOW_ASM").is_some() {
                println!("{}\n{}", kernel.pass, codes[0].disassembly().unwrap_or_default());
            }
            print!("{:8}", kernel.name);
            for (name, engine) in &engines[..engines.len() - 1] {
                print!("  compile {name} {:.1} µs,", compile_time(engine.as_ref(), &kernel.pass));
            }
            println!();
            for n in [16usize, 128, 1024, 16_384, 262_144] {
                let mut memory = Memory::new(&kernel.pass, n);
                let judge = memory.output(codes.last().expect("there is one").as_ref());
                for (code, (name, _)) in codes.iter().zip(&engines) {
                    assert_eq!(memory.output(code.as_ref()), judge, "{name} differs on {}", kernel.name);
                }
                let repeats = (1 << 17) / n;
                let mut best = vec![f64::INFINITY; codes.len() + 1];
                for _ in 0..40 {
                    for (place, code) in codes.iter().enumerate() {
                        let start = Instant::now();
                        for _ in 0..repeats.max(1) {
                            // SAFETY: the memory was made for this pass and length.
                            unsafe { code.run(&memory.operands, n, 1) };
                        }
                        best[place] = best[place].min(start.elapsed().as_nanos() as f64 / (repeats.max(1) * n) as f64);
                    }
                    if let Some(by_hand) = kernel.by_hand.filter(|_| Isa::Avx512.is_available() && n % 32 == 0) {
                        let start = Instant::now();
                        for _ in 0..repeats.max(1) {
                            by_hand(&memory.operands, n);
                        }
                        let last = best.len() - 1;
                        best[last] = best[last].min(start.elapsed().as_nanos() as f64 / (repeats.max(1) * n) as f64);
                    }
                }
                print!("  {n:7}");
                for ((name, _), time) in engines.iter().zip(&best) {
                    print!("  {name} {time:.3}");
                }
                let hand = best[best.len() - 1];
                if hand.is_finite() {
                    print!("  by hand {hand:.3} (wide/hand {:.2})", best[0] / hand);
                }
                println!("   | cranelift/wide {:.2} {:.2}", best[2] / best[0], best[2] / best[1]);
            }
        }
    }

    /// Microseconds of one warm compilation, the best of many.
    fn compile_time(engine: &dyn Backend, pass: &Pass) -> f64 {
        let once = || {
            let start = Instant::now();
            let code = engine.compile(pass).expect("it compiles");
            let time = start.elapsed();
            drop(code);
            time
        };
        (0..200).map(|_| once()).min().expect("some rounds").as_nanos() as f64 / 1e3
    }

    struct Memory {
        _arrays: Vec<Vec<f32>>,
        operands: Vec<OperandArgument>,
        n: usize,
    }

    impl Memory {
        fn new(pass: &Pass, n: usize) -> Memory {
            let mut arrays = Vec::new();
            let mut operands = Vec::new();
            let mut scales = vec![1.25f32, -0.3, 0.7];
            let scales_at: *mut f32 = scales.as_mut_ptr();
            for (index, operand) in pass.operands.iter().enumerate() {
                let pointer = if operand.layout == fuselet::lane::Layout::Broadcast {
                    scales_at.wrapping_add(index - 2)
                } else {
                    // A cache line's alignment, as allocators of numeric libraries give.
                    let values: Vec<f32> =
                        (0..n + 16).map(|i| ((i * 7919 + index * 13) % 4001) as f32 / 250.0 - 8.0).collect();
                    arrays.push(values);
                    let values = arrays.last_mut().expect("just pushed");
                    let skip = values.as_ptr().align_offset(64).min(16);
                    values.as_mut_ptr().wrapping_add(skip)
                };
                operands.push(OperandArgument { pointer: pointer.cast(), stride: 0, outer_stride: 0 });
            }
            arrays.push(scales);
            Memory { _arrays: arrays, operands, n }
        }

        /// The bits that a kernel writes.
        fn output(&mut self, code: &dyn Code) -> Vec<u32> {
            // SAFETY: the memory was made for this pass and length.
            unsafe { code.run(&self.operands, self.n, 1) };
            let last = self.operands.last().expect("there is an output").pointer.cast::<f32>();
            // SAFETY: the output has `n` elements.
            unsafe { std::slice::from_raw_parts(last, self.n) }.iter().map(|value| value.to_bits()).collect()
        }
    }
}
