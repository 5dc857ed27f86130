//! Many commands, one after another: typed at a terminal, or line by line through a pipe.
//!
//! A line is a command (`:help`), a definition (`fn …`), a value (`x = [1, 2]`, `x = file.npy`) or an expression.
//! Through a pipe only results come out, errors name their line, and the exit code tells whether there were any.

use crate::arguments::{self, Arguments};
use crate::arrays::Array;
use crate::batch;
use crate::editor::{Terminal, Typed};
use crate::error::Error;
use crate::evaluate::{self, Bound, Judge, Named, Options, Settings, Work, bind};
use crate::lines::{assignment, goes_on};
use crate::{explain, npy, plot, show, timing};
use fuselet::ir::language::Problem;
use fuselet::ir::{Library, Meaning};
use fuselet::{CompileError, Engine, Fusion};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

const HELP: &str = "\
gelu(1)                        an expression
x = [-2, -1, 0, 1, 2]          a value: a literal, a .npy file, or an expression; then
x * 2 + 1 |> gelu              expressions over it
fn swoosh(x, beta = 1.5) = x * sigmoid(beta * x)
                               a function of your own

:list   :show NAME             the functions there are; one of them as it is written
:vars   :save NAME FILE.npy    the values there are; write one to a file
:explain [EXPR]                how the last expression (or this one) is computed, in short;
:graph  :plan  :lane  :clif  :asm
                               in full: ops, kernels with reasons, lane programs, CLIF, machine code
:time [N]                      the last expression fused, unfused and interpreted (on about N elements: 1M)
:plot EXPR LOW..HIGH           a function of one input: `:plot gelu -6..6`
:backend [NAME [LEVEL]]        auto, interpreter, cranelift, wide, reference; baseline, avx-fma, avx2, avx512
:dtype [NAME=DTYPE | NAME=]    convert an input of this name before a call, or store an output, as f16, bf16, i8, bool, …;
                               `NAME=` takes that back
:fuse on|off   :threads N      whether to fuse; how many threads a call may use
:quit
";

const COMMANDS: &[&str] = &[
    ":help", ":list", ":show", ":let", ":vars", ":save", ":explain", ":graph", ":plan", ":lane", ":clif", ":asm",
    ":time", ":plot", ":backend", ":dtype", ":fuse", ":threads", ":quit",
];

/// Between a result and how it came about.
const GAP: &str = "        ";

/// What is known between one line and the next.
struct Session {
    library: Library,
    settings: Settings,
    engine: Engine,
    values: Named,
    /// The last expression that was computed or explained.
    last: Option<String>,
    interactive: bool,
    /// Characters on a line of the terminal.
    width: usize,
}

/// Runs a session; whether every line succeeded.
pub fn run(out: &mut dyn Write, arguments: &Arguments) -> Result<bool, Error> {
    let library = batch::library(arguments)?;
    let settings = arguments.settings.clone();
    let engine = settings.engine(&library)?;
    let interactive = io::stdin().is_terminal();
    let mut session = Session { library, settings, engine, values: Named::new(), last: None, interactive, width: 80 };
    if interactive { session.converse(out).map(|()| true) } else { session.read_all(out) }
}

