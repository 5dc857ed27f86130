//! Exact rewriting changes no bit of what the engine computes: graphs drawn so that every exact rule applies, kept as they are
//! and rewritten, fused and unfused, on every backend, over zeros of either sign, subnormals, infinities and NaN of either
//! sign. (The crate `fuselet-ir` tests the rules on a model of IEEE arithmetic; here are lowering, folding and code.)

mod common;

use common::{Array, Random, assert_same_bits, groups, name};
use fuselet::ir::rewrite::{Rules, rewrite, rules};
use fuselet::ir::{Axes, Class, Graph, Kind, NodeId, Op, Reduction, shape};
use fuselet::{BackendChoice, Engine, Fusion};
use std::collections::BTreeMap;

/// Graphs, at least: as many as show every rule often.
const GRAPHS: usize = 4000;

/// Where bits differ first.
const SPECIALS: [f32; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    0.5,
    3.0,
    0.1,
    6.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::from_bits(0xffc0_0001),
    f32::from_bits(1),
    f32::from_bits(0x8000_0001),
    f32::from_bits(0x007f_ffff),
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    1e-30,
    16_777_216.0,
];

/// The rows and columns of the inputs.
const SHAPE: [usize; 2] = [5, SPECIALS.len()];

fn constant(graph: &mut Graph, random: &mut Random) -> NodeId {
    let number = match random.below(4) {
        0 => 2f64.powi(random.below(300) as i32 - 150),
        1 => [0.0, -0.0, 1.0, -1.0][random.below(4)],
        2 => [1e-300, 1e300, 0.1, 16_777_217.0, 1e-40][random.below(5)],
        _ => f64::from(SPECIALS[random.below(SPECIALS.len())]),
    };
    graph.constant(number)
}

