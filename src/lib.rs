//! Fused neural-network activations and elementwise arithmetic, compiled to native loops at run time.
//!
//! You describe what to compute as a small expression; Fuselet rewrites it, fuses it into as few loops as possible, expands
//! its transcendental functions, compiles it in microseconds and runs it at the speed of the machine. Fusing never
//! changes a bit, and every elementwise built-in activation is within 4 ULP of the true value on all float32
//! inputs.
//!
//! # A tour
//!
//! An [`Engine`] compiles; a [`Function`] is called. Inputs are slices, numbers or strided views
//! ([`ArrayRef`]); they broadcast like NumPy's arrays.
//!
//! ```
//! use fuselet::Engine;
//!
//! let engine = Engine::new()?;
//! let f = engine.compile("x * 2 + 1 |> gelu |> relu(max_value = 6)")?;
//! let mut y = [0.0f32; 5];
//! f.call(&[("x", (&[-2.0f32, -1.0, 0.0, 1.0, 2.0]).into())], &mut y)?;
//! assert_eq!(y, [0.0, 0.0, 0.841_344_7, 2.995_950_2, 4.999_998_6]);
//! # Ok::<(), fuselet::Error>(())
//! ```
//!
//! Row functions reduce along an axis, in one kernel with what surrounds them. [`Function::explain`] says what is run and
//! why:
//!
//! ```
//! use fuselet::{Dtype, Engine, Signature};
//!
//! let f = Engine::new()?.compile("x * s + mask |> softmax |> * gate")?;
//! let signature = Signature::new()
//!     .with("x", Dtype::F32, &[64, 128])?
//!     .with("s", Dtype::F32, &[])?
//!     .with("mask", Dtype::F32, &[128])?
//!     .with("gate", Dtype::F32, &[64, 128])?;
//! let explanation = f.explain(&signature)?;
//! assert_eq!(explanation.plan.kernels.len(), 1);
//! println!("{}", explanation.plan);
//! # Ok::<(), fuselet::Error>(())
//! ```
//!
//! Unfused execution, one kernel for each activation or op with intermediates in memory, is what benchmarks compare with,
//! and gives the same bits:
//!
//! ```
//! use fuselet::{Engine, Fusion};
//!
//! let engine = Engine::new()?;
//! let x: Vec<f32> = (0..100).map(|i| i as f32 / 10.0 - 5.0).collect();
//! let mut results = [vec![0.0f32; 100], vec![0.0f32; 100]];
//! for (fusion, y) in [Fusion::Full, Fusion::Off].into_iter().zip(&mut results) {
//!     engine.compile_with("mish(x) * x + 1 |> tanh", fusion)?.call(&[("x", (&x).into())], y)?;
//! }
//! assert_eq!(results[0], results[1]);
//! # Ok::<(), fuselet::Error>(())
//! ```
//!
//! # The way data takes
//!
//! | step | module | result |
//! |---|---|---|
//! | text, builder, Keras config | [`ir::language`], [`ir::Expr`], [`ir::library`] | [`ir::Graph`]: what to compute |
//! | exact rewrites | [`ir::rewrite`] | a graph of fewer ops |
//! | which ops share a loop, and why not the others | [`plan`] | [`plan::Plan`]: kernels made of passes |
//! | exp, tanh, erfc … become primitive ops | [`lower`] | [`lane::LaneProgram`]: straight-line SSA on lanes |
//! | long passes are cut | [`lane::split`] | parts, run tile by tile in L1 |
//! | a pass becomes code | [`codegen`] | interpreter, Cranelift, AVX2 and AVX-512 |
//! | everything around passes | `exec` | dimensions, rows, scratch, threads |
//!
//! The waist is the lane program: about thirty primitive operations, each with exactly one correct result. That is why every
//! backend gives the same bits, and why a new activation touches nothing but the library file.
//!
//! # Features
//!
//! | feature | | |
//! |---|---|---|
//! | `wide` | default | code for AVX2 and AVX-512, on x86-64 |
//! | `cranelift` | default | code for every other machine, through Cranelift, which takes minutes to build |
//! | `rayon` | default | large calls on all cores |
//! | `disassembly` | | machine code as text in explanations, on x86-64 |
//! | `ndarray` | | arrays of the crate `ndarray` as arguments |
//! | `perf` | | names of compiled passes for Linux `perf` |
//! | `tracing` | | events of engines as events of the crate `tracing` |
//! | `unstable` | | plans, lane programs, lowering and backends as public modules, which change without notice |
//!
//! Without any the interpreter runs everything, with the same bits.
//!
//! # What may fail
//!
//! Errors are values, one enum a stage: [`ir::Error`] (with the place in the text), [`CompileError`], [`ArrayError`],
//! [`CallError`], [`EngineError`]. A call that fails has written nothing. Where code cannot be generated the interpreter
//! stands in and an [`Event`] says so.

mod api;
pub mod array;
mod compile;
mod exec;

// The inside: public for tests, benchmarks and the curious, who take it as it is.
#[cfg(feature = "unstable")]
pub mod codegen;
#[cfg(not(feature = "unstable"))]
#[allow(dead_code, unused_imports, reason = "public with the feature `unstable`")]
mod codegen;
#[cfg(feature = "unstable")]
pub mod lane;
#[cfg(not(feature = "unstable"))]
#[allow(dead_code, unused_imports, reason = "public with the feature `unstable`")]
mod lane;
#[cfg(feature = "unstable")]
pub mod lower;
#[cfg(not(feature = "unstable"))]
#[allow(dead_code, unused_imports, reason = "public with the feature `unstable`")]
mod lower;
#[cfg(feature = "unstable")]
pub mod plan;
#[cfg(not(feature = "unstable"))]
#[allow(dead_code, unused_imports, reason = "public with the feature `unstable`")]
mod plan;

pub use api::{
    BackendChoice, CallError, CompileError, Engine, EngineBuilder, EngineError, Error, Explanation, Function, Prepared,
    Signature, Tile, UnknownBackend,
};
pub use array::{ArrayError, ArrayMut, ArrayOut, ArrayRef, Dtype, Element, MAX_RANK, UnknownDtype};
pub use codegen::isa::{Isa, UnknownIsa};
pub use compile::{CacheUsage, Compiled, Event, Verify};
pub use exec::threads::Executor;
pub use plan::Fusion;

/// What to compute: graphs, the language, the library, the float64 reference.
pub use fuselet_ir as ir;
pub use fuselet_ir::{Activation, Expr, Library, Program, activations};

/// The README's Rust blocks, run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
