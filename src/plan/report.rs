//! Plans as text: what is run, and why.

use super::kernel::{Buffer, KernelPlan, Plan};
use std::fmt;

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
                    if !stage.row_pass.is_empty() {
                        writeln!(
                            formatter,
                            "    stage {number}: {} ops along the row{reductions}{}",
                            stage.row_pass.nodes.len(),
                            if stage.condition.is_some() { ", where a row needs it" } else { "" }
                        )?;
                    }
                    if !stage.per_row_pass.is_empty() {
                        writeln!(formatter, "    stage {number}: {} ops once a row", stage.per_row_pass.nodes.len())?;
                    }
                }
            }
        }
        for note in &self.decisions {
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
            .map(|stage| usize::from(!stage.row_pass.is_empty()) + usize::from(!stage.per_row_pass.is_empty()))
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
