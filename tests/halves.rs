//! Halves of halves: right however they are nested, and no more work than the program is long.
//!
//! Work is counted in bytes asked of the allocator by a first call: plan, code and all. Where a node was computed once for every
//! nesting of halves, it doubled with each line of the program.

mod common;

use common::{Array, Random, agreed, call, groups, program};
use fuselet::ir::reference::{self, evaluate};
use fuselet::ir::{Meaning, Program};
use fuselet::{BackendChoice, Engine, Fusion, Signature};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// What this thread has asked for since it was set to 0.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that ends allocates when its cells are gone.
    let _ = BYTES.try_with(|sum| sum.set(sum.get() + bytes));
}

// SAFETY: the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
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

/// The bytes that a first call asks for, and how many kernels it runs.
fn first_call(text: &str, shape: &[usize], fusion: Fusion) -> (usize, usize) {
    let engine = Engine::builder().threads(1).backend(BackendChoice::Interpreter).build().unwrap();
    let function = engine.compile_with(text, fusion).unwrap();
    let x = Array::from_fn(shape, |at| (at % 7) as f32 - 3.0);
    BYTES.set(0);
    let before = BYTES.get();
    call(&function, std::slice::from_ref(&x)).unwrap();
    let bytes = BYTES.get() - before;
    (bytes, x.data.len())
}

/// Four times the program takes at most some four times the work, beside the arrays it reads.
fn in_proportion(what: &str, length: usize, fusion: Fusion, make: impl Fn(usize) -> (String, Vec<usize>)) {
    let work = |length: usize| {
        let (text, shape) = make(length);
        let (bytes, elements) = first_call(&text, &shape, fusion);
        // Temporary arrays and results: some for each kernel, each shorter than what it is a half of.
        bytes.saturating_sub(64 * elements)
    };
    let (short, long) = (work(length), work(4 * length));
    // Tables that double may be half empty or full; what is made once counts with the shorter one.
    assert!(long < 6 * short + (1 << 20), "{what}, {fusion:?}: {short} bytes, {long} for four times the length");
}

#[test]
fn nested_halves_cost_in_proportion_to_their_number() {
    for fusion in [Fusion::Full, Fusion::Off] {
        in_proportion("glu of glu", 4, fusion, |length| (format!("x{}", "|>glu".repeat(length)), vec![1 << length]));
        in_proportion("sums of halves", 4, fusion, |length| {
            let lets = "let b = first_half(b, 0) + second_half(b, 0); ".repeat(length);
            (format!("let b = x; {lets} b"), vec![1 << length])
        });
        in_proportion("either half of bools", 4, fusion, |length| {
            let lets = "let b = first_half(b, 0) or not second_half(b, 0); ".repeat(length);
            (format!("let b = x > 0; {lets} b"), vec![1 << length])
        });
        in_proportion("halves of two axes in turn", 3, fusion, |length| {
            let lets = "let b = first_half(b, 0) * second_half(b, 0); let b = first_half(b, 1) - second_half(b, 1); ";
            (format!("let b = x; {} b", lets.repeat(length)), vec![1 << length, 1 << length])
        });
    }
    // An empty array can be cut for ever.
    in_proportion("halves of nothing", 1000, Fusion::Full, |length| {
        (format!("x{}", "|>first_half(0)".repeat(length)), vec![0])
    });
    in_proportion("sums of halves of nothing", 250, Fusion::Full, |length| {
        let lets = "let b = first_half(b, 0) + second_half(b, 0); ".repeat(length);
        (format!("let b = x; {lets} b"), vec![0])
    });
    in_proportion("glu of nothing", 60, Fusion::Full, |length| (format!("x{}", "|>glu".repeat(length)), vec![0]));
    in_proportion("halves of an axis beside an empty one", 15, Fusion::Full, |length| {
        let lets = "let b = first_half(b, 0) + second_half(b, 0); ".repeat(length);
        (format!("let b = x; {lets} b"), vec![1 << length, 0])
    });
}

