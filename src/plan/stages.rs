//! The inside of a kernel: stages, and what each pass loads, computes and stores.
//!
//! A node's stage is the number of reductions, one behind the other, that it waits for. The pass along the row of stage
//! `s` computes the reductions whose argument has stage `s` and stores what has stage `s`. A value of an earlier stage
//! that is needed again is recomputed if it is cheap, else kept in a row buffer: [`KEEP_COST`] decides, and the
//! report says so.

use super::cost::{KEEP_COST, node_cost};
use super::decision::FusionDecision;
use super::kernel::{Buffer, Condition, Extent, KernelPlan, PassPlan, Sink, Slot, Source, Stage, StageReduction};
use super::nodes::NodeSet;
use fuselet_ir::shape::Shape;
use fuselet_ir::{Graph, Kind, Node, NodeId, Op, Reduction};

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

/// The sinks of a draft as the plan holds them.
fn plan_sinks(draft: &Draft, shapes: &[Shape]) -> Vec<Sink> {
    draft
        .sinks
        .iter()
        .map(|(node, buffer)| Sink { node: *node, buffer: *buffer, varying: draft.varies(&shapes[node.index()]) })
        .collect()
}

struct Builder<'a> {
    graph: &'a Graph,
    inside: NodeSet,
    /// By node index: its place among the sources, if it is one.
    sources: Vec<Option<usize>>,
    varying: NodeSet,
    /// By node index.
    stage: Vec<usize>,
    reductions: NodeSet,
    kept: Vec<NodeId>,
    scalars: Vec<NodeId>,
    along: Vec<NodeSet>,
    across: Vec<NodeSet>,
}

