//! The operators of Rust, and what may stand beside an expression.

use super::node::Expr;
use crate::op::Op;
use std::ops;

impl From<&Expr> for Expr {
    fn from(expr: &Expr) -> Expr {
        expr.clone()
    }
}

macro_rules! number_conversions {
    ($( $number:ty )*) => { $(
        impl From<$number> for Expr {
            fn from(value: $number) -> Expr { Expr::number(value) }
        }
    )* };
}

number_conversions! { f32 f64 i32 }

impl ops::Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        Expr::elementwise(Op::Neg, vec![self])
    }
}

impl ops::Neg for &Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        -self.clone()
    }
}

/// Logical not; a number counts as true if it is not 0.
impl ops::Not for Expr {
    type Output = Expr;
    fn not(self) -> Expr {
        Expr::elementwise(Op::Not, vec![self])
    }
}

impl ops::Not for &Expr {
    type Output = Expr;
    fn not(self) -> Expr {
        !self.clone()
    }
}

macro_rules! operators {
    ($( $operator:ident $method:ident $op:ident; )*) => { $(
        operators!(@one $operator $method $op, Expr, Expr);
        operators!(@one $operator $method $op, Expr, &Expr);
        operators!(@one $operator $method $op, &Expr, Expr);
        operators!(@one $operator $method $op, &Expr, &Expr);
        operators!(@one $operator $method $op, Expr, f32);
        operators!(@one $operator $method $op, &Expr, f32);
        operators!(@one $operator $method $op, f32, Expr);
        operators!(@one $operator $method $op, f32, &Expr);
        operators!(@one $operator $method $op, Expr, f64);
        operators!(@one $operator $method $op, &Expr, f64);
        operators!(@one $operator $method $op, f64, Expr);
        operators!(@one $operator $method $op, f64, &Expr);
        operators!(@one $operator $method $op, Expr, i32);
        operators!(@one $operator $method $op, &Expr, i32);
        operators!(@one $operator $method $op, i32, Expr);
        operators!(@one $operator $method $op, i32, &Expr);
    )* };
    (@one $operator:ident $method:ident $op:ident, $left:ty, $right:ty) => {
        impl ops::$operator<$right> for $left {
            type Output = Expr;
            fn $method(self, other: $right) -> Expr {
                Expr::elementwise(Op::$op, vec![Expr::from(self), Expr::from(other)])
            }
        }
    };
}

operators! {
    Add add Add;
    Sub sub Sub;
    Mul mul Mul;
    Div div Div;
}
