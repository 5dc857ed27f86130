//! What each register is for: words by name, masks and vectors by number.

use iced_x86::Register;

/// The current element of the span, counted in the emitter's units: bytes where all operands have elements of one size.
pub(super) const INDEX: Register = Register::RAX;
/// The whole span, in the same units.
pub(super) const END: Register = Register::RSI;
/// The last index at which the main loop may start. Masked bodies may use the register: what it holds is made from [`END`].
pub(super) const LIMIT: Register = Register::RDI;
/// Scratch.
pub(super) const SCRATCH: Register = Register::R11;
/// Scratch, and the count of a shift.
pub(super) const COUNT: Register = Register::RCX;
/// Hold the pointers of operands, the first ones first.
pub(super) const POINTERS: [Register; 9] = [
    Register::RDX,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::RBX,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// Holds [`INDEX`] with the gaps of cyclic operands, where there are some; else it holds a pointer.
pub(super) const CYCLIC_INDEX: Register = Register::RDX;

/// The mask of the tail, on AVX-512 and on AVX2.
pub(super) const TAIL_MASK: u8 = 1;
pub(super) const TAIL_VECTOR: u8 = 0;
/// A mask register for the use of one node.
pub(super) const SCRATCH_MASK: u8 = 2;
/// Mask registers the allocator may hand out: k3 to k7.
pub(super) const ALLOCATABLE_MASKS: u32 = 0xf8;

/// The register of so many bytes with this number.
pub(super) fn narrow(bytes: usize, number: u8) -> Register {
    let first = match bytes {
        16 => Register::XMM0,
        32 => Register::YMM0,
        _ => Register::ZMM0,
    };
    first + u32::from(number)
}
