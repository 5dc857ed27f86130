//! A line of a text with a caret under the place at fault.

use super::span::Span;

/// How much of a line is shown, and how much of it before the place.
const WIDTH: usize = 100;
const BEFORE: usize = 40;

/// The line at fault, a caret below it, and a hint behind the caret; of very long lines, the neighbourhood. Begins with
/// the end of the line before.
pub(super) fn excerpt(text: &str, span: Span, hint: Option<&str>) -> String {
    let start = span.start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let line = text[line_start..line_end].trim_end_matches('\r');
    let column = text[line_start..start].chars().count();
    let length = text[start..span.end.clamp(start, line_end)].chars().count().max(1);
    let skipped = if column > WIDTH - BEFORE { column - BEFORE } else { 0 };
    let mut shown: String = line.chars().skip(skipped).take(WIDTH).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let mut caret = column - skipped;
    if skipped > 0 {
        shown.insert(0, '…');
        caret += 1;
    }
    if line.chars().count() > skipped + WIDTH {
        shown.push('…');
    }
    let length = length.min(WIDTH.saturating_sub(caret).max(1));
    let hint = hint.map_or_else(String::new, |hint| format!(" {hint}"));
    format!("\n  │ {shown}\n  │ {}{}{hint}", " ".repeat(caret), "^".repeat(length))
}
