//! Elements narrower than lanes: loads that widen, stores that narrow.
//!
//! AVX-512 masks elements of every size. AVX2 does not mask narrow ones: in the tail they go one by one through a slot of the frame, where
//! a vector has room, unless a whole vector is left. Strided ones go that way everywhere. Nothing outside of an operand's elements is touched.

use super::allocate::Dense;
use super::assemble::{Address, Assembler, Condition, Operand};
use super::conversion::{Loading, Storing};
use super::emitter::{Mode, Run};
use super::frame::{FRAME, slot_address};
use super::machine::Class;
use super::registers::{COUNT, LIMIT, SCRATCH, TAIL_MASK, narrow};
use super::target::{Simd, mask};
use crate::lane::Layout;
use iced_x86::{Code, Register};

/// The immediate of a conversion to float16: to nearest even, whatever the mode.
const TO_NEAREST_EVEN: u8 = 0;

impl Run<'_> {
    /// Loads elements of an operand as lanes.
    pub(super) fn load_elements(&mut self, operand: usize, loading: Loading, result: Dense, copy: usize) {
        let target = self.emitter.target;
        let place = self.emitter.operands[operand];
        let number = self.take(Class::Vector);
        let to = self.emitter.vector(number);
        let code = loading.code(target, place.size);
        if self.in_pairs() {
            self.load_of_pair(operand, number, copy);
            self.settle(result, number);
            return;
        }
        if place.layout == Layout::Strided {
            self.clear_staging(number);
            self.gather_elements(operand);
            let staging = slot_address(self.emitter.staging).into();
            self.emitter.assembler.emit(code, [to, staging]);
        } else {
            let address = self.contiguous_address(operand, copy);
            match self.mode {
                Mode::Tail if target.masks => {
                    self.emitter.assembler.emit_masked(code, [to, address.into()], mask(TAIL_MASK), true);
                }
                Mode::Tail => {
                    self.stage_tail(place.size, number, address);
                    self.emitter.assembler.emit(code, [to, Address::at(SCRATCH, 0).into()]);
                }
                _ => self.emitter.assembler.emit(code, [to, address.into()]),
            }
        }
        self.shift_up(loading, to);
        self.settle(result, number);
    }

    /// Loads one element into every lane.
    pub(super) fn load_element_broadcast(&mut self, operand: usize, loading: Loading, result: Dense) {
        let target = self.emitter.target;
        let size = self.emitter.operands[operand].size;
        let pointer = self.emitter.pointer(operand);
        let number = self.take(Class::Vector);
        let (repeat, bytes) = match (size, target.masks) {
            (1, true) => (Code::EVEX_Vpbroadcastb_ymm_k1z_xmmm8, 32),
            (2, true) => (Code::EVEX_Vpbroadcastw_ymm_k1z_xmmm16, 32),
            (_, true) => (Code::EVEX_Vpbroadcastd_ymm_k1z_xmmm32, 32),
            (1, false) => (Code::VEX_Vpbroadcastb_xmm_xmmm8, 16),
            (2, false) => (Code::VEX_Vpbroadcastw_xmm_xmmm16, 16),
            (_, false) => (Code::VEX_Vpbroadcastd_xmm_xmmm32, 16),
        };
        let repeated = narrow(bytes, number).into();
        let elements = narrow(self.emitter.operand_bytes(operand).max(16), number).into();
        let to = self.emitter.vector(number);
        let assembler = &mut self.emitter.assembler;
        assembler.emit(repeat, [repeated, Address::at(pointer, 0).into()]);
        assembler.emit(loading.code(target, size), [to, elements]);
        self.shift_up(loading, to);
        self.settle(result, number);
    }

    fn shift_up(&mut self, loading: Loading, lanes: Operand) {
        if loading == Loading::FromUpperHalf {
            let code = self.emitter.target.code(Simd::ShiftLeft);
            self.emitter.assembler.emit(code, [lanes, lanes, 16.into()]);
        }
    }

    /// Stores lanes as elements of an operand. `next` is the vector of the next body, if this is the first of a pair.
    pub(super) fn store_elements(
        &mut self,
        operand: usize,
        storing: Storing,
        source: Operand,
        next: Option<Dense>,
        copy: usize,
    ) {
        let target = self.emitter.target;
        let place = self.emitter.operands[operand];
        let bytes = self.emitter.operand_bytes(operand);
        let past_caches = self.mode == Mode::Main && self.emitter.streaming == Some(operand) && bytes >= 16;
        let contiguous = place.layout != Layout::Strided;
        let masked = self.mode == Mode::Tail && target.masks && contiguous;
        if self.in_pairs() {
            // The even body has stored both.
            if let Some(next) = next {
                self.store_pair(operand, source, next, copy);
            }
            return;
        }
        let direct = storing.code(target, place.size);
        let is_direct = contiguous && !past_caches && (masked || self.mode == Mode::Main);
        if let Some(code) = direct.filter(|_| is_direct) {
            let address = self.contiguous_address(operand, copy).into();
            let lanes = if masked { mask(TAIL_MASK) } else { Register::None };
            self.narrow_by(code, storing, address, source, lanes);
            return;
        }
        let number = self.narrowed(storing, place.size, source);
        if !contiguous {
            let staging = slot_address(self.emitter.staging);
            self.put_narrow(staging, number, bytes, false);
            self.scatter_elements(operand, self.emitter.staging);
        } else {
            let address = self.contiguous_address(operand, copy);
            match self.mode {
                Mode::Tail if target.masks => {
                    let from = narrow(32, number).into();
                    let code = match place.size {
                        2 => Code::EVEX_Vmovdqu16_ymmm256_k1z_ymm,
                        _ => Code::EVEX_Vmovups_ymmm256_k1z_ymm,
                    };
                    self.emitter.assembler.emit_masked(code, [address.into(), from], mask(TAIL_MASK), false);
                }
                Mode::Tail => self.put_tail(place.size, number, address),
                _ => self.put_narrow(address, number, bytes, past_caches),
            }
        }
        self.allocator.release(Class::Vector, number);
    }

    fn narrow_by(&mut self, code: Code, storing: Storing, to: Operand, source: Operand, lanes: Register) {
        let assembler = &mut self.emitter.assembler;
        if storing == Storing::ToHalf {
            assembler.emit_masked(code, [to, source, TO_NEAREST_EVEN.into()], lanes, false);
        } else {
            assembler.emit_masked(code, [to, source], lanes, false);
        }
    }

    /// A taken register with a vector's elements, narrowed, in its lowest bytes.
    fn narrowed(&mut self, storing: Storing, size: usize, source: Operand) -> u8 {
        let target = self.emitter.target;
        let number = self.take(Class::Vector);
        let bytes = (target.lanes() * size).max(16);
        let to = narrow(bytes, number).into();
        if let Some(code) = storing.code(target, size) {
            self.narrow_by(code, storing, to, source, Register::None);
        } else if storing == Storing::ToSingle {
            let code =
                if target.masks { Code::EVEX_Vcvtpd2ps_ymm_k1z_zmmm512b64_er } else { Code::VEX_Vcvtpd2ps_xmm_ymmm256 };
            self.emitter.assembler.emit(code, [to, source]);
        } else if storing == Storing::UpperHalf && target.masks {
            self.upper_halves(number, source);
        } else {
            let first = if storing == Storing::UpperHalf { target.dtype.size() - size } else { 0 };
            self.truncate(number, size, first, source);
        }
        number
    }

    /// AVX-512: the upper halves of lanes side by side in each quarter of a register, and then all.
    fn upper_halves(&mut self, number: u8, source: Operand) {
        let lane = self.emitter.target.dtype.size();
        let pattern = self.emitter.pool.shuffle(64, lane, lane / 2..lane);
        let quarters = self.emitter.pool.first_halves();
        let to = self.emitter.vector(number);
        let assembler = &mut self.emitter.assembler;
        assembler.emit(Code::EVEX_Vpshufb_zmm_k1z_zmm_zmmm512, [to, source, Address::pool(pattern).into()]);
        let order = self.take(Class::Vector);
        let order_at = self.emitter.vector(order);
        let assembler = &mut self.emitter.assembler;
        assembler.emit(Code::EVEX_Vmovups_zmm_k1z_zmmm512, [order_at, Address::pool(quarters).into()]);
        assembler.emit(Code::EVEX_Vpermq_zmm_k1z_zmm_zmmm512b64, [to, order_at, to]);
        self.allocator.release(Class::Vector, order);
    }

    /// AVX2: bytes of each lane from the `first` on, side by side in each half of a register, and the halves side by side.
    fn truncate(&mut self, number: u8, size: usize, first: usize, source: Operand) {
        let lane = self.emitter.target.dtype.size();
        let lanes_of_half = 16 / lane;
        let pattern = self.emitter.pool.shuffle(32, lane, first..first + size);
        let [whole, low] = [32, 16].map(|bytes| Operand::from(narrow(bytes, number)));
        self.emitter.assembler.emit(Code::VEX_Vpshufb_ymm_ymm_ymmm256, [whole, source, Address::pool(pattern).into()]);
        let code = match lanes_of_half * size {
            8 => {
                self.emitter.assembler.emit(Code::VEX_Vpermq_ymm_ymmm256_imm8, [whole, whole, 0x08.into()]);
                return;
            }
            4 => Code::VEX_Vpunpckldq_xmm_xmm_xmmm128,
            _ => Code::VEX_Vpunpcklwd_xmm_xmm_xmmm128,
        };
        let second = self.take(Class::Vector);
        let high = narrow(16, second).into();
        self.emitter.assembler.emit(Code::VEX_Vextracti128_xmmm128_ymm_imm8, [high, whole, 1.into()]);
        self.emitter.assembler.emit(code, [low, low, high]);
        self.allocator.release(Class::Vector, second);
    }

    /// Writes the lowest bytes of a register.
    fn put_narrow(&mut self, address: Address, number: u8, bytes: usize, past_caches: bool) {
        let code = match (bytes, self.emitter.target.masks, past_caches) {
            (32, _, false) => Code::EVEX_Vmovups_ymmm256_k1z_ymm,
            (32, _, true) => Code::EVEX_Vmovntps_m256_ymm,
            (16, true, false) => Code::EVEX_Vmovups_xmmm128_k1z_xmm,
            (16, true, true) => Code::EVEX_Vmovntps_m128_xmm,
            (16, false, false) => Code::VEX_Vmovups_xmmm128_xmm,
            (16, false, true) => Code::VEX_Vmovntps_m128_xmm,
            (8, true, _) => Code::EVEX_Vmovq_xmmm64_xmm,
            (8, false, _) => Code::VEX_Vmovq_xmmm64_xmm,
            _ => Code::VEX_Vmovd_rm32_xmm,
        };
        let from = narrow(bytes.max(16), number).into();
        self.emitter.assembler.emit(code, [address.into(), from]);
    }

    // ---- tails of AVX2, element by element

    /// Zeros the slot that elements go through, so that lanes that are not there are no garbage. Uses a vector register.
    fn clear_staging(&mut self, number: u8) {
        let target = self.emitter.target;
        let (zero, staging) = (self.emitter.vector(number), slot_address(self.emitter.staging).into());
        if self.mode == Mode::Tail {
            self.emitter.assembler.emit(target.code(Simd::FloatXor), [zero, zero, zero]);
            self.emitter.assembler.emit(target.code(Simd::Put), [staging, zero]);
        }
    }

    /// Has [`SCRATCH`] point at a whole vector of elements, of which the tail's are those at an address.
    fn stage_tail(&mut self, size: usize, number: u8, address: Address) {
        let [each, whole] = [(); 2].map(|()| self.emitter.assembler.label());
        let staging = self.emitter.staging;
        self.start_tail(address);
        self.emitter.assembler.jump(Condition::AboveOrEqual, whole);
        self.clear_staging(number);
        let assembler = &mut self.emitter.assembler;
        assembler.bind(each);
        load_element(assembler, LIMIT, size, Address::scaled(SCRATCH, COUNT, size, -(size as i32)));
        store_element(assembler, LIMIT, size, Address::scaled(FRAME, COUNT, size, staging - size as i32));
        assembler.with_register(Code::Dec_rm64, COUNT);
        assembler.jump(Condition::NotZero, each);
        assembler.load_address(SCRATCH, slot_address(staging));
        assembler.bind(whole);
    }

    /// Writes the tail's elements, which are the lowest of a register.
    fn put_tail(&mut self, size: usize, number: u8, address: Address) {
        let [each, whole, done] = [(); 3].map(|()| self.emitter.assembler.label());
        let (staging, bytes) = (self.emitter.staging, self.emitter.target.lanes() * size);
        self.start_tail(address);
        self.emitter.assembler.jump(Condition::AboveOrEqual, whole);
        self.put_narrow(slot_address(staging), number, bytes, false);
        let assembler = &mut self.emitter.assembler;
        assembler.bind(each);
        load_element(assembler, LIMIT, size, Address::scaled(FRAME, COUNT, size, staging - size as i32));
        store_element(assembler, LIMIT, size, Address::scaled(SCRATCH, COUNT, size, -(size as i32)));
        assembler.with_register(Code::Dec_rm64, COUNT);
        assembler.jump(Condition::NotZero, each);
        assembler.jump(Condition::Always, done);
        assembler.bind(whole);
        self.put_narrow(Address::at(SCRATCH, 0), number, bytes, false);
        self.emitter.assembler.bind(done);
    }

    /// The address in [`SCRATCH`], the tail's elements in [`COUNT`], and the flags of comparing them with a vector's.
    fn start_tail(&mut self, address: Address) {
        let (count, lanes) = (self.emitter.tail_count, self.emitter.target.lanes());
        let assembler = &mut self.emitter.assembler;
        assembler.load_address(SCRATCH, address);
        assembler.load(COUNT, slot_address(count));
        assembler.with_number(Code::Cmp_rm64_imm32, COUNT, lanes as i32);
    }
}

