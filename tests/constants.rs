//! A constant is a constant, however it is written: a subexpression that no input reaches gives what its value gives, fused
//! or not, rewritten or not, on every backend. (Unfused it once came from memory, where lowering did not see that it is a
//! constant, and powers and logarithms took another way than fused.)

mod common;

use common::{Array, Group, Random, assert_same_bits, groups, name, program};
use fuselet::{ArrayRef, BackendChoice, Engine, Fusion};

/// Elements: as many as it took to see every difference by.
const ELEMENTS: usize = 100_000;

/// Powers by a computed constant that is a small whole number, in float32 at least, or just is not.
const POWERS: [&str; 14] = [
    "x ^ (0.1 * 20)",
    "x ^ (0.1 * 30)",
    "x ^ (exp(0) - 2)",
    "x ^ (exp(0) - 1)",
    "pow(exp(x), 1e-40 - 1)",
    "pow(x, erfc(-64.9))",
    "pow(x, abs(2))",
    "pow(x, tanh(-19))",
    "pow(x, tanh(19))",
    "pow(x, if 1 < 2 then 3 else x)",
    "pow(x, sum(2, axis = []))",
    "pow(x, max(2, axis = []))",
    "pow(x, 1 + exp_cutoff() / exp_cutoff())",
    "exp(pow(x, sqrt(4)))",
];

/// Numbers of every size, and where powers bend.
fn numbers() -> Vec<f32> {
    let mut random = Random(20);
    (0..ELEMENTS)
        .map(|at| match at % 4 {
            0 => random.wild(),
            1 => random.between(-100.0, 100.0),
            2 => random.unit(),
            _ => f32::from_bits(random.next() as u32),
        })
        .collect()
}

/// Every engine of a group, rewriting and not.
fn engines(group: &Group) -> Vec<Engine> {
    let keeping = group.engines.iter().map(|engine| {
        let backend = engine.backend_name();
        let choice = BackendChoice::by_name(backend.split(' ').next().unwrap()).unwrap();
        Engine::builder().backend(choice).isa(engine.isa()).threads(1).keep_graph(true).build().unwrap()
    });
    group.engines.iter().cloned().chain(keeping).collect()
}

#[test]
fn a_power_by_a_computed_constant_is_the_power_by_its_value() {
    let x = Array::vector(numbers());
    for group in groups() {
        let engines = engines(group);
        for text in POWERS {
            let program = program(text);
            let wanted = common::run(group.judge(), Fusion::Full, &program, std::slice::from_ref(&x)).remove(0);
            for (engine, fusion) in engines.iter().flat_map(|engine| [(engine, Fusion::Full), (engine, Fusion::Off)]) {
                let found = common::run(engine, fusion, &program, std::slice::from_ref(&x)).remove(0);
                assert_same_bits(&found.data, &wanted.data, || format!("{text}: {}, fusion {fusion:?}", name(engine)));
            }
        }
        for (computed, written) in
            [("x ^ (0.1 * 20)", "x * x"), ("x ^ (exp(0) - 2)", "1 / x"), ("x ^ (exp(0) + 2)", "x ^ 3")]
        {
            let [computed_bits, written_bits] = [computed, written].map(|text| {
                common::run(group.judge(), Fusion::Off, &program(text), std::slice::from_ref(&x)).remove(0)
            });
            assert_same_bits(&computed_bits.data, &written_bits.data, || format!("{computed} against {written}"));
        }
    }
}

/// A call on float64.
fn call_f64(engine: &Engine, fusion: Fusion, text: &str, inputs: &[&[f64]]) -> Vec<u64> {
    let function = engine.compile_with(text, fusion).unwrap();
    let names: Vec<String> = function.inputs().to_vec();
    let given: Vec<(&str, ArrayRef<'_>)> =
        names.iter().zip(inputs).map(|(name, input)| (name.as_str(), ArrayRef::from(*input))).collect();
    let class = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    function.call_to_vec::<f64>(&given).unwrap().into_iter().map(class).collect()
}

#[test]
fn a_constant_of_float64_is_one_number_fused_and_unfused() {
    let mut random = Random(21);
    let x: Vec<f64> = (0..67).map(|_| f64::from(random.wild()) * 1.000_000_1).collect();
    let mut texts: Vec<String> =
        vec!["x + log1p(sqrt(0.173))".into(), "x ^ (0.1 * 30)".into(), "x ^ (1e-9 - 1)".into()];
    let ops = [
        "log1p(sqrt(#))",
        "log1p(exp(#))",
        "log(#)",
        "tanh(#)",
        "log1p(# / 3)",
        "erf(#) ^ 0.3",
        "log1p(-abs(tanh(#)))",
    ];
    for at in 0..140 {
        let constant = random.unit() * 3.0;
        texts.push(format!("x + {}", ops[at % ops.len()].replace('#', &constant.to_string())));
    }
    for group in groups() {
        let engines = engines(group);
        for text in &texts {
            let wanted = call_f64(group.judge(), Fusion::Full, text, &[&x]);
            for (engine, fusion) in engines.iter().flat_map(|engine| [(engine, Fusion::Full), (engine, Fusion::Off)]) {
                assert_eq!(call_f64(engine, fusion, text, &[&x]), wanted, "{text}: {}, {fusion:?}", name(engine));
            }
        }
    }
}

#[test]
fn an_error_in_a_constant_is_found_although_it_is_folded() {
    for keep_graph in [false, true] {
        let engine = Engine::builder().keep_graph(keep_graph).threads(1).build().unwrap();
        for text in ["x ^ sum(2, axis = 0)", "x + first_half(2 + 1, axis = -1)"] {
            let function = engine.compile(text).unwrap();
            assert!(function.call_to_vec::<f32>(&[("x", (&[1.0f32, 2.0]).into())]).is_err(), "{text}");
        }
    }
}

#[test]
fn powers_by_small_whole_numbers_need_no_logarithm() {
    let engine = Engine::builder().backend(BackendChoice::Interpreter).threads(1).build().unwrap();
    for (text, operations) in [("x ^ 2", 1), ("x ^ 3", 2), ("x ^ -1", 1), ("x ^ (exp(0) + 1)", 1)] {
        let signature = fuselet::Signature::new().with("x", fuselet::Dtype::F32, &[8]).unwrap();
        let explanation = engine.compile(text).unwrap().explain(&signature).unwrap();
        assert_eq!(explanation.passes[0].pass.program.operation_count(), operations, "{text}");
    }
}
