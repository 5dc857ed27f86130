//! Definitions to functions: a parsed definition is checked, its calls are bound, and it becomes the body of a
//! library function.

use super::ast::{AstId, DefinitionAst, DerivativeAst, ParameterAst, RequirementAst};
use super::builtin::{builtin_names, is_builtin};
use super::elaborate::{Elaborator, Term};
use super::parser::Source;
use crate::error::{ActivationError, Problem, Span, SyntaxError};
use crate::expr::{Budget, Expr};
use crate::library::{Body, Callees, Entry, Function, Functions, MAX_HEIGHT, Parameter, ParameterType, Part, Table};
use crate::nearest::nearest;
use crate::value::Value;
use std::sync::Arc;

/// A table, and in front of it the private functions of the text being read.
pub(super) struct Scope<'a> {
    pub private: &'a Callees,
    pub table: &'a Table,
}

impl Functions for Scope<'_> {
    fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.private.find(name).or_else(|| self.table.find(name))
    }

    fn names(&self) -> Vec<String> {
        [self.private.names(), self.table.names()].concat()
    }
}

/// The body of a function: trees of the text that defines it, elaborated for the parameters of each use.
#[derive(Debug)]
struct Defined {
    source: Arc<Source>,
    name: String,
    tensors: Vec<String>,
    /// The names of the parameters, and whether they hold axes.
    parameters: Vec<(String, bool)>,
    requirements: Vec<RequirementAst>,
    definition: AstId,
    form: Option<AstId>,
    derivative: Option<DerivativeAst>,
    callees: Arc<Callees>,
}

/// Checks a parsed definition and binds the functions it calls. The definitions of one text share a budget.
pub(super) fn define(
    source: &Arc<Source>,
    ast: DefinitionAst,
    scope: &dyn Functions,
    standard: bool,
    budget: &mut Budget,
) -> Result<Arc<Function>, SyntaxError> {
    let name_span = ast.name_span;
    let fail = |problem, span| Err(SyntaxError::new(problem, span, &source.text));
    if ast.tensors.is_empty() {
        let problem =
            Problem::Definition(format!("`{}` has no tensor: a parameter without a default is one", ast.name));
        return fail(problem, name_span);
    }
    let callees = Arc::new(callees(source, &ast, scope)?);
    let tensors: Vec<String> = ast.tensors.into_iter().map(|(name, _)| name).collect();
    let body = Defined {
        source: Arc::clone(source),
        name: ast.name.clone(),
        tensors: tensors.clone(),
        parameters: ast.parameters.iter().map(|parameter| (parameter.name.clone(), holds_axes(parameter))).collect(),
        requirements: ast.requirements,
        definition: ast.definition,
        form: ast.form,
        derivative: ast.derivative,
        callees: Arc::clone(&callees),
    };
    let parameters = ast.parameters.into_iter();
    let entry = Entry {
        text: source.text[ast.span.start..ast.span.end].to_owned(),
        docs: ast.docs,
        name: ast.name,
        private: ast.private,
        standard,
        tensors,
        parameters: parameters
            .map(|parameter| Parameter { name: parameter.name, ty: parameter.ty, default: parameter.default })
            .collect(),
        alternative: ast.alternative.into_iter().map(|(name, _)| name).collect(),
        parameter_aliases: ast.parameter_aliases.into_iter().map(|(alias, target, _)| (alias, target)).collect(),
        aliases: ast.aliases.into_iter().map(|(name, _)| name).collect(),
    };
    let Some(function) = Function::new(entry, callees, Box::new(body)) else {
        let problem = Problem::Definition(format!("more than {MAX_HEIGHT} functions call one another in a row"));
        return fail(problem, name_span);
    };
    check(&function, name_span, source, budget)?;
    Ok(Arc::new(function))
}

/// The functions that a definition calls.
fn callees(source: &Source, ast: &DefinitionAst, scope: &dyn Functions) -> Result<Callees, SyntaxError> {
    let mut callees = Callees::new();
    for (name, span) in source.tree.calls(ast.nodes.start, ast.nodes.end) {
        match scope.find(name) {
            Some(function) => {
                callees.insert(name.to_owned(), function);
            }
            None if is_builtin(name) => {}
            None => {
                let known = scope.names();
                let nearest = nearest(name, known.iter().map(String::as_str).chain(builtin_names()));
                let problem = Problem::UnknownFunction { name: name.to_owned(), nearest };
                return Err(SyntaxError::new(problem, span, &source.text));
            }
        }
    }
    Ok(callees)
}

