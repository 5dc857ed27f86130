//! Tokens to a tree: a Pratt parser for expressions, plain descent for definitions.
//!
//! Left-associative chains grow in a loop; whatever recurses counts its depth against [`MAX_DEPTH`].

use super::ast::{
    ArgumentAst, Ast, AstId, DefinitionAst, DerivativeAst, Infix, ParameterAst, ProgramAst, RequirementAst, Tree,
};
use super::lexer::{self, Token};
use super::limits::{MAX_AXES, MAX_DEPTH, MAX_PARAMETERS};
use crate::error::{Problem, Span, SyntaxError};
use crate::graph::Graph;
use crate::library::ParameterType;
use crate::nearest::nearest;
use crate::value::Value;
use std::sync::Arc;

/// Binding powers. An operator binds what stands left of it if its power is above the one asked for.
mod power {
    pub const PIPE: u8 = 1;
    pub const OR: u8 = 2;
    pub const AND: u8 = 3;
    pub const NOT: u8 = 4;
    pub const COMPARISON: u8 = 5;
    pub const SUM: u8 = 6;
    pub const PRODUCT: u8 = 7;
    pub const NEGATION: u8 = 8;
    pub const POWER: u8 = 9;
}

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

struct Parser {
    text: Arc<str>,
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
    tree: Tree,
}

type Parsed<T> = Result<T, SyntaxError>;

