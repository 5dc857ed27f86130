//! A backend around another: long passes are cut into parts ([`crate::lane::split`]), which the other one compiles and
//! which run one after the other over one tile of the span, then over the next.
//!
//! A tile is so short that the values kept between parts stay in L1; where spans are shorter than a tile, several of them
//! are run at a time.

use super::backend::{Backend, BackendError, Code};
use super::scratch::SCRATCH_ALIGNMENT;
use crate::lane::{self, CYCLE, Layout, MOST_SCRATCH, Operand, OperandArgument, PartOperand, Pass, Role};
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// Bytes of all scratch operands together: half of the L1 data cache of small cores, the other half being for operands.
const SCRATCH_BYTES: usize = 16 << 10;
/// Elements of a tile, at most. Shorter ones pay more for entering loops; longer ones gain nothing and take more cache.
const LONGEST_TILE: usize = 2048;
/// Tiles are whole multiples of this many elements: of interleaved vectors of any width, and of cache lines.
const TILE_STEP: usize = 64;

const _: () = assert!(MOST_SCRATCH * TILE_STEP * size_of::<f64>() <= SCRATCH_BYTES);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Tiles(#[allow(dead_code, reason = "only code of parts reads and writes it")] [u8; SCRATCH_BYTES]);

/// Compiles long passes in parts, all others as they are.
///
/// For backends that make one loop of a pass; what is long, [`Backend::long_body`] says. In the interpreter every operation
/// is a loop over a tile already.
#[derive(Debug)]
pub struct InParts<B> {
    /// What compiles the parts.
    pub inner: B,
}

impl<B: Backend> Backend for InParts<B> {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn has_fma(&self) -> bool {
        self.inner.has_fma()
    }

    fn long_body(&self) -> usize {
        self.inner.long_body()
    }

    fn compile(&self, pass: &Pass) -> Result<Arc<dyn Code>, BackendError> {
        let Some(split) = lane::split(pass, self.inner.long_body()) else { return self.inner.compile(pass) };
        let (passes, sources): (Vec<_>, Vec<_>) = split.parts.into_iter().map(|part| (part.pass, part.sources)).unzip();
        let codes = self.inner.compile_all(&passes)?;
        let parts = codes.into_iter().zip(sources).zip(&passes).map(|((code, sources), pass)| PartCode {
            code,
            sources,
            operations: pass.program.operation_count(),
        });
        Ok(Arc::new(Parts::new(parts.collect(), &pass.operands, split.scratch, pass.program.dtype.size())))
    }
}

/// A part with its code.
#[derive(Debug)]
struct PartCode {
    code: Arc<dyn Code>,
    sources: Vec<PartOperand>,
    /// How many operations it is.
    operations: usize,
}

/// The parts of a pass, as code of the whole.
#[derive(Debug)]
struct Parts {
    parts: Vec<PartCode>,
    /// Bytes from one element of an operand of the whole pass to the next; `None`: what the call says.
    steps: SmallVec<[Option<isize>; 8]>,
    /// The operands of the whole pass that it writes.
    written: SmallVec<[usize; 4]>,
    /// Elements of a tile.
    tile: usize,
    /// Bytes of an element.
    size: usize,
    /// Bytes of scratch that a part needs, at most.
    part_scratch: usize,
    /// How long lists of arguments get, if that is more than [`FEW`]: then they lie in scratch, behind that of parts.
    long_lists: Option<usize>,
}

/// Lists of so many arguments are on the stack.
const FEW: usize = 16;
const NOWHERE: OperandArgument = OperandArgument { pointer: std::ptr::null_mut(), stride: 0, outer_stride: 0 };

/// What a run works in, besides the tiles.
struct Workspace {
    tiles: *mut u8,
    scratch: *mut u8,
}

impl Parts {
    /// The parts of a pass of these operands, with so many scratch operands, whose elements are lanes of so many bytes.
    fn new(parts: Vec<PartCode>, operands: &[Operand], scratch: usize, size: usize) -> Parts {
        let steps = operands.iter().map(|operand| match operand.layout {
            Layout::Contiguous | Layout::NonTemporal => Some(operand.dtype.size() as isize),
            Layout::Broadcast => Some(0),
            // Tiles are whole groups.
            Layout::BlockCyclic => Some((CYCLE * operand.dtype.size()) as isize),
            Layout::Strided => None,
        });
        let written = (0..operands.len()).filter(|at| operands[*at].role == Role::Write);
        let room = SCRATCH_BYTES / (scratch.max(1) * size);
        let tile = room.min(LONGEST_TILE) / TILE_STEP * TILE_STEP;
        let part_scratch = parts.iter().map(|part| part.code.scratch_bytes()).max().unwrap_or(0);
        let longest = parts.iter().map(|part| part.sources.len()).max().unwrap_or(0).max(operands.len());
        Parts {
            steps: steps.collect(),
            written: written.collect(),
            tile,
            size,
            part_scratch: part_scratch.next_multiple_of(SCRATCH_ALIGNMENT),
            long_lists: (longest > FEW).then_some(longest),
            parts,
        }
    }

    /// A list of `count` arguments, the first or the second of two: in `few`, or in scratch if lists get too long for that.
    ///
    /// # Safety
    /// Scratch is what [`Code::run_in`] asks for, and the list is not in use.
    unsafe fn list<'a>(
        &self,
        few: &'a mut [OperandArgument; FEW],
        scratch: *mut u8,
        second: bool,
        count: usize,
    ) -> &'a mut [OperandArgument] {
        let Some(longest) = self.long_lists else { return &mut few[..count] };
        let start = scratch.wrapping_add(self.part_scratch).cast::<OperandArgument>();
        let start = start.wrapping_add(if second { longest } else { 0 });
        // SAFETY: scratch has room for two lists of the longest there is; this one is written before it is read.
        unsafe {
            for at in 0..count {
                start.add(at).write(NOWHERE);
            }
            std::slice::from_raw_parts_mut(start, count)
        }
    }

    /// Runs all parts on `length` elements from `first` on of each of `rows` spans, whose operands are at `operands`.
    ///
    /// # Safety
    /// As [`Code::run_in`] for these elements; `length · rows` is at most a tile, and the tiles have room for it.
    unsafe fn run_tile(
        &self,
        operands: &[OperandArgument],
        work: &Workspace,
        (first, length): (usize, usize),
        rows: usize,
    ) {
        for part in &self.parts {
            let mut few = [NOWHERE; FEW];
            // SAFETY: the second list is this turn's alone.
            let arguments = unsafe { self.list(&mut few, work.scratch, true, part.sources.len()) };
            for (argument, source) in arguments.iter_mut().zip(&part.sources) {
                *argument = match source {
                    PartOperand::Operand(at) => {
                        let operand = operands[*at];
                        let step = self.steps[*at].unwrap_or(operand.stride);
                        let pointer = operand.pointer.wrapping_offset(step.wrapping_mul(first as isize));
                        OperandArgument { pointer, ..operand }
                    }
                    PartOperand::Scratch(at) => OperandArgument {
                        pointer: work.tiles.wrapping_add(at * self.tile * self.size),
                        stride: self.size as isize,
                        outer_stride: (length * self.size) as isize,
                    },
                };
            }
            // SAFETY: the caller's promise for operands; tiles are this call's own, and each of its operands has room
            // for one. What a part reads of it, an earlier part wrote: that order is the split's.
            unsafe { part.code.run_in(arguments, length, rows, work.scratch) };
        }
    }
}

