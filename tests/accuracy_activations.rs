//! Holds every elementwise activation to its bound, float32 against float64: on a dense sample of all bit patterns in
//! every run, on all 2³² of them on demand,
//!
//! ```text
//! FUSELET_SWEEP=gelu,mish cargo test --release --test accuracy_activations every_float32 -- --ignored --nocapture
//! ```
//!
//! The truth is the definition (not the form) in float64, computed by the float64 lowering, which is itself held to the
//! float64 reference here and to arbitrary precision in `accuracy_primitives`.

use fuselet::backend::interpreter::Interpreter;
use fuselet::backend::wide::Wide;
use fuselet::backend::{Backend, Code};
use fuselet::dtype::Dtype;
use fuselet::isa::Isa;
use fuselet::lane::{LaneBuilder, Layout, Operand, OperandArgument, OperandId, Pass, Role, Value};
use fuselet_ir::reference::ScalarEvaluator;
use fuselet_ir::rewrite;
use fuselet_ir::ulp::ulp_distance_f32;
use fuselet_ir::{Library, Meaning, Node};
use std::sync::Arc;

/// Elements a run: as many as fit into the cache.
const BLOCK: usize = 4096;

/// The project's promise.
const PROMISE: f64 = 4.0;

/// Expressions, and their bounds in ULP over all inputs, with FMA and without. Parameters are those of the public
/// oracle and a few that are not exact in binary: a parameter means the float32 nearest to it.
const ACTIVATIONS: &[(&str, f64, f64)] = &[
    ("linear(x)", 0.0, 0.0),
    ("relu(x)", 0.0, 0.0),
    ("relu(x, negative_slope = 0.5, max_value = 5, threshold = 5)", 1.0, 1.0),
    ("relu(x, negative_slope = 0.1, threshold = -1.5)", 1.5, 1.5),
    ("leaky_relu(x, negative_slope = 0.01)", 0.5, 0.5),
    ("leaky_relu(x, negative_slope = 0.2)", 0.5, 0.5),
    ("relu6(x)", 0.0, 0.0),
    ("sigmoid(x)", 4.0, 4.0),
    ("tanh(x)", 4.0, 4.0),
    ("gelu(x)", 4.0, 4.0),
    ("gelu(x, approximate = true)", 4.0, 4.0),
    ("silu(x)", 4.0, 4.0),
    ("mish(x)", 4.0, 4.0),
    ("selu(x)", 4.0, 4.0),
    ("elu(x)", 4.0, 4.0),
    ("elu(x, alpha = 0.5)", 4.0, 4.0),
    ("elu(x, alpha = 1.7)", 4.0, 4.0),
    ("celu(x)", 4.0, 4.0),
    ("celu(x, alpha = 0.5)", 4.0, 4.0),
    ("celu(x, alpha = 3)", 4.0, 4.0),
    ("celu(x, alpha = -0.3)", 4.0, 4.0),
    ("softplus(x)", 4.0, 4.0),
    ("softsign(x)", 4.0, 4.0),
    ("exponential(x)", 4.0, 4.0),
    ("hard_sigmoid(x)", 4.0, 4.0),
    ("hard_silu(x)", 4.0, 4.0),
    ("hard_tanh(x)", 0.0, 0.0),
    ("hard_shrink(x)", 0.0, 0.0),
    ("hard_shrink(x, lambd = 0.1)", 0.0, 0.0),
    ("soft_shrink(x)", 0.5, 0.5),
    ("soft_shrink(x, lambd = 0.1)", 0.5, 0.5),
    ("tanh_shrink(x)", 4.0, 4.0),
    ("threshold(x)", 0.0, 0.0),
    ("threshold(x, threshold = 1, default_value = 20)", 0.0, 0.0),
    ("sparse_plus(x)", 4.0, 4.0),
    ("sparse_sigmoid(x)", 0.5, 0.5),
    ("squareplus(x)", 4.0, 4.0),
    ("squareplus(x, b = 1)", 4.0, 4.0),
    ("squareplus(x, b = 0.25)", 4.0, 4.0),
    ("squareplus(x, b = 0.1)", 4.0, 4.0),
    ("squareplus(x, b = 0)", 4.0, 4.0),
    ("log_sigmoid(x)", 4.0, 4.0),
];

/// The expression with its decimals rounded to float32 and written out exactly.
fn with_float32_parameters(expression: &str) -> String {
    let mut text = String::new();
    for word in expression.split_inclusive([' ', ')', ',']) {
        let number = word.trim_end_matches([' ', ')', ',']);
        match number.parse::<f32>() {
            Ok(value) if number.contains('.') => {
                text.push_str(&f64::from(value).to_string());
                text.push_str(&word[number.len()..]);
            }
            _ => text.push_str(word),
        }
    }
    text
}

