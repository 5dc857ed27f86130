//! What a source file declares and which paths it names: as much of Rust as that takes.
//!
//! The text is cut into words and marks, without comments, texts and lifetimes. A walk over them follows `mod … { }`
//! inwards, so that `self` and `super` mean what they mean to the compiler, takes `use` trees apart, and collects every
//! other path. What stands behind `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};

/// The path of a module from the root of its crate: nothing for `lib.rs`.
pub type ModulePath = Vec<String>;

/// A module, of a file of its own or inside one.
#[derive(Debug, Default)]
pub struct Module {
    /// Items that are written here.
    pub items: BTreeSet<String>,
    /// Names that a `use` brings here, and the paths they stand for.
    pub names: BTreeMap<String, Vec<Vec<String>>>,
    /// The paths of `use …::*`.
    pub globs: Vec<Vec<String>>,
}

/// A path that code names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// The module in which it stands.
    pub module: ModulePath,
    /// Its segments, `crate`, `self` and `super` included.
    pub segments: Vec<String>,
    /// Whether it is a `use` of everything below it.
    pub glob: bool,
    /// Its line.
    pub line: usize,
}

/// What one file holds.
#[derive(Debug, Default)]
pub struct Source {
    /// Its module, and those inside it.
    pub modules: BTreeMap<ModulePath, Module>,
    /// The paths it names.
    pub named: Vec<Named>,
    /// Modules in files of their own that are there for tests only.
    pub test_modules: Vec<ModulePath>,
}

struct Token {
    text: String,
    line: usize,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphanumeric())
}

