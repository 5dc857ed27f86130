//! Python literals, as far as headers hold them: dictionaries, tuples, lists, strings, whole numbers, `True`, `False`, `None`.
//!
//! With everything that Python allows around them (any white space, comments, trailing commas, either quotes, prefixes of
//! strings, `_` in numbers, other bases) and the `L` at the end of Python 2's long numbers.

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Dictionary(Vec<(Literal, Literal)>),
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    Text(String),
    Whole(i128),
    Bool(bool),
    None,
}

/// The deepest nesting: a header needs three.
const DEEPEST: usize = 16;

/// The literal a text is, or what is wrong with it.
pub fn parse(text: &str) -> Result<Literal, String> {
    let mut parser = Parser { rest: text, depth: 0 };
    let literal = parser.literal()?;
    parser.skip();
    if parser.rest.is_empty() { Ok(literal) } else { Err(parser.unexpected("the end of the header")) }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
}

impl Parser<'_> {
    /// White space, comments and continued lines.
    fn skip(&mut self) {
        loop {
            let text = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c', '\\']);
            match text.strip_prefix('#') {
                Some(comment) => self.rest = comment.find('\n').map_or("", |end| &comment[end..]),
                None => {
                    self.rest = text;
                    return;
                }
            }
        }
    }

    fn take(&mut self, sign: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(sign) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn unexpected(&self, expected: &str) -> String {
        match self.rest.chars().next() {
            Some(found) => format!("its header has {found:?} where {expected} is expected"),
            None => format!("its header ends where {expected} is expected"),
        }
    }

    fn literal(&mut self) -> Result<Literal, String> {
        if self.depth == DEEPEST {
            return Err("its header is nested too deep".to_owned());
        }
        self.depth += 1;
        let literal = self.shallow();
        self.depth -= 1;
        literal
    }

    fn shallow(&mut self) -> Result<Literal, String> {
        if self.take('{') {
            let mut entries = Vec::new();
            while !self.take('}') {
                let key = self.literal()?;
                if !self.take(':') {
                    return Err(self.unexpected("`:`"));
                }
                entries.push((key, self.literal()?));
                if !self.take(',') && !self.rest.starts_with('}') {
                    return Err(self.unexpected("`,` or `}`"));
                }
            }
            return Ok(Literal::Dictionary(entries));
        }
        if self.take('(') {
            let (mut items, comma) = self.items(')')?;
            // Parentheses around one thing are no tuple.
            return Ok(if items.len() == 1 && !comma { items.remove(0) } else { Literal::Tuple(items) });
        }
        if self.take('[') {
            return Ok(Literal::List(self.items(']')?.0));
        }
        if let Some(text) = self.text()? {
            let mut whole = text;
            // Strings side by side are one.
            while let Some(more) = self.text()? {
                whole.push_str(&more);
            }
            return Ok(Literal::Text(whole));
        }
        let word = self.rest.find(|sign: char| !sign.is_ascii_alphanumeric() && !"_+-.".contains(sign));
        let (word, rest) = self.rest.split_at(word.unwrap_or(self.rest.len()));
        let literal = match word {
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            "None" => Literal::None,
            _ => match whole(word) {
                Some(number) => Literal::Whole(number),
                None => return Err(self.unexpected("a Python literal")),
            },
        };
        self.rest = rest;
        Ok(literal)
    }

    /// The items up to a bracket, and whether a comma followed the last.
    fn items(&mut self, end: char) -> Result<(Vec<Literal>, bool), String> {
        let (mut items, mut comma) = (Vec::new(), false);
        while !self.take(end) {
            items.push(self.literal()?);
            comma = self.take(',');
            if !comma && !self.rest.starts_with(end) {
                return Err(self.unexpected("`,` or the end of a list"));
            }
        }
        Ok((items, comma))
    }

    /// A string, if one follows.
    fn text(&mut self) -> Result<Option<String>, String> {
        self.skip();
        let prefix = self.rest.find(['\'', '"']).filter(|length| *length <= 2);
        let Some(prefix) = prefix.filter(|length| self.rest[..*length].chars().all(|sign| "bBuUrR".contains(sign)))
        else {
            return Ok(None);
        };
        let raw = self.rest[..prefix].contains(['r', 'R']);
        let body = &self.rest[prefix..];
        let single = &body[..1];
        let triple = single.repeat(3);
        let quote = if body.starts_with(&triple) { triple.as_str() } else { single };
        let mut text = String::new();
        let mut rest = &body[quote.len()..];
        loop {
            if let Some(after) = rest.strip_prefix(quote) {
                self.rest = after;
                return Ok(Some(text));
            }
            let mut signs = rest.chars();
            match signs.next() {
                None => return Err("its header ends within a string".to_owned()),
                Some('\\') if !raw => match signs.next() {
                    Some(sign @ ('\\' | '\'' | '"')) => text.push(sign),
                    Some('\n') => {}
                    Some('x') => {
                        let code = signs.as_str().get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                        text.push(code.map(char::from).ok_or("its header has a string with a broken escape")?);
                        signs = signs.as_str()[2..].chars();
                    }
                    // Nothing in a header needs another.
                    _ => return Err("its header has a string with an escape".to_owned()),
                },
                Some(sign) => text.push(sign),
            }
            rest = signs.as_str();
        }
    }
}

/// A whole number as Python writes it, with a sign, in any base, with the `L` of Python 2.
fn whole(word: &str) -> Option<i128> {
    let word = word.strip_suffix(['L', 'l']).unwrap_or(word);
    let (sign, digits) = match word.strip_prefix(['-', '+']) {
        Some(digits) => (if word.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, word),
    };
    let (base, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ => (10, digits),
    };
    let digits = digits.replace('_', "");
    // A second sign would pass for the number's.
    if !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    i128::from_str_radix(&digits, base).ok().map(|number| sign * number)
}
