//! `.npy` files: read by what the examples share, written as NumPy writes them.
//!
//! Every storage dtype is read and written; bfloat16, which NumPy does not know, as its two bytes without a meaning (`<V2`), as
//! the Python package `ml_dtypes` spells it. 64-bit integers are read as 32-bit ones if they fit.
//!
//! A file is written under another name beside its own and renamed only when all files of a command are complete.

use crate::arrays::Array;
use crate::data::{Data, Stored, with_elements};
use crate::error::Error;
use crate::npy_format::{Header, HeaderError, Kind, read_elements};
use fuselet::{Dtype, MAX_RANK};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What a file begins with: its format's name and version.
const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\0";

/// Bytes read or written at once.
const CHUNK: usize = 1 << 18;

/// The array of a file.
pub fn read(path: &Path) -> Result<Array, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let mut reader = BufReader::with_capacity(CHUNK, file);
    let header = Header::read(&mut reader).map_err(|error| match error {
        HeaderError::Io(source) => failed(source),
        HeaderError::NotNpy(reason) => Error::NotNpy { path: path.to_owned(), reason },
        HeaderError::Dtype(found) => Error::FileDtype { path: path.to_owned(), found },
    })?;
    let (dtype, long) = dtype_of(header.kind);
    if header.shape.len() > MAX_RANK {
        return Err(Error::FileRank { path: path.to_owned(), rank: header.shape.len() });
    }
    let shape: Vec<usize> = header.shape.iter().map(|length| usize::try_from(*length).unwrap_or(usize::MAX)).collect();
    let count = fuselet::ir::shape::element_count(&shape)?;
    let size = header.kind.size() as u64;
    let cut_off = |expected: u64, found: u64| {
        let (path, shape) = (path.to_owned(), header.shape.clone());
        Error::Truncated { path, shape, dtype: header.kind.name(), expected, found }
    };
    let expected = (count as u64).checked_mul(size).ok_or_else(|| cut_off(u64::MAX, 0))?;
    let mut bytes = reader.take(expected);
    let count = count as u64;
    let data = if long {
        let integers = match header.kind {
            Kind::U64 => {
                read_elements(&mut bytes, count, |raw| i128::from(ordered(raw, header.big_endian, u64::from_le_bytes)))
            }
            _ => {
                read_elements(&mut bytes, count, |raw| i128::from(ordered(raw, header.big_endian, i64::from_le_bytes)))
            }
        };
        let integers = integers.map_err(failed)?;
        let found = header.kind.name();
        if let Some(outside) = integers.iter().find(|integer| dtype.round(**integer as f64) as i128 != **integer) {
            return Err(Error::LongInteger { path: path.to_owned(), found, dtype, outside: *outside });
        }
        writeln!(
            io::stderr(),
            "note: {} holds {found}; its numbers all fit into {dtype}, which they are read as",
            path.display()
        )?;
        let numbers = integers.iter().map(|integer| *integer as f64);
        Data::of_numbers(dtype, numbers).ok_or_else(|| Error::OutOfMemory { shape: shape.clone() })?
    } else {
        Data::read(dtype, &mut bytes, count, header.big_endian).map_err(failed)?
    };
    let found = expected - bytes.limit();
    if found < expected {
        return Err(cut_off(expected, found));
    }
    Ok(Array::new(data, shape).ordered(header.column_major))
}

/// The dtype that elements of a file are read as, and whether they are longer than it.
fn dtype_of(kind: Kind) -> (Dtype, bool) {
    let dtype = match kind {
        Kind::Bool => Dtype::Bool,
        Kind::I8 => Dtype::I8,
        Kind::I16 => Dtype::I16,
        Kind::I32 | Kind::I64 => Dtype::I32,
        Kind::U8 => Dtype::U8,
        Kind::U16 => Dtype::U16,
        Kind::U32 | Kind::U64 => Dtype::U32,
        Kind::F16 => Dtype::F16,
        Kind::F32 => Dtype::F32,
        Kind::F64 => Dtype::F64,
        Kind::V2 => Dtype::Bf16,
    };
    (dtype, matches!(kind, Kind::I64 | Kind::U64))
}

