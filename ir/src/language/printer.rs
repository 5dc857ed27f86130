//! Graphs and expressions to text.
//!
//! Both become a listing of items, arguments first. An item is written where it is used, or gets a `let` of its own
//! when it is used more than once, not at all, or lies too deep. A graph's text parses back to an equal graph, order
//! of nodes included: the order in which a choice of `let`s builds the nodes is simulated, and the first choice that
//! keeps the graph's own order is taken. The last one, a `let` for every node, always does.

use super::name::name_text;
use crate::expr::{Expr, Operation, Program};
use crate::graph::{Axes, Graph, Half, Node};
use crate::op::Op;
use crate::value::number_text;

use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::{self, Write};

/// Deeper expressions are cut by a `let`: easier to read, and far below what the parser nests.
const MAX_INLINE_DEPTH: usize = 24;

fn axes_text(axes: &Axes) -> String {
    /// Larger ones are written as a list, which is read exactly.
    const EXACT: i64 = 1 << 53;
    match axes {
        Axes::All => String::new(),
        Axes::List(list) if list.len() == 1 && (-EXACT..=EXACT).contains(&list[0]) => format!(", {}", list[0]),
        Axes::List(list) => format!(", {list:?}"),
    }
}

/// How tightly a written item holds together; the parser's binding powers.
mod power {
    pub const OR: u8 = 2;
    pub const AND: u8 = 3;
    pub const NOT: u8 = 4;
    pub const COMPARISON: u8 = 5;
    pub const SUM: u8 = 6;
    pub const PRODUCT: u8 = 7;
    pub const NEGATION: u8 = 8;
    pub const POWER: u8 = 9;
    pub const ATOM: u8 = 10;
}

/// Ops whose printed form is an operator between two operands.
fn infix_symbol(op: Op) -> Option<&'static str> {
    Some(match op {
        Op::Add => "+",
        Op::Sub => "-",
        Op::Mul => "*",
        Op::Div => "/",
        Op::Pow => "^",
        Op::Less => "<",
        Op::LessEqual => "<=",
        Op::Equal => "==",
        Op::And => "and",
        Op::Or => "or",
        _ => return None,
    })
}

fn infix_power(op: Op) -> u8 {
    match op {
        Op::Or => power::OR,
        Op::And => power::AND,
        Op::Less | Op::LessEqual | Op::Equal => power::COMPARISON,
        Op::Add | Op::Sub => power::SUM,
        Op::Mul | Op::Div => power::PRODUCT,
        _ => power::POWER,
    }
}

/// One item of a listing.
enum Item {
    Name(String),
    Number(f64),
    Elementwise {
        op: Op,
        arguments: Vec<usize>,
        reversed: bool,
    },
    /// A call: name, arguments, and what follows them.
    Call {
        name: String,
        arguments: Vec<usize>,
        rest: String,
    },
}

impl Item {
    fn arguments(&self) -> &[usize] {
        match self {
            Item::Name(_) | Item::Number(_) => &[],
            Item::Elementwise { arguments, .. } | Item::Call { arguments, .. } => arguments,
        }
    }

    fn is_leaf(&self) -> bool {
        matches!(self, Item::Name(_) | Item::Number(_))
    }
}

/// Items, arguments before users, and what is asked for.
struct Listing {
    /// Inputs whose order the text has to declare.
    inputs: Vec<String>,
    items: Vec<Item>,
    outputs: Vec<(String, usize)>,
}

impl Listing {
    /// Which items get a `let`, for people: shared, unused and deep ones.
    fn readable(&self) -> Vec<bool> {
        let mut uses = vec![0usize; self.items.len()];
        for argument in self.items.iter().flat_map(Item::arguments).chain(self.outputs.iter().map(|(_, item)| item)) {
            uses[*argument] += 1;
        }
        let mut depth = vec![0usize; self.items.len()];
        let mut lets = vec![false; self.items.len()];
        for (index, item) in self.items.iter().enumerate() {
            let deepest = item.arguments().iter().map(|argument| depth[*argument]).max();
            depth[index] = deepest.map_or(0, |deepest| deepest + 1);
            lets[index] = match item.is_leaf() {
                true => uses[index] == 0,
                false => uses[index] != 1 || depth[index] >= MAX_INLINE_DEPTH,
            };
            if lets[index] {
                depth[index] = 0;
            }
        }
        lets
    }

    /// Whether an item is written as a number where it is used.
    fn is_plain_number(&self, item: usize, lets: &[bool]) -> bool {
        matches!(self.items[item], Item::Number(_)) && !lets[item]
    }

