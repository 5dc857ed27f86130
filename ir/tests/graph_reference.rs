//! The float64 reference: broadcasting, reductions, halves, blocks.

use fuselet_ir::reference::{self, Array, ReferenceError, evaluate, evaluate_scalar};
use fuselet_ir::shape::ShapeError;
use fuselet_ir::{Axes, Graph, Half, Op, Reduction};

fn array(shape: &[usize], data: &[f64]) -> Array {
    Array::new(shape, data.to_vec()).unwrap()
}

fn single(graph: &Graph, inputs: &[Array]) -> Array {
    let mut outputs = evaluate(graph, inputs).unwrap();
    assert_eq!(outputs.len(), 1);
    outputs.pop().unwrap()
}

#[test]
fn an_array_whose_data_do_not_fill_its_shape_is_refused() {
    let error = Array::new([2, 3], vec![0.0; 5]).unwrap_err();
    assert_eq!(error, ReferenceError::DataLength { shape: vec![2, 3], expected: 6, given: 5 });
    assert!(matches!(Array::new([usize::MAX, 3], vec![]), Err(ReferenceError::Shape(ShapeError::TooLarge { .. }))));
}

#[test]
fn arguments_broadcast_from_the_last_axis() {
    let mut graph = Graph::new();
    let (a, b) = (graph.input("a"), graph.input("b"));
    let difference = graph.apply(Op::Sub, &[a, b]);
    graph.output("out", difference);
    let column = array(&[2, 1], &[10.0, 20.0]);
    let row = array(&[3], &[1.0, 2.0, 3.0]);
    assert_eq!(single(&graph, &[column, row]), array(&[2, 3], &[9.0, 8.0, 7.0, 19.0, 18.0, 17.0]));
    let middle = array(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let outer = array(&[1, 2, 1], &[10.0, 20.0]);
    let expected = [-9.0, -8.0, -19.0, -18.0, -7.0, -6.0, -17.0, -16.0];
    assert_eq!(single(&graph, &[middle, outer]), array(&[2, 2, 2], &expected));
    let empty = array(&[0, 1], &[]);
    assert_eq!(single(&graph, &[empty, array(&[3], &[0.0; 3])]), array(&[0, 3], &[]));
}

#[test]
fn a_reduction_keeps_its_axes_with_length_one() {
    let data = array(&[2, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
    let reduced = |axes: Axes| {
        let mut graph = Graph::new();
        let x = graph.input("x");
        let sum = graph.reduce(Reduction::Sum, x, axes);
        graph.output("out", sum);
        single(&graph, std::slice::from_ref(&data))
    };
    assert_eq!(reduced(Axes::one(-1)), array(&[2, 2, 1], &[6.0, 15.0, 24.0, 33.0]));
    assert_eq!(reduced(Axes::one(1)), array(&[2, 1, 3], &[5.0, 7.0, 9.0, 17.0, 19.0, 21.0]));
    assert_eq!(reduced(Axes::List(vec![-1, 0])), array(&[1, 2, 1], &[30.0, 48.0]));
    assert_eq!(reduced(Axes::All), array(&[1, 1, 1], &[78.0]));
    assert_eq!(reduced(Axes::List(vec![])), data);
}

#[test]
fn an_empty_row_has_the_neutral_value_and_no_rows_have_none() {
    let mut graph = Graph::new();
    let x = graph.input("x");
    let (first, last) = (graph.reduce(Reduction::Sum, x, Axes::one(0)), graph.reduce(Reduction::Max, x, Axes::one(1)));
    graph.output("first", first);
    graph.output("last", last);
    let outputs = evaluate(&graph, &[array(&[0, 2], &[])]).unwrap();
    assert_eq!(outputs, [array(&[1, 2], &[0.0, 0.0]), array(&[0, 1], &[])]);
}

#[test]
fn halves_cut_their_own_axis() {
    let data = array(&[2, 4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let cut = |axis, half| {
        let mut graph = Graph::new();
        let x = graph.input("x");
        let half = graph.half(x, axis, half);
        graph.output("out", half);
        evaluate(&graph, std::slice::from_ref(&data)).map(|mut outputs| outputs.remove(0))
    };
    assert_eq!(cut(-1, Half::First).unwrap(), array(&[2, 2], &[1.0, 2.0, 5.0, 6.0]));
    assert_eq!(cut(-1, Half::Second).unwrap(), array(&[2, 2], &[3.0, 4.0, 7.0, 8.0]));
    assert_eq!(cut(0, Half::Second).unwrap(), array(&[1, 4], &[5.0, 6.0, 7.0, 8.0]));
    assert!(matches!(cut(2, Half::First), Err(ReferenceError::Shape(ShapeError::AxisOutOfRange { .. }))));
}

#[test]
fn truth_values_are_zero_and_one() {
    let mut graph = Graph::new();
    let x = graph.input("x");
    let zero = graph.constant(0.0);
    let less = graph.apply(Op::Less, &[x, zero]);
    let not = graph.apply(Op::Not, &[less]);
    graph.output("less", less);
    graph.output("not", not);
    let outputs = evaluate(&graph, &[Array::vector([-1.0, 0.0, f64::NAN])]).unwrap();
    assert_eq!(outputs, [Array::vector([1.0, 0.0, 0.0]), Array::vector([0.0, 1.0, 1.0])]);
}

/// Blocks are an implementation detail: a long input gives what its elements give one by one, with single elements
/// among the inputs, single elements among the outputs, a dead input and a length that is no multiple of the block.
#[test]
fn blocks_equal_single_elements_bit_for_bit() {
    let mut graph = Graph::new();
    let (x, scale, unused) = (graph.input("x"), graph.input("scale"), graph.input("unused"));
    let product = graph.apply(Op::Mul, &[x, scale]);
    let tanh = graph.apply(Op::Tanh, &[product]);
    let dead = graph.apply(Op::Exp, &[unused]);
    graph.apply(Op::Log, &[dead]);
    let root = graph.apply(Op::Sqrt, &[scale]);
    graph.output("tanh", tanh);
    graph.output("root", root);
    graph.output("again", tanh);
    let n = 3 * 2048 + 17;
    let data: Vec<f64> = (0..n).map(|i| f64::from(i) * 1e-3 - 3.0).collect();
    for shape in [vec![n as usize], vec![1, n as usize, 1]] {
        let inputs = [Array::new(shape.clone(), data.clone()).unwrap(), array(&[1], &[2.5]), Array::vector([0.0; 7])];
        let outputs = evaluate(&graph, &inputs).unwrap();
        assert_eq!(outputs[0].shape(), shape);
        assert_eq!(outputs[1], array(&[1], &[2.5f64.sqrt()]));
        assert_eq!(outputs[2], outputs[0]);
        for (x, y) in data.iter().zip(outputs[0].data()) {
            let expected = evaluate_scalar(&graph, &[*x, 2.5, 0.0]).unwrap();
            assert_eq!(y.to_bits(), expected[0].to_bits());
        }
    }
}

#[test]
fn a_deep_chain_needs_no_stack() {
    let mut graph = Graph::new();
    let mut x = graph.input("x");
    let step = graph.constant(1.0);
    for _ in 0..200_000 {
        x = graph.apply(Op::Add, &[x, step]);
    }
    graph.output("out", x);
    assert_eq!(single(&graph, &[Array::scalar(0.5)]), Array::scalar(200_000.5));
}

#[test]
fn single_elements_of_row_functions_are_refused() {
    let mut graph = Graph::new();
    let x = graph.input("x");
    let sum = graph.reduce(Reduction::Sum, x, Axes::All);
    graph.output("out", sum);
    assert_eq!(evaluate_scalar(&graph, &[1.0]), Err(ReferenceError::NotElementwise { operation: "sum" }));
    let mut graph = Graph::new();
    let x = graph.input("x");
    graph.output("out", x);
    assert_eq!(evaluate_scalar(&graph, &[]), Err(ReferenceError::InputCount { expected: 1, given: 0 }));
    assert!(matches!(reference::evaluate(&graph, &[]), Err(ReferenceError::Shape(ShapeError::InputCount { .. }))));
}