/// A graph of few nodes and many constants: what rules look for.
fn draw(random: &mut Random) -> Graph {
    let ops: Vec<Op> = Op::all().filter(|op| op.class() != Class::Companion).collect();
    let plain: Vec<Op> = ops.iter().copied().filter(|op| op.class() != Class::Special).collect();
    let mut graph = Graph::new();
    let mut nodes: Vec<NodeId> = ["x", "y"].iter().map(|name| graph.input(name)).collect();
    for _ in 0..2 + random.below(9) {
        let number = |graph: &mut Graph, random: &mut Random| {
            let fitting: Vec<NodeId> = nodes.iter().copied().filter(|id| graph.kind(*id) == Kind::Number).collect();
            if random.below(4) == 0 {
                constant(graph, random)
            } else {
                fitting[fitting.len() - 1 - random.below(fitting.len().min(4))]
            }
        };
        let (x, y, z) = (number(&mut graph, random), number(&mut graph, random), number(&mut graph, random));
        let truth = |graph: &mut Graph, random: &mut Random| {
            let fitting: Vec<NodeId> = nodes.iter().copied().filter(|id| graph.kind(*id) == Kind::Bool).collect();
            match fitting.len() {
                0 => graph.apply([Op::Less, Op::LessEqual, Op::Equal][random.below(3)], &[x, y]),
                some => fitting[some - 1 - random.below(some.min(3))],
            }
        };
        let (c, d) = (truth(&mut graph, random), truth(&mut graph, random));
        let added = match random.below(20) {
            0 | 1 => {
                let reduction = [Reduction::Max, Reduction::Min, Reduction::Sum, Reduction::Mean][random.below(4)];
                let axes = [Axes::List(Vec::new()), Axes::All, Axes::List(Vec::new())][random.below(3)].clone();
                let first = graph.reduce(reduction, x, axes.clone());
                if random.below(2) == 0 { graph.reduce(reduction, first, axes) } else { first }
            }
            // Twice the same op on its own result.
            2 => {
                let op = [Op::Maximum, Op::Minimum, Op::Mul, Op::CopySign][random.below(4)];
                let first = graph.apply(op, &[x, y]);
                let again = if op == Op::Mul { graph.constant(4.0) } else { y };
                graph.apply(op, &[first, again])
            }
            3 => {
                let op = [Op::Less, Op::LessEqual, Op::Equal][random.below(3)];
                let mut clamp = |x: NodeId| {
                    let condition = graph.apply(op, &[y, x]);
                    graph.apply(Op::Select, &[condition, x, y])
                };
                let first = clamp(x);
                clamp(first)
            }
            // Ops on negations.
            4 | 5 => {
                let op =
                    [Op::Mul, Op::Div, Op::Add, Op::Sub, Op::Fma, Op::Less, Op::Equal, Op::CopySign][random.below(8)];
                let (a, b) = (graph.apply(Op::Neg, &[x]), graph.apply(Op::Neg, &[y]));
                let k = constant(&mut graph, random);
                let (a, b) = [(a, b), (a, k), (k, b)][random.below(3)];
                graph.apply(op, &[a, b, z][..op.arity()])
            }
            6 => {
                let inner = graph.apply(Op::Select, &[c, x, y]);
                let (a, b) = [(inner, y), (x, inner), (y, inner), (x, x)][random.below(4)];
                graph.apply(Op::Select, &[c, a, b])
            }
            7 => {
                let (low, high) = (graph.constant(-0.0), graph.constant(6.0));
                let first = graph.apply(Op::Maximum, &[x, low]);
                let clamped = graph.apply(Op::Minimum, &[first, high]);
                graph.apply(Op::Maximum, &[clamped, low])
            }
            8 => {
                let (a, b) = (graph.constant(1.0), graph.constant(2.0));
                let known = graph.apply(Op::Less, &[a, b]);
                graph.apply(Op::Select, &[known, x, x])
            }
            9 => {
                let k = constant(&mut graph, random);
                let inner = graph.apply(Op::CopySign, &[if random.below(2) == 0 { k } else { z }, y]);
                graph.apply(Op::CopySign, &[x, inner])
            }
            // A unit beside anything: most rules are of these.
            11 | 12 => {
                use Op::{Add, CopySign, Div, Fma, Maximum, Minimum, Mul, Sub};
                const OPS: [Op; 12] = [Add, Add, Sub, Sub, Mul, Mul, Div, Div, Fma, Maximum, Minimum, CopySign];
                const UNITS: [f64; 8] = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, 4.0, 0.5];
                let op = OPS[random.below(OPS.len())];
                let k = graph.constant(UNITS[random.below(UNITS.len())]);
                let (a, b, c) = [(x, k, y), (k, x, y), (x, y, k)][random.below(3)];
                graph.apply(op, &[a, b, c][..op.arity()])
            }
            // Rounded to a storage type, and again to the same or the next.
            13 if random.below(2) == 0 => {
                let casts: Vec<Op> = ops.iter().copied().filter(|op| op.class() == Class::Cast).collect();
                let at = random.below(casts.len());
                let inner = graph.apply(casts[at], &[x]);
                graph.apply(casts[(at + random.below(2)) % casts.len()], &[inner])
            }
            13 => {
                const OPS: [Op; 6] = [Op::Abs, Op::Neg, Op::Floor, Op::Ceil, Op::Trunc, Op::Round];
                let inner = graph.apply(OPS[random.below(OPS.len())], &[x]);
                graph.apply(OPS[random.below(OPS.len())], &[inner])
            }
            14 => {
                let inner = graph.apply(Op::Not, &[c]);
                let outer = graph.apply(Op::Not, &[inner]);
                graph.apply(Op::Select, &[[outer, inner][random.below(2)], x, y])
            }
            10 => {
                let op = ops[random.below(ops.len())];
                op_on(&mut graph, op, [x, y, z], [c, d])
            }
            _ => {
                let op = plain[random.below(plain.len())];
                op_on(&mut graph, op, [x, y, [x, z][random.below(2)]], [c, d])
            }
        };
        nodes.push(added);
    }
    graph.output("last", *nodes.last().unwrap());
    let numbers: Vec<NodeId> = nodes.iter().copied().filter(|id| graph.kind(*id) == Kind::Number).collect();
    graph.output("other", numbers[random.below(numbers.len())]);
    graph
}

fn op_on(graph: &mut Graph, op: Op, numbers: [NodeId; 3], truths: [NodeId; 2]) -> NodeId {
    let arguments: Vec<NodeId> = (0..op.arity())
        .map(|place| match op.argument_kind(place) {
            Kind::Number => numbers[place],
            Kind::Bool => truths[place],
        })
        .collect();
    graph.apply(op, &arguments)
}

/// Inputs whose elements meet each other in many pairs.
fn arrays(graph: &Graph, random: &mut Random) -> Vec<Array> {
    let array = |_: &String| {
        Array::from_fn(&SHAPE, |_| match random.below(4) {
            0 => f32::from_bits(random.next() as u32),
            _ => SPECIALS[random.below(SPECIALS.len())],
        })
    };
    graph.inputs().iter().map(array).collect()
}

fn run(engine: &Engine, graph: &Graph, fusion: Fusion, arrays: &[Array]) -> Vec<Array> {
    let function = engine.compile_graph(graph, fusion).unwrap();
    common::call(&function, arrays).unwrap_or_else(|error| panic!("{}: {error}", name(engine)))
}

