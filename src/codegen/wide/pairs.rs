//! Pairs of bodies that share vectors of bfloat16.
//!
//! A vector of memory holds twice as many of these as lanes. Taken as 32-bit lanes its even elements are the lower halves, its odd ones the
//! upper: one shift makes float32 lanes of the even elements, one mask of the odd ones, without a shuffle; and a shift and a merge put two
//! vectors of results back. So where every operand of a loop is like that, two bodies do the even and the odd elements of one vector, instead
//! of two vectors one after the other. That takes a third of the instructions that conversions take otherwise. Elements of a loop do not know of each other, so bits are
//! the same; what accumulates lanes knows their order, and is not done in pairs. Nor are tails.

use super::allocate::Dense;
use super::assemble::{Address, Operand};
use super::conversion::{Loading, Storing};
use super::emitter::{Mode, Run};
use super::machine::{Action, Class, Selection};
use super::registers::narrow;
use super::target::Simd;
use crate::lane::{Layout, Pass};
use iced_x86::Code;

const UPPER_HALF: u64 = 0xffff_0000;

/// Whether the bodies of a pass can be done in pairs.
pub(super) fn fit(pass: &Pass, selection: &Selection) -> bool {
    let is_dense = |operand: usize| matches!(pass.operands[operand].layout, Layout::Contiguous | Layout::NonTemporal);
    let moves = |action: Action| matches!(action, Action::Load { .. } | Action::Store { .. });
    selection.body.iter().any(|node| moves(node.action))
        && selection.body.iter().all(|node| match node.action {
            Action::Load { operand, loading } => loading == Loading::FromUpperHalf && is_dense(operand),
            Action::Store { operand, storing } => storing == Storing::UpperHalf && is_dense(operand),
            Action::Accumulate { .. } => false,
            _ => true,
        })
}

impl Run<'_> {
    /// Whether the sequence at hand is done in pairs.
    pub(super) fn in_pairs(&self) -> bool {
        self.mode == Mode::Main && self.emitter.pairs
    }

    /// The constant that masks upper halves.
    fn upper_half(&mut self) -> Operand {
        let target = self.emitter.target;
        let pool = &mut self.emitter.pool;
        let offset = *self.emitter.upper_half.get_or_insert_with(|| pool.constant(target, UPPER_HALF));
        target.constant(Address::pool(offset)).into()
    }

    /// A register gets the even elements of a pair's vector, or the odd ones.
    pub(super) fn load_of_pair(&mut self, operand: usize, number: u8, copy: usize) {
        let target = self.emitter.target;
        let to = self.emitter.vector(number);
        let address = self.contiguous_address(operand, copy - copy % 2).into();
        let [shift, vector, and] = [Simd::ShiftLeft, Simd::Move, Simd::And].map(|simd| target.code(simd));
        if copy % 2 == 1 {
            let mask = self.upper_half();
            self.emitter.assembler.emit(vector, [to, address]);
            self.emitter.assembler.emit(and, [to, to, mask]);
        } else if target.masks {
            self.emitter.assembler.emit(shift, [to, address, 16.into()]);
        } else {
            self.emitter.assembler.emit(vector, [to, address]);
            self.emitter.assembler.emit(shift, [to, to, 16.into()]);
        }
    }

    /// Stores the upper halves of two vectors, of even elements and of odd ones.
    pub(super) fn store_pair(&mut self, operand: usize, even: Operand, odd: Dense, copy: usize) {
        let target = self.emitter.target;
        let odd = self.in_register(odd);
        let number = self.take(Class::Vector);
        let to = self.emitter.vector(number);
        self.emitter.assembler.emit(target.code(Simd::ShiftRight), [to, even, 16.into()]);
        if target.masks {
            /// Where the third is set the second, else the first.
            const SECOND_WHERE_THIRD: u8 = 0xd8;
            let mask = self.upper_half();
            let code = target.code(Simd::Ternary);
            self.emitter.assembler.emit(code, [to, odd, mask, SECOND_WHERE_THIRD.into()]);
        } else {
            /// Every second word.
            const ODD_WORDS: u8 = 0xaa;
            self.emitter.assembler.emit(Code::VEX_Vpblendw_ymm_ymm_ymmm256_imm8, [to, to, odd, ODD_WORDS.into()]);
        }
        if self.emitter.streaming == Some(operand) {
            self.put_halves_past_caches(operand, number, copy);
        } else {
            let address = self.contiguous_address(operand, copy);
            self.emitter.assembler.emit(target.code(Simd::Put), [address.into(), to]);
        }
        self.allocator.release(Class::Vector, number);
    }

    /// Stores a register past caches, in two halves: it is aligned as what one body stores.
    fn put_halves_past_caches(&mut self, operand: usize, number: u8, copy: usize) {
        let target = self.emitter.target;
        let half = target.vector_bytes() / 2;
        let upper = self.take(Class::Vector);
        let (put, extract) = match target.masks {
            true => (Code::EVEX_Vmovntps_m256_ymm, Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8),
            false => (Code::VEX_Vmovntps_m128_xmm, Code::VEX_Vextractf128_xmmm128_ymm_imm8),
        };
        let whole = self.emitter.vector(number);
        self.emitter.assembler.emit(extract, [narrow(half, upper).into(), whole, 1.into()]);
        for (body, number) in [(copy, number), (copy + 1, upper)] {
            let address = self.contiguous_address(operand, body);
            self.emitter.assembler.emit(put, [address.into(), narrow(half, number).into()]);
        }
        self.allocator.release(Class::Vector, upper);
    }
}
