//! Holds every op to its bound: float32 on a dense sample of all bit patterns against the float64 meaning of the op table,
//! float64 against values of arbitrary precision (`tests/data/float64`, made by mpmath) or, where one IEEE operation is
//! exact to the last bit, against that; both as lowered for machines with a fused multiply-add and without. Every backend
//! of this machine computes, and all have to agree in every bit.

use fuselet::array::ComputeDtype;
use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::isa::Isa;
use fuselet::codegen::{Backend, Code};
use fuselet::lane::{LaneBuilder, Layout, Operand, OperandArgument, OperandId, Pass, Role};
use fuselet_ir::ulp::{ulp_distance_f32, ulp_distance_f64};
use fuselet_ir::{Class, Kind, Op};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Elements a run: as many as fit into the cache.
const BLOCK: usize = 4096;

/// One op, compiled by every backend of this machine, the interpreter first.
struct Primitive {
    op: Op,
    codes: Vec<(String, Arc<dyn Code>)>,
    operations: usize,
}

/// A float by its bits, all NaNs being one.
trait Number: Copy + Default {
    fn class(self) -> u64;
}

impl Number for f32 {
    fn class(self) -> u64 {
        if self.is_nan() { u64::MAX } else { u64::from(self.to_bits()) }
    }
}

impl Number for f64 {
    fn class(self) -> u64 {
        if self.is_nan() { u64::MAX } else { self.to_bits() }
    }
}

/// The backends of this machine for programs with FMA or without. Code for a level without FMA is what other machines
/// run; the widest level runs such programs too.
fn backends(fma: bool) -> Vec<Box<dyn Backend>> {
    let level = if fma { Isa::detect() } else { Isa::Baseline };
    let mut backends: Vec<Box<dyn Backend>> = vec![Box::new(Interpreter::new(Isa::detect()))];
    #[cfg(feature = "cranelift")]
    backends.extend(
        fuselet::codegen::cranelift::Cranelift::new(level).map(|backend| Box::new(backend) as Box<dyn Backend>),
    );
    #[cfg(all(feature = "wide", target_arch = "x86_64"))]
    for isa in [Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available()) {
        backends.extend(fuselet::codegen::wide::Wide::new(isa).map(|backend| Box::new(backend) as Box<dyn Backend>));
    }
    let _ = level;
    backends
}

impl Primitive {
    /// The op as lowered with or without FMA; `None` if the host has no FMA to run it.
    fn new(op: Op, dtype: ComputeDtype, fma: bool) -> Option<Primitive> {
        if fma && !Isa::detect().has_fma() {
            return None;
        }
        let mut builder = LaneBuilder::new(dtype, fma);
        let arguments: Vec<_> = (0..op.arity()).map(|index| builder.load(OperandId(index as u32))).collect();
        let result = fuselet::lower::lower(&mut builder, op, &arguments);
        builder.store(OperandId(op.arity() as u32), result);
        let operand = |role, name: &str| Operand {
            role,
            dtype: dtype.storage(),
            layout: Layout::Contiguous,
            name: name.to_owned(),
        };
        let mut operands: Vec<_> = op.row().arguments.iter().map(|name| operand(Role::Read, name)).collect();
        operands.push(operand(Role::Write, "y"));
        let pass = Pass { name: op.name().to_owned(), program: builder.finish(), operands };
        pass.verify().unwrap_or_else(|error| panic!("{error}"));
        let operations = pass.program.operation_count();
        let code = |backend: Box<dyn Backend>| {
            (backend.name(), backend.compile(&pass).unwrap_or_else(|error| panic!("{}: {error}", backend.name())))
        };
        let codes = backends(fma).into_iter().map(code).collect();
        Some(Primitive { op, codes, operations })
    }

