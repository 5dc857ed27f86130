//! The activations as typed constructors: `activations::relu().max_value(6.0)`.
//!
//! Each gives a builder with a setter for every parameter. A builder is used wherever an activation is: applied to an
//! expression, compiled by itself (of the input `x`), compared, printed, turned into an [`Activation`]. A parameter
//! that is not valid is reported where the activation is used. How each is computed, and how well, is told in the
//! library's own text (`library/activations.fuse`).

use crate::error::Error;
use crate::expr::{Expr, Program};
use crate::language::IntoProgram;
use crate::library::{Activation, Library, Value};
use std::fmt;
use std::sync::LazyLock;

static LIBRARY: LazyLock<Library> = LazyLock::new(Library::standard);

fn standard(name: &str) -> Activation {
    match LIBRARY.function(name) {
        Some(function) => Activation::new(function),
        // The names below are those of the library; a test calls every one.
        None => unreachable!("the standard library has no `{name}`"),
    }
}

macro_rules! activations {
    ($(
        $(#[doc = $doc:expr])*
        $name:ident => $builder:ident { $( $(#[doc = $parameter_doc:expr])* $parameter:ident: $ty:ty ),* $(,)? }
    )*) => { $(
        $(#[doc = $doc])*
        pub fn $name() -> $builder {
            $builder(standard(stringify!($name)))
        }

        #[doc = concat!("Builder of [`", stringify!($name), "`].")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $builder(Activation);

        impl $builder {
            $(
                $(#[doc = $parameter_doc])*
                #[must_use]
                pub fn $parameter(self, value: $ty) -> $builder {
                    $builder(self.0.with(stringify!($parameter), value))
                }
            )*

            /// Applied to an expression.
            pub fn apply(&self, expr: &Expr) -> Expr {
                self.0.apply(expr)
            }
        }

        impl From<$builder> for Activation {
            fn from(builder: $builder) -> Activation {
                builder.0
            }
        }

        impl fmt::Display for $builder {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl IntoProgram for $builder {
            fn into_program(self, library: &Library) -> Result<Program, Error> {
                self.0.into_program(library)
            }
        }
    )*

    /// Every constructor: its name, what it gives, and its setters.
    #[cfg(test)]
    const ALL: &[(&str, fn() -> Activation, &[&str])] =
        &[$( (stringify!($name), || $name().into(), &[$(stringify!($parameter)),*]) ),*];
    };
}

activations! {
    /// The identity: y = x.
    ///
    /// Range: all numbers. Derivative: 1.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::linear().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[-2.5])?[0]), "-2.50000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    linear => Linear {}

    /// Rectified linear unit: x above the threshold t, at most `max_value`; s · (x − t) at or below it.
    ///
    /// Range: from 0 (−inf with a slope) to `max_value`. Derivative at the kinks: the slope s at t, 0 at `max_value`.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::relu().max_value(6.0).into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[8.0])?[0]), "6.00000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    relu => Relu {
        /// The slope at and below the threshold (0).
        negative_slope: f64,
        /// The largest value (none); must not be negative.
        max_value: f64,
        /// Where the identity begins (0).
        threshold: f64,
    }

    /// Leaky rectified linear unit: x above 0, a · x elsewhere.
    ///
    /// Range: all numbers. Derivative at 0: the slope.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::leaky_relu().negative_slope(0.2).into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[-2.0])?[0]), "-0.40000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    leaky_relu => LeakyRelu {
        /// The slope up to 0 (0.01; Keras' own default is 0.2).
        negative_slope: f64,
    }

    /// min(max(x, 0), 6).
    ///
    /// Range: 0 to 6. Derivative at both kinks: 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::relu6().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[7.0])?[0]), "6.00000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    relu6 => Relu6 {}

    /// x above the threshold, the default value elsewhere.
    ///
    /// Range: the numbers above the threshold, and the default value. Derivative at the threshold: 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::threshold().threshold(1.0).default_value(-3.0).into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.5])?[0]), "-3.00000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    threshold => Threshold {
        /// Threshold and default value in one (0).
        value: f64,
        /// Keras' pair: the threshold. Excludes `value`.
        threshold: f64,
        /// Keras' pair: what takes the place of the rest. Excludes `value`.
        default_value: f64,
    }

    /// x where |x| > λ, 0 elsewhere.
    ///
    /// Range: the numbers outside of ±λ, and 0. Derivative at ±λ: 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::hard_shrink().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.75])?[0]), "0.75000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    hard_shrink => HardShrink {
        /// Half the width of what becomes 0 (0.5); must not be negative.
        lambd: f64,
        /// Keras' name of `lambd`.
        threshold: f64,
    }

    /// x drawn towards 0 by λ; 0 where |x| ≤ λ.
    ///
    /// Range: all numbers. Derivative at ±λ: 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::soft_shrink().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.75])?[0]), "0.25000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    soft_shrink => SoftShrink {
        /// By how much x is drawn to 0 (0.5); must not be negative.
        lambd: f64,
        /// Keras' name of `lambd`.
        threshold: f64,
    }

    /// x cut at −1 and 1.
    ///
    /// Range: −1 to 1. Derivative at both kinks: 1.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::hard_tanh().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.5])?[0]), "1.00000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    hard_tanh => HardTanh {}

    /// x + 3 cut at 0 and 6, divided by 6.
    ///
    /// Range: 0 to 1. Derivative at both kinks: 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::hard_sigmoid().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.5])?[0]), "0.75000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    hard_sigmoid => HardSigmoid {}

    /// x · hard_sigmoid(x), also called hard swish.
    ///
    /// Range: from −3/8. Derivative at −3: 0, at 3: 1.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::hard_silu().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.5])?[0]), "1.12500");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    hard_silu => HardSilu {}

    /// 0 up to −1, 1 from 1 on, (x + 1)/2 between.
    ///
    /// Range: 0 to 1. Derivative at both kinks: 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::sparse_sigmoid().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.5])?[0]), "0.75000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    sparse_sigmoid => SparseSigmoid {}

    /// 0 up to −1, x from 1 on, ((x + 1)/2)² between.
    ///
    /// Range: from 0. The derivative has no jump.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::sparse_plus().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.0])?[0]), "0.25000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    sparse_plus => SparsePlus {}

    /// eˣ.
    ///
    /// Range: from 0. Derivative: eˣ.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::exponential().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "2.71828");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    exponential => Exponential {}

    /// The logistic function, 1 / (1 + e⁻ˣ).
    ///
    /// Range: 0 to 1. Derivative: σ(x) · σ(−x).
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::sigmoid().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "0.73106");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    sigmoid => Sigmoid {}

    /// The hyperbolic tangent.
    ///
    /// Range: −1 to 1. Derivative: 1 − tanh²(x).
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::tanh().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "0.76159");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    tanh => Tanh {}

    /// x · σ(x), also called swish.
    ///
    /// Range: from −0.27846. Derivative: smooth, zero at −1.27846.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::silu().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "0.73106");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    silu => Silu {}

    /// x · tanh(softplus(x)).
    ///
    /// Range: from −0.30884. Derivative: smooth, zero at −1.19243.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::mish().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "0.86510");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    mish => Mish {}

    /// Exponential linear unit: x above 0, α · (eˣ − 1) elsewhere.
    ///
    /// Range: from −α. Derivative at 0: α.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::elu().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[-1.0])?[0]), "-0.63212");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    elu => Elu {
        /// The height of the left side (1).
        alpha: f64,
    }

    /// Scaled exponential linear unit, with the constants of Klambauer and others (2017).
    ///
    /// Range: from −1.75810. Derivative at 0: scale · α.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::selu().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "1.05070");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    selu => Selu {}

    /// x above 0, α · (e^(x/α) − 1) elsewhere.
    ///
    /// Range: from −α. The derivative has no jump.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::celu().alpha(2.0).into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[-1.0])?[0]), "-0.78694");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    celu => Celu {
        /// Height and width of the left side (1); must not be 0.
        alpha: f64,
    }

    /// log(1 + eˣ).
    ///
    /// Range: from 0. Derivative: σ(x).
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::softplus().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.0])?[0]), "0.69315");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    softplus => Softplus {}

    /// log σ(x).
    ///
    /// Range: up to 0. Derivative: σ(−x).
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::log_sigmoid().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.0])?[0]), "-0.69315");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    log_sigmoid => LogSigmoid {}

    /// x / (1 + |x|).
    ///
    /// Range: −1 to 1. Derivative: 1/(1 + |x|)², 1 at 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::softsign().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[3.0])?[0]), "0.75000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    softsign => Softsign {}

    /// (x + √(x² + b)) / 2.
    ///
    /// Range: from 0. Derivative: smooth, 1/2 at 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::squareplus().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[0.0])?[0]), "1.00000");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    squareplus => Squareplus {
        /// The width of the bend (4); must not be negative, 0 is relu.
        b: f64,
    }

    /// x · Φ(x), or its tanh form.
    ///
    /// Range: from −0.16997. Derivative: smooth, zero at −0.75179.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::gelu().approximate(true).into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "0.84119");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    gelu => Gelu {
        /// The tanh form instead of the normal distribution (false).
        approximate: bool,
    }

    /// x − tanh(x).
    ///
    /// Range: all numbers. Derivative: tanh²(x), 0 at 0.
    ///
    /// ```
    /// use fuselet_ir::{IntoProgram, Library, Meaning, activations, reference::evaluate_scalar};
    /// let graph = activations::tanh_shrink().into_program(&Library::standard())?.graph(Meaning::Form)?;
    /// assert_eq!(format!("{:.5}", evaluate_scalar(&graph, &[1.0])?[0]), "0.23841");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    tanh_shrink => TanhShrink {}

    /// eˣ / Σ eˣ over one or several axes.
    ///
    /// Range: 0 to 1. Vector-Jacobian product: y · (g − Σ g·y).
    ///
    /// ```
    /// use fuselet_ir::{Expr, activations};
    /// let y = activations::softmax().axis([0, -1]).apply(&(Expr::input("x") + Expr::input("mask")));
    /// assert_eq!(y.to_string(), "softmax(x + mask, axis = [0, -1])");
    /// ```
    softmax => Softmax {
        /// One axis (−1), a list of axes, or none for all.
        axis: impl Into<Value>,
    }

    /// x − log Σ eˣ over one or several axes.
    ///
    /// Range: up to 0. Vector-Jacobian product: g − e^y · Σ g.
    ///
    /// ```
    /// use fuselet_ir::{Expr, activations};
    /// let y = activations::log_softmax().axis(1).apply(&(Expr::input("x") + Expr::input("mask")));
    /// assert_eq!(y.to_string(), "log_softmax(x + mask, axis = 1)");
    /// ```
    log_softmax => LogSoftmax {
        /// One axis (−1), a list of axes, or none for all.
        axis: impl Into<Value>,
    }

    /// The projection of a row on the probability simplex.
    ///
    /// Range: 0 to 1. Vector-Jacobian product: on the support g minus its mean, 0 elsewhere and at its edge.
    ///
    /// ```
    /// use fuselet_ir::{Expr, activations};
    /// let y = activations::sparsemax().axis(0).apply(&(Expr::input("x") + Expr::input("mask")));
    /// assert_eq!(y.to_string(), "sparsemax(x + mask, axis = 0)");
    /// ```
    sparsemax => Sparsemax {
        /// The axis (−1).
        axis: i32,
    }

    /// The first half of an axis times σ of the second half.
    ///
    /// Range: all numbers. Derivative: σ(b) by a, a · σ(b) · σ(−b) by b.
    ///
    /// ```
    /// use fuselet_ir::{Expr, activations};
    /// let y = activations::glu().axis(1).apply(&(Expr::input("x") + Expr::input("mask")));
    /// assert_eq!(y.to_string(), "glu(x + mask, axis = 1)");
    /// ```
    glu => Glu {
        /// The axis that is halved (−1); its length must be even.
        axis: i32,
    }

    /// The logarithm of the sum of exponentials over one or several axes, which stay with length 1.
    ///
    /// Range: all numbers; −inf for a row of −inf. Vector-Jacobian product: g · softmax(x).
    ///
    /// ```
    /// use fuselet_ir::{Expr, activations};
    /// let y = activations::logsumexp().axis(1).apply(&(Expr::input("x") + Expr::input("mask")));
    /// assert_eq!(y.to_string(), "logsumexp(x + mask, axis = 1)");
    /// ```
    logsumexp => Logsumexp {
        /// One axis (−1), a list of axes, or none for all.
        axis: impl Into<Value>,
    }

    /// Layer normalisation without scale and offset: (x − mean) / √(variance + ε) over one or several axes.
    ///
    /// Range: all numbers. Vector-Jacobian product: (g − mean(g) − y · mean(g·y)) / √(variance + ε).
    ///
    /// ```
    /// use fuselet_ir::{Expr, activations};
    /// let (x, gamma, beta) = (Expr::input("x"), Expr::input("gamma"), Expr::input("beta"));
    /// let y = activations::layer_norm().epsilon(1e-6).apply(&x) * gamma + beta;
    /// assert_eq!(y.to_string(), "layer_norm(x, epsilon = 1e-6) * gamma + beta");
    /// ```
    layer_norm => LayerNorm {
        /// One axis (−1), a list of axes, or none for all.
        axis: impl Into<Value>,
        /// What is added to the variance (1e-5); must not be negative.
        epsilon: f64,
    }

    /// Root-mean-square normalisation without scale: x / √(mean of squares + ε) over one or several axes.
    ///
    /// Range: all numbers. Vector-Jacobian product: (g − y · mean(g·y)) / √(mean of squares + ε).
    ///
    /// ```
    /// use fuselet_ir::{Expr, activations};
    /// let y = activations::rms_norm().axis(-1).epsilon(1e-6).apply(&Expr::input("x")) * Expr::input("gamma");
    /// assert_eq!(y.to_string(), "rms_norm(x, epsilon = 1e-6) * gamma");
    /// ```
    rms_norm => RmsNorm {
        /// One axis (−1), a list of axes, or none for all.
        axis: impl Into<Value>,
        /// What is added to the mean of squares (1e-5); must not be negative.
        epsilon: f64,
    }
}