/// Elaborates everything once with the defaults, so that mistakes show where they are made.
fn check(function: &Function, name_span: Span, source: &Source, budget: &mut Budget) -> Result<(), SyntaxError> {
    let defaults: Vec<Value> = function.parameters().iter().map(|parameter| parameter.default.clone()).collect();
    for part in [Part::Definition, Part::Form, Part::Derivative] {
        function.body(part, &defaults, budget)?;
    }
    let refused = |problem| SyntaxError::new(Problem::Activation(problem), name_span, &source.text);
    function.require(&defaults, budget).map_err(refused)
}

/// Whether a parameter is an axis or axes: by its type, or by its name.
fn holds_axes(parameter: &ParameterAst) -> bool {
    matches!(parameter.ty, ParameterType::Axis | ParameterType::Axes) || parameter.name == "axis"
}

impl Defined {
    fn elaborator<'a>(&'a self, values: &[Value], budget: &'a mut Budget) -> Elaborator<'a> {
        // Binding is work too; where nothing is left, the elaborator says so at its first step.
        budget.spend(values.len());
        let mut elaborator = Elaborator::new(&self.source, &*self.callees, budget, false);
        for ((parameter, holds_axes), value) in self.parameters.iter().zip(values) {
            match holds_axes {
                true => elaborator.bind_axes(parameter, value.clone()),
                false => elaborator.bind(parameter, Term::Constant(value.clone())),
            }
        }
        elaborator
    }
}

impl Body for Defined {
    fn has(&self, part: Part) -> bool {
        match part {
            Part::Definition => true,
            Part::Form => self.form.is_some(),
            Part::Derivative => self.derivative.is_some(),
        }
    }

    fn expr(&self, part: Part, values: &[Value], budget: &mut Budget) -> Result<Option<Expr>, SyntaxError> {
        let root = match part {
            Part::Definition => self.definition,
            Part::Form => self.form.unwrap_or(self.definition),
            Part::Derivative => match &self.derivative {
                Some(derivative) => derivative.body,
                None => return Ok(None),
            },
        };
        let mut elaborator = self.elaborator(values, budget);
        let count = self.tensors.len();
        if part == Part::Derivative {
            elaborator.bind("y", Term::Expr(Expr::argument(count)));
            if let Some(cotangent) = self.cotangent() {
                elaborator.bind(cotangent, Term::Expr(Expr::argument(count + 1)));
            }
        }
        for (index, tensor) in self.tensors.iter().enumerate() {
            elaborator.bind(tensor, Term::Expr(Expr::argument(index)));
        }
        Ok(Some(elaborator.expr(root)?.into_number()))
    }

    fn cotangent(&self) -> Option<&str> {
        self.derivative.as_ref().and_then(|derivative| derivative.cotangent.as_deref())
    }

    fn require(&self, values: &[Value], budget: &mut Budget) -> Result<(), ActivationError> {
        if self.requirements.is_empty() {
            return Ok(());
        }
        let mut elaborator = self.elaborator(values, budget);
        for requirement in &self.requirements {
            match elaborator.decided(requirement.condition) {
                Ok(true) => {}
                Ok(false) => {
                    let (activation, message) = (self.name.clone(), self.message(&requirement.message, values));
                    return Err(ActivationError::Refused { activation, message });
                }
                Err(error) => return Err(ActivationError::Body(error)),
            }
        }
        Ok(())
    }
}

impl Defined {
    /// A message with the values of the parameters that it names in braces.
    fn message(&self, text: &str, values: &[Value]) -> String {
        let mut message = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            message.push_str(&rest[..open]);
            rest = &rest[open..];
            let name =
                rest[1..].find(['{', '}']).filter(|end| rest[1 + end..].starts_with('}')).map(|end| &rest[1..=end]);
            let place = name.and_then(|name| self.parameters.iter().position(|(parameter, _)| parameter == name));
            match (name, place) {
                (Some(name), Some(place)) => {
                    message.push_str(&values[place].to_string());
                    rest = &rest[name.len() + 2..];
                }
                _ => {
                    message.push('{');
                    rest = &rest[1..];
                }
            }
        }
        message.push_str(rest);
        message
    }
}
