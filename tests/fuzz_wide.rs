//! Random lane programs, small and huge, on random layouts: the wide backend gives the bits the lane ops mean.
//!
//! Each case grows from one number, its seed. `cargo test` runs the same seeds every time, and those that once failed
//! (`tests/fuzz_wide_seeds.txt`). To look for new ones, on every level of the machine in turn:
//!
//! ```text
//! FUSELET_FUZZ_SECONDS=3600 cargo test --release --test fuzz_wide -- --ignored --nocapture
//! ```
//!
//! A failing seed is printed and added to the file; `FUSELET_FUZZ_SEED=…` starts from a given one.
#![cfg(all(feature = "wide", target_arch = "x86_64"))]

#[allow(dead_code, unused_macros, reason = "the suite's own tests are run by `backends`")]
mod backend_suite;

use backend_suite::judge::{Case, Lay};
use backend_suite::random::{Choices, random_pass};
use backend_suite::values::Random;
use fuselet::codegen::Backend;
use fuselet::codegen::isa::Isa;
use fuselet::codegen::wide::Wide;
use fuselet::lane::{Layout, Role};
use std::io::Write as _;
use std::time::{Duration, Instant};

const SEEDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz_wide_seeds.txt");

fn backends() -> Vec<Wide> {
    Isa::available().filter_map(|isa| Wide::new(isa).ok()).collect()
}

/// The case of a seed: mostly small programs, now and then ones that spill everywhere.
fn case(seed: u64) -> Case {
    let mut random = Random(seed);
    let instructions = match random.below(64) {
        0 => random.below(6000),
        1..=6 => random.below(700),
        _ => random.below(120),
    };
    // Long ones are begun at an aligned address.
    let span = [random.below(20), random.below(150), random.below(700), random.below(2500)][random.below(4)];
    // Accumulators of many spans are combined together.
    let many = span < 200 && instructions < 120 && random.below(3) == 0;
    let choices = Choices {
        wide: random.below(2) == 0,
        seed: random.next(),
        instructions: (0..=instructions).map(|_| random.next()).collect(),
        span,
        outer: random.below(if many { 70 } else { 4 }),
    };
    let pass = random_pass(&choices, true);
    let size = pass.program.dtype.size() as isize;
    let strides = [2 * size, -size, size + 1, 0, 7 * size, -3 * size - 1];
    let turn = random.below(strides.len());
    let aligned_elements = random.below(3) > 0;
    let dense_accumulators = random.below(2) == 0;
    let lay = |operand: usize| {
        // A written element may not be another one of the same operand.
        let stride = match (strides[(operand + turn) % strides.len()], pass.operands[operand].role) {
            (0, Role::Write) => size,
            (stride, _) => stride,
        };
        let skew = if aligned_elements { (operand + turn) * 3 % 7 * size as usize } else { operand * 3 % 7 };
        let between = if aligned_elements { 8 * size } else { 8 * size + 1 };
        let outer_stride = match pass.operands[operand].role {
            Role::Accumulate if dense_accumulators => size,
            _ => between * (choices.span as isize + 1),
        };
        Lay { stride, outer_stride, skew }
    };
    let mut case = Case::new(&pass, choices.span, choices.outer, random.next(), lay);
    let mut free: Vec<usize> = (0..pass.operands.len())
        .filter(|operand| pass.operands[*operand].role == Role::Read)
        .filter(|operand| pass.operands[*operand].layout != Layout::Broadcast)
        .collect();
    for to in 0..pass.operands.len() {
        if pass.operands[to].role == Role::Write && random.below(3) == 0 {
            let found = free.iter().position(|from| {
                let distinct = pass.operands[*from].layout == Layout::Contiguous || case.views[*from].stride != 0;
                pass.operands[*from].layout == pass.operands[to].layout && distinct
            });
            if let Some(place) = found {
                case.put_in_place(to, free.swap_remove(place));
            }
        }
    }
    case
}

fn agrees(seed: u64, backends: &[Wide]) -> bool {
    let case = case(seed);
    backends.iter().all(|backend| {
        let check = || case.check(backend as &dyn Backend);
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok();
        if !passed {
            eprintln!("seed {seed} fails on {}", backend.name());
        }
        passed
    })
}

#[test]
fn random_programs_of_every_size_agree() {
    let backends = backends();
    let failing: Vec<u64> = (0..600).filter(|seed| !agrees(*seed, &backends)).collect();
    assert!(failing.is_empty(), "failing seeds: {failing:?}");
}

#[test]
fn seeds_that_failed_once_agree() {
    let backends = backends();
    let text = std::fs::read_to_string(SEEDS).expect("the file of seeds is part of the tests");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let seed = line.trim().parse().expect("a seed is a number");
        assert!(agrees(seed, &backends), "seed {seed} fails again");
    }
}

#[test]
#[ignore = "runs for FUSELET_FUZZ_SECONDS"]
fn fuzz_for_a_while() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(number("FUSELET_FUZZ_SECONDS").unwrap_or(60));
    let first = number("FUSELET_FUZZ_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        Random(now.as_nanos() as u64).next() >> 16
    });
    eprintln!("fuzzing from seed {first} for {} s", time.as_secs());
    let backends = backends();
    let start = Instant::now();
    let (mut seed, mut failing) = (first, Vec::new());
    while start.elapsed() < time {
        if !agrees(seed, &backends) {
            let mut file = std::fs::OpenOptions::new().append(true).open(SEEDS).expect("the file can be written");
            writeln!(file, "{seed}").expect("the file can be written");
            failing.push(seed);
        }
        seed += 1;
    }
    eprintln!("{} programs on {} levels", seed - first, backends.len());
    assert!(failing.is_empty(), "failing seeds: {failing:?}");
}
