//! `Verify::OnCompile`: code that gives other bits than the interpreter is caught before its first use.

use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::{Backend, BackendError, Code};
use fuselet::lane::{Instruction, LaneOp, OperandArgument, Pass};
use fuselet::{ArrayMut, ArrayRef, Engine, Event, Verify};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How a backend is broken.
#[derive(Clone, Copy, Debug)]
enum Defect {
    None,
    /// Computes another op: subtraction for addition.
    WrongOp,
    /// Right for whole vectors of 16, wrong in the tail.
    WrongTail,
    /// Right but for the sign of zeros.
    LosesMinusZero,
}

/// The interpreter, broken on purpose.
#[derive(Debug)]
struct Broken(Defect, Interpreter);

#[derive(Debug)]
struct BrokenCode(Defect, Arc<dyn Code>, Arc<dyn Code>);

impl Backend for Broken {
    fn name(&self) -> String {
        format!("broken ({:?})", self.0)
    }

    fn has_fma(&self) -> bool {
        self.1.has_fma()
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        let mut wrong = pass.clone();
        for instruction in &mut wrong.program.instructions {
            if let Instruction::Apply { op, .. } = instruction
                && *op == LaneOp::Add
            {
                *op = LaneOp::Sub;
            }
        }
        Ok(Arc::new(BrokenCode(self.0, self.1.compile(pass)?, self.1.compile(&wrong)?)))
    }
}

impl Code for BrokenCode {
    unsafe fn run_in(&self, operands: &[OperandArgument], span: usize, outer: usize, _: *mut u8) {
        // SAFETY (of the whole body): the caller's promise to this very method, kept for parts of its spans.
        match self.0 {
            // SAFETY: as above.
            Defect::None => unsafe { self.1.run(operands, span, outer) },
            // SAFETY: as above.
            Defect::WrongOp => unsafe { self.2.run(operands, span, outer) },
            Defect::WrongTail => {
                let whole = span / 16 * 16;
                for at in 0..outer {
                    let moved = |first: usize| -> Vec<OperandArgument> {
                        operands
                            .iter()
                            .map(|operand| OperandArgument {
                                pointer: operand
                                    .pointer
                                    .wrapping_offset(operand.outer_stride * at as isize)
                                    .wrapping_add(4 * first),
                                ..*operand
                            })
                            .collect()
                    };
                    // SAFETY: as above; the test's operands are contiguous float32.
                    unsafe {
                        self.1.run(&moved(0), whole, 1);
                        self.2.run(&moved(whole), span - whole, 1);
                    }
                }
            }
            Defect::LosesMinusZero => {
                // SAFETY: as above; the result is the last operand, contiguous float32.
                unsafe {
                    self.1.run(operands, span, outer);
                    let out = operands[operands.len() - 1];
                    for at in 0..outer {
                        let row = out.pointer.wrapping_offset(out.outer_stride * at as isize).cast::<f32>();
                        for element in 0..span {
                            let value = row.add(element).read_unaligned();
                            row.add(element).write_unaligned(value + 0.0);
                        }
                    }
                }
            }
        }
    }

    fn code_size(&self) -> usize {
        0
    }
}

/// The interpreter with one op of all it compiles replaced by another, the `site`th of those that have one.
#[derive(Debug)]
struct OneWrongOp {
    site: usize,
    seen: AtomicUsize,
    interpreter: Interpreter,
}

/// What is easily taken for an op.
fn mistaken(op: LaneOp) -> Option<LaneOp> {
    Some(match op {
        LaneOp::Add => LaneOp::Sub,
        LaneOp::Sub => LaneOp::Add,
        LaneOp::Mul => LaneOp::Div,
        LaneOp::Div => LaneOp::Mul,
        LaneOp::Min => LaneOp::Max,
        LaneOp::Max => LaneOp::Min,
        LaneOp::Fma => LaneOp::Fms,
        LaneOp::Fms => LaneOp::Fma,
        LaneOp::Fnma => LaneOp::Fma,
        _ => return None,
    })
}

impl Backend for OneWrongOp {
    fn name(&self) -> String {
        format!("one wrong op ({})", self.site)
    }

    fn has_fma(&self) -> bool {
        self.interpreter.has_fma()
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        let mut wrong = pass.clone();
        for instruction in &mut wrong.program.instructions {
            if let Instruction::Apply { op, .. } = instruction
                && let Some(other) = mistaken(*op)
                && self.seen.fetch_add(1, Ordering::Relaxed) == self.site
            {
                *op = other;
            }
        }
        self.interpreter.compile(&wrong)
    }
}

