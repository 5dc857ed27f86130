//! Backends of a user's own: what they may have that the engine's level has not, and that their defects stay theirs.

use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::{Backend, BackendError, Code, SCRATCH_ALIGNMENT};
use fuselet::lane::{OperandArgument, Pass};
use fuselet::{ArrayOut, ArrayRef, BackendChoice, CallError, Engine, Event, Isa, Verify};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What an engine does with `text` on a few numbers, and what it tells meanwhile.
fn call(backend: Arc<dyn Backend>, isa: Isa, verify: Verify, text: &str) -> (Vec<u32>, Vec<Event>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = events.clone();
    let engine = Engine::builder()
        .custom_backend(backend)
        .isa(isa)
        .verify(verify)
        .threads(1)
        .on_event(move |event| told.lock().unwrap().extend(event.is_warning().then(|| event.clone())))
        .build()
        .unwrap();
    let x: Vec<f32> = (0..150).map(|at| at as f32 * 0.17 - 12.0).collect();
    let mut y = vec![0.0f32; x.len()];
    engine.compile(text).unwrap().call(&[("x", ArrayRef::from(&x))], &mut y).unwrap();
    let events = events.lock().unwrap().clone();
    (y.iter().map(|value| value.to_bits()).collect(), events)
}

/// Interprets at the host's best level, whatever level the engine has.
#[derive(Debug)]
struct Best {
    refuses: bool,
}

impl Backend for Best {
    fn name(&self) -> String {
        "best".to_owned()
    }

    fn has_fma(&self) -> bool {
        Isa::detect().has_fma()
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        if self.refuses {
            return Err(BackendError::Unavailable {
                backend: self.name(),
                reason: "it does not feel like it".to_owned(),
            });
        }
        Interpreter::new(Isa::detect()).compile(pass)
    }
}

/// Programs are lowered for the backend. Who judges and replaces it runs them as they are, at an engine's level without a fused
/// multiply-add too.
#[test]
fn code_with_fma_is_judged_and_replaced_below_a_level_that_has_it() {
    const TEXT: &str = "gelu(x) * exp(x) + tanh(x)";
    let (wanted, none) = call(Arc::new(Best { refuses: false }), Isa::detect(), Verify::Off, TEXT);
    assert_eq!(none, []);
    let judged = call(Arc::new(Best { refuses: false }), Isa::Baseline, Verify::OnCompile, TEXT);
    assert_eq!(judged, (wanted.clone(), Vec::new()));
    let (replaced, events) = call(Arc::new(Best { refuses: true }), Isa::Baseline, Verify::OnCompile, TEXT);
    assert_eq!(replaced, wanted);
    assert!(matches!(events.as_slice(), [Event::FellBack { .. }]), "{events:?}");
}

#[cfg(all(feature = "wide", target_arch = "x86_64"))]
#[test]
fn wide_code_is_judged_at_the_baseline() {
    use fuselet::codegen::wide::Wide;
    for isa in [Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available()) {
        let backend = || Arc::new(Wide::new(isa).unwrap());
        let (wanted, _) = call(backend(), isa, Verify::Off, "softmax(x) |> mish");
        assert_eq!(
            call(backend(), Isa::Baseline, Verify::OnCompile, "softmax(x) |> mish"),
            (wanted, Vec::new()),
            "{isa}"
        );
    }
}

/// Panics at its first pass, in the middle of it, as an assertion of a code generator would.
#[derive(Debug, Default)]
struct Clumsy {
    stumbled: AtomicBool,
}

impl Backend for Clumsy {
    fn name(&self) -> String {
        "clumsy".to_owned()
    }

    fn has_fma(&self) -> bool {
        // As the engine that it is compared with.
        Isa::Baseline.has_fma()
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        assert!(self.stumbled.swap(true, Ordering::Relaxed), "stumbled over `{}`", pass.name);
        Interpreter::new(Isa::Baseline).compile(pass)
    }
}

