//! Where operands may lie: every layout, length, offset and stride; in place.

use super::judge::{Case, Lay, Writer};
use super::values::DTYPES;
use fuselet::array::ComputeDtype;
use fuselet::codegen::Backend;
use fuselet::lane::{ACCUMULATOR_LANES, LaneOp, Layout, Pass, ReductionOperator};

/// `outputs` of a · b + c, a · b, (a · b + c) / a: enough for the last ones to be stored at different times.
fn pass(dtype: ComputeDtype, reads: [Layout; 3], writes: &[Layout]) -> Pass {
    let mut writer = Writer::new(dtype);
    let [a, b, c] = reads.map(|layout| writer.load(layout));
    let product = writer.apply(LaneOp::Mul, &[a, b]);
    let sum = writer.apply(LaneOp::Add, &[product, c]);
    let quotient = writer.apply(LaneOp::Div, &[sum, a]);
    for (layout, value) in writes.iter().zip([sum, product, quotient]) {
        writer.store(*layout, value);
    }
    writer.finish("a * b + c")
}

const C: Layout = Layout::Contiguous;

fn dense(dtype: ComputeDtype, span: usize) -> Lay {
    Lay { stride: dtype.size() as isize, outer_stride: (dtype.size() * span) as isize, skew: 0 }
}

pub fn every_length_up_to_130_and_a_few_long_ones(backend: &dyn Backend) {
    for dtype in DTYPES {
        for span in (0..=130).chain([255, 256, 511, 512, 513, 1000, 1023, 1024, 1025, 4097]) {
            let pass = pass(dtype, [C, Layout::Broadcast, C], &[C]);
            for outer in [0, 1, 2] {
                Case::new(&pass, span, outer, span as u64, |_| dense(dtype, span)).check(backend);
            }
        }
    }
}

/// An array shared by four bodies, as sums along rows read and write it: every span of whole groups, and of part of one. What
/// is prefetched need not be memory at all.
pub fn four_cyclic_bodies_that_share_an_array(backend: &dyn Backend) {
    for dtype in DTYPES {
        let mut writer = Writer::new(dtype);
        let factor = writer.load(Layout::Broadcast);
        let loads = [(); 4].map(|()| writer.load(Layout::BlockCyclic));
        let products = loads.map(|value| writer.apply(LaneOp::Mul, &[value, factor]));
        products.iter().for_each(|product| writer.store(Layout::BlockCyclic, *product));
        let pairs = [[0, 1], [2, 3]].map(|pair| writer.apply(LaneOp::Add, &pair.map(|at: usize| products[at])));
        let sum = writer.apply(LaneOp::Add, &pairs);
        writer.accumulate(ReductionOperator::Sum, sum);
        writer.accumulate(ReductionOperator::Max, sum);
        writer.prefetch();
        let pass = writer.finish("bodies");
        for span in (1..=33).chain([64, 96, 128, 160, 224, 256]) {
            for outer in [1, 3] {
                let row = 4 * span * dtype.size();
                let lay = |_| Lay { stride: 0, outer_stride: row as isize, skew: 0 };
                let mut case = Case::new(&pass, span, outer, span as u64, lay);
                let distance = span.min(ACCUMULATOR_LANES) * dtype.size();
                case.share(1..5, distance);
                case.share(5..9, distance);
                case.views[11].start = usize::MAX / 2;
                case.check(backend);
            }
        }
    }
}

pub fn every_mix_of_layouts(backend: &dyn Backend) {
    for dtype in DTYPES {
        let size = dtype.size() as isize;
        // Strides in bytes: apart, backward, off alignment, none.
        let reads = [
            (C, 0),
            (Layout::Broadcast, 0),
            (Layout::Strided, 3 * size),
            (Layout::Strided, -2 * size),
            (Layout::Strided, size + 1),
            (Layout::Strided, 0),
            (Layout::BlockCyclic, 0),
        ];
        let writes = [
            (C, 0),
            (Layout::BlockCyclic, 0),
            (Layout::Strided, 2 * size),
            (Layout::Strided, -size),
            (Layout::Strided, size + 3),
        ];
        for (n, a) in reads.iter().enumerate() {
            for (m, b) in reads.iter().enumerate() {
                for write in writes {
                    let c = reads[(n + m) % reads.len()];
                    let lays = [*a, *b, c, write];
                    let pass = pass(dtype, [a.0, b.0, c.0], &[write.0]);
                    for span in [1, 3, 16, 33, 70, 130] {
                        let lay = |operand: usize| Lay { stride: lays[operand].1, outer_stride: 1000, skew: operand };
                        Case::new(&pass, span, 1, span as u64, lay).check(backend);
                    }
                }
            }
        }
    }
}

