//! The command line.

use crate::error::Error;
use crate::evaluate::{Judge, Settings};
use fuselet::{Dtype, Fusion, Isa, UnknownDtype};
use std::path::PathBuf;

pub const HELP: &str = "\
Fuselet: type an expression, get its values and the code that computes them.

  repl                               interactive, or expressions line by line through a pipe
  repl eval EXPR [OPTION …]          compute an expression
  repl explain EXPR [OPTION …]       how it is computed: graph, plan, lane programs, machine code
  repl list                          the functions there are
  repl show NAME                     one of them: documentation, definition, form, derivative

Options
  --input NAME=VALUE     the value of an input, once for each: a .npy file of any numbers (bfloat16 as <V2, as ml_dtypes
                         writes it) or a literal: 0.5, [-2,-1,0,1,2], [[1,2],[3,4]] (float32; among float64 files, float64)
  --output FILE.npy      write the result there instead of printing it
  --output NAME=FILE.npy the same for one of several outputs
  --dtype NAME=DTYPE     convert an input before the call, or store an output, as float64, float32, float16, bfloat16, int32,
                         int16, int8, uint32, uint16, uint8 (for short: f64, f16, bf16, i8, …) or bool, once for each; an
                         output without a name is `out`. Without it outputs are the float that the inputs promote to
  --backend NAME         auto, interpreter, cranelift, wide, or reference (definitions, in float64)
  --isa LEVEL            baseline, avx-fma, avx2, avx512
  --threads N            the most threads a call may use
  --unfused              one kernel for each function or op
  --time                 also time it: fused, unfused, interpreter
  --definitions FILE     functions of your own, in the project's language
  --help                 this text

  repl eval 'x * 2 + 1 |> gelu |> relu(max_value = 6)' --input x=[-2,-1,0,1,2]
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Session,
    Help,
    Eval(String),
    Explain(String),
    List,
    Show(String),
}

/// A whole command line.
#[derive(Debug)]
pub struct Arguments {
    pub command: Command,
    pub settings: Settings,
    /// Names with the text of their values.
    pub inputs: Vec<(String, String)>,
    /// Files, with the name of the output where it is given.
    pub outputs: Vec<(Option<String>, PathBuf)>,
    pub definitions: Vec<PathBuf>,
    pub time: bool,
}

