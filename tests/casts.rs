//! Casts in the engine: a cast gives what a store and a load give, on every engine, fused and unfused; and what is made of casts:
//! chains with a framework's half-precision bits, quantisation, masks.

mod common;

use common::{Array, Random, agreed, engines, groups, name, program};
use fuselet::ir::StorageType;
use fuselet::{ArrayMut, ArrayRef, Dtype, Element, Engine, Fusion, Signature};
use half::{bf16, f16};

/// The types that have an op, with their dtypes.
fn casts() -> impl Iterator<Item = (StorageType, Dtype)> {
    StorageType::all().filter(|ty| ty.cast_op().is_some()).map(|ty| (ty, Dtype::from(ty)))
}

/// Calls a function of one output on arrays of one length.
fn call<T: Element + Default>(engine: &Engine, fusion: Fusion, text: &str, inputs: &[ArrayRef<'_>]) -> Vec<T> {
    let function = engine.compile_with(program(text), fusion).unwrap();
    let length = inputs.iter().map(|input| input.shape().iter().product()).max().unwrap_or(1);
    let mut output: Vec<T> = (0..length).map(|_| T::default()).collect();
    function.call_positional(inputs, &mut output).unwrap_or_else(|error| panic!("{text}: {error}"));
    output
}

/// Numbers about everything that casts turn on.
fn numbers() -> Vec<f64> {
    let mut all = vec![0.0, f64::INFINITY, f64::NAN, 5e-324, f64::MAX, 65519.99, 65520.0, 3.4e38, 1e39];
    for power in -160..135 {
        let power = f64::from(power).exp2();
        for step in 0..8 {
            all.push(power * (1.0 + f64::from(step) / 8.0));
            all.push(power * (1.0 + f64::from(2 * step + 1) / 256.0));
            all.push(power * (1.0 + f64::from(2 * step + 1) / 2048.0));
            all.push(power * (1.0 + f64::from(2 * step + 1) / 16_777_216.0));
        }
    }
    for whole in [0.0, 1.0, 2.0, 126.0, 127.0, 128.0, 254.0, 255.0, 32767.0, 65535.0, 2147483647.0, 4294967295.0] {
        all.extend([whole, whole + 0.5, whole + 0.49, whole - 0.5]);
    }
    let near: Vec<f64> = all
        .iter()
        .flat_map(|value| {
            let narrow = *value as f32;
            [value.next_up(), value.next_down(), narrow.next_up().into(), narrow.next_down().into()]
        })
        .collect();
    all.extend(near);
    let negative: Vec<f64> = all.iter().map(|value| -value).collect();
    all.extend(negative);
    let mut random = Random(7);
    all.extend((0..2000).map(|_| f64::from(f32::from_bits(random.next() as u32))));
    all
}

fn class(value: f64) -> u64 {
    if value.is_nan() { u64::MAX } else { value.to_bits() }
}

#[test]
fn names_of_types_and_of_dtypes_are_the_same() {
    for ty in StorageType::all() {
        assert_eq!(Dtype::from(ty).name(), ty.long_name());
        assert_eq!((ty.name().parse(), ty.long_name().parse()), (Ok(Dtype::from(ty)), Ok(Dtype::from(ty))));
    }
    assert_eq!(StorageType::all().len(), Dtype::ALL.len());
}

#[test]
fn the_reference_rounds_as_arrays_do() {
    for ty in StorageType::all() {
        for value in numbers() {
            let (found, wanted) = (ty.round(value), Dtype::from(ty).round(value));
            assert_eq!(class(found), class(wanted), "{value:e} as {ty}: {found:e} instead of {wanted:e}");
        }
    }
}

#[test]
fn a_cast_is_a_store_and_a_load() {
    let wide = numbers();
    let narrow: Vec<f32> = wide.iter().map(|value| *value as f32).collect();
    for engine in engines() {
        for (ty, dtype) in casts() {
            let text = &format!("cast(x, {ty})");
            let found: Vec<f32> = call(engine, Fusion::Full, text, &[(&narrow).into()]);
            for (x, found) in narrow.iter().zip(found) {
                // A load into float32 rounds the greatest of 32 bits.
                let wanted = f64::from(dtype.round((*x).into()) as f32);
                assert_eq!(class(f64::from(found)), class(wanted), "{x:e} as {ty} on {}: {found:e}", name(engine));
            }
            let found: Vec<f64> = call(engine, Fusion::Full, text, &[(&wide).into()]);
            for (x, found) in wide.iter().zip(found) {
                let wanted = dtype.round(*x);
                assert_eq!(class(found), class(wanted), "{x:e} as {ty} on {}: {found:e} not {wanted:e}", name(engine));
            }
        }
    }
}

#[test]
fn what_is_of_a_half_type_is_its_own_cast() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let as_f16: Vec<f16> = all.iter().map(|bits| f16::from_bits(*bits)).collect();
    let as_bf16: Vec<bf16> = all.iter().map(|bits| bf16::from_bits(*bits)).collect();
    for engine in engines() {
        let found: Vec<f32> = call(engine, Fusion::Full, "cast(x, f16)", &[(&as_f16).into()]);
        assert!(as_f16.iter().zip(&found).all(|(x, y)| class(x.to_f64()) == class((*y).into())), "{}", name(engine));
        let found: Vec<f64> = call(engine, Fusion::Full, "cast(x, f16)", &[(&as_f16).into()]);
        assert!(as_f16.iter().zip(&found).all(|(x, y)| class(x.to_f64()) == class(*y)), "{}", name(engine));
        let found: Vec<f32> = call(engine, Fusion::Full, "cast(x, bf16)", &[(&as_bf16).into()]);
        assert!(as_bf16.iter().zip(&found).all(|(x, y)| class(x.to_f64()) == class((*y).into())), "{}", name(engine));
        let found: Vec<bf16> = call(engine, Fusion::Full, "cast(x, bf16)", &[(&as_bf16).into()]);
        let same = |(x, y): (&bf16, &bf16)| class(x.to_f64()) == class(y.to_f64());
        assert!(as_bf16.iter().zip(&found).all(same), "{}", name(engine));
    }
}

