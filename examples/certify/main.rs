//! How accurate is it on every float32?
//!
//! Runs all 2³² bit patterns through the native kernel of an activation, or of your own expression of one input, and
//! compares with its textbook definition, the constants rounded to float32: first with the definition compiled for
//! float64, which is fast, then, for the worst inputs and for every mistake, with hundreds of bits. `--help` shows how
//! to call it; `docs/accuracy.md` what it found.

mod cases;
mod certificate;
mod halves;
mod options;
mod pairs;
mod peers;
mod precise;
mod record;
mod report;
mod rows;
mod statistics;
mod subject;
mod sweep;

use fuselet::{BackendChoice, Engine, Fusion, Isa};
use indicatif::{ProgressBar, ProgressStyle};
use options::Options;
use record::Record;
use serde_json::json;
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;
use subject::Subject;
use sweep::{Measured, Patterns};

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything certified holds the promise.
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    if options.document {
        let record = Record::open()?;
        record.document()?;
        record.quote()?;
        return Ok(true);
    }
    // The tool's own threads each run kernels of one thread.
    let mut builder = Engine::builder().threads(1);
    if let Some(backend) = options.backend {
        builder = builder.backend(backend);
    }
    if let Some(isa) = options.isa {
        builder = builder.isa(isa);
    }
    let engine = builder.build()?;
    let library = engine.library();
    let (mut subjects, mut of_rows) = (Vec::new(), Vec::new());
    let all = if options.all || (options.half && options.names.is_empty() && options.chains.is_empty()) {
        cases::ELEMENTWISE
    } else {
        &[]
    };
    let all_rows = if options.rows { cases::ROWS } else { &[] };
    for name in all.iter().chain(all_rows).copied().chain(options.names.iter().map(String::as_str)) {
        let subject = Subject::activation(library, name)?;
        if subject.require_elementwise().is_ok() { subjects.push(subject) } else { of_rows.push(subject) }
    }
    for chain in &options.chains {
        subjects.push(Subject::chain(library, chain)?);
    }
    subjects.iter().try_for_each(Subject::require_elementwise)?;
    if subjects.is_empty() && of_rows.is_empty() && !options.pairs {
        return Err(format!("nothing to certify\n\n{}", options::HELP).into());
    }
    if options.record && !(subjects.iter().all(|subject| subject.promised) && options.patterns == Patterns::ALL) {
        return Err("only activations on all inputs go on record".into());
    }
    println!("{}, {} threads, {}", engine.backend_name(), options.threads, record::processor());
    if options.markdown && !subjects.is_empty() && !options.half {
        println!("{}", report::MARKDOWN_HEADING);
    }
    let mut holds = true;
    for subject in &subjects {
        holds &=
            if options.half { certify_halves(&engine, subject, options)? } else { certify(&engine, subject, options)? };
    }
    if options.pairs {
        holds &= certify_pairs(&engine, options)?;
    }
    for subject in &of_rows {
        holds &= certify_rows(&engine, subject, options)?;
    }
    Ok(holds)
}

fn certify(engine: &Engine, subject: &Subject, options: &Options) -> Result<bool, Box<dyn Error>> {
    let start = Instant::now();
    let measured = Measured::new(engine, subject, options.reference)?;
    let bar = progress_bar(options.patterns.count(), &subject.name);
    let progress = |done| bar.inc(done);
    let certificate = certificate::certify(subject, &measured, options.patterns, options.threads, &progress)?;
    bar.finish_and_clear();
    if options.markdown {
        println!("{}", report::markdown(subject, &certificate));
    } else {
        println!("{}", report::text(subject, &certificate, start.elapsed()));
    }
    if options.record {
        if !certificate.sampled.is_empty() {
            return Err(format!("`{}` was only sampled in places; nothing to record", subject.name).into());
        }
        let max = certificate.max_ulp();
        let entry = json!({
            "inputs": certificate.statistics.inputs,
            "max": max,
            "bound": record::bound(max),
            "x": certificate.worst.map(|worst| report::number(worst.x)),
            "y": certificate.worst.map(|worst| format!("{:e}", worst.truth as f32)),
            "mean": certificate.statistics.mean(),
            "subnormal_max": certificate.statistics.worst_subnormal,
            "histogram": certificate.statistics.histogram,
            "reference_error": certificate.reference_error,
            "backend": engine.backend_name(),
            "date": record::today(),
            "processor": record::processor(),
        });
        // Opened only now: another run may have recorded other functions meanwhile.
        let mut record = Record::open()?;
        record.set(record::ELEMENTWISE, &subject.name, engine.isa().has_fma(), entry);
        record.save()?;
    }
    Ok(!subject.promised || certificate.max_ulp() <= report::PROMISED)
}

