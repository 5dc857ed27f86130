//! Which ops share a kernel, and why not the others.
//!
//! Reductions over the same axes of the same domain join in one row kernel, unless one depends on the other through a
//! reduction over different axes. What is elementwise goes where its result is needed: into the kernel of the last
//! reductions it depends on if it has that kernel's shape, else into an elementwise kernel of its own shape. A value of an
//! earlier kernel is read from memory where it is a reduction's result or costs more than [`KEEP_COST`]; cheaper
//! ones are recomputed.

use super::cost::{KEEP_COST, node_cost};
use super::decision::FusionDecision;
use super::kernel::{Buffer, Extent, KernelPlan, Plan, Source, Temporary};
use super::nodes::NodeSet;
use super::stages::{self, Draft};
use fuselet_ir::shape::{self, Shape};
use fuselet_ir::{Graph, Half, Node, NodeId};
use rustc_hash::{FxHashMap, FxHashSet};

/// An array that exists before a region runs.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) buffer: Buffer,
    pub(super) cuts: Vec<(usize, Half)>,
}

/// A set of reductions that share one row kernel.
struct Group {
    domain: Shape,
    axes: Vec<usize>,
    reductions: Vec<NodeId>,
}

impl Group {
    fn row_shape(&self) -> Shape {
        let mut shape = self.domain.clone();
        for axis in &self.axes {
            shape[*axis] = 1;
        }
        shape
    }
}

/// Plans regions of one graph into one plan.
pub(super) struct Partition<'a> {
    pub(super) graph: &'a Graph,
    pub(super) shapes: &'a [Shape],
    pub(super) extent: &'a dyn Fn(usize) -> Extent,
    pub(super) plan: &'a mut Plan,
}

