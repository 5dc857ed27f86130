//! Texts and graphs made to cost more than they are long, counted: four times the length is an error, or at most some four times
//! the memory that is asked for in all.
//!
//! Bytes are counted by the allocator of this process, for the thread of the test. What these inputs once cost grew with the square
//! of their length, or its cube, or doubled with every line.

use fuselet_ir::rewrite::{Rules, rewrite};
use fuselet_ir::{Error, Graph, Library, Meaning, Op, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{Display, Write};

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

/// The bytes that something asks for.
fn bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    BYTES.set(0);
    let result = work();
    (result, BYTES.get())
}

/// Reads a text, makes its graph and rewrites and prints it.
fn read(text: &str) -> Result<Graph, Error> {
    let graph = Library::standard().parse(text)?.graph(Meaning::Form)?;
    let _ = rewrite(&graph, Rules::Relaxed);
    let _ = graph.to_string();
    Ok(graph)
}

/// What every text may cost, as a multiple of its length and of what its graph holds.
const BYTES_A_BYTE: usize = 10_000;

/// Growth that is called proportional, from one length to four times it: tables that double may be half empty or full.
const GROWTH: f64 = 6.0;

/// Does some work at one length and at four times it. Whatever is refused costs little, whatever is not, in proportion.
fn in_proportion(what: &str, length: usize, work: impl Fn(usize) -> (bool, usize, usize)) {
    let (_, short_length, short) = work(length);
    let (read, long_length, long) = work(4 * length);
    assert!(long_length > 3 * short_length, "{what}: {short_length} and {long_length} bytes");
    let growth = long as f64 / short as f64;
    assert!(
        !read || growth < GROWTH,
        "{what}: {short} bytes for {short_length}, {long} for {long_length}: times {growth}"
    );
    assert!(long < BYTES_A_BYTE * long_length.max(1 << 16), "{what}: {long} bytes of memory for {long_length} of text");
}

fn texts(what: &str, length: usize, make: impl Fn(usize) -> String) {
    in_proportion(what, length, |length| {
        let text = make(length);
        let (result, bytes) = bytes(|| read(&text));
        (result.is_ok(), text.len(), bytes)
    });
}

fn list<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

fn doubling(depth: usize, body: &str, use_of_last: &str) -> String {
    let mut text = format!("fn f0(x) = {body}\n");
    for level in 1..=depth {
        writeln!(text, "fn f{level}(x) = f{0}(f{0}(x))", level - 1).unwrap();
    }
    text + &use_of_last.replace("last", &format!("f{depth}"))
}

#[test]
fn lists_names_and_parameters_are_paid_for_where_they_are_copied() {
    texts("a list of axes bound by let", 60, |length| {
        format!("let a = [{}]; {}", list(0..length as i64, ","), list(vec!["sum(x,a)"; length * 100], "+"))
    });
    texts("an unbounded list of axes", 2000, |length| format!("sum(x, [{}])", list(0..length as i64, ",")));
    texts("short names of a long one", 20_000, |length| {
        format!("fn `{}`(x) = exp(x) alias f {{ x {} }}", "q".repeat(length), "|>f".repeat(length))
    });
    // As many parameters as calls, which is an error at four times the length; and the most parameters, of more and more calls.
    for (length, most) in [(60, usize::MAX), (100, 60)] {
        texts("calls of a function of many parameters", length, |length| {
            let parameters = list((0..length.min(most)).map(|index| format!("p{index} = 1")), ", ");
            format!("fn f(x, {parameters}) = x + p0 {{ x {} }}", "|>f".repeat(length * 20))
        });
        texts("parameters, requirements and calls", length, |length| {
            let parameters = list((0..length.min(most)).map(|index| format!("p{index} = 1")), ", ");
            let requirements = list((0..length.min(most)).map(|index| format!("require p{index} > 0 : \"p\"")), " ");
            format!("fn f(x, {parameters}) = x + 1 {requirements} {{ x {} }}", "|>f".repeat(length * 20))
        });
    }
    texts("parameters and requirements without calls", 500, |length| {
        let parameters = list((0..length).map(|index| format!("p{index} = 1")), ", ");
        let requirements = list((0..length).map(|index| format!("require p{index} > 0 : \"p\"")), " ");
        format!("fn f(x, {parameters}) = x + 1 {requirements} {{ x }}")
    });
}

