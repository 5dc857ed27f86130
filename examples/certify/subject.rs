//! What is certified: a function of one input, as it is compiled and as it is defined.

use fuselet::ir::library::Value;
use fuselet::ir::reference::{ReferenceError, ScalarEvaluator};
use fuselet::ir::{Activation, Error, Graph, IntoProgram, Library, Meaning, Program};
use std::fmt::Write;

/// A function, with every constant its user wrote rounded to float32.
pub struct Subject {
    /// How it is written: `gelu`, `elu(alpha = 0.3)`, `silu(x * 2 + 1)`.
    pub name: String,
    /// The textbook definition: the truth.
    pub definition: Graph,
    /// What is compiled.
    pub form: Graph,
    /// Whether it is one of the library's, whose accuracy is promised.
    pub promised: bool,
}

impl Subject {
    /// An activation in its text form.
    pub fn activation(library: &Library, text: &str) -> Result<Subject, Box<dyn std::error::Error>> {
        let name = library.parse_activation(text)?.to_string();
        let activation = rounded_defaults(library.parse_activation(&rounded_literals(text))?);
        let promised = activation.function().is_standard();
        Ok(Subject { promised, ..Subject::new(name, &activation.into_program(library)?)? })
    }

    /// An expression of one input.
    pub fn chain(library: &Library, text: &str) -> Result<Subject, Box<dyn std::error::Error>> {
        Subject::new(text.to_owned(), &rounded_literals(text).into_program(library)?)
    }

    fn new(name: String, program: &Program) -> Result<Subject, Box<dyn std::error::Error>> {
        let graph = |meaning| -> Result<Graph, Error> { program.graph(meaning) };
        let (definition, form) = (graph(Meaning::Definition)?, graph(Meaning::Form)?);
        if form.inputs().len() != 1 || form.outputs().len() != 1 {
            let inputs = form.inputs().join(", ");
            let message = format!("`{name}` must have one input and one output, but its inputs are: {inputs}");
            return Err(message.into());
        }
        Ok(Subject { name, definition, form, promised: false })
    }

    /// An error unless it is computed element by element.
    pub fn require_elementwise(&self) -> Result<(), ReferenceError> {
        ScalarEvaluator::new(&self.definition).map(|_| ())
    }

    /// The name of its input.
    pub fn input(&self) -> &str {
        &self.form.inputs()[0]
    }
}

/// The activation with the defaults it uses rounded to float32.
fn rounded_defaults(mut activation: Activation) -> Activation {
    for (parameter, value) in activation.function().parameters().to_vec().iter().zip(activation.values()) {
        // Setting a parameter is not the same as leaving it: `threshold` tells its two signatures apart by that.
        if let Value::Number(value) = value
            && f64::from(value as f32) != value
        {
            activation = activation.with(&parameter.name, value as f32);
        }
    }
    activation
}

/// The text with every decimal literal replaced by the float32 nearest to it, exactly. A kernel computes with that
/// number, so the truth is the value of the expression for it: 0.1 means 0.100000001490116….
fn rounded_literals(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first.is_alphabetic() || first == '_' || rest.starts_with("0x") {
            // Names may hold digits; hexadecimal literals are exact as they are written.
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len())
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number_length(rest)
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        match token.parse::<f64>() {
            Ok(value) if first.is_ascii_digit() || first == '.' => {
                let rounded = f64::from(value as f32);
                if rounded == value || !rounded.is_finite() {
                    result.push_str(token);
                } else {
                    write!(result, "{rounded:?}").expect("a string takes any text");
                }
            }
            _ => result.push_str(token),
        }
        rest = after;
    }
    result
}

/// How many bytes of the text belong to the decimal number it starts with.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent_end = digits(end + 1 + sign);
        if exponent_end > end + 1 + sign {
            end = exponent_end;
        }
    }
    end
}
