//! Special functions, one file a family.
//!
//! Each expansion takes float lanes to a float lane by primitive ops alone: no call, no table, no branch. Its bits depend
//! on the dtype and on whether the machine has a fused multiply-add; never on how an argument was computed, so that fused and
//! unfused execution agree. So no expansion asks whether a lane happens to be a constant, but for `minmax`, where the bits
//! are the same either way: unfused, the same value may come from memory.
//!
//! The one op with another way for some constants, `pow`, is told by the graph (see [`super::lower_node`]).
//!
//! Coefficients are minimax fits (Remez exchange in high precision, each coefficient rounded in turn from the lowest
//! and the remaining ones fitted anew); `docs/numerics.md` tells how they are made and what was measured.

mod binade;
mod cast;
mod erf;
mod error_free;
mod exp;
mod expm1;
mod log;
mod minmax;
mod normal;
mod notation;
mod pow;
mod tanh;
mod trig;

use crate::lane::{LaneBuilder, Value};
use fuselet_ir::Op;
use notation::{Scope, Term};

/// Writes the lane ops of a power by a constant, if it is one of the few that need no logarithm.
pub(super) fn whole_power(builder: &mut LaneBuilder, x: Value, exponent: f64) -> Option<Value> {
    matches!(exponent, -1.0 | 0.0 | 1.0 | 2.0 | 3.0)
        .then(|| Scope::run(builder, [x], |_, [x]| pow::whole_power(x, exponent).expect("an exponent of the list")))
}

/// Writes the lane ops of an op that takes more than one of them.
pub(super) fn lower(builder: &mut LaneBuilder, op: Op, arguments: &[Value]) -> Value {
    let mut unary =
        |expansion: for<'s> fn(Term<'s>) -> Term<'s>| Scope::run(builder, [arguments[0]], |_, [a]| expansion(a));
    match op {
        Op::Exp => unary(exp::exp),
        Op::Expm1 => unary(expm1::expm1),
        Op::Log => unary(log::log),
        Op::Log1p => unary(log::log1p),
        Op::Tanh => unary(tanh::tanh),
        Op::Sin => unary(trig::sin),
        Op::Cos => unary(trig::cos),
        Op::Erf => unary(erf::erf),
        Op::Erfc => unary(erf::erfc),
        Op::Erfcx => unary(erf::erfcx),
        Op::NormalCdf => unary(normal::normal_cdf),
        Op::ExpNegScaled => unary(exp::exp_neg_scaled),
        Op::Expm1Nonpositive => unary(expm1::expm1_nonpositive),
        Op::Log1pUnit => unary(log::log1p_unit),
        Op::NormalTailScaled => unary(normal::normal_tail_scaled),
        Op::Binade => unary(binade::binade),
        Op::TanhGap => unary(tanh::tanh_gap),
        Op::CastF32
        | Op::CastF16
        | Op::CastBf16
        | Op::CastI32
        | Op::CastI16
        | Op::CastI8
        | Op::CastU32
        | Op::CastU16
        | Op::CastU8 => {
            let ty = op.cast_type().expect("these are casts");
            Scope::run(builder, [arguments[0]], |_, [a]| cast::cast(a, ty))
        }
        Op::ExpCutoff => Scope::run(builder, [], |scope, []| exp::exp_cutoff(scope)),
        _ => {
            let mut binary = |expansion: for<'s> fn(Term<'s>, Term<'s>) -> Term<'s>| {
                Scope::run(builder, [arguments[0], arguments[1]], |_, [a, b]| expansion(a, b))
            };
            match op {
                Op::Minimum => binary(minmax::minimum),
                Op::Maximum => binary(minmax::maximum),
                Op::CopySign => binary(minmax::copysign),
                Op::Pow => binary(pow::pow),
                Op::ExpNegScaledSum => binary(exp::exp_neg_scaled_sum),
                Op::ExpScaled => binary(exp::exp_scaled),
                Op::ProductError => binary(error_free::product_error),
                Op::DifferenceError => binary(error_free::difference_error),
                Op::Fma => {
                    let arguments = [arguments[0], arguments[1], arguments[2]];
                    Scope::run(builder, arguments, |_, [a, b, c]| error_free::fma(a, b, c))
                }
                _ => unreachable!("`{}` is lowered one level up", op.name()),
            }
        }
    }
}
