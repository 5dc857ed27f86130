//! What the code of a row kernel depends on, of all that its layouts say.
//!
//! Not lengths and not strides, but whether a stride is that of a neighbour, whether a row is a single element, which chunks it
//! is cut into, and the like. Layouts of one class share their [`super::code::RowCode`]; only numbers are filled in.

use crate::array::Dtype;
use crate::codegen::write::Form;
use smallvec::SmallVec;

/// The class of a row kernel's layouts, as the key that finds its code.
///
/// The number of words for operands and sinks is that of the kernel's; what comes after them is pairs. So no two classes of a
/// plan are written alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowClass(SmallVec<[u64; 5]>);

/// What makes a class.
pub(super) struct ClassRequest<'a> {
    pub(super) kernel: usize,
    pub(super) form: Form,
    /// The operands' dtypes.
    pub(super) storage: &'a [Dtype],
    pub(super) row_length: usize,
    pub(super) batch: usize,
    /// Which chunks rows of the length are cut into ([`super::chunks::pattern`]), and whether threads share rows.
    pub(super) chunks: u64,
    pub(super) shared: bool,
    /// Byte strides of the operands along the row, and from a row of a batch to the next.
    pub(super) row_strides: &'a [isize],
    pub(super) batch_strides: &'a [isize],
    /// Which sinks go past caches.
    pub(super) non_temporal: &'a [bool],
    /// Which sources are the very array of which sinks.
    pub(super) same: &'a [(usize, usize)],
}

impl RowClass {
    pub(super) fn of(request: &ClassRequest<'_>) -> RowClass {
        let mut words = SmallVec::new();
        words.push(request.kernel as u64);
        let single = |length: usize| u64::from(length <= 1);
        let flags = [single(request.row_length), single(request.batch), u64::from(request.shared), request.form as u64];
        words.push(flags.iter().fold(request.chunks, |word, flag| word << 4 | flag));
        // An operand's dtype and how it steps, in four bits each.
        let kind = |stride: isize, dtype: Dtype| match stride {
            0 => 0,
            _ if stride == dtype.size() as isize => 1,
            _ => 2,
        };
        let operands = request.storage.iter().zip(request.row_strides.iter().zip(request.batch_strides));
        let own = |(dtype, (row, batch)): (&Dtype, (&isize, &isize))| {
            (*dtype as u64) << 4 | kind(*row, *dtype) << 2 | kind(*batch, *dtype)
        };
        push_in_words(&mut words, 8, operands.map(own));
        push_in_words(&mut words, 1, request.non_temporal.iter().map(|flag| u64::from(*flag)));
        for (source, sink) in request.same {
            words.extend([*source as u64, *sink as u64]);
        }
        RowClass(words)
    }
}

/// Appends values of so many bits, as many to a word as there is room for.
fn push_in_words(words: &mut SmallVec<[u64; 5]>, bits: u32, values: impl Iterator<Item = u64>) {
    let (mut word, mut used) = (0, 0);
    for value in values {
        if used + bits > u64::BITS {
            words.push(word);
            (word, used) = (0, 0);
        }
        word = word << bits | value;
        used += bits;
    }
    words.push(word);
}
