//! Names of published code for Linux `perf`: lines of `/tmp/perf-PID.map`, which it reads when it reports.
//!
//! A line says first address, length (both hexadecimal) and name. Code that was freed stays in the file; where its address is
//! used again, `perf` takes the last line.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// The file of a process; a child that was forked has one of its own.
static MAP: Mutex<Option<(u32, File)>> = Mutex::new(None);

/// Adds a function. What cannot be written is not: a profile without names is no reason to fail.
pub(super) fn add(address: usize, bytes: usize, name: &str) {
    let process = std::process::id();
    let mut map = MAP.lock().unwrap_or_else(PoisonError::into_inner);
    if map.as_ref().is_none_or(|(owner, _)| *owner != process) {
        let path = format!("/tmp/perf-{process}.map");
        *map = OpenOptions::new().create(true).append(true).open(path).ok().map(|file| (process, file));
    }
    if let Some((_, file)) = map.as_mut() {
        let name = name.replace(char::is_control, " ");
        // One write, so that lines of others who append to the file do not mix with it.
        let _ = file.write_all(format!("{address:x} {bytes:x} fuselet::{name}\n").as_bytes());
    }
}
