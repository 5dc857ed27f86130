//! The example's model runtime: on a real Keras model, on small ones with every supported layer (against a plain float64
//! evaluation written here), and on everything that can be wrong with a model's files.

#[allow(dead_code)]
#[path = "../examples/keras_mlp/main.rs"]
mod keras_mlp;

use fuselet::{BackendChoice, Engine, Fusion};
use keras_mlp::kernel::Workspace;
use keras_mlp::model::Model;
use keras_mlp::runtime::{Runtime, Times};
use keras_mlp::stages;
use keras_mlp::weights::Weights;
use keras_mlp::{Error, Options};
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use serde_json::{Value, json};
use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// For results of size 1 after at most three products of at most 48 terms of size 1: float32 rounds each of some 150
/// operations by at most 6e-8, and no layer here amplifies.
const FLOAT32_ROUNDING: f64 = 1e-5;

/// What Keras' own outputs may differ by, as the data's makers measured it for a correct runtime.
const DIGITS_DIFFERENCE: f32 = 2e-6;

// ------------------------------------------------------------------------------------------------ files for a model

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("keras_mlp_{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn config(&self, layers: Value) -> &Directory {
        let layers = json!({"module": "keras", "class_name": "Sequential", "registered_name": null,
            "config": {"name": "sequential", "trainable": true, "layers": layers}});
        self.config_text(&layers.to_string())
    }

    fn config_text(&self, text: &str) -> &Directory {
        fs::write(self.0.join("config.json"), text).unwrap();
        self
    }

    fn weights(&self, arrays: &[(&str, &Tensor)]) -> &Directory {
        let mut writer = NpzWriter::create(self.0.join("weights.npz")).unwrap();
        for (name, tensor) in arrays {
            let array = writer.array::<f32>(name, Default::default()).unwrap();
            let mut array = array.default_dtype().shape(&tensor.lengths()).begin_nd().unwrap();
            array.extend(tensor.values.iter().map(|value| *value as f32)).unwrap();
            array.finish().unwrap();
        }
        self
    }

    fn array(&self, name: &str, tensor: &Tensor) -> &Directory {
        let file = BufWriter::new(fs::File::create(self.0.join(name)).unwrap());
        let options = npyz::WriteOptions::<f32>::new().default_dtype().shape(&tensor.lengths()).writer(file);
        let mut array = options.begin_nd().unwrap();
        array.extend(tensor.values.iter().map(|value| *value as f32)).unwrap();
        array.finish().unwrap();
        self
    }

    fn options(&self) -> Options {
        Options { directory: self.0.clone(), batch: None, backend: None, threads: 1 }
    }

    fn load(&self, input_shape: &[usize]) -> Result<Runtime, Error> {
        let engine = Engine::new().unwrap();
        let model = Model::read(&self.0.join("config.json"), engine.library())?;
        let mut weights = Weights::open(&self.0.join("weights.npz"))?;
        stages::build(&model, &mut weights, &engine, &[input_shape.to_vec()])
    }

    /// The message of the whole program, which must fail.
    fn error(&self) -> String {
        match keras_mlp::run(&self.options()) {
            Ok(report) => panic!("an error was expected, but the model ran:\n{report}"),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn layer(class: &str, name: &str, config: Value) -> Value {
    let mut config = config;
    config["name"] = name.into();
    config["trainable"] = true.into();
    config["dtype"] = json!({"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"},
        "registered_name": null});
    json!({"module": "keras.layers", "class_name": class, "config": config, "registered_name": null,
        "build_config": {"input_shape": [null, 1]}})
}

fn input(shape: Value) -> Value {
    json!({"module": "keras.layers", "class_name": "InputLayer", "registered_name": null,
        "config": {"batch_shape": shape, "dtype": "float32", "sparse": false, "name": "input_layer"}})
}

fn assert_contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

// ------------------------------------------------------------------------------- the same in float64, written plainly

#[derive(Clone, Debug)]
struct Tensor {
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Tensor {
    fn new(shape: &[usize], values: Vec<f64>) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), values.len());
        Tensor { shape: shape.to_vec(), values }
    }

    /// Float32 values between -1 and 1, other ones for each seed.
    fn random(shape: &[usize], seed: u64) -> Tensor {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) as f64
        };
        Tensor::new(shape, (0..shape.iter().product()).map(|_| next()).collect())
    }

    fn lengths(&self) -> Vec<u64> {
        self.shape.iter().map(|length| *length as u64).collect()
    }

    fn dense(&self, kernel: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let (inputs, units) = (kernel.shape[0], kernel.shape[1]);
        let mut values = Vec::new();
        for row in self.values.chunks(inputs) {
            for unit in 0..units {
                let sum: f64 = (0..inputs).map(|place| row[place] * kernel.values[place * units + unit]).sum();
                values.push(sum + bias.map_or(0.0, |bias| bias.values[unit]));
            }
        }
        let rank = self.shape.len();
        Tensor::new(&[&self.shape[..rank - 1], &[units]].concat(), values)
    }

    fn map(&self, function: impl Fn(f64) -> f64) -> Tensor {
        Tensor::new(&self.shape, self.values.iter().map(|value| function(*value)).collect())
    }

    /// Over some axes together.
    fn softmax(&self, axes: &[usize]) -> Tensor {
        let group = |flat: usize| {
            let (mut rest, mut group) = (flat, Vec::new());
            for axis in (0..self.shape.len()).rev() {
                if !axes.contains(&axis) {
                    group.push(rest % self.shape[axis]);
                }
                rest /= self.shape[axis];
            }
            group
        };
        let mut sums = std::collections::BTreeMap::<Vec<usize>, f64>::new();
        for (flat, value) in self.values.iter().enumerate() {
            *sums.entry(group(flat)).or_default() += value.exp();
        }
        let values = self.values.iter().enumerate().map(|(flat, value)| value.exp() / sums[&group(flat)]).collect();
        Tensor::new(&self.shape, values)
    }

    fn flatten(&self) -> Tensor {
        Tensor::new(&[self.shape[0], self.shape[1..].iter().product()], self.values.clone())
    }
}

