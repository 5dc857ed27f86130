//! Every op on values that bite.

use super::judge::{Case, Writer};
use super::values::{DTYPES, Random, all_ones, bits, core_specials, specials};
use fuselet::array::ComputeDtype;
use fuselet::codegen::Backend;
use fuselet::lane::{LaneKind, LaneOp, Layout, Pass, Shift, Value};

/// The ops the backend is to have.
pub fn ops(backend: &dyn Backend) -> impl Iterator<Item = LaneOp> {
    let fma = backend.has_fma();
    LaneOp::ALL.iter().copied().filter(move |op| fma || !matches!(op, LaneOp::Fma | LaneOp::Fms | LaneOp::Fnma))
}

/// A float as an argument of a kind: as it is, its bits, or whether it is not zero.
fn as_kind(writer: &mut Writer, kind: LaneKind, value: Value) -> Value {
    match kind {
        LaneKind::Float => value,
        LaneKind::Int => writer.apply(LaneOp::ToBits, &[value]),
        LaneKind::Mask => {
            let zero = writer.number(0.0);
            writer.apply(LaneOp::Unequal, &[value, zero])
        }
    }
}

/// Stores a value of any kind so that all its bits can be seen: a NaN would hide some.
fn store_visibly(writer: &mut Writer, kind: LaneKind, value: Value) {
    match kind {
        LaneKind::Float => writer.store(Layout::Contiguous, value),
        LaneKind::Int => {
            let quarter = writer.dtype.size() as u8 * 2;
            let low = writer.constant(LaneKind::Int, all_ones(writer.dtype) >> quarter);
            let low = writer.apply(LaneOp::And, &[value, low]);
            let low = writer.apply(LaneOp::ToFloat, &[low]);
            let high = writer.shift(Shift::Right, value, quarter);
            let high = writer.apply(LaneOp::ToFloat, &[high]);
            writer.store(Layout::Contiguous, low);
            writer.store(Layout::Contiguous, high);
        }
        LaneKind::Mask => {
            let (set, clear) = (writer.number(1.0), writer.number(-2.0));
            let shown = writer.apply(LaneOp::Select, &[value, set, clear]);
            writer.store(Layout::Contiguous, shown);
        }
    }
}

fn pass_of(dtype: ComputeDtype, op: LaneOp, layouts: &[Layout]) -> Pass {
    let mut writer = Writer::new(dtype);
    let loads: Vec<Value> = layouts.iter().map(|layout| writer.load(*layout)).collect();
    let arguments: Vec<Value> =
        loads.iter().zip(op.arguments()).map(|(value, kind)| as_kind(&mut writer, *kind, *value)).collect();
    let result = writer.apply(op, &arguments);
    store_visibly(&mut writer, op.result(), result);
    writer.finish(op.name())
}

/// Every tuple of values.
fn product(values: &[u64], arity: usize) -> Vec<Vec<u64>> {
    let count = values.len().pow(arity as u32);
    (0..arity)
        .map(|place| (0..count).map(|n| values[n / values.len().pow(place as u32) % values.len()]).collect())
        .collect()
}

pub fn every_op_on_every_mix_of_special_values(backend: &dyn Backend) {
    for dtype in DTYPES {
        for op in ops(backend) {
            let arity = op.arguments().len();
            let values = if arity == 3 { core_specials(dtype) } else { specials(dtype) };
            let columns = product(&values, arity);
            Case::of_values(&pass_of(dtype, op, &[Layout::Contiguous; 3][..arity]), &columns).check(backend);
            // The same with each argument broadcast.
            for place in 0..arity {
                let mut layouts = vec![Layout::Contiguous; arity];
                layouts[place] = Layout::Broadcast;
                let pass = pass_of(dtype, op, &layouts);
                for value in core_specials(dtype) {
                    let mut columns = product(&core_specials(dtype), arity.saturating_sub(1));
                    if columns.is_empty() {
                        columns.push(vec![value]);
                    } else {
                        columns.insert(place, vec![value]);
                    }
                    let lanes = columns.iter().map(Vec::len).max().unwrap();
                    let column = &mut columns[place];
                    column.resize(lanes, value);
                    Case::of_values(&pass, &columns).check(backend);
                }
            }
        }
    }
}

