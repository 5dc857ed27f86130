//! Layers that are functions of single elements or of rows: what they compute, from what weights.
//!
//! Matrix products, shapes and the way from layer to layer are a runtime's; what finishes a product is an expression, and
//! here it comes from. Configs become
//! layers in `read_layer`.

use super::config::ConfigError;
use super::version::Version;
use crate::expr::Expr;
use crate::graph::Axes;
use crate::library::Activation;

/// A layer that is a function of single elements or of rows.
///
/// ```
/// use fuselet_ir::{Expr, Library, keras::{Reader, parse_config}};
/// let config = parse_config(r#"{"class_name": "PReLU", "config": {"name": "slopes", "shared_axes": [1]}}"#)?;
/// let library = Library::standard();
/// let layer = Reader::new(&library).layer(&config)?;
/// assert_eq!(layer.weights(&[5, 8])?[0].shape, [1, 8]);
/// let y = layer.apply(&[Expr::input("x")], |operand| Expr::input(operand))?;
/// assert_eq!(y.to_string(), "select(x > 0, x, alpha * x)");
/// # Ok::<(), fuselet_ir::keras::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layer {
    pub(super) class: String,
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// An array that a layer has learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// What Keras calls it: `gamma`, `moving_mean`, `alpha` …
    pub name: &'static str,
    /// Its shape, as Keras stores it.
    pub shape: Vec<usize>,
    /// Its numbers, if the config has them and no file need be asked.
    pub values: Option<Vec<f64>>,
}

