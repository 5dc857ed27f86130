//! Activations, expressions and programs as parts of documents, by serde.
//!
//! An activation is written as a [config](crate::keras), an expression and a program as text of the
//! [the language](crate::language); a graph has a [form of its own](crate::json). Functions that are not of the standard
//! library travel with their definitions, so whatever is written is read back by `Deserialize`, in any process.
//!
//! A document that a person wrote may also use functions of the embedding program's library by name. `Deserialize` knows
//! the standard library only; [`Library::seed`] reads against any library, by serde's `DeserializeSeed`:
//!
//! ```
//! use fuselet_ir::{Expr, Library};
//! use serde::de::DeserializeSeed;
//!
//! let library = Library::standard();
//! library.define("fn swoosh(x, beta = 1.5) = x * sigmoid(beta * x)")?;
//! let mut json = serde_json::Deserializer::from_str(r#"["swoosh(x) * gate", "swoosh(x, beta = 1) |> relu"]"#);
//! let layers = library.seed::<Vec<Expr>>().deserialize(&mut json)?;
//! assert_eq!(layers[0].to_string(), "swoosh(x) * gate");
//!
//! // The definition travels along.
//! let text = serde_json::to_string(&layers[0])?;
//! assert_eq!(serde_json::from_str::<Expr>(&text)?.to_string(), "swoosh(x) * gate");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For a type of one's own that holds several of them, implement [`FromDocument`] or give the seed to the field.

use crate::error::Error;
use crate::expr::{Expr, Program};
use crate::graph::Graph;
use crate::keras::{self, CustomObjects};
use crate::language;
use crate::library::Activation;
use crate::library::Library;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::ser::{self, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// What is read from a document with the functions of a library.
pub trait FromDocument: Sized {
    /// Reads one.
    fn from_document<'de, D: Deserializer<'de>>(library: &Library, deserializer: D) -> Result<Self, D::Error>;
}

/// Reads a `T` with the functions of a library. See the [module's documentation](self).
#[derive(Debug)]
pub struct Seed<'l, T> {
    library: &'l Library,
    read: PhantomData<fn() -> T>,
}

impl<T> Clone for Seed<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Seed<'_, T> {}

impl Library {
    /// For reading a `T` from a document with the functions of this library. See [`crate::document`].
    pub fn seed<T: FromDocument>(&self) -> Seed<'_, T> {
        Seed { library: self, read: PhantomData }
    }
}

impl<'de, T: FromDocument> DeserializeSeed<'de> for Seed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::from_document(self.library, deserializer)
    }
}

/// A config, `null` for `linear`.
impl FromDocument for Activation {
    fn from_document<'de, D: Deserializer<'de>>(library: &Library, deserializer: D) -> Result<Activation, D::Error> {
        let config = keras::read_config(deserializer)?;
        library.deserialize(&config, &CustomObjects::new()).map_err(de::Error::custom)
    }
}

/// A text of one expression.
impl FromDocument for Expr {
    fn from_document<'de, D: Deserializer<'de>>(library: &Library, deserializer: D) -> Result<Expr, D::Error> {
        deserializer.deserialize_str(Text { expected: "an expression", read: |text: &str| library.parse_expr(text) })
    }
}

/// A text of a program.
impl FromDocument for Program {
    fn from_document<'de, D: Deserializer<'de>>(library: &Library, deserializer: D) -> Result<Program, D::Error> {
        deserializer.deserialize_str(Text { expected: "a program", read: |text: &str| library.parse(text) })
    }
}

/// As by `Deserialize`: a graph calls no functions.
impl FromDocument for Graph {
    fn from_document<'de, D: Deserializer<'de>>(_: &Library, deserializer: D) -> Result<Graph, D::Error> {
        Graph::deserialize(deserializer)
    }
}

/// A list of them.
impl<T: FromDocument> FromDocument for Vec<T> {
    fn from_document<'de, D: Deserializer<'de>>(library: &Library, deserializer: D) -> Result<Vec<T>, D::Error> {
        struct Items<'l, T>(Seed<'l, T>);
        impl<'de, T: FromDocument> Visitor<'de> for Items<'_, T> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element_seed(self.0)? {
                    list.push(item);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Items(library.seed()))
    }
}

/// Reads a text.
struct Text<F> {
    expected: &'static str,
    read: F,
}

impl<T, F: FnOnce(&str) -> Result<T, Error>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the text of {}", self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(E::custom)
    }
}

/// The text, after the definitions of the functions that it calls and the standard library does not have.
fn write<'e, S: Serializer>(
    text: &dyn fmt::Display,
    roots: impl IntoIterator<Item = &'e Expr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let definitions = language::definitions(&language::called(roots)).map_err(|function| {
        let name = function.name();
        ser::Error::custom(format_args!(
            "it depends on several functions called `{name}`; give them names of their own to serialize it"
        ))
    })?;
    if definitions.is_empty() {
        return serializer.collect_str(text);
    }
    // Braces, so that the expression does not go on where the last definition ends.
    serializer.collect_str(&format_args!("{definitions}\n{{ {text} }}"))
}

/// As a config: a name, or a name and parameters. Unlike [`Library::serialize`] it holds every activation, whether or not
/// Keras can be told of it.
impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        keras::write_config(self).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

/// The text. See [`crate::document`].
impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(self, [self], serializer)
    }
}

/// The text. See [`crate::document`].
impl Serialize for Program {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outputs = self.outputs().iter().map(|(_, expr)| expr);
        write(self, self.bindings().iter().chain(outputs), serializer)
    }
}

macro_rules! with_the_standard_library {
    ($( $type:ty )*) => { $(
        /// With the functions of the standard library, and those that are defined in the document.
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                Library::standard().seed().deserialize(deserializer)
            }
        }
    )* };
}

with_the_standard_library! { Activation Expr Program }
