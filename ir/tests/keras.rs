//! Configs: what Keras writes is understood, what we write comes back, what is wrong is said.

use fuselet_ir::{Activation, Expr, IntoProgram, Library, Meaning, activations};
use fuselet_ir::{
    keras::{ConfigError, CustomObjects, Identifier, parse_config},
    library::Value,
};
use serde_json::json;

fn read(library: &Library, text: &str) -> Result<Activation, ConfigError> {
    library.deserialize(&parse_config(text)?, &CustomObjects::new())
}

#[test]
fn every_function_with_every_parameter_survives_json() {
    let library = Library::standard();
    for function in library.functions() {
        let plain = library.activation(function.name()).unwrap();
        assert_eq!(library.serialize(&plain).unwrap(), json!(function.name()));
        let mut variants = vec![plain.clone()];
        for parameter in
            function.parameters().iter().filter(|parameter| !function.alternative().contains(&parameter.name))
        {
            let value = match &parameter.default {
                Value::Boolean(value) => Value::Boolean(!value),
                _ if parameter.name == "axis" => Value::Number(1.0),
                // No short decimal: every bit counts.
                _ => Value::Number(0.1 + 0.2),
            };
            variants.push(plain.clone().with(&parameter.name, value));
        }
        for activation in variants {
            let text = serde_json::to_string(&library.serialize(&activation).unwrap()).unwrap();
            assert_eq!(read(&library, &text).unwrap(), activation, "{text}");
            assert_eq!(serde_json::from_str::<Activation>(&text).unwrap(), activation, "{text}");
            assert_eq!(library.get(&activation).unwrap(), activation);
            assert_eq!(library.parse_activation(&activation.to_string()).unwrap(), activation);
        }
        for alias in function.aliases() {
            assert_eq!(library.get(alias.as_str()).unwrap(), plain);
            assert_eq!(read(&library, &format!("\"{alias}\"")).unwrap(), plain);
        }
    }
    let pair = library.activation("threshold").unwrap().with("threshold", 1.0).with("default_value", -0.0);
    let text = serde_json::to_string(&pair).unwrap();
    assert_eq!(read(&library, &text).unwrap(), pair, "{text}");
    let axes = library.activation("softmax").unwrap().with("axis", [0, -1]);
    assert_eq!(read(&library, &serde_json::to_string(&axes).unwrap()).unwrap(), axes);
}

