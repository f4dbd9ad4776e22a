//! Storms over the whole library.

use crate::parts::Outcome;
use crate::run::{self, cargo};

/// Runs storms; the words are those of the program that does it.
pub(crate) fn run(words: &[&str]) -> Outcome {
    // What others leave in the folder for temporary files is not of the storm.
    let apart = std::path::absolute("target/chaos").and_then(|dir| {
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    });
    let mut command = cargo("run --release -p mp-chaos --");
    match apart {
        Ok(dir) => run::run(command.args(words).env("TMPDIR", dir)),
        Err(error) => {
            eprintln!("cannot make target/chaos: {error}");
            Outcome::Failed
        }
    }
}
