//! One function over a random sequence of calls gives what a fresh function gives for each of them.
//!
//! What a function keeps from a call must hold for the calls it is used for: shapes change from call to call (lengths of 0
//! and 1 among them, ranks too), layouts, ways to call, in place or not, and wrong calls come in between. The kept
//! function's results, or its error, are compared with those of one that was compiled for this call alone and is
//! interpreted.

mod common;

use common::{Group, Random, assert_same_bits, groups, groups_on_two_threads, name};
use fuselet::{ArrayMut, ArrayOut, ArrayRef, Dtype, Engine, Function, Prepared, Signature};

/// Of one or two inputs, `x` first, and one output: reductions of every kind, with and without what surrounds them, and
/// elementwise functions.
const FUNCTIONS: [&str; 20] = [
    "softmax(x)",
    "log_softmax(x)",
    "layer_norm(x)",
    "rms_norm(x) * y",
    "softmax(x, axis = 0)",
    "sparsemax(x)",
    "logsumexp(x)",
    "sum(x, axis = -1)",
    "sum(x, axis = 1)",
    "mean(x, axis = 0) + y",
    "max(x, axis = -1) * y",
    "min(x, axis = [0, 1])",
    "sum(x * y)",
    "x - sum(softmax(x), axis = 0)",
    "x * y |> softmax |> * 2",
    "glu(x)",
    "glu(x, axis = 0) + 1",
    "silu(x) * y",
    "gelu(x)",
    "relu(x + y) |> softmax |> log_softmax(axis = 0)",
];

const LENGTHS: [usize; 7] = [0, 1, 1, 2, 3, 17, 34];

/// How an array lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    RowMajor,
    /// A gap after each element of the last axis.
    Gaps,
    /// The last axis backwards.
    Backwards,
    /// The first axis innermost.
    Transposed,
}

/// An array with memory of its own: elements lie between others that nobody may touch.
#[derive(Clone, Debug)]
struct Owned {
    shape: Vec<usize>,
    strides: Vec<isize>,
    offset: usize,
    memory: Vec<f32>,
    lie: Lie,
}

impl Owned {
    fn new(shape: &[usize], lie: Lie, mut value: impl FnMut() -> f32) -> Owned {
        let mut order: Vec<usize> = (0..shape.len()).rev().collect();
        if lie == Lie::Transposed {
            order.reverse();
        }
        let mut strides = vec![0isize; shape.len()];
        let mut step = if lie == Lie::Gaps { 2 } else { 1 };
        for axis in order {
            strides[axis] = step;
            step *= shape[axis].max(1) as isize;
        }
        let mut offset = 0;
        if lie == Lie::Backwards
            && let (Some(stride), Some(length)) = (strides.last_mut(), shape.last())
        {
            offset = (*stride as usize) * length.saturating_sub(1);
            *stride = -*stride;
        }
        let memory = (0..step as usize + 2).map(|_| value()).collect();
        Owned { shape: shape.to_vec(), strides, offset, memory, lie }
    }

    fn random(shape: &[usize], random: &mut Random) -> Owned {
        let lie = [Lie::RowMajor, Lie::RowMajor, Lie::Gaps, Lie::Backwards, Lie::Transposed][random.below(5)];
        Owned::new(shape, lie, || random.between(-4.0, 4.0))
    }

    fn view(&self) -> ArrayRef<'_> {
        if self.lie == Lie::RowMajor && self.shape.len() == 1 {
            return (&self.memory[..self.shape[0]]).into();
        }
        ArrayRef::strided(&self.memory, &self.shape, &self.strides, self.offset).unwrap()
    }

    fn view_mut(&mut self) -> ArrayMut<'_> {
        ArrayMut::strided(&mut self.memory, &self.shape, &self.strides, self.offset).unwrap()
    }

    /// The elements in row-major order.
    fn elements(&self) -> Vec<f32> {
        let mut places = vec![self.offset as isize];
        for (length, stride) in self.shape.iter().zip(&self.strides) {
            places = places.iter().flat_map(|at| (0..*length as isize).map(move |i| at + i * stride)).collect();
        }
        places.into_iter().map(|at| self.memory[at as usize]).collect()
    }

    /// What lies between the elements.
    fn others(&self) -> Vec<u32> {
        let mut all: Vec<Option<u32>> = self.memory.iter().map(|value| Some(value.to_bits())).collect();
        let mut places = vec![self.offset as isize];
        for (length, stride) in self.shape.iter().zip(&self.strides) {
            places = places.iter().flat_map(|at| (0..*length as isize).map(move |i| at + i * stride)).collect();
        }
        places.into_iter().for_each(|at| all[at as usize] = None);
        all.into_iter().flatten().collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Named,
    NamedInAnotherOrder,
    Positional,
    Views,
    Many,
    InPlace,
    ManyInPlace,
    ToVec,
    Prepared,
    PreparedInPlace,
}

