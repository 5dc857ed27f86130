//! The chains: an activation with the arithmetic that surrounds it in models.

/// A chain by name.
pub struct Chain {
    pub name: &'static str,
    pub text: &'static str,
}

const fn chain(name: &'static str, text: &'static str) -> Chain {
    Chain { name, text }
}

/// Ten ops, four of them activations.
pub const TEN_OPS: Chain = chain("ten_ops", "x * 1.1 + b |> gelu |> * 0.9 + r |> tanh |> relu6 |> mish |> * 1.5 + v");

/// The steps of [`TEN_OPS`], each a function of the step before (`t`) and of one more array.
pub const TEN_STEPS: [&str; 10] =
    ["t * 1.1", "t + b", "gelu(t)", "t * 0.9", "t + r", "tanh(t)", "relu6(t)", "mish(t)", "t * 1.5", "t + v"];

/// A linear layer's epilogue with a gate: the chain of the hand-written kernels.
pub const SILU_AFFINE: Chain = chain("silu_affine", "silu(x * 1.3 + b) * 0.7 + r");

/// All chains.
pub const CHAINS: [Chain; 13] = [
    SILU_AFFINE,
    chain("swiglu", "silu(g) * u"),
    chain("geglu", "gelu(g) * u"),
    chain("bias_gelu_residual", "gelu(x + b) + r"),
    chain("bias_relu", "relu(x + b)"),
    chain("gelu_capped", "x * 2 + 1 |> gelu |> relu(max_value = 6)"),
    chain("scaled_mish_residual", "mish(x * scale + b) + r"),
    chain("tanh_gate", "tanh(x) * sigmoid(g)"),
    chain("hard_silu_gate", "hard_silu(x + b) * u"),
    chain("softplus_affine", "softplus(x * 0.5 + b) - r"),
    chain("highway", "sigmoid(g) * tanh(x) + (1 - sigmoid(g)) * r"),
    chain("selu_shrink", "selu(x + b) |> tanh_shrink"),
    TEN_OPS,
];

/// All elementwise activations of the library, with their default parameters.
pub const ACTIVATIONS: [&str; 27] = [
    "linear",
    "relu",
    "leaky_relu",
    "relu6",
    "sigmoid",
    "tanh",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "selu",
    "elu",
    "celu",
    "softplus",
    "softsign",
    "exponential",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "hard_shrink",
    "soft_shrink",
    "tanh_shrink",
    "threshold",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "log_sigmoid",
];

/// The expression of an activation of [`ACTIVATIONS`].
pub fn expression(activation: &str) -> String {
    match activation {
        "gelu_tanh" => "gelu(x, approximate = true)".to_owned(),
        name => format!("{name}(x)"),
    }
}
