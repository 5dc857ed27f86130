//! Tokens to trees: whole texts.

use super::ast::{AstId, DefinitionAst, ProgramAst, Tree};
use super::cursor::{Parsed, Parser};
use super::lexer::{Lexeme, Token};
use crate::error::{Problem, SyntaxError};
use crate::graph::Graph;
use std::sync::Arc;

/// A parsed text: what errors point into, and the arena of its trees.
#[derive(Debug)]
pub(crate) struct Source {
    pub text: Arc<str>,
    pub tree: Tree,
}

/// A text of definitions only.
pub(crate) fn definitions(text: &str) -> Result<(Source, Vec<DefinitionAst>), SyntaxError> {
    let mut parser = Parser::new(text)?;
    let definitions = parser.definitions()?;
    if parser.peek() != &Token::End {
        return Err(parser.expected("`fn`"));
    }
    Ok((Source { text: parser.text, tree: parser.tree }, definitions))
}

/// A text of definitions and an expression.
pub(crate) fn program(text: &str) -> Result<(Source, ProgramAst), SyntaxError> {
    let mut parser = Parser::new(text)?;
    let definitions = parser.definitions()?;
    // Braces around the whole text are the same as none; `{ … } + 1` is an expression that begins with a block.
    let braced = parser.peek() == &Token::Symbol("{") && parser.outermost_braces();
    if braced {
        parser.next();
    }
    let inputs = parser.inputs()?;
    let lets = parser.lets()?;
    let outputs = parser.outputs()?;
    if braced {
        parser.expect("}")?;
    }
    if parser.peek() != &Token::End {
        return Err(parser.expected("an operator or the end"));
    }
    let program = ProgramAst { definitions, inputs, lets, outputs };
    Ok((Source { text: parser.text, tree: parser.tree }, program))
}

impl Parser {
    /// Whether the `{` at hand closes at the very end.
    fn outermost_braces(&self) -> bool {
        let mut depth = 0usize;
        for (index, Lexeme { token, .. }) in self.tokens.iter().enumerate().skip(self.at) {
            match token {
                Token::Symbol("{") => depth += 1,
                Token::Symbol("}") => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return self.tokens[index + 1].token == Token::End;
            }
        }
        true
    }

    /// `input x, y;`: inputs in an order of their own, or inputs that nothing reads.
    fn inputs(&mut self) -> Parsed<Vec<String>> {
        let mut inputs: Vec<String> = Vec::new();
        if self.peek() != &Token::Name("input".to_owned()) || !matches!(self.peek_second(), Token::Name(_)) {
            return Ok(inputs);
        }
        let mut names = rustc_hash::FxHashSet::default();
        self.next();
        loop {
            let (name, span) = self.name("the name of an input")?;
            if !names.insert(name.clone()) {
                return self.fail(Problem::RepeatedName { name, what: "inputs" }, span);
            }
            inputs.push(name);
            if !self.take(",") {
                self.expect(";")?;
                return Ok(inputs);
            }
        }
    }

    pub(super) fn lets(&mut self) -> Parsed<Vec<(String, AstId)>> {
        let mut lets = Vec::new();
        while self.take("let") {
            let (name, _) = self.name("a name")?;
            self.expect("=")?;
            let value = self.expression(0)?;
            self.expect(";")?;
            lets.push((name, value));
        }
        Ok(lets)
    }

    fn outputs(&mut self) -> Parsed<Vec<(String, AstId)>> {
        let named = matches!(self.peek(), Token::Name(_)) && self.peek_second() == &Token::Symbol("=");
        if !named {
            return Ok(vec![(Graph::DEFAULT_OUTPUT.to_owned(), self.expression(0)?)]);
        }
        let mut outputs: Vec<(String, AstId)> = Vec::new();
        let mut names = rustc_hash::FxHashSet::default();
        loop {
            let (name, span) = self.name("the name of an output")?;
            if !names.insert(name.clone()) {
                return self.fail(Problem::RepeatedName { name, what: "outputs" }, span);
            }
            self.expect("=")?;
            outputs.push((name, self.expression(0)?));
            let more = self.take(",");
            if !more || matches!(self.peek(), Token::Symbol("}") | Token::End) {
                return Ok(outputs);
            }
        }
    }
}
