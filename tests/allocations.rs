//! Memory that calls take: none after the first call of a kind, and where there is none to be had, a call fails before it
//! has written anything.
//!
//! The allocator of this process counts the requests of a measured call, by the thread of the test or those of its executor, and can
//! refuse one of them. One test at a time measures.

use fuselet::{ArrayMut, ArrayOut, ArrayRef, CallError, Dtype, Engine, Error, Executor, Function, Signature};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

struct Counting;

static MEASURING: AtomicBool = AtomicBool::new(false);
/// Requests of at least this many bytes count.
static LEAST: AtomicUsize = AtomicUsize::new(0);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);
/// The number of the request that is refused, and all after it.
static REFUSED: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    /// Whether requests of this thread count: not those of the harness, which tells of other tests meanwhile.
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

impl Counting {
    fn is_refused(bytes: usize) -> bool {
        MEASURING.load(SeqCst)
            && COUNTS.try_with(Cell::get).unwrap_or(false)
            && bytes >= LEAST.load(SeqCst)
            && REQUESTS.fetch_add(1, SeqCst) >= REFUSED.load(SeqCst)
    }
}

// SAFETY: the system's allocator, or no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Counting::is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Counting::is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Counting::is_refused(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by the test that measures.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a call whose requests of at least `least` bytes count, those from number `refused` on being refused; says how many
/// there were.
fn measured<R>(least: usize, refused: usize, call: impl FnOnce() -> R) -> (R, usize) {
    LEAST.store(least, SeqCst);
    REFUSED.store(refused, SeqCst);
    REQUESTS.store(0, SeqCst);
    COUNTS.set(true);
    MEASURING.store(true, SeqCst);
    let result = call();
    MEASURING.store(false, SeqCst);
    (result, REQUESTS.load(SeqCst))
}

/// Two threads that wait for work and take no memory for it.
struct Pair {
    shared: Arc<(Mutex<Work>, Condvar)>,
}

#[derive(Default)]
struct Work {
    /// A part to run, with the function, as an address.
    part: Option<(usize, &'static (dyn Fn(usize) + Sync))>,
    running: bool,
}

impl Pair {
    fn new() -> Pair {
        let shared = Arc::new((Mutex::new(Work::default()), Condvar::new()));
        let own = shared.clone();
        std::thread::spawn(move || {
            COUNTS.set(true);
            let (work, changed) = &*own;
            let mut guard = work.lock().unwrap();
            loop {
                if let Some((number, part)) = guard.part.take() {
                    guard.running = true;
                    drop(guard);
                    part(number);
                    guard = work.lock().unwrap();
                    guard.running = false;
                    changed.notify_all();
                }
                guard = changed.wait(guard).unwrap();
            }
        });
        Pair { shared }
    }
}

impl Executor for Pair {
    fn parallelism(&self) -> usize {
        2
    }
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        let (work, changed) = &*self.shared;
        // SAFETY: the other thread is waited for below.
        let lasting: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(part) };
        work.lock().unwrap().part = Some((parts - 1, lasting));
        changed.notify_all();
        (0..parts - 1).for_each(part);
        let mut guard = work.lock().unwrap();
        while guard.part.is_some() || guard.running {
            guard = changed.wait(guard).unwrap();
        }
    }
}

const ROWS: usize = 48;
const COLUMNS: usize = 700;

/// One of every kind of function: elementwise, rows, whole rows, several kernels, several outputs.
const TEXTS: [&str; 9] = [
    "gelu(x) * 2 + 1",
    "softmax(x)",
    "(if x > 3 then -inf else x) |> softmax |> * 2",
    "sparsemax(x)",
    "softmax(x, axis = 0)",
    "rms_norm(x) * 0.5",
    "sum(max(x, axis = 0), axis = -1) + x",
    "softmax(softmax(x, axis = 0), axis = 1)",
    "logsumexp(x, axis = [0, 1]) * x",
];

fn data() -> Vec<f32> {
    (0..ROWS * COLUMNS).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect()
}

fn engines() -> Vec<(&'static str, Engine)> {
    let one = Engine::builder().threads(1).build().unwrap();
    let two = Engine::builder().executor(Arc::new(Pair::new())).build().unwrap();
    vec![("one thread", one), ("two threads", two)]
}

