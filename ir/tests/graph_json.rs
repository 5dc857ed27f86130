//! Graphs as JSON: bit-for-bit round trips, and errors for everything that is no graph.

use fuselet_ir::graph::{Arguments, Output};
use fuselet_ir::{Axes, Graph, Half, Node, NodeId, Op, Reduction, json};
use proptest::prelude::*;

/// Any sound graph: random ops on random earlier nodes, of the kinds they ask for.
fn graphs() -> impl Strategy<Value = Graph> {
    let constant = prop_oneof![any::<u64>(), any::<i32>().prop_map(|n| f64::from(n).to_bits()), Just(1u64 << 63)];
    let step = (any::<u8>(), any::<[u16; 3]>(), constant, prop::collection::btree_set(-4i64..4, 0..3), ".{0,3}");
    prop::collection::vec(step, 1..40).prop_map(|steps| {
        let mut graph = Graph::new();
        let mut last = graph.input("x");
        graph.input("an unused \"one\"\u{1}");
        for (choice, places, bits, axes, label) in steps {
            let pick = |graph: &Graph, kind, place: u16| {
                let fitting: Vec<NodeId> = graph.ids().filter(|id| graph.kind(*id) == kind).collect();
                (!fitting.is_empty()).then(|| fitting[usize::from(place) % fitting.len()])
            };
            let number = pick(&graph, fuselet_ir::Kind::Number, places[0]).unwrap();
            last = match choice {
                0..40 => graph.add(Node::Constant(bits)),
                40..60 => {
                    let axes = if axes.contains(&3) { Axes::All } else { Axes::List(axes.into_iter().collect()) };
                    let reduction = Reduction::all().nth(usize::from(places[1]) % Reduction::all().len()).unwrap();
                    graph.reduce(reduction, number, axes)
                }
                60..80 => {
                    graph.half(number, i64::from(choice) - 70, if choice % 2 == 0 { Half::First } else { Half::Second })
                }
                _ => {
                    let op = Op::all().nth(usize::from(choice) % Op::all().len()).unwrap();
                    let arguments: Option<Vec<NodeId>> =
                        (0..op.arity()).map(|place| pick(&graph, op.argument_kind(place), places[place])).collect();
                    arguments.map_or(number, |arguments| graph.apply(op, &arguments))
                }
            };
            if !label.is_empty() {
                graph.set_label(last, label, &[number]);
            }
        }
        graph.output("out", last);
        graph
    })
}

proptest! {
    #[test]
    fn a_graph_survives_json_with_its_labels(graph in graphs()) {
        let text = json::to_string(&graph).unwrap();
        let back = json::from_str(&text).unwrap();
        prop_assert_eq!(&back, &graph);
        prop_assert!(back.labels().eq(graph.labels()));
        prop_assert_eq!(json::to_string(&back).unwrap(), text);
    }

    #[test]
    fn damaged_json_never_panics(graph in graphs(), place in any::<prop::sample::Index>(), byte in any::<char>()) {
        let text = json::to_string(&graph).unwrap();
        let mut damaged: Vec<char> = text.chars().collect();
        let place = place.index(damaged.len());
        damaged[place] = byte;
        let _ = json::from_str(&damaged.iter().collect::<String>());
        damaged.truncate(place);
        prop_assert!(json::from_str(&damaged.iter().collect::<String>()).is_err());
    }

    #[test]
    fn every_constant_survives(bits in any::<u64>()) {
        prop_assert_eq!(constant_after_json(bits), bits);
    }
}

fn constant_after_json(bits: u64) -> u64 {
    let output = Output { name: "out".to_owned(), node: NodeId::from_index(0) };
    let graph = Graph::from_parts(vec![Node::Constant(bits)], vec![], vec![output], []).unwrap();
    let back = json::from_str(&json::to_string(&graph).unwrap()).unwrap();
    back.constant_value(NodeId::from_index(0)).unwrap().to_bits()
}

