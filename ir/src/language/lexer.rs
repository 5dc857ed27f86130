//! Text to tokens.
//!
//! A comment runs from `#` to the end of its line. A line that begins with `///` documents the definition that follows it; any
//! other `//` is refused, since it reads as a comment to some and as a division to others. So are operators of other
//! languages that have a spelling here ([`foreign`]).

use super::foreign;
use super::limits::MAX_TEXT;
use super::name::{KEYWORDS, continues_name, starts_name};
use crate::error::{Problem, Span, SyntaxError};
use std::sync::Arc;

/// A token. Symbols and keywords are compared by their text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Number(f64),
    Name(String),
    Text(String),
    Doc(String),
    Symbol(&'static str),
    Keyword(&'static str),
    End,
}

impl Token {
    /// The token as an error message calls it.
    pub fn describe(&self) -> String {
        match self {
            Token::Number(value) => format!("the number {value}"),
            Token::Name(name) => format!("`{name}`"),
            Token::Text(_) => "a text".to_owned(),
            Token::Doc(_) => "a documentation comment".to_owned(),
            Token::Symbol(text) | Token::Keyword(text) => format!("`{text}`"),
            Token::End => "the end".to_owned(),
        }
    }
}

/// A token, its place, and whether it is the first of its line.
#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub token: Token,
    pub span: Span,
    pub first_of_line: bool,
}

/// How symbols are written and what they are, longer ones first.
const SYMBOLS: &[(&str, &str)] = &[
    ("|>", "|>"),
    ("==", "=="),
    ("!=", "!="),
    ("<=", "<="),
    (">=", ">="),
    ("**", "^"),
    ("<", "<"),
    (">", ">"),
    ("=", "="),
    ("+", "+"),
    ("-", "-"),
    ("*", "*"),
    ("/", "/"),
    ("^", "^"),
    ("(", "("),
    (")", ")"),
    ("[", "["),
    ("]", "]"),
    ("{", "{"),
    ("}", "}"),
    (",", ","),
    (";", ";"),
    (":", ":"),
];

/// Refuses a text over [`MAX_TEXT`], before anything copies it.
pub(crate) fn check_length(text: &str) -> Result<(), SyntaxError> {
    if text.len() > MAX_TEXT {
        let problem = Problem::TooLong { length: text.len(), limit: MAX_TEXT };
        // The error keeps its text: keep the beginning of it only.
        let beginning: Arc<str> = text.chars().take(80).collect::<String>().into();
        return Err(SyntaxError::new(problem, Span { start: 0, end: 0 }, &beginning));
    }
    Ok(())
}

