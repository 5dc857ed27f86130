//! Reading JSON that may be hostile, and what can be wrong with a config.
//!
//! A config comes from a file: [`parse_config`] refuses what is too long, nested too deep (`serde_json`'s limit of 128),
//! or gives a key twice, so that nobody reads one value and another reader another.

use super::plain::clip;
use crate::display::debug_as_displayed;
use crate::error::{ActivationError, Error};
use crate::language::MAX_TEXT;
use crate::nearest::suggestion;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};
use std::fmt;
use thiserror::Error;

/// Why a config gives no activation.
#[derive(Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// More text than is read.
    #[error("the config has {length} bytes, more than the {limit} that are read")]
    TooLong {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// No JSON, or JSON with duplicate keys, or nested too deep.
    #[error("the config cannot be read: {0}")]
    Json(String),
    /// Neither a name nor a dictionary that describes an activation.
    #[error("cannot interpret as an activation: {identifier}")]
    NotAnIdentifier {
        /// What was given.
        identifier: String,
    },
    /// A name nobody knows.
    #[error("unknown activation `{identifier}`{}", suggestion(nearest))]
    Unknown {
        /// The name.
        identifier: String,
        /// A known name near to it.
        nearest: Option<String>,
    },
    /// A class that cannot be an activation.
    #[error("`{identifier}` cannot be used: {reason}")]
    Refused {
        /// The class.
        identifier: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A key that means nothing there.
    #[error("the config of `{identifier}` has an unknown key `{key}`{}", suggestion(nearest))]
    UnknownKey {
        /// The class or activation.
        identifier: String,
        /// The key.
        key: String,
        /// A known key near to it.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("`{key}` of `{identifier}` must be {expected}, but is {found}")]
    Type {
        /// The class or activation.
        identifier: String,
        /// The key.
        key: String,
        /// What is expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// Parameters that are not valid.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// A definition in the config that does not hold.
    #[error("the definition of `{identifier}` cannot be read: {error}")]
    Definition {
        /// The function.
        identifier: String,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// A layer that is no function of single elements or rows, or that nobody knows.
    #[error("the layer `{name}` is a {class}, which is not supported{}", suggestion(nearest))]
    UnsupportedLayer {
        /// Its class.
        class: String,
        /// Its name.
        name: String,
        /// A known class near to it.
        nearest: Option<String>,
    },
    /// A layer whose weights or inputs do not fit.
    #[error("the layer `{name}` ({class}) {problem}")]
    Layer {
        /// Its class.
        class: String,
        /// Its name.
        name: String,
        /// What does not fit.
        problem: String,
    },
    /// An activation that Keras cannot be told of.
    #[error("Keras 3 has no spelling for `{activation}`: {reason}")]
    NoSpelling {
        /// The activation.
        activation: String,
        /// Why.
        reason: &'static str,
    },
    /// A function whose definition, read again, is another one.
    #[error(
        "`{identifier}` depends on several functions called the same; give them names of their own to serialize it"
    )]
    Ambiguous {
        /// The function.
        identifier: String,
    },
}

/// JSON text to a value. Refuses long texts, deep nesting and duplicate keys.
///
/// ```
/// use fuselet_ir::keras::parse_config;
/// assert!(parse_config(r#"{"class_name": "relu", "class_name": "gelu"}"#).is_err());
/// ```
pub fn parse_config(text: &str) -> Result<Json, ConfigError> {
    if text.len() > MAX_TEXT {
        return Err(ConfigError::TooLong { length: text.len(), limit: MAX_TEXT });
    }
    let unique: Unique = serde_json::from_str(text).map_err(|error| ConfigError::Json(clip(&error.to_string())))?;
    Ok(unique.0)
}

/// A config out of a document; duplicate keys are refused.
pub(crate) fn read_config<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
    Unique::deserialize(deserializer).map(|unique| unique.0)
}

/// JSON whose keys are all different.
struct Unique(Json);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Unique;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Unique, E> {
                let number = Number::from_f64(value).ok_or_else(|| E::custom("a number is not finite"))?;
                Ok(Unique(number.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique(Json::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
                let mut list = Vec::new();
                while let Some(Unique(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(Unique(list.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
                let mut map = Map::new();
                while let Some(key) = entries.next_key::<String>()? {
                    if map.contains_key(&key) {
                        return Err(de::Error::custom(format!("the key `{}` is given twice", clip(&key))));
                    }
                    let Unique(value) = entries.next_value()?;
                    map.insert(key, value);
                }
                Ok(Unique(map.into()))
            }
        }
        deserializer.deserialize_any(Values)
    }
}

debug_as_displayed!(ConfigError);
