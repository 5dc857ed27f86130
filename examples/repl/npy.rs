//! `.npy` files: read by what the examples share, written through `npyz`.
//!
//! A file is written under another name beside its own and renamed only when all files of a command are complete.

use crate::arrays::{Array, Data};
use crate::error::Error;
use crate::npy_format::{Header, HeaderError, Kind, read_elements};
use fuselet::{Dtype, MAX_RANK};
use npyz::{DType, Order, TypeStr, WriteOptions, WriterBuilder};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

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
    let dtype = match header.kind {
        Kind::F32 => Dtype::F32,
        Kind::F64 => Dtype::F64,
        other => return Err(Error::FileDtype { path: path.to_owned(), found: other.name().to_owned() }),
    };
    if header.shape.len() > MAX_RANK {
        return Err(Error::FileRank { path: path.to_owned(), rank: header.shape.len() });
    }
    let shape: Vec<usize> = header.shape.iter().map(|length| usize::try_from(*length).unwrap_or(usize::MAX)).collect();
    let count = fuselet::ir::shape::element_count(&shape)?;
    let size = header.kind.size() as u64;
    let cut_off = |expected: u64, found: u64| {
        let (path, shape) = (path.to_owned(), header.shape.clone());
        Error::Truncated { path, shape, dtype, expected, found }
    };
    let expected = (count as u64).checked_mul(size).ok_or_else(|| cut_off(u64::MAX, 0))?;
    let mut bytes = reader.take(expected);
    let big = header.big_endian;
    let data = match dtype {
        Dtype::F64 => {
            let convert = |raw| if big { f64::from_be_bytes(raw) } else { f64::from_le_bytes(raw) };
            read_elements(&mut bytes, count as u64, convert).map(Data::F64)
        }
        _ => {
            let convert = |raw| if big { f32::from_be_bytes(raw) } else { f32::from_le_bytes(raw) };
            read_elements(&mut bytes, count as u64, convert).map(Data::F32)
        }
    };
    let data = data.map_err(failed)?;
    let found = expected - bytes.limit();
    if found < expected {
        return Err(cut_off(expected, found));
    }
    Ok(Array::new(data, shape).ordered(header.column_major))
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
    let description = match array.dtype() {
        Dtype::F64 => "<f8",
        _ => "<f4",
    };
    let plain: TypeStr = description.parse().map_err(io::Error::other)?;
    let shape: Vec<u64> = array.shape.iter().map(|length| *length as u64).collect();
    let order = if array.is_column_major() { Order::Fortran } else { Order::C };
    let mut writer = WriteOptions::new_header_only()
        .dtype(DType::Plain(plain))
        .shape(&shape)
        .order(order)
        .writer(BufWriter::with_capacity(CHUNK, file))
        .write_header_only()?;
    match &array.data {
        Data::F32(data) => write_elements(&mut writer, data, |element| element.to_le_bytes())?,
        Data::F64(data) => write_elements(&mut writer, data, |element| element.to_le_bytes())?,
    }
    writer.flush()
}

fn write_elements<T: Copy, const N: usize>(
    writer: &mut impl Write,
    data: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK);
    for part in data.chunks(CHUNK / N) {
        buffer.clear();
        buffer.extend(part.iter().flat_map(|element| bytes(*element)));
        writer.write_all(&buffer)?;
    }
    Ok(())
}
