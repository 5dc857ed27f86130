//! Strided operands: gathers and scatters by 64-bit offsets, so that every stride a pointer can have is right.
//!
//! The pointer of a strided operand walks: each gather or scatter takes as many lanes as a vector has 64-bit offsets,
//! then the pointer steps on by that many strides. AVX2 cannot scatter; there a vector goes through a slot of the frame,
//! element by element; so do elements narrower than lanes, both ways.

use super::allocate::Dense;
use super::assemble::{Address, Assembler, Condition, Operand};
use super::elements::{load_element, store_element};
use super::emitter::{Emitter, Mode, Run};
use super::frame::slot_address;
use super::machine::Class;
use super::places::Pointer;
use super::registers::{COUNT, SCRATCH, SCRATCH_MASK, TAIL_MASK, TAIL_VECTOR, narrow};
use super::target::{Simd, mask};
use crate::array::ComputeDtype;
use iced_x86::{Code, Register};

impl Emitter {
    /// Lanes that one gather or scatter takes: as many as a vector has 64-bit offsets.
    fn lanes_at_once(&self) -> usize {
        self.target.vector_bytes() / 8
    }

    /// Fills the slots of a strided operand, once a call. The stride is in [`COUNT`].
    pub(super) fn prepare_strided(&mut self, operand: usize) {
        let place = self.operands[operand];
        let lanes = self.lanes_at_once();
        self.assembler.store(slot_address(place.stride), COUNT);
        if place.size < self.target.dtype.size() {
            return;
        }
        self.assembler.emit(Code::Xor_r32_rm32, [Register::R11D.into(), Register::R11D.into()]);
        for lane in 0..lanes {
            self.assembler.store(slot_address(place.offsets + 8 * lane as i32), SCRATCH);
            self.assembler.emit(Code::Add_r64_rm64, [SCRATCH.into(), COUNT.into()]);
        }
        self.assembler.store(slot_address(place.step), SCRATCH);
    }

    /// Moves a walking pointer on by the bytes in a slot; `register` is what [`Emitter::pointer`] gave.
    fn walk(&mut self, operand: usize, register: Register, step: i32) {
        self.assembler.emit(Code::Add_r64_rm64, [register.into(), slot_address(step).into()]);
        if let Pointer::Slot(slot) = self.operands[operand].pointer {
            self.assembler.store(slot_address(slot), register);
        }
    }
}

