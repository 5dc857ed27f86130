//! Ops, reductions, classes and kinds by name.

use super::table::{Class, Kind, Op, Reduction};
use crate::choice::choices;

choices!("op", Op, Op::all().collect::<Vec<_>>().into_iter());
choices!("reduction", Reduction, Reduction::all().collect::<Vec<_>>().into_iter());
choices!("class", Class {
    Arithmetic = "arithmetic",
    Comparison = "comparison",
    Logic = "logic",
    Select = "select",
    Special = "special",
    Companion = "companion",
    Cast = "cast",
});
choices!("kind", Kind { Number = "number", Bool = "bool" });
