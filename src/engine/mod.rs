//! The engine: options, the choice of backend, and the cache of compiled passes.
//!
//! An [`Engine`] is a cheap handle that many threads share. It compiles expressions to [`Fused`] functions; a function
//! plans itself at its first call for each pattern of shapes and has its passes compiled for each layout. Compiled
//! passes are shared through the engine's cache ([`cache`]): bounded, one compile a key however many threads ask.
//!
//! Where a backend cannot compile a pass, the interpreter takes it, and the engine says so: to the `log` crate, and to
//! [`EngineBuilder::on_event`]. With [`Verify::OnCompile`] so does code whose results differ from the interpreter's on
//! probe values.

mod builder;
mod cache;

pub use builder::{BackendChoice, EngineBuilder, EngineError, Event, Verify};

use crate::backend::{Backend, Code, interpreter::Interpreter};
use crate::fuse::Fusion;
use crate::isa::Isa;
use crate::kernel::Fused;
use crate::lane::Pass;
use crate::run::probe;
use cache::CodeCache;
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

/// A pass with its code.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What was compiled.
    pub pass: Arc<Pass>,
    /// The code.
    pub code: Arc<dyn Code>,
    /// The backend that made it.
    pub backend: String,
}

pub(crate) struct Inner {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) interpreter: Interpreter,
    pub(crate) isa: Isa,
    pub(crate) threads: usize,
    pub(crate) rules: rewrite::Rules,
    pub(crate) keep_graph: bool,
    pub(crate) fusion: Fusion,
    pub(crate) check_invariants: bool,
    pub(crate) verify: Verify,
    pub(crate) cache: CodeCache,
    pub(crate) subscriber: Option<builder::Subscriber>,
    pub(crate) library: fuselet_ir::Library,
}

/// Compiles and runs expressions. Cloning gives another handle to the same engine.
///
/// ```
/// use fuselet::Engine;
/// let engine = Engine::new()?;
/// let f = engine.compile("silu(x * scale + bias)")?;
/// let x = [-1.0f32, 0.0, 1.0, 2.0];
/// let mut y = [0.0f32; 4];
/// f.call(&[("x", &x), ("scale", &2.0f32), ("bias", &0.5f32)], &mut y)?;
/// assert!((y[1] - 0.311_229_67).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

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
    pub fn compile(&self, expression: impl fuselet_ir::IntoProgram) -> Result<Fused, CompileError> {
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
    ) -> Result<Fused, CompileError> {
        let program = expression.into_program(&self.0.library)?;
        let graph = program.graph(fuselet_ir::Meaning::Form)?;
        self.compile_graph(&graph, fusion)
    }

    /// Compiles a graph.
    ///
    /// # Errors
    /// A graph that breaks an invariant.
    pub fn compile_graph(&self, graph: &Graph, fusion: Fusion) -> Result<Fused, CompileError> {
        verify::verify(graph)?;
        if self.0.keep_graph {
            let rewritten = rewrite::Rewritten { graph: graph.clone(), applied: Vec::new() };
            return Ok(Fused::new(self.clone(), rewritten, fusion));
        }
        let rewritten = rewrite::rewrite(graph, self.0.rules);
        if self.0.check_invariants {
            verify::verify(&rewritten.graph)?;
        }
        Ok(Fused::new(self.clone(), rewritten, fusion))
    }

    /// The library whose functions expressions may call.
    pub fn library(&self) -> &fuselet_ir::Library {
        &self.0.library
    }

    /// The name of the backend: `cranelift avx-fma`.
    pub fn backend_name(&self) -> String {
        self.0.backend.name()
    }

    /// The instruction-set level.
    pub fn isa(&self) -> Isa {
        self.0.isa
    }

    /// The most threads a call uses.
    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// How many compiled passes the cache holds, and how many it may hold.
    pub fn cache_usage(&self) -> (usize, usize) {
        self.0.cache.usage()
    }

    pub(crate) fn has_fma(&self) -> bool {
        self.0.backend.has_fma()
    }

    /// The code of a pass: from the cache, from the backend, or, where that fails, from the interpreter.
    pub(crate) fn code(&self, pass: Pass) -> Compiled {
        self.0.cache.get_or_compile(pass, |pass| self.compile_pass(pass))
    }

    fn compile_pass(&self, pass: &Arc<Pass>) -> Compiled {
        if self.0.check_invariants
            && let Err(error) = pass.verify()
        {
            panic!("lowering made an invalid pass, which is a defect of this library: {error}");
        }
        match self.0.backend.compile(pass) {
            Ok(code) => self.verified(Compiled { pass: pass.clone(), code, backend: self.0.backend.name() }),
            Err(error) => {
                self.report(&Event::FellBack { pass: pass.name.clone(), error });
                self.interpret(pass)
            }
        }
    }

    /// The code itself, or the interpreter's where probes tell them apart.
    fn verified(&self, compiled: Compiled) -> Compiled {
        if self.0.verify == Verify::Off {
            return compiled;
        }
        let judge = self.interpret(&compiled.pass);
        match probe::compare(&compiled.pass, judge.code.as_ref(), compiled.code.as_ref()) {
            None => compiled,
            Some(difference) => {
                self.report(&Event::Mismatch {
                    pass: compiled.pass.name.clone(),
                    backend: compiled.backend,
                    operand: difference.operand,
                    element: difference.element,
                    expected: difference.expected,
                    found: difference.found,
                });
                judge
            }
        }
    }

    fn interpret(&self, pass: &Arc<Pass>) -> Compiled {
        let code = self.0.interpreter.compile(pass).expect("the interpreter runs every pass");
        Compiled { pass: pass.clone(), code, backend: self.0.interpreter.name() }
    }

    fn report(&self, event: &Event) {
        log::warn!("{event}");
        if let Some(subscriber) = &self.0.subscriber {
            subscriber(event);
        }
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
