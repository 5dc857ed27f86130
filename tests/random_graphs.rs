//! Random expression graphs: fused = unfused, on every backend at every level of equal FMA support, for every layout of
//! the arrays and any number of threads, rewritten or not, bit for bit; and near to the truth where that can be said.
//!
//! Graphs hold every elementwise op but the companions (which are for a part of the numbers only), all activations with
//! random parameters, reductions over random axes, row functions, halves, broadcasting, shared subexpressions and up to
//! three outputs. `PROPTEST_CASES` overrules the number of graphs.

mod common;
#[path = "common/random.rs"]
mod random;

use common::{Array, Random, assert_same_bits, groups, groups_on_two_threads, name};
use fuselet::ir::Program;
use fuselet::{ArrayMut, ArrayOut, ArrayRef, BackendChoice, CallError, Engine, Function, Fusion};
use proptest::prelude::*;
use random::{Lay, Recipe, recipe, recipe_over};

/// What stands in memory where nothing may be written.
const GUARD: f32 = -1234.5;

fn config(cases: u32) -> ProptestConfig {
    let overruled = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if overruled { default.cases } else { cases },
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..default
    }
}

/// The program and the arrays it is called with.
fn prepare(recipe: &Recipe) -> (Program, Vec<Array>) {
    let program = recipe.program();
    let graph = program.graph(fuselet::ir::Meaning::Form).unwrap();
    let arrays = recipe.arrays(graph.inputs());
    (program, arrays)
}

fn context(program: &Program, arrays: &[Array]) -> String {
    let outputs: Vec<String> = program.outputs().iter().map(|(name, expr)| format!("{name} = {expr}")).collect();
    let shapes: Vec<&Vec<usize>> = arrays.iter().map(|array| &array.shape).collect();
    format!("{} of {shapes:?}", outputs.join("; "))
}

/// The array with its first elements along an axis in place of all others.
fn repeated(array: &Array, axis: usize) -> Array {
    let inner: usize = array.shape[axis + 1..].iter().product();
    let length = array.shape[axis];
    Array::from_fn(&array.shape, |at| array.data[at / (inner * length) * (inner * length) + at % inner])
}

