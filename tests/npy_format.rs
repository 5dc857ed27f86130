//! The reader of `.npy` files that the examples share: whatever NumPy reads is read, and means what it means to NumPy.
//!
//! Headers and dtypes here were given to NumPy 2.4: it reads those that are read here, but for what says otherwise.

#[allow(dead_code)]
#[path = "../examples/support/npy_format/mod.rs"]
mod npy_format;

use npy_format::{Header, HeaderError, Kind, read_elements, read_numbers};
use proptest::prelude::*;

/// A file of a header, in a version of the format, and elements.
fn file(version: u8, header: &[u8], elements: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes()),
        _ => bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes()),
    }
    bytes.extend(header);
    bytes.extend(elements);
    bytes
}

fn header(text: &str) -> Result<Header, HeaderError> {
    Header::read(&mut file(1, text.as_bytes(), &[]).as_slice())
}

fn plain(shape: &[u64]) -> Header {
    Header { kind: Kind::F32, big_endian: false, column_major: false, shape: shape.to_vec() }
}

#[test]
fn headers_are_read_however_python_may_write_them() {
    for (text, shape) in [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n", &[2, 3][..]),
        // Python 2.
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }", &[2, 3]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2L,)}", &[2]),
        ("{u'descr': u'<f4', 'fortran_order': False, 'shape': (2,)}", &[2]),
        // Other writers.
        ("{'descr':'<f4','fortran_order':False,'shape':(2,3)}", &[2, 3]),
        ("{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}", &[2, 3]),
        ("  {\t'descr' : '<f4' ,\r\n 'fortran_order' : False ,\n\n'shape' : ( 2 ,\n3 , )\n}\n\n", &[2, 3]),
        ("{'descr': '<f4', # four bytes\n 'fortran_order': False, 'shape': (2, 3)} # the end", &[2, 3]),
        ("{'descr': '<' 'f4', 'fortran_order': False, 'shape': (2,)}", &[2]),
        ("{'descr': '''<f4''', 'fortran_order': False, 'shape': (2,)}", &[2]),
        ("{'descr': \"\"\"<f4\"\"\", 'fortran_order': False, 'shape': (2,)}", &[2]),
        ("{'descr': r'<f4', 'fortran_order': False, 'shape': (2,)}", &[2]),
        ("{'descr': '\\x3cf4', 'fortran_order': False, 'shape': (2,)}", &[2]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", &[]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': ( )}", &[]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5)}", &[0, 5]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0x10, 0o7, 0b11, 1_000, +1)}", &[16, 7, 3, 1000, 1]),
        ("({'descr': '<f4', 'fortran_order': False, 'shape': ((2), (3))})", &[2, 3]),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'descr': '<f4'}", &[2]),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615,)}", &[u64::MAX]),
    ] {
        assert_eq!(header(text).unwrap(), plain(shape), "{text}");
    }
    let columns = header("{'descr': '>f8', 'fortran_order': True, 'shape': (2L, 3L)}").unwrap();
    assert_eq!(columns, Header { kind: Kind::F64, big_endian: true, column_major: true, shape: vec![2, 3] });
}

#[test]
fn every_version_of_the_format_is_read() {
    let text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
    for version in [1, 2, 3] {
        assert_eq!(Header::read(&mut file(version, text, &[]).as_slice()).unwrap(), plain(&[2]));
    }
    // What is beyond ASCII: Latin-1 at first, then UTF-8.
    let comment = |bytes: &[u8]| [b"# ", bytes, b"\n", &text[..]].concat();
    for version in [1, 2] {
        assert!(Header::read(&mut file(version, &comment(b"\xe4"), &[]).as_slice()).is_ok());
    }
    assert!(Header::read(&mut file(3, &comment("ä".as_bytes()), &[]).as_slice()).is_ok());
    for version in [0, 4, 255] {
        let error = Header::read(&mut file(version, text, &[]).as_slice()).unwrap_err().to_string();
        assert!(error.contains(&format!("version {version}.0")), "{error}");
    }
}

