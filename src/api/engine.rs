//! The engine: options, the choice of backend, and the cache of compiled passes.
//!
//! An [`Engine`] is a cheap handle that many threads share. It compiles expressions to [`Function`]s; a function
//! plans itself at its first call for each pattern of shapes and has its passes compiled for each layout. Compiled
//! passes are shared through the engine's cache: bounded in bytes, one compile a key however many threads ask.
//!
//! Where a backend cannot compile a pass, the interpreter takes it, and the engine says so: to the `log` crate, and to
//! [`EngineBuilder::on_event`]. With [`Verify::OnCompile`] so does code whose results differ from the interpreter's on
//! probe values.

use super::{EngineBuilder, EngineError, Function};
use crate::codegen::isa::Isa;
use crate::compile::{CacheUsage, Compiler};
use crate::exec::bound::Resources;
use crate::exec::float_mode::FloatMode;
use crate::plan::Fusion;
use fuselet_ir::verify::VerifyError;
use fuselet_ir::{Graph, rewrite, verify};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Why an expression cannot be compiled.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The text or the builder's expression is wrong.
    #[error(transparent)]
    Expression(#[from] fuselet_ir::Error),
    /// A graph breaks an invariant.
    #[error("the graph is not valid: {0}")]
    Graph(#[from] VerifyError),
}

pub(super) struct Inner {
    pub(super) compiler: Compiler,
    pub(super) isa: Isa,
    pub(super) resources: Resources,
    pub(super) function_cache_bytes: usize,
    pub(super) rules: rewrite::Rules,
    pub(super) keep_graph: bool,
    pub(super) fusion: Fusion,
    pub(super) library: fuselet_ir::Library,
}

/// Compiles and runs expressions. Cloning gives another handle to the same engine.
///
/// ```
/// use fuselet::Engine;
/// let engine = Engine::new()?;
/// let f = engine.compile("silu(x * scale + bias)")?;
/// let x = [-1.0f32, 0.0, 1.0, 2.0];
/// let mut y = [0.0f32; 4];
/// f.call(&[("x", (&x).into()), ("scale", (&2.0f32).into()), ("bias", (&0.5f32).into())], &mut y)?;
/// assert!((y[1] - 0.311_229_67).abs() < 1e-6);
/// # Ok::<(), fuselet::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine(pub(super) Arc<Inner>);

impl Engine {
    /// An engine with the best backend of this machine, on all cores. `FUSELET_BACKEND` (`auto`, `interpreter`,
    /// `cranelift`, `wide`) and `FUSELET_ISA` (`baseline`, `avx-fma`, `avx2`, `avx512`) overrule the choice.
    ///
    /// # Errors
    /// A value of these variables that names nothing, or what this machine does not have.
    pub fn new() -> Result<Engine, EngineError> {
        Engine::builder().build()
    }

    /// An engine with options.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Compiles an expression: text of the language, an expression of the builder, an activation, a program.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn compile(&self, expression: impl fuselet_ir::IntoProgram) -> Result<Function, CompileError> {
        self.compile_with(expression, self.0.fusion)
    }

    /// Compiles an expression with fusion on or off, whatever the engine's own option.
    ///
    /// # Errors
    /// As [`Engine::compile`].
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

    /// The library whose functions expressions may call.
    pub fn library(&self) -> &fuselet_ir::Library {
        &self.0.library
    }

    /// The name of the backend: `cranelift avx-fma`.
    pub fn backend_name(&self) -> String {
        self.0.compiler.backend_name()
    }

    /// The instruction-set level.
    pub fn isa(&self) -> Isa {
        self.0.isa
    }

    /// The most threads a call uses.
    pub fn threads(&self) -> usize {
        self.0.resources.threads.most()
    }

    /// What the cache of compiled passes holds: how many, and their bytes. ([`EngineBuilder::code_cache_bytes`] bounds it.)
    ///
    /// ```
    /// let engine = fuselet::Engine::new()?;
    /// engine.compile("silu(x)")?.call_to_vec::<f32>(&[("x", (&[1.0f32, 2.0]).into())])?;
    /// let usage = engine.cache_usage();
    /// assert_eq!(usage.passes, 1);
    /// assert!(usage.bytes < usage.limit);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn cache_usage(&self) -> CacheUsage {
        self.0.compiler.cache_usage()
    }

    /// Frees the scratch memory that the engine keeps between calls: row buffers, and arrays between kernels. The next call
    /// that needs some takes it anew. ([`EngineBuilder::scratch_bytes`] bounds what is kept.)
    pub fn release_scratch(&self) {
        self.0.resources.scratch.release();
    }

    /// How many bytes of scratch memory the engine keeps at the moment.
    pub fn scratch_usage(&self) -> usize {
        self.0.resources.scratch.kept_bytes()
    }

    pub(super) fn resources(&self) -> &Resources {
        &self.0.resources
    }

    pub(super) fn function_cache_bytes(&self) -> usize {
        self.0.function_cache_bytes
    }

    pub(super) fn compiler(&self) -> &Compiler {
        &self.0.compiler
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("backend", &self.backend_name())
            .field("threads", &self.threads())
            .field("cache", &self.cache_usage())
            .finish_non_exhaustive()
    }
}