    /// Whether an item is written with an operator between its arguments. One between two plain numbers may be decided at
    /// compile time; a call never is.
    fn infix(&self, item: &Item, lets: &[bool]) -> Option<&'static str> {
        let Item::Elementwise { op, arguments, .. } = item else { return None };
        infix_symbol(*op).filter(|_| !arguments.iter().all(|argument| self.is_plain_number(*argument, lets)))
    }

    /// An item's arguments in the order in which the text mentions them.
    fn mentioned(&self, item: usize, lets: &[bool]) -> Vec<usize> {
        let item = &self.items[item];
        let mut arguments = item.arguments().to_vec();
        if matches!(item, Item::Elementwise { reversed: true, .. }) && self.infix(item, lets).is_some() {
            arguments.reverse();
        }
        arguments
    }

    /// The order in which the items are built when the text with these `let`s is read.
    fn order(&self, lets: &[bool]) -> Vec<usize> {
        let mut built = vec![false; self.items.len()];
        let mut order = Vec::with_capacity(self.items.len());
        let statements =
            (0..self.items.len()).filter(|item| lets[*item]).chain(self.outputs.iter().map(|(_, item)| *item));
        for statement in statements {
            let mut pending = vec![(statement, false)];
            while let Some((item, ready)) = pending.pop() {
                if built[item] {
                    continue;
                }
                if ready || self.items[item].is_leaf() {
                    built[item] = true;
                    order.push(item);
                    continue;
                }
                pending.push((item, true));
                pending.extend(self.mentioned(item, lets).into_iter().rev().map(|argument| (argument, false)));
            }
        }
        order
    }

    fn print(&self, lets: &[bool]) -> String {
        let mut taken: FxHashSet<&str> = FxHashSet::default();
        for item in &self.items {
            if let Item::Name(name) | Item::Call { name, .. } = item {
                taken.insert(name);
            }
        }
        let mut fresh = (0..).map(|index| format!("v{index}")).filter(|name| !taken.contains(name.as_str()));
        // What stands for each item where it is used, and how tightly that holds together.
        let mut written: Vec<Option<(String, u8)>> = Vec::with_capacity(self.items.len());
        let mut statements = String::new();
        if !self.inputs.is_empty() {
            let names: Vec<String> = self.inputs.iter().map(|name| name_text(name)).collect();
            let _ = writeln!(statements, "input {};", names.join(", "));
        }
        let mut remaining = vec![0usize; self.items.len()];
        for argument in self.items.iter().flat_map(Item::arguments) {
            remaining[*argument] += 1;
        }
        let mut is_output = vec![false; self.items.len()];
        self.outputs.iter().for_each(|(_, item)| is_output[*item] = true);
        for (index, item) in self.items.iter().enumerate() {
            let text = self.write(item, &written, lets, lets[index]);
            // A text used once is not needed again: keeping it would make long chains quadratic in memory.
            for argument in item.arguments() {
                remaining[*argument] -= 1;
                if remaining[*argument] == 0 && !is_output[*argument] {
                    written[*argument] = None;
                }
            }
            written.push(Some(if lets[index] {
                let name = fresh.next().unwrap_or_default();
                let _ = writeln!(statements, "let {name} = {};", text.0);
                (name, power::ATOM)
            } else {
                text
            }));
        }
        let text_of = |item: usize| written[item].as_ref().map_or("", |(text, _)| text.as_str());
        match self.outputs.as_slice() {
            [(name, item)] if name == Graph::DEFAULT_OUTPUT => statements.push_str(text_of(*item)),
            outputs => {
                let outputs: Vec<String> =
                    outputs.iter().map(|(name, item)| format!("{} = {}", name_text(name), text_of(*item))).collect();
                statements.push_str(&outputs.join(", "));
                if !statements.contains('\n') {
                    statements = format!("{{ {statements} }}");
                }
            }
        }
        statements
    }

    fn write(&self, item: &Item, written: &[Option<(String, u8)>], lets: &[bool], bound: bool) -> (String, u8) {
        let text = |argument: usize| {
            written[argument].as_ref().map_or(("", power::ATOM), |(text, power)| (text.as_str(), *power))
        };
        let at_least = |argument: usize, minimum: u8| match text(argument) {
            (text, power) if power >= minimum => text.to_owned(),
            (text, _) => format!("({text})"),
        };
        match item {
            Item::Name(name) => (name_text(name), power::ATOM),
            // A plain number that is bound by `let` would be a compile-time value, no part of the graph.
            Item::Number(value) if bound => (format!("constant({})", number_text(*value)), power::ATOM),
            Item::Number(value) => {
                let text = number_text(*value);
                let power = if text.starts_with('-') { power::NEGATION } else { power::ATOM };
                (text, power)
            }
            Item::Elementwise { op: Op::Neg, arguments, .. } if !self.is_plain_number(arguments[0], lets) => {
                (format!("-{}", at_least(arguments[0], power::NEGATION)), power::NEGATION)
            }
            Item::Elementwise { op: Op::Not, arguments, .. } => {
                (format!("not {}", at_least(arguments[0], power::ATOM)), power::NOT)
            }
            Item::Elementwise { op, arguments, reversed } => match self.infix(item, lets) {
                Some(symbol) => {
                    let power = infix_power(*op);
                    let (left_power, right_power) = match *op {
                        Op::Pow => (power + 1, power),
                        _ if power == power::COMPARISON => (power + 1, power + 1),
                        _ => (power, power + 1),
                    };
                    let (symbol, left, right) = match (*reversed, *op) {
                        (true, Op::Less) => (">", arguments[1], arguments[0]),
                        (true, Op::LessEqual) => (">=", arguments[1], arguments[0]),
                        _ => (symbol, arguments[0], arguments[1]),
                    };
                    (format!("{} {symbol} {}", at_least(left, left_power), at_least(right, right_power)), power)
                }
                None => self.call(op.name(), arguments, "", written),
            },
            Item::Call { name, arguments, rest } => self.call(&name_text(name), arguments, rest, written),
        }
    }

    fn call(&self, name: &str, arguments: &[usize], rest: &str, written: &[Option<(String, u8)>]) -> (String, u8) {
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|argument| written[*argument].as_ref().map_or("", |(text, _)| text.as_str()))
            .collect();
        (format!("{name}({}{rest})", arguments.join(", ")), power::ATOM)
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
                    Item::Elementwise { op: *op, arguments, reversed }
                }
                Node::Reduce { reduction, axes, .. } => {
                    Item::Call { name: reduction.name().to_owned(), arguments, rest: axes_text(axes) }
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
                Operation::Elementwise { op, reversed } => {
                    Item::Elementwise { op: *op, arguments, reversed: *reversed }
                }
                Operation::Reduce { reduction, axes } => {
                    Item::Call { name: reduction.name().to_owned(), arguments, rest: axes_text(axes) }
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
