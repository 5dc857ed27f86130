//! A tree to an expression: names become inputs or bound values, calls find their functions, and everything known at
//! compile time (numbers of parameters, `if` on them, lists of axes) is decided.
//!
//! A number as it is written is compile-time; arithmetic makes it part of the graph, so that it is computed in the
//! dtype of the kernel. Only the arguments of parameters are computed here, in float64.

use super::ast::{Ast, AstId, Infix};
use super::parser::Source;
use crate::error::{Problem, Span, SyntaxError};
use crate::expr::{Budget, Expr};
use crate::library::Functions;
use crate::nearest::nearest;
use crate::value::Value;
use rustc_hash::{FxHashMap, FxHashSet};

/// What a name or an expression stands for.
#[derive(Clone)]
pub(super) enum Term {
    Expr(Expr),
    Constant(Value),
}

impl Term {
    pub(super) fn describe(&self) -> String {
        match self {
            Term::Expr(_) => "a tensor".to_owned(),
            Term::Constant(value) => value.describe(),
        }
    }
}

/// Turns trees of one source into expressions.
pub(super) struct Elaborator<'a> {
    pub(super) source: &'a Source,
    pub(super) functions: &'a dyn Functions,
    pub(super) budget: &'a mut Budget,
    /// Whether names that are not bound are inputs.
    inputs: bool,
    bindings: FxHashMap<String, Vec<Term>>,
    /// The parameters that hold axes, where nothing hides them.
    axes: FxHashSet<String>,
    /// Inside the argument of a parameter: arithmetic on numbers is done at once.
    pub(super) folding: bool,
}

pub(super) type Elaborated<T> = Result<T, SyntaxError>;

impl<'a> Elaborator<'a> {
    pub fn new(source: &'a Source, functions: &'a dyn Functions, budget: &'a mut Budget, inputs: bool) -> Self {
        Elaborator {
            source,
            functions,
            budget,
            inputs,
            bindings: FxHashMap::default(),
            axes: FxHashSet::default(),
            folding: false,
        }
    }

    pub fn bind(&mut self, name: &str, term: Term) {
        self.bindings.entry(name.to_owned()).or_default().push(term);
    }

    /// Binds a parameter that holds an axis or axes.
    pub fn bind_axes(&mut self, name: &str, value: Value) {
        self.axes.insert(name.to_owned());
        self.bind(name, Term::Constant(value));
    }

    /// Whether a node is the name of a parameter that holds axes.
    pub(super) fn names_axes(&self, id: AstId) -> bool {
        match self.source.tree.node(id) {
            Ast::Name(name) => {
                self.axes.contains(name) && self.bindings.get(name).is_some_and(|stack| stack.len() == 1)
            }
            _ => false,
        }
    }

    fn unbind(&mut self, name: &str) {
        if let Some(stack) = self.bindings.get_mut(name) {
            stack.pop();
        }
    }

    pub(super) fn fail<T>(&self, problem: Problem, span: Span) -> Elaborated<T> {
        Err(SyntaxError::new(problem, span, &self.source.text))
    }

    pub(super) fn span(&self, id: AstId) -> Span {
        self.source.tree.span(id)
    }

    /// The expression of a node.
    pub fn expr(&mut self, id: AstId) -> Elaborated<Expr> {
        let term = self.term(id)?;
        self.to_expr(term, id)
    }

    pub(super) fn to_expr(&self, term: Term, id: AstId) -> Elaborated<Expr> {
        match term {
            Term::Expr(expr) => Ok(expr),
            Term::Constant(Value::Number(value)) => Ok(Expr::number(value)),
            Term::Constant(Value::Boolean(value)) => Ok(Expr::number(f64::from(u8::from(value)))),
            Term::Constant(_) => self.wrong("an operand", "a tensor or a number", &term, id),
        }
    }

    /// The compile-time truth of a condition.
    pub fn decided(&mut self, id: AstId) -> Elaborated<bool> {
        match self.term(id)? {
            Term::Constant(Value::Boolean(value)) => Ok(value),
            term => self.wrong("the condition", "known at compile time", &term, id),
        }
    }

