//! Snapshots of the whole way, from text over graph and plan to lane programs, for chains that tell something: what is fused,
//! what the report says of each boundary, which operands are broadcast, what a pass looks like.
//!
//! Everything is made as for a machine with a fused multiply-add, whatever the host has; nothing is run. To accept new
//! snapshots after a change that is meant: `INSTA_UPDATE=always cargo test --release --test snapshots`, then read the diff.
//! Lane programs are part of a snapshot only where no special function is lowered, so that better coefficients don't spoil
//! them; elsewhere the passes are listed.

use fuselet::codegen::{Backend, BackendError, Code};
use fuselet::lane::{self, OperandArgument, Pass};
use fuselet::{Dtype, Engine, Fusion, Signature};
use std::fmt::Write;
use std::sync::Arc;

/// A backend for reading: as if with FMA, its code runs nowhere.
#[derive(Debug)]
struct Paper;

impl Backend for Paper {
    fn name(&self) -> String {
        "paper".to_owned()
    }

    fn has_fma(&self) -> bool {
        true
    }

    fn compile(&self, _: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        Ok(Arc::new(Paper))
    }
}

impl Code for Paper {
    unsafe fn run_in(&self, _: &[OperandArgument], _: usize, _: usize, _: *mut u8) {
        unreachable!("snapshots run nothing");
    }

    fn code_size(&self) -> usize {
        0
    }
}

/// Whether to show lane programs.
#[derive(PartialEq)]
enum Show {
    Lanes,
    Passes,
}

/// The way of an expression for inputs of these shapes.
fn way(text: &str, fusion: Fusion, inputs: &[(&str, &[usize])], show: &Show) -> String {
    let engine = Engine::builder().custom_backend(Arc::new(Paper)).threads(1).check_invariants(true).build().unwrap();
    let function = engine.compile_with(text, fusion).unwrap();
    let signature = inputs
        .iter()
        .fold(Signature::new(), |signature, (name, shape)| signature.with(name, Dtype::F32, shape).unwrap());
    let explanation = function.explain(&signature).unwrap();
    let mut page = format!("{text}\n");
    for (name, shape) in inputs {
        writeln!(page, "  {name}: {shape:?}").unwrap();
    }
    writeln!(page, "\ngraph\n{}\n\nplan\n{}", explanation.graph.to_string().trim_end(), explanation.plan).unwrap();
    for compiled in &explanation.passes {
        assert_eq!(compiled.pass.verify(), Ok(()));
        match show {
            Show::Lanes => writeln!(page, "{}", compiled.pass).unwrap(),
            Show::Passes => {
                let operands: Vec<String> = compiled
                    .pass
                    .operands
                    .iter()
                    .map(|operand| format!("{} {:?} {:?}", operand.name, operand.role, operand.layout).to_lowercase())
                    .collect();
                writeln!(page, "pass {} · {}", compiled.pass.name, operands.join(", ")).unwrap();
            }
        }
    }
    page
}

macro_rules! snapshots {
    ($($name:ident: $text:literal, $fusion:ident, $show:ident, [$($input:literal: $shape:expr),*];)*) => {
        $(
            #[test]
            fn $name() {
                let inputs: &[(&str, &[usize])] = &[$(($input, &$shape)),*];
                let way = way($text, Fusion::$fusion, inputs, &Show::$show);
                insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                    insta::assert_snapshot!(stringify!($name), way);
                });
            }
        )*
    };
}

/// The parts of a long pass: how many operations, what each reads and writes, what is kept between them.
#[test]
fn ten_ops_in_parts() {
    let engine = Engine::builder().custom_backend(Arc::new(Paper)).threads(1).build().unwrap();
    let function = engine.compile("x * 1.1 + b |> gelu |> * 0.9 + r |> tanh |> relu6 |> mish |> * 1.5 + v").unwrap();
    let signature = ["x", "b", "r", "v"].into_iter().fold(Signature::new(), |signature, name| {
        signature.with(name, Dtype::F32, if matches!(name, "b" | "v") { &[1024] } else { &[16, 1024] }).unwrap()
    });
    let explanation = function.explain(&signature).unwrap();
    let [compiled] = explanation.passes.as_slice() else { panic!("it is one pass") };
    let split = lane::split(&compiled.pass, 36).expect("it is long");
    let mut page = format!("{} · {} operations\n", compiled.pass.name, compiled.pass.program.operation_count());
    for part in &split.parts {
        let operands = part.pass.operands.iter().map(|operand| format!("{} {:?}", operand.name, operand.role));
        let operands = operands.collect::<Vec<_>>().join(", ").to_lowercase();
        writeln!(page, "  {} operations · {operands}", part.pass.program.operation_count()).unwrap();
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("ten_ops_in_parts", page);
    });
}

snapshots! {
    relu_chain_is_one_pass: "x * 2 + 1 |> relu |> relu(max_value = 6) |> relu", Full, Lanes, ["x": [1000]];
    bias_and_scale_are_broadcast: "x * scale + bias |> relu |> hard_tanh", Full, Lanes,
        ["x": [32, 100], "scale": [], "bias": [100]];
    residual_block: "gelu(x + bias) + residual", Full, Passes, ["x": [32, 100], "bias": [100], "residual": [32, 100]];
    scaled_silu: "silu(x * a + b) * c + r", Full, Passes,
        ["x": [4096], "a": [], "b": [], "c": [4096], "r": [4096]];
    gated_silu: "silu(g) * u", Full, Passes, ["g": [16, 512], "u": [16, 512]];
    sigmoid_and_silu_share_an_exponential: "{ s = sigmoid(x), y = silu(x) }", Full, Passes, ["x": [100]];
    masked_softmax: "x * s + mask |> softmax |> * gate", Full, Passes,
        ["x": [8, 1024], "s": [], "mask": [1024], "gate": [8, 1024]];
    glu_of_a_computed_value: "glu(relu(x * 2 + bias))", Full, Passes, ["x": [16, 64], "bias": [64]];
    layer_norm_with_scale_and_offset: "layer_norm(x) * gamma + beta", Full, Lanes,
        ["x": [16, 768], "gamma": [768], "beta": [768]];
    softmax_over_the_first_axis: "softmax(x, axis = 0)", Full, Passes, ["x": [64, 56]];
    softmax_over_two_different_axes: "softmax(softmax(x, axis = 0), axis = 1)", Full, Passes, ["x": [32, 32]];
    maximum_and_minimum_share_a_pass: "(x - min(x)) / (max(x) - min(x))", Full, Lanes, ["x": [10, 100]];
    rows_reduced_to_numbers: "{ m = mean(x), largest = max(x) }", Full, Lanes, ["x": [10, 100]];
    unfused_chain: "gelu(x + bias) * 2 + residual", Off, Passes, ["x": [32, 100], "bias": [100], "residual": [32, 100]];
    unfused_masked_softmax: "x * s + mask |> softmax |> * gate", Off, Passes,
        ["x": [8, 1024], "s": [], "mask": [1024], "gate": [8, 1024]];
}
