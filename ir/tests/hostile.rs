//! Texts made to cost more than they are long: each is read or refused in time and memory in proportion to its length.
//!
//! Every text here once took minutes, or all the memory there was, at the length it has here.

use fuselet_ir::language::{MAX_AXES, MAX_PARAMETERS, Problem};
use fuselet_ir::{Error, Graph, Library, Meaning};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Hundreds of times what any of them takes, for slow and busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a text and makes its graph, in time.
fn read(text: &str) -> Result<Graph, Error> {
    let start = Instant::now();
    let graph = Library::standard().parse(text).and_then(|program| program.graph(Meaning::Form));
    assert!(start.elapsed() < PATIENCE, "{:?} for {}…", start.elapsed(), &text[..60.min(text.len())]);
    graph
}

fn too_many(error: &Error, expected: &str) -> bool {
    matches!(error, Error::Syntax(error) if matches!(error.problem(), Problem::TooMany { what, .. } if *what == expected))
}

fn list<T: std::fmt::Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

#[test]
fn a_long_list_of_axes_is_refused_and_a_short_one_may_be_used_often() {
    let text = format!("let a = [{}]; {}", list(0..=MAX_AXES, ","), list(vec!["sum(x,a)"; 100], "+"));
    assert!(too_many(&read(&text).unwrap_err(), "axes in a list"));
    let text = format!("let a = [{}]; {}", list(0..MAX_AXES, ","), list(vec!["sum(x,a)"; 100_000], "+"));
    read(&text).unwrap();
}

#[test]
fn a_short_alias_of_a_long_name_costs_no_more_than_a_long_text() {
    let text = format!("fn `{}`(x) = exp(x) alias f {{ x {} }}", "q".repeat(400_000), "|>f".repeat(150_000));
    let error = read(&text).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    // Honest chains are far from the limit.
    read(&format!("x {}", "|>hard_sigmoid".repeat(70_000))).unwrap();
}

#[test]
fn a_function_has_a_bounded_number_of_everything() {
    let many = MAX_PARAMETERS + 1;
    let names = |form: &str| list((0..many).map(|index| form.replace('#', &index.to_string())), ", ");
    let requirements = |count: usize| "require p > 0 : \"p\" ".repeat(count);
    for (text, what) in [
        (format!("fn f({}) = 1  f(x)", names("t#")), "tensors of a function"),
        (format!("fn f(x, {}) = x  f(x)", names("p# = 1")), "parameters of a function"),
        (format!("fn f(x) = x alternative ({})  f(x)", names("p#")), "parameters of a function"),
        (format!("fn f(x, p = 1) = x {}  f(x)", requirements(many)), "requirements of a function"),
        (format!("fn f(x, p = 1) = x {}  f(x)", "parameter_alias q = p ".repeat(many)), "other names of parameters"),
    ] {
        let error = read(&text).unwrap_err();
        assert!(too_many(&error, what), "{text}: {error}");
    }
    read(&format!("fn f(x, p = 1) = x {} {{ f(x) }}", requirements(MAX_PARAMETERS))).unwrap();
}

#[test]
fn many_calls_of_a_function_of_many_parameters_and_requirements_cost_in_proportion() {
    let parameters = list((0..MAX_PARAMETERS).map(|index| format!("p{index} = 1")), ", ");
    let requirements =
        list((0..MAX_PARAMETERS).map(|index| format!("require p{index} > 0 : \"{}\"", "{p0} ".repeat(50))), " ");
    let text = format!("fn f(x, {parameters}) = x + 1 {requirements} {{ x {} }}", "|>f".repeat(300_000));
    // Refused or read; in time, and without memory for every parameter of every call.
    if let Err(error) = read(&text) {
        assert!(error.to_string().contains("too large"), "{error}");
    }
    let calls = "|>f(p1 = 2)".repeat(5_000);
    let text = format!("fn f(x, {parameters}) = x + p1 {requirements} {{ x {calls} }}");
    read(&text).unwrap();
}

#[test]
fn many_definitions_inputs_and_outputs_cost_in_proportion() {
    let mut text = String::new();
    for index in 0..40_000 {
        write!(text, "fn f{index}(x)=x+1 ").unwrap();
    }
    read(&format!("{text} {{ f7(x) }}")).unwrap();
    let start = Instant::now();
    let library = Library::empty();
    assert_eq!(library.define(&text).unwrap().len(), 40_000);
    assert_eq!(library.define(&text).unwrap().len(), 40_000);
    assert_eq!(library.functions().len(), 40_000);
    assert!(start.elapsed() < PATIENCE);
    let graph = read(&list((0..80_000).map(|index| format!("i{index}")), "+")).unwrap();
    assert_eq!(graph.inputs().len(), 80_000);
}

#[test]
fn a_replaced_function_moves_to_the_end_of_the_list() {
    let library = Library::empty();
    library.define("fn f(x) = x + 1  fn g(x) = x + 2 alias f2  fn h(x) = x + 3 alias f").unwrap();
    library.define("fn f(x) = x + 4").unwrap();
    let names: Vec<String> = library.functions().iter().map(|function| function.name().to_owned()).collect();
    assert_eq!(names, ["g", "h", "f"]);
    assert!(library.function("f").unwrap().source().contains("x + 4"));
    assert_eq!(library.function("f2").unwrap().name(), "g");
}

#[test]
fn the_message_of_a_requirement_shows_values_and_keeps_other_braces() {
    let library = Library::standard();
    let text = r#"fn f(x, p = 1, q = 2) = x require p > 0 : "{p} of {q}, {r} {{p}} {p {} {"  "#;
    library.define(text).unwrap();
    let error = library.parse("f(x, p = -3)").unwrap_err().to_string();
    assert!(error.contains("`f`: -3 of 2, {r} {-3} {p {} {"), "{error}");
}
