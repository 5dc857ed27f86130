//! How an expression is computed, section by section.

use crate::error::Error;
use crate::evaluate::Bound;
use fuselet::array::ComputeDtype;
use fuselet::ir::{Node, shape};
use fuselet::plan::Buffer;
use fuselet::{Compiled, Explanation, Function};
use std::fmt::Write as _;
use std::io::Write;

/// Everything there is to say.
pub fn all(out: &mut dyn Write, bound: &Bound<'_>) -> Result<(), Error> {
    let (explanation, _) = bound.explanation()?;
    graph(out, &bound.fused)?;
    writeln!(out)?;
    rewrites(out, &bound.fused)?;
    writeln!(out, "\nplan")?;
    plan(out, &explanation)?;
    writeln!(out, "\nlane programs")?;
    lane(out, &explanation.passes)?;
    writeln!(out, "intermediate form")?;
    intermediate(out, &explanation.passes)?;
    writeln!(out, "machine code")?;
    machine(out, &explanation.passes)
}

/// The graph after rewriting.
pub fn graph(out: &mut dyn Write, fused: &Function) -> Result<(), Error> {
    writeln!(out, "graph, {} after rewriting", counted(op_count(fused.graph()), "op"))?;
    for line in fused.graph().to_string().lines() {
        writeln!(out, "  {line}")?;
    }
    let calls: Vec<&str> = fused.graph().labels().map(|(_, label)| label.text.as_str()).collect();
    if !calls.is_empty() {
        writeln!(out, "  from {}", calls.join(", "))?;
    }
    Ok(())
}

fn rewrites(out: &mut dyn Write, fused: &Function) -> Result<(), Error> {
    writeln!(out, "rewrites applied")?;
    let applied = &fused.rewrites().applied;
    if applied.is_empty() {
        writeln!(out, "  none")?;
    }
    for (name, count) in applied {
        let pattern = fuselet::ir::rewrite::rules().find(|rule| rule.name == *name).map_or("", |rule| rule.pattern);
        writeln!(out, "  {count:3} × {name:24} {pattern}")?;
    }
    Ok(())
}

