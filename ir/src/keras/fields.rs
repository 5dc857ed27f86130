//! The config of a layer, key by key.

use super::config::ConfigError;
use super::parameters::is_neutral;
use super::plain::{clip, describe, describe_list, number, plain};
use crate::nearest::nearest;
use serde_json::{Map, Value as Json};

/// The config of a layer whose keys are known.
pub(super) struct Fields<'j> {
    class: &'static str,
    map: Option<&'j Map<String, Json>>,
}

impl<'j> Fields<'j> {
    /// An error if there is a key that means something and is not `known`.
    pub fn new(
        class: &'static str,
        map: Option<&'j Map<String, Json>>,
        known: &[&str],
    ) -> Result<Fields<'j>, ConfigError> {
        for key in map.into_iter().flat_map(Map::keys) {
            if !known.contains(&key.as_str()) && !is_neutral(key) {
                let nearest = nearest(key, known.iter().copied());
                return Err(ConfigError::UnknownKey { identifier: class.to_owned(), key: clip(key), nearest });
            }
        }
        Ok(Fields { class, map })
    }

    fn get(&self, key: &str) -> Option<&'j Json> {
        self.map?.get(key).map(plain)
    }

    fn wrong<T>(&self, key: &str, expected: &'static str, found: String) -> Result<T, ConfigError> {
        Err(ConfigError::Type { identifier: self.class.to_owned(), key: key.to_owned(), expected, found })
    }

    /// A finite number; `default` if it is missing.
    pub fn number(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(json) => match number(json) {
                Some(number) => Ok(number),
                None => self.wrong(key, "a number", describe(json)),
            },
        }
    }

    /// True or false; `default` if it is missing.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(Json::Bool(value)) => Ok(*value),
            Some(json) => self.wrong(key, "true or false", describe(json)),
        }
    }

    /// One axis or a list of them; `None` if it is null, `default` if it is missing.
    pub fn axes(&self, key: &str, default: Option<i64>) -> Result<Option<Vec<i64>>, ConfigError> {
        const EXPECTED: &str = "an axis or a list of axes";
        let axis = |json: &Json| plain(json).as_i64();
        match self.get(key) {
            None => Ok(default.map(|axis| vec![axis])),
            Some(Json::Null) => Ok(None),
            Some(Json::Array(items)) => match items.iter().map(axis).collect::<Option<Vec<i64>>>() {
                Some(axes) => Ok(Some(axes)),
                None => self.wrong(key, EXPECTED, describe_list(items, |item| axis(item).is_some())),
            },
            Some(json) => match axis(json) {
                Some(axis) => Ok(Some(vec![axis])),
                None => self.wrong(key, EXPECTED, describe(json)),
            },
        }
    }

    /// The numbers of a number or of lists nested in any way, row-major; `None` if it is null or missing.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, ConfigError> {
        let Some(json) = self.get(key).filter(|json| !json.is_null()) else { return Ok(None) };
        let mut numbers = Vec::new();
        let mut pending = vec![json];
        while let Some(next) = pending.pop() {
            match plain(next) {
                Json::Array(items) => pending.extend(items.iter().rev()),
                other => match number(other) {
                    Some(number) => numbers.push(number),
                    None => {
                        let found = format!("something that holds {}", describe(other));
                        return self.wrong(key, "a number or a list of numbers", found);
                    }
                },
            }
        }
        Ok(Some(numbers))
    }
}
