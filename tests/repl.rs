//! The REPL as its users meet it: the built binary, its output, its exit codes and its files.

#[path = "common/process.rs"]
mod process;

use fuselet::{BackendChoice, Dtype, Engine};
use npyz::{DType, NpyFile, Order, WriterBuilder};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The example. A plain `cargo test` builds it; `cargo test --test repl` takes the one that is there.
fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("tests have a path");
    let target = own.parent().and_then(Path::parent).expect("tests lie in target/PROFILE/deps");
    target.join("examples").join(format!("repl{}", std::env::consts::EXE_SUFFIX))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = process::built(&binary());
    command.args(arguments).env_remove("FUSELET_BACKEND").env_remove("FUSELET_ISA").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("build it first: `cargo build --release --example repl`")
}

/// Standard output of a command that succeeds without a word of complaint.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a command that fails and prints nothing else.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(!output.status.success(), "{arguments:?} succeeded: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?} printed: {output:?}");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    message
}

fn piped(input: &str) -> Output {
    let mut child = command(&[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("build it first: `cargo build --release --example repl`");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A directory of one test's own, gone when the test is.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("fuselet-repl-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn save<T: npyz::Serialize + Copy>(path: &str, descr: &str, order: Order, shape: &[u64], data: &[T]) {
    let mut writer = npyz::WriteOptions::new()
        .dtype(DType::Plain(descr.parse().unwrap()))
        .order(order)
        .shape(shape)
        .writer(fs::File::create(path).unwrap())
        .begin_nd()
        .unwrap();
    writer.extend(data.iter().copied()).unwrap();
    writer.finish().unwrap();
}

/// dtype, order, shape and elements as they lie in the file.
fn load<T: npyz::Deserialize>(path: &str) -> (String, Order, Vec<u64>, Vec<T>) {
    let file = NpyFile::new(fs::File::open(path).unwrap()).unwrap();
    let (dtype, order, shape) = (file.dtype().descr(), file.order(), file.shape().to_vec());
    (dtype, order, shape, file.into_vec().unwrap())
}

/// A file as NumPy writes it, byte for byte.
fn numpy_file(path: &str, descr: &str, shape: &str, elements: &[u8]) {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{text:117}\n").bytes());
    bytes.extend(elements);
    fs::write(path, bytes).unwrap();
}

fn backends() -> Vec<&'static str> {
    let all = BackendChoice::NAMES.into_iter();
    let mut names: Vec<&str> =
        all.filter(|(_, choice)| Engine::builder().backend(*choice).build().is_ok()).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert!(names.contains(&"interpreter"));
    names
}

const FIRST: &str = "x * 2 + 1 |> gelu |> relu(max_value = 6)";

#[test]
fn the_first_command_prints_the_right_numbers() {
    let text = printed(&["eval", FIRST, "--input", "x=[-2,-1,0,1,2]"]);
    assert_eq!(text, "[0, 0, 0.8413447, 2.9959502, 4.9999986]\n");
}

#[test]
fn the_reference_computes_definitions_in_float64() {
    let text = printed(&["eval", "silu(x)", "--input", "x=[1, -1]", "--backend", "reference"]);
    assert_eq!(text, "[0.7310585786300049, -0.2689414213699951]\n");
}

#[test]
fn every_backend_writes_the_same_bytes_fused_or_not() {
    let directory = Directory::new("backends");
    let x = directory.path("x.npy");
    let data: Vec<f32> = (0..1003).map(|index| (index as f32 - 500.0) * 0.037).collect();
    save(&x, "<f4", Order::C, &[17, 59], &data);
    let expression = "{ y = gelu(x * scale + 1) |> softmax, z = mish(x) * tanh(x) }";
    let mut first: Option<(Vec<u8>, Vec<u8>)> = None;
    for backend in backends() {
        for fusion in [&[][..], &["--unfused"], &["--threads", "1"]] {
            let (y, z) = (directory.path("y.npy"), directory.path("z.npy"));
            let (x, y_file, z_file) = (format!("x={x}"), format!("y={y}"), format!("z={z}"));
            let mut arguments = vec!["eval", expression, "--input", &x, "--input", "scale=1.5", "--backend", backend];
            arguments.extend(["--output", &y_file, "--output", &z_file]);
            arguments.extend(fusion);
            assert_eq!(printed(&arguments), "");
            let bytes = (fs::read(y).unwrap(), fs::read(z).unwrap());
            let expected = first.get_or_insert_with(|| bytes.clone());
            assert!(*expected == bytes, "{backend} {fusion:?} differs");
        }
    }
}

#[test]
fn a_float32_file_comes_back_bit_for_bit() {
    let directory = Directory::new("f32");
    let (x, y) = (directory.path("x.npy"), directory.path("y.npy"));
    let data = [0.0f32, -0.0, 1e-45, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NEG_INFINITY, 0.1];
    for shape in [&[8u64][..], &[2, 4], &[2, 1, 2, 1, 2, 1, 1, 1]] {
        save(&x, "<f4", Order::C, shape, &data);
        printed(&["eval", "linear(x)", "--input", &format!("x={x}"), "--output", &y]);
        let bits = |path: &str| {
            let (dtype, order, shape, data) = load::<f32>(path);
            (dtype, order, shape, data.iter().map(|number| number.to_bits()).collect::<Vec<u32>>())
        };
        assert_eq!(bits(&y), bits(&x), "{shape:?}");
    }
}

#[test]
fn float64_files_are_computed_in_float64_and_literals_with_them() {
    let directory = Directory::new("f64");
    let (x, y) = (directory.path("x.npy"), directory.path("y.npy"));
    let data = [0.1f64, 1.0 / 3.0, 1e300, 5e-324];
    save(&x, "<f8", Order::C, &[2, 2], &data);
    printed(&["eval", "x * 3 + b", "--input", &format!("x={x}"), "--input", "b=0.1", "--output", &y]);
    let expected: Vec<f64> = data.iter().map(|number| number * 3.0 + 0.1).collect();
    assert_eq!(load::<f64>(&y), ("'<f8'".to_owned(), Order::C, vec![2, 2], expected));
}

/// Every dtype: its name, NumPy's description, elements lowest byte first, and how they are printed.
const DTYPES: &[(&str, &str, &[u8], &str)] = &[
    ("float64", "<f8", &[0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f, 1, 0, 0, 0, 0, 0, 0, 0], "[0.1, 5e-324]"),
    ("float32", "<f4", &[0xcd, 0xcc, 0xcc, 0x3d, 0, 0, 0x80, 0xff], "[0.1, -inf]"),
    (
        "float16",
        "<f2",
        &[0x66, 0x2e, 0xff, 0x7b, 0x01, 0x00, 0x00, 0x7e, 0x01, 0x3c],
        "[0.1, 65500, 6e-08, nan, 1.001]",
    ),
    ("bfloat16", "<V2", &[0xcd, 0x3d, 0x7f, 0x7f, 0x80, 0xff, 0x81, 0x3f], "[0.1, 3.39e+38, -inf, 1.01]"),
    ("int32", "<i4", &[0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0], "[-1, 65536]"),
    ("int16", "<i2", &[0xff, 0xff, 0, 0x80, 7, 0], "[-1, -32768, 7]"),
    ("int8", "|i1", &[0xff, 0x80, 7], "[-1, -128, 7]"),
    ("uint32", "<u4", &[0xff, 0xff, 0, 0, 0, 0, 1, 0], "[65535, 65536]"),
    ("uint16", "<u2", &[0xff, 0xff, 7, 0], "[65535, 7]"),
    ("uint8", "|u1", &[0xff, 0, 7], "[255, 0, 7]"),
    ("bool", "|b1", &[1, 0, 1], "[True, False, True]"),
];

#[test]
fn files_of_every_dtype_are_read_printed_and_written_as_numpy_does() {
    let directory = Directory::new("dtypes");
    let (x, y) = (directory.path("x.npy"), directory.path("y.npy"));
    let input = format!("x={x}");
    for (name, descr, elements, shown) in DTYPES {
        let dtype: Dtype = name.parse().unwrap();
        let count = elements.len() / dtype.size();
        numpy_file(&x, descr, &format!("({count},)"), elements);
        let out = format!("out={name}");
        assert_eq!(printed(&["eval", "x", "--input", &input, "--dtype", &out]), format!("{shown}\n"), "{name}");
        for backend in backends() {
            printed(&["eval", "x", "--input", &input, "--dtype", &out, "--output", &y, "--backend", backend]);
            assert!(fs::read(&y).unwrap() == fs::read(&x).unwrap(), "{name} by {backend}: {:?}", fs::read(&y));
        }
        // The other byte order is the same numbers.
        let turned: Vec<u8> = elements.chunks(dtype.size()).flat_map(|element| element.iter().rev().copied()).collect();
        numpy_file(&x, &descr.replace('<', ">"), &format!("({count},)"), &turned);
        assert_eq!(printed(&["eval", "x", "--input", &input, "--dtype", &out]), format!("{shown}\n"), "{name}");
        // Results that nobody gives a dtype are floats: the input's own, or float32.
        printed(&["eval", "x", "--input", &input, "--output", &y]);
        let header = fs::read(&y).unwrap();
        let expected = if dtype.is_float() { descr } else { "<f4" };
        assert!(String::from_utf8_lossy(&header).contains(&format!("'descr': '{expected}'")), "{name}");
    }
    assert_eq!(DTYPES.len(), Dtype::ALL.len());
}

#[test]
fn inputs_and_outputs_are_converted_to_the_dtypes_asked_for_rounded_once() {
    let directory = Directory::new("convert");
    let (x, y) = (directory.path("x.npy"), directory.path("y.npy"));
    // A literal is rounded from what is written: above the middle between two bfloat16, by less than float32 can tell.
    let literal = "x=[1.00390625000000001, 1.003906251, 300, -1.5, 0.5]";
    for (dtype, shown) in [
        ("bf16", "[1, 1.01, 300, -1.5, 0.5]"),
        ("f16", "[1.004, 1.004, 300, -1.5, 0.5]"),
        ("i8", "[1, 1, 127, -2, 0]"),
        ("u8", "[1, 1, 255, 0, 0]"),
        ("bool", "[1, 1, 1, 1, 1]"),
    ] {
        let given = format!("x={dtype}");
        assert_eq!(printed(&["eval", "x", "--input", literal, "--dtype", &given]), format!("{shown}\n"), "{dtype}");
        let reference = ["eval", "x", "--input", literal, "--dtype", &given, "--backend", "reference"];
        let wide = printed(&[&reference[..], &["--dtype", "out=f32"]].concat());
        let numbers = |text: &str| -> Vec<f32> {
            text.trim_matches(['[', ']', '\n']).split(", ").map(|number| number.parse().unwrap()).collect()
        };
        for (wide, shown) in numbers(&wide).iter().zip(numbers(shown)) {
            assert!((wide - shown).abs() <= 0.01 * shown.abs(), "{dtype}: {wide} and {shown}");
        }
    }
    save(&x, "<f4", Order::C, &[4], &[0.5f32, 1.0, 2.0, 1e6]);
    let input = format!("x={x}");
    let arguments = ["eval", "mask = x > 0.75, y = x * 3", "--input", &input];
    let dtypes = ["--dtype", "mask=bool", "--dtype", "y=u16", "--dtype=x=f16"];
    assert_eq!(
        printed(&[&arguments[..], &dtypes].concat()),
        "mask = [False, True, True, True]\ny = [2, 3, 6, 65535]\n"
    );
    // Fortran order stays, whatever the dtype.
    save(&x, "<f4", Order::Fortran, &[2, 3], &[1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0]);
    printed(&["eval", "x", "--input", &input, "--dtype", "x=i16", "--dtype", "out=i8", "--output", &y]);
    assert_eq!(load::<i8>(&y), ("'|i1'".to_owned(), Order::Fortran, vec![2, 3], vec![1, 4, 2, 5, 3, 6]));
    assert_eq!(printed(&["eval", "x", "--input", &input, "--dtype", "out=i8"]), "[[1, 2, 3],\n [4, 5, 6]]\n");
}

#[test]
fn integers_of_64_bits_are_read_if_they_fit_and_a_note_says_so() {
    let directory = Directory::new("long");
    let x = directory.path("x.npy");
    let input = format!("x={x}");
    let cases: [(&str, Vec<u8>, &str, &str); 3] = [
        ("<i8", [-1i64, 1 << 20].map(i64::to_le_bytes).concat(), "int64", "[-1, 1048576]\n"),
        (">i8", [-1i64, 1 << 20].map(i64::to_be_bytes).concat(), "int64", "[-1, 1048576]\n"),
        ("<u8", [7u64, 1 << 31].map(u64::to_le_bytes).concat(), "uint64", "[7, 2147483648]\n"),
    ];
    for (descr, elements, name, shown) in cases {
        numpy_file(&x, descr, "(2,)", &elements);
        let output = run(&["eval", "x", "--input", &input, "--dtype", "out=f64"]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), shown, "{descr}");
        let note = String::from_utf8(output.stderr).unwrap();
        let narrow = name.replace("64", "32");
        assert_eq!(
            note,
            format!("note: {x} holds {name}; its numbers all fit into {narrow}, which they are read as\n")
        );
    }
    numpy_file(&x, "<u8", "(1,)", &(1u64 << 32).to_le_bytes());
    assert!(refused(&["eval", "x", "--input", &input]).contains("4294967296 is outside of uint32"));
}

