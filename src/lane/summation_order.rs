//! The order in which a reduction takes its elements: what every backend and the loops around them agree on.
//!
//! A row is cut into *chunks*: blocks of [`BLOCK`] elements; of what is left, as many whole groups of [`GROUP`] elements as
//! there are; then as many fours as there are; then at most three elements. All but the last are taken [`CYCLE`] elements at a
//! time, which are [`ACCUMULATOR_LANES`] apart (in a chunk shorter than a group, a quarter of it), and go as (first + second) +
//! (third + fourth) to lane `i mod` [`ACCUMULATOR_LANES`], `i` counting the fours. The lanes of a chunk combine by the tree of
//! [`combine_lanes`], and chunks add up in float64 in ascending order. All of it depends on the row's length alone, not on the
//! machine, the threads, or how the row lies in memory.

use super::op::{Lane, ReductionOperator};

/// How many lanes an accumulator has, whatever the machine.
pub const ACCUMULATOR_LANES: usize = 32;

/// The tree that combines the lanes of an accumulator: lane `l` takes in lane `l + 16` (for `l` below 16), then `l + 8`
/// (below 8), `l + 4`, `l + 2`, `l + 1`; lane 0 is the result. Every step is [`ReductionOperator::apply`] in the lanes' own
/// precision, the lower lane being the accumulator.
pub fn combine_lanes<L: Lane>(combine: ReductionOperator, mut lanes: [L; ACCUMULATOR_LANES]) -> L {
    let mut width = ACCUMULATOR_LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = combine.apply(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// How many bodies of a loop share a row, a group of [`ACCUMULATOR_LANES`] each in turns (see [`super::Layout::BlockCyclic`]).
pub const CYCLE: usize = 4;

/// Elements that [`CYCLE`] bodies do in turns of the lanes of an accumulator.
pub const GROUP: usize = CYCLE * ACCUMULATOR_LANES;

/// Elements of a row that lanes add up in the storage precision before float64 takes over: 8 fours a lane, so that
/// the error of a block is at most 2 (fours) + 7 (lanes) + 5 (tree) roundings, and about 1 ULP in practice
/// (`tests/row_sums.rs` holds it to 4). Sums in two exact parts rely on it too: see [`GRID_EXPONENT`].
pub const BLOCK: usize = 1024;

/// Levels of the tree of [`combine_lanes`], the lanes themselves counted: as many strips as an accumulator needs where each
/// lane is a strip of scratch.
pub const TREE_DEPTH: usize = ACCUMULATOR_LANES.ilog2() as usize + 1;

/// Sums in two exact parts round fours of their terms to a grid: adding 1.5 times 2 to this power, and taking it away again, leaves a
/// multiple of its last place.
pub const GRID_EXPONENT: i32 = 74;

/// Terms of a sum in two exact parts are at most 2 to this power (softmax's are scaled to it).
pub const LARGEST_TERM_EXPONENT: i32 = 65;

// The tree halves lanes; blocks are whole groups, and whole turns of every lane.
const _: () = assert!(ACCUMULATOR_LANES.is_power_of_two() && BLOCK.is_multiple_of(GROUP));
// Four terms leave the grid's constant in its binade, so that all are rounded alike.
const _: () = assert!(LARGEST_TERM_EXPONENT + (CYCLE.ilog2() as i32) < GRID_EXPONENT - 1);
// A block of multiples of the grid's last place has no more bits than a number: it adds up exactly, in any order.
const _: () = assert!(LARGEST_TERM_EXPONENT + (BLOCK.ilog2() as i32) <= GRID_EXPONENT + 1);
