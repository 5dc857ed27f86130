//! The function around the bodies: entry, preheader, main loop, tail, the dimension around, exit.
//!
//! ```text
//! entry      save registers, make the frame, read the operands, load pinned constants
//! span:      preheader (uniform values), reset accumulators
//! main:      interleaved bodies on whole vectors, while enough elements are left
//! tail:      one body under a mask, until none is left
//!            combine accumulators, step to the next span, back to `span`
//! exit       vzeroupper, restore
//! ```
//!
//! All contiguous operands share one index, cyclic ones another; strided ones have pointers that walk. The index counts bytes if all
//! operands have elements of one size; else it counts elements, and each operand's addresses scale it. The tail is a loop, so that
//! the main loop can take any number of vectors at a time without a third copy of the body. A long span whose output is
//! not aligned starts in the tail too, with the few elements up to alignment.
//!
//! The function follows the C calling convention of the system: System V everywhere but on Windows, where the entry
//! moves the arguments to where System V has them and saves what that convention does not.

use super::allocate::{Home, ResidentPlace};
use super::assemble::{Address, Assembler, Condition, Label};
use super::constants::Pool;
use super::emitter::{Emitter, Mode};
use super::frame::{FRAME, Frame, STACK_LIMIT, slot_address};
use super::machine::{Class, Resident, Selection};
use super::order;
use super::pairs;
use super::places::{AccumulatorPlace, Blocks, Destination, Fetched, OperandPlace, Pointer};
use super::registers::{COUNT, CYCLIC_INDEX, END, INDEX, LIMIT, POINTERS, SCRATCH, TAIL_MASK, TAIL_VECTOR};
use super::schedule::{Shape, shape};
use super::select::select;
use super::target::{Simd, Target, mask};
use crate::lane::{ACCUMULATOR_LANES, CYCLE, Layout, Operand, OperandArgument, Pass, Role};
use iced_x86::{Code, Register};

/// Machine code that is not in executable memory yet.
pub(super) struct Compiled {
    /// Code and pool; the entry is the first byte.
    pub(super) bytes: Vec<u8>,
    /// Bytes of a frame that is too large for the stack: the caller passes its address as the pointer of one more
    /// operand. 0: the code makes its own.
    pub(super) outside_frame: usize,
}

/// Where the function and its pool must be aligned.
pub(super) const ALIGNMENT: usize = 64;

/// The two forms of the instruction that finds the frame, of equal length: the stack pointer, or the pointer of an operand
/// past the last.
const FRAME_ON_STACK: [u8; 7] = [0x48, 0x89, 0xe5, 0x0f, 0x1f, 0x40, 0x00];
const FRAME_FROM_OPERAND: [u8; 3] = [0x48, 0x8b, 0xaf];

/// Registers that a C function must give back as they were.
const CALLEE_SAVED: [Register; 5] = [Register::RBX, Register::R12, Register::R13, Register::R14, Register::R15];
/// On Windows these too, and xmm6 to xmm15.
const WINDOWS_SAVED_VECTORS: std::ops::Range<u32> = 6..16;

/// Compiles a pass.
///
/// # Errors
/// What the encoder refused, in words.
pub(super) fn compile(pass: &Pass, target: Target) -> Result<Compiled, String> {
    let mut selection = select(pass, target);
    order::weave(pass, &mut selection, target);
    let strided = pass.operands.iter().any(|operand| operand.layout == Layout::Strided);
    let scratch = strided || !selection.accumulators.is_empty();
    // AVX2 keeps the mask of the tail in the lowest vector register.
    let first_scratch = u8::from(!target.masks);
    let reserved = if scratch { usize::from(first_scratch) + 3 } else { 0 };
    let mut shape = shape(&selection, target, reserved);
    let pairs = pairs::fit(pass, &selection);
    if pairs {
        shape.copies = shape.copies.max(2);
    }
    let narrow = |operand: &Operand| operand.dtype.size() < target.dtype.size();
    let narrow_strides = pass.operands.iter().any(|operand| narrow(operand) && operand.layout == Layout::Strided);
    let all_alike = !pass.operands.iter().any(narrow);
    let emitter = Emitter {
        target,
        assembler: Assembler::new(),
        frame: Frame::new(target),
        pool: Pool::default(),
        operands: Vec::with_capacity(pass.operands.len()),
        unit: if all_alike { target.dtype.size() } else { 1 },
        residents: Vec::with_capacity(selection.residents.len()),
        accumulators: Vec::new(),
        blocks: None,
        streaming: None,
        fetched: Vec::new(),
        tail_count: 0,
        counts_tail: !target.masks || narrow_strides,
        pairs,
        upper_half: None,
        staging: 0,
        scratch: [first_scratch, first_scratch + 1, first_scratch + 2],
    };
    Function { pass, selection, shape, emitter, saved_stack: 0, arguments: 0, spans: 0, tail_bytes: 0 }.write()
}

