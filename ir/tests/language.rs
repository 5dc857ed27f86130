//! The language: what texts mean, and what they say when they mean nothing.

use fuselet_ir::{Error, Expr, Graph, IntoProgram, Library, Meaning, Node, Op};
use proptest::prelude::*;

fn graph(text: &str) -> Graph {
    let program = text.into_program(&Library::standard()).unwrap_or_else(|error| panic!("{error}"));
    program.graph(Meaning::Form).unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> String {
    match text.into_program(&Library::standard()).and_then(|program| program.graph(Meaning::Form)) {
        Ok(graph) => panic!("no error but\n{graph}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn operators_bind_as_documented() {
    for (text, explicit) in [
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("a / b * c", "(a / b) * c"),
        ("-x ^ 2", "-(x ^ 2)"),
        ("a ^ b ^ c", "a ^ (b ^ c)"),
        ("a ^ -b * c", "(a ^ (-b)) * c"),
        ("-a * b", "(-a) * b"),
        ("select(not a < b and c < d or e < f, 1, 2)", "select(((not (a < b)) and (c < d)) or (e < f), 1, 2)"),
        ("if a < b then c else d + e", "select(a < b, c, d + e)"),
        ("x |> exp |> * gate + r |> tanh", "tanh((exp(x) * gate) + r)"),
        ("x |> + r", "x + r"),
        ("x |> - r |> / s", "(x - r) / s"),
        ("a + b |> relu(max_value = 6)", "relu(a + b, max_value = 6)"),
        ("let a = x * 2; a + a", "x * 2 + x * 2"),
        ("{ let a = x * 2; a + { let a = y; a } }", "x * 2 + y"),
        ("x > y", "less(y, x)"),
        ("select(x != y, 1, 2)", "select(not equal(x, y), 1, 2)"),
        ("x < y", "select(x < y, 1, 0)"),
        ("if 1 < 2 then x else y", "x"),
        ("x * 0x1.8p-3", "x * 0.1875"),
        ("softmax(x, axis = [0, -1])", "softmax(x, [0, -1])"),
    ] {
        let expected = graph(explicit);
        let found = graph(text);
        if text == "x > y" {
            // The same comparison; only the order of first mention differs.
            assert_eq!(found.inputs(), ["x", "y"]);
            continue;
        }
        assert_eq!(found, expected, "{text}: {found}");
    }
}

#[test]
fn errors_show_the_line_a_caret_and_the_nearest_name() {
    for (text, expected) in [
        ("gelou(x)", "unknown function `gelou`\n  │ gelou(x)\n  │ ^^^^^ did you mean `gelu`?"),
        (
            "x +\n  softmx(y) + 1",
            "unknown function `softmx`\n  │   softmx(y) + 1\n  │   ^^^^^^ did you mean `softmax`?",
        ),
        (
            "x |> relu(max_valu = 6)",
            "`relu` has no parameter `max_valu`\n  │ x |> relu(max_valu = 6)\n  │           ^^^^^^^^ did you mean `max_value`?",
        ),
        ("a < b < c", "comparisons do not chain\n  │ a < b < c\n  │       ^ write `a < b and b < c`"),
        ("x +", "expected an expression, found the end\n  │ x +\n  │    ^"),
        ("(x", "expected `)`, found the end\n  │ (x\n  │   ^"),
        ("2x", "`2x` is not a number: a letter follows the digits; write `*` for a product\n  │ 2x\n  │ ^^"),
        ("x $ y", "unexpected character '$'\n  │ x $ y\n  │   ^"),
        ("{ y = x, y = x }", "the name `y` is used twice for outputs\n  │ { y = x, y = x }\n  │          ^"),
        (
            "relu(x, max_value = 6, max_value = 7)",
            "`max_value` is given twice\n  │ relu(x, max_value = 6, max_value = 7)\n  │                        ^^^^^^^^^",
        ),
        (
            "relu(x, max_value = y)",
            "the parameter `max_value` of `relu` must be known at compile time, but this is a tensor\n  │ relu(x, max_value = y)\n  │                     ^",
        ),
        (
            "relu(x, max_value = -1)",
            "`relu`: max_value must not be negative, but is -1\n  │ relu(x, max_value = -1)\n  │ ^^^^^^^^^^^^^^^^^^^^^^^",
        ),
        (
            "elu(x, alpha = [1, 2])",
            "the parameter `alpha` of `elu` must be a finite number, but is a list of axes\n  │ elu(x, alpha = [1, 2])\n  │                ^^^^^^",
        ),
        (
            "elu(x, nan)",
            "the parameter `alpha` of `elu` must be a finite number, but is the number nan\n  │ elu(x, nan)\n  │        ^^^",
        ),
        ("exp(x, y)", "`exp` takes 1 argument (a), but 2 are given\n  │ exp(x, y)\n  │ ^^^^^^^^^"),
        ("elu()", "`elu` takes elu(x, alpha = 1), but 0 are given\n  │ elu()\n  │ ^^^^^"),
        (
            "sum(x, y)",
            "the axis must be an integer, a list of integers or none, known at compile time, but this is a tensor\n  │ sum(x, y)\n  │        ^",
        ),
        (
            "glu(x, axis = [0])",
            "the parameter `axis` of `glu` must be one axis, an integer, but is a list of axes\n  │ glu(x, axis = [0])\n  │               ^^^",
        ),
        (
            "x |> gelu * 2",
            "after `|>` comes one function, or an operator and its right side\n  │ x |> gelu * 2\n  │           ^ write `|> f |> * 2` or put parentheses around the left side",
        ),
        ("fn f(x) = x * beta f(x)", "unknown name `beta`\n  │ fn f(x) = x * beta f(x)\n  │               ^^^^"),
        (
            "threshold(x, 1, 2, 3)",
            "`threshold` takes threshold(x, value = 0) or threshold(x, threshold, default_value), but 4 are given\n  │ threshold(x, 1, 2, 3)\n  │ ^^^^^^^^^^^^^^^^^^^^^",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn parameter_rules_hold_in_text() {
    assert_eq!(graph("hard_shrink(x, threshold = 0.25)"), graph("hard_shrink(x, lambd = 0.25)"));
    assert_eq!(graph("threshold(x, 1, 2)"), graph("threshold(x, threshold = 1, default_value = 2)"));
    assert_eq!(graph("threshold(x, 1)"), graph("threshold(x, threshold = 1, default_value = 1)"));
    assert_eq!(graph("leaky_relu(x, 1 / 4)"), graph("leaky_relu(x, 0.25)"));
    for (text, message) in [
        (
            "hard_shrink(x, lambd = 0.5, threshold = 0.25)",
            "`hard_shrink` is given `lambd` twice with different values: 0.5 and 0.25",
        ),
        (
            "threshold(x, value = 1, threshold = 2, default_value = 3)",
            "`threshold` takes either `value` or `threshold` and `default_value`, not both",
        ),
        (
            "threshold(x, threshold = 2)",
            "`threshold` needs `threshold` and `default_value` together; `default_value` is missing",
        ),
        ("celu(x, alpha = 0)", "`celu`: alpha must not be 0"),
        ("squareplus(x, b = -1)", "`squareplus`: b must not be negative, but is -1"),
        ("soft_shrink(x, lambd = -1)", "`soft_shrink`: lambd must not be negative, but is -1"),
    ] {
        assert!(error(text).starts_with(message), "{}", error(text));
    }
    assert!(!graph("hard_shrink(x, lambd = 0.5, threshold = 0.5)").outputs().is_empty());
}

#[test]
fn deep_and_long_texts_neither_overflow_nor_hang() {
    assert!(error(&format!("{}x{}", "(".repeat(100_000), ")".repeat(100_000))).contains("nested more than 200 deep"));
    assert!(error(&"-".repeat(100_000)).contains("nested more than 200 deep"));
    assert!(error(&"not ".repeat(100_000)).contains("nested more than 200 deep"));
    assert!(error(&"{".repeat(100_000)).contains("nested more than 200 deep"));
    assert!(error(&"exp(".repeat(100_000)).contains("nested more than 200 deep"));
    assert!(error(&"x^".repeat(100_000)).contains("nested more than 200 deep"));
    assert!(error(&"if x then ".repeat(10_000)).contains("nested more than 200 deep"));
    assert!(error(&"x".repeat(2 << 20)).contains("more than the 1048576 that are read"));
    let sum = vec!["a"; 100_000].join("+");
    assert_eq!(graph(&sum).nodes().len(), 100_000);
    let piped = format!("x{}", " |> exp".repeat(100_000));
    let long = graph(&piped);
    assert_eq!(long.nodes().len(), 100_001);
    assert_eq!(long.to_string().parse::<Graph>().unwrap(), long);
    let expr = (0..100_000).fold(Expr::input("x"), |expr, _| (expr + 1).tanh());
    assert!(expr.to_string().contains("tanh"));
}

#[test]
fn functions_that_double_their_work_are_refused() {
    let library = Library::standard();
    library.define("fn f0(x) = x").unwrap();
    for level in 1..60 {
        library.define(&format!("fn f{level}(x) = f{}(f{}(x))", level - 1, level - 1)).unwrap();
    }
    let error = library.parse("f59(x)").unwrap().graph(Meaning::Form).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn inputs_come_in_the_order_of_their_first_mention() {
    let graph = graph("if limit < x * scale then y else bias");
    assert_eq!(graph.inputs(), ["limit", "x", "scale", "y", "bias"]);
}

#[test]
fn declared_inputs_come_first_and_may_be_unread() {
    assert_eq!(graph("input b, unread; a + b").inputs(), ["b", "unread", "a"]);
    assert_eq!(graph("input + 1").inputs(), ["input"]);
    assert!(error("input a, a; a").starts_with("the name `a` is used twice for inputs"));
}

#[test]
fn calls_the_author_wrote_are_labelled_and_helpers_are_not() {
    let graph = graph("x |> silu |> relu(max_value = 6)");
    let labels: Vec<&str> = graph.labels().map(|(_, label)| label.text.as_str()).collect();
    assert_eq!(labels, ["silu", "relu(max_value = 6)"]);
}

#[test]
fn definitions_in_a_program_hold_for_that_program_only() {
    let library = Library::standard();
    let program =
        library.parse("fn swoosh(x, beta = 1.5) = x * sigmoid(beta * x)\nswoosh(x) + swoosh(x, beta = 2)").unwrap();
    assert!(program.graph(Meaning::Definition).is_ok());
    assert!(library.parse("swoosh(x)").is_err());
}

#[test]
fn private_functions_are_not_seen_from_outside() {
    assert!(error("magnitude(x)").starts_with("unknown function `magnitude`"));
}

#[test]
fn a_failed_definition_leaves_the_library_as_it_was() {
    let library = Library::standard();
    let before = library.functions().len();
    assert!(library.define("fn one(x) = x\nfn two(x) = tow(x)").is_err());
    assert_eq!(library.functions().len(), before);
}

#[test]
fn every_entry_has_documentation_and_elaborates_in_both_meanings() {
    let library = Library::standard();
    for function in library.functions() {
        assert!(function.docs().lines().count() >= 2, "{} is not documented", function.name());
        let activation = library.activation(function.name()).unwrap();
        for meaning in [Meaning::Definition, Meaning::Form] {
            let graph = (&activation).into_program(&library).unwrap().graph(meaning).unwrap();
            assert_eq!(graph.inputs(), function.tensors());
            assert_eq!(graph.to_string().parse::<Graph>().unwrap(), graph, "{graph}");
        }
        // The derivative of glu joins two halves, for which there is no op yet.
        assert!(function.has_derivative() || function.name() == "glu", "{} states no derivative", function.name());
    }
}

#[test]
fn comparisons_of_two_numbers_parse_back_in_the_order_of_their_nodes() {
    for op in [Op::Less, Op::LessEqual, Op::Equal] {
        for swapped in [false, true] {
            let mut graph = Graph::new();
            let numbers = [graph.constant(5e-324), graph.constant(1e-323)];
            let arguments = if swapped { [numbers[1], numbers[0]] } else { numbers };
            let truth = graph.apply(op, &arguments);
            let chosen = graph.apply(Op::Select, &[truth, numbers[1], numbers[0]]);
            graph.output(Graph::DEFAULT_OUTPUT, chosen);
            assert_eq!(graph.to_string().parse::<Graph>().unwrap(), graph, "{graph}");
        }
    }
}

/// The same graph with its inputs declared in the reverse of the order in which they are read, and one more.
fn with_unread_input_and_reversed_order(graph: &Graph) -> Graph {
    let last = graph.inputs().len() as u32;
    let nodes = graph.nodes().iter().map(|node| match node {
        Node::Input(index) => Node::Input(last - index),
        node => node.clone(),
    });
    let inputs = ["unread".to_owned()].into_iter().chain(graph.inputs().iter().rev().cloned());
    Graph::from_parts(nodes.collect(), inputs.collect(), graph.outputs().to_vec(), []).unwrap()
}

/// Any graph that the API can build with numbers where numbers belong.
fn graphs() -> impl Strategy<Value = Graph> {
    proptest::collection::vec((any::<u8>(), any::<u16>(), any::<u16>(), any::<u16>(), any::<u64>()), 1..60).prop_map(
        |steps| {
            let mut graph = Graph::new();
            let mut numbers = vec![graph.input("x")];
            let mut truths = Vec::new();
            for (choice, a, b, c, bits) in steps {
                let pick = |ids: &[fuselet_ir::NodeId], at: u16| ids[usize::from(at) % ids.len()];
                match choice % 8 {
                    0 => numbers.push(graph.input(["x", "y", "my input", "let", "v0", "`\\"][usize::from(a) % 6])),
                    1 => numbers.push(graph.constant(f64::from_bits(bits))),
                    2 => numbers.push(graph.constant(
                        [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NAN, -f64::NAN, 1e300][usize::from(a) % 8],
                    )),
                    3 => {
                        let reduction = fuselet_ir::Reduction::all().nth(usize::from(a) % 5).unwrap();
                        let axes = match b % 4 {
                            0 => fuselet_ir::Axes::All,
                            1 => fuselet_ir::Axes::one(bits as i64),
                            2 => fuselet_ir::Axes::List(vec![]),
                            _ => fuselet_ir::Axes::List(vec![0, -1]),
                        };
                        let argument = pick(&numbers, c);
                        numbers.push(graph.reduce(reduction, argument, axes));
                    }
                    4 => {
                        let half = if a % 2 == 0 { fuselet_ir::Half::First } else { fuselet_ir::Half::Second };
                        let argument = pick(&numbers, b);
                        numbers.push(graph.half(argument, i64::from(c) - 3, half));
                    }
                    _ => {
                        let op = Op::all().nth(bits as usize % Op::all().len()).unwrap();
                        let mut arguments = Vec::new();
                        for (index, at) in [a, b, c].into_iter().take(op.arity()).enumerate() {
                            let ids = match op.argument_kind(index) {
                                fuselet_ir::Kind::Number => &numbers,
                                fuselet_ir::Kind::Bool => &truths,
                            };
                            if !ids.is_empty() {
                                arguments.push(pick(ids, at));
                            }
                        }
                        if arguments.len() == op.arity() {
                            let id = graph.apply(op, &arguments);
                            if graph.kind(id) == fuselet_ir::Kind::Bool { truths.push(id) } else { numbers.push(id) }
                        }
                    }
                }
            }
            let last = *numbers.last().unwrap();
            graph.output(Graph::DEFAULT_OUTPUT, last);
            if numbers.len() % 3 == 0 {
                graph.output("not", numbers[numbers.len() / 2]);
            }
            if numbers.len() % 5 == 0 {
                return with_unread_input_and_reversed_order(&graph);
            }
            graph
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_printed_graph_parses_back_to_the_same_graph(graph in graphs()) {
        let text = graph.to_string();
        let parsed = text.parse::<Graph>();
        prop_assert!(parsed.is_ok(), "{}\n{}", text, parsed.unwrap_err());
        prop_assert_eq!(parsed.unwrap(), graph, "{}", text);
    }

    #[test]
    fn a_readable_graph_parses_back_to_as_many_nodes(graph in graphs()) {
        let parsed = graph.readable().parse::<Graph>().unwrap();
        prop_assert_eq!(parsed.nodes().len(), graph.nodes().len());
        prop_assert_eq!(parsed.outputs().len(), graph.outputs().len());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-c0-9x+*/^()<>=|{};,. \\[\\]\"`#-]{0,40}|(let |if |then |else |fn f\\(x\\) = |x|\\(|\\)|1|\\|>|, |not |and ){0,20}") {
        let _ = text.as_str().into_program(&Library::standard()).map(|program| program.graph(Meaning::Form));
    }
}
