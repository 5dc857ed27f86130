//! Plan × layouts → loops, operand bindings, code: the only place that knows layouts and code.

use super::bound::{Base, BoundKernel, BoundPlan, Loops};
use super::compiled::CompiledPlan;
use super::operands::{self, AlignedOperand, Storage};
use super::rows::{self, RowRequest};
use super::scratch::{OutOfMemory, round_up};
use super::threads::Threads;
use super::{elementwise, rows::RowLoops};
use crate::array::{ArrayLayout, MAX_RANK};
use crate::compile::Compiler;
use crate::plan::{Buffer, KernelPlan};
use smallvec::SmallVec;

/// What a plan is bound to.
pub(crate) struct BindRequest<'a> {
    pub(crate) compiler: &'a Compiler,
    pub(crate) threads: &'a Threads,
    pub(crate) compiled: &'a CompiledPlan,
    pub(crate) inputs: &'a [ArrayLayout<'a>],
    pub(crate) outputs: &'a [ArrayLayout<'a>],
    /// The lengths that the plan's dimensions name.
    pub(crate) sizes: &'a [usize],
    /// Which outputs are the very array of which inputs: (output, input).
    pub(crate) in_place: &'a [(usize, usize)],
}

/// The arrays between kernels: their shapes, and where in scratch they are.
struct Temporaries {
    shapes: SmallVec<[SmallVec<[usize; MAX_RANK]>; 4]>,
    offsets: SmallVec<[usize; 4]>,
    bytes: usize,
}

/// Binds a plan.
///
/// # Errors
/// More scratch than can be addressed.
pub(crate) fn bind(request: &BindRequest<'_>) -> Result<BoundPlan, OutOfMemory> {
    let temporaries = request.temporaries()?;
    let mut kernels = SmallVec::new();
    for (at, kernel) in request.compiled.plan.kernels.iter().enumerate() {
        if let Some(bound) = request.kernel(at, kernel, &temporaries)? {
            kernels.push(bound);
        }
    }
    BoundPlan::new(kernels, temporaries.bytes)
}

impl<'a> BindRequest<'a> {
    fn temporaries(&self) -> Result<Temporaries, OutOfMemory> {
        let plan = &self.compiled.plan;
        if plan.temporaries.is_empty() {
            return Ok(Temporaries { shapes: SmallVec::new(), offsets: SmallVec::new(), bytes: 0 });
        }
        let size = self.compiled.dtype.size();
        let shapes: SmallVec<[SmallVec<[usize; MAX_RANK]>; 4]> = plan
            .temporaries
            .iter()
            .map(|temporary| temporary.dimensions.iter().map(|extent| extent.resolve(self.sizes)).collect())
            .collect();
        let bytes = |shape: &[usize]| {
            if shape.contains(&0) { 0 } else { shape.iter().fold(size, |bytes, n| bytes.saturating_mul(*n)) }
        };
        // Temporaries that share a slot have equal dimensions.
        let slots = plan.temporaries.iter().map(|temporary| temporary.slot + 1).max().unwrap_or(0);
        let mut places: SmallVec<[Option<usize>; 4]> = SmallVec::from_elem(None, slots);
        let mut total = 0usize;
        for (temporary, shape) in plan.temporaries.iter().zip(&shapes) {
            let place = &mut places[temporary.slot];
            if place.is_none() {
                *place = Some(total);
                total = total.saturating_add(round_up(bytes(shape)));
            }
        }
        if total > isize::MAX as usize {
            return Err(OutOfMemory { bytes: total });
        }
        let offsets = plan.temporaries.iter().map(|temporary| places[temporary.slot].unwrap_or(0)).collect();
        Ok(Temporaries { shapes, offsets, bytes: total })
    }

    fn layout<'b>(&'b self, buffer: Buffer, temporaries: &'b Temporaries) -> ArrayLayout<'b> {
        match buffer {
            Buffer::Input(at) => self.inputs[at],
            Buffer::Output(at) => self.outputs[at],
            Buffer::Temporary(at) => ArrayLayout::row_major(self.compiled.dtype.storage(), &temporaries.shapes[at]),
        }
    }

