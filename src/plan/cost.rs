//! What ops cost, estimated in lane ops: for deciding what to keep and what to compute again, and how many threads pay.

use super::kernel::KernelPlan;
use fuselet_ir::{Class, Graph, Node, Op};

/// From this estimated number of lane ops on, a value that is needed again is kept in memory instead of recomputed: a
/// store and a load from L1 cost about as much as eight simple ops.
pub(super) const KEEP_COST: usize = 8;

/// Roughly how many lane ops a node becomes.
pub(crate) fn node_cost(node: &Node) -> usize {
    match node {
        Node::Elementwise { op, .. } => match op.class() {
            Class::Special => 20,
            Class::Cast => 8,
            Class::Companion => match op {
                Op::ExpCutoff => 0,
                Op::ProductError | Op::Binade => 2,
                Op::DifferenceError => 6,
                _ => 14,
            },
            Class::Arithmetic if matches!(op, Op::Div | Op::Sqrt) => 5,
            Class::Arithmetic | Class::Comparison | Class::Logic | Class::Select => 1,
        },
        Node::Input(_) | Node::Constant(_) | Node::Half { .. } | Node::Reduce { .. } => 0,
    }
}

/// Roughly how many lane ops a kernel does for each element of its domain.
pub(crate) fn kernel_work(graph: &Graph, kernel: &KernelPlan) -> usize {
    kernel.stages.iter().flat_map(|stage| &stage.row_pass.nodes).map(|node| node_cost(graph.node(*node))).sum()
}
