//! The kernels of the comparison as lane programs, float32: recipes of whole activations within 4 ULP.

use fuselet::array::{ComputeDtype, Dtype};
use fuselet::lane::{LaneBuilder, LaneOp, Layout, Operand, OperandId, Pass, ReductionOperator, Role, Shift, Value};

const LOG2_E: f64 = f32::from_bits(0x3fb8_aa3b) as f64;
const MAGIC: f64 = 12_582_912.0;
const LN2_HIGH: f64 = f32::from_bits(0x3f31_7200) as f64;
const LN2_LOW: f64 = f32::from_bits(0x35bf_be8e) as f64;
/// e^r on half an octave, from r^1.
pub const EXPONENTIAL: [u32; 6] = [0x3f80_0000, 0x3eff_fffc, 0x3e2a_aa46, 0x3d2a_adc2, 0x3c09_1e88, 0x3ab4_346c];

fn constant(builder: &mut LaneBuilder, value: f64) -> Value {
    builder.number(value)
}

/// 2^scale · e^(−y) for y in [0, 110], and e^(−y)'s last factor apart.
fn negative_exponential(builder: &mut LaneBuilder, y: Value, scale: i32) -> Value {
    let offset = MAGIC + f64::from(127 + scale);
    let (rate, shift) = (constant(builder, -LOG2_E), constant(builder, offset));
    let t = builder.apply(LaneOp::Fma, &[y, rate, shift]);
    let n = builder.sub(t, shift);
    let (high, low) = (constant(builder, LN2_HIGH), constant(builder, LN2_LOW));
    let r = builder.apply(LaneOp::Fma, &[n, high, y]);
    let r = builder.apply(LaneOp::Fma, &[n, low, r]);
    let mut coefficients = vec![1.0];
    for (power, bits) in EXPONENTIAL.iter().enumerate() {
        let sign = if power % 2 == 0 { -1.0 } else { 1.0 };
        coefficients.push(sign * f64::from(f32::from_bits(*bits)));
    }
    let p = builder.horner(r, &coefficients);
    let bits = builder.to_bits(t);
    let bits = builder.shift(Shift::Left, bits, 23);
    let power = builder.to_float(bits);
    builder.mul(p, power)
}

pub fn silu(builder: &mut LaneBuilder, x: Value) -> Value {
    let magnitude = builder.abs(x);
    let limit = constant(builder, 110.0);
    let y = builder.min(limit, magnitude);
    let t = negative_exponential(builder, y, 64);
    let (small, one) = (constant(builder, 2f64.powi(-64)), constant(builder, 1.0));
    let d = builder.apply(LaneOp::Fma, &[t, small, one]);
    let product = builder.mul(y, t);
    let minus_small = constant(builder, -2f64.powi(-64));
    let product = builder.mul(product, minus_small);
    let zero = constant(builder, 0.0);
    let negative = builder.less(x, zero);
    let numerator = builder.select(negative, product, x);
    builder.div(numerator, d)
}

pub fn tanh(builder: &mut LaneBuilder, x: Value) -> Value {
    let bits = builder.to_bits(x);
    let sign_bit = builder.integer(1 << 31);
    let sign = builder.and(bits, sign_bit);
    let (limit, magnitude) = (constant(builder, 9.25), builder.abs(x));
    let a = builder.min(limit, magnitude);
    let (rate, shift) = (constant(builder, -2.0 * LOG2_E), constant(builder, MAGIC + 127.0));
    let t = builder.apply(LaneOp::Fma, &[a, rate, shift]);
    let n = builder.sub(t, shift);
    let half_ln2 = constant(builder, f64::from(std::f32::consts::LN_2) / 2.0);
    let r = builder.apply(LaneOp::Fma, &[n, half_ln2, a]);
    let q = builder.horner(
        r,
        &[0xbf7f_ffff_u32, 0x3f2a_aa58, 0xbeaa_ab8c, 0x3e09_13d8, 0xbd35_b8b4]
            .map(|bits| f64::from(f32::from_bits(bits))),
    );
    let square = builder.mul(r, r);
    let p = builder.apply(LaneOp::Fma, &[square, q, r]);
    let bits = builder.to_bits(t);
    let bits = builder.shift(Shift::Left, bits, 23);
    let s = builder.to_float(bits);
    let half = constant(builder, 0.5);
    let h = builder.apply(LaneOp::Fnma, &[s, half, half]);
    let u = builder.apply(LaneOp::Fma, &[s, p, h]);
    let one = constant(builder, 1.0);
    let rest = builder.sub(one, h);
    let d = builder.apply(LaneOp::Fnma, &[s, p, rest]);
    let quotient = builder.div(u, d);
    let quotient = builder.to_bits(quotient);
    let bits = builder.or(quotient, sign);
    builder.to_float(bits)
}

