//! Draws the picture of the README: time per element against size, fused and unfused.
//!
//! `cargo bench --bench picture` measures one chain on one thread and writes `docs/time-per-element.svg`.

mod common;

use common::chains::SILU_AFFINE;
use common::timing::{Contender, take_turns};
use common::{Case, engine_named};
use fuselet::Fusion;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// Elements, from a call of a few vectors to memory.
const SIZES: [usize; 11] =
    [1 << 4, 1 << 6, 1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24];

/// A line: what it is, and nanoseconds an element at each size.
struct Line {
    name: String,
    color: RGBColor,
    times: Vec<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let benching = std::env::args().any(|argument| argument == "--bench");
    let sizes = if benching { &SIZES[..] } else { &SIZES[..2] };
    let lines = measure(sizes);
    for line in &lines {
        let times: Vec<String> = line.times.iter().map(|time| format!("{time:.3}")).collect();
        println!("{}: {} ns per element", line.name, times.join(" "));
    }
    if benching {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/time-per-element.svg");
        draw(&path, sizes, &lines)?;
        println!("wrote docs/time-per-element.svg");
    }
    Ok(())
}

fn measure(sizes: &[usize]) -> Vec<Line> {
    let mut lines = Vec::new();
    let widest = ["wide avx512", "wide avx2"].into_iter().find(|name| engine_named(name).is_some());
    for (engine, colors) in [
        ("cranelift", [RGBColor(0xb0, 0x30, 0x30), RGBColor(0xe8, 0xa0, 0xa0)]),
        (widest.unwrap_or("interpreter"), [RGBColor(0x10, 0x40, 0xa0), RGBColor(0x90, 0xb0, 0xe8)]),
    ] {
        let Some(made) = engine_named(engine) else { continue };
        let mut times = [Vec::new(), Vec::new()];
        for n in sizes {
            let mut fused = Case::sized(&made, SILU_AFFINE.text, Fusion::Full, *n);
            let mut unfused = Case::sized(&made, SILU_AFFINE.text, Fusion::Off, *n);
            let mut turns = [Contender::new("fused", || fused.call()), Contender::new("unfused", || unfused.call())];
            take_turns(&mut turns, Duration::from_millis(300));
            for (times, contender) in times.iter_mut().zip(&turns) {
                times.push(contender.least() / *n as f64);
            }
        }
        for ((what, color), times) in ["fused", "unfused"].into_iter().zip(colors).zip(times) {
            lines.push(Line { name: format!("{engine}, {what}"), color, times });
        }
    }
    lines
}

fn draw(path: &Path, sizes: &[usize], lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (860, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let (first, last) = (sizes[0] as f64, sizes[sizes.len() - 1] as f64);
    let all = || lines.iter().flat_map(|line| line.times.iter().copied());
    let low = all().fold(f64::INFINITY, f64::min) * 0.8;
    let high = all().fold(0.0, f64::max) * 1.25;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("{}: ns per element, one thread", SILU_AFFINE.text), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d((first..last).log_scale().base(4.0), (low..high).log_scale().base(2.0))?;
    chart
        .configure_mesh()
        .x_desc("elements")
        .y_desc("ns per element")
        .x_labels(11)
        .y_labels(8)
        .x_label_formatter(&|n| common::size_name(n.round() as usize))
        .y_label_formatter(&|time| format!("{time}"))
        .light_line_style(WHITE)
        .draw()?;
    for line in lines {
        let points = sizes.iter().map(|n| *n as f64).zip(line.times.iter().copied());
        let color = line.color;
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    root.present()?;
    Ok(())
}
