//! Random programs over random shapes, for proptest: a list of steps, each of which adds one value to a pool. Steps name
//! their arguments by how long ago they were made, so that any list is a program and a shortened one still is.

use super::{Array, Random};
use fuselet::ir::shape::{Shape, broadcast};
use fuselet::ir::{Axes, Class, Expr, Half, Library, Op, Program, Reduction};
use proptest::prelude::*;

/// What one step adds.
#[derive(Clone, Debug)]
pub struct Step {
    pub kind: u8,
    pub which: u8,
    pub arguments: [u8; 3],
    pub choice: u16,
}

/// A random program with the shapes of its inputs.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The shape all values broadcast to, before axes are halved.
    pub domain: Shape,
    /// For each input: which axes have length 1, and how many leading axes it lacks.
    pub inputs: Vec<(u8, u8)>,
    pub steps: Vec<Step>,
    /// The outputs beside the last value: how long ago each was made.
    pub extra_outputs: Vec<u8>,
    /// Of the input values.
    pub seed: u64,
}

/// Lengths at which loops change: none, one, tails before and after every vector width, more than one row of lanes.
const LENGTHS: [usize; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 17, 32, 33, 48, 64, 130];

/// Shapes of at most `most` elements.
fn shape(most: usize) -> impl Strategy<Value = Shape> {
    prop_oneof![
        4 => prop::collection::vec(1..LENGTHS.len(), 1..=4),
        1 => prop::collection::vec(0..LENGTHS.len(), 1..=4),
        1 => prop::collection::vec(1..5usize, 5..=8),
        2 => (1..400usize).prop_map(|length| vec![LENGTHS.len() + length]),
    ]
    .prop_map(move |choices| {
        let mut elements = 1;
        let length = |choice: usize| LENGTHS.get(choice).copied().unwrap_or(choice * 3);
        let clip = |choice| {
            let length: usize = length(choice);
            let length = if elements * length > most { 2 } else { length };
            elements *= length.max(1);
            length
        };
        choices.into_iter().map(clip).collect()
    })
}

/// Recipes of up to `steps` steps over at most `elements` elements.
pub fn recipe(steps: usize, elements: usize) -> impl Strategy<Value = Recipe> {
    recipe_over(shape(elements), steps)
}

/// Recipes over given shapes.
pub fn recipe_over(shapes: impl Strategy<Value = Shape>, steps: usize) -> impl Strategy<Value = Recipe> {
    let step = (any::<u8>(), any::<u8>(), any::<[u8; 3]>(), any::<u16>())
        .prop_map(|(kind, which, arguments, choice)| Step { kind, which, arguments, choice });
    let input = prop_oneof![2 => Just((0u8, 0u8)), 1 => (any::<u8>(), 0..3u8)];
    let inputs = prop::collection::vec(input, 1..4);
    (shapes, inputs, prop::collection::vec(step, 1..=steps), prop::collection::vec(any::<u8>(), 0..3), any::<u64>())
        .prop_map(|(domain, inputs, steps, extra_outputs, seed)| Recipe { domain, inputs, steps, extra_outputs, seed })
}

/// A value of the pool.
#[derive(Clone)]
struct Made {
    expr: Expr,
    shape: Shape,
}

const REDUCTIONS: [Reduction; 4] = [Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::Mean];

/// Library functions of rows.
const ROWS: [&str; 5] = ["softmax", "log_softmax", "logsumexp", "layer_norm", "rms_norm"];

impl Recipe {
    /// The shape of each input.
    pub fn input_shapes(&self) -> Vec<Shape> {
        let shape = |(ones, missing): &(u8, u8)| {
            let missing = usize::from(*missing).min(self.domain.len());
            let length = |axis: usize| if ones >> axis & 1 == 1 { 1 } else { self.domain[axis] };
            (missing..self.domain.len()).map(length).collect()
        };
        self.inputs.iter().map(shape).collect()
    }

    /// Values for the inputs that the program mentions, in its order: mostly in the range where functions bend.
    pub fn arrays(&self, names: &[String]) -> Vec<Array> {
        let wild = self.seed.is_multiple_of(4);
        let shapes = self.input_shapes();
        let array = |name: &String| {
            let index: usize = name[1..].parse().unwrap();
            let mut random = Random(self.seed ^ (index as u64) << 40);
            Array::from_fn(&shapes[index], |_| if wild { random.wild() } else { random.between(-6.0, 6.0) })
        };
        names.iter().map(array).collect()
    }

    /// The program.
    pub fn program(&self) -> Program {
        let mut pool: Vec<Made> = self
            .input_shapes()
            .into_iter()
            .enumerate()
            .map(|(index, shape)| Made { expr: Expr::input(format!("x{index}")), shape })
            .collect();
        for step in &self.steps {
            let made = step.apply(&pool);
            pool.push(made);
        }
        let mut outputs = vec![("y".to_owned(), pool[pool.len() - 1].expr.clone())];
        for (index, ago) in self.extra_outputs.iter().enumerate() {
            let made = &pool[pool.len() - 1 - usize::from(*ago) % pool.len()];
            outputs.push((format!("y{index}"), made.expr.clone()));
        }
        Program::new(outputs)
    }
}

