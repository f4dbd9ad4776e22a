//! Parts of a chore: each runs, whatever became of those before, and each has a line at the end.

use std::time::{Duration, Instant};

/// One part.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) name: &'static str,
    pub(crate) run: &'a dyn Fn() -> Outcome,
}

/// What became of a part.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It could not be run here, and why.
    Skipped(&'static str),
}

impl From<bool> for Outcome {
    fn from(passed: bool) -> Outcome {
        if passed { Outcome::Passed } else { Outcome::Failed }
    }
}

/// Runs the parts in their order and prints the summary; `false` if one failed.
pub(crate) fn run(parts: &[Part<'_>]) -> bool {
    let mut done = Vec::new();
    for part in parts {
        eprintln!("\n==== {} ====", part.name);
        let started = Instant::now();
        let outcome = (part.run)();
        done.push((part.name, outcome, started.elapsed()));
    }
    println!("\n{}", summary(&done));
    !done.iter().any(|(_, outcome, _)| *outcome == Outcome::Failed)
}

/// A line for each part, and the counts as the last line, which CI reads.
fn summary(done: &[(&str, Outcome, Duration)]) -> String {
    let mut text = String::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, outcome, took) in done {
        let seconds = took.as_secs_f64();
        let (count, line) = match outcome {
            Outcome::Passed => (&mut passed, format!("ok   {name}  {seconds:.1}")),
            Outcome::Failed => (&mut failed, format!("FAIL {name}  {seconds:.1}")),
            Outcome::Skipped(reason) => (&mut skipped, format!("skip {name}: {reason}")),
        };
        *count += 1;
        text += &(line + "\n");
    }
    text + &format!("{passed} passed, {failed} failed, {skipped} skipped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_ends_with_the_counts() {
        let second = Duration::from_secs(1);
        let done = [
            ("fmt", Outcome::Skipped("rustfmt is not installed"), second),
            ("tests", Outcome::Passed, 90 * second),
            ("docs", Outcome::Failed, second / 2),
        ];
        assert_eq!(
            summary(&done),
            "skip fmt: rustfmt is not installed\n\
             ok   tests  90.0\n\
             FAIL docs  0.5\n\
             1 passed, 1 failed, 1 skipped"
        );
    }
}
