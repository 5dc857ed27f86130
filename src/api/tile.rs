//! An elementwise function as a kernel for tiles of a matrix.

use super::error::CallError;
use super::function::Function;
use super::signature::Signature;
use crate::array::{ArrayLayout, Dtype, OwnedLayout};
use crate::codegen::Code;
use crate::codegen::stack::{STACK_BYTES, run_on_stack};
use crate::codegen::write::{Form, OperandBinding};
use crate::exec::compiled::{Layouts, Position};
use crate::exec::float_mode::FloatMode;
use crate::exec::operands::{self, Storage};
use crate::lane::{Layout, OperandArgument};
use crate::plan::Buffer;
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// A kernel for the epilogue of a matrix product: an elementwise function over a tile of rows and columns, of which a call
/// gives how many there are and how far rows are apart. Cloning gives another handle.
///
/// It is made for a signature of two axes, in which a length above 1 stands for any length: `[2, 2]` is a whole tile, `[2]` or
/// `[1, 2]` one row for all rows (a bias), `[2, 1]` one column for all columns, `[]` a number. Columns lie one after the other.
/// Calls take no lock, use no other thread, and may come from any number of threads at once.
///
/// ```
/// use fuselet::{Dtype, Engine, Signature};
/// let f = Engine::new()?.compile("relu(c + bias)")?;
/// let tile = f.tile(&Signature::new().with("c", Dtype::F32, &[2, 2])?.with("bias", Dtype::F32, &[2])?)?;
/// // The right half of a matrix of two rows and six columns, in place.
/// let mut c = [9.0f32, 9.0, 9.0, 1.0, -2.0, 3.0, 9.0, 9.0, 9.0, -4.0, 5.0, -6.0];
/// let bias = [0.5f32, 0.5, 0.5];
/// let right = c.as_mut_ptr().wrapping_add(3).cast::<u8>();
/// // SAFETY: two rows of three columns, six elements apart, of an array; three elements of bias.
/// unsafe { tile.call(&[right, bias.as_ptr().cast_mut().cast(), right], &[6, 0, 6], 2, 3) };
/// assert_eq!(c, [9.0, 9.0, 9.0, 1.5, 0.0, 3.5, 9.0, 9.0, 9.0, 0.0, 5.5, 0.0]);
/// # Ok::<(), fuselet::Error>(())
/// ```
///
/// In the loops of a matrix product it is called for each block of the result, while that is still in a cache. The crate
/// `matrixmultiply` computes a block of `m` rows and `n` columns at a time:
///
/// ```
/// use fuselet::{Dtype, Engine, Signature};
/// let tile = Engine::new()?.compile("gelu(c + bias)")?.tile(
///     &Signature::new().with("c", Dtype::F32, &[2, 2])?.with("bias", Dtype::F32, &[2])?,
/// )?;
/// let (rows, inner, columns, block) = (8, 4, 6, 3);
/// let (x, w, bias) = (vec![0.5f32; rows * inner], vec![0.25f32; inner * columns], vec![0.5f32; columns]);
/// let mut c = vec![0.0f32; rows * columns];
/// for first in (0..rows).step_by(block) {
///     let m = block.min(rows - first);
///     let start = &mut c[first * columns..][..m * columns];
///     // SAFETY: the block's rows of x and c, and all of w and bias, with these strides.
///     unsafe {
///         let (x, w) = (x[first * inner..].as_ptr(), w.as_ptr());
///         matrixmultiply::sgemm(
///             m, inner, columns, 1.0, x, inner as isize, 1, w, columns as isize, 1, 0.0, start.as_mut_ptr(),
///             columns as isize, 1,
///         );
///         let start = start.as_mut_ptr().cast::<u8>();
///         tile.call(&[start, bias.as_ptr().cast_mut().cast(), start], &[columns as isize, 0, columns as isize], m, columns);
///     }
/// }
/// assert!(c.iter().all(|y| (y - 0.841_344_7).abs() < 1e-6));
/// # Ok::<(), fuselet::Error>(())
/// ```
#[derive(Clone)]
pub struct Tile {
    code: Arc<dyn Code>,
    operands: SmallVec<[TileOperand; 8]>,
    arrays: usize,
    /// Bytes of scratch a call needs; they are on the stack.
    scratch_bytes: usize,
    function: Function,
}

