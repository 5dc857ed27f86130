//! Options of an engine.

use super::engine::{Engine, Inner};
use super::error::{EngineError, names};
use crate::codegen::isa::Isa;
use crate::codegen::{Backend, BackendError, interpreter::Interpreter};
use crate::compile::{Compiler, Event, Subscriber, Verify};
use crate::exec::bound::Resources;
use crate::exec::scratch::ScratchPool;
use crate::exec::threads::{Executor, Threads, default_executor};
use crate::plan::Fusion;
use fuselet_ir::Library;
use fuselet_ir::rewrite::Rules;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;

/// The cache holds this many bytes of compiled passes unless told otherwise: one takes 8 to 32 KiB, so more than a thousand.
/// Each has pages of its own.
const DEFAULT_CODE_CACHE: usize = 32 << 20;

/// Fresh pages cost more than a kernel does (2 ns an element), so arrays between kernels are worth keeping up to sizes at
/// which a program would notice them.
const DEFAULT_SCRATCH: usize = 256 << 20;
const DEFAULT_FUNCTION_CACHE: usize = 1 << 20;

/// Which backend compiles passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BackendChoice {
    /// The fastest that works on this machine.
    #[default]
    Auto,
    /// The tile interpreter: makes no code.
    Interpreter,
    /// Cranelift, 128 bits wide on x86-64.
    Cranelift,
    /// AVX2 or AVX-512.
    Wide,
}

impl BackendChoice {
    /// All choices with the names users write.
    pub const NAMES: [(&'static str, BackendChoice); 4] = [
        ("auto", BackendChoice::Auto),
        ("interpreter", BackendChoice::Interpreter),
        ("cranelift", BackendChoice::Cranelift),
        ("wide", BackendChoice::Wide),
    ];

    /// The name users write.
    pub fn name(self) -> &'static str {
        match self {
            BackendChoice::Auto => "auto",
            BackendChoice::Interpreter => "interpreter",
            BackendChoice::Cranelift => "cranelift",
            BackendChoice::Wide => "wide",
        }
    }

    /// The choice of this name, whether or not it is in this build.
    pub fn by_name(name: &str) -> Option<BackendChoice> {
        BackendChoice::NAMES.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice)
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The text names no backend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{name}` is no backend; use one of {}", names(BackendChoice::NAMES.iter().map(|(name, _)| *name)))]
pub struct UnknownBackend {
    /// The text.
    pub name: String,
}

/// ```
/// use fuselet::BackendChoice;
/// assert_eq!("wide".parse(), Ok(BackendChoice::Wide));
/// assert!("vide".parse::<BackendChoice>().unwrap_err().to_string().contains("use one of auto, interpreter"));
/// ```
impl FromStr for BackendChoice {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<BackendChoice, UnknownBackend> {
        BackendChoice::by_name(name).ok_or_else(|| UnknownBackend { name: name.to_owned() })
    }
}

/// Options of an engine, then the engine.
///
/// ```
/// use fuselet::{BackendChoice, Engine};
/// let engine = Engine::builder().backend(BackendChoice::Interpreter).threads(1).build()?;
/// assert!(engine.backend_name().starts_with("interpreter"));
/// # Ok::<(), fuselet::EngineError>(())
/// ```
#[derive(Clone, Default)]
pub struct EngineBuilder {
    backend: Option<BackendChoice>,
    #[cfg(feature = "unstable")]
    custom: Option<Arc<dyn Backend>>,
    isa: Option<Isa>,
    threads: Option<usize>,
    executor: Option<Arc<dyn Executor>>,
    scratch_bytes: Option<usize>,
    function_cache_bytes: Option<usize>,
    code_cache_bytes: Option<usize>,
    fusion: Fusion,
    relaxed: bool,
    keep_graph: bool,
    check_invariants: Option<bool>,
    verify: Verify,
    subscriber: Option<Subscriber>,
    library: Option<Library>,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EngineBuilder")
            .field("backend", &self.backend)
            .field("isa", &self.isa)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Which backend compiles, instead of `FUSELET_BACKEND` or the best.
    #[must_use]
    pub fn backend(mut self, choice: BackendChoice) -> EngineBuilder {
        self.backend = Some(choice);
        self
    }

