//! Why a plan is as it is: data first, text on demand.

use super::kernel::{Buffer, KernelPlan, Plan};
use std::fmt;

/// One decision of the fuser.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
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

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::DifferentAxes { before, after, before_axes, after_axes } => write!(
                formatter,
                "`{after}` is a kernel of its own: it reduces axes {after_axes:?}, `{before}` axes {before_axes:?}"
            ),
            Note::ThroughOtherAxes { before, after } => write!(
                formatter,
                "`{after}` is a kernel of its own: it depends on `{before}` through a reduction over other axes"
            ),
            Note::DifferentShapes { before, after } => {
                write!(formatter, "`{after}` is a kernel of its own: its shape differs from `{before}`'s")
            }
            Note::Unfused { kernel } => write!(formatter, "`{kernel}` is a kernel of its own: fusion is off"),
            Note::KeptBetweenKernels { value, cost } => {
                write!(formatter, "`{value}` goes through memory between kernels: about {cost} ops to compute again")
            }
            Note::RecomputedBetweenKernels { value, cost } => {
                write!(formatter, "`{value}` is computed again in a later kernel: only about {cost} ops")
            }
            Note::KeptInRow { value, cost } => {
                write!(formatter, "`{value}` is kept in a row buffer between passes: about {cost} ops to compute again")
            }
            Note::RecomputedInRow { value, cost } => {
                write!(formatter, "`{value}` is computed again in the next pass over the row: only about {cost} ops")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passes: usize = self.kernels.iter().map(KernelPlan::pass_count).sum();
        let plural =
            |count: usize, noun: &str, more: &str| format!("{count} {noun}{}", if count == 1 { "" } else { more });
        writeln!(
            formatter,
            "{}, {}, {}",
            plural(self.kernels.len(), "kernel", "s"),
            plural(passes, "pass", "es"),
            plural(self.temporaries.len(), "temporary array", "s")
        )?;
        for (index, kernel) in self.kernels.iter().enumerate() {
            write!(formatter, "  kernel {index}: {}", kernel.name)?;
            if kernel.is_row() {
                write!(formatter, " · rows over axes {:?} of {}", kernel.axes, kernel.domain.len())?;
            }
            let list = |buffers: Vec<Buffer>| {
                // Halves of one array are sources of their own.
                let mut names: Vec<String> = Vec::new();
                for name in buffers.into_iter().map(|buffer| self.buffer_name(buffer)) {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
            };
            writeln!(
                formatter,
                "\n    reads {} · writes {}",
                list(kernel.sources.iter().map(|source| source.buffer).collect()),
                list(kernel.sinks.iter().map(|sink| sink.buffer).collect())
            )?;
            if kernel.is_row() {
                for (number, stage) in kernel.stages.iter().enumerate() {
                    let reductions: Vec<&str> = stage.reductions.iter().map(|r| r.reduction.name()).collect();
                    let reductions =
                        if reductions.is_empty() { String::new() } else { format!(" → {}", reductions.join(", ")) };
                    if !stage.along.is_empty() {
                        writeln!(
                            formatter,
                            "    stage {number}: {} ops along the row{reductions}",
                            stage.along.nodes.len()
                        )?;
                    }
                    if !stage.across.is_empty() {
                        writeln!(formatter, "    stage {number}: {} ops once a row", stage.across.nodes.len())?;
                    }
                }
            }
        }
        for note in &self.notes {
            writeln!(formatter, "  {note}")?;
        }
        Ok(())
    }
}

impl KernelPlan {
    /// How many passes the kernel runs.
    pub fn pass_count(&self) -> usize {
        self.stages
            .iter()
            .map(|stage| usize::from(!stage.along.is_empty()) + usize::from(!stage.across.is_empty()))
            .sum()
    }
}

impl Plan {
    /// The name of an array, for people.
    pub fn buffer_name(&self, buffer: Buffer) -> String {
        match buffer {
            Buffer::Input(index) => self.graph.inputs()[index].clone(),
            Buffer::Output(index) => self.graph.outputs()[index].name.clone(),
            Buffer::Temporary(index) => format!("t{index}"),
        }
    }
}