/// The registers of 1, 2, 4 and 8 bytes that are part of one.
fn parts(register: Register) -> [Register; 4] {
    match register {
        LIMIT => [Register::DIL, Register::DI, Register::EDI, Register::RDI],
        _ => {
            debug_assert_eq!(register, COUNT);
            [Register::CL, Register::CX, Register::ECX, Register::RCX]
        }
    }
}

/// A register gets an element of so many bytes.
pub(super) fn load_element(assembler: &mut Assembler, register: Register, size: usize, from: Address) {
    let [_, _, whole, double] = parts(register);
    let (code, to) = match size {
        1 => (Code::Movzx_r32_rm8, whole),
        2 => (Code::Movzx_r32_rm16, whole),
        4 => (Code::Mov_r32_rm32, whole),
        _ => (Code::Mov_r64_rm64, double),
    };
    assembler.emit(code, [to.into(), from.into()]);
}

/// An element of so many bytes from a register.
pub(super) fn store_element(assembler: &mut Assembler, register: Register, size: usize, to: Address) {
    let [byte, word, whole, double] = parts(register);
    let (code, from) = match size {
        1 => (Code::Mov_rm8_r8, byte),
        2 => (Code::Mov_rm16_r16, word),
        4 => (Code::Mov_rm32_r32, whole),
        _ => (Code::Mov_rm64_r64, double),
    };
    assembler.emit(code, [to.into(), from.into()]);
}