/// One expression of x, compiled.
struct Kernel {
    code: Arc<dyn Code>,
    operations: usize,
}

impl Kernel {
    /// The expression, rewritten as the engine would, lowered, and compiled by the fastest backend of this machine.
    fn new(expression: &str, meaning: Meaning, dtype: Dtype, fma: bool) -> Kernel {
        let program = Library::standard().parse(expression).unwrap_or_else(|error| panic!("{error}"));
        let graph = program.graph(meaning).unwrap_or_else(|error| panic!("{error}"));
        let graph = rewrite::rewrite(&graph, rewrite::Rules::Exact).graph;
        let live = graph.live();
        let mut builder = LaneBuilder::new(dtype, fma);
        let mut values: Vec<Option<Value>> = vec![None; graph.nodes().len()];
        for id in graph.ids().filter(|id| live[id.index()]) {
            values[id.index()] = Some(match graph.node(id) {
                Node::Input(index) => builder.load(OperandId(*index)),
                Node::Constant(bits) => builder.number(f64::from_bits(*bits)),
                Node::Elementwise { op, arguments } => {
                    let arguments: Vec<Value> =
                        arguments.iter().map(|argument| values[argument.index()].expect("made before")).collect();
                    fuselet::lower::lower(&mut builder, *op, &arguments)
                }
                other => panic!("{expression} is not elementwise: {other:?}"),
            });
        }
        let result = values[graph.outputs()[0].node.index()].expect("the output is live");
        builder.store(OperandId(1), result);
        let operand = |role, name: &str| Operand { role, dtype, layout: Layout::Contiguous, name: name.to_owned() };
        let operands = vec![operand(Role::Read, "x"), operand(Role::Write, "y")];
        let pass = Pass { name: expression.to_owned(), program: builder.finish(), operands };
        pass.verify().unwrap_or_else(|error| panic!("{error}"));
        let operations = pass.program.operation_count();
        let wide = Wide::new(Isa::detect()).ok().and_then(|wide| wide.compile(&pass).ok());
        let code = wide.unwrap_or_else(|| {
            Interpreter::new(Isa::detect()).compile(&pass).expect("the interpreter compiles every pass")
        });
        Kernel { code, operations }
    }

    fn run<T>(&self, x: &[T], y: &mut [T]) {
        assert_eq!(x.len(), y.len());
        let argument = |pointer: *mut T| OperandArgument { pointer: pointer.cast(), stride: 0, outer_stride: 0 };
        let operands = [argument(x.as_ptr().cast_mut()), argument(y.as_mut_ptr())];
        // SAFETY: both arrays have as many elements of the pass's dtype; y is borrowed mutably.
        unsafe { self.code.run(&operands, x.len(), 1) };
    }
}

/// The worst distance, and where.
#[derive(Clone, Copy, Debug)]
struct Worst {
    ulp: f64,
    x: f32,
    got: f32,
    truth: f64,
}

/// An activation and its truth.
struct Judged {
    kernel: Kernel,
    truth: Kernel,
}

impl Judged {
    fn new(expression: &str, fma: bool) -> Judged {
        let expression = with_float32_parameters(expression);
        let native_fma = Isa::detect().has_fma();
        Judged {
            kernel: Kernel::new(&expression, Meaning::Form, Dtype::F32, fma),
            truth: Kernel::new(&expression, Meaning::Definition, Dtype::F64, native_fma),
        }
    }

    fn worst(&self, blocks: impl Iterator<Item = Vec<f32>>) -> Worst {
        let mut worst = Worst { ulp: 0.0, x: 0.0, got: 0.0, truth: 0.0 };
        let (mut y, mut wide_x, mut wide_y) = (vec![0.0f32; BLOCK], vec![0.0f64; BLOCK], vec![0.0f64; BLOCK]);
        for x in blocks {
            let (y, wide_x, wide_y) = (&mut y[..x.len()], &mut wide_x[..x.len()], &mut wide_y[..x.len()]);
            self.kernel.run(&x, y);
            wide_x.iter_mut().zip(&x).for_each(|(wide, x)| *wide = f64::from(*x));
            self.truth.run(wide_x, wide_y);
            for ((x, got), truth) in x.iter().zip(&*y).zip(&*wide_y) {
                // A unit is at least 2⁻²⁴ of the truth and 2⁻¹⁴⁹: most points are done with here.
                let least_unit = (truth.abs() * 2f64.powi(-24)).max(2f64.powi(-149));
                if (f64::from(*got) - truth).abs() <= worst.ulp * least_unit {
                    continue;
                }
                let ulp = ulp_distance_f32(*got, *truth);
                if ulp > worst.ulp || ulp.is_nan() {
                    worst = Worst { ulp, x: *x, got: *got, truth: *truth };
                }
            }
        }
        worst
    }
}