#[test]
fn functions_that_double_are_refused_by_the_number_of_their_operations() {
    for body in ["sin(x) + 0.1", "exp(x)"] {
        for last in ["sum(last(y), -1)", "last(y)", "last(y) + last(z)"] {
            texts("functions that double", 17, |depth| doubling(depth, body, last));
        }
    }
    let error = read(&doubling(17, "sin(x) + 0.1", "last(y)")).unwrap_err();
    assert!(matches!(error, Error::TooManyOps { limit } if limit < 70_000), "{error}");
    assert!(error.to_string().contains("operations"), "{error}");
    // What is shared is one operation, however often it is called.
    assert_eq!(read(&doubling(17, "relu(x)", "last(y)")).unwrap_err().to_string().matches("large").count(), 1);
    assert!(read(&doubling(12, "sin(x) + 0.1", "last(y)")).is_ok());
    // As many operations as one likes, if they are written.
    let terms = list((0..20).map(|term| format!("sin(x + {term})")), " + x * ");
    let honest = format!("fn f(x) = {terms} {{ x {} }}", "|>f".repeat(3_000));
    assert!(read(&honest).unwrap().nodes().len() > 200_000);
    assert!(read(&format!("x {}", "|>gelu".repeat(30_000))).is_ok());
    assert!(read(&list(vec!["sin(x) * 3 + y"; 30_000], " - ")).is_ok());
}

#[test]
fn halves_of_halves_are_read_in_proportion() {
    texts("glu of glu", 16, |length| format!("x{}", "|>glu".repeat(length)));
    texts("sums of halves", 18, |length| {
        let lets = "let b = first_half(b, 0) + second_half(b, 0); ".repeat(length);
        format!("let b = x; {lets} b")
    });
    texts("halves of an empty array", 4000, |length| format!("x{}", "|>first_half(0)".repeat(length)));
}

#[test]
fn everything_that_there_may_be_many_of_costs_in_proportion() {
    texts("definitions", 10_000, |length| {
        let definitions = list((0..length).map(|index| format!("fn f{index}(x)=x+1")), " ");
        format!("{definitions} {{ f7(x) }}")
    });
    texts("inputs", 10_000, |length| list((0..length).map(|index| format!("i{index}")), "+"));
    texts("inputs and outputs", 5_000, |length| list((0..length).map(|index| format!("o{index}=i{index}*2")), ","));
    texts("names of an alternative", 1000, |length| {
        format!("fn f(x) = x alternative ({}) {{ f(x) }}", list((0..length).map(|index| format!("p{index}")), ","))
    });
    texts("aliases", 4000, |length| {
        format!("fn f(x) = x alias {} {{ f(x) }}", list((0..length).map(|index| format!("a{index}")), ","))
    });
    texts("lets", 5_000, |length| {
        let lets = list((0..length).map(|index| format!("let a{} = a{index} * 2;", index + 1)), "\n");
        format!("let a0 = x; {lets} a{length}")
    });
    texts("branches", 5_000, |length| {
        format!("{}x", list((0..length).map(|index| format!("if x < {index} then {index}.5 else ")), ""))
    });
    texts("rows", 2_000, |length| format!("x{}", "|>softmax".repeat(length)));
    texts("a chain", 20_000, |length| format!("x{}", "|>sin".repeat(length)));
    texts("documentation", 20_000, |length| format!("{}fn f(x) = x {{ f(x) }}", "/// line\n".repeat(length)));
    texts("lines of white space", 50_000, |length| format!("fn f(x) = ((((x{}))))\n-f(y)", "\n".repeat(length)));
    texts("unknown functions", 2_000, |length| {
        format!("{} g(x)", list((0..length).map(|index| format!("fn f{index}(x)=x")), " "))
    });
}

