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
    pub fn prepare(&self, signature: &Signature) -> Result<Prepared, CallError> {
        Prepared::new(self, signature)
    }

    /// The function as a kernel for tiles of a matrix, such as the epilogue of a matrix product: any number of rows and
    /// columns, any distance between rows.
    ///
    /// # Errors
    /// A signature that does not fit; a function that is more than one elementwise loop.
    pub fn tile(&self, signature: &Signature) -> Result<Tile, CallError> {
        Tile::new(self, signature)
    }

    /// What would be run for arrays of one signature, and why: plan, passes, machine code.
    ///
    /// # Errors
    /// As [`Function::prepare`].
    pub fn explain(&self, signature: &Signature) -> Result<Explanation, CallError> {
        Ok(self.prepare(signature)?.explain())
    }
}
