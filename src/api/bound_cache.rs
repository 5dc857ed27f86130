//! The bound plans of a function, by all that binding depends on: dtypes, shapes, strides, and which outputs are the very
//! array of which inputs.
//!
//! There is one cache a function, bounded in bytes; what has not been used longest leaves. Threads look into a small table
//! of their own first, which takes one uncontended instruction; what is missing there comes from the shared cache, under a
//! lock.

use super::arrays::{Arrays, InPlace, Inputs};
use crate::array::{ArrayLayout, OwnedLayout};
use crate::exec::bound::BoundPlan;
use crate::exec::shard::Sharded;
use lru::LruCache;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Slots of a thread's table.
const SLOTS: usize = 32;

/// A bound plan, and what it is bound to.
pub(super) struct BoundCall {
    pub(super) inputs: SmallVec<[OwnedLayout; 4]>,
    pub(super) outputs: SmallVec<[OwnedLayout; 1]>,
    pub(super) in_place: InPlace,
    pub(super) plan: BoundPlan,
    /// Bytes it takes.
    bytes: usize,
    /// Whether it was used again since the cache last looked.
    used: AtomicBool,
}

/// What finds a bound call: a hash of all it is bound to, which is compared in full once found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(u64);

type Table = [Option<(Fingerprint, Arc<BoundCall>)>; SLOTS];

/// The bound plans of a function.
pub(super) struct BoundCache {
    tables: Sharded<Option<Box<Table>>>,
    shared: Mutex<Shared>,
    limit: usize,
}

struct Shared {
    calls: LruCache<Fingerprint, Arc<BoundCall>, FxBuildHasher>,
    bytes: usize,
}

impl Fingerprint {
    /// Of a call.
    #[inline]
    pub(super) fn of<I: Inputs + ?Sized>(arrays: &Arrays<'_, I>, in_place: &InPlace) -> Fingerprint {
        let mut hash = 0u64;
        for at in 0..arrays.inputs.count() {
            add_layout(&mut hash, &arrays.inputs.at(at).layout);
        }
        for output in arrays.outputs {
            add_layout(&mut hash, &output.layout);
        }
        for (output, input) in in_place {
            add(&mut hash, *output);
            add(&mut hash, *input);
        }
        Fingerprint(hash)
    }

    fn slot(self) -> usize {
        // The high bits are the mixed ones.
        (self.0 >> 59) as usize % SLOTS
    }
}