/// Words, `::`, and marks of one character. A text in quotes is the mark `"`.
fn tokens(text: &str) -> Vec<Token> {
    let letters: Vec<char> = text.chars().collect();
    let at = |index: usize| letters.get(index).copied().unwrap_or('\0');
    let starts = |index: usize, what: &str| what.chars().enumerate().all(|(offset, c)| at(index + offset) == c);
    let (mut tokens, mut index, mut line) = (Vec::new(), 0, 1);
    while index < letters.len() {
        let (begin, first_line) = (index, line);
        let c = at(index);
        if c.is_whitespace() {
            index += 1;
        } else if starts(index, "//") {
            while index < letters.len() && at(index) != '\n' {
                index += 1;
            }
        } else if starts(index, "/*") {
            let mut depth = 0;
            loop {
                depth += usize::from(starts(index, "/*"));
                depth -= usize::from(starts(index, "*/"));
                index += if starts(index, "/*") || starts(index, "*/") { 2 } else { 1 };
                if depth == 0 || index >= letters.len() {
                    break;
                }
            }
        } else if c == '"' {
            index += 1;
            while index < letters.len() && at(index) != '"' {
                index += if at(index) == '\\' { 2 } else { 1 };
            }
            index += 1;
            tokens.push(Token { text: "\"".to_owned(), line });
        } else if c == '\'' {
            if at(index + 1) == '\\' {
                index += 3;
                while index < letters.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            } else if at(index + 2) == '\'' {
                index += 3;
            } else {
                // A lifetime or a label.
                index += 1;
                while at(index) == '_' || at(index).is_alphanumeric() {
                    index += 1;
                }
            }
        } else if is_word(&c.to_string()) {
            while at(index) == '_' || at(index).is_alphanumeric() {
                index += 1;
            }
            let mut word: String = letters[begin..index].iter().collect();
            let hashes = letters[index..].iter().take_while(|c| **c == '#').count();
            if matches!(word.as_str(), "r" | "br" | "cr") && at(index + hashes) == '"' {
                let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                index += hashes + 1;
                while index < letters.len() && !starts(index, &end) {
                    index += 1;
                }
                index += end.len();
                word = "\"".to_owned();
            } else if word == "r" && hashes == 1 {
                index += 1;
                continue;
            }
            tokens.push(Token { text: word, line });
        } else if starts(index, "::") {
            index += 2;
            tokens.push(Token { text: "::".to_owned(), line });
        } else {
            index += 1;
            tokens.push(Token { text: c.to_string(), line });
        }
        line = first_line + letters[begin..index.min(letters.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

/// What a file of this module holds.
pub fn read(module: ModulePath, text: &str) -> Source {
    let mut reader =
        Reader { tokens: tokens(text), at: 0, source: Source::default(), module, depth: 0, inside: vec![] };
    reader.source.modules.entry(reader.module.clone()).or_default();
    reader.walk();
    reader.source
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    source: Source,
    /// The module that is being read.
    module: ModulePath,
    /// How many braces are open.
    depth: usize,
    /// For each module inside the file that is open, how many braces were open before its own.
    inside: Vec<usize>,
}

impl Reader {
    fn text(&self, offset: usize) -> &str {
        self.tokens.get(self.at + offset).map_or("", |token| token.text.as_str())
    }

    fn here(&mut self) -> &mut Module {
        self.source.modules.entry(self.module.clone()).or_default()
    }

    fn walk(&mut self) {
        while self.at < self.tokens.len() {
            match self.text(0) {
                "#" if self.text(1) == "[" && self.only_for_tests() => self.skip_item(),
                "{" => {
                    self.depth += 1;
                    self.at += 1;
                }
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.inside.last() == Some(&self.depth) {
                        self.inside.pop();
                        self.module.pop();
                    }
                    self.at += 1;
                }
                // `pub(in crate::module)` names who may see an item, not what it uses.
                "pub" if self.text(1) == "(" => self.at = self.closing(self.at + 1) + 1,
                "mod" if self.text(2) == "{" => {
                    self.module.push(self.text(1).to_owned());
                    self.here();
                    self.inside.push(self.depth);
                    self.depth += 1;
                    self.at += 3;
                }
                "use" if is_word(self.text(1)) || self.text(1) == "::" => {
                    self.at += 1;
                    self.use_tree(Vec::new());
                }
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
                    if self.depth == self.inside.last().map_or(0, |depth| depth + 1) && is_word(self.text(1)) =>
                {
                    let name = self.text(1).to_owned();
                    self.here().items.insert(name);
                    self.at += 1;
                }
                "macro_rules" if self.text(1) == "!" => {
                    let name = self.text(2).to_owned();
                    self.here().items.insert(name);
                    self.at += 3;
                }
                word if is_word(word) => self.path(),
                _ => self.at += 1,
            }
        }
    }

    /// The place of what closes the bracket at a place.
    fn closing(&self, open: usize) -> usize {
        let mut depth = 0usize;
        for (place, token) in self.tokens.iter().enumerate().skip(open) {
            match token.text.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return place;
            }
        }
        self.tokens.len()
    }

    /// Whether the attribute at hand is `#[cfg(test)]` or `#[cfg(all(test, …))]`.
    fn only_for_tests(&self) -> bool {
        let words: Vec<&str> = (2..8).map(|offset| self.text(offset)).collect();
        words.starts_with(&["cfg", "(", "test", ")"]) || words.starts_with(&["cfg", "(", "all", "(", "test"])
    }

    /// Goes past the attributes at hand and the item behind them.
    fn skip_item(&mut self) {
        while self.text(0) == "#" {
            self.at = self.closing(self.at + 1) + 1;
        }
        while self.at < self.tokens.len() {
            match self.text(0) {
                "mod" if self.text(2) == ";" => {
                    let mut module = self.module.clone();
                    module.push(self.text(1).to_owned());
                    self.source.test_modules.push(module);
                    self.at += 3;
                    return;
                }
                ";" => {
                    self.at += 1;
                    return;
                }
                "{" => {
                    self.at = self.closing(self.at) + 1;
                    return;
                }
                "(" | "[" => self.at = self.closing(self.at) + 1,
                _ => self.at += 1,
            }
        }
    }

    /// A word, and what follows it if it begins a path.
    fn path(&mut self) {
        let follows = self.at > 0 && matches!(self.tokens[self.at - 1].text.as_str(), "::" | ".");
        let line = self.tokens[self.at].line;
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && is_word(self.text(1)) {
            segments.push(self.text(1).to_owned());
            self.at += 2;
        }
        if segments.len() > 1 && !follows {
            let module = self.module.clone();
            self.source.named.push(Named { module, segments, glob: false, line });
        }
    }

    /// A `use` tree below a prefix, up to the `;`, `,` or `}` behind it.
    fn use_tree(&mut self, mut path: Vec<String>) {
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.use_tree(path.clone());
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    self.here().globs.push(path.clone());
                    self.name(path, true);
                    return;
                }
                word if is_word(word) && word != "as" => {
                    path.push(word.to_owned());
                    self.at += 1;
                }
                _ => break,
            }
        }
        // `{self, …}` is the module itself.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if self.text(0) == "as" {
            name = self.text(1).to_owned();
            self.at += 2;
        }
        self.here().names.entry(name).or_default().push(path.clone());
        self.name(path, false);
    }

    fn name(&mut self, segments: Vec<String>, glob: bool) {
        let line = self.tokens[self.at.min(self.tokens.len()) - 1].line;
        self.source.named.push(Named { module: self.module.clone(), segments, glob, line });
    }
}