pub fn mish(builder: &mut LaneBuilder, x: Value) -> Value {
    let magnitude = builder.abs(x);
    let limit = constant(builder, 110.0);
    let y = builder.min(limit, magnitude);
    let t = negative_exponential(builder, y, 64);
    let zero = constant(builder, 0.0);
    let negative = builder.less(x, zero);
    let (small, double) = (constant(builder, 2f64.powi(-64)), constant(builder, 2f64.powi(-63)));
    let scale = builder.select(negative, small, double);
    let v = builder.mul(t, scale);
    let (half, one) = (constant(builder, 0.5), constant(builder, 1.0));
    let hv = builder.mul(v, half);
    let d = builder.apply(LaneOp::Fma, &[hv, v, v]);
    let d = builder.add(d, one);
    let left = builder.apply(LaneOp::Fma, &[hv, t, t]);
    let left = builder.mul(y, left);
    let minus_small = constant(builder, -2f64.powi(-64));
    let left = builder.mul(left, minus_small);
    let right = builder.add(v, one);
    let right = builder.mul(x, right);
    let numerator = builder.select(negative, left, right);
    builder.div(numerator, d)
}

pub fn gelu(builder: &mut LaneBuilder, x: Value) -> Value {
    let bits = |bits: u32| f64::from(f32::from_bits(bits));
    let magnitude = builder.abs(x);
    let limit = constant(builder, 15.0);
    let a = builder.min(limit, magnitude);
    let s = builder.mul(a, a);
    let lo = builder.apply(LaneOp::Fms, &[a, a, s]);
    let (rate, shift) = (constant(builder, -LOG2_E / 2.0), constant(builder, MAGIC + 191.0));
    let t = builder.apply(LaneOp::Fma, &[s, rate, shift]);
    let n = builder.sub(t, shift);
    let (high, low) = (constant(builder, 2.0 * LN2_HIGH), constant(builder, 2.0 * LN2_LOW));
    let r = builder.apply(LaneOp::Fma, &[n, high, s]);
    let rest = builder.apply(LaneOp::Fma, &[n, low, lo]);
    let r = builder.add(r, rest);
    let scaled: Vec<f64> =
        EXPONENTIAL.iter().enumerate().map(|(power, value)| bits(*value) * (-0.5f64).powi(power as i32 + 1)).collect();
    let q = builder.horner(r, &scaled);
    let q = builder.mul(r, q);
    let t = builder.to_bits(t);
    let t = builder.shift(Shift::Left, t, 23);
    let power = builder.to_float(t);
    let big_r = builder.horner(a, &[0x3f80_0000, 0x3f69_f473, 0x3ec9_f453, 0x3db9_ed2a, 0x3b9e_5e68].map(bits));
    let c = builder.horner(a, &[0x3ee9_2df8, 0x3e8f_27bb, 0x3da1_3a57, 0x3b9e_5963].map(bits));
    let factor = constant(builder, bits(0x3fa0_6c99));
    let k = builder.apply(LaneOp::Fms, &[big_r, factor, c]);
    let divisor = builder.apply(LaneOp::Fma, &[a, k, big_r]);
    let numerator = builder.mul(a, power);
    let numerator = builder.mul(numerator, big_r);
    let whole = builder.apply(LaneOp::Fma, &[numerator, q, numerator]);
    let w = builder.div(whole, divisor);
    let zero = constant(builder, 0.0);
    let positive = builder.max(zero, x);
    let minus_small = constant(builder, -2f64.powi(-65));
    builder.apply(LaneOp::Fma, &[w, minus_small, positive])
}

