//! The command line.

use crate::sweep::{Patterns, ReferencePath};
use fuselet::{BackendChoice, Isa};

/// How to use the tool.
pub const HELP: &str = "\
certify: how accurate is it on every float32?

  cargo run --release --example certify -- gelu 'elu(alpha = 0.5)'   some activations
  cargo run --release --example certify -- --all                      all of them
  cargo run --release --example certify -- --rows                     the row functions, on random rows
  cargo run --release --example certify -- --chain 'silu(x * 2 + 1)'  your own expression of one input
  cargo run --release --example certify -- --half                     all of them on every float16 and bfloat16
  cargo run --release --example certify -- --pairs                    silu(g) * u on every two bfloat16

  --params 'alpha = 0.5'  parameters of the activations named
  --backend NAME          auto, interpreter, cranelift, wide
  --isa NAME              baseline, avx-fma, avx2, avx512
  --threads N             all cores by default
  --stride N              every Nth pattern only
  --from BITS --to BITS   patterns from and to these (0x…, or a number such as -87.5)
  --random-rows N         how many rows for row functions (100000)
  --reference NAME        native: float64 kernels (default); scalar: libm, slow
  --markdown              print a table
  --record                write the bounds to tests/data/accuracy_bounds.json and docs/accuracy.md
  --document              write docs/accuracy.md again, and the bounds into the library's documentation";

/// What to do.
pub struct Options {
    /// Activations in text form.
    pub names: Vec<String>,
    /// Expressions of one input.
    pub chains: Vec<String>,
    /// Whether to certify every elementwise activation.
    pub all: bool,
    /// Whether to certify the row functions.
    pub rows: bool,
    /// Whether elementwise functions are certified on the numbers of the half types instead of every float32.
    pub half: bool,
    /// Whether to certify `silu(g) * u` on every pair of bfloat16 numbers.
    pub pairs: bool,
    /// How many rows.
    pub random_rows: u64,
    /// Parameters of the activations named.
    pub params: Option<String>,
    /// Which backend.
    pub backend: Option<BackendChoice>,
    /// Which instruction-set level.
    pub isa: Option<Isa>,
    /// How many threads.
    pub threads: usize,
    /// Which patterns.
    pub patterns: Patterns,
    /// What computes the float64 truths.
    pub reference: ReferencePath,
    /// Whether to print a table.
    pub markdown: bool,
    /// Whether to record the bounds.
    pub record: bool,
    /// Whether only to write the documents.
    pub document: bool,
}

impl Options {
    /// Reads the command line; `None` where help was asked for.
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            names: Vec::new(),
            chains: Vec::new(),
            all: false,
            rows: false,
            half: false,
            pairs: false,
            random_rows: 100_000,
            params: None,
            backend: None,
            isa: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            patterns: Patterns::ALL,
            reference: ReferencePath::Native,
            markdown: false,
            record: false,
            document: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--all" => options.all = true,
                "--rows" => options.rows = true,
                "--half" => options.half = true,
                "--pairs" => options.pairs = true,
                "--markdown" => options.markdown = true,
                "--record" => options.record = true,
                "--document" => options.document = true,
                "--chain" => options.chains.push(value()?),
                "--params" => options.params = Some(value()?),
                "--backend" => options.backend = Some(named(&value()?, BackendChoice::by_name, "backend")?),
                "--isa" => options.isa = Some(named(&value()?, Isa::by_name, "instruction-set level")?),
                "--threads" => options.threads = count(&value()?)? as usize,
                "--stride" => {
                    let stride = count(&value()?)?;
                    options.patterns.stride = u32::try_from(stride).map_err(|_| "the stride is too large")?;
                }
                "--random-rows" => options.random_rows = count(&value()?)?,
                "--from" => options.patterns.from = bits(&value()?)?,
                "--to" => options.patterns.to = bits(&value()?)?,
                "--reference" => options.reference = named(&value()?, reference, "reference")?,
                _ if argument.starts_with('-') => {
                    return Err(format!("there is no option `{argument}`; --help lists them"));
                }
                _ => options.names.push(argument),
            }
        }
        if options.patterns.from > options.patterns.to {
            return Err("--from is behind --to; negative numbers come after positive ones".to_owned());
        }
        if let Some(params) = &options.params {
            if options.names.is_empty() {
                return Err("--params are those of the activations named, but none is".to_owned());
            }
            for name in &mut options.names {
                *name = format!("{name}({params})");
            }
        }
        Ok(Some(options))
    }
}

fn reference(name: &str) -> Option<ReferencePath> {
    match name {
        "native" => Some(ReferencePath::Native),
        "scalar" => Some(ReferencePath::Scalar),
        _ => None,
    }
}

fn named<T>(name: &str, find: impl Fn(&str) -> Option<T>, what: &str) -> Result<T, String> {
    find(name).ok_or_else(|| format!("there is no {what} `{name}`; --help lists them"))
}

fn count(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("`{text}` must be a whole number above 0")),
    }
}

/// A bit pattern in hexadecimal, or the pattern of a number.
fn bits(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(&digits.replace('_', ""), 16).ok(),
        None => text.parse::<f32>().ok().map(f32::to_bits),
    };
    parsed.ok_or_else(|| format!("`{text}` must be a bit pattern such as 0xc2ae0000, or a number such as -87"))
}