#[test]
fn special_constants_survive_bit_for_bit() {
    let nan = 0x7ff8_0000_0000_0000u64;
    let specials = [0, 1 << 63, 1, (1 << 63) | 1, 0x000f_ffff_ffff_ffff, f64::MAX.to_bits(), f64::INFINITY.to_bits()];
    for bits in
        specials.into_iter().chain([f64::NEG_INFINITY.to_bits(), nan, nan | 1, nan | (1 << 63), 0x7ff0_0000_0000_0001])
    {
        assert_eq!(constant_after_json(bits), bits, "{bits:016x}");
    }
}

#[test]
fn the_written_form_is_the_documented_one() {
    let mut graph = Graph::new();
    let x = graph.input("x");
    let half = graph.constant(0.5);
    let scaled = graph.apply(Op::Mul, &[x, half]);
    let largest = graph.reduce(Reduction::Max, scaled, Axes::one(-1));
    graph.half(x, -1, Half::First);
    graph.output("out", largest);
    graph.set_label(scaled, "scaled", &[x]);
    let documented = r#"{"inputs":["x"],"nodes":[{"input":0},{"constant":0.5},
        {"apply":{"op":"mul","arguments":[0,1]}},{"reduce":{"by":"max","argument":2,"axes":[-1]}},
        {"half":{"which":"first","argument":0,"axis":-1}}],
        "outputs":[{"name":"out","node":3}],"labels":[{"node":2,"label":"scaled","arguments":[0]}]}"#;
    assert_eq!(json::from_str(documented).unwrap(), graph);
    let unspaced: String = documented.chars().filter(|c| !c.is_whitespace()).collect();
    assert_eq!(json::to_string(&graph).unwrap(), unspaced);
}

/// Wraps nodes into a document whose output is the first of them.
fn document(nodes: &str) -> String {
    format!(r#"{{"inputs":["x"],"nodes":[{nodes}],"outputs":[{{"name":"out","node":0}}]}}"#)
}

#[test]
fn hostile_documents_are_refused_with_a_reason() {
    let apply = |op: &str, arguments: &str| {
        document(&format!(r#"{{"input":0}},{{"apply":{{"op":"{op}","arguments":[{arguments}]}}}}"#))
    };
    for (text, reason) in [
        (document(""), "the graph has 0 nodes"),
        (document(r#"{"input":1}"#), "reads input 1"),
        (apply("gelou", "0"), "no op called `gelou`"),
        (apply("add", "0"), "takes 2 arguments"),
        (apply("add", &vec!["0"; 100_000].join(",")), "but 100000 were given"),
        (apply("exp", "4294967295"), "does not come before"),
        (apply("exp", "1"), "does not come before"),
        (apply("exp", "4294967296"), "invalid value"),
        (apply("not", "0"), "compare it with something"),
        (document(r#"{"constant":"nan:7ff0000000000000"}"#), "hexadecimal"),
        (document(r#"{"constant":"nan:+ff8000000000001"}"#), "hexadecimal"),
        (document(r#"{"constant":1e999}"#), "out of range"),
        (document(r#"{"input":0},{"input":0}"#), "are equal"),
        (document(r#"{"input":0},{"reduce":{"by":"max","argument":0,"axes":"some"}}"#), "list of whole numbers"),
        (document(r#"{"input":0},{"reduce":{"by":"median","argument":0,"axes":"all"}}"#), "no reduction"),
        (document(r#"{"input":0},{"reduce":{"by":"max","argument":0,"axes":[0,0]}}"#), "twice"),
        (r#"{"inputs":[],"nodes":[],"outputs":[]}"#.to_owned(), "no output"),
        ("[".repeat(100_000), "invalid type"),
        (String::new(), "EOF"),
    ] {
        let error = json::from_str(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}\nlacks: {reason}");
    }
}

#[test]
fn a_huge_graph_survives() {
    let mut graph = Graph::new();
    let mut x = graph.input("x");
    for index in 0..100_000 {
        let step = graph.constant(f64::from(index));
        x = graph.add(Node::Elementwise { op: Op::Add, arguments: Arguments::new(&[x, step]) });
    }
    graph.output("out", x);
    assert!(json::from_str(&json::to_string(&graph).unwrap()).unwrap() == graph);
}
