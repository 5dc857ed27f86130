//! A small model runtime that embeds Fuselet: runs Keras models of Dense layers and all that is elementwise or by rows,
//! sequential or functional, of Keras 2 or 3.
//!
//! ```text
//! cargo run --release --example keras_mlp -- MODEL_DIR [--batch N] [--backend NAME] [--threads N]
//! ```
//!
//! MODEL_DIR has `config.json` (what `model.to_json()` writes) and `weights.npz`; `inputs.npy`, `labels.npy` and
//! `outputs.npy` if there is something to compare with (`inputs_0.npy`, `inputs_1.npy`, … of several). Matrix products are the
//! `matrixmultiply` crate's. Bias, activation and all that follows a product up to the next one run as one fused kernel, in
//! place on its result. A [`model`] comes from a config by [`reading`], its [`layers`] and, if it is
//! [`functional`], their [`connections`]; [`stages`] makes stages of layers, which share [`buffers`], and [`runtime`] runs them.

pub mod array;
pub mod buffers;
pub mod connections;
pub mod error;
mod files;
pub mod functional;
pub mod kernel;
pub mod layers;
pub mod model;
#[path = "../support/npy_format/mod.rs"]
mod npy_format;
pub mod reading;
pub mod report;
pub mod runtime;
pub mod shapes;
pub mod stages;
pub mod weights;

pub use error::Error;

use array::{Array, MOST_ELEMENTS, elements_of};
use files::{Given, compare_labels, compare_outputs, numbered, read_inputs};
use fuselet::{BackendChoice, Engine, Fusion};
use kernel::Workspace;
use model::Model;
use report::{Medians, Report, StageReport, Timing};
use runtime::{Runtime, Times};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use weights::Weights;

/// How to call it.
pub const USAGE: &str = "usage: keras_mlp [MODEL_DIR] [--batch N] [--backend NAME] [--threads N]
  MODEL_DIR  has config.json and weights.npz; inputs.npy, labels.npy, outputs.npy if there are any
             (inputs_0.npy, inputs_1.npy, … if there are several inputs)
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
    let Given { arrays: given, shapes: input_shapes } = read_inputs(&model, &options.directory)?;
    let mut weights = Weights::open(&file("weights.npz"))?;
    let runtime = stages::build(&model, &mut weights, &engine, &input_shapes)?;

    let (mut accuracy, mut difference) = (None, None);
    let count = given.first().map(|given| given.shape[0]);
    if let Some(count) = count {
        let mut workspace = Workspace::default();
        let inputs: Vec<&[f32]> = given.iter().map(|given| given.values.as_slice()).collect();
        runtime.run(&inputs, count, Fusion::Full, &mut workspace, &mut Times::default())?;
        for (place, shape) in runtime.output_shapes().enumerate() {
            let outputs = runtime.output(place, &inputs, count, &workspace);
            let shape = [&[count], shape].concat();
            if place == 0 {
                accuracy = compare_labels(&file("labels.npy"), outputs, &shape)?;
            }
            let name = numbered("outputs", place, model.outputs.len());
            let of_this: Option<f32> = compare_outputs(&file(&name), outputs, &shape)?;
            difference = match (difference, of_this) {
                (Some(one), Some(other)) => Some(report::larger(one, other)),
                (one, other) => one.or(other),
            };
        }
    }

    let batch = options.batch.or(count).unwrap_or(MADE_UP_INPUTS);
    let mut inputs = Vec::with_capacity(input_shapes.len());
    for (place, shape) in input_shapes.iter().enumerate() {
        inputs.push(batch_of(batch, shape, given.get(place))?);
    }
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let shapes: Vec<String> = input_shapes.iter().map(|shape| error::batched(shape)).collect();
    Ok(Report {
        title: format!("{} · input {} · {}", model.name, shapes.join(", "), engine.backend_name()),
        stages: StageReport::all(&runtime, batch)?,
        unused_weights: weights.unused().map(str::to_owned).collect(),
        accuracy,
        largest_difference: difference,
        timing: time(&runtime, &inputs, batch)?,
    })
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
fn time(runtime: &Runtime, inputs: &[&[f32]], batch: usize) -> Result<Timing, Error> {
    let mut workspace = Workspace::default();
    let mut once = |fusion: Fusion| -> Result<(Duration, Times), Error> {
        let mut times = Times::default();
        let start = Instant::now();
        runtime.run(inputs, batch, fusion, &mut workspace, &mut times)?;
        std::hint::black_box(&mut workspace);
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