#[test]
fn a_session_converts_and_explains_and_times_what_it_converts() {
    let output = piped(
        "x = [0.1, 0.3]\n:dtype x = bf16\n:dtype out=f64\n:dtype\nx\n:dtype out=i8\nx * 10\n:explain\n:lane\n:time 1000\n\
         :dtype x=\n:dtype out=\nx\n",
    );
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let start = "x          bfloat16\nout        float64\n[0.10009765625, 0.30078125]\n[1, 3]\n";
    assert!(text.starts_with(start) && text.ends_with("\n[0.1, 0.3]\n"), "{text}");
    for part in ["3 bytes an element", "x: contiguous bfloat16, out: contiguous int8   float32 ", "bytes/element"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let line = text.lines().find(|line| line.starts_with("fused ")).expect("a row of the table");
    assert_eq!(line.split_whitespace().nth(2), Some("3"), "{line}");
}

#[test]
fn explain_says_where_arrays_are_converted() {
    // Without values, and between kernels: what stands between them is of what is computed in.
    let text = printed(&["explain", "silu(g) * u", "--dtype", "g=bf16", "--dtype", "u=i8", "--dtype", "out=f16"]);
    assert!(text.contains("g: contiguous bfloat16, u: contiguous int8, out: contiguous float16   float32 "), "{text}");
    let text = printed(&["explain", "x + 1", "--dtype", "x=bf16", "--dtype", "out=f64"]);
    assert!(text.contains("x: contiguous bfloat16, out: contiguous   float64 "), "{text}");
}

#[test]
fn big_endian_files_are_read() {
    let directory = Directory::new("endian");
    let x = directory.path("x.npy");
    save(&x, ">f4", Order::C, &[3], &[1.5f32, -2.0, 3.25]);
    assert_eq!(printed(&["eval", "x + 1", "--input", &format!("x={x}")]), "[2.5, -1, 4.25]\n");
}

#[test]
fn headers_that_numpy_reads_are_read() {
    let directory = Directory::new("headers");
    let x = directory.path("x.npy");
    for header in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 3L), }",
        "{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(1,3)}",
        "{'shape':\t( 1,\n3 ), 'descr' : 'f4', 'fortran_order': False}\n",
    ] {
        for version in [1u8, 2, 3] {
            let mut bytes = b"\x93NUMPY".to_vec();
            bytes.extend([version, 0]);
            let length = (header.len() as u32).to_le_bytes();
            bytes.extend(if version == 1 { &length[..2] } else { &length[..] });
            bytes.extend(header.bytes());
            bytes.extend([1.5f32, -2.0, 3.25].iter().flat_map(|number| number.to_le_bytes()));
            fs::write(&x, &bytes).unwrap();
            assert_eq!(printed(&["eval", "x + 1", "--input", &format!("x={x}")]), "[[ 2.5,   -1, 4.25]]\n", "{header}");
        }
    }
}

