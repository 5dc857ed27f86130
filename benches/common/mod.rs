//! What the benches share: inputs, engines, the chains, calls that reuse their memory, and interleaved timing.
//!
//! Every array is `N(0, 2)`, the same on every run. Full arrays have rows of [`WIDTH`] elements, so that a bias is a row
//! and is broadcast.

// Each bench is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub mod chains;
pub mod handwritten;
pub mod lanes;
pub mod rows;
pub mod timing;

use fuselet::codegen::{Backend, Code, InParts, SCRATCH_ALIGNMENT, cranelift::Cranelift};
use fuselet::{
    ArrayMut, ArrayRef, BackendChoice, Engine, EngineBuilder, EngineError, Function, Fusion, Isa, Prepared, Signature,
};
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::Arc;

/// The length of a row.
pub const WIDTH: usize = 1024;

/// The sizes measured: in L1, L2, at the edge of L2, memory.
pub const SIZES: [usize; 4] = [1 << 10, 1 << 14, 1 << 18, 1 << 24];

/// The sizes in cache.
pub const CACHED: [usize; 3] = [1 << 10, 1 << 14, 1 << 18];

/// An array of float32.
///
/// Arrays lie at a multiple of a cache line, and those of different seeds at different places of a page: where a load and
/// a store before it agree in the low twelve bits of their addresses, the load waits, and whether malloc makes them
/// agree would decide more than the code.
pub struct Array {
    pub shape: Vec<usize>,
    memory: Vec<f32>,
    start: usize,
}

/// Floats of a cache line, of a page.
const LINE: usize = 16;
const PAGE: usize = 1024;

impl Array {
    /// Zeros, placed by `seed`.
    pub fn zeros(seed: u64, shape: &[usize]) -> Array {
        let length: usize = shape.iter().product();
        let memory = vec![0.0; length + 2 * PAGE];
        let to_page = memory.as_ptr().align_offset(PAGE * size_of::<f32>());
        Array { shape: shape.to_vec(), memory, start: to_page + (seed as usize * 11 % 64) * LINE }
    }

    /// Samples of `N(0, 2)`: near enough, as the sum of four uniform numbers.
    pub fn normal(seed: u64, shape: &[usize]) -> Rc<Array> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 24) as f32
        };
        let mut array = Array::zeros(seed, shape);
        array.data_mut().fill_with(|| ((0..4).map(|_| uniform()).sum::<f32>() - 2.0) * 3.464_101_6);
        Rc::new(array)
    }

    /// One number, of no axis.
    pub fn number(value: f32) -> Rc<Array> {
        let mut array = Array::zeros(0, &[]);
        array.data_mut()[0] = value;
        Rc::new(array)
    }

    pub fn data(&self) -> &[f32] {
        &self.memory[self.start..][..self.shape.iter().product()]
    }

    pub fn data_mut(&mut self) -> &mut [f32] {
        let length = self.shape.iter().product();
        &mut self.memory[self.start..][..length]
    }

    /// The array as a call reads it.
    pub fn view(&self) -> ArrayRef<'_> {
        ArrayRef::new(self.data(), &self.shape).expect("the shape is the data's")
    }

    /// The array as a call writes it.
    pub fn view_mut(&mut self) -> ArrayMut<'_> {
        let length = self.shape.iter().product();
        let data = &mut self.memory[self.start..][..length];
        ArrayMut::new(data, &self.shape).expect("the shape is the data's")
    }
}

/// An engine on one thread.
pub fn engine(backend: BackendChoice, isa: Isa) -> Result<Engine, EngineError> {
    builder(backend, isa).build()
}

fn builder(backend: BackendChoice, isa: Isa) -> EngineBuilder {
    Engine::builder().backend(backend).isa(isa).threads(1)
}

/// The names of engines that tables print.
pub const ENGINE_NAMES: [&str; 4] = ["interpreter", "cranelift", "wide avx2", "wide avx512"];

/// An engine by its name, before it is built: a machine may not have it.
pub fn builder_named(name: &str) -> EngineBuilder {
    let best = Isa::detect();
    match name {
        "interpreter" => builder(BackendChoice::Interpreter, best),
        "cranelift" => builder(BackendChoice::Cranelift, best),
        "wide avx2" => builder(BackendChoice::Wide, Isa::Avx2),
        "wide avx512" => builder(BackendChoice::Wide, Isa::Avx512),
        _ => unreachable!("{name} is no engine of the benches"),
    }
}

/// An engine by its name, if this machine has it.
pub fn engine_named(name: &str) -> Option<Engine> {
    builder_named(name).build().ok()
}

/// Every engine this machine has, by name.
pub fn engines() -> Vec<(&'static str, Engine)> {
    ENGINE_NAMES.into_iter().filter_map(|name| Some((name, engine_named(name)?))).collect()
}

/// The engines of one backend each, at its best level.
pub fn backends() -> Vec<(&'static str, Engine)> {
    let mut engines = engines();
    if engines.iter().any(|(name, _)| *name == "wide avx512") {
        engines.retain(|(name, _)| *name != "wide avx2");
    }
    engines
}

