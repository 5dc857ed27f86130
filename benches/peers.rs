//! Fuselet on what users would otherwise give to jax, PyTorch, ONNX Runtime, numexpr, Numba or NumPy.
//!
//! What users would pick instead was measured by a script outside of this repository; this prints our side in the same
//! units: the same functions, definitions and sizes, `N(0, 2)`, one thread, the default engine, the whole checked call with
//! an output array that is used again. Times are medians of batches, and the better of two rounds.
//!
//! ```text
//! cargo bench --bench peers                        # measures two rounds, prints our times
//! cargo bench --bench peers -- save FILE           # measures one round, appends it to FILE
//! cargo bench --bench peers -- table FILE…         # measures nothing: our times beside those of the fastest peer
//! ```
//!
//! A machine that is shared has fast and slow minutes: rounds of ours and of the peers belong between each other, and as
//! many of the one as of the other. The files are lines of JSON, as the script writes them:
//!
//! - `sec` 1 activations, 2 chains, 3 row functions, 5 small calls: `peer`, `op`, `n` (elements, or a shape as `64x128`),
//!   `threads`, `tag` (empty unless memory or threads were set up specially), `ns_per_elem` (a median; of input elements),
//!   `min_ns` (the least);
//! - `sec` 4, from the definition of a function to its first result at 16k: `peer`, `op`, `pos` (0: the first function of a
//!   process, 1: the second, another one), `cold_s` (seconds). Inputs exist before, and so does what a process sets up once:
//!   for the peers what they import, for us the engine, whose time is in a field of its own (`engine_s`).

mod common;

use common::chains::{CHAINS, SILU_AFFINE, TEN_OPS, expression};
use common::timing::{Contender, take_turns};
use common::{Case, WIDTH, arrays_of, engine, rows, size_name};
use fuselet::{BackendChoice, Isa};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// How the lines call us.
const OURS: &str = "fuselet";

/// A function by the script's name, by ours, and as an expression.
struct Op {
    script: &'static str,
    name: &'static str,
    text: String,
}

/// A column of a table: as the lines write it, as a table heads it, and the shape of full arrays.
struct Size {
    key: String,
    heading: String,
    shape: Vec<usize>,
}

/// The tables, in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Activations,
    Chains,
    Rows,
    Calls,
    First,
}

impl Section {
    const ALL: [Section; 5] = [Section::Activations, Section::Chains, Section::Rows, Section::Calls, Section::First];

    /// `sec` of its lines.
    fn number(self) -> u64 {
        match self {
            Section::Activations => 1,
            Section::Chains => 2,
            Section::Rows => 3,
            Section::First => 4,
            Section::Calls => 5,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Section::Activations => "Activations: ns per element",
            Section::Chains => "Chains: ns per element",
            Section::Rows => "Rows: ns per input element",
            Section::Calls => "A small call: µs",
            Section::First => "From definition to first result: ms",
        }
    }

    fn ops(self) -> Vec<Op> {
        let op = |script, name, text: &str| Op { script, name, text: text.to_owned() };
        let chain = |(script, name)| {
            let chain = CHAINS.iter().find(|chain| chain.name == name).expect("it is one of them");
            op(script, name, chain.text)
        };
        match self {
            Section::Activations => ACTIVATIONS.iter().map(|name| op(name, name, &expression(name))).collect(),
            Section::Chains => PEER_CHAINS.into_iter().map(chain).collect(),
            Section::Rows => rows::FUNCTIONS
                .iter()
                .filter(|function| ["softmax", "log_softmax", "glu"].contains(&function.name))
                .map(|function| op(function.name, function.name, &rows::text(function, 1)))
                .collect(),
            Section::Calls => vec![op("silu", "silu", "silu(x)"), chain(PEER_CHAINS[0])],
            Section::First => vec![chain(PEER_CHAINS[0]), chain(PEER_CHAINS[3])],
        }
    }

    fn sizes(self) -> Vec<Size> {
        let size = |key: String, heading, shape| Size { key, heading, shape };
        match self {
            // A small array is 1000 elements of an activation, but a whole row of a chain.
            Section::Activations => [1000, 1 << 14, 1 << 18].map(|n| size(n.to_string(), size_name(n), vec![n])).into(),
            Section::Chains => [1000, 1 << 14, 1 << 18]
                .map(|n: usize| {
                    let rows = n.div_ceil(WIDTH);
                    size(n.to_string(), size_name(rows * WIDTH), vec![rows, WIDTH])
                })
                .into(),
            Section::Rows => {
                let last = rows::SHAPES.iter().filter(|(shape, axis)| axis + 1 == shape.len());
                last.map(|(shape, axis)| {
                    let name = rows::shape_name(shape, *axis);
                    size(name.clone(), name, shape.to_vec())
                })
                .collect()
            }
            Section::Calls => [16, 64].map(|n| size(n.to_string(), format!("{n} elements"), vec![1, n])).into(),
            Section::First => {
                let shape = vec![(1 << 14) / WIDTH, WIDTH];
                let headings = ["first in a process", "second"].into_iter().enumerate();
                headings.map(|(at, heading)| size(at.to_string(), heading.to_owned(), shape.clone())).collect()
            }
        }
    }