    /// A backend of your own.
    #[cfg(feature = "unstable")]
    #[must_use]
    pub fn custom_backend(mut self, backend: Arc<dyn Backend>) -> EngineBuilder {
        self.custom = Some(backend);
        self
    }

    /// The instruction-set level, instead of `FUSELET_ISA` or the best.
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> EngineBuilder {
        self.isa = Some(isa);
        self
    }

    /// The most threads a call uses: 1 for the calling thread alone. All cores by default.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> EngineBuilder {
        self.threads = Some(threads);
        self
    }

    /// Runs parts of large calls on threads of the host's, instead of rayon's pool.
    #[must_use]
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> EngineBuilder {
        self.executor = Some(executor);
        self
    }

    /// How many bytes of scratch memory the engine keeps between calls at most; 256 MiB by default. A call that needs more
    /// takes it, and gives it back.
    #[must_use]
    pub fn scratch_bytes(mut self, bytes: usize) -> EngineBuilder {
        self.scratch_bytes = Some(bytes);
        self
    }

    /// How many bytes each function keeps of what it has bound to layouts; 1 MiB by default, which is some hundred layouts.
    #[must_use]
    pub fn function_cache_bytes(mut self, bytes: usize) -> EngineBuilder {
        self.function_cache_bytes = Some(bytes);
        self
    }

    /// How many bytes of compiled passes the engine keeps for functions that are compiled later; 32 MiB by default, which is
    /// more than a thousand of usual size. Those not used longest leave. Functions keep the code they run, whatever leaves;
    /// with 0 each compiles its own.
    #[must_use]
    pub fn code_cache_bytes(mut self, bytes: usize) -> EngineBuilder {
        self.code_cache_bytes = Some(bytes);
        self
    }

    /// How far [`Engine::compile`] fuses.
    #[must_use]
    pub fn fusion(mut self, fusion: Fusion) -> EngineBuilder {
        self.fusion = fusion;
        self
    }

    /// Whether rewrites may change bits (reassociation, reciprocals, contraction to fma). Off by default.
    #[must_use]
    pub fn relaxed(mut self, relaxed: bool) -> EngineBuilder {
        self.relaxed = relaxed;
        self
    }

    /// Whether to leave graphs as they are instead of rewriting them to fewer ops. Off by default; exact rewrites change
    /// no bit, so this is for finding defects of this library.
    #[must_use]
    pub fn keep_graph(mut self, keep: bool) -> EngineBuilder {
        self.keep_graph = keep;
        self
    }

    /// Whether to check the invariants of graphs and passes after each step: on in debug builds, for finding defects of
    /// this library.
    #[must_use]
    pub fn check_invariants(mut self, check: bool) -> EngineBuilder {
        self.check_invariants = Some(check);
        self
    }

    /// Whether new code is checked before its first use.
    #[must_use]
    pub fn verify(mut self, verify: Verify) -> EngineBuilder {
        self.verify = verify;
        self
    }

    /// Calls `subscriber` for every [`Event`], on the thread that caused it, before the call that caused it goes on.
    ///
    /// It may use the engine, even call the very function whose call it hears of: what an event tells of is kept by then. (One
    /// that compiles something new at every event never ends.) If it panics so does the call, and the next one is as if it
    /// had not. Each event goes to the `log` crate, too.
    ///
    /// ```
    /// use fuselet::{Engine, Event};
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// let bytes = Arc::new(AtomicUsize::new(0));
    /// let sum = bytes.clone();
    /// let engine = Engine::builder()
    ///     .on_event(move |event| {
    ///         if let Event::Compiled { bytes, .. } = event {
    ///             sum.fetch_add(*bytes, Ordering::Relaxed);
    ///         }
    ///     })
    ///     .build()?;
    /// engine.compile("silu(x)")?.call_to_vec::<f32>(&[("x", (&[1.0f32, 2.0]).into())])?;
    /// println!("{bytes:?} bytes of machine code so far");
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    #[must_use]
    pub fn on_event(mut self, subscriber: impl Fn(&Event) + Send + Sync + 'static) -> EngineBuilder {
        self.subscriber = Some(Arc::new(subscriber));
        self
    }

    /// The library whose functions expressions may call; the standard one by default.
    #[must_use]
    pub fn library(mut self, library: Library) -> EngineBuilder {
        self.library = Some(library);
        self
    }

