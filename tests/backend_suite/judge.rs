//! The judge: a pass evaluated lane by lane, in order, by the meaning of its ops; and the comparison with a backend.

use super::values::{self, Random, is_nan_element};
use fuselet::array::{ComputeDtype, Dtype};
use fuselet::codegen::{Backend, SCRATCH_ALIGNMENT};
use fuselet::lane::{
    ACCUMULATOR_LANES, Instruction, Lane, LaneKind, LaneOp, LaneProgram, Layout, Operand, OperandArgument, OperandId,
    Pass, ReductionOperator, Role, Shift, Value, combine_lanes,
};
use std::ops::Range;

/// Bytes before and after an array that nobody may touch.
const GUARD: usize = 128;

/// Where an operand lies: in which buffer, from which byte on.
#[derive(Clone, Debug)]
pub struct View {
    pub buffer: usize,
    pub start: usize,
    pub stride: isize,
    pub outer_stride: isize,
}

/// A pass and the memory it runs on. Two operands in one buffer are in place.
#[derive(Clone, Debug)]
pub struct Case {
    pub pass: Pass,
    pub span: usize,
    pub outer: usize,
    pub buffers: Vec<Vec<u8>>,
    pub views: Vec<View>,
}

/// How one operand is to lie.
#[derive(Clone, Copy, Debug)]
pub struct Lay {
    /// Bytes between elements, for strided operands.
    pub stride: isize,
    /// Bytes between spans.
    pub outer_stride: isize,
    /// Bytes the first element is moved from where an allocation would put it.
    pub skew: usize,
}

/// What scratch begins with: as numbers, NaN.
const GARBAGE: u8 = 0xff;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; SCRATCH_ALIGNMENT]);

impl Case {
    /// Buffers for a pass, an operand each, of random values. `lay` gives the layout of each operand.
    pub fn new(pass: &Pass, span: usize, outer: usize, seed: u64, lay: impl Fn(usize) -> Lay) -> Case {
        let mut random = Random(seed);
        let mut case = Case { pass: pass.clone(), span, outer, buffers: Vec::new(), views: Vec::new() };
        for index in 0..pass.operands.len() {
            let Lay { stride, outer_stride, skew } = lay(index);
            let mut view = View { buffer: index, start: 0, stride, outer_stride };
            let offsets: Vec<isize> = case.elements(index, &view).collect();
            let low = offsets.iter().copied().min().unwrap_or(0);
            let high = offsets.iter().copied().max().unwrap_or(0);
            view.start = (GUARD as isize + skew as isize - low) as usize;
            let dtype = pass.operands[index].dtype;
            let size = dtype.size();
            case.buffers.push(vec![0xa5; (high - low) as usize + size + 2 * GUARD + skew]);
            case.views.push(view.clone());
            if pass.operands[index].role == Role::Read {
                for offset in offsets {
                    let bits = random.element(pass.program.dtype, dtype);
                    case.put(index, (view.start as isize + offset) as usize, bits);
                }
            }
        }
        case
    }

    /// Everything contiguous, one span, the values of the operands read given; as many lanes as the first has.
    pub fn of_values(pass: &Pass, values: &[Vec<u64>]) -> Case {
        let span = values[0].len();
        let mut case = Case::new(pass, span, 1, 0, |_| Lay { stride: 0, outer_stride: 0, skew: 0 });
        for (operand, values) in values.iter().enumerate() {
            for (lane, bits) in values.iter().enumerate() {
                case.put(operand, case.at(operand, 0, lane), *bits);
            }
        }
        case
    }

    /// Gives an operand's elements, span by span, these values in turn.
    pub fn fill(&mut self, operand: usize, values: &[u64]) {
        for (at, bits) in self.offsets(operand).zip(values.iter().cycle()) {
            self.put(operand, at, *bits);
        }
    }

    /// Moves operand `to` to where operand `from` lies.
    pub fn put_in_place(&mut self, to: usize, from: usize) {
        self.views[to] = self.views[from].clone();
    }

    /// Moves operands into one array, each `distance` bytes behind the one before it.
    pub fn share(&mut self, operands: Range<usize>, distance: usize) {
        let first = operands.start;
        let more = vec![0xa5; (operands.len() - 1) * distance];
        self.buffers[first].splice(GUARD..GUARD, more);
        for operand in operands {
            let values: Vec<u64> = self.offsets(operand).map(|at| self.get(operand, at)).collect();
            self.views[operand].buffer = first;
            self.views[operand].start += (operand - first) * distance;
            for (at, bits) in self.offsets(operand).zip(values) {
                self.put(operand, at, bits);
            }
        }
    }

