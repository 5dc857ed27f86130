//! From text and arrays to results: what batch mode and the session share.

use crate::arrays::Array;
use crate::error::Error;
use fuselet::ir::{Graph, Library, Meaning, reference};
use fuselet::{ArrayMut, ArrayOut, ArrayRef, BackendChoice, Dtype, Engine, Function, Fusion, Isa, Signature};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// An engine's backend.
    Backend(BackendChoice),
    /// The float64 reference, by the textbook definitions.
    Reference,
}

impl Judge {
    /// The names users write.
    pub fn names() -> Vec<&'static str> {
        BackendChoice::NAMES.iter().map(|(name, _)| *name).chain(["reference"]).collect()
    }

    /// The one of this name.
    pub fn by_name(name: &str) -> Result<Judge, Error> {
        if name == "reference" {
            return Ok(Judge::Reference);
        }
        BackendChoice::by_name(name).map(Judge::Backend).ok_or_else(|| {
            Error::Command(format!("there is no backend `{name}`; use one of {}", Judge::names().join(", ")))
        })
    }
}

/// How to compute; the engine is made of it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `None`: what the environment says, or the best.
    pub judge: Option<Judge>,
    pub isa: Option<Isa>,
    pub threads: Option<usize>,
    pub fusion: Fusion,
    /// Dtypes by the names of inputs and outputs: what inputs are converted to before a call, and outputs are stored as.
    pub dtypes: Dtypes,
}

/// Dtypes by name.
pub type Dtypes = Vec<(String, Dtype)>;

impl Settings {
    /// An engine of these settings; `library` is shared with it.
    pub fn engine(&self, library: &Library) -> Result<Engine, Error> {
        let mut builder = Engine::builder().library(library.clone()).fusion(self.fusion);
        if let Some(Judge::Backend(choice)) = self.judge {
            builder = builder.backend(choice);
        }
        if let Some(isa) = self.isa {
            builder = builder.isa(isa);
        }
        if let Some(threads) = self.threads {
            builder = builder.threads(threads);
        }
        Ok(builder.build()?)
    }
}

/// Arrays by name.
pub type Named = Vec<(String, Array)>;

/// The results of an expression.
pub struct Outcome {
    pub outputs: Named,
    /// Whether the text names its outputs.
    pub named: bool,
    /// How it was computed; `None` for the reference.
    pub work: Option<Work>,
}

/// How an expression was computed.
pub struct Work {
    pub kernels: usize,
    /// Elements of the largest output.
    pub elements: usize,
    pub backend: String,
    pub compiled_in: Duration,
    pub ran_in: Duration,
}

/// The inputs of a function: values by name, converted where `dtypes` says so, or an error that names all that are missing.
pub fn bind<'a>(
    inputs: &[String],
    values: &'a [(String, Array)],
    library: &Library,
    interactive: bool,
    dtypes: &[(String, Dtype)],
) -> Result<Vec<Cow<'a, Array>>, Error> {
    let mut found = Vec::with_capacity(inputs.len());
    let mut missing = Vec::new();
    for name in inputs {
        match values.iter().rev().find(|(known, _)| known == name) {
            Some((_, array)) => found.push(converted(name, Cow::Borrowed(array), dtypes)?),
            None => missing.push((name.clone(), library.function(name).is_some())),
        }
    }
    if !missing.is_empty() {
        return Err(Error::MissingInputs { names: missing, interactive });
    }
    let wide = found.iter().any(|array| array.dtype() == Dtype::F64);
    let widened = |array: Cow<'a, Array>| match array {
        Cow::Borrowed(array) if wide => array.widened(),
        other => other,
    };
    Ok(found.into_iter().map(widened).collect())
}

/// An array in the dtype that is asked for under its name.
pub fn converted<'a>(name: &str, array: Cow<'a, Array>, dtypes: &[(String, Dtype)]) -> Result<Cow<'a, Array>, Error> {
    match dtype_of(name, dtypes) {
        Some(dtype) => Ok(Cow::Owned(array.converted(dtype)?)),
        None => Ok(array),
    }
}

fn dtype_of(name: &str, dtypes: &[(String, Dtype)]) -> Option<Dtype> {
    dtypes.iter().rev().find(|(known, _)| known == name).map(|(_, dtype)| *dtype)
}

