//! Fuselet at the command line: interactive, in batch, and through a pipe. `--help` says how.
//!
//! `arguments` reads the command line; `batch` does one command, `session` many. Both compute through `evaluate`,
//! with `arrays` of `data` from `npy` files (whose format `npy_format` knows) and `literal`s, and print through `show`, `explain` and `timing`.

mod arguments;
mod arrays;
mod batch;
mod data;
mod editor;
mod error;
mod evaluate;
mod explain;
mod lines;
mod literal;
mod npy;
#[path = "../support/npy_format/mod.rs"]
mod npy_format;
mod plot;
mod session;
mod show;
mod timing;

use arguments::Command;
use error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    match run(arguments) {
        Ok(code) => code,
        // Whoever read the answer has seen enough.
        Err(Error::Terminal(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be gone too; the exit code remains.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Result<ExitCode, Error> {
    let arguments = arguments::parse(arguments)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match &arguments.command {
        Command::Help => write!(out, "{}", arguments::HELP)?,
        Command::Eval(text) => batch::eval(&mut out, &arguments, text)?,
        Command::Explain(text) => batch::explain(&mut out, &arguments, text)?,
        Command::List => batch::list(&mut out, &batch::library(&arguments)?)?,
        Command::Show(name) => batch::show_function(&mut out, &batch::library(&arguments)?, name)?,
        Command::Session => {
            if !session::run(&mut out, &arguments)? {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