/// `swish`: another name of [`silu`].
pub fn swish() -> Silu {
    silu()
}

/// `hard_swish`: another name of [`hard_silu`].
pub fn hard_swish() -> HardSilu {
    hard_silu()
}

#[cfg(test)]
mod tests {
    use super::{ALL, LIBRARY};
    use std::collections::BTreeSet;

    #[test]
    fn every_function_of_the_library_has_a_constructor_with_a_setter_for_every_parameter() {
        let functions = LIBRARY.functions();
        let in_library: BTreeSet<&str> = functions.iter().map(|function| function.name()).collect();
        let here: BTreeSet<&str> = ALL.iter().map(|(name, ..)| *name).collect();
        assert_eq!(here, in_library);
        for (name, make, setters) in ALL {
            let activation = make();
            activation.validate().unwrap();
            assert_eq!(activation.name(), *name);
            let names: BTreeSet<&str> = activation.function().parameters().iter().map(|p| p.name.as_str()).collect();
            let known: BTreeSet<&str> = activation.function().parameter_names().collect();
            let setters: BTreeSet<&str> = setters.iter().copied().collect();
            assert!(names.is_subset(&setters), "{name}: setters {setters:?} for the parameters {names:?}");
            assert!(setters.is_subset(&known), "{name}: setters {setters:?} for the names {known:?}");
        }
    }
}