struct Function<'pass> {
    pass: &'pass Pass,
    selection: Selection,
    shape: Shape,
    emitter: Emitter,
    /// Slots: the caller's stack pointer, the operands, the spans left, how far the masked body goes.
    saved_stack: i32,
    arguments: i32,
    spans: i32,
    tail_bytes: i32,
}

/// The places of the entry that depend on the size of the frame, which is known at the end.
struct FramePatches {
    /// The 32-bit size of the frame on the stack.
    size: usize,
    /// The instruction that finds the frame.
    find: usize,
}

impl Function<'_> {
    fn write(mut self) -> Result<Compiled, String> {
        self.place_words();
        let patches = self.enter();
        self.read_operands();
        self.place_residents();
        self.place_accumulators();
        let prefetched = (0..self.pass.operands.len()).filter(|at| self.pass.operands[*at].role == Role::Prefetch);
        self.emitter.fetched =
            prefetched.flat_map(|operand| (0..CYCLE).map(move |body| Fetched { operand, body })).collect();
        // From elements to units.
        let unit = self.emitter.unit;
        if unit > 1 {
            self.emitter.assembler.emit(Code::Shl_rm64_imm8, [END.into(), (unit.trailing_zeros() as u8).into()]);
        }
        self.set_limit();
        self.load_pinned_constants();
        if self.emitter.blocks.is_some() {
            self.emitter.assembler.load(COUNT, slot_address(self.spans));
            self.emitter.start_block(COUNT);
        }

        let span = self.emitter.assembler.label();
        self.emitter.assembler.bind(span);
        self.span();
        let exit = self.emitter.assembler.label();
        self.next_span(span, exit);
        self.emitter.assembler.bind(exit);
        self.leave();
        self.finish(patches)
    }

    /// How far the index advances in one iteration of the main loop.
    fn step(&self) -> i32 {
        self.shape.copies as i32 * self.vector_units()
    }

    fn set_limit(&mut self) {
        let limit = Address::at(END, -self.step());
        self.emitter.assembler.load_address(LIMIT, limit);
    }

    /// How far the index is from one vector of lanes to the next.
    fn vector_units(&self) -> i32 {
        (self.emitter.target.lanes() * self.emitter.unit) as i32
    }

    // ---- places

    fn place_words(&mut self) {
        let frame = &mut self.emitter.frame;
        self.saved_stack = frame.word();
        self.arguments = frame.word();
        self.spans = frame.word();
        self.tail_bytes = frame.word();
        self.emitter.tail_count = frame.word();
        let cyclic = self.pass.operands.iter().any(|operand| operand.layout == Layout::BlockCyclic);
        let mut registers = POINTERS.into_iter().filter(|register| !(cyclic && *register == CYCLIC_INDEX));
        for operand in &self.pass.operands {
            let walks = operand.layout == Layout::Strided;
            let in_loop = matches!(operand.role, Role::Read | Role::Write) && operand.layout != Layout::Broadcast;
            let register = if in_loop { registers.next() } else { None };
            let place = OperandPlace {
                layout: operand.layout,
                size: operand.dtype.size(),
                pointer: match register {
                    Some(register) => Pointer::Register(register),
                    None => Pointer::Slot(frame.word()),
                },
                start: if walks { frame.word() } else { 0 },
                stride: if walks { frame.word() } else { 0 },
                step: if walks { frame.word() } else { 0 },
                offsets: 0,
            };
            self.emitter.operands.push(place);
        }
        let (width, size) = (self.emitter.target.vector_bytes(), self.emitter.target.dtype.size());
        for place in &mut self.emitter.operands {
            if place.layout == Layout::Strided && place.size == size {
                place.offsets = frame.slot(width, width);
            }
        }
        if self.emitter.unit < size {
            self.emitter.staging = frame.slot(width, width);
        }
    }

    fn place_residents(&mut self) {
        let target = self.emitter.target;
        for (resident, pinned) in self.selection.residents.iter().zip(&self.shape.pinned) {
            let (class, home) = match *resident {
                Resident::Constant { bits } => (Class::Vector, Home::Pool(self.emitter.pool.constant(target, bits))),
                Resident::Uniform { class } if pinned.is_some() => (class, Home::Nowhere),
                Resident::Uniform { class } => (class, Home::Fixed(self.emitter.frame.spill_slot(class))),
            };
            self.emitter.residents.push(ResidentPlace { class, home, pinned: *pinned });
        }
    }

    fn place_accumulators(&mut self) {
        let bytes = ACCUMULATOR_LANES * self.emitter.target.dtype.size();
        for index in 0..self.selection.accumulators.len() {
            let slot = self.emitter.frame.slot(bytes, ALIGNMENT);
            let (registers, met_nan) = match &self.shape.accumulators {
                Some(shapes) => (Some(shapes[index].first), shapes[index].met_nan),
                None => (None, None),
            };
            self.emitter.accumulators.push(AccumulatorPlace { slot, registers, met_nan });
        }
        self.emitter.blocks =
            Blocks::place(&mut self.emitter.frame, self.emitter.target, self.selection.accumulators.len());
    }

    fn load_pinned_constants(&mut self) {
        let emitter = &mut self.emitter;
        for place in &emitter.residents {
            if let (Some(number), Home::Pool(offset)) = (place.pinned, place.home) {
                let register = emitter.target.vector(number).into();
                let code = emitter.target.code(Simd::Broadcast);
                emitter.assembler.emit(code, [register, Address::pool(offset).into()]);
            }
        }
    }

    // ---- entry and exit

    fn saved(&self) -> impl Iterator<Item = Register> + Clone + use<> {
        let used: Vec<Register> = self
            .emitter
            .operands
            .iter()
            .filter_map(|place| match place.pointer {
                Pointer::Register(register) => Some(register),
                Pointer::Slot(_) => None,
            })
            .filter(|register| CALLEE_SAVED.contains(register))
            .collect();
        used.into_iter()
    }

    fn enter(&mut self) -> FramePatches {
        let saved = self.saved();
        let assembler = &mut self.emitter.assembler;
        assembler.with_register(Code::Push_r64, FRAME);
        saved.for_each(|register| assembler.with_register(Code::Push_r64, register));
        if cfg!(windows) {
            enter_from_windows(assembler);
        }
        assembler.copy(SCRATCH, Register::RSP);
        // sub rsp, size; and rsp, -64
        let size = assembler.raw(&[0x48, 0x81, 0xec, 0, 0, 0, 0]) + 3;
        assembler.raw(&[0x48, 0x83, 0xe4, 0xc0]);
        let find = assembler.raw(&FRAME_ON_STACK);
        assembler.store(slot_address(self.saved_stack), SCRATCH);
        assembler.store(slot_address(self.arguments), LIMIT);
        assembler.store(slot_address(self.spans), Register::RDX);
        FramePatches { size, find }
    }

    fn leave(&mut self) {
        let mut saved: Vec<Register> = self.saved().collect();
        saved.reverse();
        let streams = self.pass.operands.iter().any(|operand| operand.layout == Layout::NonTemporal);
        let assembler = &mut self.emitter.assembler;
        if streams {
            // What goes past caches is in no order with other stores; whoever is told that the call is over must see it.
            assembler.emit(Code::Sfence, []);
        }
        assembler.emit(Code::VEX_Vzeroupper, []);
        assembler.load(Register::RSP, slot_address(self.saved_stack));
        if cfg!(windows) {
            leave_to_windows(assembler);
        }
        saved.into_iter().for_each(|register| assembler.with_register(Code::Pop_r64, register));
        assembler.with_register(Code::Pop_r64, FRAME);
        assembler.emit(Code::Retnq, []);
    }

    fn argument(&self, operand: usize, field: usize) -> i32 {
        (operand * size_of::<OperandArgument>() + field) as i32
    }

    fn read_operands(&mut self) {
        for index in 0..self.pass.operands.len() {
            let place = self.emitter.operands[index];
            let pointer = Address::at(LIMIT, self.argument(index, std::mem::offset_of!(OperandArgument, pointer)));
            let assembler = &mut self.emitter.assembler;
            match place.pointer {
                Pointer::Register(register) if place.layout != Layout::Strided => assembler.load(register, pointer),
                _ => {
                    let slot = match place.pointer {
                        Pointer::Slot(slot) if place.layout != Layout::Strided => slot,
                        _ => place.start,
                    };
                    assembler.load(COUNT, pointer);
                    assembler.store(slot_address(slot), COUNT);
                }
            }
            if place.layout == Layout::Strided {
                let stride = self.argument(index, std::mem::offset_of!(OperandArgument, stride));
                self.emitter.assembler.load(COUNT, Address::at(LIMIT, stride));
                self.emitter.prepare_strided(index);
            }
        }
    }

    // ---- one span

    fn span(&mut self) {
        let finished = self.emitter.assembler.label();
        let has_accumulators = !self.selection.accumulators.is_empty();
        if has_accumulators {
            self.emitter.reset_accumulators(&self.selection.accumulators);
        }
        // An empty span reads nothing, broadcast operands neither.
        self.emitter.assembler.emit(Code::Test_rm64_r64, [END.into(), END.into()]);
        self.emitter.assembler.jump(Condition::Zero, finished);
        let Selection { preheader, preheader_locals, .. } = &self.selection;
        if !preheader.is_empty() {
            self.emitter.sequence(Mode::Preheader, preheader, *preheader_locals, 1, self.shape.free);
        }
        for place in &self.emitter.operands {
            if place.layout == Layout::Strided {
                match place.pointer {
                    Pointer::Register(register) => self.emitter.assembler.load(register, slot_address(place.start)),
                    Pointer::Slot(slot) => {
                        self.emitter.assembler.load(COUNT, slot_address(place.start));
                        self.emitter.assembler.store(slot_address(slot), COUNT);
                    }
                }
            }
        }
        self.loops(finished);
        self.emitter.assembler.bind(finished);
        if has_accumulators {
            self.finish_accumulators();
        }
    }

    /// Combines the lanes of accumulators at the end of a span, or puts them into its block.
    fn finish_accumulators(&mut self) {
        let destinations: Vec<Destination> = (0..self.pass.operands.len())
            .map(|index| Destination {
                pointer: match self.emitter.operands[index].pointer {
                    Pointer::Slot(slot) => slot,
                    Pointer::Register(_) => 0,
                },
                outer_stride: self.argument(index, std::mem::offset_of!(OperandArgument, outer_stride)),
            })
            .collect();
        let accumulators = &self.selection.accumulators;
        let [alone, done] = [(); 2].map(|()| self.emitter.assembler.label());
        self.emitter.settle_nans();
        self.emitter.finish_in_block(accumulators, &destinations, [self.spans, self.arguments], [alone, done]);
        self.emitter.assembler.bind(alone);
        self.emitter.finish_accumulators(accumulators, &destinations);
        self.emitter.assembler.bind(done);
    }

    /// Whether the first vector of a long span is a short one, so that the others are stored to aligned addresses (a store
    /// across cache lines costs two), and the operand that is aligned. Accumulators and cyclic operands need their lanes in
    /// step with the index, and pointers that walk do so by whole vectors.
    fn aligned_operand(&self) -> Option<usize> {
        let walks = |layout| matches!(layout, Layout::Strided | Layout::BlockCyclic);
        let walking = self.pass.operands.iter().any(|operand| walks(operand.layout));
        if walking || !self.selection.accumulators.is_empty() {
            return None;
        }
        self.pass.operands.iter().position(|operand| operand.role == Role::Write)
    }

    /// Jumps to the masked body with the way up to alignment in [`COUNT`], if there is any and the span is long.
    fn align_span(&mut self, operand: usize, masked: Label, whole: Label) {
        let (size, scale) = (self.emitter.operands[operand].size, self.emitter.scale(operand));
        let bytes = self.emitter.operand_bytes(operand);
        let lanes_to_units = self.emitter.target.dtype.size() / self.emitter.unit;
        let pointer = self.emitter.pointer(operand);
        let assembler = &mut self.emitter.assembler;
        assembler.copy(COUNT, pointer);
        assembler.with_register(Code::Neg_rm64, COUNT);
        assembler.with_number(Code::And_rm64_imm32, COUNT, bytes as i32 - 1);
        assembler.jump(Condition::Zero, whole);
        assembler.with_number(Code::Test_rm64_imm32, COUNT, size as i32 - 1);
        assembler.jump(Condition::NotZero, whole);
        if scale > 1 {
            assembler.emit(Code::Shr_rm64_imm8, [COUNT.into(), (scale.trailing_zeros() as u8).into()]);
        }
        assembler.with_number(Code::Cmp_rm64_imm32, END, self.shape.align_from / lanes_to_units as i32);
        assembler.jump(Condition::AboveOrEqual, masked);
    }

    /// Jumps if the operand's current address is not a whole vector's.
    fn unless_aligned(&mut self, operand: usize, otherwise: Label) {
        let (bytes, scale) = (self.emitter.operand_bytes(operand), self.emitter.scale(operand));
        let pointer = self.emitter.pointer(operand);
        let assembler = &mut self.emitter.assembler;
        assembler.load_address(COUNT, Address::scaled(pointer, INDEX, scale, 0));
        assembler.with_number(Code::Test_rm64_imm32, COUNT, bytes as i32 - 1);
        assembler.jump(Condition::NotZero, otherwise);
    }

    fn loops(&mut self, finished: Label) {
        let labels = [(); 3].map(|()| self.emitter.assembler.label());
        let [whole, tail, masked] = labels;
        let aligned = self.aligned_operand();
        self.emitter.clear_index();
        if let Some(operand) = aligned {
            self.align_span(operand, masked, whole);
        }
        self.emitter.assembler.bind(whole);
        if let Some(operand) = aligned.filter(|operand| self.pass.operands[*operand].layout == Layout::NonTemporal) {
            let plain = self.emitter.assembler.label();
            self.unless_aligned(operand, plain);
            self.emitter.streaming = Some(operand);
            self.main_loop(tail);
            self.emitter.streaming = None;
            self.emitter.assembler.jump(Condition::Always, tail);
            self.emitter.assembler.bind(plain);
        }
        self.main_loop(tail);
        self.emitter.assembler.bind(tail);
        // The tail works on accumulators in memory.
        let in_registers = self.emitter.registers_accumulate();
        if in_registers {
            self.emitter.assembler.emit(Code::Cmp_r64_rm64, [INDEX.into(), END.into()]);
            self.emitter.assembler.jump(Condition::AboveOrEqual, finished);
            self.emitter.keep_accumulators();
        }
        self.tail(masked, aligned.is_some().then_some(whole), finished);
        if in_registers {
            self.emitter.fetch_accumulators();
        }
    }

    fn main_loop(&mut self, tail: Label) {
        let step = self.step();
        let copies = self.shape.copies;
        let top = self.emitter.assembler.label();
        self.emitter.assembler.emit(Code::Cmp_r64_rm64, [INDEX.into(), LIMIT.into()]);
        self.emitter.assembler.jump(Condition::Greater, tail);
        self.emitter.assembler.align(32);
        self.emitter.assembler.bind(top);
        self.emitter.follow_index();
        let Selection { body, body_locals, .. } = &self.selection;
        self.emitter.sequence(Mode::Main, body, *body_locals, copies, self.shape.free);
        self.emitter.assembler.with_number(Code::Add_rm64_imm32, INDEX, step);
        self.emitter.assembler.emit(Code::Cmp_r64_rm64, [INDEX.into(), LIMIT.into()]);
        self.emitter.assembler.jump(Condition::LessOrEqual, top);
    }

    /// The masked body. Entered at `masked` it does what [`COUNT`] says in units, at most a vector; where the span is aligned it
    /// goes back to the main loop's test, `whole`.
    fn tail(&mut self, masked: Label, whole: Option<Label>, finished: Label) {
        let target = self.emitter.target;
        let width = self.vector_units();
        let top = self.emitter.assembler.label();
        let assembler = &mut self.emitter.assembler;
        assembler.emit(Code::Cmp_r64_rm64, [INDEX.into(), END.into()]);
        assembler.jump(Condition::AboveOrEqual, finished);
        assembler.bind(top);
        assembler.copy(COUNT, END);
        assembler.emit(Code::Sub_r64_rm64, [COUNT.into(), INDEX.into()]);
        assembler.with_number(Code::Mov_rm64_imm32, SCRATCH, width);
        assembler.emit(Code::Cmp_r64_rm64, [COUNT.into(), SCRATCH.into()]);
        assembler.emit(Code::Cmova_r64_rm64, [COUNT.into(), SCRATCH.into()]);
        assembler.bind(masked);
        if whole.is_some() {
            assembler.store(slot_address(self.tail_bytes), COUNT);
        }
        self.tail_mask();
        self.emitter.follow_index();
        let Selection { body, body_locals, .. } = &self.selection;
        // The registers of the accumulators are free again, but nobody needs them.
        let free = if target.masks { self.shape.free } else { self.shape.free & !(1 << TAIL_VECTOR) };
        self.emitter.sequence(Mode::Tail, body, *body_locals, 1, free);
        if !target.masks && self.emitter.unit < target.dtype.size() {
            // Narrow elements went through its register.
            self.set_limit();
        }
        let assembler = &mut self.emitter.assembler;
        match whole {
            Some(whole) => {
                assembler.emit(Code::Add_r64_rm64, [INDEX.into(), slot_address(self.tail_bytes).into()]);
                assembler.jump(Condition::Always, whole);
            }
            None => {
                assembler.with_number(Code::Add_rm64_imm32, INDEX, width);
                assembler.emit(Code::Cmp_r64_rm64, [INDEX.into(), END.into()]);
                assembler.jump(Condition::Below, top);
            }
        }
    }

    /// Makes the mask of as many elements as [`COUNT`] says in units.
    fn tail_mask(&mut self) {
        let target = self.emitter.target;
        let count_slot = slot_address(self.emitter.tail_count);
        let unit = self.emitter.unit;
        let (shift, lanes_to_units) = (unit.trailing_zeros() as u8, target.dtype.size() / unit);
        let window = if target.masks { 0 } else { self.emitter.pool.tail_window(target) };
        let assembler = &mut self.emitter.assembler;
        if target.masks {
            let (scratch, mask) = (Register::R11D, mask(TAIL_MASK));
            if shift > 0 {
                assembler.emit(Code::Shr_rm32_imm8, [Register::ECX.into(), shift.into()]);
            }
            if self.emitter.counts_tail {
                assembler.store(count_slot, COUNT);
            }
            assembler.with_number(Code::Mov_rm64_imm32, SCRATCH, 1);
            assembler.emit(Code::Shl_rm32_CL, [scratch.into(), Register::CL.into()]);
            assembler.emit(Code::Dec_rm32, [scratch.into()]);
            assembler.emit(Code::VEX_Kmovw_kr_r32, [mask.into(), scratch.into()]);
        } else {
            let mask = target.vector(TAIL_VECTOR);
            assembler.emit(Code::Lea_r64_m, [SCRATCH.into(), Address::pool(window).into()]);
            // The mask's bytes are lanes'.
            for _ in 0..lanes_to_units {
                assembler.emit(Code::Sub_r64_rm64, [SCRATCH.into(), COUNT.into()]);
            }
            assembler.emit(target.code(Simd::Move), [mask.into(), Address::at(SCRATCH, 0).into()]);
            if shift > 0 {
                assembler.emit(Code::Shr_rm32_imm8, [Register::ECX.into(), shift.into()]);
            }
            assembler.store(count_slot, COUNT);
        }
    }

    // ---- the dimension around

    fn next_span(&mut self, span: Label, exit: Label) {
        let spans = slot_address(self.spans);
        self.emitter.assembler.emit(Code::Dec_rm64, [spans.into()]);
        self.emitter.assembler.jump(Condition::Zero, exit);
        self.emitter.assembler.load(SCRATCH, slot_address(self.arguments));
        for index in 0..self.pass.operands.len() {
            let place = self.emitter.operands[index];
            let field = self.argument(index, std::mem::offset_of!(OperandArgument, outer_stride));
            let stride = Address::at(SCRATCH, field);
            let assembler = &mut self.emitter.assembler;
            match place.pointer {
                Pointer::Register(register) if place.layout != Layout::Strided => {
                    assembler.emit(Code::Add_r64_rm64, [register.into(), stride.into()]);
                }
                pointer => {
                    let slot = match pointer {
                        Pointer::Slot(slot) if place.layout != Layout::Strided => slot,
                        _ => place.start,
                    };
                    assembler.load(COUNT, stride);
                    assembler.emit(Code::Add_rm64_r64, [slot_address(slot).into(), COUNT.into()]);
                }
            }
        }
        self.emitter.assembler.jump(Condition::Always, span);
    }

    // ---- the end

    fn finish(self, patches: FramePatches) -> Result<Compiled, String> {
        let Emitter { assembler, frame, pool, .. } = self.emitter;
        let mut bytes = assembler.finish(pool.bytes(), ALIGNMENT)?;
        let size = frame.size();
        let outside = size > STACK_LIMIT;
        let on_stack = if outside { 0u32 } else { size as u32 };
        bytes[patches.size..patches.size + 4].copy_from_slice(&on_stack.to_le_bytes());
        if outside {
            let argument = (self.pass.operands.len() * size_of::<OperandArgument>()) as u32;
            let find = &mut bytes[patches.find..patches.find + FRAME_ON_STACK.len()];
            find[..3].copy_from_slice(&FRAME_FROM_OPERAND);
            find[3..].copy_from_slice(&argument.to_le_bytes());
        }
        Ok(Compiled { bytes, outside_frame: if outside { size } else { 0 } })
    }
}

