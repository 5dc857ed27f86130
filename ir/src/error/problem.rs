//! Errors that point at their place in the text.
//!
//! [`Problem`] is what is wrong, with its data; [`SyntaxError`] adds where, and shows it:
//!
//! ```text
//! unknown function `gelou`
//!   │ gelou(x)
//!   │ ^^^^^ did you mean `gelu`?
//! ```
//!
//! [`ActivationError`] is of the same file because the two hold each other: a text may call an activation with parameters
//! that it refuses, and the body of an activation may be a text that does not accept them.

use super::excerpt::excerpt;
use super::span::Span;
use crate::display::debug_as_displayed;
use crate::nearest::suggestion;
use crate::op::StorageType;
use crate::value::Value;
use std::sync::Arc;
use thiserror::Error;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The text is longer than is read.
    #[error("the text has {length} bytes, more than the {limit} that are read")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A character that starts nothing.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// `//` where it documents no definition.
    #[error("`//` is neither an operator nor a comment")]
    Slashes,
    /// An operator of other languages.
    #[error("`{operator}` is no operator here")]
    ForeignOperator {
        /// The operator.
        operator: &'static str,
        /// What to write instead.
        instead: &'static str,
    },
    /// A number that cannot be read.
    #[error("`{text}` is not a number: {reason}")]
    Number {
        /// The number as written.
        text: String,
        /// Why it cannot be read.
        reason: &'static str,
    },
    /// A quoted name or a text without its end.
    #[error("{what} has no closing {mark}")]
    Unclosed {
        /// What was opened.
        what: &'static str,
        /// What would close it.
        mark: char,
    },
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should stand here.
        expected: String,
        /// What stands here.
        found: String,
    },
    /// `a < b < c`.
    #[error("comparisons do not chain")]
    ChainedComparison,
    /// Something follows a function in a pipe.
    #[error("after `|>` comes one function, or an operator and its right side")]
    PipeSegment,
    /// Too deep.
    #[error("nested more than {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Too many of one kind.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A function nobody defined.
    #[error("unknown function `{name}`")]
    UnknownFunction {
        /// Its name.
        name: String,
        /// A known name near to it.
        nearest: Option<String>,
    },
    /// A name in a function's body that nothing binds.
    #[error("unknown name `{name}`")]
    UnknownName {
        /// The name.
        name: String,
        /// A known name near to it.
        nearest: Option<String>,
    },
    /// Not the number of arguments the function takes.
    #[error("`{function}` takes {expected}, but {given} {} given", if *given == 1 { "is" } else { "are" })]
    Arity {
        /// The function.
        function: String,
        /// What it takes.
        expected: String,
        /// How many were given.
        given: usize,
    },
    /// An argument by a name the function does not have.
    #[error("`{function}` has no parameter `{name}`")]
    UnknownParameter {
        /// The function.
        function: String,
        /// The name.
        name: String,
        /// The parameter nearest to it.
        nearest: Option<String>,
    },
    /// A parameter given twice.
    #[error("`{name}` is given twice")]
    RepeatedArgument {
        /// The parameter.
        name: String,
    },
    /// An argument by position after one by name.
    #[error("an argument by position cannot follow one by name")]
    PositionAfterName,
    /// `max(x, 0)`: the largest along axis 0, where most mean the larger of two values.
    #[error("the second argument of `{reduction}` is an axis, which must be named")]
    AxisByPosition {
        /// The reduction.
        reduction: String,
        /// The op that compares two values.
        elementwise: &'static str,
    },
    /// A value of a type that does not belong here.
    #[error("{place} must be {expected}, but this is {found}")]
    Type {
        /// Where the value is used.
        place: String,
        /// What is wanted there.
        expected: &'static str,
        /// What the value is.
        found: String,
    },
    /// Something that is no storage type where one must stand.
    #[error("{} is no dtype; the dtypes are {}", name.as_ref().map_or("this".to_owned(), |name| format!("`{name}`")),
        StorageType::all().map(StorageType::name).collect::<Vec<_>>().join(", "))]
    StorageType {
        /// The name that stands there, if it is one.
        name: Option<String>,
        /// A known name near to it.
        nearest: Option<String>,
    },
    /// One name for two things.
    #[error("the name `{name}` is used twice for {what}")]
    RepeatedName {
        /// The name.
        name: String,
        /// What it names.
        what: &'static str,
    },
    /// Several outputs in a place that wants one value.
    #[error("several outputs can stand only in the outermost braces")]
    NestedOutputs,
    /// A definition that does not hold together.
    #[error("{0}")]
    Definition(String),
    /// A call whose parameters are not valid.
    #[error(transparent)]
    Activation(ActivationError),
    /// An expression that grows without measure when its functions are expanded.
    #[error("the expression is too large: more than {limit} steps to expand it")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

