//! Constants of a graph, folded before it is planned.
//!
//! Fused, a constant subexpression becomes constant lanes; unfused, it may be an array that is loaded. Lowering must not see
//! the difference. So before a graph is planned, every number that no input reaches becomes a constant node, fused or not,
//! whether the graph was rewritten or not: from then on "a constant" means that node. Exact rewriting folds some of them
//! earlier, to the same bits.
//!
//! Folding is lowering: the node's own lane ops on constant lanes, which [`LaneBuilder`] evaluates one by one, in the dtype of
//! the arithmetic and with the multiply-add of the machine. So a folded constant has the bits that code would compute.

use super::node::lower_node;
use crate::array::ComputeDtype;
use crate::lane::{LaneBuilder, Value};
use fuselet_ir::{Graph, Kind, Node, NodeId, Op};
use smallvec::SmallVec;
use std::borrow::Cow;

/// The graph with every number that no input reaches as a constant node. Its shapes must have been found to be right: errors
/// in what is folded are not seen afterwards.
pub(crate) fn fold_constants(graph: &Graph, dtype: ComputeDtype, fma: bool) -> Cow<'_, Graph> {
    let constant = reached_by_no_input(graph);
    // The cutoff stands in many activations. It is no exponent that lowering knows, so by itself it may stay.
    let worth = |id: NodeId| {
        constant[id.index()]
            && graph.kind(id) == Kind::Number
            && !matches!(graph.node(id), Node::Constant(_) | Node::Elementwise { op: Op::ExpCutoff, .. })
    };
    if !graph.ids().any(worth) {
        return Cow::Borrowed(graph);
    }
    let mut folded = Graph::new();
    folded.reserve(graph.nodes().len());
    graph.inputs().iter().for_each(|name| _ = folded.input(name));
    let mut builder = LaneBuilder::new(dtype, fma);
    // Of each old node its place; of each constant one its lanes, too, by its place.
    let mut places: Vec<NodeId> = Vec::with_capacity(graph.nodes().len());
    let mut lanes: Vec<Option<Value>> = Vec::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let arguments: SmallVec<[NodeId; 3]> =
            node.arguments().iter().map(|argument| places[argument.index()]).collect();
        let node = node.with_arguments(&arguments);
        if !constant[id.index()] {
            places.push(folded.add(node));
            continue;
        }
        let mut place = folded.add(node);
        let lane = |at: NodeId| lanes[at.index()].expect("arguments of constants are constants");
        let value = lower_node(&mut builder, &folded, place, lane);
        if let (Kind::Number, Some(number)) = (folded.kind(place), builder.known_number(value)) {
            place = folded.constant(number);
        }
        lanes.resize(folded.nodes().len(), None);
        lanes[place.index()] = Some(value);
        places.push(place);
    }
    for output in graph.outputs() {
        folded.output(output.name.clone(), places[output.node.index()]);
    }
    for (id, label) in graph.labels().filter(|(id, _)| !constant[id.index()]) {
        let arguments: Vec<NodeId> = label.arguments.iter().map(|argument| places[argument.index()]).collect();
        folded.set_label(places[id.index()], label.text.clone(), &arguments);
    }
    Cow::Owned(folded)
}

/// For each node, whether it is computed from constants alone. (A constant has no axes to halve.)
fn reached_by_no_input(graph: &Graph) -> Vec<bool> {
    let mut constant: Vec<bool> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let own = !matches!(node, Node::Input(_) | Node::Half { .. });
        constant.push(own && node.arguments().iter().all(|argument| constant[argument.index()]));
    }
    constant
}

#[cfg(test)]
mod tests {
    use super::*;
    use fuselet_ir::{IntoProgram, Library, Meaning};

    fn graph(text: &str) -> Graph {
        text.into_program(&Library::standard()).expect("it parses").graph(Meaning::Form).expect("it is right")
    }

    fn constants(graph: &Graph) -> Vec<f64> {
        let live = graph.live();
        graph.ids().filter(|id| live[id.index()]).filter_map(|id| graph.constant_value(id)).collect()
    }

    #[test]
    fn what_no_input_reaches_is_one_constant_in_the_dtype_of_the_arithmetic() {
        for (text, float32, float64) in [
            ("x ^ (exp(0) + 1)", 2.0, 2.0),
            ("x ^ (1e-40 - 1)", -1.0, -1.0),
            ("x ^ (1e-9 - 1)", -1.0, 1e-9 - 1.0),
            ("x ^ (if 1 < 2 then 3 else 0.1)", 3.0, 3.0),
            ("x ^ sum(2, axis = [])", 2.0, 2.0),
            ("x ^ max(2, axis = [])", 2.0, 2.0),
            ("x ^ (exp_cutoff() + 1)", 111.0, 753.0),
        ] {
            let graph = graph(text);
            for (dtype, expected) in [(ComputeDtype::F32, float32), (ComputeDtype::F64, float64)] {
                for fma in [false, true] {
                    let folded = fold_constants(&graph, dtype, fma);
                    let exponent = folded.nodes().iter().find_map(|node| match node {
                        Node::Elementwise { op: Op::Pow, arguments } => folded.constant_value(arguments[1]),
                        _ => None,
                    });
                    assert_eq!(exponent, Some(expected), "{text}, {dtype:?}");
                    assert_eq!(constants(&folded), [expected], "{text}, {dtype:?}");
                }
            }
        }
    }

    #[test]
    fn what_lowering_asks_no_question_of_is_not_copied() {
        for text in ["silu(x)", "gelu(x * 2) + 1", "if 1 < 2 then x else y"] {
            assert!(matches!(fold_constants(&graph(text), ComputeDtype::F32, true), Cow::Borrowed(_)), "{text}");
        }
    }
}
