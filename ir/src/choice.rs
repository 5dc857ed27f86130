//! Choices by name: what `Display` and `FromStr` of an enum of choices do, and the error of an unknown name.

use crate::display::debug_as_displayed;
use crate::nearest::{nearest, suggestion};
use thiserror::Error;

/// A name that none of the choices has.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("there is no {what} called `{name}`{}", suggestion(nearest))]
pub struct UnknownName {
    /// What should have been named.
    pub what: &'static str,
    /// The name, or its beginning.
    pub name: String,
    /// A known name near to it.
    pub nearest: Option<String>,
}

/// The choice of a name.
pub(crate) fn find<T: Copy>(
    what: &'static str,
    choices: impl Iterator<Item = T> + Clone,
    name_of: fn(T) -> &'static str,
    name: &str,
) -> Result<T, UnknownName> {
    choices.clone().find(|choice| name_of(*choice) == name).ok_or_else(|| {
        let nearest = nearest(name, choices.map(name_of));
        UnknownName { what, name: name.chars().take(80).collect(), nearest }
    })
}

/// `Display` and `FromStr` by the name of each choice; `ALL` and `name` for enums that have none of their own.
macro_rules! choices {
    ($what:literal, $type:ident, $choices:expr) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::choice::UnknownName;
            fn from_str(name: &str) -> Result<$type, Self::Err> {
                $crate::choice::find($what, $choices, $type::name, name)
            }
        }
    };
    ($what:literal, $type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// Every choice.
            pub const ALL: &[$type] = &[$($type::$variant),*];

            /// Its name, as `Display` prints it and `FromStr` reads it.
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name),* }
            }
        }

        $crate::choice::choices!($what, $type, $type::ALL.iter().copied());
    };
}

pub(crate) use choices;

debug_as_displayed!(UnknownName);
