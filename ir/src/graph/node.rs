//! Nodes: what a graph is made of.

use crate::choice::choices;
use crate::op::{Op, Reduction};

/// A node of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The node's place in [`Graph::nodes`](crate::Graph::nodes).
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The node's place as it is stored.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// The id of the node at `index`.
    pub fn from_index(index: usize) -> NodeId {
        NodeId(u32::try_from(index).expect("a graph holds at most 2^32 nodes"))
    }
}

/// The arguments of an elementwise node: zero to three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arguments {
    ids: [NodeId; 3],
    length: u8,
}

impl Arguments {
    /// At most three arguments.
    pub fn new(arguments: &[NodeId]) -> Arguments {
        let mut ids = [NodeId(0); 3];
        ids[..arguments.len()].copy_from_slice(arguments);
        let length = u8::try_from(arguments.len()).expect("at most three arguments");
        Arguments { ids, length }
    }
}

impl std::ops::Deref for Arguments {
    type Target = [NodeId];
    fn deref(&self) -> &[NodeId] {
        &self.ids[..usize::from(self.length)]
    }
}

/// The axes of a reduction, as written: negative ones count from the end of the argument's own shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Axes {
    /// Every axis.
    All,
    /// These axes. An empty list reduces nothing.
    List(Vec<i64>),
}

choices!("half", Half { First = "first", Second = "second" });

impl Axes {
    /// One axis.
    pub fn one(axis: i64) -> Axes {
        Axes::List(vec![axis])
    }
}

/// One half of an axis of even length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// The elements before the middle.
    First,
    /// The elements from the middle on.
    Second,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The input at this place of [`Graph::inputs`](crate::Graph::inputs).
    Input(u32),
    /// A number: float64 bits, so that NaN payloads and −0 are kept apart.
    Constant(u64),
    /// An elementwise op; arguments broadcast against each other, aligned at the last axis.
    Elementwise {
        /// The op.
        op: Op,
        /// Its arguments, as many as its arity.
        arguments: Arguments,
    },
    /// A reduction; reduced axes stay with length 1.
    Reduce {
        /// The reduction.
        reduction: Reduction,
        /// What is reduced.
        argument: NodeId,
        /// Over which axes.
        axes: Axes,
    },
    /// One half of the argument along an axis of even length.
    Half {
        /// What is cut.
        argument: NodeId,
        /// The axis, negative from the end.
        axis: i64,
        /// Which half.
        half: Half,
    },
}

impl Node {
    /// The nodes this one reads.
    pub fn arguments(&self) -> &[NodeId] {
        match self {
            Node::Input(_) | Node::Constant(_) => &[],
            Node::Elementwise { arguments, .. } => arguments,
            Node::Reduce { argument, .. } | Node::Half { argument, .. } => std::slice::from_ref(argument),
        }
    }

    /// The same node reading other arguments, one for each of [`Node::arguments`].
    pub fn with_arguments(&self, replacements: &[NodeId]) -> Node {
        let mut node = self.clone();
        match &mut node {
            Node::Input(_) | Node::Constant(_) => {}
            Node::Elementwise { arguments, .. } => *arguments = Arguments::new(replacements),
            Node::Reduce { argument, .. } | Node::Half { argument, .. } => *argument = replacements[0],
        }
        node
    }
}

/// One named result of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// Its name; a graph with one unnamed result calls it `out`.
    pub name: String,
    /// The node whose value it is.
    pub node: NodeId,
}

/// The call of a named function, remembered at the node of its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The call as users write it, without its arguments: `gelu`, `softmax(axis = 1)`.
    pub text: String,
    /// The nodes of its arguments; what lies between them and the result is the call's inside.
    pub arguments: Vec<NodeId>,
}

impl From<i64> for Axes {
    fn from(axis: i64) -> Axes {
        Axes::one(axis)
    }
}

impl From<&[i64]> for Axes {
    fn from(axes: &[i64]) -> Axes {
        Axes::List(axes.to_vec())
    }
}

impl<const N: usize> From<[i64; N]> for Axes {
    fn from(axes: [i64; N]) -> Axes {
        Axes::List(axes.to_vec())
    }
}
