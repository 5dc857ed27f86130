//! `:plot swoosh -6..6`: a function of one input, in dots.

use crate::arrays::Array;
use crate::data::Data;
use crate::error::Error;
use crate::evaluate::{Bound, bind};
use crate::{literal, show};
use fuselet::{Dtype, Engine, Fusion};
use std::io::Write;
use textplots::{Chart, Plot, Shape};

/// The size of the picture in dots.
const WIDTH: u32 = 160;
const HEIGHT: u32 = 60;
/// Points that are computed.
const POINTS: usize = 2 * WIDTH as usize;

/// Plots `request`: an expression or the name of a function, and a range.
pub fn plot(out: &mut dyn Write, engine: &Engine, request: &str, values: &[(String, Array)]) -> Result<(), Error> {
    let (text, low, high) = split(request, engine)?;
    let library = engine.library();
    let text = match library.function(text) {
        Some(function) if function.tensors().len() == 1 => format!("{text}({})", function.tensors()[0]),
        _ => text.to_owned(),
    };
    let fused = engine.compile_with(text.as_str(), Fusion::Full)?;
    // What has one number as its value stays; the axis is `x`, or the one input that is left.
    let is_number = |name: &String| values.iter().any(|(known, array)| known == name && array.shape.is_empty());
    let free: Vec<&String> = fused.inputs().iter().filter(|name| !is_number(name)).collect();
    let axis = match free.as_slice() {
        [only] => (*only).clone(),
        several => match several.iter().find(|name| name.as_str() == "x") {
            Some(axis) => (*axis).clone(),
            None => {
                let problem = format!("`{text}` is no function of one input; give the others numbers: `a = 1.5`");
                return Err(Error::Command(problem));
            }
        },
    };
    let step = (high - low) / (POINTS - 1) as f32;
    let points: Vec<f32> = (0..POINTS).map(|index| low + index as f32 * step).collect();
    let mut values: Vec<(String, Array)> =
        values.iter().filter(|(name, array)| *name != axis && array.shape.is_empty()).cloned().collect();
    values.push((axis.clone(), Array::new(points.clone(), vec![POINTS])));
    for (_, array) in &mut values {
        *array = array.converted(Dtype::F32)?;
    }
    let inputs = bind(fused.inputs(), &values, library, true, &[])?;
    let mut bound = Bound::new(fused, inputs, &[])?;
    bound.with_call(|call| call())?;
    let curves: Vec<Vec<(f32, f32)>> = bound.outputs.iter().map(|(_, array)| curve(&points, array)).collect();
    let heights = || curves.iter().flatten().map(|point| point.1);
    let (bottom, top) = (heights().fold(f32::INFINITY, f32::min), heights().fold(f32::NEG_INFINITY, f32::max));
    if bottom > top {
        return Err(Error::Command(format!("`{text}` has no finite value from {low} to {high}")));
    }
    // A constant would leave no room.
    let (bottom, top) = if bottom == top { (bottom - 1.0, top + 1.0) } else { (bottom, top) };
    let shapes: Vec<Shape<'_>> = curves.iter().map(|curve| Shape::Lines(curve)).collect();
    let mut chart = Chart::new_with_y_range(WIDTH, HEIGHT, low, high, bottom, top);
    let chart = shapes.iter().fold(&mut chart, |chart, shape| chart.lineplot(shape));
    chart.axis();
    chart.figures();
    writeln!(out, "{chart}")?;
    writeln!(out, "{text} for {axis} from {} to {}", show::number(low), show::number(high))?;
    Ok(())
}

/// The finite points of a curve.
fn curve(points: &[f32], array: &Array) -> Vec<(f32, f32)> {
    let Data::F32(values) = &array.data else { return Vec::new() };
    // An output that does not depend on the axis is one number.
    let value = |index: usize| values.get(index).or(values.first()).copied().unwrap_or(f32::NAN);
    (0..points.len()).map(|index| (points[index], value(index))).filter(|point| point.1.is_finite()).collect()
}

/// The expression and the range of a request; −6 to 6 if it names none.
fn split<'a>(request: &'a str, engine: &Engine) -> Result<(&'a str, f32, f32), Error> {
    let usage = || Error::Command("write `:plot gelu -6..6` or `:plot x * sigmoid(x) 0..1`".to_owned());
    let (text, range) = match request.rsplit_once(char::is_whitespace) {
        Some((text, range)) if range.contains("..") => (text.trim(), range),
        _ => (request.trim(), "-6..6"),
    };
    let (low, high) = range.split_once("..").ok_or_else(usage)?;
    let bound = |text: &str| -> Result<f32, Error> {
        match literal::parse("the end of the range", text, engine.library())?.data {
            Data::F32(data) if data.len() == 1 => Ok(data[0]),
            _ => Err(usage()),
        }
    };
    let (low, high) = (bound(low)?, bound(high)?);
    if text.is_empty() {
        return Err(usage());
    }
    if !(low < high && (high - low).is_finite()) {
        return Err(Error::Command(format!("the range {range} is empty or endless; write the smaller number first")));
    }
    Ok((text, low, high))
}
