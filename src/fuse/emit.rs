//! Writes a pass of the plan as a lane program, once the layouts of its operands are known.

use super::plan::{KernelPlan, PassPlan, Slot, Stage};
use crate::dtype::Dtype;
use crate::lane::{Combine, LaneBuilder, LaneOp, Layout, Operand, OperandId, Pass, Role, Value};
use crate::lower;
use fuselet_ir::{Graph, Kind, Node, NodeId, Reduction};
use rustc_hash::FxHashMap;

/// How a pass along a row goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The span is the row (or the domain of an elementwise kernel, or a batch of rows for a pass across): reductions
    /// accumulate lanes.
    Span,
    /// The span is a strip of neighbouring rows, the pass walks along them: reductions combine into strips of scratch,
    /// each of which is both read and written.
    Strip,
}

/// Writes a pass of a stage of a kernel, for lanes of a dtype, on a machine with or without fma. `layouts` has one entry for each of the pass's slots. In [`Form::Strip`] each reduction slot is a
/// written strip, and one more operand for each, in order, is appended: the same strip as it is read.
pub fn emit(
    (graph, kernel, stage): (&Graph, &KernelPlan, &Stage),
    pass: &PassPlan,
    form: Form,
    layouts: &[Layout],
    (dtype, fma): (Dtype, bool),
) -> Pass {
    let mut operands: Vec<Operand> = pass
        .slots
        .iter()
        .zip(layouts)
        .map(|(slot, layout)| {
            let role = match (slot, form) {
                (Slot::Source(_) | Slot::Kept(_) | Slot::Scalar(_), _) => Role::Read,
                (Slot::Reduction(_), Form::Span) => Role::Accumulate,
                (Slot::Sink(_) | Slot::Keep(_) | Slot::SetScalar(_) | Slot::Reduction(_), _) => Role::Write,
            };
            Operand { role, dtype, layout: *layout, name: slot_name(graph, kernel, *slot) }
        })
        .collect();
    let mut builder = LaneBuilder::new(dtype, fma);
    let mut values: FxHashMap<NodeId, Value> = FxHashMap::default();
    for (slot, node) in &pass.loads {
        let value = builder.load(OperandId(*slot as u32));
        let value = if graph.kind(*node) == Kind::Truth {
            let zero = builder.number(0.0);
            builder.unequal(value, zero)
        } else {
            value
        };
        values.insert(*node, value);
    }
    let mut strips: Vec<Value> = Vec::new();
    if form == Form::Strip {
        for (slot, _) in &pass.stores {
            if let Slot::Reduction(_) = pass.slots[*slot] {
                let read = Operand { role: Role::Read, ..operands[*slot].clone() };
                strips.push(builder.load(OperandId(operands.len() as u32)));
                operands.push(read);
            }
        }
    }
    for node in &pass.nodes {
        let value = match graph.node(*node) {
            Node::Constant(bits) => builder.number(f64::from_bits(*bits)),
            Node::Elementwise { op, arguments } => {
                let arguments: Vec<Value> = arguments.iter().map(|argument| values[argument]).collect();
                lower::lower(&mut builder, *op, &arguments)
            }
            // A reduction over axes of length 1 is its argument (a zero as +0, like every result of a reduction); the
            // threshold of a single element is 1 below it.
            Node::Reduce { reduction: Reduction::SparsemaxTau, argument, .. } => {
                let one = builder.number(1.0);
                builder.sub(values[argument], one)
            }
            Node::Reduce { argument, .. } => {
                let zero = builder.number(0.0);
                builder.add(values[argument], zero)
            }
            Node::Input(_) | Node::Half { .. } => unreachable!("inputs and halves are sources"),
        };
        values.insert(*node, value);
    }
    let mut strips = strips.into_iter();
    for (slot, node) in &pass.stores {
        let operand = OperandId(*slot as u32);
        let value = match graph.kind(*node) {
            Kind::Number => values[node],
            Kind::Truth => {
                let (one, zero) = (builder.number(1.0), builder.number(0.0));
                builder.select(values[node], one, zero)
            }
        };
        match pass.slots[*slot] {
            Slot::Reduction(at) => {
                let combine = combine_of(stage.reductions[at].reduction);
                match strips.next() {
                    Some(strip) => {
                        let combined = combine_strip(&mut builder, combine, strip, value);
                        builder.store(operand, combined);
                    }
                    None => builder.accumulate(operand, combine, value),
                }
            }
            _ => builder.store(operand, value),
        }
    }
    Pass { name: kernel.name.clone(), program: builder.finish(), operands }
}

/// How a reduction takes in elements. (A mean is a sum until the row is over.)
pub(crate) fn combine_of(reduction: Reduction) -> Combine {
    match reduction {
        Reduction::Max => Combine::Max,
        Reduction::Min => Combine::Min,
        Reduction::Sum | Reduction::Mean | Reduction::SparsemaxTau => Combine::Sum,
    }
}

/// [`Combine::apply`] in lane ops.
fn combine_strip(builder: &mut LaneBuilder, combine: Combine, strip: Value, value: Value) -> Value {
    let taken = match combine {
        Combine::Sum => return builder.add(strip, value),
        Combine::Max => builder.apply(LaneOp::Max, &[strip, value]),
        Combine::Min => builder.apply(LaneOp::Min, &[strip, value]),
    };
    let nan = builder.unequal(strip, strip);
    builder.select(nan, strip, taken)
}

fn slot_name(graph: &Graph, kernel: &KernelPlan, slot: Slot) -> String {
    let buffer = |buffer: super::Buffer| match buffer {
        super::Buffer::Input(index) => graph.inputs()[index].clone(),
        super::Buffer::Output(index) => graph.outputs()[index].name.clone(),
        super::Buffer::Temporary(index) => format!("t{index}"),
    };
    match slot {
        Slot::Source(at) => buffer(kernel.sources[at].buffer),
        Slot::Sink(at) => buffer(kernel.sinks[at].buffer),
        Slot::Kept(at) | Slot::Keep(at) => format!("row{at}"),
        Slot::Scalar(at) | Slot::SetScalar(at) => format!("s{at}"),
        Slot::Reduction(at) => format!("reduction{at}"),
    }
}
