//! Fusing: a graph becomes a [`Plan`] of as few kernels as possible.
//!
//! The way ([`planner`]): `sink` moves halves to the inputs; `partition` decides which ops share a kernel; `stages` cuts a
//! kernel into passes over its rows. What a pass is in code is no business of a plan. The plan's notes say why each boundary is there.

// Sizes and keys are never cut short: a key that was led to reads behind an array.
#![warn(clippy::cast_possible_truncation)]

mod cost;
mod decision;
mod kernel;
mod lifetimes;
mod nodes;
mod partition;
mod planner;
mod report;
mod reread;
mod sink;
mod stages;

pub(crate) use cost::{kernel_work, node_cost};
pub use decision::FusionDecision;
pub use kernel::{
    Buffer, Condition, Extent, KernelPlan, PassPlan, Plan, Sink, Slot, Source, Stage, StageReduction, Temporary,
};
pub use planner::{Fusion, plan};
