//! Definitions of functions: plain descent.

use super::ast::{Ast, AstId, DefinitionAst, DerivativeAst, ParameterAst, RequirementAst};
use super::cursor::{Parsed, Parser};
use super::lexer::Token;
use super::limits::MAX_PARAMETERS;
use crate::error::{Problem, Span};
use crate::library::ParameterType;
use crate::nearest::nearest;
use crate::value::Value;

impl Parser {
    pub(super) fn definitions(&mut self) -> Parsed<Vec<DefinitionAst>> {
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
        let definition = self.line()?;
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

    /// An expression that ends with its line.
    fn line(&mut self) -> Parsed<AstId> {
        self.with_lines(true, |parser| parser.expression(0))
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
        if !negative {
            self.take("+");
        }
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

    /// Whether a clause begins here. Where what follows its word can only follow a name, it is one.
    fn at_clause(&self) -> bool {
        let Token::Name(word) = self.peek() else { return false };
        let takes_name = match word.as_str() {
            "via" | "derivative" | "require" | "alternative" => false,
            "alias" | "parameter_alias" => true,
            _ => return false,
        };
        match self.token(1) {
            Token::End | Token::Keyword("and" | "or") => false,
            Token::Symbol("(" | "-" | "+") => !takes_name,
            Token::Symbol(symbol) => matches!(*symbol, "[" | "{"),
            _ => true,
        }
    }

    fn clause(&mut self, ast: &mut DefinitionAst) -> Parsed<bool> {
        let start = self.span();
        if !self.at_clause() {
            return Ok(false);
        }
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
                ast.form = Some(self.line()?);
            }
            "derivative" => {
                self.next();
                let cotangent = match (self.peek(), self.token(1), self.token(2)) {
                    (Token::Symbol("("), Token::Name(name), Token::Symbol(")")) => Some(name.clone()),
                    _ => None,
                };
                if cotangent.is_some() {
                    self.at += 3;
                }
                ast.derivative = Some(DerivativeAst { cotangent, body: self.line()? });
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
                let condition = self.line()?;
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