#[test]
fn casts_inside_chains_change_no_bit_by_fusing() {
    let mut random = Random(11);
    let x = Array::from_fn(&[7, 75], |_| random.wild());
    let y = Array::from_fn(&[75], |_| random.between(-4.0, 4.0));
    for text in [
        "cast(silu(cast(x * 2 + 1, bf16)), bf16) * cast(y, f16) |> cast(i16)",
        "softmax(cast(x, f16)) |> cast(f16) |> * y",
        "let c = cast(x * y, bf16); c - x * y + cast(c + 0.3, bf16)",
        "let s = cast(sum(cast(x * y, bf16), axis = -1), bf16); cast(x / s, f16) + cast(cast(0.1, bf16) * 3, f16)",
        "cast(x, i32) + cast(y, u32) + cast(x * 100, u16) + cast(y * 3, i8)",
        "max(cast(x, i8), axis = 0) + cast(x > y, u8)",
        "{ q = quantize(x, absmax(x, axis = -1) / 127), d = dequantize(quantize(y, 0.1, 3, u8), 0.1, 3) }",
    ] {
        for group in groups() {
            agreed(group, &program(text), &[x.clone(), y.clone()], text);
        }
    }
}

#[test]
fn a_chain_of_casts_is_what_a_framework_computes_step_by_step_in_bfloat16() {
    let x: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
    let fused = "
        let n = cast(-x, bf16);
        let e = cast(exp(n), bf16);
        let d = cast(1 + e, bf16);
        let s = cast(1 / d, bf16);
        cast(x * s, bf16)";
    for engine in engines() {
        let mut step = x.clone();
        for text in ["-x", "exp(x)", "1 + x", "1 / x"] {
            step = call(engine, Fusion::Full, text, &[(&step).into()]);
        }
        let wanted: Vec<bf16> = call(engine, Fusion::Full, "x * s", &[(&x).into(), (&step).into()]);
        for fusion in [Fusion::Full, Fusion::Off] {
            let found: Vec<bf16> = call(engine, fusion, fused, &[(&x).into()]);
            let differs = (0..x.len()).find(|at| class(found[*at].to_f64()) != class(wanted[*at].to_f64()));
            assert_eq!(differs, None, "{} {fusion:?}", name(engine));
        }
        // Rounding once, at the end, is something else.
        let once: Vec<bf16> = call(engine, Fusion::Full, "x * (1 / (1 + exp(-x)))", &[(&x).into()]);
        assert_ne!(
            once.iter().map(|y| y.to_bits()).collect::<Vec<_>>(),
            wanted.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
        );
    }
}

/// ONNX' QuantizeLinear, in plain Rust.
fn quantized(x: f32, scale: f32, zero_point: f32, least: f32, greatest: f32) -> f32 {
    let rounded = (x / scale).round_ties_even() + zero_point;
    if rounded.is_nan() { 0.0 } else { rounded.clamp(least, greatest) }
}