/// A constant that is computed: of every op but the companions, at most so many deep.
fn constant(random: &mut Random, depth: usize) -> Expr {
    const NUMBERS: [f64; 20] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        3.0,
        0.5,
        0.1,
        20.0,
        30.0,
        -19.0,
        1e-40,
        1e-3,
        0.173,
        -64.9,
        1e9,
        4.0,
        1e30,
        f64::INFINITY,
        f64::NAN,
    ];
    if depth == 0 || random.below(4) == 0 {
        return Expr::number(NUMBERS[random.below(NUMBERS.len())]);
    }
    let ops: Vec<Op> = Op::all().filter(|op| op.class() != Class::Companion).collect();
    let op = ops[random.below(ops.len())];
    let arguments: Vec<Expr> = (0..op.arity()).map(|_| constant(random, depth - 1)).collect();
    match random.below(8) {
        0 => Expr::apply_op(op, &arguments).unwrap().reduce(REDUCTIONS[random.below(4)], Axes::List(Vec::new())),
        _ => Expr::apply_op(op, &arguments).unwrap(),
    }
}

impl Step {
    fn apply(&self, pool: &[Made]) -> Made {
        let take = |place: usize| pool[pool.len() - 1 - usize::from(self.arguments[place]) % pool.len()].clone();
        match self.kind % 16 {
            0..=5 => self.elementwise([take(0), take(1), take(2)]),
            6..=10 => self.activation(take(0)),
            11 | 12 => self.reduce(take(0)),
            13 => self.row_function(take(0)),
            14 => self.half(take(0)),
            _ => self.with_constant(take(0)),
        }
    }

    fn elementwise(&self, made: [Made; 3]) -> Made {
        // Ops of every class but the companions, which hold on a part of the numbers only.
        let ops: Vec<Op> = Op::all().filter(|op| op.class() != Class::Companion).collect();
        let op = ops[usize::from(self.which) % ops.len()];
        let shape = made[..op.arity()]
            .iter()
            .try_fold(Vec::new(), |shape: Shape, argument| broadcast(&shape, &argument.shape).ok());
        let mut arguments: Vec<Expr> = made[..op.arity()].iter().map(|argument| argument.expr.clone()).collect();
        let shape = shape.unwrap_or_else(|| {
            // Halved and whole axes do not meet: the first argument takes all places.
            arguments.fill(made[0].expr.clone());
            made[0].shape.clone()
        });
        Made { expr: Expr::apply_op(op, &arguments).unwrap(), shape }
    }

