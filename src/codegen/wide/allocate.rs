//! Register allocation: one walk over straight-line code, evicting the value whose next use is farthest.
//!
//! A body has no control flow, so all future uses are known: this is Belady's rule, the best there is for reloads.
//! Constants and uniforms have a home in memory and are evicted for nothing; a local is written to a slot of the frame
//! the first time it is evicted and never again (values are assigned once). What is loaded from an array for one use stays there
//! until it is used, as long as nothing is stored. Residents may be **pinned**: they keep one register through all loops of the pass.
//!
//! The allocator only decides; [`super::emit`] writes the instructions it asks for (spills and reloads included).

use super::machine::{Class, Node, ValueId};

/// A value in a numbering that residents and the locals of all interleaved bodies share.
pub(super) type Dense = usize;

const NOBODY: u32 = u32::MAX;
const NO_REGISTER: u8 = u8::MAX;

/// A place in memory that holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// None yet.
    Nowhere,
    /// An element (or, on AVX2, a vector) of the pool.
    Pool(u32),
    /// A slot of the frame that is the value's for good.
    Fixed(i32),
    /// A slot the value was spilled to.
    Spilled(i32),
    /// The array of an operand, where interleaved body `copy` has its elements.
    Array { operand: u32, copy: u32 },
}

/// One value while code is emitted.
#[derive(Clone, Copy, Debug)]
struct State {
    register: u8,
    class: Class,
    pinned: bool,
    home: Home,
    /// The next entry of its uses, and the end of them.
    next: u32,
    end: u32,
}

/// One register file.
#[derive(Clone, Copy, Debug)]
struct File {
    owners: [u32; 32],
    /// Registers the allocator may hand out.
    allocatable: u32,
    /// Of these, the ones that hold nothing.
    free: u32,
    /// The ones the current node reads or writes.
    locked: u32,
}

/// Where residents are before a sequence starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResidentPlace {
    pub(super) class: Class,
    pub(super) home: Home,
    pub(super) pinned: Option<u8>,
}

/// What must be done to get a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evicted {
    /// The register.
    pub(super) register: u8,
    /// The value to be written to memory first; it is told where by [`Allocator::spilled`].
    pub(super) spill: Option<Dense>,
}

/// The state of registers and values at one point of a sequence.
#[derive(Debug)]
pub(super) struct Allocator {
    states: Vec<State>,
    files: [File; 2],
    uses: Vec<u32>,
    position: u32,
    residents: usize,
    locals: usize,
}

impl Allocator {
    /// Prepares for `copies` interleaved copies of `nodes`: position `i · copies + c` is node `i` of copy `c`.
    /// `vectors` and `masks` are the registers it may use.
    pub(super) fn new(
        nodes: &[Node],
        locals: usize,
        copies: usize,
        residents: &[ResidentPlace],
        vectors: u32,
        masks: u32,
    ) -> Allocator {
        let mut states: Vec<State> = Vec::with_capacity(residents.len() + copies * locals);
        states.extend(residents.iter().map(|place| State {
            register: place.pinned.unwrap_or(NO_REGISTER),
            class: place.class,
            pinned: place.pinned.is_some(),
            home: place.home,
            next: 0,
            end: 0,
        }));
        let fresh =
            State { register: NO_REGISTER, class: Class::Vector, pinned: false, home: Home::Nowhere, next: 0, end: 0 };
        states.resize(residents.len() + copies * locals, fresh);
        let file = |allocatable| File { owners: [NOBODY; 32], allocatable, free: allocatable, locked: 0 };
        let mut allocator = Allocator {
            states,
            files: [file(vectors), file(masks)],
            uses: Vec::new(),
            position: 0,
            residents: residents.len(),
            locals,
        };
        allocator.collect_uses(nodes, copies);
        allocator
    }

    /// Lists the positions of the uses of each value, by a counting sort.
    fn collect_uses(&mut self, nodes: &[Node], copies: usize) {
        for node in nodes {
            for copy in 0..copies {
                if node.result != ValueId::NONE {
                    let result = self.dense(node.result, copy);
                    self.states[result].class = node.class;
                }
                for argument in node.arguments() {
                    let argument = self.dense(argument, copy);
                    self.states[argument].end += 1;
                }
            }
        }
        let mut total = 0;
        for state in &mut self.states {
            let count = state.end;
            (state.next, state.end) = (total, total);
            total += count;
        }
        self.uses = vec![0; total as usize];
        for (index, node) in nodes.iter().enumerate() {
            for copy in 0..copies {
                for argument in node.arguments() {
                    let argument = self.dense(argument, copy);
                    let state = &mut self.states[argument];
                    self.uses[state.end as usize] = (index * copies + copy) as u32;
                    state.end += 1;
                }
            }
        }
    }

    /// The shared number of a value of a copy.
    pub(super) fn dense(&self, value: ValueId, copy: usize) -> Dense {
        if value.is_resident() { value.index() } else { self.residents + copy * self.locals + value.index() }
    }

    /// The node now being emitted.
    pub(super) fn set_position(&mut self, position: usize) {
        self.position = position as u32;
    }

    // ---- questions

    /// The register that holds a value.
    pub(super) fn register(&self, value: Dense) -> Option<u8> {
        let register = self.states[value].register;
        (register != NO_REGISTER).then_some(register)
    }