pub fn every_byte_offset(backend: &dyn Backend) {
    for dtype in DTYPES {
        let pass = pass(dtype, [C, C, Layout::Broadcast], &[C, C]);
        for skew in 0..=64 {
            for span in [5, 40, 65] {
                Case::new(&pass, span, 1, 5, |operand| Lay {
                    stride: 0,
                    outer_stride: 0,
                    skew: skew * (operand + 1) % 67,
                })
                .check(backend);
            }
        }
    }
}

pub fn outer_dimension_with_strides_of_every_sign(backend: &dyn Backend) {
    for dtype in DTYPES {
        let size = dtype.size() as isize;
        for span in [1, 2, 7, 16, 45, 600] {
            let row = size * span as isize;
            // Outer strides of reads: the next row, the same, the row before, a gap off alignment; of the write all but the same.
            let strides = [row, 0, -row, row + 5];
            for n in 0..64 {
                let pass = pass(dtype, [C, [Layout::Broadcast, C][n / 16 % 2], Layout::Strided], &[C]);
                let outers = [strides[n % 4], strides[n / 4 % 4], size * 3, [row, -row, row + 9][n % 3]];
                let lay = |operand: usize| Lay { stride: -size, outer_stride: outers[operand], skew: n % 7 };
                Case::new(&pass, span, if span > 100 { 3 } else { 9 }, n as u64, lay).check(backend);
            }
        }
    }
}

/// Outputs that go past caches, at every place in a cache line, alone, with another and over an input; rows that are lines and rows
/// that are not.
pub fn outputs_past_caches(backend: &dyn Backend) {
    const S: Layout = Layout::NonTemporal;
    for dtype in DTYPES {
        let size = dtype.size() as isize;
        for outputs in [&[S] as &[Layout], &[S, C], &[C, S], &[S, S], &[S, Layout::Strided]] {
            let pass = pass(dtype, [C, C, Layout::Broadcast], outputs);
            for skew in [0, 1, 4, 8, 20, 32, 60, 64] {
                for (span, gap) in [(1, 0), (16, 0), (37, 0), (130, 3), (1024, 0), (1200, 0), (1200, 16), (1201, 7)] {
                    let lay = |operand: usize| Lay {
                        stride: size,
                        outer_stride: size * (span as isize + gap),
                        skew: if operand < 3 { 3 * operand } else { skew + 64 * operand },
                    };
                    Case::new(&pass, span, 3, 11, lay).check(backend);
                    let mut case = Case::new(&pass, span, 2, 5, |_| Lay { skew, ..dense(dtype, span) });
                    case.put_in_place(3, 1);
                    case.check(backend);
                }
            }
        }
    }
}

pub fn in_place_of_each_operand(backend: &dyn Backend) {
    for dtype in DTYPES {
        let size = dtype.size() as isize;
        let layouts = [(C, size), (Layout::Strided, 2 * size), (Layout::Strided, -size), (Layout::BlockCyclic, size)];
        for (layout, stride) in layouts {
            for operand in 0..3 {
                for writes in 1..=3 {
                    // The output in place is in turn the first, the second, the third.
                    for place in 3..3 + writes {
                        let mut reads = [C; 3];
                        reads[operand] = layout;
                        let mut outputs = vec![C; writes];
                        outputs[place - 3] = layout;
                        let pass = pass(dtype, reads, &outputs);
                        for span in [1, 15, 16, 64, 100, 1040] {
                            let lay = |_| Lay { stride, outer_stride: 4 * size * span as isize, skew: 0 };
                            let mut case = Case::new(&pass, span, 2, 7, lay);
                            case.put_in_place(place, operand);
                            case.check(backend);
                        }
                    }
                }
            }
        }
    }
}

/// Two loaded values stored crosswise: an engine that copies one output before it reads the other loses a value.
pub fn two_operands_swapped_in_place(backend: &dyn Backend) {
    for dtype in DTYPES {
        for layouts in
            [[C, C], [C, Layout::Strided], [Layout::Strided, C], [Layout::Strided; 2], [Layout::BlockCyclic; 2]]
        {
            for computed in [false, true] {
                let mut writer = Writer::new(dtype);
                let [a, b] = layouts.map(|layout| writer.load(layout));
                let to_first = if computed { writer.apply(LaneOp::Neg, &[b]) } else { b };
                writer.store(layouts[0], to_first);
                writer.store(layouts[1], a);
                let pass = writer.finish("swap");
                for span in [1, 16, 50, 700] {
                    let mut case = Case::new(&pass, span, 1, 3, |_| dense(dtype, span));
                    case.put_in_place(2, 0);
                    case.put_in_place(3, 1);
                    case.check(backend);
                }
            }
        }
    }
}
