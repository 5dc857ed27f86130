//! Activations, expressions and programs as parts of documents, read with one's own library.

use fuselet_ir::document::FromDocument;
use fuselet_ir::{Activation, Expr, Graph, Library, Meaning, Program};
use serde::Serialize;
use serde::de::DeserializeSeed;

fn own() -> Library {
    let library = Library::standard();
    library
        .define("private fn inner(x) = exp(x) + 1\nfn swoosh(x, beta = 1.5) = x * sigmoid(beta * x) / inner(x)")
        .unwrap();
    library.define("fn twice(x) = swoosh(swoosh(x))").unwrap();
    library
}

fn read<T: FromDocument>(library: &Library, json: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = library.seed::<T>().deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

fn graphs(program: &Program) -> [Graph; 2] {
    [Meaning::Definition, Meaning::Form].map(|meaning| program.graph(meaning).unwrap())
}

#[test]
fn a_document_may_name_the_functions_of_the_library_it_is_read_with() {
    let library = own();
    let activation: Activation = read(&library, r#"{"class_name": "swoosh", "config": {"beta": 2}}"#).unwrap();
    assert_eq!(activation, library.activation("swoosh").unwrap().with("beta", 2.0));
    let expr: Expr = read(&library, r#""swoosh(x, beta = 2) * g""#).unwrap();
    assert_eq!(graphs(&expr.into()), graphs(&library.parse("swoosh(x, beta = 2) * g").unwrap()));
    let program: Program = read(&library, r#""input g; let s = twice(x); a = s * g, b = s""#).unwrap();
    assert_eq!(program.outputs().len(), 2);
    let list: Vec<Activation> = read(&library, r#"["gelu", null, "twice"]"#).unwrap();
    assert_eq!(list.iter().map(Activation::name).collect::<Vec<_>>(), ["gelu", "linear", "twice"]);
    // The standard library does not know them.
    let error = serde_json::from_str::<Expr>(r#""swoosh(x)""#).unwrap_err().to_string();
    assert!(error.contains("unknown function `swoosh`"), "{error}");
    let error = serde_json::from_str::<Activation>(r#""swoosh""#).unwrap_err().to_string();
    assert!(error.contains("unknown activation `swoosh`"), "{error}");
}

#[test]
fn what_is_written_is_read_back_without_the_library_it_was_made_with() {
    let library = own();
    for text in [
        "x * 2 + 1 |> gelu |> relu(max_value = 6)",
        "-swoosh(x) + swoosh(y, beta = 0.25)",
        "(twice(x))",
        "input b, a; let unused = twice(a); first = softmax(a, axis = -1), second = if a > b then a else 0",
        "`my input` + (if x < 0 then nan else -inf)",
    ] {
        let program = library.parse(text).unwrap();
        let json = serde_json::to_string(&program).unwrap();
        let again: Program = serde_json::from_str(&json).unwrap();
        assert_eq!(graphs(&again), graphs(&program), "{json}");
        if program.outputs().len() == 1 {
            let expr = &program.outputs()[0].1;
            let json = serde_json::to_string(expr).unwrap();
            let again: Expr = serde_json::from_str(&json).unwrap();
            assert_eq!(again.to_string(), expr.to_string());
            assert_eq!(graphs(&again.into()), graphs(&expr.clone().into()), "{json}");
        }
    }
    for text in ["gelu", "relu(max_value = 6)", "swoosh(beta = 0.1)", "twice"] {
        let activation = library.parse_activation(text).unwrap();
        let json = serde_json::to_string(&activation).unwrap();
        assert_eq!(serde_json::from_str::<Activation>(&json).unwrap(), activation, "{json}");
    }
}

#[test]
fn a_function_written_over_another_meaning_of_its_name_is_refused_instead_of_changed() {
    fn refused(value: &impl Serialize) {
        let error = serde_json::to_string(value).unwrap_err().to_string();
        assert!(error.contains("several functions called"), "{error}");
    }
    // An own gelu beside the standard one.
    let library = Library::standard();
    let standard = library.parse_expr("gelu(x)").unwrap();
    library.define("fn gelu(x) = x * 2").unwrap();
    let own = library.parse_expr("gelu(x)").unwrap();
    assert!(serde_json::to_string(&own).is_ok());
    refused(&(standard + own));
    // Two of one name, and a private one that would hide a public one.
    let library = Library::standard();
    library.define("fn f(x) = x + 1").unwrap();
    let first = library.parse_expr("f(x)").unwrap();
    library.define("fn f(x) = x + 2").unwrap();
    refused(&(first + library.parse_expr("f(x)").unwrap()));
    let library = Library::standard();
    library.define("private fn f(x) = x + 1\nfn g(x) = f(x)").unwrap();
    library.define("fn f(x) = x + 2").unwrap();
    refused(&library.parse_expr("g(x) + f(x)").unwrap());
}

#[test]
fn what_is_no_text_of_the_kind_is_an_error_that_says_so() {
    let library = own();
    for (json, part) in [
        (r#""a = x, b = y""#, "is not one expression"),
        (r#""a = x""#, "is not one expression"),
        (r#"3"#, "the text of an expression"),
        (r#""x +""#, "expected"),
        (r#""gelou(x)""#, "did you mean `gelu`?"),
    ] {
        let error = read::<Expr>(&library, json).unwrap_err();
        assert!(error.contains(part), "{json}: {error}");
    }
    let error = read::<Vec<Expr>>(&library, r#"["x", "swoosch(x)"]"#).unwrap_err();
    assert!(error.contains("did you mean `swoosh`?"), "{error}");
    assert!(read::<Activation>(&library, r#"{"class_name": "gelu", "class_name": "relu"}"#).is_err());
    let graph = library.parse("swoosh(x)").unwrap().graph(Meaning::Form).unwrap();
    assert_eq!(read::<Graph>(&library, &serde_json::to_string(&graph).unwrap()).unwrap(), graph);
}
