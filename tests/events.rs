//! Events: what they tell, and that whoever hears them may do what he likes: call the engine, even the function whose call
//! caused the event; panic; log into a logger that calls in. (A subscriber that called the same function once waited for
//! itself for ever.)
//!
//! Each part has a deadline, so that a deadlock fails instead of hanging.

use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::{Backend, BackendError, Code};
use fuselet::lane::Pass;
use fuselet::{BackendChoice, Engine, Event, Function, Isa};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

/// Longer than any of this takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

const X: [f32; 3] = [-1.0, 0.5, 2.0];

fn call(function: &Function) -> Vec<f32> {
    function.call_to_vec(&[("x", (&X).into())]).expect("it fits")
}

/// Runs on a thread of its own, and fails if that takes too long.
fn in_time(what: &str, body: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        body();
        _ = done.send(());
    });
    match end.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: waits for itself"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            thread.join().unwrap_or_else(|_| panic!("{what}: failed"))
        }
    }
}

/// A backend that refuses everything, so that each pass falls back.
#[derive(Debug)]
struct Refusing;

impl Backend for Refusing {
    fn name(&self) -> String {
        "refusing".to_owned()
    }
    fn has_fma(&self) -> bool {
        Interpreter::new(Isa::Baseline).has_fma()
    }
    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        Err(BackendError::Unsupported { backend: self.name(), pass: pass.name.clone(), reason: "on principle".into() })
    }
}

fn engines() -> Vec<(&'static str, fuselet::EngineBuilder)> {
    vec![
        ("best", Engine::builder().threads(1)),
        ("cranelift", Engine::builder().backend(BackendChoice::Cranelift).threads(1)),
        ("interpreter", Engine::builder().backend(BackendChoice::Interpreter).threads(1)),
        ("refusing", Engine::builder().custom_backend(Arc::new(Refusing)).isa(Isa::Baseline).threads(1)),
    ]
}

/// What a subscriber or a logger calls, once it is made.
type Again = Arc<OnceLock<Function>>;

/// A logger that calls the function of the thread that logs, when it logs.
struct CallingLogger;

thread_local! {
    static LOGGED: Cell<usize> = const { Cell::new(0) };
    static LOGGER_CALLS: RefCell<Option<Function>> = const { RefCell::new(None) };
}

impl log::Log for CallingLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, _: &log::Record<'_>) {
        LOGGED.set(LOGGED.get() + 1);
        // Not for what that call logs in turn: Cranelift logs whenever it compiles.
        if let Some(function) = LOGGER_CALLS.take() {
            call(&function);
            LOGGER_CALLS.set(Some(function));
        }
    }
    fn flush(&self) {}
}

#[test]
fn whoever_hears_an_event_may_call_back_and_may_panic() {
    log::set_logger(&CallingLogger).expect("the first");
    log::set_max_level(log::LevelFilter::Trace);
    for (name, all) in engines() {
        for text in ["silu(x)", "softmax(x) |> gelu"] {
            let builder = all.clone();
            let wanted = call(&Engine::builder().threads(1).build().unwrap().compile(text).unwrap());
            let right = |found: Vec<f32>| name == "refusing" || found == wanted;

            let own = builder.clone();
            in_time("a subscriber that calls the same function", move || {
                let again: Again = Arc::default();
                let (inner, calls) = (again.clone(), Arc::new(AtomicUsize::new(0)));
                let count = calls.clone();
                let engine = own
                    .on_event(move |_| {
                        count.fetch_add(1, Ordering::Relaxed);
                        if let Some(function) = inner.get() {
                            call(function);
                        }
                    })
                    .build()
                    .unwrap();
                let function = engine.compile(text).unwrap();
                _ = again.set(function.clone());
                let first = call(&function);
                assert_eq!(first, call(&function));
                // A plan, and at least a pass, each told once.
                let heard = calls.load(Ordering::Relaxed);
                assert!(heard >= 2, "{heard}");
                call(&function);
                assert_eq!(calls.load(Ordering::Relaxed), heard);
                // The subscriber holds what holds the subscriber.
            });

            let own = builder.clone();
            let found = {
                let engine = own.on_event(|event| panic!("{event}")).build().unwrap();
                let function = engine.compile(text).unwrap();
                // Each event is told once, so after as many calls as events none is left.
                let mut found = None;
                for _ in 0..20 {
                    found = catch_unwind(AssertUnwindSafe(|| call(&function))).ok();
                    if found.is_some() {
                        break;
                    }
                }
                assert!(engine.cache_usage().passes > 0);
                found.expect("a call that works")
            };
            assert!(right(found), "{name}, {text}: after a panic");

            in_time("a logger that calls the same function", move || {
                let function = builder.build().unwrap().compile(text).unwrap();
                LOGGER_CALLS.set(Some(function.clone()));
                let first = call(&function);
                LOGGER_CALLS.set(None);
                assert!(LOGGED.get() >= 2);
                assert_eq!(call(&function), first);
            });
        }
    }
}

#[test]
fn events_say_what_was_planned_and_compiled() {
    for (name, builder) in engines() {
        let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
        let list = heard.clone();
        let engine = builder.on_event(move |event| list.lock().unwrap().push(event.clone())).build().unwrap();
        let function = engine.compile("silu(x) + 1").unwrap();
        assert!(heard.lock().unwrap().is_empty(), "compiling a function only checks it");
        call(&function);
        call(&function);
        let events = std::mem::take(&mut *heard.lock().unwrap());
        let planned = events.iter().filter(|event| matches!(event, Event::Planned { kernels: 1, .. })).count();
        assert_eq!(planned, 1, "{name}: {events:?}");
        let compiled: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Compiled { pass, backend, bytes, time, .. } => {
                    Some((pass.clone(), backend.clone(), *bytes, *time))
                }
                _ => None,
            })
            .collect();
        let [(pass, backend, bytes, time)] = &compiled[..] else { panic!("{name}: {events:?}") };
        assert!(pass.contains("silu") && *time > Duration::ZERO, "{events:?}");
        assert_eq!(*bytes == 0, backend.starts_with("interpreter"), "{events:?}");
        let fell_back = events.iter().filter(|event| matches!(event, Event::FellBack { .. })).count();
        assert_eq!(fell_back, usize::from(name == "refusing"), "{events:?}");
        for event in &events {
            assert!(!event.to_string().is_empty());
        }
        let text = events.iter().map(Event::to_string).collect::<Vec<_>>().join("\n");
        assert!(
            text.contains("planned 1 kernel in ") && text.contains(&format!("compiled by {backend} to {bytes} bytes"))
        );
        // Another function of the same passes is planned, and takes the code that is there.
        call(&engine.compile("silu(x) + 1").unwrap());
        let events = heard.lock().unwrap();
        assert!(matches!(events[..], [Event::Planned { .. }]), "{events:?}");
    }
}
