//! The arena: nodes in order, found by their content, with the names of what goes in and out.

use super::node::{Arguments, Axes, Half, Label, Node, NodeId, Output};
use crate::op::{Kind, Op, Reduction};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

/// A hash-consed expression graph. See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    ids: FxHashMap<Node, NodeId>,
    inputs: Vec<String>,
    /// The places of inputs by their names.
    places: FxHashMap<String, u32>,
    outputs: Vec<Output>,
    labels: BTreeMap<NodeId, Label>,
}

impl Graph {
    /// The name of the result of a graph whose author gave none.
    pub const DEFAULT_OUTPUT: &'static str = "out";

    /// A graph of nothing.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// A graph of given parts, as they are. Labels given twice: the later counts.
    pub(super) fn unverified(
        nodes: Vec<Node>,
        inputs: Vec<String>,
        outputs: Vec<Output>,
        labels: impl IntoIterator<Item = (NodeId, Label)>,
    ) -> Graph {
        let mut ids = FxHashMap::default();
        for (index, node) in nodes.iter().enumerate() {
            // The first of two equal nodes is the one that is found; the verifier refuses the other.
            ids.entry(node.clone()).or_insert(NodeId::from_index(index));
        }
        let labels = labels.into_iter().collect();
        Graph { nodes, ids, outputs, labels, ..Graph::with_inputs(inputs) }
    }

    /// A graph of no nodes that declares these inputs, for rebuilding a graph in place of another.
    pub(crate) fn with_inputs(inputs: Vec<String>) -> Graph {
        let mut places = FxHashMap::default();
        for (name, place) in inputs.iter().zip(0..) {
            // The first of two of one name is the one that is found; the verifier refuses the other.
            places.entry(name.clone()).or_insert(place);
        }
        Graph { inputs, places, ..Graph::default() }
    }

    /// The nodes, arguments before users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Ids of all nodes, arguments before users.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId::from_index)
    }

    /// The names of the inputs, in the order in which they were first mentioned.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// The results.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The label of a node: the call whose result it is.
    pub fn label(&self, id: NodeId) -> Option<&Label> {
        self.labels.get(&id)
    }

    /// All labels, in the order of their nodes.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (NodeId, &Label)> {
        self.labels.iter().map(|(id, label)| (*id, label))
    }

    /// The id of the node equal to `node`, if there is one.
    pub fn find(&self, node: &Node) -> Option<NodeId> {
        self.ids.get(node).copied()
    }

    /// Labels the result of a named call. The outermost call keeps the name: a later label replaces an earlier one.
    pub fn set_label(&mut self, id: NodeId, text: impl Into<String>, arguments: &[NodeId]) {
        self.labels.insert(id, Label { text: text.into(), arguments: arguments.to_vec() });
    }

    /// Makes room for so many nodes more, so that adding them moves nothing.
    pub fn reserve(&mut self, nodes: usize) {
        self.nodes.reserve(nodes);
        self.ids.reserve(nodes);
    }

    /// The node equal to `node`, added if there is none yet. Its arguments must belong to this graph.
    pub fn add(&mut self, node: Node) -> NodeId {
        debug_assert!(node.arguments().iter().all(|argument| argument.index() < self.nodes.len()));
        match self.ids.entry(node) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let id = NodeId::from_index(self.nodes.len());
                self.nodes.push(new.key().clone());
                *new.insert(id)
            }
        }
    }

    /// The input of this name, declared if it is new.
    pub fn input(&mut self, name: &str) -> NodeId {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                let place = u32::try_from(self.inputs.len()).expect("a graph has fewer than 2^32 inputs");
                self.inputs.push(name.to_owned());
                self.places.insert(name.to_owned(), place);
                place
            }
        };
        self.add(Node::Input(place))
    }

    /// A number.
    pub fn constant(&mut self, value: f64) -> NodeId {
        self.add(Node::Constant(value.to_bits()))
    }

    /// An elementwise op. The number of arguments must be the op's arity.
    pub fn apply(&mut self, op: Op, arguments: &[NodeId]) -> NodeId {
        debug_assert_eq!(arguments.len(), op.arity(), "{} takes {} arguments", op.name(), op.arity());
        self.add(Node::Elementwise { op, arguments: Arguments::new(arguments) })
    }

    /// A reduction.
    pub fn reduce(&mut self, reduction: Reduction, argument: NodeId, axes: Axes) -> NodeId {
        self.add(Node::Reduce { reduction, argument, axes })
    }

    /// Half of an axis.
    pub fn half(&mut self, argument: NodeId, axis: i64, half: Half) -> NodeId {
        self.add(Node::Half { argument, axis, half })
    }

    /// Declares a result.
    pub fn output(&mut self, name: impl Into<String>, node: NodeId) {
        self.outputs.push(Output { name: name.into(), node });
    }

    /// Whether a node's value is a number or a bool.
    pub fn kind(&self, mut id: NodeId) -> Kind {
        loop {
            match self.node(id) {
                Node::Elementwise { op, .. } => return op.kind(),
                Node::Half { argument, .. } => id = *argument,
                Node::Input(_) | Node::Constant(_) | Node::Reduce { .. } => return Kind::Number,
            }
        }
    }

    /// The value of a constant node.
    pub fn constant_value(&self, id: NodeId) -> Option<f64> {
        match self.node(id) {
            Node::Constant(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    /// Which nodes some output needs.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        for output in &self.outputs {
            live[output.node.index()] = true;
        }
        for id in self.ids().rev() {
            if live[id.index()] {
                for argument in self.node(id).arguments() {
                    live[argument.index()] = true;
                }
            }
        }
        live
    }
}

/// Graphs are equal when they compute the same outputs from the same inputs by the same nodes; labels do not count.
impl PartialEq for Graph {
    fn eq(&self, other: &Graph) -> bool {
        self.nodes == other.nodes && self.inputs == other.inputs && self.outputs == other.outputs
    }
}

impl Eq for Graph {}