#[test]
fn every_spelling_of_a_dtype_is_read() {
    for (kind, names) in [
        (Kind::Bool, "|b1 b1 <b1 ? |? bool bool_"),
        (Kind::I8, "|i1 i1 <i1 =i1 b int8 byte"),
        (Kind::I16, "<i2 =i2 |i2 i2 h <h int16 short"),
        (Kind::I32, "<i4 =i4 |i4 i4 i <i int32 intc"),
        (Kind::I64, "<i8 =i8 |i8 i8 l q p n <l <q int64 int int_ intp long longlong"),
        (Kind::U8, "|u1 u1 <u1 =u1 B uint8 ubyte"),
        (Kind::U16, "<u2 =u2 |u2 u2 H <H uint16 ushort"),
        (Kind::U32, "<u4 =u4 |u4 u4 I <I uint32 uintc"),
        (Kind::U64, "<u8 =u8 |u8 u8 L Q P N <L <Q uint64 uint uintp ulong ulonglong"),
        (Kind::F16, "<f2 =f2 |f2 f2 e <e float16 half"),
        (Kind::F32, "<f4 =f4 |f4 f4 f <f float32 single"),
        (Kind::F64, "<f8 =f8 |f8 f8 d <d float64 float double"),
        // How NumPy writes bfloat16, which it does not know.
        (Kind::V2, "|V2 V2 <V2"),
    ] {
        for name in names.split(' ') {
            // Their order of bytes is the machine's, and so is that of the elements that a test may have.
            let native = cfg!(target_endian = "big") && !name.starts_with('<') && kind.size() > 1;
            assert_eq!(Kind::parse(name), Some((kind, native)), "{name}");
        }
    }
    for (name, kind) in [
        (">f4", Kind::F32),
        (">f8", Kind::F64),
        (">d", Kind::F64),
        (">i4", Kind::I32),
        (">H", Kind::U16),
        (">f2", Kind::F16),
        (">u8", Kind::U64),
        (">q", Kind::I64),
    ] {
        assert_eq!(Kind::parse(name), Some((kind, true)), "{name}");
    }
    for name in [">b1", ">i1", ">u1", ">B"] {
        assert!(matches!(Kind::parse(name), Some((_, false))), "{name}: one byte has no order");
    }
    for name in ["", "<", "f", "x4", "f3", "F4", "Float32", "f44", "ff4", "<<f4", "<f4 ", "f4,", "2f4", "(2,)f4"] {
        assert_eq!(Kind::parse(name).is_some(), name == "f", "{name}");
    }
}

