//! Unsafe code stands in files that say so, and `ARCHITECTURE.md` lists all of them.

use std::fs;
use std::path::Path;

use super::sources::attributes;
use crate::workspace::{Crate, files_below};

const LIST: &str = "ARCHITECTURE.md";
const START: &str = "<!-- unsafe files -->";
const END: &str = "<!-- end -->";
const FORBIDDEN: &str = "#![forbid(unsafe_code)]";

/// Differences between the list and the files, and crates that could forbid unsafe code and do not.
pub(crate) fn check(crates: &[Crate]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for member in crates {
        let mut own = files_with_unsafe_code(member);
        if own.is_empty() {
            problems.extend(not_forbidden(member));
        }
        files.append(&mut own);
    }
    match fs::read_to_string(LIST) {
        Ok(text) => match listed(&text) {
            Some(listed) => problems.extend(differences(&listed, &files)),
            None => problems.push(format!("{LIST}: no `{START}` with `{END}` after it")),
        },
        Err(error) => problems.push(format!("{LIST}: {error}")),
    }
    problems
}

/// The crates that have unsafe code at all.
pub(crate) fn crates_with_unsafe_code(crates: &[Crate]) -> impl Iterator<Item = &Crate> {
    crates.iter().filter(|member| !files_with_unsafe_code(member).is_empty())
}

fn files_with_unsafe_code(member: &Crate) -> Vec<String> {
    let permits = |path: &Path| permits_unsafe_code(&fs::read_to_string(path).unwrap_or_default());
    let mut files = files_below(&member.dir.join("src"), "rs");
    files.retain(|path| permits(path));
    files.iter().map(|path| path.display().to_string()).collect()
}

fn permits_unsafe_code(source: &str) -> bool {
    attributes(source).any(|(_, attribute)| {
        ["expect(unsafe_code", "allow(unsafe_code"].iter().any(|level| attribute.contains(level))
    })
}

/// The root of a crate, if it does not forbid unsafe code before its first item.
fn not_forbidden(member: &Crate) -> Option<String> {
    let roots = ["src/lib.rs", "src/main.rs"].map(|root| member.dir.join(root));
    let root = roots.iter().find(|root| root.exists())?;
    let source = fs::read_to_string(root).unwrap_or_default();
    let mut head = source
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("//") || line.starts_with("#!["));
    let forbidden = head.any(|line| line == FORBIDDEN);
    (!forbidden).then(|| format!("{}: does not start with `{FORBIDDEN}`", root.display()))
}

/// The paths in backticks, one a bullet, between the two markers.
fn listed(text: &str) -> Option<Vec<&str>> {
    let (list, _) = text.split_once(START)?.1.split_once(END)?;
    let bullets = list.lines().filter_map(|line| line.trim().strip_prefix("- `"));
    Some(bullets.filter_map(|bullet| bullet.split_once('`')).map(|(path, _)| path).collect())
}

fn differences(listed: &[&str], files: &[String]) -> Vec<String> {
    let unlisted = files.iter().filter(|file| !listed.contains(&file.as_str()));
    let gone = listed.iter().filter(|path| !files.iter().any(|file| file == *path));
    unlisted
        .map(|file| format!("{LIST}: lacks `{file}`, which has unsafe code"))
        .chain(gone.map(|path| format!("{LIST}: lists `{path}`, which has no unsafe code")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_permits_unsafe_code_and_a_string_does_not() {
        assert!(permits_unsafe_code("//! Exit.\n#![expect(unsafe_code, reason = \"libc\")]\n"));
        assert!(permits_unsafe_code("mod a {\n    #[allow(\n    unsafe_code)] fn f() {}\n}"));
        assert!(!permits_unsafe_code("const NEEDLE: &str = \"expect(unsafe_code\";"));
        assert!(!permits_unsafe_code(FORBIDDEN));
    }

    #[test]
    fn the_list_is_what_stands_in_backticks_between_the_markers() {
        let text =
            format!("- `a.rs`\n{START}\n- `b.rs`: futex\n\nand\n  - `c.rs`\n{END}\n- `d.rs`");
        assert_eq!(listed(&text).unwrap(), ["b.rs", "c.rs"]);
        assert_eq!(listed(START), None);
    }

    #[test]
    fn both_directions_of_a_difference_are_told() {
        let told = differences(&["a.rs", "b.rs"], &["b.rs".to_owned(), "c.rs".to_owned()]);
        assert_eq!(
            told,
            [
                "ARCHITECTURE.md: lacks `c.rs`, which has unsafe code",
                "ARCHITECTURE.md: lists `a.rs`, which has no unsafe code",
            ]
        );
    }
}
