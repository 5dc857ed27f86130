//! `.npy` files, in bulk: headers through `npyz`, elements straight from bytes.
//!
//! A file is written under another name beside its own and renamed only when all files of a command are complete.

use crate::arrays::{Array, Data};
use crate::error::Error;
use fuselet::{Dtype, MAX_RANK};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr, WriteOptions, WriterBuilder};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes read or written at once.
const CHUNK: usize = 1 << 18;

/// The array of a file.
pub fn read(path: &Path) -> Result<Array, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let not_npy = |reason: String| Error::NotNpy { path: path.to_owned(), reason };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let mut reader = BufReader::with_capacity(CHUNK, file);
    let header = NpyHeader::from_reader(&mut reader).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => not_npy("it ends within its header".to_owned()),
        _ => not_npy(error.to_string()),
    })?;
    let (dtype, endianness) = dtype_of(&header.dtype())
        .ok_or_else(|| Error::FileDtype { path: path.to_owned(), found: name_of(&header.dtype()) })?;
    if header.shape().len() > MAX_RANK {
        return Err(Error::FileRank { path: path.to_owned(), rank: header.shape().len() });
    }
    let shape: Vec<usize> =
        header.shape().iter().map(|length| usize::try_from(*length).unwrap_or(usize::MAX)).collect();
    let count = fuselet::ir::shape::element_count(&shape)?;
    let cut_off = |expected: u64, found: u64| Error::Truncated {
        path: path.to_owned(),
        shape: header.shape().to_vec(),
        dtype,
        expected,
        found,
    };
    let expected = (count as u64).checked_mul(dtype.size() as u64).ok_or_else(|| cut_off(u64::MAX, 0))?;
    let mut bytes = reader.take(expected);
    let big = endianness == Endianness::Big;
    let data = match dtype {
        Dtype::F64 => elements(&mut bytes, |raw| if big { f64::from_be_bytes(raw) } else { f64::from_le_bytes(raw) })
            .map(Data::F64),
        _ => elements(&mut bytes, |raw| if big { f32::from_be_bytes(raw) } else { f32::from_le_bytes(raw) })
            .map(Data::F32),
    };
    let data = data.map_err(failed)?;
    let column_major = header.order() == Order::Fortran;
    let found = expected - bytes.limit();
    if found < expected {
        return Err(cut_off(expected, found));
    }
    Ok(Array::new(data, shape).ordered(column_major))
}

/// All elements of a reader. Memory grows with what is there, not with what a header claims.
fn elements<T, const N: usize>(reader: &mut impl Read, convert: impl Fn([u8; N]) -> T) -> io::Result<Vec<T>> {
    let mut data = Vec::new();
    let mut buffer = vec![0u8; CHUNK];
    loop {
        let mut filled = 0;
        while filled < CHUNK {
            match reader.read(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        let (whole, _) = buffer[..filled].as_chunks::<N>();
        data.try_reserve(whole.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        data.extend(whole.iter().map(|raw| convert(*raw)));
        if filled < CHUNK {
            return Ok(data);
        }
    }
}

fn dtype_of(dtype: &DType) -> Option<(Dtype, Endianness)> {
    let DType::Plain(plain) = dtype else { return None };
    match (plain.type_char(), plain.num_bytes()) {
        (TypeChar::Float, Some(4)) => Some((Dtype::F32, plain.endianness())),
        (TypeChar::Float, Some(8)) => Some((Dtype::F64, plain.endianness())),
        _ => None,
    }
}

/// A dtype as NumPy calls it.
fn name_of(dtype: &DType) -> String {
    let DType::Plain(plain) = dtype else { return "records".to_owned() };
    let bits = plain.size_field() * 8;
    match plain.type_char() {
        TypeChar::Bool => "bool".to_owned(),
        TypeChar::Int => format!("int{bits}"),
        TypeChar::Uint => format!("uint{bits}"),
        TypeChar::Float => format!("float{bits}"),
        TypeChar::Complex => format!("complex{bits}"),
        TypeChar::Object => "Python objects".to_owned(),
        _ => format!("dtype {plain}"),
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
