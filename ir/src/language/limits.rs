//! How much text is read. Whatever is larger is refused before it costs anything.

/// The longest text that is parsed, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// The deepest nesting of parentheses, blocks, calls, `if`s and prefix operators.
pub const MAX_DEPTH: usize = 200;
