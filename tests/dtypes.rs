//! Arrays of any dtypes in one call: what comes out is what float32 arithmetic (float64, if any array is float64) gives on the
//! converted inputs, rounded once to each output's dtype; bit for bit, fused or not, on every backend at every level.

mod common;
#[path = "common/random.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
mod random;
#[path = "backend_suite/values.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
mod values;

use common::{Array, Random, groups, groups_on_two_threads, name};
use fuselet::array::ComputeDtype;
use fuselet::{ArrayMut, ArrayOut, ArrayRef, Dtype, Engine, Fusion, Signature};
use proptest::prelude::*;
use random::{Recipe, recipe};

/// An array as it lies in memory: elements of a dtype, with guards around and gaps between if it is strided.
#[derive(Clone)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    strides: Vec<isize>,
    bytes: Vec<u8>,
}

const GUARD: usize = 64;
const UNTOUCHED: u8 = 0xa5;

impl Stored {
    /// An array of a shape; every `gap`-th element of what it lies in.
    fn new(dtype: Dtype, shape: &[usize], gap: usize) -> Stored {
        let mut strides = vec![0isize; shape.len()];
        let mut step = gap as isize;
        for (stride, length) in strides.iter_mut().zip(shape).rev() {
            *stride = step;
            step *= (*length).max(1) as isize;
        }
        let bytes = vec![UNTOUCHED; 2 * GUARD + step as usize * dtype.size()];
        Stored { dtype, shape: shape.to_vec(), strides, bytes }
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    fn gap(&self) -> usize {
        self.strides.last().map_or(1, |stride| *stride as usize)
    }

    fn place(&self, at: usize) -> usize {
        GUARD + at * self.gap() * self.dtype.size()
    }

    fn get(&self, at: usize) -> u64 {
        let mut wide = [0; 8];
        wide[..self.dtype.size()].copy_from_slice(&self.bytes[self.place(at)..][..self.dtype.size()]);
        u64::from_le_bytes(wide)
    }

    fn put(&mut self, at: usize, bits: u64) {
        let (place, size) = (self.place(at), self.dtype.size());
        self.bytes[place..place + size].copy_from_slice(&bits.to_le_bytes()[..size]);
    }

    fn view(&self) -> ArrayRef<'_> {
        // SAFETY: all elements are among the bytes.
        unsafe { ArrayRef::from_raw(self.bytes[GUARD..].as_ptr(), self.dtype, &self.shape, &self.strides) }.unwrap()
    }

    fn view_mut(&mut self) -> ArrayMut<'_> {
        // SAFETY: all elements are among the bytes.
        unsafe { ArrayMut::from_raw(self.bytes[GUARD..].as_mut_ptr(), self.dtype, &self.shape, &self.strides) }.unwrap()
    }

    /// Fails where a byte outside all elements was written.
    fn check_guards(&self, context: &dyn Fn() -> String) {
        let size = self.dtype.size();
        let inside = |at: usize| {
            at >= GUARD && at < GUARD + self.elements() * self.gap() * size && (at - GUARD) % (self.gap() * size) < size
        };
        for (at, byte) in self.bytes.iter().enumerate().filter(|(at, _)| !inside(*at)) {
            assert_eq!(*byte, UNTOUCHED, "byte {at} outside of all elements: {}", context());
        }
    }
}

/// What arithmetic is in.
fn lanes(arrays: &[Stored]) -> ComputeDtype {
    ComputeDtype::of(arrays.iter().map(|array| array.dtype))
}

/// What the call must give: the same function of converted arrays, by the judge, unfused, its results rounded.
fn expected(judge: &Engine, recipe: &Recipe, inputs: &[Stored], outputs: &[Stored]) -> Vec<Vec<u64>> {
    let lane = ComputeDtype::of([lanes(inputs), lanes(outputs)].map(ComputeDtype::storage));
    let plain = |array: &Stored| {
        let mut plain = Stored::new(lane.storage(), &array.shape, 1);
        (0..array.elements()).for_each(|at| plain.put(at, values::load(lane, array.dtype, array.get(at))));
        plain
    };
    let converted: Vec<Stored> = inputs.iter().map(plain).collect();
    let mut results: Vec<Stored> = outputs.iter().map(|output| Stored::new(lane.storage(), &output.shape, 1)).collect();
    let function = judge.compile_with(recipe.program(), Fusion::Off).unwrap();
    let views: Vec<ArrayRef<'_>> = converted.iter().map(Stored::view).collect();
    let targets: Vec<ArrayOut<'_>> = results.iter_mut().map(|result| result.view_mut().into()).collect();
    function.call_views(&views, &targets).unwrap();
    let rounded = |(result, output): (&Stored, &Stored)| {
        (0..result.elements()).map(|at| values::store(lane, output.dtype, result.get(at))).collect()
    };
    results.iter().zip(outputs).map(rounded).collect()
}

