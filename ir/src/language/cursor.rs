//! The parser's place among the tokens, and what it takes from there.

use super::ast::Tree;
use super::lexer::{self, Lexeme, Token};
use crate::error::{Problem, Span, SyntaxError};
use std::sync::Arc;

/// Tokens and the place among them, with the tree that grows from them.
pub(super) struct Parser {
    pub text: Arc<str>,
    pub tokens: Vec<Lexeme>,
    pub at: usize,
    pub depth: usize,
    /// Whether an expression ends with its line: in a definition, outside of brackets.
    pub ends_with_line: bool,
    pub tree: Tree,
}

pub(super) type Parsed<T> = Result<T, SyntaxError>;

impl Parser {
    pub(super) fn new(text: &str) -> Parsed<Parser> {
        lexer::check_length(text)?;
        let text: Arc<str> = text.into();
        let tokens = lexer::tokens(&text)?;
        Ok(Parser { text, tokens, at: 0, depth: 0, ends_with_line: false, tree: Tree::default() })
    }

    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at].token
    }

    pub(super) fn peek_second(&self) -> &Token {
        self.token(1)
    }

    /// The token so many places on.
    pub(super) fn token(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].token
    }

    /// Whether the token at hand begins a line in a place where expressions end with their lines.
    pub(super) fn at_new_line(&self) -> bool {
        self.ends_with_line && self.tokens[self.at].first_of_line
    }

    /// Reads something in which lines matter, or do not.
    pub(super) fn with_lines<T>(&mut self, matter: bool, read: impl FnOnce(&mut Parser) -> Parsed<T>) -> Parsed<T> {
        let outside = std::mem::replace(&mut self.ends_with_line, matter);
        let result = read(self);
        self.ends_with_line = outside;
        result
    }

    pub(super) fn span(&self) -> Span {
        self.tokens[self.at].span
    }

    pub(super) fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].span
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.tokens[self.at].token.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(text) | Token::Keyword(text) if *text == symbol);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name == word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn fail<T>(&self, problem: Problem, span: Span) -> Parsed<T> {
        Err(SyntaxError::new(problem, span, &self.text))
    }

    /// Refuses one more where there are `count` already.
    pub(super) fn bounded(&self, count: usize, limit: usize, what: &'static str) -> Parsed<()> {
        if count < limit { Ok(()) } else { self.fail(Problem::TooMany { what, limit }, self.span()) }
    }

    pub(super) fn expected(&self, what: &str) -> SyntaxError {
        let problem = Problem::Expected { expected: what.to_owned(), found: self.peek().describe() };
        SyntaxError::new(problem, self.span(), &self.text)
    }

    pub(super) fn expect(&mut self, symbol: &'static str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    pub(super) fn name(&mut self, what: &str) -> Parsed<(String, Span)> {
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                let span = self.span();
                self.next();
                Ok((name, span))
            }
            _ => Err(self.expected(what)),
        }
    }
}
