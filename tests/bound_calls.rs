//! Calls of flat arrays, and of arrays laid out like those of an earlier call, take a short way from the second call on: it
//! must give the bits and the errors of the long way.

use fuselet::{ArrayMut, ArrayRef, BackendChoice, CallError, Engine};

const CHAIN: &str = "silu(x * scale + b) * 0.7 + r";

fn engine() -> Engine {
    Engine::builder().backend(BackendChoice::Interpreter).threads(1).build().expect("the interpreter runs everywhere")
}

fn ramp(n: usize, step: f32) -> Vec<f32> {
    (0..n).map(|at| (at as f32 - 7.0) * step).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn later_calls_of_any_length_equal_first_calls_bit_for_bit() {
    let kept = engine().compile(CHAIN).expect("it is valid");
    // The empty and the one-element call come first: they must not decide about the others.
    for n in [0, 1, 2, 5, 16, 33, 1000] {
        let (x, b, r) = (ramp(n, 0.5), ramp(n, -0.25), ramp(n, 2.0));
        let inputs: [(&str, ArrayRef<'_>); 4] =
            [("x", (&x).into()), ("scale", (&1.5f32).into()), ("b", (&b).into()), ("r", (&r).into())];
        let mut expected = vec![0.0f32; n];
        engine().compile(CHAIN).expect("it is valid").call(&inputs, &mut expected).expect("the call fits");
        for _ in 0..3 {
            let mut y = vec![0.0f32; n];
            kept.call(&inputs, &mut y).expect("the call fits");
            assert_eq!(bits(&y), bits(&expected), "{n} elements");
        }
    }
}

#[test]
fn a_number_in_place_of_an_array_is_a_loop_of_its_own() {
    let f = engine().compile("x - y").expect("it is valid");
    let (a, mut out) = ([5.0f32, 6.0, 7.0], [0.0f32; 3]);
    for _ in 0..2 {
        f.call(&[("x", (&a).into()), ("y", (&[1.0f32, 2.0, 3.0]).into())], &mut out).expect("the call fits");
        assert_eq!(out, [4.0, 4.0, 4.0]);
        f.call(&[("x", (&a).into()), ("y", (&1.0f32).into())], &mut out).expect("the call fits");
        assert_eq!(out, [4.0, 5.0, 6.0]);
        f.call(&[("x", (&1.0f32).into()), ("y", (&a).into())], &mut out).expect("the call fits");
        assert_eq!(out, [-4.0, -5.0, -6.0]);
    }
}

#[test]
fn transposed_arrays_of_the_same_shape_are_not_taken_for_flat() {
    let f = engine().compile("x - y").expect("it is valid");
    let data = [1.0f32, 2.0, 3.0, 4.0];
    let straight = ArrayRef::new(&data, &[2, 2]).expect("it fits");
    let transposed = ArrayRef::strided(&data, &[2, 2], &[1, 2], 0).expect("it fits");
    let mut out = [9.0f32; 4];
    for _ in 0..2 {
        f.call(&[("x", straight), ("y", straight)], ArrayMut::new(&mut out, &[2, 2]).expect("it fits"))
            .expect("the call fits");
        assert_eq!(out, [0.0; 4]);
        f.call(&[("x", straight), ("y", transposed)], ArrayMut::new(&mut out, &[2, 2]).expect("it fits"))
            .expect("the call fits");
        assert_eq!(out, [0.0, -1.0, 1.0, 0.0]);
    }
}

#[test]
fn errors_are_the_same_after_a_call_that_fitted() {
    let f = engine().compile("x + y").expect("it is valid");
    let a = [1.0f32, 2.0, 3.0];
    let mut out = [0.0f32; 3];
    for _ in 0..2 {
        f.call(&[("x", (&a).into()), ("y", (&a).into())], &mut out).expect("the call fits");
    }
    let error = |inputs: &[(&str, ArrayRef<'_>)]| f.call(inputs, &mut [0.0f32; 3]).expect_err("the call does not fit");
    assert!(matches!(error(&[("x", (&a).into())]), CallError::MissingInput { .. }));
    assert!(matches!(error(&[("x", (&a).into()), ("z", (&a).into())]), CallError::UnknownInput { .. }));
    assert!(matches!(
        error(&[("x", (&a).into()), ("y", (&a).into()), ("y", (&a).into())]),
        CallError::RepeatedInput { .. }
    ));
    assert!(matches!(error(&[("x", (&a).into()), ("y", (&[1.0f32, 2.0]).into())]), CallError::Shape(_)));
    assert!(matches!(error(&[("x", (&1.0f32).into()), ("y", (&2.0f32).into())]), CallError::OutputShape { .. }));
    f.call(&[("y", (&[10.0f32, 10.0, 10.0]).into()), ("x", (&a).into())], &mut out).expect("any order of names fits");
    assert_eq!(out, [11.0, 12.0, 13.0]);
}

#[test]
fn raw_calls_equal_checked_calls_bit_for_bit() {
    let f = engine().compile(CHAIN).expect("it is valid");
    let (x, b, r, scale) = (ramp(33, 0.5), ramp(33, -0.25), ramp(33, 2.0), 1.5f32);
    let inputs: [(&str, ArrayRef<'_>); 4] =
        [("x", (&x).into()), ("scale", (&scale).into()), ("b", (&b).into()), ("r", (&r).into())];
    let mut expected = vec![0.0f32; 33];
    f.call(&inputs, &mut expected).expect("the call fits");
    let signature =
        inputs.iter().fold(fuselet::Signature::new(), |signature, (name, x)| signature.with_input(name, *x));
    let prepared = f.prepare(&signature).expect("the signature fits");
    let pointer = |name: &str| match name {
        "x" => x.as_ptr().cast::<u8>(),
        "b" => b.as_ptr().cast(),
        "r" => r.as_ptr().cast(),
        _ => std::ptr::from_ref(&scale).cast(),
    };
    let pointers: Vec<*const u8> = f.inputs().iter().map(|name| pointer(name)).collect();
    let mut y = vec![0.0f32; 33];
    // SAFETY: the arrays are those of the signature, in the function's order; the output is none of them.
    unsafe { prepared.call_raw(&pointers, &[y.as_mut_ptr().cast()]) }.expect("there are no temporaries");
    assert_eq!(bits(&y), bits(&expected));
}

#[test]
fn layouts_met_before_equal_first_calls_bit_for_bit() {
    let kept = engine().compile(CHAIN).expect("it is valid");
    let data = ramp(400, 0.25);
    // More shapes than a function keeps layouts; each several times, in turns.
    for round in 0..3 {
        for columns in [1, 2, 3, 5, 16, 17, 20, 31, 32, 33, 40] {
            let rows = 7;
            // A matrix with gaps between its rows.
            let (shape, strides) = ([rows, columns], [columns as isize + 3, 1]);
            let x = ArrayRef::strided(&data, &shape, &strides, 0).expect("it fits");
            let bias = ArrayRef::from(&data[5..][..columns]);
            let column_shape = [rows, 1];
            let column = ArrayRef::new(&data[9..][..rows], &column_shape).expect("it fits");
            let inputs: [(&str, ArrayRef<'_>); 4] = [("x", x), ("scale", (&1.5f32).into()), ("b", bias), ("r", column)];
            let mut expected = vec![0.0f32; rows * columns];
            let fresh = engine().compile(CHAIN).expect("it is valid");
            fresh.call(&inputs, ArrayMut::new(&mut expected, &shape).expect("it fits")).expect("the call fits");
            let mut y = vec![0.0f32; rows * columns];
            kept.call(&inputs, ArrayMut::new(&mut y, &shape).expect("it fits")).expect("the call fits");
            assert_eq!(bits(&y), bits(&expected), "{columns} columns, round {round}");
        }
    }
}

/// Such calls are put in order first; they must not be kept a second time, nor give other results.
#[test]
fn names_in_another_order_take_no_more_than_one_place() {
    let f = engine().compile("x - y").expect("it is valid");
    let data = ramp(200, 1.0);
    let call = |columns: usize, swapped: bool| {
        let shape = [3, columns];
        let x = ArrayRef::new(&data[..3 * columns], &shape).expect("it fits");
        let y = ArrayRef::from(&data[100..][..columns]);
        let (first, second): ((&str, ArrayRef<'_>), (&str, ArrayRef<'_>)) = (("x", x), ("y", y));
        let inputs = if swapped { [second, first] } else { [first, second] };
        let mut out = vec![0.0f32; 3 * columns];
        f.call(&inputs, ArrayMut::new(&mut out, &shape).expect("it fits")).expect("the call fits");
        bits(&out)
    };
    for _ in 0..20 {
        assert_eq!(call(5, true), call(5, false));
        assert_eq!(call(6, false), call(6, true));
    }
    assert_eq!(f.cache_usage().0, 2, "one a layout");
}

#[test]
fn halves_and_transposed_arrays_are_laid_out_anew_where_they_must() {
    let f = engine().compile("glu(x) + y").expect("it is valid");
    let (data, y) = (ramp(64, 0.5), ramp(32, 1.0));
    let views = [
        ArrayRef::new(&data, &[4, 16]).expect("it fits"),
        ArrayRef::strided(&data, &[4, 16], &[1, 4], 0).expect("it fits"),
        ArrayRef::strided(&data, &[4, 16], &[-16, 1], 48).expect("it fits"),
    ];
    let addend = ArrayRef::new(&y, &[4, 8]).expect("it fits");
    for _ in 0..2 {
        for view in &views {
            let call = |f: &fuselet::Function| {
                let mut out = vec![0.0f32; 32];
                f.call(&[("x", *view), ("y", addend)], ArrayMut::new(&mut out, &[4, 8]).expect("it fits"))
                    .expect("the call fits");
                bits(&out)
            };
            assert_eq!(call(&f), call(&engine().compile("glu(x) + y").expect("it is valid")));
        }
    }
}

#[test]
fn calls_in_place_are_known_again() {
    let f = engine().compile("x * scale + b |> silu").expect("it is valid");
    let b = ramp(8, 0.5);
    let start = ramp(40, 0.25);
    let mut expected: Vec<f32> = start.clone();
    let mut kept: Vec<f32> = start.clone();
    for _ in 0..4 {
        let inputs: [(&str, ArrayRef<'_>); 2] = [("scale", (&0.9f32).into()), ("b", (&b).into())];
        let fresh = engine().compile("x * scale + b |> silu").expect("it is valid");
        let matrix = ArrayMut::new(&mut expected, &[5, 8]).expect("it fits");
        fresh.call_in_place(("x", matrix), &inputs).expect("the call fits");
        let matrix = ArrayMut::new(&mut kept, &[5, 8]).expect("it fits");
        f.call_in_place(("x", matrix), &inputs).expect("the call fits");
        assert_eq!(bits(&kept), bits(&expected));
    }
    assert_ne!(bits(&kept), bits(&start));
}

#[test]
fn errors_are_the_same_after_a_layout_was_met() {
    let f = engine().compile("x + y").expect("it is valid");
    let data = ramp(40, 1.0);
    let matrix = |data| ArrayRef::new(data, &[3, 4]).expect("it fits");
    let (x, row) = (matrix(&data[..12]), ArrayRef::new(&data[20..24], &[4]).expect("it fits"));
    let call = |inputs: &[(&str, ArrayRef<'_>)], shape: &[usize]| {
        let mut out = vec![-1.0f32; shape.iter().product()];
        let result = f.call(inputs, ArrayMut::new(&mut out, shape).expect("it fits"));
        assert!(result.is_ok() || out.iter().all(|value| *value == -1.0), "nothing is written where a call fails");
        result
    };
    for _ in 0..2 {
        call(&[("x", x), ("y", row)], &[3, 4]).expect("the call fits");
    }
    let column = ArrayRef::new(&data[20..23], &[3]).expect("it fits");
    let error = |result: Result<(), CallError>| result.expect_err("the call does not fit");
    assert!(matches!(error(call(&[("x", x), ("y", column)], &[3, 4])), CallError::Shape(_)));
    assert!(matches!(error(call(&[("x", x), ("y", row)], &[4, 3])), CallError::OutputShape { .. }));
    assert!(matches!(error(call(&[("x", x), ("z", row)], &[3, 4])), CallError::UnknownInput { .. }));
    assert!(matches!(error(call(&[("x", x)], &[3, 4])), CallError::MissingInput { .. }));
    call(&[("y", row), ("x", x)], &[3, 4]).expect("any order of names fits");
}

#[test]
fn an_output_that_reaches_into_an_input_is_refused_after_a_layout_was_met() {
    let f = engine().compile("x + y").expect("it is valid");
    let row = [1.0f32, 2.0, 3.0, 4.0];
    let mut memory = ramp(40, 1.0);
    let base = memory.as_mut_ptr();
    let call = |offset: usize| {
        // SAFETY: both views lie in `memory`; the call refuses what overlaps without being the same.
        let (x, mut out) = unsafe {
            (
                ArrayRef::from_raw_parts(base, &[3, 4], &[4, 1]).expect("it fits"),
                ArrayMut::from_raw_parts(base.add(offset), &[3, 4], &[4, 1]).expect("it fits"),
            )
        };
        f.call(&[("x", x), ("y", (&row).into())], &mut out)
    };
    for _ in 0..2 {
        call(12).expect("they do not overlap");
        call(0).expect("it is the same array");
        assert!(matches!(call(4), Err(CallError::Overlap { .. })));
        assert!(matches!(call(11), Err(CallError::Overlap { .. })));
    }
    // Interleaved with an input of another layout that begins elsewhere.
    let g = engine().compile("x * 2").expect("it is valid");
    let strided = |offset: usize| {
        // SAFETY: as above.
        let (x, mut out) = unsafe {
            (
                ArrayRef::from_raw_parts(base, &[8], &[2]).expect("it fits"),
                ArrayMut::from_raw_parts(base.add(offset), &[8], &[2]).expect("it fits"),
            )
        };
        g.call(&[("x", x)], &mut out)
    };
    for _ in 0..2 {
        strided(16).expect("they do not overlap");
        strided(0).expect("it is the same array");
        assert!(matches!(strided(2), Err(CallError::Overlap { .. })));
    }
}

/// Row kernels keep values in the memory of their output, but not where that is an input they still read.
#[test]
fn row_functions_are_known_again_in_place_and_not() {
    let texts = [
        "softmax(x)",
        "log_softmax(x)",
        "x * scale + mask |> softmax |> * x",
        "layer_norm(x) * mask",
        "sparsemax(x)",
        "softmax(x, axis = 0) + mask",
        "sum(x, axis = -1) * x",
    ];
    for text in texts {
        let kept = engine().compile(text).expect("it is valid");
        for columns in [3, 20, 130, 300] {
            let shape = [5, columns];
            let (start, mask) = (ramp(5 * columns, 0.05), ramp(5 * columns, -0.03));
            let mask = ArrayRef::new(&mask, &shape).expect("it fits");
            let call = |f: &fuselet::Function, in_place: bool| {
                let mut inputs: Vec<(&str, ArrayRef<'_>)> = Vec::new();
                let x = ArrayRef::new(&start, &shape).expect("it fits");
                for name in f.inputs() {
                    match name.as_str() {
                        "x" if !in_place => inputs.push(("x", x)),
                        "scale" => inputs.push(("scale", (&0.5f32).into())),
                        "mask" => inputs.push(("mask", mask)),
                        _ => {}
                    }
                }
                let mut out = if in_place { start.clone() } else { vec![0.0; start.len()] };
                let view = ArrayMut::new(&mut out, &shape).expect("it fits");
                if in_place {
                    f.call_in_place(("x", view), &inputs).expect("the call fits");
                } else {
                    f.call(&inputs, view).expect("the call fits");
                }
                bits(&out)
            };
            let expected = call(&engine().compile(text).expect("it is valid"), false);
            for in_place in [false, false, true, true, false, true] {
                assert_eq!(call(&kept, in_place), expected, "{text}, {columns} columns, in place: {in_place}");
            }
        }
    }
}

#[test]
fn prepared_calls_of_row_functions_work_in_place_and_not() {
    let text = "x * 0.5 |> softmax |> * x";
    for engine in [engine(), Engine::builder().threads(1).build().expect("an engine can be made")] {
        let f = engine.compile(text).expect("it is valid");
        let start = ramp(3 * 200, 0.01);
        let view = ArrayRef::new(&start, &[3, 200]).expect("it fits");
        let mut expected = vec![0.0f32; start.len()];
        f.call(&[("x", view)], ArrayMut::new(&mut expected, &[3, 200]).expect("it fits")).expect("the call fits");
        let prepared = f.prepare(&fuselet::Signature::new().with_input("x", view)).expect("the signature fits");
        for _ in 0..2 {
            let mut apart = vec![0.0f32; start.len()];
            let mut same = start.clone();
            assert!(prepared.allows_in_place(0, 0));
            // SAFETY: the arrays are those of the signature; the output is none of them.
            unsafe { prepared.call_raw(&[start.as_ptr().cast()], &[apart.as_mut_ptr().cast()]) }
                .expect("there is memory");
            let array = ArrayMut::new(&mut same, &[3, 200]).expect("it fits");
            prepared.call_in_place((0, array), &[]).expect("it may work in place");
            assert_eq!(bits(&apart), bits(&expected));
            assert_eq!(bits(&same), bits(&expected));
        }
    }
}

#[test]
fn layouts_without_end_take_bounded_memory_and_give_the_same_bits() {
    const INPUTS: usize = 10;
    let names: Vec<String> = (0..INPUTS).map(|at| format!("x{at}")).collect();
    let (function_bytes, code_bytes) = (64 << 10, 256 << 10);
    let kept = Engine::builder()
        .backend(BackendChoice::Interpreter)
        .threads(1)
        .function_cache_bytes(function_bytes)
        .code_cache_bytes(code_bytes)
        .build()
        .expect("the interpreter runs everywhere");
    let f = kept.compile(names.join(" + ")).expect("it is valid");
    let data = ramp(200, 0.5);
    let mut state = 1u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((state >> 33) % below).expect("it is small")
    };
    for round in 0..3000 {
        // Each input is whole, a row, a column, a number, transposed, or with gaps: 6^10 combinations.
        let shape = [3 + draw(3), 4 + draw(5)];
        let [rows, columns] = shape;
        let (row, column) = ([columns], [rows, 1]);
        let (transposed, gaps) = ([1, rows as isize], [columns as isize + 2, 1]);
        let views: Vec<ArrayRef<'_>> = (0..INPUTS)
            .map(|_| match draw(6) {
                0 => ArrayRef::new(&data[..rows * columns], &shape),
                1 => ArrayRef::new(&data[7..][..columns], &row),
                2 => ArrayRef::new(&data[3..][..rows], &column),
                3 => Ok((&data[5]).into()),
                4 => ArrayRef::strided(&data, &shape, &transposed, 0),
                _ => ArrayRef::strided(&data, &shape, &gaps, 1),
            })
            .collect::<Result<_, _>>()
            .expect("they fit");
        let expected = f.output_shapes(&views.iter().map(|view| view.shape().to_vec()).collect::<Vec<_>>());
        let result = expected.expect("they broadcast").swap_remove(0);
        let elements = result.iter().product();
        let mut y = vec![0.0f32; elements];
        f.call_positional(&views, ArrayMut::new(&mut y, &result).expect("it fits")).expect("the call fits");
        assert!(f.cache_usage().1 <= function_bytes, "round {round}: {:?}", f.cache_usage());
        assert!(kept.cache_usage().bytes <= code_bytes, "round {round}: {:?}", kept.cache_usage());
        if round % 100 == 0 {
            let mut fresh = vec![0.0f32; elements];
            let function = engine().compile(names.join(" + ")).expect("it is valid");
            function.call_positional(&views, ArrayMut::new(&mut fresh, &result).expect("it fits")).expect("it fits");
            assert_eq!(bits(&y), bits(&fresh), "round {round}");
        }
    }
}
