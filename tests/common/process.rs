//! Programs that were built with a test, run as processes.

use std::path::Path;
use std::process::Command;

/// The command that runs a built program. On a machine that cannot run it by itself, `FUSELET_TEST_RUNNER` holds the words to put
/// before it, as `.ci/aarch64` does.
pub fn built(program: &Path) -> Command {
    let runner = std::env::var("FUSELET_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    match words.next() {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    }
}
