//! Prepared calls: the bits of checked calls, for the layouts they were prepared for or for any lengths of their classes;
//! what does not fit is refused by name with nothing written; and what a function keeps is bounded.

mod common;

use common::{Array, Random, assert_same_bits, call, engines, groups, name};
use fuselet::ir::shape::ShapeError;
use fuselet::{ArrayMut, ArrayOut, ArrayRef, CallError, Dtype, Engine, Function, Prepared, Signature};
use std::mem::MaybeUninit;

/// What stands where nothing may be written.
const GUARD: f32 = -1234.5;

const FUNCTIONS: [&str; 6] = [
    "silu(x * 2) + y",
    "softmax(x) * y",
    "layer_norm(x + y)",
    "sum(x * y, axis = 0)",
    "softmax(x, axis = 0) + y",
    "glu(x) |> softmax |> + sum(y)",
];

fn random_array(shape: &[usize], seed: u64) -> Array {
    let mut random = Random(seed);
    Array::from_fn(shape, |_| random.between(-5.0, 5.0))
}

fn signature(inputs: &[(&str, &[usize])]) -> Signature {
    inputs.iter().fold(Signature::new(), |signature, (name, shape)| signature.with(name, Dtype::F32, shape).unwrap())
}

fn prepare(function: &Function, shape: &[usize]) -> Prepared {
    function.prepare(&signature(&[("x", shape), ("y", &[1])])).unwrap()
}

/// The result of a prepared call, in memory whose elements lie apart.
fn result_of(prepared: &Prepared, x: &Array, y: &Array) -> Result<Vec<f32>, CallError> {
    let shape = prepared.function().output_shapes(&[x.shape.clone(), y.shape.clone()])?.remove(0);
    let mut output = Array::from_fn(&shape, |_| GUARD);
    let written = ArrayMut::new(&mut output.data, &shape).unwrap();
    let result = prepared.call(&[x.view(), y.view()], written);
    assert!(result.is_ok() || output.data.iter().all(|value| *value == GUARD), "a call that fails has written nothing");
    result.map(|()| output.data)
}

#[test]
fn prepared_calls_give_the_bits_of_checked_calls() {
    for engine in engines() {
        for text in FUNCTIONS {
            let function = engine.compile(text).unwrap();
            for shape in [&[6, 34][..], &[1, 2], &[3, 1, 16], &[2, 0]] {
                let (x, y) = (random_array(shape, 1), random_array(&[1], 2));
                let context = || format!("{text} of {shape:?} on {}", name(engine));
                let Ok(wanted) = call(&function, &[x.clone(), y.clone()]) else {
                    assert!(function.prepare(&signature(&[("x", shape), ("y", &[1])])).is_err(), "{}", context());
                    continue;
                };
                let prepared = prepare(&engine.compile(text).unwrap(), shape);
                assert!(prepared.output_shapes().eq([wanted[0].shape.as_slice()]), "{}", context());
                for _ in 0..2 {
                    assert_same_bits(&result_of(&prepared, &x, &y).unwrap(), &wanted[0].data, context);
                }
                let mut raw = vec![GUARD; wanted[0].data.len()];
                // SAFETY: the arrays are those of the signature, and the output is none of them.
                unsafe {
                    let inputs = [x.data.as_ptr().cast(), y.data.as_ptr().cast()];
                    prepared.call_raw(&inputs, &[raw.as_mut_ptr().cast()]).unwrap();
                }
                assert_same_bits(&raw, &wanted[0].data, || format!("{}, raw", context()));
            }
        }
    }
}

