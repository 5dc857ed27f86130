//! Rewriting: exact rules keep every bit in both dtypes, relaxed ones hold for real numbers, labels and names survive.

mod machine;

use fuselet_ir::reference::{Array, evaluate};
use fuselet_ir::rewrite::{DROP_UNUSED, Rewritten, Rules, SHARE_EQUAL, rewrite, rules};
use fuselet_ir::verify::verify;
use fuselet_ir::{Axes, Class, Graph, Kind, Node, NodeId, Op, Reduction};
use machine::{ROW, run_f32, run_f64};
use std::collections::BTreeMap;

/// Numbers from one seed (xorshift64*): the same graphs on every run.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.bits() >> 33) as usize % bound
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn f64(&mut self) -> f64 {
        match self.below(4) {
            0 => self.pick(&SPECIALS),
            1 => f64::from(self.below(33) as i32 - 16) / 4.0,
            _ => f64::from_bits(self.bits()),
        }
    }

    fn f32(&mut self) -> f32 {
        match self.below(4) {
            0 => self.pick(&SPECIALS) as f32,
            1 => (self.below(33) as i32 - 16) as f32 / 4.0,
            _ => f32::from_bits(self.bits() as u32),
        }
    }
}

const TINY: f64 = 1.0 / 0x8000_0000_0000_0000_u64 as f64;

/// What bites: zeros, infinities, NaN, units, the ends of float32's and float64's ranges, what float32 rounds.
const SPECIALS: [f64; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    2.0,
    -2.0,
    0.5,
    3.0,
    0.1,
    -0.1,
    6.0,
    1e300,
    -1e300,
    1e-300,
    f32::MAX as f64,
    f32::MIN_POSITIVE as f64,
    TINY,
    16_777_217.0,
    1e-45,
];

