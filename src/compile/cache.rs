//! The cache of compiled passes: bounded in bytes, and one compile a key however many threads ask at once.
//!
//! The key is what decides about code: the program and the operands' roles, dtypes and layouts, not their names. What has not
//! been used longest leaves; the memory of an entry that left is freed when the last function that uses its code is.
//!
//! No lock is held while a pass is compiled, and none while memory is freed.

use super::compiled::Compiled;
use crate::array::Dtype;
use crate::lane::{Instruction, LaneProgram, Layout, Operand, Pass, Role};
use lru::LruCache;
use rustc_hash::FxBuildHasher;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How much the cache of compiled passes holds. See [`Engine::cache_usage`](crate::Engine::cache_usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CacheUsage {
    /// Compiled passes.
    pub passes: usize,
    /// Their bytes: code in whole pages, programs, and an estimate of what surrounds them.
    pub bytes: usize,
    /// The bytes it may hold.
    pub limit: usize,
}

/// Code is published in whole pages.
const PAGE: usize = 4096;
/// Bytes around a compiled pass, roughly: bookkeeping of pages, the entry itself.
const SURROUNDINGS: usize = 1024;

#[derive(PartialEq, Eq, Hash)]
struct Key {
    program: LaneProgram,
    operands: Vec<(Role, Dtype, Layout)>,
}

struct Slot {
    code: Arc<OnceLock<Compiled>>,
    /// What the slot counts; 0 until its code is there.
    bytes: usize,
}

struct Entries {
    /// Keys are long, so a quick hash counts.
    slots: LruCache<Arc<Key>, Slot, FxBuildHasher>,
    bytes: usize,
}

pub(crate) struct CodeCache {
    entries: Mutex<Entries>,
    limit: usize,
}

impl CodeCache {
    /// A cache of at most so many bytes.
    pub(crate) fn new(limit: usize) -> CodeCache {
        let slots = LruCache::unbounded_with_hasher(FxBuildHasher);
        CodeCache { entries: Mutex::new(Entries { slots, bytes: 0 }), limit }
    }

    /// The code of a pass. Threads that ask for one key at once wait for one compile; other keys are not held up.
    pub(crate) fn get_or_compile(&self, pass: Pass, compile: impl FnOnce(&Arc<Pass>) -> Compiled) -> Compiled {
        let key = Arc::new(Key {
            program: pass.program.clone(),
            operands: pass.operands.iter().map(|operand| (operand.role, operand.dtype, operand.layout)).collect(),
        });
        let empty = || Slot { code: Arc::default(), bytes: 0 };
        let code = self.lock().slots.get_or_insert(key.clone(), empty).code.clone();
        let pass = Arc::new(pass);
        let mut is_new = false;
        let compiled = code.get_or_init(|| {
            is_new = true;
            compile(&pass)
        });
        if is_new {
            self.count(&key, &code, bytes_of(compiled));
        }
        // The caller's own names, whoever compiled first.
        Compiled { pass, ..compiled.clone() }
    }

    /// Counts the bytes of code that has just been made, and lets the oldest go where they are too many.
    fn count(&self, key: &Arc<Key>, code: &Arc<OnceLock<Compiled>>, bytes: usize) {
        // Freed after the lock is.
        let mut left = Vec::new();
        let mut entries = self.lock();
        // It may have left already, and have been asked for again.
        if let Some(slot) = entries.slots.peek_mut(key).filter(|slot| Arc::ptr_eq(&slot.code, code)) {
            slot.bytes = bytes;
            entries.bytes += bytes;
        }
        while entries.bytes > self.limit {
            let Some((key, slot)) = entries.slots.pop_lru() else { break };
            entries.bytes -= slot.bytes;
            left.push((key, slot));
        }
        drop(entries);
    }

    pub(crate) fn usage(&self) -> CacheUsage {
        let entries = self.lock();
        CacheUsage { passes: entries.slots.len(), bytes: entries.bytes, limit: self.limit }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        // The map is whole between any two of its operations, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of memory that a compiled pass takes, roughly. Its program is there three times: in the key, in the pass, and in the
/// code, to be shown or to be interpreted.
fn bytes_of(compiled: &Compiled) -> usize {
    let pass = &compiled.pass;
    let program = pass.program.instructions.len() * size_of::<Instruction>()
        + pass.operands.iter().map(|operand| size_of::<Operand>() + operand.name.len()).sum::<usize>()
        + pass.name.len();
    compiled.code.code_size().next_multiple_of(PAGE) + 3 * program + SURROUNDINGS
}