fn certify_rows(engine: &Engine, subject: &Subject, options: &Options) -> Result<bool, Box<dyn Error>> {
    let start = Instant::now();
    let bar = progress_bar(options.random_rows, &subject.name);
    let certificate = rows::certify(engine, subject, options.random_rows, &|done| bar.inc(done))?;
    bar.finish_and_clear();
    println!("{}", report::rows_text(subject, &certificate, start.elapsed()));
    let measure = rows::Measure::of(&subject.name);
    if options.record {
        let entry = json!({
            "rows": certificate.rows,
            "results": certificate.results,
            "max": certificate.worst,
            "bound": record::bound(certificate.worst),
            "mean": certificate.mean,
            "unit": measure.unit(),
            "backend": engine.backend_name(),
            "date": record::today(),
            "processor": record::processor(),
        });
        let mut record = Record::open()?;
        record.set(record::ROWS, &subject.name, engine.isa().has_fma(), entry);
        record.save()?;
    }
    Ok(certificate.worst <= rows::promise(&subject.name))
}

/// A function on every number of the half types.
fn certify_halves(engine: &Engine, subject: &Subject, options: &Options) -> Result<bool, Box<dyn Error>> {
    let best = Engine::builder().isa(Isa::detect()).backend(BackendChoice::Auto).threads(1).build()?;
    let reference = best.compile_graph(&subject.definition, Fusion::Full)?;
    let kernel = engine.compile_graph(&subject.form, Fusion::Full)?;
    let mut entry = made(engine);
    let mut holds = true;
    for dtype in halves::DTYPES {
        let truths = halves::truths(subject, &reference, dtype)?;
        let counts = halves::count(dtype, &halves::results(&kernel, dtype)?, &truths, report::PROMISED);
        println!("{}", report::halves(&subject.name, dtype, &counts));
        holds &= counts.wrong == 0;
        entry[dtype.name()] = json!({ "undecided": counts.undecided, "wrong": counts.wrong });
    }
    if options.record {
        let mut record = Record::open()?;
        record.set(record::HALVES, &subject.name, engine.isa().has_fma(), entry);
        record.save()?;
    }
    Ok(holds || !subject.promised)
}

/// `silu(g) * u` on every pair of bfloat16 numbers.
fn certify_pairs(engine: &Engine, options: &Options) -> Result<bool, Box<dyn Error>> {
    let start = Instant::now();
    let bar = progress_bar(1 << 32, pairs::EXPRESSION);
    let counts = pairs::count(engine, options.threads, &|done| bar.inc(done))?;
    bar.finish_and_clear();
    println!("{}", report::pairs(&counts, start.elapsed()));
    if options.record {
        let mut entry = made(engine);
        entry["pairs"] = counts.pairs.into();
        entry["undecided"] = counts.undecided.into();
        entry["distant"] = counts.distant.into();
        entry["wrong"] = counts.wrong.into();
        let mut record = Record::open()?;
        record.set(record::PAIRS, pairs::EXPRESSION, engine.isa().has_fma(), entry);
        record.save()?;
    }
    Ok(counts.wrong == 0)
}

/// How and when an entry was made.
fn made(engine: &Engine) -> serde_json::Value {
    json!({
        "backend": engine.backend_name(),
        "date": record::today(),
        "processor": record::processor(),
    })
}

/// A bar that is drawn only where there is a terminal.
fn progress_bar(length: u64, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(name.to_owned());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
