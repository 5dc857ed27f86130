//! Configs: what Keras writes is understood, what we write comes back, what is wrong is said.

use fuselet_ir::keras::{ConfigError, CustomObjects, Identifier, Layer, Reader, Version, parse_config};
use fuselet_ir::library::Value;
use fuselet_ir::{Activation, Expr, IntoProgram, Library, Meaning, activations, reference};
use serde_json::{Value as Json, json};

fn read(library: &Library, text: &str) -> Result<Activation, ConfigError> {
    library.deserialize(&parse_config(text)?, &CustomObjects::new())
}

/// Each function with its defaults, and with each parameter changed.
fn variants(library: &Library) -> Vec<Activation> {
    let mut variants = Vec::new();
    for function in library.functions() {
        let plain = library.activation(function.name()).unwrap();
        let main = function.parameters().iter().filter(|parameter| !function.alternative().contains(&parameter.name));
        for parameter in main {
            let value = match &parameter.default {
                Value::Boolean(value) => Value::Boolean(!value),
                _ if parameter.name == "axis" => Value::Number(1.0),
                // No short decimal: every bit counts.
                _ => Value::Number(0.1 + 0.2),
            };
            variants.push(plain.clone().with(&parameter.name, value));
        }
        variants.push(plain);
    }
    variants.push(library.activation("threshold").unwrap().with("threshold", 1.0).with("default_value", -0.0));
    variants.push(library.activation("softmax").unwrap().with("axis", [0, -1]));
    for text in [
        "relu(max_value = 6, negative_slope = 0.1, threshold = 0.5)",
        "softmax(axis = none)",
        "log_softmax(axis = none)",
        "logsumexp(axis = none)",
        "layer_norm(axis = [0, 1], epsilon = 0.5)",
        "rms_norm(axis = [0, 1], epsilon = 0.5)",
        "threshold(value = -0.25)",
        "celu(alpha = -0.5)",
        "elu(alpha = -0.5)",
    ] {
        variants.push(library.parse_activation(text).unwrap());
    }
    variants.push(library.activation("leaky_relu").unwrap().with("negative_slope", 0.2));
    variants.push(library.activation("leaky_relu").unwrap().with("negative_slope", -0.5));
    variants
}

#[test]
fn every_function_with_every_parameter_survives_a_document() {
    let library = Library::standard();
    for activation in variants(&library) {
        let text = serde_json::to_string(&activation).unwrap();
        assert_eq!(read(&library, &text).unwrap(), activation, "{text}");
        assert_eq!(serde_json::from_str::<Activation>(&text).unwrap(), activation, "{text}");
        assert_eq!(library.get(&activation).unwrap(), activation);
        assert_eq!(library.parse_activation(&activation.to_string()).unwrap(), activation);
    }
    for function in library.functions() {
        for alias in function.aliases() {
            let plain = library.get(function.name()).unwrap();
            assert_eq!(library.get(alias.as_str()).unwrap(), plain);
            assert_eq!(read(&library, &format!("\"{alias}\"")).unwrap(), plain);
        }
    }
    // What Keras has no spelling for, a document holds.
    for text in
        ["relu(negative_slope = -1)", "log_softmax(axis = [0, 1])", "softmax(axis = [])", "relu(threshold = -1)"]
    {
        let activation = library.parse_activation(text).unwrap();
        let json = serde_json::to_string(&activation).unwrap();
        assert_eq!(serde_json::from_str::<Activation>(&json).unwrap(), activation, "{json}");
    }
}

#[test]
fn what_is_written_for_keras_means_the_same_when_it_is_read() {
    let library = Library::standard();
    for activation in variants(&library) {
        let text = serde_json::to_string(&library.serialize(&activation).unwrap()).unwrap();
        let again = read(&library, &text).unwrap();
        let graph = |activation: &Activation| activation.into_program(&library).unwrap().graph(Meaning::Form).unwrap();
        let (again, graphs) = (again.to_string(), [graph(&again), graph(&activation)]);
        assert_eq!(graphs[0].outputs(), graphs[1].outputs(), "{activation} is read as {again} from {text}");
        assert_eq!(graphs[0].nodes(), graphs[1].nodes(), "{activation} is read as {again} from {text}");
    }
}

