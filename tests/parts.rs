//! Cutting long passes into parts: what is cut, where, and what it must keep.
//!
//! That parts compute the bits of the whole is shown by the backend suite (`tests/backends.rs`), which runs against
//! backends that cut as against those that do not.

#[allow(dead_code, reason = "shared by several test programs")]
mod backend_suite;

use backend_suite::random::{Choices, random_pass};
use fuselet::array::{ComputeDtype, Dtype};
use fuselet::codegen::interpreter::Interpreter;
use fuselet::codegen::isa::Isa;
use fuselet::codegen::{Backend, BackendError, Code, InParts};
use fuselet::lane::{self, Instruction, LaneBuilder, Layout, MOST_SCRATCH, Operand, OperandArgument, OperandId};
use fuselet::lane::{PartOperand, Pass, Role, Split, Value};
use proptest::prelude::*;
use std::sync::Arc;

/// What counts as long here.
const LONG: usize = 36;

/// The interpreter as a backend that wants long passes cut.
#[derive(Debug)]
struct Short(Interpreter);

impl Backend for Short {
    fn name(&self) -> String {
        self.0.name()
    }

    fn has_fma(&self) -> bool {
        self.0.has_fma()
    }

    fn long_body(&self) -> usize {
        LONG
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        self.0.compile(pass)
    }
}

fn split(pass: &Pass) -> Option<Split> {
    lane::split(pass, LONG)
}

fn operand(role: Role, layout: Layout) -> Operand {
    Operand { role, dtype: Dtype::F32, layout, name: format!("{role:?}") }
}

/// x, a broadcast scale, and one output; `body` says how the output comes about.
fn pass(body: impl FnOnce(&mut LaneBuilder, Value, Value) -> Value) -> Pass {
    let mut builder = LaneBuilder::new(ComputeDtype::F32, true);
    let x = builder.load(OperandId(0));
    let scale = builder.load(OperandId(1));
    let result = body(&mut builder, x, scale);
    builder.store(OperandId(2), result);
    let operands = vec![
        operand(Role::Read, Layout::Contiguous),
        operand(Role::Read, Layout::Broadcast),
        operand(Role::Write, Layout::Contiguous),
    ];
    Pass { name: "chain".to_owned(), program: builder.finish(), operands }
}

/// `steps` dependent operations on x.
fn chain(builder: &mut LaneBuilder, mut x: Value, scale: Value, steps: usize) -> Value {
    for step in 0..steps {
        let addend = builder.number(step as f64);
        x = builder.multiply_add(x, scale, addend);
    }
    x
}

fn operations(split: &Split) -> Vec<usize> {
    split.parts.iter().map(|part| part.pass.program.operation_count()).collect()
}

#[test]
fn short_passes_stay_whole() {
    assert!(split(&pass(|builder, x, scale| chain(builder, x, scale, LONG))).is_none());
}

#[test]
fn a_long_chain_is_cut_evenly_and_hands_over_one_value_at_a_time() {
    let split = split(&pass(|builder, x, scale| chain(builder, x, scale, 100))).expect("it is long");
    let lengths = operations(&split);
    assert_eq!(lengths.iter().sum::<usize>(), 100);
    assert!(lengths.len() == 3 && lengths.iter().all(|length| *length <= 40), "{lengths:?}");
    // Two: a part does not write over the one it reads.
    assert_eq!(split.scratch, 2);
    assert_eq!(split.parts[1].sources.iter().filter(|source| matches!(source, PartOperand::Scratch(_))).count(), 2);
}

#[test]
fn the_narrowest_place_is_cut() {
    // Three chains side by side, joined after 15 operations each into one value; then another chain.
    let split = split(&pass(|builder, x, scale| {
        let starts: Vec<Value> = (0..3)
            .map(|start| {
                let start = builder.number(f64::from(start));
                builder.add(x, start)
            })
            .collect();
        let mut values = starts;
        for step in 0..10 {
            let addend = builder.number(f64::from(step));
            values = values.iter().map(|value| builder.multiply_add(*value, scale, addend)).collect();
        }
        let joined = builder.add(values[0], values[1]);
        let joined = builder.add(joined, values[2]);
        chain(builder, joined, scale, 30)
    }))
    .expect("it is long");
    let lengths = operations(&split);
    assert!(lengths.len() == 2 && lengths[0] >= 35, "{lengths:?}");
    assert_eq!(split.scratch, 1);
}

#[test]
fn what_is_uniform_is_computed_again_and_not_kept() {
    let split = split(&pass(|builder, x, scale| {
        let squared = builder.mul(scale, scale);
        let x = chain(builder, x, squared, 36);
        chain(builder, x, squared, 36)
    }))
    .expect("it is long");
    assert_eq!(split.scratch, 1);
    for part in &split.parts {
        assert!(part.sources.contains(&PartOperand::Operand(1)), "the broadcast operand is read in each part");
    }
}

