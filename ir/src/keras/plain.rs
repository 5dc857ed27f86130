//! What JSON says apart from how Python's objects were wrapped to become JSON.
//!
//! Keras writes numbers, arrays and tuples that were no plain Python objects as dictionaries with a mark:
//! `{"class_name": "__numpy__", "config": {"value": 0.3, "dtype": "float32"}}`, `{"class_name": "__tuple__", "items": [1, 2]}`,
//! and before 2.3 `{"type": "ndarray", "value": 0.3}`. They mean what they hold.

use serde_json::Value as Json;

/// The value within any wrapping. Wrappings may be nested without end: a loop.
pub fn plain(json: &Json) -> &Json {
    let mut json = json;
    while let Json::Object(map) = json {
        let text = |key: &str| map.get(key).and_then(Json::as_str);
        let inner = match (text("class_name"), text("type")) {
            (Some("__numpy__" | "__tensor__" | "__typespec__"), _) => {
                map.get("config").and_then(|inner| inner.get("value"))
            }
            (Some("__tuple__" | "__list__" | "TensorShape" | "ListWrapper"), _) => map.get("items"),
            (None, Some("ndarray")) => map.get("value"),
            _ => None,
        };
        match inner {
            Some(inner) => json = inner,
            None => break,
        }
    }
    json
}

/// The number within any wrapping, lists of one included: an array of one element is a number to Keras.
pub fn number(json: &Json) -> Option<f64> {
    let mut json = plain(json);
    while let Json::Array(items) = json
        && let [only] = items.as_slice()
    {
        json = plain(only);
    }
    json.as_f64().filter(|number| number.is_finite())
}

/// The beginning of a text that may be of any length.
pub(super) fn clip(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a value is, for people.
pub(super) fn describe(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(value) => value.to_string(),
        Json::String(text) => format!("\"{}\"", clip(text)),
        Json::Array(items) if items.is_empty() => "an empty list".to_owned(),
        Json::Array(items) => format!("a list of {}", items.len()),
        Json::Object(map) => match map.get("class_name").and_then(Json::as_str) {
            Some(class) => format!("a dictionary of class `{}`", clip(class)),
            None => "a dictionary".to_owned(),
        },
    }
}

/// What is wrong with a list of which each item should be of a kind: the first item that is not.
pub(super) fn describe_list(items: &[Json], fits: impl Fn(&Json) -> bool) -> String {
    match items.iter().enumerate().find(|(_, item)| !fits(item)) {
        Some((place, item)) => format!("a list that holds {} at place {place}", describe(item)),
        None => format!("a list of {}", items.len()),
    }
}
