//! Whose threads run a call: the host's executor and no other; none where there are none to be had; and one function from
//! many threads.

mod common;
#[path = "common/process.rs"]
mod process;

use common::assert_same_bits;
use fuselet::{ArrayMut, ArrayRef, Engine, Executor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Enough elements for several threads.
const LARGE: usize = 1 << 20;

fn large() -> Vec<f32> {
    (0..LARGE).map(|i| (i % 1000) as f32 / 100.0 - 5.0).collect()
}

#[test]
fn an_executor_of_the_hosts_is_the_only_one_that_starts_threads() {
    // In a process of its own, since a test next door may start rayon's.
    const NAME: &str = "an_executor_of_the_hosts_is_the_only_one_that_starts_threads";
    if std::env::var_os("FUSELET_TEST_CHILD").is_none() {
        return in_a_process_of_its_own(NAME, &[]);
    }
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    struct Scoped;
    impl Executor for Scoped {
        fn parallelism(&self) -> usize {
            3
        }
        fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
            RUNS.fetch_add(1, Ordering::Relaxed);
            std::thread::scope(|scope| (0..parts).for_each(|number| _ = scope.spawn(move || part(number))));
        }
    }
    let before = threads_of_this_process();
    let own = Engine::builder().executor(Arc::new(Scoped)).build().unwrap();
    let alone = Engine::builder().threads(1).build().unwrap();
    let x = large();
    for text in ["gelu(x) * 2", "softmax(x)"] {
        let [mut y, mut right] = [vec![0.0f32; LARGE], vec![0.0f32; LARGE]];
        own.compile(text).unwrap().call(&[("x", (&x).into())], &mut y).unwrap();
        alone.compile(text).unwrap().call(&[("x", (&x).into())], &mut right).unwrap();
        assert_same_bits(&y, &right, || text.to_owned());
    }
    assert!(RUNS.load(Ordering::Relaxed) >= 2, "the executor was asked");
    assert_eq!(threads_of_this_process(), before, "threads that stay were started");
}

#[test]
fn without_threads_to_be_had_calls_run_on_the_calling_one() {
    const NAME: &str = "without_threads_to_be_had_calls_run_on_the_calling_one";
    if std::env::var_os("FUSELET_TEST_CHILD").is_none() {
        // Stacks of more than there are addresses: no thread can be started.
        return in_a_process_of_its_own(NAME, &[("RUST_MIN_STACK", (1u64 << 52).to_string())]);
    }
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "this process can start threads");
    let engine = Engine::builder().threads(4).build();
    let engine = engine.unwrap();
    let x = large();
    for text in ["relu(x)", "softmax(x)", "sum(x) + x"] {
        let mut y = vec![0.0f32; LARGE];
        engine.compile(text).unwrap().call(&[("x", (&x).into())], &mut y).unwrap();
        let mut right = vec![0.0f32; LARGE];
        let alone = Engine::builder().threads(1).build().unwrap();
        alone.compile(text).unwrap().call(&[("x", (&x).into())], &mut right).unwrap();
        assert_same_bits(&y, &right, || text.to_owned());
    }
}

/// Runs one test of this file in a process of its own, on its main thread.
fn in_a_process_of_its_own(name: &str, variables: &[(&str, String)]) {
    let mut child = process::built(&std::env::current_exe().unwrap());
    child.args(["--exact", name, "--test-threads=1", "--nocapture"]).env("FUSELET_TEST_CHILD", "1");
    child.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// How many threads this process has, where the system tells.
fn threads_of_this_process() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

#[test]
fn one_function_serves_many_threads_with_shapes_of_their_own() {
    for engine in common::best_engines() {
        let function = engine.compile("softmax(x) * w").unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                let function = &function;
                scope.spawn(move || {
                    for turn in 0..200 {
                        let (rows, columns) = (1 + (turn + thread) % 7, 1 + (turn * 3 + thread * 5) % 40);
                        let x: Vec<f32> = (0..rows * columns).map(|i| (i * (thread + 3) % 11) as f32 / 4.0).collect();
                        let [mut y, mut right] = [vec![0.0f32; x.len()], vec![0.0f32; x.len()]];
                        let shape = [rows, columns];
                        let inputs = [("x", ArrayRef::new(&x, &shape).unwrap()), ("w", (&2.0f32).into())];
                        function.call(&inputs, ArrayMut::new(&mut y, &shape).unwrap()).unwrap();
                        let fresh = engine.compile("softmax(x) * w").unwrap();
                        fresh.call(&inputs, ArrayMut::new(&mut right, &shape).unwrap()).unwrap();
                        assert_same_bits(&y, &right, || format!("{rows} × {columns}, {}", common::name(engine)));
                    }
                });
            }
        });
    }
}
