//! Groups of lane instructions that AVX-512 does in one: found before selection, which then skips what is absorbed.
//!
//! - **Ternary logic**: a tree of bit operations (and, or, xor, and-not, |x|, −x) with at most three different leaves
//!   is one `vpternlog`, its truth table computed here.
//! - **Merging**: a select whose first choice is the result of one operation nobody else reads is that operation under a
//!   mask, written over the other choice.
//!
//! Only values with a single reader are absorbed, so nothing is computed twice.

use super::target::Simd;
use crate::array::ComputeDtype;
use crate::lane::{Instruction, LaneOp, Pass};

/// What a tree of bit operations reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    /// The value of an instruction.
    Value(usize),
    /// The constant whose only bit is the sign.
    SignBit,
}

/// A Boolean function of at most three leaves, bit by bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logic {
    leaves: [Option<Leaf>; 3],
    /// Bit `4a + 2b + c` is the value at leaves a, b, c.
    pub(super) table: u8,
    /// How many instructions it stands for.
    operations: u32,
}

/// The columns of the truth table: what each leaf is by itself.
const COLUMNS: [u8; 3] = [0xf0, 0xcc, 0xaa];

impl Logic {
    fn leaf(leaf: Leaf) -> Logic {
        Logic { leaves: [Some(leaf), None, None], table: COLUMNS[0], operations: 0 }
    }

    /// The leaves; those past their number repeat the first.
    pub(super) fn leaves(&self) -> Option<[Leaf; 3]> {
        let first = self.leaves[0]?;
        Some(self.leaves.map(|leaf| leaf.unwrap_or(first)))
    }

    /// The same function as a table over other leaves, which include its own.
    fn over(&self, leaves: &[Option<Leaf>; 3]) -> u8 {
        (0..8u8).fold(0, |table, index| {
            let own = self.leaves.iter().enumerate().fold(0u8, |own, (place, leaf)| {
                let at = leaves.iter().position(|other| leaf.is_some() && other == leaf);
                own | at.map_or(0, |at| (index >> (2 - at) & 1) << (2 - place))
            });
            table | (self.table >> own & 1) << index
        })
    }

    /// Two functions under a bit operation, if they have no more than three leaves together.
    fn join(&self, other: &Logic, combine: impl Fn(u8, u8) -> u8) -> Option<Logic> {
        let mut leaves = self.leaves;
        for leaf in other.leaves.iter().flatten() {
            if !leaves.contains(&Some(*leaf)) {
                *leaves.iter_mut().find(|slot| slot.is_none())? = Some(*leaf);
            }
        }
        let table = combine(self.over(&leaves), other.over(&leaves));
        Some(Logic { leaves, table, operations: self.operations + other.operations + 1 })
    }
}

/// What selection should do differently for an instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    /// Nothing.
    None,
    /// It is part of another one.
    Absorbed,
    /// A tree of bit operations.
    Logic(Logic),
    /// A select that is an operation under its mask.
    Merge(Simd),
}

/// The patterns of a pass. `readers` counts the live readers of each value.
pub(super) fn find(pass: &Pass, readers: &[u32], uniform: &[bool]) -> Vec<Pattern> {
    let mut finder = Finder { pass, readers, uniform, logic: Vec::new(), patterns: Vec::new() };
    finder.walk();
    finder.patterns
}

struct Finder<'pass> {
    pass: &'pass Pass,
    readers: &'pass [u32],
    uniform: &'pass [bool],
    /// For each instruction that is a tree of bit operations, the tree.
    logic: Vec<Option<Logic>>,
    patterns: Vec<Pattern>,
}