#[test]
fn outputs_may_have_strides_or_no_values_yet() {
    for engine in engines() {
        for text in ["silu(x) + y", "softmax(x) * y"] {
            let function = engine.compile(text).unwrap();
            let (x, y) = (random_array(&[5, 18], 3), random_array(&[1], 4));
            let wanted = call(&function, &[x.clone(), y.clone()]).unwrap().remove(0);
            let (shape, strides) = ([5, 18], [40, 2]);
            let strided = signature(&[("x", &shape), ("y", &[1])]).with_output("out", Dtype::F32, &shape, &strides);
            let prepared = function.prepare(&strided.unwrap()).unwrap();
            let mut memory = vec![GUARD; 5 * 40];
            let output = ArrayMut::strided(&mut memory, &shape, &strides, 1).unwrap();
            prepared.call(&[x.view(), y.view()], output).unwrap();
            let own: Vec<f32> = (0..90).map(|at| memory[1 + at / 18 * 40 + at % 18 * 2]).collect();
            assert_same_bits(&own, &wanted.data, || format!("{text} with strides on {}", name(engine)));
            assert_eq!(memory.iter().filter(|value| **value == GUARD).count(), 110, "what lies between elements");
            // Row-major arrays are other ones.
            assert!(matches!(result_of(&prepared, &x, &y), Err(CallError::Layout { name, .. }) if name == "out"));
            let mut fresh = [MaybeUninit::uninit(); 90];
            let output = ArrayOut::uninit(&mut fresh, &shape).unwrap();
            prepare(&function, &shape).call(&[x.view(), y.view()], output).unwrap();
            // SAFETY: a call that succeeds has written its output whole.
            let fresh = fresh.map(|value| unsafe { value.assume_init() });
            assert_same_bits(&fresh, &wanted.data, || format!("{text} to fresh memory on {}", name(engine)));
        }
    }
}

#[test]
fn other_layouts_than_the_prepared_ones_are_refused_by_name() {
    let function = groups()[0].judge().compile("input x, y; softmax(x) + y").unwrap();
    let prepared = function.prepare(&signature(&[("x", &[4, 6]), ("y", &[6])])).unwrap();
    let (data, row) = (vec![1.0f32; 64], [1.0f32; 6]);
    let x = ArrayRef::new(&data[..24], &[4, 6]).unwrap();
    let other = [
        ArrayRef::new(&data[..24], &[6, 4]).unwrap(),
        ArrayRef::new(&data[..18], &[3, 6]).unwrap(),
        ArrayRef::new(&data[..24], &[1, 4, 6]).unwrap(),
        ArrayRef::strided(&data, &[4, 6], &[1, 4], 0).unwrap(),
        ArrayRef::strided(&data, &[4, 6], &[7, 1], 0).unwrap(),
        ArrayRef::strided(&data, &[4, 6], &[0, 1], 0).unwrap(),
        ArrayRef::new(&[1.0f64; 24], &[4, 6]).unwrap(),
    ];
    let mut memory = vec![GUARD; 24];
    for x in other {
        let error = prepared.call(&[x, (&row).into()], ArrayMut::new(&mut memory, &[4, 6]).unwrap()).unwrap_err();
        assert!(matches!(&error, CallError::Layout { name, .. } if name == "x"), "{error}");
        let text = error.to_string();
        assert!(text.contains("`x`") && text.contains("float32 [4, 6]"), "{text}");
    }
    let error = prepared.call(&[x, (&1.0f32).into()], ArrayMut::new(&mut memory, &[4, 6]).unwrap()).unwrap_err();
    assert!(matches!(&error, CallError::Layout { name, .. } if name == "y"), "{error}");
    let error = prepared.call(&[x, (&row).into()], &mut memory).unwrap_err();
    assert!(matches!(&error, CallError::Layout { name, .. } if name == "out"), "{error}");
    let expected = vec!["x".to_owned(), "y".to_owned()];
    let error = prepared.call(&[x], ArrayMut::new(&mut memory, &[4, 6]).unwrap()).unwrap_err();
    assert_eq!(error, CallError::InputCount { expected, given: 1 });
    let error = prepared.call_views(&[x, (&row).into()], &[]).unwrap_err();
    assert_eq!(error, CallError::OutputCount { expected: vec!["out".to_owned()], given: 0 });
    assert!(prepared.call_in_place((2, ArrayMut::new(&mut memory, &[4, 6]).unwrap()), &[x]).is_err());
    assert_eq!(memory, [GUARD; 24]);
    prepared.call(&[x, (&row).into()], ArrayMut::new(&mut memory, &[4, 6]).unwrap()).unwrap();
}

