//! What stands before the elements.

use super::dtype::{Kind, describe};
use super::python::{Literal, parse};
use std::io::{self, Read};
use thiserror::Error;

/// The longest header: NumPy's own limit. Only records need more.
const LONGEST: u32 = 10_000;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of numbers.
    pub kind: Kind,
    /// Whether each element's first byte is its highest.
    pub big_endian: bool,
    /// Whether the first axis runs fastest.
    pub column_major: bool,
    /// The lengths of the axes.
    pub shape: Vec<u64>,
}

/// Why there is no header to be had.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(io::Error),
    /// No `.npy` data.
    #[error("{0}")]
    NotNpy(String),
    /// Elements that are no plain numbers.
    #[error("elements are {0}, not plain numbers")]
    Dtype(String),
}

impl Header {
    /// Reads a header; elements follow.
    pub fn read(reader: &mut impl Read) -> Result<Header, HeaderError> {
        let mut start = [0u8; 8];
        fill(reader, &mut start)?;
        let [magic @ .., major, minor] = start;
        if magic != *MAGIC {
            return Err(not_npy("it does not begin as one"));
        }
        let length = match major {
            1 => {
                let mut length = [0u8; 2];
                fill(reader, &mut length)?;
                u32::from(u16::from_le_bytes(length))
            }
            2 | 3 => {
                let mut length = [0u8; 4];
                fill(reader, &mut length)?;
                u32::from_le_bytes(length)
            }
            _ => return Err(not_npy(&format!("version {major}.{minor} of the format is not known"))),
        };
        if length > LONGEST {
            return Err(not_npy(&format!("its header has {length} bytes, more than the {LONGEST} that are read")));
        }
        let mut bytes = vec![0u8; length as usize];
        fill(reader, &mut bytes)?;
        let text = match major {
            3 => String::from_utf8(bytes).map_err(|_| not_npy("its header is no UTF-8"))?,
            // Latin-1.
            _ => bytes.into_iter().map(char::from).collect(),
        };
        Header::parse(&text)
    }

    fn parse(text: &str) -> Result<Header, HeaderError> {
        let Literal::Dictionary(entries) = parse(text).map_err(HeaderError::NotNpy)? else {
            return Err(not_npy("its header is no dictionary"));
        };
        let (mut kind, mut column_major, mut shape) = (None, None, None);
        // As in Python the last of equal keys counts.
        for (key, value) in entries {
            let Literal::Text(key) = key else { return Err(not_npy("its header has a key that is no text")) };
            match (key.as_str(), value) {
                ("descr", Literal::Text(text)) => {
                    kind = Some(Kind::parse(&text).ok_or_else(|| HeaderError::Dtype(describe(&text)))?);
                }
                ("descr", Literal::List(_) | Literal::Tuple(_)) => {
                    return Err(HeaderError::Dtype("records".to_owned()));
                }
                ("descr", _) => return Err(not_npy("its header has a `descr` that is no text")),
                ("fortran_order", Literal::Bool(value)) => column_major = Some(value),
                ("fortran_order", _) => {
                    return Err(not_npy("its header has a `fortran_order` that is not True or False"));
                }
                ("shape", Literal::Tuple(lengths)) => {
                    let length = |literal| match literal {
                        Literal::Whole(length) => u64::try_from(length).ok(),
                        _ => None,
                    };
                    let lengths: Option<Vec<u64>> = lengths.into_iter().map(length).collect();
                    shape = Some(
                        lengths.ok_or_else(|| not_npy("its header has a shape with something else than lengths"))?,
                    );
                }
                ("shape", _) => return Err(not_npy("its header has a shape that is no tuple")),
                (other, _) => return Err(not_npy(&format!("its header has an unknown key `{}`", clip(other)))),
            }
        }
        match (kind, column_major, shape) {
            (Some((kind, big_endian)), Some(column_major), Some(shape)) => {
                Ok(Header { kind, big_endian, column_major, shape })
            }
            _ => Err(not_npy("its header lacks one of `descr`, `fortran_order` and `shape`")),
        }
    }
}

fn not_npy(reason: &str) -> HeaderError {
    HeaderError::NotNpy(reason.to_owned())
}

fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> Result<(), HeaderError> {
    reader.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => not_npy("it ends within its header"),
        _ => HeaderError::Io(error),
    })
}

/// The beginning of a text that may be of any length.
pub(super) fn clip(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