#[test]
fn every_exact_rule_keeps_every_bit_in_the_engine() {
    // What a rule may do on a machine with a fused multiply-add it may not on one without: `groups` has both.
    let mut random = Random(5);
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    let engines: Vec<(Engine, Vec<Engine>)> = groups()
        .iter()
        .map(|group| {
            let keeping = |engine: &Engine| {
                let backend = engine.backend_name();
                let choice = BackendChoice::by_name(backend.split(' ').next().unwrap()).unwrap();
                Engine::builder().backend(choice).isa(engine.isa()).threads(1).keep_graph(true).build().unwrap()
            };
            // The judge keeping the graph, against it and the last of the group rewriting, and the last keeping it.
            let last = group.engines.last().unwrap();
            (keeping(group.judge()), vec![group.judge().clone(), last.clone(), keeping(last)])
        })
        .collect();
    for round in 0..GRAPHS {
        let graph = draw(&mut random);
        // A scalar has no axes: of an error rewriting may make none.
        if shape::infer(&graph, &vec![SHAPE.to_vec(); graph.inputs().len()]).is_err() {
            continue;
        }
        for (rule, count) in rewrite(&graph, Rules::Exact).applied {
            *hits.entry(rule).or_default() += count;
        }
        let arrays = arrays(&graph, &mut random);
        for (judge, others) in &engines {
            let wanted = run(judge, &graph, Fusion::Full, &arrays);
            let unfused = run(judge, &graph, Fusion::Off, &arrays);
            let mut all = vec![(judge, Fusion::Off, unfused)];
            for engine in others {
                let fusion = [Fusion::Full, Fusion::Off][random.below(2)];
                all.push((engine, fusion, run(engine, &graph, fusion, &arrays)));
            }
            for (engine, fusion, found) in all {
                for (found, wanted) in found.iter().zip(&wanted) {
                    assert_same_bits(&found.data, &wanted.data, || {
                        format!(
                            "graph {round}, {}, {fusion:?}: {:#?}\n{:?}",
                            name(engine),
                            graph.nodes(),
                            graph.outputs()
                        )
                    });
                }
            }
        }
    }
    for rule in rules().filter(|rule| rule.exact) {
        assert!(hits.get(rule.name).is_some_and(|count| *count >= 3), "{} was hardly tested: {hits:?}", rule.name);
    }
}

#[test]
fn a_reduction_of_nothing_gives_what_a_reduction_over_one_element_gives() {
    let x = Array::new(&[SPECIALS.len(), 1], SPECIALS.to_vec());
    for group in groups() {
        for keep_graph in [false, true] {
            for engine in &group.engines {
                let backend = engine.backend_name();
                let choice = BackendChoice::by_name(backend.split(' ').next().unwrap()).unwrap();
                let engine = Engine::builder()
                    .backend(choice)
                    .isa(engine.isa())
                    .threads(1)
                    .keep_graph(keep_graph)
                    .build()
                    .unwrap();
                for reduction in ["max", "min", "sum", "mean"] {
                    for fusion in [Fusion::Full, Fusion::Off] {
                        let call = |axes: &str| {
                            let program = common::program(&format!("{reduction}(x, axis = {axes})"));
                            common::run(&engine, fusion, &program, std::slice::from_ref(&x)).remove(0)
                        };
                        let context = || format!("{reduction}, {}, rewritten: {}", name(&engine), !keep_graph);
                        let (nothing, one) = (call("[]"), call("-1"));
                        assert_same_bits(&nothing.data, &one.data, context);
                        assert_eq!(nothing.data[1].to_bits(), 0, "{}: -0", context());
                    }
                }
            }
        }
    }
}

#[test]
fn copysign_takes_a_nan_as_positive_wherever_it_comes_from() {
    let negative = f32::from_bits(0xffc0_0000);
    let x = Array::vector(vec![f32::NAN, negative, f32::from_bits(0xff80_0001), f32::from_bits(0x7f80_0001)]);
    let signs = [
        "x",
        "-x",
        "x + 1",
        "x + (inf - inf)",
        "x * -1",
        "pow(x, 3)",
        "fma(x, x, x)",
        "logsumexp(x)",
        "log(-1 - abs(x))",
        "sqrt(x)",
        "minimum(x, 0)",
        "maximum(-1, x)",
        "sin(x)",
        "max(x)",
        "sum(x) - 1",
        "0 / (x - x)",
        "copysign(x, -1)",
    ];
    for group in groups() {
        for sign in signs {
            for (text, wanted) in [
                (format!("copysign(1, {sign})"), 1.0),
                (format!("copysign(-2 - 0 * abs(x ^ 0), {sign})"), 2.0),
                (format!("log(copysign(1, {sign}))"), 0.0),
            ] {
                let program = common::program(&text);
                let found = common::agreed(group, &program, std::slice::from_ref(&x), &text).remove(0);
                assert!(found.data.iter().all(|y| *y == wanted), "{text}: {found:?}");
            }
        }
        // Numbers have the sign they have.
        let numbers =
            Array::vector(vec![0.0, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x8000_0001)]);
        let program = common::program("copysign(3, x)");
        let found = common::agreed(group, &program, std::slice::from_ref(&numbers), "numbers").remove(0);
        assert_eq!(found.data, [3.0, -3.0, 3.0, -3.0, 3.0, -3.0, -3.0]);
    }
}
