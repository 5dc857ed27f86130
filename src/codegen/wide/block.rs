//! Blocks of spans: the accumulators of many spans combined side by side.
//!
//! An accumulator's lanes become one element in steps, each of which halves them and waits for the step before. On short rows
//! that takes as long as the row itself. Where a pass has spans enough, the vector that is left of each span's lanes therefore
//! goes to a block in the frame, and once there are as many vectors as one has lanes they are combined together: a step takes
//! two of them, and a register holds the lower halves of both, another the upper halves. Every lane meets the same lane as in
//! [`Emitter::combine_within`], on the same side, so bits are the same; the last vector has one element for each span, in order.

use super::assemble::{Address, Condition, Label, Operand};
use super::emitter::Emitter;
use super::frame::{FRAME, slot_address};
use super::machine::Accumulator;
use super::places::{Blocks, Destination, block_bytes};
use super::registers::{COUNT, INDEX, SCRATCH, narrow};
use super::target::{Simd, Target};
use crate::array::ComputeDtype;
use crate::lane::ReductionOperator;
use iced_x86::{Code, Register};

const TOO_FEW: i32 = -1;

impl Emitter {
    /// Starts a block if `spans` are enough to fill it. Uses [`SCRATCH`].
    pub(super) fn start_block(&mut self, spans: Register) {
        let Some(Blocks { filled, .. }) = &self.blocks else { return };
        let filled = slot_address(*filled);
        self.assembler.with_number(Code::Cmp_rm64_imm32, spans, self.target.lanes() as i32);
        // All bits set if that is below, else none.
        self.assembler.emit(Code::Sbb_r64_rm64, [SCRATCH.into(), SCRATCH.into()]);
        self.assembler.store(filled, SCRATCH);
    }

    /// The end of a span that belongs to a block, unless it jumps to `alone`: its vectors are put into the block, which is combined
    /// if it is full. `spans` is the slot of the number of spans that are left, this one included, and `arguments` that of the
    /// operands. Jumps to `done`.
    pub(super) fn finish_in_block(
        &mut self,
        accumulators: &[Accumulator],
        destinations: &[Destination],
        [spans, arguments]: [i32; 2],
        [alone, done]: [Label; 2],
    ) {
        let Some(Blocks { filled, vectors }) = &self.blocks else { return };
        let (filled, vectors) = (slot_address(*filled), vectors.clone());
        self.assembler.load(COUNT, filled);
        self.assembler.with_number(Code::Cmp_rm64_imm32, COUNT, TOO_FEW);
        self.assembler.jump(Condition::Zero, alone);
        for (index, accumulator) in accumulators.iter().enumerate() {
            let number = self.combine_vectors(accumulator.combine, self.accumulators[index]);
            let place = Address::indexed(FRAME, COUNT, vectors[index]);
            self.assembler.emit(self.target.code(Simd::Put), [place.into(), self.vector(number)]);
        }
        self.assembler.with_number(Code::Add_rm64_imm32, COUNT, self.target.vector_bytes() as i32);
        self.assembler.store(filled, COUNT);
        self.assembler.with_number(Code::Cmp_rm64_imm32, COUNT, block_bytes(self.target) as i32);
        self.assembler.jump(Condition::Below, done);
        for (index, accumulator) in accumulators.iter().enumerate() {
            let number = self.combine_block(accumulator.combine, vectors[index], self.target.dtype.size(), 0, 0);
            self.write_block(number, vectors[index], destinations[accumulator.operand], arguments);
        }
        self.assembler.load(COUNT, slot_address(spans));
        self.assembler.emit(Code::Dec_rm64, [COUNT.into()]);
        self.start_block(COUNT);
        self.assembler.jump(Condition::Always, done);
    }

    /// Combines vectors of the block at `slot` until each span has lanes of `bytes` left, and gives the register of those, in the
    /// order of spans. They are the spans whose number is `span` in the bits that tell two operands of a later step apart.
    fn combine_block(&mut self, combine: ReductionOperator, slot: i32, bytes: usize, span: usize, depth: u8) -> u8 {
        let number = self.scratch[2] + 1 + depth;
        let to = self.vector(number);
        if bytes == self.target.vector_bytes() {
            let vector = slot_address(slot + (span * bytes) as i32);
            self.assembler.emit(self.target.code(Simd::Move), [to, vector.into()]);
            return number;
        }
        let step = Step::of(self.target, bytes);
        self.combine_block(combine, slot, 2 * bytes, span, depth);
        let second = self.combine_block(combine, slot, 2 * bytes, span | step.second, depth + 1);
        let [second, upper] = [second, second + 1].map(|number| self.vector(number));
        self.shuffle(step.upper, upper, to, second);
        self.shuffle(step.lower, to, to, second);
        self.combine(combine, number, upper, Register::None);
        number
    }

