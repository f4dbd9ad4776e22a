//! Habits of source files: a first line that says what the file is for, nothing left unfinished, and
//! a reason for each lint that is switched off.

use std::fs;
use std::path::Path;

use crate::workspace::{Crate, files_below};

/// The benchmarks are no member of the workspace and have the same habits.
const BENCH: &str = "bench";
const SHOWN: [&str; 2] = ["ui", "from_python"];
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Breaches in the sources and tests of all crates.
pub(crate) fn check(crates: &[Crate]) -> Vec<String> {
    let mut problems = Vec::new();
    for dir in crates.iter().map(|member| member.dir.as_path()).chain([Path::new(BENCH)]) {
        for path in files_below(&dir.join("src"), "rs") {
            problems.extend(problems_of(&path, &["//!", "#!"]));
        }
        let tests = files_below(&dir.join("tests"), "rs");
        for path in tests.iter().filter(|path| !is_shown(path)) {
            problems.extend(problems_of(path, &["//!"]));
        }
    }
    problems
}

/// Whether it is a whole program that is shown as it is: in a guide, or to the compiler, which is to refuse it.
fn is_shown(path: &Path) -> bool {
    path.components().any(|part| SHOWN.iter().any(|folder| part.as_os_str() == *folder))
}

fn problems_of(path: &Path, openings: &[&str]) -> Vec<String> {
    let shown = path.display();
    let source = match fs::read_to_string(path) {
        Ok(source) => source,
        Err(error) => return vec![format!("{shown}: {error}")],
    };
    let mut problems = Vec::new();
    if !openings.iter().any(|opening| source.starts_with(opening)) {
        problems.push(format!("{shown}: does not open with `{}`", openings.join("` or `")));
    }
    problems.extend(unfinished(&source).map(|line| format!("{shown}:{line}: left unfinished")));
    problems.extend(
        attributes(&source)
            .filter(|(_, attribute)| lacks_reason(attribute))
            .map(|(line, _)| format!("{shown}:{line}: switches a lint off without a reason")),
    );
    problems
}

/// The numbers of lines with one of the [`UNFINISHED`] macros in code.
fn unfinished(source: &str) -> impl Iterator<Item = usize> {
    let is_unfinished = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        UNFINISHED.iter().any(|name| {
            code.match_indices(&format!("{name}!")).any(|(at, _)| {
                !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            })
        })
    };
    (1..).zip(source.lines()).filter(move |(_, line)| is_unfinished(line)).map(|(number, _)| number)
}

fn lacks_reason(attribute: &str) -> bool {
    let switches_off = ["allow(", "expect("].iter().any(|level| {
        attribute.starts_with(level)
            || attribute.starts_with("cfg_attr(") && attribute.contains(&format!(", {level}"))
    });
    switches_off && !attribute.contains("reason =")
}

/// The attributes that begin a line, each with the number of the line and as one line without `#[` and
/// spaces at the ends of lines.
pub(crate) fn attributes(source: &str) -> impl Iterator<Item = (usize, String)> {
    let starts = (1..).zip(source.lines()).filter_map(|(number, line)| {
        let line = line.trim_start();
        let rest = line.strip_prefix("#![").or_else(|| line.strip_prefix("#["))?;
        Some((number, rest))
    });
    starts.map(|(number, rest)| {
        let following = source.lines().skip(number).map(str::trim);
        let mut text = String::new();
        let mut depth = 1;
        for line in [rest.trim_end()].into_iter().chain(following) {
            for c in line.chars() {
                depth += match c {
                    '[' => 1,
                    ']' => -1,
                    _ => 0,
                };
                if depth == 0 {
                    return (number, text);
                }
                text.push(c);
            }
        }
        (number, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_over_several_lines() {
        let source =
            "#![a]\n\nfn f() {\n    #[expect(\n        x,\n        reason = \"y\"\n    )]\n}";
        let found: Vec<_> = attributes(source).collect();
        assert_eq!(found, [(1, "a".to_owned()), (4, "expect(x,reason = \"y\")".to_owned())]);
    }

    #[test]
    fn a_lint_is_switched_off_with_a_reason() {
        assert!(lacks_reason("allow(dead_code)"));
        assert!(lacks_reason("expect(clippy::all)"));
        assert!(lacks_reason("cfg_attr(test, allow(dead_code))"));
        assert!(!lacks_reason("allow(dead_code, reason = \"used by loom\")"));
        assert!(!lacks_reason("should_panic(expected = \"x\")"));
    }

    #[test]
    fn macros_of_unfinished_code_are_found_in_code() {
        let [first, second, third] = UNFINISHED;
        let source = format!("{first}!()\n// {second}!()\nlet x = {third}!(1);\nnot_{first}!()");
        assert_eq!(unfinished(&source).collect::<Vec<_>>(), [1, 3]);
    }
}