#[test]
fn fortran_order_changes_no_element_and_stays_if_every_matrix_has_it() {
    let directory = Directory::new("fortran");
    let (f, c, y) = (directory.path("f.npy"), directory.path("c.npy"), directory.path("y.npy"));
    let (f_input, c_input) = (format!("f={f}"), format!("c={c}"));
    // The matrix 1 2 3 / 4 5 6, column by column and row by row.
    save(&f, "<f4", Order::Fortran, &[2, 3], &[1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0]);
    save(&c, "<f4", Order::C, &[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(printed(&["eval", "f * 1", "--input", &f_input]), "[[1, 2, 3],\n [4, 5, 6]]\n");
    let reference = printed(&["eval", "f * 1", "--input", &f_input, "--backend", "reference"]);
    assert_eq!(reference, "[[1, 2, 3],\n [4, 5, 6]]\n");

    printed(&["eval", "f + b", "--input", &f_input, "--input", "b=[10, 20, 30]", "--output", &y]);
    let expected = vec![11.0f32, 14.0, 22.0, 25.0, 33.0, 36.0];
    assert_eq!(load::<f32>(&y), ("'<f4'".to_owned(), Order::Fortran, vec![2, 3], expected));

    printed(&["eval", "f * 10 + c", "--input", &f_input, "--input", &c_input, "--output", &y]);
    let expected = vec![11.0f32, 22.0, 33.0, 44.0, 55.0, 66.0];
    assert_eq!(load::<f32>(&y), ("'<f4'".to_owned(), Order::C, vec![2, 3], expected));
}

#[test]
fn literals_have_any_rank_and_constant_elements() {
    assert_eq!(printed(&["eval", "x", "--input", "x=2.5"]), "2.5\n");
    assert_eq!(printed(&["eval", "x", "--input", "x=[]"]), "[]\n");
    assert_eq!(
        printed(&["eval", "x", "--input", "x=[1/4, -inf, nan, 0x1p-3, pow(2, 10),]"]),
        "[0.25, -inf, nan, 0.125, 1024]\n"
    );
    assert_eq!(printed(&["eval", "sum(x, 0)", "--input", "x=[[[1, 2]], [[3, 4]]]"]), "[[[4, 6]]]\n");
}

#[test]
fn arrays_print_as_numpy_prints_them() {
    let text = printed(&["eval", "x", "--input", "x=[1e-5, 123456789, 1e20, -0.0, 0.1]"]);
    assert_eq!(text, "[1e-05, 123456790, 1e+20, -0, 0.1]\n");
    let directory = Directory::new("print");
    let x = directory.path("x.npy");
    let data: Vec<f32> = (0..1001).map(|index| index as f32).collect();
    save(&x, "<f4", Order::C, &[1001], &data);
    assert_eq!(printed(&["eval", "x", "--input", &format!("x={x}")]), "[0, 1, 2, ..., 998, 999, 1000]\n");
    save(&x, "<f4", Order::C, &[7, 143], &data);
    let text = printed(&["eval", "x", "--input", &format!("x={x}")]);
    assert!(text.starts_with("[[   0,    1,    2, ...,  140,  141,  142],\n"), "{text}");
    assert_eq!((text.lines().count(), text.lines().nth(3)), (7, Some(" ...,")));
}

#[test]
fn several_outputs_print_with_their_names_or_go_to_their_files() {
    let directory = Directory::new("outputs");
    let z = directory.path("z.npy");
    let text = printed(&["eval", "y = x + 1, z = x * 2", "--input", "x=[1, 2]"]);
    assert_eq!(text, "y = [2, 3]\nz = [2, 4]\n");
    let arguments = ["eval", "y = x + 1, z = x * 2", "--input", "x=[1, 2]", "--output", &format!("z={z}")];
    assert_eq!(printed(&arguments), "y = [2, 3]\n");
    assert_eq!(load::<f32>(&z).3, [2.0, 4.0]);
}

#[test]
fn an_unknown_function_is_pointed_at() {
    let message = refused(&["eval", "1 + gelou(x)", "--input", "x=[1]"]);
    let expected = "error: unknown function `gelou`\n  │ 1 + gelou(x)\n  │     ^^^^^ did you mean `gelu`?\n";
    assert_eq!(message, expected);
}

#[test]
fn every_mistake_is_one_clear_message_and_writes_nothing() {
    let directory = Directory::new("errors");
    let out = directory.path("out.npy");
    let [long, complex, short, text] = ["l.npy", "c.npy", "s.npy", "t.npy"].map(|name| directory.path(name));
    save(&long, "<i8", Order::C, &[2], &[1i64, 1 << 31]);
    numpy_file(&complex, "<c8", "(1,)", &[0; 8]);
    save(&short, "<f4", Order::C, &[4], &[1.0f32; 4]);
    let bytes = fs::read(&short).unwrap();
    fs::write(&short, &bytes[..bytes.len() - 1]).unwrap();
    fs::write(&text, "no array").unwrap();
    let huge = directory.path("h.npy");
    save(&huge, "<f4", Order::C, &[1 << 20], &vec![0.0f32; 1 << 20]);
    let mut bytes = fs::read(&huge).unwrap();
    let at = bytes.windows(7).position(|window| window == b"1048576").unwrap();
    bytes[at..at + 7].copy_from_slice(b"9999999");
    fs::write(&huge, &bytes[..200]).unwrap();
    let before = directory.files();

    let given = |name: &str, value: &str| vec!["--input".to_owned(), format!("{name}={value}")];
    let dtype = |value: &str| vec!["--dtype".to_owned(), value.to_owned()];
    let cases: Vec<(&str, Vec<String>, &str)> = vec![
        ("x + bias", given("x", "[1]"), "input `bias` has no value; add `--input bias=FILE.npy`"),
        ("x", [given("x", "[1]"), given("y", "[2]")].concat(), "`y` is no input of the function, which takes `x`"),
        ("x", [given("x", "[1]"), given("x", "[2]")].concat(), "input `x` is given twice"),
        ("x", given("x", "absent.npy"), "cannot read absent.npy"),
        ("x", given("x", &long), "holds int64, and 2147483648 is outside of int32"),
        ("x", given("x", &complex), "holds complex64, not plain numbers"),
        ("x", [given("x", "[1]"), dtype("y=bf16")].concat(), "the expression's inputs are `x`, its outputs `out`"),
        ("x", [given("x", "[1]"), dtype("x=float8")].concat(), "there is no dtype `float8`; the dtypes are float64, "),
        ("x", [given("x", "[1]"), dtype("bf16")].concat(), "is not NAME=DTYPE: write `--dtype x=bf16`"),
        ("x", [given("x", "[1]"), dtype("x=f16"), dtype("x=bf16")].concat(), "`--dtype` for `x` is given twice"),
        ("x", given("x", &short), "needs 16 bytes after the header, but 15 are there"),
        ("x", given("x", &text), "is no .npy file"),
        ("x", given("x", &huge), "is cut off"),
        ("x + y", [given("x", "[1,2,3]"), given("y", "[1,2]")].concat(), "shapes [3] and [2] do not broadcast"),
        ("softmax(x, axis = 3)", given("x", "[1]"), "axis 3 is out of range"),
        ("x", given("x", "[[1, 2], [3]]"), "this list has length 1, the first one has 2"),
        ("x", given("x", "[1, two]"), "`two` is not a number"),
        ("x", given("x", "[1, 2"), "expected `,` or `]`"),
        ("x +", given("x", "[1]"), "expected an expression"),
        ("relu(x, max_value = -1)", given("x", "[1]"), "max_value must not be negative"),
    ];
    for (expression, inputs, expected) in cases {
        let mut arguments = vec!["eval", expression, "--output", &out];
        arguments.extend(inputs.iter().map(String::as_str));
        let message = refused(&arguments);
        assert!(message.starts_with("error: ") && message.contains(expected), "{expression}: {message}");
        assert_eq!(directory.files(), before, "{expression}");
    }
}

#[test]
fn if_one_of_several_files_cannot_be_written_none_is() {
    let directory = Directory::new("atomic");
    let (y, z) = (directory.path("y.npy"), directory.path("no-such-directory/z.npy"));
    fs::write(&y, "as it was").unwrap();
    let (y_file, z_file) = (format!("y={y}"), format!("z={z}"));
    let message = refused(&["eval", "y = x, z = x", "--input", "x=[1]", "--output", &y_file, "--output", &z_file]);
    assert!(message.contains("cannot write"), "{message}");
    assert_eq!(fs::read_to_string(&y).unwrap(), "as it was");
    assert_eq!(directory.files(), ["y.npy"]);
}

#[test]
fn wrong_command_lines_are_refused_with_what_to_write_instead() {
    let cases: &[(&[&str], &str)] = &[
        (&["evil", "x"], "there is no command `evil`"),
        (&["eval"], "`eval` needs an expression"),
        (&["eval", "x", "+", "1"], "is the expression in quotes?"),
        (&["eval", "1", "--inptu", "x=1"], "there is no option `--inptu`"),
        (&["eval", "x", "--input", "[1]"], "is not NAME=VALUE"),
        (&["eval", "1", "--backend", "gpu"], "auto, interpreter, cranelift, wide, reference"),
        (&["eval", "1", "--isa", "avx9"], "there is no instruction set `avx9`"),
        (&["eval", "1", "--threads", "0"], "is no number of threads"),
        (&["eval", "y = 1, z = 2", "--output", "a.npy"], "the expression has the outputs `y`, `z`"),
        (&["list", "--dtype", "x=f16"], "`--dtype` goes with `eval`, `explain` and a session"),
        (&["list", "--input", "x=1"], "`--input` goes with `eval` and `explain`"),
        (&["show", "gelou"], "gelu"),
    ];
    for (arguments, expected) in cases {
        let message = refused(arguments);
        assert!(message.starts_with("error: ") && message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn explain_prints_every_section_of_every_backend() {
    for backend in backends() {
        let text = printed(&["explain", "softmax(x * 2 + 0)", "--backend", backend]);
        let mut rest = text.as_str();
        for section in [
            "graph, ",
            "\nrewrites applied\n",
            "\nplan\n",
            "\nlane programs\n",
            "intermediate form\n",
            "machine code\n",
        ] {
            let at = rest.find(section).unwrap_or_else(|| panic!("{backend}: no {section:?} in order in {text}"));
            rest = &rest[at + section.len()..];
        }
        assert!(text.contains("1 kernel") && text.contains("kept in a row buffer"), "{text}");
        assert!(text.contains("  %0 = load "), "{text}");
        // Without the wide backend, on other machines say, the automatic choice is Cranelift.
        let wide = Engine::builder().backend(BackendChoice::Wide).build().is_ok();
        let cranelift = backend == "cranelift" || backend == "auto" && !wide;
        assert_eq!(text.contains("block0("), cranelift, "CLIF with {backend}: {text}");
        assert_eq!(text.contains("makes no machine code"), backend == "interpreter", "{backend}: {text}");
    }
}

#[test]
fn explain_follows_the_layout_of_its_inputs() {
    let text = printed(&["explain", "x + b", "--input", "x=[[1, 2], [3, 4]]", "--input", "b=2"]);
    assert!(text.contains("b: broadcast"), "{text}");
}

#[test]
fn list_and_show_know_the_library_and_definitions_of_ones_own() {
    let directory = Directory::new("definitions");
    let file = directory.path("own.fuse");
    fs::write(&file, "/// Swish with a slope.\nfn swoosh(x, beta = 1.5) = x * sigmoid(beta * x)\n").unwrap();
    let list = printed(&["list", "--definitions", &file]);
    assert!(list.contains("gelu(") && list.contains("softmax(") && list.contains("swoosh(x, beta = 1.5)"), "{list}");
    assert!(printed(&["show", "swish"]).contains("fn silu(x)"));
    assert_eq!(printed(&["eval", "swoosh(0)", "--definitions", &file]), "0\n");
    fs::write(&file, "fn broken(x) = y").unwrap();
    let message = refused(&["eval", "1", "--definitions", &file]);
    assert!(message.contains("unknown name `y`") && message.contains('^'), "{message}");
}

#[test]
fn a_pipe_gets_results_and_nothing_else() {
    let output = piped("gelu(1)\n");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "0.8413447\n");
}

#[test]
fn a_pipe_keeps_values_and_functions_from_line_to_line() {
    let output = piped(
        "# values, then a function over two lines\nx = [-2, -1, 0, 1, 2]\n\n:let scale = 2\n\
         fn twice(x, by = 2) = {\n  x * by }\ny = twice(x * scale, by = 0.5)\ny + 1 |>\n  relu\n:backend interpreter\ny",
    );
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let expected = "y = [-2, -1, 0, 1, 2]\n[0, 0, 1, 2, 3]\n[-2, -1, 0, 1, 2]\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn an_error_in_a_pipe_names_its_line_and_fails_at_the_end() {
    let output = piped("x = [1, 2]\nx + z\ngelou(x)\n:nonsense\nrelu([1])\nx + 1\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "[2, 3]\n");
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(messages.contains("error in line 2: input `z` has no value; write `z = ["), "{messages}");
    assert!(messages.contains("error in line 3: unknown function `gelou`\n  │ gelou(x)\n  │ ^^^^^"), "{messages}");
    assert!(messages.contains("error in line 4: there is no command `:nonsense`"), "{messages}");
    assert!(messages.contains("(an array needs a name: `x = ["), "{messages}");
}

#[test]
fn commands_of_the_session_answer() {
    let directory = Directory::new("session");
    let x = directory.path("x.npy");
    let script = format!(
        "x = [1, 2, 3]\nx * 2 + 1 |> gelu\n:explain\n:graph\n:plan\n:lane\n:asm\n:lane sqrt(x)\n:clif\n:vars\n:time 100\n\
         :plot gelu -3..3\n:save x {x}\nz = {x}\nz\n:quit\nnever(1)\n"
    );
    let output = piped(&script);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "graph    ",
        "plan     1 kernel, 1 pass · reads x, writes out · 8 bytes an element (unfused 24)",
        "lane     ",
        "pass ",
        "x          float32 [3]",
        "ns/element",
        "unfused",
        "gelu(x) for x from -3 to 3",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    assert!(text.ends_with("\n[1, 2, 3]\n"), "{text}");
}
