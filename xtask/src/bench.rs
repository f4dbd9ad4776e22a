//! The benchmarks, which are a workspace of their own.

use crate::parts::Outcome;
use crate::run::{self, cargo};

/// Measures the cases that have `filter` in their name, or all.
pub(crate) fn run(filter: &[&str]) -> bool {
    let mut command = cargo("run --release --");
    run::run(command.args(filter).current_dir("bench")) == Outcome::Passed
}
