//! A library function with its parameters: a value to pass around, compare, print and apply.

use super::function::{Function, Part};
use crate::error::ActivationError;
use crate::expr::{Budget, Call, Expr, Meaning};
use crate::nearest::nearest;
use crate::value::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A library function and its parameters. Cheap to clone.
///
/// ```
/// use fuselet_ir::{Expr, Library};
/// let relu = Library::standard().activation("relu")?.with("max_value", 6.0);
/// assert_eq!(relu.to_string(), "relu(max_value = 6)");
/// assert_eq!(relu.apply(&Expr::input("x")).to_string(), "relu(x, max_value = 6)");
/// # Ok::<(), fuselet_ir::Error>(())
/// ```
#[derive(Clone)]
pub struct Activation {
    function: Arc<Function>,
    /// What was given, by the place of the parameter. A call keeps no more than what its text says.
    given: BTreeMap<usize, Value>,
    /// Whether the parameters are known to be valid.
    valid: bool,
    problem: Option<Box<ActivationError>>,
}

impl Activation {
    pub(crate) fn new(function: Arc<Function>) -> Activation {
        Activation { function, given: BTreeMap::new(), valid: false, problem: None }
    }

    /// The same with one parameter set. A mistake (no such parameter, a wrong value) is reported by
    /// [`Activation::validate`], and wherever the activation is used.
    #[must_use]
    pub fn with(mut self, parameter: &str, value: impl Into<Value>) -> Activation {
        if let Some(place) = self.function.place(parameter)
            && self.function.parameters()[place].name == parameter
        {
            // A setter called again replaces; only another name of the parameter can contradict.
            self.given.remove(&place);
        }
        self.set(parameter, value.into());
        self
    }

    pub(crate) fn set(&mut self, parameter: &str, value: Value) {
        self.valid = false;
        if let Err(problem) = self.try_set(parameter, value) {
            self.problem.get_or_insert(Box::new(problem));
        }
    }

    fn try_set(&mut self, parameter: &str, value: Value) -> Result<(), ActivationError> {
        let activation = self.function.name().to_owned();
        let Some(place) = self.function.place(parameter) else {
            let nearest = nearest(parameter, self.function.parameter_names());
            return Err(ActivationError::UnknownParameter { activation, parameter: parameter.to_owned(), nearest });
        };
        if let Err(expected) = self.function.parameters()[place].ty.check(&value) {
            let parameter = parameter.to_owned();
            return Err(ActivationError::Type { activation, parameter, expected, found: value.describe() });
        }
        match self.given.get(&place) {
            Some(first) if *first != value => {
                let parameter = self.function.parameters()[place].name.clone();
                Err(ActivationError::Conflict { activation, parameter, first: first.clone(), second: value })
            }
            _ => {
                self.given.insert(place, value);
                Ok(())
            }
        }
    }

    pub(crate) fn problem(&self) -> Option<&ActivationError> {
        self.problem.as_deref()
    }

    /// Whether name and parameters are valid (finite numbers, and what the function requires of them).
    pub fn validate(&self) -> Result<(), ActivationError> {
        self.validate_within(&mut Budget::new())
    }

    /// [`Activation::validate`], remembered: the parameters are not looked at again.
    pub(crate) fn settle(&mut self, budget: &mut Budget) -> Result<(), ActivationError> {
        self.validate_within(budget)?;
        self.valid = true;
        Ok(())
    }

    fn validate_within(&self, budget: &mut Budget) -> Result<(), ActivationError> {
        if self.valid {
            return Ok(());
        }
        if let Some(problem) = &self.problem {
            return Err((**problem).clone());
        }
        let function = &self.function;
        let is_given = |place: usize| self.given.get(&place).is_some_and(|value| *value != Value::None);
        let places = || 0..function.parameters().len();
        if places().any(|place| function.is_alternative(place) && is_given(place)) {
            let activation = function.name().to_owned();
            let alternative = function.alternative().to_vec();
            if places().any(|place| !function.is_alternative(place) && is_given(place)) {
                let names = places().filter(|place| !function.is_alternative(*place));
                let main = names.map(|place| function.parameters()[place].name.clone()).collect();
                return Err(ActivationError::Mixed { activation, main, alternative });
            }
            if let Some(place) = places().find(|place| function.is_alternative(*place) && !is_given(*place)) {
                let missing = function.parameters()[place].name.clone();
                return Err(ActivationError::Incomplete { activation, alternative, missing });
            }
        }
        function.require(&self.values(), budget)
    }