/// A graph of the ops the machine knows, biased towards what rules look for: few nodes, many constants.
fn random_graph(random: &mut Random) -> Graph {
    let (casts, ops): (Vec<Op>, Vec<Op>) = Op::all()
        .filter(|op| !matches!(op.class(), Class::Special | Class::Companion))
        .partition(|op| op.class() == Class::Cast);
    let mut graph = Graph::new();
    let mut nodes: Vec<NodeId> = ["x", "y", "s"].iter().map(|name| graph.input(name)).collect();
    for _ in 0..2 + random.below(12) {
        let mut argument = |graph: &mut Graph, kind: Kind| {
            let recent = nodes.len().saturating_sub(4 + random.below(5));
            let fitting: Vec<NodeId> = nodes[recent..].iter().copied().filter(|id| graph.kind(*id) == kind).collect();
            match kind {
                Kind::Number if fitting.is_empty() || random.below(4) == 0 => {
                    let power = 2f64.powi(random.below(300) as i32 - 150);
                    let value = [random.pick(&SPECIALS), random.pick(&[0.0, -0.0, 1.0, -1.0]), power][random.below(3)];
                    Some(graph.constant(value))
                }
                _ => (!fitting.is_empty()).then(|| random.pick(&fitting)),
            }
        };
        let x = argument(&mut graph, Kind::Number).unwrap();
        let y = argument(&mut graph, Kind::Number).unwrap();
        let truth = argument(&mut graph, Kind::Bool);
        let other = argument(&mut graph, Kind::Bool);
        let added = match random.below(10) {
            0 => {
                let axes = random.pick(&[0, 1, 2]);
                let axes = [Axes::List(vec![]), Axes::one(0), Axes::All][axes].clone();
                let reduction = random.pick(&[Reduction::Max, Reduction::Min, Reduction::Sum, Reduction::Mean]);
                graph.reduce(reduction, x, axes)
            }
            // Twice the same op on its own result: absorption, idempotence.
            1 => {
                let op = random.pick(&[Op::Maximum, Op::Minimum, Op::Mul, Op::CopySign]);
                let first = graph.apply(op, &[x, y]);
                let again = if op == Op::Mul { graph.constant(4.0) } else { y };
                graph.apply(op, &[first, again])
            }
            2 => {
                let comparison = random.pick(&[Op::Less, Op::LessEqual, Op::Equal]);
                let clamp = |graph: &mut Graph, x: NodeId| {
                    let condition = graph.apply(comparison, &[y, x]);
                    graph.apply(Op::Select, &[condition, x, y])
                };
                let first = clamp(&mut graph, x);
                clamp(&mut graph, first)
            }
            // Ops on negations, one of them perhaps of a constant.
            3 if random.below(2) == 0 => {
                let op = random.pick(&[Op::Mul, Op::Div, Op::Add, Op::Sub, Op::Fma, Op::Less, Op::Equal]);
                let (a, b) = (graph.apply(Op::Neg, &[x]), graph.apply(Op::Neg, &[y]));
                let c = graph.constant(random.pick(&SPECIALS));
                let (a, b) = random.pick(&[(a, b), (a, c), (c, b)]);
                graph.apply(op, &[a, b, x][..op.arity()])
            }
            // A choice within a choice.
            4 if truth.is_some() => {
                let inner = graph.apply(Op::Select, &[truth.unwrap(), x, y]);
                let (a, b) = random.pick(&[(inner, y), (x, inner), (y, inner)]);
                graph.apply(Op::Select, &[truth.unwrap(), a, b])
            }
            3 => {
                let (low, high) = (graph.constant(-0.0), graph.constant(6.0));
                let low_first = graph.apply(Op::Maximum, &[x, low]);
                let clamped = graph.apply(Op::Minimum, &[low_first, high]);
                graph.apply(Op::Maximum, &[clamped, low])
            }
            // Rounded to a storage type, and perhaps again, to the same or another.
            5 if random.below(3) == 0 => {
                let (first, second) = (random.pick(&casts), random.pick(&casts));
                let rounded = graph.apply(first, &[x]);
                graph.apply([first, second][random.below(2)], &[rounded])
            }
            _ => {
                let op = random.pick(&ops);
                let pool = [x, y, random.pick(&[x, y])];
                let arguments = (0..op.arity()).map(|place| match op.argument_kind(place) {
                    Kind::Number => Some(pool[place]),
                    Kind::Bool => {
                        if place == 0 {
                            truth
                        } else {
                            other
                        }
                    }
                });
                match arguments.collect::<Option<Vec<_>>>() {
                    Some(arguments) => graph.apply(op, &arguments),
                    None => continue,
                }
            }
        };
        nodes.push(added);
    }
    graph.output("last", *nodes.last().unwrap());
    let other = random.pick(&nodes);
    graph.output("other", other);
    graph
}

/// The bits of a number, all NaN being one.
fn class_bits<F: Into<f64> + Copy>(value: F) -> u64 {
    let value: f64 = value.into();
    if value.is_nan() { u64::MAX } else { value.to_bits() }
}

fn same<F: Into<f64> + Copy>(left: &[Vec<F>], right: &[Vec<F>]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            left.len() == right.len() && left.iter().zip(right).all(|(a, b)| class_bits(*a) == class_bits(*b))
        })
}

#[test]
fn exact_rules_keep_every_bit_in_both_dtypes() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut hits: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 0..60_000 {
        let graph = random_graph(&mut random);
        let Rewritten { graph: rewritten, applied } = rewrite(&graph, Rules::Exact);
        verify(&rewritten).unwrap();
        for (name, count) in &applied {
            *hits.entry(name).or_default() += count;
        }
        for _ in 0..6 {
            let lengths = [ROW, ROW, 1];
            let wide: Vec<Vec<f64>> = lengths.iter().map(|n| (0..*n).map(|_| random.f64()).collect()).collect();
            let narrow: Vec<Vec<f32>> = lengths.iter().map(|n| (0..*n).map(|_| random.f32()).collect()).collect();
            let in_f64 = same(&run_f64(&graph, &wide), &run_f64(&rewritten, &wide));
            let in_f32 = same(&run_f32(&graph, &narrow), &run_f32(&rewritten, &narrow));
            assert!(
                in_f64 && in_f32,
                "round {round}, float64 {in_f64}, float32 {in_f32}: {applied:?}\n{wide:?}\n{narrow:?}\n{:#?}\n{:#?}",
                graph.nodes(),
                rewritten.nodes(),
            );
        }
    }
    for rule in rules().filter(|rule| rule.exact) {
        assert!(hits.get(rule.name).is_some_and(|count| *count >= 20), "{} was hardly tested: {hits:?}", rule.name);
    }
}