    /// Of several lines for one thing, the figure that counts.
    fn summary(self, times: &mut [f64]) -> f64 {
        times.sort_by(f64::total_cmp);
        match self {
            // Every line is a single measurement.
            Section::First => times[times.len() / 2],
            // Every line is a median.
            _ => times[0],
        }
    }
}

/// The activations that the script has.
const ACTIVATIONS: [&str; 15] = [
    "relu",
    "sigmoid",
    "tanh",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "elu",
    "softplus",
    "exp",
    "log_sigmoid",
    "hard_silu",
    "softsign",
    "celu",
    "squareplus",
];

/// The chains that the script has: its names and ours.
const PEER_CHAINS: [(&str, &str); 4] = [
    ("chain_a", SILU_AFFINE.name),
    ("swiglu", "swiglu"),
    ("bias_gelu_res", "bias_gelu_residual"),
    ("chain_d", TEN_OPS.name),
];

/// How long one thing is measured.
fn budget(section: Section) -> Duration {
    // `cargo test --benches` only asks whether it runs.
    let benching = std::env::args().any(|argument| argument == "--bench");
    match (benching, section) {
        (false, _) => Duration::ZERO,
        (true, Section::Calls) => Duration::from_millis(400),
        (true, _) => Duration::from_millis(250),
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => tables(&[round(), round()].concat()),
        ["save", path] => append(path, &round()),
        ["table", paths @ ..] => {
            let lines = |path: &&str| read(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")));
            tables(&paths.iter().flat_map(lines).collect::<Vec<_>>());
        }
        ["first", ops] => first_results(ops),
        _ => eprintln!("neither nothing, nor `save FILE`, nor `table FILE…`: nothing to do"),
    }
}

fn append(path: &str, lines: &[Value]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Lines that are JSON; the script has some of infinite errors, which are not.
fn read(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Measures everything once.
fn round() -> Vec<Value> {
    Section::ALL
        .into_iter()
        .flat_map(|section| if section == Section::First { first() } else { steady(section) })
        .collect()
}

/// Functions that were called before.
fn steady(section: Section) -> Vec<Value> {
    let engine = engine(BackendChoice::Auto, Isa::detect()).expect("this machine has it");
    let mut lines = Vec::new();
    for size in section.sizes() {
        for op in section.ops() {
            let function = engine.compile(op.text.as_str()).unwrap_or_else(|error| panic!("{}: {error}", op.text));
            let inputs = arrays_of(&function, &size.shape);
            let mut case = Case::of(function, inputs);
            let turns = &mut [Contender::new(op.name, || case.call())];
            take_turns(turns, budget(section));
            let n: usize = size.shape.iter().product();
            let (median, least) = (turns[0].median() / n as f64, turns[0].least() / n as f64);
            lines.push(json!({
                "sec": section.number(), "peer": OURS, "op": op.script, "n": size.key, "threads": 1, "tag": "",
                "ns_per_elem": median, "min_ns": least,
            }));
        }
    }
    lines
}

/// Functions that are new, in processes that are.
fn first() -> Vec<Value> {
    let names: Vec<&str> = Section::First.ops().iter().map(|op| op.script).collect();
    let orders = [names.join(","), names.into_iter().rev().collect::<Vec<_>>().join(",")];
    let program = std::env::current_exe().expect("it runs");
    let mut lines = Vec::new();
    for order in orders.iter().cycle().take(3 * orders.len()) {
        let output = Command::new(&program).args(["first", order]).output().expect("it runs once more");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        lines.extend(read(&String::from_utf8_lossy(&output.stdout)));
    }
    lines
}

/// The process of [`first`]: makes these functions, and prints how long each took.
fn first_results(order: &str) {
    let (ops, size) = (Section::First.ops(), Section::First.sizes().swap_remove(0));
    let clock = Instant::now();
    let engine = engine(BackendChoice::Auto, Isa::detect()).expect("this machine has it");
    let engine_seconds = clock.elapsed().as_secs_f64();
    for (at, script) in order.split(',').enumerate() {
        let op = ops.iter().find(|op| op.script == script).expect("it is one of them");
        let clock = Instant::now();
        let function = engine.compile(op.text.as_str()).expect("it is valid");
        let defined = clock.elapsed();
        let inputs = arrays_of(&function, &size.shape);
        let clock = Instant::now();
        let case = Case::of(function, inputs);
        let seconds = (defined + clock.elapsed()).as_secs_f64();
        drop(case);
        let line = json!({
            "sec": Section::First.number(), "peer": OURS, "op": script, "pos": at, "cold_s": seconds,
            "engine_s": engine_seconds,
        });
        println!("{line}");
    }
}

/// Times by who took them, of one function at one size.
type Times = BTreeMap<String, Vec<f64>>;

/// What the lines of a section say of a function at a size, in the unit of the table.
fn times(lines: &[Value], section: Section, op: &Op, size: &Size) -> Times {
    let column = if section == Section::First { "pos" } else { "n" };
    let is = |line: &Value| {
        let key = &line[column];
        let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        let usual = section == Section::First || (line["threads"] == 1 && line["tag"] == "");
        usual && line["sec"] == section.number() && line["op"] == op.script && key == size.key
    };
    let mut times = Times::new();
    for line in lines.iter().filter(|line| is(line)) {
        let time = match section {
            Section::First => line["cold_s"].as_f64().map(|seconds| seconds * 1e3),
            Section::Calls => {
                let n: usize = size.shape.iter().product();
                line["ns_per_elem"].as_f64().map(|time| time * n as f64 / 1e3)
            }
            _ => line["ns_per_elem"].as_f64(),
        };
        // What a peer cannot do has a line with an error.
        if let (Some(time), Some(peer)) = (time, line["peer"].as_str()) {
            times.entry(peer.to_owned()).or_default().push(time);
        }
    }
    times
}

/// Prints our times; beside them, where lines have them, the fastest peer's, and how many times longer that is.
fn tables(lines: &[Value]) {
    let (mut compared, mut slower) = (0, Vec::new());
    for section in Section::ALL {
        println!("\n## {}\n", section.title());
        let sizes = section.sizes();
        let headings: Vec<&str> = sizes.iter().map(|size| size.heading.as_str()).collect();
        println!("| function | {} |", headings.join(" | "));
        println!("|{}", " --- |".repeat(sizes.len() + 1));
        for op in section.ops() {
            let mut cells = vec![op.name.to_owned()];
            for size in &sizes {
                let mut times = times(lines, section, &op, size);
                let ours = times.remove(OURS).map(|mut times| section.summary(&mut times));
                let peers = times.into_iter().map(|(peer, mut times)| (peer, section.summary(&mut times)));
                let best = peers.min_by(|a, b| a.1.total_cmp(&b.1));
                if let (Some(ours), Some((_, best))) = (ours, &best) {
                    compared += 1;
                    if ours >= *best {
                        slower.push(format!("{} at {} ({:.2}×)", op.name, size.heading, best / ours));
                    }
                }
                cells.push(cell(ours, best));
            }
            println!("| {} |", cells.join(" | "));
        }
    }
    let mut engines: Vec<f64> = lines.iter().filter_map(|line| line["engine_s"].as_f64()).collect();
    if !engines.is_empty() {
        let engine = Section::First.summary(&mut engines) * 1e3;
        println!("\nThe engine, made once in a process and not in these times: {} ms.", number(engine));
    }
    match (compared, slower.as_slice()) {
        (0, _) => {}
        (_, []) => println!("\nOf {compared} comparisons none is lost."),
        _ => println!("\nOf {compared} comparisons {} are lost: {}.", slower.len(), slower.join(", ")),
    }
}

fn cell(ours: Option<f64>, best: Option<(String, f64)>) -> String {
    let ours_text = ours.map_or("-".to_owned(), number);
    match (ours, best) {
        (_, None) => ours_text,
        (None, Some((peer, best))) => format!("{ours_text} · {} {peer}", number(best)),
        (Some(ours), Some((peer, best))) => {
            let ratio = format!("{:.2}×", best / ours);
            let ratio = if ours >= best { format!("**{ratio}**") } else { ratio };
            format!("{ours_text} · {} {peer} · {ratio}", number(best))
        }
    }
}

/// A time with as many digits as it deserves.
fn number(time: f64) -> String {
    match time {
        _ if time < 10.0 => format!("{time:.3}"),
        _ if time < 100.0 => format!("{time:.1}"),
        _ => format!("{time:.0}"),
    }
}
