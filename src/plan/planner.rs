//! From a graph to a plan: the order of the steps, and unfused execution as a choice of other steps.

use super::decision::FusionDecision;
use super::kernel::{Buffer, Extent, Plan, Temporary};
use super::lifetimes::{in_place_table, share_slots};
use super::partition::{Leaf, Partition};
use super::sink::{self, Sunk};
use fuselet_ir::shape::{self, Shape, ShapeError};
use fuselet_ir::{Graph, Half, Node, NodeId};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// How far to fuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Fusion {
    /// As few kernels as possible.
    #[default]
    Full,
    /// One kernel for each activation or op, with intermediates in memory: what the same model costs without fusing.
    Off,
}

/// Plans a graph for inputs of these shapes. `extent` names the lengths, so that the plan holds for other sizes too.
///
/// # Errors
/// Shapes that do not fit the graph.
pub fn plan(
    graph: &Graph,
    inputs: &[Shape],
    fusion: Fusion,
    extent: &dyn Fn(usize) -> Extent,
) -> Result<Plan, ShapeError> {
    let shapes = shape::infer(graph, inputs)?;
    let arrays = match fusion {
        Fusion::Full => vec![false; graph.nodes().len()],
        Fusion::Off => unfused_arrays(graph),
    };
    let Sunk { graph: sunk, places, arrays: cut_often } = sink::sink_halves(graph, &shapes, &arrays);
    let shapes =
        if sink::has_halves(graph) { shape::infer(&sunk, inputs)? } else { moved(shapes, &places, &sunk, inputs) };
    let dimensions = |node: NodeId| shapes[node.index()].iter().map(|length| extent(*length)).collect::<Vec<_>>();
    let mut plan = Plan {
        kernels: Vec::new(),
        temporaries: Vec::new(),
        outputs: sunk.outputs().iter().map(|output| dimensions(output.node)).collect(),
        in_place: Vec::new(),
        decisions: Vec::new(),
        graph: Graph::new(),
    };
    let halves = Halves::of(&sunk);
    let mut leaves = cut_leaves(&sunk, &halves, |node| match node {
        Node::Input(index) => Some(Buffer::Input(*index as usize)),
        _ => None,
    });
    let roots: Vec<(NodeId, Buffer)> =
        sunk.outputs().iter().enumerate().map(|(at, output)| (output.node, Buffer::Output(at))).collect();
    let mut partition = Partition { graph: &sunk, shapes: &shapes, extent, plan: &mut plan };
    // Nodes that are arrays whatever else is fused come first, in order; what is left is one region.
    let own_arrays = graph.ids().filter(|id| arrays[id.index()]).filter_map(|id| places[id.index()]);
    let all_arrays: BTreeSet<NodeId> = own_arrays.chain(cut_often.iter().copied()).collect();
    let mut pending = roots;
    for id in all_arrays {
        let own: Vec<(NodeId, Buffer)> = pending.extract_if(.., |root| root.0 == id).collect();
        let own = if own.is_empty() {
            let buffer = Buffer::Temporary(partition.plan.temporaries.len());
            partition.plan.temporaries.push(Temporary { node: id, dimensions: dimensions(id), slot: 0 });
            vec![(id, buffer)]
        } else {
            own
        };
        let first = partition.plan.kernels.len();
        partition.region(&own, &leaves);
        for at in first.max(1)..partition.plan.kernels.len() {
            let kernel = partition.plan.kernels[at].name.clone();
            partition.plan.decisions.push(match fusion {
                Fusion::Full => FusionDecision::CutOften { kernel },
                Fusion::Off => FusionDecision::Unfused { kernel },
            });
        }
        leaves.extend(halves.chain(&sunk, id, own[0].1));
    }
    // With fusion off: outputs that are inputs or constants as they stand.
    if !pending.is_empty() {
        partition.region(&pending, &leaves);
    }
    share_slots(&mut plan);
    plan.in_place = in_place_table(&plan, &sunk, &shapes, inputs);
    plan.decisions.dedup();
    plan.graph = sunk;
    Ok(plan)
}

/// The shapes of a copy's nodes, which begin with the inputs; `places` says where each node went.
fn moved(shapes: Vec<Shape>, places: &[Option<NodeId>], copy: &Graph, inputs: &[Shape]) -> Vec<Shape> {
    let mut moved = inputs.to_vec();
    moved.resize(copy.nodes().len(), Shape::new());
    for (shape, place) in shapes.into_iter().zip(places) {
        if let Some(place) = place {
            moved[place.index()] = shape;
        }
    }
    moved
}

/// The nodes that are arrays of their own when nothing is fused: results of calls, and ops outside of calls.
fn unfused_arrays(graph: &Graph) -> Vec<bool> {
    let mut arrays = vec![false; graph.nodes().len()];
    let mut stack: Vec<NodeId> = graph.outputs().iter().map(|output| output.node).collect();
    while let Some(id) = stack.pop() {
        let node = graph.node(id);
        if arrays[id.index()] || matches!(node, Node::Input(_) | Node::Constant(_)) {
            continue;
        }
        match graph.label(id) {
            Some(label) => stack.extend(&label.arguments),
            None => stack.extend(node.arguments()),
        }
        // A half is a view, and bools are not arrays.
        arrays[id.index()] = !matches!(node, Node::Half { .. }) && graph.kind(id) == fuselet_ir::Kind::Number;
    }
    arrays
}

/// The nodes that read arrays as they are: what `buffer` names, and chains of halves on it.
fn cut_leaves(graph: &Graph, halves: &Halves, buffer: impl Fn(&Node) -> Option<Buffer>) -> FxHashMap<NodeId, Leaf> {
    let mut leaves = FxHashMap::default();
    for id in graph.ids() {
        if let Some(buffer) = buffer(graph.node(id)) {
            leaves.extend(halves.chain(graph, id, buffer));
        }
    }
    leaves
}

/// The halves of each node that has any.
struct Halves(FxHashMap<NodeId, Vec<NodeId>>);

impl Halves {
    fn of(graph: &Graph) -> Halves {
        let mut halves: FxHashMap<NodeId, Vec<NodeId>> = FxHashMap::default();
        for id in graph.ids() {
            if let Node::Half { argument, .. } = graph.node(id) {
                halves.entry(*argument).or_default().push(id);
            }
        }
        Halves(halves)
    }

    /// An array and all chains of halves on it.
    fn chain(&self, graph: &Graph, array: NodeId, buffer: Buffer) -> Vec<(NodeId, Leaf)> {
        let mut chain = vec![(array, Leaf { buffer, cuts: Vec::new() })];
        let mut at = 0;
        while let Some((whole, leaf)) = chain.get(at) {
            let mut cut: Vec<(NodeId, Leaf)> = Vec::new();
            for id in self.0.get(whole).into_iter().flatten() {
                let Node::Half { axis, half, .. } = graph.node(*id) else { continue };
                debug_assert!(*axis < 0, "sunk halves count from the end");
                let from_end = usize::try_from(axis.unsigned_abs()).expect("an array has few axes");
                let mut cuts: Vec<(usize, Half)> = leaf.cuts.clone();
                cuts.push((from_end, *half));
                cut.push((*id, Leaf { buffer, cuts }));
            }
            chain.append(&mut cut);
            at += 1;
        }
        chain
    }
}
