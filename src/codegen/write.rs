//! Writes a pass of the plan as a lane program, once the layouts of its operands are known, and says what each operand is.
//!
//! Who runs the pass fills its arguments in from the [`OperandBinding`]s that come with it: there is no order of operands
//! to be remembered anywhere else.

use crate::array::{ComputeDtype, Dtype};
use crate::lane::{LaneBuilder, LaneOp, Layout, Operand, OperandId, Pass, ReductionOperator, Role, Value};
use crate::lower;
use crate::plan::{Buffer, Extent, KernelPlan, PassPlan, Slot, Stage, node_cost};
use fuselet_ir::{Graph, Kind, Node, NodeId, Reduction};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// How a pass along a row goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The span is the row (or the domain of an elementwise kernel, or a batch of rows for a pass across): reductions
    /// accumulate lanes.
    Span,
    /// The span is a strip of neighbouring rows, the pass walks along them: reductions combine into strips of scratch,
    /// each of which is both read and written.
    Strip,
    /// As [`Form::Span`], but the body does four elements of a section of the row, a group of lanes (or a quarter of a
    /// shorter section) apart: reductions take in what the four come to, (first + second) + (third + fourth).
    SpanOfFours,
    /// The same of [`Form::Strip`].
    StripOfFours,
}

impl Form {
    /// How many elements of a row one body does.
    pub fn bodies(self) -> usize {
        match self {
            Form::Span | Form::Strip => 1,
            Form::SpanOfFours | Form::StripOfFours => 4,
        }
    }

    fn is_strip(self) -> bool {
        matches!(self, Form::Strip | Form::StripOfFours)
    }
}

/// Whether a slot is at another place for each element of a row.
pub(crate) fn moves(kernel: &KernelPlan, slot: Slot) -> bool {
    match slot {
        Slot::Source(at) => kernel.sources[at].varying,
        Slot::Sink(_) | Slot::Kept(_) | Slot::Keep(_) => true,
        Slot::Scalar(_) | Slot::SetScalar(_) | Slot::Reduction(_) => false,
    }
}

/// Whether a stage sums along the row.
pub(crate) fn sums(stage: &Stage) -> bool {
    stage.reductions.iter().any(|r| r.kept.is_none() && operator_of(r.reduction) == ReductionOperator::Sum)
}

/// Lane ops, roughly, from which on a pass may prefetch: in layer_norm, whose sum of squares is three ops, it would cost a
/// third of the time where all is cached.
const WORK_TO_PREFETCH: usize = 10;

/// An array to be fetched into a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefetched {
    pub(crate) slot: Slot,
    /// Whether the next batch of rows needs it, rather than a later pass over this one.
    pub(crate) ahead: bool,
}

/// What to fetch into a cache during the pass along the row of a stage: arrays that no pass before it reads or writes, which a later one
/// over this row will; and for the next batch of rows what the first pass reads.
///
/// That is done in the last pass that sums, if it computes enough for memory to have little to do. What is the same for all rows
/// stays in a cache by itself, and kept values may lie where a sink is.
pub(crate) fn prefetched(graph: &Graph, kernel: &KernelPlan, stage: usize) -> impl Iterator<Item = Prefetched> {
    let work =
        || -> usize { kernel.stages[stage].row_pass.nodes.iter().map(|node| node_cost(graph.node(*node))).sum() };
    let here = kernel.stages.iter().rposition(sums) == Some(stage) && work() >= WORK_TO_PREFETCH;
    let sources = (0..kernel.sources.len()).filter(|at| differs_from_row_to_row(kernel, *at)).map(Slot::Source);
    let sinks =
        (0..kernel.sinks.len()).filter(|at| kernel.kept.is_empty() && kernel.sinks[*at].varying).map(Slot::Sink);
    let slots: SmallVec<[Slot; 8]> = if here { sources.chain(sinks).collect() } else { SmallVec::new() };
    slots.into_iter().filter_map(move |slot| {
        let first = kernel.stages.iter().position(|stage| stage.row_pass.slots.contains(&slot))?;
        let ahead = first == 0 && stage > 0;
        (ahead || first > stage).then_some(Prefetched { slot, ahead })
    })
}

