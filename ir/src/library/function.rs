//! A library function: its parsed entry, and the functions its body calls.
//!
//! Calls are bound when a function is defined: a later definition of the same name changes nothing in the functions
//! that are there already, and no function can call itself.

use super::activation::ActivationError;
use super::parameter::{Parameter, Value};
use crate::expr::Expr;
use crate::syntax::ast::{AstId, DefinitionAst, DerivativeAst, RequirementAst};
use crate::syntax::elaborate::{Budget, Elaborator, Functions, Term, is_builtin};
use crate::syntax::nearest::nearest;
use crate::syntax::parser::Source;
use crate::syntax::{Problem, SyntaxError};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// How many functions may call one another in a row.
const MAX_HEIGHT: usize = 64;

/// A function of the library: documentation, parameters, definition, form and derivative.
#[derive(Debug)]
pub struct Function {
    source: Arc<Source>,
    docs: String,
    name: String,
    private: bool,
    standard: bool,
    text: String,
    tensors: Vec<String>,
    parameters: Vec<Parameter>,
    alternative: Vec<String>,
    parameter_aliases: Vec<(String, String)>,
    aliases: Vec<String>,
    requirements: Vec<RequirementAst>,
    definition: AstId,
    form: Option<AstId>,
    derivative: Option<DerivativeAst>,
    callees: BTreeMap<String, Arc<Function>>,
    height: usize,
    /// Of the text and of what its calls are bound to: comparing the functions below one by one could take a time
    /// exponential in their height.
    fingerprint: u64,
}

/// Which of a function's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Definition,
    Form,
    Derivative,
}

impl Functions for BTreeMap<String, Arc<Function>> {
    fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

impl Function {
    /// Checks a parsed definition and binds the functions it calls.
    pub(crate) fn new(
        source: &Arc<Source>,
        ast: DefinitionAst,
        scope: &dyn Functions,
        standard: bool,
    ) -> Result<Function, SyntaxError> {
        let fail = |problem, span| Err(SyntaxError::new(problem, span, &source.text));
        if ast.tensors.is_empty() {
            let problem =
                Problem::Definition(format!("`{}` has no tensor: a parameter without a default is one", ast.name));
            return fail(problem, ast.name_span);
        }
        let mut callees = BTreeMap::new();
        for (name, span) in source.tree.calls(ast.nodes.start, ast.nodes.end) {
            match scope.find(name) {
                Some(function) => {
                    callees.insert(name.to_owned(), function);
                }
                None if is_builtin(name) => {}
                None => {
                    let known = scope.names();
                    let builtin = crate::syntax::elaborate::builtin_names();
                    let nearest = nearest(name, known.iter().map(String::as_str).chain(builtin));
                    return fail(Problem::UnknownFunction { name: name.to_owned(), nearest }, span);
                }
            }
        }
        let height = 1 + callees.values().map(|function| function.height).max().unwrap_or(0);
        if height > MAX_HEIGHT {
            let problem = Problem::Definition(format!("more than {MAX_HEIGHT} functions call one another in a row"));
            return fail(problem, ast.name_span);
        }
        let text = source.text[ast.span.start..ast.span.end].to_owned();
        let mut hasher = DefaultHasher::new();
        (standard, &text).hash(&mut hasher);
        callees.iter().for_each(|(name, callee)| (name, callee.fingerprint).hash(&mut hasher));
        let function = Function {
            source: Arc::clone(source),
            text,
            fingerprint: hasher.finish(),
            docs: ast.docs,
            name: ast.name,
            private: ast.private,
            standard,
            tensors: ast.tensors.into_iter().map(|(name, _)| name).collect(),
            parameters: ast
                .parameters
                .into_iter()
                .map(|parameter| Parameter { name: parameter.name, ty: parameter.ty, default: parameter.default })
                .collect(),
            alternative: ast.alternative.into_iter().map(|(name, _)| name).collect(),
            parameter_aliases: ast.parameter_aliases.into_iter().map(|(alias, target, _)| (alias, target)).collect(),
            aliases: ast.aliases.into_iter().map(|(name, _)| name).collect(),
            requirements: ast.requirements,
            definition: ast.definition,
            form: ast.form,
            derivative: ast.derivative,
            callees,
            height,
        };
        function.check(ast.name_span)?;
        Ok(function)
    }

    /// Elaborates everything once with the defaults, so that mistakes show where they are made.
    fn check(&self, name_span: crate::syntax::Span) -> Result<(), SyntaxError> {
        let mut budget = Budget::new();
        let defaults: Vec<Value> = self.parameters.iter().map(|parameter| parameter.default.clone()).collect();
        for part in [Part::Definition, Part::Form, Part::Derivative] {
            self.body(part, &defaults, &mut budget)?;
        }
        if let Err(problem) = self.require(&defaults) {
            return Err(SyntaxError::new(Problem::Activation(problem), name_span, &self.source.text));
        }
        Ok(())
    }

