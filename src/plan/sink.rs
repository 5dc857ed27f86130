//! Moves halves down to the arrays, so that `glu` of a computed value is one kernel.
//!
//! A half of an elementwise result is the same op on halves of its arguments (an argument that is broadcast along the
//! axis stays whole); a half of a reduction over other axes is the reduction of the half. After this pass halves
//! stand only on arrays: inputs, and nodes that are to be computed into memory. There they are a chain of cuts that reading
//! strides can express.
//!
//! A node is computed once for each way in which it is cut. Halves of halves are twice as many ways each time, so a node that is
//! cut in more than [`MOST_CUTS`] ways becomes an array: however halves are nested, the result is as large as the graph but for that
//! factor. Users come after a node, so one walk from the last node to the first knows all ways in which it is cut.

use fuselet_ir::shape::{self, Shape};
use fuselet_ir::{Graph, Half, Kind, Node, NodeId, Op};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// The most ways in which a node is cut and still computed where it is needed: halves of halves of halves.
const MOST_CUTS: usize = 8;

/// A graph whose halves stand only on arrays.
pub(super) struct Sunk {
    pub(super) graph: Graph,
    /// Where each node went that is needed whole.
    pub(super) places: Vec<Option<NodeId>>,
    /// The nodes of the new graph that must be arrays because they are cut in many ways, arguments before users.
    pub(super) arrays: Vec<NodeId>,
}

/// The same graph with halves only on inputs, on `barriers` (by node index; values that will be arrays anyway) and on what is cut in
/// many ways. `shapes` are the shapes of `graph`'s nodes; labels follow.
pub(super) fn sink_halves(graph: &Graph, shapes: &[Shape], barriers: &[bool]) -> Sunk {
    let mut result = Graph::new();
    result.reserve(graph.nodes().len());
    for name in graph.inputs() {
        result.input(name);
    }
    let mut sunk = if has_halves(graph) {
        Sinking::new(graph, shapes, barriers, result).finish()
    } else {
        let places = copy(graph, &mut result);
        Sunk { graph: result, places, arrays: Vec::new() }
    };
    let Sunk { graph: result, places, .. } = &mut sunk;
    let place = |id: NodeId| places[id.index()];
    for output in graph.outputs() {
        let node = place(output.node).expect("outputs were placed");
        result.output(output.name.clone(), node);
    }
    for (id, label) in graph.labels() {
        if let Some(id) = place(id) {
            // Of an argument that is read in halves there is no whole.
            let arguments: Vec<NodeId> = label.arguments.iter().filter_map(|argument| place(*argument)).collect();
            result.set_label(id, label.text.clone(), &arguments);
        }
    }
    sunk
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

/// What is cut off one axis: `depth` halves, the first in the lowest bit of `path`, set for a second half.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Cut {
    /// The axis from the end, 1 being the last.
    from_end: usize,
    depth: u32,
    path: u64,
}

/// The part of a value that is wanted: cuts by axis, the last axis first. None is the whole.
type Part = SmallVec<[Cut; 1]>;

/// The part that is left when `inner` is cut off first, then `outer`.
fn nested(inner: &Part, outer: &Part) -> Part {
    let mut part = inner.clone();
    for cut in outer {
        let place = part.partition_point(|known| known.from_end < cut.from_end);
        match part.get_mut(place) {
            // A length that is not 0 can be halved fewer times than an address has bits.
            Some(known) if known.from_end == cut.from_end => {
                known.path |= cut.path << known.depth;
                known.depth += cut.depth;
            }
            _ => part.insert(place, *cut),
        }
    }
    part
}

/// Sinks the halves of one graph.
struct Sinking<'g> {
    graph: &'g Graph,
    shapes: &'g [Shape],
    barriers: &'g [bool],
    /// What each half is a part of: a node that is no half.
    halved: Vec<Option<(NodeId, Part)>>,
    /// The parts wanted of each node that is no half; whether a half is wanted as it is.
    wanted: Vec<Vec<Part>>,
    is_wanted: Vec<bool>,
    /// Whether a node is an array because it is cut in many ways.
    is_cut_often: Vec<bool>,
    result: Graph,
    /// Where whole nodes went, and those that are arrays: what is cut.
    places: Vec<Option<NodeId>>,
    cut_places: Vec<Option<NodeId>>,
    /// Where parts of nodes went.
    parts: FxHashMap<(NodeId, Part), NodeId>,
}