#[test]
fn what_is_no_array_of_plain_numbers_is_named() {
    let with = |dtype: &str| format!("{{'descr': {dtype}, 'fortran_order': False, 'shape': (2,)}}");
    for (text, part) in [
        (with("'<c8'"), "elements are complex64"),
        (with("'<f16'"), "elements are float128"),
        (with("'|O'"), "elements are Python objects"),
        (with("'<U5'"), "elements are texts"),
        (with("'|S3'"), "elements are texts"),
        (with("'<M8[ns]'"), "elements are dates"),
        (with("'|V7'"), "elements are the dtype `|V7`"),
        (with("'ä'"), "elements are the dtype"),
        (with("[('a', '<f4'), ('b', '<i4')]"), "elements are records"),
        (with("7"), "`descr` that is no text"),
        (with("'<f4"), "has 'f' where `,` or `}` is expected"),
        ("{'descr': '<f4".into(), "ends within a string"),
        (with("'\\q'"), "an escape"),
        (with("'\\xg1'"), "a broken escape"),
        ("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}".into(), "is not True or False"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2)}".into(), "a shape that is no tuple"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': [2]}".into(), "a shape that is no tuple"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}".into(), "something else than lengths"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2.5,)}".into(), "is expected"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (True,)}".into(), "something else than lengths"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}".into(), "something else"),
        ("{'descr': '<f4', 'fortran_order': False}".into(), "lacks one of"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}".into(), "an unknown key `x`"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} 1".into(), "the end of the header is expected"),
        ("{7: 1}".into(), "a key that is no text"),
        ("[1, 2]".into(), "no dictionary"),
        ("".into(), "ends where a Python literal is expected"),
        ("(".repeat(9000), "nested too deep"),
        ("{".repeat(9000), "nested too deep"),
    ] {
        let error = header(&text).unwrap_err().to_string();
        assert!(error.contains(part), "{}: {error}", &text[..text.len().min(80)]);
    }
    let long = "x".repeat(10_001);
    for (bytes, part) in [
        (file(2, long.as_bytes(), &[]), "has 10001 bytes"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff".to_vec(), "has 4294967295 bytes"),
        (b"\x93NUMPZ\x01\0\0\0".to_vec(), "does not begin as one"),
        (b"\x93NUM".to_vec(), "ends within its header"),
        (file(1, b"{'descr'", &[])[..14].to_vec(), "ends within its header"),
        (file(3, b"\xff", &[]), "no UTF-8"),
    ] {
        let error = Header::read(&mut bytes.as_slice()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn numbers_of_every_kind_are_converted() {
    let numbers = |name: &str, bytes: &[u8]| {
        let (kind, big_endian) = Kind::parse(name).unwrap();
        let header = Header { kind, big_endian, column_major: false, shape: Vec::new() };
        read_numbers(&header, &mut &*bytes, u64::MAX, |number| number).unwrap()
    };
    assert_eq!(numbers("b1", &[0, 1, 2]), [0.0, 1.0, 1.0]);
    assert_eq!(numbers("i1", &[0x80, 0x7f]), [-128.0, 127.0]);
    assert_eq!(numbers("u1", &[0x80, 0xff]), [128.0, 255.0]);
    assert_eq!(numbers("<i2", &[0x01, 0x80]), [-32767.0]);
    assert_eq!(numbers(">i2", &[0x80, 0x01]), [-32767.0]);
    assert_eq!(numbers(">u2", &[0x80, 0x01]), [32769.0]);
    assert_eq!(numbers("<u4", &[0xff; 4]), [4294967295.0]);
    assert_eq!(numbers(">i8", &[0xff; 8]), [-1.0]);
    assert_eq!(numbers("<u8", &[0xff; 8]), [18446744073709551615.0]);
    assert_eq!(numbers("<f4", &1.5f32.to_le_bytes()), [1.5]);
    assert_eq!(numbers(">f4", &1.5f32.to_be_bytes()), [1.5]);
    assert_eq!(numbers(">f8", &0.1f64.to_be_bytes()), [0.1]);
    // One, the largest, the smallest normal and subnormal one, −0, −inf.
    let halves = [0x3c00u16, 0x7bff, 0x0400, 0x0001, 0x8000, 0xfc00];
    let expected = [1.0, 65504.0, 2f64.powi(-14), 2f64.powi(-24), -0.0, f64::NEG_INFINITY];
    for (bits, expected) in halves.iter().zip(expected) {
        for (name, bytes) in [("<f2", bits.to_le_bytes()), (">f2", bits.to_be_bytes())] {
            assert_eq!(numbers(name, &bytes)[0].to_bits(), f64::to_bits(expected), "{name} {bits:x}");
        }
    }
    assert!(numbers("<f2", &[0x01, 0x7c])[0].is_nan());
    assert_eq!(numbers("<V2", &[0xc0, 0x3f, 0x80, 0xff]), [1.5, f64::NEG_INFINITY]);
}

#[test]
fn no_more_is_read_than_is_asked_for_and_no_more_reserved_than_is_there() {
    let bytes = [7u8; 1 << 20];
    for count in [0, 1, 5, 100_000, 262_143, 262_144, 262_145] {
        let mut reader = &bytes[..];
        let elements = read_elements(&mut reader, count, u32::from_le_bytes).unwrap();
        let there = count.min(1 << 18);
        assert_eq!((elements.len() as u64, reader.len() as u64), (there, (1 << 20) - there * 4));
    }
    // A broken element is none.
    assert_eq!(read_elements(&mut &bytes[..11], u64::MAX, u32::from_le_bytes).unwrap().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Headers with some bytes changed, which are refused or read, and never more than that.
    #[test]
    fn broken_headers_neither_panic_nor_hang(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        version in 1u8..4,
        length in any::<prop::sample::Index>(),
    ) {
        let mut text = b"{'descr': '<f\\x34', u\"fortran_order\": False, 'shape': (2L, 0x3, ), } # \n".to_vec();
        for (place, byte) in changes {
            let place = place.index(text.len());
            text[place] = byte;
        }
        text.truncate(length.index(text.len() * 3).min(text.len()));
        let _ = Header::read(&mut file(version, &text, &[]).as_slice());
    }
}
