//! When arrays are first written and last read: which temporaries may share memory, and which outputs may be the very array of
//! an input.

use super::kernel::{Buffer, Extent, KernelPlan, PassPlan, Plan, Slot};
use fuselet_ir::Graph;
use fuselet_ir::shape::Shape;

/// Gives temporaries of equal dimensions the same memory where one is last read before the other is first written.
pub(super) fn share_slots(plan: &mut Plan) {
    let lifetimes: Vec<_> = (0..plan.temporaries.len())
        .map(|at| {
            let buffer = Buffer::Temporary(at);
            (first_write(plan, buffer).map(|place| place.0), last_read(plan, buffer).map(|place| place.0))
        })
        .collect();
    // For each slot the dimensions, and the kernel after which it is free.
    let mut slots: Vec<(Vec<Extent>, Option<usize>)> = Vec::new();
    let mut order: Vec<usize> = (0..plan.temporaries.len()).collect();
    order.sort_by_key(|at| lifetimes[*at].0);
    for at in order {
        let (written, read) = lifetimes[at];
        let temporary = &mut plan.temporaries[at];
        let free = slots.iter().position(|(dimensions, busy)| *dimensions == temporary.dimensions && *busy < written);
        temporary.slot = free.unwrap_or_else(|| {
            slots.push((temporary.dimensions.clone(), None));
            slots.len() - 1
        });
        slots[temporary.slot].1 = read.max(written);
    }
}

/// Which output may be the very array of which input: the input is read whole, at the element that is written, and by no
/// pass after the one that writes.
pub(super) fn in_place_table(plan: &Plan, graph: &Graph, shapes: &[Shape], inputs: &[Shape]) -> Vec<Vec<bool>> {
    let mut table = Vec::with_capacity(graph.outputs().len());
    for output in 0..graph.outputs().len() {
        let written = first_write(plan, Buffer::Output(output));
        let shape = &shapes[graph.outputs()[output].node.index()];
        let row = (0..inputs.len()).map(|input| {
            let whole = plan.kernels.iter().flat_map(|kernel| &kernel.sources).all(|source| {
                source.buffer != Buffer::Input(input)
                    || (source.cuts.is_empty() && shapes[source.node.index()] == *shape)
            });
            // An input that no kernel reads may still be an output of its own; then it is read by that kernel.
            whole && inputs[input] == *shape && last_read(plan, Buffer::Input(input)) <= written
        });
        table.push(row.collect());
    }
    table
}

/// (kernel, stage) of the first pass that writes an array.
fn first_write(plan: &Plan, buffer: Buffer) -> Option<(usize, usize)> {
    positions(plan, |kernel, pass| {
        pass.slots.iter().any(|slot| matches!(slot, Slot::Sink(at) if kernel.sinks[*at].buffer == buffer))
    })
    .next()
}

/// (kernel, stage) of the last pass that reads an array.
fn last_read(plan: &Plan, buffer: Buffer) -> Option<(usize, usize)> {
    positions(plan, |kernel, pass| {
        pass.slots.iter().any(|slot| matches!(slot, Slot::Source(at) if kernel.sources[*at].buffer == buffer))
    })
    .last()
}

fn positions<'a>(
    plan: &'a Plan,
    wanted: impl Fn(&KernelPlan, &PassPlan) -> bool + 'a,
) -> impl Iterator<Item = (usize, usize)> + 'a {
    plan.kernels
        .iter()
        .enumerate()
        .flat_map(|(at, kernel)| {
            kernel.stages.iter().enumerate().flat_map(move |(number, stage)| {
                // The pass across comes after the pass along.
                [(2 * number, &stage.row_pass), (2 * number + 1, &stage.per_row_pass)]
                    .map(|(place, pass)| (at, kernel, place, pass))
            })
        })
        .filter(move |(_, kernel, _, pass)| wanted(kernel, pass))
        .map(|(at, _, place, _)| (at, place))
}
