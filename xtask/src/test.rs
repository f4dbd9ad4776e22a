//! `cargo xtask test`: which parts there are, in which order, and what each runs.

mod sanitizer;

use std::num::{NonZeroU32, NonZeroUsize};
use std::process::Stdio;

use self::sanitizer::Sanitizer;
use crate::parts::{self, Outcome, Part};
use crate::run::{cargo, run as run_command, works};
use crate::{doc, lint, workspace};

/// The example with a real job.
const MAIN_JOB: [&str; 4] = ["-p", "mp-facade", "--example", "word_count"];

/// What may have tests; that examples compile is seen by clippy, and linking them takes a minute.
const TARGETS: [&str; 3] = ["--lib", "--bins", "--tests"];

/// What is asked for on the command line.
#[derive(Debug, PartialEq)]
struct Options<'a> {
    only: Option<&'a str>,
    repeat: u32,
    sanitizer: Option<Sanitizer>,
}

/// Runs the parts that are asked for, all by default; `false` if one failed.
pub(crate) fn run(words: &[&str]) -> Result<bool, String> {
    let options = Options::parse(words)?;
    let tests = || tests(options.repeat);
    let mut parts = vec![
        lint::FMT,
        lint::CLIPPY,
        lint::RULES,
        Part { name: "tests", run: &tests },
        Part { name: "doc-tests", run: &|| run_command(&mut cargo("test --doc --workspace")) },
        doc::PART,
        Part { name: "loom", run: if options.only.is_none() { &loom_and_build } else { &loom } },
        Part { name: "panic-abort", run: &panic_abort },
        Part { name: "main-job", run: &main_job },
    ];
    if let Some(name) = options.only {
        parts.retain(|part| part.name == name);
        if parts.is_empty() {
            return Err(format!("there is no part `{name}`"));
        }
    }
    let Some(sanitizer) = options.sanitizer else {
        return Ok(parts::run(&parts));
    };
    Ok(parts::run(&[Part { name: sanitizer.part(), run: &|| sanitizer.run() }]))
}

impl<'a> Options<'a> {
    fn parse(words: &[&'a str]) -> Result<Options<'a>, String> {
        let mut options = Options { only: None, repeat: 1, sanitizer: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--loom" => options.only = Some("loom"),
                "--only" => options.only = Some(words.next().ok_or("--only needs a part")?),
                "--repeat" => {
                    let times = words.next().and_then(|times| times.parse::<NonZeroU32>().ok());
                    options.repeat = times.ok_or("--repeat needs a number from 1 up")?.get();
                }
                "--sanitizer" => {
                    let sanitizer = words.next().and_then(|name| Sanitizer::named(name));
                    options.sanitizer = Some(sanitizer.ok_or("--sanitizer is address or thread")?);
                }
                other => return Err(format!("`{other}` is no option of `cargo xtask test`")),
            }
        }
        if options.sanitizer.is_some() && (options.only.is_some() || options.repeat > 1) {
            return Err("--sanitizer stands alone".to_owned());
        }
        Ok(options)
    }
}

/// Unit and behaviour tests, as often as asked or until they fail.
fn tests(repeat: u32) -> Outcome {
    let has_nextest = works(&mut cargo("nextest --version"));
    for round in 1..=repeat {
        if repeat > 1 {
            eprintln!("round {round} of {repeat}");
        }
        let outcome = run_command(&mut if has_nextest {
            let mut command = cargo("nextest run --workspace --no-fail-fast");
            command.args(TARGETS);
            // Many tests wait for most of their time.
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            command.args(["--test-threads", &(cores + 1).to_string()]);
            command
        } else {
            let mut command = cargo("test --workspace --no-fail-fast");
            command.args(TARGETS);
            command
        });
        if outcome != Outcome::Passed {
            return outcome;
        }
    }
    Outcome::Passed
}

/// All interleavings of what the crates that have loom model with it.
fn loom() -> Outcome {
    let crates = match workspace::crates() {
        Ok(crates) => crates,
        Err(error) => {
            eprintln!("{error}");
            return Outcome::Failed;
        }
    };
    let mut command = cargo("test --lib --profile loom --no-default-features");
    for member in
        crates.iter().filter(|member| member.dependencies.iter().any(|d| d.name == "loom"))
    {
        command.args(["-p", &member.name]);
    }
    command.args(["--", "loom"]);
    run_command(command.env("RUSTFLAGS", "--cfg mp_loom").env("CARGO_TARGET_DIR", "target/loom"))
}

/// The models, and beside them what the last part needs: the longest model keeps one core busy for most of the time.
fn loom_and_build() -> Outcome {
    // Whatever is wrong with it, the last part says.
    let mut build = cargo("build --release --quiet");
    build.args(MAIN_JOB).stdout(Stdio::null()).stderr(Stdio::null());
    let building = build.spawn();
    let outcome = loom();
    if let Ok(mut building) = building {
        let _built = building.wait();
    }
    outcome
}

/// What the library promises to a program that is built with `panic = "abort"`.
fn panic_abort() -> Outcome {
    run_command(&mut cargo("run --profile panic-abort -p mp-testing --bin program -- panic-abort"))
}

/// The example with a real job, compared with the same job in one process.
fn main_job() -> Outcome {
    run_command(cargo("run --release").args(MAIN_JOB).args(["--", "--check"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_in_any_order() {
        let all = Options { only: None, repeat: 1, sanitizer: None };
        assert_eq!(Options::parse(&[]), Ok(all));
        let words = ["--repeat", "3", "--only", "tests"];
        let expected = Options { only: Some("tests"), repeat: 3, sanitizer: None };
        assert_eq!(Options::parse(&words), Ok(expected));
        assert_eq!(Options::parse(&["--loom"]).unwrap().only, Some("loom"));
        let thread = Options::parse(&["--sanitizer", "thread"]).unwrap();
        assert_eq!(thread.sanitizer, Some(Sanitizer::Thread));
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for words in [
            &["--only"][..],
            &["--repeat", "0"],
            &["--repeat", "often"],
            &["--sanitizer", "memory"],
            &["--sanitizer", "thread", "--loom"],
            &["everything"],
        ] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
