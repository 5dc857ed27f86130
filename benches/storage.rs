//! Arrays of narrow dtypes beside float32: how much longer, or shorter, the same kernel takes where its arrays are float16, bfloat16 or int8.
//!
//! `cargo bench --bench storage` prints all tables, `-- cached` or `-- streaming` one of them. One thread, contenders in turns; a ratio is
//! of least times, that of medians beside it where the two differ. In cache conversions are what is added; out of it half the bytes are
//! what is saved.

mod common;

use common::timing::{Contender, ratio, take_turns};
use fuselet::{ArrayMut, ArrayRef, BackendChoice, Dtype, Engine, Function, Isa};
use std::time::Duration;

/// How long the contenders of one row of a table take turns.
fn budget() -> Duration {
    let benching = std::env::args().any(|argument| argument == "--bench");
    Duration::from_millis(if benching { 400 } else { 0 })
}

const DTYPES: [Dtype; 4] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I8];

/// A text with its inputs; those of the second list are one row.
type Kernel = (&'static str, &'static [&'static str], &'static [&'static str]);

const CACHED: [Kernel; 7] = [
    ("relu(x)", &["x"], &[]),
    ("silu(x)", &["x"], &[]),
    ("gelu(x)", &["x"], &[]),
    ("silu(g) * u", &["g", "u"], &[]),
    ("softmax(x)", &["x"], &[]),
    ("rms_norm(x) * w", &["x"], &["w"]),
    ("layer_norm(x) * w", &["x"], &["w"]),
];

const STREAMING: [Kernel; 4] = [
    ("relu(x)", &["x"], &[]),
    ("relu(x + b)", &["x"], &["b"]),
    ("silu(g) * u", &["g", "u"], &[]),
    ("rms_norm(x) * w", &["x"], &["w"]),
];

/// Arrays of one dtype, of numbers of everyday size.
struct Arrays {
    function: Function,
    dtype: Dtype,
    inputs: Vec<(&'static str, Vec<u8>, Vec<usize>)>,
    output: Vec<u8>,
    shape: Vec<usize>,
}

/// Bytes at the start of a cache line in a vector, so that no contender is luckier than another.
fn lined_up(bytes: &[u8]) -> usize {
    bytes.as_ptr().align_offset(64)
}

impl Arrays {
    fn new(engine: &Engine, (text, arrays, rows): Kernel, dtype: Dtype, shape: &[usize]) -> Arrays {
        let function = engine.compile(text).expect("the text is right");
        let all = arrays.iter().map(|name| (*name, shape.to_vec()));
        let inputs = all.chain(rows.iter().map(|name| (*name, vec![shape[shape.len() - 1]])));
        let inputs = inputs.map(|(name, shape)| (name, numbers(engine, dtype, &shape), shape)).collect();
        let output = vec![0; shape.iter().product::<usize>() * dtype.size() + 64];
        Arrays { function, dtype, inputs, output, shape: shape.to_vec() }
    }

    fn call(&mut self) {
        let Arrays { function, dtype, inputs, output, shape } = self;
        let views: Vec<(&str, ArrayRef<'_>)> = inputs
            .iter()
            .map(|(name, bytes, shape)| {
                let elements = &bytes[lined_up(bytes)..][..shape.iter().product::<usize>() * dtype.size()];
                (*name, ArrayRef::from_bytes(elements, *dtype, shape).expect("as many bytes as the shape says"))
            })
            .collect();
        let start = lined_up(output);
        let elements = &mut output[start..][..shape.iter().product::<usize>() * dtype.size()];
        let output = ArrayMut::from_bytes(elements, *dtype, shape).expect("as many bytes as the shape says");
        function.call(&views, output).expect("shapes fit");
    }
}

/// An array's bytes, and room to line them up.
fn numbers(engine: &Engine, dtype: Dtype, shape: &[usize]) -> Vec<u8> {
    let elements = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..elements).map(|at| (at * 2_654_435_761 % 1_000_003) as f32 / 1e5 - 5.0).collect();
    let mut bytes = vec![0; elements * dtype.size() + 64];
    let start = lined_up(&bytes);
    let written = ArrayMut::from_bytes(&mut bytes[start..][..elements * dtype.size()], dtype, shape);
    let view = ArrayRef::new(&values, shape).expect("as many values as the shape says");
    let convert = engine.compile("x").expect("the text is right");
    convert.call(&[("x", view)], written.expect("as many bytes as the shape says")).expect("shapes fit");
    bytes
}

fn table(engine: &Engine, title: &str, kernels: &[Kernel], shapes: &[&[usize]]) {
    println!(
        "\n## {title}, {}: ns per element in float32, and how many times longer others take\n",
        engine.backend_name()
    );
    let names: Vec<&str> = DTYPES.iter().map(|dtype| dtype.name()).collect();
    println!("| kernel | shape | {} |", names.join(" | "));
    println!("| --- | --- |{}", " --- |".repeat(names.len()));
    for kernel in kernels {
        for shape in shapes {
            let mut all: Vec<Arrays> = DTYPES.iter().map(|dtype| Arrays::new(engine, *kernel, *dtype, shape)).collect();
            let mut contenders: Vec<Contender<'_>> =
                all.iter_mut().map(|arrays| Contender::new(arrays.dtype.name(), move || arrays.call())).collect();
            take_turns(&mut contenders, budget());
            let elements = shape.iter().product::<usize>() as f64;
            let mut cells = vec![format!("{:.3}", contenders[0].least() / elements)];
            for contender in &contenders[1..] {
                let (least, median) = ratio(contender, &contenders[0]);
                let differ = (median / least - 1.0).abs() > 0.08;
                cells.push(if differ { format!("{least:.2} (~{median:.2})") } else { format!("{least:.2}") });
            }
            println!("| `{}` | {shape:?} | {} |", kernel.0, cells.join(" | "));
        }
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let benching = std::env::args().any(|argument| argument == "--bench");
    for isa in [Isa::Avx512, Isa::Avx2] {
        let Ok(engine) = Engine::builder().backend(BackendChoice::Wide).isa(isa).threads(1).build() else { continue };
        if is_wanted("cached") {
            table(&engine, "In cache", &CACHED, &[&[4096], &[128, 1024]]);
        }
        if is_wanted("streaming") {
            let rows = if benching { 4096 } else { 4 };
            table(&engine, "Out of cache", &STREAMING, &[&[rows, 4096]]);
        }
    }
}