    /// The places of an operand's elements in its buffer.
    fn offsets(&self, operand: usize) -> std::vec::IntoIter<usize> {
        let view = &self.views[operand];
        let places: Vec<usize> =
            self.elements(operand, view).map(|offset| (view.start as isize + offset) as usize).collect();
        places.into_iter()
    }

    fn step(&self, operand: usize, view: &View) -> isize {
        match self.pass.operands[operand].layout {
            Layout::Contiguous | Layout::BlockCyclic | Layout::NonTemporal => {
                self.pass.operands[operand].dtype.size() as isize
            }
            Layout::Broadcast => 0,
            Layout::Strided => view.stride,
        }
    }

    /// Byte offsets of an operand's elements from its first.
    fn elements(&self, operand: usize, view: &View) -> impl Iterator<Item = isize> + use<> {
        let step = self.step(operand, view);
        let outer_stride = view.outer_stride;
        let span = if self.pass.operands[operand].role == Role::Accumulate { 1 } else { self.span };
        let layout = self.pass.operands[operand].layout;
        let place = move |i: usize| layout.place(i) as isize;
        (0..self.outer).flat_map(move |o| (0..span).map(move |i| o as isize * outer_stride + place(i) * step))
    }

    fn get(&self, operand: usize, at: usize) -> u64 {
        let bytes = &self.buffers[self.views[operand].buffer][at..];
        match self.pass.operands[operand].dtype.size() {
            1 => u64::from(bytes[0]),
            2 => u64::from(u16::from_ne_bytes(bytes[..2].try_into().unwrap())),
            4 => u64::from(u32::from_ne_bytes(bytes[..4].try_into().unwrap())),
            _ => u64::from_ne_bytes(bytes[..8].try_into().unwrap()),
        }
    }

    fn put(&mut self, operand: usize, at: usize, bits: u64) {
        let size = self.pass.operands[operand].dtype.size();
        let bytes = match size {
            1 => vec![bits as u8],
            2 => (bits as u16).to_ne_bytes().to_vec(),
            4 => (bits as u32).to_ne_bytes().to_vec(),
            _ => bits.to_ne_bytes().to_vec(),
        };
        self.buffers[self.views[operand].buffer][at..at + size].copy_from_slice(&bytes);
    }

    fn at(&self, operand: usize, o: usize, i: usize) -> usize {
        let view = &self.views[operand];
        let place = self.pass.operands[operand].layout.place(i) as isize;
        (view.start as isize + o as isize * view.outer_stride + place * self.step(operand, view)) as usize
    }

    /// What the pass means.
    pub fn judge(&mut self) {
        let program = self.pass.program.clone();
        for o in 0..self.outer {
            let mut accumulators: Vec<(OperandId, ReductionOperator, [u64; ACCUMULATOR_LANES])> = Vec::new();
            for instruction in &program.instructions {
                if let Instruction::Accumulate { operand, combine, .. } = instruction {
                    accumulators.push((*operand, *combine, [identity(program.dtype, *combine); ACCUMULATOR_LANES]));
                }
            }
            for i in 0..self.span {
                self.judge_lane(&program, o, i, &mut accumulators);
            }
            for (operand, combine, lanes) in accumulators {
                let at = self.at(operand.index(), o, 0);
                self.put(operand.index(), at, tree(program.dtype, combine, lanes));
            }
        }
    }

    fn judge_lane(
        &mut self,
        program: &LaneProgram,
        o: usize,
        i: usize,
        accumulators: &mut [(OperandId, ReductionOperator, [u64; ACCUMULATOR_LANES])],
    ) {
        let mut values = Vec::with_capacity(program.instructions.len());
        for instruction in &program.instructions {
            let of = |value: &Value| -> u64 { values[value.index()] };
            let bits = match instruction {
                Instruction::Constant { bits, .. } => *bits,
                Instruction::Load { operand } => {
                    let element = self.get(operand.index(), self.at(operand.index(), o, i));
                    values::load(program.dtype, self.pass.operands[operand.index()].dtype, element)
                }
                Instruction::LoadBits { operand } => self.get(operand.index(), self.at(operand.index(), o, i)),
                Instruction::Apply { op, arguments } => apply(program.dtype, *op, arguments.each_ref().map(of)),
                Instruction::Shift { direction, value, count } => shift(program.dtype, *direction, of(value), *count),
                Instruction::Store { operand, value } => {
                    let dtype = self.pass.operands[operand.index()].dtype;
                    let (at, lane) = (self.at(operand.index(), o, i), of(value));
                    self.put(operand.index(), at, values::store(program.dtype, dtype, lane));
                    0
                }
                Instruction::StoreBits { operand, value } => {
                    self.put(operand.index(), self.at(operand.index(), o, i), of(value));
                    0
                }
                Instruction::Accumulate { operand, combine, value } => {
                    let (.., lanes) = accumulators.iter_mut().find(|(owner, ..)| owner == operand).unwrap();
                    let lane = &mut lanes[i % ACCUMULATOR_LANES];
                    *lane = take(program.dtype, *combine, *lane, of(value));
                    0
                }
            };
            values.push(bits);
        }
    }

