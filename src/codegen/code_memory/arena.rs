//! Who has which pages: blocks are given out of mappings, best fit first, and taken back.
//!
//! There is one arena for the process, behind a lock that is held while pages are filled. A block is whole pages. Free
//! ranges are known by address, so that neighbours join, and by length, so that the shortest that fits is found at once.

use super::error::CodeMemoryError;
use super::pages::{Mapping, page_bytes};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a mapping, but for code that is longer: 150 000 functions of a page each are 600 mappings.
const MAPPING_BYTES: usize = 1 << 20;

static ARENA: Mutex<Arena> = Mutex::new(Arena { mappings: BTreeMap::new(), free: FreeRanges::new() });

fn arena() -> MutexGuard<'static, Arena> {
    // Nothing between a lock and its end panics but for want of memory for the tables, which are whole then.
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Pages that hold code, until it is dropped.
pub(super) struct Block {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block is read and run by anyone, and written by nobody.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    pub(super) fn start(&self) -> *const u8 {
        self.start.as_ptr()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        arena().take_back(self.start.as_ptr() as usize, self.bytes);
    }
}

/// Puts bytes into pages of their own and makes them executable.
///
/// # Errors
/// Where the system gives no memory, or does not let it be executed.
pub(super) fn publish(bytes: &[u8]) -> Result<Block, CodeMemoryError> {
    let needed = bytes.len().next_multiple_of(page_bytes());
    let mut arena = arena();
    let start = arena.reserve(needed)?;
    let filled = match arena.mapping_of(start) {
        // SAFETY: the pages were free until now, so no code in them is alive.
        Some((first, known)) => unsafe { known.mapping.fill(start - first, bytes) },
        None => Err(CodeMemoryError::Refused("pages without a mapping".to_owned())),
    };
    match filled {
        Ok(start) => Ok(Block { start, bytes: needed }),
        Err(error) => {
            arena.take_back(start, needed);
            Err(error)
        }
    }
}

struct Arena {
    /// By their first address.
    mappings: BTreeMap<usize, KnownMapping>,
    free: FreeRanges,
}

struct KnownMapping {
    mapping: Mapping,
    /// Bytes of its blocks.
    used: usize,
}

// SAFETY: a mapping is memory of the process, which any thread may protect, fill and give back.
unsafe impl Send for KnownMapping {}

impl Arena {
    /// The mapping an address lies in, with the mapping's first address.
    fn mapping_of(&mut self, address: usize) -> Option<(usize, &mut KnownMapping)> {
        self.mappings.range_mut(..=address).next_back().map(|(first, known)| (*first, known))
    }

    /// Takes so many bytes, whole pages, out of a free range; says where.
    fn reserve(&mut self, bytes: usize) -> Result<usize, CodeMemoryError> {
        if self.free.shortest(bytes).is_none() {
            let mapping = Mapping::new(bytes.max(MAPPING_BYTES))?;
            let (start, length) = (mapping.start(), mapping.bytes());
            self.mappings.insert(start, KnownMapping { mapping, used: 0 });
            self.free.insert(start, length);
        }
        let Some((start, length)) = self.free.shortest(bytes) else {
            return Err(CodeMemoryError::Refused("a mapping is shorter than was asked for".to_owned()));
        };
        self.free.remove(start, length);
        if length > bytes {
            self.free.insert(start + bytes, length - bytes);
        }
        if let Some((_, known)) = self.mapping_of(start) {
            known.used += bytes;
        }
        Ok(start)
    }

    /// Takes pages back; gives their mapping back to the system if it holds nothing else.
    fn take_back(&mut self, start: usize, bytes: usize) {
        let Some((first, known)) = self.mapping_of(start) else { return };
        known.used -= bytes;
        let (end, empty) = (first + known.mapping.bytes(), known.used == 0);
        // Neighbours within the mapping join.
        let (mut from, mut to) = (start, start + bytes);
        if let Some((before, length)) = self.free.ending_at(from).filter(|(before, _)| *before >= first) {
            self.free.remove(before, length);
            from = before;
        }
        if to < end
            && let Some(length) = self.free.starting_at(to)
        {
            self.free.remove(to, length);
            to += length;
        }
        if empty {
            debug_assert_eq!((from, to), (first, end));
            self.mappings.remove(&first);
        } else {
            self.free.insert(from, to - from);
        }
    }
}

/// Free ranges of pages, by address and by length. None reaches over the end of a mapping.
struct FreeRanges {
    by_address: BTreeMap<usize, usize>,
    by_length: BTreeSet<(usize, usize)>,
}

impl FreeRanges {
    const fn new() -> FreeRanges {
        FreeRanges { by_address: BTreeMap::new(), by_length: BTreeSet::new() }
    }

    fn insert(&mut self, start: usize, length: usize) {
        self.by_address.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn remove(&mut self, start: usize, length: usize) {
        self.by_address.remove(&start);
        self.by_length.remove(&(length, start));
    }

    /// The shortest range of so many bytes at least, of equals the first: its start and its length.
    fn shortest(&self, bytes: usize) -> Option<(usize, usize)> {
        self.by_length.range((bytes, 0)..).next().map(|(length, start)| (*start, *length))
    }

    fn starting_at(&self, start: usize) -> Option<usize> {
        self.by_address.get(&start).copied()
    }

    fn ending_at(&self, end: usize) -> Option<(usize, usize)> {
        let (start, length) = self.by_address.range(..end).next_back()?;
        (start + length == end).then_some((*start, *length))
    }
}
