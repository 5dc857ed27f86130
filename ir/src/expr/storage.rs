//! Storage types in expressions: casts, quantisation, and the classes of numbers.

use super::node::Expr;
use crate::graph::Axes;
use crate::op::StorageType;

impl Expr {
    /// This rounded to a storage type, as storing and loading it would: so that a chain in float32 can give the bits of a framework
    /// that stores every step in bfloat16.
    ///
    /// A cast to f64 changes nothing, and one to bool is `x != 0`. In float32 arithmetic a cast to f32 changes nothing either.
    pub fn cast(&self, ty: StorageType) -> Expr {
        match ty.cast_op() {
            Some(op) => Expr::elementwise(op, vec![self.clone()]),
            None if ty == StorageType::Bool => self.clone().into_truth(),
            None => self.clone(),
        }
    }

    /// round(this / scale) + zero_point, ties to even, cut at the ends of an integer type, NaN as 0: ONNX' QuantizeLinear.
    ///
    /// Where the scale is 0 the quotient is infinite and so the result an end of the type, but of 0 it is NaN and the result 0 (without
    /// the zero point).
    pub fn quantize(&self, scale: impl Into<Expr>, zero_point: impl Into<Expr>, ty: StorageType) -> Expr {
        let (quotient, zero_point) = (self.clone() / scale.into(), zero_point.into());
        match zero_point.constant_value() {
            // The cast rounds.
            Some(0.0) => quotient.cast(ty),
            _ => (quotient.round() + zero_point).cast(ty),
        }
    }

    /// (this − zero_point) · scale: ONNX' DequantizeLinear.
    pub fn dequantize(&self, scale: impl Into<Expr>, zero_point: impl Into<Expr>) -> Expr {
        let zero_point = zero_point.into();
        let difference = match zero_point.constant_value() {
            Some(0.0) => self.clone(),
            _ => self.clone() - zero_point,
        };
        difference * scale.into()
    }

    /// Whether this is no number.
    pub fn is_nan(&self) -> Expr {
        self.not_equal(self)
    }

    /// Whether this is an infinity.
    pub fn is_infinite(&self) -> Expr {
        self.abs().equal(f64::INFINITY)
    }

    /// Whether this is neither an infinity nor NaN.
    pub fn is_finite(&self) -> Expr {
        self.abs().less(f64::INFINITY)
    }

    /// The largest absolute value over axes, which stay with length 1: what scales are made of.
    pub fn absmax(&self, axes: impl Into<Axes>) -> Expr {
        self.abs().max(axes)
    }
}