#[inline(always)]
fn add(hash: &mut u64, word: usize) {
    *hash = (hash.rotate_left(5) ^ word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
}

#[inline]
fn add_layout(hash: &mut u64, layout: &ArrayLayout<'_>) {
    let shape = layout.shape();
    add(hash, layout.dtype as usize + 16 * shape.len());
    shape.iter().for_each(|length| add(hash, *length));
    if let Some(strides) = layout.strides() {
        // As wide as a length; the sign is a bit of it.
        shape.iter().zip(strides).filter(|(n, _)| **n != 1).for_each(|(_, stride)| add(hash, stride.cast_unsigned()));
    }
}

impl BoundCall {
    /// A plan bound to the layouts of a call. (Made where it stays: moving it about took as long as finding its code.)
    pub(super) fn new<I: Inputs + ?Sized>(
        arrays: &Arrays<'_, I>,
        in_place: InPlace,
        plan: BoundPlan,
    ) -> Arc<BoundCall> {
        let inputs: SmallVec<[OwnedLayout; 4]> =
            (0..arrays.inputs.count()).map(|at| arrays.inputs.at(at).layout.to_owned()).collect();
        let outputs: SmallVec<[OwnedLayout; 1]> =
            arrays.outputs.iter().map(|output| output.layout.to_owned()).collect();
        let layouts = inputs.iter().chain(&outputs);
        let layouts: usize = layouts.map(|layout| layout.heap_bytes() + size_of::<OwnedLayout>()).sum();
        let bytes = size_of::<BoundCall>() + layouts + plan.heap_bytes();
        Arc::new(BoundCall { inputs, outputs, in_place, plan, bytes, used: AtomicBool::new(false) })
    }

    /// Whether a call has the layouts the plan is bound to.
    #[inline]
    pub(super) fn fits_layouts<I: Inputs + ?Sized>(&self, arrays: &Arrays<'_, I>) -> bool {
        self.inputs.len() == arrays.inputs.count()
            && self.outputs.len() == arrays.outputs.len()
            && self.inputs.iter().enumerate().all(|(at, own)| own.is(&arrays.inputs.at(at).layout))
            && self.outputs.iter().zip(arrays.outputs).all(|(own, output)| own.is(&output.layout))
    }

    fn fits<I: Inputs + ?Sized>(&self, arrays: &Arrays<'_, I>, in_place: &InPlace) -> bool {
        self.in_place == *in_place && self.fits_layouts(arrays)
    }
}

impl BoundCache {
    /// A cache of at most so many bytes.
    pub(super) fn new(limit: usize) -> BoundCache {
        let shared = Shared { calls: LruCache::unbounded_with_hasher(FxBuildHasher), bytes: 0 };
        BoundCache { tables: Sharded::default(), shared: Mutex::new(shared), limit }
    }

    /// Runs `body` with the bound call of these arrays, if it is known.
    #[inline]
    pub(super) fn with<I: Inputs + ?Sized, R>(
        &self,
        fingerprint: Fingerprint,
        arrays: &Arrays<'_, I>,
        in_place: &InPlace,
        body: impl FnOnce(&BoundCall) -> R,
    ) -> Option<R> {
        let mut table = self.tables.take();
        if let Some(table) = table.as_ref().and_then(|table| table.as_ref())
            && let Some((known, call)) = &table[fingerprint.slot()]
            && *known == fingerprint
            && call.fits(arrays, in_place)
        {
            if !call.used.load(Ordering::Relaxed) {
                call.used.store(true, Ordering::Relaxed);
            }
            return Some(body(call));
        }
        let call = self.shared().calls.get(&fingerprint).filter(|call| call.fits(arrays, in_place)).cloned()?;
        if let Some(table) = &mut table {
            table.get_or_insert_with(Default::default)[fingerprint.slot()] = Some((fingerprint, call.clone()));
        }
        drop(table);
        call.used.store(true, Ordering::Relaxed);
        Some(body(&call))
    }

    /// Keeps a bound call.
    pub(super) fn keep(&self, fingerprint: Fingerprint, call: &Arc<BoundCall>) {
        // Where it is all that could be kept, whatever else is known is of more use.
        if call.bytes > self.limit {
            return;
        }
        // Freed after the lock is.
        let mut freed: SmallVec<[(Fingerprint, Arc<BoundCall>); 4]> = SmallVec::new();
        let mut shared = self.shared();
        if let Some(before) = shared.calls.put(fingerprint, call.clone()) {
            shared.bytes -= before.bytes;
            freed.push((fingerprint, before));
        }
        shared.bytes += call.bytes;
        let mut left = shared.calls.len();
        while shared.bytes > self.limit && left > 0 {
            left -= 1;
            let Some((old, oldest)) = shared.calls.pop_lru() else { break };
            // Threads do not tell of every use: what one of them used meanwhile stays once more.
            if oldest.used.swap(false, Ordering::Relaxed) && left > 0 {
                shared.calls.put(old, oldest);
            } else {
                shared.bytes -= oldest.bytes;
                freed.push((old, oldest));
            }
        }
        drop(shared);
        // Threads let go of what left, but for one that runs meanwhile: it does so when it next needs the slot. (Nobody takes
        // what is no longer shared, so what is ours alone stays so.)
        if freed.iter().any(|(_, gone)| Arc::strong_count(gone) > 1) {
            for mut table in self.tables.take_all() {
                let Some(table) = table.as_mut() else { continue };
                for (gone, _) in &freed {
                    let slot = &mut table[gone.slot()];
                    if slot.as_ref().is_some_and(|(known, _)| known == gone) {
                        *slot = None;
                    }
                }
            }
        }
    }

    /// How many bound calls are kept, and their bytes.
    pub(super) fn usage(&self) -> (usize, usize) {
        let shared = self.shared();
        (shared.calls.len(), shared.bytes)
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        // Whole between any two operations, but for a panic of the allocator in between, which aborts.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
