//! Storage types in the language: what casts mean, how they are written and read back, and what becomes of conditions.

use fuselet_ir::op::StorageType;
use fuselet_ir::reference::evaluate_scalar;
use fuselet_ir::{Error, Expr, Graph, IntoProgram, Library, Meaning, Program, json};

fn program(text: &str) -> Program {
    text.into_program(&Library::standard()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn graph(text: &str) -> Graph {
    program(text).graph(Meaning::Form).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    let refused: Result<Program, Error> = text.into_program(&Library::standard());
    refused.map(|program| panic!("{text} means {program}")).unwrap_or_else(|error| error.to_string())
}

fn value(text: &str, inputs: &[f64]) -> f64 {
    evaluate_scalar(&graph(text), inputs).unwrap()[0]
}

#[test]
fn every_type_has_two_names_and_is_printed_by_the_short_one() {
    for ty in StorageType::all() {
        assert_eq!(ty.name().parse(), Ok(ty));
        assert_eq!(ty.long_name().parse(), Ok(ty));
        let short = format!("cast(exp(x), {ty})");
        let found = graph(&short);
        assert_eq!(graph(&format!("exp(x) |> cast({})", ty.long_name())), found);
        assert_eq!(graph(&format!("cast(exp(x), dtype = {ty})")), found);
        match ty {
            StorageType::F64 => assert_eq!(found, graph("exp(x)")),
            StorageType::Bool => assert_eq!(found, graph("exp(x) != 0")),
            _ => assert_eq!((found.to_string(), program(&short).to_string()), (short.clone(), short)),
        }
        assert_eq!(found.to_string().parse::<Graph>().unwrap(), found);
        assert_eq!(json::from_str(&json::to_string(&found).unwrap()).unwrap(), found);
    }
    assert_eq!("f17".parse::<StorageType>().unwrap_err().nearest.as_deref(), Some("f16"));
}

#[test]
fn a_type_is_a_word_whatever_else_has_its_name() {
    assert_eq!(graph("let f16 = 2; cast(x * f16, f16)"), graph("cast(x * 2, f16)"));
    assert_eq!(graph("cast(f16, f16)").inputs(), ["f16"]);
    assert_eq!(graph("fn half(x) = cast(x, f16) half(x + 1)"), graph("cast(x + 1, f16)"));
    // Who defines a function of the name means that.
    assert_eq!(graph("fn cast(x) = x * 2 cast(y)"), graph("y * 2"));
}

#[test]
fn quantisation_is_a_formula_of_casts() {
    for (text, formula) in [
        ("quantize(x, s)", "cast(x / s, i8)"),
        ("quantize(x, s, 0, u8)", "cast(x / s, u8)"),
        ("quantize(x, s, u8)", "cast(x / s, u8)"),
        ("quantize(x, s, z, u8)", "cast(round(x / s) + z, u8)"),
        ("quantize(x, dtype = int16, zero_point = 3, scale = 0.5)", "cast(round(x / 0.5) + 3, i16)"),
        ("x |> quantize(s)", "cast(x / s, i8)"),
        ("dequantize(q, s)", "q * s"),
        ("dequantize(q, s, 128)", "(q - 128) * s"),
        ("absmax(x, axis = -1)", "max(abs(x), axis = -1)"),
        ("absmax(x)", "max(abs(x))"),
        ("select(isnan(x), 0, x)", "select(x != x, 0, x)"),
        ("select(isinf(x) or isfinite(x), 0, x)", "select(abs(x) == inf or abs(x) < inf, 0, x)"),
    ] {
        assert_eq!(graph(text), graph(formula), "{text}");
    }
    let (x, s) = (Expr::input("x"), Expr::input("s"));
    assert_eq!(x.quantize(&s, 3, StorageType::U8).to_string(), "cast(round(x / s) + 3, u8)");
    assert_eq!(x.dequantize(&s, 0).to_string(), "x * s");
    assert_eq!(x.absmax(-1).to_string(), "max(abs(x), axis = -1)");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, expected) in [
        (
            "cast(x, f17)",
            "`f17` is no dtype; the dtypes are f64, f32, f16, bf16, i32, i16, i8, u32, u16, u8, bool\n  │ cast(x, f17)\n  │         ^^^ did you mean `f16`?",
        ),
        (
            "cast(x, 16)",
            "this is no dtype; the dtypes are f64, f32, f16, bf16, i32, i16, i8, u32, u16, u8, bool\n  │ cast(x, 16)\n  │         ^^",
        ),
        ("cast(x)", "`cast` takes cast(x, dtype), but 1 is given\n  │ cast(x)\n  │ ^^^^^^^"),
        ("cast(x, f16, 3)", "`cast` takes cast(x, dtype), but 3 are given\n  │ cast(x, f16, 3)\n  │ ^^^^^^^^^^^^^^^"),
        (
            "quantize(x)",
            "`quantize` takes quantize(x, scale, zero_point = 0, dtype = i8), but 1 is given\n  │ quantize(x)\n  │ ^^^^^^^^^^^",
        ),
        (
            "quantize(x, s, f16)",
            "the dtype of `quantize` must be one of integers, but this is `f16`\n  │ quantize(x, s, f16)\n  │                ^^^",
        ),
        (
            "quantize(x, scales = s)",
            "`quantize` has no parameter `scales`\n  │ quantize(x, scales = s)\n  │             ^^^^^^ did you mean `scale`?",
        ),
        (
            "quantize(x, s, scale = s)",
            "`scale` is given twice\n  │ quantize(x, s, scale = s)\n  │                ^^^^^",
        ),
        (
            "dequantize(q, s, z, i8)",
            "`dequantize` takes dequantize(x, scale, zero_point = 0), but 4 are given\n  │ dequantize(q, s, z, i8)\n  │ ^^^^^^^^^^^^^^^^^^^^^^^",
        ),
        ("isnan(x, y)", "`isnan` takes 1 argument (x), but 2 are given\n  │ isnan(x, y)\n  │ ^^^^^^^^^^^"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn the_reference_rounds_once_to_nearest_even() {
    for (text, x, expected) in [
        ("cast(x, f32)", 0.1, f64::from(0.1f32)),
        ("cast(x, f32)", 1e39, f64::INFINITY),
        ("cast(x, f32)", 1e-46, 0.0),
        ("cast(x, f32)", 1e-45, f64::from(1e-45f32)),
        // Halfway between two numbers, to the even one; and just above.
        ("cast(x, f16)", 1.0 + 1.0 / 2048.0, 1.0),
        ("cast(x, f16)", (1.0 + 1.0 / 2048.0f64).next_up(), 1.0 + 1.0 / 1024.0),
        ("cast(x, f16)", 65519.99, 65504.0),
        ("cast(x, f16)", -65520.0, f64::NEG_INFINITY),
        ("cast(x, f16)", 2f64.powi(-25), 0.0),
        ("cast(x, f16)", 1.5 * 2f64.powi(-25), 2f64.powi(-24)),
        ("cast(x, f16)", -2f64.powi(-30), -0.0),
        ("cast(x, f16)", f64::MAX, f64::INFINITY),
        ("cast(x, f16)", 5e-324, 0.0),
        ("cast(x, bf16)", 1.0 + 3.0 / 256.0, 1.0 + 2.0 / 128.0),
        ("cast(x, bf16)", 2f64.powi(-133), 2f64.powi(-133)),
        ("cast(x, bf16)", 3.4e38, f64::INFINITY),
        ("cast(x, i8)", -2.5, -2.0),
        ("cast(x, i8)", 127.5, 127.0),
        ("cast(x, i8)", -1e30, -128.0),
        ("cast(x, i8)", -0.25, 0.0),
        ("cast(x, i32)", 1e30, 2147483647.0),
        ("cast(x, u8)", -3.0, 0.0),
        ("cast(x, u16)", f64::NAN, 0.0),
        ("cast(x, u32)", f64::INFINITY, 4294967295.0),
        ("cast(x, bool)", -0.0, 0.0),
        ("cast(x, bool)", f64::NAN, 1.0),
        ("cast(x, f64)", 0.1, 0.1),
        ("quantize(x, 0)", 0.0, 0.0),
        ("quantize(x, 0)", -1.0, -128.0),
    ] {
        let found = value(text, &[x]);
        assert_eq!(found.to_bits(), expected.to_bits(), "{text} of {x:e}: {found:e}");
    }
    assert!(["f32", "f16", "bf16"].iter().all(|ty| value(&format!("cast(x, {ty})"), &[f64::NAN]).is_nan()));
}

#[test]
fn numbers_are_conditions_and_conditions_numbers() {
    for (text, explicit) in [
        ("if mask then a else b", "if mask != 0 then a else b"),
        ("select(mask and x > 0, x, 0)", "select(mask != 0 and x > 0, x, 0)"),
        ("select(not mask, x, 0)", "select(mask == 0, x, 0)"),
        ("select(mask or false, x, 0)", "select(mask != 0, x, 0)"),
        ("sum(x > 0, axis = -1)", "sum(if x > 0 then 1 else 0, axis = -1)"),
        ("(x > 0) * 2 + isnan(x)", "(if x > 0 then 1 else 0) * 2 + (if x != x then 1 else 0)"),
        ("relu(x > y)", "relu(if x > y then 1 else 0)"),
        ("cast(x > 0, f16)", "cast(if x > 0 then 1 else 0, f16)"),
        ("select(cast(x, bool), 1, 2)", "select(x != 0, 1, 2)"),
        ("select(cast(x > 1, bool), 1, 2)", "select(x > 1, 1, 2)"),
    ] {
        let (found, wanted) = (graph(text), graph(explicit));
        for x in [-1.0, 0.0, 0.5, 2.0, f64::NAN] {
            let inputs = vec![x; found.inputs().len()];
            if text.contains("sum") {
                assert_eq!(found, wanted, "{text}");
                continue;
            }
            let values = [&found, &wanted].map(|graph| evaluate_scalar(graph, &inputs).unwrap()[0].to_bits());
            assert_eq!(values[0], values[1], "{text} of {x}");
        }
        fuselet_ir::verify::verify(&found).unwrap();
    }
    // Where they are outputs they are numbers, which an array of bools stores as one byte each.
    assert_eq!(graph("{ y = x > 0 }"), graph("{ y = if x > 0 then 1 else 0 }"));
}
