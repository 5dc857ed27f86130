//! The registry: functions by their names, and who shares them.

use super::activation::Activation;
use super::function::{Callees, Function};
use crate::error::{ActivationError, Error};
use crate::nearest::nearest;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Where calls find their functions.
pub(crate) trait Functions {
    fn find(&self, name: &str) -> Option<Arc<Function>>;
    fn names(&self) -> Vec<String>;
}

impl Functions for Callees {
    fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// Functions by name.
#[derive(Clone, Default)]
pub(crate) struct Table {
    /// By name and alias.
    names: BTreeMap<String, Arc<Function>>,
    /// In the order of their definition, which counts up.
    order: BTreeMap<u64, Arc<Function>>,
    /// By its own name, where each function is in the order.
    places: BTreeMap<String, u64>,
}

impl Functions for Table {
    fn find(&self, name: &str) -> Option<Arc<Function>> {
        self.names.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }
}

impl Table {
    /// Adds a function, or replaces that of the same name.
    pub(crate) fn insert(&mut self, function: &Arc<Function>) {
        let place = self.order.last_key_value().map_or(0, |(last, _)| last + 1);
        if let Some(replaced) = self.places.insert(function.name().to_owned(), place) {
            self.order.remove(&replaced);
        }
        self.order.insert(place, Arc::clone(function));
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
    /// A new registry that holds nothing; ops and reductions are there all the same.
    pub fn empty() -> Library {
        Library { table: Arc::default() }
    }

    /// A new registry that holds what a table holds.
    pub(crate) fn of(table: &Arc<Table>) -> Library {
        Library { table: Arc::new(RwLock::new(Arc::clone(table))) }
    }

    /// What it holds now.
    pub(crate) fn snapshot(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the table, or leaves it as it is if the change fails. Nobody else changes it meanwhile.
    pub(crate) fn change<T, E>(&self, change: impl FnOnce(&mut Table) -> Result<T, E>) -> Result<T, E> {
        let mut guard = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&guard);
        let done = change(&mut table)?;
        *guard = Arc::new(table);
        Ok(done)
    }

    /// All functions, in the order of their definition.
    pub fn functions(&self) -> Vec<Arc<Function>> {
        self.snapshot().order.values().cloned().collect()
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
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.snapshot();
        f.debug_list().entries(table.order.values().map(|function| function.signature())).finish()
    }
}