    pub(super) fn wrong<T>(&self, place: &str, expected: &'static str, found: &Term, id: AstId) -> Elaborated<T> {
        let problem = Problem::Type { place: place.to_owned(), expected, found: found.describe() };
        self.fail(problem, self.span(id))
    }

    /// What a node stands for. Walks down the left operands in a loop, so that long chains need no stack.
    pub fn term(&mut self, id: AstId) -> Elaborated<Term> {
        let source = self.source;
        let mut chain = Vec::new();
        let mut first = id;
        loop {
            match source.tree.node(first) {
                Ast::Infix { left, .. } => {
                    chain.push(first);
                    first = *left;
                }
                Ast::Call { arguments, piped: true, .. } => {
                    chain.push(first);
                    first = arguments[0].value;
                }
                _ => break,
            }
        }
        let mut term = self.operand(first)?;
        while let Some(user) = chain.pop() {
            if !self.budget.spend(1) {
                return self.fail(Problem::TooLarge { limit: Budget::STEPS }, self.span(user));
            }
            term = match source.tree.node(user) {
                Ast::Infix { operator, left, right } => self.infix(*operator, term, *left, *right)?,
                Ast::Call { name, name_span, arguments, .. } => {
                    self.call(user, name, *name_span, arguments, Some(term))?
                }
                _ => term,
            };
        }
        Ok(term)
    }

    fn operand(&mut self, id: AstId) -> Elaborated<Term> {
        let source = self.source;
        if !self.budget.spend(1) {
            return self.fail(Problem::TooLarge { limit: Budget::STEPS }, self.span(id));
        }
        Ok(match source.tree.node(id) {
            Ast::Number(value) => Term::Constant(Value::Number(*value)),
            Ast::Bool(value) => Term::Constant(Value::Boolean(*value)),
            Ast::None => Term::Constant(Value::None),
            Ast::List(axes) => Term::Constant(Value::Axes(axes.clone())),
            Ast::Name(name) => return self.name(name, id),
            Ast::Negate(operand) => match self.term(*operand)? {
                Term::Constant(Value::Number(value)) => Term::Constant(Value::Number(-value)),
                term => Term::Expr(-self.to_expr(term, *operand)?),
            },
            Ast::Not(operand) => match self.term(*operand)? {
                Term::Constant(Value::Boolean(value)) => Term::Constant(Value::Boolean(!value)),
                term => Term::Expr(!self.to_expr(term, *operand)?),
            },
            Ast::If { .. } => return self.branches(id),
            Ast::Block { lets, result } => {
                for (name, value) in lets {
                    let term = self.term(*value)?;
                    self.bind(name, term);
                }
                let result = self.term(*result)?;
                for (name, _) in lets {
                    self.unbind(name);
                }
                result
            }
            Ast::Call { name, name_span, arguments, .. } => return self.call(id, name, *name_span, arguments, None),
            Ast::Infix { .. } => return self.term(id),
        })
    }

    /// An `if` and every `else if` after it, in a loop.
    fn branches(&mut self, id: AstId) -> Elaborated<Term> {
        let source = self.source;
        let mut open: Vec<(Expr, Expr)> = Vec::new();
        let mut last = id;
        while let Ast::If { condition, then, otherwise } = source.tree.node(last) {
            if last != id && !self.budget.spend(1) {
                return self.fail(Problem::TooLarge { limit: Budget::STEPS }, self.span(last));
            }
            last = match self.term(*condition)? {
                Term::Constant(Value::Boolean(true)) => {
                    last = *then;
                    break;
                }
                Term::Constant(Value::Boolean(false)) => *otherwise,
                term => {
                    let condition = self.to_expr(term, *condition)?;
                    open.push((condition, self.expr(*then)?));
                    *otherwise
                }
            };
        }
        let term = self.term(last)?;
        if open.is_empty() {
            return Ok(term);
        }
        let mut result = self.to_expr(term, last)?;
        while let Some((condition, then)) = open.pop() {
            result = condition.select(then, result);
        }
        Ok(Term::Expr(result))
    }

