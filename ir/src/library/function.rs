//! A library function: its entry, the functions its body calls, and the body, which whoever reads definitions brings.
//!
//! Calls are bound when a function is defined: a later definition of the same name changes nothing in the functions
//! that are there already, and no function can call itself.

use super::parameter::Parameter;
use crate::error::{ActivationError, SyntaxError};
use crate::expr::{Budget, Expr};
use crate::value::Value;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// How many functions may call one another in a row.
pub(crate) const MAX_HEIGHT: usize = 64;

/// Which of a function's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Definition,
    Form,
    Derivative,
}

/// What a function computes for given parameters.
pub(crate) trait Body: fmt::Debug + Send + Sync {
    /// Whether the function states this part itself.
    fn has(&self, part: Part) -> bool;

    /// A part over [`Expr::argument`]s: the tensors; for the derivative also the result `y` and the cotangent.
    /// `Form` falls back to the definition; a derivative that is not there is `None`.
    fn expr(&self, part: Part, values: &[Value], budget: &mut Budget) -> Result<Option<Expr>, SyntaxError>;

    /// The name of the cotangent, if the derivative is a vector-Jacobian product without the factor dy/dx.
    fn cotangent(&self) -> Option<&str>;

    /// Checks the `require` clauses.
    fn require(&self, values: &[Value], budget: &mut Budget) -> Result<(), ActivationError>;
}

/// The entry of a function: all that is known of it without its body.
#[derive(Debug)]
pub(crate) struct Entry {
    pub docs: String,
    pub name: String,
    pub private: bool,
    pub standard: bool,
    /// As written, documentation included.
    pub text: String,
    pub tensors: Vec<String>,
    pub parameters: Vec<Parameter>,
    /// The parameters of the other signature, if there is one.
    pub alternative: Vec<String>,
    /// Another name of a parameter, and the parameter.
    pub parameter_aliases: Vec<(String, String)>,
    pub aliases: Vec<String>,
}

/// The functions that a body calls, by the names it calls them.
pub(crate) type Callees = BTreeMap<String, Arc<Function>>;

/// A function of the library: documentation, parameters, definition, form and derivative.
#[derive(Debug)]
pub struct Function {
    entry: Entry,
    body: Box<dyn Body>,
    callees: Arc<Callees>,
    height: usize,
    /// Of the text and of what its calls are bound to: comparing the functions below one by one could take a time
    /// exponential in their height.
    fingerprint: u64,
}

impl Function {
    /// A function of its parts. Nothing is checked but that it is not [too high](MAX_HEIGHT): then it is `None`.
    pub(crate) fn new(entry: Entry, callees: Arc<Callees>, body: Box<dyn Body>) -> Option<Function> {
        let height = 1 + callees.values().map(|function| function.height).max().unwrap_or(0);
        let mut hasher = DefaultHasher::new();
        (entry.standard, &entry.text).hash(&mut hasher);
        callees.iter().for_each(|(name, callee)| (name, callee.fingerprint).hash(&mut hasher));
        let fingerprint = hasher.finish();
        (height <= MAX_HEIGHT).then_some(Function { entry, body, callees, height, fingerprint })
    }

    /// A part of it. See [`Body::expr`].
    pub(crate) fn body(&self, part: Part, values: &[Value], budget: &mut Budget) -> Result<Option<Expr>, SyntaxError> {
        self.body.expr(part, values, budget)
    }

    pub(crate) fn cotangent(&self) -> Option<&str> {
        self.body.cotangent()
    }

    pub(crate) fn require(&self, values: &[Value], budget: &mut Budget) -> Result<(), ActivationError> {
        self.body.require(values, budget)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Its documentation.
    pub fn docs(&self) -> &str {
        &self.entry.docs
    }

    /// Other names of it.
    pub fn aliases(&self) -> &[String] {
        &self.entry.aliases
    }

    /// The names of its tensors: what it is applied to.
    pub fn tensors(&self) -> &[String] {
        &self.entry.tensors
    }

    /// Its parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.entry.parameters
    }

    /// Parameters that stand together in place of the others (Keras' pair of `threshold`).
    pub fn alternative(&self) -> &[String] {
        &self.entry.alternative
    }

    /// Its entry as written, documentation included.
    pub fn source(&self) -> &str {
        &self.entry.text
    }

    /// Whether it is one of the functions Fuselet comes with.
    pub fn is_standard(&self) -> bool {
        self.entry.standard
    }

    /// Whether it is computed by another formula than its definition.
    pub fn has_form(&self) -> bool {
        self.body.has(Part::Form)
    }

    /// Whether it states its derivative.
    pub fn has_derivative(&self) -> bool {
        self.body.has(Part::Derivative)
    }

    pub(crate) fn is_private(&self) -> bool {
        self.entry.private
    }

    pub(crate) fn callees(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.callees.values()
    }

    /// Name, tensors and parameters with their defaults: `relu(x, negative_slope = 0, …)`.
    pub fn signature(&self) -> String {
        let mut text = format!("{}({}", self.entry.name, self.entry.tensors.join(", "));
        for parameter in
            self.entry.parameters.iter().filter(|parameter| !self.entry.alternative.contains(&parameter.name))
        {
            let _ = write!(text, ", {} = {}", parameter.name, parameter.default);
        }
        text.push(')');
        if !self.entry.alternative.is_empty() {
            let _ = write!(
                text,
                " or {}({}, {})",
                self.entry.name,
                self.entry.tensors.join(", "),
                self.entry.alternative.join(", ")
            );
        }
        text
    }

    /// The parameters that `count` numbers by position stand for.
    pub(crate) fn positional(&self, count: usize) -> Vec<&str> {
        let alternative = !self.entry.alternative.is_empty() && count == self.entry.alternative.len();
        self.entry
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .filter(|name| self.entry.alternative.iter().any(|other| other == name) == alternative)
            .collect()
    }

    /// The place of a parameter, by its name or another name of it.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.entry.parameters.iter().position(|parameter| parameter.name == name).or_else(|| {
            let (_, target) = self.entry.parameter_aliases.iter().find(|(alias, _)| alias == name)?;
            self.entry.parameters.iter().position(|parameter| parameter.name == *target)
        })
    }

    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Every name a parameter answers to.
    pub(crate) fn parameter_names(&self) -> impl Iterator<Item = &str> {
        let names = self.entry.parameters.iter().map(|parameter| parameter.name.as_str());
        names.chain(self.entry.parameter_aliases.iter().map(|(alias, _)| alias.as_str()))
    }

    /// Whether the parameter at `place` belongs to the alternative signature.
    pub(crate) fn is_alternative(&self, place: usize) -> bool {
        self.entry.alternative.contains(&self.entry.parameters[place].name)
    }
}

/// The same definition: the same object, or the same text over the same functions.
impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        std::ptr::eq(self, other)
            || (self.fingerprint == other.fingerprint
                && self.entry.standard == other.entry.standard
                && self.entry.text == other.entry.text)
    }
}

impl Eq for Function {}
