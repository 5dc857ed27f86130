//! A function of two inputs on every pair of bfloat16 numbers, 2³² of them: `silu(g) * u`, the heart of a gated layer.
//!
//! Truth is silu's definition in float64, times u. Float32 arithmetic may be wrong by what silu may (four units in its last
//! place) times u, and by the rounding of the product. Where silu(g) is subnormal in float32 (g below −87) such an error can
//! be worth many bfloat16 numbers; results that are none of the two nearest there, but within it, are counted by themselves.

use crate::halves::{Verdict, judge, nearest, number};
use crate::report::PROMISED;
use fuselet::ir::ulp::ulp_f32;
use fuselet::ir::{IntoProgram, Meaning};
use fuselet::{ArrayMut, ArrayRef, BackendChoice, Dtype, Engine, Fusion, Isa};
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is certified.
pub const EXPRESSION: &str = "silu(g) * u";

const DTYPE: Dtype = Dtype::Bf16;

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// How many pairs.
    pub pairs: u64,
    /// Results that are the other of the two nearest numbers, rightly.
    pub undecided: u64,
    /// Results that are none of them, silu(g) being subnormal in float32.
    pub distant: u64,
    /// Results that are wrong.
    pub wrong: u64,
    /// The first of them: g, u, result, truth.
    pub first_wrong: Option<[f64; 4]>,
}

impl Counts {
    fn merge(&mut self, other: Counts) {
        self.pairs += other.pairs;
        self.undecided += other.undecided;
        self.distant += other.distant;
        self.wrong += other.wrong;
        self.first_wrong = self.first_wrong.or(other.first_wrong);
    }

    fn add(&mut self, g: f64, silu: f64, u: f64, result: u16) {
        let truth = silu * u;
        let subnormal = silu.abs() < f64::from(f32::MIN_POSITIVE);
        let allowed = PROMISED * ulp_f32(silu) * u.abs() + 0.5 * ulp_f32(truth);
        let verdict = match judge(DTYPE, result, truth, allowed) {
            // What vanishes in float32 is 0, and an infinity times 0 is NaN.
            Verdict::Wrong if u.is_infinite() && silu.abs() < PROMISED * ulp_f32(silu) => Verdict::Distant,
            verdict => verdict,
        };
        match verdict {
            Verdict::Correct => {}
            Verdict::Undecided => self.undecided += 1,
            Verdict::Distant if subnormal => self.distant += 1,
            Verdict::Distant | Verdict::Wrong => {
                self.wrong += 1;
                self.first_wrong.get_or_insert([g, u, number(DTYPE, result), truth]);
            }
        }
    }
}

/// Counts all pairs on some threads; `progress` is told how many were done.
pub fn count(engine: &Engine, threads: usize, progress: &(dyn Fn(u64) + Sync)) -> Result<Counts, Box<dyn Error>> {
    let kernel = engine.compile_with(EXPRESSION, Fusion::Full)?;
    let best = Engine::builder().isa(Isa::detect()).backend(BackendChoice::Auto).threads(1).build()?;
    let definition = "silu(g)".into_program(best.library())?.graph(Meaning::Definition)?;
    let reference = best.compile_graph(&definition, Fusion::Full)?;
    let numbers: Vec<f64> = (0..=u16::MAX).map(|bits| number(DTYPE, bits)).collect();
    let mut silu = vec![0.0; numbers.len()];
    reference.call(&[("g", (&numbers).into())], &mut silu)?;
    let inputs: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_ne_bytes).collect();

    let next = AtomicU32::new(0);
    let work = || -> Result<Counts, String> {
        let mut counts = Counts::default();
        let (shape, mut outputs) = ([numbers.len()], vec![0u8; inputs.len()]);
        let text = |error: fuselet::Error| error.to_string();
        loop {
            let Ok(bits) = u16::try_from(next.fetch_add(1, Ordering::Relaxed)) else { return Ok(counts) };
            let second = bits.to_ne_bytes();
            let g = ArrayRef::from_bytes(&inputs, DTYPE, &shape).map_err(|error| text(error.into()))?;
            let u = ArrayRef::from_bytes(&second, DTYPE, &[]).map_err(|error| text(error.into()))?;
            let output = ArrayMut::from_bytes(&mut outputs, DTYPE, &shape).map_err(|error| text(error.into()))?;
            kernel.call(&[("g", g), ("u", u)], output).map_err(|error| text(error.into()))?;
            let u = numbers[usize::from(bits)];
            let (results, _) = outputs.as_chunks();
            for ((result, silu), g) in results.iter().zip(&silu).zip(&numbers) {
                let result = u16::from_ne_bytes(*result);
                // Nearly all.
                if nearest_quickly(silu * u) != result {
                    counts.add(*g, *silu, u, result);
                }
            }
            counts.pairs += results.len() as u64;
            progress(results.len() as u64);
        }
    };
    let mut total = Counts::default();
    let outcomes: Mutex<Vec<Result<Counts, String>>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let outcome = work();
                outcomes.lock().expect("no thread panics while it adds").push(outcome);
            });
        }
    });
    for outcome in outcomes.into_inner().expect("no thread panics while it adds") {
        total.merge(outcome?);
    }
    Ok(total)
}

/// The nearest bfloat16 to a number, in a few instructions where it is a normal one and its float32 does not lie in the middle
/// between two; what it gives elsewhere is judged with care, so it may be another.
fn nearest_quickly(number: f64) -> u16 {
    let bits = (number as f32).to_bits();
    let middle = bits & 0xffff == 0x8000;
    if middle || number.is_nan() { nearest(DTYPE, number) } else { ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16 }
}
