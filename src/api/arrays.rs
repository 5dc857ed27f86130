//! The arrays of one call, in the order of a function's inputs and outputs, and how their memory overlaps.

use crate::array::{ArrayLayout, ArrayOut, ArrayRef};
use smallvec::SmallVec;

/// Which outputs are the very array of which inputs: (output, input), in ascending order.
pub(super) type InPlace = SmallVec<[(usize, usize); 2]>;

/// Inputs in a function's order, wherever they are.
pub(super) trait Inputs {
    fn count(&self) -> usize;
    fn at(&self, place: usize) -> &ArrayRef<'_>;
}

impl Inputs for [ArrayRef<'_>] {
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }
    #[inline(always)]
    fn at(&self, place: usize) -> &ArrayRef<'_> {
        &self[place]
    }
}

impl Inputs for [(&str, ArrayRef<'_>)] {
    #[inline(always)]
    fn count(&self) -> usize {
        self.len()
    }
    #[inline(always)]
    fn at(&self, place: usize) -> &ArrayRef<'_> {
        &self[place].1
    }
}

/// Two arrays of a call that share memory in a way no call may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    /// An output and an input.
    Input(usize, usize),
    /// Two outputs.
    Output(usize, usize),
}

/// The arrays of a call.
#[derive(Clone, Copy)]
pub(super) struct Arrays<'a, I: ?Sized> {
    pub(super) inputs: &'a I,
    pub(super) outputs: &'a [ArrayOut<'a>],
}

impl<'a, I: Inputs + ?Sized> Arrays<'a, I> {
    /// The first element of an array: inputs, then outputs.
    #[inline(always)]
    pub(super) fn pointer(&self, at: usize) -> *mut u8 {
        match at.checked_sub(self.inputs.count()) {
            None => self.inputs.at(at).pointer.cast_mut(),
            Some(output) => self.outputs[output].pointer,
        }
    }

    pub(super) fn input_layouts(&self) -> SmallVec<[ArrayLayout<'_>; 8]> {
        (0..self.inputs.count()).map(|at| self.inputs.at(at).layout).collect()
    }

    pub(super) fn output_layouts(&self) -> SmallVec<[ArrayLayout<'a>; 2]> {
        self.outputs.iter().map(|output| output.layout).collect()
    }

    /// Whether no output reaches over addresses that another array reaches over: the common case, told apart without memory.
    #[inline]
    pub(super) fn are_apart(&self) -> bool {
        let inputs = self.inputs.count();
        outputs_are_apart(inputs, self.outputs.len(), |at| match at.checked_sub(inputs) {
            None => Reach::of(self.inputs.at(at).pointer, &self.inputs.at(at).layout),
            Some(output) => Reach::of(self.outputs[output].pointer, &self.outputs[output].layout),
        })
    }

    /// The outputs that are the very array of an input.
    ///
    /// # Errors
    /// An overlap that is neither that nor no overlap at all. Arrays of equal shapes and strides may interleave; of others only
    /// the range of addresses is looked at.
    #[inline(never)]
    pub(super) fn in_place(&self) -> Result<InPlace, Overlap> {
        let mut pairs = InPlace::new();
        for (number, output) in self.outputs.iter().enumerate() {
            let own = Reach::of(output.pointer, &output.layout);
            for at in 0..self.inputs.count() {
                let input = self.inputs.at(at);
                if !own.meets(&Reach::of(input.pointer, &input.layout)) {
                    continue;
                }
                if input.layout != output.layout {
                    return Err(Overlap::Input(number, at));
                }
                let distance = (input.pointer as isize).wrapping_sub(output.pointer as isize);
                if distance == 0 {
                    pairs.push((number, at));
                } else if output.layout.meets_itself_at(distance) {
                    return Err(Overlap::Input(number, at));
                }
            }
            for (other, before) in self.outputs[..number].iter().enumerate() {
                let distance = (before.pointer as isize).wrapping_sub(output.pointer as isize);
                if own.meets(&Reach::of(before.pointer, &before.layout))
                    && (before.layout != output.layout || output.layout.meets_itself_at(distance))
                {
                    return Err(Overlap::Output(number, other));
                }
            }
        }
        Ok(pairs)
    }
}

/// Whether no output reaches over addresses that an array before it reaches over; `reach` is that of inputs, then outputs.
#[inline(always)]
pub(super) fn outputs_are_apart(inputs: usize, outputs: usize, reach: impl Fn(usize) -> Reach) -> bool {
    (inputs..inputs + outputs).all(|output| {
        let own = reach(output);
        (0..output).all(|other| !own.meets(&reach(other)))
    })
}

/// The addresses an array may touch; none if it is empty.
pub(super) struct Reach(usize, usize);

impl Reach {
    /// So many bytes before and behind a pointer.
    #[inline]
    pub(super) fn around(pointer: *const u8, (low, high): (isize, isize)) -> Reach {
        Reach((pointer as usize).wrapping_add_signed(low), (pointer as usize).wrapping_add_signed(high))
    }

    #[inline]
    fn of(pointer: *const u8, layout: &ArrayLayout<'_>) -> Reach {
        if layout.strides().is_some() {
            return Reach::around(pointer, layout.reach());
        }
        let bytes = layout.elements().wrapping_mul(layout.dtype.size());
        Reach(pointer as usize, (pointer as usize).wrapping_add(bytes))
    }

    #[inline]
    fn meets(&self, other: &Reach) -> bool {
        // An empty range is between no two ends.
        self.0.max(other.0) < self.1.min(other.1)
    }
}
