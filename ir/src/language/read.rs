//! Texts and libraries: definitions become functions of a [`Library`], and programs are read with its functions.

use super::ast::DefinitionAst;
use super::define::{Scope, define};
use super::elaborate::{Elaborator, Term};
use super::name::name_text;
use super::parser::{self, Source};
use crate::error::{ActivationError, Error, Problem, SyntaxError};
use crate::expr::{Budget, Expr, Program};
use crate::graph::Graph;
use crate::library::{Activation, Callees, Function, Library, Table};
use rustc_hash::FxHashSet;
use std::any::Any;
use std::sync::{Arc, LazyLock};

/// The text of the standard library.
pub const STANDARD: &str = include_str!("../../library/activations.fuse");

static STANDARD_TABLE: LazyLock<Arc<Table>> = LazyLock::new(|| {
    let mut table = Table::default();
    if let Err(error) = add_text(&mut table, STANDARD, true) {
        // The text is part of this crate; its tests parse it.
        panic!("the standard library does not parse: {error}");
    }
    Arc::new(table)
});

/// Adds the functions of a text to a table; its private ones are for each other alone.
fn add_text(table: &mut Table, text: &str, standard: bool) -> Result<Vec<Arc<Function>>, SyntaxError> {
    let (source, definitions) = parser::definitions(text)?;
    let source = Arc::new(source);
    let mut private = Callees::new();
    let mut added: Vec<Arc<Function>> = Vec::new();
    let mut names = FxHashSet::default();
    let mut budget = Budget::new();
    for ast in definitions {
        let span = ast.name_span;
        let function = define(&source, ast, &Scope { private: &private, table }, standard, &mut budget)?;
        let name = function.name();
        if !names.insert(name.to_owned()) {
            let problem = Problem::RepeatedName { name: name.to_owned(), what: "functions" };
            return Err(SyntaxError::new(problem, span, &source.text));
        }
        if function.is_private() {
            private.insert(name.to_owned(), function);
        } else {
            table.insert(&function);
            added.push(function);
        }
    }
    Ok(added)
}

/// The functions of a text of definitions over the standard library, by name and alias. Later definitions hide earlier
/// ones.
pub(crate) fn load(text: &str) -> Result<Callees, SyntaxError> {
    let (source, definitions) = parser::definitions(text)?;
    let source = Arc::new(source);
    let mut functions = Callees::new();
    let mut budget = Budget::new();
    for definition in definitions {
        let scope = Scope { private: &functions, table: &STANDARD_TABLE };
        let function = define(&source, definition, &scope, false, &mut budget)?;
        for name in function.aliases().iter().map(String::as_str).chain([function.name()]) {
            functions.insert(name.to_owned(), Arc::clone(&function));
        }
    }
    Ok(functions)
}

impl Library {
    /// A new registry that holds the standard library.
    pub fn standard() -> Library {
        Library::of(&STANDARD_TABLE)
    }

    /// Adds the functions of a text, all or none, and returns them. A function of the same name is replaced.
    pub fn define(&self, text: &str) -> Result<Vec<Arc<Function>>, Error> {
        // Parsed and checked while nobody else changes the library, so that the functions called are those at the
        // moment of adding.
        Ok(self.change(|table| add_text(table, text, false))?)
    }

    /// Defines a function by an expression over inputs, which become its tensors.
    pub fn define_expr(&self, name: &str, tensors: &[&str], body: &Expr) -> Result<Arc<Function>, Error> {
        let tensors: Vec<String> = tensors.iter().map(|tensor| name_text(tensor)).collect();
        let text = format!("fn {}({}) = {{ {body} }}", name_text(name), tensors.join(", "));
        let added = self.define(&text)?;
        added
            .into_iter()
            .next()
            .ok_or_else(|| Error::Activation(ActivationError::Unknown { name: name.to_owned(), nearest: None }))
    }

    /// An activation in its text form: `gelu`, `relu(max_value = 6)`.
    pub fn parse_activation(&self, text: &str) -> Result<Activation, Error> {
        // The form a person writes after `|>`.
        let program = self.parse(&format!("x |> {text}"))?;
        let no_activation = || Error::NotAnActivation { text: text.to_owned() };
        let [(_, expr)] = program.outputs() else { return Err(no_activation()) };
        let call = expr.as_call_of_input("x").ok_or_else(no_activation)?;
        let activation = (call as &dyn Any).downcast_ref::<Activation>();
        activation.cloned().ok_or_else(no_activation)
    }

    /// An expression without a name, after definitions of its own if need be.
    pub fn parse_expr(&self, text: &str) -> Result<Expr, Error> {
        match self.parse(text)?.outputs() {
            [(name, expr)] if name == Graph::DEFAULT_OUTPUT => Ok(expr.clone()),
            _ => Err(Error::NotAnExpression { text: text.chars().take(80).collect() }),
        }
    }

    /// A program: definitions of its own, then an expression or several outputs.
    pub fn parse(&self, text: &str) -> Result<Program, Error> {
        let (source, ast) = parser::program(text)?;
        let source = Arc::new(source);
        let mut private = Callees::new();
        let table = with_definitions(self.snapshot(), &mut private, &source, ast.definitions)?;
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

/// A table with the definitions of a program, which hide what is there; the private ones go beside it.
fn with_definitions(
    table: Arc<Table>,
    private: &mut Callees,
    source: &Arc<Source>,
    definitions: Vec<DefinitionAst>,
) -> Result<Arc<Table>, SyntaxError> {
    if definitions.is_empty() {
        return Ok(table);
    }
    let mut extended = Table::clone(&table);
    let mut budget = Budget::new();
    for definition in definitions {
        let function = define(source, definition, &Scope { private, table: &extended }, false, &mut budget)?;
        if function.is_private() {
            private.insert(function.name().to_owned(), function);
        } else {
            extended.insert(&function);
        }
    }
    Ok(Arc::new(extended))
}

impl Default for Library {
    fn default() -> Library {
        Library::standard()
    }
}
