//! The ops of the op table on arbitrary-precision numbers.
//!
//! Arithmetic, roots, exponentials, logarithms and trigonometry are astro-float's, which rounds correctly; here are the
//! functions it lacks. Each result is good to nearly all of the asked precision, *relative to the result*: where a
//! subtraction cancels, the parts are computed with as many bits more.
//!
//! - expm1, log1p, x − tanh x: the obvious difference, with the bits that cancel added to the precision; below the point
//!   where the next term of the Taylor series is past the precision, the first term.
//! - erf for |z| < 6: 2z/√π · e^(−z²) · Σ (2z²)ⁿ/(2n+1)!!, all terms of one sign (Abramowitz and Stegun 7.1.6).
//! - erfc for z ≥ 6: the continued fraction (7.1.14), with a number of levels that grows with the precision.
//!
//! Numbers beyond e^±2²⁷ count as infinities and zeros.

use super::ROUNDING;
use super::number::{binade, from_f64, to_f64};
use astro_float::{BigFloat, Consts, Sign};
use fuselet::ir::Op;

/// More bits for the insides of a function of several roundings.
const GUARD: usize = 64;

/// From here on |z| has erfc by its continued fraction.
const CONTINUED_FRACTION_FROM: f64 = 6.0;

/// Computes ops with a precision in bits.
pub struct Arithmetic {
    constants: Consts,
}

impl Arithmetic {
    /// Ready to compute.
    pub fn new() -> Arithmetic {
        Arithmetic { constants: Consts::new().expect("the cache of constants fits into memory") }
    }

    /// An op of the table on exact arguments.
    pub fn apply(&mut self, op: Op, arguments: &[&BigFloat], p: usize) -> BigFloat {
        let argument = |index: usize| arguments[index];
        let a = || arguments[0];
        let order = |index: usize, other: usize| argument(index).cmp(argument(other));
        match op {
            Op::Neg => a().neg(),
            Op::Abs => a().abs(),
            Op::Add => a().add(argument(1), p, ROUNDING),
            Op::Sub => a().sub(argument(1), p, ROUNDING),
            Op::Mul => a().mul(argument(1), p, ROUNDING),
            Op::Div => a().div(argument(1), p, ROUNDING),
            Op::Fma | Op::MultiplyAdd => a().mul(argument(1), 2 * p, ROUNDING).add(argument(2), p, ROUNDING),
            Op::Sqrt => a().sqrt(p, ROUNDING),
            Op::Minimum | Op::Maximum => match order(0, 1) {
                None => astro_float::NAN,
                Some(order) if (order < 0) == (op == Op::Minimum) => a().clone(),
                Some(_) => argument(1).clone(),
            },
            Op::CopySign => {
                let mut result = a().abs();
                result.set_sign(if argument(1).is_negative() { Sign::Neg } else { Sign::Pos });
                result
            }
            Op::Floor | Op::Ceil | Op::Trunc | Op::Round if a().is_inf() || a().is_nan() => a().clone(),
            Op::Floor => a().floor(),
            Op::Ceil => a().ceil(),
            Op::Trunc => a().int(),
            Op::Round => a().round(0, ROUNDING),
            Op::Less => truth(order(0, 1).is_some_and(|order| order < 0)),
            Op::LessEqual => truth(order(0, 1).is_some_and(|order| order <= 0)),
            Op::Equal => truth(order(0, 1).is_some_and(|order| order == 0)),
            Op::And => truth(is_true(a()) && is_true(argument(1))),
            Op::Or => truth(is_true(a()) || is_true(argument(1))),
            Op::Not => truth(!is_true(a())),
            Op::Select => argument(if is_true(a()) { 1 } else { 2 }).clone(),
            Op::Exp => self.exp(a(), p),
            Op::Expm1 | Op::Expm1Nonpositive => self.expm1(a(), p),
            Op::Log => self.log(a(), p),
            Op::Log1p | Op::Log1pUnit => self.log1p(a(), p),
            Op::Tanh => self.tanh(a(), p),
            Op::Sin => a().sin(p, ROUNDING, &mut self.constants),
            Op::Cos => a().cos(p, ROUNDING, &mut self.constants),
            Op::Erf => self.erf(a(), p),
            Op::Erfc => self.erfc(a(), p),
            Op::Erfcx => self.erfcx(a(), p),
            Op::NormalCdf => self.normal_cdf(a(), p),
            Op::Pow => self.pow(a(), argument(1), p),
            Op::ExpNegScaled => scale(self.exp(&a().neg(), p), 64),
            Op::ExpNegScaledSum => {
                let sum = a().add(argument(1), p + GUARD, ROUNDING);
                scale(self.exp(&sum.neg(), p), 64)
            }
            Op::ExpScaled => {
                let power = to_f64(argument(1));
                if power.is_finite() { scale(self.exp(a(), p), power as i32) } else { from_f64(f64::NAN, p) }
            }
            Op::NormalTailScaled => scale(self.normal_cdf(&a().neg(), p), 64),
            // The power of two alone matters, and that of a float64 is exact.
            Op::Binade => from_f64((op.row().meaning)([to_f64(a()), 0.0, 0.0]), p),
            // By way of a float64, which decides but for what lies within its last bit of a tie.
            Op::CastF32
            | Op::CastF16
            | Op::CastBf16
            | Op::CastI32
            | Op::CastI16
            | Op::CastI8
            | Op::CastU32
            | Op::CastU16
            | Op::CastU8 => from_f64((op.row().meaning)([to_f64(a()), 0.0, 0.0]), p),
            Op::TanhGap => self.tanh_gap(a(), p),
            Op::ExpCutoff => from_f64((op.row().meaning)([0.0; 3]), p),
            // Nothing is rounded here, so there is nothing to repair.
            Op::ProductError | Op::DifferenceError => from_f64(0.0, p),
        }
    }

