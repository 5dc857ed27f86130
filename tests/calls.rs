//! What calls, views, engines and expressions refuse, and that nothing is written then; degenerate and huge shapes; in
//! place or not; one compile a key under contention; a bounded cache; falling back to the interpreter.

mod common;

use common::{Array, call, engines, groups, name};
use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::{Backend, BackendError, Code};
use fuselet::ir::shape::{InputShape, ShapeError};
use fuselet::lane::{LaneOp, Pass};
use fuselet::{
    ArrayError, ArrayMut, ArrayOut, ArrayRef, BackendChoice, CallError, CompileError, Dtype, Engine, EngineError,
    Event, Function, Fusion, Isa, MAX_RANK, Signature,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

/// What stands in an output before a call that is refused, and after it.
const GUARD: f32 = -1234.5;

fn compile(text: &str) -> Function {
    groups()[0].judge().compile(text).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The error of a call with this output, which must stay as it was.
#[track_caller]
fn refused(text: &str, inputs: &[(&str, ArrayRef<'_>)], shape: &[usize]) -> CallError {
    let mut output = Array::from_fn(shape, |_| GUARD);
    let mut view = ArrayMut::new(&mut output.data, shape).unwrap();
    let error = compile(text).call(inputs, &mut view).unwrap_err();
    assert!(output.data.iter().all(|value| value.to_bits() == GUARD.to_bits()), "{error}: the output was written");
    error
}

#[test]
fn inputs_are_given_by_name_each_once() {
    let (x, y) = ([1.0f32, 2.0], [3.0f32, 4.0]);
    let expected = names(&["x", "y"]);
    let missing = CallError::MissingInput { name: "y".into(), expected: expected.clone() };
    assert_eq!(refused("x + y", &[("x", (&x).into())], &[2]), missing);
    assert_eq!(refused("x + y", &[], &[2]), CallError::MissingInput { name: "x".into(), expected: expected.clone() });
    let unknown = CallError::UnknownInput { name: "z".into(), nearest: None, expected: expected.clone() };
    assert_eq!(refused("x + y", &[("x", (&x).into()), ("z", (&y).into())], &[2]), unknown);
    assert_eq!(refused("x + y", &[("x", (&x).into()), ("y", (&y).into()), ("z", (&y).into())], &[2]), unknown);
    let repeated = CallError::RepeatedInput { name: "x".into() };
    assert_eq!(refused("x + y", &[("x", (&x).into()), ("y", (&y).into()), ("x", (&x).into())], &[2]), repeated);
    assert_eq!(
        refused("1 + 1", &[("x", (&x).into())], &[]),
        CallError::UnknownInput { name: "x".into(), nearest: None, expected: vec![] }
    );
    let text = refused("x + y", &[("x", (&x).into())], &[2]).to_string();
    assert!(text.contains("`y`") && text.contains("`x`, `y`"), "{text}");
    // In any order.
    let mut sum = [0.0f32; 2];
    compile("x - y").call(&[("y", (&y).into()), ("x", (&x).into())], &mut sum).unwrap();
    assert_eq!(sum, [-2.0, -2.0]);
}

#[test]
fn the_array_worked_on_in_place_is_an_input_too() {
    let function = compile("x * scale");
    let mut x = [GUARD; 3];
    let expected = names(&["x", "scale"]);
    let result =
        function.call_in_place(("y", (&mut x).into()), &[("x", (&[1.0f32; 3]).into()), ("scale", (&2.0f32).into())]);
    assert_eq!(result, Err(CallError::UnknownInput { name: "y".into(), nearest: None, expected: expected.clone() }));
    let result =
        function.call_in_place(("x", (&mut x).into()), &[("x", (&[1.0f32; 3]).into()), ("scale", (&2.0f32).into())]);
    assert_eq!(result, Err(CallError::RepeatedInput { name: "x".into() }));
    let result = function.call_in_place(("x", (&mut x).into()), &[]);
    assert_eq!(result, Err(CallError::MissingInput { name: "scale".into(), expected }));
    assert_eq!(x, [GUARD; 3]);
}

#[test]
fn outputs_are_given_by_name_each_once() {
    let function = compile("{ sum = x + y, product = x * y }");
    let expected = names(&["sum", "product"]);
    let (mut a, mut b, mut c) = ([GUARD; 2], [GUARD; 2], [GUARD; 2]);
    let (x, y) = ([1.0f32, 2.0], [3.0f32, 4.0]);
    let inputs: &[(&str, ArrayRef<'_>)] = &[("x", (&x).into()), ("y", (&y).into())];
    let count = |given| Err(CallError::OutputCount { expected: expected.clone(), given });
    assert_eq!(function.call(inputs, &mut a), count(1));
    assert_eq!(function.call_many(inputs, [] as [(&str, ArrayOut<'_>); 0]), count(0));
    assert_eq!(function.call_many(inputs, [("product", (&mut a).into())]), count(1));
    assert_eq!(function.call_views(&[(&x).into(), (&y).into()], &[]), count(0));
    let three = [(&mut a).into(), (&mut b).into(), (&mut c).into()];
    assert_eq!(function.call_views(&[(&x).into(), (&y).into()], &three), count(3));
    let unknown = |name: &str, nearest: Option<&str>| {
        let (name, nearest) = (name.into(), nearest.map(str::to_owned));
        Err(CallError::UnknownOutput { name, nearest, expected: expected.clone() })
    };
    let three = [("sum", (&mut a).into()), ("product", (&mut b).into()), ("more", (&mut c).into())];
    assert_eq!(function.call_many(inputs, three), unknown("more", None));
    let two = [("sum", (&mut a).into()), ("prodct", (&mut b).into())];
    assert_eq!(function.call_many(inputs, two), unknown("prodct", Some("product")));
    let repeated = Err(CallError::RepeatedOutput { name: "sum".into() });
    assert_eq!(function.call_many(inputs, [("sum", (&mut a).into()), ("sum", (&mut b).into())]), repeated);
    assert_eq!((a, b, c), ([GUARD; 2], [GUARD; 2], [GUARD; 2]));
    function.call_many(inputs, [("product", (&mut b).into()), ("sum", (&mut a).into())]).unwrap();
    assert_eq!((a, b), ([4.0, 6.0], [3.0, 8.0]));
}

/// Every way to call refuses what does not fit, and writes nothing then.
#[test]
fn every_way_to_call_counts_and_names_its_arrays() {
    let function = compile("input w, m, g; m = 0.9 * m + g, w = w - 0.1 * g");
    let (mut m, mut w) = ([GUARD; 3], [GUARD; 3]);
    let g = [1.0f32; 3];
    let expected = names(&["w", "m", "g"]);
    let count = |given| Err(CallError::InputCount { expected: expected.clone(), given });
    let view = ArrayRef::from(&g);
    assert_eq!(function.call_views(&[view, view], &[(&mut m).into(), (&mut w).into()]), count(2));
    assert_eq!(function.call_positional(&[view; 4], &mut m), count(4));
    let outputs = || names(&["m", "w"]);
    let too_few = CallError::OutputCount { expected: outputs(), given: 1 };
    assert_eq!(function.call_positional(&[view; 3], &mut m), Err(too_few.clone()));
    assert_eq!(function.call_to_vec::<f32>(&[("w", view), ("m", view), ("g", view)]), Err(too_few.clone()));
    let both = |m: &'static str, w: &'static str| (m, w);
    for ((m_output, m_input), (w_output, w_input), error) in [
        (both("m", "m"), both("m", "w"), CallError::RepeatedOutput { name: "m".into() }),
        (both("m", "m"), both("w", "m"), CallError::MissingInput { name: "w".into(), expected: expected.clone() }),
        (both("m", "g"), both("w", "w"), CallError::MissingInput { name: "m".into(), expected: expected.clone() }),
        (
            both("mm", "m"),
            both("w", "w"),
            CallError::UnknownOutput { name: "mm".into(), nearest: Some("m".into()), expected: outputs() },
        ),
        (
            both("m", "m"),
            both("w", "ww"),
            CallError::UnknownInput { name: "ww".into(), nearest: Some("w".into()), expected: expected.clone() },
        ),
    ] {
        let in_place = [(m_output, m_input, (&mut m).into()), (w_output, w_input, (&mut w).into())];
        let none: [(&str, ArrayOut<'_>); 0] = [];
        assert_eq!(function.call_many_in_place(in_place, &[("g", view)], none), Err(error));
    }
    let none: [(&str, ArrayOut<'_>); 0] = [];
    let one = [("m", "m", (&mut m).into())];
    assert_eq!(function.call_many_in_place(one, &[("g", view), ("w", view)], none), Err(too_few));
    let in_place = function.call_in_place(("m", (&mut m).into()), &[("g", view), ("w", view)]);
    assert!(matches!(in_place, Err(CallError::OutputCount { given: 1, .. })));
    let both = [("m", "m", (&mut m).into()), ("w", "w", (&mut w).into())];
    let none: [(&str, ArrayOut<'_>); 0] = [];
    let repeated = function.call_many_in_place(both, &[("g", view), ("m", view)], none);
    assert_eq!(repeated, Err(CallError::RepeatedInput { name: "m".into() }));
    assert_eq!((m, w), ([GUARD; 3], [GUARD; 3]));
    // One over its input, one apart.
    let one = [("m", "m", (&mut m).into())];
    function.call_many_in_place(one, &[("g", view), ("w", view)], [("w", (&mut w).into())]).unwrap();
    assert_eq!((m, w), ([GUARD * 0.9 + 1.0; 3], [0.9; 3]));
}

#[test]
fn a_vector_made_for_a_result_has_its_dtype_and_its_elements() {
    for engine in engines() {
        let function = engine.compile("x + y").unwrap();
        let (x, y) = ([1.0f32, 2.0, 3.0, 4.0], [10.0f32, 20.0]);
        let matrix = ArrayRef::strided(&x, &[2, 2], &[1, 2], 0).unwrap();
        let inputs = [("y", (&y).into()), ("x", matrix)];
        assert_eq!(function.call_to_vec::<f32>(&inputs), Ok(vec![11.0, 23.0, 12.0, 24.0]));
        assert_eq!(function.call_to_vec::<f64>(&inputs), Ok(vec![11.0, 23.0, 12.0, 24.0]));
        assert_eq!(function.call_to_vec::<i8>(&inputs), Ok(vec![11, 23, 12, 24]));
        let none: [f32; 0] = [];
        assert_eq!(function.call_to_vec::<f32>(&[("x", (&none).into()), ("y", (&1.0f32).into())]), Ok(vec![]));
        let misfit = function.call_to_vec::<f32>(&[("x", (&[1.0f32; 3]).into()), ("y", (&y).into())]);
        assert!(matches!(misfit, Err(CallError::Shape(ShapeError::Broadcast { .. }))));
        let huge = ArrayRef::strided(&x, &[1 << 60], &[0], 0).unwrap();
        let error = function.call_to_vec::<f32>(&[("x", huge), ("y", (&1.0f32).into())]).unwrap_err();
        assert!(
            matches!(error, CallError::OutOfMemory { .. } | CallError::Shape(ShapeError::TooLarge { .. })),
            "{error}"
        );
    }
}

#[test]
fn two_written_views_of_one_slice_share_no_element() {
    let mut data = [GUARD; 12];
    for (shape, strides, offsets) in
        [(&[2, 3][..], &[6, 1][..], [0, 2]), (&[2, 3], &[6, 1], [3, 3]), (&[2], &[4], [0, 4]), (&[4], &[2], [4, 0])]
    {
        let error = ArrayMut::strided_pair(&mut data, shape, strides, offsets).unwrap_err();
        assert!(matches!(error, ArrayError::Shared { .. }), "{shape:?} {strides:?} {offsets:?}: {error}");
    }
    assert!(matches!(ArrayMut::strided_pair(&mut data, &[2], &[0], [0, 1]), Err(ArrayError::Overlapping { .. })));
    assert!(matches!(ArrayMut::strided_pair(&mut data, &[6], &[2], [0, 2]), Err(ArrayError::OutOfBounds { .. })));
    for (shape, strides, offsets) in
        [(&[2, 3][..], &[6, 1][..], [0, 3]), (&[6], &[2], [0, 1]), (&[6], &[-2], [10, 11]), (&[3, 2], &[1, 6], [3, 0])]
    {
        let (mut a, b) = ArrayMut::strided_pair(&mut data, shape, strides, offsets).unwrap();
        let halves = compile("input a, b; -a + b");
        halves.call_in_place(("a", a.reborrow()), &[("b", b.as_view())]).unwrap();
        assert_eq!(data.iter().filter(|value| **value == GUARD).count(), 6, "{shape:?} {strides:?} {offsets:?}");
        data = [GUARD; 12];
    }
}

#[test]
fn a_float64_array_makes_arithmetic_float64() {
    let (single, double) = ([1.0f32, 2.0], [1e-9f64, 2.0]);
    let inputs: &[(&str, ArrayRef<'_>)] = &[("x", (&single).into()), ("y", (&double).into())];
    let sum = compile("x + y");
    assert_eq!(sum.call_to_vec::<f64>(inputs), Ok(vec![1.0 + 1e-9, 4.0]));
    // Rounded once, at the end.
    assert_eq!(
        compile("(x + y - 1) * 1e9").call_to_vec::<f32>(inputs),
        Ok(vec![((1.0 + 1e-9 - 1.0) * 1e9) as f32, 3e9])
    );
    // The result's dtype counts as well.
    let third = compile("x / 3").call_to_vec::<f64>(&[("x", (&single).into())]);
    assert_eq!(third, Ok(vec![1.0 / 3.0, 2.0 / 3.0]));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let x = Array::from_fn(&[2, 3], |at| at as f32);
    let y = Array::from_fn(&[2], |at| at as f32);
    let inputs: &[(&str, ArrayRef<'_>)] = &[("x", x.view()), ("y", y.view())];
    let given = |name: &str, shape: &[usize]| InputShape { name: name.into(), shape: shape.to_vec() };
    let inputs_given = vec![given("x", &[2, 3]), given("y", &[2])];
    let broadcast = ShapeError::Broadcast { left: vec![2, 3], right: vec![2], axis: 1, inputs: inputs_given };
    assert_eq!(refused("x + y", inputs, &[2, 3]), CallError::Shape(broadcast));
    let output = |found: &[usize], expected: &[usize]| CallError::OutputShape {
        name: "out".into(),
        found: found.to_vec(),
        expected: expected.to_vec(),
    };
    for shape in [&[3, 2][..], &[6], &[2, 3, 1], &[1, 2, 3], &[2, 1], &[4, 3], &[0, 3], &[]] {
        assert_eq!(refused("relu(x)", &[("x", x.view())], shape), output(shape, &[2, 3]));
    }
    assert_eq!(refused("sum(x, axis = 1)", &[("x", x.view())], &[2]), output(&[2], &[2, 1]));
    assert_eq!(refused("glu(transpose)", &[("transpose", (&[0.0f32; 4]).into())], &[4]), output(&[4], &[2]));
}

#[test]
fn views_stay_inside_of_their_slice() {
    let data = [0.0f32; 12];
    let mut written = [0.0f32; 12];
    let nine = [1; MAX_RANK + 1];
    assert_eq!(ArrayRef::new(&data[..1], &nine).unwrap_err(), ArrayError::Rank { rank: 9 });
    assert_eq!(ArrayMut::new(&mut written[..1], &nine).unwrap_err(), ArrayError::Rank { rank: 9 });
    assert_eq!(ArrayRef::strided(&data, &nine, &[0; 9], 0).unwrap_err(), ArrayError::Rank { rank: 9 });
    assert_eq!(Signature::new().with("x", Dtype::F32, &nine).unwrap_err(), ArrayError::Rank { rank: 9 });
    for shape in [&[5][..], &[2, 5], &[13], &[], &[12, 0], &[usize::MAX, 2], &[1 << 32, 1 << 32], &[usize::MAX]] {
        let error = ArrayRef::new(&data, shape).unwrap_err();
        assert!(matches!(error, ArrayError::Length { length: 12, .. }), "{shape:?}: {error}");
    }
    let strides = ArrayError::Strides { shape: vec![2, 2], strides: 1 };
    assert_eq!(ArrayRef::strided(&data, &[2, 2], &[1], 0).unwrap_err(), strides);
    let outside: [(&[usize], &[isize], usize); 8] = [
        (&[13], &[1], 0),
        (&[2], &[1], 11),
        (&[1], &[1], 12),
        (&[2], &[-1], 0),
        (&[3, 4], &[4, 1], 1),
        (&[3, 4], &[-4, 1], 7),
        (&[2, 2], &[isize::MAX, isize::MIN], 0),
        (&[usize::MAX, usize::MAX], &[isize::MAX, isize::MAX], usize::MAX),
    ];
    for (shape, steps, offset) in outside {
        let error = ArrayRef::strided(&data, shape, steps, offset).unwrap_err();
        assert!(matches!(error, ArrayError::OutOfBounds { .. }), "{shape:?} {steps:?} {offset}: {error}");
        assert!(ArrayMut::strided(&mut written, shape, steps, offset).is_err(), "{shape:?} {steps:?} {offset}");
    }
    assert!(ArrayRef::strided(&data, &[3, 4], &[-4, -1], 11).is_ok());
    // No element is in no place, whatever the strides; nor is its half.
    let empty = ArrayRef::strided(&data, &[0, 1 << 60], &[isize::MAX, isize::MIN], usize::MAX).unwrap();
    let mut nothing = ArrayMut::new(&mut written[..0], &[0, 1 << 59]).unwrap();
    compile("glu(x)").call(&[("x", empty)], &mut nothing).unwrap();
}

#[test]
fn an_output_has_an_element_for_each_of_its_places() {
    let mut data = [0.0f32; 12];
    let twice: [(&[usize], &[isize]); 5] =
        [(&[4], &[0]), (&[2, 3], &[0, 1]), (&[3, 4], &[1, 1]), (&[3, 3], &[2, 1]), (&[2, 2, 2], &[4, 2, -2])];
    for (shape, strides) in twice {
        let error = ArrayMut::strided(&mut data, shape, strides, 4).unwrap_err();
        assert!(matches!(error, ArrayError::Overlapping { .. }), "{shape:?} {strides:?}: {error}");
    }
    for (shape, strides, offset) in
        [(&[3, 4][..], &[4, 1][..], 0), (&[4, 3], &[-1, -4], 11), (&[1, 4], &[0, 3], 0), (&[6], &[2], 1)]
    {
        assert!(ArrayMut::strided(&mut data, shape, strides, offset).is_ok(), "{shape:?} {strides:?}");
    }
}

/// A view of part of an array that another view writes, as only unsafe code can make it.
fn beside(data: *const f32, shape: &'static [usize], strides: &'static [isize]) -> ArrayRef<'static> {
    // SAFETY: the tests below keep the array alive, and hand the view to calls that must refuse it.
    unsafe { ArrayRef::from_raw_parts(data, shape, strides) }.unwrap()
}

#[test]
fn an_output_that_overlaps_an_input_without_being_it_is_refused() {
    let function = compile("relu(x) + 1");
    let mut data: Vec<f32> = (0..40).map(|at| at as f32).collect();
    let before = data.clone();
    let base = data.as_mut_ptr();
    let at = |offset: isize| base.wrapping_offset(offset);
    let overlapping: [(&str, &[usize], ArrayRef<'static>, &[isize]); 6] = [
        ("one further", &[8], beside(at(9), &[8], &[1]), &[1]),
        ("one before", &[8], beside(at(7), &[8], &[1]), &[1]),
        ("its last element", &[8], beside(at(15), &[8], &[1]), &[1]),
        ("transposed onto itself", &[4, 4], beside(at(8), &[4, 4], &[1, 4]), &[4, 1]),
        ("every other one", &[8], beside(at(8), &[8], &[2]), &[1]),
        ("backwards", &[8], beside(at(15), &[8], &[-1]), &[1]),
    ];
    for (how, shape, input, strides) in overlapping {
        // SAFETY: elements 8 to 24 of `data`, which nothing else uses while the call refuses.
        let mut output = unsafe { ArrayMut::from_raw_parts(at(8), shape, strides) }.unwrap();
        let error = function.call(&[("x", input)], &mut output).unwrap_err();
        let CallError::Overlap { output, other, .. } = &error else { panic!("{how}: {error}") };
        assert_eq!((output.as_str(), other.as_str()), ("out", "x"), "{how}");
        assert_eq!(data, before, "{how}");
    }
    // A row that is broadcast, written over by its own result.
    let row = beside(at(0), &[4], &[1]);
    // SAFETY: as above.
    let mut output = unsafe { ArrayMut::from_raw_parts(at(0), &[3, 4], &[4, 1]) }.unwrap();
    let x = [1.0f32; 12];
    let view = ArrayRef::new(&x, &[3, 4]).unwrap();
    let result = compile("x + row").call(&[("x", view), ("row", row)], &mut output);
    assert!(matches!(result, Err(CallError::Overlap { .. })));
    // Neighbours do not overlap.
    // SAFETY: elements 8 to 16, read from elsewhere.
    let mut output = unsafe { ArrayMut::from_raw_parts(at(8), &[8], &[1]) }.unwrap();
    function.call(&[("x", beside(at(0), &[8], &[1]))], &mut output).unwrap();
    assert_eq!(data[8..16], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_eq!((&data[..8], &data[16..]), (&before[..8], &before[16..]));
}

#[test]
fn two_outputs_cannot_share_memory() {
    let function = compile("{ a = x + 1, b = x * 2 }");
    let mut data = [GUARD; 12];
    let base = data.as_mut_ptr();
    let x = [1.0f32; 8];
    for offset in [0, 1, 4] {
        // SAFETY: both lie in `data`, and the call refuses them.
        let (a, b) = unsafe {
            let b = base.add(offset);
            (ArrayMut::from_raw_parts(base, &[8], &[1]).unwrap(), ArrayMut::from_raw_parts(b, &[8], &[1]).unwrap())
        };
        let error = function.call_many(&[("x", (&x).into())], [("a", a.into()), ("b", b.into())]).unwrap_err();
        assert!(matches!(&error, CallError::Overlap { output, other, .. } if output == "b" && other == "a"), "{error}");
        assert_eq!(data, [GUARD; 12]);
    }
}

#[test]
fn an_input_that_is_read_after_the_output_is_written_cannot_be_the_output() {
    // Two kernels over different axes: the second reads x when the first has written.
    const SHAPE: [usize; 2] = [6, 6];
    let shape = SHAPE;
    let x = Array::from_fn(&shape, |at| (at as f32).sin());
    let text = "{ s = softmax(x, axis = 0), t = softmax(x, axis = 1) }";
    for engine in engines() {
        let function = engine.compile(text).unwrap();
        let wanted = call(&function, std::slice::from_ref(&x)).unwrap();
        for in_place in 0..2 {
            let mut data = x.data.clone();
            let input = beside(data.as_ptr(), &SHAPE, &[6, 1]);
            let mut other = Array::from_fn(&shape, |_| GUARD);
            // SAFETY: the same array as the input's, which the call allows or refuses.
            let own = unsafe { ArrayMut::from_raw_parts(data.as_mut_ptr(), &shape, &[6, 1]) }.unwrap();
            let beside = ArrayMut::new(&mut other.data, &shape).unwrap();
            let outputs: [(&str, ArrayOut<'_>); 2] = match in_place {
                0 => [("s", own.into()), ("t", beside.into())],
                _ => [("s", beside.into()), ("t", own.into())],
            };
            match function.call_many(&[("x", input)], outputs) {
                Ok(()) => {
                    assert_eq!(data, wanted[in_place].data, "{}", name(engine));
                    assert_eq!(other.data, wanted[1 - in_place].data, "{}", name(engine));
                }
                Err(CallError::Overlap { .. }) => {
                    assert_eq!(data, x.data);
                    assert!(other.data.iter().all(|value| *value == GUARD));
                }
                Err(error) => panic!("{error}"),
            }
        }
        // The first kernel's result in place of x would spoil the second's.
        let signature = Signature::new().with("x", Dtype::F32, &shape).unwrap();
        let prepared = function.prepare(&signature).unwrap();
        assert!(!(prepared.allows_in_place(0, 0) && prepared.allows_in_place(1, 0)));
        assert!(!prepared.allows_in_place(2, 0) && !prepared.allows_in_place(0, 1), "there is no such array");
    }
}

#[test]
fn empty_arrays_and_single_numbers_are_arrays_like_others() {
    for engine in engines() {
        let function = engine.compile("gelu(x * scale) + bias").unwrap();
        let none: [f32; 0] = [];
        let mut written: [f32; 0] = [];
        function
            .call(&[("x", (&none).into()), ("scale", (&2.0f32).into()), ("bias", (&none).into())], &mut written)
            .unwrap();
        let mut one = GUARD;
        function
            .call(&[("x", (&0.0f32).into()), ("scale", (&2.0f32).into()), ("bias", (&3.5f32).into())], &mut one)
            .unwrap();
        assert_eq!(one, 3.5);
        let shape = [2, 0, 3];
        let found =
            call(&function, &[Array::new(&shape, vec![]), Array::new(&[3], vec![1.0; 3]), Array::new(&[], vec![0.5])]);
        assert_eq!(found.unwrap()[0].shape, shape);
        // Every axis of the most a view can have, and broadcasting against fewer.
        let eight = [2, 1, 3, 1, 2, 1, 2, 2];
        let found = call(
            &function,
            &[Array::from_fn(&eight, |at| at as f32), Array::new(&[], vec![0.0]), Array::new(&[2, 1], vec![1.0, 2.0])],
        )
        .unwrap()
        .remove(0);
        assert_eq!(found.shape, eight);
        assert_eq!(found.data[..4], [1.0, 1.0, 2.0, 2.0], "{}", name(engine));
        let constant = engine.compile("1 + 2").unwrap();
        constant.call(&[], &mut one).unwrap();
        assert_eq!(one, 3.0);
        let copied = engine.compile("x").unwrap();
        let mut copy = [0.0f32; 3];
        copied.call(&[("x", (&[1.0f32, -0.0, 2.0]).into())], &mut copy).unwrap();
        assert_eq!(copy.map(f32::to_bits), [1.0f32, -0.0, 2.0].map(f32::to_bits), "{}", name(engine));
    }
}

#[test]
fn sizes_beyond_memory_are_errors() {
    fn repeated(shape: &[usize]) -> ArrayRef<'_> {
        ArrayRef::strided(&[1.0f32], shape, &[0; 3][..shape.len()], 0).unwrap()
    }

    let mut result = [GUARD];
    for engine in engines() {
        for text in ["sum(x, axis = none)", "max(exp(x), axis = none)", "sum(softmax(x, axis = 0), axis = none)"] {
            for fusion in [Fusion::Full, Fusion::Off] {
                let function = engine.compile_with(text, fusion).unwrap();
                for shape in [&[1usize << 40, 1 << 40][..], &[usize::MAX, 2], &[1 << 21, 1 << 21, 1 << 21]] {
                    let output = ArrayMut::new(&mut result, &[1; 3][..shape.len()]).unwrap();
                    let error = function.call(&[("x", repeated(shape))], output).unwrap_err();
                    assert_eq!(error, CallError::Shape(ShapeError::TooLarge { shape: shape.to_vec() }), "{text}");
                }
            }
        }
        // Each is small; what they broadcast to is not.
        let function = engine.compile("max(x + y, axis = none)").unwrap();
        let (x, y) = (repeated(&[1 << 40, 1]), repeated(&[1, 1 << 40]));
        let mut output = ArrayMut::new(&mut result, &[1, 1]).unwrap();
        let error = function.call(&[("x", x), ("y", y)], &mut output).unwrap_err();
        assert!(matches!(error, CallError::Shape(ShapeError::TooLarge { .. })), "{error}");
        // Countable, but no memory holds the array between the kernels.
        let function = engine.compile_with("sum(exp(x), axis = none)", Fusion::Off).unwrap();
        for length in [1usize << 58, 1 << 60] {
            let output = ArrayMut::new(&mut result, &[1]).unwrap();
            let error = function.call(&[("x", repeated(&[length]))], output).unwrap_err();
            assert!(matches!(error, CallError::OutOfMemory { bytes } if bytes >= 4 * length), "{error}");
        }
    }
    assert_eq!(result, [GUARD]);
}

#[test]
fn signatures_that_do_not_fit_are_refused() {
    let function = compile("x + y");
    let x = || Signature::new().with("x", Dtype::F32, &[3]).unwrap();
    assert!(matches!(function.prepare(&x()), Err(CallError::MissingInput { .. })));
    let more = x().with("y", Dtype::F32, &[3]).unwrap().with("z", Dtype::F32, &[3]).unwrap();
    assert!(matches!(function.prepare(&more), Err(CallError::UnknownInput { .. })));
    let unfit = x().with("y", Dtype::F32, &[4]).unwrap();
    assert!(matches!(function.explain(&unfit), Err(CallError::Shape(ShapeError::Broadcast { .. }))));
    assert!(matches!(function.output_shapes(&[vec![3]]), Err(CallError::Shape(ShapeError::InputCount { .. }))));
    let huge =
        Signature::new().with("x", Dtype::F32, &[1 << 40, 1 << 40]).unwrap().with("y", Dtype::F32, &[1]).unwrap();
    assert!(matches!(function.prepare(&huge), Err(CallError::Shape(ShapeError::TooLarge { .. }))));
}

#[test]
fn wrong_expressions_and_engines_are_errors() {
    let engine = groups()[0].judge();
    for text in [
        "relu(x, max_value = -1)",
        "celu(x, alpha = 0)",
        "squareplus(x, b = -1)",
        "soft_shrink(x, lambd = -1)",
        "elu(x, alpha = nan)",
        "gelou(x)",
        "relu(x, slope = 1)",
        "x +",
        "relu()",
        "relu(x, x)",
        "",
        "softmax(x, axis = 0.5)",
        "glu(x, axis = [0])",
        "threshold(x, value = 1, threshold = 2, default_value = 3)",
    ] {
        let error = engine.compile(text).expect_err(text);
        assert!(matches!(error, CompileError::Expression(_)) && !error.to_string().is_empty(), "{text}: {error}");
    }
    let error = Engine::builder().backend(BackendChoice::Wide).isa(Isa::Baseline).build().unwrap_err();
    assert!(matches!(error, EngineError::Backend(BackendError::Unavailable { .. })), "{error}");
}

/// Counts what it compiles; fails for passes with a division, if asked to.
#[derive(Debug, Default)]
struct Counting {
    compiled: AtomicUsize,
    refuse_division: bool,
}

impl Backend for Counting {
    fn name(&self) -> String {
        "counting".into()
    }

    fn has_fma(&self) -> bool {
        // As the engines that it is compared with.
        Isa::Baseline.has_fma()
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        // Time for other threads to ask for the same.
        for _ in 0..100 {
            std::thread::yield_now();
        }
        let divides = |instruction: &fuselet::lane::Instruction| {
            matches!(instruction, fuselet::lane::Instruction::Apply { op: LaneOp::Div, .. })
        };
        if self.refuse_division && pass.program.instructions.iter().any(divides) {
            return Err(BackendError::Unsupported {
                backend: self.name(),
                pass: pass.name.clone(),
                reason: "division".into(),
            });
        }
        Interpreter::new(Isa::Baseline).compile(pass)
    }
}

fn counting(refuse_division: bool, builder: fuselet::EngineBuilder) -> (Engine, Arc<Counting>) {
    let backend = Arc::new(Counting { compiled: AtomicUsize::new(0), refuse_division });
    let engine = builder.custom_backend(backend.clone()).isa(Isa::Baseline).threads(1).build().unwrap();
    (engine, backend)
}

#[test]
fn a_pass_is_compiled_once_however_many_threads_ask() {
    const TEXTS: [&str; 4] = ["silu(x * 2 + 1)", "softmax(x)", "gelu(x) * x", "max(x) - min(x)"];
    for same_function in [true, false] {
        let (engine, backend) = counting(false, Engine::builder());
        let shared: Vec<Function> = TEXTS.iter().map(|text| engine.compile(*text).unwrap()).collect();
        let x: Vec<f32> = (0..40).map(|at| at as f32 * 0.25 - 5.0).collect();
        let wanted: Vec<Vec<f32>> = TEXTS
            .iter()
            .map(|text| call(&compile(text), &[Array::vector(x.clone())]).unwrap().remove(0).data)
            .collect();
        let barrier = Barrier::new(16);
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let (engine, shared, barrier, x, wanted) = (&engine, &shared, &barrier, &x, &wanted);
                scope.spawn(move || {
                    barrier.wait();
                    for round in 0..TEXTS.len() {
                        let which = (round + thread / 8) % TEXTS.len();
                        let own = engine.compile(TEXTS[which]).unwrap();
                        let function = if same_function { &shared[which] } else { &own };
                        let found = call(function, &[Array::vector(x.clone())]).unwrap().remove(0);
                        common::assert_same_bits(&found.data, &wanted[which], || TEXTS[which].into());
                    }
                });
            }
        });
        let usage = engine.cache_usage();
        assert!(usage.passes >= TEXTS.len() && usage.bytes < usage.limit);
        assert_eq!(backend.compiled.load(Ordering::Relaxed), usage.passes, "one compile for each pass in the cache");
    }
}

#[test]
fn equal_passes_of_different_expressions_and_shapes_share_code() {
    let (engine, backend) = counting(false, Engine::builder());
    let compiled = || backend.compiled.load(Ordering::Relaxed);
    let x = |shape: &[usize]| Array::from_fn(shape, |at| at as f32);
    call(&engine.compile("relu(x * 2)").unwrap(), &[x(&[10])]).unwrap();
    assert_eq!(compiled(), 1);
    call(&engine.compile("relu(y * 2)").unwrap(), &[x(&[33])]).unwrap();
    call(&engine.compile("relu(x * 2)").unwrap(), &[x(&[3, 4, 5])]).unwrap();
    assert_eq!(compiled(), 1, "names, lengths and ranks are no part of the code");
    call(&engine.compile("relu(x * 3)").unwrap(), &[x(&[10])]).unwrap();
    assert_eq!(compiled(), 2);
}

#[test]
fn the_cache_is_bounded_and_functions_outlive_their_entries() {
    // As many bytes as three such passes take.
    let (probe, _) = counting(false, Engine::builder());
    let one = Array::vector(vec![1.0]);
    for at in 0..3 {
        call(&probe.compile(format!("x * 3 + {at}")).unwrap(), std::slice::from_ref(&one)).unwrap();
    }
    let bytes = probe.cache_usage().bytes;
    let (engine, backend) = counting(false, Engine::builder().code_cache_bytes(bytes));
    let x = Array::vector(vec![1.0, -2.0, 3.0]);
    let functions: Vec<Function> = (0..10).map(|at| engine.compile(format!("x * 3 + {at}")).unwrap()).collect();
    for round in 0..2 {
        for (at, function) in functions.iter().enumerate() {
            let found = call(function, std::slice::from_ref(&x)).unwrap().remove(0);
            assert_eq!(found.data, [3.0 + at as f32, -6.0 + at as f32, 9.0 + at as f32]);
            assert!(engine.cache_usage().passes <= 3 && engine.cache_usage().bytes <= bytes);
        }
        assert_eq!(backend.compiled.load(Ordering::Relaxed), 10, "round {round}: a function keeps its code");
    }
    assert_eq!(engine.cache_usage().passes, 3);
    // The entry is gone, so a new function of the same expression compiles again; the newest is still there.
    call(&engine.compile("x * 3 + 0").unwrap(), std::slice::from_ref(&x)).unwrap();
    assert_eq!(backend.compiled.load(Ordering::Relaxed), 11);
    call(&engine.compile("x * 3 + 9").unwrap(), &[x]).unwrap();
    assert_eq!(backend.compiled.load(Ordering::Relaxed), 11);
}

#[test]
fn what_the_backend_refuses_runs_in_the_interpreter_and_is_reported() {
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let heard = events.clone();
    let (engine, _) = counting(
        true,
        Engine::builder().on_event(move |event| {
            // What went as it was asked for is told of, too.
            if event.is_warning() {
                heard.lock().unwrap().push(event.clone());
            }
        }),
    );
    let x = Array::from_fn(&[4, 9], |at| at as f32 * 0.3 - 5.0);
    for text in ["relu(x)", "sigmoid(x)", "softmax(x)"] {
        let wanted = call(&compile(text), std::slice::from_ref(&x)).unwrap().remove(0);
        let function = engine.compile(text).unwrap();
        let found = call(&function, std::slice::from_ref(&x)).unwrap().remove(0);
        common::assert_same_bits(&found.data, &wanted.data, || text.into());
        let before = events.lock().unwrap().len();
        call(&function, std::slice::from_ref(&x)).unwrap();
        assert_eq!(events.lock().unwrap().len(), before, "{text}: a pass is reported once");
        assert_eq!(before > 0, text != "relu(x)", "{text}");
    }
    for event in events.lock().unwrap().iter() {
        let Event::FellBack { error, .. } = event else { panic!("{event}") };
        assert!(matches!(error, BackendError::Unsupported { .. }));
        assert!(event.to_string().contains("interpreter") && event.to_string().contains("division"), "{event}");
    }
    let explanation = engine.compile("sigmoid(x)").unwrap();
    let signature = Signature::new().with("x", Dtype::F32, &[9]).unwrap();
    let explanation = explanation.explain(&signature).unwrap();
    assert!(explanation.passes.iter().all(|pass| pass.backend.starts_with("interpreter")));
}

#[test]
fn nothing_to_write_is_nothing_to_do_however_long_other_axes_are() {
    // Loops over 2^40 empty rows would not end; the products of such lengths overflow.
    let none: [f32; 0] = [];
    for engine in engines() {
        for text in ["softmax(x)", "layer_norm(x)", "sparsemax(x)", "glu(x)", "relu(x) * 2"] {
            for shape in [&[1usize << 40, 0][..], &[0, 1 << 62, 4], &[1 << 40, 3, 0]] {
                let function = engine.compile(text).unwrap();
                let x = ArrayRef::new(&none, shape).unwrap();
                let result = function.output_shapes(&[shape.to_vec()]).unwrap().remove(0);
                let mut y: [f32; 0] = [];
                for _ in 0..2 {
                    function.call(&[("x", x)], ArrayMut::new(&mut y, &result).unwrap()).unwrap();
                }
            }
        }
        let x = ArrayRef::new(&none, &[1 << 40, 1 << 40, 0]).unwrap();
        assert_eq!(engine.compile("x + 1").unwrap().call_to_vec::<f32>(&[("x", x)]), Ok(vec![]));
        // What is reduced to numbers is written, though nothing is read.
        let sum = engine.compile("sum(softmax(x))").unwrap();
        let (x, mut y) = (ArrayRef::new(&none, &[0, 1 << 62, 4]).unwrap(), [GUARD]);
        sum.call(&[("x", x)], ArrayMut::new(&mut y, &[1, 1, 1]).unwrap()).unwrap();
        assert_eq!(y, [0.0]);
    }
}
