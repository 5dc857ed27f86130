//! Weights of layers, from an `.npz` archive.
//!
//! Arrays are called by the layer's own name, `dense/kernel`, `norm/gamma` (or `dense/kernel:0`, as Keras 2
//! has it, or `model/dense/kernel`); those
//! of Dense layers also `layer0_kernel`, `layer0_bias`, …, counting Dense layers. Shapes are checked before elements are
//! read.

use super::array::{Array, read_header};
use super::error::Error;
use npyz::npz::{NpzArchive, file_name_from_array_name};
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
        let counted = |part: &str| Some(format!("layer{index}_{part}"));
        let kernel = self.array(counted("kernel"), layer, "kernel", &[inputs, units])?;
        let bias = if use_bias { Some(self.array(counted("bias"), layer, "bias", &[units])?) } else { None };
        Ok(Dense { inputs, units, kernel, bias })
    }

    /// A weight of another layer.
    pub fn named(&mut self, layer: &str, part: &str, expected: &[usize]) -> Result<Vec<f32>, Error> {
        self.array(None, layer, part, expected)
    }

    /// Arrays no layer asked for.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.unused.iter().map(String::as_str)
    }

    fn array(
        &mut self,
        counted: Option<String>,
        layer: &str,
        part: &str,
        expected: &[usize],
    ) -> Result<Vec<f32>, Error> {
        let named = [format!("{layer}/{part}"), format!("{layer}/{part}:0"), format!("{layer}/{layer}/{part}:0")];
        let names: Vec<String> = counted.into_iter().chain(named).collect();
        let present: BTreeSet<String> = self.archive.array_names().map(str::to_owned).collect();
        let exact = names.iter().find(|name| present.contains(*name)).cloned();
        // Keras 3 puts a Sequential's own name before those of its layers.
        let ends = [format!("/{layer}/{part}"), format!("/{layer}/{part}:0")];
        let within = || {
            let mut found = present.iter().filter(|name| ends.iter().any(|end| name.ends_with(end)));
            found.next().filter(|_| found.next().is_none()).cloned()
        };
        let Some(name) = exact.or_else(within) else {
            let (layer, path, present) = (layer.to_owned(), self.path.clone(), present.into_iter().collect());
            return Err(Error::MissingWeights { layer, tried: names, path, present });
        };
        let failed = |error: io::Error| Error::File {
            path: self.path.clone(),
            error: io::Error::new(error.kind(), format!("`{name}`: {error}")),
        };
        let entry = self.archive.zip_archive().by_name(&file_name_from_array_name(&name));
        let mut entry = entry.map_err(|error| failed(io::Error::other(error)))?;
        let (header, found) = read_header(&mut entry).map_err(failed)?;
        if found != expected {
            let (layer, array, expected) = (layer.to_owned(), name.clone(), expected.to_vec());
            return Err(Error::WeightsShape { layer, array, expected, found });
        }
        let array = Array::read_elements(&header, found, &mut entry, |number| number as f32).map_err(failed)?;
        self.unused.remove(&name);
        Ok(array.values)
    }
}