    fn exp(&mut self, a: &BigFloat, p: usize) -> BigFloat {
        if binade(a).is_some_and(|binade| binade >= 27) {
            return if a.is_negative() { from_f64(0.0, p) } else { astro_float::INF_POS };
        }
        a.exp(p, ROUNDING, &mut self.constants)
    }

    fn expm1(&mut self, a: &BigFloat, p: usize) -> BigFloat {
        let lost = match binade(a) {
            None if a.is_zero() => return a.clone(),
            None => 0,
            Some(binade) => (-binade).max(0) as usize,
        };
        if lost > p {
            return a.clone();
        }
        self.exp(a, p + lost + GUARD).sub(&one(), p, ROUNDING)
    }

    fn log(&mut self, a: &BigFloat, p: usize) -> BigFloat {
        if a.is_zero() {
            return astro_float::INF_NEG;
        }
        if a.is_negative() {
            return astro_float::NAN;
        }
        a.ln(p, ROUNDING, &mut self.constants)
    }

    fn log1p(&mut self, a: &BigFloat, p: usize) -> BigFloat {
        let lost = match binade(a) {
            None if a.is_zero() => return a.clone(),
            None => 0,
            Some(binade) => (-binade).max(0) as usize,
        };
        if lost > p {
            return a.clone();
        }
        let sum = a.add(&one(), p + lost + GUARD, ROUNDING);
        self.log(&sum, p)
    }

    fn tanh(&mut self, a: &BigFloat, p: usize) -> BigFloat {
        if a.is_inf() || binade(a).is_some_and(|binade| binade >= 12) {
            // 1 − |tanh a| is below 2⁻¹¹⁰⁰⁰.
            return if a.is_negative() { one().neg() } else { one() };
        }
        a.tanh(p, ROUNDING, &mut self.constants)
    }

    fn tanh_gap(&mut self, a: &BigFloat, p: usize) -> BigFloat {
        let Some(binade) = binade(a) else {
            return a.clone();
        };
        let lost = (-2 * binade).max(0) as usize;
        if lost > p + 8 {
            let cube = a.mul(a, p + GUARD, ROUNDING).mul(a, p + GUARD, ROUNDING);
            return cube.div(&from_f64(3.0, p), p, ROUNDING);
        }
        let tanh = self.tanh(a, p + lost + GUARD);
        a.sub(&tanh, p, ROUNDING)
    }

    fn pow(&mut self, a: &BigFloat, b: &BigFloat, p: usize) -> BigFloat {
        let special = |x: &BigFloat| x.is_nan() || x.is_inf() || x.is_zero();
        if special(a) || special(b) {
            // Zeros, infinities, one or NaN: exact in float64.
            return from_f64(libm::pow(to_f64(a), to_f64(b)), p);
        }
        if a.is_negative() && !b.is_int() {
            return astro_float::NAN;
        }
        let log = self.log(&a.abs(), p + GUARD);
        let result = self.exp(&log.mul(b, p + GUARD, ROUNDING), p);
        let odd = b.is_int() && !scale(b.clone(), -1).is_int();
        if a.is_negative() && odd { result.neg() } else { result }
    }

