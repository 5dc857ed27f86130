//! Definitions that travel: the texts of the functions that an expression or an activation calls, so that whoever reads
//! it needs no more than the standard library.

use super::read::load;
use crate::expr::{Expr, Operation};
use crate::library::{Activation, Function, Functions};
use rustc_hash::FxHashSet;
use std::any::Any;
use std::sync::Arc;

/// The sources of functions after the sources of all that they call, the standard library left out.
///
/// Functions of one name may hide each other in the text, so what it gives is compared: if it is not these functions, the
/// error is one of those for which it fails.
pub(crate) fn definitions(functions: &[Arc<Function>]) -> Result<String, Arc<Function>> {
    fn collect(function: &Arc<Function>, found: &mut Vec<Arc<Function>>) {
        if function.is_standard() || found.contains(function) {
            return;
        }
        // Not deeper than functions may call one another.
        function.callees().for_each(|callee| collect(callee, found));
        found.push(Arc::clone(function));
    }
    let mut found = Vec::new();
    functions.iter().for_each(|function| collect(function, &mut found));
    let text = found.iter().map(|function| function.source()).collect::<Vec<_>>().join("\n");
    let read = load(&text).unwrap_or_default();
    let is_kept = |function: &Arc<Function>| match read.find(function.name()) {
        Some(same) => same == *function,
        None => function.is_standard(),
    };
    // In a program private functions hide the others, wherever they stand.
    let hides = |function: &Arc<Function>| {
        function.is_private() && found.iter().filter(|other| other.name() == function.name()).count() > 1
    };
    match functions.iter().find(|function| !is_kept(function)).or_else(|| found.iter().find(|f| hides(f))) {
        Some(lost) => Err(Arc::clone(lost)),
        None => Ok(text),
    }
}

/// The functions that expressions call, each once, in the order in which they are met.
pub(crate) fn called<'e>(roots: impl IntoIterator<Item = &'e Expr>) -> Vec<Arc<Function>> {
    let mut pending: Vec<&Expr> = roots.into_iter().collect();
    pending.reverse();
    let mut seen = FxHashSet::default();
    let mut found: Vec<Arc<Function>> = Vec::new();
    while let Some(expr) = pending.pop() {
        if !seen.insert(expr.address()) {
            continue;
        }
        let node = expr.node();
        if let Operation::Call(call) = &node.operation
            && let Some(activation) = (&**call as &dyn Any).downcast_ref::<Activation>()
            && !found.contains(activation.function())
        {
            found.push(Arc::clone(activation.function()));
        }
        pending.extend(node.arguments.iter().rev());
    }
    found
}