fn check(found: &Stored, expected: &[u64], context: &dyn Fn() -> String) {
    for (at, wanted) in expected.iter().enumerate() {
        let bits = found.get(at);
        let nans = || values::is_nan_element(found.dtype, bits) && values::is_nan_element(found.dtype, *wanted);
        assert!(
            bits == *wanted || nans(),
            "element {at} of {} {:?}: {bits:#x} instead of {wanted:#x}: {}",
            found.dtype,
            found.shape,
            context()
        );
    }
    found.check_guards(context);
}

/// Inputs of a recipe, stored as dtypes that `choices` picks.
fn stored_inputs(recipe: &Recipe, names: &[String], choices: &mut Random) -> Vec<Stored> {
    let arrays = recipe.arrays(names);
    arrays.iter().map(|array| store(array, pick(choices), 1 + choices.below(4) / 3, choices)).collect()
}

/// float64 seldom, since it changes what the whole call computes in.
fn pick(choices: &mut Random) -> Dtype {
    let dtype = Dtype::ALL[choices.below(Dtype::ALL.len())];
    if dtype == Dtype::F64 && choices.below(3) > 0 { Dtype::Bf16 } else { dtype }
}

fn store(array: &Array, dtype: Dtype, gap: usize, choices: &mut Random) -> Stored {
    let mut stored = Stored::new(dtype, &array.shape, gap);
    for (at, value) in array.data.iter().enumerate() {
        // Mostly the value; now and then any bits.
        let any = choices.next() >> (64 - 8 * dtype.size());
        let bits = values::store(ComputeDtype::F64, dtype, f64::from(*value).to_bits());
        stored.put(at, if choices.below(16) == 0 { any } else { bits });
    }
    stored
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 60 },
        failure_persistence: None,
        max_shrink_iters: 500,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_dtypes_in_one_call_are_converted_at_its_border_alone(recipe in recipe(10, 3000), seed in any::<u64>()) {
        let program = recipe.program();
        let graph = program.graph(fuselet::ir::Meaning::Form).unwrap();
        let mut choices = Random(seed);
        let inputs = stored_inputs(&recipe, graph.inputs(), &mut choices);
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape.clone()).collect();
        for group in groups().iter().chain(groups_on_two_threads()) {
            let function = group.judge().compile(program.clone()).unwrap();
            let shapes = function.output_shapes(&shapes).unwrap();
            let mut choices = Random(seed ^ 1);
            let outputs: Vec<Stored> =
                shapes.iter().map(|shape| Stored::new(pick(&mut choices), shape, 1 + choices.below(4) / 3)).collect();
            let wanted = expected(group.judge(), &recipe, &inputs, &outputs);
            for engine in &group.engines {
                for fusion in [Fusion::Full, Fusion::Off] {
                    let function = engine.compile_with(&program, fusion).unwrap();
                    let mut outputs = outputs.clone();
                    let views: Vec<ArrayRef<'_>> = inputs.iter().map(Stored::view).collect();
                    let targets: Vec<ArrayOut<'_>> = outputs.iter_mut().map(|output| output.view_mut().into()).collect();
                    function.call_views(&views, &targets).unwrap();
                    for (output, wanted) in outputs.iter().zip(&wanted) {
                        let context = || {
                            let dtypes: Vec<&str> = inputs.iter().map(|input| input.dtype.name()).collect();
                            format!("{} {fusion:?}, inputs {dtypes:?} {shapes:?}\n{program}", name(engine))
                        };
                        check(output, wanted, &context);
                    }
                }
            }
        }
    }
}

/// Every dtype to every other: lengths about every vector width, with and without gaps, at odd addresses.
#[test]
fn every_pair_of_dtypes_at_every_length() {
    let mut random = values::Random(1);
    for (from, to) in Dtype::ALL.iter().flat_map(|from| Dtype::ALL.iter().map(move |to| (*from, *to))) {
        let lane = ComputeDtype::of([from, to]);
        for engine in common::engines() {
            let function = engine.compile("x").unwrap();
            for length in (0..=34).chain([63, 64, 65, 97, 127, 128, 129, 130]) {
                for (gap, shift) in [(1, 0), (1, 1), (3, 0)] {
                    let mut x = Stored::new(from, &[length], gap);
                    for at in 0..length {
                        x.put(at, random.element(lane, from));
                    }
                    let mut y = Stored::new(to, &[length], gap);
                    // Moved by a byte: nothing need be aligned.
                    let (mut x_bytes, mut y_bytes) = (vec![UNTOUCHED; shift], vec![UNTOUCHED; shift]);
                    x_bytes.extend(&x.bytes);
                    y_bytes.extend(&y.bytes);
                    // SAFETY: as in `Stored::view`, moved with the bytes.
                    let (view, target) = unsafe {
                        let source = x_bytes[GUARD + shift..].as_ptr();
                        let target = y_bytes[GUARD + shift..].as_mut_ptr();
                        (
                            ArrayRef::from_raw(source, from, &x.shape, &x.strides).unwrap(),
                            ArrayOut::from_raw(target, to, &y.shape, &y.strides).unwrap(),
                        )
                    };
                    function.call_views(&[view], &[target]).unwrap();
                    y.bytes = y_bytes.split_off(shift);
                    let wanted: Vec<u64> =
                        (0..length).map(|at| values::store(lane, to, values::load(lane, from, x.get(at)))).collect();
                    check(&y, &wanted, &|| format!("{from} to {to} on {}, {length} elements, gap {gap}", name(engine)));
                }
            }
        }
    }
}

