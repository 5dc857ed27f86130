//! Errors name what is at fault, and read for people however they are printed.

use fuselet_ir::keras::{CustomObjects, parse_config};
use fuselet_ir::reference::{Array, evaluate};
use fuselet_ir::shape::{InputShape, Shape, ShapeError, broadcast, infer};
use fuselet_ir::verify::VerifyError;
use fuselet_ir::{Error, Expr, Graph, Library, Meaning, Program, json};
use std::fmt::{Debug, Display};

fn graph(text: &str) -> Graph {
    Library::standard().parse(text).unwrap().graph(Meaning::Form).unwrap()
}

fn shape_error(text: &str, shapes: &[&[usize]]) -> ShapeError {
    let shapes: Vec<Shape> = shapes.iter().map(|shape| shape.to_vec()).collect();
    infer(&graph(text), &shapes).unwrap_err()
}

fn named(inputs: &[(&str, &[usize])]) -> Vec<InputShape> {
    inputs.iter().map(|(name, shape)| InputShape { name: (*name).to_owned(), shape: shape.to_vec() }).collect()
}

#[test]
fn shapes_that_do_not_fit_are_told_with_the_inputs_they_come_from() {
    let error = shape_error("x * 2 + bias", &[&[3, 4], &[5]]);
    let inputs = named(&[("x", &[3, 4]), ("bias", &[5])]);
    assert_eq!(error, ShapeError::Broadcast { left: vec![3, 4], right: vec![5], axis: 1, inputs });
    assert_eq!(
        error.to_string(),
        "shapes [3, 4] and [5] do not broadcast: axis 1 from the end has lengths 4 and 5 (`x` is [3, 4], `bias` is [5])"
    );
    // Only the inputs of the node at fault, however far away, in the order of the graph.
    let error = shape_error("input gate, b, x; let y = gelu(x) - 1; (y + b) * gate", &[&[7], &[2, 2], &[3, 2]]);
    let inputs = named(&[("b", &[2, 2]), ("x", &[3, 2])]);
    assert_eq!(error, ShapeError::Broadcast { left: vec![3, 2], right: vec![2, 2], axis: 2, inputs });
    let error = shape_error("s + softmax(x, axis = 2)", &[&[], &[3, 4]]);
    let inputs = named(&[("x", &[3, 4])]);
    assert_eq!(error, ShapeError::AxisOutOfRange { axis: 2, rank: 2, shape: vec![3, 4], inputs });
    assert_eq!(
        error.to_string(),
        "axis 2 is out of range for an array of rank 2 (shape [3, 4]); use -2 to 1 (`x` is [3, 4])"
    );
    let error = shape_error("sum(x, axis = [1, -1])", &[&[3, 4]]);
    assert_eq!(error, ShapeError::RepeatedAxis { axis: -1, rank: 2, inputs: named(&[("x", &[3, 4])]) });
    let error = shape_error("glu(x + y)", &[&[3], &[2, 1]]);
    let inputs = named(&[("x", &[3]), ("y", &[2, 1])]);
    assert_eq!(error, ShapeError::OddLength { axis: -1, length: 3, shape: vec![2, 3], inputs });
    // Many are counted.
    let names: Vec<String> = (0..9).map(|index| format!("x{index}")).collect();
    let shapes: Vec<Shape> = (0..9).map(|index| vec![if index == 8 { 3 } else { 2 }]).collect();
    let message = infer(&graph(&names.join(" + ")), &shapes).unwrap_err().to_string();
    assert!(message.ends_with("`x5` is [2] and 3 more inputs)"), "{message}");
    // Without a graph there are none.
    let message = broadcast(&[2], &[3]).unwrap_err().to_string();
    assert_eq!(message, "shapes [2] and [3] do not broadcast: axis 1 from the end has lengths 2 and 3");
}

#[test]
fn an_axis_of_any_number_is_in_range_or_an_error() {
    for axis in [i64::MIN, i64::MIN + 1, -(1 << 32) - 1, -3, 2, 1 << 32, i64::MAX] {
        let mut graph = Graph::new();
        let x = graph.input("x");
        let sum = graph.reduce(fuselet_ir::Reduction::Sum, x, axis.into());
        graph.output("out", sum);
        let error = infer(&graph, &[vec![3, 4]]).unwrap_err();
        assert!(matches!(error, ShapeError::AxisOutOfRange { axis: named, .. } if named == axis), "{error}");
    }
}

#[test]
fn an_input_that_is_named_twice_is_an_error_wherever_it_is_declared() {
    let twice = VerifyError::Name { role: "input", name: "x".to_owned() };
    assert_eq!(twice.to_string(), "two inputs are called `x`; rename one of them");
    let program = Program::from(Expr::input("x") + 1.0).with_inputs(["x".to_owned(), "y".to_owned(), "x".to_owned()]);
    assert_eq!(program.graph(Meaning::Form).unwrap_err(), Error::Graph(twice));
    let json = r#"{"inputs": ["x", "x"], "nodes": [{"input": 0}], "outputs": [{"name": "out", "node": 0}]}"#;
    let message = json::from_str(json).unwrap_err().to_string();
    assert!(message.contains("two inputs are called `x`"), "{message}");
    let library = Library::standard();
    for text in ["input x, x; x + 1", "fn f(x, x) = x + 1  f(y)", "fn f(x, x = 2) = x + 1  f(y)"] {
        let message = library.parse(text).unwrap_err().to_string();
        assert!(message.contains("the name `x` is used twice"), "{text}: {message}");
    }
    let message = library.define_expr("f", &["x", "x"], &Expr::input("x")).unwrap_err().to_string();
    assert!(message.contains("the name `x` is used twice"), "{message}");
    let message = library.parse("fn f(x, y) = x + y  f(a, b, x = c)").unwrap_err().to_string();
    assert!(message.contains("`x` is given twice"), "{message}");
}

#[test]
fn errors_are_debugged_as_they_are_displayed() {
    fn same(error: &(impl Debug + Display)) {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
    let library = Library::standard();
    let error = library.parse("gelou(x)").unwrap_err();
    assert_eq!(format!("{error:?}"), "unknown function `gelou`\n  │ gelou(x)\n  │ ^^^^^ did you mean `gelu`?");
    let Error::Syntax(syntax) = &error else { panic!("{error}") };
    same(syntax);
    same(&library.activation("relu").unwrap().with("max_value", false).validate().unwrap_err());
    same(&library.get("gelou").unwrap_err());
    same(&library.deserialize(&parse_config("3").unwrap(), &CustomObjects::new()).unwrap_err());
    same(&json::from_str("{").unwrap_err());
    same(&shape_error("x + y", &[&[2], &[3]]));
    same(&evaluate(&graph("x + y"), &[Array::new([1], vec![1.0]).unwrap()]).unwrap_err());
    same(&Graph::from_parts(vec![], vec![], vec![], []).unwrap_err());
    same(&"x".parse::<fuselet_ir::Op>().unwrap_err());
}
