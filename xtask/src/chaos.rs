//! Storms over the whole library.

use crate::parts::Outcome;
use crate::run::{self, cargo};

/// Runs storms; the words are those of the program that does it.
pub(crate) fn run(words: &[&str]) -> Outcome {
    run::run(cargo("run --release -p mp-chaos --").args(words))
}
