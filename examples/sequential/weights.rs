//! Weights of Dense layers, from an `.npz` archive.
//!
//! Arrays are called `layer0_kernel`, `layer0_bias`, …, counting Dense layers, or by the layer's own name:
//! `dense/kernel`, `dense/bias`. Shapes are checked before elements are read.

use super::array::{self, Array};
use super::error::Error;
use npyz::npz::NpzArchive;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Kernel and bias of one layer.
#[derive(Clone, Debug)]
pub struct Dense {
    /// The length of the last axis it takes.
    pub inputs: usize,
    /// The length of the last axis it gives; not 0.
    pub units: usize,
    /// (inputs, units), row-major.
    pub kernel: Vec<f32>,
    /// One for each unit.
    pub bias: Option<Vec<f32>>,
}

/// An open archive.
pub struct Weights {
    path: PathBuf,
    archive: NpzArchive<BufReader<File>>,
    unused: BTreeSet<String>,
}

impl Weights {
    /// Opens an archive.
    pub fn open(path: &Path) -> Result<Weights, Error> {
        let failed = |error| Error::File { path: path.to_owned(), error };
        let archive = NpzArchive::open(path).map_err(failed)?;
        let unused = archive.array_names().map(str::to_owned).collect();
        Ok(Weights { path: path.to_owned(), archive, unused })
    }

    /// The weights of the Dense layer `layer`, which is the `index`-th of the model.
    pub fn dense(
        &mut self,
        index: usize,
        layer: &str,
        inputs: usize,
        units: usize,
        use_bias: bool,
    ) -> Result<Dense, Error> {
        let kernel = self.array(index, layer, "kernel", &[inputs, units])?;
        let bias = if use_bias { Some(self.array(index, layer, "bias", &[units])?) } else { None };
        Ok(Dense { inputs, units, kernel, bias })
    }

    /// Arrays no layer asked for.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.unused.iter().map(String::as_str)
    }

    fn array(&mut self, index: usize, layer: &str, part: &str, expected: &[usize]) -> Result<Vec<f32>, Error> {
        let names = [format!("layer{index}_{part}"), format!("{layer}/{part}")];
        for name in &names {
            let failed = |error: io::Error| Error::File {
                path: self.path.clone(),
                error: io::Error::new(error.kind(), format!("`{name}`: {error}")),
            };
            let Some(file) = self.archive.by_name(name).map_err(failed)? else { continue };
            let found = array::shape(&file).map_err(failed)?;
            if found != expected {
                let (layer, array, expected) = (layer.to_owned(), name.clone(), expected.to_vec());
                return Err(Error::WeightsShape { layer, array, expected, found });
            }
            let array = Array::from_npy(file, |number| number as f32).map_err(failed)?;
            self.unused.remove(name);
            return Ok(array.values);
        }
        let mut present: Vec<String> = self.archive.array_names().map(str::to_owned).collect();
        present.sort_unstable();
        Err(Error::MissingWeights { layer: layer.to_owned(), tried: names.into(), path: self.path.clone(), present })
    }
}
