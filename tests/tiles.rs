//! Tile kernels: the bits of checked calls, for any numbers of rows and columns, any distances between rows, apart or in
//! place; and which functions are none.

mod common;

use common::{Array, Random, assert_same_bits, call, engines, name};
use fuselet::{CallError, Dtype, Engine, Signature, Tile};

/// What stands where nothing may be written.
const GUARD: f32 = -1234.5;

/// How inputs go over a tile, by the shape in a signature.
const EXTENTS: [&[usize]; 7] = [&[2, 2], &[2], &[1, 2], &[2, 1], &[1, 1], &[1], &[]];

/// The shape of an input that goes over a tile like this.
fn shape_over(extent: &[usize], rows: usize, columns: usize) -> Vec<usize> {
    let length = |(at, own): (usize, &usize)| match (*own, extent.len() - at) {
        (1, _) => 1,
        (_, 1) => columns,
        _ => rows,
    };
    extent.iter().enumerate().map(length).collect()
}

/// An array whose rows lie apart, with what stands between them.
struct Padded {
    memory: Vec<f32>,
    row: usize,
    columns: usize,
}

impl Padded {
    fn new(array: &Array, gap: usize) -> Padded {
        let columns = array.shape.last().copied().unwrap_or(1);
        let row = columns + gap;
        let rows = array.data.len().checked_div(columns).unwrap_or(0);
        let mut memory = vec![GUARD; rows * row + 3];
        for (at, value) in array.data.iter().enumerate() {
            memory[1 + at / columns * row + at % columns] = *value;
        }
        Padded { memory, row, columns }
    }

    fn start(&mut self) -> *mut u8 {
        self.memory[1..].as_mut_ptr().cast()
    }

    fn elements(&self, count: usize) -> Vec<f32> {
        (0..count).map(|at| self.memory[1 + at / self.columns * self.row + at % self.columns]).collect()
    }

    fn spoiled(&self, count: usize) -> usize {
        self.memory.iter().filter(|value| **value != GUARD).count() - count
    }
}

fn signature(c: &[usize], b: &[usize]) -> Signature {
    Signature::new().with("c", Dtype::F32, c).unwrap().with("b", Dtype::F32, b).unwrap()
}

fn check(engine: &Engine, tile: &Tile, text: &str, b_extent: &[usize], rows: usize, columns: usize) {
    let mut random = Random((rows * 100 + columns) as u64);
    let function = engine.compile(text).unwrap();
    // No value is the guard's.
    let c = Array::from_fn(&[rows, columns], |_| random.between(-5.0, 5.0));
    let b = Array::from_fn(&shape_over(b_extent, rows, columns), |_| random.between(-5.0, 5.0));
    let wanted = call(&function, &[c.clone(), b.clone()]).unwrap().remove(0);
    let context = |how: &str| format!("{text} of [{rows}, {columns}] and {:?} on {}, {how}", b.shape, name(engine));
    for gap in [0, 1, 5, 32] {
        let (mut c, mut b) = (Padded::new(&c, gap), Padded::new(&b, 2 * gap));
        let mut output = Padded::new(&Array::from_fn(&[rows, columns], |_| GUARD), gap + 3);
        // A stride of what has no rows is not looked at.
        let b_row = if b_extent.len() == 2 && b_extent[0] != 1 { b.row as isize } else { isize::MAX };
        // SAFETY: rows and columns of arrays, rows as far apart as said; the output is none of the inputs.
        unsafe {
            let pointers = [c.start(), b.start(), output.start()];
            tile.call(&pointers, &[c.row as isize, b_row, output.row as isize], rows, columns);
        }
        assert_same_bits(&output.elements(rows * columns), &wanted.data, || context("apart"));
        assert_eq!(output.spoiled(rows * columns), 0, "{}", context("apart"));
        // SAFETY: as above; the output is the very tile of the first input.
        unsafe {
            let pointers = [c.start(), b.start(), c.start()];
            tile.call(&pointers, &[c.row as isize, b_row, c.row as isize], rows, columns);
        }
        assert_same_bits(&c.elements(rows * columns), &wanted.data, || context("in place"));
        assert_eq!(c.spoiled(rows * columns), 0, "{}", context("in place"));
    }
}