fn relu(x: f64, slope: f64, most: f64, threshold: f64) -> f64 {
    if x > threshold { x.clamp(0.0, most) } else { slope * (x - threshold) }
}

fn leaky_relu(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

fn elu(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * x.exp_m1() }
}

fn gelu(x: f64) -> f64 {
    x * 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Runs fused and unfused, compares the two by bits, and the result with float64.
fn assert_computes(runtime: &Runtime, inputs: &Tensor, expected: &Tensor) {
    let values: Vec<f32> = inputs.values.iter().map(|value| *value as f32).collect();
    let run = |fusion| {
        let mut workspace = Workspace::default();
        let mut times = Times::default();
        let batch = inputs.shape[0];
        runtime.run(&[&values], batch, fusion, &mut workspace, &mut times).unwrap();
        runtime.output(0, &[&values], batch, &workspace).to_vec()
    };
    let (fused, unfused) = (run(Fusion::Full), run(Fusion::Off));
    assert_eq!([&inputs.shape[..1], runtime.output_shapes().next().unwrap()].concat(), expected.shape);
    assert_eq!(fused.len(), expected.values.len());
    for (place, (fused, expected)) in fused.iter().zip(&expected.values).enumerate() {
        let difference = (f64::from(*fused) - expected).abs();
        assert!(difference <= FLOAT32_ROUNDING, "{fused} at {place} must be {expected}");
    }
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&fused), bits(&unfused), "fusing changes bits");
}

/// Each stage's kernel, and whether it is one kernel in place.
fn kernels(runtime: &Runtime) -> Vec<Option<(String, bool)>> {
    let describe = |stage: &keras_mlp::runtime::Stage| {
        let execution = stage.execution(4, Fusion::Full).unwrap()?;
        let text = stage.kernel.as_ref()?.expression.to_string();
        Some((text, execution.kernels == 1 && execution.in_place))
    };
    runtime.stages().iter().map(describe).collect()
}

fn single(text: &str) -> Option<(String, bool)> {
    Some((text.to_owned(), true))
}

// ----------------------------------------------------------------------------------------------------- a real model

#[test]
fn digits_are_recognized_as_keras_does_on_every_backend() {
    for backend in [None, Some(BackendChoice::Interpreter), Some(BackendChoice::Cranelift)] {
        let mut options = Options::parse([]).unwrap();
        options.backend = backend;
        let report = keras_mlp::run(&options).unwrap();
        assert_eq!(report.accuracy, Some((292, 297)));
        let difference = report.largest_difference.unwrap();
        assert!(difference < DIGITS_DIFFERENCE, "{difference} from Keras' outputs ({})", report.title);
        assert_eq!(report.stages.len(), 3);
        for stage in &report.stages {
            let (text, fused, unfused) = stage.kernel.as_ref().unwrap();
            assert_eq!((fused.kernels, fused.in_place), (1, true), "{text}");
            assert!(unfused.kernels > 1, "{text}");
        }
        assert_contains(&report.to_string(), &["0.9832 (292 of 297)", "3 of 3 stages finish in one fused kernel"]);
    }
}

// ---------------------------------------------------------------------------------------------- models of every Keras

/// Float32 rounds each of some hundred operations on values of size 1 by at most 6e-8; norms amplify it a few times.
const KERAS_DIFFERENCE: f32 = 1e-5;

/// A model that Keras made, on a backend.
fn keras_model(name: &str, backend: Option<BackendChoice>) -> keras_mlp::report::Report {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras").join(name);
    keras_mlp::run(&Options { directory, batch: Some(3), backend, threads: 1 }).unwrap()
}

#[test]
fn models_of_keras_2_and_3_of_every_form_give_what_keras_gives() {
    for name in ["residual", "two_inputs", "axes", "keras_2_functional", "keras_2_list"] {
        for backend in [None, Some(BackendChoice::Interpreter)] {
            let report = keras_model(name, backend);
            let difference = report.largest_difference.unwrap();
            assert!(difference < KERAS_DIFFERENCE, "{name}: {difference} from Keras' outputs");
            assert!(report.unused_weights.is_empty(), "{name}: {:?}", report.unused_weights);
        }
    }
}

#[test]
fn what_follows_a_product_is_one_kernel_skipped_connections_and_norms_included() {
    let report = keras_model("residual", None);
    let texts: Vec<&str> = report.stages.iter().filter_map(|stage| Some(stage.kernel.as_ref()?.0.as_str())).collect();
    // The product of one branch is read by the kernel of the other.
    let sum = "layer_norm((leaky_relu(wide + wide_bias, negative_slope = 0.2) - batch_norm_moving_mean) * batch_norm_factor + \
        batch_norm_beta + linear(skip), axis = [-1], epsilon = 0.001) * layer_norm_gamma + layer_norm_beta";
    assert!(texts.contains(&sum), "{texts:#?}");
    for stage in &report.stages {
        if let Some((text, fused, unfused)) = &stage.kernel {
            assert_eq!((fused.kernels, fused.in_place), (1, true), "{text}");
            assert!(unfused.kernels > 1, "{text}");
        }
    }
    assert_eq!(report.stages.len(), 5, "{report}");
}

// ------------------------------------------------------------------------------------------------ every kind of layer

