//! Arrays written as text: `[-2, -1, 0, 1, 2]`, `[[1, 2], [3, 4]]`, `0.5`.
//!
//! Elements are numbers as the language writes them (`inf`, `-2.5e-3`, `0x1p-126`), or constant expressions of it
//! (`1/3`, `sqrt(2)`). A literal is float32; among float64 arrays it is read as float64, and converted
//! to another dtype from there.

use crate::arrays::Array;
use crate::error::Error;
use fuselet::MAX_RANK;
use fuselet::ir::{Library, Meaning, reference};

/// The array a text means. `origin` is what errors call the text: "input `x`".
pub fn parse(origin: &str, text: &str, library: &Library) -> Result<Array, Error> {
    let mut reader = Reader { origin, text, at: 0, library, single: Vec::new(), double: Vec::new(), shape: Vec::new() };
    reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.fail("expected the end here".to_owned(), reader.at));
    }
    // The lengths of axes below an empty one are unknown: [[], []] is (2, 0).
    let shape = reader.shape.into_iter().map(|length| length.unwrap_or(0)).collect();
    Ok(Array::new(reader.single, shape).literal(reader.double))
}

struct Reader<'a> {
    origin: &'a str,
    text: &'a str,
    at: usize,
    library: &'a Library,
    single: Vec<f32>,
    double: Vec<f64>,
    /// The length of each axis, once its first list is complete.
    shape: Vec<Option<usize>>,
}

impl Reader<'_> {
    fn fail(&self, problem: String, at: usize) -> Error {
        const WIDTH: usize = 100;
        const BEFORE: usize = 60;
        let start = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        let column = self.text[start..at].chars().count();
        let skipped = column.saturating_sub(BEFORE);
        let line = line.chars().skip(skipped).take(WIDTH).collect();
        Error::Literal { origin: self.origin.to_owned(), problem, line, column: column - skipped }
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// A list or a number, `depth` lists deep.
    fn value(&mut self, depth: usize) -> Result<(), Error> {
        self.skip_space();
        let start = self.at;
        if !self.text[self.at..].starts_with('[') {
            if self.shape.len() > depth {
                return Err(self.fail("expected a list here, as the elements before it are lists".to_owned(), start));
            }
            return self.number();
        }
        if depth == self.shape.len() {
            if !self.double.is_empty() {
                return Err(self.fail("expected a number here, as in the first list".to_owned(), start));
            }
            if depth == MAX_RANK {
                return Err(self.fail(format!("lists are nested more than {MAX_RANK} deep"), start));
            }
            self.shape.push(None);
        }
        self.at += 1;
        let mut length = 0;
        loop {
            self.skip_space();
            if self.text[self.at..].starts_with(']') {
                break;
            }
            self.value(depth + 1)?;
            length += 1;
            self.skip_space();
            match self.text[self.at..].chars().next() {
                Some(',') => self.at += 1,
                Some(']') => {}
                _ => return Err(self.fail("expected `,` or `]` here".to_owned(), self.at)),
            }
        }
        self.at += 1;
        match self.shape[depth] {
            None => self.shape[depth] = Some(length),
            Some(expected) if expected == length => {}
            Some(expected) => {
                return Err(self.fail(format!("this list has length {length}, the first one has {expected}"), start));
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Error> {
        let start = self.at;
        let mut open = 0usize;
        let end = self.text[start..].find(|c| {
            match c {
                '(' => open += 1,
                ')' => open = open.saturating_sub(1),
                _ => {}
            }
            open == 0 && matches!(c, ',' | ']' | '[')
        });
        self.at = end.map_or(self.text.len(), |length| start + length);
        let token = self.text[start..self.at].trim();
        if token.is_empty() {
            return Err(self.fail("expected a number here".to_owned(), start));
        }
        let (single, double) = match (token.parse::<f32>(), token.parse::<f64>()) {
            (Ok(single), Ok(double)) => (single, double),
            _ => {
                let double = self.constant(token).map_err(|problem| self.fail(problem, start))?;
                (double as f32, double)
            }
        };
        self.single.push(single);
        self.double.push(double);
        Ok(())
    }

    /// The value of a constant expression, or what is wrong with it.
    fn constant(&self, token: &str) -> Result<f64, String> {
        let plain = || format!("`{token}` is not a number");
        let program = self.library.parse(token).map_err(|_| plain())?;
        let graph = program.graph(Meaning::Definition).map_err(|_| plain())?;
        if !graph.inputs().is_empty() || graph.outputs().len() != 1 {
            return Err(plain());
        }
        let outputs = reference::evaluate(&graph, &[]).map_err(|_| plain())?;
        outputs[0].data().first().copied().ok_or_else(plain)
    }
}
