//! Expanding calls: to which meaning, and at what cost.

use crate::choice::choices;

/// Which part of library functions a graph is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Meaning {
    /// The textbook definition: what the float64 reference evaluates.
    Definition,
    /// The numerically good form (`via`) where there is one: what is compiled.
    Form,
}

choices!("meaning", Meaning { Definition = "definition", Form = "form" });

/// What the expansion of an expression may cost, over all its functions: steps left.
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    /// Far more than any honest expression takes, and under a second of work.
    pub const STEPS: usize = 1 << 22;

    pub fn new() -> Budget {
        Budget { left: Budget::STEPS }
    }

    /// Takes some steps; false when there are none left.
    pub fn spend(&mut self, steps: usize) -> bool {
        let enough = self.left >= steps;
        self.left = self.left.saturating_sub(steps);
        enough
    }
}