impl Finder<'_> {
    fn walk(&mut self) {
        let instructions = &self.pass.program.instructions;
        self.patterns = vec![Pattern::None; instructions.len()];
        self.logic = vec![None; instructions.len()];
        for (index, instruction) in instructions.iter().enumerate() {
            if self.readers[index] == 0 {
                continue;
            }
            let Instruction::Apply { op, arguments } = instruction else { continue };
            match op {
                LaneOp::Select => self.merge(index, arguments[1].index()),
                _ => self.logic(index, *op, arguments.map(|value| value.index())),
            }
        }
        for (index, logic) in self.logic.iter().enumerate() {
            let Some(logic) = logic else { continue };
            let root = matches!(self.patterns[index], Pattern::None) && self.reinterpreted(index).is_none();
            if root && logic.operations > 1 && logic.leaves().is_some() {
                self.patterns[index] = Pattern::Logic(*logic);
            }
        }
    }

    fn merge(&mut self, select: usize, then: usize) {
        let Instruction::Apply { op, .. } = self.pass.program.instructions[then] else { return };
        let simd = match op {
            LaneOp::Add => Simd::Add,
            LaneOp::Sub => Simd::Sub,
            LaneOp::Mul => Simd::Mul,
            LaneOp::Div => Simd::Div,
            LaneOp::Min => Simd::Min,
            LaneOp::Max => Simd::Max,
            _ => return,
        };
        if self.readers[then] == 1 && !self.uniform[then] && !self.uniform[select] {
            self.patterns[then] = Pattern::Absorbed;
            self.patterns[select] = Pattern::Merge(simd);
        }
    }

    fn logic(&mut self, index: usize, op: LaneOp, [a, b, _]: [usize; 3]) {
        self.logic[index] = match op {
            // No operation of its own; it lets its argument's tree through.
            LaneOp::ToBits | LaneOp::ToFloat => {
                if self.absorbable(a, index) {
                    self.logic[index] = self.logic[a];
                }
                return;
            }
            LaneOp::Abs => self.join_if_small(index, a, None, |x, s| x & !s),
            LaneOp::Neg => self.join_if_small(index, a, None, |x, s| x ^ s),
            LaneOp::And => self.join_if_small(index, a, Some(b), |x, y| x & y),
            LaneOp::Or => self.join_if_small(index, a, Some(b), |x, y| x | y),
            LaneOp::Xor => self.join_if_small(index, a, Some(b), |x, y| x ^ y),
            LaneOp::AndNot => self.join_if_small(index, a, Some(b), |x, y| !x & y),
            _ => return,
        };
    }

    /// Joins the trees of two arguments (the second the sign bit, if there is none), absorbing as many as fit.
    fn join_if_small(
        &mut self,
        index: usize,
        a: usize,
        b: Option<usize>,
        combine: impl Fn(u8, u8) -> u8,
    ) -> Option<Logic> {
        let whole = |finder: &Finder<'_>, value: Option<usize>| match value {
            Some(value) if finder.absorbable(value, index) => finder.logic[value],
            _ => None,
        };
        let plain = |finder: &Finder<'_>, value: Option<usize>| {
            value.map_or(Logic::leaf(Leaf::SignBit), |value| finder.plain(value))
        };
        let (tree_a, tree_b) = (whole(self, Some(a)), whole(self, b));
        let (leaf_a, leaf_b) = (plain(self, Some(a)), plain(self, b));
        // Both trees, else the larger, else neither.
        let mut tries = [
            (tree_a.is_some(), tree_b.is_some()),
            (tree_a.is_some(), false),
            (false, tree_b.is_some()),
            (false, false),
        ];
        if tree_b.map_or(0, |tree| tree.operations) > tree_a.map_or(0, |tree| tree.operations) {
            tries.swap(1, 2);
        }
        for (take_a, take_b) in tries {
            let left = tree_a.filter(|_| take_a).unwrap_or(leaf_a);
            let right = tree_b.filter(|_| take_b).unwrap_or(leaf_b);
            if let Some(joined) = left.join(&right, &combine) {
                if take_a {
                    self.absorb(a);
                }
                if let (true, Some(b)) = (take_b, b) {
                    self.absorb(b);
                }
                return Some(joined);
            }
        }
        None
    }

    fn absorb(&mut self, value: usize) {
        self.patterns[value] = Pattern::Absorbed;
        if let Some(source) = self.reinterpreted(value) {
            self.absorb(source);
        }
    }

    /// The value that an instruction only takes for another kind.
    fn reinterpreted(&self, value: usize) -> Option<usize> {
        match self.pass.program.instructions[value] {
            Instruction::Apply { op: LaneOp::ToBits | LaneOp::ToFloat, arguments } => Some(arguments[0].index()),
            _ => None,
        }
    }

    /// Whether a value may vanish into the instruction that reads it.
    fn absorbable(&self, value: usize, reader: usize) -> bool {
        self.readers[value] == 1 && self.uniform[value] == self.uniform[reader] && self.logic[value].is_some()
    }

    /// A value as a leaf; the sign bit and its complement are recognised.
    fn plain(&self, value: usize) -> Logic {
        let sign = match self.pass.program.dtype {
            ComputeDtype::F32 => 1u64 << 31,
            ComputeDtype::F64 => 1 << 63,
        };
        match self.pass.program.instructions[value] {
            Instruction::Constant { bits, .. } if bits == sign => Logic::leaf(Leaf::SignBit),
            Instruction::Constant { bits, .. } if bits == sign - 1 => {
                Logic { table: !COLUMNS[0], ..Logic::leaf(Leaf::SignBit) }
            }
            _ => Logic::leaf(Leaf::Value(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_tables_are_the_joined_function() {
        let [a, b, c] = [0, 1, 2].map(|index| Logic::leaf(Leaf::Value(index)));
        let inner = c.join(&a, |x, y| x & !y).expect("two leaves");
        let whole = inner.join(&b, |x, y| x ^ y).expect("three leaves");
        // The leaves stand in the order they were met: c, a, b.
        for index in 0..8u8 {
            let [c, a, b] = [index >> 2 & 1, index >> 1 & 1, index & 1];
            assert_eq!(whole.table >> index & 1, (c & !a & 1) ^ b, "{index:03b}");
        }
        let fourth = Logic::leaf(Leaf::SignBit);
        assert!(whole.join(&fourth, |x, y| x | y).is_none());
        assert!(whole.join(&a, |x, y| x | y).is_some());
    }
}