impl Partition<'_> {
    fn shape(&self, id: NodeId) -> &Shape {
        &self.shapes[id.index()]
    }

    fn dimensions(&self, shape: &[usize]) -> Vec<Extent> {
        shape.iter().map(|length| (self.extent)(*length)).collect()
    }

    /// The axes a node reduces that are not of length 1; empty for every other node.
    fn reduced_axes(&self, id: NodeId) -> Vec<usize> {
        let Node::Reduce { argument, axes, .. } = self.graph.node(id) else { return Vec::new() };
        let shape = self.shape(*argument);
        let mut axes = shape::resolve_axes(axes, shape).expect("shapes were inferred");
        axes.retain(|axis| shape[*axis] != 1);
        axes
    }

    /// Plans kernels that compute `roots` from `leaves` alone, and appends them to the plan.
    pub(super) fn region(&mut self, roots: &[(NodeId, Buffer)], leaves: &FxHashMap<NodeId, Leaf>) {
        let inside = self.cone(roots.iter().map(|root| root.0), leaves);
        let (groups, home) = self.group(&inside, leaves);
        // Kernels: one a group, then elementwise ones by shape.
        let mut sinks: Vec<Vec<(NodeId, Buffer)>> = vec![Vec::new(); groups.len()];
        let mut elementwise: Vec<(Shape, Vec<(NodeId, Buffer)>)> = Vec::new();
        for &(node, buffer) in roots {
            let shape = self.shape(node);
            let fits = |group: usize| *shape == groups[group].domain;
            let at = match home[node.index()] {
                Some(group) if fits(group) || *shape == groups[group].row_shape() => Some(group),
                Some(_) => None,
                None if leaves.contains_key(&node) => None,
                None => (0..groups.len()).find(|group| fits(*group)),
            };
            match at {
                Some(group) => sinks[group].push((node, buffer)),
                None => match elementwise.iter_mut().find(|(known, _)| known == shape) {
                    Some((_, list)) => list.push((node, buffer)),
                    None => elementwise.push((shape.clone(), vec![(node, buffer)])),
                },
            }
        }
        // From the last kernel to the first, since a kernel asks earlier ones for what it needs.
        let mut kernels: Vec<KernelPlan> = Vec::new();
        for (shape, list) in elementwise.iter().rev() {
            let draft = Draft { domain: shape.clone(), axes: Vec::new(), reductions: Vec::new(), sinks: list.clone() };
            let kernel = self.kernel(draft, None, &groups, &home, &mut sinks, leaves);
            kernels.push(kernel);
        }
        for (index, group) in groups.iter().enumerate().rev() {
            let draft = Draft {
                domain: group.domain.clone(),
                axes: group.axes.clone(),
                reductions: group.reductions.clone(),
                sinks: std::mem::take(&mut sinks[index]),
            };
            let kernel = self.kernel(draft, Some(index), &groups, &home, &mut sinks, leaves);
            kernels.push(kernel);
        }
        kernels.reverse();
        self.note_boundaries(&kernels);
        self.plan.kernels.append(&mut kernels);
    }

    /// The nodes from `roots` down to leaves and constants, by index.
    fn cone(&self, roots: impl Iterator<Item = NodeId>, leaves: &FxHashMap<NodeId, Leaf>) -> NodeSet {
        let mut inside = NodeSet::of(self.graph);
        let mut stack: Vec<NodeId> = roots.collect();
        while let Some(id) = stack.pop() {
            if inside.insert(id) && !leaves.contains_key(&id) {
                stack.extend(self.graph.node(id).arguments());
            }
        }
        inside
    }

    /// Groups the reductions; and for each node the last group it depends on. A group depends only on earlier ones.
    fn group(&self, inside: &NodeSet, leaves: &FxHashMap<NodeId, Leaf>) -> (Vec<Group>, Vec<Option<usize>>) {
        let mut groups: Vec<Group> = Vec::new();
        let mut home: Vec<Option<usize>> = vec![None; self.graph.nodes().len()];
        for id in inside.iter() {
            if leaves.contains_key(&id) {
                continue;
            }
            let needed = self.graph.node(id).arguments().iter().filter_map(|argument| home[argument.index()]).max();
            let axes = self.reduced_axes(id);
            home[id.index()] = if axes.is_empty() {
                needed
            } else {
                let domain = self.shape(self.graph.node(id).arguments()[0]).clone();
                let first = needed.unwrap_or(0);
                let known = (first..groups.len()).find(|at| groups[*at].domain == domain && groups[*at].axes == axes);
                let at = known.unwrap_or_else(|| {
                    groups.push(Group { domain, axes, reductions: Vec::new() });
                    groups.len() - 1
                });
                groups[at].reductions.push(id);
                Some(at)
            };
        }
        (groups, home)
    }

    /// One kernel: its inside, what it reads from memory, and what it asks earlier groups to write.
    fn kernel(
        &mut self,
        mut draft: Draft,
        own: Option<usize>,
        groups: &[Group],
        home: &[Option<usize>],
        sinks: &mut [Vec<(NodeId, Buffer)>],
        leaves: &FxHashMap<NodeId, Leaf>,
    ) -> KernelPlan {
        let row: Vec<(NodeId, Buffer)> = draft.sinks.clone();
        draft.sinks.dedup();
        let mut sources: Vec<Source> = Vec::new();
        let mut inside = NodeSet::of(self.graph);
        let mut seen = NodeSet::of(self.graph);
        let mut stack: Vec<NodeId> = row.iter().map(|sink| sink.0).chain(draft.reductions.iter().copied()).collect();
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            if let Some(leaf) = leaves.get(&id) {
                sources.push(self.source(id, leaf.buffer, leaf.cuts.clone(), &draft));
                continue;
            }
            if let Some(group) = home[id.index()].filter(|group| Some(*group) != own) {
                let shape = self.shape(id);
                let reduction = !self.reduced_axes(id).is_empty();
                let fits = *shape == groups[group].domain || *shape == groups[group].row_shape();
                let cost = self.recompute_cost(id, leaves);
                if reduction || (fits && cost >= KEEP_COST) {
                    let buffer = self.written_by(id, &mut sinks[group]);
                    if !reduction {
                        self.plan.decisions.push(FusionDecision::KeptBetweenKernels { value: self.describe(id), cost });
                    }
                    sources.push(self.source(id, buffer, Vec::new(), &draft));
                    continue;
                }
                self.plan.decisions.push(FusionDecision::RecomputedBetweenKernels { value: self.describe(id), cost });
            }
            inside.insert(id);
            stack.extend(self.graph.node(id).arguments());
        }
        sources.sort_by_key(|source| source.node);
        let name = self.kernel_name(&inside, &draft);
        let mut decisions = Vec::new();
        let dimensions = |shape: &[usize]| self.dimensions(shape);
        let kernel = stages::build(self.graph, self.shapes, draft, inside, sources, name, dimensions, &mut decisions);
        self.plan.decisions.append(&mut decisions);
        kernel
    }

    /// The array an earlier kernel writes `id` to, asked for if need be.
    fn written_by(&mut self, id: NodeId, sinks: &mut Vec<(NodeId, Buffer)>) -> Buffer {
        if let Some((_, buffer)) = sinks.iter().find(|(node, _)| *node == id) {
            return *buffer;
        }
        let buffer = Buffer::Temporary(self.plan.temporaries.len());
        let dimensions = self.dimensions(self.shape(id));
        self.plan.temporaries.push(Temporary { node: id, dimensions, slot: 0 });
        sinks.push((id, buffer));
        buffer
    }

    fn source(&self, node: NodeId, buffer: Buffer, cuts: Vec<(usize, Half)>, draft: &Draft) -> Source {
        let shape = self.shape(node);
        let dimensions = self.dimensions(shape);
        Source { node, buffer, cuts, dimensions, varying: draft.varies(shape) }
    }

    /// An estimate of the lane ops it takes to compute a node from arrays, reductions counted as nothing.
    fn recompute_cost(&self, id: NodeId, leaves: &FxHashMap<NodeId, Leaf>) -> usize {
        let mut cost = 0;
        let mut seen = NodeSet::of(self.graph);
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if cost > 1000 || leaves.contains_key(&id) || !seen.insert(id) {
                continue;
            }
            let node = self.graph.node(id);
            cost += node_cost(node);
            if !matches!(node, Node::Reduce { .. }) {
                stack.extend(node.arguments());
            }
        }
        cost
    }

    fn describe(&self, id: NodeId) -> String {
        match (self.graph.label(id), self.graph.node(id)) {
            (Some(label), _) => label.text.clone(),
            (None, Node::Elementwise { op, .. }) => op.name().to_owned(),
            (None, Node::Reduce { reduction, .. }) => reduction.name().to_owned(),
            (None, Node::Input(index)) => self.graph.inputs()[*index as usize].clone(),
            (None, Node::Constant(_) | Node::Half { .. }) => format!("%{}", id.index()),
        }
    }

    /// Names a kernel by the calls it holds, in order; by its ops where there are none.
    fn kernel_name(&self, inside: &NodeSet, draft: &Draft) -> String {
        const MOST: usize = 6;
        let mut hidden = NodeSet::of(self.graph);
        for (id, label) in self.graph.labels().filter(|(id, _)| inside.contains(*id)) {
            let own: FxHashSet<NodeId> = label.arguments.iter().copied().collect();
            let mut stack: Vec<NodeId> = self.graph.node(id).arguments().to_vec();
            while let Some(inner) = stack.pop() {
                if !own.contains(&inner) && inside.contains(inner) && hidden.insert(inner) {
                    stack.extend(self.graph.node(inner).arguments());
                }
            }
        }
        let mut parts: Vec<String> = Vec::new();
        for id in inside.iter() {
            let named = self.graph.label(id).is_some();
            let worth = matches!(self.graph.node(id), Node::Elementwise { .. } | Node::Reduce { .. });
            if worth && (named || !hidden.contains(id)) {
                parts.push(self.describe(id));
            }
        }
        if parts.is_empty() {
            return if draft.sinks.is_empty() { "nothing".to_owned() } else { "copy".to_owned() };
        }
        let more = parts.len().saturating_sub(MOST);
        parts.truncate(MOST);
        let mut name = parts.join(" → ");
        if more > 0 {
            name.push_str(&format!(" → {more} more"));
        }
        name
    }

    /// Says for each kernel but the first why it is not part of the one before.
    fn note_boundaries(&mut self, kernels: &[KernelPlan]) {
        for pair in kernels.windows(2) {
            let [before, after] = pair else { continue };
            let note = match (before.is_row(), after.is_row()) {
                (true, true) if before.domain == after.domain && before.axes != after.axes => {
                    FusionDecision::DifferentAxes {
                        before: before.name.clone(),
                        after: after.name.clone(),
                        before_axes: before.axes.clone(),
                        after_axes: after.axes.clone(),
                    }
                }
                (true, true) if before.domain == after.domain => {
                    FusionDecision::ThroughOtherAxes { before: before.name.clone(), after: after.name.clone() }
                }
                _ => FusionDecision::DifferentShapes { before: before.name.clone(), after: after.name.clone() },
            };
            self.plan.decisions.push(note);
        }
    }
}