#[test]
fn passes_with_accumulators_stay_whole() {
    let mut whole = pass(|builder, x, scale| chain(builder, x, scale, 100));
    let Some(Instruction::Store { operand, value }) = whole.program.instructions.last().copied() else {
        panic!("it ends with a store")
    };
    let combine = fuselet::lane::ReductionOperator::Sum;
    *whole.program.instructions.last_mut().expect("it has instructions") =
        Instruction::Accumulate { operand, combine, value };
    whole.operands[2].role = Role::Accumulate;
    assert_eq!(whole.verify(), Ok(()));
    assert!(split(&whole).is_none());
}

/// A recurrence over spans, the value of the span before coming in at the very beginning of a long chain: as strips of
/// reductions do, but with as much as possible between reading and writing.
#[test]
fn spans_read_what_the_span_before_wrote() {
    let mut builder = LaneBuilder::new(ComputeDtype::F32, false);
    let carried = builder.load(OperandId(0));
    let x = builder.load(OperandId(1));
    let scale = builder.number(0.99);
    let mut value = builder.add(carried, x);
    for step in 0..100 {
        let addend = builder.number(f64::from(step) * 0.01);
        value = builder.mul(value, scale);
        value = builder.add(value, addend);
    }
    builder.store(OperandId(2), value);
    let operands = [Role::Read, Role::Read, Role::Write].map(|role| operand(role, Layout::Contiguous));
    let pass = Pass { name: "recurrence".to_owned(), program: builder.finish(), operands: operands.to_vec() };
    assert!(split(&pass).is_some_and(|split| split.parts.len() > 2));
    let (span, outer) = (11, 7);
    let x: Vec<f32> = (0..span * outer).map(|at| at as f32 * 100.0).collect();
    let run = |backend: &dyn Backend| {
        let code = backend.compile(&pass).expect("it is a plain pass");
        let mut strip = vec![1.0f32; span];
        let place = strip.as_mut_ptr().cast::<u8>();
        let row = (span * 4) as isize;
        let carried = OperandArgument { pointer: place, stride: 4, outer_stride: 0 };
        let x = OperandArgument { pointer: x.as_ptr().cast_mut().cast(), stride: 4, outer_stride: row };
        // SAFETY: the strip has a span's elements, `x` has all; both strips are one, at the same places.
        unsafe { code.run(&[carried, x, carried], span, outer) };
        strip.iter().map(|value| value.to_bits()).collect::<Vec<u32>>()
    };
    let wanted = run(&Interpreter::new(Isa::Baseline));
    assert_eq!(run(&InParts { inner: Short(Interpreter::new(Isa::Baseline)) }), wanted);
    #[cfg(feature = "cranelift")]
    {
        use fuselet::codegen::cranelift::Cranelift;
        let cranelift = || Cranelift::new(Isa::Baseline).expect("it knows this machine");
        assert_eq!(run(&cranelift()), wanted);
        assert_eq!(run(&InParts { inner: cranelift() }), wanted);
    }
}

#[test]
fn a_mask_is_never_kept() {
    // One comparison at the beginning is needed throughout: every cut would have to keep it.
    let whole = pass(|builder, x, scale| {
        let zero = builder.number(0.0);
        let negative = builder.less(x, zero);
        let mut y = x;
        for step in 0..100 {
            let addend = builder.number(f64::from(step));
            let next = builder.multiply_add(y, scale, addend);
            y = builder.select(negative, next, y);
        }
        y
    });
    assert!(split(&whole).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Parts obey the invariants of passes, store where the whole stores and only in the last part, and read nothing
    /// from scratch that no earlier part wrote.
    #[test]
    fn parts_are_valid_and_read_only_what_was_written(choices in Choices::strategy(), fma in any::<bool>()) {
        let whole = random_pass(&choices, fma);
        let Some(split) = split(&whole) else { return Ok(()) };
        prop_assert!(split.scratch <= MOST_SCRATCH);
        let mut written = vec![false; split.scratch];
        let mut stored = vec![0; whole.operands.len()];
        for (at, part) in split.parts.iter().enumerate() {
            prop_assert_eq!(part.pass.verify(), Ok(()));
            for (operand, source) in part.pass.operands.iter().zip(&part.sources) {
                match (*source, operand.role) {
                    (PartOperand::Scratch(slot), Role::Read) => prop_assert!(written[slot]),
                    (PartOperand::Scratch(_), _) => prop_assert!(at + 1 < split.parts.len()),
                    (PartOperand::Operand(_), Role::Read) => {}
                    (PartOperand::Operand(operand), _) => {
                        stored[operand] += 1;
                        prop_assert_eq!(at + 1, split.parts.len());
                    }
                }
            }
            for (operand, source) in part.pass.operands.iter().zip(&part.sources) {
                if let (PartOperand::Scratch(slot), Role::Write) = (*source, operand.role) {
                    written[slot] = true;
                }
            }
        }
        for (operand, count) in whole.operands.iter().zip(stored) {
            prop_assert_eq!(count, usize::from(operand.role == Role::Write));
        }
    }
}