/// A graph of `length` numbers, all needed, with a value that nobody needs computed from them all, and `length` labels with
/// that value as an argument.
fn labelled(length: usize) -> String {
    let mut graph = Graph::new();
    let x = graph.input("x");
    let mut live = vec![x];
    let mut sum = x;
    let mut dead = x;
    for index in 0..length {
        let number = graph.constant(index as f64 + 0.5);
        let node = graph.apply(Op::Mul, &[x, number]);
        sum = graph.apply(Op::Add, &[sum, node]);
        dead = graph.apply(Op::Sub, &[dead, node]);
        live.push(sum);
    }
    for node in &live[1..] {
        graph.set_label(*node, "f", &[dead]);
    }
    graph.output("out", sum);
    json::to_string(&graph).unwrap()
}

#[test]
fn labels_of_what_nobody_needs_are_rewritten_in_proportion() {
    in_proportion("labels with dead arguments", 4000, |length| {
        let text = labelled(length);
        let (graph, bytes) = bytes(|| {
            let graph = json::from_str(&text).unwrap();
            rewrite(&graph, Rules::Exact).graph
        });
        assert!(graph.labels().len() >= length - 1);
        (true, text.len(), bytes)
    });
    // A label keeps the needed arguments that it is computed from, where they are near.
    let text = r#"{"inputs": ["x", "y"], "nodes": [{"input": 0}, {"input": 1}, {"apply": {"op": "exp", "arguments": [0]}},
        {"apply": {"op": "sin", "arguments": [2]}}, {"apply": {"op": "mul", "arguments": [2, 1]}}],
        "outputs": [{"name": "out", "node": 4}], "labels": [{"node": 4, "label": "f", "arguments": [3, 1]}]}"#;
    let graph = rewrite(&json::from_str(text).unwrap(), Rules::Exact).graph;
    let (_, label) = graph.labels().next().unwrap();
    let arguments: Vec<String> = label.arguments.iter().map(|id| format!("{:?}", graph.node(*id))).collect();
    assert_eq!(label.arguments.len(), 2, "{arguments:?}");
    // One label of very many arguments.
    let many = format!(
        "{}{}]}}]}}",
        &text[..text.find("\"arguments\": [3, 1]").unwrap()],
        format_args!("\"arguments\": [{}", list(vec![2; 100_000], ","))
    );
    let (result, bytes) = bytes(|| rewrite(&json::from_str(&many).unwrap(), Rules::Exact));
    assert!(result.graph.labels().next().unwrap().1.arguments.len() <= 64 && bytes < 40 * many.len(), "{bytes}");
}

#[test]
fn json_has_a_size_limit() {
    let long = " ".repeat(json::MAX_JSON + 1);
    let (error, spent) = bytes(|| json::from_str(&long).unwrap_err());
    assert!(matches!(error, json::JsonError::TooLong { limit: json::MAX_JSON, .. }) && spent < 1 << 10, "{error}");
    assert!(error.to_string().contains("bytes"));
    drop(long);
    let mut nodes = String::from(r#"{"inputs": ["x"], "nodes": [{"input":0}"#);
    for _ in 0..json::MAX_NODES + 10 {
        nodes.push_str(r#",{"input":0}"#);
    }
    nodes.push_str(r#"], "outputs": [{"name": "out", "node": 0}]}"#);
    let error = json::from_str(&nodes).unwrap_err().to_string();
    assert!(error.contains("more than 1048576"), "{error}");
    for (read, write) in [(1, 10_000usize), (4, 40_000)] {
        let mut graph = Graph::new();
        let mut node = graph.input("x");
        for _ in 0..write {
            node = graph.apply(Op::Sin, &[node]);
        }
        graph.output("out", node);
        let text = json::to_string(&graph).unwrap();
        let (same, spent) = bytes(|| json::from_str(&text).unwrap());
        assert_eq!(same, graph);
        assert!(spent < 20 * text.len() + (1 << 16), "{read}: {spent} for {}", text.len());
    }
}
