//! The order of the operations of a body that is several chains side by side.
//!
//! A pass along rows does four elements a body, one after the other as they were lowered. A core that looks far enough ahead
//! works on all four at once; one that does not (an older one, or one whose other thread is busy) waits for each operation of the
//! first before it comes to the second. So chains are woven together, as far as a core would that sees [`LOOKAHEAD`]
//! operations and begins one every [`PACE`] cycles. Values live longer that way, which is why it is not done farther: softmax
//! of (64, 128) takes 2 % less time, 8 % less where the other thread is busy, and masked softmax 4 %.
//!
//! Bodies of one element are left as they are: several of them are interleaved anyway.

use super::machine::{Action, Node, Selection, ValueId};
use super::schedule::latency;
use super::target::Target;
use crate::lane::{Layout, Pass};
use std::collections::VecDeque;

const LOOKAHEAD: usize = 40;
const PACE: usize = 2;

/// Weaves the chains of a pass's body together, if it has several.
pub(super) fn weave(pass: &Pass, selection: &mut Selection, target: Target) {
    if pass.operands.iter().any(|operand| operand.layout == Layout::BlockCyclic) {
        let nodes = std::mem::take(&mut selection.body);
        selection.body = sunk(reordered(nodes, selection.body_locals, target), selection.body_locals);
    }
}

/// The nodes in the order in which they can begin. Stores stay behind all that reads what was loaded: until then it may lie in its
/// array.
fn reordered(nodes: Vec<Node>, locals: usize, target: Target) -> Vec<Node> {
    let mut loaded = vec![false; locals];
    for node in nodes.iter().filter(|node| matches!(node.action, Action::Load { .. })) {
        loaded[node.result.index()] = true;
    }
    let reads = |node: &Node| node.arguments().any(|value| value.is_local() && loaded[value.index()]);
    let is_store = |node: &Node| matches!(node.action, Action::Store { .. });
    let mut readers = nodes.iter().filter(|node| reads(node) && !is_store(node)).count();
    let mut ordered = Vec::with_capacity(nodes.len());
    let mut nodes = VecDeque::from(nodes);
    // When each local is there; never, until the node that makes it is in order.
    let mut ready = vec![usize::MAX; locals];
    let mut now = 0;
    while !nodes.is_empty() {
        let start = |node: &Node| {
            let waits = is_store(node) && readers > 0;
            let arguments = node.arguments().filter(|value| value.is_local()).map(|value| ready[value.index()]);
            arguments.chain(waits.then_some(usize::MAX)).max().unwrap_or(0).max(now)
        };
        // The first one can: all that was before it is in order.
        let next = (0..nodes.len().min(LOOKAHEAD)).min_by_key(|at| start(&nodes[*at])).unwrap_or(0);
        let begins = start(&nodes[next]);
        let Some(node) = nodes.remove(next) else { break };
        now = begins + PACE;
        readers -= usize::from(reads(&node) && !is_store(&node));
        if node.result != ValueId::NONE {
            ready[node.result.index()] = begins + latency(node.action, target);
        }
        ordered.push(node);
    }
    ordered
}

/// The nodes with each that takes a register, since what it reads lives on anyway, moved down to its first reader.
fn sunk(nodes: Vec<Node>, locals: usize) -> Vec<Node> {
    let mut sunk: VecDeque<Node> = VecDeque::with_capacity(nodes.len());
    // What the nodes so far, which are those below, read.
    let mut read = vec![false; locals];
    for node in nodes.into_iter().rev() {
        let lives_on = |value: ValueId| !value.is_local() || read[value.index()];
        let computes = node.result != ValueId::NONE && !matches!(node.action, Action::Load { .. });
        let reader = |user: &Node| user.arguments().any(|value| value == node.result);
        let place = if computes && node.arguments().all(lives_on) { sunk.iter().position(reader) } else { None };
        for value in node.arguments().filter(|value| value.is_local()) {
            read[value.index()] = true;
        }
        sunk.insert(place.unwrap_or(0), node);
    }
    sunk.into()
}