impl Run<'_> {
    /// Bytes of what one gather loads.
    fn part_bytes(&self) -> usize {
        self.emitter.lanes_at_once() * self.emitter.target.dtype.size()
    }

    pub(super) fn load_strided(&mut self, operand: usize, result: Dense) {
        let place = self.emitter.operands[operand];
        let target = self.emitter.target;
        let number = self.take(Class::Vector);
        let [offsets, spare, half] = self.emitter.scratch;
        let part_bytes = self.part_bytes();
        let offsets_at = self.emitter.vector(offsets);
        self.emitter.assembler.emit(target.code(Simd::Move), [offsets_at, slot_address(place.offsets).into()]);
        let parts = target.vector_bytes() / part_bytes;
        for part in 0..parts {
            let into = narrow(part_bytes, if part == 0 { number } else { half });
            let pointer = self.emitter.pointer(operand);
            let address = Address::indexed(pointer, target.vector(offsets), 0);
            // Lanes outside the mask keep what the register held: zeros, to wait for nothing and to be no garbage.
            let whole = target.vector(if part == 0 { number } else { half }).into();
            self.emitter.assembler.emit(target.code(Simd::FloatXor), [whole, whole, whole]);
            if target.masks {
                self.part_mask(part);
                let code = match target.dtype {
                    ComputeDtype::F32 => Code::EVEX_Vgatherqps_ymm_k1_vm64z,
                    ComputeDtype::F64 => Code::EVEX_Vgatherqpd_zmm_k1_vm64z,
                };
                let lanes = mask(SCRATCH_MASK);
                self.emitter.assembler.emit_masked(code, [into.into(), address.into()], lanes, false);
            } else {
                let lanes = narrow(part_bytes, spare);
                self.part_vector_mask(part, spare);
                let code = match target.dtype {
                    ComputeDtype::F32 => Code::VEX_Vgatherqps_xmm_vm64y_xmm,
                    ComputeDtype::F64 => Code::VEX_Vgatherqpd_ymm_vm64y_ymm,
                };
                self.emitter.assembler.emit(code, [into.into(), address.into(), lanes.into()]);
            }
            self.emitter.walk(operand, pointer, place.step);
        }
        if parts == 2 {
            let (to, upper) = (self.emitter.vector(number), narrow(part_bytes, half).into());
            let code = if target.masks {
                Code::EVEX_Vinsertf64x4_zmm_k1z_zmm_ymmm256_imm8
            } else {
                Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8
            };
            self.emitter.assembler.emit(code, [to, to, upper, 1.into()]);
        }
        self.settle(result, number);
    }

    /// The scratch mask register gets the lanes of one part.
    fn part_mask(&mut self, part: usize) {
        let lanes: Operand = mask(SCRATCH_MASK).into();
        let tail: Operand = mask(TAIL_MASK).into();
        let assembler = &mut self.emitter.assembler;
        match (self.mode, part) {
            (Mode::Tail, 0) => assembler.emit(Code::VEX_Kmovw_kr_km16, [lanes, tail]),
            (Mode::Tail, _) => assembler.emit(Code::VEX_Kshiftrw_kr_kr_imm8, [lanes, tail, 8.into()]),
            _ => assembler.emit(Code::VEX_Kxnorw_kr_kr_kr, [lanes, lanes, lanes]),
        }
    }

    /// A vector register gets the mask of one part.
    fn part_vector_mask(&mut self, part: usize, number: u8) {
        let (lanes, tail) = (self.emitter.vector(number), self.emitter.vector(TAIL_VECTOR));
        let narrow = narrow(16, number).into();
        let code = self.emitter.target.code(Simd::Move);
        let assembler = &mut self.emitter.assembler;
        match (self.mode, part) {
            (Mode::Tail, 0) => assembler.emit(code, [lanes, tail]),
            (Mode::Tail, _) => assembler.emit(Code::VEX_Vextractf128_xmmm128_ymm_imm8, [narrow, tail, 1.into()]),
            _ => assembler.emit(Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256, [lanes, lanes, lanes]),
        }
    }

    pub(super) fn store_strided(&mut self, operand: usize, source: Operand) {
        if self.emitter.target.masks {
            self.scatter(operand, source);
        } else {
            self.store_by_elements(operand, source);
        }
    }

    fn scatter(&mut self, operand: usize, source: Operand) {
        let place = self.emitter.operands[operand];
        let target = self.emitter.target;
        let [offsets, half, _] = self.emitter.scratch;
        let offsets_at = self.emitter.vector(offsets);
        self.emitter.assembler.emit(target.code(Simd::Move), [offsets_at, slot_address(place.offsets).into()]);
        let Operand::Register(whole) = source else { unreachable!("stored values are in registers") };
        let number = (whole as u32 - Register::ZMM0 as u32) as u8;
        for part in 0..target.vector_bytes() / self.part_bytes() {
            let (code, from) = match (target.dtype, part) {
                (ComputeDtype::F64, _) => (Code::EVEX_Vscatterqpd_vm64z_k1_zmm, whole),
                (ComputeDtype::F32, 0) => (Code::EVEX_Vscatterqps_vm64z_k1_ymm, narrow(32, number)),
                (ComputeDtype::F32, _) => {
                    let upper = narrow(32, half);
                    let code = Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8;
                    self.emitter.assembler.emit(code, [upper.into(), source, 1.into()]);
                    (Code::EVEX_Vscatterqps_vm64z_k1_ymm, upper)
                }
            };
            self.part_mask(part);
            let pointer = self.emitter.pointer(operand);
            let address = Address::indexed(pointer, target.vector(offsets), 0);
            self.emitter.assembler.emit_masked(code, [address.into(), from.into()], mask(SCRATCH_MASK), false);
            self.emitter.walk(operand, pointer, place.step);
        }
    }

    fn store_by_elements(&mut self, operand: usize, source: Operand) {
        // The offsets' slot is not needed by a written operand, and is as long as a vector.
        let slot = self.emitter.operands[operand].offsets;
        self.emitter.assembler.emit(self.emitter.target.code(Simd::Put), [slot_address(slot).into(), source]);
        self.scatter_elements(operand, slot);
    }

    /// Writes a vector's elements, which lie side by side in a slot.
    pub(super) fn scatter_elements(&mut self, operand: usize, slot: i32) {
        self.each_element(operand, |assembler, size, offset, pointer| {
            load_element(assembler, COUNT, size, slot_address(slot + offset));
            store_element(assembler, COUNT, size, Address::at(pointer, 0));
        });
    }

    /// Puts a vector's elements side by side into the slot for that.
    pub(super) fn gather_elements(&mut self, operand: usize) {
        let slot = self.emitter.staging;
        self.each_element(operand, |assembler, size, offset, pointer| {
            load_element(assembler, COUNT, size, Address::at(pointer, 0));
            store_element(assembler, COUNT, size, slot_address(slot + offset));
        });
    }

    /// Walks over a vector's elements, or those of the tail: gets their size, the bytes of those before, and a register that points there.
    fn each_element(&mut self, operand: usize, visit: impl Fn(&mut Assembler, usize, i32, Register)) {
        let place = self.emitter.operands[operand];
        let done = self.emitter.assembler.label();
        for lane in 0..self.emitter.target.lanes() {
            if self.mode == Mode::Tail && lane > 0 {
                let assembler = &mut self.emitter.assembler;
                assembler.load(COUNT, slot_address(self.emitter.tail_count));
                assembler.with_number(Code::Cmp_rm64_imm32, COUNT, lane as i32);
                assembler.jump(Condition::BelowOrEqual, done);
            }
            let pointer = self.emitter.pointer(operand);
            visit(&mut self.emitter.assembler, place.size, (lane * place.size) as i32, pointer);
            self.emitter.walk(operand, pointer, place.stride);
        }
        self.emitter.assembler.bind(done);
    }
}