/// Makes the stages of a kernel.
#[allow(clippy::too_many_arguments)]
pub(super) fn build(
    graph: &Graph,
    shapes: &[Shape],
    draft: Draft,
    inside: NodeSet,
    sources: Vec<Source>,
    name: String,
    dimensions: impl Fn(&[usize]) -> Vec<Extent>,
    decisions: &mut Vec<FusionDecision>,
) -> KernelPlan {
    let sinks = plan_sinks(&draft, shapes);
    let mut source_places = vec![None; graph.nodes().len()];
    for (at, source) in sources.iter().enumerate() {
        source_places[source.node.index()] = Some(at);
    }
    let mut reductions = NodeSet::of(graph);
    draft.reductions.iter().for_each(|id| _ = reductions.insert(*id));
    let mut varying = NodeSet::of(graph);
    let known = inside.iter().chain(sources.iter().map(|source| source.node));
    known.filter(|id| draft.varies(&shapes[id.index()])).for_each(|id| _ = varying.insert(id));
    let mut builder = Builder {
        graph,
        varying,
        inside,
        sources: source_places,
        stage: vec![0; graph.nodes().len()],
        scalars: draft.reductions.clone(),
        reductions,
        kept: Vec::new(),
        along: Vec::new(),
        across: Vec::new(),
    };
    builder.find_stages();
    let argument_of = |id: NodeId| graph.node(id).arguments()[0];
    let last_reduction = draft.reductions.iter().map(|id| builder.stage_of(argument_of(*id)) + 1).max().unwrap_or(0);
    let last_sink = sinks.iter().filter(|s| s.varying).map(|s| builder.stage_of(s.node) + 1).max().unwrap_or(0);
    let count = last_reduction.max(last_sink).max(1);
    builder.along = vec![NodeSet::of(graph); count];
    builder.across = vec![NodeSet::of(graph); count];
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
        stages[index].row_pass = builder.pass(&builder.along[index].clone(), index, true, decisions);
    }
    for (index, stage) in stages.iter_mut().enumerate() {
        stage.per_row_pass = builder.pass(&builder.across[index].clone(), index, false, decisions);
    }
    // Stores: now that all kept values and scalars are known.
    for (index, stage) in stages.iter_mut().enumerate() {
        for (at, sink) in sinks.iter().enumerate() {
            let sink_stage = builder.stage_of(sink.node);
            if sink.varying && sink_stage == index {
                store(&mut stage.row_pass, Slot::Sink(at), sink.node);
            } else if !sink.varying && sink_stage.saturating_sub(1) == index {
                store(&mut stage.per_row_pass, Slot::Sink(at), sink.node);
            }
        }
        for (at, node) in builder.kept.iter().enumerate() {
            if builder.stage_of(*node) == index {
                store(&mut stage.row_pass, Slot::Keep(at), *node);
            }
        }
        for (at, node) in builder.scalars.iter().enumerate() {
            if !builder.reductions.contains(*node) && builder.stage_of(*node) == index + 1 {
                store(&mut stage.per_row_pass, Slot::SetScalar(at), *node);
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
                store(&mut stage.row_pass, Slot::Reduction(stage.reductions.len()), *argument);
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
    for stage in &mut stages {
        stage.condition = condition_of(graph, stage);
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

/// The condition without which a stage reduces nothing but zeros and stores nothing, if it is one scalar for the whole row.
///
/// This is how a function tries a cheap form first: reductions of `if careful then value else 0` cost nothing where no row
/// of a batch needs them. Their results are the same either way, so fusing changes no bit.
fn condition_of(graph: &Graph, stage: &Stage) -> Option<Condition> {
    let pass = &stage.row_pass;
    let reduces_only = pass.slots.iter().all(|slot| !matches!(slot, Slot::Sink(_) | Slot::Keep(_)));
    let mut conditions = stage.reductions.iter().map(|reduction| {
        let Node::Elementwise { op: Op::Select, arguments } = graph.node(reduction.argument) else { return None };
        let zero = |id: NodeId| graph.constant_value(id).is_some_and(|value| value == 0.0);
        let holds = match (zero(arguments[1]), zero(arguments[2])) {
            (false, true) => true,
            (true, false) => false,
            _ => return None,
        };
        let scalar = pass.loads.iter().find_map(|(slot, node)| match pass.slots[*slot] {
            Slot::Scalar(scalar) if *node == arguments[0] => Some(scalar),
            _ => None,
        })?;
        (reduction.kept.is_none()).then_some(Condition { scalar, holds })
    });
    let first = conditions.next()??;
    (reduces_only && conditions.all(|other| other == Some(first))).then_some(first)
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
        // Sources are there from the start: stage 0.
        for id in self.inside.iter() {
            let arguments = self.graph.node(id).arguments();
            let waits = arguments.iter().map(|argument| self.stage_of(*argument)).max().unwrap_or(0);
            self.stage[id.index()] = waits + usize::from(self.reductions.contains(id));
        }
    }

    fn stage_of(&self, id: NodeId) -> usize {
        self.stage[id.index()]
    }

    fn keep(&mut self, id: NodeId) -> usize {
        self.kept.iter().position(|kept| *kept == id).unwrap_or_else(|| {
            self.kept.push(id);
            self.along[self.stage[id.index()]].insert(id);
            self.kept.len() - 1
        })
    }

    fn scalar(&mut self, id: NodeId) -> usize {
        self.scalars.iter().position(|scalar| *scalar == id).unwrap_or_else(|| {
            self.scalars.push(id);
            self.across[self.stage[id.index()] - 1].insert(id);
            self.scalars.len() - 1
        })
    }

    /// What a pass of stage `index` loads and computes for its roots.
    fn pass(&mut self, roots: &NodeSet, index: usize, along: bool, decisions: &mut Vec<FusionDecision>) -> PassPlan {
        let mut loads: Vec<(NodeId, Slot)> = Vec::new();
        let mut nodes = NodeSet::of(self.graph);
        let mut met = NodeSet::of(self.graph);
        let mut stack: Vec<NodeId> = roots.iter().collect();
        while let Some(id) = stack.pop() {
            if !met.insert(id) {
                continue;
            }
            if let Some(source) = self.sources[id.index()] {
                loads.push((id, Slot::Source(source)));
                continue;
            }
            if self.reductions.contains(id) {
                let scalar = self.scalar(id);
                loads.push((id, Slot::Scalar(scalar)));
                continue;
            }
            let (varying, stage) = (self.varying.contains(id), self.stage_of(id));
            if along && !varying && stage > 0 {
                let scalar = self.scalar(id);
                loads.push((id, Slot::Scalar(scalar)));
                continue;
            }
            if !along && stage <= index && self.scalars.contains(&id) {
                let scalar = self.scalar(id);
                loads.push((id, Slot::Scalar(scalar)));
                continue;
            }
            if along && varying && stage < index {
                let cost = self.cost(id);
                if cost >= KEEP_COST && self.graph.kind(id) == Kind::Number {
                    let fresh = !self.kept.contains(&id);
                    let kept = self.keep(id);
                    if fresh {
                        decisions.push(FusionDecision::KeptInRow { value: describe(self.graph, id), cost });
                    }
                    loads.push((id, Slot::Kept(kept)));
                    continue;
                }
                if cost > 0 {
                    decisions.push(FusionDecision::RecomputedInRow { value: describe(self.graph, id), cost });
                }
            }
            nodes.insert(id);
            stack.extend(self.graph.node(id).arguments());
        }
        loads.sort_unstable_by_key(|(node, _)| *node);
        let mut pass = PassPlan { nodes: nodes.iter().collect(), ..PassPlan::default() };
        for (node, slot) in loads {
            pass.loads.push((pass.slots.len(), node));
            pass.slots.push(slot);
        }
        pass
    }

    /// An estimate of the lane ops it takes to compute a node anew along the row.
    fn cost(&self, id: NodeId) -> usize {
        let mut cost = 0;
        let mut seen = NodeSet::of(self.graph);
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if cost > 1000 || self.sources[id.index()].is_some() || !self.varying.contains(id) || !seen.insert(id) {
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
