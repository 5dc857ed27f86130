//! What is run for a signature, and why.

use crate::compile::Compiled;
use crate::plan::Plan;
use fuselet_ir::Graph;
use std::fmt;

/// What is run for a signature, and why it is as it is. Prints as a report: the plan with a reason for every boundary, then
/// every pass.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The graph, after rewriting.
    pub graph: Graph,
    /// Kernels, passes, and the reasons for every boundary.
    pub plan: Plan,
    /// Every pass with its code, in the order of kernels.
    pub passes: Vec<Compiled>,
}

impl Explanation {
    /// How many kernels are run, one after the other.
    pub fn kernel_count(&self) -> usize {
        self.plan.kernels.len()
    }

    /// Bytes of machine code of all passes.
    pub fn code_size(&self) -> usize {
        self.passes.iter().map(|pass| pass.code.code_size()).sum()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.plan)?;
        for Compiled { pass, code, backend } in &self.passes {
            writeln!(formatter, "  pass `{}`: {backend}, {} bytes of code", pass.name, code.code_size())?;
        }
        Ok(())
    }
}