pub fn every_op_on_random_bits(backend: &dyn Backend) {
    let mut random = Random(1);
    for dtype in DTYPES {
        for op in ops(backend) {
            let arity = op.arguments().len();
            let columns: Vec<Vec<u64>> =
                (0..arity).map(|_| (0..2000).map(|_| random.next() & all_ones(dtype)).collect()).collect();
            Case::of_values(&pass_of(dtype, op, &[Layout::Contiguous; 3][..arity]), &columns).check(backend);
        }
    }
}

pub fn every_op_with_constant_arguments(backend: &dyn Backend) {
    for dtype in DTYPES {
        let values = specials(dtype);
        let constants = [bits(dtype, 1.5), bits(dtype, -0.0), bits(dtype, f64::INFINITY), bits(dtype, f64::NAN), 3];
        for op in ops(backend) {
            let kinds = op.arguments();
            // Each set of constant arguments, all of them included.
            for set in 1..1 << kinds.len() {
                for (turn, _) in constants.iter().enumerate() {
                    let mut writer = Writer::new(dtype);
                    let x = writer.load(Layout::Contiguous);
                    let arguments: Vec<Value> = kinds
                        .iter()
                        .enumerate()
                        .map(|(place, kind)| {
                            let constant = constants[(turn + place) % constants.len()];
                            match (set >> place & 1, kind) {
                                (0, _) => as_kind(&mut writer, *kind, x),
                                (_, LaneKind::Mask) => {
                                    writer.constant(*kind, if turn % 2 == 0 { 0 } else { all_ones(dtype) })
                                }
                                _ => writer.constant(*kind, constant),
                            }
                        })
                        .collect();
                    let result = writer.apply(op, &arguments);
                    store_visibly(&mut writer, op.result(), result);
                    Case::of_values(&writer.finish(op.name()), std::slice::from_ref(&values)).check(backend);
                }
            }
        }
    }
}

pub fn every_op_with_the_same_argument_throughout(backend: &dyn Backend) {
    for dtype in DTYPES {
        for op in ops(backend) {
            let mut writer = Writer::new(dtype);
            let x = writer.load(Layout::Contiguous);
            let arguments: Vec<Value> = op.arguments().iter().map(|kind| as_kind(&mut writer, *kind, x)).collect();
            let result = writer.apply(op, &arguments);
            store_visibly(&mut writer, op.result(), result);
            Case::of_values(&writer.finish(op.name()), &[specials(dtype)]).check(backend);
        }
    }
}

pub fn every_count_of_both_shifts(backend: &dyn Backend) {
    let mut random = Random(2);
    for dtype in DTYPES {
        let values: Vec<u64> = (0..67).map(|_| random.next() & all_ones(dtype)).collect();
        for direction in [Shift::Left, Shift::Right] {
            for count in 0..dtype.size() as u8 * 8 {
                let mut writer = Writer::new(dtype);
                let x = writer.load(Layout::Contiguous);
                let x = writer.apply(LaneOp::ToBits, &[x]);
                let shifted = writer.shift(direction, x, count);
                store_visibly(&mut writer, LaneKind::Int, shifted);
                Case::of_values(&writer.finish("shift"), std::slice::from_ref(&values)).check(backend);
            }
        }
    }
}

pub fn rounding_halfway_cases(backend: &dyn Backend) {
    for dtype in DTYPES {
        let mut values = Vec::new();
        for n in -40..=40 {
            let half = bits(dtype, f64::from(n) / 2.0);
            values.extend([half, half.wrapping_add(1) & all_ones(dtype), half.wrapping_sub(1) & all_ones(dtype)]);
        }
        for exponent in 20..70 {
            values.extend([0.5, 1.0, 1.5].map(|offset| bits(dtype, 2f64.powi(exponent) + offset)));
        }
        for op in [LaneOp::Floor, LaneOp::Ceil, LaneOp::Trunc, LaneOp::Round] {
            Case::of_values(&pass_of(dtype, op, &[Layout::Contiguous]), std::slice::from_ref(&values)).check(backend);
        }
    }
}