impl Problem {
    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            Problem::UnknownFunction { nearest, .. }
            | Problem::UnknownName { nearest, .. }
            | Problem::StorageType { nearest, .. }
            | Problem::UnknownParameter { nearest, .. } => {
                nearest.as_ref().map(|name| format!("did you mean `{name}`?"))
            }
            Problem::AxisByPosition { reduction, elementwise } => {
                let which = if *elementwise == "maximum" { "larger" } else { "smaller" };
                Some(format!(
                    "write `{elementwise}(x, y)` for the {which} of two values, `{reduction}(x, axis = 0)` to reduce axis 0"
                ))
            }
            Problem::Slashes => Some(
                "a comment begins with `#`, and `floor(x / 2)` divides and rounds down; `///` begins a line of \
                 documentation before `fn`"
                    .to_owned(),
            ),
            Problem::ForeignOperator { instead, .. } => Some((*instead).to_owned()),
            Problem::ChainedComparison => Some("write `a < b and b < c`".to_owned()),
            Problem::PipeSegment => Some("write `|> f |> * 2` or put parentheses around the left side".to_owned()),
            Problem::PositionAfterName => Some("write its name too, or put it first".to_owned()),
            Problem::TooDeep { .. } => Some("name a part of it with `let`".to_owned()),
            _ => None,
        }
    }
}

/// A [`Problem`] and its place. `Display` shows the line, a caret and a hint.
#[derive(Clone, PartialEq, Error)]
#[error("{}", self.render())]
pub struct SyntaxError(Box<Located>);

#[derive(Clone, Debug, PartialEq)]
struct Located {
    problem: Problem,
    span: Span,
    text: Arc<str>,
}

impl SyntaxError {
    pub(crate) fn new(problem: Problem, span: Span, text: &Arc<str>) -> SyntaxError {
        SyntaxError(Box::new(Located { problem, span, text: Arc::clone(text) }))
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Where, in bytes of [`SyntaxError::text`].
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// The text that holds the error; a function's own source when the error is in its body.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The line of the error, counting from 1.
    pub fn line(&self) -> usize {
        1 + self.0.text.as_bytes()[..self.0.span.start.min(self.0.text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }

    fn render(&self) -> String {
        let Located { problem, span, text } = &*self.0;
        format!("{problem}{}", excerpt(text, *span, problem.hint().as_deref()))
    }
}

/// What is wrong with an activation's name or parameters.
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// Nobody defined it.
    #[error("unknown activation `{name}`{}", suggestion(nearest))]
    Unknown {
        /// The name.
        name: String,
        /// A known name near to it.
        nearest: Option<String>,
    },
    /// It has no such parameter.
    #[error("`{activation}` has no parameter `{parameter}`{}", suggestion(nearest))]
    UnknownParameter {
        /// The activation.
        activation: String,
        /// The name.
        parameter: String,
        /// The parameter nearest to it.
        nearest: Option<String>,
    },
    /// A value of the wrong type, or a number that is not finite.
    #[error("the parameter `{parameter}` of `{activation}` must be {expected}, but is {found}")]
    Type {
        /// The activation.
        activation: String,
        /// The parameter.
        parameter: String,
        /// What it accepts.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// One parameter by two names, with two values.
    #[error("`{activation}` is given `{parameter}` twice with different values: {first} and {second}")]
    Conflict {
        /// The activation.
        activation: String,
        /// The parameter.
        parameter: String,
        /// The value given first.
        first: Value,
        /// The value given second.
        second: Value,
    },
    /// Parameters that exclude each other.
    #[error("`{activation}` takes either {} or {}, not both", list(main), list(alternative))]
    Mixed {
        /// The activation.
        activation: String,
        /// The parameters of its first signature.
        main: Vec<String>,
        /// Those of the other.
        alternative: Vec<String>,
    },
    /// Only some of the parameters that belong together.
    #[error("`{activation}` needs {} together; `{missing}` is missing", list(alternative))]
    Incomplete {
        /// The activation.
        activation: String,
        /// The parameters that belong together.
        alternative: Vec<String>,
        /// The one that is not given.
        missing: String,
    },
    /// Parameters outside of what the function is defined for.
    #[error("`{activation}`: {message}")]
    Refused {
        /// The activation.
        activation: String,
        /// Why.
        message: String,
    },
    /// Not as many tensors as the function takes.
    #[error("`{activation}` takes {expected} {}, but is applied to {given}", if *expected == 1 { "tensor" } else { "tensors" })]
    Tensors {
        /// The activation.
        activation: String,
        /// How many it takes.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// The function's body does not accept the parameters.
    #[error(transparent)]
    Body(SyntaxError),
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

debug_as_displayed!(SyntaxError, ActivationError);
