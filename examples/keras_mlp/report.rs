//! What is told about a model: its stages, how right it is, how long it takes.

use super::array::Array;
use super::error::batched;
use super::runtime::{Execution, Runtime, Times, Work};
use std::fmt;
use std::time::Duration;

/// Everything that was found out.
#[derive(Clone, Debug)]
pub struct Report {
    /// The model's name and the backend.
    pub title: String,
    /// One line a stage.
    pub stages: Vec<StageReport>,
    /// Arrays of the archive that no layer uses.
    pub unused_weights: Vec<String>,
    /// Right answers, of how many; `None` without labels.
    pub accuracy: Option<(usize, usize)>,
    /// The largest absolute difference from the expected outputs; `None` without them.
    pub largest_difference: Option<f32>,
    /// How long a batch takes.
    pub timing: Timing,
}

/// A stage, for people.
#[derive(Clone, Debug)]
pub struct StageReport {
    /// Its layers.
    pub layers: Vec<String>,
    /// What comes before the kernel: a product, of inputs × units, or a concatenation.
    pub work: Option<String>,
    /// The kernel's expression, and how it runs fused and unfused.
    pub kernel: Option<(String, Execution, Execution)>,
    /// The shape of one result.
    pub output_shape: Vec<usize>,
}

/// Medians over interleaved runs.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How many inputs a batch has.
    pub batch: usize,
    /// How many runs of each kind.
    pub runs: usize,
    /// With fused epilogues.
    pub fused: Medians,
    /// With one kernel for each op.
    pub unfused: Medians,
}

/// Medians of the parts, each on its own.
#[derive(Clone, Copy, Debug)]
pub struct Medians {
    /// Everything.
    pub total: Duration,
    /// Matrix products.
    pub products: Duration,
    /// Everything else.
    pub kernels: Duration,
}

impl Medians {
    /// Of some runs, each with its total.
    pub fn of(runs: &[(Duration, Times)]) -> Medians {
        let median = |part: &dyn Fn(&(Duration, Times)) -> Duration| {
            let mut parts: Vec<Duration> = runs.iter().map(part).collect();
            parts.sort_unstable();
            parts.get(parts.len() / 2).copied().unwrap_or_default()
        };
        Medians {
            total: median(&|(total, _)| *total),
            products: median(&|(_, times)| times.products),
            kernels: median(&|(_, times)| times.kernels),
        }
    }
}

/// How many answers are right: the place of the largest output, or for a single output whether it is above one half.
pub fn count_right(outputs: &[f32], classes: usize, labels: &[i64]) -> usize {
    let answer = |row: &[f32]| match row {
        [single] => i64::from(*single > 0.5),
        _ => {
            let largest = (0..row.len()).reduce(|best, place| if row[place] > row[best] { place } else { best });
            largest.map_or(-1, |place| place as i64)
        }
    };
    outputs.chunks_exact(classes.max(1)).zip(labels).filter(|(row, label)| answer(row) == **label).count()
}

/// The largest absolute difference. NaN where only one of two is NaN: it is not to be overlooked.
pub fn largest_difference(outputs: &[f32], expected: &Array<f32>) -> f32 {
    let mut largest = 0.0f32;
    for (output, expected) in outputs.iter().zip(&expected.values) {
        if output == expected || (output.is_nan() && expected.is_nan()) {
            continue;
        }
        let difference = (output - expected).abs();
        if difference.is_nan() {
            return difference;
        }
        largest = largest.max(difference);
    }
    largest
}

/// The larger of two differences; NaN if either is.
pub fn larger(one: f32, other: f32) -> f32 {
    if one.is_nan() || one > other { one } else { other }
}

impl StageReport {
    /// Of every stage of a runtime.
    pub fn all(runtime: &Runtime, batch: usize) -> Result<Vec<StageReport>, super::Error> {
        let report = |stage: &super::runtime::Stage| {
            let fused = stage.execution(batch, fuselet::Fusion::Full)?;
            let unfused = stage.execution(batch, fuselet::Fusion::Off)?;
            let text = stage.kernel.as_ref().map(|kernel| kernel.expression.to_string().replace('\n', " "));
            let work = stage.work.as_ref().map(|work| match work {
                Work::Product { dense, .. } => format!("product   input · kernel ({}, {})", dense.inputs, dense.units),
                Work::Concatenate { parts, .. } => format!("copies    {} arrays side by side", parts.len()),
            });
            Ok(StageReport {
                layers: stage.layers.clone(),
                work,
                kernel: text.zip(fused).zip(unfused).map(|((text, fused), unfused)| (text, fused, unfused)),
                output_shape: stage.output_shape.clone(),
            })
        };
        runtime.stages().iter().map(report).collect()
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn microseconds(duration: Duration) -> String {
    format!("{:.1} µs", duration.as_secs_f64() * 1e6)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        for stage in &self.stages {
            writeln!(f, "{} → {}", stage.layers.join(", "), batched(&stage.output_shape))?;
            if let Some(work) = &stage.work {
                writeln!(f, "    {work}")?;
            }
            if let Some((text, fused, unfused)) = &stage.kernel {
                let place = if fused.in_place { "in place" } else { "into another buffer" };
                let kernels = plural(fused.kernels, "kernel");
                writeln!(f, "    {kernels}  {text} · {place} (unfused: {})", plural(unfused.kernels, "kernel"))?;
            }
        }
        let kernels: Vec<_> = self.stages.iter().filter_map(|stage| stage.kernel.as_ref()).collect();
        let single = kernels.iter().filter(|(_, fused, _)| fused.kernels == 1 && fused.in_place).count();
        writeln!(f, "\n{single} of {} stages finish in one fused kernel, in place", kernels.len())?;
        if !self.unused_weights.is_empty() {
            writeln!(f, "\nwarning: no layer uses the weights {}", self.unused_weights.join(", "))?;
        }
        writeln!(f)?;
        if let Some((right, all)) = self.accuracy {
            writeln!(f, "accuracy             {:.4} ({right} of {all})", right as f64 / all.max(1) as f64)?;
        }
        if let Some(difference) = self.largest_difference {
            writeln!(f, "largest difference   {difference:.2e} from outputs.npy")?;
        }
        let Timing { batch, runs, fused, unfused } = &self.timing;
        writeln!(f, "\ntime for a batch of {batch}, medians of {runs} interleaved runs")?;
        writeln!(f, "           {:>12} {:>12} {:>12}", "total", "products", "the rest")?;
        for (name, medians) in [("fused", fused), ("unfused", unfused)] {
            let [total, products, kernels] = [medians.total, medians.products, medians.kernels].map(microseconds);
            writeln!(f, "{name:<10} {total:>12} {products:>12} {kernels:>12}")?;
        }
        let ratio = |unfused: Duration, fused: Duration| unfused.as_secs_f64() / fused.as_secs_f64().max(1e-9);
        writeln!(
            f,
            "fusing makes the rest {:.2}× as fast, the whole {:.2}×",
            ratio(unfused.kernels, fused.kernels),
            ratio(unfused.total, fused.total)
        )
    }
}
