//! Elements of an array in memory, of any dtype.

use crate::npy_format::read_elements;
use fuselet::{Dtype, Element};
use half::{bf16, f16};
use std::io::{self, Read};

/// A number as an array stores it.
pub trait Stored: Element + Default + PartialEq {
    /// Exactly.
    fn to_f64(self) -> f64;
    /// What holds this number, which is one of the dtype.
    fn of_exact(number: f64) -> Self;
    /// From its bytes, lowest first.
    fn of_bytes(bytes: [u8; 8]) -> Self;
    /// Its bytes, lowest first, zeros behind.
    fn bytes(self) -> [u8; 8];
}

/// Bytes with zeros behind.
fn padded<const N: usize>(bytes: [u8; N]) -> [u8; 8] {
    let mut padded = [0; 8];
    padded[..N].copy_from_slice(&bytes);
    padded
}

/// The first bytes.
fn first<const N: usize>(bytes: [u8; 8]) -> [u8; N] {
    std::array::from_fn(|at| bytes[at])
}

macro_rules! plain_numbers {
    ($($type:ty),*) => { $(
        impl Stored for $type {
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn of_exact(number: f64) -> $type {
                number as $type
            }
            fn of_bytes(bytes: [u8; 8]) -> $type {
                <$type>::from_le_bytes(first(bytes))
            }
            fn bytes(self) -> [u8; 8] {
                padded(self.to_le_bytes())
            }
        }
    )* };
}
plain_numbers!(f64, f32, i32, i16, i8, u32, u16, u8);

macro_rules! halves {
    ($($type:ty),*) => { $(
        impl Stored for $type {
            fn to_f64(self) -> f64 {
                self.to_f64()
            }
            fn of_exact(number: f64) -> $type {
                <$type>::from_f32(number as f32)
            }
            fn of_bytes(bytes: [u8; 8]) -> $type {
                <$type>::from_le_bytes(first(bytes))
            }
            fn bytes(self) -> [u8; 8] {
                padded(self.to_le_bytes())
            }
        }
    )* };
}
halves!(f16, bf16);

impl Stored for bool {
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
    fn of_exact(number: f64) -> bool {
        number != 0.0
    }
    fn of_bytes(bytes: [u8; 8]) -> bool {
        bytes[0] != 0
    }
    fn bytes(self) -> [u8; 8] {
        padded([u8::from(self)])
    }
}

macro_rules! data {
    ($($dtype:ident: $type:ty;)*) => {
        /// The elements of an array.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Data {
            $($dtype(Vec<$type>)),*
        }

        impl Data {
            /// Their dtype.
            pub fn dtype(&self) -> Dtype {
                match self {
                    $(Data::$dtype(_) => Dtype::$dtype),*
                }
            }
        }

        $(impl From<Vec<$type>> for Data {
            fn from(elements: Vec<$type>) -> Data {
                Data::$dtype(elements)
            }
        })*

        /// A body for the vector of elements, whatever they are.
        macro_rules! with_elements {
            ($data:expr, $elements:ident => $body:expr) => {
                match $data {
                    $($crate::data::Data::$dtype($elements) => $body),*
                }
            };
        }

        /// A body for the type of a dtype's elements.
        macro_rules! with_type {
            ($of:expr, $stored:ident => $body:expr) => {
                match $of {
                    $(fuselet::Dtype::$dtype => {
                        type $stored = $type;
                        $body
                    })*
                    other => unreachable!("{other} has no elements here"),
                }
            };
        }
    };
}
data! {
    F64: f64;
    F32: f32;
    F16: f16;
    Bf16: bf16;
    I32: i32;
    I16: i16;
    I8: i8;
    U32: u32;
    U16: u16;
    U8: u8;
    Bool: bool;
}
#[allow(clippy::single_component_path_imports, reason = "a macro made by a macro has no path otherwise")]
pub(crate) use with_elements;

impl Data {
    /// How many they are.
    pub fn len(&self) -> usize {
        with_elements!(self, elements => elements.len())
    }

    /// So many zeros, if there is memory for them.
    pub fn zeros(dtype: Dtype, count: usize) -> Option<Data> {
        with_type!(dtype, S => zeros::<S>(count).map(Data::from))
    }

    /// Numbers, each rounded once as a kernel stores it; if there is memory for them.
    pub fn of_numbers(dtype: Dtype, numbers: impl ExactSizeIterator<Item = f64>) -> Option<Data> {
        with_type!(dtype, S => {
            let mut elements = Vec::<S>::new();
            elements.try_reserve_exact(numbers.len()).ok()?;
            elements.extend(numbers.map(|number| S::of_exact(dtype.round(number))));
            Some(elements.into())
        })
    }

    /// The same numbers in another dtype.
    pub fn converted(&self, dtype: Dtype) -> Option<Data> {
        with_elements!(self, elements => Data::of_numbers(dtype, elements.iter().map(|element| Stored::to_f64(*element))))
    }

    /// At most `count` elements as a file has them; fewer if the reader ends.
    pub fn read(dtype: Dtype, reader: &mut impl Read, count: u64, big_endian: bool) -> io::Result<Data> {
        with_type!(dtype, S => {
            read_elements(reader, count, |mut raw: [u8; size_of::<S>()]| {
                if big_endian {
                    raw.reverse();
                }
                S::of_bytes(padded(raw))
            })
            .map(Data::from)
        })
    }
}

fn zeros<S: Stored>(count: usize) -> Option<Vec<S>> {
    let mut elements = Vec::new();
    elements.try_reserve_exact(count).ok()?;
    elements.resize(count, S::default());
    Some(elements)
}
