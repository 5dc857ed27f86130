//! Accumulators around the loops: their lanes are filled at the start of a span and combined at its end.
//!
//! The lanes live in a slot of the frame, in order. The main loop may keep them in registers; the tail always works on
//! the slot. Combining follows the fixed tree of [`crate::lane::combine_lanes`]: while there are more lanes than a
//! vector has, whole vectors are combined; then the upper half of a register with the lower, down to one lane.

use super::allocate::Dense;
use super::assemble::{Address, Operand};
use super::emitter::{Emitter, Mode, Run};
use super::frame::{FRAME, slot_address};
use super::machine::Accumulator;
use super::places::{AccumulatorPlace, Destination};
use super::registers::{INDEX, SCRATCH, SCRATCH_MASK, TAIL_MASK, TAIL_VECTOR, narrow};
use super::target::{Simd, mask};
use crate::array::ComputeDtype;
use crate::lane::{ACCUMULATOR_LANES, ReductionOperator};
use iced_x86::{Code, Register};

impl Emitter {
    fn parts(&self) -> usize {
        ACCUMULATOR_LANES / self.target.lanes()
    }

    fn part_address(&self, place: AccumulatorPlace, part: usize) -> Address {
        slot_address(place.slot + (part * self.target.vector_bytes()) as i32)
    }

    /// Fills the lanes of each accumulator with its identity, wherever they are. Uses the first scratch register.
    pub(super) fn reset_accumulators(&mut self, accumulators: &[Accumulator]) {
        for (index, accumulator) in accumulators.iter().enumerate() {
            let place = self.accumulators[index];
            let bits = match self.target.dtype {
                ComputeDtype::F32 => u64::from(accumulator.combine.identity::<f32>().to_bits()),
                ComputeDtype::F64 => accumulator.combine.identity::<f64>().to_bits(),
            };
            let parts = 0..self.parts() as u8;
            match place.registers {
                // Cores know that this is zero: it takes them neither time nor a register.
                Some(first) if bits == 0 => {
                    for part in parts {
                        let register = self.vector(first + part);
                        self.assembler.emit(self.target.code(Simd::FloatXor), [register, register, register]);
                    }
                    continue;
                }
                _ => {}
            }
            let constant = self.pool.constant(self.target, bits);
            let held = self.vector(place.registers.unwrap_or(self.scratch[0]));
            self.assembler.emit(self.target.code(Simd::Broadcast), [held, Address::pool(constant).into()]);
            for part in parts {
                let (code, to) = match place.registers {
                    Some(_) if part == 0 => continue,
                    Some(first) => (Simd::Move, self.vector(first + part)),
                    None => (Simd::Put, self.part_address(place, part.into()).into()),
                };
                self.assembler.emit(self.target.code(code), [to, held]);
            }
        }
        for (_, flags) in self.nan_flags() {
            self.assembler.emit(self.target.code(Simd::FloatXor), [flags, flags, flags]);
        }
    }

    /// Whether the main loop keeps accumulators in registers.
    pub(super) fn registers_accumulate(&self) -> bool {
        self.accumulators.iter().any(|place| place.registers.is_some())
    }

    /// Loads the lanes into the main loop's registers, after a tail.
    pub(super) fn fetch_accumulators(&mut self) {
        self.each_register(|emitter, register, address| {
            emitter.assembler.emit(emitter.target.code(Simd::Move), [register, address]);
        });
    }

    /// Stores the main loop's registers to the lanes, for a tail.
    pub(super) fn keep_accumulators(&mut self) {
        self.each_register(|emitter, register, address| {
            emitter.assembler.emit(emitter.target.code(Simd::Put), [address, register]);
        });
    }

    /// The first lanes and the flags of the accumulators whose NaNs are noted apart.
    fn nan_flags(&self) -> Vec<(Operand, Operand)> {
        let places = self.accumulators.iter();
        let both = places.filter_map(|place| Some((self.vector(place.registers?), self.vector(place.met_nan?))));
        both.collect()
    }

    fn each_register(&mut self, mut visit: impl FnMut(&mut Emitter, Operand, Operand)) {
        for index in 0..self.accumulators.len() {
            let place = self.accumulators[index];
            let Some(first) = place.registers else { continue };
            for part in 0..self.parts() {
                let (register, address) = (self.vector(first + part as u8), self.part_address(place, part).into());
                visit(self, register, address);
            }
        }
    }

    /// Ends a span: notes NaNs that were met in the lanes. Every register but the pinned ones and those of the main loop's
    /// accumulators is free from here to the next span.
    pub(super) fn settle_nans(&mut self) {
        for (lanes, flags) in self.nan_flags() {
            // A NaN's bits with any other's are a NaN, and a NaN in any lane is the result.
            self.assembler.emit(self.target.code(Simd::FloatOr), [lanes, lanes, flags]);
        }
    }

