//! Listings of plans, for people: what the interpreter does once a span and once a tile.

use super::plan::Plan;
use super::step::Action;
use crate::lane::{Layout, Shift};
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |index: u32| {
            let index = index as usize;
            match index {
                _ if index >= self.slots_at() => format!("slot{}", index - self.slots_at()),
                _ if index >= self.uniforms_at() => format!("uniform{}", index - self.uniforms_at()),
                _ if index >= self.constants_at() => format!("{:#x}", self.constants[index - self.constants_at()]),
                _ if index >= self.accumulators_at() => format!("accumulator{}", index - self.accumulators_at()),
                _ if index >= self.strides_at() => format!("stride{}", index - self.strides_at()),
                _ => format!("operand{index}"),
            }
        };
        for (title, steps) in [("each span", &self.uniform_steps), ("each tile", &self.steps)] {
            writeln!(formatter, "{title}")?;
            for step in steps {
                let (text, arity) = match step.action {
                    Action::Apply(op) => (op.name().to_owned(), op.arguments().len()),
                    Action::Shift(Shift::Left) => ("shl".to_owned(), 2),
                    Action::Shift(Shift::Right) => ("shr".to_owned(), 2),
                    Action::Horner(count) => (format!("horner of {count}"), 3),
                    Action::Splat => ("splat".to_owned(), 1),
                    Action::Copy => ("copy".to_owned(), 1),
                    Action::Gather => ("gather".to_owned(), 2),
                    Action::Scatter => ("scatter".to_owned(), 2),
                    Action::Load(dtype, Layout::Strided) => (format!("load {dtype}"), 2),
                    Action::Load(dtype, _) => (format!("load {dtype}"), 1),
                    Action::Store(dtype, Layout::Strided) => (format!("store {dtype}"), 2),
                    Action::Store(dtype, _) => (format!("store {dtype}"), 1),
                    Action::LoadBits(dtype, _) => (format!("load bits of {dtype}"), 1),
                    Action::StoreBits(dtype, _) => (format!("store bits of {dtype}"), 1),
                    Action::Accumulate(combine) => (format!("accumulate {}", combine.name()), 1),
                };
                let arguments: Vec<String> =
                    [step.a, step.b, step.c][..arity].iter().map(|place| name(*place)).collect();
                writeln!(formatter, "  {} = {text} {}", name(step.out), arguments.join(", "))?;
            }
        }
        Ok(())
    }
}
