//! From an expression to a function: parsed, rewritten, checked. Nothing is planned or compiled to code yet.

use super::engine::Engine;
use super::error::CompileError;
use super::function::Function;
use crate::exec::float_mode::FloatMode;
use crate::plan::Fusion;
use fuselet_ir::{Graph, rewrite, verify};

impl Engine {
    /// Compiles an expression: text of the language, an expression of the builder, an activation, a program.
    ///
    /// # Errors
    /// What is wrong with the expression.
    ///
    /// ```
    /// let engine = fuselet::Engine::new()?;
    /// let from_text = engine.compile("gelu(x) + 1")?;
    /// let from_builder = engine.compile(&(fuselet::activations::gelu().apply(&fuselet::Expr::input("x")) + 1.0))?;
    /// assert_eq!(from_text.graph(), from_builder.graph());
    /// assert!(engine.compile("gelu(x").is_err());
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn compile(&self, expression: impl fuselet_ir::IntoProgram) -> Result<Function, CompileError> {
        self.compile_with(expression, self.0.fusion)
    }

    /// Compiles an expression with fusion on or off, whatever the engine's own option.
    ///
    /// # Errors
    /// As [`Engine::compile`].
    ///
    /// ```
    /// use fuselet::{Engine, Fusion};
    /// let f = Engine::new()?.compile_with("tanh(x) * x", Fusion::Off)?;
    /// assert_eq!(f.call_to_vec::<f32>(&[("x", (&[0.0f32]).into())])?, [0.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn compile_with(
        &self,
        expression: impl fuselet_ir::IntoProgram,
        fusion: Fusion,
    ) -> Result<Function, CompileError> {
        // Constants are folded on the way.
        let _mode = FloatMode::enter();
        let program = expression.into_program(&self.0.library)?;
        let graph = program.graph(fuselet_ir::Meaning::Form)?;
        self.compile_graph(&graph, fusion)
    }

    /// Compiles a graph.
    ///
    /// # Errors
    /// A graph that breaks an invariant.
    ///
    /// ```
    /// use fuselet::{Engine, Fusion, ir::{Graph, Op}};
    /// let mut graph = Graph::new();
    /// let x = graph.input("x");
    /// let doubled = graph.apply(Op::Add, &[x, x]);
    /// graph.output("doubled", doubled);
    /// let f = Engine::new()?.compile_graph(&graph, Fusion::Full)?;
    /// assert_eq!(f.call_to_vec::<f32>(&[("x", (&[1.5f32]).into())])?, [3.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn compile_graph(&self, graph: &Graph, fusion: Fusion) -> Result<Function, CompileError> {
        let _mode = FloatMode::enter();
        verify::verify(graph)?;
        if self.0.keep_graph {
            let rewritten = rewrite::Rewritten { graph: graph.clone(), applied: Vec::new() };
            return Ok(Function::new(self.clone(), rewritten, fusion));
        }
        let rewritten = rewrite::rewrite(graph, self.0.rules);
        if self.0.compiler.checks_invariants() {
            verify::verify(&rewritten.graph)?;
        }
        Ok(Function::new(self.clone(), rewritten, fusion))
    }
}