/// A logger that keeps what this library warns of.
struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("fuselet") {
            self.0.lock().unwrap().push(format!("{}: {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

fn run(defect: Defect, verify: Verify, expression: &str) -> (Vec<Event>, Vec<f32>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let engine = Engine::builder()
        .custom_backend(Arc::new(Broken(defect, Interpreter::default())))
        .verify(verify)
        .threads(1)
        .on_event(move |event| seen.lock().unwrap().extend(event.is_warning().then(|| event.clone())))
        .build()
        .unwrap();
    let f = engine.compile(expression).unwrap();
    let (x, b) = ([1.0f32, -0.0, 3.0], [10.0f32, 2.0, 30.0]);
    let mut y = vec![0.0f32; 3];
    f.call(&[("x", (&x).into()), ("b", (&b).into())], &mut y).unwrap();
    let events = events.lock().unwrap().clone();
    (events, y)
}

#[test]
fn broken_code_is_caught_replaced_and_reported() {
    for (defect, expression, expected) in [
        (Defect::WrongOp, "x + b", [11.0f32, 2.0, 33.0]),
        (Defect::WrongTail, "x + b", [11.0, 2.0, 33.0]),
        (Defect::LosesMinusZero, "x * b", [10.0, -0.0, 90.0]),
    ] {
        let (events, y) = run(defect, Verify::OnCompile, expression);
        assert!(
            matches!(events.as_slice(), [Event::Mismatch { operand, .. }] if operand == "out"),
            "{defect:?}: {events:?}"
        );
        assert_eq!(y.iter().map(|y| y.to_bits()).collect::<Vec<_>>(), expected.map(f32::to_bits));
        assert!(events[0].to_string().contains("broken"), "{}", events[0]);
    }
}

#[test]
fn broken_code_is_logged_as_a_warning() {
    // The other tests of this process do not set a logger.
    log::set_logger(&WARNINGS).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let (events, _) = run(Defect::WrongOp, Verify::OnCompile, "x + b + 0.25");
    let expected = format!("WARN: {}", events[0]);
    assert!(WARNINGS.0.lock().unwrap().contains(&expected), "{expected} is not in {:?}", WARNINGS.0);
}

/// One of how many wrong ops may pass: where an op corrects a rounding for few arguments only, probes may miss them all.
const MISSED: usize = 100;

#[test]
fn one_wrong_op_anywhere_in_any_activation_is_caught() {
    let x: Vec<f32> = (0..48).map(|at| (at as f32 - 20.0) / 3.0).collect();
    let (mut wrong, mut missed) = (0, Vec::new());
    for function in fuselet::ir::Library::standard().functions() {
        let name = function.name();
        for site in 0.. {
            let backend = Arc::new(OneWrongOp { site, seen: AtomicUsize::new(0), interpreter: Interpreter::default() });
            let events = Arc::new(Mutex::new(0));
            let seen = Arc::clone(&events);
            let engine = Engine::builder()
                .custom_backend(Arc::clone(&backend) as Arc<dyn Backend>)
                .verify(Verify::OnCompile)
                .threads(1)
                .on_event(move |event| *seen.lock().unwrap() += usize::from(event.is_warning()))
                .build()
                .unwrap();
            let f = engine.compile(format!("x |> {name}").as_str()).unwrap();
            let shapes = f.output_shapes(&[vec![6, 8]]).unwrap();
            let mut y = vec![0.0f32; shapes[0].iter().product()];
            let y = ArrayMut::new(&mut y, &shapes[0]).unwrap();
            f.call(&[("x", ArrayRef::new(&x, &[6, 8]).unwrap())], y).unwrap();
            if backend.seen.load(Ordering::Relaxed) <= site {
                break;
            }
            wrong += 1;
            if *events.lock().unwrap() == 0 {
                missed.push(format!("{name}: op {site}"));
            }
        }
    }
    println!("{wrong} wrong ops, of which {} passed: {missed:?}", missed.len());
    assert!(wrong > 300, "only {wrong} ops could be mistaken");
    assert!(missed.len() * MISSED <= wrong, "{} of {wrong} passed: {missed:#?}", missed.len());
}

#[test]
fn without_verification_the_defect_shows() {
    let (events, y) = run(Defect::WrongOp, Verify::Off, "x + b");
    assert!(events.is_empty());
    assert_eq!(y, [-9.0, -2.0, -27.0]);
}

#[test]
fn right_code_passes_and_is_used() {
    let (events, y) = run(Defect::None, Verify::OnCompile, "x + b");
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(y, [11.0, 2.0, 33.0]);
}

#[test]
fn native_code_of_every_activation_passes() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let engine = Engine::builder()
        .verify(Verify::OnCompile)
        .threads(1)
        .on_event(move |event| seen.lock().unwrap().extend(event.is_warning().then(|| event.to_string())))
        .build()
        .unwrap();
    for function in engine.library().functions() {
        let f = engine.compile(format!("x |> {}", function.name()).as_str()).unwrap();
        for shape in [vec![24usize, 40], vec![6, 2, 48]] {
            let x: Vec<f32> = (0..shape.iter().product()).map(|at| (at as f32 - 300.0) / 17.0).collect();
            let x = fuselet::ArrayRef::new(&x, &shape).unwrap();
            let shapes = f.output_shapes(std::slice::from_ref(&shape)).unwrap();
            let mut y = vec![0.0f32; shapes[0].iter().product()];
            let y = fuselet::ArrayMut::new(&mut y, &shapes[0]).unwrap();
            f.call(&[("x", x)], y).unwrap();
        }
    }
    assert!(events.lock().unwrap().is_empty(), "{:?}", events.lock().unwrap());
}
