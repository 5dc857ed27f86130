//! The stages of a batch, in order: the pass along its rows, what reductions still need, the pass that runs once a row.

use super::batch::Batch;
use super::{finish, span, strip};
use crate::codegen::write::Form;

#[cfg(doc)]
use super::loops::RowLoops;

/// Runs all stages on the `count` rows that the arguments point at.
///
/// # Safety
/// As [`RowLoops::run`]; `count` is at most a batch, and the arguments point at it.
pub(super) unsafe fn run(batch: &Batch<'_>, count: usize) {
    for stage in &batch.loops.code.stages {
        // SAFETY: the caller's promise; what a pass reads of scratch, the passes before it wrote.
        unsafe {
            if stage.condition.is_some_and(|condition| !finish::any_holds(batch, condition, count)) {
                finish::reductions_of_zeros(batch, stage, count);
            } else {
                if let Some(row) = &stage.row {
                    match batch.loops.code.form {
                        Form::Span => span::run(batch, stage, row, count),
                        _ => strip::run(batch, stage, row, count),
                    }
                }
                finish::reductions(batch, stage, count);
            }
            if let Some(per_row) = &stage.per_row {
                per_row.code.run_in(batch.arguments(&per_row.arguments), count, 1, batch.code_scratch());
            }
        }
    }
}