    /// All NaNs written become one.
    fn merge_nans(&mut self) {
        for operand in 0..self.pass.operands.len() {
            let dtype = self.pass.operands[operand].dtype;
            if matches!(self.pass.operands[operand].role, Role::Read | Role::Prefetch) {
                continue;
            }
            let view = self.views[operand].clone();
            for offset in self.elements(operand, &view) {
                let at = (view.start as isize + offset) as usize;
                if is_nan_element(dtype, self.get(operand, at)) {
                    self.put(operand, at, values::nan(dtype));
                }
            }
        }
    }

    fn run(&mut self, backend: &dyn Backend) {
        assert_eq!(self.pass.verify(), Ok(()));
        let code = backend.compile(&self.pass).unwrap_or_else(|error| panic!("{error}\n{}", self.pass));
        let bases: Vec<*mut u8> = self.buffers.iter_mut().map(|buffer| buffer.as_mut_ptr()).collect();
        let arguments: Vec<OperandArgument> = self
            .views
            .iter()
            .map(|view| OperandArgument {
                pointer: bases[view.buffer].wrapping_add(view.start),
                stride: view.stride,
                outer_stride: view.outer_stride,
            })
            .collect();
        // As much scratch as the code asks for, with bytes of no use in it, and a line behind it that is not to be touched.
        let bytes = code.scratch_bytes();
        let mut scratch = vec![Line([GARBAGE; SCRATCH_ALIGNMENT]); bytes.div_ceil(SCRATCH_ALIGNMENT) + 1];
        // SAFETY: the buffers hold every element of their operands, and outlive the call; operands share elements only
        // where a case puts one in place of another. Scratch is this call's own.
        unsafe { code.run_in(&arguments, self.span, self.outer, scratch.as_mut_ptr().cast()) };
        let after = scratch.iter().flat_map(|line| line.0).skip(bytes);
        assert!(
            after.eq(vec![GARBAGE; SCRATCH_ALIGNMENT * scratch.len() - bytes]),
            "written behind scratch\n{}",
            self.pass
        );
    }

    /// Fails unless the backend leaves every buffer as the judge does: results, inputs and guards.
    pub fn check(&self, backend: &dyn Backend) {
        let (mut right, mut found) = (self.clone(), self.clone());
        right.judge();
        found.run(backend);
        right.merge_nans();
        found.merge_nans();
        if right.buffers == found.buffers {
            return;
        }
        let mut report = format!("{}: span {}, outer {}\n{}", backend.name(), self.span, self.outer, self.pass);
        let touched = |operand: &usize| self.pass.operands[*operand].role != Role::Prefetch;
        for (operand, view) in self.views.iter().enumerate().filter(|(operand, _)| touched(operand)) {
            report += &format!(
                "operand {operand}: stride {}, outer stride {}, start {}\n",
                view.stride, view.outer_stride, view.start
            );
            let mut told = 0;
            for o in 0..self.outer {
                let span = if self.pass.operands[operand].role == Role::Accumulate { 1 } else { self.span };
                for i in 0..span {
                    let at = self.at(operand, o, i);
                    let (wanted, got) = (right.get(operand, at), found.get(operand, at));
                    if wanted != got && told < 4 {
                        told += 1;
                        let inputs: Vec<String> = (0..self.views.len())
                            .filter(|input| self.pass.operands[*input].role == Role::Read)
                            .map(|input| format!("{:#x}", self.get(input, self.at(input, o, i))))
                            .collect();
                        report += &format!("  [{o}][{i}]: {got:#x} instead of {wanted:#x} of {}\n", inputs.join(", "));
                    }
                }
            }
        }
        panic!("wrong bits (or, if none are listed, a byte outside all elements)\n{report}");
    }
}