#[derive(Clone, Copy, Debug)]
struct TileOperand {
    /// The array: inputs, then outputs.
    array: usize,
    /// Bytes of an element, if its rows differ; else 0.
    row_unit: isize,
    /// Bytes from one column to the next.
    column: isize,
}

/// How an array goes over a tile: which of rows and columns it varies with.
#[derive(Clone, Copy)]
struct Extent {
    rows: bool,
    columns: bool,
}

impl Tile {
    pub(super) fn new(function: &Function, signature: &Signature) -> Result<Tile, CallError> {
        let _mode = FloatMode::enter();
        let given = signature.inputs_in_order(function.inputs())?;
        let not_a_tile = |reason: &'static str| CallError::NotATile { reason };
        let extents = given.iter().copied().map(extent_of).collect::<Option<SmallVec<[Extent; 8]>>>();
        let extents = extents.ok_or(not_a_tile("an input has more than two axes, or strides of its own"))?;
        // Lengths that stand for any: two different ones, so that rows and columns are no one size.
        let (rows, columns) = (2usize, 3usize);
        let length = |varies: bool, length: usize| if varies { length } else { 1 };
        let shapes: SmallVec<[SmallVec<[usize; 2]>; 8]> = given
            .iter()
            .zip(&extents)
            .map(|(layout, extent)| {
                let both = [length(extent.rows, rows), length(extent.columns, columns)];
                SmallVec::from_slice(&both[2 - layout.shape().len()..])
            })
            .collect();
        let layouts: SmallVec<[ArrayLayout<'_>; 8]> =
            given.iter().zip(&shapes).map(|(own, shape)| ArrayLayout::row_major(own.dtype, shape)).collect();
        let names: Vec<String> = function.outputs().map(str::to_owned).collect();
        let promoted = Dtype::of_result(given.iter().map(|layout| layout.dtype));
        let outputs: SmallVec<[Dtype; 4]> = names
            .iter()
            .map(|name| match signature.output(name, &names)? {
                Some(layout) if !layout.borrow().is_row_major() => Err(not_a_tile("an output has strides of its own")),
                Some(layout) => Ok(layout.dtype),
                None => Ok(promoted),
            })
            .collect::<Result<_, CallError>>()?;
        let targets: SmallVec<[ArrayLayout<'_>; 4]> =
            outputs.iter().map(|dtype| ArrayLayout::row_major(*dtype, &[])).collect();
        let (sizes, compiled) = function.plan(&layouts, &targets)?;
        let plan = &compiled.plan;
        let whole = |dimensions: &Vec<crate::plan::Extent>| {
            dimensions.iter().map(|extent| extent.resolve(&sizes)).eq([rows, columns])
        };
        let [kernel] = plan.kernels.as_slice() else {
            return Err(not_a_tile("the function is more than one kernel"));
        };
        if kernel.is_row() || kernel.stages.len() != 1 {
            return Err(not_a_tile("the function reduces along an axis"));
        }
        if !plan.outputs.iter().all(whole) {
            return Err(not_a_tile("an output is no whole tile; give some input of it the shape [2, 2]"));
        }
        if kernel.sources.iter().any(|source| !source.cuts.is_empty()) {
            return Err(not_a_tile("the function takes halves of an input"));
        }
        let inputs = function.inputs().len();
        let operand = |buffer: Buffer| {
            let (array, extent, dtype) = match buffer {
                Buffer::Input(at) => (at, extents[at], given[at].dtype),
                Buffer::Output(at) => (inputs + at, Extent { rows: true, columns: true }, outputs[at]),
                Buffer::Temporary(_) => return None,
            };
            let bytes = |varies: bool| if varies { dtype.size() as isize } else { 0 };
            Some(TileOperand { array, row_unit: bytes(extent.rows), column: bytes(extent.columns) })
        };
        let layout = |operand: TileOperand| if operand.column == 0 { Layout::Broadcast } else { Layout::Contiguous };
        let slots = kernel.stages[0].row_pass.slots.iter();
        let slots = slots.map(|slot| Some(layout(operand(kernel.buffer(*slot)?)?))).collect::<Option<Layouts>>();
        let storage: Storage = kernel
            .sources
            .iter()
            .map(|source| source.buffer)
            .chain(kernel.sinks.iter().map(|sink| sink.buffer))
            .map(|buffer| match buffer {
                Buffer::Input(at) => given[at].dtype,
                Buffer::Output(at) => outputs[at],
                Buffer::Temporary(_) => compiled.dtype.storage(),
            })
            .collect();
        let pass = match slots {
            Some(layouts) => {
                compiled.pass(function.engine().compiler(), (0, 0), Position::Row, Form::Span, &layouts, &storage)
            }
            None => return Err(not_a_tile("the function is more than one kernel")),
        };
        let operands = pass.bindings.iter().filter_map(|binding| match binding {
            OperandBinding::Slot { slot, .. } => kernel.buffer(*slot).and_then(operand),
            _ => None,
        });
        let code = pass.compiled.code.clone();
        let scratch_bytes = code.scratch_bytes();
        if scratch_bytes > STACK_BYTES {
            return Err(not_a_tile("the function has more intermediate values than fit on a stack"));
        }
        Ok(Tile {
            code,
            operands: operands.collect(),
            scratch_bytes,
            arrays: inputs + plan.outputs.len(),
            function: function.clone(),
        })
    }

    /// The function it was made of.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// Runs on a tile of `rows` by `columns`. `pointers` has the first element of each input, then of each output;
    /// `row_strides` the elements from each array's row to its next (looked at only for arrays that have rows).
    ///
    /// # Safety
    /// There is a pointer and a stride for each array. Every element that these lead to is valid, for reads in inputs and for
    /// writes in outputs. Rows of an output overlap neither each other nor another array; but an output may be the very
    /// tile of an input, with the same stride.
    #[inline]
    pub unsafe fn call(&self, pointers: &[*mut u8], row_strides: &[isize], rows: usize, columns: usize) {
        debug_assert_eq!((pointers.len(), row_strides.len()), (self.arrays, self.arrays), "one of each an array");
        let _mode = FloatMode::enter();
        let mut arguments: SmallVec<[OperandArgument; 16]> = SmallVec::new();
        for operand in &self.operands {
            // A stride of another array's is never multiplied into an address.
            let row = operand.row_unit.wrapping_mul(row_strides[operand.array]);
            arguments.push(operands::argument(pointers[operand.array], operand.column, row));
        }
        // SAFETY: the caller's promise; operands are contiguous or broadcast as the code was compiled for.
        unsafe { run_on_stack(self.code.as_ref(), self.scratch_bytes, &arguments, columns, rows) };
    }
}

/// How an array of a signature goes over a tile.
fn extent_of(layout: &OwnedLayout) -> Option<Extent> {
    let varies = |length: usize| length != 1;
    if !layout.borrow().is_row_major() {
        return None;
    }
    match layout.shape() {
        [] => Some(Extent { rows: false, columns: false }),
        [columns] => Some(Extent { rows: false, columns: varies(*columns) }),
        [rows, columns] => Some(Extent { rows: varies(*rows), columns: varies(*columns) }),
        _ => None,
    }
}

impl fmt::Debug for Tile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tile").field("code", &self.code).field("operands", &self.operands).finish()
    }
}
