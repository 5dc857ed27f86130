//! The verifier: each invariant, broken alone, is found and named.

use fuselet_ir::graph::{Arguments, Label, Output};
use fuselet_ir::verify::{VerifyError, verify};
use fuselet_ir::{Axes, Graph, Half, Kind, Node, NodeId, Op, Reduction};

fn id(index: usize) -> NodeId {
    NodeId::from_index(index)
}

fn apply(op: Op, arguments: &[usize]) -> Node {
    let arguments: Vec<NodeId> = arguments.iter().copied().map(id).collect();
    Node::Elementwise { op, arguments: Arguments::new(&arguments) }
}

fn reduce(argument: usize, axes: &[i64]) -> Node {
    Node::Reduce { reduction: Reduction::Max, argument: id(argument), axes: Axes::List(axes.to_vec()) }
}

fn output(name: &str, node: usize) -> Output {
    Output { name: name.to_owned(), node: id(node) }
}

/// A graph of one input `x`, these nodes and one output, the last node.
fn of_nodes(nodes: &[Node]) -> Result<Graph, VerifyError> {
    Graph::from_parts(nodes.to_vec(), vec!["x".to_owned()], vec![output("out", nodes.len() - 1)], [])
}

#[test]
fn a_sound_graph_passes() {
    let nodes = [
        Node::Input(0),
        Node::Constant(0),
        apply(Op::Less, &[0, 1]),
        Node::Half { argument: id(2), axis: -1, half: Half::First },
        apply(Op::Select, &[3, 0, 1]),
        reduce(4, &[0, -1]),
    ];
    let graph = of_nodes(&nodes).unwrap();
    assert_eq!(graph.nodes(), nodes);
    assert_eq!(graph.kind(id(3)), Kind::Bool);
    verify(&graph).unwrap();
}

#[test]
fn arguments_come_before_users() {
    for argument in [1, 2, 4_000_000_000] {
        let error = of_nodes(&[Node::Input(0), apply(Op::Exp, &[argument])]).unwrap_err();
        assert_eq!(error, VerifyError::ArgumentOrder { node: id(1), argument: id(argument) });
    }
}

#[test]
fn arguments_are_as_many_as_the_op_takes() {
    let error = of_nodes(&[Node::Input(0), apply(Op::Add, &[0])]).unwrap_err();
    assert_eq!(error, VerifyError::ArgumentCount { node: id(1), op: Op::Add, given: 1 });
    assert_eq!(error.to_string(), "node %1: `add` takes 2 arguments (a, b), but 1 were given");
}

#[test]
fn numbers_and_truth_values_do_not_mix() {
    let wrong = |nodes: &[Node], operation, place, argument, expected| {
        let node = id(nodes.len() - 1);
        let expected = VerifyError::ArgumentKind { node, operation, place, argument: id(argument), expected };
        assert_eq!(of_nodes(nodes).unwrap_err(), expected);
    };
    let less = [Node::Input(0), apply(Op::Less, &[0, 0])];
    let with = |node: Node| [&less[..], &[node]].concat();
    wrong(&with(apply(Op::Add, &[0, 1])), "add", 1, 1, Kind::Number);
    wrong(&with(apply(Op::And, &[1, 0])), "and", 1, 0, Kind::Bool);
    wrong(&with(apply(Op::Select, &[0, 0, 0])), "select", 0, 0, Kind::Bool);
    wrong(&with(apply(Op::Select, &[1, 1, 0])), "select", 1, 1, Kind::Number);
    wrong(&with(reduce(1, &[0])), "max", 0, 1, Kind::Number);
    let half = Node::Half { argument: id(1), axis: 0, half: Half::Second };
    wrong(&[&with(half)[..], &[apply(Op::Neg, &[2])]].concat(), "neg", 0, 2, Kind::Number);
}

#[test]
fn inputs_are_declared_once() {
    let error = of_nodes(&[Node::Input(1)]).unwrap_err();
    assert_eq!(error, VerifyError::UnknownInput { node: id(0), index: 1, declared: 1 });
    for names in [&["x", "x"][..], &[""]] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let name = names.last().unwrap().clone();
        let error = Graph::from_parts(vec![Node::Input(0)], names, vec![output("out", 0)], []).unwrap_err();
        assert_eq!(error, VerifyError::Name { role: "input", name });
    }
}

#[test]
fn outputs_exist_and_have_names() {
    let of_outputs = |outputs: &[Output]| {
        Graph::from_parts(vec![Node::Input(0)], vec!["x".to_owned()], outputs.to_vec(), []).unwrap_err()
    };
    assert_eq!(of_outputs(&[]), VerifyError::NoOutput);
    let name = |name: &str| VerifyError::Name { role: "output", name: name.to_owned() };
    assert_eq!(of_outputs(&[output("y", 0), output("y", 0)]), name("y"));
    assert_eq!(of_outputs(&[output("", 0)]), name(""));
    assert_eq!(
        of_outputs(&[output("y", 7)]),
        VerifyError::UnknownOutput { name: "y".to_owned(), node: id(7), nodes: 1 }
    );
}

#[test]
fn equal_nodes_are_one() {
    let error = of_nodes(&[Node::Input(0), apply(Op::Exp, &[0]), apply(Op::Exp, &[0])]).unwrap_err();
    assert_eq!(error, VerifyError::DuplicateNode { first: id(1), second: id(2) });
}

#[test]
fn an_axis_is_reduced_once() {
    let error = of_nodes(&[Node::Input(0), reduce(0, &[1, -1, 1])]).unwrap_err();
    assert_eq!(error, VerifyError::RepeatedAxis { node: id(1), axis: 1 });
}

#[test]
fn labels_belong_to_nodes() {
    let labelled = |node: usize, text: &str, arguments: &[usize]| {
        let label = Label { text: text.to_owned(), arguments: arguments.iter().copied().map(id).collect() };
        Graph::from_parts(vec![Node::Input(0)], vec!["x".to_owned()], vec![output("out", 0)], [(id(node), label)])
    };
    let error = |node: usize, label: &str| VerifyError::Label { node: id(node), label: label.to_owned(), nodes: 1 };
    assert_eq!(labelled(0, "gelu", &[0]).unwrap().label(id(0)).unwrap().text, "gelu");
    assert_eq!(labelled(1, "gelu", &[]).unwrap_err(), error(1, "gelu"));
    assert_eq!(labelled(0, "gelu", &[0, 5]).unwrap_err(), error(5, "gelu"));
    assert_eq!(labelled(0, "", &[]).unwrap_err(), error(0, ""));
}

#[test]
fn a_long_chain_of_halves_needs_no_stack() {
    let mut nodes = vec![Node::Input(0)];
    for index in 0..200_000 {
        nodes.push(Node::Half { argument: id(index), axis: 0, half: Half::First });
    }
    let graph = of_nodes(&nodes).unwrap();
    assert_eq!(graph.kind(id(200_000)), Kind::Number);
}
