//! Whole programs: nothing but uniform values, hundreds of live ones, dozens of operands, random ones.

use super::judge::{Case, Lay, Writer};
use super::random::{Choices, random_pass};
use super::values::{DTYPES, Random};
use fuselet::codegen::Backend;
use fuselet::lane::{LaneKind, LaneOp, Layout, Value};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRng, TestRunner};

const C: Layout = Layout::Contiguous;

pub fn uniform_only_programs(backend: &dyn Backend) {
    for dtype in DTYPES {
        for layout in [C, Layout::Strided] {
            let mut writer = Writer::new(dtype);
            let a = writer.load(Layout::Broadcast);
            let b = writer.load(Layout::Broadcast);
            let two = writer.number(2.0);
            let product = writer.apply(LaneOp::Mul, &[a, two]);
            let mask = writer.apply(LaneOp::Less, &[product, b]);
            let chosen = writer.apply(LaneOp::Select, &[mask, a, b]);
            let root = writer.apply(LaneOp::Sqrt, &[chosen]);
            let known = writer.apply(LaneOp::Div, &[two, two]);
            writer.store(layout, root);
            writer.store(C, known);
            let pass = writer.finish("uniform");
            let size = dtype.size() as isize;
            for span in [0, 1, 2, 16, 33, 600] {
                let lay = |operand: usize| Lay {
                    stride: 2 * size,
                    outer_stride: [size, 0, 2 * size * span as isize, size * span as isize][operand],
                    skew: 0,
                };
                Case::new(&pass, span, 4, 19, lay).check(backend);
            }
        }
    }
}

pub fn loaded_values_and_constants_stored(backend: &dyn Backend) {
    for dtype in DTYPES {
        for read in [C, Layout::Broadcast, Layout::Strided] {
            for write in [C, Layout::Strided] {
                let mut writer = Writer::new(dtype);
                let x = writer.load(read);
                let pi = writer.number(3.25);
                let bits = writer.apply(LaneOp::ToBits, &[x]);
                let again = writer.apply(LaneOp::ToFloat, &[bits]);
                for value in [x, pi, x, again, pi] {
                    writer.store(write, value);
                }
                let pass = writer.finish("copies");
                for span in [1, 5, 16, 40, 515] {
                    let lay = |_| Lay { stride: dtype.size() as isize, outer_stride: 0, skew: 3 };
                    Case::new(&pass, span, 1, 23, lay).check(backend);
                }
            }
        }
    }
}

/// Far more values alive at once than any machine has registers, of every kind, read again in a scrambled order.
pub fn hundreds_of_live_values(backend: &dyn Backend) {
    for dtype in DTYPES {
        let mut random = Random(29);
        let mut writer = Writer::new(dtype);
        let [x, y] = [C, C].map(|layout| writer.load(layout));
        let (mut floats, mut integers, mut masks) = (vec![x, y], vec![], vec![]);
        for n in 0..330 {
            let (a, b) = (floats[random.below(floats.len())], floats[random.below(floats.len())]);
            match n % 5 {
                0 => masks.push(writer.apply(LaneOp::Less, &[a, b])),
                // The bits of a loaded value: those of a computed one may be any NaN's.
                1 => {
                    let bits = writer.apply(LaneOp::ToBits, &[x]);
                    let other = writer.constant(LaneKind::Int, random.next() & 0xffff);
                    integers.push(writer.apply(LaneOp::Xor, &[bits, other]));
                }
                2 => floats.push(writer.apply(LaneOp::Max, &[a, b])),
                3 => floats.push(writer.apply(LaneOp::Sub, &[a, b])),
                _ => {
                    let number = writer.number(f64::from(n) / 64.0);
                    floats.push(writer.apply(LaneOp::Add, &[a, number]));
                }
            }
        }
        let mut sum = x;
        let mut remaining: Vec<Value> = floats.clone();
        while !remaining.is_empty() {
            let value = remaining.swap_remove(random.below(remaining.len()));
            sum = writer.apply(LaneOp::Min, &[sum, value]);
        }
        for (mask, integer) in masks.iter().zip(&integers) {
            let float = writer.apply(LaneOp::ToFloat, &[*integer]);
            sum = writer.apply(LaneOp::Select, &[*mask, sum, float]);
        }
        let all = masks[1..].iter().fold(masks[0], |all, mask| writer.apply(LaneOp::MaskOr, &[all, *mask]));
        let every = integers[1..].iter().fold(integers[0], |all, int| writer.apply(LaneOp::IntAdd, &[all, *int]));
        let every = writer.apply(LaneOp::ToFloat, &[every]);
        let shown = writer.apply(LaneOp::Select, &[all, every, sum]);
        writer.store(C, shown);
        writer.store(C, sum);
        let pass = writer.finish("crowd");
        for span in [1, 16, 37, 700] {
            Case::new(&pass, span, 1, 31, |_| Lay { stride: 0, outer_stride: 0, skew: 0 }).check(backend);
        }
    }
}

