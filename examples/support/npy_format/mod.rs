//! The format of `.npy` files: whatever NumPy reads, as far as it holds plain numbers.
//!
//! [`Header::read`] takes all versions of the format and every spelling of a dtype and of a shape that NumPy takes, those of
//! Python 2 and of other writers too; [`read_numbers`] and [`read_elements`] take what follows. A header is hostile until
//! it is read: nothing is reserved that is not there. Shared by the examples that read arrays.

mod dtype;
mod header;
mod python;

pub use dtype::Kind;
pub use header::{Header, HeaderError};

use std::io::{self, Read};

/// Bytes read at once.
const CHUNK: usize = 1 << 18;

/// At most `count` elements of N bytes; fewer if the reader ends. Memory grows with what is there, not with what a header
/// claims.
pub fn read_elements<T, const N: usize>(
    reader: &mut impl Read,
    count: u64,
    convert: impl Fn([u8; N]) -> T,
) -> io::Result<Vec<T>> {
    let mut reader = reader.take(count.saturating_mul(N as u64));
    let mut data = Vec::new();
    let mut buffer = vec![0u8; CHUNK / N * N];
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let (whole, _) = buffer[..filled].as_chunks::<N>();
        data.try_reserve(whole.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        data.extend(whole.iter().map(|raw| convert(*raw)));
        if filled < buffer.len() {
            return Ok(data);
        }
    }
}

/// At most `count` elements of any kind as float64, converted; fewer if the reader ends. (Whole numbers above 2^53 round.)
#[allow(dead_code, reason = "an example that computes in the dtypes of its files has no use for it")]
pub fn read_numbers<T>(
    header: &Header,
    reader: &mut impl Read,
    count: u64,
    convert: impl Fn(f64) -> T,
) -> io::Result<Vec<T>> {
    let big = header.big_endian;
    macro_rules! number {
        ($number:ty) => {
            read_elements(reader, count, |raw| {
                let number = if big { <$number>::from_be_bytes(raw) } else { <$number>::from_le_bytes(raw) };
                convert(number as f64)
            })
        };
    }
    let bits = |raw| if big { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) };
    match header.kind {
        Kind::Bool => read_elements(reader, count, |[byte]| convert(f64::from(u8::from(byte != 0)))),
        Kind::I8 => number!(i8),
        Kind::I16 => number!(i16),
        Kind::I32 => number!(i32),
        Kind::I64 => number!(i64),
        Kind::U8 => number!(u8),
        Kind::U16 => number!(u16),
        Kind::U32 => number!(u32),
        Kind::U64 => number!(u64),
        Kind::F16 => read_elements(reader, count, |raw| convert(dtype::half(bits(raw)))),
        Kind::F32 => number!(f32),
        Kind::F64 => number!(f64),
        Kind::V2 => read_elements(reader, count, |raw| convert(f64::from(f32::from_bits(u32::from(bits(raw)) << 16)))),
    }
}
