//! What only Cranelift can get wrong: tails through scratch, which instructions are used, listings, huge bodies.

use fuselet::backend::cranelift::Cranelift;
use fuselet::backend::{Backend, BackendError};
use fuselet::dtype::Dtype;
use fuselet::isa::Isa;
use fuselet::lane::{
    Combine, Instruction, Lane, LaneBits, LaneBuilder, LaneOp, Layout, Operand, OperandArgument, OperandId, Pass, Role,
    Shift, combine_lanes,
};

fn levels() -> impl Iterator<Item = Cranelift> {
    // Levels above make the same code as AVX and FMA.
    Isa::available()
        .filter(|level| *level <= Isa::AvxFma)
        .map(|level| Cranelift::new(level).expect("the host has the level"))
}

fn operand(role: Role, dtype: Dtype, layout: Layout, name: &str) -> Operand {
    Operand { role, dtype, layout, name: name.to_owned() }
}

/// Deterministic bits (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, limit: u64) -> usize {
        (self.next() % limit) as usize
    }
    /// Mostly ordinary numbers, some zeros, infinities, NaN, subnormals and arbitrary bits.
    fn bits(&mut self, dtype: Dtype) -> u64 {
        let number = match self.below(12) {
            0 => return self.next() & mask(dtype),
            1 => [0.0, -0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-40, 5e-324][self.below(8)],
            _ => self.below(2001) as f64 / 100.0 - 10.0,
        };
        match dtype {
            Dtype::F32 => u64::from((number as f32).to_bits()),
            _ => number.to_bits(),
        }
    }
}

fn mask(dtype: Dtype) -> u64 {
    u64::MAX >> (64 - 8 * dtype.size())
}

/// A program of random operations over `reads` operands, stored to the next `writes`, accumulated into the last three.
fn random_pass(random: &mut Random, dtype: Dtype, fma: bool, length: usize) -> Pass {
    let layouts = [Layout::Contiguous, Layout::Contiguous, Layout::Strided, Layout::Broadcast];
    let (reads, writes) = (1 + random.below(3), 1 + random.below(2));
    let mut operands = Vec::new();
    let mut builder = LaneBuilder::new(dtype, fma);
    let mut floats = Vec::new();
    for index in 0..reads {
        operands.push(operand(Role::Read, dtype, layouts[random.below(4)], &format!("x{index}")));
        floats.push(builder.load(OperandId(index as u32)));
    }
    let (mut ints, mut masks) = (vec![builder.integer(random.next())], vec![builder.mask(true)]);
    floats.push(builder.number(1.5));
    let ops: Vec<LaneOp> = LaneOp::ALL
        .iter()
        .copied()
        .filter(|op| fma || !matches!(op, LaneOp::Fma | LaneOp::Fms | LaneOp::Fnma))
        .collect();
    for _ in 0..length {
        if random.below(12) == 0 {
            let direction = if random.below(2) == 0 { Shift::Left } else { Shift::Right };
            let value = ints[random.below(ints.len() as u64)];
            ints.push(builder.shift(direction, value, random.below(8 * dtype.size() as u64) as u8));
            continue;
        }
        let op = ops[random.below(ops.len() as u64)];
        use fuselet::lane::LaneKind::{Float, Int, Mask};
        let arguments: Vec<_> = op
            .arguments()
            .iter()
            .map(|kind| {
                let from = match kind {
                    Float => &floats,
                    Int => &ints,
                    Mask => &masks,
                };
                // Recent values more often, so that programs are deep.
                let back = random.below(from.len().min(6) as u64 + 1);
                from[from.len() - 1 - back.min(from.len() - 1)]
            })
            .collect();
        let value = builder.apply(op, &arguments);
        match op.result() {
            Float => floats.push(value),
            Int => ints.push(value),
            Mask => masks.push(value),
        }
    }
    for index in 0..writes {
        let layout = [Layout::Contiguous, Layout::Strided][random.below(2)];
        operands.push(operand(Role::Write, dtype, layout, &format!("y{index}")));
        let value = floats[floats.len() - 1 - random.below(floats.len().min(3) as u64)];
        builder.store(OperandId((reads + index) as u32), value);
    }
    for combine in [Combine::Sum, Combine::Max, Combine::Min] {
        let id = OperandId(operands.len() as u32);
        operands.push(operand(Role::Accumulate, dtype, Layout::Contiguous, combine.name()));
        let value = floats[floats.len() - 1 - random.below(floats.len().min(3) as u64)];
        builder.accumulate(id, combine, value);
    }
    let pass = Pass { name: "random".to_owned(), program: builder.finish(), operands };
    pass.verify().expect("what the builder makes is valid");
    pass
}

