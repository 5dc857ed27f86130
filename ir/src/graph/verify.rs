//! Invariants of a graph. This list is the definition; [`verify`] checks every line of it.
//!
//! 1. **Order.** A node's arguments come before it, so that one walk from front to back meets values before their use.
//! 2. **Arity.** An elementwise node has as many arguments as its op's row in the table.
//! 3. **Kinds.** Arguments have the kind the op asks for: bools for logic and the condition of a select, numbers
//!    for everything else. Reductions take numbers. Halves take either and keep it.
//! 4. **Inputs.** An input node names one of the graph's inputs. Input names are not empty and differ. (An input that
//!    no node reads is legal: callers pass it, nobody looks.)
//! 5. **Outputs.** There is at least one. Each is a node of the graph. Output names are not empty and differ.
//! 6. **Hash-consing.** No two nodes are equal, and looking a node up gives its own id.
//! 7. **Axes.** A reduction's list names no axis twice in the same spelling. (Whether axes exist, and whether −1 and 2
//!    are one axis, is a question of shapes: [`crate::graph::shape`] answers it for each call.)
//! 8. **Labels.** A label belongs to a node of the graph, its text is not empty, and its arguments are nodes of the graph.
//!
//! Graphs built through [`Graph`]'s methods from ids of that same graph keep 1, 4, 6 and 8 by construction. The rest
//! is up to the caller, so whoever takes a graph from strangers verifies it first: the reference, deserialization
//! and the compiler do.

use super::arena::Graph;
use super::node::{Axes, Label, Node, NodeId, Output};
use crate::display::debug_as_displayed;
use crate::op::{Kind, Op};
use rustc_hash::FxHashSet;
use thiserror::Error;

/// The first invariant found broken.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// An argument that does not come before its user.
    #[error("node %{} reads %{}, which does not come before it; add arguments first, and only use ids of the same graph",
        node.index(), argument.index())]
    ArgumentOrder {
        /// The user.
        node: NodeId,
        /// The argument.
        argument: NodeId,
    },
    /// The wrong number of arguments.
    #[error("node %{}: `{}` takes {} arguments ({}), but {given} were given",
        node.index(), op.name(), op.arity(), op.row().arguments.join(", "))]
    ArgumentCount {
        /// The node.
        node: NodeId,
        /// Its op.
        op: Op,
        /// How many arguments it has.
        given: usize,
    },
    /// A bool where a number belongs, or the reverse.
    #[error("node %{}: argument {} of `{operation}`, %{}, is {}; {}",
        node.index(), place + 1, argument.index(), kind_name(opposite(*expected)), kind_advice(*expected))]
    ArgumentKind {
        /// The node.
        node: NodeId,
        /// The name of its op or reduction.
        operation: &'static str,
        /// Which argument, from 0.
        place: usize,
        /// The argument.
        argument: NodeId,
        /// What it should be.
        expected: Kind,
    },
    /// An input node without a name.
    #[error("node %{} reads input {index}, but the graph declares {declared}", node.index())]
    UnknownInput {
        /// The node.
        node: NodeId,
        /// The input's place.
        index: u32,
        /// How many inputs the graph has.
        declared: usize,
    },
    /// Two inputs, or two outputs, of one name, or one without a name.
    #[error("{}", if name.is_empty() { format!("an {role} has an empty name; give it one") }
        else { format!("two {role}s are called `{name}`; rename one of them") })]
    Name {
        /// `input` or `output`.
        role: &'static str,
        /// The name: empty, or used twice.
        name: String,
    },
    /// A graph that computes nothing.
    #[error("the graph has no output; declare one with `Graph::output`")]
    NoOutput,
    /// An output that is no node.
    #[error("output `{name}` is node %{}, but the graph has {nodes} nodes", node.index())]
    UnknownOutput {
        /// The output's name.
        name: String,
        /// The node it names.
        node: NodeId,
        /// How many nodes there are.
        nodes: usize,
    },
    /// Two equal nodes.
    #[error("nodes %{} and %{} are equal; equal nodes must be one, so let users of the second read the first",
        first.index(), second.index())]
    DuplicateNode {
        /// The node that look-up finds.
        first: NodeId,
        /// Its double.
        second: NodeId,
    },
    /// An axis twice in one list.
    #[error("node %{} reduces axis {axis} twice; name each axis once", node.index())]
    RepeatedAxis {
        /// The reduction.
        node: NodeId,
        /// The axis.
        axis: i64,
    },
    /// A label of no node, or an empty one.
    #[error("{}", if label.is_empty() { format!("the label of node %{} is empty; leave it out", node.index()) }
        else { format!("label `{label}` names node %{}, but the graph has {nodes} nodes", node.index()) })]
    Label {
        /// The node it is meant for, or the argument that is none.
        node: NodeId,
        /// Its text.
        label: String,
        /// How many nodes there are.
        nodes: usize,
    },
}