    fn shuffle(&mut self, (code, immediate): Shuffle, to: Operand, first: Operand, second: Operand) {
        match immediate {
            Some(byte) => self.assembler.emit(code, [to, first, second, byte.into()]),
            None => self.assembler.emit(code, [to, first, second]),
        }
    }

    /// Writes the elements of a block's spans, of which the last one's is what `destination` points at.
    fn write_block(&mut self, number: u8, slot: i32, destination: Destination, arguments: i32) {
        let (size, before) = (self.target.dtype.size() as i32, self.target.lanes() as i32 - 1);
        let [apart, each, written] = [(); 3].map(|()| self.assembler.label());
        let elements = self.vector(number);
        let stride = Address::at(SCRATCH, destination.outer_stride);
        self.assembler.load(SCRATCH, slot_address(arguments));
        self.assembler.load(SCRATCH, stride);
        self.assembler.load(COUNT, slot_address(destination.pointer));
        self.assembler.with_number(Code::Cmp_rm64_imm32, SCRATCH, size);
        self.assembler.jump(Condition::NotZero, apart);
        self.assembler.emit(self.target.code(Simd::Put), [Address::at(COUNT, -before * size).into(), elements]);
        self.assembler.jump(Condition::Always, written);
        // One by one, through the block, whose vectors nobody needs any more.
        self.assembler.bind(apart);
        self.assembler.emit(self.target.code(Simd::Put), [slot_address(slot).into(), elements]);
        self.assembler.copy(INDEX, SCRATCH);
        self.assembler.multiply(INDEX, before);
        self.assembler.emit(Code::Sub_r64_rm64, [COUNT.into(), INDEX.into()]);
        self.clear_index();
        self.assembler.bind(each);
        let (load, store) = match self.target.dtype {
            ComputeDtype::F32 => (Code::VEX_Vmovss_xmm_m32, Code::VEX_Vmovss_m32_xmm),
            ComputeDtype::F64 => (Code::VEX_Vmovsd_xmm_m64, Code::VEX_Vmovsd_m64_xmm),
        };
        let element = narrow(16, self.scratch[0]).into();
        self.assembler.emit(load, [element, Address::indexed(FRAME, INDEX, slot).into()]);
        self.assembler.emit(store, [Address::at(COUNT, 0).into(), element]);
        self.assembler.emit(Code::Add_r64_rm64, [COUNT.into(), SCRATCH.into()]);
        self.assembler.with_number(Code::Add_rm64_imm32, INDEX, size);
        self.assembler.with_number(Code::Cmp_rm64_imm32, INDEX, self.target.vector_bytes() as i32);
        self.assembler.jump(Condition::Below, each);
        self.assembler.bind(written);
    }
}

type Shuffle = (Code, Option<u8>);

/// How two vectors become one of their lower halves and one of their upper halves; spans may have many lanes in each, and the
/// halves are of each span.
struct Step {
    lower: Shuffle,
    upper: Shuffle,
    /// The bit of a span's number that says in which of the two vectors it is.
    second: usize,
}

impl Step {
    /// The step that leaves `bytes` of each span.
    fn of(target: Target, bytes: usize) -> Step {
        // A register is made of quarters of 16 bytes, or halves, with the elements of so many spans at the end.
        let in_quarter = 16 / target.dtype.size();
        let (codes, immediates, second) = match (bytes, target.masks) {
            (32, _) => ([Code::EVEX_Vshuff64x2_zmm_k1z_zmm_zmmm512b64_imm8; 2], Some([0x44, 0xee]), in_quarter),
            (16, true) => ([Code::EVEX_Vshuff64x2_zmm_k1z_zmm_zmmm512b64_imm8; 2], Some([0x88, 0xdd]), 2 * in_quarter),
            (16, false) => ([Code::VEX_Vperm2f128_ymm_ymm_ymmm256_imm8; 2], Some([0x20, 0x31]), in_quarter),
            (8, true) => {
                let codes = [Code::EVEX_Vunpcklpd_zmm_k1z_zmm_zmmm512b64, Code::EVEX_Vunpckhpd_zmm_k1z_zmm_zmmm512b64];
                (codes, None, 1)
            }
            (8, false) => ([Code::VEX_Vunpcklpd_ymm_ymm_ymmm256, Code::VEX_Vunpckhpd_ymm_ymm_ymmm256], None, 1),
            (_, true) => ([Code::EVEX_Vshufps_zmm_k1z_zmm_zmmm512b32_imm8; 2], Some([0x88, 0xdd]), 2),
            (_, false) => ([Code::VEX_Vshufps_ymm_ymm_ymmm256_imm8; 2], Some([0x88, 0xdd]), 2),
        };
        let shuffle = |half: usize| (codes[half], immediates.map(|bytes| bytes[half]));
        Step { lower: shuffle(0), upper: shuffle(1), second }
    }
}