    /// The results, which must be the same bits from every backend.
    fn run<T: Number>(&self, arguments: &[&[T]]) -> Vec<T> {
        assert_eq!(arguments.len(), self.op.arity());
        let length = arguments.first().map_or(1, |argument| argument.len());
        let argument = |pointer: *mut T| OperandArgument { pointer: pointer.cast(), stride: 0, outer_stride: 0 };
        let mut agreed: Option<Vec<T>> = None;
        for (name, code) in &self.codes {
            let mut result = vec![T::default(); length];
            let mut operands: Vec<_> = arguments.iter().map(|array| argument(array.as_ptr().cast_mut())).collect();
            operands.push(argument(result.as_mut_ptr()));
            // SAFETY: every operand has `length` elements of the pass's dtype; the result is written by this call alone.
            unsafe { code.run(&operands, length, 1) };
            match &agreed {
                None => agreed = Some(result),
                Some(wanted) => {
                    let differs = (0..length).find(|at| result[*at].class() != wanted[*at].class());
                    assert_eq!(differs, None, "{name} gives other bits of {} than the interpreter", self.op.name());
                }
            }
        }
        agreed.expect("the interpreter runs everywhere")
    }
}

/// Every 4093rd bit pattern, and every 149th where functions bend: 2⁻¹³ ≤ |x| < 2⁷.
fn dense_sample() -> Vec<f32> {
    let all = (0..=u32::MAX).step_by(4093);
    let bend = (0x3900_0000..0x4300_0000u32).step_by(149).flat_map(|bits| [bits, bits | 0x8000_0000]);
    let specials =
        [0, 1, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000, 0x7fff_ffff, 0x7f80_0001];
    let specials = specials.into_iter().flat_map(|bits: u32| [bits, bits | 0x8000_0000]);
    all.chain(bend).chain(specials).map(f32::from_bits).collect()
}

/// The worst distance of a function, and where.
#[derive(Clone, Copy, Debug)]
struct Worst {
    ulp: f64,
    x: f32,
    got: f32,
    truth: f64,
}

fn worst_of(primitive: &Primitive, sample: &[f32]) -> Worst {
    let mut worst = Worst { ulp: 0.0, x: 0.0, got: 0.0, truth: 0.0 };
    for block in sample.chunks(BLOCK) {
        for (x, got) in block.iter().zip(primitive.run(&[block])) {
            let truth = (primitive.op.row().meaning)([f64::from(*x), 0.0, 0.0]);
            let ulp = ulp_distance_f32(got, truth);
            if ulp.is_nan() || ulp > worst.ulp {
                worst = Worst { ulp, x: *x, got, truth };
            }
        }
    }
    worst
}

/// One-argument functions: op, domain, bound in ULP with FMA and without.
const UNARY_F32: &[(Op, f32, f32, f64, f64)] = &[
    (Op::Exp, f32::NEG_INFINITY, f32::INFINITY, 0.9, 1.17),
    (Op::Expm1, f32::NEG_INFINITY, f32::INFINITY, 1.53, 1.7),
    (Op::Log, f32::NEG_INFINITY, f32::INFINITY, 0.86, 0.86),
    (Op::Log1p, f32::NEG_INFINITY, f32::INFINITY, 1.45, 1.45),
    (Op::Tanh, f32::NEG_INFINITY, f32::INFINITY, 1.96, 2.51),
    (Op::Sin, f32::NEG_INFINITY, f32::INFINITY, 1.0, 1.0),
    (Op::Cos, f32::NEG_INFINITY, f32::INFINITY, 1.0, 1.0),
    (Op::Erf, f32::NEG_INFINITY, f32::INFINITY, 1.05, 1.3),
    (Op::Erfc, f32::NEG_INFINITY, f32::INFINITY, 3.2, 4.0),
    (Op::Erfcx, f32::NEG_INFINITY, f32::INFINITY, 3.0, 3.5),
    (Op::NormalCdf, f32::NEG_INFINITY, f32::INFINITY, 3.0, 3.1),
    (Op::TanhGap, f32::NEG_INFINITY, f32::INFINITY, 3.3, 3.3),
    (Op::ExpNegScaled, 0.0, 110.0, 0.9, 1.17),
    (Op::Expm1Nonpositive, f32::NEG_INFINITY, 0.0, 0.96, 1.0),
    (Op::Log1pUnit, 0.0, 1.0, 1.05, 1.5),
    (Op::NormalTailScaled, 0.0, 16.0, 3.3, 3.3),
];