/// An array that a layer's expression takes, computed from the weights once.
#[derive(Clone, Debug)]
pub struct Operand {
    /// What [`Layer::apply`] asks for.
    pub name: &'static str,
    /// From weights by their names, all of one shape.
    pub expression: Expr,
    /// The shape it has to be given (the same elements), so that it broadcasts against inputs.
    pub shape: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merge {
    Add,
    Subtract,
    Multiply,
    Average,
    Maximum,
    Minimum,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Nothing,
    Activation(Activation),
    Merge(Merge),
    Prelu {
        shared_axes: Vec<i64>,
    },
    /// (x − mean) · factor + offset, with weights along `axes`.
    Affine {
        axes: Vec<i64>,
        factor: Option<Expr>,
        weights: Vec<(&'static str, Option<Vec<f64>>)>,
    },
    /// A normalisation of rows, then factors and offsets along the same axes.
    Rows {
        normalisation: Box<Activation>,
        axes: Vec<i64>,
        factor: Option<&'static str>,
        offset: Option<&'static str>,
    },
    Unit {
        axes: Vec<i64>,
        version: Version,
    },
    Rescaling {
        scale: Vec<f64>,
        offset: Vec<f64>,
    },
}

impl Layer {
    /// Its class.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// Its name; empty if it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The activation, if it is one and nothing else.
    pub fn activation(&self) -> Option<&Activation> {
        match &self.kind {
            Kind::Activation(activation) => Some(activation),
            _ => None,
        }
    }

    /// Whether its result is its input.
    pub fn is_identity(&self) -> bool {
        matches!(self.kind, Kind::Nothing)
    }

    fn wrong<T>(&self, problem: String) -> Result<T, ConfigError> {
        Err(ConfigError::Layer { class: self.class.clone(), name: self.name.clone(), problem })
    }

    /// The places of axes in a shape without the batch axis, which the axes count.
    fn places(&self, axes: &[i64], shape: &[usize]) -> Result<Vec<usize>, ConfigError> {
        let rank = shape.len() + 1;
        let mut places = Vec::with_capacity(axes.len());
        for axis in axes {
            let signed = i64::try_from(rank).unwrap_or(i64::MAX);
            let from_start = if *axis < 0 { axis.saturating_add(signed) } else { *axis };
            let place = usize::try_from(from_start).ok().filter(|place| (1..rank).contains(place));
            let Some(place) = place else {
                return self
                    .wrong(format!("has weights along axis {axis}, but its inputs have the axes 1 to {}", rank - 1));
            };
            if places.last().is_some_and(|last| *last >= place - 1) {
                return self.wrong(format!("must name its axes once and in order, but has {axes:?}"));
            }
            places.push(place - 1);
        }
        Ok(places)
    }

    /// The lengths along some axes, and the shape in which an array of them broadcasts against inputs.
    fn along(&self, axes: &[i64], shape: &[usize]) -> Result<(Vec<usize>, Vec<usize>), ConfigError> {
        let places = self.places(axes, shape)?;
        let stored = places.iter().map(|place| shape[*place]).collect();
        let mut broadcast = vec![1; shape.len()];
        for place in places {
            broadcast[place] = shape[place];
        }
        Ok((stored, broadcast))
    }

    /// The weights it has for inputs of a shape, without the batch axis.
    pub fn weights(&self, shape: &[usize]) -> Result<Vec<Weight>, ConfigError> {
        let stored = |name: &'static str, shape: &[usize]| Weight { name, shape: shape.to_vec(), values: None };
        Ok(match &self.kind {
            Kind::Prelu { .. } => vec![stored("alpha", &self.slopes(shape)?)],
            Kind::Affine { axes, weights, .. } => {
                let (lengths, _) = self.along(axes, shape)?;
                let mut made = Vec::with_capacity(weights.len());
                for (name, values) in weights {
                    let values = values.as_ref().map(|values| self.spread(name, values, &lengths)).transpose()?;
                    made.push(Weight { name, shape: lengths.clone(), values });
                }
                made
            }
            Kind::Rows { axes, factor, offset, .. } => {
                let names = factor.iter().chain(offset);
                let (lengths, _) =
                    if factor.or(*offset).is_some() { self.along(axes, shape)? } else { Default::default() };
                names.map(|name| stored(name, &lengths)).collect()
            }
            Kind::Rescaling { scale, offset } => {
                let last = shape.last().map_or(&[][..], std::slice::from_ref);
                let several =
                    [("scale", scale), ("offset", offset)].into_iter().filter(|(_, values)| values.len() != 1);
                let mut made = Vec::new();
                for (name, values) in several {
                    made.push(Weight { name, shape: last.to_vec(), values: Some(self.spread(name, values, last)?) });
                }
                made
            }
            Kind::Nothing | Kind::Activation(_) | Kind::Merge(_) | Kind::Unit { .. } => Vec::new(),
        })
    }

    /// As many numbers as lengths ask for, from so many or from one.
    fn spread(&self, name: &str, values: &[f64], lengths: &[usize]) -> Result<Vec<f64>, ConfigError> {
        let count = lengths.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
        match (values, count) {
            (_, Some(count)) if values.len() == count => Ok(values.to_vec()),
            ([value], Some(count)) if count <= MOST_SPREAD => Ok(vec![*value; count]),
            _ => self.wrong(format!("has {} numbers in `{name}`, but its inputs need {lengths:?}", values.len())),
        }
    }

    fn slopes(&self, shape: &[usize]) -> Result<Vec<usize>, ConfigError> {
        let mut slopes = shape.to_vec();
        if let Kind::Prelu { shared_axes } = &self.kind {
            for axis in shared_axes {
                for place in self.places(&[*axis], shape)? {
                    slopes[place] = 1;
                }
            }
        }
        Ok(slopes)
    }

    /// The arrays its expression takes for inputs of a shape, without the batch axis.
    pub fn operands(&self, shape: &[usize]) -> Result<Vec<Operand>, ConfigError> {
        let plain = |name: &'static str, shape: &[usize]| Operand {
            name,
            expression: Expr::input(name),
            shape: shape.to_vec(),
        };
        Ok(match &self.kind {
            Kind::Prelu { .. } => vec![plain("alpha", &self.slopes(shape)?)],
            Kind::Affine { axes, factor, weights } => {
                let (_, broadcast) = self.along(axes, shape)?;
                let names = weights.iter().map(|(name, _)| *name);
                let kept = names.filter(|name| matches!(*name, "mean" | "moving_mean" | "beta"));
                let mut operands: Vec<Operand> = kept.map(|name| plain(name, &broadcast)).collect();
                if let Some(factor) = factor {
                    operands.push(Operand { name: "factor", expression: factor.clone(), shape: broadcast });
                }
                operands
            }
            Kind::Rows { axes, factor, offset, .. } => match factor.or(*offset) {
                None => Vec::new(),
                Some(_) => {
                    let (_, broadcast) = self.along(axes, shape)?;
                    factor.iter().chain(offset).map(|name| plain(name, &broadcast)).collect()
                }
            },
            Kind::Rescaling { .. } => {
                self.weights(shape)?.into_iter().map(|weight| plain(weight.name, &weight.shape)).collect()
            }
            Kind::Nothing | Kind::Activation(_) | Kind::Merge(_) | Kind::Unit { .. } => Vec::new(),
        })
    }

    /// What it computes from its inputs, with the operands that [`Layer::operands`] names.
    pub fn apply(&self, inputs: &[Expr], operand: impl Fn(&str) -> Expr) -> Result<Expr, ConfigError> {
        if let Kind::Merge(merge) = &self.kind {
            return match (merge, inputs) {
                (Merge::Subtract, [left, right]) => Ok(left - right),
                (Merge::Subtract, _) => self.wrong(format!("needs two inputs, but has {}", inputs.len())),
                (_, [first, rest @ ..]) if !rest.is_empty() => Ok(merge.apply(first, rest)),
                _ => self.wrong(format!("needs two inputs or more, but has {}", inputs.len())),
            };
        }
        let [x] = inputs else { return self.wrong(format!("needs one input, but has {}", inputs.len())) };
        Ok(match &self.kind {
            Kind::Activation(activation) => activation.apply(x),
            Kind::Prelu { .. } => x.greater(0).select(x, operand("alpha") * x),
            Kind::Affine { weights, .. } => {
                let has = |name: &str| weights.iter().any(|(weight, _)| *weight == name);
                let mean = if has("mean") { "mean" } else { "moving_mean" };
                let scaled = (x - operand(mean)) * operand("factor");
                if has("beta") { scaled + operand("beta") } else { scaled }
            }
            Kind::Rows { normalisation, factor, offset, .. } => {
                let normal = normalisation.apply(x);
                let scaled = factor.map_or_else(|| normal.clone(), |factor| &normal * operand(factor));
                offset.map_or_else(|| scaled.clone(), |offset| &scaled + operand(offset))
            }
            Kind::Unit { axes, version } => {
                let squares = (x * x).sum(Axes::List(axes.clone()));
                match version {
                    Version::Two => x / squares.maximum(1e-12).sqrt(),
                    Version::Three => x / squares.sqrt().maximum(1e-12),
                }
            }
            Kind::Rescaling { scale, offset } => {
                let part = |name: &str, values: &[f64]| match values {
                    [one] => Expr::number(*one),
                    _ => operand(name),
                };
                x * part("scale", scale) + part("offset", offset)
            }
            Kind::Nothing | Kind::Merge(_) => x.clone(),
        })
    }
}

/// The most copies made of one number: no layer has as many weights.
const MOST_SPREAD: usize = 1 << 24;

impl Merge {
    fn apply(self, first: &Expr, rest: &[Expr]) -> Expr {
        let merged = rest.iter().fold(first.clone(), |merged, next| match self {
            Merge::Add | Merge::Average => merged + next,
            Merge::Subtract => merged - next,
            Merge::Multiply => merged * next,
            Merge::Maximum => merged.maximum(next),
            Merge::Minimum => merged.minimum(next),
        });
        match self {
            // Exact for any number of inputs that there are.
            Merge::Average => merged / (rest.len() + 1) as f64,
            _ => merged,
        }
    }
}