#[test]
fn quantisation_is_that_of_onnx() {
    let (rows, columns) = (5, 83);
    let mut random = Random(3);
    let mut x: Vec<f32> = (0..rows * columns).map(|_| random.between(-40.0, 40.0)).collect();
    x[..12].copy_from_slice(&[
        0.25,
        0.75,
        -0.25,
        -0.75,
        1.25,
        1e30,
        -1e30,
        f32::NAN,
        f32::INFINITY,
        -0.0,
        63.75,
        -64.25,
    ]);
    let (scale, zero_point) = ([0.5f32, 0.1, 3.0, 1e-30, 0.0], [0i8, 5, -7, 100, 1]);
    let view = |shape| ArrayRef::new(&x, shape).unwrap();
    let (shape, per_row) = ([rows, columns], [rows, 1]);
    for engine in engines() {
        for fusion in [Fusion::Full, Fusion::Off] {
            // Of the whole array, to i8 without and u8 with a zero point.
            let signed: Vec<i8> = {
                let mut output = vec![0i8; x.len()];
                let function = engine.compile_with(program("quantize(x, 0.5)"), fusion).unwrap();
                function.call_positional(&[view(&shape)], ArrayMut::new(&mut output, &shape).unwrap()).unwrap();
                output
            };
            let wanted: Vec<i8> = x.iter().map(|x| quantized(*x, 0.5, 0.0, -128.0, 127.0) as i8).collect();
            assert_eq!(signed, wanted, "{}", name(engine));
            let mut unsigned = vec![0u8; x.len()];
            let function = engine.compile_with(program("quantize(x, 0.5, 128, u8)"), fusion).unwrap();
            function.call_positional(&[view(&shape)], ArrayMut::new(&mut unsigned, &shape).unwrap()).unwrap();
            let wanted: Vec<u8> = x.iter().map(|x| quantized(*x, 0.5, 128.0, 0.0, 255.0) as u8).collect();
            assert_eq!(unsigned, wanted, "{}", name(engine));
            // Of each row, and back.
            let text = "let q = quantize(x, scale, zero_point); q = q, back = dequantize(q, scale, zero_point)";
            let function = engine.compile_with(program(text), fusion).unwrap();
            let inputs = [
                ("x", view(&shape)),
                ("scale", ArrayRef::new(&scale, &per_row).unwrap()),
                ("zero_point", ArrayRef::new(&zero_point, &per_row).unwrap()),
            ];
            let (mut q, mut back) = (vec![0i8; x.len()], vec![0f32; x.len()]);
            let outputs = [
                ("q", ArrayMut::new(&mut q, &shape).unwrap().into()),
                ("back", ArrayMut::new(&mut back, &shape).unwrap().into()),
            ];
            function.call_many(&inputs, outputs).unwrap();
            for at in 0..x.len() {
                let (scale, zero_point) = (scale[at / columns], f32::from(zero_point[at / columns]));
                let wanted = quantized(x[at], scale, zero_point, -128.0, 127.0);
                assert_eq!(f32::from(q[at]), wanted, "{} with {scale} of {}", x[at], name(engine));
                assert_eq!(back[at], (wanted - zero_point) * scale, "{}", name(engine));
            }
        }
    }
}

