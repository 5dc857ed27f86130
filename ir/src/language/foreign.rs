//! Operators of other languages, and what is written here instead.
//!
//! What means the same everywhere is simply understood (`**` is `^`). The rest is refused by name: `&` and `!` bind differently
//! from language to language, so a guess would be silently wrong for some.

/// Longer operators first.
const OPERATORS: &[(&str, &str)] = &[
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("&", "write `and`"),
    ("|", "write `or`; a pipe is `|>`"),
    ("!", "write `not`"),
    ("~", "write `not`"),
    ("%", "write `x - y * floor(x / y)`"),
    ("?", "write `if a then b else c`"),
    ("−", "write `-`"),
    ("×", "write `*`"),
    ("·", "write `*`"),
    ("÷", "write `/`"),
    ("≤", "write `<=`"),
    ("≥", "write `>=`"),
    ("≠", "write `!=`"),
];

/// The operator that a text begins with, and the hint what to write.
pub(super) fn operator(text: &str) -> Option<(&'static str, &'static str)> {
    OPERATORS.iter().find(|(operator, _)| text.starts_with(operator)).copied()
}
