//! The inside of a kernel: stages, and what each pass loads, computes and stores.
//!
//! A node's stage is the number of reductions, one behind the other, that it waits for. The pass along the row of stage
//! `s` computes the reductions whose argument has stage `s` and stores what has stage `s`. A value of an earlier stage
//! that is needed again is recomputed if it is cheap, else kept in a row buffer: [`KEEP_COST`] decides, and the
//! report says so.

use super::partition::{KEEP_COST, node_cost, plan_sinks};
use super::plan::{Buffer, Extent, KernelPlan, PassPlan, Slot, Source, Stage, StageReduction};
use super::report::Note;
use fuselet_ir::shape::Shape;
use fuselet_ir::{Graph, Kind, Node, NodeId, Reduction};
use std::collections::{BTreeMap, BTreeSet};

/// A kernel before its passes are made.
pub(super) struct Draft {
    pub(super) domain: Shape,
    pub(super) axes: Vec<usize>,
    pub(super) reductions: Vec<NodeId>,
    pub(super) sinks: Vec<(NodeId, Buffer)>,
}

impl Draft {
    /// Whether an array of this shape varies along the reduced axes; true for every array of an elementwise kernel.
    pub(super) fn varies(&self, shape: &[usize]) -> bool {
        let rank = self.domain.len();
        self.axes.is_empty()
            || self.axes.iter().any(|axis| {
                let from_end = rank - axis;
                from_end <= shape.len() && shape[shape.len() - from_end] != 1
            })
    }
}

struct Builder<'a> {
    graph: &'a Graph,
    inside: BTreeSet<NodeId>,
    sources: BTreeMap<NodeId, usize>,
    varying: BTreeMap<NodeId, bool>,
    stage: BTreeMap<NodeId, usize>,
    reductions: BTreeSet<NodeId>,
    kept: Vec<NodeId>,
    scalars: Vec<NodeId>,
    along: Vec<BTreeSet<NodeId>>,
    across: Vec<BTreeSet<NodeId>>,
}

/// Makes the stages of a kernel.
#[allow(clippy::too_many_arguments)]
pub(super) fn build(
    graph: &Graph,
    shapes: &[Shape],
    draft: Draft,
    inside: BTreeSet<NodeId>,
    sources: Vec<Source>,
    name: String,
    dimensions: impl Fn(&[usize]) -> Vec<Extent>,
    notes: &mut Vec<Note>,
) -> KernelPlan {
    let sinks = plan_sinks(&draft, shapes);
    let source_places: BTreeMap<NodeId, usize> = sources.iter().enumerate().map(|(at, s)| (s.node, at)).collect();
    let reductions: BTreeSet<NodeId> = draft.reductions.iter().copied().collect();
    let mut builder = Builder {
        graph,
        varying: inside.iter().chain(source_places.keys()).map(|id| (*id, draft.varies(&shapes[id.index()]))).collect(),
        inside,
        sources: source_places,
        stage: BTreeMap::new(),
        scalars: draft.reductions.clone(),
        reductions,
        kept: Vec::new(),
        along: Vec::new(),
        across: Vec::new(),
    };
    builder.find_stages();
    let argument_of = |id: NodeId| graph.node(id).arguments()[0];
    let last_reduction = draft.reductions.iter().map(|id| builder.stage[&argument_of(*id)] + 1).max().unwrap_or(0);
    let last_sink = sinks.iter().filter(|s| s.varying).map(|s| builder.stage_of(s.node) + 1).max().unwrap_or(0);
    let count = last_reduction.max(last_sink).max(1);
    builder.along = vec![BTreeSet::new(); count];
    builder.across = vec![BTreeSet::new(); count];
    for sink in &sinks {
        let stage = builder.stage_of(sink.node);
        if sink.varying {
            builder.along[stage].insert(sink.node);
        } else {
            // A value once a row that waits for no reduction is written with the first stage.
            builder.across[stage.saturating_sub(1)].insert(sink.node);
        }
    }
    for &id in &draft.reductions {
        let argument = argument_of(id);
        let stage = builder.stage_of(argument);
        builder.along[stage].insert(argument);
        if needs_whole_row(graph, id) {
            builder.keep(argument);
        }
    }
    // From the last pass to the first, since a pass asks earlier ones to keep what it needs.
    let mut stages: Vec<Stage> = vec![Stage::default(); count];
    for index in (0..count).rev() {
        stages[index].along = builder.pass(&builder.along[index].clone(), index, true, notes);
    }
    for (index, stage) in stages.iter_mut().enumerate() {
        stage.across = builder.pass(&builder.across[index].clone(), index, false, notes);
    }
    // Stores: now that all kept values and scalars are known.
    for (index, stage) in stages.iter_mut().enumerate() {
        for (at, sink) in sinks.iter().enumerate() {
            let sink_stage = builder.stage_of(sink.node);
            if sink.varying && sink_stage == index {
                store(&mut stage.along, Slot::Sink(at), sink.node);
            } else if !sink.varying && sink_stage.saturating_sub(1) == index {
                store(&mut stage.across, Slot::Sink(at), sink.node);
            }
        }
        for (at, node) in builder.kept.iter().enumerate() {
            if builder.stage_of(*node) == index {
                store(&mut stage.along, Slot::Keep(at), *node);
            }
        }
        for (at, node) in builder.scalars.iter().enumerate() {
            if !builder.reductions.contains(node) && builder.stage_of(*node) == index + 1 {
                store(&mut stage.across, Slot::SetScalar(at), *node);
            }
        }
        for &id in &draft.reductions {
            let Node::Reduce { reduction, argument, .. } = graph.node(id) else { continue };
            if builder.stage_of(*argument) != index {
                continue;
            }
            let scalar = builder.scalars.iter().position(|s| *s == id).expect("every reduction is a scalar");
            let kept = needs_whole_row(graph, id)
                .then(|| builder.kept.iter().position(|kept| kept == argument).expect("whole rows are kept"));
            if kept.is_none() {
                store(&mut stage.along, Slot::Reduction(stage.reductions.len()), *argument);
            }
            stage.reductions.push(StageReduction {
                node: id,
                reduction: *reduction,
                argument: *argument,
                scalar,
                kept,
            });
        }
    }
    KernelPlan {
        name,
        domain: dimensions(&draft.domain),
        axes: draft.axes,
        sources,
        sinks,
        kept: builder.kept,
        scalars: builder.scalars,
        stages,
    }
}

