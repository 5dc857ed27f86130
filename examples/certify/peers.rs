//! The worst distances of the same functions in other libraries, for the document.
//!
//! Measured in November 2026 over two million random bit patterns and a million numbers spread over −20 to 20, on one
//! x86-64 machine with AVX-512: PyTorch 2.15.0, eager and compiled by inductor; JAX 0.10.2; ONNX Runtime 1.32.

/// The libraries, in the order of the columns.
pub const LIBRARIES: [&str; 4] = ["PyTorch, eager", "PyTorch, inductor", "JAX", "ONNX Runtime"];

/// A function, and what each library does.
pub const FIGURES: [(&str, [&str; 4]); 12] = [
    ("exponential", ["0.56", "0.93", "1.0; subnormals lost", "0.85"]),
    ("tanh", ["0.56", "1", "4.4", "104"]),
    ("sigmoid", ["2.4; 0 below −88.8", "2.4; the same", "2.4; 0 below −87.3", "7·10⁷ from −17.5 on"]),
    ("silu", ["2.3; 0 below −89", "2.3; the same", "2.7; 0 below −87", "8·10⁷"]),
    ("gelu", ["lost below about −8; inf above 2.38e38", "lost", "117; lost below −13", "lost"]),
    ("gelu(approximate = true)", ["lost below −5.4", "lost", "lost", "wrong sign in the tail"]),
    ("mish", ["3; tail 152", "3; tail 152", "5.3; 0 below −87", "7; tail 10⁴"]),
    ("elu", ["1", "1", "4.6", "4·10³; small values lost"]),
    ("softplus", ["1.5", "1.5", "2.8; subnormals lost", "4"]),
    ("log_sigmoid", ["1.5", "1.5", "2.8; subnormals lost", "4"]),
    ("hard_silu", ["1.9; inf above 2.3e38", "the same", "2.4", "10⁶ at the kink"]),
    ("squareplus", ["220; inf beyond 1.8e19", "the same", "189; the same", "the same"]),
];
