//! The benchmarks, which are a workspace of their own, and the table of README.md that they fill.

mod readme;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::parts::Outcome;
use crate::run::{self, cargo};

const README: &str = "README.md";

/// What is asked for on the command line.
#[derive(Debug, PartialEq)]
struct Options<'a> {
    /// Whether the figures go into README.md as well.
    write: bool,
    /// Which cases: those with this in their name, or all.
    case: Option<&'a str>,
}

/// Measures the cases that are asked for, all by default; `false` if that fails.
pub(crate) fn run(words: &[&str]) -> Result<bool, String> {
    let options = Options::parse(words)?;
    let mut command = cargo("run --release --");
    command.args(options.case).current_dir("bench");
    if !options.write {
        return Ok(run::run(&mut command) == Outcome::Passed);
    }
    // Ahead of minutes of measuring.
    readme::check(&text()?)?;
    let printed = printed(&mut command)?;
    let filled = readme::with_figures(&text()?, &printed)?;
    fs::write(README, filled).map_err(|error| format!("{README}: {error}"))?;
    Ok(true)
}

impl<'a> Options<'a> {
    fn parse(words: &[&'a str]) -> Result<Options<'a>, String> {
        let mut options = Options { write: false, case: None };
        for word in words {
            match *word {
                "--write" => options.write = true,
                option if option.starts_with('-') => {
                    return Err(format!("`{option}` is no option of `cargo xtask bench`"));
                }
                case => {
                    if let Some(first) = options.case.replace(case) {
                        return Err(format!("`{first}` or `{case}`: one part of a name at a time"));
                    }
                }
            }
        }
        Ok(options)
    }
}

fn text() -> Result<String, String> {
    fs::read_to_string(README).map_err(|error| format!("{README}: {error}"))
}

/// What a command prints on standard output, which is shown line by line as it comes.
fn printed(command: &mut Command) -> Result<String, String> {
    let failed = |error| format!("the benchmarks: {error}");
    let mut process = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut printed = String::new();
    for line in process.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines())
    {
        let line = line.map_err(failed)?;
        println!("{line}");
        printed += &(line + "\n");
    }
    let status = process.wait().map_err(failed)?;
    if status.success() { Ok(printed) } else { Err(format!("the benchmarks: {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_and_whether_to_write_are_taken_in_any_order() {
        let queue = |write| Ok(Options { write, case: Some("queue/") });
        assert_eq!(Options::parse(&["queue/"]), queue(false));
        assert_eq!(Options::parse(&["queue/", "--write"]), queue(true));
        assert_eq!(Options::parse(&["--write", "queue/"]), queue(true));
        assert_eq!(Options::parse(&[]), Ok(Options { write: false, case: None }));
    }

    #[test]
    fn a_second_case_and_an_unknown_option_are_refused() {
        assert!(Options::parse(&["queue/", "pool/"]).is_err());
        assert!(Options::parse(&["--wriet"]).is_err());
    }
}
