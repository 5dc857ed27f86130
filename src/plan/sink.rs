//! Moves halves down to the inputs, so that `glu` of a computed value is one kernel.
//!
//! A half of an elementwise result is the same op on halves of its arguments (an argument that is broadcast along the
//! axis stays whole); a half of a reduction over other axes is the reduction of the half. After this pass halves
//! stand only on inputs, as a chain of cuts that reading strides can express.

use fuselet_ir::shape::{self, Shape};
use fuselet_ir::{Graph, Half, Node, NodeId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The same graph with halves only on inputs and on `barriers` (by node index; values that will be arrays anyway), and
/// where each node went. `shapes` are the shapes of `graph`'s nodes; labels follow.
pub(super) fn sink_halves(graph: &Graph, shapes: &[Shape], barriers: &[bool]) -> (Graph, Vec<Option<NodeId>>) {
    let mut result = Graph::new();
    result.reserve(graph.nodes().len());
    for name in graph.inputs() {
        result.input(name);
    }
    let places = if has_halves(graph) { sink(graph, shapes, barriers, &mut result) } else { copy(graph, &mut result) };
    let place = |id: NodeId| places[id.index()];
    for output in graph.outputs() {
        let node = place(output.node).expect("outputs were placed");
        result.output(output.name.clone(), node);
    }
    for (id, label) in graph.labels() {
        let arguments: Option<Vec<NodeId>> = label.arguments.iter().map(|argument| place(*argument)).collect();
        if let (Some(id), Some(arguments)) = (place(id), arguments) {
            result.set_label(id, label.text.clone(), &arguments);
        }
    }
    (result, places)
}

/// Whether there is anything to move.
pub(super) fn has_halves(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| matches!(node, Node::Half { .. }))
}

/// Adds what some output needs as it is; says where each node went.
fn copy(graph: &Graph, result: &mut Graph) -> Vec<Option<NodeId>> {
    let live = graph.live();
    let mut places: Vec<Option<NodeId>> = vec![None; graph.nodes().len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let place = |argument: &NodeId| places[argument.index()].expect("arguments come before users");
        let arguments: SmallVec<[NodeId; 3]> = node.arguments().iter().map(place).collect();
        places[id.index()] = Some(result.add(node.with_arguments(&arguments)));
    }
    places
}

/// Adds what some output needs, halves sunk; says where each node went.
fn sink(graph: &Graph, shapes: &[Shape], barriers: &[bool], result: &mut Graph) -> Vec<Option<NodeId>> {
    // What to compute: a node of `graph` with a list of cuts still to apply, as (axis from the end, half).
    type Wanted = (NodeId, Vec<(usize, Half)>);
    let mut done: FxHashMap<Wanted, NodeId> = FxHashMap::default();
    let mut stack: Vec<Wanted> = Vec::new();
    let live = graph.live();
    let roots = graph.ids().filter(|id| live[id.index()] && !matches!(graph.node(*id), Node::Half { .. }));
    for root in roots.chain(graph.outputs().iter().map(|output| output.node)) {
        stack.push((root, Vec::new()));
        while let Some((id, cuts)) = stack.last().cloned() {
            if done.contains_key(&(id, cuts.clone())) {
                stack.pop();
                continue;
            }
            let node = graph.node(id);
            let stop = barriers[id.index()] && !cuts.is_empty();
            let wanted: Vec<Wanted> = match node {
                _ if stop => vec![(id, Vec::new())],
                Node::Half { argument, axis, half } => {
                    let rank = shapes[argument.index()].len();
                    let place = shape::resolve_axis(*axis, &shapes[argument.index()]).expect("shapes were inferred");
                    let mut inner = vec![(rank - place, *half)];
                    inner.extend(cuts.iter().copied());
                    vec![(*argument, inner)]
                }
                Node::Reduce { argument, .. } => vec![(*argument, cuts.clone())],
                Node::Elementwise { arguments, .. } => arguments
                    .iter()
                    .map(|argument| {
                        let shape = &shapes[argument.index()];
                        // A cut concerns an argument only if the argument varies along the axis.
                        let own = cuts
                            .iter()
                            .copied()
                            .filter(|(from_end, _)| *from_end <= shape.len() && shape[shape.len() - from_end] != 1);
                        (*argument, own.collect())
                    })
                    .collect(),
                Node::Input(_) | Node::Constant(_) => Vec::new(),
            };
            let mut ready = Vec::with_capacity(wanted.len());
            for item in &wanted {
                match done.get(item) {
                    Some(id) => ready.push(*id),
                    None => stack.push(item.clone()),
                }
            }
            if ready.len() < wanted.len() {
                continue;
            }
            let new = match node {
                Node::Half { .. } if !stop => ready[0],
                Node::Input(_)
                | Node::Constant(_)
                | Node::Half { .. }
                | Node::Reduce { .. }
                | Node::Elementwise { .. }
                    if stop || node.arguments().is_empty() =>
                {
                    let mut new = if stop { ready[0] } else { result.add(node.clone()) };
                    for (from_end, half) in &cuts {
                        new = result.half(new, -(*from_end as i64), *half);
                    }
                    new
                }
                _ => result.add(node.with_arguments(&ready)),
            };
            done.insert((id, cuts), new);
            stack.pop();
        }
    }
    graph.ids().map(|id| done.get(&(id, Vec::new())).copied()).collect()
}
