//! Which Keras wrote a file.
//!
//! Functions kept their names and changed their meanings: `hard_sigmoid` is clip(0.2 · x + 0.5) until Keras 2 and
//! clip(x/6 + 0.5) from 3 on. Models of Keras 2 say `keras_version`; those of Keras 3 say `module` in every dictionary.

use serde_json::Value as Json;

/// The Keras whose functions a config means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Version {
    /// Keras 1 and 2, and `tf.keras` of TensorFlow up to 2.15.
    Two,
    /// Keras 3.
    #[default]
    Three,
}

impl Version {
    /// Which Keras wrote a model: what `keras_version` says; without it what is written only by one of them. A config that
    /// says nothing is taken for one of Keras 3.
    ///
    /// ```
    /// use fuselet_ir::keras::{Version, parse_config};
    /// let model = parse_config(r#"{"class_name": "Sequential", "config": [], "keras_version": "2.4.0-tf"}"#)?;
    /// assert_eq!(Version::of(&model), Version::Two);
    /// # Ok::<(), fuselet_ir::keras::ConfigError>(())
    /// ```
    pub fn of(model: &Json) -> Version {
        if let Some(version) = model.get("keras_version").and_then(Json::as_str) {
            let digits = version.bytes().take_while(u8::is_ascii_digit).count();
            return match version[..digits].parse::<u32>() {
                Ok(0..=2) => Version::Two,
                _ => Version::Three,
            };
        }
        if model.get("module").is_some() {
            return Version::Three;
        }
        let config = model.get("config");
        let layers = config.and_then(|config| config.get("layers"));
        let old = |layer: &Json| layer.get("config").is_some_and(|config| config.get("batch_input_shape").is_some());
        match (config, layers) {
            (Some(Json::Array(_)), _) => Version::Two,
            (_, Some(Json::Array(layers))) if layers.iter().any(old) => Version::Two,
            _ => Version::Three,
        }
    }
}
