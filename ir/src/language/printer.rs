//! Graphs and expressions to text.
//!
//! Both become a listing. A graph's text parses back to an equal graph, order of nodes included: the first choice of `let`s
//! is taken that keeps the graph's own order. The last one, a `let` for every node, always does.

use super::builtin::CAST;
use super::listing::{Item, Listing};
use super::name::name_text;
use crate::expr::{Expr, Operation, Program};
use crate::graph::{Axes, Graph, Half, Node};
use crate::op::{Op, Reduction};
use rustc_hash::FxHashMap;
use std::fmt::{self, Write};

fn axes_text(axes: &Axes) -> String {
    /// Larger ones are written as a list, which is read exactly.
    const EXACT: i64 = 1 << 53;
    match axes {
        Axes::All => String::new(),
        Axes::List(list) if list.len() == 1 && (-EXACT..=EXACT).contains(&list[0]) => format!(", {}", list[0]),
        Axes::List(list) => format!(", {list:?}"),
    }
}

/// The axes of a reduction. Those of `max` and `min` are named, since their second argument looks like a number to compare with.
fn reduced_text(reduction: Reduction, axes: &Axes) -> String {
    let text = axes_text(axes);
    match (reduction, text.strip_prefix(", ")) {
        (Reduction::Max | Reduction::Min, Some(axes)) => format!(", axis = {axes}"),
        _ => text,
    }
}

/// How an op's node is written: a cast as a call with its type, the others as their place in the text asks for.
fn elementwise_item(op: Op, arguments: Vec<usize>, reversed: bool) -> Item {
    match op.cast_type() {
        Some(ty) => Item::Call { name: CAST.to_owned(), arguments, rest: format!(", {ty}") },
        None => Item::Elementwise { op, arguments, reversed },
    }
}

fn half_name(half: Half) -> &'static str {
    match half {
        Half::First => "first_half",
        Half::Second => "second_half",
    }
}

fn graph_listing(graph: &Graph) -> Listing {
    let items = graph
        .nodes()
        .iter()
        .map(|node| {
            let arguments: Vec<usize> = node.arguments().iter().map(|id| id.index()).collect();
            match node {
                Node::Input(index) => Item::Name(graph.inputs()[*index as usize].clone()),
                Node::Constant(bits) => Item::Number(f64::from_bits(*bits)),
                Node::Elementwise { op, .. } => {
                    // The order of writing that mentions first what was built first.
                    let reversed = matches!(op, Op::Less | Op::LessEqual) && arguments[1] < arguments[0];
                    elementwise_item(*op, arguments, reversed)
                }
                Node::Reduce { reduction, axes, .. } => {
                    Item::Call { name: reduction.name().to_owned(), arguments, rest: reduced_text(*reduction, axes) }
                }
                Node::Half { axis, half, .. } => {
                    let rest = axes_text(&Axes::one(*axis));
                    Item::Call { name: half_name(*half).to_owned(), arguments, rest }
                }
            }
        })
        .collect();
    let outputs = graph.outputs().iter().map(|output| (output.name.clone(), output.node.index())).collect();
    // Only an order that the text would not give by itself is declared.
    let mentioned = graph.nodes().iter().filter_map(|node| match node {
        Node::Input(index) => Some(*index as usize),
        _ => None,
    });
    let inputs = if mentioned.eq(0..graph.inputs().len()) { Vec::new() } else { graph.inputs().to_vec() };
    Listing { inputs, items, outputs }
}

fn program_listing(inputs: &[String], bindings: &[Expr], outputs: &[(String, Expr)]) -> Listing {
    let mut items = Vec::new();
    let mut done: FxHashMap<usize, usize> = FxHashMap::default();
    let mut visit = |root: &Expr| {
        let mut pending = vec![(root.clone(), false)];
        while let Some((expr, ready)) = pending.pop() {
            if done.contains_key(&expr.address()) {
                continue;
            }
            let node = expr.node();
            if !ready && !node.arguments.is_empty() {
                pending.push((expr.clone(), true));
                pending.extend(node.arguments.iter().rev().map(|argument| (argument.clone(), false)));
                continue;
            }
            let arguments: Vec<usize> = node.arguments.iter().map(|argument| done[&argument.address()]).collect();
            items.push(match &node.operation {
                Operation::Input(name) => Item::Name(name.to_string()),
                Operation::Argument(index) => Item::Name(format!("argument{index}")),
                Operation::Constant(bits) => Item::Number(f64::from_bits(*bits)),
                Operation::Elementwise { op, reversed } => elementwise_item(*op, arguments, *reversed),
                Operation::Reduce { reduction, axes } => {
                    Item::Call { name: reduction.name().to_owned(), arguments, rest: reduced_text(*reduction, axes) }
                }
                Operation::Half { axis, half } => {
                    Item::Call { name: half_name(*half).to_owned(), arguments, rest: axes_text(&Axes::one(*axis)) }
                }
                Operation::Call(activation) => {
                    let parameters = activation.non_default();
                    let rest = parameters.iter().fold(String::new(), |mut rest, (name, value)| {
                        let _ = write!(rest, ", {} = {value}", name_text(name));
                        rest
                    });
                    Item::Call { name: activation.name().to_owned(), arguments, rest }
                }
            });
            done.insert(expr.address(), items.len() - 1);
        }
        done[&root.address()]
    };
    // What only a `let` of the author asks for is an item that nothing uses.
    bindings.iter().for_each(|binding| {
        visit(binding);
    });
    let outputs = outputs.iter().map(|(name, expr)| (name.clone(), visit(expr))).collect();
    Listing { inputs: inputs.to_vec(), items, outputs }
}

impl Graph {
    /// The graph in the language as people like to read it: only shared and deep nodes have a name. It parses back to a
    /// graph of the same nodes, perhaps in another order; `Display` keeps the order too.
    pub fn readable(&self) -> String {
        let listing = graph_listing(self);
        listing.print(&listing.readable())
    }
}

/// The graph in the language; it parses back to an equal graph by [`str::parse`].
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listing = graph_listing(self);
        let readable = listing.readable();
        let keeps_order = |lets: &[bool]| listing.order(lets).into_iter().eq(0..listing.items.len());
        if keeps_order(&readable) {
            return f.write_str(&listing.print(&readable));
        }
        let no_leaves: Vec<bool> =
            listing.items.iter().zip(&readable).map(|(item, unused)| !item.is_leaf() || *unused).collect();
        if keeps_order(&no_leaves) {
            return f.write_str(&listing.print(&no_leaves));
        }
        f.write_str(&listing.print(&vec![true; listing.items.len()]))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listing = program_listing(&[], &[], &[(Graph::DEFAULT_OUTPUT.to_owned(), self.clone())]);
        f.write_str(&listing.print(&listing.readable()))
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({self})")
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listing = program_listing(self.declared_inputs(), self.bindings(), self.outputs());
        f.write_str(&listing.print(&listing.readable()))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({self})")
    }
}