/// An overlap is looked for in every call, whatever was prepared.
#[test]
fn prepared_calls_refuse_overlaps_and_work_in_place() {
    for engine in engines() {
        for text in ["x * 2 + y", "softmax(x) * y"] {
            let function = engine.compile(text).unwrap();
            let prepared = prepare(&function, &[3, 5]);
            let (x, y) = (random_array(&[3, 5], 5), random_array(&[1], 6));
            let wanted = call(&function, &[x.clone(), y.clone()]).unwrap().remove(0);
            let mut memory = x.data.clone();
            memory.extend([GUARD; 10]);
            let before = memory.clone();
            let base = memory.as_mut_ptr();
            // SAFETY: both views lie in `memory`; the call refuses what overlaps without being the same.
            let (input, output) = unsafe {
                let output = ArrayMut::from_raw_parts(base.add(4), &[3, 5], &[5, 1]).unwrap();
                (ArrayRef::from_raw_parts(base.cast_const(), &[3, 5], &[5, 1]).unwrap(), output)
            };
            let error = prepared.call(&[input, y.view()], output).unwrap_err();
            assert!(matches!(&error, CallError::Overlap { output, other, .. } if output == "out" && other == "x"));
            assert_eq!(memory, before);
            let array = ArrayMut::new(&mut memory[..15], &[3, 5]).unwrap();
            prepared.call_in_place((0, array), &[y.view()]).unwrap();
            assert_same_bits(&memory[..15], &wanted.data, || format!("{text} in place on {}", name(engine)));
        }
        // A sum has another shape than what it is taken of, and rows that are read by other axes cannot be written over.
        let sum = engine.compile("sum(x, axis = 0)").unwrap().prepare(&signature(&[("x", &[3, 5])])).unwrap();
        let mut memory = [GUARD; 15];
        assert!(!sum.allows_in_place(0, 0));
        assert!(sum.call_in_place((0, ArrayMut::new(&mut memory, &[3, 5]).unwrap()), &[]).is_err());
        assert_eq!(memory, [GUARD; 15]);
    }
}

#[test]
fn free_lengths_are_any_lengths_of_the_same_classes() {
    for engine in engines() {
        for text in FUNCTIONS {
            let kept = engine.compile(text).unwrap();
            let free = kept.prepare(&signature(&[("x", &[4, 8]), ("y", &[1])]).with_free_lengths()).unwrap();
            // Lengths of 0 and 1 come between others.
            for shape in [[4, 8], [1, 2], [9, 40], [5, 2], [0, 6], [1, 34], [3, 0], [200, 18], [4, 8]] {
                let (x, y) = (random_array(&shape, 7), random_array(&[1], 8));
                let context = || format!("{text} of {shape:?} on {}", name(engine));
                let wanted = call(&engine.compile(text).unwrap(), &[x.clone(), y.clone()]).unwrap().remove(0);
                assert_same_bits(&result_of(&free, &x, &y).unwrap(), &wanted.data, context);
            }
            let y = random_array(&[1], 8);
            let refused = |x: ArrayRef<'_>, shape: &[usize]| {
                let mut memory = vec![GUARD; shape.iter().product()];
                let error = free.call(&[x, y.view()], ArrayMut::new(&mut memory, shape).unwrap()).unwrap_err();
                assert!(memory.iter().all(|value| *value == GUARD));
                error
            };
            let data = [1.0f32; 32];
            for x in [
                ArrayRef::new(&data, &[32]).unwrap(),
                ArrayRef::new(&data, &[2, 4, 4]).unwrap(),
                ArrayRef::strided(&data, &[4, 8], &[1, 4], 0).unwrap(),
                ArrayRef::new(&[1.0f64; 32], &[4, 8]).unwrap(),
            ] {
                let error = refused(x, &[4, 8]);
                assert!(matches!(&error, CallError::Layout { name, .. } if name == "x"), "{text}: {error}");
            }
        }
        // Of its classes, but no shapes that fit each other.
        let both = signature(&[("x", &[4, 8]), ("y", &[4, 8])]).with_free_lengths();
        let free = engine.compile("x * y").unwrap().prepare(&both).unwrap();
        let (x, y) = (random_array(&[4, 8], 1), random_array(&[4, 7], 2));
        let mut memory = [GUARD; 32];
        let error = free.call(&[x.view(), y.view()], ArrayMut::new(&mut memory, &[4, 8]).unwrap()).unwrap_err();
        assert!(matches!(error, CallError::Shape(ShapeError::Broadcast { .. })), "{error}");
        let error = free.call(&[x.view(), x.view()], ArrayMut::new(&mut memory, &[8, 4]).unwrap()).unwrap_err();
        assert!(matches!(error, CallError::OutputShape { .. }), "{error}");
        assert_eq!(memory, [GUARD; 32]);
    }
}

