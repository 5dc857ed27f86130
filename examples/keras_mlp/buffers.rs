//! Which buffers stages share: one is given to another array where its first is not needed any more.

use super::error::Error;
use super::kernel::{Operand, Source};
use super::runtime::Stage;
use std::collections::HashSet;

/// Stands for the batch while plans are asked; any length would do.
const SOME_BATCH: usize = 2;

/// Gives buffers to one another where the first is not needed any more, and lets kernels overwrite what they read last. Returns how
/// many there are then.
pub fn share(stages: &mut [Stage], outputs: &mut [(Source, Vec<usize>)], buffers: usize) -> Result<usize, Error> {
    let mut last = vec![0; buffers];
    for (index, stage) in stages.iter().enumerate() {
        stage.sources().into_iter().filter_map(Source::buffer).for_each(|buffer| last[buffer] = index);
    }
    for buffer in outputs.iter().filter_map(|(source, _)| source.buffer()) {
        last[buffer] = usize::MAX;
    }
    let mut place = vec![0; buffers];
    let mut free: Vec<usize> = Vec::new();
    let mut count = 0;
    let mut find = |free: &mut Vec<usize>| {
        free.pop().unwrap_or_else(|| {
            count += 1;
            count - 1
        })
    };
    for (index, stage) in stages.iter_mut().enumerate() {
        let read: HashSet<usize> = stage.sources().into_iter().filter_map(Source::buffer).collect();
        if let Some(work) = &stage.work {
            place[work.result()] = find(&mut free);
        }
        let mut overwritten = None;
        if let Some(kernel) = &mut stage.kernel {
            let ends = |operand: &Operand| {
                operand.source.buffer().is_some_and(|buffer| last[buffer] == index)
                    && operand.shape == stage.output_shape
            };
            for (number, operand) in kernel.operands.iter().enumerate().filter(|(_, operand)| ends(operand)) {
                if kernel.allows_in_place(&operand.name, SOME_BATCH)? {
                    (kernel.overwrites, overwritten) = (Some(number), operand.source.buffer());
                    break;
                }
            }
            place[kernel.into] = match overwritten {
                Some(buffer) => place[buffer],
                None => find(&mut free),
            };
        }
        let done = read.into_iter().filter(|buffer| last[*buffer] == index && Some(*buffer) != overwritten);
        let mut done: Vec<usize> = done.collect();
        done.sort_unstable();
        free.extend(done.into_iter().map(|buffer| place[buffer]));
    }
    stages.iter_mut().for_each(|stage| stage.move_buffers(&place));
    outputs.iter_mut().for_each(|(source, _)| source.move_buffer(&place));
    Ok(count)
}