/// What is written for Keras is what `tests/keras/check_spellings.py` has shown Keras to read; the values beside it are the
/// float64 reference's. `FUSELET_UPDATE_SPELLINGS=1` writes the file anew: run the script after it.
#[test]
fn what_is_written_for_keras_is_what_keras_was_shown_to_read() {
    let library = Library::standard();
    let shape = vec![4, 6];
    let inputs: Vec<f64> = (0..24).map(|place| f64::from(place * 7 % 24 - 12) / 8.0).collect();
    let mut activations = Vec::new();
    for activation in variants(&library) {
        let graph = (&activation).into_program(&library).unwrap().graph(Meaning::Definition).unwrap();
        let x = reference::Array::new(shape.clone(), inputs.clone()).unwrap();
        let outputs = reference::evaluate(&graph, &[x]).unwrap().remove(0).data().to_vec();
        let config = library.serialize(&activation).unwrap();
        activations.push(json!({"activation": activation.to_string(), "config": config, "outputs": outputs}));
    }
    let written = json!({"shape": shape, "inputs": inputs, "activations": activations});
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/keras/spellings.json");
    if std::env::var_os("FUSELET_UPDATE_SPELLINGS").is_some() {
        std::fs::write(path, format!("{written:#}\n")).unwrap();
    }
    let known: Json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (written, known) in activations.iter().zip(known["activations"].as_array().unwrap()) {
        assert_eq!((&written["activation"], &written["config"]), (&known["activation"], &known["config"]));
    }
    assert_eq!(known["activations"].as_array().unwrap().len(), activations.len());
}

