//! The language: text to expressions, and graphs back to text.
//!
//! The way of a text: `lexer` cuts it into tokens, `parser` (with `expression`, a Pratt parser, and `definition`) builds a tree in an arena (`ast`),
//! `elaborate` (with `calls`, and `storage` for those that name a storage type) decides everything that is known at compile time (parameters, `if` on them, axes) and gives
//! [`crate::Expr`]s. `define` makes functions of a [`crate::Library`] from definitions, `read` fills one and reads programs with it.
//! `printer` goes the other way: what it prints parses back to the same graph.
//!
//! Every token and tree node carries its [`Span`], so that every error can show its line with a caret under the
//! place. Hostile text gives an error: texts longer than [`MAX_TEXT`] and nesting deeper than [`MAX_DEPTH`] are
//! refused, and long chains (`a + a + …`, `x |> f |> f …`, `if … else if … else if …`) are handled in loops, not by recursion.
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
//!             | expression operator expression | ("-" | "+") expression | "not" expression
//!             | "if" expression "then" expression "else" expression
//!             | name "(" arguments ")" | name | number | "[" integers "]" | block | "(" expression ")"
//! arguments   = [ [name "="] expression ("," [name "="] expression)* ]
//! definition  = docs ["private"] "fn" name "(" tensors, name [":" type] "=" literal … ")" "=" line clause*
//! clause      = "via" line | "derivative" ["(" name ")"] line | "alias" names
//!             | "require" line ":" text | "parameter_alias" name "=" name | "alternative" "(" names ")"
//! ```
//!
//! Names that are not bound are inputs (in the outermost expression only). A name that is no word of this grammar is
//! written in backquotes: `` `my input` ``. The words of clauses, `input` and `private` are ordinary names wherever they
//! can mean nothing else: after a definition `alias f` begins a clause, `alias * 2` an expression.
//!
//! `**` is `^`. Comparisons do not chain, and other languages' `&`, `!`, `%` and so on are refused with what to write instead. The axis of
//! `max` and `min` is named (or a list), because `max(x, 0)` is not what it looks like: `maximum(x, 0)` is.
//!
//! # Numbers and conditions
//!
//! Where a condition is wanted, a number is taken as `x != 0`, so that an input may be a mask: `if mask then x else 0`,
//! `mask and x > 0`, `not mask`. Where a number is wanted, a condition is 1 or 0: `sum(x > 0)` counts, and a comparison as an output fills
//! an array of bools or of numbers. `isnan(x)`, `isinf(x)` and `isfinite(x)` are conditions.
//!
//! # Storage types
//!
//! `cast(x, bf16)` rounds to a type that arrays store and goes on. The types are f64, f32, f16, bf16, i32, i16, i8, u32, u16, u8 and bool;
//! NumPy's names (`bfloat16`) are understood too. A cast is what a store and a load of that type give: to floats to nearest even, past
//! the largest to infinity; to integers to nearest even, cut at the ends, NaN as 0. A cast to f64 changes nothing, one to bool is
//! `x != 0`, and one to f32 changes nothing in float32 arithmetic. The float64 reference rounds float64 values: where a kernel's float32
//! value differs from them in its last bit, the two may round to different neighbours.
//!
//! | call | meaning |
//! |---|---|
//! | `quantize(x, scale, zero_point = 0, dtype = i8)` | `cast(round(x / scale) + zero_point, dtype)`, ONNX' QuantizeLinear |
//! | `dequantize(x, scale, zero_point = 0)` | `(x - zero_point) * scale`, ONNX' DequantizeLinear |
//! | `absmax(x, axis)` | `max(abs(x), axis = axis)`, of which scales are made |
//!
//! Scales and zero points broadcast: a number, one for each row or each channel. With a scale of 0 a quotient is infinite, so the value is
//! an end of the type, or NaN where x is 0 too, so the value is 0.
//!
//! # Lines and comments
//!
//! A comment runs from `#` to the end of the line. Lines that begin with `///` document the definition after them. Any other
//! `//` is an error.
//!
//! Lines matter in definitions only, where a `line` is an expression that ends with its line. It goes on
//! - inside brackets of any kind, and wherever something is missing still: after an operator, `then`, `else`, `|>` or `=`;
//! - when the next line begins with something that can only continue it: `|>`, `*`, `/`, `^`, a comparison, `and`, `or`,
//!   `then`, `else`.
//!
//! A line that begins with `-`, `+` or `(` is not among these; it may begin the program's expression:
//!
//! ```
//! use fuselet_ir::{IntoProgram, Library};
//! let text = "
//!     fn f(x) = x * 2
//!         |> tanh       # goes on
//!     fn g(x) = f(x) -  # goes on
//!         1
//!     -g(y)             # the program
//! ";
//! assert_eq!(text.into_program(&Library::standard())?.to_string(), "-g(y)");
//! # Ok::<(), fuselet_ir::Error>(())
//! ```

mod ast;
mod builtin;
mod calls;
mod carry;
mod cursor;
mod define;
mod definition;
mod elaborate;
mod expression;
mod foreign;
mod lexer;
mod limits;
mod listing;
mod name;
mod parser;
mod power;
mod printer;
mod program;
mod read;
mod storage;

pub(crate) use carry::{called, definitions};
pub(crate) use read::load;

pub use crate::error::{Problem, Span, SyntaxError};
pub use crate::nearest::nearest;
pub use limits::{MAX_AXES, MAX_DEPTH, MAX_PARAMETERS, MAX_TEXT};
pub use program::IntoProgram;
pub use read::STANDARD;