#[test]
fn tiles_give_the_bits_of_calls_for_any_rows_and_columns() {
    for engine in engines() {
        for text in ["input c, b; relu(c + b)", "input c, b; gelu(c * b) - c", "input c, b; silu(c) * b + 1"] {
            for b_extent in EXTENTS {
                let tile = engine.compile(text).unwrap().tile(&signature(&[2, 2], b_extent)).unwrap();
                for (rows, columns) in
                    [(1, 1), (2, 3), (3, 2), (1, 40), (40, 1), (7, 16), (5, 33), (16, 130), (0, 5), (5, 0)]
                {
                    check(engine, &tile, text, b_extent, rows, columns);
                }
            }
        }
    }
}

#[test]
fn lengths_of_a_signature_stand_for_any() {
    let engine = Engine::builder().threads(1).build().unwrap();
    let text = "input c, b; relu(c + b)";
    for lengths in [[2, 2], [8, 8], [3, 100]] {
        let function = engine.compile(text).unwrap();
        let tile = function.tile(&signature(&lengths, &[lengths[1]])).unwrap();
        check(&engine, &tile, text, &[2], 9, 21);
        assert_eq!(tile.function().inputs(), ["c", "b"]);
    }
}

#[test]
fn float64_and_several_outputs_go_over_tiles() {
    for engine in engines() {
        let f = engine.compile("input x, y; p = x * 2 + y, q = x - y").unwrap();
        let both = Signature::new().with("x", Dtype::F64, &[2, 2]).unwrap().with("y", Dtype::F64, &[2, 1]).unwrap();
        let tile = f.tile(&both).unwrap();
        let (mut x, mut y) = ([1.0f64, 2.0, -9.0, 3.0, 4.0, -9.0], [0.5f64, 0.25]);
        let (mut p, mut q) = ([0.0f64; 4], [7.0f64; 8]);
        let pointers =
            [x.as_mut_ptr().cast(), y.as_mut_ptr().cast(), p.as_mut_ptr().cast(), q.as_mut_ptr().cast::<u8>()];
        // SAFETY: two rows of two columns of each array, three, one, two and four elements apart.
        unsafe { tile.call(&pointers, &[3, 1, 2, 4], 2, 2) };
        assert_eq!(p, [2.5, 4.5, 6.25, 8.25], "{}", name(engine));
        assert_eq!(q, [0.5, 1.5, 7.0, 7.0, 2.75, 3.75, 7.0, 7.0], "{}", name(engine));
    }
}

#[test]
fn functions_that_are_no_elementwise_loop_are_no_tiles() {
    let engine = Engine::builder().threads(1).build().unwrap();
    let error = |text: &str, signature: &Signature| engine.compile(text).unwrap().tile(signature).unwrap_err();
    let one = |shape: &[usize]| Signature::new().with("x", Dtype::F32, shape).unwrap();
    for text in ["softmax(x)", "x - sum(x, axis = 0)", "layer_norm(x)", "glu(x)", "sum(softmax(x, axis = 0), axis = 1)"]
    {
        let error = error(text, &one(&[2, 2]));
        assert!(matches!(error, CallError::NotATile { .. } | CallError::Shape(_)), "{text}: {error}");
        assert!(!error.to_string().is_empty());
    }
    // No input is a whole tile; too many axes; strides of its own.
    for shape in [&[2][..], &[2, 1], &[], &[2, 2, 2]] {
        assert!(matches!(error("relu(x)", &one(shape)), CallError::NotATile { .. }), "{shape:?}");
    }
    let strided = Signature::new().with_strides("x", Dtype::F32, &[2, 2], &[1, 2]).unwrap();
    assert!(matches!(error("relu(x)", &strided), CallError::NotATile { .. }));
    assert!(matches!(error("x + y", &one(&[2, 2])), CallError::MissingInput { .. }));
    assert!(matches!(
        error("x + 1", &one(&[2, 2]).with("y", Dtype::F64, &[2, 2]).unwrap()),
        CallError::UnknownInput { .. }
    ));
}
