//! Listings: what is printed, as items with the arguments first, and which of them get a `let`.
//!
//! An item is written where it is used, or gets a `let` of its own when it is used more than once, not at all, or lies too
//! deep. The order in which a choice of `let`s builds the items is [simulated](Listing::order).

use super::name::name_text;
use super::power;
use crate::graph::Graph;
use crate::op::Op;
use crate::value::number_text;
use rustc_hash::FxHashSet;
use std::fmt::Write;

/// Deeper expressions are cut by a `let`: easier to read, and far below what the parser nests.
const MAX_INLINE_DEPTH: usize = 24;

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
pub(super) enum Item {
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

    pub fn is_leaf(&self) -> bool {
        matches!(self, Item::Name(_) | Item::Number(_))
    }
}

/// Items, arguments before users, and what is asked for.
pub(super) struct Listing {
    /// Inputs whose order the text has to declare.
    pub inputs: Vec<String>,
    pub items: Vec<Item>,
    pub outputs: Vec<(String, usize)>,
}

impl Listing {
    /// Which items get a `let`, for people: shared, unused and deep ones.
    pub fn readable(&self) -> Vec<bool> {
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
    pub fn order(&self, lets: &[bool]) -> Vec<usize> {
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

    pub fn print(&self, lets: &[bool]) -> String {
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