const WAYS: [Way; 10] = [
    Way::Named,
    Way::NamedInAnotherOrder,
    Way::Positional,
    Way::Views,
    Way::Many,
    Way::InPlace,
    Way::ManyInPlace,
    Way::ToVec,
    Way::Prepared,
    Way::PreparedInPlace,
];

/// One call.
#[derive(Clone, Debug)]
struct Step {
    way: Way,
    inputs: Vec<Owned>,
    output: Owned,
}

impl Step {
    fn random(function: &Function, random: &mut Random) -> Step {
        let rank = [0, 1, 1, 2, 2, 2, 3, 4][random.below(8)];
        let shape: Vec<usize> = (0..rank).map(|_| LENGTHS[random.below(LENGTHS.len())]).collect();
        // What broadcasts with it, most of the time.
        let second: Vec<usize> = match random.below(6) {
            0 => Vec::new(),
            1 => shape.iter().skip(random.below(rank + 1)).copied().collect(),
            2 => shape.iter().map(|length| if random.below(2) == 0 { 1 } else { *length }).collect(),
            3 => (0..rank).map(|_| LENGTHS[random.below(LENGTHS.len())]).collect(),
            _ => shape.clone(),
        };
        let shapes: Vec<Vec<usize>> =
            function.inputs().iter().map(|name| if name == "x" { shape.clone() } else { second.clone() }).collect();
        let result = function.output_shapes(&shapes).map_or_else(|_| shape.clone(), |mut shapes| shapes.remove(0));
        let result = if random.below(24) == 0 { shape } else { result };
        let inputs = shapes.iter().map(|shape| Owned::random(shape, random)).collect();
        // NaN, so that an element nobody wrote differs from every number.
        let output = Owned { ..Owned::random(&result, random) };
        let output = Owned::new(&output.shape, output.lie, || f32::NAN);
        Step { way: WAYS[random.below(WAYS.len())], inputs, output }
    }

