//! The library: functions defined in the language, and the registry that holds them.
//!
//! [`Library::standard`] holds the activations of `library/activations.fuse`. An embedding program adds its own with
//! [`Library::define`], from any thread: a [`Library`] is a handle, clones share one registry, and whoever is
//! reading keeps what was there when the reading began. Names bind when they are used in a definition, so replacing a
//! function never changes another one.

mod activation;
mod config;
mod function;
mod keras;
mod parameter;

pub use activation::{Activation, ActivationError};
pub use config::{ConfigError, parse_config};
pub use function::Function;
pub use keras::{CustomObjects, Identifier};
pub use parameter::{Parameter, ParameterType, Value};

use crate::error::Error;
use crate::expr::Expr;
use crate::program::Program;
use crate::syntax::ast::DefinitionAst;
use crate::syntax::elaborate::{Budget, Elaborator, Functions, Term};
use crate::syntax::nearest::nearest;
use crate::syntax::parser::{self, Source};
use crate::syntax::{Problem, SyntaxError};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

/// The text of the standard library.
pub const STANDARD: &str = include_str!("../library/activations.fuse");

static STANDARD_TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| {
    let mut table = Table::default();
    if let Err(error) = table.define(STANDARD, true) {
        // The text is part of this crate; its tests parse it.
        panic!("the standard library does not parse: {error}");
    }
    Arc::new(table)
});

/// Functions by name. `names` holds aliases too.
#[derive(Clone, Default)]
struct Table {
    names: BTreeMap<String, Arc<Function>>,
    /// In the order of their definition.
    order: Vec<Arc<Function>>,
}

impl Functions for Table {
    fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.names.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }
}

/// A table, and in front of it the private functions of the text being read.
struct Scope<'a> {
    private: &'a BTreeMap<String, Arc<Function>>,
    table: &'a Table,
}

impl Functions for Scope<'_> {
    fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.private.get(name).cloned().or_else(|| self.table.find(name))
    }

    fn names(&self) -> Vec<String> {
        self.private.keys().chain(self.table.names.keys()).cloned().collect()
    }
}

impl Table {
    fn define(&mut self, text: &str, standard: bool) -> Result<Vec<Arc<Function>>, SyntaxError> {
        let (source, definitions) = parser::definitions(text)?;
        self.add(&Arc::new(source), definitions, standard)
    }

    fn add(
        &mut self,
        source: &Arc<Source>,
        definitions: Vec<DefinitionAst>,
        standard: bool,
    ) -> Result<Vec<Arc<Function>>, SyntaxError> {
        let mut private: BTreeMap<String, Arc<Function>> = BTreeMap::new();
        let mut added: Vec<Arc<Function>> = Vec::new();
        for ast in definitions {
            let span = ast.name_span;
            let scope = Scope { private: &private, table: self };
            let function = Arc::new(Function::new(source, ast, &scope, standard)?);
            let name = function.name();
            if added.iter().any(|other| other.name() == name) || private.contains_key(name) {
                let problem = Problem::RepeatedName { name: name.to_owned(), what: "functions" };
                return Err(SyntaxError::new(problem, span, &source.text));
            }
            if function.is_private() {
                private.insert(name.to_owned(), function);
                continue;
            }
            self.insert(&function);
            added.push(function);
        }
        Ok(added)
    }

    fn insert(&mut self, function: &Arc<Function>) {
        self.order.retain(|other| other.name() != function.name());
        self.order.push(Arc::clone(function));
        for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
            self.names.insert(name.to_owned(), Arc::clone(function));
        }
    }
}

/// A shared registry of functions. See the module's documentation.
///
/// ```
/// use fuselet_ir::Library;
/// let library = Library::standard();
/// library.define("fn swoosh(x, beta = 1.5) = x * sigmoid(beta * x)")?;
/// assert_eq!(library.activation("swoosh")?.function().signature(), "swoosh(x, beta = 1.5)");
/// # Ok::<(), fuselet_ir::Error>(())
/// ```
#[derive(Clone)]
pub struct Library {
    table: Arc<RwLock<Arc<Table>>>,
}