    fn elaborator<'a>(&'a self, values: &[Value], budget: &'a mut Budget) -> Elaborator<'a> {
        let mut elaborator = Elaborator::new(&self.source, &self.callees, budget, false);
        for (parameter, value) in self.parameters.iter().zip(values) {
            elaborator.bind(&parameter.name, Term::Constant(value.clone()));
        }
        elaborator
    }

    /// A body over [`Expr::argument`]s: the tensors; for the derivative also the result `y` and the cotangent.
    /// `Form` falls back to the definition; a derivative that is not there is `None`.
    pub(crate) fn body(&self, part: Part, values: &[Value], budget: &mut Budget) -> Result<Option<Expr>, SyntaxError> {
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

    pub(crate) fn cotangent(&self) -> Option<&str> {
        self.derivative.as_ref().and_then(|derivative| derivative.cotangent.as_deref())
    }

    /// Checks the `require` clauses.
    pub(crate) fn require(&self, values: &[Value]) -> Result<(), ActivationError> {
        for requirement in &self.requirements {
            let mut budget = Budget::new();
            let holds = self.elaborator(values, &mut budget).decided(requirement.condition);
            match holds {
                Ok(true) => {}
                Ok(false) => {
                    let mut message = requirement.message.clone();
                    for (parameter, value) in self.parameters.iter().zip(values) {
                        message = message.replace(&format!("{{{}}}", parameter.name), &value.to_string());
                    }
                    return Err(ActivationError::Refused { activation: self.name.clone(), message });
                }
                Err(error) => return Err(ActivationError::Body(error)),
            }
        }
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its documentation.
    pub fn docs(&self) -> &str {
        &self.docs
    }

    /// Other names of it.
    pub fn aliases(&self) -> &[String] {
        &self.aliases
    }

    /// The names of its tensors: what it is applied to.
    pub fn tensors(&self) -> &[String] {
        &self.tensors
    }

    /// Its parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Parameters that stand together in place of the others (Keras' pair of `threshold`).
    pub fn alternative(&self) -> &[String] {
        &self.alternative
    }

    /// Its entry as written, documentation included.
    pub fn source(&self) -> &str {
        &self.text
    }

    /// Whether it is one of the functions Fuselet comes with.
    pub fn is_standard(&self) -> bool {
        self.standard
    }

    /// Whether it is computed by another formula than its definition.
    pub fn has_form(&self) -> bool {
        self.form.is_some()
    }

    /// Whether it states its derivative.
    pub fn has_derivative(&self) -> bool {
        self.derivative.is_some()
    }

    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    pub(crate) fn callees(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.callees.values()
    }

    /// Name, tensors and parameters with their defaults: `relu(x, negative_slope = 0, …)`.
    pub fn signature(&self) -> String {
        let mut text = format!("{}({}", self.name, self.tensors.join(", "));
        for parameter in self.parameters.iter().filter(|parameter| !self.alternative.contains(&parameter.name)) {
            let _ = write!(text, ", {} = {}", parameter.name, parameter.default);
        }
        text.push(')');
        if !self.alternative.is_empty() {
            let _ = write!(text, " or {}({}, {})", self.name, self.tensors.join(", "), self.alternative.join(", "));
        }
        text
    }

    /// The parameters that `count` numbers by position stand for.
    pub(crate) fn positional(&self, count: usize) -> Vec<&str> {
        let alternative = !self.alternative.is_empty() && count == self.alternative.len();
        self.parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .filter(|name| self.alternative.iter().any(|other| other == name) == alternative)
            .collect()
    }

    /// The place of a parameter, by its name or another name of it.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.name == name).or_else(|| {
            let (_, target) = self.parameter_aliases.iter().find(|(alias, _)| alias == name)?;
            self.parameters.iter().position(|parameter| parameter.name == *target)
        })
    }

    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Every name a parameter answers to.
    pub(crate) fn parameter_names(&self) -> impl Iterator<Item = &str> {
        let names = self.parameters.iter().map(|parameter| parameter.name.as_str());
        names.chain(self.parameter_aliases.iter().map(|(alias, _)| alias.as_str()))
    }

    /// Whether the parameter at `place` belongs to the alternative signature.
    pub(crate) fn is_alternative(&self, place: usize) -> bool {
        self.alternative.contains(&self.parameters[place].name)
    }
}

/// The same definition: the same object, or the same text over the same functions.
impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        std::ptr::eq(self, other)
            || (self.fingerprint == other.fingerprint && self.standard == other.standard && self.text == other.text)
    }
}

impl Eq for Function {}
