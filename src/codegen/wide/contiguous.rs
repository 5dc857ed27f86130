//! Operands whose elements are neighbours, contiguous or cyclic: loads and stores, and lines that are fetched ahead.
//!
//! An element that is read once may **stay in its array** until the instruction that reads it, an operand in memory of that: it
//! takes no instruction of its own, and no register while the core works ahead. Before a store all that is still there is loaded,
//! since an output may lie on an input. Stores to non-temporal operands go past caches where their addresses are aligned.

use super::allocate::Dense;
use super::assemble::{Address, Operand};
use super::emitter::{Emitter, Mode, Run};
use super::places::{Fetched, Pointer};
use super::registers::{CYCLIC_INDEX, INDEX, TAIL_MASK, TAIL_VECTOR};
use super::target::{Simd, mask};
use crate::array::ComputeDtype;
use crate::lane::{ACCUMULATOR_LANES, CYCLE, Layout};
use iced_x86::Code;

/// Bytes that one prefetch fetches.
const CACHE_LINE: usize = 64;

impl Emitter {
    /// Has [`CYCLIC_INDEX`] follow the index, if an operand is cyclic.
    pub(super) fn follow_index(&mut self) {
        if self.operands.iter().any(|place| place.layout == Layout::BlockCyclic) {
            let groups = -((ACCUMULATOR_LANES * self.unit) as i32);
            self.assembler.copy(CYCLIC_INDEX, INDEX);
            self.assembler.with_number(Code::And_rm64_imm32, CYCLIC_INDEX, groups);
            self.assembler.multiply(CYCLIC_INDEX, CYCLE as i32 - 1);
            self.assembler.emit(Code::Add_r64_rm64, [CYCLIC_INDEX.into(), INDEX.into()]);
        }
    }

    /// Prefetches lines into a second-level cache.
    pub(super) fn fetch(&mut self, lines: Fetched, copies: usize) {
        let pointer = self.pointer(lines.operand);
        for bytes in (0..copies * self.operand_bytes(lines.operand)).step_by(CACHE_LINE) {
            let offset = lines.body * self.group_bytes(lines.operand);
            let address = self.cyclic_address(lines.operand, pointer, offset, bytes);
            self.assembler.emit(Code::Prefetcht1_m8, [address.into()]);
        }
    }
}

impl Run<'_> {
    /// Whether an element is to stay in its array.
    fn may_stay_in_array(&self, operand: usize, result: Dense) -> bool {
        let by_register = matches!(self.emitter.operands[operand].pointer, Pointer::Register(_));
        self.mode == Mode::Main && by_register && self.allocator.is_read_once(result)
    }

    /// Loads what was left in arrays, before a store changes one: an output may lie on an input. (The store is not the current node yet:
    /// what it reads counts as needed.)
    pub(super) fn fetch_from_arrays(&mut self) {
        for value in std::mem::take(&mut self.in_arrays) {
            if self.allocator.next_use(value) == u32::MAX {
                continue;
            }
            self.in_register(value);
            self.allocator.forget_array(value);
            self.allocator.unlock();
        }
    }

    pub(super) fn load_contiguous(&mut self, operand: usize, result: Dense, copy: usize) {
        if self.may_stay_in_array(operand, result) {
            self.allocator.leave_in_array(result, operand, copy);
            self.in_arrays.push(result);
            return;
        }
        let address = self.contiguous_address(operand, copy).into();
        let (mode, target) = (self.mode, self.emitter.target);
        self.write(result, &[], |run, to| {
            let assembler = &mut run.emitter.assembler;
            match mode {
                Mode::Tail if target.masks => {
                    assembler.emit_masked(target.code(Simd::Move), [to, address], mask(TAIL_MASK), true);
                }
                Mode::Tail => {
                    let code = match target.dtype {
                        ComputeDtype::F32 => Code::VEX_Vmaskmovps_ymm_ymm_m256,
                        ComputeDtype::F64 => Code::VEX_Vmaskmovpd_ymm_ymm_m256,
                    };
                    assembler.emit(code, [to, target.vector(TAIL_VECTOR).into(), address]);
                }
                _ => assembler.emit(target.code(Simd::Move), [to, address]),
            }
        });
    }

    pub(super) fn store_contiguous(&mut self, operand: usize, source: Operand, copy: usize) {
        let address = self.contiguous_address(operand, copy);
        if self.mode == Mode::Main && self.emitter.streaming == Some(operand) {
            let code = self.emitter.target.code(Simd::PutPast);
            self.emitter.assembler.emit(code, [address.into(), source]);
        } else {
            self.put(address, source);
        }
    }

    /// Writes a vector; in the tail only its valid lanes.
    pub(super) fn put(&mut self, address: Address, source: Operand) {
        let target = self.emitter.target;
        let assembler = &mut self.emitter.assembler;
        match self.mode {
            Mode::Tail if target.masks => {
                assembler.emit_masked(target.code(Simd::Put), [address.into(), source], mask(TAIL_MASK), false);
            }
            Mode::Tail => {
                let code = match target.dtype {
                    ComputeDtype::F32 => Code::VEX_Vmaskmovps_m256_ymm_ymm,
                    ComputeDtype::F64 => Code::VEX_Vmaskmovpd_m256_ymm_ymm,
                };
                assembler.emit(code, [address.into(), target.vector(TAIL_VECTOR).into(), source]);
            }
            _ => assembler.emit(target.code(Simd::Put), [address.into(), source]),
        }
    }
}