#[test]
fn in_place_needs_one_dtype_and_keeps_it() {
    for engine in common::engines() {
        let function = engine.compile("silu(gate) * up").unwrap();
        let mut gate: Vec<half::bf16> = (0..100).map(|at| half::bf16::from_f32(at as f32 / 10.0 - 5.0)).collect();
        let up: Vec<half::f16> = (0..100).map(|at| half::f16::from_f32(at as f32 / 7.0)).collect();
        let inputs = [("gate", (&gate).into()), ("up", (&up).into())];
        let expected = function.call_to_vec::<half::bf16>(&inputs).unwrap();
        function.call_in_place(("gate", (&mut gate).into()), &[("up", (&up).into())]).unwrap();
        assert_eq!(gate, expected, "{}", name(engine));
        // The same bytes as another dtype are no array of the call.
        let mut bytes = vec![0u8; 8];
        let pointer = bytes.as_mut_ptr();
        // SAFETY: both views are of all eight bytes; the call is refused.
        let (gate, up, out) = unsafe {
            (
                ArrayRef::from_raw(pointer, Dtype::F16, &[4], &[1]).unwrap(),
                ArrayRef::from_raw(pointer, Dtype::F16, &[4], &[1]).unwrap(),
                ArrayOut::from_raw(pointer, Dtype::Bf16, &[4], &[1]).unwrap(),
            )
        };
        let error = function.call_views(&[gate, up], &[out]).unwrap_err();
        assert!(matches!(error, fuselet::CallError::Overlap { .. }), "{error}");
    }
}

#[test]
fn prepared_calls_take_the_dtypes_of_their_signature() {
    let function = Engine::new().unwrap().compile("x * scale").unwrap();
    let signature = Signature::new().with("x", Dtype::F16, &[3]).unwrap().with("scale", Dtype::Bf16, &[]).unwrap();
    // float16 and bfloat16 together are float32.
    let prepared = function.prepare(&signature).unwrap();
    let x = [1.0, 2.0, 3.0].map(half::f16::from_f32);
    let scale = half::bf16::from_f32(0.5);
    let mut y = [0.0f32; 3];
    prepared.call(&[(&x).into(), (&scale).into()], &mut y).unwrap();
    assert_eq!(y, [0.5, 1.0, 1.5]);
    let mut other = [half::f16::ZERO; 3];
    assert!(prepared.call(&[(&x).into(), (&scale).into()], &mut other).is_err());
    // Integers are numbers; without an output to say otherwise their result is float32.
    let counts = Signature::new().with("x", Dtype::I8, &[3]).unwrap().with("scale", Dtype::U16, &[]).unwrap();
    function.prepare(&counts).unwrap().call(&[(&[1i8, -2, 3]).into(), (&2u16).into()], &mut y).unwrap();
    assert_eq!(y, [2.0, -4.0, 6.0]);
}

#[test]
fn tiles_of_any_dtypes() {
    for engine in common::engines() {
        let function = engine.compile("relu(c + bias)").unwrap();
        let signature = Signature::new()
            .with("c", Dtype::F32, &[2, 2])
            .and_then(|signature| signature.with("bias", Dtype::F16, &[2]))
            .and_then(|signature| signature.with_output("out", Dtype::Bf16, &[2, 2], &[2, 1]))
            .unwrap();
        let tile = function.tile(&signature).unwrap();
        let c: Vec<f32> = (0..30).map(|at| at as f32 - 15.0).collect();
        let bias = [0.5, 1.0, -2.0, 4.0, 0.25].map(half::f16::from_f32);
        let mut out = [half::bf16::ZERO; 18];
        let pointers = [c.as_ptr().cast_mut().cast(), bias.as_ptr().cast_mut().cast(), out.as_mut_ptr().cast::<u8>()];
        // SAFETY: three rows of five columns lie in each array at these strides.
        unsafe { tile.call(&pointers, &[10, 0, 6], 3, 5) };
        for (row, column) in (0..3).flat_map(|row| (0..5).map(move |column| (row, column))) {
            let expected = half::bf16::from_f32((c[10 * row + column] + bias[column].to_f32()).max(0.0));
            assert_eq!(out[6 * row + column], expected, "{}", name(engine));
        }
        assert_eq!([out[5], out[11]], [half::bf16::ZERO; 2]);
    }
}