/// One lane of the program's values, by the meaning of the ops.
fn lane<L: Lane>(pass: &Pass, loads: &[L::Bits]) -> Vec<L::Bits> {
    let mut values = Vec::new();
    for instruction in &pass.program.instructions {
        let at = |value: &fuselet::lane::Value, values: &[L::Bits]| values[value.index()];
        let value = match instruction {
            Instruction::Constant { bits, .. } => L::Bits::truncate(*bits),
            Instruction::Load { operand } => loads[operand.index()],
            Instruction::Apply { op, arguments } => {
                let padded = [0, 1, 2].map(|place| at(&arguments[place], &values));
                op.evaluate::<L>(padded)
            }
            Instruction::Shift { direction: Shift::Left, value, count } => at(value, &values).left(u32::from(*count)),
            Instruction::Shift { direction: Shift::Right, value, count } => at(value, &values).right(u32::from(*count)),
            Instruction::Store { value, .. } | Instruction::Accumulate { value, .. } => at(value, &values),
        };
        values.push(value);
    }
    values
}

/// An operand's memory: elements at byte offsets, guard bytes everywhere else.
struct Array {
    bytes: Vec<u8>,
    start: usize,
    step: isize,
    outer_stride: isize,
}

impl Array {
    fn new(random: &mut Random, pass: &Pass, index: usize, span: usize, outer: usize) -> Array {
        let (size, operand) = (pass.program.dtype.size() as isize, &pass.operands[index]);
        let spread = [2 * size, size, 3 * size + 1, -size, -2 * size][random.below(5)];
        let step = match (operand.role, operand.layout) {
            (Role::Accumulate, _) | (_, Layout::Broadcast) => 0,
            (_, Layout::Contiguous) => size,
            (_, Layout::Strided) => spread,
        };
        let reach = step.abs() * span as isize + size;
        let outer_stride = reach + random.below(3) as isize * 5;
        let length = outer_stride as usize * outer.max(1) + reach as usize + 128;
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let start = 64 + if step < 0 { step.unsigned_abs() * span } else { 0 };
        Array { bytes, start, step, outer_stride }
    }

    fn argument(&mut self) -> OperandArgument {
        let pointer = self.bytes.as_mut_ptr().wrapping_add(self.start);
        OperandArgument { pointer, stride: self.step, outer_stride: self.outer_stride }
    }

    fn offset(&self, o: usize, i: usize) -> usize {
        (self.start as isize + o as isize * self.outer_stride + i as isize * self.step) as usize
    }

    fn get(&self, dtype: Dtype, o: usize, i: usize) -> u64 {
        let mut bits = [0; 8];
        bits[..dtype.size()].copy_from_slice(&self.bytes[self.offset(o, i)..][..dtype.size()]);
        u64::from_le_bytes(bits)
    }

    fn set(&mut self, dtype: Dtype, o: usize, i: usize, bits: u64) {
        let place = self.offset(o, i);
        self.bytes[place..place + dtype.size()].copy_from_slice(&bits.to_le_bytes()[..dtype.size()]);
    }
}

fn same<L: Lane>(a: u64, b: u64) -> bool {
    let is_nan = |bits: u64| L::float(L::Bits::truncate(bits)).widen().is_nan();
    a == b || (is_nan(a) && is_nan(b))
}

