//! What the suites of the whole engine share: every engine this machine can build, arrays to call them with, and the
//! comparison of results bit for bit.
//!
//! The bits of a result may depend on one property of a machine, whether it has a fused multiply-add. So engines come in
//! groups of equal FMA support ([`groups`]), and inside a group every engine, fused or not, must give the bits of the
//! group's judge: the interpreter, fused, on one thread.

#![allow(dead_code, reason = "each suite uses its part")]

use fuselet::ir::{Activation, IntoProgram, Library, Program};
use fuselet::{ArrayMut, ArrayOut, ArrayRef, BackendChoice, CallError, Engine, Executor, Function, Fusion, Isa};
use std::sync::{Arc, OnceLock};

/// An expression over the standard library.
pub fn program(text: &str) -> Program {
    text.into_program(&Library::standard()).unwrap()
}

/// Engines whose bits must be equal.
pub struct Group {
    /// Whether their level has a fused multiply-add.
    pub fma: bool,
    /// The interpreter first, which is the judge.
    pub engines: Vec<Engine>,
}

impl Group {
    /// The engine whose bits are right.
    pub fn judge(&self) -> &Engine {
        &self.engines[0]
    }
}

/// The engines of every backend at every level of this machine, on one thread, in groups of equal FMA support.
pub fn groups() -> &'static [Group] {
    static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();
    GROUPS.get_or_init(|| make_groups(1))
}

/// The same on two threads.
pub fn groups_on_two_threads() -> &'static [Group] {
    static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();
    GROUPS.get_or_init(|| make_groups(2))
}

/// Every engine of [`groups`].
pub fn engines() -> impl Iterator<Item = &'static Engine> {
    groups().iter().flat_map(|group| &group.engines)
}

/// One engine of each backend, each at its best level, on one thread.
pub fn best_engines() -> Vec<&'static Engine> {
    let mut best: Vec<&Engine> = Vec::new();
    for engine in engines() {
        let family = |engine: &Engine| engine.backend_name().split(' ').next().map(str::to_owned);
        match best.iter_mut().find(|known| family(known) == family(engine)) {
            Some(known) => *known = engine,
            None => best.push(engine),
        }
    }
    best
}

/// A name for messages: backend, level and threads.
pub fn name(engine: &Engine) -> String {
    format!("{} on {} thread(s)", engine.backend_name(), engine.threads())
}

/// Two threads, where rayon is not built in.
struct Scoped;

impl Executor for Scoped {
    fn parallelism(&self) -> usize {
        2
    }
    fn run(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| (0..parts).for_each(|number| _ = scope.spawn(move || part(number))));
    }
}

fn make_groups(threads: usize) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for choice in [BackendChoice::Interpreter, BackendChoice::Cranelift, BackendChoice::Wide] {
        for isa in [Isa::Baseline, Isa::AvxFma, Isa::Avx2, Isa::Avx512] {
            let mut builder = Engine::builder().backend(choice).isa(isa).threads(threads).check_invariants(true);
            if !cfg!(feature = "rayon") {
                builder = builder.executor(Arc::new(Scoped));
            }
            match builder.build() {
                Ok(engine) => match groups.iter_mut().find(|group| group.fma == isa.has_fma()) {
                    Some(group) => group.engines.push(engine),
                    None => groups.push(Group { fma: isa.has_fma(), engines: vec![engine] }),
                },
                Err(error) => eprintln!("skipped: {choice:?} at {isa}: {error}"),
            }
        }
    }
    assert!(!groups.is_empty(), "the interpreter runs everywhere");
    groups
}

/// A row-major float32 array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

impl Array {
    pub fn new(shape: &[usize], data: Vec<f32>) -> Array {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{shape:?}");
        Array { shape: shape.to_vec(), data }
    }

    pub fn vector(data: Vec<f32>) -> Array {
        Array { shape: vec![data.len()], data }
    }

    /// Filled by a function of the place.
    pub fn from_fn(shape: &[usize], value: impl FnMut(usize) -> f32) -> Array {
        Array::new(shape, (0..shape.iter().product()).map(value).collect())
    }

    pub fn view(&self) -> ArrayRef<'_> {
        ArrayRef::new(&self.data, &self.shape).unwrap()
    }

    /// Whether the two have equal shapes and equal bits, all NaNs being one.
    pub fn same_bits(&self, other: &Array) -> bool {
        self.shape == other.shape && self.data.iter().zip(&other.data).all(|(a, b)| bits(*a) == bits(*b))
    }
}

