//! Sets of nodes, as bits: planning asks for every node of a graph several times whether it was there already.

use fuselet_ir::{Graph, NodeId};

/// A set of nodes of one graph.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeSet {
    words: Vec<u64>,
}

impl NodeSet {
    /// The empty set of nodes of a graph.
    pub(super) fn of(graph: &Graph) -> NodeSet {
        NodeSet { words: vec![0; graph.nodes().len().div_ceil(64)] }
    }

    /// Adds a node; says whether it is new.
    pub(super) fn insert(&mut self, id: NodeId) -> bool {
        let (word, bit) = (&mut self.words[id.index() / 64], 1 << (id.index() % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether a node is in the set.
    pub(super) fn contains(&self, id: NodeId) -> bool {
        self.words[id.index() / 64] >> (id.index() % 64) & 1 != 0
    }

    /// The nodes, arguments before users.
    pub(super) fn iter(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest.checked_sub(1)?;
                Some(NodeId::from_index(64 * at + bit))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_come_out_once_and_in_order() {
        let mut graph = Graph::new();
        let ids: Vec<NodeId> = (0..200).map(|number| graph.constant(f64::from(number))).collect();
        let mut set = NodeSet::of(&graph);
        let places = [199, 0, 63, 64, 127, 128, 5];
        for place in places {
            assert!(set.insert(ids[place]) && !set.insert(ids[place]));
        }
        let mut sorted = places;
        sorted.sort_unstable();
        assert_eq!(set.iter().map(NodeId::index).collect::<Vec<_>>(), sorted);
        assert!(ids.iter().all(|id| set.contains(*id) == places.contains(&id.index())));
    }
}