    /// Combines the lanes of each accumulator and writes the one element.
    pub(super) fn finish_accumulators(&mut self, accumulators: &[Accumulator], destinations: &[Destination]) {
        for (index, accumulator) in accumulators.iter().enumerate() {
            let number = self.combine_vectors(accumulator.combine, self.accumulators[index]);
            let held = self.scratch[0];
            if number != held {
                let [to, from] = [held, number].map(|number| self.vector(number));
                self.assembler.emit(self.target.code(Simd::Move), [to, from]);
            }
            self.combine_within(accumulator.combine);
            let lowest: Operand = narrow(16, held).into();
            let code = match self.target.dtype {
                ComputeDtype::F32 => Code::VEX_Vmovss_m32_xmm,
                ComputeDtype::F64 => Code::VEX_Vmovsd_m64_xmm,
            };
            self.assembler.load(SCRATCH, slot_address(destinations[accumulator.operand].pointer));
            self.assembler.emit(code, [Address::at(SCRATCH, 0).into(), lowest]);
        }
    }

    /// Combines whole vectors of an accumulator, and gives the register of the one that is left.
    pub(super) fn combine_vectors(&mut self, combine: ReductionOperator, place: AccumulatorPlace) -> u8 {
        let half = self.parts() / 2;
        let widths = std::iter::successors(Some(half), |width| Some(width / 2)).take_while(|width| *width > 0);
        if let Some(first) = place.registers {
            for part in widths.flat_map(|width| (0..width).map(move |part| [part, part + width])) {
                let [lower, upper] = part.map(|part| first + part as u8);
                self.combine(combine, lower, self.vector(upper), Register::None);
            }
            return first;
        }
        let held = self.scratch[0];
        let held_at = self.vector(held);
        for width in widths {
            for part in (0..width).rev() {
                let (lower, upper) = (self.part_address(place, part), self.part_address(place, part + width));
                self.assembler.emit(self.target.code(Simd::Move), [held_at, lower.into()]);
                self.combine(combine, held, upper.into(), Register::None);
                if width > 1 {
                    self.assembler.emit(self.target.code(Simd::Put), [lower.into(), held_at]);
                }
            }
        }
        held
    }

    /// The upper half of the first scratch register into the lower, until one lane is left. The operations are done
    /// on whole registers; lanes above are of no interest.
    fn combine_within(&mut self, combine: ReductionOperator) {
        let held = self.scratch[0];
        let mut bytes = self.target.vector_bytes();
        while bytes > self.target.dtype.size() {
            bytes /= 2;
            let upper = self.upper_half(held, bytes);
            self.combine(combine, held, upper, Register::None);
        }
    }

    /// A register (above the scratch ones) with the `bytes` that lie `bytes` above the start of `held`, at its start.
    fn upper_half(&mut self, held: u8, bytes: usize) -> Operand {
        let to = self.scratch[2] + 1;
        let (code, immediate): (Code, u8) = match bytes {
            32 => (Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8, 1),
            16 => (Code::VEX_Vextractf128_xmmm128_ymm_imm8, 1),
            8 => (Code::VEX_Vpermilpd_xmm_xmmm128_imm8, 1),
            _ => {
                let operands = [narrow(16, to).into(), narrow(16, held).into()];
                self.assembler.emit(Code::VEX_Vmovshdup_xmm_xmmm128, operands);
                return self.vector(to);
            }
        };
        let from_bytes = if bytes == 8 { 16 } else { 2 * bytes };
        let (to_at, from) = (narrow(bytes.max(16), to), narrow(from_bytes, held));
        self.assembler.emit(code, [to_at.into(), from.into(), immediate.into()]);
        self.vector(to)
    }

    /// Sets the index to the start of the span.
    pub(super) fn clear_index(&mut self) {
        debug_assert_eq!(INDEX, Register::RAX);
        self.assembler.emit(Code::Xor_r32_rm32, [Register::EAX.into(), Register::EAX.into()]);
    }
}

