//! Scratch that code works in, allocated for the occasion.

/// Scratch is aligned to a cache line, which is as long as the largest vector.
pub const SCRATCH_ALIGNMENT: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line(#[allow(dead_code, reason = "only code reads and writes it")] [u8; SCRATCH_ALIGNMENT]);

/// Allocated scratch.
pub(super) struct Lines(Vec<Line>);

impl Lines {
    pub(super) fn new(bytes: usize) -> Lines {
        Lines(vec![Line([0; SCRATCH_ALIGNMENT]); bytes.div_ceil(SCRATCH_ALIGNMENT)])
    }

    pub(super) fn start(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }
}
