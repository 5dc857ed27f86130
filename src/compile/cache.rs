//! The cache of compiled passes: bounded, and one compile a key however many threads ask at once.
//!
//! The key is what decides about code: the program and the operands' roles, dtypes and layouts, not their names. An entry
//! that is dropped is freed when the last function that uses its code is.

use super::Compiled;
use crate::array::Dtype;
use crate::lane::{LaneProgram, Layout, Pass, Role};
use lru::LruCache;
use rustc_hash::FxBuildHasher;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

#[derive(PartialEq, Eq, Hash)]
struct Key {
    program: LaneProgram,
    operands: Vec<(Role, Dtype, Layout)>,
}

type Entry = Arc<OnceLock<Compiled>>;
/// Keys are long, so a quick hash counts.
type Entries = LruCache<Key, Entry, FxBuildHasher>;

pub(crate) struct CodeCache {
    entries: Mutex<Entries>,
}

impl CodeCache {
    pub(crate) fn new(capacity: NonZeroUsize) -> CodeCache {
        CodeCache { entries: Mutex::new(LruCache::with_hasher(capacity, FxBuildHasher)) }
    }

    /// The code of a pass. Threads that ask for one key at once wait for one compile; other keys are not held up.
    pub(crate) fn get_or_compile(&self, pass: Pass, compile: impl FnOnce(&Arc<Pass>) -> Compiled) -> Compiled {
        let key = Key {
            program: pass.program.clone(),
            operands: pass.operands.iter().map(|operand| (operand.role, operand.dtype, operand.layout)).collect(),
        };
        let entry = self.lock().get_or_insert(key, Entry::default).clone();
        let pass = Arc::new(pass);
        let compiled = entry.get_or_init(|| compile(&pass));
        // The caller's own names, whoever compiled first.
        Compiled { pass, ..compiled.clone() }
    }

    pub(crate) fn usage(&self) -> (usize, usize) {
        let entries = self.lock();
        (entries.len(), entries.cap().get())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        // The map is whole between any two of its operations, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
