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

/// How many operations a graph may have, however little was written: functions that call functions twice double them each time.
const MOST_OPS: usize = 1 << 16;

/// How many more a graph may have for each operator and call that was written: far more than the library's functions have.
const MOST_OPS_A_TERM: usize = 128;

/// The most nodes of a graph made of so many operators and calls.
pub(super) fn most_ops(terms: usize) -> usize {
    MOST_OPS.saturating_add(terms.saturating_mul(MOST_OPS_A_TERM))
}

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