/// A backend without an engine, to time it alone; none for the interpreter, which makes no code.
pub fn backend_alone(choice: BackendChoice, isa: Isa) -> Option<Arc<dyn Backend>> {
    match choice {
        BackendChoice::Cranelift => Some(Arc::new(InParts { inner: Cranelift::new(isa).ok()? })),
        #[cfg(target_arch = "x86_64")]
        BackendChoice::Wide => Some(Arc::new(InParts { inner: fuselet::codegen::wide::Wide::new(isa).ok()? })),
        _ => None,
    }
}

/// Memory that code works in, if it needs some.
pub struct CodeScratch(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; SCRATCH_ALIGNMENT]);

impl CodeScratch {
    /// For this code.
    pub fn of(code: &dyn Code) -> CodeScratch {
        CodeScratch(vec![Line([0; SCRATCH_ALIGNMENT]); code.scratch_bytes().div_ceil(SCRATCH_ALIGNMENT)])
    }

    /// Its first byte.
    pub fn start(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
}

/// The arrays of a function of `n` elements, as [`arrays_of`] makes them.
pub fn arrays(function: &Function, n: usize) -> Vec<Rc<Array>> {
    arrays_of(function, &[n.div_ceil(WIDTH), n.min(WIDTH)])
}

/// The arrays of a function by the names of its inputs: `b` and `v` are rows, `scale` is a number, all others have the
/// full shape.
pub fn arrays_of(function: &Function, full: &[usize]) -> Vec<Rc<Array>> {
    let make = |(at, name): (usize, &String)| match name.as_str() {
        "b" | "v" => Array::normal(at as u64 + 1, &full[full.len() - 1..]),
        "scale" => Array::number(1.25),
        _ => Array::normal(at as u64 + 1, full),
    };
    function.inputs().iter().enumerate().map(make).collect()
}

/// A function, its inputs and memory for its output.
pub struct Case {
    pub function: Function,
    pub inputs: Vec<Rc<Array>>,
    pub output: Array,
}

impl Case {
    /// A function of these inputs, in its own order; called once, so that it is compiled.
    pub fn new(engine: &Engine, text: &str, fusion: Fusion, inputs: Vec<Rc<Array>>) -> Case {
        let function = engine.compile_with(text, fusion).unwrap_or_else(|error| panic!("{text}: {error}"));
        Case::of(function, inputs)
    }

    /// This function of these inputs, in its own order; called once, so that it is compiled.
    pub fn of(function: Function, inputs: Vec<Rc<Array>>) -> Case {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape.clone()).collect();
        let shape = function.output_shapes(&shapes).expect("the shapes fit").swap_remove(0);
        let output = Array::zeros(0, &shape);
        let mut case = Case { function, inputs, output };
        case.call();
        case
    }

    /// A function of `n` elements, with the arrays of [`arrays`].
    pub fn sized(engine: &Engine, text: &str, fusion: Fusion, n: usize) -> Case {
        let function = engine.compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let inputs = arrays(&function, n);
        Case::new(engine, text, fusion, inputs)
    }

    /// A checked call, as a user would write it.
    pub fn call(&mut self) {
        let names = self.function.inputs();
        let inputs: SmallVec<[(&str, ArrayRef<'_>); 8]> =
            names.iter().zip(&self.inputs).map(|(name, array)| (name.as_str(), array.view())).collect();
        self.function.call(&inputs, self.output.view_mut()).expect("the call fits");
    }

    /// Prepared calls for these inputs without any check: the loop, and what it costs to enter it.
    pub fn raw(&mut self) -> impl FnMut() + use<> {
        let prepared = self.prepared();
        let inputs = self.inputs.clone();
        let pointers: Vec<*const u8> = inputs.iter().map(|input| input.data().as_ptr().cast()).collect();
        let mut output = Array::zeros(0, &self.output.shape);
        move || {
            let outputs = [output.data_mut().as_mut_ptr().cast::<u8>()];
            // SAFETY: the arrays are those of the signature and live in the closure (`inputs` too, whose addresses do
            // not change); the output is none of them.
            unsafe { prepared.call_raw(&pointers, &outputs) }.expect("there is memory");
            std::hint::black_box(&inputs);
        }
    }

    /// The function made ready for these inputs.
    pub fn prepared(&self) -> Prepared {
        self.function.prepare(&self.signature()).expect("the signature fits")
    }

    /// Dtypes and shapes of these inputs.
    pub fn signature(&self) -> Signature {
        let names = self.function.inputs().iter();
        names
            .zip(&self.inputs)
            .fold(Signature::new(), |signature, (name, array)| signature.with_input(name, array.view()))
    }

    /// The number of elements of the output.
    pub fn len(&self) -> usize {
        self.output.data().len()
    }
}

/// How a table writes a size.
pub fn size_name(n: usize) -> String {
    match n {
        n if n >= 1 << 20 => format!("{}M", n >> 20),
        n if n >= 1 << 10 => format!("{}k", n >> 10),
        n => n.to_string(),
    }
}
