//! The high-precision reference: a graph evaluated op by op with hundreds of bits.
//!
//! [`Precise`] evaluates at two precisions and takes the result only when both agree to far more bits than a verdict
//! on float32 needs; otherwise it doubles the precision (Ziv's strategy), so that a graph that cancels, as a user's
//! own chain may, is judged by its true value all the same. Constants are the graph's float64 numbers; a caller who
//! wants parameters rounded to float32 rounds them before.
//!
//! A graph is evaluated on one row: elementwise ops broadcast single elements, reductions run over the whole row.

mod functions;
mod number;

pub use number::{to_f64, ulp_distance};

use astro_float::{BigFloat, RoundingMode};
use functions::Arithmetic;
use fuselet::ir::{Graph, Half, Node, Reduction};

/// Every rounding is to nearest.
const ROUNDING: RoundingMode = RoundingMode::ToEven;

/// The first precision, and the one that confirms it.
const FIRST: (usize, usize) = (256, 384);

/// Results agree when they differ by less than this relative to either: 2⁻⁸⁰.
const AGREEMENT: i64 = 80;

/// No graph is evaluated with more bits.
const MOST_BITS: usize = 8192;

/// Evaluates graphs with hundreds of bits.
pub struct Precise {
    arithmetic: Arithmetic,
}

impl Precise {
    /// Ready to evaluate.
    pub fn new() -> Precise {
        Precise { arithmetic: Arithmetic::new() }
    }

    /// The first output of an elementwise graph at one number.
    pub fn scalar(&mut self, graph: &Graph, x: f64) -> BigFloat {
        self.row(graph, &[x]).swap_remove(0)
    }

    /// The first output of a graph at one row.
    pub fn row(&mut self, graph: &Graph, x: &[f64]) -> Vec<BigFloat> {
        let (mut low, mut high) = FIRST;
        let mut last = self.evaluate(graph, x, low);
        loop {
            let next = self.evaluate(graph, x, high);
            if high > MOST_BITS || last.iter().zip(&next).all(|(a, b)| agree(a, b)) {
                return next;
            }
            (low, last) = (high, next);
            high = 2 * low;
        }
    }

    fn evaluate(&mut self, graph: &Graph, x: &[f64], precision: usize) -> Vec<BigFloat> {
        let live = graph.live();
        let mut values: Vec<Vec<BigFloat>> = Vec::with_capacity(graph.nodes().len());
        for id in graph.ids() {
            let value = match graph.node(id) {
                _ if !live[id.index()] => Vec::new(),
                Node::Input(_) => x.iter().map(|x| number::from_f64(*x, precision)).collect(),
                Node::Constant(bits) => vec![number::from_f64(f64::from_bits(*bits), precision)],
                Node::Elementwise { op, arguments } => {
                    let arguments: Vec<&[BigFloat]> = arguments.iter().map(|id| &values[id.index()][..]).collect();
                    let length = arguments.iter().map(|argument| argument.len()).max().unwrap_or(1);
                    let element = |index: usize| {
                        let at = |argument: &&'_ [BigFloat]| if argument.len() == 1 { 0 } else { index };
                        arguments.iter().map(|argument| &argument[at(argument)]).collect::<Vec<_>>()
                    };
                    (0..length).map(|index| self.arithmetic.apply(*op, &element(index), precision)).collect()
                }
                Node::Reduce { reduction, argument, .. } => {
                    vec![reduce(*reduction, &values[argument.index()], precision)]
                }
                Node::Half { argument, half, .. } => {
                    let row = &values[argument.index()];
                    let (first, second) = row.split_at(row.len() / 2);
                    match half {
                        Half::First => first.to_vec(),
                        Half::Second => second.to_vec(),
                    }
                }
            };
            values.push(value);
        }
        values.swap_remove(graph.outputs()[0].node.index())
    }
}

/// Whether two approximations of one number are as good as equal.
fn agree(a: &BigFloat, b: &BigFloat) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    if a.is_inf() || b.is_inf() {
        return a.is_inf() && b.is_inf() && a.is_negative() == b.is_negative();
    }
    let difference = a.sub(b, 64, ROUNDING);
    match (number::binade(&difference), number::binade(b)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(difference), Some(value)) => difference + AGREEMENT <= value,
    }
}

fn reduce(reduction: Reduction, row: &[BigFloat], p: usize) -> BigFloat {
    let zero = number::from_f64(0.0, p);
    let length = number::from_f64(row.len() as f64, p);
    let sum = || row.iter().fold(number::from_f64(0.0, p), |sum, x| sum.add(x, p + 64, ROUNDING));
    let extreme = |sign: i128| {
        if row.iter().any(BigFloat::is_nan) {
            return astro_float::NAN;
        }
        let start = if sign > 0 { astro_float::INF_NEG } else { astro_float::INF_POS };
        row.iter()
            .fold(start, |best, x| if x.cmp(&best).is_some_and(|order| order * sign > 0) { x.clone() } else { best })
    };
    match reduction {
        Reduction::Max => extreme(1),
        Reduction::Min => extreme(-1),
        Reduction::Sum | Reduction::SumHigh => sum(),
        Reduction::SumLow => zero,
        Reduction::Mean => sum().div(&length, p, ROUNDING),
        Reduction::SparsemaxTau => sparsemax_threshold(row, &extreme(1), p),
    }
}

/// The τ for which Σ max(x − τ, 0) is 1: sort descending, take the longest prefix with 1 + k·x₍ₖ₎ > Σ of the prefix.
fn sparsemax_threshold(row: &[BigFloat], largest: &BigFloat, p: usize) -> BigFloat {
    if largest.is_nan() || largest.is_inf() {
        return astro_float::NAN;
    }
    let mut sorted: Vec<&BigFloat> = row.iter().collect();
    sorted.sort_by(|a, b| b.cmp(a).unwrap_or(0).cmp(&0));
    let one = number::from_f64(1.0, p);
    let (mut prefix, mut threshold) = (number::from_f64(0.0, p), largest.clone());
    for (index, x) in sorted.into_iter().enumerate() {
        let count = number::from_f64((index + 1) as f64, p);
        let next = prefix.add(x, p, ROUNDING);
        let bound = one.add(&count.mul(x, p, ROUNDING), p, ROUNDING);
        if bound.cmp(&next).is_none_or(|order| order <= 0) {
            break;
        }
        threshold = next.sub(&one, p, ROUNDING).div(&count, p, ROUNDING);
        prefix = next;
    }
    threshold
}