    /// The engine.
    ///
    /// # Errors
    /// A backend or a level that this machine does not have; a variable that names nothing.
    pub fn build(self) -> Result<Engine, EngineError> {
        let isa = match self.isa {
            Some(isa) => isa,
            None => variable("FUSELET_ISA", Isa::by_name, || names(Isa::available().map(Isa::name)))?
                .unwrap_or_else(Isa::detect),
        };
        if !isa.is_available() {
            return Err(EngineError::Isa { isa });
        }
        let choice = match self.backend {
            Some(choice) => choice,
            None => variable("FUSELET_BACKEND", BackendChoice::by_name, || {
                names(BackendChoice::NAMES.iter().map(|(name, _)| *name))
            })?
            .unwrap_or_default(),
        };
        let interpreter = Interpreter::new(isa);
        #[cfg(feature = "unstable")]
        let custom = self.custom;
        #[cfg(not(feature = "unstable"))]
        let custom: Option<Arc<dyn Backend>> = None;
        let backend = match custom {
            Some(backend) => backend,
            None => choose(choice, isa)?,
        };
        let threads = Threads::new(self.executor.or_else(default_executor), self.threads);
        let scratch = ScratchPool::new(self.scratch_bytes.unwrap_or(DEFAULT_SCRATCH));
        let compiler = Compiler::new(
            backend,
            interpreter,
            self.code_cache_bytes.unwrap_or(DEFAULT_CODE_CACHE),
            self.check_invariants.unwrap_or(cfg!(debug_assertions)),
            self.verify,
            self.subscriber,
        );
        Ok(Engine(Arc::new(Inner {
            compiler,
            isa,
            resources: Resources { threads, scratch },
            function_cache_bytes: self.function_cache_bytes.unwrap_or(DEFAULT_FUNCTION_CACHE),
            rules: if self.relaxed { Rules::Relaxed } else { Rules::Exact },
            keep_graph: self.keep_graph,
            fusion: self.fusion,
            library: self.library.unwrap_or_else(Library::standard),
        })))
    }
}

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
}

fn choose(choice: BackendChoice, isa: Isa) -> Result<Arc<dyn Backend>, EngineError> {
    Ok(match choice {
        BackendChoice::Interpreter => Arc::new(Interpreter::new(isa)),
        BackendChoice::Cranelift => cranelift(isa)?,
        BackendChoice::Wide => wide(isa)?,
        BackendChoice::Auto => match wide(isa).or_else(|_| cranelift(isa)) {
            Ok(backend) => backend,
            Err(error) => {
                // A build without backends is meant to interpret.
                if !matches!(error, BackendError::NotBuilt { .. }) {
                    log::warn!("falling back to the interpreter: {error}");
                }
                Arc::new(Interpreter::new(isa))
            }
        },
    })
}

#[cfg(feature = "cranelift")]
fn cranelift(isa: Isa) -> Result<Arc<dyn Backend>, BackendError> {
    Ok(Arc::new(crate::codegen::InParts { inner: crate::codegen::cranelift::Cranelift::new(isa)? }))
}

#[cfg(not(feature = "cranelift"))]
fn cranelift(_isa: Isa) -> Result<Arc<dyn Backend>, BackendError> {
    Err(BackendError::NotBuilt { backend: "cranelift" })
}

#[cfg(all(feature = "wide", target_arch = "x86_64"))]
fn wide(isa: Isa) -> Result<Arc<dyn Backend>, BackendError> {
    Ok(Arc::new(crate::codegen::InParts { inner: crate::codegen::wide::Wide::new(isa)? }))
}

#[cfg(all(feature = "wide", not(target_arch = "x86_64")))]
fn wide(_isa: Isa) -> Result<Arc<dyn Backend>, BackendError> {
    Err(BackendError::Unavailable { backend: "wide".to_owned(), reason: "it is for x86-64 only".to_owned() })
}

#[cfg(not(feature = "wide"))]
fn wide(_isa: Isa) -> Result<Arc<dyn Backend>, BackendError> {
    Err(BackendError::NotBuilt { backend: "wide" })
}

fn variable<T>(
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    known: impl Fn() -> String,
) -> Result<Option<T>, EngineError> {
    match std::env::var(name) {
        Err(_) => Ok(None),
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(EngineError::Variable { variable: name, value, known: known() }),
        },
    }
}