/// A number of its bytes in either order.
fn ordered<const N: usize, T>(mut bytes: [u8; N], big_endian: bool, number: impl Fn([u8; N]) -> T) -> T {
    if big_endian {
        bytes.reverse();
    }
    number(bytes)
}

/// What a header calls a dtype.
fn description(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::F64 => "<f8",
        Dtype::F16 => "<f2",
        Dtype::Bf16 => "<V2",
        Dtype::I32 => "<i4",
        Dtype::I16 => "<i2",
        Dtype::I8 => "|i1",
        Dtype::U32 => "<u4",
        Dtype::U16 => "<u2",
        Dtype::U8 => "|u1",
        Dtype::Bool => "|b1",
        _ => "<f4",
    }
}

/// Files written but not yet in their places. Dropping it removes them.
#[derive(Default)]
pub struct Pending {
    files: Vec<(PathBuf, PathBuf)>,
}

impl Pending {
    /// Writes an array beside `path`. (What is no file, a pipe or a device, is written at once.)
    pub fn add(&mut self, path: &Path, array: &Array) -> Result<(), Error> {
        let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
        // A link stays, and what it points to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(metadata) if !metadata.is_file() => {
                let device = File::options().write(true).open(&target).map_err(failed)?;
                return write(device, array).map_err(failed);
            }
            _ => {}
        }
        let name = target.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}-{}", std::process::id(), self.files.len()));
        let temporary = target.with_file_name(beside);
        let file = File::create_new(&temporary).map_err(failed)?;
        self.files.push((temporary, target));
        write(file, array).map_err(failed)
    }

    /// Puts all files in their places.
    pub fn commit(mut self) -> Result<(), Error> {
        while let Some((temporary, target)) = self.files.first() {
            fs::rename(temporary, target).map_err(|source| Error::File {
                action: "write",
                path: target.clone(),
                source,
            })?;
            self.files.remove(0);
        }
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        for (temporary, _) in &self.files {
            // Nothing more can be done about a file that stays.
            let _ = fs::remove_file(temporary);
        }
    }
}

fn write(file: File, array: &Array) -> io::Result<()> {
    let shape: Vec<u64> = array.shape.iter().map(|length| *length as u64).collect();
    let mut file = BufWriter::with_capacity(CHUNK, file);
    header(&mut file, array.dtype(), &shape, array.is_column_major())?;
    with_elements!(&array.data, elements => write_elements(&mut file, elements))?;
    file.flush()
}

/// A header of version 1.0.
fn header(out: &mut impl Write, dtype: Dtype, shape: &[u64], column_major: bool) -> io::Result<()> {
    /// Where elements begin, a multiple of this.
    const ALIGNMENT: usize = 64;
    let lengths: String = shape.iter().map(|length| format!("{length}, ")).collect();
    // NumPy's own spelling: a comma behind the only length, none behind the last of several.
    let lengths = if shape.len() == 1 { lengths.trim_end() } else { lengths.trim_end_matches(", ") };
    let order = if column_major { "True" } else { "False" };
    let text = format!("{{'descr': '{}', 'fortran_order': {order}, 'shape': ({lengths}), }}", description(dtype));
    let start = MAGIC.len() + 2;
    let length = (start + text.len() + 1).next_multiple_of(ALIGNMENT) - start;
    let short = u16::try_from(length).map_err(io::Error::other)?;
    out.write_all(MAGIC)?;
    out.write_all(&short.to_le_bytes())?;
    writeln!(out, "{text:width$}", width = length - 1)
}

fn write_elements<S: Stored>(out: &mut impl Write, elements: &[S]) -> io::Result<()> {
    elements.iter().try_for_each(|element| out.write_all(&element.bytes()[..size_of::<S>()]))
}
