//! The engine: options, the choice of backend, and the cache of compiled passes.
//!
//! An [`Engine`] is a cheap handle that many threads share. It compiles expressions to [`super::Function`]s; a function
//! plans itself at its first call for each pattern of shapes and has its passes compiled for each layout. Compiled
//! passes are shared through the engine's cache: bounded in bytes, one compile a key however many threads ask.
//!
//! Where a backend cannot compile a pass, the interpreter takes it, and the engine says so: to the `log` crate, and to
//! [`super::EngineBuilder::on_event`]. With [`Verify::OnCompile`] so does code whose results differ from the interpreter's on
//! probe values.

use crate::codegen::isa::Isa;
use crate::compile::{CacheUsage, Compiler};
use crate::exec::bound::Resources;
use crate::plan::Fusion;
use fuselet_ir::rewrite;
use std::fmt;
use std::sync::Arc;

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

    /// What the cache of compiled passes holds: how many, and their bytes. ([`super::EngineBuilder::code_cache_bytes`] bounds it.)
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
    /// that needs some takes it anew. ([`super::EngineBuilder::scratch_bytes`] bounds what is kept.)
    ///
    /// ```
    /// use fuselet::ArrayRef;
    /// let engine = fuselet::Engine::new()?;
    /// let f = engine.compile("softmax(softmax(x, axis = 0), axis = 1)")?;
    /// f.call_to_vec::<f32>(&[("x", ArrayRef::new(&[1.0f32; 600], &[20, 30])?)])?;
    /// assert!(engine.scratch_usage() > 0);
    /// engine.release_scratch();
    /// assert_eq!(engine.scratch_usage(), 0);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
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