/// The ways to call a function of one input, `x`, on row-major arrays.
type Way = (&'static str, Box<dyn Fn(&[f32], &mut [f32]) -> Result<(), CallError>>);

fn ways(function: &Function) -> Vec<Way> {
    const SHAPE: [usize; 2] = [ROWS, COLUMNS];
    let signature = Signature::new().with("x", Dtype::F32, &SHAPE).unwrap();
    let prepared = function.prepare(&signature).unwrap();
    let own = || function.clone();
    let (named, positional, by_views, strided, in_place) = (own(), own(), own(), own(), own());
    let (checked, raw) = (prepared.clone(), prepared);
    let mut ways: Vec<Way> = vec![
        (
            "by name",
            Box::new(move |x, y| {
                named.call(&[("x", ArrayRef::new(x, &SHAPE).unwrap())], ArrayMut::new(y, &SHAPE).unwrap())
            }),
        ),
        (
            "by position",
            Box::new(move |x, y| {
                positional.call_positional(&[ArrayRef::new(x, &SHAPE).unwrap()], ArrayMut::new(y, &SHAPE).unwrap())
            }),
        ),
        (
            "by views",
            Box::new(move |x, y| {
                let output = ArrayOut::from(ArrayMut::new(y, &SHAPE).unwrap());
                by_views.call_views(&[ArrayRef::new(x, &SHAPE).unwrap()], &[output])
            }),
        ),
        (
            "strided",
            Box::new(move |x, y| {
                let shape = [ROWS, COLUMNS - 1];
                let strides = [COLUMNS as isize, 1];
                let x = ArrayRef::strided(x, &shape, &strides, 1).unwrap();
                strided.call(&[("x", x)], ArrayMut::strided(y, &shape, &strides, 0).unwrap())
            }),
        ),
        (
            "prepared",
            Box::new(move |x, y| checked.call(&[ArrayRef::new(x, &SHAPE).unwrap()], ArrayMut::new(y, &SHAPE).unwrap())),
        ),
        (
            "prepared, raw",
            // SAFETY: two arrays of the prepared shape.
            Box::new(move |x, y| unsafe { raw.call_raw(&[x.as_ptr().cast()], &[y.as_mut_ptr().cast()]) }),
        ),
    ];
    let mut probe = data();
    let array = ArrayMut::new(&mut probe, &SHAPE).unwrap();
    if function.call_in_place(("x", array), &[]).is_ok() {
        ways.push((
            "in place",
            Box::new(move |x, y| {
                y.copy_from_slice(x);
                in_place.call_in_place(("x", ArrayMut::new(y, &SHAPE).unwrap()), &[])
            }),
        ));
    }
    ways
}

#[test]
fn calls_after_the_first_of_a_kind_take_no_memory() {
    let _alone = alone();
    let x = data();
    for (threads, engine) in engines() {
        for text in TEXTS {
            let function = engine.compile(text).unwrap();
            for (way, call) in ways(&function) {
                let mut y = vec![0.0f32; x.len()];
                // The second may find tables of a thread that are made when they are first missed.
                for _ in 0..3 {
                    call(&x, &mut y).unwrap();
                }
                for repeat in 0..5 {
                    let (result, requests) = measured(0, usize::MAX, || call(&x, &mut y));
                    result.unwrap();
                    assert_eq!(requests, 0, "{text}, {way}, {threads}, repeat {repeat}");
                }
            }
        }
    }
}

#[test]
fn tiles_take_no_memory() -> Result<(), Error> {
    let _alone = alone();
    let function = Engine::new()?.compile("gelu(c + bias)")?;
    let (_, requests) = measured(0, usize::MAX, || ());
    assert_eq!(requests, 0);
    let tile = function.tile(&Signature::new().with("c", Dtype::F32, &[2, 2])?.with("bias", Dtype::F32, &[2])?)?;
    let (mut c, bias) = (data(), data());
    let pointers = [c.as_mut_ptr().cast(), bias.as_ptr().cast_mut().cast(), c.as_mut_ptr().cast::<u8>()];
    let strides = [COLUMNS as isize, 0, COLUMNS as isize];
    for (rows, columns) in [(2, 8), (ROWS, COLUMNS), (1, 1), (5, 33)] {
        // SAFETY: tiles of one array, and of a row that is longer than any.
        let ((), requests) = measured(0, usize::MAX, || unsafe { tile.call(&pointers, &strides, rows, columns) });
        assert_eq!(requests, 0, "{rows} rows of {columns}");
    }
    Ok(())
}

/// What a call must have done for every number of the first request that is refused: all or nothing.
fn all_or_nothing(
    context: &str,
    least: usize,
    y: &mut [f32],
    right: &[f32],
    call: impl Fn(&mut [f32]) -> Result<(), CallError>,
) {
    for refused in 0.. {
        y.fill(-7.0);
        let (result, requests) = measured(least, refused, || call(y));
        match result {
            Ok(()) => assert!(y.iter().zip(right).all(|(a, b)| a.to_bits() == b.to_bits()), "{context}, {refused}"),
            Err(CallError::OutOfMemory { bytes }) => {
                assert!(bytes > 0);
                assert!(y.iter().all(|y| *y == -7.0), "{context}: request {refused} failed, and something was written");
            }
            Err(other) => panic!("{context}: {other}"),
        }
        if requests <= refused {
            return;
        }
    }
}

#[test]
fn a_call_without_memory_has_written_nothing() {
    let _alone = alone();
    let x = data();
    for (threads, engine) in engines() {
        for text in TEXTS {
            let function = engine.compile(text).unwrap();
            for (way, call) in ways(&function) {
                if way == "in place" {
                    continue;
                }
                let mut right = vec![-7.0f32; x.len()];
                call(&x, &mut right).unwrap();
                call(&x, &mut vec![0.0; x.len()]).unwrap();
                let mut y = vec![0.0f32; x.len()];
                // Known to the function, but with no scratch kept: what a call takes is taken before its first store.
                all_or_nothing(&format!("{text}, {way}, {threads}"), 0, &mut y, &right, |y| {
                    engine.release_scratch();
                    call(&x, y)
                });
            }
        }
    }
}

#[test]
fn a_new_call_without_memory_for_its_arrays_has_written_nothing() {
    let _alone = alone();
    // The second output of the third row needs an array between kernels; the first is written by an earlier kernel.
    let (n, text) = (3000usize, "input w, x, y; a = sum(w), b = sum(x * y)");
    let (w, x) = (vec![1.0f32; 10], vec![0.5f32; n]);
    for (threads, engine) in engines() {
        let compute = |results: &mut [f32]| {
            // A fresh function: what is planned and compiled is small, what it computes with is not.
            let function = engine.compile(text).unwrap();
            let (a, b) = results.split_at_mut(1);
            let (column, row) = ([n, 1], [1, n]);
            let outputs =
                [("a", ArrayMut::new(a, &[1]).unwrap().into()), ("b", ArrayMut::new(b, &[1, 1]).unwrap().into())];
            engine.release_scratch();
            let inputs = [
                ("w", (&w).into()),
                ("x", ArrayRef::new(&x, &column).unwrap()),
                ("y", ArrayRef::new(&x, &row).unwrap()),
            ];
            function.call_many(&inputs, outputs)
        };
        let mut right = [0.0f32; 2];
        compute(&mut right).unwrap();
        assert_eq!(right, [10.0, 0.25 * (n * n) as f32]);
        all_or_nothing(threads, 10_000, &mut [0.0; 2], &right, compute);
    }
}

#[test]
fn a_vector_that_cannot_be_had_is_an_error() {
    let _alone = alone();
    let x = data();
    let function = Engine::builder().threads(1).build().unwrap().compile("x + 1").unwrap();
    let inputs = [("x", ArrayRef::from(&x))];
    function.call_to_vec::<f32>(&inputs).unwrap();
    let (result, _) = measured(10_000, 0, || function.call_to_vec::<f32>(&inputs));
    assert_eq!(result, Err(CallError::OutOfMemory { bytes: 4 * x.len() }));
}
