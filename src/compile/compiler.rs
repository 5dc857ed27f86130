//! Compiling a pass once: by the backend, or, where that fails or gives other bits, by the interpreter; and telling of it.

use super::cache::{CacheUsage, CodeCache};
use super::compiled::Compiled;
use super::event::{Event, Subscriber};
use super::probe;
use crate::codegen::{Backend, BackendError, Code, interpreter::Interpreter};
use crate::lane::Pass;
use smallvec::SmallVec;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// Whether new code is checked before its first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Verify {
    /// It is trusted; this library's tests have checked the backends.
    #[default]
    Off,
    /// Each newly compiled pass runs on probe values, in the backend and in the interpreter. Where they differ in a bit the
    /// interpreter takes the pass, and [`Event::Mismatch`] and the log say so.
    ///
    /// The cost is paid once, when a pass is compiled, never by a call: about 58 µs for silu, 142 µs for a chain of ten ops,
    /// 462 µs for the five passes of softmax, where compiling takes 46, 170 and 226 µs (wide backend, AVX-512); with Cranelift
    /// 81, 169 and 540 µs beside 630, 2460 and 3240 µs. `cargo bench --bench ratios -- verify` measures it
    /// (`docs/performance.md`).
    ///
    /// Of 418 single wrong ops planted into the library's activations the probes find 417 (`tests/verify_on_compile.rs`).
    OnCompile,
}

/// What is to be told of one compile.
type Events = SmallVec<[Event; 2]>;

thread_local! {
    /// Whether the thread is compiling a pass. A call from within (of a logger, to which Cranelift logs; of a backend of the
    /// user's) must not wait for code that this thread, or one that waits for it, has yet to make: the interpreter takes it.
    static COMPILING: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, the thread is compiling.
struct WhileCompiling;

impl WhileCompiling {
    fn begin() -> WhileCompiling {
        COMPILING.set(true);
        WhileCompiling
    }
}

impl Drop for WhileCompiling {
    fn drop(&mut self) {
        COMPILING.set(false);
    }
}

/// Compiles passes, each once.
pub(crate) struct Compiler {
    backend: Arc<dyn Backend>,
    interpreter: Interpreter,
    cache: CodeCache,
    check_invariants: bool,
    verify: Verify,
    subscriber: Option<Subscriber>,
}

impl Compiler {
    pub(crate) fn new(
        backend: Arc<dyn Backend>,
        interpreter: Interpreter,
        cache_bytes: usize,
        check_invariants: bool,
        verify: Verify,
        subscriber: Option<Subscriber>,
    ) -> Compiler {
        Compiler { backend, interpreter, cache: CodeCache::new(cache_bytes), check_invariants, verify, subscriber }
    }

    /// The name of the backend.
    pub(crate) fn backend_name(&self) -> String {
        self.backend.name()
    }

    /// Whether passes may use a fused multiply-add.
    pub(crate) fn has_fma(&self) -> bool {
        self.backend.has_fma()
    }

    /// Whether graphs and passes are checked after each step.
    pub(crate) fn checks_invariants(&self) -> bool {
        self.check_invariants
    }

    /// What the cache of compiled passes holds.
    pub(crate) fn cache_usage(&self) -> CacheUsage {
        self.cache.usage()
    }

    /// The code of a pass: from the cache, from the backend, or, where that fails, from the interpreter.
    pub(crate) fn code(&self, pass: Pass) -> Compiled {
        if COMPILING.get() {
            return self.interpret(&Arc::new(pass));
        }
        // Told once the code is in the cache, where whoever is told finds it.
        let mut events = Events::new();
        let compiled = self.cache.get_or_compile(pass, |pass| {
            let _compiling = WhileCompiling::begin();
            let begin = Instant::now();
            let compiled = self.compile_pass(pass, &mut events);
            events.push(Event::Compiled {
                pass: pass.name.clone(),
                backend: compiled.backend.clone(),
                bytes: compiled.code.code_size(),
                time: begin.elapsed(),
            });
            compiled
        });
        events.iter().for_each(|event| self.report(event));
        compiled
    }

    fn compile_pass(&self, pass: &Arc<Pass>, events: &mut Events) -> Compiled {
        if self.check_invariants
            && let Err(error) = pass.verify()
        {
            panic!("lowering made an invalid pass, which is a defect of this library: {error}");
        }
        match self.compile_in_backend(pass) {
            Ok(code) => self.verified(Compiled { pass: pass.clone(), code, backend: self.backend.name() }, events),
            Err(error) => {
                events.push(Event::FellBack { pass: pass.name.clone(), error });
                self.interpret(pass)
            }
        }
    }

    /// The backend's code. A backend that panics has failed like one that says so: no defect of a code generator reaches
    /// whoever calls a function. (Backends keep nothing of a compilation that did not come to its end.)
    fn compile_in_backend(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        catch_unwind(AssertUnwindSafe(|| self.backend.compile(pass))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let reason = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
            Err(BackendError::Panicked {
                backend: self.backend.name(),
                pass: pass.name.clone(),
                reason: reason.to_owned(),
            })
        })
    }

    /// The code itself, or the interpreter's where probes tell them apart.
    fn verified(&self, compiled: Compiled, events: &mut Events) -> Compiled {
        if self.verify == Verify::Off {
            return compiled;
        }
        let judge = self.interpret(&compiled.pass);
        match probe::compare(&compiled.pass, judge.code.as_ref(), compiled.code.as_ref()) {
            None => compiled,
            Some(difference) => {
                events.push(Event::Mismatch {
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
        let code = self.interpreter.compile(pass).expect("the interpreter runs every pass");
        Compiled { pass: pass.clone(), code, backend: self.interpreter.name() }
    }

    /// Tells of an event. No lock may be held: whoever is told may call the engine.
    pub(crate) fn report(&self, event: &Event) {
        log::log!(event.level(), "{event}");
        #[cfg(feature = "tracing")]
        event.trace();
        if let Some(subscriber) = &self.subscriber {
            subscriber(event);
        }
    }
}