    /// The function.
    pub fn function(&self) -> &Arc<Function> {
        &self.function
    }

    /// The function's name, never an alias.
    pub fn name(&self) -> &str {
        self.function.name()
    }

    /// The value of every parameter, given or default, in the order of the definition.
    pub fn values(&self) -> Vec<Value> {
        (0..self.function.parameters().len()).map(|place| self.value_at(place).clone()).collect()
    }

    fn value_at(&self, place: usize) -> &Value {
        self.given.get(&place).unwrap_or(&self.function.parameters()[place].default)
    }

    /// The value of a parameter, given or default.
    pub fn value(&self, parameter: &str) -> Option<Value> {
        self.function.place(parameter).map(|place| self.value_at(place).clone())
    }

    /// The parameters that differ from their defaults, in the order of the definition.
    pub fn non_default(&self) -> Vec<(&str, Value)> {
        let given = self.given.iter().map(|(place, value)| (&self.function.parameters()[*place], value));
        given
            .filter(|(parameter, value)| **value != parameter.default)
            .map(|(parameter, value)| (parameter.name.as_str(), value.clone()))
            .collect()
    }

    /// Applied to an expression.
    pub fn apply(&self, expr: &Expr) -> Expr {
        self.clone().call(vec![expr.clone()])
    }

    /// Applied to its tensors.
    pub(crate) fn call(self, tensors: Vec<Expr>) -> Expr {
        Expr::call_unchecked(Arc::new(self), tensors)
    }

    /// Applied to inputs of the names of its tensors: most often, to `x`.
    pub(crate) fn applied_to_input(&self) -> Expr {
        let tensors = self.function.tensors().iter().map(Expr::input).collect();
        self.clone().call(tensors)
    }

    /// The vector-Jacobian product by the first tensor, where the function states its derivative: `result` is the
    /// value of the function at `arguments`, `cotangent` what is passed back. `None` where it states none.
    pub fn derivative(
        &self,
        arguments: &[Expr],
        result: &Expr,
        cotangent: &Expr,
    ) -> Result<Option<Expr>, ActivationError> {
        self.check_tensors(arguments.len())?;
        self.validate()?;
        let body = self.function.body(Part::Derivative, &self.values(), &mut Budget::new());
        let Some(body) = body.map_err(ActivationError::Body)? else { return Ok(None) };
        let mut bound = arguments.to_vec();
        bound.push(result.clone());
        bound.push(cotangent.clone());
        let factor = body.substitute(&bound);
        Ok(Some(if self.function.cotangent().is_some() { factor } else { cotangent * factor }))
    }
}

impl Call for Activation {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn non_default(&self) -> Vec<(&str, Value)> {
        Activation::non_default(self)
    }

    fn check_tensors(&self, given: usize) -> Result<(), ActivationError> {
        let expected = self.function.tensors().len();
        if given == expected {
            return Ok(());
        }
        Err(ActivationError::Tensors { activation: self.name().to_owned(), expected, given })
    }

    fn body(&self, meaning: Meaning, budget: &mut Budget) -> Result<Expr, ActivationError> {
        self.validate_within(budget)?;
        let part = match meaning {
            Meaning::Definition => Part::Definition,
            Meaning::Form => Part::Form,
        };
        let body = self.function.body(part, &self.values(), budget).map_err(ActivationError::Body)?;
        // Definition and form are always there.
        Ok(body.unwrap_or_else(|| Expr::argument(0)))
    }
}

impl Expr {
    /// A library function applied to its tensors. Invalid parameters, or the wrong number of tensors, are an error
    /// when the expression is used.
    pub fn call(activation: &Activation, arguments: &[Expr]) -> Expr {
        activation.clone().call(arguments.to_vec())
    }
}

/// Equal when they compute the same by the same definition.
impl PartialEq for Activation {
    fn eq(&self, other: &Activation) -> bool {
        self.function == other.function && self.values() == other.values() && self.problem == other.problem
    }
}

impl Eq for Activation {}

/// The text form: the name, and the parameters that differ from their defaults.
impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let parameters = self.non_default();
        for (index, (name, value)) in parameters.iter().enumerate() {
            write!(f, "{}{name} = {value}", if index == 0 { "(" } else { ", " })?;
        }
        if parameters.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Activation({self})")
    }
}
