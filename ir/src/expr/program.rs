//! Programs: named expressions, and their graph.

use super::expand::{Budget, Meaning, most_ops};
use super::node::{Call, Expr, Operation};
use crate::error::{ActivationError, Error};
use crate::graph::verify::verify;
use crate::graph::{Graph, Node, NodeId};
use rustc_hash::{FxHashMap, FxHashSet};

/// One or several named expressions.
///
/// ```
/// use fuselet_ir::{IntoProgram, Library, Meaning};
/// let program = "x * scale + bias |> gelu".into_program(&Library::standard())?;
/// let graph = program.graph(Meaning::Form)?;
/// assert_eq!(graph.inputs(), ["x", "scale", "bias"]);
/// # Ok::<(), fuselet_ir::Error>(())
/// ```
#[derive(Clone)]
pub struct Program {
    /// Inputs that are declared, in this order, before those that are only mentioned.
    inputs: Vec<String>,
    /// Expressions that are part of the graph before the outputs, whether used or not: the text's own `let`s.
    bindings: Vec<Expr>,
    outputs: Vec<(String, Expr)>,
}

impl Program {
    /// A program of named outputs.
    pub fn new(outputs: impl IntoIterator<Item = (String, Expr)>) -> Program {
        Program::with_bindings(Vec::new(), Vec::new(), outputs.into_iter().collect())
    }

    pub(crate) fn with_bindings(inputs: Vec<String>, bindings: Vec<Expr>, outputs: Vec<(String, Expr)>) -> Program {
        Program { inputs, bindings, outputs }
    }

    /// The same program with its inputs in this order, whether they are read or not; others that it mentions follow.
    #[must_use]
    pub fn with_inputs(self, inputs: impl IntoIterator<Item = String>) -> Program {
        Program { inputs: inputs.into_iter().collect(), ..self }
    }

    pub(crate) fn declared_inputs(&self) -> &[String] {
        &self.inputs
    }

    /// The outputs by name, in order.
    pub fn outputs(&self) -> &[(String, Expr)] {
        &self.outputs
    }

    pub(crate) fn bindings(&self) -> &[Expr] {
        &self.bindings
    }

    /// How many operators, calls and leaves there are.
    fn terms(&self) -> usize {
        let mut seen = FxHashSet::default();
        let mut pending: Vec<&Expr> = self.bindings.iter().chain(self.outputs.iter().map(|(_, expr)| expr)).collect();
        while let Some(expr) = pending.pop() {
            if seen.insert(expr.address()) {
                pending.extend(&expr.node().arguments);
            }
        }
        seen.len()
    }

    /// The graph that computes the outputs. The results of library calls that the author wrote are labelled.
    pub fn graph(&self, meaning: Meaning) -> Result<Graph, Error> {
        let mut graph = Graph::with_inputs(self.inputs.clone());
        let mut builder = GraphBuilder {
            graph: &mut graph,
            meaning,
            budget: Budget::new(),
            most_ops: most_ops(0),
            program: Some(self),
        };
        let mut done = FxHashMap::default();
        for expr in &self.bindings {
            builder.add(expr, &[], &mut done, true)?;
        }
        let mut results = Vec::with_capacity(self.outputs.len());
        for (name, expr) in &self.outputs {
            // A bool leaves as 1 or 0. The converted expression is held until its nodes are built: `done`
            // knows expressions by address.
            results.push((name, expr.clone().into_number()));
        }
        let mut nodes = Vec::with_capacity(results.len());
        for (_, expr) in &results {
            nodes.push(builder.add(expr, &[], &mut done, true)?);
        }
        for ((name, _), node) in results.iter().zip(nodes) {
            graph.output(name.as_str(), node);
        }
        verify(&graph)?;
        Ok(graph)
    }
}

impl From<Expr> for Program {
    fn from(expr: Expr) -> Program {
        Program::new([(Graph::DEFAULT_OUTPUT.to_owned(), expr)])
    }
}