/// Whether a source has other elements in other rows. Where there is one row only, the same is said as if there were more, so that
/// both share code.
fn differs_from_row_to_row(kernel: &KernelPlan, source: usize) -> bool {
    let dimensions = &kernel.sources[source].dimensions;
    let before = kernel.domain.len() - dimensions.len();
    let across = |at: &usize| !kernel.axes.contains(&(before + at));
    let differs = |at: usize| dimensions[at] != Extent::One || kernel.domain[before + at] == Extent::One;
    kernel.sources[source].varying && (0..dimensions.len()).filter(across).any(differs)
}

/// What an operand of a written pass is to the kernel that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperandBinding {
    /// A slot of the pass, for the body at this number: bodies do elements of the row some distance apart. Slots that are
    /// the same for every element of a row have an operand in the first body only.
    Slot {
        /// Which.
        slot: Slot,
        /// The body.
        body: usize,
    },
    /// In strip forms: the strip of the reduction at this place, as it is read before it is written.
    StripRead(usize),
    /// An array to be fetched into a cache meanwhile.
    Prefetch(Prefetched),
}

/// A pass, and what each of its operands is.
pub(crate) struct WrittenPass {
    pub(crate) pass: Pass,
    /// One for each operand.
    pub(crate) bindings: Vec<OperandBinding>,
}

/// Which pass to write, and for what machine.
pub(crate) struct PassRequest<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) kernel: &'a KernelPlan,
    /// The stage of the kernel, and the pass of it.
    pub(crate) stage: usize,
    pub(crate) pass: &'a PassPlan,
    pub(crate) form: Form,
    /// How each slot of the pass lies along the span.
    pub(crate) layouts: &'a [Layout],
    /// How each source of the kernel, then each sink, stores its elements. All else is stored as lanes are.
    pub(crate) storage: &'a [Dtype],
    /// What lanes are.
    pub(crate) dtype: ComputeDtype,
    /// Whether there is a fused multiply-add.
    pub(crate) fma: bool,
}

impl PassRequest<'_> {
    /// How the array of a slot stores its elements.
    fn storage_of(&self, slot: Slot) -> Dtype {
        match slot {
            Slot::Source(at) => self.storage[at],
            Slot::Sink(at) => self.storage[self.kernel.sources.len() + at],
            Slot::Kept(_) | Slot::Keep(_) | Slot::Scalar(_) | Slot::SetScalar(_) | Slot::Reduction(_) => {
                self.dtype.storage()
            }
        }
    }
}