fn apply(dtype: ComputeDtype, op: LaneOp, arguments: [u64; 3]) -> u64 {
    match dtype {
        ComputeDtype::F32 => u64::from(op.evaluate::<f32>(arguments.map(|bits| bits as u32))),
        _ => op.evaluate::<f64>(arguments),
    }
}

fn shift(dtype: ComputeDtype, direction: Shift, bits: u64, count: u8) -> u64 {
    match (dtype, direction) {
        (ComputeDtype::F32, Shift::Left) => u64::from((bits as u32) << count),
        (_, Shift::Left) => bits << count,
        (_, Shift::Right) => bits >> count,
    }
}

fn identity(dtype: ComputeDtype, combine: ReductionOperator) -> u64 {
    match dtype {
        ComputeDtype::F32 => u64::from(combine.identity::<f32>().to_bits()),
        _ => combine.identity::<f64>().to_bits(),
    }
}

fn take(dtype: ComputeDtype, combine: ReductionOperator, lane: u64, value: u64) -> u64 {
    match dtype {
        ComputeDtype::F32 => {
            u64::from(combine.apply(f32::from_bits(lane as u32), f32::from_bits(value as u32)).to_bits())
        }
        _ => combine.apply(f64::from_bits(lane), f64::from_bits(value)).to_bits(),
    }
}

fn tree(dtype: ComputeDtype, combine: ReductionOperator, lanes: [u64; ACCUMULATOR_LANES]) -> u64 {
    match dtype {
        ComputeDtype::F32 => {
            u64::from(combine_lanes(combine, lanes.map(|bits| <f32 as Lane>::float(bits as u32))).to_bits())
        }
        _ => combine_lanes(combine, lanes.map(<f64 as Lane>::float)).to_bits(),
    }
}

/// Writes passes by hand, without a builder's simplifications.
#[derive(Clone, Debug)]
pub struct Writer {
    pub dtype: ComputeDtype,
    /// How operands made from now on store their elements.
    pub storage: Dtype,
    pub instructions: Vec<Instruction>,
    pub operands: Vec<Operand>,
}

impl Writer {
    pub fn new(dtype: ComputeDtype) -> Writer {
        Writer { dtype, storage: dtype.storage(), instructions: Vec::new(), operands: Vec::new() }
    }

    pub fn push(&mut self, instruction: Instruction) -> Value {
        self.instructions.push(instruction);
        Value::from_index(self.instructions.len() - 1)
    }

    fn operand(&mut self, role: Role, layout: Layout) -> OperandId {
        let name = format!("{role:?}{}", self.operands.len()).to_lowercase();
        let dtype = if role == Role::Accumulate { self.dtype.storage() } else { self.storage };
        self.operands.push(Operand { role, dtype, layout, name });
        OperandId(self.operands.len() as u32 - 1)
    }

    /// A new operand, loaded.
    pub fn load(&mut self, layout: Layout) -> Value {
        let operand = self.operand(Role::Read, layout);
        self.push(Instruction::Load { operand })
    }

    /// A value stored to a new operand. After all loads.
    pub fn store(&mut self, layout: Layout, value: Value) {
        let operand = self.operand(Role::Write, layout);
        self.push(Instruction::Store { operand, value });
    }

    /// A new operand that is only prefetched.
    pub fn prefetch(&mut self) {
        self.operand(Role::Prefetch, Layout::BlockCyclic);
    }

    /// A value taken into a new accumulator. After all loads.
    pub fn accumulate(&mut self, combine: ReductionOperator, value: Value) {
        let operand = self.operand(Role::Accumulate, Layout::Contiguous);
        self.push(Instruction::Accumulate { operand, combine, value });
    }

    pub fn constant(&mut self, kind: LaneKind, bits: u64) -> Value {
        self.push(Instruction::Constant { kind, bits })
    }

    pub fn number(&mut self, value: f64) -> Value {
        self.constant(LaneKind::Float, values::bits(self.dtype, value))
    }

    pub fn apply(&mut self, op: LaneOp, arguments: &[Value]) -> Value {
        let mut padded = [arguments[0]; 3];
        padded[..arguments.len()].copy_from_slice(arguments);
        self.push(Instruction::Apply { op, arguments: padded })
    }

    pub fn shift(&mut self, direction: Shift, value: Value, count: u8) -> Value {
        self.push(Instruction::Shift { direction, value, count })
    }

    pub fn finish(self, name: &str) -> Pass {
        let program = LaneProgram { dtype: self.dtype, instructions: self.instructions };
        Pass { name: name.to_owned(), program, operands: self.operands }
    }
}