#[test]
fn a_backend_that_panics_has_failed_to_compile() {
    let backend = Arc::new(Clumsy::default());
    let (wanted, _) = call(Arc::new(Interpreter::new(Isa::Baseline)), Isa::Baseline, Verify::Off, "silu(x)");
    let (found, events) = call(backend.clone(), Isa::Baseline, Verify::Off, "silu(x)");
    assert_eq!(found, wanted);
    match events.as_slice() {
        [Event::FellBack { error: BackendError::Panicked { backend, reason, .. }, .. }] => {
            assert!(backend == "clumsy" && reason.starts_with("stumbled over `"), "{backend}: {reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(call(backend, Isa::Baseline, Verify::Off, "silu(x)"), (wanted, Vec::new()));
}

/// Takes more scratch than there is memory for.
#[derive(Debug)]
struct Greedy;

#[derive(Debug)]
struct GreedyCode(Arc<dyn Code>, usize);

impl Backend for Greedy {
    fn name(&self) -> String {
        "greedy".to_owned()
    }

    fn has_fma(&self) -> bool {
        false
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        // Only one of the passes, and not the first.
        let bytes = if pass.program.operation_count() == 1 { 1 << 16 } else { isize::MAX as usize / 2 };
        Ok(Arc::new(GreedyCode(Interpreter::new(Isa::Baseline).compile(pass)?, bytes)))
    }
}

impl Code for GreedyCode {
    fn scratch_bytes(&self) -> usize {
        self.1.max(self.0.scratch_bytes())
    }

    unsafe fn run_in(&self, operands: &[OperandArgument], span: usize, outer: usize, scratch: *mut u8) {
        assert!(scratch.addr().is_multiple_of(SCRATCH_ALIGNMENT) && !scratch.is_null());
        // SAFETY: passed on to the caller; there is more scratch than is needed.
        unsafe { self.0.run_in(operands, span, outer, scratch) }
    }

    fn code_size(&self) -> usize {
        0
    }
}

/// All scratch of a call is there before its first kernel runs.
#[test]
fn a_call_without_scratch_has_written_nothing() {
    let engine = Engine::builder().custom_backend(Arc::new(Greedy)).threads(1).build().unwrap();
    for text in ["a = x + 1, b = sum(x * x + x)", "a = x + 1, b = x * x + exp(x)", "exp(x) + x"] {
        let function = engine.compile(text).unwrap();
        for length in [1000, 7] {
            let x = vec![2.0f32; length];
            let lengths = function.outputs().map(|name| if text.contains("sum") && name == "b" { 1 } else { length });
            let mut outputs: Vec<Vec<f32>> = lengths.map(|length| vec![-7.0; length]).collect();
            let views: Vec<ArrayOut<'_>> = outputs.iter_mut().map(|output| output.as_mut_slice().into()).collect();
            let result = function.call_views(&[ArrayRef::from(&x)], &views);
            assert!(matches!(result, Err(CallError::OutOfMemory { .. })), "{text}: {result:?}");
            drop(views);
            assert!(outputs.iter().flatten().all(|value| *value == -7.0), "{text}");
        }
    }
    let (x, mut y) = ([1.0f32, 2.0], [0.0f32; 2]);
    engine.compile("x + 1").unwrap().call(&[("x", ArrayRef::from(&x))], &mut y).unwrap();
    assert_eq!(y, [2.0, 3.0]);
}

#[test]
fn backends_that_are_not_built_are_errors_that_name_their_feature() {
    let built =
        [(BackendChoice::Cranelift, cfg!(feature = "cranelift")), (BackendChoice::Wide, cfg!(feature = "wide"))];
    for (choice, _) in built.into_iter().filter(|(_, built)| !built) {
        let error = Engine::builder().backend(choice).build().unwrap_err().to_string();
        assert!(error.contains(&format!("the feature `{choice}`")), "{error}");
    }
    for choice in [BackendChoice::Auto, BackendChoice::Interpreter] {
        assert!(Engine::builder().backend(choice).build().is_ok());
    }
}

#[test]
fn names_of_backends_and_levels_can_be_read_back() {
    for (name, choice) in BackendChoice::NAMES {
        assert_eq!((choice.to_string().as_str(), name.parse()), (name, Ok(choice)));
    }
    for isa in [Isa::Baseline, Isa::AvxFma, Isa::Avx2, Isa::Avx512] {
        assert_eq!(isa.to_string().parse(), Ok(isa));
    }
    let error = "avx1024".parse::<Isa>().unwrap_err().to_string();
    assert!(error.contains("`avx1024`") && error.contains("avx512"), "{error}");
}