#[test]
fn float32_primitives_hold_their_bounds() {
    let sample = dense_sample();
    let mut broken = Vec::new();
    for &(op, low, high, with_fma, without_fma) in UNARY_F32 {
        let whole = low == f32::NEG_INFINITY && high == f32::INFINITY;
        let sample: Vec<f32> = sample.iter().copied().filter(|x| whole || (low <= *x && *x <= high)).collect();
        for (fma, bound) in [(true, with_fma), (false, without_fma)] {
            let Some(primitive) = Primitive::new(op, ComputeDtype::F32, fma) else { continue };
            let worst = worst_of(&primitive, &sample);
            println!(
                "{:20} {:8} {:3} ops  {:.4} ULP at {:e} ({:#010x}): {:e} for {:e}",
                op.name(),
                if fma { "fma" } else { "no fma" },
                primitive.operations,
                worst.ulp,
                worst.x,
                worst.x.to_bits(),
                worst.got,
                worst.truth
            );
            if worst.ulp.is_nan() || worst.ulp > bound {
                broken.push(format!("{} ({}): {worst:?}", op.name(), if fma { "fma" } else { "no fma" }));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// xʸ within this of the truth, with FMA and without.
const POW_F32: f64 = 1.1;

#[test]
fn float32_pow_is_right_wherever_the_result_is_finite_and_in_every_special_case() {
    let specials = [
        0.0,
        1.0,
        2.0,
        3.0,
        0.5,
        1.5,
        16_777_216.0,
        16_777_215.0,
        8_388_607.5,
        1e30,
        1e-30,
        f32::from_bits(1),
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::INFINITY,
    ];
    let specials: Vec<f32> = specials.into_iter().flat_map(|x| [x, -x]).chain([f32::NAN]).collect();
    let mut pairs: Vec<(f32, f32)> = specials.iter().flat_map(|x| specials.iter().map(move |y| (*x, *y))).collect();
    // Bases over all exponents, and for each an exponent that spreads the results over the whole range.
    let mut state = 1u64;
    for bits in (0x0000_0001..0x7f80_0000u32).step_by(2039) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let x = f32::from_bits(bits);
        let unit = (state >> 40) as f32 / 16_777_216.0;
        pairs.push((x, (unit * 280.0 - 150.0) / x.log2()));
        let near_one = 1.0 + (unit - 0.5) * 2f32.powi(-((state >> 20 & 15) as i32));
        pairs.push((near_one, ((state >> 4 & 0xffff) as f32 / 65536.0 * 280.0 - 150.0) / near_one.log2()));
        pairs.push((-x, (unit * 20.0).round()));
    }
    let (x, y): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
    for fma in [true, false] {
        let Some(primitive) = Primitive::new(Op::Pow, ComputeDtype::F32, fma) else { continue };
        let mut worst = (0.0, 0.0, 0.0, 0.0, 0.0);
        for ((x, y), got) in x.iter().zip(&y).zip(primitive.run(&[&x, &y])) {
            let truth = libm::pow(f64::from(*x), f64::from(*y));
            let ulp = ulp_distance_f32(got, truth);
            assert!(ulp <= 2.0, "{x:e} ^ {y:e} = {truth:e}, got {got:e}");
            assert!(
                truth != 0.0 || got.to_bits() == (truth as f32).to_bits(),
                "the sign of {x:e} ^ {y:e} is that of {truth:e}, got {got:e}"
            );
            if ulp > worst.0 {
                worst = (ulp, *x, *y, got, truth);
            }
        }
        println!("pow fma={fma} {} ops {worst:?}", primitive.operations);
        assert!(worst.0 <= POW_F32, "{worst:?}");
    }
}

/// Numbers that bite: zeros, subnormals, neighbours of powers of two, extremes, infinities, NaN.
fn biting<T: Copy>(from: impl Fn(f64) -> T, bits: &[T]) -> Vec<T> {
    let numbers = [0.0, 1.0, 1.5, 2.0, 3.0, 1e-3, 1e3, 1e10, 1e-10, f64::INFINITY];
    let both = numbers.into_iter().flat_map(|x| [x, -x]).chain([f64::NAN]);
    both.map(from).chain(bits.iter().copied()).collect()
}

fn all_pairs<T: Copy>(numbers: &[T]) -> (Vec<T>, Vec<T>) {
    numbers.iter().flat_map(|a| numbers.iter().map(move |b| (*a, *b))).unzip()
}

#[test]
fn selections_and_error_terms_have_the_bits_of_the_op_table() {
    let bits = [1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x3f80_0001, 0x3f7f_ffff, 0x7f7f_ffff, 0xff7f_ffff];
    let mut numbers = biting(|x| x as f32, &bits.map(f32::from_bits));
    let mut state = 7u64;
    for _ in 0..300 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.push(f32::from_bits((state >> 32) as u32));
    }
    let (a, b) = all_pairs(&numbers);
    for fma in [true, false] {
        for op in [Op::Minimum, Op::Maximum, Op::CopySign, Op::DifferenceError] {
            let Some(primitive) = Primitive::new(op, ComputeDtype::F32, fma) else { continue };
            for ((a, b), got) in a.iter().zip(&b).zip(primitive.run(&[&a, &b])) {
                let truth = match op {
                    // Exact in float64 only for close exponents; TwoSum holds for all.
                    Op::DifferenceError if (a - b).is_finite() => {
                        let b_part = a - (a - b);
                        f64::from((a - ((a - b) + b_part)) + (b_part - b))
                    }
                    Op::DifferenceError => f64::NAN,
                    _ => (op.row().meaning)([f64::from(*a), f64::from(*b), 0.0]),
                } as f32;
                let equal = got.to_bits() == truth.to_bits()
                    || (got.is_nan() && truth.is_nan())
                    || (op == Op::DifferenceError && got == truth);
                assert!(equal, "{}({a:e}, {b:e}) fma={fma}: {got:e} for {truth:e}", op.name());
            }
        }
    }
}

#[test]
fn emulated_fma_differs_from_the_instruction_by_a_double_rounding_at_most() {
    let bits = [1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x3f80_0001, 0x3f7f_ffff, 0x7f7f_ffff, 0xff7f_ffff];
    let mut numbers = biting(|x| x as f32, &bits.map(f32::from_bits));
    let mut state = 11u64;
    for _ in 0..70 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.push(f32::from_bits((state >> 32) as u32));
        numbers.push(1.0 + (state >> 40) as f32 / 16_777_216.0);
    }
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for x in &numbers {
        for y in &numbers {
            for z in numbers.iter().copied().chain([-(x * y), x * y, (-(x * y)).next_up()]) {
                a.push(*x);
                b.push(*y);
                c.push(z);
            }
        }
    }
    for fma in [true, false] {
        let Some(primitive) = Primitive::new(Op::Fma, ComputeDtype::F32, fma) else { continue };
        let mut different = 0;
        for (((a, b), c), got) in a.iter().zip(&b).zip(&c).zip(primitive.run(&[&a, &b, &c])) {
            let truth = a.mul_add(*b, *c);
            let steps = fuselet_ir::ulp::ulp_steps_f32(got, truth);
            assert!(steps <= u32::from(!fma), "fma({a:e}, {b:e}, {c:e}) fma={fma}: {got:e} for {truth:e}");
            different += usize::from(steps != 0);
        }
        println!("fma={fma} {} ops: {different} of {} rounded twice", primitive.operations, a.len());
        assert!(different * 100 <= a.len(), "double roundings are rare");
    }
}

#[test]
fn float32_scaled_exponentials_are_within_one_ulp_wherever_their_result_is_normal() {
    let (mut a, mut k) = (Vec::new(), Vec::new());
    for at in 0..400_000u32 {
        let x = (f64::from(at) / 200_000.0 - 1.0) * 330.0;
        a.push(x as f32);
        k.push(f32::from((at % 251) as i16 - 125) - (x * std::f64::consts::LOG2_E).round() as f32);
    }
    for fma in [true, false] {
        let Some(primitive) = Primitive::new(Op::ExpScaled, ComputeDtype::F32, fma) else { continue };
        let mut worst = 0.0f64;
        for ((x, k), got) in a.iter().zip(&k).zip(primitive.run(&[&a, &k])) {
            let truth = (Op::ExpScaled.row().meaning)([f64::from(*x), f64::from(*k), 0.0]);
            worst = worst.max(fuselet_ir::ulp::ulp_distance_f32(got, truth));
        }
        println!("exp_scaled fma={fma} {} ops: {worst:.4} ULP", primitive.operations);
        assert!(worst <= 1.0 + 0.2 * f64::from(u8::from(!fma)), "fma={fma}: {worst} ULP");
    }
}

/// Every float64 primitive lies within this of the exact value, in units in the last place.
const FLOAT64_ULP: f64 = 1.0;

/// The distance from the exact value, which is `rounded` and `left` more units in the last place.
fn float64_distance(got: f64, rounded: f64, left: f64) -> f64 {
    if got.class() == rounded.class() {
        return left.abs();
    }
    if !got.is_finite() || !rounded.is_finite() || (rounded == 0.0 && left == 0.0) {
        return f64::INFINITY;
    }
    let magnitude = rounded.abs();
    let above = magnitude.next_up() - magnitude;
    // Just below a power of two the unit is that of the binade below.
    let below = left * rounded < 0.0 && magnitude.to_bits() << 12 == 0 && magnitude > f64::MIN_POSITIVE;
    let unit = if below { above / 2.0 } else { above };
    ((got - rounded) / unit - left).abs()
}

/// The ops that are held to correctly rounded values.
fn float64_sampled() -> impl Iterator<Item = Op> {
    UNARY_F32.iter().map(|row| row.0).chain([Op::Pow, Op::ExpNegScaledSum, Op::ExpScaled])
}

/// The ops that are held to the bits of the op table: IEEE operations, selections, exact error terms.
const FLOAT64_EXACT: &[Op] = &[
    Op::Neg,
    Op::Abs,
    Op::Add,
    Op::Sub,
    Op::Mul,
    Op::Div,
    Op::Sqrt,
    Op::Minimum,
    Op::Maximum,
    Op::CopySign,
    Op::Floor,
    Op::Ceil,
    Op::Trunc,
    Op::Round,
    Op::ExpCutoff,
    Op::Binade,
    Op::ProductError,
    Op::DifferenceError,
    Op::CastF32,
    Op::CastF16,
    Op::CastBf16,
    Op::CastI32,
    Op::CastI16,
    Op::CastI8,
    Op::CastU32,
    Op::CastU16,
    Op::CastU8,
];

/// The ops that round once with FMA and twice without: at most this far from a · b + c there, where it does not cancel.
const FLOAT64_FUSED: &[Op] = &[Op::Fma, Op::MultiplyAdd];

#[test]
fn every_op_with_a_number_for_a_result_is_held_to_its_float64_truth() {
    let numbers: BTreeSet<Op> =
        Op::all().filter(|op| op.kind() == Kind::Number && op.class() != Class::Select).collect();
    let held = float64_sampled().chain(FLOAT64_EXACT.iter().copied()).chain(FLOAT64_FUSED.iter().copied());
    assert_eq!(numbers, held.collect(), "ops of the table, and ops some test here holds to the truth");
}

#[test]
fn float64_operations_and_error_terms_have_the_bits_of_the_op_table() {
    let bits = [1, 1 << 63 | 1, 0x000f_ffff_ffff_ffff, 0x0010_0000_0000_0000, 0x3ff0_0000_0000_0001];
    let extremes = [0x3fef_ffff_ffff_ffff, 0x7fef_ffff_ffff_ffff, 0xffef_ffff_ffff_ffff, 0x4330_0000_0000_0001];
    let mut numbers = biting(|x| x, &bits.map(f64::from_bits));
    numbers.extend(extremes.map(f64::from_bits));
    numbers.extend([0.5, -0.5, 2.5, -2.5, 4_503_599_627_370_495.5]);
    let mut state = 17u64;
    for _ in 0..300 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        numbers.push(f64::from_bits(state));
        numbers.push((state >> 11) as f64 / 2f64.powi(40) - 4096.0);
    }
    let (a, b) = all_pairs(&numbers);
    for fma in [true, false] {
        for op in FLOAT64_EXACT {
            let Some(primitive) = Primitive::new(*op, ComputeDtype::F64, fma) else { continue };
            for ((a, b), got) in a.iter().zip(&b).zip(primitive.run(&[&a[..], &b[..]][..op.arity()])) {
                // A product's error is exact where neither it nor the halves of its factors leave the range.
                let inside = (1e-140..1e140).contains(&a.abs()) && (1e-140..1e140).contains(&b.abs());
                if *op == Op::ProductError && !inside {
                    continue;
                }
                let truth = (op.row().meaning)([*a, *b, 0.0]);
                // An exact difference has an error of either zero.
                let equal = got.class() == truth.class() || (*op == Op::DifferenceError && got == truth);
                assert!(equal, "{}({a:e}, {b:e}) fma={fma}: {got:e} for {truth:e}", op.name());
            }
        }
    }
}

