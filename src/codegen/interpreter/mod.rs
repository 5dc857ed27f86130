//! The tile interpreter: a pass run op by op, each op one vectorised loop over a tile that stays in L1.
//!
//! It is the judge of the other backends, the fallback where no code may be generated, and an engine in its own right:
//! dispatch is paid once a tile, not once an element, and the loops are compiled ahead of time for every
//! instruction-set level ([`Isa`]). Data takes this way:
//!
//! - `step`: what a plan consists of;
//! - `plan`: `compile` turns a [`Pass`] into a list of steps. Reinterpretations of bits are aliases, contiguous
//!   operands are read and written where they lie, the other values get tile slots by linear scan over their live
//!   ranges, values that are the same in every lane are split off and computed once a span, and runs of Horner's rule
//!   become one step each.
//! - `run`: walks spans and tiles, in scratch memory that the caller brings.
//! - `kernels`: the loops, over the meaning of each op as [`crate::lane::LaneOp::dispatch`] gives it, so that the
//!   interpreter has no opinion of its own about what an op means;
//! - `transfer`: loads and stores of elements that are not stored as lanes are.
//!
//! Every program runs at every level. Lowering writes no fused multiply-add for a level without one; but a backend of the
//! user's may have it where the engine's level has not, and then this judges it and stands in for it. A program that has one is
//! run at the least level of the host that has it too; on a host without, by libm's, a hundred times slower with equal bits.

mod kernels;
mod listing;
mod plan;
mod run;
mod step;
mod transfer;

use super::backend::{Backend, BackendError, Code};
use super::isa::Isa;
use crate::lane::Pass;
use plan::Plan;
use std::sync::Arc;

/// The interpreter at one instruction-set level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interpreter {
    // Always a level the host has: the loops are called on the strength of it.
    isa: Isa,
}

impl Interpreter {
    /// The interpreter at `isa`, or at the best level below it that the host has.
    pub fn new(isa: Isa) -> Interpreter {
        let isa = Isa::available().take_while(|level| *level <= isa).last().unwrap_or(Isa::Baseline);
        Interpreter { isa }
    }

    /// The level it runs at.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

impl Default for Interpreter {
    /// At the best level of the host.
    fn default() -> Interpreter {
        Interpreter::new(Isa::detect())
    }
}

impl Backend for Interpreter {
    fn name(&self) -> String {
        format!("interpreter {}", self.isa)
    }

    fn has_fma(&self) -> bool {
        self.isa.has_fma()
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        debug_assert_eq!(pass.verify(), Ok(()));
        let isa = if pass.needs_fma() && !self.has_fma() {
            Isa::available().find(|level| level.has_fma()).unwrap_or(self.isa)
        } else {
            self.isa
        };
        Ok(Arc::new(run::Interpreted::new(Plan::new(pass), isa)))
    }
}
