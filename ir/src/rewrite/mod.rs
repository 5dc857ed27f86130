//! Rewriting: fewer ops for the same value.
//!
//! Comes after a graph is built and before it is cut into kernels. [`rewrite`] rebuilds the graph from front to back,
//! tries the [`rules`] on every node whose arguments are already rewritten, and does so until a whole pass changes
//! nothing. Rebuilding drops what no output needs and merges what has become equal. Nothing recurses, and a pass is
//! linear in the number of nodes.
//!
//! **Exact** rules keep every bit of every result, in float32 and in float64, for all arguments: zeros with their
//! signs, infinities, subnormals, NaN as a class. (The sign and payload of a NaN carry no meaning in Fuselet, and nothing
//! reads them: `copysign(1, NaN)` is 1.) Constants are float64 in a graph and rounded to the dtype of the kernel, so
//! a rule that computes with constants has to hold for the rounded ones too. Every exact rule says why it holds.
//! The machine is not known either: `fma` and `multiply_add` may be several operations, which round twice where the result is
//! subnormal, so fma(a, b, −0) is left alone.
//! **Relaxed** rules hold for real numbers; they change the last bits, and lose or gain an overflow, a NaN or the sign
//! of a zero. They apply only when asked for.
//!
//! Shapes are not known here, but must not change. A rule that drops an argument applies only where the others are
//! seen to broadcast to the same shape. Only errors may vanish: an axis out of range in a part that is dropped.
//!
//! Inputs are never dropped nor reordered, outputs neither. A label follows its node to the replacement; where that is
//! an input, a constant or the call's own argument, it is dropped. A label's argument that is gone is replaced by what
//! it was computed from, if that is near.
//!
//! Passes end: a rule takes an op away, replaces one by a cheaper one (div by mul, pow by mul) or moves a negation or a
//! factor towards the constants or the outputs, and none undoes another.

mod exact;
mod fold;
mod matching;
mod relaxed;
mod rule;

pub use rule::Rule;

use crate::choice::choices;
use crate::graph::{Graph, Node, NodeId};
use rustc_hash::{FxHashMap, FxHashSet};

/// Which rules may be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rules {
    /// Only those that keep every bit.
    #[default]
    Exact,
    /// Also those that hold for real numbers only.
    Relaxed,
}

choices!("set of rules", Rules { Exact = "exact", Relaxed = "relaxed" });

/// Every rule, the exact ones first.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    exact::RULES.iter().chain(relaxed::RULES)
}

/// The name under which [`Rewritten::applied`] counts nodes that no output needed.
pub const DROP_UNUSED: &str = "drop_unused";
/// The name under which [`Rewritten::applied`] counts nodes that have become equal to another.
pub const SHARE_EQUAL: &str = "share_equal";

/// A rewritten graph and what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The graph.
    pub graph: Graph,
    /// How often each rule was applied: [`DROP_UNUSED`], [`SHARE_EQUAL`], then the order of [`rules`]. Rules that were
    /// not applied are left out.
    pub applied: Vec<(&'static str, usize)>,
}

/// Most rules applied to one node in one pass, and most passes: a bound that good rules never reach. A graph is right
/// after any number of them.
const MOST_STEPS: usize = 64;

/// The graph with rules applied until none matches. `graph` must be sound ([`crate::graph::verify`]).
pub fn rewrite(graph: &Graph, which: Rules) -> Rewritten {
    let mut counts: FxHashMap<&'static str, usize> = FxHashMap::default();
    let live = graph.live();
    let unused = graph.ids().filter(|id| !live[id.index()] && !matches!(graph.node(*id), Node::Input(_))).count();
    counts.insert(DROP_UNUSED, unused);
    let mut rewritten = graph.clone();
    for _ in 0..MOST_STEPS {
        let changes: usize = counts.values().sum();
        rewritten = pass(&rewritten, which, &mut counts);
        if counts.values().sum::<usize>() == changes {
            break;
        }
    }
    let names = [DROP_UNUSED, SHARE_EQUAL].into_iter().chain(rules().map(|rule| rule.name));
    let applied = names.filter_map(|name| counts.get(name).map(|count| (name, *count))).filter(|entry| entry.1 > 0);
    Rewritten { graph: rewritten, applied: applied.collect() }
}

