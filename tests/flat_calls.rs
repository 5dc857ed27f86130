//! Calls of flat arrays take a short way from the second call on: it must give the bits and the errors of the long way.

use fuselet::{BackendChoice, CallError, Engine, Input, TensorMut, TensorRef};

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
        let inputs: [(&str, &dyn Input); 4] = [("x", &x), ("scale", &1.5f32), ("b", &b), ("r", &r)];
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
fn a_number_in_place_of_an_array_is_a_kernel_of_its_own() {
    let f = engine().compile("x - y").expect("it is valid");
    let (a, mut out) = ([5.0f32, 6.0, 7.0], [0.0f32; 3]);
    for _ in 0..2 {
        f.call(&[("x", &a), ("y", &[1.0f32, 2.0, 3.0])], &mut out).expect("the call fits");
        assert_eq!(out, [4.0, 4.0, 4.0]);
        f.call(&[("x", &a), ("y", &1.0f32)], &mut out).expect("the call fits");
        assert_eq!(out, [4.0, 5.0, 6.0]);
        f.call(&[("x", &1.0f32), ("y", &a)], &mut out).expect("the call fits");
        assert_eq!(out, [-4.0, -5.0, -6.0]);
    }
}

#[test]
fn transposed_arrays_of_the_same_shape_are_not_taken_for_flat() {
    let f = engine().compile("x - y").expect("it is valid");
    let data = [1.0f32, 2.0, 3.0, 4.0];
    let straight = TensorRef::new(&data, &[2, 2]).expect("it fits");
    let transposed = TensorRef::strided(&data, &[2, 2], &[1, 2], 0).expect("it fits");
    let mut out = [9.0f32; 4];
    for _ in 0..2 {
        f.call(&[("x", &straight), ("y", &straight)], &mut TensorMut::new(&mut out, &[2, 2]).expect("it fits"))
            .expect("the call fits");
        assert_eq!(out, [0.0; 4]);
        f.call(&[("x", &straight), ("y", &transposed)], &mut TensorMut::new(&mut out, &[2, 2]).expect("it fits"))
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
        f.call(&[("x", &a), ("y", &a)], &mut out).expect("the call fits");
    }
    let error = |inputs: &[(&str, &dyn Input)]| f.call(inputs, &mut [0.0f32; 3]).expect_err("the call does not fit");
    assert!(matches!(error(&[("x", &a)]), CallError::MissingInput { .. }));
    assert!(matches!(error(&[("x", &a), ("z", &a)]), CallError::UnknownInput { .. }));
    assert!(matches!(error(&[("x", &a), ("y", &a), ("y", &a)]), CallError::RepeatedInput { .. }));
    assert!(matches!(error(&[("x", &a), ("y", &[1.0f64, 2.0, 3.0])]), CallError::Dtype { .. }));
    assert!(matches!(error(&[("x", &a), ("y", &[1.0f32, 2.0])]), CallError::Shape(_)));
    assert!(matches!(error(&[("x", &1.0f32), ("y", &2.0f32)]), CallError::OutputShape { .. }));
    f.call(&[("y", &[10.0f32, 10.0, 10.0]), ("x", &a)], &mut out).expect("any order of names fits");
    assert_eq!(out, [11.0, 12.0, 13.0]);
}

#[test]
fn raw_calls_equal_checked_calls_bit_for_bit() {
    let f = engine().compile(CHAIN).expect("it is valid");
    let (x, b, r, scale) = (ramp(33, 0.5), ramp(33, -0.25), ramp(33, 2.0), 1.5f32);
    let inputs: [(&str, &dyn Input); 4] = [("x", &x), ("scale", &scale), ("b", &b), ("r", &r)];
    let mut expected = vec![0.0f32; 33];
    f.call(&inputs, &mut expected).expect("the call fits");
    let signature =
        inputs.iter().fold(fuselet::Signature::new(), |signature, (name, x)| signature.with_input(name, *x));
    let kernel = f.kernel_for(&signature).expect("the signature fits");
    let pointer = |name: &str| match name {
        "x" => x.as_ptr().cast::<u8>(),
        "b" => b.as_ptr().cast(),
        "r" => r.as_ptr().cast(),
        _ => std::ptr::from_ref(&scale).cast(),
    };
    let pointers: Vec<*const u8> = f.inputs().iter().map(|name| pointer(name)).collect();
    let mut y = vec![0.0f32; 33];
    // SAFETY: the arrays are those of the signature, in the function's order; the output is none of them.
    unsafe { kernel.call_raw(&pointers, &[y.as_mut_ptr().cast()]) }.expect("there are no temporaries");
    assert_eq!(bits(&y), bits(&expected));
}