/// Runs a pass and compares every element and every guard byte with the meaning of the ops.
fn check<L: Lane>(backend: &Cranelift, random: &mut Random, pass: &Pass, span: usize, outer: usize) {
    let dtype = pass.program.dtype;
    let mut arrays: Vec<Array> =
        (0..pass.operands.len()).map(|index| Array::new(random, pass, index, span, outer)).collect();
    for array in &mut arrays {
        for (o, i) in (0..outer).flat_map(|o| (0..span).map(move |i| (o, i))) {
            let bits = random.bits(dtype);
            array.set(dtype, o, i, bits);
        }
    }
    let mut expected: Vec<Vec<u8>> = arrays.iter().map(|array| array.bytes.clone()).collect();
    let mut nan_places: Vec<(usize, usize)> = Vec::new();
    let mut put = |index: usize, array: &Array, o: usize, i: usize, bits: L::Bits, expected: &mut Vec<Vec<u8>>| {
        let place = array.offset(o, i);
        expected[index][place..place + dtype.size()].copy_from_slice(&bits.extend().to_le_bytes()[..dtype.size()]);
        if L::float(bits).widen().is_nan() {
            nan_places.push((index, place));
        }
    };
    for o in 0..outer {
        let mut lanes: Vec<[L; 32]> = pass
            .program
            .instructions
            .iter()
            .map(|instruction| match instruction {
                Instruction::Accumulate { combine, .. } => [combine.identity::<L>(); 32],
                _ => [L::round_from(0.0); 32],
            })
            .collect();
        for i in 0..span {
            let loads: Vec<L::Bits> = arrays.iter().map(|array| L::Bits::truncate(array.get(dtype, o, i))).collect();
            for (index, value) in lane::<L>(pass, &loads).into_iter().enumerate() {
                match &pass.program.instructions[index] {
                    Instruction::Store { operand, .. } => {
                        put(operand.index(), &arrays[operand.index()], o, i, value, &mut expected);
                    }
                    Instruction::Accumulate { combine, .. } => {
                        lanes[index][i % 32] = combine.apply(lanes[index][i % 32], L::float(value));
                    }
                    _ => {}
                }
            }
        }
        for (index, instruction) in pass.program.instructions.iter().enumerate() {
            if let Instruction::Accumulate { operand, combine, .. } = instruction {
                let bits = combine_lanes(*combine, lanes[index]).bits();
                put(operand.index(), &arrays[operand.index()], o, 0, bits, &mut expected);
            }
        }
    }
    let code = backend.compile(pass).expect("every pass compiles");
    let arguments: Vec<OperandArgument> = arrays.iter_mut().map(Array::argument).collect();
    // SAFETY: `Array` made room for every element, in memory of its own.
    unsafe { code.run(&arguments, span, outer) };
    for (index, place) in nan_places {
        let read = |bytes: &[u8]| {
            let mut bits = [0; 8];
            bits[..dtype.size()].copy_from_slice(&bytes[place..place + dtype.size()]);
            u64::from_le_bytes(bits)
        };
        let (found, wanted) = (read(&arrays[index].bytes), read(&expected[index]));
        if same::<L>(found, wanted) {
            expected[index][place..place + dtype.size()].copy_from_slice(&found.to_le_bytes()[..dtype.size()]);
        }
    }
    for (index, array) in arrays.iter().enumerate() {
        if array.bytes != expected[index] {
            let place = array.bytes.iter().zip(&expected[index]).position(|(a, b)| a != b);
            panic!(
                "{backend:?}, span {span}, outer {outer}: operand {index} differs at byte {place:?}\n{pass}\n{}",
                code.intermediate().unwrap_or_default()
            );
        }
    }
}

fn check_any(backend: &Cranelift, random: &mut Random, pass: &Pass, span: usize, outer: usize) {
    match pass.program.dtype {
        Dtype::F32 => check::<f32>(backend, random, pass, span, outer),
        _ => check::<f64>(backend, random, pass, span, outer),
    }
}

#[test]
fn random_programs_mean_what_their_ops_mean_at_every_span_and_layout() {
    for backend in levels() {
        for dtype in [Dtype::F32, Dtype::F64] {
            for round in 0..60u64 {
                let mut random = Random(round * 2 + 1);
                let length = [1, 4, 12, 30, 90][random.below(5)];
                let pass = random_pass(&mut random, dtype, backend.has_fma(), length);
                for span in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 67, 101] {
                    check_any(&backend, &mut random, &pass, span, 1);
                }
                for outer in [0, 2, 3] {
                    let span = random.below(40);
                    check_any(&backend, &mut random, &pass, span, outer);
                }
            }
        }
    }
}

#[test]
fn every_op_alone_means_what_it_means() {
    for backend in levels() {
        for dtype in [Dtype::F32, Dtype::F64] {
            for op in LaneOp::ALL {
                use fuselet::lane::LaneKind::{Float, Int, Mask};
                if !backend.has_fma() && matches!(op, LaneOp::Fma | LaneOp::Fms | LaneOp::Fnma) {
                    continue;
                }
                let mut builder = LaneBuilder::new(dtype, backend.has_fma());
                let mut operands = Vec::new();
                let mut arguments = Vec::new();
                for (index, kind) in op.arguments().iter().enumerate() {
                    operands.push(operand(Role::Read, dtype, Layout::Contiguous, &format!("x{index}")));
                    let loaded = builder.load(OperandId(index as u32));
                    arguments.push(match kind {
                        Float => loaded,
                        Int => builder.to_bits(loaded),
                        Mask => {
                            let zero = builder.number(0.0);
                            builder.less(loaded, zero)
                        }
                    });
                }
                let value = builder.apply(*op, &arguments);
                let value = match op.result() {
                    Float => value,
                    Int => builder.to_float(value),
                    Mask => {
                        let (one, two) = (builder.number(1.0), builder.number(2.0));
                        builder.select(value, one, two)
                    }
                };
                operands.push(operand(Role::Write, dtype, Layout::Contiguous, "y"));
                builder.store(OperandId(operands.len() as u32 - 1), value);
                let pass = Pass { name: op.name().to_owned(), program: builder.finish(), operands };
                for seed in 0..4 {
                    check_any(&backend, &mut Random(seed), &pass, 203, 1);
                }
            }
        }
    }
}