/// Horner's rule in all the shapes an engine might take for it: sums read twice, changing factors, either order, squares.
pub fn polynomials_in_every_guise(backend: &dyn Backend) {
    if !backend.has_fma() {
        return;
    }
    for dtype in DTYPES {
        for shape in 0..64u32 {
            let mut writer = Writer::new(dtype);
            let [x, y] = [C, C].map(|layout| writer.load(layout));
            let scale = writer.load(Layout::Broadcast);
            let x = if shape & 1 != 0 { writer.apply(LaneOp::Neg, &[x]) } else { x };
            let mut sum = if shape & 2 != 0 { writer.number(0.125) } else { x };
            let mut kept = None;
            for n in 0..7 {
                let constant = writer.number(f64::from(n + 1) / 3.0);
                let factor = match n {
                    3 if shape & 4 != 0 => y,
                    3 if shape & 8 != 0 => scale,
                    4 if shape & 8 != 0 => sum,
                    _ => x,
                };
                let arguments =
                    if (shape >> 4) & 1 == n & 1 { [sum, factor, constant] } else { [factor, sum, constant] };
                sum = writer.apply(LaneOp::Fma, &arguments);
                if n == 2 && shape & 32 != 0 {
                    kept = Some(sum);
                }
            }
            writer.store(C, sum);
            if let Some(kept) = kept {
                writer.store(C, kept);
            }
            let pass = writer.finish("polynomial");
            for span in [1, 16, 63, 64, 65, 130, 1100] {
                Case::new(&pass, span, 1, 37, |_| Lay { stride: 0, outer_stride: 0, skew: 0 }).check(backend);
            }
        }
    }
}

pub fn many_operands(backend: &dyn Backend) {
    for dtype in DTYPES {
        let size = dtype.size() as isize;
        let mut writer = Writer::new(dtype);
        let layouts = [C, Layout::Broadcast, Layout::Strided];
        let loads: Vec<Value> = (0..27).map(|n| writer.load(layouts[n % 3])).collect();
        let mut sum = loads[0];
        for load in &loads[1..] {
            sum = writer.apply(LaneOp::Add, &[sum, *load]);
        }
        for (n, load) in loads.iter().enumerate().take(9) {
            let product = writer.apply(LaneOp::Mul, &[sum, *load]);
            writer.store([C, Layout::Strided][n % 2], product);
        }
        let pass = writer.finish("many");
        for span in [1, 16, 45, 520] {
            let lay = |operand: usize| Lay {
                stride: size * (operand as isize % 3 + 1),
                outer_stride: size * 4 * span as isize,
                skew: operand % 5,
            };
            Case::new(&pass, span, 2, 41, lay).check(backend);
        }
    }
}

/// The same programs every time (four times `PROPTEST_CASES`, for more); a failing one is shrunk and its seed kept beside this file.
pub fn random_programs(backend: &dyn Backend) {
    let persistence = FileFailurePersistence::Direct("tests/backend_suite/regressions.txt");
    let usual = Config::default();
    let config = Config { failure_persistence: Some(Box::new(persistence)), cases: usual.cases * 4, ..usual };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&Choices::strategy(), |choices| {
        let pass = random_pass(&choices, backend.has_fma());
        let size = pass.program.dtype.size() as isize;
        let span = choices.span;
        let lay = |operand: usize| {
            let stride = [2 * size, -size, size + 1][operand % 3];
            Lay { stride, outer_stride: (size + 1) * 4 * (span as isize + 1), skew: operand }
        };
        let case = Case::new(&pass, span, choices.outer, choices.seed, lay);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.check(backend)))
            .map_err(|panic| TestCaseError::fail(panic.downcast_ref::<String>().cloned().unwrap_or_default()))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
