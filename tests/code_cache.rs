//! The engine's cache of compiled passes is bounded in bytes; what was not used longest leaves, and functions keep what they
//! run. (It was once bounded in passes: 512 long ones kept 600 MB.)

use fuselet::{BackendChoice, Engine, Event, Function};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const X: [f32; 4] = [-1.0, 0.5, 2.0, 3.0];

fn call(function: &Function) -> Vec<f32> {
    function.call_to_vec(&[("x", (&X).into())]).unwrap()
}

/// An engine with so large a cache, and the number of its compiles.
fn engine(choice: BackendChoice, bytes: Option<usize>) -> (Engine, Arc<AtomicUsize>) {
    let compiles = Arc::new(AtomicUsize::new(0));
    let count = compiles.clone();
    let builder = Engine::builder().backend(choice).threads(1).on_event(move |event| {
        count.fetch_add(usize::from(matches!(event, Event::Compiled { .. })), Ordering::Relaxed);
    });
    let builder = match bytes {
        Some(bytes) => builder.code_cache_bytes(bytes),
        None => builder,
    };
    (builder.build().unwrap(), compiles)
}

/// An expression of so many ops that no other number has.
fn long(ops: usize, number: usize) -> String {
    (0..ops).fold(format!("x * {number}"), |text, at| format!("{text} |> * {}", at + 2))
}

#[test]
fn bytes_stay_below_the_limit_whatever_the_size_of_passes() {
    for choice in [BackendChoice::Auto, BackendChoice::Interpreter, BackendChoice::Cranelift] {
        const LIMIT: usize = 400 << 10;
        let (engine, compiles) = engine(choice, Some(LIMIT));
        let empty = engine.cache_usage();
        assert_eq!((empty.passes, empty.bytes, empty.limit), (0, 0, LIMIT));
        for (round, ops) in [1, 10, 300, 3, 2000, 10, 1, 300].into_iter().cycle().take(40).enumerate() {
            call(&engine.compile(long(ops, round + 2)).unwrap());
            let usage = engine.cache_usage();
            assert!(usage.bytes <= LIMIT, "{choice:?}: {usage:?}");
            assert!(usage.passes <= round + 1);
        }
        assert_eq!(compiles.load(Ordering::Relaxed), 40);
        assert!(engine.cache_usage().passes > 1);
    }
}

#[test]
fn the_least_recently_used_leaves_and_functions_keep_their_code() {
    let (first, _) = engine(BackendChoice::Auto, None);
    call(&first.compile(long(3, 2)).unwrap());
    let one = first.cache_usage().bytes;
    // Room for three.
    let (engine, compiles) = engine(BackendChoice::Auto, Some(3 * one + one / 2));
    let compiled = || compiles.load(Ordering::Relaxed);
    let functions: Vec<Function> = (2..8).map(|number| engine.compile(long(3, number)).unwrap()).collect();
    let wanted: Vec<Vec<f32>> = functions.iter().map(call).collect();
    assert_eq!((compiled(), engine.cache_usage().passes), (6, 3));
    // The last three are there; used in another order, the newest to be used stays.
    for number in [7, 6, 5] {
        call(&engine.compile(long(3, number)).unwrap());
    }
    assert_eq!(compiled(), 6);
    call(&engine.compile(long(3, 9)).unwrap());
    call(&engine.compile(long(3, 5)).unwrap());
    call(&engine.compile(long(3, 6)).unwrap());
    assert_eq!(compiled(), 7, "7 left, which was not used longest");
    call(&engine.compile(long(3, 7)).unwrap());
    assert_eq!(compiled(), 8);
    for (function, wanted) in functions.iter().zip(&wanted) {
        assert_eq!(call(function), *wanted);
    }
    assert_eq!(compiled(), 8, "a function keeps its code");
}

#[test]
fn a_cache_of_nothing_works() {
    let (engine, compiles) = engine(BackendChoice::Auto, Some(0));
    let wanted = call(&engine.compile("silu(x)").unwrap());
    assert_eq!(call(&engine.compile("silu(x)").unwrap()), wanted);
    assert_eq!(compiles.load(Ordering::Relaxed), 2);
    let usage = engine.cache_usage();
    assert_eq!((usage.passes, usage.bytes), (0, 0));
}