/// What results are stored as if nothing else is asked for: what all inputs promote to, literals left out, if that is a float.
fn dtype_of_results(inputs: &[Cow<'_, Array>]) -> Dtype {
    let dtypes = inputs.iter().filter(|array| array.exact.is_none()).map(|array| array.dtype());
    dtypes.reduce(Dtype::promote).filter(|dtype| dtype.is_float()).unwrap_or_default()
}

/// A function with its arrays, ready to be called.
pub struct Bound<'a> {
    pub fused: Function,
    pub inputs: Vec<Cow<'a, Array>>,
    pub outputs: Named,
}

impl<'a> Bound<'a> {
    /// Allocates the outputs, of the dtypes asked for or what the inputs promote to: row-major, or column-major if every input
    /// of several axes is.
    pub fn new(fused: Function, inputs: Vec<Cow<'a, Array>>, dtypes: &[(String, Dtype)]) -> Result<Bound<'a>, Error> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|array| array.shape.clone()).collect();
        let mut matrices = inputs.iter().filter(|array| array.shape.len() > 1).peekable();
        let column_major = matrices.peek().is_some() && matrices.all(|array| array.is_column_major());
        let plain = dtype_of_results(&inputs);
        let names: Vec<String> = fused.outputs().map(str::to_owned).collect();
        let mut outputs = Vec::with_capacity(names.len());
        for (name, shape) in names.into_iter().zip(fused.output_shapes(&shapes)?) {
            let dtype = dtype_of(&name, dtypes).unwrap_or(plain);
            outputs.push((name, Array::zeros(dtype, &shape, column_major)?));
        }
        Ok(Bound { fused, inputs, outputs })
    }

    /// Hands the call to `body`, which makes it as often as it likes.
    pub fn with_call<T>(
        &mut self,
        body: impl FnOnce(&mut dyn FnMut() -> Result<(), Error>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let views = self.inputs.iter().map(|array| array.view()).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<(&str, ArrayRef<'_>)> =
            self.fused.inputs().iter().zip(views).map(|(name, view)| (name.as_str(), view)).collect();
        let mut written: Vec<(&str, ArrayMut<'_>)> = Vec::with_capacity(self.outputs.len());
        for (name, array) in &mut self.outputs {
            written.push((name.as_str(), array.view_mut()?));
        }
        let fused = &self.fused;
        if let [(_, output)] = written.as_mut_slice() {
            return body(&mut || Ok(fused.call(&inputs, &mut *output)?));
        }
        body(&mut || {
            let outputs = written.iter_mut().map(|(name, view)| (*name, ArrayOut::from(view)));
            Ok(fused.call_many(&inputs, outputs)?)
        })
    }

    /// What the call runs, compiled; and how long that took.
    pub fn explanation(&self) -> Result<(fuselet::Explanation, Duration), Error> {
        let views = self.inputs.iter().map(|array| array.view()).collect::<Result<Vec<_>, _>>()?;
        let inputs = self.fused.inputs().iter().zip(&views);
        let mut signature = inputs.fold(Signature::new(), |signature, (name, view)| signature.with_input(name, *view));
        for (name, array) in &self.outputs {
            signature = signature.with_output(name, array.dtype(), &array.shape, array.strides())?;
        }
        let start = Instant::now();
        let prepared = self.fused.prepare(&signature)?;
        Ok((prepared.explain(), start.elapsed()))
    }
}

/// Computes an expression. `measure`: also find out how long a call takes, by repeating short ones.
pub fn evaluate(
    engine: &Engine,
    settings: &Settings,
    text: &str,
    values: &[(String, Array)],
    options: Options,
) -> Result<Outcome, Error> {
    if settings.judge == Some(Judge::Reference) {
        return by_reference(engine.library(), settings, text, values, options);
    }
    let start = Instant::now();
    let fused = engine.compile(text)?;
    let front = start.elapsed();
    if options.all_used {
        refuse_unused(fused.inputs(), values)?;
        refuse_unknown(&settings.dtypes, fused.inputs(), fused.outputs())?;
    }
    let inputs = bind(fused.inputs(), values, engine.library(), options.interactive, &settings.dtypes)?;
    let mut bound = Bound::new(fused, inputs, &settings.dtypes)?;
    let (explanation, back) = bound.explanation()?;
    let ran_in = bound.with_call(|call| {
        let start = Instant::now();
        call()?;
        let first = start.elapsed();
        if options.measure { shortest(first, call) } else { Ok(first) }
    })?;
    let elements = bound.outputs.iter().map(|(_, array)| array.len()).max().unwrap_or(0);
    let mut backends: Vec<&str> = explanation.passes.iter().map(|pass| pass.backend.as_str()).collect();
    backends.dedup();
    let backend = if backends.is_empty() { engine.backend_name() } else { backends.join(" + ") };
    let kernels = explanation.plan.kernels.len();
    let work = Work { kernels, elements, backend, compiled_in: front + back, ran_in };
    let named = names_outputs(bound.fused.graph());
    Ok(Outcome { outputs: bound.outputs, named, work: Some(work) })
}

/// How [`evaluate`] behaves.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub measure: bool,
    /// Whether a value that no input takes is a mistake.
    pub all_used: bool,
    pub interactive: bool,
}

fn names_outputs(graph: &Graph) -> bool {
    !matches!(graph.outputs(), [output] if output.name == Graph::DEFAULT_OUTPUT)
}

/// The time of a call: of the first one if that took long, else the best mean of a few short runs.
fn shortest(first: Duration, call: &mut dyn FnMut() -> Result<(), Error>) -> Result<Duration, Error> {
    const LONG: Duration = Duration::from_millis(2);
    const RUN: Duration = Duration::from_micros(100);
    if first > LONG {
        return Ok(first);
    }
    let mut best = first;
    let mut repeats = 1u32;
    for _ in 0..24 {
        let start = Instant::now();
        for _ in 0..repeats {
            call()?;
        }
        let elapsed = start.elapsed();
        best = best.min(elapsed / repeats);
        if elapsed < RUN {
            repeats = repeats.saturating_mul(2);
        }
    }
    Ok(best)
}

/// By the definitions in float64.
fn by_reference(
    library: &Library,
    settings: &Settings,
    text: &str,
    values: &[(String, Array)],
    options: Options,
) -> Result<Outcome, Error> {
    let graph = library.parse(text)?.graph(Meaning::Definition)?;
    if options.all_used {
        refuse_unused(graph.inputs(), values)?;
        refuse_unknown(&settings.dtypes, graph.inputs(), graph.outputs().iter().map(|output| output.name.as_str()))?;
    }
    let inputs = bind(graph.inputs(), values, library, options.interactive, &settings.dtypes)?;
    let inputs = inputs.iter().map(|array| array.to_reference()).collect::<Result<Vec<_>, _>>()?;
    let results = reference::evaluate(&graph, &inputs)?;
    let outputs = graph.outputs().iter().zip(results).map(|(output, array)| {
        let shape = array.shape().to_vec();
        let array = Cow::Owned(Array::new(array.into_data(), shape));
        Ok((output.name.clone(), converted(&output.name, array, &settings.dtypes)?.into_owned()))
    });
    Ok(Outcome { outputs: outputs.collect::<Result<_, Error>>()?, named: names_outputs(&graph), work: None })
}

/// An error for a value that no input takes.
pub fn refuse_unused(inputs: &[String], values: &[(String, Array)]) -> Result<(), Error> {
    match values.iter().find(|(name, _)| !inputs.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            let nearest = fuselet::ir::language::nearest(name, inputs.iter().map(String::as_str));
            Err(fuselet::CallError::UnknownInput { name: name.clone(), nearest, expected: inputs.to_vec() }.into())
        }
    }
}

/// An error for a dtype of neither an input nor an output.
pub fn refuse_unknown<'a>(
    dtypes: &[(String, Dtype)],
    inputs: &[String],
    outputs: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let outputs: Vec<&str> = outputs.collect();
    let known = |name: &String| inputs.contains(name) || outputs.contains(&name.as_str());
    match dtypes.iter().find(|(name, _)| !known(name)) {
        None => Ok(()),
        Some((name, dtype)) => {
            let list = |names: Vec<&str>| match names.is_empty() {
                true => "none".to_owned(),
                false => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            };
            let (inputs, outputs) = (list(inputs.iter().map(String::as_str).collect()), list(outputs));
            let has = format!("the expression's inputs are {inputs}, its outputs {outputs}");
            Err(Error::UnknownName { name: name.clone(), dtype: *dtype, has })
        }
    }
}
