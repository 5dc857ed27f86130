//! What can stand where a program is wanted.

use crate::error::Error;
use crate::expr::{Expr, Meaning, Program};
use crate::graph::Graph;
use crate::library::{Activation, Library};

/// Everything that means a program: text, expressions, programs, activations (applied to their own tensors, `x`).
pub trait IntoProgram {
    /// The program; text finds its functions in `library`.
    fn into_program(self, library: &Library) -> Result<Program, Error>;
}

impl IntoProgram for &str {
    fn into_program(self, library: &Library) -> Result<Program, Error> {
        library.parse(self)
    }
}

impl IntoProgram for &String {
    fn into_program(self, library: &Library) -> Result<Program, Error> {
        library.parse(self)
    }
}

impl IntoProgram for String {
    fn into_program(self, library: &Library) -> Result<Program, Error> {
        library.parse(&self)
    }
}

impl IntoProgram for Expr {
    fn into_program(self, _: &Library) -> Result<Program, Error> {
        Ok(self.into())
    }
}

impl IntoProgram for &Expr {
    fn into_program(self, _: &Library) -> Result<Program, Error> {
        Ok(self.clone().into())
    }
}

impl IntoProgram for Program {
    fn into_program(self, _: &Library) -> Result<Program, Error> {
        Ok(self)
    }
}

impl IntoProgram for &Program {
    fn into_program(self, _: &Library) -> Result<Program, Error> {
        Ok(self.clone())
    }
}

impl IntoProgram for Activation {
    fn into_program(self, _: &Library) -> Result<Program, Error> {
        (&self).into_program(&Library::empty())
    }
}

impl IntoProgram for &Activation {
    fn into_program(self, _: &Library) -> Result<Program, Error> {
        self.validate()?;
        Ok(self.applied_to_input().into())
    }
}

/// A graph from its own printed text: ops only, no library functions.
impl std::str::FromStr for Graph {
    type Err = Error;
    fn from_str(text: &str) -> Result<Graph, Error> {
        Library::empty().parse(text)?.graph(Meaning::Form)
    }
}