#[test]
fn rows_are_normalised_and_quantised_by_one_kernel() {
    let (rows, columns) = (9, 133);
    let mut random = Random(5);
    let mut x: Vec<f32> = (0..rows * columns).map(|_| random.between(-3.0, 3.0)).collect();
    // A row of zeros, whose scale is 0, and one with a NaN.
    x[columns..2 * columns].fill(0.0);
    x[2 * columns + 7] = f32::NAN;
    let (shape, per_row) = ([rows, columns], [rows, 1]);
    for (text, plain) in [
        ("let n = rms_norm(x); let s = absmax(n, axis = -1) / 127; q = quantize(n, s), s = s", "rms_norm(x)"),
        ("let n = silu(x); let s = max(abs(n), axis = -1) / 127; q = quantize(n, s), s = s", "silu(x)"),
    ] {
        for engine in engines() {
            let mut n = vec![0f32; x.len()];
            let input = || ArrayRef::new(&x, &shape).unwrap();
            let normalised = engine.compile(plain).unwrap();
            normalised.call_positional(&[input()], ArrayMut::new(&mut n, &shape).unwrap()).unwrap();
            let scale: Vec<f32> = n
                .chunks(columns)
                .map(|row| {
                    row.iter()
                        .fold(0f32, |most, x| if x.is_nan() || most.is_nan() { f32::NAN } else { most.max(x.abs()) })
                        / 127.0
                })
                .collect();
            for fusion in [Fusion::Full, Fusion::Off] {
                let function = engine.compile_with(program(text), fusion).unwrap();
                let (mut q, mut s) = (vec![99i8; x.len()], vec![0f32; rows]);
                let outputs = [
                    ("q", ArrayMut::new(&mut q, &shape).unwrap().into()),
                    ("s", ArrayMut::new(&mut s, &per_row).unwrap().into()),
                ];
                function.call_many(&[("x", input())], outputs).unwrap();
                common::assert_same_bits(&s, &scale, || format!("scales of {text} on {}", name(engine)));
                for (at, q) in q.iter().enumerate() {
                    let wanted = quantized(n[at], scale[at / columns], 0.0, -128.0, 127.0);
                    assert_eq!(f32::from(*q), wanted, "{at} of {text} on {}", name(engine));
                }
                assert!(q[columns..3 * columns].iter().all(|q| *q == 0), "rows of zeros and of NaN");
                assert!(q[..columns].iter().any(|q| q.abs() == 127), "the largest of a row is an end");
                if fusion == Fusion::Full {
                    let signature = Signature::new()
                        .with("x", Dtype::F32, &shape)
                        .and_then(|signature| signature.with_output("q", Dtype::I8, &shape, &[columns as isize, 1]))
                        .and_then(|signature| signature.with_output("s", Dtype::F32, &per_row, &[1, 1]))
                        .unwrap();
                    let explanation = function.explain(&signature).unwrap();
                    assert_eq!(explanation.kernel_count(), 1, "{text}\n{explanation}");
                }
            }
        }
    }
}

/// What an expression means for an element of a mask and one of an array.
type Condition = (&'static str, fn(bool, f32) -> bool);

#[test]
fn masks_are_conditions_and_comparisons_are_masks() {
    let length = 101;
    let mut random = Random(9);
    let mut x: Vec<f32> = (0..length).map(|_| random.between(-2.0, 2.0)).collect();
    x[3] = f32::NAN;
    x[40] = f32::NEG_INFINITY;
    let mask: Vec<bool> = (0..length).map(|_| random.below(3) > 0).collect();
    for engine in engines() {
        for fusion in [Fusion::Full, Fusion::Off] {
            let both: [ArrayRef<'_>; 2] = [(&mask).into(), (&x).into()];
            let found: Vec<f32> = call(engine, fusion, "if mask then x else 0", &both);
            let wanted: Vec<f32> = mask.iter().zip(&x).map(|(mask, x)| if *mask { *x } else { 0.0 }).collect();
            common::assert_same_bits(&found, &wanted, || name(engine));
            let cases: [Condition; 5] = [
                ("mask and x > 0", |mask, x| mask && x > 0.0),
                ("not mask or isnan(x)", |mask, x| !mask || x.is_nan()),
                (
                    "if mask then isfinite(x) else isinf(x)",
                    |mask, x| if mask { x.is_finite() } else { x.is_infinite() },
                ),
                ("mask == (x <= 1)", |mask, x| mask == (x <= 1.0)),
                ("cast(x, bool) and mask", |mask, x| x != 0.0 && mask),
            ];
            for (text, meaning) in cases {
                let wanted: Vec<bool> = mask.iter().zip(&x).map(|(mask, x)| meaning(*mask, *x)).collect();
                let bytes: Vec<bool> = call(engine, fusion, text, &both);
                assert_eq!(bytes, wanted, "{text} on {} {fusion:?}", name(engine));
                let floats: Vec<f32> = call(engine, fusion, text, &both);
                assert!(floats.iter().zip(&wanted).all(|(x, wanted)| *x == f32::from(u8::from(*wanted))), "{text}");
            }
            // Counts, exact up to 2^24.
            let counts: [(&str, usize); 3] = [
                ("sum(mask)", mask.iter().filter(|mask| **mask).count()),
                ("sum(x > 0)", x.iter().filter(|x| **x > 0.0).count()),
                ("sum(isnan(x) or x < -100)", 2),
            ];
            for (text, wanted) in counts {
                let function = engine.compile_with(program(text), fusion).unwrap();
                let mut count = [0i32];
                let input: ArrayRef<'_> = if text.contains("mask") { (&mask).into() } else { (&x).into() };
                function.call_positional(&[input], &mut count).unwrap();
                assert_eq!(count, [wanted as i32], "{text} on {}", name(engine));
            }
        }
    }
}