fn saved_vector(number: u32) -> (Address, Register) {
    let offset = 16 * (number - WINDOWS_SAVED_VECTORS.start) as i32;
    (Address::at(Register::RSP, offset), Register::XMM0 + number)
}

/// From the Windows convention to System V.
fn enter_from_windows(assembler: &mut Assembler) {
    assembler.with_register(Code::Push_r64, Register::RDI);
    assembler.with_register(Code::Push_r64, Register::RSI);
    assembler.with_number(Code::Sub_rm64_imm32, Register::RSP, 16 * WINDOWS_SAVED_VECTORS.len() as i32);
    for number in WINDOWS_SAVED_VECTORS {
        let (address, register) = saved_vector(number);
        assembler.emit(Code::VEX_Vmovups_xmmm128_xmm, [address.into(), register.into()]);
    }
    assembler.copy(Register::RDI, Register::RCX);
    assembler.copy(Register::RSI, Register::RDX);
    assembler.copy(Register::RDX, Register::R8);
}

/// Undoes [`enter_from_windows`].
fn leave_to_windows(assembler: &mut Assembler) {
    for number in WINDOWS_SAVED_VECTORS {
        let (address, register) = saved_vector(number);
        assembler.emit(Code::VEX_Vmovups_xmm_xmmm128, [register.into(), address.into()]);
    }
    assembler.with_number(Code::Add_rm64_imm32, Register::RSP, 16 * WINDOWS_SAVED_VECTORS.len() as i32);
    assembler.with_register(Code::Pop_r64, Register::RSI);
    assembler.with_register(Code::Pop_r64, Register::RDI);
}
