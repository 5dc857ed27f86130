//! Probing new code: the same pass, on the same values, in a backend and in the interpreter.
//!
//! The values are the ones code goes wrong on: zeros of either sign, subnormals, infinities, NaN, kinks and their
//! neighbours, the edges of exponent ranges, random bits. Spans have tails; there is more than one span. Outputs and
//! accumulators must be equal bit for bit, NaN as a class.

use crate::array::Dtype;
use crate::array::convert::{Stored, with_stored};
use crate::codegen::Code;
use crate::lane::{CYCLE, Layout, Operand, OperandArgument, Pass, Role};

/// Odd, and longer than two of the widest vectors and than two groups of lanes: whole vectors, and a tail.
const SPAN: usize = 67;
const OUTER: usize = 3;
/// Broadcast operands take a new value each round.
const ROUNDS: usize = 4;
/// Strided operands are read and written every this many elements.
const STEP: usize = 2;

/// Where a backend's code and the interpreter differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The operand that is written.
    pub(crate) operand: String,
    /// The place in it.
    pub(crate) element: usize,
    /// The interpreter's bits.
    pub(crate) expected: u64,
    /// The backend's bits.
    pub(crate) found: u64,
}

/// Compares two codes of one pass; the first difference, if there is one.
///
/// Both must be code of this very pass: a defect in what they compute is found here, but code that reads or writes outside
/// its operands does so here already.
pub(crate) fn compare(pass: &Pass, judge: &dyn Code, code: &dyn Code) -> Option<Difference> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..ROUNDS {
        let memory: Vec<Vec<u8>> = pass
            .operands
            .iter()
            .map(|operand| match operand.role {
                Role::Read => (0..reach(operand) * OUTER)
                    .flat_map(|at| bytes(random.value(operand.dtype, at + round * 7), operand.dtype.size()))
                    .collect(),
                Role::Write | Role::Accumulate | Role::Prefetch => {
                    vec![0xa5; reach(operand) * OUTER * operand.dtype.size()]
                }
            })
            .collect();
        let [expected, found] = [judge, code].map(|code| {
            let mut memory = memory.clone();
            run(pass, code, &mut memory);
            memory
        });
        for (at, operand) in pass.operands.iter().enumerate().filter(|(_, operand)| operand.role != Role::Read) {
            for element in 0..reach(operand) * OUTER {
                let of = |memory: &[Vec<u8>]| lane(&memory[at], element, operand.dtype.size());
                let (expected, found) = (of(&expected), of(&found));
                if expected != found && !(is_nan(operand.dtype, expected) && is_nan(operand.dtype, found)) {
                    return Some(Difference { operand: operand.name.clone(), element, expected, found });
                }
            }
        }
    }
    None
}

fn run(pass: &Pass, code: &dyn Code, memory: &mut [Vec<u8>]) {
    let arguments: Vec<OperandArgument> = pass
        .operands
        .iter()
        .zip(memory)
        .map(|(operand, memory)| {
            let size = operand.dtype.size();
            let stride = if operand.layout == Layout::Strided { STEP * size } else { size };
            OperandArgument {
                pointer: memory.as_mut_ptr(),
                stride: stride as isize,
                outer_stride: (reach(operand) * size) as isize,
            }
        })
        .collect();
    // SAFETY: every operand has memory of its own for `OUTER` spans, as far as its layout reaches.
    unsafe { code.run(&arguments, SPAN, OUTER) };
}

/// How many elements of an operand a span reaches over.
fn reach(operand: &Operand) -> usize {
    match (operand.role, operand.layout) {
        (Role::Accumulate | Role::Prefetch, _) | (_, Layout::Broadcast) => 1,
        (_, Layout::Contiguous | Layout::NonTemporal) => SPAN,
        (_, Layout::Strided) => STEP * SPAN,
        (_, Layout::BlockCyclic) => CYCLE * SPAN,
    }
}

fn bytes(bits: u64, size: usize) -> impl Iterator<Item = u8> {
    bits.to_ne_bytes().into_iter().skip(if cfg!(target_endian = "big") { 8 - size } else { 0 }).take(size)
}

fn lane(memory: &[u8], element: usize, size: usize) -> u64 {
    let lane = &memory[element * size..(element + 1) * size];
    let mut wide = [0; 8];
    let first = if cfg!(target_endian = "big") { 8 - size } else { 0 };
    wide[first..first + size].copy_from_slice(lane);
    u64::from_ne_bytes(wide)
}

fn is_nan(dtype: Dtype, bits: u64) -> bool {
    match dtype {
        Dtype::F64 => f64::from_bits(bits).is_nan(),
        Dtype::F32 => f32::from_bits(bits as u32).is_nan(),
        Dtype::F16 => bits & 0x7fff > 0x7c00,
        Dtype::Bf16 => bits & 0x7fff > 0x7f80,
        _ => false,
    }
}

/// Steele, Lea and Flood's SplitMix64: enough to spread probes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The bits of a probe value: in turn a special one, one of moderate size, and any pattern.
    fn value(&mut self, dtype: Dtype, at: usize) -> u64 {
        const SPECIAL: [f64; 24] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            0.5,
            -0.5,
            3.0,
            -3.0,
            6.0,
            20.0,
            -20.0,
            88.722_84,
            -87.336_55,
            -103.97,
            1e-40,
            -1e-40,
            3.4e38,
            -3.4e38,
            709.78,
            -745.13,
            5e-324,
        ];
        let any = self.next();
        let moderate = (any >> 11) as f64 * (1.0 / (1u64 << 53) as f64) * 40.0 - 20.0;
        let value = match at % 3 {
            0 => SPECIAL[(any % SPECIAL.len() as u64) as usize],
            1 => moderate,
            _ => return any >> (64 - 8 * dtype.size()),
        };
        stored(dtype, value)
    }
}

/// The bits of a number as an element.
fn stored(dtype: Dtype, value: f64) -> u64 {
    with_stored!(dtype, S => S::of_f64(value).raw_bits())
}