impl Run<'_> {
    /// Takes a vector of lanes in, as a node of a body. `next` is the vector of the next body.
    pub(super) fn accumulate(
        &mut self,
        accumulator: usize,
        combine: ReductionOperator,
        value: Dense,
        next: Option<Dense>,
        copy: usize,
    ) {
        let target = self.emitter.target;
        let place = self.emitter.accumulators[accumulator];
        if let (Some(first), Mode::Main) = (place.registers, self.mode) {
            let parts = ACCUMULATOR_LANES / target.lanes();
            let number = first + (copy % parts) as u8;
            let Some(flags) = place.met_nan else {
                let source = self.operand(value);
                self.emitter.combine(combine, number, source, Register::None);
                return;
            };
            let source = self.in_register(value);
            // Two bodies note together what they meet.
            if copy.is_multiple_of(2) {
                let other = next.map_or(source, |next| self.in_register(next));
                self.emitter.note_nans(flags, source, other);
            }
            self.emitter.combine_numbers(combine, number, source);
            return;
        }
        let source = self.in_register(value);
        // The lanes of this vector start at the element's index modulo the accumulator's lanes.
        let unit = self.emitter.unit;
        let assembler = &mut self.emitter.assembler;
        assembler.copy(SCRATCH, INDEX);
        if copy > 0 {
            assembler.with_number(Code::Add_rm64_imm32, SCRATCH, (copy * target.lanes() * unit) as i32);
        }
        assembler.with_number(Code::And_rm64_imm32, SCRATCH, (ACCUMULATOR_LANES * unit) as i32 - 1);
        let address = Address::scaled(FRAME, SCRATCH, target.dtype.size() / unit, place.slot);
        let number = self.emitter.scratch[0];
        let held = self.emitter.vector(number);
        self.emitter.assembler.emit(target.code(Simd::Move), [held, address.into()]);
        // Lanes outside of the tail stay what they are, and whole vectors are stored: what is stored under a mask cannot be
        // loaded again until it has reached the cache.
        match self.mode {
            Mode::Tail if target.masks => self.emitter.combine(combine, number, source, mask(TAIL_MASK)),
            _ => self.emitter.combine(combine, number, source, Register::None),
        }
        if self.mode == Mode::Tail && !target.masks {
            let [before, lanes] = [self.emitter.scratch[1], TAIL_VECTOR].map(|number| self.emitter.vector(number));
            self.emitter.assembler.emit(target.code(Simd::Move), [before, address.into()]);
            self.emitter.assembler.emit(target.code(Simd::Blend), [held, before, held, lanes]);
        }
        self.emitter.assembler.emit(target.code(Simd::Put), [address.into(), held]);
    }
}

impl Emitter {
    /// Like [`Emitter::combine`] for maxima and minima of numbers; a NaN may get lost, so it has to be noted apart. That shortens the
    /// chain of operations from one vector to the next from a comparison and a blend to one instruction.
    fn combine_numbers(&mut self, combine: ReductionOperator, number: u8, value: Operand) {
        let simd = if combine == ReductionOperator::Max { Simd::Max } else { Simd::Min };
        let held = self.vector(number);
        self.assembler.emit(self.target.code(simd), [held, held, value]);
    }

    /// Makes those lanes of `flags` a NaN that are one in either vector.
    fn note_nans(&mut self, flags: u8, first: Operand, second: Operand) {
        const UNORDERED: u8 = 0x03;
        let target = self.target;
        let [flags, found] = [flags, self.scratch[1]].map(|number| self.vector(number));
        if target.masks {
            let unordered = mask(SCRATCH_MASK);
            self.assembler.emit(target.code(Simd::Compare), [unordered.into(), first, second, UNORDERED.into()]);
            self.assembler.emit_masked(target.code(Simd::Add), [flags, first, second], unordered, false);
        } else {
            self.assembler.emit(target.code(Simd::Compare), [found, first, second, UNORDERED.into()]);
            self.assembler.emit(target.code(Simd::FloatOr), [flags, flags, found]);
        }
    }

    /// `register ← combine(register, value)` in the lanes of a mask register, all if there is none; as [`ReductionOperator::apply`], so a
    /// NaN that is there stays.
    pub(super) fn combine(&mut self, combine: ReductionOperator, number: u8, value: Operand, lanes: Register) {
        let target = self.target;
        let held = self.vector(number);
        let simd = match combine {
            ReductionOperator::Sum => {
                self.assembler.emit_masked(target.code(Simd::Add), [held, held, value], lanes, false);
                return;
            }
            ReductionOperator::Max => Simd::Max,
            ReductionOperator::Min => Simd::Min,
        };
        const ORDERED: u8 = 0x07;
        if target.masks {
            let ordered = mask(SCRATCH_MASK);
            let compared = [ordered.into(), held, held, ORDERED.into()];
            self.assembler.emit_masked(target.code(Simd::Compare), compared, lanes, false);
            self.assembler.emit_masked(target.code(simd), [held, held, value], ordered, false);
        } else {
            let [_, ordered, larger] = self.scratch.map(|number| self.vector(number));
            self.assembler.emit(target.code(Simd::Compare), [ordered, held, held, ORDERED.into()]);
            self.assembler.emit(target.code(simd), [larger, held, value]);
            self.assembler.emit(target.code(Simd::Blend), [held, held, larger, ordered]);
        }
    }
}
