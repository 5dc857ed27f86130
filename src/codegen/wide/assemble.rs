//! The encoder: machine instructions to bytes, with labels and references to the constant pool.
//!
//! A thin layer over `iced-x86`. Two things it adds: jumps to labels that are not bound yet, and memory operands that
//! name an offset into the pool, which lies behind the code and whose place is known only at the end. Both are four
//! bytes patched by [`Assembler::finish`]. An instruction the encoder refuses is remembered rather than returned, so that
//! emission reads as a list of instructions; `finish` reports it.

use iced_x86::{Code, Encoder, IcedError, Instruction, OpKind, Register};

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    base: Register,
    index: Register,
    /// What the index is multiplied by: 1, 2, 4 or 8.
    scale: u32,
    displacement: i32,
    /// One element, repeated in every lane (AVX-512 only).
    broadcast: bool,
    /// The displacement counts from the start of the pool.
    in_pool: bool,
}

impl Address {
    /// `[base + displacement]`.
    pub(super) fn at(base: Register, displacement: i32) -> Address {
        Address { base, index: Register::None, scale: 1, displacement, broadcast: false, in_pool: false }
    }

    /// `[base + index + displacement]`; the index may be a vector register.
    pub(super) fn indexed(base: Register, index: Register, displacement: i32) -> Address {
        Address { index, ..Address::at(base, displacement) }
    }

    /// `[base + index · scale + displacement]`.
    pub(super) fn scaled(base: Register, index: Register, scale: usize, displacement: i32) -> Address {
        Address { scale: scale as u32, ..Address::indexed(base, index, displacement) }
    }

    /// Bytes of the constant pool.
    pub(super) fn pool(offset: u32) -> Address {
        Address { in_pool: true, ..Address::at(Register::RIP, offset as i32) }
    }

    /// The same address, one element of it repeated in every lane.
    pub(super) fn broadcast(self) -> Address {
        Address { broadcast: true, ..self }
    }
}

/// An operand of a machine instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A register.
    Register(Register),
    /// A place in memory.
    Memory(Address),
    /// A byte.
    Immediate(u8),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Operand {
        Operand::Register(register)
    }
}
impl From<Address> for Operand {
    fn from(address: Address) -> Operand {
        Operand::Memory(address)
    }
}
impl From<u8> for Operand {
    fn from(byte: u8) -> Operand {
        Operand::Immediate(byte)
    }
}

/// A place in the code that jumps name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// When a jump is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Always.
    Always,
    /// Unsigned below.
    Below,
    /// Unsigned below or equal.
    BelowOrEqual,
    /// Unsigned above or equal.
    AboveOrEqual,
    /// Zero.
    Zero,
    /// Not zero.
    NotZero,
    /// Signed greater.
    Greater,
    /// Signed less or equal.
    LessOrEqual,
}

/// Four bytes to be patched: the distance from `end` (the end of the instruction) to a target.
#[derive(Debug)]
struct Patch {
    place: usize,
    end: usize,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Label(Label),
    Pool(i32),
}

/// Collects the bytes of one function.
pub(super) struct Assembler {
    encoder: Encoder,
    length: usize,
    patches: Vec<Patch>,
    labels: Vec<usize>,
    refused: Option<String>,
}

const UNBOUND: usize = usize::MAX;

impl Assembler {
    pub(super) fn new() -> Assembler {
        let mut encoder = Encoder::new(64);
        encoder.set_buffer(Vec::with_capacity(4096));
        Assembler { encoder, length: 0, patches: Vec::with_capacity(64), labels: Vec::with_capacity(16), refused: None }
    }

    /// Encodes an instruction.
    pub(super) fn emit<const N: usize>(&mut self, code: Code, operands: [Operand; N]) {
        self.emit_masked(code, operands, Register::None, false);
    }

    /// Encodes an instruction under a mask register; lanes outside keep what they were, or become zero.
    pub(super) fn emit_masked<const N: usize>(
        &mut self,
        code: Code,
        operands: [Operand; N],
        mask: Register,
        zeroing: bool,
    ) {
        let mut instruction = Instruction::default();
        instruction.set_code(code);
        let mut pool = None;
        let mut after_displacement = 0;
        for (place, operand) in operands.into_iter().enumerate() {
            let place = place as u32;
            match operand {
                Operand::Register(register) => {
                    instruction.set_op_kind(place, OpKind::Register);
                    instruction.set_op_register(place, register);
                    // A register that follows a memory operand of a VEX instruction is encoded as an immediate byte.
                    after_displacement += usize::from(place == 3);
                }
                Operand::Memory(address) => {
                    instruction.set_op_kind(place, OpKind::Memory);
                    instruction.set_memory_base(address.base);
                    instruction.set_memory_index(address.index);
                    instruction.set_memory_index_scale(address.scale);
                    instruction.set_is_broadcast(address.broadcast);
                    if address.in_pool {
                        // Any target the encoder can reach; patched at the end.
                        instruction.set_memory_displ_size(8);
                        instruction.set_memory_displacement64(self.length as u64);
                        pool = Some(address.displacement);
                    } else {
                        let size = if address.displacement == 0 { 0 } else { 1 };
                        instruction.set_memory_displ_size(size);
                        instruction.set_memory_displacement64(i64::from(address.displacement) as u64);
                    }
                }
                Operand::Immediate(byte) => {
                    instruction.set_op_kind(place, OpKind::Immediate8);
                    instruction.set_immediate8(byte);
                    after_displacement += 1;
                }
            }
        }
        if mask != Register::None {
            instruction.set_op_mask(mask);
            instruction.set_zeroing_masking(zeroing);
        }
        self.encode(&instruction);
        if let Some(offset) = pool {
            let (place, end) = (self.length.wrapping_sub(4 + after_displacement), self.length);
            self.patches.push(Patch { place, end, target: Target::Pool(offset) });
        }
    }