fn store(pass: &mut PassPlan, slot: Slot, node: NodeId) {
    pass.stores.push((pass.slots.len(), node));
    pass.slots.push(slot);
}

/// Whether a reduction cannot be taken one element at a time.
fn needs_whole_row(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.node(id), Node::Reduce { reduction: Reduction::SparsemaxTau, .. })
}

impl Builder<'_> {
    fn find_stages(&mut self) {
        for id in self.inside.iter().chain(self.sources.keys()).copied().collect::<BTreeSet<_>>() {
            let stage = if self.sources.contains_key(&id) {
                0
            } else {
                let arguments = self.graph.node(id).arguments();
                let waits = arguments.iter().map(|argument| self.stage_of(*argument)).max().unwrap_or(0);
                waits + usize::from(self.reductions.contains(&id))
            };
            self.stage.insert(id, stage);
        }
    }

    fn stage_of(&self, id: NodeId) -> usize {
        self.stage.get(&id).copied().unwrap_or(0)
    }

    fn keep(&mut self, id: NodeId) -> usize {
        self.kept.iter().position(|kept| *kept == id).unwrap_or_else(|| {
            self.kept.push(id);
            self.along[self.stage[&id]].insert(id);
            self.kept.len() - 1
        })
    }

    fn scalar(&mut self, id: NodeId) -> usize {
        self.scalars.iter().position(|scalar| *scalar == id).unwrap_or_else(|| {
            self.scalars.push(id);
            self.across[self.stage[&id] - 1].insert(id);
            self.scalars.len() - 1
        })
    }

    /// What a pass of stage `index` loads and computes for its roots.
    fn pass(&mut self, roots: &BTreeSet<NodeId>, index: usize, along: bool, notes: &mut Vec<Note>) -> PassPlan {
        let mut loads: BTreeMap<NodeId, Slot> = BTreeMap::new();
        let mut nodes: BTreeSet<NodeId> = BTreeSet::new();
        let mut stack: Vec<NodeId> = roots.iter().copied().collect();
        while let Some(id) = stack.pop() {
            if loads.contains_key(&id) || nodes.contains(&id) {
                continue;
            }
            if let Some(source) = self.sources.get(&id) {
                loads.insert(id, Slot::Source(*source));
                continue;
            }
            if self.reductions.contains(&id) {
                let scalar = self.scalar(id);
                loads.insert(id, Slot::Scalar(scalar));
                continue;
            }
            let (varying, stage) = (self.varying[&id], self.stage[&id]);
            if along && !varying && stage > 0 {
                let scalar = self.scalar(id);
                loads.insert(id, Slot::Scalar(scalar));
                continue;
            }
            if !along && stage <= index && self.scalars.contains(&id) {
                let scalar = self.scalar(id);
                loads.insert(id, Slot::Scalar(scalar));
                continue;
            }
            if along && varying && stage < index {
                let cost = self.cost(id);
                if cost >= KEEP_COST && self.graph.kind(id) == Kind::Number {
                    let fresh = !self.kept.contains(&id);
                    let kept = self.keep(id);
                    if fresh {
                        notes.push(Note::KeptInRow { value: describe(self.graph, id), cost });
                    }
                    loads.insert(id, Slot::Kept(kept));
                    continue;
                }
                if cost > 0 {
                    notes.push(Note::RecomputedInRow { value: describe(self.graph, id), cost });
                }
            }
            nodes.insert(id);
            stack.extend(self.graph.node(id).arguments());
        }
        let mut pass = PassPlan { nodes: nodes.into_iter().collect(), ..PassPlan::default() };
        for (node, slot) in loads {
            pass.loads.push((pass.slots.len(), node));
            pass.slots.push(slot);
        }
        pass
    }

    /// An estimate of the lane ops it takes to compute a node anew along the row.
    fn cost(&self, id: NodeId) -> usize {
        let mut cost = 0;
        let mut seen = BTreeSet::new();
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if cost > 1000 || self.sources.contains_key(&id) || !self.varying[&id] || !seen.insert(id) {
                continue;
            }
            let node = self.graph.node(id);
            cost += node_cost(node);
            stack.extend(node.arguments());
        }
        cost
    }
}

fn describe(graph: &Graph, id: NodeId) -> String {
    match (graph.label(id), graph.node(id)) {
        (Some(label), _) => label.text.clone(),
        (None, Node::Elementwise { op, .. }) => op.name().to_owned(),
        _ => format!("%{}", id.index()),
    }
}
