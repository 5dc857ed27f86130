//! `:time` and `--time`: fused, unfused and interpreted, side by side, on the same arrays.

use crate::arrays::Array;
use crate::error::Error;
use crate::evaluate::{Bound, Judge, Settings, bind};
use crate::explain::{each, traffic};
use fuselet::ir::Library;
use fuselet::{BackendChoice, Fusion};
use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, Instant};

/// How long each row of the table is measured.
const BUDGET: Duration = Duration::from_millis(200);

/// Times an expression on its inputs, tiled to about `elements` if that is given, and prints the table.
pub fn table(
    out: &mut dyn Write,
    settings: &Settings,
    library: &Library,
    text: &str,
    values: &[(String, Array)],
    elements: Option<usize>,
) -> Result<(), Error> {
    let reference = settings.judge == Some(Judge::Reference);
    let own = Settings { judge: settings.judge.filter(|_| !reference), ..settings.clone() };
    let interpreter = Settings { judge: Some(Judge::Backend(BackendChoice::Interpreter)), ..own.clone() };
    let rows =
        [("fused", &own, Fusion::Full), ("unfused", &own, Fusion::Off), ("interpreter", &interpreter, Fusion::Full)];
    let mut measured = Vec::new();
    for (name, settings, fusion) in rows {
        let engine = settings.engine(library)?;
        let fused = engine.compile_with(text, fusion)?;
        let inputs = bind(fused.inputs(), values, library, true, &own.dtypes)?;
        let inputs = match elements {
            Some(elements) => tile(inputs, elements)?,
            None => inputs,
        };
        let mut bound = Bound::new(fused, inputs, &own.dtypes)?;
        let (explanation, _) = bound.explanation()?;
        let bytes = traffic(&explanation, &bound)?;
        let count = bound.outputs.iter().map(|(_, array)| array.len()).max().unwrap_or(0).max(1);
        let best = bound.with_call(best_time)?;
        measured.push((name, best, bytes, count));
    }
    let unfused = measured[1].1.as_secs_f64();
    writeln!(out, "               ns/element   bytes/element     GB/s    against unfused")?;
    for (name, time, bytes, count) in measured {
        let seconds = time.as_secs_f64().max(1e-12);
        let nanoseconds = seconds * 1e9 / count as f64;
        let digits = if nanoseconds < 10.0 { 3 } else { 1 };
        let rate = bytes as f64 / seconds / 1e9;
        write!(out, "{name:12}   {nanoseconds:>10.digits$}   {:>13}   {rate:>6.1}", each(bytes, count))?;
        if name == "unfused" {
            writeln!(out)?;
        } else {
            writeln!(out, "    {:.2}×", unfused / seconds)?;
        }
    }
    Ok(())
}

/// The shortest mean time of a call in runs of a millisecond or one call.
fn best_time(call: &mut dyn FnMut() -> Result<(), Error>) -> Result<Duration, Error> {
    const RUN: Duration = Duration::from_millis(1);
    let begin = Instant::now();
    call()?;
    let start = Instant::now();
    call()?;
    let once = start.elapsed();
    let repeats = (RUN.as_nanos() / once.as_nanos().max(1)).clamp(1, 1 << 20) as u32;
    let mut best = once;
    while begin.elapsed() < BUDGET {
        let start = Instant::now();
        for _ in 0..repeats {
            call()?;
        }
        best = best.min(start.elapsed() / repeats);
    }
    Ok(best)
}

/// Inputs that are largest along the first axis, tiled along it so that they have about `elements` elements.
fn tile(inputs: Vec<Cow<'_, Array>>, elements: usize) -> Result<Vec<Cow<'_, Array>>, Error> {
    let rank = inputs.iter().map(|array| array.shape.len()).max().unwrap_or(0);
    if rank == 0 {
        // Numbers alone: make arrays of all of them.
        return inputs
            .into_iter()
            .map(|array| Ok(Cow::Owned(array.into_owned().reshaped(vec![1]).tiled(elements)?)))
            .collect();
    }
    let full = inputs.iter().filter(|array| array.shape.len() == rank);
    let longest = full.clone().map(|array| array.shape[0]).max().unwrap_or(1);
    let row = full.map(|array| array.len() / array.shape[0].max(1)).max().unwrap_or(1).max(1);
    let rows = (elements / row).max(1);
    inputs
        .into_iter()
        .map(|array| {
            let grows = array.shape.len() == rank && array.shape[0] == longest && longest > 0;
            Ok(if grows { Cow::Owned(array.tiled(rows)?) } else { array })
        })
        .collect()
}

/// A number of elements: `1000`, `16k`, `1M`.
pub fn elements(text: &str) -> Result<usize, Error> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000.0),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000.0),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1_000_000_000.0),
        _ => (text, 1.0),
    };
    match digits.parse::<f64>() {
        Ok(number) if number * unit >= 1.0 && number * unit <= 1e12 => Ok((number * unit) as usize),
        _ => Err(Error::Command(format!("`{text}` is no number of elements; write `:time 100000` or `:time 1M`"))),
    }
}

/// A duration in the unit that suits it: `14 ns`, `31 µs`.
pub fn duration(time: Duration) -> String {
    let nanoseconds = time.as_secs_f64() * 1e9;
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}
