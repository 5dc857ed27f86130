//! Names: which words are names, and how any text is written as one.

/// Words that mean something of their own.
pub(super) const KEYWORDS: &[&str] =
    &["let", "if", "then", "else", "and", "or", "not", "fn", "inf", "nan", "true", "false", "none"];

/// Whether a name can be written as it is, without backquotes.
fn is_plain_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(starts_name) && letters.all(continues_name) && !KEYWORDS.contains(&name)
}

pub(super) fn starts_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

pub(super) fn continues_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// A name as it is written: in backquotes if it is no plain name.
pub(crate) fn name_text(name: &str) -> String {
    if is_plain_name(name) {
        return name.to_owned();
    }
    let mut text = String::from("`");
    for c in name.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '`' | '\\' => text.extend(['\\', c]),
            _ => text.push(c),
        }
    }
    text.push('`');
    text
}