/// The bits of a number, all NaNs being one.
pub fn bits(value: f32) -> u32 {
    if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() }
}

/// Fails at the first place where the bits of two results differ, all NaNs being one.
#[track_caller]
pub fn assert_same_bits(found: &[f32], wanted: &[f32], context: impl Fn() -> String) {
    assert_eq!(found.len(), wanted.len(), "{}", context());
    if let Some(at) = (0..found.len()).find(|at| bits(found[*at]) != bits(wanted[*at])) {
        let differing = (0..found.len()).filter(|at| bits(found[*at]) != bits(wanted[*at])).count();
        panic!(
            "{}: element {at} is {:e} ({:08x}) instead of {:e} ({:08x}); {differing} of {} differ",
            context(),
            found[at],
            bits(found[at]),
            wanted[at],
            bits(wanted[at]),
            found.len()
        );
    }
}

/// Calls a function on arrays given in the order of its inputs; the results in the order of its outputs.
pub fn call(function: &Function, inputs: &[Array]) -> Result<Vec<Array>, CallError> {
    let views: Vec<ArrayRef<'_>> = inputs.iter().map(Array::view).collect();
    call_views(function, &views)
}

/// [`call`] on views.
pub fn call_views(function: &Function, inputs: &[ArrayRef<'_>]) -> Result<Vec<Array>, CallError> {
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    // NaN, so that an element nobody wrote differs from every number.
    let mut results: Vec<Array> =
        function.output_shapes(&shapes)?.iter().map(|shape| Array::from_fn(shape, |_| f32::NAN)).collect();
    let names = function.inputs().iter().map(String::as_str);
    let given: Vec<(&str, ArrayRef<'_>)> = names.zip(inputs.iter().copied()).collect();
    let written = results.iter_mut().map(|array| ArrayMut::new(&mut array.data, &array.shape).unwrap());
    let taken: Vec<(&str, ArrayOut<'_>)> = function.outputs().zip(written.map(ArrayOut::from)).collect();
    function.call_many(&given, taken)?;
    Ok(results)
}

/// Compiles and calls a program.
#[track_caller]
pub fn run(engine: &Engine, fusion: Fusion, program: &Program, inputs: &[Array]) -> Vec<Array> {
    let function = engine.compile_with(program, fusion).unwrap_or_else(|error| panic!("{error}"));
    call(&function, inputs).unwrap_or_else(|error| panic!("{}: {error}", name(engine)))
}

/// Compiles and calls an activation.
#[track_caller]
pub fn run_activation(engine: &Engine, fusion: Fusion, activation: &Activation, x: &Array) -> Array {
    let function = engine.compile_with(activation, fusion).unwrap_or_else(|error| panic!("{error}"));
    call(&function, std::slice::from_ref(x)).unwrap_or_else(|error| panic!("{}: {error}", name(engine))).remove(0)
}

/// Runs a program fused and unfused on every engine of a group, demands one result, and returns it.
#[track_caller]
pub fn agreed(group: &Group, program: &Program, inputs: &[Array], context: &str) -> Vec<Array> {
    let wanted = run(group.judge(), Fusion::Full, program, inputs);
    for engine in &group.engines {
        for fusion in [Fusion::Full, Fusion::Off] {
            let found = run(engine, fusion, program, inputs);
            for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                assert_eq!(found.shape, wanted.shape, "{context}");
                assert_same_bits(&found.data, &wanted.data, || {
                    format!("{context}: output {at} of {}, fusion {fusion:?}", name(engine))
                });
            }
        }
    }
    wanted
}

/// A stream of numbers that is the same on every run (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Any bit pattern, sometimes a number where functions bend, sometimes a special value.
    pub fn wild(&mut self) -> f32 {
        match self.below(8) {
            0 => SPECIALS[self.below(SPECIALS.len())],
            1 | 2 => f32::from_bits(self.next() as u32),
            _ => self.between(-12.0, 12.0),
        }
    }
}

/// Values at which things go wrong.
pub const SPECIALS: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    3.0,
    -3.0,
    6.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    -f32::MIN_POSITIVE,
    f32::from_bits(1),
    f32::from_bits(0x8000_0001),
    f32::from_bits(0x007f_ffff),
    88.722_84,
    -87.336_555,
    -103.972_08,
    1e-8,
    -20.000_002,
];