/// Reads a command line, the program's own name left out.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Arguments, Error> {
    let mut parsed = Arguments {
        command: Command::Session,
        settings: Settings::default(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        definitions: Vec::new(),
        time: false,
    };
    let mut words: Vec<String> = Vec::new();
    let mut arguments = arguments.into_iter();
    let mut only_words = false;
    while let Some(argument) = arguments.next() {
        if only_words || !argument.starts_with("--") {
            if argument == "-h" {
                words = vec!["help".to_owned()];
                break;
            }
            words.push(argument);
            continue;
        }
        let (option, attached) = match argument.split_once('=') {
            Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        if let ("--unfused" | "--time", Some(_)) = (option.as_str(), &attached) {
            return Err(Error::Usage(format!("`{option}` takes no value")));
        }
        let mut value = || match attached.clone().or_else(|| arguments.next()) {
            Some(value) => Ok(value),
            None => Err(Error::Usage(format!("`{option}` needs a value"))),
        };
        match option.as_str() {
            "--" => only_words = true,
            "--help" => {
                words = vec!["help".to_owned()];
                break;
            }
            "--input" => parsed.inputs.push(input(&value()?)?),
            "--output" => parsed.outputs.push(output(&value()?)),
            "--dtype" => {
                let (name, dtype) = dtype(&value()?)?;
                if parsed.settings.dtypes.iter().any(|(known, _)| *known == name) {
                    return Err(Error::Usage(format!("`--dtype` for `{name}` is given twice")));
                }
                parsed.settings.dtypes.push((name, dtype));
            }
            "--backend" => parsed.settings.judge = Some(Judge::by_name(&value()?)?),
            "--isa" => parsed.settings.isa = Some(isa(&value()?)?),
            "--threads" => parsed.settings.threads = Some(threads(&value()?)?),
            "--unfused" => parsed.settings.fusion = Fusion::Off,
            "--time" => parsed.time = true,
            "--definitions" => parsed.definitions.push(value()?.into()),
            _ => {
                let hint = "(an expression that begins with `--` comes after a `--` of its own)";
                return Err(Error::Usage(format!("there is no option `{option}` {hint}")));
            }
        }
    }
    parsed.command = command(words)?;
    let evaluates = matches!(parsed.command, Command::Eval(_));
    let takes_inputs = evaluates || matches!(parsed.command, Command::Explain(_));
    if matches!(parsed.command, Command::List | Command::Show(_)) && !parsed.settings.dtypes.is_empty() {
        return Err(Error::Usage("`--dtype` goes with `eval`, `explain` and a session".to_owned()));
    }
    if parsed.command != Command::Help
        && ((!takes_inputs && !parsed.inputs.is_empty()) || (!evaluates && (parsed.time || !parsed.outputs.is_empty())))
    {
        return Err(Error::Usage(
            "`--input` goes with `eval` and `explain`, `--output` and `--time` with `eval`".to_owned(),
        ));
    }
    Ok(parsed)
}

fn command(words: Vec<String>) -> Result<Command, Error> {
    let mut words = words.into_iter();
    let Some(verb) = words.next() else { return Ok(Command::Session) };
    let mut operand = |what: &str| {
        let operand = words.next();
        operand.ok_or_else(|| Error::Usage(format!("`{verb}` needs {what}")))
    };
    let command = match verb.as_str() {
        "eval" => Command::Eval(operand("an expression, in quotes")?),
        "explain" => Command::Explain(operand("an expression, in quotes")?),
        "show" => Command::Show(operand("the name of a function")?),
        "list" => Command::List,
        "help" => Command::Help,
        _ => {
            let verbs = "eval, explain, list, show";
            return Err(Error::Usage(format!("there is no command `{verb}`; there are {verbs}")));
        }
    };
    match words.next() {
        None => Ok(command),
        Some(extra) => Err(Error::Usage(format!("`{extra}` is one argument too many; is the expression in quotes?"))),
    }
}

fn input(value: &str) -> Result<(String, String), Error> {
    match value.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Error::Usage(format!("`--input {value}` is not NAME=VALUE: write `--input x={value}`"))),
    }
}

/// A name with its dtype: `x=bf16`.
pub fn dtype(value: &str) -> Result<(String, Dtype), Error> {
    match value.split_once('=') {
        Some((name, dtype)) if !name.trim().is_empty() => {
            let dtype = dtype.trim().parse().map_err(|error: UnknownDtype| Error::Command(error.to_string()))?;
            Ok((name.trim().to_owned(), dtype))
        }
        _ => Err(Error::Usage(format!("`--dtype {value}` is not NAME=DTYPE: write `--dtype x={value}`"))),
    }
}

fn output(value: &str) -> (Option<String>, PathBuf) {
    let is_name = |name: &str| {
        name.chars().all(|c| c == '_' || c.is_alphanumeric()) && name.chars().next().is_some_and(|c| !c.is_numeric())
    };
    match value.split_once('=') {
        Some((name, file)) if is_name(name) => (Some(name.to_owned()), file.into()),
        _ => (None, value.into()),
    }
}

/// The level of this name.
pub fn isa(name: &str) -> Result<Isa, Error> {
    Isa::by_name(name).ok_or_else(|| {
        let known: Vec<&str> = Isa::available().map(Isa::name).collect();
        Error::Command(format!("there is no instruction set `{name}`; this machine has {}", known.join(", ")))
    })
}

/// A number of threads.
pub fn threads(text: &str) -> Result<usize, Error> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Error::Command(format!("`{text}` is no number of threads; write 1 or more"))),
    }
}
