//! What later calls compile once a function has been prepared: nothing for other lengths of the same kinds of arrays, whether
//! they are 1 or many.

use fuselet::{ArrayMut, ArrayRef, Dtype, Engine, Event, Signature};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An engine, and how many passes it has compiled.
fn counting() -> (Engine, Arc<AtomicUsize>) {
    let compiled = Arc::new(AtomicUsize::new(0));
    let counter = compiled.clone();
    let engine = Engine::builder().threads(1).on_event(move |event| {
        if matches!(event, Event::Compiled { .. }) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (engine.build().unwrap(), compiled)
}

#[test]
fn prepared_for_some_lengths_is_prepared_for_others() {
    let row = |columns: usize| vec![columns];
    // The shape of `w` for a number of columns, and the shapes of `x` that are called after [4, 64] was prepared.
    type Case<'a> = (&'a str, &'a dyn Fn(usize) -> Vec<usize>, &'a [[usize; 2]]);
    let cases: [Case<'_>; 7] = [
        ("silu(x) * 2", &|_| vec![], &[[1, 1], [1, 64], [64, 1], [3, 5], [0, 7], [100, 33]]),
        ("relu(x * w)", &|_| vec![], &[[1, 1], [1, 64], [64, 1], [3, 5], [100, 33]]),
        ("relu(x * w)", &row, &[[4, 65], [9, 17], [2, 33], [100, 64]]),
        ("softmax(x * w)", &|_| vec![], &[[1, 64], [1, 65], [4, 17], [2, 4096], [100, 1500]]),
        ("softmax(x)", &|_| vec![], &[[1, 64], [3, 16], [2, 4096]]),
        ("rms_norm(x) * w", &row, &[[1, 64], [1, 131], [7, 260], [2, 2048]]),
        ("sum(x, axis = -1) * w", &|_| vec![], &[[1, 64], [1, 65], [7, 130]]),
    ];
    for (text, w_shape, shapes) in cases {
        let (engine, compiled) = counting();
        let function = engine.compile(text).unwrap();
        let takes_w = function.inputs().len() == 2;
        let signature = |rows: usize, columns: usize| {
            let signature = Signature::new().with("x", Dtype::F32, &[rows, columns]).unwrap();
            if takes_w { signature.with("w", Dtype::F32, &w_shape(columns)).unwrap() } else { signature }
        };
        // Lengths of all kinds of chunks: blocks, groups, fours, what is left.
        for columns in [64, 67, 1024 + 128 + 4 + 3] {
            function.prepare(&signature(4, columns)).unwrap();
        }
        let before = compiled.load(Ordering::Relaxed);
        assert!(before > 0);
        for &[rows, columns] in shapes {
            let x = vec![0.5f32; rows * columns];
            let shape = [rows, columns];
            let w_shape = w_shape(columns);
            let w = vec![1.5f32; w_shape.iter().product()];
            let mut inputs = vec![("x", ArrayRef::new(&x, &shape).unwrap())];
            if takes_w {
                inputs.push(("w", ArrayRef::new(&w, &w_shape).unwrap()));
            }
            let shapes: Vec<Vec<usize>> = inputs.iter().map(|(_, input)| input.shape().to_vec()).collect();
            let result = function.output_shapes(&shapes).unwrap().remove(0);
            let mut y = vec![0.0f32; result.iter().product()];
            function.call(&inputs, ArrayMut::new(&mut y, &result).unwrap()).unwrap();
            let now = compiled.load(Ordering::Relaxed);
            assert_eq!(now, before, "{text}: x of {shape:?} compiled {} pass(es)", now - before);
        }
    }
}
