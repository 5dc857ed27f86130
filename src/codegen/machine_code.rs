//! Machine code before it is anywhere: bytes, and what has to be known to run them.
//!
//! This is what a backend's compiler makes. It can be published in memory ([`super::code_memory`]) or kept elsewhere: it
//! is position-independent and complete. It refers to nothing outside itself, so there are no relocations, and it calls
//! nothing and unwinds nothing, so there is no unwind information.

/// The machine code of one pass, a function of type [`PassFunction`](super::code_memory::PassFunction).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineCode {
    /// What listings and profilers call it.
    pub name: String,
    /// Instructions, then constants; the first byte is the entry.
    pub bytes: Vec<u8>,
    /// What the address of the first byte is a multiple of, a power of two.
    pub alignment: usize,
    /// Bytes of a frame that is too large for the stack, which the caller brings: its address is the pointer of one more
    /// operand, behind the pass's own. 0: the code makes its own.
    pub outside_frame: usize,
    /// How many operands the pass has.
    pub operands: usize,
    /// Whether even an empty span writes something.
    pub accumulates: bool,
}
