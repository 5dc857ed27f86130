//! Configs to layers.

use super::classes::CLASSES;
use super::config::ConfigError;
use super::fields::Fields;
use super::layer::{Kind, Layer, Merge};
use super::plain::{clip, plain};
use super::read::{Reader, check_beside, dictionary};
use crate::expr::Expr;
use crate::library::Activation;
use crate::nearest::nearest;
use crate::value::Value;
use serde_json::{Map, Value as Json};

/// Layers that change nothing when a model is used, only while it is trained.
const NOTHING: &[&str] = &[
    "Dropout",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "ActivityRegularization",
    "Identity",
];

/// Layers with several inputs.
const MERGES: &[(&str, Merge)] = &[
    ("Add", Merge::Add),
    ("Subtract", Merge::Subtract),
    ("Multiply", Merge::Multiply),
    ("Average", Merge::Average),
    ("Maximum", Merge::Maximum),
    ("Minimum", Merge::Minimum),
];

/// Layers with weights, or with numbers of their own.
const OTHERS: &[&str] = &[
    "PReLU",
    "BatchNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "UnitNormalization",
    "Rescaling",
    "Normalization",
];

impl Reader<'_> {
    /// The layer of a config, if it is a function of single elements or of rows: activations, normalisations as they are
    /// after training, sums and products of several inputs, and what does nothing after training.
    pub fn layer(&self, config: &Json) -> Result<Layer, ConfigError> {
        let config = plain(config);
        let (Json::Object(map), Some(class)) = (config, config.get("class_name").and_then(Json::as_str)) else {
            return Err(ConfigError::NotAnIdentifier { identifier: "a layer without a `class_name`".to_owned() });
        };
        let inner = dictionary(class, "config", map.get("config"))?;
        let name = inner.and_then(|inner| inner.get("name")).or(map.get("name")).and_then(Json::as_str);
        let name = clip(name.unwrap_or_default());
        let kind = self.kind(class, &name, config, map, inner)?;
        Ok(Layer { class: clip(class), name, kind })
    }

    fn kind(
        &self,
        class: &str,
        name: &str,
        config: &Json,
        map: &Map<String, Json>,
        inner: Option<&Map<String, Json>>,
    ) -> Result<Kind, ConfigError> {
        if NOTHING.contains(&class) {
            return Ok(Kind::Nothing);
        }
        if let Some((_, merge)) = MERGES.iter().find(|(known, _)| *known == class) {
            check_beside(class, map)?;
            return Ok(Kind::Merge(*merge));
        }
        if let Some(known) = OTHERS.iter().find(|known| **known == class) {
            check_beside(class, map)?;
            return self.with_weights(known, inner);
        }
        if class == "Activation" || CLASSES.iter().any(|known| known.name == class) {
            return Ok(Kind::Activation(self.activation(config)?));
        }
        let known = supported();
        let nearest = nearest(class, known.iter().copied());
        Err(ConfigError::UnsupportedLayer { class: clip(class), name: name.to_owned(), nearest })
    }

    fn with_weights(&self, class: &'static str, inner: Option<&Map<String, Json>>) -> Result<Kind, ConfigError> {
        let fields = |known: &[&str]| Fields::new(class, inner, known);
        let weight = |name: &'static str| Expr::input(name);
        let refused =
            |reason: &str| Err(ConfigError::Refused { identifier: class.to_owned(), reason: reason.to_owned() });
        let over_axes = "it needs axes";
        Ok(match class {
            "PReLU" => {
                let shared_axes = fields(&["shared_axes"])?.axes("shared_axes", None)?.unwrap_or_default();
                Kind::Prelu { shared_axes }
            }
            "BatchNormalization" => {
                // The last ones belong to training.
                let fields = fields(&[
                    "axis",
                    "epsilon",
                    "center",
                    "scale",
                    "momentum",
                    "renorm",
                    "renorm_clipping",
                    "renorm_momentum",
                    "fused",
                    "synchronized",
                    "virtual_batch_size",
                    "adjustment",
                ])?;
                let Some(axes) = fields.axes("axis", Some(-1))? else { return refused(over_axes) };
                let deviation = (weight("moving_variance") + fields.number("epsilon", 1e-3)?).sqrt();
                let mut weights = vec![("moving_mean", None), ("moving_variance", None)];
                let factor = if fields.boolean("scale", true)? {
                    weights.push(("gamma", None));
                    weight("gamma") / deviation
                } else {
                    1.0 / deviation
                };
                if fields.boolean("center", true)? {
                    weights.push(("beta", None));
                }
                Kind::Affine { axes, factor: Some(factor), weights }
            }
            "LayerNormalization" => {
                let fields = fields(&["axis", "epsilon", "center", "scale", "rms_scaling"])?;
                if fields.boolean("rms_scaling", false)? {
                    return refused(
                        "`rms_scaling` divides by the variance of what is not centred; use RMSNormalization",
                    );
                }
                let Some(axes) = fields.axes("axis", Some(-1))? else { return refused(over_axes) };
                let normalisation = self.rows("layer_norm", &axes, fields.number("epsilon", 1e-3)?)?;
                let factor = fields.boolean("scale", true)?.then_some("gamma");
                let offset = fields.boolean("center", true)?.then_some("beta");
                Kind::Rows { normalisation, axes, factor, offset }
            }
            "RMSNormalization" => {
                let fields = fields(&["axis", "epsilon"])?;
                let Some(axes) = fields.axes("axis", Some(-1))? else { return refused(over_axes) };
                let normalisation = self.rows("rms_norm", &axes, fields.number("epsilon", 1e-6)?)?;
                Kind::Rows { normalisation, axes, factor: Some("scale"), offset: None }
            }
            "UnitNormalization" => match fields(&["axis"])?.axes("axis", Some(-1))? {
                Some(axes) => Kind::Unit { axes, version: self.meant() },
                None => return refused(over_axes),
            },
            "Rescaling" => {
                let fields = fields(&["scale", "offset"])?;
                let (scale, offset) = (fields.numbers("scale")?, fields.numbers("offset")?);
                let Some(scale) = scale else { return refused("its `scale` is missing") };
                Kind::Rescaling { scale, offset: offset.unwrap_or_else(|| vec![0.0]) }
            }
            _ => {
                let fields = fields(&["axis", "mean", "variance", "invert"])?;
                let axes = fields.axes("axis", Some(-1))?.unwrap_or_default();
                if fields.boolean("invert", false)? {
                    return refused("`invert` is not supported");
                }
                let weights = vec![("mean", fields.numbers("mean")?), ("variance", fields.numbers("variance")?)];
                // Keras' smallest deviation.
                let factor = 1.0 / weight("variance").sqrt().maximum(1e-7);
                Kind::Affine { axes, factor: Some(factor), weights }
            }
        })
    }

    fn rows(&self, name: &str, axes: &[i64], epsilon: f64) -> Result<Box<Activation>, ConfigError> {
        let normalisation = self.standard(name)?.with("axis", Value::from(axes)).with("epsilon", epsilon);
        normalisation.validate()?;
        Ok(Box::new(normalisation))
    }
}

/// The classes that [`Reader::layer`] reads.
pub fn supported() -> Vec<&'static str> {
    let activations = CLASSES.iter().filter(|class| class.is_layer()).map(|class| class.name);
    let merges = MERGES.iter().map(|(name, _)| *name);
    let mut names: Vec<&str> = std::iter::once("Activation").chain(activations).collect();
    for name in OTHERS.iter().copied().chain(merges).chain(NOTHING.iter().copied()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
