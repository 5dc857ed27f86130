//! Reductions: 32 lanes in ascending order, combined by the fixed tree, one element a span.

use super::judge::{Case, Lay, Writer};
use super::values::{DTYPES, bits, core_specials};
use fuselet::codegen::Backend;
use fuselet::lane::{LaneOp, Layout, ReductionOperator};

const COMBINES: [ReductionOperator; 3] = [ReductionOperator::Sum, ReductionOperator::Max, ReductionOperator::Min];

pub fn every_combination_at_every_length(backend: &dyn Backend) {
    for dtype in DTYPES {
        for combine in COMBINES {
            for layout in [Layout::Contiguous, Layout::Strided] {
                let mut writer = Writer::new(dtype);
                let x = writer.load(layout);
                // Loaded values and computed ones come from different places.
                let root = writer.apply(LaneOp::Abs, &[x]);
                writer.accumulate(combine, x);
                writer.accumulate(combine, root);
                let pass = writer.finish("accumulate");
                for span in (0..=130).chain([511, 512, 513, 1024, 2049, 5000]) {
                    let lay = |_| Lay { stride: 2 * dtype.size() as isize, outer_stride: 0, skew: 1 };
                    Case::new(&pass, span, 1, span as u64, lay).check(backend);
                }
            }
        }
    }
}

/// One special value at each position in turn, among ordinary ones and among its own kind.
pub fn specials_reach_the_accumulator(backend: &dyn Backend) {
    for dtype in DTYPES {
        for combine in COMBINES {
            let mut writer = Writer::new(dtype);
            let x = writer.load(Layout::Contiguous);
            writer.accumulate(combine, x);
            let pass = writer.finish("accumulate");
            for special in core_specials(dtype) {
                for span in [1, 31, 32, 33, 70] {
                    for position in [0, 15, 16, 30, 31, 32, 63, 64, 69] {
                        for rest in [-0.0, 0.0, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
                            let mut values = vec![bits(dtype, rest); span];
                            if let Some(value) = values.get_mut(position) {
                                *value = special;
                                Case::of_values(&pass, &[values]).check(backend);
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn rows_with_outer_strides(backend: &dyn Backend) {
    for dtype in DTYPES {
        let size = dtype.size() as isize;
        let mut writer = Writer::new(dtype);
        let x = writer.load(Layout::Contiguous);
        let shift = writer.load(Layout::Broadcast);
        let difference = writer.apply(LaneOp::Sub, &[x, shift]);
        writer.accumulate(ReductionOperator::Sum, difference);
        writer.accumulate(ReductionOperator::Max, difference);
        let pass = writer.finish("rows");
        for span in [0, 1, 5, 16, 31, 32, 33, 128, 600] {
            for outer in [0, 1, 2, 7, 8, 13, 16, 17, 32, 41] {
                for (sum_stride, max_stride) in [(size, size), (-size, 3 * size + 1), (2 * size, -size), (0, size)] {
                    let strides = [size * span as isize, size, sum_stride, max_stride];
                    let lay = |operand: usize| Lay { stride: 0, outer_stride: strides[operand], skew: operand };
                    Case::new(&pass, span, outer, 11, lay).check(backend);
                }
            }
        }
    }
}

/// Backends may combine the accumulators of many spans side by side: every span has specials of its own, and keeps its place.
pub fn many_spans_of_specials(backend: &dyn Backend) {
    for dtype in DTYPES {
        let specials = core_specials(dtype);
        let size = dtype.size() as isize;
        for accumulators in [1, 2, 3, 7] {
            let mut writer = Writer::new(dtype);
            let x = writer.load(Layout::Contiguous);
            (0..accumulators).for_each(|index| writer.accumulate(COMBINES[index % 3], x));
            let pass = writer.finish("spans");
            for (span, outer) in [(3, 40), (32, 33), (45, 50)] {
                let row = size * span as isize;
                let lay = |operand| Lay { stride: 0, outer_stride: if operand == 0 { row } else { size }, skew: 0 };
                let mut case = Case::new(&pass, span, outer, 5, lay);
                // Numbers that tell spans apart, and a special in some of them, at any place.
                let values = (0..span * outer).map(|at| bits(dtype, (at / span) as f64 - 20.5 + (at % 3) as f64));
                let mut values: Vec<u64> = values.collect();
                for (at, special) in (0..values.len()).step_by(2 * span + 5).zip(specials.iter().cycle()) {
                    values[at] = *special;
                }
                case.fill(0, &values);
                case.check(backend);
            }
        }
    }
}

pub fn several_accumulators_beside_stores(backend: &dyn Backend) {
    for dtype in DTYPES {
        let mut writer = Writer::new(dtype);
        let x = writer.load(Layout::Contiguous);
        let y = writer.load(Layout::Strided);
        let product = writer.apply(LaneOp::Mul, &[x, y]);
        let least = writer.apply(LaneOp::Min, &[x, y]);
        writer.store(Layout::Contiguous, product);
        writer.accumulate(ReductionOperator::Sum, x);
        writer.accumulate(ReductionOperator::Max, product);
        writer.accumulate(ReductionOperator::Min, product);
        writer.accumulate(ReductionOperator::Sum, least);
        let sum = writer.apply(LaneOp::Add, &[product, least]);
        writer.store(Layout::Strided, sum);
        let pass = writer.finish("sinks");
        let size = dtype.size() as isize;
        for span in [0, 1, 17, 32, 65, 1100] {
            for in_place in [false, true] {
                let lay = |_| Lay { stride: size * 2, outer_stride: size * 2 * span.max(1) as isize, skew: 0 };
                let mut case = Case::new(&pass, span, 2, 13, lay);
                if in_place {
                    case.put_in_place(2, 0);
                    case.put_in_place(7, 1);
                }
                case.check(backend);
            }
        }
    }
}

pub fn uniform_values_accumulate(backend: &dyn Backend) {
    for dtype in DTYPES {
        for combine in COMBINES {
            let mut writer = Writer::new(dtype);
            let x = writer.load(Layout::Broadcast);
            let tenth = writer.number(0.1);
            let product = writer.apply(LaneOp::Mul, &[x, tenth]);
            writer.accumulate(combine, product);
            writer.accumulate(combine, tenth);
            let pass = writer.finish("uniform");
            for span in [0, 1, 31, 32, 33, 100, 700] {
                let lay = |_| Lay { stride: 0, outer_stride: dtype.size() as isize, skew: 0 };
                Case::new(&pass, span, 3, 17, lay).check(backend);
            }
        }
    }
}
