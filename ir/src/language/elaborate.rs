//! A tree to an expression: names become inputs or bound values, calls find their functions, and everything known at
//! compile time (numbers of parameters, `if` on them, lists of axes) is decided.
//!
//! A number as it is written is compile-time; arithmetic makes it part of the graph, so that it is computed in the
//! dtype of the kernel. Only the arguments of parameters are computed here, in float64.

use super::ast::{ArgumentAst, Ast, AstId, Infix};
use super::parser::Source;
use crate::error::{Problem, Span, SyntaxError};
use crate::expr::{Budget, Expr};
use crate::graph::{Axes, Half};
use crate::library::{Activation, Function, Functions};
use crate::nearest::nearest;
use crate::op::{Op, Reduction};
use crate::value::{Value, whole};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What a name or an expression stands for.
#[derive(Clone)]
pub(crate) enum Term {
    Expr(Expr),
    Constant(Value),
}

impl Term {
    fn describe(&self) -> String {
        match self {
            Term::Expr(_) => "a tensor".to_owned(),
            Term::Constant(value) => value.describe(),
        }
    }
}

/// Functions that are part of the language: neither ops nor reductions.
const BUILTINS: &[&str] = &["first_half", "second_half", "constant"];

pub(crate) fn builtin_names<'a>() -> impl Iterator<Item = &'a str> {
    Op::all()
        .map(Op::name)
        .chain(Reduction::all().map(Reduction::name))
        .chain(BUILTINS.iter().copied())
        .map(|name| -> &'a str { name })
}

pub(crate) fn is_builtin(name: &str) -> bool {
    Op::by_name(name).is_some() || Reduction::by_name(name).is_some() || BUILTINS.contains(&name)
}

/// Turns trees of one source into expressions.
pub(crate) struct Elaborator<'a> {
    source: &'a Source,
    functions: &'a dyn Functions,
    budget: &'a mut Budget,
    /// Whether names that are not bound are inputs.
    inputs: bool,
    bindings: FxHashMap<String, Vec<Term>>,
    /// Inside the argument of a parameter: arithmetic on numbers is done at once.
    folding: bool,
}

type Elaborated<T> = Result<T, SyntaxError>;

impl<'a> Elaborator<'a> {
    pub fn new(source: &'a Source, functions: &'a dyn Functions, budget: &'a mut Budget, inputs: bool) -> Self {
        Elaborator { source, functions, budget, inputs, bindings: FxHashMap::default(), folding: false }
    }

    pub fn bind(&mut self, name: &str, term: Term) {
        self.bindings.entry(name.to_owned()).or_default().push(term);
    }

    fn unbind(&mut self, name: &str) {
        if let Some(stack) = self.bindings.get_mut(name) {
            stack.pop();
        }
    }

    fn fail<T>(&self, problem: Problem, span: Span) -> Elaborated<T> {
        Err(SyntaxError::new(problem, span, &self.source.text))
    }

    fn span(&self, id: AstId) -> Span {
        self.source.tree.span(id)
    }

    /// The expression of a node.
    pub fn expr(&mut self, id: AstId) -> Elaborated<Expr> {
        let term = self.term(id)?;
        self.to_expr(term, id)
    }

