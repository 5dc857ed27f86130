//! Arrays between kernels share memory where their lifetimes allow, and only there.

use fuselet::{Dtype, Engine, Fusion, Signature};

fn slots(text: &str) -> (usize, usize) {
    let engine = Engine::builder().threads(1).build().unwrap();
    let function = engine.compile_with(text, Fusion::Off).unwrap();
    let signature =
        function.inputs().iter().fold(Signature::new(), |s, name| s.with(name, Dtype::F32, &[8, 8]).unwrap());
    let plan = function.explain(&signature).unwrap().plan;
    (plan.temporaries.len(), plan.temporaries.iter().map(|temporary| temporary.slot + 1).max().unwrap_or(0))
}

#[test]
fn a_chain_goes_back_and_forth_between_two_arrays() {
    assert_eq!(slots("x |> gelu |> tanh |> silu |> mish |> relu |> exp"), (5, 2));
}

#[test]
fn a_value_that_is_needed_late_keeps_its_memory() {
    let (temporaries, slots) = slots("{ let a = tanh(x); (a |> gelu |> silu |> mish) * a }");
    assert_eq!((temporaries, slots), (4, 3));
}

#[test]
fn results_do_not_change() {
    let engine = Engine::builder().threads(1).build().unwrap();
    let text = "{ let a = tanh(x); let b = a |> gelu |> silu; (b |> mish) * a + softmax(b) }";
    let x: Vec<f32> = (0..96).map(|at| at as f32 / 10.0 - 5.0).collect();
    let mut results = [vec![0.0f32; 96], vec![0.0f32; 96]];
    for (fusion, y) in [Fusion::Full, Fusion::Off].into_iter().zip(&mut results) {
        engine.compile_with(text, fusion).unwrap().call(&[("x", (&x).into())], y).unwrap();
    }
    assert_eq!(results[0], results[1]);
}