#[test]
fn parameters_are_written_as_keras_3_spells_them() {
    let library = Library::standard();
    let layer = |class: &str, config: Json| json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null});
    let operation = |class: &str, config: Json| json!({"module": "keras.src.ops.nn", "class_name": class, "config": config, "registered_name": class});
    for (activation, expected) in [
        ("gelu", json!("gelu")),
        ("leaky_relu(negative_slope = 0.2)", json!("leaky_relu")),
        ("leaky_relu", layer("LeakyReLU", json!({"negative_slope": 0.01}))),
        ("leaky_relu(negative_slope = -0.5)", operation("LeakyRelu", json!({"negative_slope": -0.5}))),
        ("relu(max_value = 6)", layer("ReLU", json!({"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}))),
        ("elu(alpha = 0.5)", layer("ELU", json!({"alpha": 0.5}))),
        ("softmax(axis = [1, 2])", layer("Softmax", json!({"axis": [1, 2]}))),
        ("softmax(axis = [1])", layer("Softmax", json!({"axis": 1}))),
        ("softmax(axis = none)", layer("Softmax", json!({"axis": null}))),
        ("log_softmax(axis = [1])", operation("LogSoftmax", json!({"axis": 1}))),
        ("gelu(approximate = true)", operation("Gelu", json!({"approximate": true}))),
        ("hard_shrink(lambd = 0.25)", operation("HardShrink", json!({"threshold": 0.25}))),
        ("threshold", operation("Threshold", json!({"threshold": 0.0, "default_value": 0.0}))),
        ("threshold(value = 2)", operation("Threshold", json!({"threshold": 2.0, "default_value": 2.0}))),
        (
            "threshold(threshold = 1, default_value = 2)",
            operation("Threshold", json!({"threshold": 1.0, "default_value": 2.0})),
        ),
        (
            "layer_norm",
            layer("LayerNormalization", json!({"axis": -1, "epsilon": 1e-5, "center": false, "scale": false})),
        ),
    ] {
        let activation = library.parse_activation(activation).unwrap();
        assert_eq!(library.serialize(&activation).unwrap(), expected, "{activation}");
    }
    for (activation, reason) in [
        ("relu(negative_slope = -1)", "its layer allows no negative number"),
        ("relu(threshold = -0.5)", "its layer allows no negative number"),
        ("log_softmax(axis = [0, 1])", "it takes one axis only"),
        ("softmax(axis = [])", "it takes at least one axis"),
        ("layer_norm(axis = none)", "it cannot be told of all axes"),
    ] {
        let error = library.serialize(&library.parse_activation(activation).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("Keras 3 has no spelling for `{activation}`: {reason}")), "{error}");
    }
}

#[test]
fn leaky_relu_by_name_has_keras_slope_however_it_is_written_and_the_language_keeps_its_own() {
    let library = Library::standard();
    for config in [
        r#""leaky_relu""#,
        r#""keras.activations.leaky_relu""#,
        r#""tf.nn.leaky_relu""#,
        r#"{"class_name": "leaky_relu"}"#,
        r#"{"class_name": "leaky_relu", "config": {}}"#,
        r#"{"class_name": "leaky_relu", "config": null}"#,
        r#"{"class_name": "function", "config": "leaky_relu"}"#,
        r#"{"module": "keras.activations", "class_name": "function", "config": "leaky_relu", "registered_name": "leaky_relu"}"#,
        r#"{"class_name": "Activation", "config": {"activation": "leaky_relu"}}"#,
        r#"{"module": "keras.src.ops.nn", "class_name": "LeakyRelu", "config": {"name": "leaky_relu"}}"#,
    ] {
        assert_eq!(read(&library, config).unwrap().to_string(), "leaky_relu(negative_slope = 0.2)", "{config}");
    }
    assert_eq!(library.get("leaky_relu").unwrap().to_string(), "leaky_relu(negative_slope = 0.2)");
    // The layer's default is another, in Keras 2 and in Keras 3.
    for config in [r#""LeakyReLU""#, r#"{"class_name": "LeakyReLU"}"#, r#""keras.layers.LeakyReLU""#] {
        assert_eq!(read(&library, config).unwrap().to_string(), "leaky_relu(negative_slope = 0.3)", "{config}");
    }
    for (config, slope) in [
        (r#"{"class_name": "leaky_relu", "config": {"negative_slope": 0.01}}"#, 0.01),
        (r#"{"class_name": "leaky_relu", "config": {"alpha": 0.4}}"#, 0.4),
    ] {
        assert_eq!(read(&library, config).unwrap().value("negative_slope"), Some(Value::Number(slope)), "{config}");
    }
    assert_eq!(library.activation("leaky_relu").unwrap().value("negative_slope"), Some(Value::Number(0.01)));
    assert_eq!(library.parse_activation("leaky_relu").unwrap().value("negative_slope"), Some(Value::Number(0.01)));
    // One's own function of that name is what it is.
    library.define("fn leaky_relu(x, negative_slope = 0.5) = if x > 0 then x else negative_slope * x").unwrap();
    assert_eq!(library.get("leaky_relu").unwrap().value("negative_slope"), Some(Value::Number(0.5)));
}

#[test]
fn hard_sigmoid_is_what_the_keras_that_wrote_it_computed() {
    let library = Library::standard();
    let reader = Reader::new(&library);
    let value = |version: Version, x: f64| {
        let activation = reader.version(version).activation("hard_sigmoid").unwrap();
        let graph = activation.into_program(&library).unwrap().graph(Meaning::Form).unwrap();
        let x = reference::Array::new(vec![1], vec![x]).unwrap();
        reference::evaluate(&graph, &[x]).unwrap()[0].data()[0]
    };
    for (x, two, three) in [(1.0, 0.7, 2.0 / 3.0), (-2.75, 0.0, 1.0 / 24.0), (2.5, 1.0, 11.0 / 12.0), (9.0, 1.0, 1.0)] {
        assert!((value(Version::Two, x) - two).abs() < 1e-15, "{x}");
        assert!((value(Version::Three, x) - three).abs() < 1e-15, "{x}");
    }
    let former = reader.version(Version::Two).activation("hard_sigmoid").unwrap();
    // It travels with its definition.
    assert_eq!(serde_json::from_str::<Activation>(&serde_json::to_string(&former).unwrap()).unwrap(), former);
    assert_eq!(reader.version(Version::Two).activation("relu").unwrap(), library.activation("relu").unwrap());
    for (model, expected) in [
        (
            json!({"class_name": "Sequential", "config": {"layers": []}, "keras_version": "2.4.0-tf", "backend": "tensorflow"}),
            Version::Two,
        ),
        (json!({"class_name": "Sequential", "config": [], "keras_version": "1.2.2"}), Version::Two),
        (json!({"class_name": "Sequential", "config": {"layers": []}, "keras_version": "3.0.5"}), Version::Three),
        (json!({"class_name": "Sequential", "config": {"layers": []}, "keras_version": "10.1"}), Version::Three),
        (json!({"class_name": "Sequential", "config": []}), Version::Two),
        (
            json!({"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"batch_input_shape": [null, 3]}}]}}),
            Version::Two,
        ),
        (json!({"module": "keras", "class_name": "Sequential", "config": {"layers": []}}), Version::Three),
        (json!({"class_name": "Sequential"}), Version::Three),
        (json!(null), Version::Three),
    ] {
        assert_eq!(Version::of(&model), expected, "{model}");
    }
}

#[test]
fn marks_and_leftovers_of_every_keras_are_understood_or_skipped() {
    let library = Library::standard();
    for (config, expected) in [
        (
            r#"{"class_name": "LeakyReLU", "config": {"name": "l", "trainable": true, "dtype": "float32", "alpha": {"class_name": "__numpy__", "config": {"value": 0.25, "dtype": "float32"}}}}"#,
            "leaky_relu(negative_slope = 0.25)",
        ),
        (
            r#"{"class_name": "LeakyReLU", "config": {"alpha": {"class_name": "__numpy__", "config": {"value": [0.25], "dtype": "float32"}}}}"#,
            "leaky_relu(negative_slope = 0.25)",
        ),
        (
            r#"{"class_name": "LeakyReLU", "config": {"alpha": {"class_name": "__tensor__", "config": {"value": 0.25, "dtype": "float32"}}}}"#,
            "leaky_relu(negative_slope = 0.25)",
        ),
        (
            r#"{"class_name": "LeakyReLU", "config": {"alpha": {"type": "ndarray", "value": 0.25}}}"#,
            "leaky_relu(negative_slope = 0.25)",
        ),
        (
            r#"{"class_name": "Softmax", "config": {"axis": {"class_name": "__tuple__", "items": [1, 2]}}}"#,
            "softmax(axis = [1, 2])",
        ),
        (
            r#"{"class_name": "ReLU", "config": {"name": "r", "max_value": 6, "negative_slope": [0.0], "threshold": 0, "batch_input_shape": [null, 3], "activity_regularizer": null}, "name": "r", "inbound_nodes": [[["dense", 0, 0, {}]]], "build_config": {"input_shape": [null, 3]}, "compile_config": {}, "shared_object_id": 7}"#,
            "relu(max_value = 6)",
        ),
        (
            r#"{"class_name": "ELU", "config": {"alpha": 1.0, "batch_shape": [null, 3], "dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}}}, "keras_version": "2.9.0", "backend": "tensorflow"}"#,
            "elu",
        ),
        (r#"{"class_name": "relu", "config": {"alpha": 0.5, "name": "relu"}}"#, "relu(negative_slope = 0.5)"),
        (
            r#"{"class_name": "ThresholdedReLU", "config": {"theta": 0.5}}"#,
            "threshold(threshold = 0.5, default_value = 0)",
        ),
        (r#"{"class_name": "ThresholdedReLU", "config": {}}"#, "threshold(threshold = 1, default_value = 0)"),
        (
            r#"{"class_name": "Activation", "config": {"name": "a", "activation": {"class_name": "Activation", "config": {"activation": "swish"}}, "activity_regularizer": null}, "inbound_nodes": []}"#,
            "silu",
        ),
        (
            r#"{"module": "keras.src.ops.nn", "class_name": "Gelu", "config": {"name": "gelu"}, "registered_name": "Gelu"}"#,
            "gelu(approximate = true)",
        ),
        (
            r#"{"module": "keras.src.ops.nn", "class_name": "Celu", "config": {"name": "celu", "alpha": 0.5}, "registered_name": "Celu"}"#,
            "celu(alpha = 0.5)",
        ),
        (
            r#"{"module": "keras.src.ops.numpy", "class_name": "Tanh", "config": {"name": "tanh"}, "registered_name": "Tanh"}"#,
            "tanh",
        ),
        (r#""ReLU""#, "relu"),
        (r#"{"class_name": "function", "config": "ELU"}"#, "elu"),
    ] {
        let found = read(&library, config).map(|activation| activation.to_string());
        assert_eq!(found.as_deref(), Ok(expected), "{config}");
    }
}

/// A layer of a config over inputs `x`, `y`, …, with operands by their names.
fn layer_text(config: Json, inputs: &[&str]) -> Result<String, ConfigError> {
    let library = Library::standard();
    let layer = Reader::new(&library).layer(&config)?;
    let inputs: Vec<Expr> = inputs.iter().map(Expr::input).collect();
    layer.apply(&inputs, |name| Expr::input(name)).map(|expr| expr.to_string())
}

#[test]
fn layers_are_expressions_over_their_inputs_and_weights() {
    for (class, config, expected) in [
        ("PReLU", json!({}), "select(x > 0, x, alpha * x)"),
        (
            "BatchNormalization",
            json!({"axis": [3], "momentum": 0.9, "epsilon": 0.01, "beta_initializer": "zeros", "moving_mean_initializer": {}}),
            "(x - moving_mean) * factor + beta",
        ),
        ("BatchNormalization", json!({"center": false, "scale": false}), "(x - moving_mean) * factor"),
        (
            "LayerNormalization",
            json!({"axis": [-1], "epsilon": 0.001}),
            "layer_norm(x, axis = [-1], epsilon = 0.001) * gamma + beta",
        ),
        (
            "LayerNormalization",
            json!({"axis": 1, "center": false, "gamma_constraint": null}),
            "layer_norm(x, axis = [1], epsilon = 0.001) * gamma",
        ),
        ("LayerNormalization", json!({"center": false, "scale": false}), "layer_norm(x, axis = [-1], epsilon = 0.001)"),
        ("RMSNormalization", json!({"axis": -1}), "rms_norm(x, axis = [-1], epsilon = 1e-6) * scale"),
        ("UnitNormalization", json!({"axis": -1}), "x / maximum(sqrt(sum(x * x, -1)), 1e-12)"),
        ("Rescaling", json!({"scale": 0.5}), "x * 0.5 + 0"),
        ("Rescaling", json!({"scale": [0.5, 2], "offset": -1}), "x * scale + -1"),
        ("Normalization", json!({"axis": [-1], "mean": 1.0, "variance": 2.0, "invert": false}), "(x - mean) * factor"),
        ("Dropout", json!({"rate": 0.5, "whatever": 1}), "x"),
        ("GaussianNoise", json!({"stddev": 0.5}), "x"),
        ("SpatialDropout2D", json!({}), "x"),
        ("Softmax", json!({"axis": 1}), "softmax(x, axis = 1)"),
        ("Activation", json!({"activation": "leaky_relu"}), "leaky_relu(x, negative_slope = 0.2)"),
    ] {
        let found = layer_text(json!({"class_name": class, "config": config}), &["x"]);
        assert_eq!(found.as_deref(), Ok(expected), "{class} {config}");
    }
    for (class, expected) in [
        ("Add", "x + y + z"),
        ("Multiply", "x * y * z"),
        ("Average", "(x + y + z) / 3"),
        ("Maximum", "maximum(maximum(x, y), z)"),
        ("Minimum", "minimum(minimum(x, y), z)"),
    ] {
        assert_eq!(layer_text(json!({"class_name": class}), &["x", "y", "z"]).as_deref(), Ok(expected));
    }
    assert_eq!(layer_text(json!({"class_name": "Subtract"}), &["x", "y"]).as_deref(), Ok("x - y"));
}

#[test]
fn layers_know_their_weights_for_every_shape() {
    let library = Library::standard();
    let layer = |config: Json| Reader::new(&library).layer(&config).unwrap();
    let weights = |layer: &Layer, shape: &[usize]| {
        let weights = layer.weights(shape)?;
        Ok::<_, ConfigError>(weights.into_iter().map(|weight| (weight.name, weight.shape)).collect::<Vec<_>>())
    };
    let operands = |layer: &Layer, shape: &[usize]| {
        let operands = layer.operands(shape).unwrap().into_iter();
        operands.map(|operand| (operand.name, operand.expression.to_string(), operand.shape)).collect::<Vec<_>>()
    };
    let batch = layer(json!({"class_name": "BatchNormalization", "config": {"axis": 1, "epsilon": 0.5}}));
    let names = ["moving_mean", "moving_variance", "gamma", "beta"];
    assert_eq!(weights(&batch, &[3, 5]).unwrap(), names.map(|name| (name, vec![3])));
    assert_eq!(
        operands(&batch, &[3, 5]),
        [
            ("moving_mean", "moving_mean".to_owned(), vec![3, 1]),
            ("beta", "beta".to_owned(), vec![3, 1]),
            ("factor", "gamma / sqrt(moving_variance + 0.5)".to_owned(), vec![3, 1]),
        ]
    );
    let rows = layer(json!({"class_name": "LayerNormalization", "config": {"axis": [1, -1]}}));
    assert_eq!(weights(&rows, &[3, 4, 5]).unwrap(), ["gamma", "beta"].map(|name| (name, vec![3, 5])));
    assert_eq!(operands(&rows, &[3, 4, 5])[0].2, [3, 1, 5]);
    let slopes = layer(json!({"class_name": "PReLU", "config": {"shared_axes": [1, 3]}}));
    assert_eq!(weights(&slopes, &[3, 4, 5]).unwrap(), [("alpha", vec![1, 4, 1])]);
    let known = layer(
        json!({"class_name": "Normalization", "config": {"mean": [[1, {"class_name": "__numpy__", "config": {"value": 2.0}}]], "variance": 4}}),
    );
    let values: Vec<_> = known.weights(&[2]).unwrap().into_iter().map(|weight| weight.values.unwrap()).collect();
    assert_eq!(values, [[1.0, 2.0], [4.0, 4.0]]);
    assert!(known.weights(&[3]).unwrap_err().to_string().contains("2 numbers in `mean`"));
    for (layer, shape, part) in [
        (&batch, &[][..], "axis 1"),
        (&rows, &[4], "once and in order"),
        (&layer(json!({"class_name": "BatchNormalization", "config": {"axis": 0}})), &[4], "axis 0"),
        (&layer(json!({"class_name": "BatchNormalization", "config": {"axis": i64::MIN}})), &[4], "axis -9"),
        (&layer(json!({"class_name": "LayerNormalization", "config": {"axis": [2, 1]}})), &[3, 4], "in order"),
    ] {
        let error = weights(layer, shape).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn layers_that_cannot_be_read_are_named() {
    for (config, inputs, part) in [
        (
            json!({"class_name": "Conv2D", "config": {"name": "c"}}),
            1,
            "the layer `c` is a Conv2D, which is not supported",
        ),
        (json!({"class_name": "BatchNormalisation"}), 1, "did you mean `BatchNormalization`?"),
        (json!({"class_name": "BatchNormalization", "config": {"epsilo": 1}}), 1, "`epsilo`; did you mean `epsilon`?"),
        (json!({"class_name": "BatchNormalization", "config": {"epsilon": "1"}}), 1, "must be a number, but is \"1\""),
        (
            json!({"class_name": "BatchNormalization", "config": {"axis": [1, "2"]}}),
            1,
            "but is a list that holds \"2\" at place 1",
        ),
        (json!({"class_name": "BatchNormalization", "config": {"axis": null}}), 1, "it needs axes"),
        (
            json!({"class_name": "LayerNormalization", "config": {"center": 1}}),
            1,
            "`center` of `LayerNormalization` must be true or false, but is 1",
        ),
        (json!({"class_name": "LayerNormalization", "config": {"rms_scaling": true}}), 1, "RMSNormalization"),
        (json!({"class_name": "LayerNormalization", "config": {"epsilon": -1}}), 1, "epsilon must not be negative"),
        (json!({"class_name": "Normalization", "config": {"mean": [1, [null]]}}), 1, "something that holds null"),
        (json!({"class_name": "Rescaling", "config": {}}), 1, "`scale` is missing"),
        (
            json!({"class_name": "Add", "config": {"name": "a"}}),
            1,
            "the layer `a` (Add) needs two inputs or more, but has 1",
        ),
        (json!({"class_name": "Subtract", "config": {"name": "s"}}), 3, "needs two inputs, but has 3"),
        (json!({"class_name": "ReLU", "config": {"name": "r"}}), 2, "needs one input, but has 2"),
        (json!({"config": {}}), 1, "a layer without a `class_name`"),
        (json!(["ReLU"]), 1, "a layer without a `class_name`"),
        (json!({"class_name": "Add", "surprise": 1}), 2, "an unknown key `surprise`"),
    ] {
        let error = layer_text(config.clone(), &["x", "y", "z"][..inputs]).unwrap_err().to_string();
        assert!(error.contains(part), "{config}: {error}");
    }
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
            "`max_value` of `relu` must be a number or null, but is \"6\"",
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
            "`PReLU` cannot be used: its slopes are learned weights; read it as a layer, or write `if x > 0 then x else alpha * x` with the weights as an input",
        ),
        (
            r#"{"class_name": "softmax", "config": {"axis": [1, "a"]}}"#,
            "`axis` of `softmax` must be an axis, a list of axes, or null for all, but is a list that holds \"a\" at place 1",
        ),
        (
            r#"{"class_name": "softmax", "config": {"axis": [1, [2]]}}"#,
            "`axis` of `softmax` must be an axis, a list of axes, or null for all, but is a list that holds a list of 1 at place 1",
        ),
        (
            r#"{"class_name": "relu", "config": {"max_value": [1, 2]}}"#,
            "`max_value` of `relu` must be a number or null, but is a list of 2",
        ),
        (
            r#"{"class_name": "ReLU", "config": {"max_valu": 6}}"#,
            "the config of `ReLU` has an unknown key `max_valu`; did you mean `max_value`?",
        ),
        (r#"{"class_name": "ReLu"}"#, "unknown activation `ReLu`; did you mean `ReLU`?"),
        (
            r#"{"class_name": "BatchNormalization"}"#,
            "`BatchNormalization` cannot be used: it has weights; read it as a layer",
        ),
        (
            r#"{"class_name": "LayerNormalization", "config": {"axis": -1}}"#,
            "`LayerNormalization` cannot be used: only without `center`, `scale` and `rms_scaling` is it an activation; otherwise it is a layer with weights",
        ),
        (
            r#"{"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}"#,
            "`__lambda__` cannot be used: it is a Python function, whose code only Python runs; give it as a custom object",
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