/// y = x · x + 1 over and over: `length` dependent operations.
fn chain(dtype: Dtype, length: usize) -> Pass {
    let mut builder = LaneBuilder::new(dtype, false);
    let x = builder.load(OperandId(0));
    let mut value = x;
    for index in 0..length {
        let constant = builder.number(index as f64 / length as f64);
        value = if index % 2 == 0 { builder.mul(value, constant) } else { builder.add(value, x) };
    }
    builder.store(OperandId(1), value);
    let operands =
        vec![operand(Role::Read, dtype, Layout::Contiguous, "x"), operand(Role::Write, dtype, Layout::Contiguous, "y")];
    Pass { name: "chain".to_owned(), program: builder.finish(), operands }
}

#[test]
fn in_place_is_right_at_every_span() {
    for backend in levels() {
        let pass = chain(Dtype::F32, 9);
        let code = backend.compile(&pass).expect("it compiles");
        for span in 0..80usize {
            let x: Vec<f32> = (0..span + 16).map(|i| i as f32 / 7.0 - 3.0).collect();
            let (mut apart, mut in_place) = (x.clone(), x.clone());
            let argument = |array: &mut Vec<f32>| OperandArgument {
                pointer: array.as_mut_ptr().cast(),
                stride: 0,
                outer_stride: 0,
            };
            let mut source = x.clone();
            let separate = [argument(&mut source), argument(&mut apart)];
            // SAFETY: both arrays hold more than `span` elements.
            unsafe { code.run(&separate, span, 1) };
            let shared = argument(&mut in_place);
            // SAFETY: as above; reading and writing the same elements is what in place means.
            unsafe { code.run(&[shared, shared], span, 1) };
            assert_eq!(apart, in_place);
            assert_eq!(in_place[span..], x[span..], "nothing behind the span is written");
        }
    }
}

#[test]
fn bodies_of_thousands_of_operations_compile_and_are_right() {
    for backend in levels() {
        for pass in [chain(Dtype::F32, 5000), random_pass(&mut Random(5), Dtype::F64, backend.has_fma(), 3000)] {
            check_any(&backend, &mut Random(11), &pass, 37, 2);
        }
    }
}

#[test]
fn a_pass_lowered_for_fma_is_refused_by_a_machine_without() {
    let backend = Cranelift::new(Isa::Baseline).expect("every machine has the baseline");
    let mut builder = LaneBuilder::new(Dtype::F32, true);
    let x = builder.load(OperandId(0));
    let value = builder.apply(LaneOp::Fma, &[x, x, x]);
    builder.store(OperandId(1), value);
    let operands = vec![
        operand(Role::Read, Dtype::F32, Layout::Contiguous, "x"),
        operand(Role::Write, Dtype::F32, Layout::Contiguous, "y"),
    ];
    let pass = Pass { name: "fma".to_owned(), program: builder.finish(), operands };
    if !backend.has_fma() {
        assert!(matches!(backend.compile(&pass), Err(BackendError::Unsupported { .. })));
    }
}

#[test]
fn intermediate_and_machine_code_can_be_read() {
    for backend in levels() {
        let code = backend.compile(&chain(Dtype::F32, 4)).expect("it compiles");
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
    for dtype in [Dtype::F32, Dtype::F64] {
        for seed in 0..40 {
            let pass = random_pass(&mut Random(seed), dtype, false, 60);
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
        let code = backend.compile(&chain(Dtype::F32, 40)).expect("it compiles");
        assert!(code.disassembly().expect("x86-64").lines().next().expect("an instruction").contains("vzeroupper"));
        let mut x: Vec<f32> = (0..1003).map(|i| i as f32 / 100.0).collect();
        let (mut clean, mut after) = (x.clone(), x.clone());
        for (result, soil) in [(&mut clean, false), (&mut after, true)] {
            let argument = |pointer: *mut f32| OperandArgument { pointer: pointer.cast(), stride: 0, outer_stride: 0 };
            let arguments = [argument(x.as_mut_ptr()), argument(result.as_mut_ptr())];
            if soil {
                // SAFETY: the machine has AVX.
                unsafe { dirty() };
            }
            // SAFETY: both arrays hold the span.
            unsafe { code.run(&arguments, 1003, 1) };
        }
        assert_eq!(clean, after);
    }
}

#[test]
fn threads_compile_and_share_code() {
    let backend = Cranelift::new(Isa::detect()).expect("the host has the level");
    let pass = chain(Dtype::F64, 12);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (backend, pass) = (&backend, &pass);
            scope.spawn(move || check_any(backend, &mut Random(seed), pass, 53, 2));
        }
    });
}