    fn activation(&self, made: Made) -> Made {
        let library = Library::standard();
        let number = f64::from(i32::from(self.choice % 17) - 8) / 4.0;
        let activations = [
            "linear",
            "relu",
            "leaky_relu",
            "relu6",
            "sigmoid",
            "tanh",
            "gelu",
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
        let name = activations[usize::from(self.which) % activations.len()];
        let activation = library.activation(name).unwrap();
        let activation = match name {
            _ if self.choice.is_multiple_of(3) => activation,
            "relu" => {
                activation.with("negative_slope", number).with("max_value", number.abs()).with("threshold", -number)
            }
            "leaky_relu" => activation.with("negative_slope", number),
            "gelu" => activation.with("approximate", true),
            "elu" => activation.with("alpha", number),
            "celu" => activation.with("alpha", if number == 0.0 { 0.75 } else { number }),
            "hard_shrink" | "soft_shrink" => activation.with("lambd", number.abs()),
            "threshold" => activation.with("threshold", number).with("default_value", -2.5),
            "squareplus" => activation.with("b", number.abs()),
            _ => activation,
        };
        Made { expr: activation.apply(&made.expr), shape: made.shape }
    }

    /// Some of the axes of a shape that has any, counted from either end.
    fn axes(&self, shape: &[usize]) -> (Vec<usize>, Vec<i64>) {
        let rank = shape.len();
        let mut axes: Vec<usize> = (0..rank).filter(|axis| self.choice >> axis & 1 == 1).collect();
        if axes.is_empty() {
            axes.push(rank - 1);
        }
        let written = |axis: &usize| *axis as i64 - if self.choice >> 15 == 1 { rank as i64 } else { 0 };
        let mut list: Vec<i64> = axes.iter().map(written).collect();
        if self.choice >> 14 & 1 == 1 {
            list.reverse();
        }
        (axes, list)
    }

    fn reduce(&self, made: Made) -> Made {
        let reduction = REDUCTIONS[usize::from(self.which) % REDUCTIONS.len()];
        if made.shape.is_empty() || self.choice & 0x3800 == 0 {
            return Made { expr: made.expr.reduce(reduction, Axes::List(Vec::new())), shape: made.shape };
        }
        let (axes, list) = self.axes(&made.shape);
        let mut shape = made.shape;
        for axis in axes {
            shape[axis] = 1;
        }
        Made { expr: made.expr.reduce(reduction, Axes::List(list)), shape }
    }

    fn row_function(&self, made: Made) -> Made {
        if made.shape.is_empty() {
            return self.with_constant(made);
        }
        let (axes, list) = self.axes(&made.shape);
        let library = Library::standard();
        let at = usize::from(self.which) % (ROWS.len() + 1);
        let mut shape = made.shape;
        if at == ROWS.len() {
            let activation = library.activation("sparsemax").unwrap().with("axis", list[0] as i32);
            return Made { expr: activation.apply(&made.expr), shape };
        }
        if ROWS[at] == "logsumexp" {
            for axis in axes {
                shape[axis] = 1;
            }
        }
        let activation = library.activation(ROWS[at]).unwrap().with("axis", list);
        Made { expr: activation.apply(&made.expr), shape }
    }

    fn half(&self, made: Made) -> Made {
        let rank = made.shape.len();
        let Some(axis) = (0..rank).find(|axis| made.shape[*axis].is_multiple_of(2)) else {
            return self.with_constant(made);
        };
        let written = axis as i64 - if self.choice & 1 == 1 { rank as i64 } else { 0 };
        let mut shape = made.shape;
        shape[axis] /= 2;
        let expr = match self.which % 3 {
            0 => made.expr.half(written, Half::First),
            1 => made.expr.half(written, Half::Second),
            _ => Library::standard().activation("glu").unwrap().with("axis", written as i32).apply(&made.expr),
        };
        Made { expr, shape }
    }

    fn with_constant(&self, made: Made) -> Made {
        const CONSTANTS: [f64; 10] = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 0.1, -3.25, 6.0, 1e-3];
        let constant = if self.choice & 0x600 == 0 {
            Expr::number(CONSTANTS[usize::from(self.choice) % CONSTANTS.len()])
        } else {
            let [a, b, c] = self.arguments.map(u64::from);
            constant(&mut Random(u64::from(self.choice) << 24 | a << 16 | b << 8 | c), 3)
        };
        let ops = [Op::Mul, Op::Add, Op::Sub, Op::Div, Op::Maximum, Op::Minimum, Op::Pow, Op::Pow, Op::CopySign];
        let op = ops[usize::from(self.which) % ops.len()];
        let arguments = if self.choice & 0x100 == 0 { [made.expr, constant] } else { [constant, made.expr] };
        Made { expr: Expr::apply_op(op, &arguments).unwrap(), shape: made.shape }
    }
}

/// Where an array lies in a larger slice: the order of its axes in memory, steps, directions, and room before it.
#[derive(Clone, Debug)]
pub struct Lay {
    pub data: Vec<f32>,
    pub shape: Shape,
    pub strides: Vec<isize>,
    pub offset: usize,
}

impl Lay {
    /// Lays an array out at random, with stride 0 along an axis along which all its elements are equal.
    pub fn new(array: &Array, random: &mut Random, fill: f32, equal: Option<usize>) -> Lay {
        let rank = array.shape.len();
        let mut order: Vec<usize> = (0..rank).collect();
        for at in (1..rank).rev() {
            order.swap(at, random.below(at + 1));
        }
        let mut strides = vec![0isize; rank];
        let mut reach = [1, 1, 2, 3][random.below(4)];
        let mut offset = random.below(5);
        for axis in order.into_iter().filter(|axis| Some(*axis) != equal) {
            let length = array.shape[axis];
            let backwards = random.below(3) == 0;
            strides[axis] = if backwards { -(reach as isize) } else { reach as isize };
            if backwards {
                offset += reach * length.saturating_sub(1);
            }
            reach = reach * length.max(1) + [0, 0, 1, 5][random.below(4)];
        }
        let mut lay = Lay { data: vec![fill; reach + offset + 7], shape: array.shape.clone(), strides, offset };
        for (at, value) in array.data.iter().enumerate() {
            let place = lay.place(at);
            lay.data[place] = *value;
        }
        lay
    }

    /// The place in the slice of the element at this place in row-major order.
    pub fn place(&self, mut at: usize) -> usize {
        let mut place = self.offset as isize;
        for axis in (0..self.shape.len()).rev() {
            place += (at % self.shape[axis]) as isize * self.strides[axis];
            at /= self.shape[axis];
        }
        place as usize
    }

    /// The elements in row-major order.
    pub fn elements(&self) -> Vec<f32> {
        (0..self.shape.iter().product()).map(|at| self.data[self.place(at)]).collect()
    }

    /// How many places of the slice belong to no element and do not hold `fill`.
    pub fn spoiled(&self, fill: f32) -> usize {
        let mut own = vec![false; self.data.len()];
        for at in 0..self.shape.iter().product() {
            own[self.place(at)] = true;
        }
        self.data.iter().zip(own).filter(|(value, own)| !own && value.to_bits() != fill.to_bits()).count()
    }
}
