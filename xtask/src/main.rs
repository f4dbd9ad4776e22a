//! `cargo xtask`: the chores of this workspace, one word each. CI calls them and adds nothing.
#![forbid(unsafe_code)]

mod bench;
mod chaos;
mod doc;
mod lint;
mod package;
mod parts;
mod run;
mod test;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  test                all parts of the next line, with a line for each at the end
    --only PART       one part: fmt, clippy, lint, tests, doc-tests, docs, loom, panic-abort, main-job
    --loom            the same as --only loom
    --repeat N        runs the tests N times, or until they fail
    --sanitizer NAME  instead: `address` or `thread`, for the crates with unsafe code, on nightly
  lint                rustfmt, clippy, and the rules of this workspace
  doc                 the documentation, with warnings denied
  package             packages every published crate, and builds each from its package; publishes nothing
  alone [CRATE...]    checks, documents and tests the published crates one by one
  chaos [SECONDS]     storms of kills, stops and shortages over everything, 60 seconds when nothing is said
    --seed N          with this seed; --round K repeats one round of it, --times N so often
    --only SCENE      with one area alone
  bench [CASE]        the table of ratios, for the cases with CASE in their name
    --write           and puts their rows into README.md";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = run::enter_root().and_then(|()| match words.as_slice() {
        ["test", options @ ..] => test::run(options),
        ["lint"] => Ok(parts::run(&lint::PARTS)),
        ["doc"] => Ok(parts::run(&[doc::PART])),
        ["package"] => package::package(),
        ["alone", crates @ ..] => package::alone(crates),
        ["chaos", words @ ..] => Ok(chaos::run(words) == parts::Outcome::Passed),
        ["bench", words @ ..] => bench::run(words),
        _ => Err(USAGE.to_owned()),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
