//! What can be told from a line before anything reads it: whether it assigns, and whether it goes on.

/// The name and the value of `name = value`.
pub fn assignment(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let plain = name.chars().all(|c| c == '_' || c.is_alphanumeric())
        && name.chars().next().is_some_and(|c| !c.is_numeric())
        && !value.starts_with('=');
    plain.then_some((name, value.trim()))
}

/// Whether a text is unfinished: a bracket is open, or it ends where something must follow.
pub fn goes_on(text: &str) -> bool {
    if text.trim_start().starts_with(':') {
        return false;
    }
    let mut depth = 0i64;
    let mut end = "";
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default();
        let code = if code.trim_start().starts_with("///") { "" } else { code.trim() };
        depth += code.chars().map(|c| i64::from("([{".contains(c)) - i64::from(")]}".contains(c))).sum::<i64>();
        if !code.is_empty() {
            end = code;
        }
    }
    let only_docs = end.is_empty() && text.trim_start().starts_with("///");
    const OPEN: [&str; 14] = ["=", "|>", "+", "-", "*", "/", "^", "<", ">", " and", " or", " not", " then", " else"];
    depth > 0 || only_docs || OPEN.iter().any(|open| end.ends_with(open))
}