/// Writes a pass. In strip forms each reduction slot is a written strip, which is read as an operand of its own. In forms of
/// fours the slots that [`moves`] have an operand for each of four elements; and in the one of spans there are operands for
/// what is [`prefetched`].
pub(crate) fn write(request: &PassRequest<'_>) -> WrittenPass {
    let PassRequest { graph, kernel, stage: number, pass, form, layouts, dtype, fma, .. } = *request;
    let stage = &kernel.stages[number];
    let mut bindings: Vec<OperandBinding> =
        pass.slots.iter().map(|slot| OperandBinding::Slot { slot: *slot, body: 0 }).collect();
    let mut operands: Vec<Operand> = pass
        .slots
        .iter()
        .zip(layouts)
        .map(|(slot, layout)| {
            let role = match slot {
                Slot::Source(_) | Slot::Kept(_) | Slot::Scalar(_) => Role::Read,
                Slot::Reduction(_) if !form.is_strip() => Role::Accumulate,
                Slot::Sink(_) | Slot::Keep(_) | Slot::SetScalar(_) | Slot::Reduction(_) => Role::Write,
            };
            Operand { role, dtype: request.storage_of(*slot), layout: *layout, name: slot_name(graph, kernel, *slot) }
        })
        .collect();
    let mut builder = LaneBuilder::new(dtype, fma);
    let mut strips: Vec<Value> = Vec::new();
    if form.is_strip() {
        for (slot, _) in &pass.stores {
            if let Slot::Reduction(at) = pass.slots[*slot] {
                bindings.push(OperandBinding::StripRead(at));
                let read = Operand { role: Role::Read, ..operands[*slot].clone() };
                strips.push(builder.load(OperandId(operands.len() as u32)));
                operands.push(read);
            }
        }
    }
    // What is the same for every element of a row is loaded once.
    let mut shared: FxHashMap<NodeId, Value> = FxHashMap::default();
    let mut bodies: Vec<FxHashMap<NodeId, Value>> = Vec::new();
    for body in 0..form.bodies() {
        let mut places: Vec<u32> = (0..pass.slots.len() as u32).collect();
        if body > 0 {
            for (place, slot) in places.iter_mut().zip(&pass.slots) {
                if moves(kernel, *slot) {
                    let own = operands[*place as usize].clone();
                    *place = operands.len() as u32;
                    bindings.push(OperandBinding::Slot { slot: *slot, body });
                    operands.push(Operand { name: format!("{}.{body}", own.name), ..own });
                }
            }
        }
        let mut values = shared.clone();
        values.reserve(pass.nodes.len() + pass.loads.len());
        for (slot, node) in &pass.loads {
            if values.contains_key(node) {
                continue;
            }
            let mut value = builder.load(OperandId(places[*slot]));
            if graph.kind(*node) == Kind::Bool {
                let zero = builder.number(0.0);
                value = builder.unequal(value, zero);
            }
            values.insert(*node, value);
            if !moves(kernel, pass.slots[*slot]) {
                shared.insert(*node, value);
            }
        }
        for node in &pass.nodes {
            let value = lower::lower_node(&mut builder, graph, *node, |argument| values[&argument]);
            values.insert(*node, value);
        }
        for (slot, node) in &pass.stores {
            if !matches!(pass.slots[*slot], Slot::Reduction(_)) {
                let stored = before_cast(graph, *node, operands[*slot].dtype)
                    .filter(|argument| values.contains_key(argument))
                    .unwrap_or(*node);
                let value = number_of(&mut builder, graph, stored, &values);
                builder.store(OperandId(places[*slot]), value);
            }
        }
        bodies.push(values);
    }
    if form == Form::SpanOfFours {
        for prefetch @ Prefetched { slot, ahead } in prefetched(graph, kernel, number) {
            bindings.push(OperandBinding::Prefetch(prefetch));
            let name = slot_name(graph, kernel, slot);
            let name = if ahead { format!("{name} of the next rows") } else { format!("{name} ahead") };
            let dtype = request.storage_of(slot);
            operands.push(Operand { role: Role::Prefetch, dtype, layout: Layout::BlockCyclic, name });
        }
    }
    let mut strips = strips.into_iter();
    for (slot, node) in &pass.stores {
        let Slot::Reduction(at) = pass.slots[*slot] else { continue };
        let reduction = stage.reductions[at].reduction;
        let combine = operator_of(reduction);
        let operand = OperandId(*slot as u32);
        let mut values: Vec<Value> =
            bodies.iter().map(|values| number_of(&mut builder, graph, *node, values)).collect();
        while values.len() > 1 {
            values = values.chunks(2).map(|pair| combine_strip(&mut builder, combine, pair[0], pair[1])).collect();
        }
        let value = lower::part_of_sum(&mut builder, reduction, values[0]);
        match strips.next() {
            Some(strip) => {
                let combined = combine_strip(&mut builder, combine, strip, value);
                builder.store(operand, combined);
            }
            None => builder.accumulate(operand, combine, value),
        }
    }
    debug_assert_eq!(operands.len(), bindings.len());
    WrittenPass { pass: Pass { name: kernel.name.clone(), program: builder.finish(), operands }, bindings }
}