    fn erf(&mut self, z: &BigFloat, p: usize) -> BigFloat {
        if z.is_nan() || z.is_zero() {
            return z.clone();
        }
        if to_f64(z).abs() >= CONTINUED_FRACTION_FROM {
            let rest = one().sub(&self.erfc(&z.abs(), p), p, ROUNDING);
            return if z.is_negative() { rest.neg() } else { rest };
        }
        let q = p + GUARD;
        let square = z.mul(z, q, ROUNDING);
        let twice = scale(square.clone(), 1);
        let (mut term, mut sum) = (z.clone(), z.clone());
        let mut odd = 1.0;
        while binade(&term).zip(binade(&sum)).is_some_and(|(term, sum)| term + q as i64 > sum) {
            odd += 2.0;
            term = term.mul(&twice, q, ROUNDING).div(&from_f64(odd, q), q, ROUNDING);
            sum = sum.add(&term, q, ROUNDING);
        }
        let factor = self.exp(&square.neg(), q);
        let root = self.root_of_pi(q);
        scale(sum.mul(&factor, q, ROUNDING).div(&root, p, ROUNDING), 1)
    }

    fn erfc(&mut self, z: &BigFloat, p: usize) -> BigFloat {
        if z.is_nan() {
            return z.clone();
        }
        // erfc(6) is 2⁻⁵⁵: fewer bits than the guard cancel.
        if to_f64(z) < CONTINUED_FRACTION_FROM {
            let erf = self.erf(z, p + 2 * GUARD);
            return one().sub(&erf, p, ROUNDING);
        }
        let q = p + GUARD;
        let square = z.mul(z, q, ROUNDING);
        let factor = self.exp(&square.neg(), q);
        factor.mul(&self.erfcx_fraction(z, q), p, ROUNDING)
    }

    fn erfcx(&mut self, z: &BigFloat, p: usize) -> BigFloat {
        if z.is_nan() {
            return z.clone();
        }
        if to_f64(z) >= CONTINUED_FRACTION_FROM {
            return self.erfcx_fraction(z, p);
        }
        let q = p + GUARD;
        let factor = self.exp(&z.mul(z, q, ROUNDING), q);
        factor.mul(&self.erfc(z, q), p, ROUNDING)
    }

    /// e^(z²) · erfc(z) = 1/√π · 1/(z + (1/2)/(z + (2/2)/(z + (3/2)/(z + …)))), from below.
    fn erfcx_fraction(&mut self, z: &BigFloat, p: usize) -> BigFloat {
        if z.is_inf() {
            return from_f64(0.0, p);
        }
        let q = p + GUARD;
        // The error after n levels falls like e^(−4z√n) or faster.
        let levels = (q as f64 * std::f64::consts::LN_2 / (4.0 * to_f64(z).max(CONTINUED_FRACTION_FROM))).powi(2);
        let mut tail = from_f64(0.0, q);
        for level in (1..=(2.0 * levels) as u32 + 30).rev() {
            let below = z.add(&tail, q, ROUNDING);
            tail = from_f64(0.5 * f64::from(level), q).div(&below, q, ROUNDING);
        }
        let root = self.root_of_pi(q);
        z.add(&tail, q, ROUNDING).mul(&root, q, ROUNDING).reciprocal(p, ROUNDING)
    }

    fn normal_cdf(&mut self, a: &BigFloat, p: usize) -> BigFloat {
        let q = p + GUARD;
        let root = from_f64(2.0, q).sqrt(q, ROUNDING);
        let z = a.neg().div(&root, q, ROUNDING);
        scale(self.erfc(&z, p), -1)
    }

    fn root_of_pi(&mut self, p: usize) -> BigFloat {
        self.constants.pi(p, ROUNDING).sqrt(p, ROUNDING)
    }
}

fn one() -> BigFloat {
    BigFloat::from_word(1, 64)
}

fn truth(value: bool) -> BigFloat {
    BigFloat::from_word(u64::from(value), 64)
}

/// Whether a bool holds. NaN is not zero.
pub fn is_true(a: &BigFloat) -> bool {
    !a.is_zero()
}

/// a · 2ⁿ.
fn scale(mut a: BigFloat, n: i32) -> BigFloat {
    if !a.is_zero()
        && let Some(exponent) = a.exponent()
    {
        a.set_exponent(exponent + n);
    }
    a
}