impl Graph {
    /// A graph of given parts, verified. Labels given twice: the later counts.
    pub fn from_parts(
        nodes: Vec<Node>,
        inputs: Vec<String>,
        outputs: Vec<Output>,
        labels: impl IntoIterator<Item = (NodeId, Label)>,
    ) -> Result<Graph, VerifyError> {
        let graph = Graph::unverified(nodes, inputs, outputs, labels);
        verify(&graph)?;
        Ok(graph)
    }
}

fn opposite(kind: Kind) -> Kind {
    match kind {
        Kind::Number => Kind::Bool,
        Kind::Bool => Kind::Number,
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "a number",
        Kind::Bool => "a bool",
    }
}

fn kind_advice(expected: Kind) -> &'static str {
    match expected {
        Kind::Number => "turn it into a number with `select(it, 1, 0)`",
        Kind::Bool => "compare it with something to get a bool",
    }
}

/// Checks every invariant of the module's documentation; the first broken one is the error.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    verify_names("input", graph.inputs().iter().map(String::as_str))?;
    verify_names("output", graph.outputs().iter().map(|output| output.name.as_str()))?;
    let count = graph.nodes().len();
    let mut kinds: Vec<Kind> = Vec::with_capacity(count);
    for id in graph.ids() {
        let kind = verify_node(graph, id, &kinds)?;
        kinds.push(kind);
    }
    if graph.outputs().is_empty() {
        return Err(VerifyError::NoOutput);
    }
    for output in graph.outputs() {
        if output.node.index() >= count {
            return Err(VerifyError::UnknownOutput { name: output.name.clone(), node: output.node, nodes: count });
        }
    }
    for (node, label) in graph.labels() {
        let missing = label.arguments.iter().copied().chain([node]).find(|id| id.index() >= count);
        if let Some(node) = missing.or_else(|| label.text.is_empty().then_some(node)) {
            return Err(VerifyError::Label { node, label: label.text.clone(), nodes: count });
        }
    }
    Ok(())
}

fn verify_names<'a>(role: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), VerifyError> {
    let mut seen = FxHashSet::default();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return Err(VerifyError::Name { role, name: name.to_owned() });
        }
    }
    Ok(())
}

/// Checks one node whose predecessors, of these kinds, are sound. Its own kind.
fn verify_node(graph: &Graph, id: NodeId, kinds: &[Kind]) -> Result<Kind, VerifyError> {
    let node = graph.node(id);
    for &argument in node.arguments() {
        if argument.index() >= id.index() {
            return Err(VerifyError::ArgumentOrder { node: id, argument });
        }
    }
    let want = |operation: &'static str, place: usize, argument: NodeId, expected: Kind| {
        if kinds[argument.index()] == expected {
            Ok(())
        } else {
            Err(VerifyError::ArgumentKind { node: id, operation, place, argument, expected })
        }
    };
    let kind = match node {
        Node::Input(index) if *index as usize >= graph.inputs().len() => {
            return Err(VerifyError::UnknownInput { node: id, index: *index, declared: graph.inputs().len() });
        }
        Node::Input(_) | Node::Constant(_) => Kind::Number,
        Node::Elementwise { op, arguments } => {
            if arguments.len() != op.arity() {
                return Err(VerifyError::ArgumentCount { node: id, op: *op, given: arguments.len() });
            }
            for (place, &argument) in arguments.iter().enumerate() {
                want(op.name(), place, argument, op.argument_kind(place))?;
            }
            op.kind()
        }
        Node::Reduce { reduction, argument, axes } => {
            want(reduction.name(), 0, *argument, Kind::Number)?;
            if let Axes::List(list) = axes {
                let mut seen = FxHashSet::default();
                if let Some(&axis) = list.iter().find(|axis| !seen.insert(**axis)) {
                    return Err(VerifyError::RepeatedAxis { node: id, axis });
                }
            }
            Kind::Number
        }
        Node::Half { argument, .. } => kinds[argument.index()],
    };
    match graph.find(node) {
        Some(found) if found == id => Ok(kind),
        found => Err(VerifyError::DuplicateNode { first: found.unwrap_or(id), second: id }),
    }
}

debug_as_displayed!(VerifyError);
