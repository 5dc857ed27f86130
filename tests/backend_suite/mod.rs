//! The suite every backend passes at every instruction-set level: equal bits, NaN as a class.
//!
//! `backend_suite!(name, constructor)` makes a module of tests; the constructor gives `Option<Box<dyn Backend>>`, `None` (and
//! a skipped module, which says so) where the host lacks the level. What is right, [`judge`] says; what is tried stands in
//! [`operations`], [`layouts`], [`accumulators`] and [`programs`]; [`random`] writes programs nobody would.

pub mod accumulators;
pub mod judge;
pub mod layouts;
pub mod operations;
pub mod programs;
pub mod random;
pub mod values;

/// The tests of one backend at one level.
#[macro_export]
macro_rules! backend_suite {
    ($name:ident, $constructor:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $crate::backend_suite!(@tests $constructor;
                operations: every_op_on_every_mix_of_special_values,
                operations: every_op_on_random_bits,
                operations: every_op_with_constant_arguments,
                operations: every_op_with_the_same_argument_throughout,
                operations: every_count_of_both_shifts,
                operations: rounding_halfway_cases,
                layouts: every_length_up_to_130_and_a_few_long_ones,
                layouts: every_mix_of_layouts,
                layouts: four_cyclic_bodies_that_share_an_array,
                layouts: every_byte_offset,
                layouts: outer_dimension_with_strides_of_every_sign,
                layouts: outputs_past_caches,
                layouts: in_place_of_each_operand,
                layouts: two_operands_swapped_in_place,
                accumulators: every_combination_at_every_length,
                accumulators: specials_reach_the_accumulator,
                accumulators: rows_with_outer_strides,
                accumulators: many_spans_of_specials,
                accumulators: several_accumulators_beside_stores,
                accumulators: uniform_values_accumulate,
                programs: uniform_only_programs,
                programs: loaded_values_and_constants_stored,
                programs: hundreds_of_live_values,
                programs: polynomials_in_every_guise,
                programs: many_operands,
                programs: random_programs,
            );
        }
    };
    (@tests $constructor:expr; $($module:ident: $test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                let backend: Option<Box<dyn fuselet::codegen::Backend>> = $constructor;
                match backend {
                    Some(backend) => $crate::backend_suite::$module::$test(backend.as_ref()),
                    None => eprintln!("skipped: this machine lacks the level"),
                }
            }
        )*
    };
}