#[test]
fn float64_fused_operations_round_once_or_where_there_is_no_fma_at_most_twice() {
    let mut state = 19u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // 1 to 2, of either sign, times a power of two.
        let power = 2f64.powi((state >> 3 & 31) as i32 - 16);
        f64::from_bits(state >> 12 | 0x3ff0_0000_0000_0000 | state << 63) * power
    };
    let mut columns: [Vec<f64>; 3] = Default::default();
    for at in 0..20_000 {
        let (a, b) = (random(), random());
        // Every other sum nearly cancels.
        let c = if at % 2 == 0 { random() } else { -(a * b) * (1.0 + random() * 2f64.powi(-50)) };
        columns.iter_mut().zip([a, b, c]).for_each(|(column, value)| column.push(value));
    }
    let [a, b, c] = &columns;
    for fma in [true, false] {
        for op in FLOAT64_FUSED {
            let Some(primitive) = Primitive::new(*op, ComputeDtype::F64, fma) else { continue };
            for (((a, b), c), got) in a.iter().zip(b).zip(c).zip(primitive.run(&[a, b, c])) {
                let plain = *op == Op::MultiplyAdd && !fma;
                let truth = if plain { a * b + c } else { a.mul_add(*b, *c) };
                let allowed = u64::from(*op == Op::Fma && !fma);
                let steps = ulp_distance_f64(got, truth);
                assert!(steps <= allowed, "{}({a:e}, {b:e}, {c:e}) fma={fma}: {got:e} for {truth:e}", op.name());
            }
        }
    }
}