#[test]
fn many_threads_call_one_prepared_function() {
    for group in groups() {
        for engine in &group.engines {
            for text in ["softmax(x) * y", "softmax(x, axis = 0) + y", "silu(x * 2) + y"] {
                let prepared = prepare(&engine.compile(text).unwrap(), &[7, 40]);
                let y = random_array(&[1], 9);
                std::thread::scope(|scope| {
                    for thread in 0..8 {
                        let (prepared, y) = (prepared.clone(), &y);
                        scope.spawn(move || {
                            let x = random_array(&[7, 40], thread);
                            let judge = group.judge().compile(text).unwrap();
                            let wanted = call(&judge, &[x.clone(), y.clone()]).unwrap().remove(0);
                            for _ in 0..50 {
                                let found = result_of(&prepared, &x, y).unwrap();
                                assert_same_bits(&found, &wanted.data, || format!("{text} on {}", name(engine)));
                            }
                        });
                    }
                });
            }
        }
    }
}

#[test]
fn what_a_function_keeps_is_bounded() {
    const LIMIT: usize = 20_000;
    let engine = Engine::builder().threads(1).function_cache_bytes(LIMIT).build().unwrap();
    let small = engine.compile("softmax(x) * y").unwrap();
    let whole = Engine::builder().threads(1).build().unwrap().compile("softmax(x) * y").unwrap();
    let y = random_array(&[1], 10);
    for _ in 0..2 {
        for length in 2..202 {
            let x = random_array(&[3, length], length as u64);
            let wanted = call(&whole, &[x.clone(), y.clone()]).unwrap().remove(0);
            let found = call(&small, &[x, y.clone()]).unwrap().remove(0);
            assert_same_bits(&found.data, &wanted.data, || format!("rows of {length}"));
            let (layouts, bytes) = small.cache_usage();
            assert!(bytes <= LIMIT && layouts > 0, "{layouts} layouts, {bytes} bytes");
        }
    }
    assert_eq!(whole.cache_usage().0, 200, "one a layout");
    // Nothing is kept at all, and all is computed.
    let none = Engine::builder().threads(1).function_cache_bytes(0).build().unwrap().compile("softmax(x) * y").unwrap();
    let x = random_array(&[3, 5], 1);
    let wanted = call(&whole, &[x.clone(), y.clone()]).unwrap().remove(0);
    for _ in 0..3 {
        let found = call(&none, &[x.clone(), y.clone()]).unwrap().remove(0);
        assert_same_bits(&found.data, &wanted.data, || "nothing kept".into());
        assert_eq!(none.cache_usage(), (0, 0));
    }
}