    fn to_expr(&self, term: Term, id: AstId) -> Elaborated<Expr> {
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

    fn wrong<T>(&self, place: &str, expected: &'static str, found: &Term, id: AstId) -> Elaborated<T> {
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
            Ast::Truth(value) => Term::Constant(Value::Boolean(*value)),
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
            Ast::If { condition, then, otherwise } => match self.term(*condition)? {
                Term::Constant(Value::Boolean(true)) => return self.term(*then),
                Term::Constant(Value::Boolean(false)) => return self.term(*otherwise),
                term => {
                    let condition = self.to_expr(term, *condition)?;
                    let then = self.expr(*then)?;
                    Term::Expr(condition.select(then, self.expr(*otherwise)?))
                }
            },
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

    fn call(
        &mut self,
        id: AstId,
        name: &str,
        name_span: Span,
        arguments: &[ArgumentAst],
        piped: Option<Term>,
    ) -> Elaborated<Term> {
        if let Some(function) = self.functions.find(name) {
            return self.library_call(id, function, arguments, piped);
        }
        if !is_builtin(name) {
            let known = self.functions.names();
            let nearest = nearest(name, known.iter().map(String::as_str).chain(builtin_names()));
            return self.fail(Problem::UnknownFunction { name: name.to_owned(), nearest }, name_span);
        }
        let mut piped = piped;
        let mut terms = Vec::with_capacity(arguments.len());
        let takes_axis = Op::by_name(name).is_none();
        for (index, argument) in arguments.iter().enumerate() {
            if let Some((given, span)) = &argument.name
                && !(takes_axis && index == 1 && given == "axis")
            {
                let known = takes_axis.then_some("axis");
                let nearest = nearest(given, known);
                return self.fail(
                    Problem::UnknownParameter { function: name.to_owned(), name: given.clone(), nearest },
                    *span,
                );
            }
            let term = match piped.take() {
                Some(term) => term,
                None => self.term(argument.value)?,
            };
            terms.push((term, argument.value));
        }
        self.builtin(id, name, terms)
    }

    fn builtin(&mut self, id: AstId, name: &str, terms: Vec<(Term, AstId)>) -> Elaborated<Term> {
        let arity = |expected: &str| Problem::Arity {
            function: name.to_owned(),
            expected: expected.to_owned(),
            given: terms.len(),
        };
        if let Some(op) = Op::by_name(name) {
            if terms.len() != op.arity() {
                let names = op.row().arguments.join(", ");
                let count = op.arity();
                let expected = match count {
                    0 => "no arguments".to_owned(),
                    1 => format!("1 argument ({names})"),
                    _ => format!("{count} arguments ({names})"),
                };
                return self.fail(arity(&expected), self.span(id));
            }
            let mut arguments = Vec::with_capacity(terms.len());
            for (term, at) in terms {
                arguments.push(self.to_expr(term, at)?);
            }
            return Ok(Term::Expr(Expr::elementwise(op, arguments)));
        }
        let mut terms = terms.into_iter();
        let (first, second) = (terms.next(), terms.next());
        let given = usize::from(first.is_some()) + usize::from(second.is_some()) + terms.count();
        let arity = |expected: &str| Problem::Arity { function: name.to_owned(), expected: expected.to_owned(), given };
        let Some((term, at)) = first.filter(|_| given <= 2) else {
            return self.fail(arity("a tensor and an axis"), self.span(id));
        };
        let argument = self.to_expr(term, at)?;
        if name == "constant" {
            if second.is_some() || argument.constant_value().is_none() {
                return self.fail(arity("one number"), self.span(id));
            }
            return Ok(Term::Expr(argument));
        }
        if let Some(reduction) = Reduction::by_name(name) {
            let axes = match second {
                None => Axes::All,
                Some((term, at)) => self.axes(&term, at)?,
            };
            return Ok(Term::Expr(argument.reduce(reduction, axes)));
        }
        let half = if name == "first_half" { Half::First } else { Half::Second };
        let Some((term, at)) = second else {
            return self.fail(arity("a tensor and an axis"), self.span(id));
        };
        match self.axes(&term, at)? {
            Axes::List(list) if list.len() == 1 => Ok(Term::Expr(argument.half(list[0], half))),
            _ => self.wrong("the axis", "one integer", &term, at),
        }
    }

    fn axes(&self, term: &Term, id: AstId) -> Elaborated<Axes> {
        match term {
            Term::Constant(Value::None) => Ok(Axes::All),
            Term::Constant(Value::Axes(list)) => Ok(Axes::List(list.clone())),
            Term::Constant(Value::Number(value)) if whole(*value).is_some() => {
                Ok(Axes::List(whole(*value).into_iter().collect()))
            }
            _ => self.wrong("the axis", "an integer, a list of integers or none, known at compile time", term, id),
        }
    }

    fn library_call(
        &mut self,
        id: AstId,
        function: Arc<Function>,
        arguments: &[ArgumentAst],
        mut piped: Option<Term>,
    ) -> Elaborated<Term> {
        let tensor_count = function.tensors().len();
        let by_position = arguments.iter().take_while(|argument| argument.name.is_none()).count();
        let positional = function.positional(by_position.saturating_sub(tensor_count));
        if by_position > tensor_count + positional.len() {
            let problem = Problem::Arity {
                function: function.name().to_owned(),
                expected: function.signature(),
                given: arguments.len(),
            };
            return self.fail(problem, self.span(id));
        }
        let mut tensors: Vec<Option<Expr>> = vec![None; tensor_count];
        let mut activation = Activation::new(Arc::clone(&function));
        let mut given: Vec<&str> = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let (name, span) = match &argument.name {
                Some((name, span)) => (name.as_str(), *span),
                None if index >= by_position => {
                    return self.fail(Problem::PositionAfterName, self.span(argument.value));
                }
                None if index < tensor_count => (function.tensors()[index].as_str(), self.span(argument.value)),
                None => (positional[index - tensor_count], self.span(argument.value)),
            };
            if given.contains(&name) {
                return self.fail(Problem::RepeatedArgument { name: name.to_owned() }, span);
            }
            given.push(name);
            if let Some(place) = function.tensors().iter().position(|tensor| tensor == name) {
                tensors[place] = Some(match piped.take() {
                    Some(term) => self.to_expr(term, argument.value)?,
                    None => self.expr(argument.value)?,
                });
                continue;
            }
            if !function.has_parameter(name) {
                let known = function.parameter_names();
                let problem = Problem::UnknownParameter {
                    function: function.name().to_owned(),
                    name: name.to_owned(),
                    nearest: nearest(name, known),
                };
                return self.fail(problem, span);
            }
            let outside = std::mem::replace(&mut self.folding, true);
            let term = match piped.take() {
                Some(term) => Ok(term),
                None => self.term(argument.value),
            };
            self.folding = outside;
            let term = term?;
            let Term::Constant(value) = term else {
                let place = format!("the parameter `{name}` of `{}`", function.name());
                return self.wrong(&place, "known at compile time", &term, argument.value);
            };
            activation.set(name, value);
            if let Some(problem) = activation.problem() {
                return self.fail(Problem::Activation(problem.clone()), self.span(argument.value));
            }
        }
        let count = tensors.len();
        let complete: Vec<Expr> = tensors.into_iter().flatten().collect();
        if complete.len() < count {
            let problem = Problem::Arity {
                function: function.name().to_owned(),
                expected: function.signature(),
                given: arguments.len(),
            };
            return self.fail(problem, self.span(id));
        }
        if let Err(problem) = activation.settle(self.budget) {
            return self.fail(Problem::Activation(problem), self.span(id));
        }
        Ok(Term::Expr(activation.call(complete)))
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