    /// Where an array begins.
    fn base(&self, buffer: Buffer, temporaries: &Temporaries) -> (Base, isize) {
        match buffer {
            Buffer::Input(at) => (Base::Array(at), 0),
            Buffer::Output(at) => (Base::Array(self.inputs.len() + at), 0),
            // Less than `isize::MAX`, as their sum is.
            Buffer::Temporary(at) => (Base::Scratch, temporaries.offsets[at] as isize),
        }
    }

    /// One kernel; `None` if it has nothing to write.
    fn kernel(
        &self,
        number: usize,
        kernel: &KernelPlan,
        temporaries: &Temporaries,
    ) -> Result<Option<BoundKernel>, OutOfMemory> {
        // Nothing to write is nothing to do, however long the other axes are.
        if kernel.sinks.iter().all(|sink| self.layout(sink.buffer, temporaries).is_empty()) {
            return Ok(None);
        }
        let rank = kernel.domain.len();
        let buffers = || {
            let sources = kernel.sources.iter().map(|source| (source.buffer, source.cuts.as_slice()));
            sources.chain(kernel.sinks.iter().map(|sink| (sink.buffer, &[][..])))
        };
        let aligned: SmallVec<[AlignedOperand; 8]> =
            buffers().map(|(buffer, cuts)| operands::align(&self.layout(buffer, temporaries), cuts, rank)).collect();
        let storage: Storage = buffers().map(|(buffer, _)| self.layout(buffer, temporaries).dtype).collect();
        let begin = |operand: usize, buffer: Buffer| {
            let (base, offset) = self.base(buffer, temporaries);
            (base, offset.wrapping_add(aligned[operand].offset))
        };
        let all: SmallVec<[(Base, isize); 4]> =
            buffers().enumerate().map(|(at, (buffer, _))| begin(at, buffer)).collect();
        let parts = self.threads.parts(kernel.elements(self.sizes), self.compiled.work[number]);
        if kernel.is_row() {
            let rows = self.rows(number, kernel, temporaries, (&aligned, &storage), parts)?;
            return Ok(rows.map(|loops| BoundKernel { operands: all, loops: Loops::Rows(loops) }));
        }
        let bound = elementwise::bind(self.compiler, self.compiled, number, self.sizes, (&aligned, &storage), parts);
        Ok(bound.map(|(loops, operands)| BoundKernel {
            operands: operands.into_iter().map(|at| all[at]).collect(),
            loops: Loops::Elementwise(loops),
        }))
    }

    fn rows(
        &self,
        number: usize,
        kernel: &KernelPlan,
        temporaries: &Temporaries,
        (aligned, storage): (&[AlignedOperand], &Storage),
        parts: usize,
    ) -> Result<Option<Box<RowLoops>>, OutOfMemory> {
        let sink_bytes: SmallVec<[usize; 4]> = kernel
            .sinks
            .iter()
            .map(|sink| {
                let layout = self.layout(sink.buffer, temporaries);
                layout.elements().saturating_mul(layout.dtype.size())
            })
            .collect();
        let is_same = |source: usize, sink: usize| match (kernel.sources[source].buffer, kernel.sinks[sink].buffer) {
            (Buffer::Input(input), Buffer::Output(output)) => self.in_place.contains(&(output, input)),
            (a, b) => self.base(a, temporaries) == self.base(b, temporaries),
        };
        let same: SmallVec<[(usize, usize); 2]> = (0..kernel.sources.len())
            .flat_map(|source| (0..kernel.sinks.len()).map(move |sink| (source, sink)))
            .filter(|(source, sink)| is_same(*source, *sink))
            .collect();
        rows::bind(&RowRequest {
            compiler: self.compiler,
            compiled: self.compiled,
            kernel: number,
            sizes: self.sizes,
            aligned,
            storage,
            sink_bytes: &sink_bytes,
            parts,
            same: &same,
        })
    }
}
