//! What a reviewer need not look for: formatting, clippy, and the rules of this workspace.

mod layering;
mod links;
mod sources;
mod unsafe_files;

pub(crate) use unsafe_files::crates_with_unsafe_code;

use crate::parts::{Outcome, Part};
use crate::run::{cargo, run, works};
use crate::workspace;

pub(crate) const PARTS: [Part<'_>; 3] = [FMT, CLIPPY, RULES];

pub(crate) const FMT: Part<'_> = Part {
    name: "fmt",
    run: &|| {
        if !works(&mut cargo("fmt --version")) {
            return Outcome::Skipped("rustfmt is not installed (rustup component add rustfmt)");
        }
        run(&mut cargo("fmt --all --check"))
    },
};

pub(crate) const CLIPPY: Part<'_> = Part {
    name: "clippy",
    run: &|| {
        if !works(&mut cargo("clippy --version")) {
            return Outcome::Skipped("clippy is not installed (rustup component add clippy)");
        }
        run(&mut cargo("clippy --workspace --all-targets -- -D warnings"))
    },
};

pub(crate) const RULES: Part<'_> = Part {
    name: "lint",
    run: &|| {
        let problems = problems().unwrap_or_else(|error| vec![error]);
        for problem in &problems {
            eprintln!("lint: {problem}");
        }
        Outcome::from(problems.is_empty())
    },
};

/// Every breach of a rule, each with the file or crate that it is about.
fn problems() -> Result<Vec<String>, String> {
    let crates = workspace::crates()?;
    let checks = [
        layering::check(&crates),
        unsafe_files::check(&crates),
        links::check(&crates),
        sources::check(&crates),
    ];
    Ok(checks.into_iter().flatten().collect())
}