#[test]
fn every_supported_layer_agrees_with_float64_at_rank_3() {
    let directory = Directory::new("every_layer");
    let relu_config = json!({"class_name": "relu", "config": {"max_value": 1.5, "negative_slope": 0.1}});
    let elu_layer = json!({"module": "keras.layers", "class_name": "ELU", "config": {"name": "elu_1", "alpha": 0.75},
        "registered_name": null});
    directory.config(json!([
        input(json!([null, 4, 6])),
        layer("Dense", "dense", json!({"units": 12, "activation": relu_config, "use_bias": true})),
        layer("Dropout", "dropout", json!({"rate": 0.5, "seed": null, "noise_shape": null})),
        layer("LeakyReLU", "leaky", json!({"negative_slope": 0.2})),
        layer("ELU", "elu", json!({"alpha": 0.5})),
        layer("Dense", "dense_1", json!({"units": 5, "activation": "linear", "use_bias": false})),
        layer("ReLU", "re_lu", json!({"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.25})),
        layer("Softmax", "softmax", json!({"axis": 1})),
        layer("Flatten", "flatten", json!({"data_format": "channels_last"})),
        layer("Activation", "activation", json!({"activation": "gelu"})),
        layer("Dense", "dense_2", json!({"units": 3, "activation": elu_layer, "use_bias": true})),
        layer("Activation", "activation_1", json!({"activation": "sigmoid"})),
        layer("Softmax", "softmax_1", json!({"axis": -1})),
    ]));
    let (k0, b0) = (Tensor::random(&[6, 12], 1), Tensor::random(&[12], 2));
    let k1 = Tensor::random(&[12, 5], 3);
    let (k2, b2) = (Tensor::random(&[20, 3], 4), Tensor::random(&[3], 5));
    directory.weights(&[
        ("layer0_kernel", &k0),
        ("layer0_bias", &b0),
        ("layer1_kernel", &k1),
        ("layer2_kernel", &k2),
        ("layer2_bias", &b2),
    ]);
    let runtime = directory.load(&[4, 6]).unwrap();
    for batch in [0, 1, 2, 17] {
        let inputs = Tensor::random(&[batch, 4, 6], 6);
        let first = inputs.dense(&k0, Some(&b0)).map(|x| relu(x, 0.1, 1.5, 0.0));
        let first = first.map(|x| elu(leaky_relu(x, 0.2), 0.5));
        let second = first.dense(&k1, None).map(|x| relu(x, 0.1, 2.0, 0.25)).softmax(&[1]);
        let third = second.flatten().map(gelu);
        let expected = third.dense(&k2, Some(&b2)).map(|x| sigmoid(elu(x, 0.75))).softmax(&[1]);
        assert_computes(&runtime, &inputs, &expected);
    }
    let expected = [
        "elu(leaky_relu(relu(dense + dense_bias, negative_slope = 0.1, max_value = 1.5), negative_slope = 0.2), alpha = 0.5)",
        "softmax(relu(linear(dense_1), negative_slope = 0.1, max_value = 2, threshold = 0.25), axis = 1)",
        "gelu(softmax)",
        "softmax(sigmoid(elu(dense_2 + dense_2_bias, alpha = 0.75)))",
    ];
    assert_eq!(kernels(&runtime), expected.map(single));
}

#[test]
fn layers_before_any_product_leave_the_inputs_as_they_are() {
    let directory = Directory::new("no_product");
    directory.config(json!([
        input(json!([null, 3, 5])),
        layer("ReLU", "re_lu", json!({"max_value": 0.5, "negative_slope": 0.0, "threshold": 0.0})),
        layer("GaussianNoise", "noise", json!({"stddev": 1.0, "seed": null})),
        layer("Softmax", "softmax", json!({"axis": [1, 2]})),
    ]));
    directory.weights(&[]);
    let runtime = directory.load(&[3, 5]).unwrap();
    let inputs = Tensor::random(&[7, 3, 5], 11);
    assert_computes(&runtime, &inputs, &inputs.map(|x| relu(x, 0.0, 0.5, 0.0)).softmax(&[1, 2]));
    let text = "softmax(relu(input_layer, max_value = 0.5), axis = [1, 2])";
    assert_eq!(kernels(&runtime), [Some((text.to_owned(), false))]);
}

#[test]
fn softmax_over_different_axes_takes_more_kernels_but_stays_right() {
    let directory = Directory::new("two_axes");
    directory.config(json!([
        input(json!([null, 4, 6])),
        layer("Dense", "dense", json!({"units": 3, "activation": "tanh"})),
        layer("Softmax", "over_rows", json!({"axis": 1})),
        layer("Softmax", "over_units", json!({"axis": -1})),
        layer("Softmax", "over_the_batch", json!({"axis": 0})),
    ]));
    let (kernel, bias) = (Tensor::random(&[6, 3], 21), Tensor::random(&[3], 22));
    directory.weights(&[("layer0_kernel", &kernel), ("layer0_bias", &bias)]);
    let runtime = directory.load(&[4, 6]).unwrap();
    let inputs = Tensor::random(&[5, 4, 6], 23);
    let expected = inputs.dense(&kernel, Some(&bias)).map(f64::tanh).softmax(&[1]).softmax(&[2]).softmax(&[0]);
    assert_computes(&runtime, &inputs, &expected);
    assert_eq!(runtime.stages()[0].execution(5, Fusion::Full).unwrap().unwrap().kernels, 3);
}

#[test]
fn dense_without_bias_and_activation_runs_no_kernel() {
    let directory = Directory::new("bare");
    directory.config(json!([
        input(json!([null, 6])),
        layer("Dense", "bare", json!({"units": 4, "activation": null, "use_bias": false})),
        layer("Activation", "same", json!({"activation": "linear"})),
    ]));
    let kernel = Tensor::random(&[6, 4], 31);
    directory.weights(&[("layer0_kernel", &kernel)]);
    let runtime = directory.load(&[6]).unwrap();
    let inputs = Tensor::random(&[9, 6], 32);
    assert_computes(&runtime, &inputs, &inputs.dense(&kernel, None));
    assert_eq!(kernels(&runtime), [None]);
}

#[test]
fn glu_halves_the_units_into_another_buffer() {
    let directory = Directory::new("glu");
    directory.config(json!([
        input(json!([null, 6])),
        layer("Dense", "gated", json!({"units": 8, "activation": "glu"})),
        layer("Dense", "last", json!({"units": 2, "activation": "linear"})),
    ]));
    let (k0, b0) = (Tensor::random(&[6, 8], 41), Tensor::random(&[8], 42));
    let (k1, b1) = (Tensor::random(&[4, 2], 43), Tensor::random(&[2], 44));
    directory.weights(&[("layer0_kernel", &k0), ("layer0_bias", &b0), ("layer1_kernel", &k1), ("layer1_bias", &b1)]);
    let runtime = directory.load(&[6]).unwrap();
    let inputs = Tensor::random(&[3, 6], 45);
    let products = inputs.dense(&k0, Some(&b0));
    let rows = products.values.chunks(8);
    let gated = rows.flat_map(|row| (0..4).map(|place| row[place] * sigmoid(row[place + 4]))).collect();
    assert_computes(&runtime, &inputs, &Tensor::new(&[3, 4], gated).dense(&k1, Some(&b1)));
    let execution = runtime.stages()[0].execution(3, Fusion::Full).unwrap().unwrap();
    assert_eq!((execution.kernels, execution.in_place), (1, false));
}

#[test]
fn a_kernel_that_forgets_its_input_still_runs() {
    let directory = Directory::new("constant");
    directory.config(json!([
        input(json!([null, 6])),
        layer("Dense", "dense", json!({"units": 4, "activation": "relu"})),
        layer("ReLU", "zero", json!({"max_value": 0.0, "negative_slope": 0.0, "threshold": 0.0})),
    ]));
    let (kernel, bias) = (Tensor::random(&[6, 4], 51), Tensor::random(&[4], 52));
    directory.weights(&[("layer0_kernel", &kernel), ("layer0_bias", &bias)]);
    let inputs = Tensor::random(&[9, 6], 53);
    let runtime = directory.load(&[6]).unwrap();
    assert_computes(&runtime, &inputs, &Tensor::new(&[9, 4], vec![0.0; 36]));
}

#[test]
fn weights_may_be_named_by_layer_in_column_order_and_in_float64() {
    let directory = Directory::new("names");
    directory.config(json!([
        input(json!([null, 6])),
        layer("Dense", "my_dense", json!({"units": 4, "activation": "silu"})),
    ]));
    let (kernel, bias) = (Tensor::random(&[6, 4], 61), Tensor::random(&[4], 62));
    let mut writer = NpzWriter::create(directory.0.join("weights.npz")).unwrap();
    let array = writer.array::<f64>("my_dense/kernel", Default::default()).unwrap();
    let options = array.default_dtype().order(npyz::Order::Fortran).shape(&kernel.lengths());
    let mut array = options.begin_nd().unwrap();
    array
        .extend((0..4).flat_map(|unit| (0..6).map(move |place| (place, unit))).map(|(p, u)| kernel.values[p * 4 + u]))
        .unwrap();
    array.finish().unwrap();
    let mut array = writer
        .array::<f64>("my_dense/bias", Default::default())
        .unwrap()
        .default_dtype()
        .shape(&[4])
        .begin_nd()
        .unwrap();
    array.extend(bias.values.iter().copied()).unwrap();
    array.finish().unwrap();
    drop(writer);
    let runtime = directory.load(&[6]).unwrap();
    let inputs = Tensor::random(&[5, 6], 63);
    assert_computes(&runtime, &inputs, &inputs.dense(&kernel, Some(&bias)).map(|x| x * sigmoid(x)));
}

#[test]
fn open_lengths_come_from_the_inputs_and_unused_weights_are_told() {
    let directory = Directory::new("open");
    directory.config(json!([
        input(json!([null, null, 6])),
        layer("Dense", "dense", json!({"units": 4, "activation": "softmax", "use_bias": false})),
    ]));
    let kernel = Tensor::random(&[6, 4], 71);
    directory.weights(&[("layer0_kernel", &kernel), ("layer0_bias", &Tensor::random(&[4], 72))]);
    assert_contains(&directory.error(), &["(None, None, 6)", "inputs.npy"]);
    let inputs = Tensor::random(&[5, 3, 6], 73);
    let outputs = inputs.dense(&kernel, None).softmax(&[2]);
    directory.array("inputs.npy", &inputs).array("outputs.npy", &outputs);
    let report = keras_mlp::run(&directory.options()).unwrap();
    assert!(f64::from(report.largest_difference.unwrap()) < FLOAT32_ROUNDING);
    assert_eq!(report.accuracy, None);
    assert_eq!(report.unused_weights, ["layer0_bias"]);
    directory.array("inputs.npy", &Tensor::random(&[5, 3, 7], 74));
    assert_contains(&directory.error(), &["inputs.npy", "(None, None, 6)", "[5, 3, 7]"]);
    directory.array("inputs.npy", &inputs).array("outputs.npy", &Tensor::random(&[5, 4], 75));
    assert_contains(&directory.error(), &["outputs.npy", "[5, 3, 4]", "[5, 4]"]);
}

#[test]
fn a_difference_of_nan_is_not_overlooked() {
    let expected = keras_mlp::array::Array { shape: vec![3], values: vec![1.0, f32::INFINITY, f32::NAN] };
    let difference = |outputs: &[f32]| keras_mlp::report::largest_difference(outputs, &expected);
    assert_eq!(difference(&[1.5, f32::INFINITY, f32::NAN]), 0.5);
    assert!(difference(&[f32::NAN, f32::INFINITY, f32::NAN]).is_nan());
    assert!(difference(&[1.0, f32::INFINITY, 2.0]).is_nan());
}

// ------------------------------------------------------------------------------------------------- functional models

fn functional(layers: Value, inputs: Value, outputs: Value) -> String {
    let config = json!({"name": "model", "layers": layers, "input_layers": inputs, "output_layers": outputs});
    json!({"module": "keras.src.models.functional", "class_name": "Functional", "config": config}).to_string()
}

/// A layer of a functional model with its calls in Keras 2's spelling.
fn connected(class: &str, name: &str, config: Value, calls: Value) -> Value {
    let mut layer = layer(class, name, config);
    layer["name"] = name.into();
    layer["inbound_nodes"] = calls;
    layer
}

fn input_of(name: &str, shape: Value) -> Value {
    connected("InputLayer", name, json!({"batch_shape": shape}), json!([]))
}

#[test]
fn connections_are_read_in_every_spelling() {
    let tensor = |name: &str| json!({"class_name": "__keras_tensor__", "config": {"shape": [null, 3], "dtype": "float32", "keras_history": [name, 0, 0]}});
    let ends = |name: &str| {
        [json!([[name, 0, 0]]), json!([name, 0, 0]), json!({"key": [name, 0, 0]}), json!([{"a": [[name, 0, 0]]}])]
    };
    let inputs = Tensor::random(&[5, 3], 91);
    for (number, calls) in [
        json!([[["x", 0, 0, {}], ["r", 0, 0, {}]]]),
        json!([[["x", 0, 0], ["r", 0, 0, null]]]),
        json!([[[["x", 0, 0, {}], ["r", 0, 0, {"training": false, "mask": null}]]]]),
        json!([{"args": [[tensor("x"), tensor("r")]], "kwargs": {}}]),
        json!([{"args": [tensor("x"), tensor("r")], "kwargs": {"mask": null, "training": false}}]),
        json!([{"args": [], "kwargs": {"inputs": [tensor("x"), tensor("r")]}}]),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = Directory::new(&format!("spelling_{number}"));
        directory.weights(&[]);
        // Not in the order in which they are needed.
        let layers = json!([
            connected("Add", "sum", json!({}), calls),
            connected("ReLU", "r", json!({}), json!([[["x", 0, 0, {}]]])),
            input_of("x", json!([null, 3])),
        ]);
        for (inputs_end, outputs_end) in ends("x").into_iter().zip(ends("sum")) {
            directory.config_text(&functional(layers.clone(), inputs_end, outputs_end));
            let runtime = directory.load(&[3]).unwrap();
            assert_computes(&runtime, &inputs, &inputs.map(|x| x + x.max(0.0)));
        }
    }
}

#[test]
fn a_result_with_several_users_is_computed_once_and_a_layer_may_be_called_again() {
    let directory = Directory::new("users");
    let again = json!([[["x", 0, 0, {}]], [["d", 0, 0, {}]]]);
    let layers = json!([
        input_of("x", json!([null, 4])),
        connected("Dense", "d", json!({"units": 4, "activation": "tanh"}), again),
        connected("Multiply", "square", json!({}), json!([[["d", 1, 0, {}], ["d", 1, 0, {}]]])),
        connected(
            "Concatenate",
            "both",
            json!({"axis": 1}),
            json!([[["square", 0, 0, {}], ["d", 0, 0, {}], ["x", 0, 0, {}]]])
        ),
        connected("Dense", "unused", json!({"units": 9}), json!([[["both", 0, 0, {}]]])),
        connected("ReLU", "end", json!({}), json!([[["both", 0, 0, {}]]])),
    ]);
    let (kernel, bias) = (Tensor::random(&[4, 4], 92), Tensor::random(&[4], 93));
    directory.weights(&[("d/kernel", &kernel), ("d/bias", &bias)]);
    directory.config_text(&functional(layers, json!([["x", 0, 0]]), json!([["end", 0, 0]])));
    let runtime = directory.load(&[4]).unwrap();
    let inputs = Tensor::random(&[7, 4], 94);
    let once = inputs.dense(&kernel, Some(&bias)).map(f64::tanh);
    let twice = once.dense(&kernel, Some(&bias)).map(f64::tanh);
    let rows = (0..7).flat_map(|row| {
        let part = |tensor: &Tensor| tensor.values[row * 4..][..4].to_vec();
        let square = part(&twice).into_iter().map(|x| x * x).collect();
        [square, part(&once), part(&inputs)].concat()
    });
    let expected = Tensor::new(&[7, 12], rows.map(|x: f64| x.max(0.0)).collect());
    assert_computes(&runtime, &inputs, &expected);
    let described: Vec<usize> = runtime.stages().iter().map(|stage| stage.layers.len()).collect();
    assert_eq!(described, [1, 1, 1, 2], "two products, the square, and the copies with what follows them");
}

#[test]
fn a_model_may_be_its_input_and_have_one_result_twice() {
    let directory = Directory::new("bare_functional");
    directory.weights(&[]);
    let layers =
        json!([input_of("x", json!([null, 2, 3])), connected("Flatten", "f", json!({}), json!([[["x", 0, 0, {}]]]))]);
    directory.config_text(&functional(layers, json!(["x", 0, 0]), json!([["x", 0, 0], ["f", 0, 0], ["f", 0, 0]])));
    let runtime = directory.load(&[2, 3]).unwrap();
    let inputs = Tensor::random(&[5, 2, 3], 95);
    assert_computes(&runtime, &inputs, &inputs);
    let shapes: Vec<&[usize]> = runtime.output_shapes().collect();
    assert_eq!(shapes, [&[2, 3][..], &[6], &[6]]);
}

#[test]
fn long_and_wide_models_take_time_in_proportion() {
    let start = std::time::Instant::now();
    let directory = Directory::new("long");
    directory.weights(&[]);
    const COUNT: usize = 2_000;
    let mut layers = vec![input_of("x", json!([null, 2]))];
    let mut before = "x".to_owned();
    for number in 0..COUNT {
        let name = format!("a{number}");
        layers.push(connected("Add", &name, json!({}), json!([[[&before, 0, 0], ["x", 0, 0]]])));
        before = name;
    }
    // The last first: whoever reads layer by layer in vain reads each of them each time.
    layers.reverse();
    directory.config_text(&functional(layers.into(), json!(["x", 0, 0]), json!([before, 0, 0])));
    let runtime = directory.load(&[2]).unwrap();
    let inputs = Tensor::new(&[1, 2], vec![0.5, -0.25]);
    let mut workspace = Workspace::default();
    runtime.run(&[&[0.5, -0.25]], 1, Fusion::Full, &mut workspace, &mut Times::default()).unwrap();
    let expected: Vec<f32> = inputs.values.iter().map(|x| *x as f32 * (COUNT as f32 + 1.0)).collect();
    assert_eq!(runtime.output(0, &[&[0.5, -0.25]], 1, &workspace), expected);
    // Hundreds of times what it takes, for slow and busy machines.
    assert!(start.elapsed() < std::time::Duration::from_secs(120), "{:?}", start.elapsed());
}

#[test]
fn functional_models_that_do_not_hold_together_are_errors() {
    let directory = Directory::new("broken_functional");
    directory.weights(&[]);
    let x = || input_of("x", json!([null, 4]));
    let relu = |name: &str, calls: Value| connected("ReLU", name, json!({}), calls);
    let to = |name: &str| json!([[[name, 0, 0, {}]]]);
    let deep = |levels: usize| (0..levels).fold(json!(["x", 0, 0]), |inner, _| json!([inner]));
    let start = || json!([["x", 0, 0]]);
    for (layers, inputs, outputs, parts) in [
        (json!([x(), relu("r", to("y"))]), start(), json!([["r", 0, 0]]), &["`r`", "`y`", "which there is not"][..]),
        (json!([x(), relu("r", to("x"))]), start(), json!([["r", 1, 0]]), &["r, call 1"]),
        (json!([x(), relu("r", to("x"))]), start(), json!([["r", 0, 1]]), &["`output_layers`", "one result"]),
        (
            json!([x(), relu("r", to("s")), relu("s", to("r"))]),
            start(),
            json!([["s", 0, 0]]),
            &["depends on its own result"],
        ),
        (json!([x(), relu("r", to("r"))]), start(), json!([["r", 0, 0]]), &["`r`", "depends on its own result"]),
        (json!([x(), relu("x", to("x"))]), start(), start(), &["that of another, `x`"]),
        (json!([x()]), json!([["y", 0, 0]]), start(), &["input_layers", "`y`"]),
        (json!([x()]), json!([]), start(), &["`input_layers` of the model must be a list of layers"]),
        (json!([x()]), Value::Null, start(), &["`input_layers` of the model must be"]),
        (json!([x()]), json!(3), start(), &["`input_layers` of the model must be tensors"]),
        (json!([x()]), json!([["x"]]), start(), &["`input_layers`"]),
        (json!([x(), relu("r", json!(7))]), start(), json!([["r", 0, 0]]), &["`inbound_nodes` of layer `r`"]),
        (
            json!([x(), relu("r", json!([[["x", 0, 0, {"y": ["x", 0, 0]}]]]))]),
            start(),
            json!([["r", 0, 0]]),
            &["`inbound_nodes` of layer `r`", "only arguments"],
        ),
        (
            json!([x(), relu("r", json!([{"args": [2.5], "kwargs": {}}]))]),
            start(),
            json!([["r", 0, 0]]),
            &["`inbound_nodes` of layer `r`"],
        ),
        (
            json!([x(), relu("r", json!([{"args": [{"class_name": "__keras_tensor__"}]}]))]),
            start(),
            json!([["r", 0, 0]]),
            &["keras_history"],
        ),
        (
            json!([x(), relu("r", json!([[["x", 0, 0], ["x", 0, 0]]]))]),
            start(),
            json!([["r", 0, 0]]),
            &["`r`", "needs one input, but has 2"],
        ),
        (
            json!([x(), connected("Add", "a", json!({}), to("x"))]),
            start(),
            json!([["a", 0, 0]]),
            &["`a`", "needs two inputs or more"],
        ),
        (json!([x(), relu("r", json!([deep(60)]))]), deep(60), json!([["r", 0, 0]]), &[]),
        (
            json!([x(), relu("r", json!([deep(200)]))]),
            start(),
            json!([["r", 0, 0]]),
            &["config.json", "recursion limit"],
        ),
        (
            json!([x(), connected("Concatenate", "c", json!({"axis": 0}), json!([[["x", 0, 0], ["x", 0, 0]]]))]),
            start(),
            json!([["c", 0, 0]]),
            &["`c`", "after the batch"],
        ),
        (
            json!([x(), connected("Concatenate", "c", json!({"axis": 9}), json!([[["x", 0, 0], ["x", 0, 0]]]))]),
            start(),
            json!([["c", 0, 0]]),
            &["`c`", "after the batch"],
        ),
        (
            json!([x(), connected("Reshape", "s", json!({"target_shape": [3]}), to("x"))]),
            start(),
            json!([["s", 0, 0]]),
            &["`s`", "as many elements"],
        ),
        (
            json!([x(), connected("Reshape", "s", json!({"target_shape": [-1, -1]}), to("x"))]),
            start(),
            json!([["s", 0, 0]]),
            &["`target_shape`"],
        ),
        (
            json!([
                x(),
                connected("Reshape", "s", json!({"target_shape": [2, -1]}), to("x")),
                connected("Add", "a", json!({}), json!([[["x", 0, 0], ["s", 0, 0]]]))
            ]),
            start(),
            json!([["a", 0, 0]]),
            &["`a`", "the same rank"],
        ),
        (
            json!([x(), connected("PReLU", "p", json!({}), to("x"))]),
            start(),
            json!([["p", 0, 0]]),
            &["`p`", "`p/alpha`"],
        ),
    ] {
        directory.config_text(&functional(layers, inputs, outputs));
        if parts.is_empty() {
            keras_mlp::run(&directory.options()).unwrap();
        } else {
            assert_contains(&directory.error(), parts);
        }
    }
}

#[test]
fn of_several_inputs_all_have_files_or_none() {
    let directory = Directory::new("several");
    directory.weights(&[]);
    let layers = json!([
        input_of("a", json!([null, 2])),
        input_of("b", json!([null, 2])),
        connected("Subtract", "s", json!({}), json!([[["b", 0, 0], ["a", 0, 0]]])),
    ]);
    directory.config_text(&functional(layers, json!([["a", 0, 0], ["b", 0, 0]]), json!([["s", 0, 0]])));
    keras_mlp::run(&directory.options()).unwrap();
    let (a, b) = (Tensor::random(&[3, 2], 96), Tensor::random(&[3, 2], 97));
    directory.array("inputs_1.npy", &b);
    assert_contains(&directory.error(), &["inputs_0.npy is missing"]);
    let values = b.values.iter().zip(&a.values).map(|(b, a)| b - a).collect();
    directory.array("inputs_0.npy", &a).array("outputs.npy", &Tensor::new(&[3, 2], values));
    let report = keras_mlp::run(&directory.options()).unwrap();
    assert!(f64::from(report.largest_difference.unwrap()) < FLOAT32_ROUNDING);
    directory.array("inputs_1.npy", &Tensor::random(&[4, 2], 98));
    assert_contains(&directory.error(), &["inputs_1.npy", "as many rows as the first input, 3"]);
    fs::remove_file(directory.0.join("inputs_1.npy")).unwrap();
    assert_contains(&directory.error(), &["inputs_1.npy is missing"]);
}

// -------------------------------------------------------------------------------------------------- what can be wrong

#[test]
fn unsupported_layers_are_named() {
    let directory = Directory::new("unsupported");
    directory.weights(&[]);
    for class in ["Conv2D", "Lambda", "Sequential", "LSTM"] {
        directory.config(json!([input(json!([null, 6])), layer(class, "my_layer", json!({"units": 4}))]));
        assert_contains(&directory.error(), &["`my_layer`", class, "supported are InputLayer, Dense", "LeakyReLU"]);
    }
    let strange = json!([input(json!([null, 6])), layer("Activation", "act", json!({"activation": "gelou"}))]);
    directory.config(strange);
    assert_contains(&directory.error(), &["`act`", "`gelou`", "did you mean `gelu`?"]);
    directory.config(json!([layer("ReLU", "re_lu", json!({"max_value": -1.0}))]));
    assert_contains(&directory.error(), &["`re_lu`", "max_value"]);
}

#[test]
fn missing_and_misshapen_weights_are_named_with_their_layer() {
    let directory = Directory::new("weights");
    directory.config(json!([
        input(json!([null, 6])),
        layer("Dense", "first", json!({"units": 4, "activation": "relu"})),
        layer("Dense", "second", json!({"units": 2, "activation": "relu"})),
    ]));
    assert_contains(&directory.error(), &["weights.npz"]);
    let (k0, b0) = (Tensor::random(&[6, 4], 81), Tensor::random(&[4], 82));
    directory.weights(&[("layer0_kernel", &k0), ("layer0_bias", &b0)]);
    assert_contains(&directory.error(), &["`second`", "`layer1_kernel`", "`second/kernel`", "has `layer0_bias`"]);
    directory.weights(&[("layer0_kernel", &k0)]);
    assert_contains(&directory.error(), &["`first`", "`layer0_bias`"]);
    directory.weights(&[("layer0_kernel", &k0), ("layer0_bias", &k0)]);
    assert_contains(&directory.error(), &["`first`", "`layer0_bias`", "[4]", "[6, 4]"]);
    let transposed = Tensor::random(&[2, 4], 83);
    directory.weights(&[("layer0_kernel", &k0), ("layer0_bias", &b0), ("layer1_kernel", &transposed)]);
    assert_contains(&directory.error(), &["`second`", "`layer1_kernel`", "[4, 2]", "[2, 4]"]);
    let whole = fs::read(directory.0.join("weights.npz")).unwrap();
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(directory.0.join("weights.npz"), &whole[..length]).unwrap();
        assert_contains(&directory.error(), &["weights.npz"]);
    }
}

#[test]
fn hostile_configs_are_errors() {
    let directory = Directory::new("hostile");
    directory.weights(&[]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let dense = |units: &str| {
        format!(
            r#"{{"class_name": "Sequential", "config": {{"layers": [
            {{"class_name": "Dense", "config": {{"name": "d", "units": {units}}}}}]}}}}"#
        )
    };
    let cases: &[(&str, &str)] = &[
        ("", "config.json"),
        ("{", "config.json"),
        ("null", "`class_name` of the model"),
        ("[1, 2]", "`class_name` of the model"),
        (r#"{"class_name": "Functional", "config": {}}"#, "`layers` of the model"),
        (r#"{"class_name": "Subclassed", "config": {}}"#, "Sequential, Functional or Model"),
        (r#"{"class_name": "Sequential"}"#, "`layers` of the model"),
        (r#"{"class_name": "Sequential", "class_name": "Sequential"}"#, "given twice"),
        (r#"{"class_name": "Sequential", "config": {"layers": {}}}"#, "`layers` of the model"),
        (r#"{"class_name": "Sequential", "config": {"layers": [3]}}"#, "layer 0"),
        (r#"{"class_name": "Sequential", "config": {"layers": [{"class_name": "ReLU"}]}}"#, "`config` of layer 0"),
        (
            r#"{"class_name": "Sequential", "config": {"layers": [{"class_name": "InputLayer", "config": {}}]}}"#,
            "batch_shape",
        ),
        (&deep, "config.json"),
        (&format!("\"{}\"", "x".repeat(100_000_000)), "bytes, more than"),
        (&dense("-1"), "`units` of layer `d`"),
        (&dense("0"), "`units` of layer `d`"),
        (&dense("1.5"), "`units` of layer `d`"),
        (&dense("1e400"), "config.json"),
        (&dense("\"64\""), "`units` of layer `d`"),
        (&dense("18446744073709551615"), "shape of the inputs open"),
    ];
    for (text, part) in cases {
        directory.config_text(text);
        assert_contains(&directory.error(), &[part]);
    }
    fs::write(directory.0.join("config.json"), [0xff, 0xfe, 0x00]).unwrap();
    assert_contains(&directory.error(), &["config.json"]);
}

/// Every place of a value, as a JSON pointer.
fn places(json: &Value) -> Vec<String> {
    let (mut found, mut pending) = (Vec::new(), vec![(String::new(), json)]);
    while let Some((place, json)) = pending.pop() {
        match json {
            Value::Array(items) => {
                pending.extend(items.iter().enumerate().map(|(number, item)| (format!("{place}/{number}"), item)));
            }
            Value::Object(map) => pending.extend(map.iter().map(|(key, item)| (format!("{place}/{key}"), item))),
            _ => {}
        }
        found.push(place);
    }
    found
}

#[test]
fn configs_with_any_value_in_any_place_are_errors_or_run() {
    let odd = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(2.5),
        json!(1e300),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("dense"),
        json!([]),
        json!([[]]),
        json!([0]),
        json!([2, 1]),
        json!([null, 3]),
        json!({}),
        json!({"class_name": "__numpy__", "config": {"value": [[7]]}}),
        json!({"class_name": "ReLU", "config": {}}),
    ];
    let engine = Engine::builder().backend(BackendChoice::Interpreter).build().unwrap();
    let (mut refused, mut run) = (0, 0);
    for name in ["residual", "two_inputs", "axes", "keras_2_functional", "keras_2_list"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras").join(name);
        let json: Value = serde_json::from_str(&fs::read_to_string(directory.join("config.json")).unwrap()).unwrap();
        let shapes: Vec<Vec<usize>> = match name {
            "residual" => vec![vec![12]],
            "two_inputs" => vec![vec![6], vec![2, 3]],
            "axes" => vec![vec![4, 5]],
            _ => vec![vec![6]],
        };
        // Every other place, and one value each, in turn.
        for (number, place) in places(&json).iter().step_by(2).enumerate() {
            for value in odd.iter().skip(number % odd.len()).take(1) {
                let mut broken = json.clone();
                *broken.pointer_mut(place).unwrap() = value.clone();
                let loaded = Model::from_json(&broken, engine.library()).and_then(|model| {
                    let mut weights = Weights::open(&directory.join("weights.npz"))?;
                    let shapes: Vec<_> = shapes.iter().cycle().take(model.inputs.len()).cloned().collect();
                    let runtime = stages::build(&model, &mut weights, &engine, &shapes)?;
                    let inputs: Vec<Vec<f32>> =
                        shapes.iter().map(|shape| vec![0.5; 2 * shape.iter().product::<usize>()]).collect();
                    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
                    runtime.run(&inputs, 2, Fusion::Full, &mut Workspace::default(), &mut Times::default())
                });
                match loaded {
                    Ok(()) => run += 1,
                    Err(error) => {
                        refused += 1;
                        let message = error.to_string();
                        assert!(message.len() < 2000, "{place}: {message}");
                    }
                }
            }
        }
    }
    assert!(refused > 100 && run > 100, "{refused} refused, {run} run");
}

#[test]
fn shapes_that_no_memory_holds_are_errors() {
    let directory = Directory::new("huge");
    directory.weights(&[]);
    let flatten = || layer("Flatten", "flatten", json!({}));
    for shape in [json!([null, u64::MAX, 2]), json!([null, 1u64 << 40]), json!([null, 1u64 << 20, 1u64 << 20])] {
        directory.config(json!([input(shape.clone()), flatten()]));
        assert_contains(&directory.error(), &["more", "elements"]);
        directory.config(json!([input(shape), layer("ReLU", "re_lu", json!({}))]));
        assert_contains(&directory.error(), &["more", "elements"]);
    }
    directory.config(json!([input(json!([null])), layer("Dense", "dense", json!({"units": 2}))]));
    assert_contains(&directory.error(), &["`dense`", "(None)"]);
    directory.config(json!([input(json!([null, 1, 1, 1, 1, 1, 1, 1, 2])), layer("ReLU", "re_lu", json!({}))]));
    assert_contains(&directory.error(), &["rank 9"]);
    directory.config(json!([input(json!([null, 5])), layer("Softmax", "softmax", json!({"axis": 2}))]));
    assert_contains(&directory.error(), &["softmax (Softmax)", "axis 2"]);
    directory.config(json!([input(json!([null, 5])), layer("Activation", "a", json!({"activation": "glu"}))]));
    assert_contains(&directory.error(), &["a (Activation)", "5"]);
}

#[test]
fn wrong_arguments_are_told_with_the_usage() {
    let parse = |arguments: &[&str]| Options::parse(arguments.iter().map(|argument| (*argument).to_owned()));
    for arguments in
        [&["--batch"][..], &["--batch", "0"], &["--batch", "x"], &["--backend", "gpu"], &["--what"], &["a", "b"]]
    {
        assert_contains(&parse(arguments).unwrap_err().to_string(), &["usage: keras_mlp", "--batch"]);
    }
    let options = parse(&["a/b", "--batch", "7", "--backend", "interpreter", "--threads", "2"]).unwrap();
    assert_eq!((options.directory, options.batch), (PathBuf::from("a/b"), Some(7)));
    assert_eq!((options.backend, options.threads), (Some(BackendChoice::Interpreter), 2));
    let mut options = parse(&[]).unwrap();
    options.batch = Some(usize::MAX);
    assert_contains(&keras_mlp::run(&options).unwrap_err().to_string(), &["more than"]);
}
