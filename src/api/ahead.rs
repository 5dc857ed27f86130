//! What a function makes ahead of its calls: prepared calls, kernels for tiles, explanations.

use super::error::CallError;
use super::explanation::Explanation;
use super::function::Function;
use super::prepared::Prepared;
use super::signature::Signature;
use super::tile::Tile;

impl Function {
    /// The function made ready for arrays of one signature: planned, compiled and bound now, so that no call of it does any
    /// of that.
    ///
    /// # Errors
    /// A signature that does not fit.
    ///
    /// ```
    /// use fuselet::{Dtype, Engine, Signature};
    /// let f = Engine::new()?.compile("x * scale")?;
    /// let signature = Signature::new().with("x", Dtype::F32, &[3])?.with("scale", Dtype::F32, &[])?;
    /// let (prepared, mut y) = (f.prepare(&signature)?, [0.0f32; 3]);
    /// prepared.call(&[(&[1.0f32, 2.0, 3.0]).into(), (&2.0f32).into()], &mut y)?;
    /// assert_eq!(y, [2.0, 4.0, 6.0]);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn prepare(&self, signature: &Signature) -> Result<Prepared, CallError> {
        Prepared::new(self, signature)
    }

    /// The function as a kernel for tiles of a matrix, such as the epilogue of a matrix product: any number of rows and
    /// columns, any distance between rows.
    ///
    /// # Errors
    /// A signature that does not fit; a function that is more than one elementwise loop.
    ///
    /// ```
    /// use fuselet::{Dtype, Engine, Signature};
    /// let engine = Engine::new()?;
    /// let bias_and_relu = engine.compile("relu(c + bias)")?;
    /// let signature = Signature::new().with("c", Dtype::F32, &[2, 2])?.with("bias", Dtype::F32, &[2])?;
    /// assert!(bias_and_relu.tile(&signature).is_ok());
    /// let error = engine.compile("softmax(c)")?.tile(&Signature::new().with("c", Dtype::F32, &[2, 2])?).unwrap_err();
    /// assert_eq!(error.to_string(), "the function cannot run on tiles: the function reduces along an axis");
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn tile(&self, signature: &Signature) -> Result<Tile, CallError> {
        Tile::new(self, signature)
    }

    /// What would be run for arrays of one signature, and why: plan, passes, machine code.
    ///
    /// # Errors
    /// As [`Function::prepare`].
    ///
    /// ```
    /// use fuselet::{Dtype, Engine, Signature};
    /// let f = Engine::new()?.compile("exp(x - max(x, axis = -1)) |> * 2")?;
    /// let explanation = f.explain(&Signature::new().with("x", Dtype::F32, &[4, 100])?)?;
    /// assert_eq!(explanation.kernel_count(), 1);
    /// # Ok::<(), fuselet::Error>(())
    /// ```
    pub fn explain(&self, signature: &Signature) -> Result<Explanation, CallError> {
        Ok(self.prepare(signature)?.explain())
    }
}