/// A graph over `x` and `y` with the output `out` and without labels.
fn graph_of(build: impl FnOnce(&mut Graph, NodeId, NodeId) -> NodeId) -> Graph {
    let mut graph = Graph::new();
    let (x, y) = (graph.input("x"), graph.input("y"));
    let out = build(&mut graph, x, y);
    graph.output("out", out);
    graph
}

#[test]
fn what_no_rule_matches_stays_as_it_is() {
    let mut random = Random(7);
    for _ in 0..5_000 {
        let graph = random_graph(&mut random);
        for which in [Rules::Exact, Rules::Relaxed] {
            let once = rewrite(&graph, which).graph;
            verify(&once).unwrap();
            assert_eq!(once.inputs(), graph.inputs());
            let again = rewrite(&once, which);
            assert_eq!(again.applied, [], "{:#?}", once.nodes());
            assert_eq!(again.graph, once);
        }
    }
}

/// Each of these is wrong for some argument, so no exact rule may touch it.
#[test]
fn tempting_identities_are_not_exact() {
    type Build = fn(&mut Graph, NodeId, NodeId) -> NodeId;
    let builds: [(&str, Build); 9] = [
        ("x - x is NaN for infinities", |g, x, _| g.apply(Op::Sub, &[x, x])),
        ("-0 + 0 is +0", |g, x, _| {
            let zero = g.constant(0.0);
            g.apply(Op::Add, &[x, zero])
        }),
        ("0 - 0 is +0", |g, x, _| {
            let zero = g.constant(0.0);
            g.apply(Op::Sub, &[zero, x])
        }),
        ("x * 0 is NaN for infinities", |g, x, _| {
            let zero = g.constant(0.0);
            g.apply(Op::Mul, &[x, zero])
        }),
        ("-(x - x) is -0", |g, x, y| {
            let d = g.apply(Op::Sub, &[x, y]);
            g.apply(Op::Neg, &[d])
        }),
        ("1/3 is rounded", |g, x, _| {
            let three = g.constant(3.0);
            g.apply(Op::Div, &[x, three])
        }),
        ("2^-127 is subnormal", |g, x, _| {
            let large = g.constant(2f64.powi(127));
            g.apply(Op::Div, &[x, large])
        }),
        ("0.1 + 0.2 depends on the dtype", |g, x, _| {
            let (a, b) = (g.constant(0.1), g.constant(0.2));
            let sum = g.apply(Op::Add, &[a, b]);
            g.apply(Op::Add, &[x, sum])
        }),
        ("1e300 < 2e300 is false in float32", |g, x, y| {
            let (a, b) = (g.constant(1e300), g.constant(2e300));
            let less = g.apply(Op::Less, &[a, b]);
            g.apply(Op::Select, &[less, x, y])
        }),
    ];
    for (reason, build) in builds {
        let graph = graph_of(build);
        let rewritten = rewrite(&graph, Rules::Exact);
        assert_eq!((rewritten.graph, rewritten.applied), (graph, vec![]), "{reason}");
    }
}

#[test]
fn a_dropped_argument_never_changes_the_shape() {
    // `if y < 0 then x else x` has the shape x and y broadcast to; y may be the longer one.
    let by_other = |g: &mut Graph, x: NodeId, y: NodeId| {
        let zero = g.constant(0.0);
        let condition = g.apply(Op::Less, &[y, zero]);
        g.apply(Op::Select, &[condition, x, x])
    };
    let graph = graph_of(by_other);
    assert_eq!(rewrite(&graph, Rules::Relaxed).graph, graph);
    // Where x is computed from y, it covers y, and so it does a reduction of y.
    let covered = graph_of(|g, x, y| {
        let sum = g.apply(Op::Add, &[x, y]);
        let largest = g.reduce(Reduction::Max, y, Axes::one(-1));
        by_other(g, sum, largest)
    });
    let rewritten = rewrite(&covered, Rules::Exact);
    assert_eq!(rewritten.graph.nodes().len(), 3);
    assert_eq!(rewritten.applied, [("select_equal_branches", 1)]);
    // A half is shorter than what it is cut from, which does not cover it.
    let half = graph_of(|g, x, _| {
        let half = g.half(x, -1, fuselet_ir::Half::First);
        by_other(g, x, half)
    });
    assert_eq!(rewrite(&half, Rules::Exact).graph, half);
}