impl Parser {
    fn new(text: &str) -> Parsed<Parser> {
        lexer::check_length(text)?;
        let text: Arc<str> = text.into();
        let tokens = lexer::tokens(&text)?;
        Ok(Parser { text, tokens, at: 0, depth: 0, tree: Tree::default() })
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn peek_second(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].1
    }

    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].0.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(text) | Token::Keyword(text) if *text == symbol);
        if found {
            self.next();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name == word);
        if found {
            self.next();
        }
        found
    }

    fn fail<T>(&self, problem: Problem, span: Span) -> Parsed<T> {
        Err(SyntaxError::new(problem, span, &self.text))
    }

    /// Refuses one more where there are `count` already.
    fn bounded(&self, count: usize, limit: usize, what: &'static str) -> Parsed<()> {
        if count < limit { Ok(()) } else { self.fail(Problem::TooMany { what, limit }, self.span()) }
    }

    fn expected(&self, what: &str) -> SyntaxError {
        let problem = Problem::Expected { expected: what.to_owned(), found: self.peek().describe() };
        SyntaxError::new(problem, self.span(), &self.text)
    }

    fn expect(&mut self, symbol: &'static str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    fn name(&mut self, what: &str) -> Parsed<(String, Span)> {
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

    /// Whether the `{` at hand closes at the very end.
    fn outermost_braces(&self) -> bool {
        let mut depth = 0usize;
        for (index, (token, _)) in self.tokens.iter().enumerate().skip(self.at) {
            match token {
                Token::Symbol("{") => depth += 1,
                Token::Symbol("}") => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return self.tokens[index + 1].0 == Token::End;
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

    fn lets(&mut self) -> Parsed<Vec<(String, AstId)>> {
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

    /// An expression whose operators all bind tighter than `minimum`.
    fn expression(&mut self, minimum: u8) -> Parsed<AstId> {
        if self.depth == MAX_DEPTH {
            return self.fail(Problem::TooDeep { limit: MAX_DEPTH }, self.span());
        }
        self.depth += 1;
        let result = self.prefix().and_then(|left| self.operators(left, minimum));
        self.depth -= 1;
        result
    }

    /// Continues `left` with every operator that binds tighter than `minimum`.
    fn operators(&mut self, mut left: AstId, minimum: u8) -> Parsed<AstId> {
        loop {
            if self.peek() == &Token::Symbol("|>") {
                if minimum >= power::PIPE {
                    return Ok(left);
                }
                self.next();
                left = self.segment(left)?;
                continue;
            }
            let Some((operator, binding)) = infix(self.peek()) else { return Ok(left) };
            if binding <= minimum {
                return Ok(left);
            }
            self.next();
            // To the right: `a ^ b ^ c` is `a ^ (b ^ c)`.
            let right = self.expression(if operator == Infix::Power { binding - 1 } else { binding })?;
            if binding == power::COMPARISON && infix(self.peek()).is_some_and(|(_, next)| next == power::COMPARISON) {
                return self.fail(Problem::ChainedComparison, self.span());
            }
            let span = self.tree.span(left).to(self.tree.span(right));
            left = self.tree.add(Ast::Infix { operator, left, right }, span);
        }
    }

    /// What follows a `|>`.
    fn segment(&mut self, left: AstId) -> Parsed<AstId> {
        if infix(self.peek()).is_some() {
            return self.operators(left, power::PIPE);
        }
        let (name, name_span) = self.name("a function or an operator")?;
        let mut arguments = vec![ArgumentAst { name: None, value: left }];
        if self.take("(") {
            self.arguments(&mut arguments)?;
        }
        if infix(self.peek()).is_some() {
            return self.fail(Problem::PipeSegment, self.span());
        }
        let span = self.tree.span(left).to(self.last_span());
        Ok(self.tree.add(Ast::Call { name, name_span, arguments, piped: true }, span))
    }

    fn arguments(&mut self, arguments: &mut Vec<ArgumentAst>) -> Parsed<()> {
        while !self.take(")") {
            let named = matches!(self.peek(), Token::Name(_)) && self.peek_second() == &Token::Symbol("=");
            let name = if named {
                let name = self.name("a parameter")?;
                self.expect("=")?;
                Some(name)
            } else {
                None
            };
            arguments.push(ArgumentAst { name, value: self.expression(0)? });
            if !self.take(",") && self.peek() != &Token::Symbol(")") {
                return Err(self.expected("`,` or `)`"));
            }
        }
        Ok(())
    }

    fn prefix(&mut self) -> Parsed<AstId> {
        let start = self.span();
        let node = match self.next() {
            Token::Number(value) => Ast::Number(value),
            Token::Keyword("inf") => Ast::Number(f64::INFINITY),
            Token::Keyword("nan") => Ast::Number(f64::NAN),
            Token::Keyword("true") => Ast::Truth(true),
            Token::Keyword("false") => Ast::Truth(false),
            Token::Keyword("none") => Ast::None,
            Token::Keyword("not") => Ast::Not(self.expression(power::NOT)?),
            Token::Keyword("if") => {
                let condition = self.expression(power::PIPE)?;
                self.expect("then")?;
                let then = self.expression(power::PIPE)?;
                self.expect("else")?;
                Ast::If { condition, then, otherwise: self.expression(power::PIPE)? }
            }
            Token::Symbol("-") => Ast::Negate(self.expression(power::NEGATION - 1)?),
            Token::Symbol("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => self.list()?,
            Token::Symbol("{") => {
                let lets = self.lets()?;
                if matches!(self.peek(), Token::Name(_)) && self.peek_second() == &Token::Symbol("=") {
                    return self.fail(Problem::NestedOutputs, self.span());
                }
                let result = self.expression(0)?;
                self.expect("}")?;
                Ast::Block { lets, result }
            }
            Token::Name(name) if self.peek() == &Token::Symbol("(") => {
                self.next();
                let mut arguments = Vec::new();
                self.arguments(&mut arguments)?;
                Ast::Call { name, name_span: start, arguments, piped: false }
            }
            Token::Name(name) => Ast::Name(name),
            other => {
                let problem = Problem::Expected { expected: "an expression".to_owned(), found: other.describe() };
                return self.fail(problem, start);
            }
        };
        Ok(self.tree.add(node, start.to(self.last_span())))
    }

    /// The rest of `[1, -2]`.
    fn list(&mut self) -> Parsed<Ast> {
        let mut items = Vec::new();
        while !self.take("]") {
            let start = self.span();
            self.bounded(items.len(), MAX_AXES, "axes in a list")?;
            let sign = if self.take("-") { "-" } else { "" };
            let place = self.span();
            // From the text: an axis may need all bits of an i64.
            let item = format!("{sign}{}", &self.text[place.start..place.end]).parse::<i64>();
            match (self.peek(), item) {
                (Token::Number(_), Ok(item)) => items.push(item),
                _ => {
                    return self.fail(
                        Problem::Expected { expected: "an integer".to_owned(), found: self.peek().describe() },
                        start.to(place),
                    );
                }
            }
            self.next();
            if !self.take(",") && self.peek() != &Token::Symbol("]") {
                return Err(self.expected("`,` or `]`"));
            }
        }
        Ok(Ast::List(items))
    }

    fn definitions(&mut self) -> Parsed<Vec<DefinitionAst>> {
        let mut definitions = Vec::new();
        loop {
            let start = self.span();
            let mut docs = Vec::new();
            while let Token::Doc(line) = self.peek() {
                docs.push(line.clone());
                self.next();
            }
            let private = self.peek_second() == &Token::Keyword("fn") && self.take_word("private");
            if !self.take("fn") {
                if docs.is_empty() {
                    return Ok(definitions);
                }
                return Err(self.expected("`fn`"));
            }
            definitions.push(self.definition(start, docs.join("\n"), private)?);
        }
    }

    fn definition(&mut self, start: Span, docs: String, private: bool) -> Parsed<DefinitionAst> {
        let first_node = self.tree.len();
        let (name, name_span) = self.name("the name of the function")?;
        self.expect("(")?;
        let mut tensors = Vec::new();
        let mut parameters: Vec<ParameterAst> = Vec::new();
        while !self.take(")") {
            self.bounded(tensors.len(), MAX_PARAMETERS, "tensors of a function")?;
            self.bounded(parameters.len(), MAX_PARAMETERS, "parameters of a function")?;
            let (name, span) = self.name("a parameter")?;
            if tensors.iter().any(|(known, _)| *known == name) || parameters.iter().any(|known| known.name == name) {
                return self.fail(Problem::RepeatedName { name, what: "parameters" }, span);
            }
            if matches!(self.peek(), Token::Symbol(":" | "=")) {
                parameters.push(self.parameter(name)?);
            } else if parameters.is_empty() {
                tensors.push((name, span));
            } else {
                let problem = Problem::Definition(format!(
                    "the tensor `{name}` follows a parameter; tensors come first, parameters have a default"
                ));
                return self.fail(problem, span);
            }
            if !self.take(",") && self.peek() != &Token::Symbol(")") {
                return Err(self.expected("`,` or `)`"));
            }
        }
        self.expect("=")?;
        let definition = self.expression(0)?;
        let mut ast = DefinitionAst {
            docs,
            private,
            name,
            name_span,
            tensors,
            parameters,
            definition,
            form: None,
            derivative: None,
            aliases: Vec::new(),
            requirements: Vec::new(),
            parameter_aliases: Vec::new(),
            alternative: Vec::new(),
            span: start,
            nodes: 0..0,
        };
        while self.clause(&mut ast)? {}
        ast.span = start.to(self.last_span());
        ast.nodes = first_node..self.tree.len();
        Ok(ast)
    }

    fn parameter(&mut self, name: String) -> Parsed<ParameterAst> {
        let ty = if self.take(":") {
            let (ty, ty_span) = self.name("a type: number, boolean, axis or axes")?;
            match ty.parse::<ParameterType>().ok() {
                Some(ty) => Some(ty),
                None => {
                    let problem = Problem::Expected {
                        expected: "a type: number, boolean, axis or axes".to_owned(),
                        found: format!("`{ty}`"),
                    };
                    return self.fail(problem, ty_span);
                }
            }
        } else {
            None
        };
        self.expect("=")?;
        let default_span = self.span();
        let negative = self.take("-");
        let default = match (self.next(), negative) {
            (Token::Number(value), false) => Value::Number(value),
            (Token::Number(value), true) => Value::Number(-value),
            (Token::Keyword("true"), false) => Value::Boolean(true),
            (Token::Keyword("false"), false) => Value::Boolean(false),
            (Token::Keyword("none"), false) => Value::None,
            (Token::Symbol("["), false) => match self.list()? {
                Ast::List(items) => Value::Axes(items),
                _ => Value::None,
            },
            (other, _) => {
                let problem = Problem::Expected {
                    expected: "a default: a number, true, false, none or a list of axes".to_owned(),
                    found: other.describe(),
                };
                return self.fail(problem, default_span);
            }
        };
        let ty = ty.unwrap_or_else(|| ParameterType::of_default(&default));
        if let Err(wrong) = ty.check(&default) {
            return self.fail(
                Problem::Type {
                    place: format!("the default of `{name}`"),
                    expected: wrong,
                    found: default.to_string(),
                },
                default_span,
            );
        }
        Ok(ParameterAst { name, ty, default })
    }

    fn clause(&mut self, ast: &mut DefinitionAst) -> Parsed<bool> {
        let start = self.span();
        if self.peek() == &Token::Name("alternative".to_owned()) {
            self.next();
            self.expect("(")?;
            while !self.take(")") {
                self.bounded(ast.parameters.len(), MAX_PARAMETERS, "parameters of a function")?;
                let (name, span) = self.name("a parameter")?;
                if ast.tensors.iter().any(|(known, _)| *known == name)
                    || ast.parameters.iter().any(|known| known.name == name)
                {
                    return self.fail(Problem::RepeatedName { name, what: "parameters" }, span);
                }
                ast.parameters.push(ParameterAst {
                    name: name.clone(),
                    ty: ParameterType::OptionalNumber,
                    default: Value::None,
                });
                ast.alternative.push((name, span));
                if !self.take(",") && self.peek() != &Token::Symbol(")") {
                    return Err(self.expected("`,` or `)`"));
                }
            }
            return Ok(true);
        }
        let Token::Name(word) = self.peek() else { return Ok(false) };
        match word.as_str() {
            "via" => {
                self.next();
                if ast.form.is_some() {
                    return self.fail(Problem::Definition(format!("`{}` has two forms", ast.name)), start);
                }
                ast.form = Some(self.expression(0)?);
            }
            "derivative" => {
                self.next();
                let cotangent = match (self.peek(), self.tokens.get(self.at + 1), self.tokens.get(self.at + 2)) {
                    (Token::Symbol("("), Some((Token::Name(name), _)), Some((Token::Symbol(")"), _))) => {
                        Some(name.clone())
                    }
                    _ => None,
                };
                if cotangent.is_some() {
                    self.at += 3;
                }
                ast.derivative = Some(DerivativeAst { cotangent, body: self.expression(0)? });
            }
            "alias" => {
                self.next();
                loop {
                    ast.aliases.push(self.name("another name of the function")?);
                    if !self.take(",") {
                        break;
                    }
                }
            }
            "require" => {
                self.bounded(ast.requirements.len(), MAX_PARAMETERS, "requirements of a function")?;
                self.next();
                let condition = self.expression(0)?;
                self.expect(":")?;
                let Token::Text(message) = self.peek().clone() else {
                    return Err(self.expected("a message in quotes"));
                };
                self.next();
                ast.requirements.push(RequirementAst { condition, message });
            }
            "parameter_alias" => {
                self.bounded(ast.parameter_aliases.len(), MAX_PARAMETERS, "other names of parameters")?;
                self.next();
                let (alias, span) = self.name("another name of a parameter")?;
                self.expect("=")?;
                let (target, target_span) = self.name("a parameter")?;
                if !ast.parameters.iter().any(|known| known.name == target) {
                    let nearest = nearest(&target, ast.parameters.iter().map(|known| known.name.as_str()));
                    return self.fail(
                        Problem::UnknownParameter { function: ast.name.clone(), name: target, nearest },
                        target_span,
                    );
                }
                ast.parameter_aliases.push((alias, target, span));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn infix(token: &Token) -> Option<(Infix, u8)> {
    let (Token::Symbol(text) | Token::Keyword(text)) = token else { return None };
    Some(match *text {
        "or" => (Infix::Or, power::OR),
        "and" => (Infix::And, power::AND),
        "<" => (Infix::Less, power::COMPARISON),
        "<=" => (Infix::LessEqual, power::COMPARISON),
        ">" => (Infix::Greater, power::COMPARISON),
        ">=" => (Infix::GreaterEqual, power::COMPARISON),
        "==" => (Infix::Equal, power::COMPARISON),
        "!=" => (Infix::NotEqual, power::COMPARISON),
        "+" => (Infix::Add, power::SUM),
        "-" => (Infix::Subtract, power::SUM),
        "*" => (Infix::Multiply, power::PRODUCT),
        "/" => (Infix::Divide, power::PRODUCT),
        "^" => (Infix::Power, power::POWER),
        _ => return None,
    })
}
