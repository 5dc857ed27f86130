//! Compiles and drops functions, and shows that resident memory stays flat.
//!
//! `cargo run --release --example memory -- [ROUNDS] [BACKEND]`: 100 000 rounds on the best backend unless told
//! otherwise. Every round compiles a function of its own, calls it and drops it; the engine's cache is small, so its
//! entries are dropped as well. Fails if memory has grown by more than [`ALLOWED_GROWTH`] since the first tenth of
//! the rounds, or if a round fell back to the interpreter unasked.

use fuselet::{BackendChoice, Engine};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A leak of one page a round would be 350 MiB in 90 000 rounds; of 16 bytes, 1.4 MiB.
const ALLOWED_GROWTH: usize = 1 << 20;

/// Resident memory in bytes, where the system says it.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    // The page size of every Linux this crate has a native backend for, but for some AArch64 kernels, where the figures
    // are too low by the same factor.
    Some(statm.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let backend = match arguments.next() {
        None => BackendChoice::Auto,
        Some(name) => BackendChoice::by_name(&name).ok_or(format!("there is no backend `{name}`"))?,
    };
    let fallen_back = Arc::new(AtomicUsize::new(0));
    let counter = fallen_back.clone();
    let engine = Engine::builder()
        .backend(backend)
        .threads(1)
        .code_cache_bytes(100_000)
        .on_event(move |event| {
            if event.is_warning() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()?;
    println!("{}: {rounds} rounds of compile, call and drop", engine.backend_name());
    let x = [-2.0f32, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let mut y = [0.0f32; 8];
    let mut settled = None;
    for round in 1..=rounds {
        // A constant of its own, so that no round finds the code of another in the cache.
        let function = engine.compile(format!("silu(x * {round}) + x"))?;
        function.call(&[("x", (&x).into())], &mut y)?;
        drop(function);
        if round % (rounds / 10).max(1) == 0 {
            let Some(bytes) = resident() else { continue };
            println!("{round:>8} rounds: {:>8} KiB resident", bytes >> 10);
            settled.get_or_insert(bytes);
        }
    }
    if fallen_back.load(Ordering::Relaxed) > 0 {
        println!("{} passes fell back to the interpreter", fallen_back.load(Ordering::Relaxed));
        return Ok(ExitCode::FAILURE);
    }
    match (settled, resident()) {
        (Some(settled), Some(now)) => {
            let growth = now.saturating_sub(settled);
            println!("grown by {} KiB since the first tenth; allowed are {} KiB", growth >> 10, ALLOWED_GROWTH >> 10);
            Ok(if growth > ALLOWED_GROWTH { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        _ => {
            println!("this system does not say how much memory is resident; nothing was checked");
            Ok(ExitCode::SUCCESS)
        }
    }
}