impl Code for Parts {
    fn scratch_bytes(&self) -> usize {
        match self.long_lists {
            None => self.part_scratch,
            Some(longest) => self.part_scratch + 2 * longest * size_of::<OperandArgument>(),
        }
    }

    unsafe fn run_in(&self, operands: &[OperandArgument], span: usize, outer: usize, scratch: *mut u8) {
        if span == 0 {
            return;
        }
        let mut tiles = MaybeUninit::<Tiles>::uninit();
        let work = Workspace { tiles: tiles.as_mut_ptr().cast::<u8>(), scratch };
        let mut few = [NOWHERE; FEW];
        // SAFETY: the first list is this call's alone.
        let rows = unsafe { self.list(&mut few, scratch, false, operands.len()) };
        rows.copy_from_slice(operands);
        // What one span writes the next may read, where they write to the same place: then each is run to its end first.
        let carries = self.written.iter().any(|at| operands[*at].outer_stride == 0);
        let most_rows = if carries { 1 } else { (self.tile / span).max(1) };
        let mut done = 0;
        while done < outer {
            let count = most_rows.min(outer - done);
            let mut first = 0;
            while first < span {
                let length = self.tile.min(span - first);
                // SAFETY: the caller's promise for a part of its elements; several rows are run only where all of their
                // elements fit a tile.
                unsafe { self.run_tile(rows, &work, (first, length), count) };
                first += length;
            }
            for row in rows.iter_mut() {
                row.pointer = row.pointer.wrapping_offset(row.outer_stride.wrapping_mul(count as isize));
            }
            done += count;
        }
    }

    fn code_size(&self) -> usize {
        self.parts.iter().map(|part| part.code.code_size()).sum()
    }

    fn arrangement(&self) -> Option<String> {
        let operations: Vec<String> = self.parts.iter().map(|part| part.operations.to_string()).collect();
        let (last, first) = operations.split_last()?;
        Some(format!("a loop for each of {} and {last} ops, over tiles of {} elements", first.join(", "), self.tile))
    }

    fn disassembly(&self) -> Option<String> {
        self.listing(|code| code.disassembly())
    }

    fn intermediate(&self) -> Option<String> {
        self.listing(|code| code.intermediate())
    }
}

impl Parts {
    fn listing(&self, of: impl Fn(&dyn Code) -> Option<String>) -> Option<String> {
        let count = self.parts.len();
        let mut text = String::new();
        for (at, part) in self.parts.iter().enumerate() {
            text.push_str(&format!("; part {} of {count}: {} operations\n", at + 1, part.operations));
            text.push_str(&of(part.code.as_ref())?);
            text.push('\n');
        }
        Some(text)
    }
}
