//! From plans to runs: everything around passes, written once for all backends.
//!
//! A backend's code loops over a span, and over one dimension around it. Here is the rest. [`bind`] takes a plan and the
//! layouts of a call's arrays, lays its operands out and merges dimensions ([`operands`]), finds code for every pass
//! ([`compiled`]) and gives a [`bound::BoundPlan`]: loops ([`elementwise`], [`rows`]) with arguments relative to base
//! addresses. Running that takes the addresses of one call, threads ([`threads`]) and scratch ([`scratch`]), and nothing
//! else. No order of summation, so no bit, depends on any of it but on the length of a row.

// Sizes and keys are never cut short: a key that was led to reads behind an array.
#![warn(clippy::cast_possible_truncation)]

pub(crate) mod bind;
pub(crate) mod bound;
pub(crate) mod compiled;
mod elementwise;
pub(crate) mod float_mode;
pub(crate) mod operands;
mod rows;
pub(crate) mod scratch;
pub(crate) mod shape_key;
pub(crate) mod shard;
pub(crate) mod threads;