impl Library {
    /// A new registry that holds the standard library.
    pub fn standard() -> Library {
        Library { table: Arc::new(RwLock::new(Arc::clone(&STANDARD_TABLE))) }
    }

    /// A new registry that holds nothing; ops and reductions are there all the same.
    pub fn empty() -> Library {
        Library { table: Arc::default() }
    }

    fn snapshot(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the functions of a text, all or none, and returns them. A function of the same name is replaced.
    pub fn define(&self, text: &str) -> Result<Vec<Arc<Function>>, Error> {
        // Parsed and checked under the lock, so that the functions called are those at the moment of adding.
        let mut guard = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&guard);
        let added = table.define(text, false)?;
        *guard = Arc::new(table);
        Ok(added)
    }

    /// Defines a function by an expression over inputs, which become its tensors.
    pub fn define_expr(&self, name: &str, tensors: &[&str], body: &Expr) -> Result<Arc<Function>, Error> {
        let name_text = crate::syntax::printer::name_text(name);
        let tensors: Vec<String> = tensors.iter().map(|tensor| crate::syntax::printer::name_text(tensor)).collect();
        let text = format!("fn {name_text}({}) = {{ {} }}", tensors.join(", "), body);
        let added = self.define(&text)?;
        added
            .into_iter()
            .next()
            .ok_or_else(|| Error::Activation(ActivationError::Unknown { name: name.to_owned(), nearest: None }))
    }

    /// All functions, in the order of their definition.
    pub fn functions(&self) -> Vec<Arc<Function>> {
        self.snapshot().order.clone()
    }

    /// The function of this name or alias.
    pub fn function(&self, name: &str) -> Option<Arc<Function>> {
        self.snapshot().find(name)
    }

    /// The function of this name or alias with all parameters at their defaults.
    pub fn activation(&self, name: &str) -> Result<Activation, Error> {
        let table = self.snapshot();
        match table.find(name) {
            Some(function) => Ok(Activation::new(function)),
            None => {
                let nearest = nearest(name, table.names.keys().map(String::as_str));
                let name = name.chars().take(80).collect();
                Err(ActivationError::Unknown { name, nearest }.into())
            }
        }
    }

    /// An activation in its text form: `gelu`, `relu(max_value = 6)`.
    pub fn parse_activation(&self, text: &str) -> Result<Activation, Error> {
        // The form a person writes after `|>`.
        let program = self.parse(&format!("x |> {text}"))?;
        let [(_, expr)] = program.outputs() else { return Err(Error::NotAnActivation { text: text.to_owned() }) };
        expr.as_call_of_input("x").ok_or_else(|| Error::NotAnActivation { text: text.to_owned() })
    }

    /// A program: definitions of its own, then an expression or several outputs.
    pub fn parse(&self, text: &str) -> Result<Program, Error> {
        let (source, ast) = parser::program(text)?;
        let source = Arc::new(source);
        let mut table = self.snapshot();
        let mut private = BTreeMap::new();
        if !ast.definitions.is_empty() {
            let mut extended = Table::clone(&table);
            for definition in ast.definitions {
                let scope = Scope { private: &private, table: &extended };
                let function = Arc::new(Function::new(&source, definition, &scope, false)?);
                if function.is_private() {
                    private.insert(function.name().to_owned(), function);
                } else {
                    extended.insert(&function);
                }
            }
            table = Arc::new(extended);
        }
        let scope = Scope { private: &private, table: &table };
        let mut budget = Budget::new();
        let mut elaborator = Elaborator::new(&source, &scope, &mut budget, true);
        let mut bindings = Vec::new();
        for (name, value) in &ast.lets {
            let term = elaborator.term(*value)?;
            if let Term::Expr(expr) = &term {
                bindings.push(expr.clone());
            }
            elaborator.bind(name, term);
        }
        let mut outputs = Vec::with_capacity(ast.outputs.len());
        for (name, value) in &ast.outputs {
            outputs.push((name.clone(), elaborator.expr(*value)?));
        }
        Ok(Program::with_bindings(ast.inputs, bindings, outputs))
    }
}

impl Default for Library {
    fn default() -> Library {
        Library::standard()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.snapshot();
        f.debug_list().entries(table.order.iter().map(|function| function.signature())).finish()
    }
}
