//! Code memory from outside: bytes come back, permissions are right, memory is given back.

use super::*;

fn code(bytes: Vec<u8>, alignment: usize) -> MachineCode {
    MachineCode { name: "test".to_owned(), bytes, alignment, outside_frame: 0, operands: 0, accumulates: false }
}

fn publish(bytes: usize) -> Executable {
    Executable::publish(&code(vec![0xc3; bytes], 16)).expect("this machine runs generated code")
}

#[test]
fn bytes_come_back_unchanged_at_the_alignment_asked_for() {
    for alignment in [0, 1, 16, 64, 4096] {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * 7) as u8).collect();
        let executable =
            Executable::publish(&code(bytes.clone(), alignment)).expect("this machine runs generated code");
        assert_eq!(executable.bytes(), bytes);
        assert_eq!(executable.address() % alignment.max(1), 0);
    }
}

#[test]
fn what_cannot_be_published_is_an_error() {
    let error = |code: &MachineCode| Executable::publish(code).map(|_| ()).unwrap_err();
    assert_eq!(error(&code(Vec::new(), 16)), CodeMemoryError::Empty);
    for alignment in [3, 48, 1 << 30, usize::MAX] {
        assert_eq!(error(&code(vec![0xc3], alignment)), CodeMemoryError::Alignment { alignment });
    }
    let codes = [code(vec![0xc3; 70], 16), code(Vec::new(), 16)];
    assert_eq!(Executable::publish_all(&codes).map(|_| ()), Err(CodeMemoryError::Empty));
}

#[test]
fn functions_published_together_stay_until_the_last_one_is_dropped() {
    let codes = [code(vec![0xc3; 70], 64), code(vec![0x90; 5000], 64), code(vec![0xcc; 1], 64)];
    let mut published = Executable::publish_all(&codes).expect("this machine runs generated code");
    for (executable, code) in published.iter().zip(&codes) {
        assert_eq!(executable.bytes(), code.bytes);
        assert_eq!(executable.address() % 64, 0);
    }
    let last = published.pop().expect("there are three");
    drop(published);
    assert_eq!(last.bytes(), codes[2].bytes);
}

#[test]
fn code_longer_than_a_mapping_has_one_of_its_own() {
    let bytes: Vec<u8> = (0..3_000_001u32).map(|i| (i * 13) as u8).collect();
    let executable = Executable::publish(&code(bytes.clone(), 64)).expect("this machine runs generated code");
    assert_eq!(executable.bytes(), bytes);
}

#[test]
fn code_can_be_made_used_and_freed_on_different_threads() {
    fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<Executable>();
    let executable = publish(64);
    std::thread::spawn(move || assert_eq!(executable.bytes().len(), 64)).join().expect("no panic");
}

/// Pages become writable and executable again right beside pages whose code is running all the time.
#[cfg(target_arch = "x86_64")]
#[test]
fn code_runs_while_its_neighbours_come_and_go() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let running = Executable::publish(&code(vec![0xc3], 16)).expect("this machine runs generated code");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // SAFETY: a single return, which looks at no argument.
                    unsafe { running.call(std::ptr::null(), 0, 0) };
                }
            });
        }
        let mut kept = Vec::new();
        for round in 0..3000 {
            let new = publish(1 + round * 37 % 9000);
            // SAFETY: returns, every byte of it.
            unsafe { new.call(std::ptr::null(), 0, 0) };
            kept.push(new);
            if round % 3 == 0 {
                kept.swap_remove(round * 7 % kept.len());
            }
        }
        assert!(kept.iter().all(|executable| executable.bytes().iter().all(|byte| *byte == 0xc3)));
        done.store(true, Ordering::Relaxed);
    });
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    /// The mappings of this process: where they are, and their permissions; whether they are of a file.
    fn mappings() -> Vec<(std::ops::Range<usize>, String, bool)> {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux has it");
        let parse = |line: &str| {
            // begin-end permissions offset device inode [path]
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (begin, end) = fields[0].split_once('-')?;
            let [begin, end] = [begin, end].map(|place| usize::from_str_radix(place, 16).expect("an address"));
            Some((begin..end, fields[1].to_owned(), fields.len() > 5))
        };
        maps.lines().filter_map(parse).collect()
    }

    /// Anonymous executable mappings of this process: how many, and their bytes.
    fn executable() -> (usize, usize) {
        let mappings = mappings();
        let code = mappings.iter().filter(|(_, permissions, file)| permissions.contains('x') && !file);
        code.fold((0, 0), |(count, bytes), (range, ..)| (count + 1, bytes + range.len()))
    }

    #[test]
    fn code_is_executable_and_not_writable() {
        let executable = publish(100);
        let found = mappings().into_iter().find(|(range, ..)| range.contains(&executable.address()));
        assert_eq!(found.map(|(_, permissions, _)| permissions).as_deref(), Some("r-xp"));
    }

    /// Other tests of this process hold a few pieces of code beside these; a leak would be 60 000 pages. A system allows
    /// 65 530 mappings, and one a function was too many.
    #[test]
    fn many_functions_take_few_mappings_and_give_them_back() {
        const FEW: usize = 300;
        let mut kept: Vec<Executable> = (0..20_000).map(|_| publish(100)).collect();
        let (count, bytes) = executable();
        assert!(count < FEW && bytes >= kept.len() * 4096, "{count} mappings, {bytes} bytes");
        // Half of them go, here and there; what comes then takes their places.
        let mut place = 0;
        kept.retain(|_| {
            place += 1;
            place % 2 == 0
        });
        kept.extend((0..10_000).map(|_| publish(100)));
        let (count, after) = executable();
        assert!(count < FEW && after < bytes + (4 << 20), "{count} mappings, {after} bytes after {bytes}");
        drop(kept);
        (0..20_000).for_each(|_| drop(publish(100)));
        let (count, bytes) = executable();
        assert!(count < FEW && bytes < 1000 * 4096, "{count} mappings, {bytes} bytes");
    }
}

#[cfg(all(feature = "perf", target_os = "linux"))]
#[test]
fn published_code_has_a_name_for_perf() {
    let mut named = code(vec![0xc3; 77], 16);
    named.name = "silu\nof x".to_owned();
    let executable = Executable::publish(&named).expect("this machine runs generated code");
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let map = std::fs::read_to_string(&path).expect("it was written");
    let line = format!("{:x} {:x} fuselet::silu of x", executable.address(), 77);
    assert!(map.lines().any(|known| known == line), "{line}\n{map}");
    std::fs::remove_file(path).expect("it is there");
}
