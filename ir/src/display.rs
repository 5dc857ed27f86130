//! Errors that are shown by `Debug` as by `Display`: what `main` or `unwrap` print of an error is for people.

/// `Debug` that prints what `Display` prints.
macro_rules! debug_as_displayed {
    ($( $type:ty ),*) => { $(
        /// As it is displayed: what `main` prints of an error it returns is for people.
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }
    )* };
}

pub(crate) use debug_as_displayed;
