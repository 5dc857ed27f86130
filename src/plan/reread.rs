//! Outputs that later kernels read again.
//!
//! A value that is an output and also an argument of a later kernel is read from the output's array, which saves an array. That holds
//! only where the array stores what was computed as it is: from one of a narrower dtype a rounded value would come back, and unfused
//! execution, which reads outputs more often, would give other bits than fused. For calls with such arrays the value is written
//! a second time, to a temporary, and read from there.

use super::kernel::{Buffer, PassPlan, Plan, Sink, Slot, Temporary};

impl Plan {
    /// The same plan, of which no kernel reads an output.
    pub(crate) fn without_reread_outputs(mut self) -> Plan {
        let mut slot = self.temporaries.iter().map(|temporary| temporary.slot + 1).max().unwrap_or(0);
        for output in 0..self.outputs.len() {
            let array = Buffer::Output(output);
            let is_read = self.kernels.iter().flat_map(|kernel| &kernel.sources).any(|source| source.buffer == array);
            let writer = self.kernels.iter().position(|kernel| kernel.sinks.iter().any(|sink| sink.buffer == array));
            let (true, Some(writer)) = (is_read, writer) else { continue };
            let copy = Buffer::Temporary(self.temporaries.len());
            let kernel = &mut self.kernels[writer];
            let at = kernel.sinks.iter().position(|sink| sink.buffer == array).expect("this kernel writes it");
            let sink = Sink { buffer: copy, ..kernel.sinks[at].clone() };
            self.temporaries.push(Temporary { node: sink.node, dimensions: self.outputs[output].clone(), slot });
            slot += 1;
            let new = kernel.sinks.len();
            kernel.sinks.push(sink);
            for stage in &mut kernel.stages {
                store_again(&mut stage.row_pass, at, new);
                store_again(&mut stage.per_row_pass, at, new);
            }
            let sources = self.kernels.iter_mut().flat_map(|kernel| &mut kernel.sources);
            sources.filter(|source| source.buffer == array).for_each(|source| source.buffer = copy);
        }
        self
    }
}

/// Stores to sink `new` what a pass stores to sink `at`.
fn store_again(pass: &mut PassPlan, at: usize, new: usize) {
    let stored: Vec<_> = pass.stores.iter().filter(|(slot, _)| pass.slots[*slot] == Slot::Sink(at)).copied().collect();
    for (_, node) in stored {
        pass.stores.push((pass.slots.len(), node));
        pass.slots.push(Slot::Sink(new));
    }
}