impl Session {
    fn converse(&mut self, out: &mut dyn Write) -> Result<(), Error> {
        let mut terminal = Terminal::new()?;
        writeln!(out, "Fuselet {} · {} · :help", env!("CARGO_PKG_VERSION"), self.engine.backend_name())?;
        loop {
            out.flush()?;
            let text = match terminal.read(self.names())? {
                Typed::Text(text) => text,
                Typed::Nothing => continue,
                Typed::End => return Ok(()),
            };
            self.width = terminal.width();
            match self.line(out, &text) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Error::Terminal(error)) => return Err(error.into()),
                Err(error) => {
                    out.flush()?;
                    writeln!(io::stderr(), "error: {error}{}", advice(&error))?;
                }
            }
        }
    }

    /// Reads standard input to its end; whether every line succeeded.
    fn read_all(&mut self, out: &mut dyn Write) -> Result<bool, Error> {
        let mut input = io::stdin().lock();
        let (mut number, mut first) = (0usize, 1usize);
        let mut text = String::new();
        let mut good = true;
        loop {
            let mut bytes = Vec::new();
            let count = input.read_until(b'\n', &mut bytes)?;
            if text.is_empty() {
                first = number + 1;
            }
            number += 1;
            text.push_str(&String::from_utf8_lossy(&bytes));
            if count > 0 && goes_on(&text) {
                continue;
            }
            let result = self.line(out, &std::mem::take(&mut text));
            out.flush()?;
            match result {
                Ok(true) => {}
                Ok(false) => return Ok(good),
                Err(Error::Terminal(error)) => return Err(error.into()),
                Err(error) => {
                    good = false;
                    writeln!(io::stderr(), "error in line {first}: {error}{}", advice(&error))?;
                }
            }
            if count == 0 {
                return Ok(good);
            }
        }
    }

    /// What can be completed.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = COMMANDS.iter().map(|name| (*name).to_owned()).collect();
        for function in self.library.functions() {
            names.push(function.name().to_owned());
            names.extend(function.aliases().iter().cloned());
        }
        names.extend(self.values.iter().map(|(name, _)| name.clone()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Does what a line says; whether the session goes on.
    fn line(&mut self, out: &mut dyn Write, text: &str) -> Result<bool, Error> {
        let text = text.trim();
        if text.is_empty() || text.lines().all(|line| line.trim_start().starts_with('#')) {
            return Ok(true);
        }
        if let Some(command) = text.strip_prefix(':') {
            let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
            return self.command(out, name, rest.trim());
        }
        let defines = ["fn ", "private ", "///"].iter().any(|start| text.starts_with(start));
        if defines {
            return self.define(out, text).map(|()| true);
        }
        match assignment(text) {
            Some((name, value)) => self.assign(out, name, value, text)?,
            None => self.expression(out, text)?,
        }
        Ok(true)
    }

    fn define(&mut self, out: &mut dyn Write, text: &str) -> Result<(), Error> {
        match self.library.define(text) {
            Ok(functions) => {
                for function in functions.iter().filter(|_| self.interactive) {
                    writeln!(out, "{}", function.signature())?;
                }
                Ok(())
            }
            // Definitions may be followed by an expression that uses them.
            Err(_) if self.library.parse(text).is_ok() => self.expression(out, text),
            Err(error) => Err(error.into()),
        }
    }

    fn assign(&mut self, out: &mut dyn Write, name: &str, value: &str, text: &str) -> Result<(), Error> {
        let unquoted = value.trim_matches(['"', '\'']);
        let array = if value.starts_with('[') || value.parse::<f64>().is_ok() {
            batch::value(name, value, &self.library)?
        } else if unquoted.ends_with(".npy") || unquoted != value {
            npy::read(Path::new(unquoted))?
        } else {
            return self.expression(out, text);
        };
        self.set(name.to_owned(), array);
        Ok(())
    }

    fn set(&mut self, name: String, array: Array) {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, array));
    }

    fn expression(&mut self, out: &mut dyn Write, text: &str) -> Result<(), Error> {
        let options = Options { measure: self.interactive, all_used: false, interactive: true };
        let outcome = evaluate::evaluate(&self.engine, &self.settings, text, &self.values, options)?;
        let mut lines = Vec::new();
        for (name, array) in &outcome.outputs {
            batch::print(&mut lines, outcome.named.then_some(name.as_str()), array)?;
        }
        self.show_result(out, &String::from_utf8_lossy(&lines), outcome.work.as_ref())?;
        if outcome.named {
            outcome.outputs.into_iter().for_each(|(name, array)| self.set(name, array));
        }
        self.last = Some(text.to_owned());
        Ok(())
    }

    /// The printed result, and at a terminal how it came about.
    fn show_result(&self, out: &mut dyn Write, result: &str, work: Option<&Work>) -> Result<(), Error> {
        let result = result.trim_end();
        let shown = work.filter(|_| self.interactive && io::stdout().is_terminal());
        let Some(work) = shown else {
            writeln!(out, "{result}")?;
            return Ok(());
        };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let status = format!(
            "{} kernel{}, {} element{} · {} · compiled in {} · ran in {}",
            work.kernels,
            plural(work.kernels),
            work.elements,
            plural(work.elements),
            work.backend,
            timing::duration(work.compiled_in),
            timing::duration(work.ran_in)
        );
        let together = result.chars().count() + GAP.len() + status.chars().count();
        let separator = if result.contains('\n') || together > self.width { "\n" } else { GAP };
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let (dim, normal) = if plain { ("", "") } else { ("\x1b[2m", "\x1b[0m") };
        writeln!(out, "{result}{separator}{dim}{status}{normal}")?;
        Ok(())
    }

    fn command(&mut self, out: &mut dyn Write, name: &str, rest: &str) -> Result<bool, Error> {
        match name {
            "help" | "h" | "?" => write!(out, "{HELP}")?,
            "quit" | "q" | "exit" => return Ok(false),
            "list" => batch::list(out, &self.library)?,
            "show" if rest.is_empty() => return Err(usage(":show gelu")),
            "show" => batch::show_function(out, &self.library, rest)?,
            "let" => match assignment(rest) {
                Some((name, value)) => self.assign(out, name, value, rest)?,
                None => return Err(usage(":let x = [-2, -1, 0, 1, 2]")),
            },
            "vars" => self.list_values(out)?,
            "save" => self.save(rest)?,
            "explain" => {
                let text = self.subject(rest)?;
                let bound = self.bound(&text, self.settings.fusion)?;
                let unfused = self.bound(&text, Fusion::Off)?;
                let written = explain::op_count(&self.library.parse(&text)?.graph(Meaning::Form)?);
                explain::summary(out, &bound, &unfused, written)?;
            }
            "graph" | "plan" | "lane" | "clif" | "asm" => {
                let text = self.subject(rest)?;
                let bound = self.bound(&text, self.settings.fusion)?;
                let (explanation, _) = bound.explanation()?;
                match name {
                    "graph" => explain::graph(out, &bound.fused)?,
                    "plan" => explain::plan(out, &explanation)?,
                    "lane" => explain::lane(out, &explanation.passes)?,
                    "clif" => explain::intermediate(out, &explanation.passes)?,
                    _ => explain::machine(out, &explanation.passes)?,
                }
            }
            "time" => {
                let elements = if rest.is_empty() { None } else { Some(timing::elements(rest)?) };
                let text = self.subject("")?;
                timing::table(out, &self.settings, &self.library, &text, &self.values, elements)?;
            }
            "plot" => plot::plot(out, &self.engine, rest, &self.values)?,
            "backend" => self.choose_backend(out, rest)?,
            "dtype" => self.choose_dtype(out, rest)?,
            "threads" => self.change(Settings { threads: Some(arguments::threads(rest)?), ..self.settings.clone() })?,
            "fuse" => {
                let fusion = match rest {
                    "on" => Fusion::Full,
                    "off" => Fusion::Off,
                    _ => return Err(usage(":fuse on")),
                };
                self.change(Settings { fusion, ..self.settings.clone() })?;
            }
            _ => return Err(Error::Command(format!("there is no command `:{name}`; `:help` lists them"))),
        }
        Ok(true)
    }

    /// The expression a command is about: its own, which later commands are then about too, or the last one.
    fn subject(&mut self, own: &str) -> Result<String, Error> {
        if !own.is_empty() {
            self.library.parse(own)?;
            self.last = Some(own.to_owned());
        }
        self.last.clone().ok_or_else(|| Error::Command("there is no expression yet; type one first".to_owned()))
    }

    fn bound(&self, text: &str, fusion: Fusion) -> Result<Bound<'_>, Error> {
        if self.settings.judge == Some(Judge::Reference) {
            return Err(Error::Command("the reference compiles nothing; `:backend auto` does".to_owned()));
        }
        let fused = self.engine.compile_with(text, fusion)?;
        let known = fused.inputs().iter().any(|name| self.values.iter().any(|(value, _)| value == name));
        if !known {
            return batch::assumed(fused, &self.settings.dtypes);
        }
        let inputs = bind(fused.inputs(), &self.values, &self.library, true, &self.settings.dtypes)?;
        Bound::new(fused, inputs, &self.settings.dtypes)
    }

    fn list_values(&self, out: &mut dyn Write) -> Result<(), Error> {
        for (name, array) in &self.values {
            let order = if array.is_column_major() { ", Fortran order" } else { "" };
            let text = show::array(array, 0);
            let line = if text.contains('\n') || text.len() > 60 { "" } else { &text };
            writeln!(out, "{name:10} {} {:?}{order}  {line}", array.dtype(), array.shape)?;
        }
        Ok(())
    }

    fn save(&self, rest: &str) -> Result<(), Error> {
        let (name, file) = rest.split_once(char::is_whitespace).ok_or_else(|| usage(":save x file.npy"))?;
        let known = self.values.iter().find(|(known, _)| known == name);
        let (_, array) = known.ok_or_else(|| Error::Command(format!("`{name}` has no value; `:vars` lists them")))?;
        let mut pending = npy::Pending::default();
        pending.add(Path::new(file.trim()), array)?;
        pending.commit()
    }

    fn choose_backend(&mut self, out: &mut dyn Write, rest: &str) -> Result<(), Error> {
        let mut words = rest.split_whitespace();
        if let Some(name) = words.next() {
            let isa = words.next().map(arguments::isa).transpose()?.or(self.settings.isa);
            self.change(Settings { judge: Some(Judge::by_name(name)?), isa, ..self.settings.clone() })?;
        }
        if self.interactive || rest.is_empty() {
            match self.settings.judge {
                Some(Judge::Reference) => writeln!(out, "reference: the definitions, in float64")?,
                _ => writeln!(out, "{}", self.engine.backend_name())?,
            }
        }
        Ok(())
    }

    fn choose_dtype(&mut self, out: &mut dyn Write, rest: &str) -> Result<(), Error> {
        if rest.is_empty() {
            for (name, dtype) in &self.settings.dtypes {
                writeln!(out, "{name:10} {dtype}")?;
            }
            return Ok(());
        }
        let (name, text) = rest.split_once('=').ok_or_else(|| usage(":dtype x=bf16"))?;
        let (name, text) = (name.trim(), text.trim());
        let given = if text.is_empty() { None } else { Some(arguments::dtype(&format!("{name}={text}"))?) };
        self.settings.dtypes.retain(|(known, _)| known != name);
        self.settings.dtypes.extend(given);
        Ok(())
    }

    fn change(&mut self, settings: Settings) -> Result<(), Error> {
        self.engine = settings.engine(&self.library)?;
        self.settings = settings;
        Ok(())
    }
}

/// What a session can do about a mistake that the language alone cannot.
fn advice(error: &Error) -> &'static str {
    let Error::Compile(CompileError::Expression(fuselet::ir::Error::Syntax(mistake))) = error else { return "" };
    match mistake.problem() {
        Problem::Type { found, .. } if found.contains("list") => {
            "\n(an array needs a name: `x = [-2, -1, 0, 1, 2]`, then use `x`)"
        }
        _ => "",
    }
}

fn usage(example: &str) -> Error {
    Error::Command(format!("write `{example}`"))
}