#[test]
fn what_keras_writes_is_understood() {
    let library = Library::standard();
    for (config, expected) in [
        (r#""relu""#, "relu"),
        ("null", "linear"),
        (r#"{"class_name": "relu"}"#, "relu"),
        (r#"{"class_name": "relu", "config": {"max_value": 6}}"#, "relu(max_value = 6)"),
        (
            r#"{"module": "builtins", "class_name": "function", "config": "gelu", "registered_name": "function"}"#,
            "gelu",
        ),
        (r#"{"class_name": "function", "config": "hard_swish"}"#, "hard_silu"),
        (
            r#"{"module": "keras.layers", "class_name": "ReLU", "config": {"name": "re_lu", "trainable": true, "dtype":
                {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null},
                "max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}, "registered_name": null, "build_config": {"input_shape": [null, 4]}}"#,
            "relu(max_value = 6)",
        ),
        (r#"{"class_name": "LeakyReLU", "config": {"negative_slope": 0.2}}"#, "leaky_relu(negative_slope = 0.2)"),
        (r#"{"class_name": "LeakyReLU", "config": {"alpha": 0.25}}"#, "leaky_relu(negative_slope = 0.25)"),
        (r#"{"class_name": "LeakyReLU"}"#, "leaky_relu(negative_slope = 0.3)"),
        (r#"{"class_name": "ELU", "config": {"alpha": 2.0}}"#, "elu(alpha = 2)"),
        (r#"{"class_name": "Softmax", "config": {"axis": [1, 2]}}"#, "softmax(axis = [1, 2])"),
        (r#"{"class_name": "Activation", "config": {"name": "a", "activation": "silu"}}"#, "silu"),
    ] {
        assert_eq!(
            read(&library, config).map(|activation| activation.to_string()).as_deref(),
            Ok(expected),
            "{config}"
        );
    }
}

#[test]
fn what_is_wrong_is_named() {
    let library = Library::standard();
    for (config, expected) in [
        (r#""gelou""#, "unknown activation `gelou`; did you mean `gelu`?"),
        (r#""Relu""#, "unknown activation `Relu`; did you mean `relu`?"),
        (r#"" relu""#, "unknown activation ` relu`; did you mean `relu`?"),
        ("7", "cannot interpret as an activation: 7"),
        (
            r#"{"config": {}}"#,
            "cannot interpret as an activation: a dictionary without a `class_name`, with the keys config",
        ),
        (
            r#"{"class_name": "relu", "config": {"max_valu": 6}}"#,
            "the config of `relu` has an unknown key `max_valu`; did you mean `max_value`?",
        ),
        (
            r#"{"class_name": "relu", "config": {"max_value": "6"}}"#,
            "`max_value` of `relu` must be a number, true, false, null or a list of integers, but is \"6\"",
        ),
        (
            r#"{"class_name": "relu", "config": {"max_value": true}}"#,
            "the parameter `max_value` of `relu` must be a finite number or none, but is true",
        ),
        (r#"{"class_name": "relu", "config": {"max_value": -1}}"#, "`relu`: max_value must not be negative, but is -1"),
        (
            r#"{"class_name": "ReLU", "config": {"negative_slope": -1}}"#,
            "`negative_slope` of `ReLU` must be a number from 0 (the layer allows no other), but is -1",
        ),
        (
            r#"{"class_name": "LeakyReLU", "config": {"negative_slope": null}}"#,
            "the parameter `negative_slope` of `leaky_relu` must be a finite number, but is none",
        ),
        (
            r#"{"class_name": "PReLU", "config": {}}"#,
            "`PReLU` cannot be used: its slopes are learned weights; write `if x > 0 then x else alpha * x` with the weights as an input",
        ),
        (r#"{"class_name": "function", "config": "pkg>mine"}"#, "unknown activation `mine`"),
        (
            r#"{"class_name": "celu", "config": {"alpha": NaN}}"#,
            "the config cannot be read: expected value at line 1 column 44",
        ),
        (
            r#"{"class_name": "celu", "config": {"alpha": 1e999}}"#,
            "the config cannot be read: number out of range at line 1 column 48",
        ),
        (
            r#"{"class_name": "relu", "class_name": "gelu"}"#,
            "the config cannot be read: the key `class_name` is given twice at line 1 column 35",
        ),
    ] {
        assert_eq!(read(&library, config).unwrap_err().to_string(), expected, "{config}");
    }
}

#[test]
fn hostile_configs_are_errors_and_neither_crash_nor_hang() {
    let library = Library::standard();
    assert!(matches!(read(&library, &"[".repeat(100_000)), Err(ConfigError::Json(_))));
    let nested = r#"{"class_name":"Activation","config":{"activation":"#.repeat(100_000);
    assert!(read(&library, &nested).is_err());
    assert!(matches!(read(&library, &"x".repeat(100 << 20)), Err(ConfigError::TooLong { .. })));
    let long = json!("x".repeat(100 << 20));
    assert!(library.deserialize(&long, &CustomObjects::new()).unwrap_err().to_string().len() < 1000);
    let mut deep = json!("relu");
    for _ in 0..100 {
        deep = json!({"class_name": "Activation", "config": {"activation": deep}});
    }
    assert_eq!(library.deserialize(&deep, &CustomObjects::new()).unwrap().name(), "relu");
    let unclosed =
        json!({"class_name": "function", "config": "f", "definition": format!("fn f(x) = {}", "(".repeat(100_000))});
    assert!(matches!(library.deserialize(&unclosed, &CustomObjects::new()), Err(ConfigError::Definition { .. })));
}

#[test]
fn custom_functions_survive_with_their_definition() {
    let library = Library::standard();
    library
        .define("private fn half(x) = x / 2\n/// Mine.\nfn swoosh(x, beta = 1.5) = half(x) * sigmoid(beta * x)")
        .unwrap();
    library
        .define_expr("built", &["x"], &(Expr::input("x").tanh() * 0.1 + activations::gelu().apply(&Expr::input("x"))))
        .unwrap();
    library.define("fn both(x) = swoosh(built(x))").unwrap();
    for activation in [
        library.activation("swoosh").unwrap().with("beta", 0.1 + 0.2),
        library.activation("built").unwrap(),
        library.activation("both").unwrap(),
    ] {
        let text = serde_json::to_string(&activation).unwrap();
        let elsewhere = read(&Library::standard(), &text).unwrap();
        assert_eq!(elsewhere, activation, "{text}");
        let graph = |activation: &Activation| activation.into_program(&library).unwrap().graph(Meaning::Form).unwrap();
        assert_eq!(graph(&elsewhere), graph(&activation));
    }
}

#[test]
fn custom_objects_come_first_and_override_the_library() {
    let library = Library::standard();
    library.define("fn mine(x) = x + 1").unwrap();
    let custom = CustomObjects::from([("relu".to_owned(), library.activation("mine").unwrap())]);
    assert_eq!(library.deserialize(&json!("relu"), &custom).unwrap().name(), "mine");
    assert_eq!(library.deserialize(&json!({"class_name": "relu"}), &custom).unwrap().name(), "mine");
    let function = json!({"class_name": "function", "config": "pkg>relu", "registered_name": "function"});
    assert_eq!(library.deserialize(&function, &custom).unwrap().name(), "mine");
    assert_eq!(library.get("relu").unwrap().name(), "relu");
    assert_eq!(library.get(Identifier::None).unwrap().name(), "linear");
}

#[test]
fn a_redefined_function_does_not_change_those_that_call_it() {
    let library = Library::standard();
    library.define("fn f(x) = x + 1").unwrap();
    library.define("fn g(x) = f(x)").unwrap();
    let before = library.activation("g").unwrap();
    library.define("fn f(x) = f(x) * 2").unwrap();
    assert_eq!(library.activation("g").unwrap(), before);
    let again = serde_json::to_string(&library.activation("f").unwrap()).unwrap();
    assert_eq!(read(&library, &again).unwrap(), library.activation("f").unwrap());
    library.define("fn h(x) = g(x) + f(x)").unwrap();
    // g means the first f and h the second: the order of the text can still say so, or serializing must refuse.
    match library.serialize(&library.activation("h").unwrap()) {
        Ok(config) => {
            assert_eq!(library.deserialize(&config, &CustomObjects::new()).unwrap(), library.activation("h").unwrap())
        }
        Err(error) => assert!(matches!(error, ConfigError::Ambiguous { .. }), "{error}"),
    }
}

#[test]
fn a_list_of_configs_is_one_program() {
    let library = Library::standard();
    let chain = json!(["gelu", {"class_name": "ReLU", "config": {"max_value": 6.0}}, {"class_name": "softmax", "config": {"axis": 1}}]);
    let program = library.deserialize_chain(&chain, &CustomObjects::new()).unwrap();
    assert_eq!(program.to_string(), "softmax(relu(gelu(x), max_value = 6), axis = 1)");
    assert!(library.deserialize_chain(&json!("gelu"), &CustomObjects::new()).is_err());
}

#[test]
fn threads_may_define_and_use_functions_of_one_registry_at_once() {
    let library = Library::standard();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let library = library.clone();
            scope.spawn(move || {
                for index in 0..50 {
                    library.define(&format!("fn f_{thread}_{index}(x) = silu(x) + {index}")).unwrap();
                    assert!(library.parse(&format!("x |> f_{thread}_{index}")).is_ok());
                }
            });
        }
    });
    assert_eq!(library.functions().iter().filter(|function| !function.is_standard()).count(), 400);
}

#[test]
fn invalid_builders_are_errors_where_they_are_used() {
    let x = Expr::input("x");
    for (activation, message) in [
        (Activation::from(activations::relu().max_value(-1.0)), "`relu`: max_value must not be negative, but is -1"),
        (
            activations::elu().alpha(f64::NAN).into(),
            "the parameter `alpha` of `elu` must be a finite number, but is the number nan",
        ),
        (
            activations::hard_shrink().lambd(0.5).threshold(1.0).into(),
            "`hard_shrink` is given `lambd` twice with different values: 0.5 and 1",
        ),
        (
            activations::threshold().value(1.0).threshold(1.0).into(),
            "`threshold` takes either `value` or `threshold` and `default_value`, not both",
        ),
    ] {
        assert_eq!(activation.validate().unwrap_err().to_string(), message);
        let program = (activation.apply(&x) + 1).into_program(&Library::standard()).unwrap();
        assert_eq!(program.graph(Meaning::Form).unwrap_err().to_string(), message);
    }
    assert_eq!(activations::relu().max_value(1.0).max_value(6.0).to_string(), "relu(max_value = 6)");
}
