//! Line editing: history, completion of names and commands, and lines that go on until brackets close.

use crate::lines;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use std::io;
use std::path::PathBuf;

const PROMPT: &str = "fuselet> ";

/// What to complete.
#[derive(Default)]
struct Names(Vec<String>);

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..position];
        let start = before
            .char_indices()
            .rev()
            .find(|(_, c)| !(*c == '_' || *c == ':' || c.is_alphanumeric()))
            .map_or(0, |(at, c)| at + c.len_utf8());
        let word = &before[start..];
        if word.is_empty() {
            return Ok((start, Vec::new()));
        }
        Ok((start, self.0.iter().filter(|name| name.starts_with(word)).cloned().collect()))
    }
}

impl Validator for Names {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let open = lines::goes_on(context.input());
        Ok(if open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Names {
    type Hint = String;
}
impl Highlighter for Names {}
impl Helper for Names {}

/// The user's side of an interactive session.
pub struct Terminal {
    editor: Editor<Names, FileHistory>,
    history: Option<PathBuf>,
}

/// What the user did.
pub enum Typed {
    Text(String),
    /// Gave the line up (control-C).
    Nothing,
    End,
}

impl Terminal {
    pub fn new() -> Result<Terminal, io::Error> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .history_ignore_space(true)
            .max_history_size(2000)
            .map_err(io::Error::other)?
            .build();
        let mut editor = Editor::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(Names::default()));
        let history = history_file();
        if let Some(file) = &history {
            // No history yet, or one that cannot be read: begin a new one.
            let _ = editor.load_history(file);
        }
        Ok(Terminal { editor, history })
    }

    /// How many characters a line holds.
    pub fn width(&mut self) -> usize {
        self.editor.dimensions().map_or(80, |(columns, _)| usize::from(columns))
    }

    /// The next text; `names` are completed.
    pub fn read(&mut self, names: Vec<String>) -> Result<Typed, io::Error> {
        if let Some(helper) = self.editor.helper_mut() {
            helper.0 = names;
        }
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                // A history that cannot grow is no reason to stop.
                let _ = self.editor.add_history_entry(text.as_str());
                Ok(Typed::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Typed::Nothing),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(file) = &self.history {
            // Where nothing can be written, there is no history.
            let _ = file.parent().map(std::fs::create_dir_all);
            let _ = self.editor.save_history(file);
        }
    }
}

/// `fuselet/history` in the user's state directory.
fn history_file() -> Option<PathBuf> {
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("LOCALAPPDATA"))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("fuselet").join("history"))
}
