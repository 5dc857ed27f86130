//! A small model runtime that embeds Fuselet: runs Keras `Sequential` models.
//!
//! ```text
//! cargo run --release --example sequential -- MODEL_DIR [--batch N] [--backend NAME] [--threads N]
//! ```
//!
//! MODEL_DIR has `config.json` (what `model.to_json()` writes) and `weights.npz`; `inputs.npy`, `labels.npy` and
//! `outputs.npy` if there is something to compare with. Matrix products are the `matrixmultiply` crate's. Bias, activation
//! and all activation layers that follow a product run as one fused kernel in place on its result: [`runtime`].

pub mod array;
pub mod error;
pub mod model;
pub mod report;
pub mod runtime;
pub mod weights;

pub use error::Error;

use array::{Array, MOST_ELEMENTS, elements_of};
use fuselet::{BackendChoice, Engine, Fusion};
use model::Model;
use report::{Medians, Report, StageReport, Timing};
use runtime::{Runtime, Times, Workspace};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use weights::Weights;

/// How to call it.
pub const USAGE: &str = "usage: sequential [MODEL_DIR] [--batch N] [--backend NAME] [--threads N]
  MODEL_DIR  has config.json and weights.npz; inputs.npy, labels.npy, outputs.npy if there are any
  --batch    how many inputs a timed batch has; as many as inputs.npy by default
  --backend  auto, interpreter, cranelift or wide
  --threads  the most threads a kernel uses; 1 by default, as the matrix product does";

/// Runs are timed for about this long, but at least [`LEAST_RUNS`] and at most [`MOST_RUNS`] of each kind.
const TIMED: Duration = Duration::from_millis(500);
const LEAST_RUNS: usize = 5;
const MOST_RUNS: usize = 2001;

/// The inputs that are made up for timing where there are none.
const MADE_UP_INPUTS: usize = 256;

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the model is.
    pub directory: PathBuf,
    /// How many inputs a timed batch has.
    pub batch: Option<usize>,
    /// Which backend compiles.
    pub backend: Option<BackendChoice>,
    /// The most threads a kernel uses.
    pub threads: usize,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options, Error> {
        let usage = |problem: String| Error::Usage { problem };
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/keras_digits");
        let mut options = Options { directory: default, batch: None, backend: None, threads: 1 };
        let mut has_directory = false;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            if !argument.starts_with('-') && !has_directory {
                (options.directory, has_directory) = (argument.into(), true);
                continue;
            }
            let mut value = || arguments.next().ok_or_else(|| usage(format!("{argument} needs a value")));
            let above_zero = |text: String| match text.parse::<usize>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(usage(format!("{argument} needs a whole number above 0, but is given `{text}`"))),
            };
            match argument.as_str() {
                "--batch" => options.batch = Some(above_zero(value()?)?),
                "--threads" => options.threads = above_zero(value()?)?,
                "--backend" => {
                    let name = value()?;
                    let known = BackendChoice::by_name(&name);
                    options.backend = Some(known.ok_or_else(|| usage(format!("there is no backend `{name}`")))?);
                }
                _ => return Err(usage(format!("what is `{argument}`?"))),
            }
        }
        Ok(options)
    }
}

/// Loads a model, runs it, compares and times it.
pub fn run(options: &Options) -> Result<Report, Error> {
    let mut builder = Engine::builder().threads(options.threads);
    if let Some(backend) = options.backend {
        builder = builder.backend(backend);
    }
    let engine = builder.build()?;
    let file = |name: &str| options.directory.join(name);
    let model = Model::read(&file("config.json"), engine.library())?;
    let given = Array::read_if_present(&file("inputs.npy"), |number| number as f32)?;
    let input_shape = input_shape(&model, given.as_ref(), &file("inputs.npy"))?;
    let mut weights = Weights::open(&file("weights.npz"))?;
    let runtime = Runtime::new(&model, &mut weights, &engine, &input_shape)?;

    let (mut accuracy, mut difference) = (None, None);
    if let Some(given) = &given {
        let mut workspace = Workspace::default();
        let count = given.shape[0];
        let outputs = runtime.run(&given.values, count, Fusion::Full, &mut workspace, &mut Times::default())?;
        let output_shape = [&[count], runtime.output_shape()].concat();
        accuracy = compare_labels(&file("labels.npy"), outputs, &output_shape)?;
        difference = compare_outputs(&file("outputs.npy"), outputs, &output_shape)?;
    }

    let batch = options.batch.or(given.as_ref().map(|given| given.shape[0])).unwrap_or(MADE_UP_INPUTS);
    let inputs = batch_of(batch, &input_shape, given.as_ref())?;
    Ok(Report {
        title: format!("{} · input {} · {}", model.name, error::batched(&input_shape), engine.backend_name()),
        stages: StageReport::all(&runtime, batch)?,
        unused_weights: weights.unused().map(str::to_owned).collect(),
        accuracy,
        largest_difference: difference,
        timing: time(&runtime, &inputs, batch)?,
    })
}