    /// Makes the call; gives the result's elements, or the error. Checks that nothing else was written.
    fn call(mut self, function: &Function, prepared: &mut Vec<Prepared>) -> Result<Vec<f32>, String> {
        let before = (self.inputs.clone(), self.output.clone());
        let names: Vec<&str> = function.inputs().iter().map(String::as_str).collect();
        let output_name = function.outputs().next().unwrap().to_owned();
        let x = names.iter().position(|name| *name == "x").unwrap();
        let in_place = matches!(self.way, Way::InPlace | Way::ManyInPlace | Way::PreparedInPlace);
        let mut own = self.inputs[x].clone();
        let views: Vec<ArrayRef<'_>> = self.inputs.iter().map(Owned::view).collect();
        let mut named: Vec<(&str, ArrayRef<'_>)> = names.iter().copied().zip(views.iter().copied()).collect();
        let mut others = named.clone();
        others.remove(x);
        let mut vector = None;
        let result = match self.way {
            Way::Named => function.call(&named, self.output.view_mut()),
            Way::NamedInAnotherOrder => {
                named.reverse();
                function.call(&named, self.output.view_mut())
            }
            Way::Positional => function.call_positional(&views, self.output.view_mut()),
            Way::Views => function.call_views(&views, &[self.output.view_mut().into()]),
            Way::Many => function.call_many(&named, [(output_name.as_str(), self.output.view_mut().into())]),
            Way::InPlace => function.call_in_place(("x", own.view_mut()), &others),
            Way::ManyInPlace => function.call_many_in_place(
                [(output_name.as_str(), "x", own.view_mut())],
                &others,
                [] as [(&str, ArrayOut<'_>); 0],
            ),
            Way::ToVec => function.call_to_vec::<f32>(&named).map(|result| vector = Some(result)),
            Way::Prepared | Way::PreparedInPlace => {
                let mut signature = Signature::new().with_free_lengths();
                for (name, view) in &named {
                    signature = signature.with_input(name, *view);
                }
                // Some of the time one that was prepared for other lengths, where it takes these.
                let output = if in_place { own.view_mut() } else { self.output.view_mut() };
                let strides = vec![0; output.shape().len()];
                let layout = if output.shape().contains(&0) { &strides } else { own_strides(in_place, &before, x) };
                match signature.with_output(&output_name, Dtype::F32, output.shape(), layout) {
                    Err(error) => return Err(error.to_string()),
                    Ok(signature) => match function.prepare(&signature) {
                        Err(error) => Err(error),
                        Ok(fresh) => {
                            prepared.push(fresh);
                            let others: Vec<ArrayRef<'_>> = others.iter().map(|(_, view)| *view).collect();
                            let mut result = Ok(());
                            // All that take these layouts give the same.
                            for one in prepared.iter().rev().take(4) {
                                result = if in_place {
                                    let mut again = before.0[x].clone();
                                    let result = one.call_in_place((x, again.view_mut()), &others);
                                    own = again;
                                    result
                                } else {
                                    one.call(&views, self.output.view_mut())
                                };
                                if !matches!(result, Err(fuselet::CallError::Layout { .. })) {
                                    break;
                                }
                            }
                            result
                        }
                    },
                }
            }
        };
        let found = if in_place { &own } else { &self.output };
        let started = if in_place { &before.0[x] } else { &before.1 };
        assert_eq!(found.others(), started.others(), "what lies between elements");
        match result {
            Ok(()) => Ok(vector.unwrap_or_else(|| found.elements())),
            Err(error) => {
                let bits = |owned: &Owned| owned.memory.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(found), bits(started), "a call that fails has written nothing");
                Err(error.to_string())
            }
        }
    }
}

fn own_strides(in_place: bool, before: &(Vec<Owned>, Owned), x: usize) -> &[isize] {
    if in_place { &before.0[x].strides } else { &before.1.strides }
}

/// Holds functions of every engine of some groups to fresh ones, for so many calls of each function.
fn hold(groups: &[Group], calls: usize, seed: u64) -> usize {
    let mut count = 0;
    for group in groups {
        for text in FUNCTIONS {
            let kept: Vec<Function> = group.engines.iter().map(|engine| engine.compile(text).unwrap()).collect();
            let mut prepared: Vec<Vec<Prepared>> = vec![Vec::new(); kept.len()];
            let mut random = Random(seed ^ text.len() as u64 ^ u64::from(text.as_bytes()[0]) << 8);
            for number in 0..calls {
                let step = Step::random(&kept[0], &mut random);
                let fresh = fresh_engine(group).compile(text).unwrap();
                let wanted = step.clone().call(&fresh, &mut Vec::new());
                for ((engine, function), prepared) in group.engines.iter().zip(&kept).zip(&mut prepared) {
                    let context = || format!("`{text}`, call {number} of {}: {step:?}", name(engine));
                    let found = step.clone().call(function, prepared);
                    count += 1;
                    match (&found, &wanted) {
                        (Ok(found), Ok(wanted)) => assert_same_bits(found, wanted, context),
                        _ => assert_eq!(found, wanted, "{}", context()),
                    }
                    prepared.truncate(8);
                }
            }
        }
    }
    count
}

/// Functions of it are compiled for one call.
fn fresh_engine(group: &Group) -> &Engine {
    group.judge()
}

#[test]
fn a_function_that_was_called_before_gives_what_a_fresh_one_gives() {
    let engines: usize = groups().iter().map(|group| group.engines.len()).sum();
    let calls = 24_000usize.div_ceil(FUNCTIONS.len() * engines).max(100);
    let count = hold(groups(), calls, 1);
    assert!(count >= 20_000, "{count} calls");
}

#[test]
fn so_it_does_on_two_threads() {
    hold(groups_on_two_threads(), 20, 2);
}

/// The calls by which it was found that a reduction over a length of 1 was left out for ever after.
#[test]
fn a_reduction_over_one_element_is_not_remembered_for_longer_ones() {
    for engine in common::engines() {
        for (text, wanted) in [
            ("softmax(x)", [0.5f32, 0.5, 0.5, 0.5]),
            ("layer_norm(x)", [0.0; 4]),
            ("log_softmax(x)", [-std::f32::consts::LN_2; 4]),
            ("softmax(x, axis = 0)", [0.5; 4]),
        ] {
            let f = engine.compile(text).unwrap();
            let one = if text.contains('0') { [1, 2] } else { [2, 1] };
            let mut y = [0.0f32; 2];
            f.call(&[("x", ArrayRef::new(&[3.0f32, 4.0], &one).unwrap())], ArrayMut::new(&mut y, &one).unwrap())
                .unwrap();
            let mut y = [0.0f32; 4];
            let x = ArrayRef::new(&[7.0f32; 4], &[2, 2]).unwrap();
            f.call(&[("x", x)], ArrayMut::new(&mut y, &[2, 2]).unwrap()).unwrap();
            assert_eq!(y, wanted, "{text} on {}", name(engine));
        }
        let f = engine.compile("sum(x, axis = -1)").unwrap();
        let mut y = [0.0f32; 8];
        f.call(&[("x", ArrayRef::new(&[1.0f32; 5], &[5, 1]).unwrap())], ArrayMut::new(&mut y[..5], &[5, 1]).unwrap())
            .unwrap();
        let x = ArrayRef::new(&[1.0f32; 8], &[2, 4]).unwrap();
        assert!(f.call(&[("x", x)], ArrayMut::new(&mut y, &[2, 4]).unwrap()).is_err());
    }
}