/// Kernels and reasons.
pub fn plan(out: &mut dyn Write, explanation: &Explanation) -> Result<(), Error> {
    for line in explanation.plan.to_string().lines() {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// The lane programs.
pub fn lane(out: &mut dyn Write, passes: &[Compiled]) -> Result<(), Error> {
    for compiled in passes {
        writeln!(out, "{}", compiled.pass.to_string().trim_end())?;
        if let Some(arrangement) = compiled.code.arrangement() {
            writeln!(out, "  ; {arrangement}")?;
        }
        writeln!(out)?;
    }
    none_if_empty(out, passes)
}

/// What the backend compiled from: Cranelift's CLIF, the interpreter's own listing.
pub fn intermediate(out: &mut dyn Write, passes: &[Compiled]) -> Result<(), Error> {
    for compiled in passes {
        match compiled.code.intermediate() {
            Some(text) => writeln!(out, "; {} · {}\n{}\n", compiled.pass.name, compiled.backend, text.trim_end())?,
            None => writeln!(
                out,
                "  {}: {} goes from the lane program straight to machine code (cranelift has one)\n",
                compiled.pass.name, compiled.backend
            )?,
        }
    }
    none_if_empty(out, passes)
}

/// Machine code, disassembled.
pub fn machine(out: &mut dyn Write, passes: &[Compiled]) -> Result<(), Error> {
    for compiled in passes {
        let (name, backend) = (&compiled.pass.name, &compiled.backend);
        match compiled.code.disassembly() {
            Some(text) => {
                writeln!(out, "; {name} · {backend} · {} bytes\n{}\n", compiled.code.code_size(), text.trim_end())?;
            }
            None if compiled.code.code_size() == 0 => writeln!(out, "  {name}: {backend} makes no machine code\n")?,
            None => {
                let bytes = compiled.code.code_size();
                writeln!(out, "  {name}: {backend} made {bytes} bytes; they are shown as text on x86-64 only\n")?;
            }
        }
    }
    none_if_empty(out, passes)
}

fn none_if_empty(out: &mut dyn Write, passes: &[Compiled]) -> Result<(), Error> {
    if passes.is_empty() {
        writeln!(out, "  none: there is nothing to compute\n")?;
    }
    Ok(())
}

/// Three lines: graph, plan, lane programs; with the memory traffic of running it unfused beside it.
pub fn summary(out: &mut dyn Write, bound: &Bound<'_>, unfused: &Bound<'_>, written: usize) -> Result<(), Error> {
    let (explanation, _) = bound.explanation()?;
    let after = op_count(bound.fused.graph());
    let applied: Vec<String> = bound.fused.rewrites().applied.iter().map(|(name, count)| times(name, *count)).collect();
    let rewriting = if applied.is_empty() { String::new() } else { format!(" ({})", applied.join(", ")) };
    writeln!(out, "graph    {}; after rewriting {after}{rewriting}", counted(written, "op"))?;
    let plan = &explanation.plan;
    let (unfused_explanation, _) = unfused.explanation()?;
    let elements = bound.outputs.iter().map(|(_, array)| array.len()).max().unwrap_or(0);
    writeln!(
        out,
        "plan     {}, {} · reads {}, writes {} · {} bytes an element (unfused {})",
        counted(plan.kernels.len(), "kernel"),
        counted(explanation.passes.len(), "pass"),
        listed(bound.fused.inputs().iter().map(String::as_str)),
        listed(bound.fused.outputs()),
        each(traffic(&explanation, bound)?, elements),
        each(traffic(&unfused_explanation, unfused)?, elements),
    )?;
    let mut lanes = String::new();
    for (index, compiled) in explanation.passes.iter().enumerate() {
        let header = compiled.pass.to_string();
        // The header's own summary comes after three blanks.
        let numbers = header.lines().next().and_then(|line| line.rsplit("   ").next()).unwrap_or_default();
        let lead = if index == 0 { "lane     " } else { "         " };
        let name = if explanation.passes.len() > 1 { format!("{}: ", compiled.pass.name) } else { String::new() };
        let _ = writeln!(lanes, "{lead}{name}{numbers}");
        if let Some(arrangement) = compiled.code.arrangement() {
            let _ = writeln!(lanes, "         {arrangement}");
        }
    }
    let hint = "         :graph, :plan, :lane, :clif, :asm show them";
    writeln!(out, "{lanes}{hint}")?;
    Ok(())
}

/// Bytes that all kernels of a plan read from and write to arrays, each of its own dtype; temporaries are of what is computed in.
pub fn traffic(explanation: &Explanation, bound: &Bound<'_>) -> Result<usize, Error> {
    let plan = &explanation.plan;
    let inputs: Vec<Vec<usize>> = bound.inputs.iter().map(|array| array.shape.clone()).collect();
    let shapes = shape::infer(&plan.graph, &inputs)?;
    let dtypes =
        || bound.inputs.iter().map(|array| array.dtype()).chain(bound.outputs.iter().map(|(_, array)| array.dtype()));
    let lane = ComputeDtype::of(dtypes()).size();
    let size = |buffer: Buffer| match buffer {
        Buffer::Input(place) => bound.inputs[place].dtype().size(),
        Buffer::Output(place) => bound.outputs[place].1.dtype().size(),
        Buffer::Temporary(_) => lane,
    };
    let mut bytes = 0usize;
    for kernel in &plan.kernels {
        let sources = kernel.sources.iter().map(|source| (source.node, source.buffer));
        for (node, buffer) in sources.chain(kernel.sinks.iter().map(|sink| (sink.node, sink.buffer))) {
            let elements = shape::element_count(&shapes[node.index()])?;
            bytes = bytes.saturating_add(elements.saturating_mul(size(buffer)));
        }
    }
    Ok(bytes)
}

/// Bytes an element of so many, to a tenth.
pub fn each(bytes: usize, elements: usize) -> String {
    format!("{}", (bytes as f64 / elements.max(1) as f64 * 10.0).round() / 10.0)
}

/// Nodes that compute.
pub fn op_count(graph: &fuselet::ir::Graph) -> usize {
    graph.nodes().iter().filter(|node| !matches!(node, Node::Input(_) | Node::Constant(_))).count()
}

fn counted(count: usize, noun: &str) -> String {
    let plural = match noun {
        _ if count == 1 => "",
        "pass" => "es",
        _ => "s",
    };
    format!("{count} {noun}{plural}")
}

fn times(name: &str, count: usize) -> String {
    let name = name.replace('_', " ");
    if count == 1 { name } else { format!("{name} {count}×") }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}