/// Lines of hexadecimal bit patterns: the arguments, the exact value correctly rounded, and what that lacks in units in the
/// last place.
fn float64_samples(name: &str) -> Vec<Vec<f64>> {
    let path = format!("{}/tests/data/float64/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let number = |field: &str| f64::from_bits(u64::from_str_radix(field, 16).expect("bits in hexadecimal"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(',').map(number).collect()).collect()
}

#[test]
fn float64_primitives_are_within_one_ulp_of_the_exact_value() {
    let mut broken = Vec::new();
    for op in float64_sampled() {
        let samples = float64_samples(op.name());
        assert!(samples.len() > 300, "{} has samples", op.name());
        let arguments: Vec<Vec<f64>> =
            (0..op.arity()).map(|index| samples.iter().map(|sample| sample[index]).collect()).collect();
        let arguments: Vec<&[f64]> = arguments.iter().map(Vec::as_slice).collect();
        for fma in [true, false] {
            let Some(primitive) = Primitive::new(op, ComputeDtype::F64, fma) else { continue };
            let (mut worst, mut inexact) = (0.0f64, 0);
            for (sample, got) in samples.iter().zip(primitive.run(&arguments)) {
                let (truth, left) = (sample[op.arity()], sample[op.arity() + 1]);
                let distance = float64_distance(got, truth, left);
                let sign = truth != 0.0 || got.is_sign_negative() == truth.is_sign_negative();
                if distance > FLOAT64_ULP || !sign {
                    broken.push(format!("{}({sample:?}) fma={fma}: {got:e}, {distance} ULP", op.name()));
                }
                worst = worst.max(distance);
                inexact += usize::from(got.class() != truth.class());
            }
            println!(
                "{:20} fma={fma:5} {:4} ops  {worst:.4} ULP, {inexact} of {} not correctly rounded",
                op.name(),
                primitive.operations,
                samples.len()
            );
        }
    }
    assert!(broken.is_empty(), "{} wrong: {:#?}", broken.len(), &broken[..broken.len().min(40)]);
}