/// The shape of one input: as the config says; where it leaves lengths open, as the given inputs have them.
fn input_shape(model: &Model, given: Option<&Array<f32>>, path: &Path) -> Result<Vec<usize>, Error> {
    let known = model.input_shape.as_deref();
    let text = || match known {
        None => "(None, …)".to_owned(),
        Some(lengths) => {
            let text = |length: &Option<usize>| length.map_or(", None".to_owned(), |length| format!(", {length}"));
            format!("(None{})", lengths.iter().map(text).collect::<String>())
        }
    };
    let Some(given) = given else {
        let closed = known.and_then(|lengths| lengths.iter().copied().collect::<Option<Vec<usize>>>());
        return closed.ok_or_else(|| Error::UnknownInputShape { known: text() });
    };
    let fits = |shape: &[usize]| match known {
        None => true,
        Some(lengths) => {
            lengths.len() == shape.len()
                && lengths.iter().zip(shape).all(|(known, length)| known.is_none_or(|known| known == *length))
        }
    };
    match given.shape.split_first() {
        Some((_, shape)) if fits(shape) => Ok(shape.to_vec()),
        _ => Err(Error::ArrayShape { path: path.to_owned(), expected: text(), found: given.shape.clone() }),
    }
}

fn compare_labels(path: &Path, outputs: &[f32], shape: &[usize]) -> Result<Option<(usize, usize)>, Error> {
    let Some(labels) = Array::read_if_present(path, |number| number as i64)? else { return Ok(None) };
    let (classes, rows) = shape.split_last().map_or((1, 1), |(classes, rows)| (*classes, rows.iter().product()));
    if labels.values.len() != rows {
        let expected = format!("one label for each of {rows} outputs");
        return Err(Error::ArrayShape { path: path.to_owned(), expected, found: labels.shape });
    }
    Ok(Some((report::count_right(outputs, classes, &labels.values), rows)))
}

fn compare_outputs(path: &Path, outputs: &[f32], shape: &[usize]) -> Result<Option<f32>, Error> {
    let Some(expected) = Array::read_if_present(path, |number| number as f32)? else { return Ok(None) };
    if expected.shape != shape {
        let found = expected.shape;
        return Err(Error::ArrayShape { path: path.to_owned(), expected: format!("{shape:?}"), found });
    }
    Ok(Some(report::largest_difference(outputs, &expected)))
}

/// Inputs for timing: those given, over and over, or made up.
fn batch_of(batch: usize, shape: &[usize], given: Option<&Array<f32>>) -> Result<Vec<f32>, Error> {
    let Some(elements) = elements_of(&[&[batch], shape].concat()) else {
        return Err(Error::TooLarge { what: format!("a batch of {batch}"), limit: MOST_ELEMENTS });
    };
    Ok(match given {
        Some(given) if !given.values.is_empty() => given.values.iter().copied().cycle().take(elements).collect(),
        // Between -1 and 1, without a period that any layer could notice.
        _ => (0..elements).map(|place| (place as f32 * 0.618_034).fract() * 2.0 - 1.0).collect(),
    })
}

/// Times fused and unfused runs in turn, so that both meet the same machine.
fn time(runtime: &Runtime, inputs: &[f32], batch: usize) -> Result<Timing, Error> {
    let mut workspace = Workspace::default();
    let mut once = |fusion: Fusion| -> Result<(Duration, Times), Error> {
        let mut times = Times::default();
        let start = Instant::now();
        std::hint::black_box(runtime.run(inputs, batch, fusion, &mut workspace, &mut times)?);
        Ok((start.elapsed(), times))
    };
    // The first calls plan and compile.
    once(Fusion::Full)?;
    once(Fusion::Off)?;
    let (mut fused, mut unfused) = (Vec::new(), Vec::new());
    let start = Instant::now();
    while fused.len() < LEAST_RUNS || (fused.len() < MOST_RUNS && start.elapsed() < TIMED) {
        fused.push(once(Fusion::Full)?);
        unfused.push(once(Fusion::Off)?);
    }
    let runs = fused.len();
    Ok(Timing { batch, runs, fused: Medians::of(&fused), unfused: Medians::of(&unfused) })
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
