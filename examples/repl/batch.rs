//! Batch mode: one command, then the end. Nothing is written unless everything succeeded.

use crate::arguments::Arguments;
use crate::arrays::Array;
use crate::error::Error;
use crate::evaluate::{self, Bound, Judge, Named, Options, Settings, bind};
use crate::{explain, literal, npy, show, timing};
use fuselet::ir::Library;
use fuselet::{Dtype, Engine, Function};
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

/// Elements along the one axis of inputs nobody gave, for `explain`.
const ASSUMED_LENGTH: usize = 1024;

/// The library, with the functions of all definition files.
pub fn library(arguments: &Arguments) -> Result<Library, Error> {
    let library = Library::standard();
    for path in &arguments.definitions {
        let failed = |source| Error::File { action: "read", path: path.clone(), source };
        library.define(&std::fs::read_to_string(path).map_err(failed)?)?;
    }
    Ok(library)
}

/// The array a value means: a literal, or a file.
pub fn value(name: &str, text: &str, library: &Library) -> Result<Array, Error> {
    let looks_like_file = text.ends_with(".npy") || text.contains('/');
    if looks_like_file && !text.starts_with('[') || Path::new(text).is_file() {
        npy::read(Path::new(text))
    } else {
        literal::parse(&format!("the value of `{name}`"), text, library)
    }
}

fn inputs(arguments: &Arguments, library: &Library) -> Result<Named, Error> {
    let mut inputs: Named = Vec::with_capacity(arguments.inputs.len());
    for (name, text) in &arguments.inputs {
        if inputs.iter().any(|(known, _)| known == name) {
            return Err(fuselet::CallError::RepeatedInput { name: name.clone() }.into());
        }
        inputs.push((name.clone(), value(name, text, library)?));
    }
    Ok(inputs)
}

/// `eval`.
pub fn eval(out: &mut dyn Write, arguments: &Arguments, text: &str) -> Result<(), Error> {
    let library = library(arguments)?;
    let engine = arguments.settings.engine(&library)?;
    let values = inputs(arguments, &library)?;
    let options = Options { all_used: true, ..Options::default() };
    let outcome = evaluate::evaluate(&engine, &arguments.settings, text, &values, options)?;
    let files = destinations(arguments, &outcome.outputs)?;
    let mut pending = npy::Pending::default();
    for ((_, array), file) in outcome.outputs.iter().zip(&files) {
        if let Some(path) = file {
            pending.add(path, array)?;
        }
    }
    pending.commit()?;
    for ((name, array), file) in outcome.outputs.iter().zip(&files) {
        if file.is_none() {
            print(out, outcome.named.then_some(name.as_str()), array)?;
        }
    }
    if arguments.time {
        out.flush()?;
        timing::table(&mut std::io::stderr(), &arguments.settings, &library, text, &values, None)?;
    }
    Ok(())
}

/// The file of each output.
fn destinations<'a>(arguments: &'a Arguments, outputs: &Named) -> Result<Vec<Option<&'a Path>>, Error> {
    let names = || outputs.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut files: Vec<Option<&Path>> = vec![None; outputs.len()];
    let mut used: Vec<&Path> = Vec::new();
    for (name, path) in &arguments.outputs {
        let at = match name {
            Some(name) => outputs.iter().position(|(known, _)| known == name).ok_or_else(|| {
                Error::Command(format!("`{name}` is no output of the expression, which has {}", names()))
            })?,
            None if outputs.len() == 1 => 0,
            None => {
                return Err(Error::Command(format!(
                    "the expression has the outputs {}; write `--output NAME={}`",
                    names(),
                    path.display()
                )));
            }
        };
        if files[at].is_some() || used.contains(&path.as_path()) {
            return Err(Error::Command(format!("`--output` for {} is given twice", path.display())));
        }
        files[at] = Some(path);
        used.push(path);
    }
    Ok(files)
}

/// Prints an array, with its name where the text gives one.
pub fn print(out: &mut dyn Write, name: Option<&str>, array: &Array) -> Result<(), Error> {
    match name {
        Some(name) => {
            let lead = format!("{name} = ");
            writeln!(out, "{lead}{}", show::array(array, lead.chars().count()))?;
        }
        None => writeln!(out, "{}", show::array(array, 0))?,
    }
    Ok(())
}

/// `explain`.
pub fn explain(out: &mut dyn Write, arguments: &Arguments, text: &str) -> Result<(), Error> {
    if arguments.settings.judge == Some(Judge::Reference) {
        return Err(Error::Command("the reference compiles nothing; explain another backend".to_owned()));
    }
    let library = library(arguments)?;
    let engine = arguments.settings.engine(&library)?;
    let values = inputs(arguments, &library)?;
    let bound = bound(&engine, &arguments.settings, text, &values)?;
    explain::all(out, &bound)
}

/// An expression with its inputs; if none is given, they are vectors.
fn bound<'a>(
    engine: &Engine,
    settings: &Settings,
    text: &str,
    values: &'a [(String, Array)],
) -> Result<Bound<'a>, Error> {
    let fused = engine.compile_with(text, settings.fusion)?;
    evaluate::refuse_unknown(&settings.dtypes, fused.inputs(), fused.outputs())?;
    if values.is_empty() {
        return assumed(fused, &settings.dtypes);
    }
    evaluate::refuse_unused(fused.inputs(), values)?;
    let inputs = bind(fused.inputs(), values, engine.library(), false, &settings.dtypes)?;
    Bound::new(fused, inputs, &settings.dtypes)
}

/// A function with vectors as its inputs, float32 where no other dtype is asked for: for explaining one that has no values yet.
pub fn assumed<'a>(fused: Function, dtypes: &[(String, Dtype)]) -> Result<Bound<'a>, Error> {
    let vector = |name: &String| {
        let zeros = Array::zeros(Dtype::F32, &[ASSUMED_LENGTH], false)?;
        evaluate::converted(name, Cow::Owned(zeros), dtypes)
    };
    let inputs = fused.inputs().iter().map(vector).collect::<Result<Vec<_>, _>>()?;
    Bound::new(fused, inputs, dtypes)
}

/// `list`: each function with the first sentence of its documentation.
pub fn list(out: &mut dyn Write, library: &Library) -> Result<(), Error> {
    for function in library.functions() {
        let signature = function.signature();
        let summary = function.docs().lines().next().unwrap_or_default();
        let aliases = match function.aliases() {
            [] => String::new(),
            names => format!(" (also {})", names.join(", ")),
        };
        if signature.chars().count() <= 40 {
            writeln!(out, "{signature:40}  {summary}{aliases}")?;
        } else {
            writeln!(out, "{signature}\n{:40}  {summary}{aliases}", "")?;
        }
    }
    Ok(())
}

/// `show`: a function as it is written.
pub fn show_function(out: &mut dyn Write, library: &Library, name: &str) -> Result<(), Error> {
    let activation = library.activation(name)?;
    writeln!(out, "{}", activation.function().source().trim_end())?;
    Ok(())
}
