//! Loads and stores of operands that store their elements otherwise than lanes are: one conversion an element.
//!
//! Kept apart from the loops over ops, so that dtypes multiply with nothing but layouts.

use crate::array::Dtype;
use crate::array::convert::{Computed, Stored, with_stored};
use crate::lane::{Lane, LaneBits, Layout};

/// A number of elements of an operand, from one of its tile's beginnings on.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    pub(super) dtype: Dtype,
    pub(super) layout: Layout,
    /// The first element.
    pub(super) operand: *mut u8,
    /// Bytes from one to the next; only where it is strided.
    pub(super) stride: isize,
    /// The lanes in scratch.
    pub(super) lanes: *mut u8,
    pub(super) count: usize,
}

/// Converts elements to lanes.
///
/// # Safety
/// The operand has `count` elements of its dtype as its layout says, valid for reads; there is room for as many lanes.
pub(super) unsafe fn load<L: Lane + Computed>(transfer: Transfer) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the host has the features; the rest is the caller's promise.
        return unsafe { load_avx2::<L>(transfer) };
    }
    // SAFETY: the caller's promise.
    unsafe { load_any::<L>(transfer) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn load_avx2<L: Lane + Computed>(transfer: Transfer) {
    // SAFETY: the caller's promise.
    unsafe { load_any::<L>(transfer) }
}

/// Converts lanes to elements; `uniform` if all are the first lane.
///
/// # Safety
/// There are `count` lanes, or one if they are uniform; the operand's elements are valid for writes.
pub(super) unsafe fn store<L: Lane + Computed>(transfer: Transfer, uniform: bool) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the host has the features; the rest is the caller's promise.
        return unsafe { store_avx2::<L>(transfer, uniform) };
    }
    // SAFETY: the caller's promise.
    unsafe { store_any::<L>(transfer, uniform) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn store_avx2<L: Lane + Computed>(transfer: Transfer, uniform: bool) {
    // SAFETY: the caller's promise.
    unsafe { store_any::<L>(transfer, uniform) }
}

/// Calls a loop with the step from one element to the next as a constant where it is one.
macro_rules! by_layout {
    ($transfer:ident, $S:ident, |$at:ident| $body:expr) => {{
        let size = size_of::<$S>() as isize;
        match $transfer.layout {
            Layout::Contiguous | Layout::NonTemporal => {
                for $at in (0..$transfer.count).map(|lane| (lane, lane as isize * size)) {
                    $body
                }
            }
            Layout::Broadcast | Layout::Strided | Layout::BlockCyclic => {
                let step = if $transfer.layout == Layout::BlockCyclic { size } else { $transfer.stride };
                let place = |lane: usize| $transfer.layout.place(lane) as isize;
                for $at in (0..$transfer.count).map(|lane| (lane, step.wrapping_mul(place(lane)))) {
                    $body
                }
            }
        }
    }};
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn load_any<L: Lane + Computed>(transfer: Transfer) {
    let lanes = transfer.lanes.cast::<L::Bits>();
    // SAFETY: the caller's promise.
    unsafe {
        with_stored!(transfer.dtype, S => by_layout!(transfer, S, |at| {
            let element = transfer.operand.wrapping_offset(at.1).cast::<S>().read_unaligned();
            lanes.add(at.0).write_unaligned(L::of_stored(element).bits());
        }));
    }
}

/// # Safety
/// As [`store`].
#[inline(always)]
unsafe fn store_any<L: Lane + Computed>(transfer: Transfer, uniform: bool) {
    let lanes = transfer.lanes.cast::<L::Bits>();
    // SAFETY: the caller's promise.
    unsafe {
        with_stored!(transfer.dtype, S => by_layout!(transfer, S, |at| {
            let lane = L::float(lanes.add(if uniform { 0 } else { at.0 }).read_unaligned());
            transfer.operand.wrapping_offset(at.1).cast::<S>().write_unaligned(lane.stored::<S>());
        }));
    }
}

/// Takes the bits of elements as lanes.
///
/// # Safety
/// As [`load`].
pub(super) unsafe fn load_bits<L: Lane>(transfer: Transfer) {
    let lanes = transfer.lanes.cast::<L::Bits>();
    // SAFETY: the caller's promise.
    unsafe {
        with_stored!(transfer.dtype, S => by_layout!(transfer, S, |at| {
            let element = transfer.operand.wrapping_offset(at.1).cast::<S>().read_unaligned();
            lanes.add(at.0).write_unaligned(L::Bits::truncate(element.raw_bits()));
        }));
    }
}

/// Writes the low bits of lanes to elements; `uniform` if all are the first lane.
///
/// # Safety
/// As [`store`].
pub(super) unsafe fn store_bits<L: Lane>(transfer: Transfer, uniform: bool) {
    let lanes = transfer.lanes.cast::<L::Bits>();
    // SAFETY: the caller's promise.
    unsafe {
        with_stored!(transfer.dtype, S => by_layout!(transfer, S, |at| {
            let lane = lanes.add(if uniform { 0 } else { at.0 }).read_unaligned().extend();
            transfer.operand.wrapping_offset(at.1).cast::<S>().write_unaligned(S::of_bits(lane));
        }));
    }
}

/// Zeros lanes from one place to another: what is computed on them is never looked at.
///
/// # Safety
/// There is room for them.
pub(super) unsafe fn clear<L: Lane>(lanes: *mut u8, from: usize, to: usize) {
    for lane in from..to {
        // SAFETY: the caller's promise.
        unsafe { lanes.cast::<L::Bits>().add(lane).write_unaligned(L::Bits::default()) };
    }
}

/// Repeats the first of some lanes.
///
/// # Safety
/// There is room for `count` lanes, of which the first is written.
pub(super) unsafe fn repeat<L: Lane>(lanes: *mut u8, count: usize) {
    let lanes = lanes.cast::<L::Bits>();
    // SAFETY: the caller's promise.
    unsafe {
        let first = lanes.read_unaligned();
        for lane in 1..count {
            lanes.add(lane).write_unaligned(first);
        }
    }
}
