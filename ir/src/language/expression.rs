//! Expressions: a Pratt parser.
//!
//! Left-associative chains and `else if` grow in loops; whatever recurses counts its depth against [`MAX_DEPTH`].
//!
//! In a definition an expression ends with its line, unless something in it is still open: a bracket, an operator without its right
//! side, an `if` without its `else`. The next line goes on with it only if it begins with what can begin nothing else: `|>`,
//! `*`, `and`, `else`, … but not `-`, `+` or `(`.

use super::ast::{ArgumentAst, Ast, AstId, Infix};
use super::cursor::{Parsed, Parser};
use super::lexer::Token;
use super::limits::{MAX_AXES, MAX_DEPTH};
use super::power;
use crate::error::{Problem, Span};

impl Parser {
    /// An expression whose operators all bind tighter than `minimum`.
    pub(super) fn expression(&mut self, minimum: u8) -> Parsed<AstId> {
        if self.depth == MAX_DEPTH {
            return self.fail(Problem::TooDeep { limit: MAX_DEPTH }, self.span());
        }
        self.depth += 1;
        let result = self.prefix().and_then(|left| self.operators(left, minimum, false));
        self.depth -= 1;
        result
    }

    /// The operator at hand, if it continues the expression before it.
    fn continuation(&self) -> Option<(Infix, u8)> {
        let sign = matches!(self.peek(), Token::Symbol("-" | "+"));
        infix(self.peek()).filter(|_| !(sign && self.at_new_line()))
    }

    /// Continues `left` with every operator that binds tighter than `minimum`. After a `|>` the first may begin a line.
    fn operators(&mut self, mut left: AstId, minimum: u8, mut after_pipe: bool) -> Parsed<AstId> {
        loop {
            if self.peek() == &Token::Symbol("|>") {
                if minimum >= power::PIPE {
                    return Ok(left);
                }
                self.next();
                left = self.segment(left)?;
                continue;
            }
            let next = if std::mem::take(&mut after_pipe) { infix(self.peek()) } else { self.continuation() };
            let Some((operator, binding)) = next else { return Ok(left) };
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
            return self.operators(left, power::PIPE, true);
        }
        let (name, name_span) = self.name("a function or an operator")?;
        let mut arguments = vec![ArgumentAst { name: None, value: left }];
        if self.opens_call() {
            self.next();
            self.arguments(&mut arguments)?;
        }
        if self.continuation().is_some() {
            return self.fail(Problem::PipeSegment, self.span());
        }
        let span = self.tree.span(left).to(self.last_span());
        Ok(self.tree.add(Ast::Call { name, name_span, arguments, piped: true }, span))
    }

    /// Whether the arguments of a call follow a name.
    fn opens_call(&self) -> bool {
        self.peek() == &Token::Symbol("(") && !self.at_new_line()
    }

    /// The arguments of a call, from after its `(`.
    fn arguments(&mut self, arguments: &mut Vec<ArgumentAst>) -> Parsed<()> {
        self.with_lines(false, |parser| parser.arguments_in_brackets(arguments))
    }

    fn arguments_in_brackets(&mut self, arguments: &mut Vec<ArgumentAst>) -> Parsed<()> {
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

    pub(super) fn prefix(&mut self) -> Parsed<AstId> {
        let start = self.span();
        let node = match self.next() {
            Token::Number(value) => Ast::Number(value),
            Token::Keyword("inf") => Ast::Number(f64::INFINITY),
            Token::Keyword("nan") => Ast::Number(f64::NAN),
            Token::Keyword("true") => Ast::Bool(true),
            Token::Keyword("false") => Ast::Bool(false),
            Token::Keyword("none") => Ast::None,
            Token::Keyword("not") => Ast::Not(self.expression(power::NOT)?),
            Token::Keyword("if") => return self.branches(start),
            Token::Symbol("-") => Ast::Negate(self.expression(power::NEGATION - 1)?),
            // A sign that changes nothing.
            Token::Symbol("+") => return self.expression(power::NEGATION - 1),
            Token::Symbol("(") => {
                return self.with_lines(false, |parser| {
                    let inner = parser.expression(0)?;
                    parser.expect(")")?;
                    Ok(inner)
                });
            }
            Token::Symbol("[") => self.list()?,
            Token::Symbol("{") => self.with_lines(false, Parser::block)?,
            Token::Name(name) if self.opens_call() => {
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

    /// The rest of an `if`, with every `else if` that follows.
    fn branches(&mut self, start: Span) -> Parsed<AstId> {
        let mut branches = vec![self.branch(start)?];
        while self.peek() == &Token::Keyword("if") {
            let start = self.span();
            self.next();
            branches.push(self.branch(start)?);
        }
        let mut otherwise = self.expression(power::PIPE)?;
        while let Some((start, condition, then)) = branches.pop() {
            otherwise = self.tree.add(Ast::If { condition, then, otherwise }, start.to(self.last_span()));
        }
        Ok(otherwise)
    }

    /// `condition then value else`, from after an `if` at `start`.
    fn branch(&mut self, start: Span) -> Parsed<(Span, AstId, AstId)> {
        let condition = self.expression(power::PIPE)?;
        self.expect("then")?;
        let then = self.expression(power::PIPE)?;
        self.expect("else")?;
        Ok((start, condition, then))
    }

    /// The rest of a block.
    fn block(&mut self) -> Parsed<Ast> {
        let lets = self.lets()?;
        if matches!(self.peek(), Token::Name(_)) && self.peek_second() == &Token::Symbol("=") {
            return self.fail(Problem::NestedOutputs, self.span());
        }
        let result = self.expression(0)?;
        self.expect("}")?;
        Ok(Ast::Block { lets, result })
    }

    /// The rest of `[1, -2]`.
    pub(super) fn list(&mut self) -> Parsed<Ast> {
        let mut items = Vec::new();
        while !self.take("]") {
            let start = self.span();
            self.bounded(items.len(), MAX_AXES, "axes in a list")?;
            let sign = if self.take("-") { "-" } else { "" };
            if sign.is_empty() {
                self.take("+");
            }
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