#[test]
fn labels_follow_their_nodes() {
    let mut graph = Graph::new();
    let (x, one) = (graph.input("x"), graph.constant(1.0));
    graph.input("unused");
    let negated = graph.apply(Op::Neg, &[x]);
    let inner = graph.apply(Op::Abs, &[negated]);
    let tanh = graph.apply(Op::Tanh, &[inner]);
    let scaled = graph.apply(Op::Mul, &[tanh, one]);
    let nothing = graph.apply(Op::Mul, &[x, one]);
    let identity = graph.apply(Op::Div, &[scaled, one]);
    let unused = graph.apply(Op::Exp, &[x]);
    graph.set_label(scaled, "even", &[negated]);
    graph.set_label(nothing, "nothing", &[x]);
    graph.set_label(identity, "identity", &[scaled]);
    graph.set_label(unused, "unused", &[x]);
    graph.output("a", identity);
    graph.output("b", nothing);
    let Rewritten { graph, applied } = rewrite(&graph, Rules::Exact);
    let out = graph.outputs()[0].node;
    let x = graph.find(&Node::Input(0)).unwrap();
    // `even` is now tanh(abs(x)): its argument, the negation, is gone, and x is what that was computed from.
    let labels: Vec<(NodeId, &str, &[NodeId])> =
        graph.labels().map(|(id, label)| (id, label.text.as_str(), &label.arguments[..])).collect();
    assert_eq!(labels, [(out, "even", &[x][..])]);
    assert_eq!(graph.inputs(), ["x", "unused"]);
    assert_eq!(graph.outputs()[1].node, x);
    assert_eq!(
        applied,
        [(DROP_UNUSED, 1), ("multiply_by_one", 2), ("divide_by_one", 1), ("absolute_of_sign_change", 1)]
    );
}

#[test]
fn nodes_that_become_equal_are_shared() {
    let graph = graph_of(|g, x, y| {
        let one = g.constant(1.0);
        let same = g.apply(Op::Mul, &[x, one]);
        let (a, b) = (g.apply(Op::Add, &[x, y]), g.apply(Op::Add, &[same, y]));
        g.apply(Op::Mul, &[a, b])
    });
    let rewritten = rewrite(&graph, Rules::Exact);
    assert_eq!(rewritten.applied, [(SHARE_EQUAL, 1), ("multiply_by_one", 1)]);
    assert_eq!(rewritten.graph.nodes().len(), 4);
}

#[test]
fn long_chains_need_no_stack_and_few_passes() {
    let graph = graph_of(|g, x, y| {
        let one = g.constant(1.0);
        (0..100_000).fold(x, |x, step| match step % 3 {
            0 => g.apply(Op::Mul, &[x, one]),
            1 => g.apply(Op::Neg, &[x]),
            _ => g.apply(Op::Add, &[x, y]),
        })
    });
    let rewritten = rewrite(&graph, Rules::Exact);
    assert!(rewritten.applied.contains(&("multiply_by_one", 33_334)), "{:?}", rewritten.applied);
}