/// The tokens of a text with their places; the last is [`Token::End`].
pub(crate) fn tokens(text: &Arc<str>) -> Result<Vec<Lexeme>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0, first_of_line: true, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a Arc<str>,
    at: usize,
    /// Whether nothing but white space stands before the place in its line.
    first_of_line: bool,
    tokens: Vec<Lexeme>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, problem: Problem, start: usize, end: usize) -> SyntaxError {
        SyntaxError::new(problem, Span { start, end }, self.text)
    }

    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            if c.is_whitespace() {
                self.at += c.len_utf8();
                self.first_of_line |= c == '\n';
                continue;
            }
            if c == '#' {
                self.line();
                continue;
            }
            if self.rest().starts_with("//") {
                if !(self.first_of_line && self.rest().starts_with("///")) {
                    return Err(self.error(Problem::Slashes, start, start + 2));
                }
                let line = self.line()[3..].trim_end();
                let doc = line.strip_prefix(' ').unwrap_or(line).to_owned();
                self.push(Token::Doc(doc), start);
                continue;
            }
            let token = if c.is_ascii_digit()
                || (c == '.' && self.rest()[1..].starts_with(|d: char| d.is_ascii_digit()))
            {
                self.number()?
            } else if starts_name(c) {
                self.word()?
            } else if c == '`' {
                Token::Name(self.quoted('`', "a quoted name")?)
            } else if c == '"' {
                Token::Text(self.quoted('"', "a text")?)
            } else if let Some((written, symbol)) = SYMBOLS.iter().find(|(written, _)| self.rest().starts_with(written))
            {
                self.at += written.len();
                Token::Symbol(symbol)
            } else if let Some((written, instead)) = foreign::operator(self.rest()) {
                let problem = Problem::ForeignOperator { operator: written, instead };
                return Err(self.error(problem, start, start + written.len()));
            } else {
                return Err(self.error(Problem::Character(c), start, start + c.len_utf8()));
            };
            self.push_after_docs(token, start)?;
        }
        self.push_after_docs(Token::End, self.at)
    }

    fn push(&mut self, token: Token, start: usize) {
        let span = Span { start, end: self.at };
        self.tokens.push(Lexeme { token, span, first_of_line: std::mem::take(&mut self.first_of_line) });
    }

    /// Documentation stands before `fn` or `private fn` only.
    fn push_after_docs(&mut self, token: Token, start: usize) -> Result<(), SyntaxError> {
        let defines = token == Token::Keyword("fn") || token == Token::Name("private".to_owned());
        if !defines && let Some(Lexeme { token: Token::Doc(_), span, .. }) = self.tokens.last() {
            return Err(self.error(Problem::Slashes, span.start, span.start + 3));
        }
        self.push(token, start);
        Ok(())
    }

    /// Takes the rest of a line.
    fn line(&mut self) -> &str {
        let start = self.at;
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        &self.text[start..self.at]
    }

    fn word(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        let length = self.rest().find(|c| !continues_name(c)).unwrap_or(self.rest().len());
        self.at += length;
        let word = &self.text[start..self.at];
        if word == "nan" && self.rest().starts_with("(0x") {
            return self.nan(start);
        }
        Ok(match KEYWORDS.iter().find(|keyword| **keyword == word) {
            Some(keyword) => Token::Keyword(keyword),
            None => Token::Name(word.to_owned()),
        })
    }

    /// `nan(0x7ff8000000000001)`: the bits of a NaN.
    fn nan(&mut self, start: usize) -> Result<Token, SyntaxError> {
        let digits_start = self.at + 3;
        let digits =
            self.text[digits_start..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(self.text.len() - digits_start);
        self.at = digits_start + digits;
        let closed = self.rest().starts_with(')');
        let bits = u64::from_str_radix(&self.text[digits_start..self.at], 16).ok();
        self.at += usize::from(closed);
        match bits.map(f64::from_bits) {
            Some(value) if closed && value.is_nan() => Ok(Token::Number(value)),
            _ => Err(self.number_error(start, "nan(0x…) wants the 64 bits of a NaN")),
        }
    }

    fn quoted(&mut self, mark: char, what: &'static str) -> Result<String, SyntaxError> {
        let start = self.at;
        let mut name = String::new();
        self.at += 1;
        while let Some(c) = self.rest().chars().next() {
            self.at += c.len_utf8();
            if c == mark {
                return Ok(name);
            }
            if c != '\\' {
                name.push(c);
                continue;
            }
            match self.rest().chars().next() {
                Some('n') => name.push('\n'),
                Some(other) => name.push(other),
                None => break,
            }
            self.at += self.rest().chars().next().map_or(0, char::len_utf8);
        }
        Err(self.error(Problem::Unclosed { what, mark }, start, start + 1))
    }

    fn number_error(&self, start: usize, reason: &'static str) -> SyntaxError {
        let text: String = self.text[start..self.at].chars().take(40).collect();
        self.error(Problem::Number { text, reason }, start, self.at)
    }

    fn digits(&mut self, is_digit: fn(char) -> bool) {
        self.at += self.rest().find(|c| !is_digit(c)).unwrap_or(self.rest().len());
    }

    fn exponent(&mut self, lower: char) -> bool {
        let rest = self.rest();
        let Some(after) = rest.strip_prefix([lower, lower.to_ascii_uppercase()]) else { return false };
        let digits = after.strip_prefix(['+', '-']).unwrap_or(after);
        if !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return false;
        }
        self.at += rest.len() - digits.len();
        self.digits(|c| c.is_ascii_digit());
        true
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            return self.hex(start);
        }
        self.digits(|c| c.is_ascii_digit());
        if self.rest().starts_with('.') {
            self.at += 1;
            self.digits(|c| c.is_ascii_digit());
        }
        self.exponent('e');
        if self.rest().starts_with(starts_name) {
            self.digits(continues_name);
            return Err(self.number_error(start, "a letter follows the digits; write `*` for a product"));
        }
        match self.text[start..self.at].parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Number(value)),
            Ok(_) => Err(self.number_error(start, "it is larger than every float64; write `inf` for infinity")),
            Err(_) => Err(self.number_error(start, "it cannot be read")),
        }
    }

    /// `0x1.8p-3`: exact, or an error.
    fn hex(&mut self, start: usize) -> Result<Token, SyntaxError> {
        const INEXACT: &str = "it has more bits than a float64";
        self.at += 2;
        let whole_start = self.at;
        self.digits(|c| c.is_ascii_hexdigit());
        let mut digits = self.text[whole_start..self.at].to_owned();
        let mut exponent = 0i64;
        if self.rest().starts_with('.') {
            self.at += 1;
            let fraction_start = self.at;
            self.digits(|c| c.is_ascii_hexdigit());
            digits.push_str(&self.text[fraction_start..self.at]);
            exponent -= bits(self.at - fraction_start);
        }
        if digits.is_empty() {
            return Err(self.number_error(start, "it has no digits"));
        }
        let power_start = self.at + 1;
        if self.exponent('p') {
            let power = self.text[power_start..self.at].parse::<i64>().ok().filter(|power| power.abs() < 100_000);
            exponent += power.ok_or_else(|| self.number_error(start, "its exponent is too large"))?;
        }
        if self.rest().starts_with(starts_name) {
            self.digits(continues_name);
            return Err(self.number_error(start, "a hexadecimal number reads 0x1.8p-3"));
        }
        let significant = digits.trim_start_matches('0');
        let trimmed = significant.trim_end_matches('0');
        exponent += bits(significant.len() - trimmed.len());
        if trimmed.is_empty() {
            return Ok(Token::Number(0.0));
        }
        let mantissa = u64::from_str_radix(trimmed, 16).map_err(|_| self.number_error(start, INEXACT))?;
        exact(mantissa, exponent).map(Token::Number).ok_or_else(|| self.number_error(start, INEXACT))
    }
}

/// How many bits hexadecimal digits are, of which a text holds no more than bytes.
fn bits(digits: usize) -> i64 {
    i64::try_from(digits).map_or(i64::MAX, |digits| digits.saturating_mul(4))
}

/// mantissa · 2^exponent, if a float64 holds it.
fn exact(mantissa: u64, exponent: i64) -> Option<f64> {
    let shift = i64::from(mantissa.trailing_zeros());
    let (mantissa, exponent) = (mantissa >> shift, exponent + shift);
    let bits = i64::from(64 - mantissa.leading_zeros());
    if bits > 53 || exponent < -1074 || exponent + bits > 1024 {
        return None;
    }
    // Two steps, so that neither power leaves the range; both products are exact.
    let half = exponent / 2;
    Some(mantissa as f64 * power_of_two(half) * power_of_two(exponent - half))
}

/// 2^exponent, for a normal number.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).unwrap_or(0) << 52)
}
