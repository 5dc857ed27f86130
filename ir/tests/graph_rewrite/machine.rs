//! A machine for the ops that IEEE 754 defines, in float32 and in float64: what a kernel does to these ops.
//!
//! Values are rows of `ROW` elements or of one. Constants are rounded to the dtype first. Every op is that dtype's own
//! operation, so this shows what a rewrite does to bits, which the float64 reference alone cannot.

use fuselet_ir::{Axes, Graph, Node, Op, Reduction};

/// Elements of a row.
pub const ROW: usize = 4;

macro_rules! machine {
    ($name:ident, $float:ty) => {
        /// The outputs' elements.
        pub fn $name(graph: &Graph, inputs: &[Vec<$float>]) -> Vec<Vec<$float>> {
            type F = $float;
            let truth = |value: bool| if value { 1.0 as F } else { 0.0 };
            let maximum = |a: F, b: F| {
                if a.is_nan() || b.is_nan() {
                    F::NAN
                } else if a > b || (a == b && b.is_sign_negative()) {
                    a
                } else {
                    b
                }
            };
            let minimum = |a: F, b: F| -maximum(-a, -b);
            let apply = |op: Op, [a, b, c]: [F; 3]| match op {
                Op::Neg => -a,
                Op::Abs => a.abs(),
                Op::Add => a + b,
                Op::Sub => a - b,
                Op::Mul => a * b,
                Op::Div => a / b,
                Op::Fma | Op::MultiplyAdd => a.mul_add(b, c),
                Op::Sqrt => a.sqrt(),
                Op::Minimum => minimum(a, b),
                Op::Maximum => maximum(a, b),
                Op::CopySign => a.copysign(if b.is_nan() { 0.0 } else { b }),
                Op::Floor => a.floor(),
                Op::Ceil => a.ceil(),
                Op::Trunc => a.trunc(),
                Op::Round => a.round_ties_even(),
                Op::Less => truth(a < b),
                Op::LessEqual => truth(a <= b),
                Op::Equal => truth(a == b),
                Op::And => truth(a != 0.0 && b != 0.0),
                Op::Or => truth(a != 0.0 || b != 0.0),
                Op::Not => truth(a == 0.0),
                Op::Select => {
                    if a != 0.0 {
                        b
                    } else {
                        c
                    }
                }
                _ => match op.cast_type() {
                    // Rounding once more to this dtype changes no number but the greatest of 32 bits.
                    Some(ty) => ty.round(f64::from(a)) as F,
                    None => panic!("{} is not an IEEE operation", op.name()),
                },
            };
            let mut values: Vec<Vec<F>> = Vec::new();
            for node in graph.nodes() {
                let value = match node {
                    Node::Input(index) => inputs[*index as usize].clone(),
                    Node::Constant(bits) => vec![f64::from_bits(*bits) as F],
                    Node::Elementwise { op, arguments } => {
                        let rows: Vec<&Vec<F>> = arguments.iter().map(|id| &values[id.index()]).collect();
                        let length = rows.iter().map(|row| row.len()).max().unwrap_or(1);
                        let element = |place: usize| {
                            let mut operands = [0.0; 3];
                            for (operand, row) in operands.iter_mut().zip(&rows) {
                                *operand = row[place % row.len()];
                            }
                            apply(*op, operands)
                        };
                        (0..length).map(element).collect()
                    }
                    Node::Reduce { reduction, argument, axes } => {
                        let row = &values[argument.index()];
                        let nothing = *axes == Axes::List(vec![]);
                        let groups = row.chunks(if nothing { 1 } else { row.len() });
                        let reduce = |group: &[F]| match reduction {
                            Reduction::Max => group.iter().copied().fold(F::NEG_INFINITY, maximum) + 0.0,
                            Reduction::Min => group.iter().copied().fold(F::INFINITY, minimum) + 0.0,
                            Reduction::Sum => group.iter().fold(0.0, |sum, x| sum + x),
                            Reduction::Mean => group.iter().fold(0.0, |sum, x| sum + x) / group.len() as F,
                            Reduction::SumHigh | Reduction::SumLow | Reduction::SparsemaxTau => {
                                panic!("not an IEEE operation")
                            }
                        };
                        groups.map(reduce).collect()
                    }
                    Node::Half { .. } => panic!("rows are not cut here"),
                };
                values.push(value);
            }
            graph.outputs().iter().map(|output| values[output.node.index()].clone()).collect()
        }
    };
}

machine!(run_f32, f32);
machine!(run_f64, f64);