/// One walk over the graph: a new one without unused nodes, each node rewritten while some rule matches it.
fn pass(old: &Graph, which: Rules, counts: &mut FxHashMap<&'static str, usize>) -> Graph {
    let live = old.live();
    let mut graph = Graph::with_inputs(old.inputs().to_vec());
    graph.reserve(old.nodes().len());
    // The new id of every old node that is needed, and whether some old node has become a new one.
    let mut images: Vec<Option<NodeId>> = vec![None; old.nodes().len()];
    let mut taken: Vec<bool> = Vec::new();
    let image = |images: &[Option<NodeId>], id: NodeId| images[id.index()].expect("arguments come before users");
    for id in old.ids() {
        let node = old.node(id);
        if !live[id.index()] && !matches!(node, Node::Input(_)) {
            continue;
        }
        let arguments: Vec<NodeId> = node.arguments().iter().map(|argument| image(&images, *argument)).collect();
        let added = graph.add(node.with_arguments(&arguments));
        let new = simplify(&mut graph, added, which, counts);
        taken.resize(graph.nodes().len(), false);
        if new == added && std::mem::replace(&mut taken[new.index()], true) && !is_leaf(&graph, new) {
            *counts.entry(SHARE_EQUAL).or_default() += 1;
        }
        images[id.index()] = Some(new);
        if let Some(label) = old.label(id)
            && (is_leaf(old, id) || !is_leaf(&graph, new))
        {
            let arguments = surviving(old, &live, &label.arguments);
            let arguments: Vec<NodeId> = arguments.iter().filter_map(|argument| images[argument.index()]).collect();
            if !arguments.contains(&new) {
                graph.set_label(new, label.text.clone(), &arguments);
            }
        }
    }
    for output in old.outputs() {
        graph.output(output.name.clone(), image(&images, output.node));
    }
    graph
}

/// How many nodes that nobody needs are looked through for the arguments of a label, and how many arguments it keeps: more than
/// functions have.
const MOST_ARGUMENTS: usize = 64;

/// The arguments of a label, those that nobody needs replaced by the needed nodes they are computed from. Those that are
/// computed from very many are left out, since every label might be, from all that comes before it.
fn surviving(graph: &Graph, live: &[bool], arguments: &[NodeId]) -> Vec<NodeId> {
    let mut dead = 0;
    let mut pending: Vec<NodeId> = arguments.iter().rev().copied().collect();
    let mut seen: FxHashSet<NodeId> = FxHashSet::default();
    let mut surviving = Vec::with_capacity(arguments.len());
    while let Some(id) = pending.pop() {
        if !seen.insert(id) {
            continue;
        }
        if surviving.len() == MOST_ARGUMENTS {
            break;
        }
        if live[id.index()] || matches!(graph.node(id), Node::Input(_)) {
            surviving.push(id);
        } else if dead < MOST_ARGUMENTS {
            dead += 1;
            pending.extend(graph.node(id).arguments().iter().rev());
        }
    }
    surviving
}

/// Whether a node is an input or a constant.
fn is_leaf(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.node(id), Node::Input(_) | Node::Constant(_))
}

/// What a node becomes while some rule matches.
fn simplify(graph: &mut Graph, mut id: NodeId, which: Rules, counts: &mut FxHashMap<&'static str, usize>) -> NodeId {
    for _ in 0..MOST_STEPS {
        if is_leaf(graph, id) {
            break;
        }
        let allowed = rules().filter(|rule| rule.exact || which == Rules::Relaxed);
        let mut replaced = None;
        for rule in allowed {
            if let Some(new) = (rule.apply)(graph, id).filter(|new| *new != id) {
                replaced = Some((rule, new));
                break;
            }
        }
        let Some((rule, new)) = replaced else { break };
        *counts.entry(rule.name).or_default() += 1;
        id = new;
    }
    id
}
