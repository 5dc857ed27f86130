//! What the tool prints.

use crate::certificate::{Certificate, Worst};
use crate::halves;
use crate::pairs;
use crate::rows::{Measure, RowCertificate};
use crate::statistics::BINS;
use crate::subject::Subject;
use crate::sweep::BINADE;
use fuselet::Dtype;
use std::time::Duration;

/// The largest distance the project promises for its own activations.
pub const PROMISED: f64 = 4.0;

/// A paragraph on one function.
pub fn text(subject: &Subject, certificate: &Certificate, took: Duration) -> String {
    let statistics = &certificate.statistics;
    let mut lines = vec![subject.name.clone()];
    let mut line = |label: &str, text: String| lines.push(format!("  {label:<12} {text}"));
    let all = if statistics.inputs == 1 << 32 { " (every float32)" } else { "" };
    line("inputs", format!("{}{all} in {:.0} s", statistics.inputs, took.as_secs_f64()));
    match certificate.worst {
        Some(worst) => line("max", format!("{} ULP {}", ulp(worst.ulp), place(&worst))),
        None => line("max", "0 ULP: every result is exact".to_owned()),
    }
    let others = format!("at most {} ULP by float64, of the inputs not computed again", ulp(certificate.others));
    line("others", others);
    let subnormal = ulp(statistics.worst_subnormal);
    line("mean", format!("{} ULP; at most {subnormal} among subnormal results", ulp(statistics.mean())));
    line("histogram", histogram(&statistics.histogram));
    let zeros = (statistics.lost_to_zero, statistics.not_zero, statistics.other_zero);
    line(
        "zeros",
        format!("{} lost to zero, {} not zero, {} of the definition's other sign", zeros.0, zeros.1, zeros.2),
    );
    let unsettled = match certificate.unsettled {
        0 => String::new(),
        count => format!(", {count} of them not computed again"),
    };
    line("mistakes", format!("{} of NaN, infinity or sign{unsettled}", statistics.mistakes));
    for mistake in certificate.mistakes.iter().take(4) {
        line("", place(mistake));
    }
    line("reference", format!("float64 within {:.1e} ULP of high precision", certificate.reference_error));
    if !certificate.sampled.is_empty() {
        let ends = |binade: &usize| f32::from_bits((*binade as u64 * BINADE) as u32);
        let (first, last) = (certificate.sampled.first().map(ends), certificate.sampled.last().map(ends));
        let message = format!(
            "{} binades from {:e} to {:e}: float64 is not exact enough there; sampled with high precision",
            certificate.sampled.len(),
            first.unwrap_or_default(),
            last.unwrap_or_default()
        );
        line("sampled", message);
    }
    lines.join("\n")
}

/// One row of a table.
pub fn markdown(subject: &Subject, certificate: &Certificate) -> String {
    let statistics = &certificate.statistics;
    let (max, at) = match certificate.worst {
        Some(worst) => (worst.ulp, number(worst.x)),
        None => (0.0, "–".to_owned()),
    };
    let verdict = if certificate.max_ulp() <= PROMISED { "" } else { " **above the promise**" };
    let counts: Vec<String> = statistics.histogram.iter().map(u64::to_string).collect();
    format!("| `{}` | {max:.4}{verdict} | {at} | {:.4} | {} |", subject.name, statistics.mean(), counts.join(" | "))
}

/// The heading of a table of [`markdown`] rows.
pub const MARKDOWN_HEADING: &str = "| function | max ULP | at x | mean ULP | ≤ 0.5 | ≤ 1 | ≤ 2 | ≤ 3 | ≤ 4 | > 4 |\n|---|---|---|---|---|---|---|---|---|---|";

/// A paragraph on one row function.
pub fn rows_text(subject: &Subject, certificate: &RowCertificate, took: Duration) -> String {
    let unit = Measure::of(&subject.name).unit();
    let (result, truth) = certificate.worst_result;
    format!(
        "{}\n  rows         {} with {} results in {:.0} s\n  max          {:.4} {unit}: {result:e} for {truth:e}, in a row of {}\n  mean         {:.4} {unit}",
        subject.name,
        certificate.rows,
        certificate.results,
        took.as_secs_f64(),
        certificate.worst,
        certificate.worst_row.len(),
        certificate.mean
    )
}

/// A line on one function in a half type.
pub fn halves(name: &str, dtype: Dtype, counts: &halves::Counts) -> String {
    let halves::Counts { undecided, wrong, first_wrong } = counts;
    let first =
        first_wrong.map_or(String::new(), |[x, result, truth]| format!(", first at {x:e}: {result:e} for {truth:e}"));
    format!("{name:60} {dtype:9} {undecided:4} undecided, {wrong} wrong{first}")
}

/// A paragraph on pairs.
pub fn pairs(counts: &pairs::Counts, took: Duration) -> String {
    let pairs::Counts { pairs, undecided, distant, wrong, first_wrong } = counts;
    let first = first_wrong.map_or(String::new(), |[g, u, result, truth]| {
        format!(", first at g = {g:e}, u = {u:e}: {result:e} for {truth:e}")
    });
    format!(
        "{}\n  pairs        {pairs} of bfloat16 in {:.0} s\n  undecided    {undecided}\n  distant      {distant}, silu(g) being subnormal in float32\n  wrong        {wrong}{first}",
        pairs::EXPRESSION,
        took.as_secs_f64(),
    )
}

/// A float32 as documents show it: shortest decimal that reads back, and the bits.
pub fn number(x: f32) -> String {
    let magnitude = x.abs();
    let decimal = if x == 0.0 || (1e-4..1e6).contains(&magnitude) { format!("{x}") } else { format!("{x:e}") };
    format!("{decimal} ({:#010x})", x.to_bits())
}

/// A distance: four places, or few digits where it is out of hand.
fn ulp(distance: f64) -> String {
    if distance < 1e6 { format!("{distance:.4}") } else { format!("{distance:.3e}") }
}

fn place(worst: &Worst) -> String {
    format!("at x = {}: {:e} for {:e}", number(worst.x), worst.result, worst.truth)
}

fn histogram(counts: &[u64]) -> String {
    let label = |index: usize| match BINS.get(index) {
        Some(edge) => format!("≤ {edge}"),
        None => format!("> {}", BINS[BINS.len() - 1]),
    };
    counts.iter().enumerate().map(|(index, count)| format!("{}: {count}", label(index))).collect::<Vec<_>>().join("  ")
}