pub fn relu(builder: &mut LaneBuilder, x: Value) -> Value {
    let zero = constant(builder, 0.0);
    builder.max(zero, x)
}

/// One long chain of dependent operations: all latency, little work.
pub fn polynomial(builder: &mut LaneBuilder, x: Value) -> Value {
    let coefficients: Vec<f64> = (0..21).map(|power| 1.0 / f64::from(power * power + 1)).collect();
    builder.horner(x, &coefficients)
}

fn operand(role: Role, layout: Layout, name: &str) -> Operand {
    Operand { role, dtype: Dtype::F32, layout, name: name.to_owned() }
}

/// y = f(x).
pub fn elementwise(name: &str, body: impl FnOnce(&mut LaneBuilder, Value) -> Value) -> Pass {
    let mut builder = LaneBuilder::new(ComputeDtype::F32, true);
    let x = builder.load(OperandId(0));
    let y = body(&mut builder, x);
    builder.store(OperandId(1), y);
    let operands = vec![operand(Role::Read, Layout::Contiguous, "x"), operand(Role::Write, Layout::Contiguous, "y")];
    Pass { name: name.to_owned(), program: builder.finish(), operands }
}

/// y = silu(x · a + b) · c + r, all of them arrays but y's scale factors.
pub fn chain() -> Pass {
    let mut builder = LaneBuilder::new(ComputeDtype::F32, true);
    let [x, r, a, b, c] = [0, 1, 2, 3, 4].map(|operand| builder.load(OperandId(operand)));
    let product = builder.mul(x, a);
    let inner = builder.add(product, b);
    let activated = silu(&mut builder, inner);
    let scaled = builder.mul(activated, c);
    let y = builder.add(scaled, r);
    builder.store(OperandId(5), y);
    let broadcast = |name| operand(Role::Read, Layout::Broadcast, name);
    let operands = vec![
        operand(Role::Read, Layout::Contiguous, "x"),
        operand(Role::Read, Layout::Contiguous, "r"),
        broadcast("a"),
        broadcast("b"),
        broadcast("c"),
        operand(Role::Write, Layout::Contiguous, "y"),
    ];
    Pass { name: "silu(x*a+b)*c+r".to_owned(), program: builder.finish(), operands }
}

/// A row's Σ e^(x − m), the terms kept: the second pass of a softmax.
pub fn exponential_sum() -> Pass {
    let mut builder = LaneBuilder::new(ComputeDtype::F32, true);
    let [x, largest] = [0, 2].map(|operand| builder.load(OperandId(operand)));
    let below = builder.sub(largest, x);
    let limit = constant(&mut builder, 110.0);
    let y = builder.min(limit, below);
    let term = negative_exponential(&mut builder, y, 0);
    builder.store(OperandId(3), term);
    builder.accumulate(OperandId(1), ReductionOperator::Sum, term);
    let operands = vec![
        operand(Role::Read, Layout::Contiguous, "x"),
        operand(Role::Accumulate, Layout::Contiguous, "sum"),
        operand(Role::Read, Layout::Broadcast, "largest"),
        operand(Role::Write, Layout::Contiguous, "y"),
    ];
    Pass { name: "exp_sum".to_owned(), program: builder.finish(), operands }
}

/// A row's maximum: the first pass of a softmax.
pub fn maximum() -> Pass {
    let mut builder = LaneBuilder::new(ComputeDtype::F32, true);
    let x = builder.load(OperandId(0));
    builder.accumulate(OperandId(1), ReductionOperator::Max, x);
    let operands =
        vec![operand(Role::Read, Layout::Contiguous, "x"), operand(Role::Accumulate, Layout::Contiguous, "y")];
    Pass { name: "max".to_owned(), program: builder.finish(), operands }
}
