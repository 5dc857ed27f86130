//! What a rule is.

use crate::graph::{Graph, NodeId};

/// One rule.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Its name, as reports give it.
    pub name: &'static str,
    /// What becomes what.
    pub pattern: &'static str,
    /// Whether it keeps every bit.
    pub exact: bool,
    /// For an exact rule, why; for a relaxed one, what it may change.
    pub why: &'static str,
    /// The replacement of a node, if the rule matches it.
    pub(super) apply: fn(&mut Graph, NodeId) -> Option<NodeId>,
}
