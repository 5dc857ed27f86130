//! The short way of a call like an earlier one.
//!
//! What is left of such a call is to check names, dtypes, shapes and overlaps and to fill in pointers. Anything else, errors
//! included, is left to the long way, which costs more than ten times what a loop over 16 elements does.
//!
//! Two kinds of calls are known again: of flat arrays and numbers, whatever their shape ([`super::flat`]), and of arrays
//! laid out exactly like earlier ones ([`super::laid_out`]).

use super::call::{Fused, PlanHandle};
use super::flat::{self, Class, FlatKernel};
use super::laid_out::LaidOutKernel;
use crate::array::{Input, Placement};
use crate::exec::prepared::Chain;
use fuselet_ir::Graph;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Functions of more inputs go the long way: a kernel is made for each set of inputs that are numbers.
pub(super) const MOST_INPUTS: usize = 8;

/// How many layouts a function keeps the loops of; later ones go the long way.
const MOST_LAYOUTS: u32 = 8;

/// The calls a function knows again.
#[derive(Default)]
pub(super) struct KnownCalls {
    /// The kernels of flat calls; `None` for a class that has no single loop.
    flat: Chain<Class, Option<Arc<FlatKernel>>>,
    /// The kernels of layouts, by their numbers from 0 on.
    laid_out: Chain<u32, LaidOutKernel>,
    layouts: AtomicU32,
}

impl KnownCalls {
    /// For a function that can have such calls: of one output and few inputs.
    pub(super) fn of(graph: &Graph) -> Option<KnownCalls> {
        let few = graph.outputs().len() == 1 && (1..=MOST_INPUTS).contains(&graph.inputs().len());
        few.then(KnownCalls::default)
    }
}

/// Whether two names are one. Names are short: a loop is over before a comparison of memory is called.
fn same_name(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| a == b)
}

impl Fused {
    /// Calls the function if the call is known and nothing is wrong. If not, nothing was done. `in_place` is an input
    /// that is missing from `inputs`.
    pub(super) fn call_known(
        &self,
        inputs: &[(&str, &dyn Input)],
        in_place: Option<(&str, &Placement)>,
        output: &Placement,
    ) -> bool {
        let Some(known) = self.known_calls() else { return false };
        let names = self.inputs();
        if inputs.len() + usize::from(in_place.is_some()) != names.len() || output.is_empty() {
            return false;
        }
        let reach = output.address_range();
        let mut flat = flat::class_of_output(output);
        // The kept layouts that fit, a bit each.
        let mut fitting = 0u32;
        for (number, kernel) in known.laid_out.iter() {
            fitting |= u32::from(kernel.takes_output(output)) << number;
        }
        let mut pointers: [*mut u8; MOST_INPUTS] = [std::ptr::null_mut(); MOST_INPUTS];
        // Inputs that are the output's very array, a bit each.
        let mut same = 0u32;
        let mut given = inputs.iter();
        for (at, name) in names.iter().enumerate() {
            let mut check = |input: &Placement| {
                let touched = input.address_range();
                if touched.0 < reach.1 && reach.0 < touched.1 {
                    if !input.same_as(output) {
                        return false;
                    }
                    same |= 1 << at;
                }
                pointers[at] = input.pointer;
                flat = flat.and_then(|class| flat::with_input(class, at, input, output));
                if fitting != 0 {
                    for (number, kernel) in known.laid_out.iter() {
                        fitting &= !(u32::from(!kernel.takes_input(at, input)) << number);
                    }
                }
                flat.is_some() || fitting != 0
            };
            let fits = match in_place {
                Some((own, placement)) if own == name => check(placement),
                _ => match given.next() {
                    Some((given, input)) if same_name(given, name) => check(&input.tensor().placement),
                    _ => false,
                },
            };
            if !fits {
                return false;
            }
        }
        if let Some(class) = flat
            && let Some(Some(kernel)) = known.flat.find(|known| *known == class)
        {
            let elements = output.shape().iter().product();
            if !kernel.allows_in_place(same) || !kernel.runs_on_one_thread(self.engine(), elements) {
                return false;
            }
            // SAFETY: the views borrow their arrays for as long as `inputs` and the output are borrowed; they were found
            // to be flat, of one dtype and of the output's shape, which is the result's as one of them is no number (else
            // no kernel is kept); and they overlap only as the plan allows.
            unsafe { kernel.run(|at| pointers[at], output.pointer, elements) };
            return true;
        }
        let fitting = known.laid_out.iter().filter(|(number, _)| fitting & (1 << *number) != 0);
        let Some(kernel) = fitting.map(|(_, kernel)| kernel).find(|kernel| kernel.allows_in_place(same)) else {
            return false;
        };
        // SAFETY: as above; every array is laid out as the kernel is for.
        unsafe { kernel.run(|at| pointers[at], output.pointer) }.is_ok()
    }

    /// Keeps the kernel for calls like this one, which was found to be right and has been planned.
    pub(super) fn keep_known(
        &self,
        prepared: &PlanHandle<'_>,
        inputs: &[Placement],
        outputs: &[Placement],
        sizes: &[usize],
    ) {
        let (Some(known), [output]) = (self.known_calls(), outputs) else { return };
        if output.is_empty() {
            return;
        }
        let mut class = flat::class_of_output(output);
        for (at, input) in inputs.iter().enumerate() {
            class = class.and_then(|class| flat::with_input(class, at, input, output));
        }
        if let Some(class) = class {
            let make = || Ok(FlatKernel::new(self.engine(), &prepared.share(), inputs, output).map(Arc::new));
            let Ok::<_, Infallible>(kernel) = known.flat.find_or_add(class, make);
            if kernel.is_some() {
                return;
            }
        }
        // Calls that name inputs in another order come here again and again.
        let same = inputs.iter().enumerate().map(|(at, input)| u32::from(input.same_as(output)) << at).sum();
        let takes_all = |kernel: &LaidOutKernel| {
            kernel.takes_output(output)
                && inputs.iter().enumerate().all(|(at, input)| kernel.takes_input(at, input))
                && kernel.allows_in_place(same)
        };
        if known.layouts.load(Ordering::Relaxed) < MOST_LAYOUTS
            && !known.laid_out.iter().any(|(_, kernel)| takes_all(kernel))
            && let Some(kernel) = LaidOutKernel::new(self.engine(), &prepared.share(), inputs, output, sizes, same)
        {
            let number = known.layouts.fetch_add(1, Ordering::Relaxed);
            if number < MOST_LAYOUTS {
                let Ok::<_, Infallible>(_) = known.laid_out.find_or_add(number, || Ok(kernel));
            }
        }
    }
}