    fn encode(&mut self, instruction: &Instruction) {
        match self.encoder.encode(instruction, self.length as u64) {
            Ok(length) => self.length += length,
            Err(error) => {
                self.refused.get_or_insert_with(|| format!("{:?}: {error}", instruction.code()));
            }
        }
    }

    /// Bytes as they are; says where they start.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> usize {
        bytes.iter().for_each(|byte| self.encoder.write_u8(*byte));
        self.length += bytes.len();
        self.length - bytes.len()
    }

    // ---- general registers

    /// An instruction on one register.
    pub(super) fn with_register(&mut self, code: Code, register: Register) {
        self.emit(code, [register.into()]);
    }

    /// An instruction on a 64-bit register and a number.
    pub(super) fn with_number(&mut self, code: Code, register: Register, number: i32) {
        self.encode_if(code, Instruction::with2(code, register, number));
    }

    /// `register ← register · number`.
    pub(super) fn multiply(&mut self, register: Register, number: i32) {
        let code = Code::Imul_r64_rm64_imm32;
        self.encode_if(code, Instruction::with3(code, register, register, number));
    }

    fn encode_if(&mut self, code: Code, instruction: Result<Instruction, IcedError>) {
        match instruction {
            Ok(instruction) => self.encode(&instruction),
            Err(error) => {
                self.refused.get_or_insert_with(|| format!("{code:?}: {error}"));
            }
        }
    }

    /// `register ← address`.
    pub(super) fn load(&mut self, register: Register, address: Address) {
        self.emit(Code::Mov_r64_rm64, [register.into(), address.into()]);
    }

    /// `register ←` where the address is.
    pub(super) fn load_address(&mut self, register: Register, address: Address) {
        self.emit(Code::Lea_r64_m, [register.into(), address.into()]);
    }

    /// `address ← register`.
    pub(super) fn store(&mut self, address: Address, register: Register) {
        self.emit(Code::Mov_rm64_r64, [address.into(), register.into()]);
    }

    /// `to ← from`.
    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.emit(Code::Mov_r64_rm64, [to.into(), from.into()]);
    }

    // ---- jumps

    /// A label, to be bound later.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(UNBOUND);
        Label(self.labels.len() - 1)
    }

    /// Binds a label here.
    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = self.length;
    }

    /// Jumps to a label, bound or not.
    pub(super) fn jump(&mut self, condition: Condition, label: Label) {
        let opcode: &[u8] = match condition {
            Condition::Always => &[0xe9],
            Condition::Below => &[0x0f, 0x82],
            Condition::AboveOrEqual => &[0x0f, 0x83],
            Condition::Zero => &[0x0f, 0x84],
            Condition::BelowOrEqual => &[0x0f, 0x86],
            Condition::NotZero => &[0x0f, 0x85],
            Condition::Greater => &[0x0f, 0x8f],
            Condition::LessOrEqual => &[0x0f, 0x8e],
        };
        self.raw(opcode);
        self.raw(&[0; 4]);
        self.patches.push(Patch { place: self.length - 4, end: self.length, target: Target::Label(label) });
    }

    /// Fills with no-operations up to a multiple of `alignment`.
    pub(super) fn align(&mut self, alignment: usize) {
        // The recommended multi-byte forms, one to eight bytes.
        const FORMS: [&[u8]; 8] = [
            &[0x90],
            &[0x66, 0x90],
            &[0x0f, 0x1f, 0x00],
            &[0x0f, 0x1f, 0x40, 0x00],
            &[0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
            &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
            &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
        ];
        let mut missing = self.length.next_multiple_of(alignment) - self.length;
        while missing > 0 {
            let form = FORMS[missing.min(FORMS.len()) - 1];
            self.raw(form);
            missing -= form.len();
        }
    }

    /// The finished bytes: code, then the pool at the next multiple of `alignment`.
    ///
    /// # Errors
    /// An instruction the encoder refused, or code beyond the reach of 32-bit distances.
    pub(super) fn finish(mut self, pool: &[u8], alignment: usize) -> Result<Vec<u8>, String> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let mut bytes = self.encoder.take_buffer();
        debug_assert_eq!(bytes.len(), self.length);
        let start = bytes.len().next_multiple_of(alignment);
        if i32::try_from(start + pool.len()).is_err() {
            return Err("the code is larger than 2 GiB".to_owned());
        }
        bytes.resize(start, 0xcc);
        bytes.extend_from_slice(pool);
        for patch in &self.patches {
            let target = match patch.target {
                Target::Label(label) => self.labels[label.0],
                Target::Pool(offset) => start + offset as usize,
            };
            debug_assert_ne!(target, UNBOUND);
            let distance = (target as i64 - patch.end as i64) as i32;
            bytes[patch.place..patch.place + 4].copy_from_slice(&distance.to_le_bytes());
        }
        Ok(bytes)
    }
}