/// Every 4093rd bit pattern, every 149th where functions bend (2⁻¹³ ≤ |x| < 2⁷), and what bites.
fn dense_sample() -> Vec<f32> {
    let all = (0..=u32::MAX).step_by(4093);
    let bend = (0x3900_0000..0x4300_0000u32).step_by(149).flat_map(|bits| [bits, bits | 0x8000_0000]);
    let specials = [0, 1, 0x007f_ffff, 0x0080_0000, 0x3f80_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fc0_0000, 0x7fff_ffff];
    let specials = specials.into_iter().flat_map(|bits: u32| [bits, bits | 0x8000_0000]);
    all.chain(bend).chain(specials).map(f32::from_bits).collect()
}

fn report(expression: &str, fma: bool, operations: usize, worst: Worst) {
    let Worst { ulp, x, got, truth } = worst;
    let machine = if fma { "fma" } else { "no fma" };
    println!("{expression:62} {machine:6} {operations:3} ops {ulp:8.4} ULP at {x:e}: {got:e} for {truth:e}");
}

#[test]
fn activations_hold_their_bounds_on_a_dense_sample() {
    let sample = dense_sample();
    let mut broken = Vec::new();
    for &(expression, with_fma, without_fma) in ACTIVATIONS {
        for (fma, bound) in [(true, with_fma), (false, without_fma)] {
            assert!(bound <= PROMISE);
            if fma && !Isa::detect().has_fma() {
                continue;
            }
            let judged = Judged::new(expression, fma);
            let worst = judged.worst(sample.chunks(BLOCK).map(<[f32]>::to_vec));
            report(expression, fma, judged.kernel.operations, worst);
            if worst.ulp > bound {
                broken.push(format!("{expression} fma={fma}: {worst:?}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_float64_truth_is_the_definition() {
    let sample: Vec<f64> = dense_sample().into_iter().step_by(17).map(f64::from).collect();
    let mut y = vec![0.0; sample.len()];
    for &(expression, ..) in ACTIVATIONS {
        let expression = with_float32_parameters(expression);
        let kernel = Kernel::new(&expression, Meaning::Definition, Dtype::F64, Isa::detect().has_fma());
        kernel.run(&sample, &mut y);
        let program = Library::standard().parse(&expression).unwrap_or_else(|error| panic!("{error}"));
        let graph = program.graph(Meaning::Definition).unwrap_or_else(|error| panic!("{error}"));
        let mut reference = ScalarEvaluator::new(&graph).expect("activations are elementwise");
        for (x, y) in sample.iter().zip(&y) {
            let truth = reference.evaluate(&[*x]).expect("one input").next().expect("one output");
            // Far below a float32's last place, whose half is 6e-8.
            let close = (truth - y).abs() <= 1e-12 * truth.abs() + 1e-60 || (truth.is_nan() && y.is_nan());
            assert!(close || truth == *y, "{expression} at {x:e}: {y:e} for {truth:e}");
        }
    }
}

#[test]
#[ignore = "minutes a function: all 2^32 bit patterns; FUSELET_SWEEP names them"]
fn every_float32_is_within_the_bound() {
    let wanted = std::env::var("FUSELET_SWEEP").unwrap_or_default();
    let machines = std::env::var("FUSELET_SWEEP_FMA").unwrap_or_else(|_| "true,false".to_owned());
    let mut broken = Vec::new();
    for &(expression, with_fma, without_fma) in ACTIVATIONS {
        let name = &expression[..expression.find('(').expect("a call")];
        if !wanted.is_empty() && !wanted.split(',').any(|wanted| wanted == name || wanted == expression) {
            continue;
        }
        for (fma, bound) in [(true, with_fma), (false, without_fma)] {
            if (fma && !Isa::detect().has_fma()) || !machines.contains(if fma { "true" } else { "false" }) {
                continue;
            }
            let judged = Judged::new(expression, fma);
            let blocks = (0..1u64 << 32).step_by(BLOCK);
            let blocks = blocks.map(|start| (0..BLOCK as u64).map(|i| f32::from_bits((start + i) as u32)).collect());
            let worst = judged.worst(blocks);
            report(expression, fma, judged.kernel.operations, worst);
            if worst.ulp > bound {
                broken.push(format!("{expression} fma={fma}: {worst:?}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