impl<'g> Sinking<'g> {
    fn new(graph: &'g Graph, shapes: &'g [Shape], barriers: &'g [bool], result: Graph) -> Sinking<'g> {
        let count = graph.nodes().len();
        Sinking {
            graph,
            shapes,
            barriers,
            halved: vec![None; count],
            wanted: vec![Vec::new(); count],
            is_wanted: vec![false; count],
            is_cut_often: vec![false; count],
            result,
            places: vec![None; count],
            cut_places: vec![None; count],
            parts: FxHashMap::default(),
        }
    }

    fn finish(mut self) -> Sunk {
        self.find_halved();
        self.want();
        self.build();
        let arrays = self.graph.ids().filter(|id| self.is_cut_often[id.index()]);
        let arrays = arrays.filter_map(|id| self.cut_places[id.index()]).collect();
        Sunk { graph: self.result, places: self.places, arrays }
    }

    /// Whether a node's parts are cut off an array.
    fn is_array(&self, id: NodeId) -> bool {
        self.barriers[id.index()] || self.is_cut_often[id.index()]
    }

    /// Says of each half what it is a part of, so that no chain of halves is walked twice.
    fn find_halved(&mut self) {
        for id in self.graph.ids() {
            let Node::Half { argument, axis, half } = self.graph.node(id) else { continue };
            let shape = &self.shapes[argument.index()];
            let place = shape::resolve_axis(*axis, shape).expect("shapes were inferred");
            let mut own = Part::new();
            // An axis of length 0 is its own half.
            if shape[place] != 0 {
                own.push(Cut { from_end: shape.len() - place, depth: 1, path: u64::from(*half == Half::Second) });
            }
            self.halved[id.index()] = Some(match &self.halved[argument.index()] {
                Some((whole, inner)) => (*whole, nested(inner, &own)),
                None => (*argument, own),
            });
        }
    }

    /// The part of an argument that a part of an op or reduction is computed from.
    fn part_of_argument(&self, argument: NodeId, part: &Part) -> Part {
        let shape = &self.shapes[argument.index()];
        // A cut concerns an argument only if the argument varies along the axis.
        let varies = |cut: &&Cut| cut.from_end <= shape.len() && shape[shape.len() - cut.from_end] != 1;
        part.iter().filter(varies).copied().collect()
    }

    /// Finds the parts that are wanted of each node, from the last to the first.
    fn want(&mut self) {
        let live = self.graph.live();
        for output in self.graph.outputs() {
            self.want_part(output.node, Part::new());
        }
        for id in self.graph.ids().rev().filter(|id| live[id.index()]) {
            if self.halved[id.index()].is_some() {
                continue;
            }
            let mut parts = std::mem::take(&mut self.wanted[id.index()]);
            let cuts = parts.iter().filter(|part| !part.is_empty()).count();
            self.is_cut_often[id.index()] = cuts > MOST_CUTS && !self.barriers[id.index()];
            if self.is_array(id) {
                parts = vec![Part::new()];
            }
            for part in &parts {
                for argument in self.graph.node(id).arguments() {
                    self.want_part(*argument, self.part_of_argument(*argument, part));
                }
            }
            self.wanted[id.index()] = parts;
        }
    }

    fn want_part(&mut self, id: NodeId, part: Part) {
        let (id, part) = match &self.halved[id.index()] {
            Some((whole, own)) => {
                self.is_wanted[id.index()] |= part.is_empty();
                (*whole, nested(own, &part))
            }
            None => (id, part),
        };
        // Inputs are there whole, and a part of them is no work.
        if self.graph.node(id).arguments().is_empty() {
            return;
        }
        let parts = &mut self.wanted[id.index()];
        // One more than may be, and the whole, say that there are too many.
        if parts.len() <= MOST_CUTS + 1 && !parts.contains(&part) {
            parts.push(part);
        }
    }

    /// Builds the parts of each node, from the first to the last.
    fn build(&mut self) {
        let live = self.graph.live();
        for id in self.graph.ids().filter(|id| live[id.index()]) {
            let node = self.graph.node(id);
            if self.halved[id.index()].is_some() {
                if self.is_wanted[id.index()] {
                    self.places[id.index()] = Some(self.place(id, &Part::new()));
                }
                continue;
            }
            if node.arguments().is_empty() {
                self.places[id.index()] = Some(self.result.add(node.clone()));
                self.cut_places[id.index()] = self.places[id.index()];
                continue;
            }
            for part in std::mem::take(&mut self.wanted[id.index()]) {
                let mut arguments: SmallVec<[NodeId; 3]> = SmallVec::new();
                for argument in node.arguments() {
                    arguments.push(self.place(*argument, &self.part_of_argument(*argument, &part)));
                }
                let new = self.result.add(node.with_arguments(&arguments));
                if part.is_empty() {
                    self.places[id.index()] = Some(new);
                } else {
                    self.parts.insert((id, part), new);
                }
            }
            if self.is_array(id) {
                self.cut_places[id.index()] = self.places[id.index()].map(|place| self.number(id, place));
            }
        }
    }

    /// What stands for a node in memory: bools are 1 and 0 there.
    fn number(&mut self, id: NodeId, place: NodeId) -> NodeId {
        match self.graph.kind(id) {
            Kind::Number => place,
            Kind::Bool => {
                let (one, zero) = (self.result.constant(1.0), self.result.constant(0.0));
                self.result.apply(Op::Select, &[place, one, zero])
            }
        }
    }

    /// Where a part of a node is.
    fn place(&mut self, id: NodeId, part: &Part) -> NodeId {
        const BUILT: &str = "what is wanted is built before its users";
        if let Some((whole, own)) = &self.halved[id.index()] {
            let (whole, part) = (*whole, nested(own, part));
            return self.place(whole, &part);
        }
        if part.is_empty() {
            return self.places[id.index()].expect(BUILT);
        }
        let Some(mut place) = self.cut_places[id.index()] else {
            return self.parts[&(id, part.clone())];
        };
        for cut in part {
            for at in 0..cut.depth {
                let half = if cut.path >> at & 1 != 0 { Half::Second } else { Half::First };
                place = self.result.half(place, -(cut.from_end as i64), half);
            }
        }
        match self.graph.kind(id) {
            Kind::Number => place,
            Kind::Bool => {
                let zero = self.result.constant(0.0);
                let is_zero = self.result.apply(Op::Equal, &[place, zero]);
                self.result.apply(Op::Not, &[is_zero])
            }
        }
    }
}