    /// Where a value is in memory.
    pub(super) fn home(&self, value: Dense) -> Home {
        self.states[value].home
    }

    /// The register file of a value.
    pub(super) fn class(&self, value: Dense) -> Class {
        self.states[value].class
    }

    /// The next position, after the current one, that reads the value; `u32::MAX` if none.
    pub(super) fn next_use(&self, value: Dense) -> u32 {
        let state = &self.states[value];
        let uses = &self.uses[state.next as usize..state.end as usize];
        uses.iter().copied().find(|position| *position > self.position).unwrap_or(u32::MAX)
    }

    /// Whether the value is read once in all.
    pub(super) fn is_read_once(&self, value: Dense) -> bool {
        let state = &self.states[value];
        state.end - state.next == 1
    }

    /// Whether the current node may overwrite the register of a value it reads: nobody reads it later, or memory has it.
    pub(super) fn may_overwrite(&self, value: Dense) -> bool {
        !self.states[value].pinned && (self.next_use(value) == u32::MAX || self.states[value].home != Home::Nowhere)
    }

    /// Whether a register could be had without evicting anything.
    pub(super) fn has_free(&self, class: Class) -> bool {
        self.files[class as usize].free != 0
    }

    // ---- changes

    /// Keeps the register of a value from being evicted until the node is done.
    pub(super) fn lock(&mut self, value: Dense) {
        let state = &self.states[value];
        if state.register != NO_REGISTER {
            self.files[state.class as usize].locked |= 1 << state.register;
        }
    }

    /// A register for the current node, locked: a free one, or that of the value whose next use is farthest.
    pub(super) fn take(&mut self, class: Class) -> Evicted {
        let file = self.files[class as usize];
        let register = if file.free != 0 {
            file.free.trailing_zeros() as u8
        } else {
            let mut candidates = file.allocatable & !file.locked;
            debug_assert_ne!(candidates, 0, "a node needs more registers than there are");
            let mut best = (0u32, candidates.trailing_zeros() as u8);
            while candidates != 0 {
                let register = candidates.trailing_zeros() as u8;
                candidates &= candidates - 1;
                let owner = file.owners[usize::from(register)];
                let distance = if owner == NOBODY { u32::MAX } else { self.next_use(owner as usize) };
                if distance > best.0 {
                    best = (distance, register);
                }
            }
            best.1
        };
        let owner = file.owners[usize::from(register)];
        let mut spill = None;
        if owner != NOBODY {
            let value = owner as usize;
            self.states[value].register = NO_REGISTER;
            if self.states[value].home == Home::Nowhere && self.next_use(value) != u32::MAX {
                spill = Some(value);
            }
        }
        let file = &mut self.files[class as usize];
        file.owners[usize::from(register)] = NOBODY;
        file.free &= !(1 << register);
        file.locked |= 1 << register;
        Evicted { register, spill }
    }

    /// Notes that a value was written to a slot.
    pub(super) fn spilled(&mut self, value: Dense, slot: i32) {
        self.states[value].home = Home::Spilled(slot);
    }

    /// Notes that a value, which is in no register, is in an operand's array.
    pub(super) fn leave_in_array(&mut self, value: Dense, operand: usize, copy: usize) {
        self.states[value].home = Home::Array { operand: operand as u32, copy: copy as u32 };
    }

    /// Notes that the array of a value may change. If the value is still to be read, it must be in a register by now.
    pub(super) fn forget_array(&mut self, value: Dense) {
        debug_assert!(matches!(self.states[value].home, Home::Array { .. }));
        self.states[value].home = Home::Nowhere;
    }

    /// Notes that a taken register now holds a value.
    pub(super) fn assign(&mut self, value: Dense, register: u8) {
        let class = self.states[value].class;
        self.states[value].register = register;
        self.files[class as usize].owners[usize::from(register)] = value as u32;
    }

    /// Takes the register of a value away from it; the register stays taken and locked.
    pub(super) fn steal(&mut self, value: Dense) -> u8 {
        let state = &mut self.states[value];
        let register = std::mem::replace(&mut state.register, NO_REGISTER);
        let file = &mut self.files[state.class as usize];
        file.owners[usize::from(register)] = NOBODY;
        file.locked |= 1 << register;
        register
    }

    /// Gives back a taken register that holds no value.
    pub(super) fn release(&mut self, class: Class, register: u8) {
        let file = &mut self.files[class as usize];
        file.free |= 1 << register;
        file.locked &= !(1 << register);
    }

    /// Done reading a value at this node: if nobody reads it later, its register and its slot (returned) are free.
    pub(super) fn done_reading(&mut self, value: Dense) -> Option<i32> {
        let position = self.position;
        let state = &mut self.states[value];
        while state.next < state.end && self.uses[state.next as usize] <= position {
            state.next += 1;
        }
        if state.next < state.end || state.pinned {
            return None;
        }
        let register = std::mem::replace(&mut state.register, NO_REGISTER);
        let class = state.class;
        let slot = match state.home {
            Home::Spilled(slot) => {
                state.home = Home::Nowhere;
                Some(slot)
            }
            _ => None,
        };
        if register != NO_REGISTER {
            self.files[class as usize].owners[usize::from(register)] = NOBODY;
            self.release(class, register);
        }
        slot
    }

    /// Unlocks everything: the node is done.
    pub(super) fn unlock(&mut self) {
        self.files[0].locked = 0;
        self.files[1].locked = 0;
    }
}