/// One graph for each relaxed rule; its meaning in real numbers stays.
#[test]
fn relaxed_rules_hold_for_real_numbers() {
    type Build = fn(&mut Graph, NodeId, NodeId) -> NodeId;
    fn pow(g: &mut Graph, x: NodeId, power: f64) -> NodeId {
        let power = g.constant(power);
        g.apply(Op::Pow, &[x, power])
    }
    fn by(g: &mut Graph, op: Op, x: NodeId, c: f64) -> NodeId {
        let c = g.constant(c);
        g.apply(op, &[x, c])
    }
    fn from(g: &mut Graph, op: Op, c: f64, x: NodeId) -> NodeId {
        let c = g.constant(c);
        g.apply(op, &[c, x])
    }
    let builds: [(&str, Build); 20] = [
        ("fold_inexact_constants", |g, x, _| {
            let c = g.constant(0.7);
            let e = g.apply(Op::Exp, &[c]);
            g.apply(Op::Add, &[x, e])
        }),
        ("add_zero", |g, x, _| {
            let x = g.apply(Op::Exp, &[x]);
            by(g, Op::Add, x, 0.0)
        }),
        ("subtract_from_zero", |g, x, _| from(g, Op::Sub, 0.0, x)),
        ("negate_difference", |g, x, y| {
            let d = g.apply(Op::Sub, &[x, y]);
            g.apply(Op::Neg, &[d])
        }),
        ("add_zero_product", |g, x, y| {
            let p = by(g, Op::Mul, x, 0.0);
            let s = g.apply(Op::Add, &[x, y]);
            g.apply(Op::Add, &[p, s])
        }),
        ("divide_by_constant", |g, x, _| by(g, Op::Div, x, 3.0)),
        ("add_constants", |g, x, _| {
            let s = by(g, Op::Add, x, 0.3);
            by(g, Op::Sub, s, 0.1)
        }),
        ("multiply_constants", |g, x, _| {
            let p = by(g, Op::Mul, x, 0.3);
            by(g, Op::Mul, p, 0.7)
        }),
        ("add_constant_to_fma", |g, x, y| {
            let p = g.apply(Op::Mul, &[x, y]);
            let s = by(g, Op::Add, p, 0.3);
            by(g, Op::Add, s, 0.4)
        }),
        ("factor", |g, x, y| {
            let e = g.apply(Op::Exp, &[x]);
            let (p, q) = (g.apply(Op::Mul, &[x, e]), g.apply(Op::Mul, &[e, y]));
            g.apply(Op::Sub, &[p, q])
        }),
        ("contract", |g, x, y| {
            let p = g.apply(Op::Mul, &[x, y]);
            g.apply(Op::Add, &[x, p])
        }),
        ("contract_difference", |g, x, y| {
            let p = g.apply(Op::Mul, &[x, y]);
            by(g, Op::Sub, p, 0.3)
        }),
        ("contract_difference", |g, x, y| {
            let p = by(g, Op::Mul, x, 0.3);
            g.apply(Op::Sub, &[y, p])
        }),
        ("power_of_one", |g, x, _| pow(g, x, 1.0)),
        ("power_of_two", |g, x, _| pow(g, x, 2.0)),
        ("power_of_three", |g, x, _| pow(g, x, 3.0)),
        ("power_of_minus_one", |g, x, _| pow(g, x, -1.0)),
        ("power_of_half", |g, x, _| pow(g, x, 0.5)),
        ("root_of_square", |g, x, _| {
            let s = g.apply(Op::Mul, &[x, x]);
            g.apply(Op::Sqrt, &[s])
        }),
        ("sum_of_scaled", |g, x, _| {
            let p = by(g, Op::Mul, x, 0.3);
            g.reduce(Reduction::Sum, p, Axes::one(0))
        }),
    ];
    /// A few roundings of float64, of values and differences not smaller than 0.01.
    const TOLERANCE: f64 = 1e-13;
    for rule in rules().filter(|rule| !rule.exact) {
        assert!(builds.iter().any(|(name, _)| *name == rule.name), "{} has no example", rule.name);
    }
    for (name, build) in builds {
        let graph = graph_of(build);
        let exact = rewrite(&graph, Rules::Exact);
        assert!(exact.applied.iter().all(|(applied, _)| *applied != name), "{name} is not exact");
        let relaxed = rewrite(&graph, Rules::Relaxed);
        assert!(relaxed.applied.iter().any(|(applied, _)| *applied == name), "{name}: {:?}", relaxed.applied);
        let inputs = [Array::vector([0.5, 1.25, 2.0, 3.7]), Array::vector([0.9, 4.1, 1.3, 0.6])];
        let (before, after) = (evaluate(&graph, &inputs).unwrap(), evaluate(&relaxed.graph, &inputs).unwrap());
        assert_eq!(before[0].shape(), after[0].shape(), "{name}");
        for (before, after) in before[0].data().iter().zip(after[0].data()) {
            assert!((before - after).abs() <= TOLERANCE * before.abs(), "{name}: {before} became {after}");
        }
    }
}