/// How many bytes of labels cost as much as a step of the expansion.
const LABEL_BYTES_A_STEP: usize = 32;

/// Adds expressions to a graph.
struct GraphBuilder<'g> {
    graph: &'g mut Graph,
    meaning: Meaning,
    budget: Budget,
    /// How many nodes the graph may have.
    most_ops: usize,
    /// What is built, until it was asked how large it is: only large graphs need to know.
    program: Option<&'g Program>,
}

impl GraphBuilder<'_> {
    /// Refuses graphs that are large beyond proportion to what was written.
    fn check_ops(&mut self) -> Result<(), Error> {
        if self.graph.nodes().len() <= self.most_ops {
            return Ok(());
        }
        if let Some(program) = self.program.take() {
            self.most_ops = most_ops(program.terms());
            return self.check_ops();
        }
        Err(Error::TooManyOps { limit: self.most_ops })
    }

    /// The node of an expression. `arguments` are the tensors of the function whose body it is part of; `done` holds
    /// what was built already, by address. Recursive only from call to body.
    fn add(
        &mut self,
        root: &Expr,
        arguments: &[NodeId],
        done: &mut FxHashMap<usize, NodeId>,
        outermost: bool,
    ) -> Result<NodeId, Error> {
        let mut pending: Vec<(&Expr, bool)> = vec![(root, false)];
        while let Some((expr, ready)) = pending.pop() {
            if done.contains_key(&expr.address()) {
                continue;
            }
            if !self.budget.spend(1) {
                return Err(Error::TooLarge { limit: Budget::STEPS });
            }
            let node = expr.node();
            if !ready && !node.arguments.is_empty() {
                pending.push((expr, true));
                // The last pushed is the first built: arguments in the order in which they are written.
                if matches!(node.operation, Operation::Elementwise { reversed: true, .. }) {
                    pending.extend(node.arguments.iter().map(|argument| (argument, false)));
                } else {
                    pending.extend(node.arguments.iter().rev().map(|argument| (argument, false)));
                }
                continue;
            }
            let built: Vec<NodeId> = node.arguments.iter().map(|argument| done[&argument.address()]).collect();
            let id = match &node.operation {
                Operation::Input(name) => self.graph.input(name),
                Operation::Argument(index) => *arguments.get(*index).ok_or_else(unbound_argument)?,
                Operation::Constant(bits) => self.graph.add(Node::Constant(*bits)),
                Operation::Elementwise { op, .. } => self.graph.apply(*op, &built),
                Operation::Reduce { reduction, axes } => self.graph.reduce(*reduction, built[0], axes.clone()),
                Operation::Half { axis, half } => self.graph.half(built[0], *axis, *half),
                Operation::Call(call) => self.call(&**call, &built, outermost)?,
            };
            self.check_ops()?;
            done.insert(expr.address(), id);
        }
        Ok(done[&root.address()])
    }

    fn call(&mut self, call: &dyn Call, arguments: &[NodeId], outermost: bool) -> Result<NodeId, Error> {
        call.check_tensors(arguments.len())?;
        let body = call.body(self.meaning, &mut self.budget)?;
        let id = self.add(&body, arguments, &mut FxHashMap::default(), false)?;
        // `linear` of an input is the input: nothing was computed that could carry a name.
        let computes = !matches!(self.graph.node(id), Node::Input(_) | Node::Constant(_));
        if outermost && computes && !arguments.contains(&id) {
            let text = call.to_string();
            // The text is kept for every call, and a short alias may stand for a long name.
            if !self.budget.spend(text.len() / LABEL_BYTES_A_STEP) {
                return Err(Error::TooLarge { limit: Budget::STEPS });
            }
            self.graph.set_label(id, text, arguments);
        }
        Ok(id)
    }
}

/// An expression taken out of a function's body; no public way leads here.
fn unbound_argument() -> Error {
    Error::Activation(ActivationError::Unknown { name: "argument".to_owned(), nearest: None })
}