    fn name(&mut self, name: &str, id: AstId) -> Elaborated<Term> {
        if let Some(term) = self.bindings.get(name).and_then(|stack| stack.last()) {
            return Ok(term.clone());
        }
        if self.inputs {
            return Ok(Term::Expr(Expr::input(name)));
        }
        let known = self.bindings.iter().filter(|(_, stack)| !stack.is_empty()).map(|(name, _)| name.as_str());
        let problem = Problem::UnknownName { name: name.to_owned(), nearest: nearest(name, known) };
        self.fail(problem, self.span(id))
    }

    fn infix(&mut self, operator: Infix, left: Term, left_id: AstId, right_id: AstId) -> Elaborated<Term> {
        // What the left side decides alone.
        match (operator, &left) {
            (Infix::And, Term::Constant(Value::Boolean(true))) | (Infix::Or, Term::Constant(Value::Boolean(false))) => {
                return self.term(right_id);
            }
            (Infix::And, Term::Constant(Value::Boolean(false))) | (Infix::Or, Term::Constant(Value::Boolean(true))) => {
                return Ok(left);
            }
            _ => {}
        }
        let right = self.term(right_id)?;
        if let (Term::Constant(a), Term::Constant(b)) = (&left, &right)
            && let Some(value) = decide(operator, a, b, self.folding)
        {
            return Ok(Term::Constant(value));
        }
        if matches!(operator, Infix::Equal | Infix::NotEqual)
            && (matches!(left, Term::Constant(Value::None)) || matches!(right, Term::Constant(Value::None)))
        {
            // Something that is a number or a tensor is not none.
            return Ok(Term::Constant(Value::Boolean(operator == Infix::NotEqual)));
        }
        let a = self.to_expr(left, left_id)?;
        let b = self.to_expr(right, right_id)?;
        Ok(Term::Expr(match operator {
            Infix::Or => a.or(b),
            Infix::And => a.and(b),
            Infix::Less => a.less(b),
            Infix::LessEqual => a.less_equal(b),
            Infix::Greater => a.greater(b),
            Infix::GreaterEqual => a.greater_equal(b),
            Infix::Equal => a.equal(b),
            Infix::NotEqual => a.not_equal(b),
            Infix::Add => a + b,
            Infix::Subtract => a - b,
            Infix::Multiply => a * b,
            Infix::Divide => a / b,
            Infix::Power => a.pow(b),
        }))
    }
}

/// The value of an operator between two compile-time values, where it has one.
fn decide(operator: Infix, a: &Value, b: &Value, folding: bool) -> Option<Value> {
    use Value::{Boolean, Number};
    Some(match (operator, a, b) {
        (Infix::Equal, Number(a), Number(b)) => Boolean(a == b),
        (Infix::NotEqual, Number(a), Number(b)) => Boolean(a != b),
        (Infix::Equal, a, b) => Boolean(a == b),
        (Infix::NotEqual, a, b) => Boolean(a != b),
        (Infix::Less, Number(a), Number(b)) => Boolean(a < b),
        (Infix::LessEqual, Number(a), Number(b)) => Boolean(a <= b),
        (Infix::Greater, Number(a), Number(b)) => Boolean(a > b),
        (Infix::GreaterEqual, Number(a), Number(b)) => Boolean(a >= b),
        (Infix::Add, Number(a), Number(b)) if folding => Number(a + b),
        (Infix::Subtract, Number(a), Number(b)) if folding => Number(a - b),
        (Infix::Multiply, Number(a), Number(b)) if folding => Number(a * b),
        (Infix::Divide, Number(a), Number(b)) if folding => Number(a / b),
        (Infix::Power, Number(a), Number(b)) if folding => Number(libm::pow(*a, *b)),
        _ => return None,
    })
}