#[test]
fn a_few_nested_halves_are_one_kernel_and_many_are_several() {
    let engine = Engine::new().unwrap();
    for (length, kernels) in [(1, 1), (2, 1), (3, 1), (4, 1), (9, 3)] {
        let text = format!("x{}", "|>glu".repeat(length));
        let function = engine.compile(&text).unwrap();
        let x = Array::from_fn(&[1 << length], |at| at as f32);
        call(&function, std::slice::from_ref(&x)).unwrap();
        let explanation = function.explain(&Signature::new().with_input("x", x.view())).unwrap();
        assert_eq!(explanation.kernel_count(), kernels, "{length}: {explanation}");
        let says_why = explanation.to_string().contains("halves of halves");
        assert_eq!(says_why, kernels > 1, "{explanation}");
    }
}

/// A program over x in which whatever has an even axis is cut, at random, and joined with what has its shape.
fn random_program(random: &mut Random, shape: &[usize], steps: usize) -> String {
    let mut text = String::new();
    // The shapes of what there is, and whether it is a bool.
    let mut known: Vec<(String, Vec<usize>, bool)> = vec![("x".to_owned(), shape.to_vec(), false)];
    for step in 0..steps {
        // Mostly the newest, so that halves nest.
        let place = known.len() - 1 - random.below(known.len().min(3));
        let (name, shape, is_bool) = known[place].clone();
        let even: Vec<usize> = (0..shape.len()).filter(|axis| shape[*axis] % 2 == 0).collect();
        let new = format!("v{step}");
        let (value, shape, is_bool) = match random.below(8) {
            0..=4 if !even.is_empty() => {
                let axis = even[random.below(even.len())];
                let mut half = shape.clone();
                half[axis] /= 2;
                let operator = match (is_bool, random.below(3)) {
                    (true, 0) => "or",
                    (true, 1) => "and not",
                    (true, _) => "or not",
                    (false, 0) => "+",
                    (false, 1) => "-",
                    (false, _) => "- 2 *",
                };
                let sides = if random.below(2) == 0 { ("first", "second") } else { ("second", "first") };
                (format!("{}_half({name}, {axis}) {operator} {}_half({name}, {axis})", sides.0, sides.1), half, is_bool)
            }
            5 if !is_bool => (format!("{name} > 0"), shape, true),
            6 if !is_bool && shape.len() > 1 => {
                let axis = random.below(shape.len());
                let mut reduced = shape.clone();
                reduced[axis] = 1;
                (format!("max({name}, axis = {axis})"), reduced, false)
            }
            _ => {
                let others: Vec<&(String, Vec<usize>, bool)> =
                    known.iter().filter(|other| other.1 == shape && !other.2).collect();
                match (others.is_empty(), is_bool) {
                    (true, true) => (format!("if {name} then 1 else -1"), shape, false),
                    (true, false) => (format!("1 - {name}"), shape, false),
                    (false, true) => {
                        let other = &others[random.below(others.len())].0;
                        (format!("if {name} then {other} else 2"), shape, false)
                    }
                    (false, false) => (format!("{name} + {}", others[random.below(others.len())].0), shape, false),
                }
            }
        };
        text.push_str(&format!("let {new} = {value};\n"));
        known.push((new, shape, is_bool));
    }
    let outputs: Vec<String> =
        known[1..].iter().rev().take(1 + random.below(3)).map(|(name, ..)| format!("out_{name} = {name}")).collect();
    text + &outputs.join(", ")
}

#[test]
fn random_nests_of_halves_are_right_on_every_engine_fused_or_not() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let shape: &[usize] = [&[1024][..], &[64, 32], &[16, 8, 8], &[3, 256]][random.below(4)];
        let steps = 4 + random.below(18);
        let text = random_program(&mut random, shape, steps);
        let program: Program = program(&text);
        // Small whole numbers, so that float32 and float64 agree exactly.
        let x = Array::from_fn(shape, |_| random.below(7) as f32 - 3.0);
        let graph = program.graph(Meaning::Definition).unwrap();
        let exact = reference::Array::new(shape.to_vec(), x.data.iter().map(|x| f64::from(*x)).collect()).unwrap();
        let wanted = if graph.inputs().is_empty() { continue } else { evaluate(&graph, &[exact]).unwrap() };
        for group in groups() {
            let found = agreed(group, &program, std::slice::from_ref(&x), &text);
            for (found, wanted) in found.iter().zip(&wanted) {
                assert_eq!(&found.shape, wanted.shape(), "{text}");
                assert!(found.data.iter().map(|x| f64::from(*x)).eq(wanted.data().iter().copied()), "{text}");
            }
        }
    }
}
