//! The plan: kernels and temporaries, and inside each kernel the passes over its domain.
//!
//! A plan holds no sizes. Its dimensions are [`Extent`]s, looked up in the sizes of a call, so that one plan serves
//! every call whose inputs have the same pattern of equal sizes.
//!
//! Two kinds of kernel:
//! - *elementwise*: one stage with one pass along the whole domain;
//! - *row*: the domain has reduced axes. A row is everything along those axes. Stages run in order for a batch of rows:
//!   the pass *along* the row computes the stage's reductions and whatever is stored at that stage; then the pass
//!   *across* computes what follows from the reductions once a row (`1 / sum`, say).
//!
//! Values that cross stages live in scratch: *kept* values along the row (row buffers), *scalars* once a row.

use super::decision::FusionDecision;
use fuselet_ir::{Graph, Half, NodeId, Reduction};

/// The length of one dimension, to be looked up in the sizes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// Always 1.
    One,
    /// The size with this id in the pattern of the call's inputs.
    Size(usize),
    /// This length: in plans for one exact shape.
    Fixed(usize),
}

impl Extent {
    /// The length in a call with these sizes.
    pub fn resolve(self, sizes: &[usize]) -> usize {
        match self {
            Extent::One => 1,
            Extent::Size(id) => sizes[id],
            Extent::Fixed(length) => length,
        }
    }
}

/// An array outside a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Buffer {
    /// The graph's input at this place.
    Input(usize),
    /// The graph's output at this place.
    Output(usize),
    /// A temporary of the plan.
    Temporary(usize),
}

/// An array a kernel reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The node whose value it holds.
    pub node: NodeId,
    /// Where it is.
    pub buffer: Buffer,
    /// Cuts to make first: (axis from the end, 1 being the last; which half).
    pub cuts: Vec<(usize, Half)>,
    /// Its dimensions after the cuts.
    pub dimensions: Vec<Extent>,
    /// Whether it varies along the kernel's reduced axes (always, in an elementwise kernel).
    pub varying: bool,
}

/// An array a kernel writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The node whose value it takes.
    pub node: NodeId,
    /// Where it is.
    pub buffer: Buffer,
    /// Whether it varies along the kernel's reduced axes, or holds one element a row.
    pub varying: bool,
}

/// What an operand of a pass is to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Reads [`KernelPlan::sources`] at this place.
    Source(usize),
    /// Writes [`KernelPlan::sinks`] at this place.
    Sink(usize),
    /// Reads the kept value at this place of [`KernelPlan::kept`].
    Kept(usize),
    /// Writes that kept value.
    Keep(usize),
    /// Reads the scalar at this place of [`KernelPlan::scalars`].
    Scalar(usize),
    /// Writes that scalar.
    SetScalar(usize),
    /// Reduces into the stage's reduction at this place of [`Stage::reductions`].
    Reduction(usize),
}

/// One pass of a kernel, before lowering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassPlan {
    /// The operands, reads first.
    pub slots: Vec<Slot>,
    /// The nodes to compute, arguments first. Those that a slot loads are not among them.
    pub nodes: Vec<NodeId>,
    /// What to store: (place in `slots`, node).
    pub stores: Vec<(usize, NodeId)>,
    /// What to load: (place in `slots`, node).
    pub loads: Vec<(usize, NodeId)>,
}

impl PassPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.stores.is_empty()
    }
}

/// A reduction of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageReduction {
    /// Its node.
    pub node: NodeId,
    /// What it is.
    pub reduction: Reduction,
    /// What it reduces.
    pub argument: NodeId,
    /// The scalar that takes the result.
    pub scalar: usize,
    /// The kept value it reads instead of an accumulator, for reductions that need the whole row at once.
    pub kept: Option<usize>,
}

/// What a row must fulfil for the pass along it to matter to its reductions: otherwise all of them are reductions of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The scalar with the bool.
    pub scalar: usize,
    /// What it has to be.
    pub holds: bool,
}

/// One stage of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The pass along the row, or along the domain of an elementwise kernel.
    pub row_pass: PassPlan,
    /// The reductions it computes.
    pub reductions: Vec<StageReduction>,
    /// The pass across rows that follows.
    pub per_row_pass: PassPlan,
    /// Where the pass along the row does nothing but reduce `if condition then value else 0` with one condition a row: that
    /// condition. The pass may then be left out for rows that do not fulfil it.
    pub condition: Option<Condition>,
}

/// A kernel: loops over one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPlan {
    /// What reports call it.
    pub name: String,
    /// The dimensions of the domain.
    pub domain: Vec<Extent>,
    /// The reduced axes as places in `domain`, ascending; empty for an elementwise kernel.
    pub axes: Vec<usize>,
    /// What it reads.
    pub sources: Vec<Source>,
    /// What it writes.
    pub sinks: Vec<Sink>,
    /// Values kept along the row between stages.
    pub kept: Vec<NodeId>,
    /// Values kept once a row between stages.
    pub scalars: Vec<NodeId>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

impl KernelPlan {
    /// The array outside that a slot reads or writes, if it is one.
    pub fn buffer(&self, slot: Slot) -> Option<Buffer> {
        match slot {
            Slot::Source(at) => Some(self.sources[at].buffer),
            Slot::Sink(at) => Some(self.sinks[at].buffer),
            _ => None,
        }
    }

    /// How many elements the domain has in a call with these sizes.
    pub fn elements(&self, sizes: &[usize]) -> usize {
        self.domain.iter().fold(1, |product, extent| product.saturating_mul(extent.resolve(sizes)))
    }

    /// Whether the kernel reduces.
    pub fn is_row(&self) -> bool {
        !self.axes.is_empty()
    }
}

/// An array between kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    /// The node whose value it holds.
    pub node: NodeId,
    /// Its dimensions.
    pub dimensions: Vec<Extent>,
    /// The memory it lives in: temporaries that are not needed at the same time share one.
    pub slot: usize,
}

/// What to run for a graph, for inputs of one pattern.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The graph the nodes belong to; halves stand only on its inputs.
    pub graph: Graph,
    /// The kernels, in order.
    pub kernels: Vec<KernelPlan>,
    /// The arrays between them.
    pub temporaries: Vec<Temporary>,
    /// The dimensions of each output.
    pub outputs: Vec<Vec<Extent>>,
    /// `in_place[output][input]`: whether the output may be the very array of the input.
    pub in_place: Vec<Vec<bool>>,
    /// Why the plan is as it is.
    pub decisions: Vec<FusionDecision>,
}
