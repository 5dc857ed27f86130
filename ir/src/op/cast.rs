//! Which op rounds to which storage type.
//!
//! All types but two have one: a cast to f64 changes nothing, in whatever arithmetic, and one to bool is the comparison `x != 0`.

use super::storage::StorageType;
use super::table::Op;

const CASTS: &[(StorageType, Op)] = &[
    (StorageType::F32, Op::CastF32),
    (StorageType::F16, Op::CastF16),
    (StorageType::Bf16, Op::CastBf16),
    (StorageType::I32, Op::CastI32),
    (StorageType::I16, Op::CastI16),
    (StorageType::I8, Op::CastI8),
    (StorageType::U32, Op::CastU32),
    (StorageType::U16, Op::CastU16),
    (StorageType::U8, Op::CastU8),
];

impl StorageType {
    /// The op that rounds to this type, if there is one.
    pub fn cast_op(self) -> Option<Op> {
        CASTS.iter().find(|cast| cast.0 == self).map(|cast| cast.1)
    }
}

impl Op {
    /// The type that this op rounds to, if it is a cast.
    pub fn cast_type(self) -> Option<StorageType> {
        CASTS.iter().find(|cast| cast.1 == self).map(|cast| cast.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Class;

    #[test]
    fn every_cast_has_a_type_and_every_type_a_cast_but_two() {
        for op in Op::all() {
            assert_eq!(op.cast_type().is_some(), op.class() == Class::Cast, "{op}");
            if let Some(ty) = op.cast_type() {
                assert_eq!((op.name(), ty.cast_op()), (&*format!("cast_{ty}"), Some(op)));
            }
        }
        let without: Vec<StorageType> = StorageType::all().filter(|ty| ty.cast_op().is_none()).collect();
        assert_eq!(without, [StorageType::F64, StorageType::Bool]);
    }
}
