//! The sweep: every float32 bit pattern through the kernel, against the float64 reference.
//!
//! Patterns are cut into chunks that lie in one binade each; threads take chunks one after another. A chunk goes through
//! kernel and reference in blocks that stay in the cache.

use crate::statistics::Statistics;
use crate::subject::Subject;
use fuselet::ir::reference::ScalarEvaluator;
use fuselet::{BackendChoice, Engine, Function, Fusion, Isa};
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Elements of a block: 96 KiB with inputs, results, truths.
const BLOCK: usize = 4096;

/// Patterns of a chunk: an eighth of a binade.
const CHUNK: u64 = 1 << 20;

/// Patterns of a binade.
pub const BINADE: u64 = 1 << 23;

/// Sign and exponent fields.
pub const BINADES: usize = 512;

/// What computes the float64 truths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferencePath {
    /// The definition compiled for float64.
    Native,
    /// The definition evaluated op by op in `libm`'s float64: slow, and independent of everything that is compiled.
    Scalar,
}

/// A subject made ready: its float32 kernel and its float64 reference.
#[derive(Clone)]
pub struct Measured {
    input: String,
    kernel: Function,
    reference: Reference,
}

#[derive(Clone)]
enum Reference {
    Native(Function),
    Scalar(Box<ScalarEvaluator>),
}

impl Measured {
    /// Compiles the kernel, and the definition for the reference: whatever the kernel runs on, that runs on the best
    /// backend of the machine.
    pub fn new(engine: &Engine, subject: &Subject, path: ReferencePath) -> Result<Measured, Box<dyn Error>> {
        let reference = match path {
            ReferencePath::Native => {
                let best = Engine::builder().isa(Isa::detect()).backend(BackendChoice::Auto).threads(1).build()?;
                Reference::Native(best.compile_graph(&subject.definition, Fusion::Full)?)
            }
            ReferencePath::Scalar => Reference::Scalar(Box::new(ScalarEvaluator::new(&subject.definition)?)),
        };
        let kernel = engine.compile_graph(&subject.form, Fusion::Full)?;
        Ok(Measured { input: subject.input().to_owned(), kernel, reference })
    }

    /// The kernel's results.
    pub fn results(&self, x: &[f32], y: &mut [f32]) -> Result<(), Box<dyn Error>> {
        Ok(self.kernel.call(&[(&self.input, x.into())], y)?)
    }

    /// The reference's truths.
    pub fn truths(&mut self, x: &[f64], truth: &mut [f64]) -> Result<(), Box<dyn Error>> {
        match &mut self.reference {
            Reference::Native(reference) => reference.call(&[(&self.input, x.into())], truth)?,
            Reference::Scalar(evaluator) => {
                for (x, truth) in x.iter().zip(truth) {
                    *truth = evaluator.evaluate(&[*x])?.next().unwrap_or(f64::NAN);
                }
            }
        }
        Ok(())
    }
}

/// Which patterns to sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patterns {
    /// The first.
    pub from: u32,
    /// The last.
    pub to: u32,
    /// Every how many.
    pub stride: u32,
}

impl Patterns {
    /// All 2³² of them.
    pub const ALL: Patterns = Patterns { from: 0, to: u32::MAX, stride: 1 };

    /// How many they are.
    pub fn count(&self) -> u64 {
        u64::from(self.to - self.from) / u64::from(self.stride) + 1
    }
}

/// Sweeps the patterns outside of the binades to skip on some threads. `progress` is told how many were done.
pub fn sweep(
    measured: &Measured,
    patterns: Patterns,
    skip: &[bool; BINADES],
    threads: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Statistics, Box<dyn Error>> {
    let next = AtomicU64::new(u64::from(patterns.from) / CHUNK * CHUNK);
    let total = Mutex::new((Statistics::default(), None));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let outcome = work(measured.clone(), patterns, skip, &next, progress);
                let mut total = total.lock().expect("no thread panics while it merges");
                match outcome {
                    Ok(own) => total.0.merge(own),
                    // Errors need not be `Send`; their text is.
                    Err(error) => total.1 = Some(error),
                }
            });
        }
    });
    match total.into_inner().expect("no thread panics while it merges") {
        (statistics, None) => Ok(statistics),
        (_, Some(error)) => Err(error.into()),
    }
}

fn work(
    mut measured: Measured,
    patterns: Patterns,
    skip: &[bool; BINADES],
    next: &AtomicU64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Statistics, String> {
    let mut statistics = Statistics::default();
    let (mut x, mut wide) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
    let (mut y, mut truth) = (vec![0f32; BLOCK], vec![0f64; BLOCK]);
    let stride = u64::from(patterns.stride);
    loop {
        let start = next.fetch_add(CHUNK, Ordering::Relaxed);
        if start > u64::from(patterns.to) {
            return Ok(statistics);
        }
        let end = (start + CHUNK).min(u64::from(patterns.to) + 1);
        // The first pattern of the progression that is not before the chunk.
        let from = u64::from(patterns.from);
        let mut bits = if start <= from { from } else { from + (start - from).div_ceil(stride) * stride };
        let mut done = 0;
        while bits < end {
            x.clear();
            let length = (end - bits).div_ceil(stride).min(BLOCK as u64);
            x.extend((0..length as u32).map(|index| f32::from_bits(bits as u32 + index * stride as u32)));
            bits += length * stride;
            done += x.len() as u64;
            if skip[(start / BINADE) as usize] {
                continue;
            }
            wide.clear();
            wide.extend(x.iter().map(|x| f64::from(*x)));
            let length = x.len();
            measured.results(&x, &mut y[..length]).map_err(|error| error.to_string())?;
            measured.truths(&wide, &mut truth[..length]).map_err(|error| error.to_string())?;
            statistics.add_block(&x, &y[..length], &truth[..length]);
        }
        progress(done);
    }
}
