//! The decisions of the fuser, as data: why each boundary is where it is.

use std::fmt;

/// One decision of the fuser.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FusionDecision {
    /// Two row kernels, because they reduce the same array over different axes.
    DifferentAxes {
        /// The earlier kernel.
        before: String,
        /// The later kernel.
        after: String,
        /// What the earlier one reduces, as places in the shape.
        before_axes: Vec<usize>,
        /// What the later one reduces.
        after_axes: Vec<usize>,
    },
    /// Two row kernels over the same axes, because the later depends on the earlier through other axes.
    ThroughOtherAxes {
        /// The earlier kernel.
        before: String,
        /// The later kernel.
        after: String,
    },
    /// Two kernels, because their loops run over different shapes.
    DifferentShapes {
        /// The earlier kernel.
        before: String,
        /// The later kernel.
        after: String,
    },
    /// A kernel of its own, because unfused execution was asked for.
    Unfused {
        /// The kernel.
        kernel: String,
    },
    /// A kernel of its own, because its result is read in many different parts.
    CutOften {
        /// The kernel.
        kernel: String,
    },
    /// A value is written to memory by one kernel and read by a later one.
    KeptBetweenKernels {
        /// The value.
        value: String,
        /// The estimated lane ops to compute it.
        cost: usize,
    },
    /// A value is computed by one kernel and again by a later one.
    RecomputedBetweenKernels {
        /// The value.
        value: String,
        /// The estimated lane ops to compute it.
        cost: usize,
    },
    /// A value stays in a row buffer between two passes.
    KeptInRow {
        /// The value.
        value: String,
        /// The estimated lane ops to compute it.
        cost: usize,
    },
    /// A value is computed again in a later pass over the row.
    RecomputedInRow {
        /// The value.
        value: String,
        /// The estimated lane ops to compute it.
        cost: usize,
    },
}

impl fmt::Display for FusionDecision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FusionDecision::DifferentAxes { before, after, before_axes, after_axes } => write!(
                formatter,
                "`{after}` is a kernel of its own: it reduces axes {after_axes:?}, `{before}` axes {before_axes:?}"
            ),
            FusionDecision::ThroughOtherAxes { before, after } => write!(
                formatter,
                "`{after}` is a kernel of its own: it depends on `{before}` through a reduction over other axes"
            ),
            FusionDecision::DifferentShapes { before, after } => {
                write!(formatter, "`{after}` is a kernel of its own: its shape differs from `{before}`'s")
            }
            FusionDecision::Unfused { kernel } => write!(formatter, "`{kernel}` is a kernel of its own: fusion is off"),
            FusionDecision::CutOften { kernel } => {
                write!(formatter, "`{kernel}` is a kernel of its own: halves of halves of its result are read")
            }
            FusionDecision::KeptBetweenKernels { value, cost } => {
                write!(formatter, "`{value}` goes through memory between kernels: about {cost} ops to compute again")
            }
            FusionDecision::RecomputedBetweenKernels { value, cost } => {
                write!(formatter, "`{value}` is computed again in a later kernel: only about {cost} ops")
            }
            FusionDecision::KeptInRow { value, cost } => {
                write!(formatter, "`{value}` is kept in a row buffer between passes: about {cost} ops to compute again")
            }
            FusionDecision::RecomputedInRow { value, cost } => {
                write!(formatter, "`{value}` is computed again in the next pass over the row: only about {cost} ops")
            }
        }
    }
}
