//! Calls, elaborated: of ops and reductions, and of functions of the library with their parameters.

use super::ast::{ArgumentAst, AstId};
use super::builtin::{builtin_names, is_builtin};
use super::elaborate::{Elaborated, Elaborator, Term};
use super::storage::signature;
use crate::error::{Problem, Span};
use crate::expr::Expr;
use crate::graph::{Axes, Half};
use crate::library::{Activation, Function};
use crate::nearest::nearest;
use crate::op::{Op, Reduction};
use crate::value::{Value, whole};
use std::sync::Arc;

/// The op between two values that other languages call by the name of a reduction.
fn elementwise_counterpart(reduction: Reduction) -> Option<Op> {
    match reduction {
        Reduction::Max => Some(Op::Maximum),
        Reduction::Min => Some(Op::Minimum),
        _ => None,
    }
}

/// The question of this name that every number answers: whether it is of some class.
fn number_class(name: &str) -> Option<fn(&Expr) -> Expr> {
    match name {
        "isnan" => Some(Expr::is_nan),
        "isinf" => Some(Expr::is_infinite),
        "isfinite" => Some(Expr::is_finite),
        _ => None,
    }
}

impl Elaborator<'_> {
    pub(super) fn call(
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
        if let Some(signature) = signature(name) {
            return self.storage_call(id, signature, arguments, piped);
        }
        let mut piped = piped;
        let mut terms = Vec::with_capacity(arguments.len());
        let takes_axis = Op::by_name(name).is_none();
        let other = Reduction::by_name(name).and_then(elementwise_counterpart);
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
            // Lists and none can be nothing but axes.
            let is_axes = matches!(term, Term::Constant(Value::Axes(_) | Value::None));
            if let Some(elementwise) = other
                && index > 0
                && argument.name.is_none()
                && !is_axes
                && !self.names_axes(argument.value)
            {
                let problem = Problem::AxisByPosition { reduction: name.to_owned(), elementwise: elementwise.name() };
                return self.fail(problem, self.span(argument.value));
            }
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
        if let Some(class) = number_class(name) {
            if second.is_some() {
                return self.fail(arity("1 argument (x)"), self.span(id));
            }
            return Ok(Term::Expr(class(&argument)));
        }
        if Reduction::by_name(name).is_some() || name == "absmax" {
            let axes = match second {
                None => Axes::All,
                Some((term, at)) => self.axes(&term, at)?,
            };
            return Ok(Term::Expr(match Reduction::by_name(name) {
                Some(reduction) => argument.reduce(reduction, axes),
                None => argument.absmax(axes),
            }));
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