/// A value as it is stored.
fn number_of(builder: &mut LaneBuilder, graph: &Graph, node: NodeId, values: &FxHashMap<NodeId, Value>) -> Value {
    match graph.kind(node) {
        Kind::Number => values[&node],
        Kind::Bool => {
            let (one, zero) = (builder.number(1.0), builder.number(0.0));
            builder.select(values[&node], one, zero)
        }
    }
}

/// How a reduction takes in elements. (A mean is a sum until the row is over.)
pub(crate) fn operator_of(reduction: Reduction) -> ReductionOperator {
    match reduction {
        Reduction::Max => ReductionOperator::Max,
        Reduction::Min => ReductionOperator::Min,
        Reduction::Sum | Reduction::Mean | Reduction::SumHigh | Reduction::SumLow | Reduction::SparsemaxTau => {
            ReductionOperator::Sum
        }
    }
}

/// Two passes over strips of an accumulator: the first fills one with the identity, the second combines one with another and
/// writes it over the first.
pub(crate) fn strip_passes(combine: ReductionOperator, builder: impl Fn() -> LaneBuilder) -> [Pass; 2] {
    let pass = |name: &str, roles: &[(Role, &str)], builder: LaneBuilder| {
        let dtype = builder.dtype().storage();
        let operand = |(role, name): &(Role, &str)| {
            let (role, layout, name) = (*role, Layout::Contiguous, (*name).to_owned());
            Operand { role, dtype, layout, name }
        };
        let operands = roles.iter().map(operand).collect();
        Pass { name: format!("{name} {}", combine.name()), program: builder.finish(), operands }
    };
    let mut filling = builder();
    let identity = filling.number(combine.identity::<f64>());
    filling.store(OperandId(0), identity);
    let mut combining = builder();
    let [strip, value] = [0, 1].map(|operand| combining.load(OperandId(operand)));
    let combined = combine_strip(&mut combining, combine, strip, value);
    combining.store(OperandId(2), combined);
    let both = [(Role::Read, "strip"), (Role::Read, "other"), (Role::Write, "combined")];
    [pass("fill", &[(Role::Write, "strip")], filling), pass("combine", &both, combining)]
}

/// [`ReductionOperator::apply`] in lane ops.
fn combine_strip(builder: &mut LaneBuilder, combine: ReductionOperator, strip: Value, value: Value) -> Value {
    let taken = match combine {
        ReductionOperator::Sum => return builder.add(strip, value),
        ReductionOperator::Max => builder.apply(LaneOp::Max, &[strip, value]),
        ReductionOperator::Min => builder.apply(LaneOp::Min, &[strip, value]),
    };
    let nan = builder.unequal(strip, strip);
    builder.select(nan, strip, taken)
}

/// What a cast rounds, if it is to the dtype of the array it is stored to: the store rounds to the same bits.
fn before_cast(graph: &Graph, node: NodeId, dtype: Dtype) -> Option<NodeId> {
    let Node::Elementwise { op, arguments } = graph.node(node) else { return None };
    op.cast_type().filter(|ty| Dtype::from(*ty) == dtype).map(|_| arguments[0])
}

fn slot_name(graph: &Graph, kernel: &KernelPlan, slot: Slot) -> String {
    let buffer = |buffer: Buffer| match buffer {
        Buffer::Input(index) => graph.inputs()[index].clone(),
        Buffer::Output(index) => graph.outputs()[index].name.clone(),
        Buffer::Temporary(index) => format!("t{index}"),
    };
    match slot {
        Slot::Source(at) => buffer(kernel.sources[at].buffer),
        Slot::Sink(at) => buffer(kernel.sinks[at].buffer),
        Slot::Kept(at) | Slot::Keep(at) => format!("row{at}"),
        Slot::Scalar(at) | Slot::SetScalar(at) => format!("s{at}"),
        Slot::Reduction(at) => format!("reduction{at}"),
    }
}
