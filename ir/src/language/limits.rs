//! How much text is read. Whatever is larger is refused before it costs anything.

/// The longest text that is parsed, in bytes.
pub const MAX_TEXT: usize = 1 << 20;

/// The deepest nesting of parentheses, blocks, calls, `if`s and prefix operators. Reading a text that deep takes up to
/// 512 KiB of stack in optimised builds and 1 MiB in others.
pub const MAX_DEPTH: usize = 200;

/// The most tensors of a function, and the most parameters, other names of parameters and requirements.
pub const MAX_PARAMETERS: usize = 64;

/// The most axes in a list. No array has as many.
pub const MAX_AXES: usize = 64;
