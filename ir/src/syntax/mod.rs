//! The language: text to expressions, and graphs back to text.
//!
//! The way of a text: `lexer` cuts it into tokens, `parser` (a Pratt parser) builds a tree in an arena (`ast`),
//! `elaborate` decides everything that is known at compile time (parameters, `if` on them, axes) and gives
//! [`crate::Expr`]s. `printer` goes the other way: what it prints parses back to the same graph.
//!
//! Every token and tree node carries its [`Span`], so that every error can show its line with a caret under the
//! place. Hostile text gives an error: texts longer than [`MAX_TEXT`] and nesting deeper than [`MAX_DEPTH`] are
//! refused, and long chains (`a + a + …`, `x |> f |> f …`) are handled in loops, not by recursion.
//!
//! # Grammar
//!
//! Precedence from low to high: `|>`; `or`; `and`; `not`; comparisons (which do not chain); `+ -`; `* /`; unary `-`;
//! `^` (to the right); calls and atoms.
//!
//! ```text
//! program     = definition* ["{"] ["input" names ";"] statements ["}"]
//! statements  = ("let" name "=" expression ";")* (expression | name "=" expression ("," name "=" expression)*)
//! block       = "{" statements "}"
//! expression  = expression "|>" name [ "(" arguments ")" ]      the left side becomes the first argument
//!             | expression "|>" operator expression             the left side becomes the left operand
//!             | expression operator expression | "-" expression | "not" expression
//!             | "if" expression "then" expression "else" expression
//!             | name "(" arguments ")" | name | number | "[" integers "]" | block | "(" expression ")"
//! arguments   = [ [name "="] expression ("," [name "="] expression)* ]
//! definition  = docs ["private"] "fn" name "(" tensors, name [":" type] "=" literal … ")" "=" expression clause*
//! clause      = "via" expression | "derivative" ["(" name ")"] expression | "alias" names
//!             | "require" expression ":" text | "parameter_alias" name "=" name | "alternative" "(" names ")"
//! ```
//!
//! Names that are not bound are inputs (in the outermost expression only). A name that is no word of this grammar is
//! written in backquotes: `` `my input` ``.

pub(crate) mod ast;
pub(crate) mod elaborate;
pub mod error;
pub(crate) mod lexer;
pub(crate) mod nearest;
pub(crate) mod parser;
pub(crate) mod printer;

pub use error::{Problem, SyntaxError};
pub use nearest::nearest;

/// The longest text that is parsed, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// The deepest nesting of parentheses, blocks, calls, `if`s and prefix operators.
pub const MAX_DEPTH: usize = 200;

/// A place in a text: bytes from `start` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From the start of one span to the end of another.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end }
    }
}
