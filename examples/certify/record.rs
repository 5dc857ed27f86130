//! The record of certified bounds, and the document made of it.
//!
//! `tests/data/accuracy_bounds.json` is the one table: `--record` writes what was certified into it, the tests hold
//! kernels to it, and `docs/accuracy.md` shows it between its markers.

use crate::peers;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The table.
pub struct Record {
    path: PathBuf,
    root: Map<String, Value>,
}

/// The part of the table that holds elementwise functions.
pub const ELEMENTWISE: &str = "elementwise";

/// The part that holds row functions.
pub const ROWS: &str = "rows";

/// The part that holds elementwise functions in half types.
pub const HALVES: &str = "halves";

/// The part that holds functions of pairs of half numbers.
pub const PAIRS: &str = "pairs";

impl Record {
    /// Reads the table; an empty one if there is none.
    pub fn open() -> Result<Record, Box<dyn Error>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/accuracy_bounds.json");
        let root = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Record { path, root })
    }

    /// Sets the entry of a function for machines with or without FMA.
    pub fn set(&mut self, part: &str, name: &str, fma: bool, entry: Value) {
        let part = self.root.entry(part).or_insert_with(|| json!({}));
        part[name][if fma { "fma" } else { "no_fma" }] = entry;
    }

    /// Writes the table, and the document's tables with it.
    pub fn save(&self) -> Result<(), Box<dyn Error>> {
        std::fs::write(&self.path, serde_json::to_string_pretty(&self.root)? + "\n")?;
        self.document()
    }

    /// Writes the tables between the markers of `docs/accuracy.md`.
    pub fn document(&self) -> Result<(), Box<dyn Error>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/accuracy.md");
        let mut text = std::fs::read_to_string(&path)?;
        let tables = [
            (ELEMENTWISE, self.elementwise_table()),
            (ROWS, self.row_table()),
            (HALVES, self.half_table()),
            (PAIRS, self.pair_table()),
            ("beside others", self.beside_others()),
            ("made", self.made()),
        ];
        for (part, table) in tables {
            let (start, end) = (format!("<!-- {part} -->\n"), format!("<!-- end of {part} -->"));
            let from = text.find(&start).ok_or("the document has lost a marker")? + start.len();
            let to = text.find(&end).ok_or("the document has lost a marker")?;
            text.replace_range(from..to, &format!("\n{table}\n"));
        }
        Ok(std::fs::write(path, text)?)
    }

    /// Writes the line with its bound into the documentation of every library entry.
    pub fn quote(&self) -> Result<(), Box<dyn Error>> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ir/library/activations.fuse");
        let text = std::fs::read_to_string(&path)?;
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines() {
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let Some(quote) = name.and_then(|name| self.quotation(name)) {
                // In place of the old one; in a new entry at the end of its documentation.
                let documentation = lines.iter_mut().rev().take_while(|line| line.starts_with("///"));
                match documentation.into_iter().find(|line| line.starts_with("/// Bound: ")) {
                    Some(old) => *old = quote,
                    None => lines.push(quote),
                }
            }
            lines.push(line.to_owned());
        }
        Ok(std::fs::write(path, lines.join("\n") + "\n")?)
    }

    /// The line of one function, for its defaults.
    fn quotation(&self, name: &str) -> Option<String> {
        let entry = |part: &str| self.root.get(part)?.get(name).cloned();
        if let Some(entry) = entry(ROWS) {
            let bounds = bounds(&entry)?;
            let unit = entry["fma"]["unit"].as_str()?;
            let rows = entry["fma"]["rows"].as_u64()?;
            return Some(format!("/// Bound: {bounds} {unit} on {rows} random rows (docs/accuracy.md)."));
        }
        let entry = entry(ELEMENTWISE)?;
        if [&entry["fma"], &entry["no_fma"]].iter().all(|entry| number(&entry["max"]) == 0.0) {
            return Some("/// Bound: exact on every input (docs/accuracy.md).".to_owned());
        }
        let place = entry["fma"]["x"].as_str()?.split(' ').next()?;
        Some(format!("/// Bound: {} ULP, at x = {place} (docs/accuracy.md).", bounds(&entry)?))
    }

    fn entries(&self, part: &str) -> impl Iterator<Item = (&String, &Value)> {
        self.root.get(part).and_then(Value::as_object).into_iter().flatten()
    }

    fn elementwise_table(&self) -> String {
        let mut table = String::from(
            "| function | inputs | max ULP | at x | y | mean ULP | max ULP without FMA | at x | mean |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for (name, entry) in self.entries(ELEMENTWISE) {
            let inputs = match entry["fma"]["inputs"].as_u64() {
                Some(inputs) if inputs == 1 << 32 => "all".to_owned(),
                Some(inputs) => inputs.to_string(),
                None => "–".to_owned(),
            };
            write!(table, "| `{name}` | {inputs} ").expect("a string takes any text");
            for (key, with_result) in [("fma", true), ("no_fma", false)] {
                table.push_str(&cells(&entry[key], with_result));
            }
            table.push_str("|\n");
        }
        table
    }

    fn beside_others(&self) -> String {
        let mut table =
            format!("| function | Fuselet | {} |\n|---|---|---|---|---|---|\n", peers::LIBRARIES.join(" | "));
        let elementwise = self.root.get(ELEMENTWISE).unwrap_or(&Value::Null);
        for (name, figures) in peers::FIGURES {
            let own = elementwise[name]["fma"]["max"].as_f64().map_or("–".to_owned(), |max| format!("**{max:.2}**"));
            writeln!(table, "| `{name}` | {own} | {} |", figures.join(" | ")).expect("a string takes any text");
        }
        table
    }

    /// When and where the entries were made.
    fn made(&self) -> String {
        let entries = [ELEMENTWISE, ROWS, HALVES, PAIRS].into_iter().flat_map(|part| self.entries(part));
        let both = entries.flat_map(|(_, entry)| [&entry["fma"], &entry["no_fma"]]);
        let text = |entry: &Value, key: &str| entry[key].as_str().map(str::to_owned);
        let made: BTreeSet<String> = both
            .filter_map(|entry| {
                let (date, backend) = (text(entry, "date")?, text(entry, "backend")?);
                Some(format!("- {date}, backend {backend}, {}", text(entry, "processor")?))
            })
            .collect();
        made.into_iter().collect::<Vec<_>>().join("\n") + "\n"
    }

    fn half_table(&self) -> String {
        let mut table = String::from(
            "| function | float16 | bfloat16 | float16 without FMA | bfloat16 without FMA |\n|---|---|---|---|---|\n",
        );
        for (name, entry) in self.entries(HALVES) {
            let cells = ["fma", "no_fma"].map(|machine| {
                ["float16", "bfloat16"].map(|dtype| count(&entry[machine][dtype]["undecided"])).join(" | ")
            });
            writeln!(table, "| `{name}` | {} |", cells.join(" | ")).expect("a string takes any text");
        }
        table
    }

    fn pair_table(&self) -> String {
        let mut table = String::from(
            "| function | pairs | other of the two nearest | further, `silu(g)` subnormal | the same without FMA |\n|---|---|---|---|---|\n",
        );
        for (name, entry) in self.entries(PAIRS) {
            let figures = |machine: &str, keys: &[&str], between: &str| {
                keys.iter().map(|key| count(&entry[machine][*key])).collect::<Vec<_>>().join(between)
            };
            let with = figures("fma", &["pairs", "undecided", "distant"], " | ");
            let without = figures("no_fma", &["undecided", "distant"], ", ");
            writeln!(table, "| `{name}` | {with} | {without} |").expect("a string takes any text");
        }
        table
    }

    fn row_table(&self) -> String {
        let mut table =
            String::from("| function | rows | results | max | mean | max without FMA |\n|---|---|---|---|---|---|\n");
        for (name, entry) in self.entries(ROWS) {
            let (fma, without) = (&entry["fma"], &entry["no_fma"]);
            let unit = fma["unit"].as_str().unwrap_or("");
            let line = format!(
                "| `{name}` | {} | {} | {:.3} {unit} | {:.4} | {:.3} {unit} |\n",
                fma["rows"],
                fma["results"],
                number(&fma["max"]),
                number(&fma["mean"]),
                number(&without["max"])
            );
            table.push_str(&line);
        }
        table
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn count(value: &Value) -> String {
    value.as_u64().map_or("–".to_owned(), |count| count.to_string())
}

/// The bound with FMA, and the one without where it is another.
fn bounds(entry: &Value) -> Option<String> {
    let (fma, without) = (entry["fma"]["bound"].as_f64()?, entry["no_fma"]["bound"].as_f64()?);
    Some(if fma == without { format!("{fma}") } else { format!("{fma} ({without} without FMA)") })
}

/// Maximum, place, result and mean of one entry.
fn cells(entry: &Value, with_result: bool) -> String {
    if entry.is_null() {
        return "| – ".repeat(if with_result { 4 } else { 3 });
    }
    let text = |key: &str| entry[key].as_str().unwrap_or("–").to_owned();
    let result = if with_result { format!("| {} ", text("y")) } else { String::new() };
    let max = number(&entry["max"]);
    format!("| {max:.4} | {} {result}| {:.4} ", text("x"), number(&entry["mean"]))
}

/// A maximum rounded up to hundredths, the bound that is promised; at least that of correct rounding, unless the
/// function is exact.
pub fn bound(max: f64) -> f64 {
    if max == 0.0 { 0.0 } else { ((max * 100.0).ceil() / 100.0).max(0.5) }
}

/// Today's date in the civil calendar, as year-month-day (Howard Hinnant's days-to-civil algorithm).
pub fn today() -> String {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The name of this machine's processor, where the system tells.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split(':').nth(1)).map(|value| value.trim().to_owned())
    };
    match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => std::env::consts::ARCH.to_owned(),
    }
}