/// Calls a function on laid out inputs, writing to laid out outputs.
fn call_laid_out(function: &Function, inputs: &[Lay], outputs: &mut [Lay]) -> Result<(), CallError> {
    let views = inputs.iter().map(|lay| ArrayRef::strided(&lay.data, &lay.shape, &lay.strides, lay.offset).unwrap());
    let names = function.inputs().iter().map(String::as_str);
    let given: Vec<(&str, ArrayRef<'_>)> = names.zip(views).collect();
    let written =
        outputs.iter_mut().map(|lay| ArrayMut::strided(&mut lay.data, &lay.shape, &lay.strides, lay.offset).unwrap());
    function.call_many(&given, function.outputs().zip(written.map(ArrayOut::from)))
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn fused_equals_unfused_on_every_backend_bit_for_bit(recipe in recipe(12, 3000)) {
        let (program, arrays) = prepare(&recipe);
        for group in groups() {
            common::agreed(group, &program, &arrays, &context(&program, &arrays));
        }
    }

    #[test]
    fn layouts_of_inputs_and_outputs_change_no_bit(recipe in recipe(10, 3000), seed in any::<u64>()) {
        let (program, mut arrays) = prepare(&recipe);
        let mut random = Random(seed);
        let lay_out = |array: &mut Array| {
            let rank = array.shape.len();
            let equal = (rank > 0 && random.below(3) == 0).then(|| random.below(rank));
            if let Some(axis) = equal {
                *array = repeated(array, axis);
            }
            Lay::new(array, &mut random, GUARD, equal)
        };
        let inputs: Vec<Lay> = arrays.iter_mut().map(lay_out).collect();
        for group in groups() {
            let wanted = common::run(group.judge(), Fusion::Full, &program, &arrays);
            for (engine, fusion) in group.engines.iter().flat_map(|engine| [(engine, Fusion::Full), (engine, Fusion::Off)]) {
                let function = engine.compile_with(&program, fusion).unwrap();
                let empty = |array: &Array| Array::from_fn(&array.shape, |_| GUARD);
                let mut outputs: Vec<Lay> =
                    wanted.iter().map(|array| Lay::new(&empty(array), &mut random, GUARD, None)).collect();
                call_laid_out(&function, &inputs, &mut outputs).unwrap();
                for (output, wanted) in outputs.iter().zip(&wanted) {
                    let layout = || format!("{}, {fusion:?}: {} with {inputs:?}, output {:?}", name(engine),
                        context(&program, &arrays), (&output.shape, &output.strides, output.offset));
                    assert_same_bits(&output.elements(), &wanted.data, layout);
                    prop_assert_eq!(output.spoiled(GUARD), 0, "written beside the output: {}", layout());
                }
            }
        }
    }

    #[test]
    fn rewriting_changes_no_bit(recipe in recipe(16, 500)) {
        let (program, arrays) = prepare(&recipe);
        for group in groups() {
            let keeping = Engine::builder()
                .backend(BackendChoice::Interpreter).isa(group.judge().isa()).threads(1).keep_graph(true).build().unwrap();
            for fusion in [Fusion::Full, Fusion::Off] {
                let wanted = common::run(&keeping, fusion, &program, &arrays);
                let found = common::run(group.judge(), fusion, &program, &arrays);
                for (found, wanted) in found.iter().zip(&wanted) {
                    assert_same_bits(&found.data, &wanted.data, || context(&program, &arrays));
                }
            }
        }
    }

    #[test]
    fn in_place_equals_out_of_place_or_is_refused(recipe in recipe(8, 3000)) {
        let program = Program::new([recipe.program().outputs()[0].clone()]);
        let names = program.graph(fuselet::ir::Meaning::Form).unwrap().inputs().to_vec();
        let arrays: Vec<Array> = if names.is_empty() { return Ok(()) } else { recipe.arrays(&names) };
        let engines = groups().iter().flat_map(|group| group.engines.iter().map(move |engine| (group.judge(), engine)));
        for ((judge, engine), fusion) in engines.flat_map(|both| [(both, Fusion::Full), (both, Fusion::Off)]) {
            let function = engine.compile_with(&program, fusion).unwrap();
            let wanted = common::run(judge, Fusion::Full, &program, &arrays).remove(0);
            for at in 0..arrays.len() {
                if arrays[at].shape != wanted.shape {
                    continue;
                }
                let mut array = arrays[at].clone();
                let others: Vec<(&str, ArrayRef<'_>)> = (0..arrays.len())
                    .filter(|other| *other != at)
                    .map(|other| (names[other].as_str(), arrays[other].view()))
                    .collect();
                let view = ArrayMut::new(&mut array.data, &wanted.shape).unwrap();
                let in_context = || format!("{}, {fusion:?}, in place of {}: {}", name(engine), names[at],
                    context(&program, &arrays));
                match function.call_in_place((&names[at], view), &others) {
                    Ok(()) => assert_same_bits(&array.data, &wanted.data, in_context),
                    Err(CallError::Overlap { .. }) => assert_same_bits(&array.data, &arrays[at].data, in_context),
                    Err(error) => panic!("{}: {error}", in_context()),
                }
            }
        }
    }
}

/// Shapes large enough to split over threads in every way: many short rows, few long ones, one row, long outer or inner
/// dimensions.
fn large_shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![300_001]),
        Just(vec![2, 150_000]),
        Just(vec![1000, 301]),
        Just(vec![70_000, 5]),
        Just(vec![3, 7, 14_001]),
        Just(vec![64, 33, 146]),
        Just(vec![20_000, 4, 4]),
        Just(vec![4, 4, 20_000]),
    ]
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn the_number_of_threads_changes_no_bit(recipe in recipe_over(large_shapes(), 6)) {
        let (program, arrays) = prepare(&recipe);
        for (one, two) in groups().iter().zip(groups_on_two_threads()) {
            let wanted = common::run(one.judge(), Fusion::Full, &program, &arrays);
            for (engine, fusion) in two.engines.iter().flat_map(|engine| [(engine, Fusion::Full), (engine, Fusion::Off)]) {
                prop_assert_eq!((one.judge().threads(), engine.threads()), (1, 2));
                let found = common::run(engine, fusion, &program, &arrays);
                for (found, wanted) in found.iter().zip(&wanted) {
                    assert_same_bits(&found.data, &wanted.data, || {
                        format!("{}, fusion {fusion:?}: {}", name(engine), context(&program, &arrays))
                    });
                }
            }
        }
    }
}
