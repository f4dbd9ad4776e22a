//! Pages name files that exist, in links and in `code`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::{Crate, files_below, files_in};

/// Dead links in the top-level pages, those in `docs/` and the README of each crate.
pub(crate) fn check(crates: &[Crate]) -> Vec<String> {
    let mut pages = files_in(Path::new("."), "md");
    pages.append(&mut files_below(Path::new("docs"), "md"));
    let readmes = crates.iter().map(|member| member.dir.join("README.md"));
    let readmes: Vec<PathBuf> = readmes.filter(|readme| readme.exists()).collect();

    let pages = pages.iter().map(|page| (page, false));
    let pages = pages.chain(readmes.iter().map(|readme| (readme, true)));
    let mut problems = Vec::new();
    for (page, is_rustdoc) in pages {
        match fs::read_to_string(page) {
            Ok(text) => problems.extend(dead_references(page, &text, is_rustdoc)),
            Err(error) => problems.push(format!("{}: {error}", page.display())),
        }
    }
    problems
}

fn dead_references(page: &Path, text: &str, is_rustdoc: bool) -> Vec<String> {
    let here = page.parent().unwrap_or(Path::new("."));
    let page = page.strip_prefix(".").unwrap_or(page).display();
    let mut problems = Vec::new();
    for (number, line) in prose(text) {
        let (words, spans) = split_code(line);
        for target in links(&words) {
            let is_item = is_rustdoc && !target.contains(['/', '.']); // rustdoc checks those
            if !is_item && !here.join(target).exists() {
                problems.push(format!("{page}:{number}: dead link to {target}"));
            }
        }
        for path in spans {
            if names_a_file(path) && !Path::new(path).exists() && !here.join(path).exists() {
                problems.push(format!("{page}:{number}: there is no `{path}`"));
            }
        }
    }
    problems
}

/// The lines outside of code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// A line without its `code`, and the pieces of code.
fn split_code(line: &str) -> (String, Vec<&str>) {
    let (mut words, mut spans) = (String::new(), Vec::new());
    for (index, piece) in line.split('`').enumerate() {
        if index % 2 == 0 {
            words.push_str(piece);
        } else {
            spans.push(piece);
        }
    }
    (words, spans)
}

/// Where the links of a line lead, without those to other sites and within the page.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let inline = inline.map(|(target, _)| target);
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    let definition = definition.map(|(_, target)| target);
    inline
        .chain(definition)
        .filter_map(|target| target.split_whitespace().next()) // a title may follow
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
}

/// Whether a piece of code is meant as a file of this repository: a path from one of its folders, or a
/// page by its name.
fn names_a_file(code: &str) -> bool {
    let is_path = code.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    match code.split_once('/') {
        Some(("target", _)) => false, // it need not have been built
        Some((folder, _)) => is_path && !folder.is_empty() && Path::new(folder).is_dir(),
        None => is_path && code.ends_with(".md"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests run in the folder of this crate.
    fn dead(text: &str, is_rustdoc: bool) -> Vec<String> {
        dead_references(Path::new("page.md"), text, is_rustdoc)
    }

    #[test]
    fn links_to_files_must_lead_somewhere() {
        let text =
            "[a](src/main.rs#L3) [b](https://x.y/z) [c](#c)\n![d](d.png \"D\")\n\n[e]: gone/e.md";
        let expected = ["page.md:2: dead link to d.png", "page.md:4: dead link to gone/e.md"];
        assert_eq!(dead(text, false), expected);
    }

    #[test]
    fn items_are_left_to_rustdoc() {
        assert_eq!(dead("[`a`](Process::builder), [b](macro@main)", true), [""; 0]);
        assert_eq!(dead("[`a`](Process::builder)", false).len(), 1);
        assert_eq!(dead("[a](docs/a.md)", true).len(), 1);
    }

    #[test]
    fn paths_in_code_must_exist_if_their_folder_does() {
        let text = "`src/main.rs`, `src/gone.rs`, `src/*.rs`, `owner/name`, `GONE.md`, `x`";
        let expected = ["page.md:1: there is no `src/gone.rs`", "page.md:1: there is no `GONE.md`"];
        assert_eq!(dead(text, false), expected);
    }

    #[test]
    fn code_blocks_are_not_read() {
        assert_eq!(dead("```\n[a](gone.md) `GONE.md`\n```\n`[b](gone.md)`", false), [""; 0]);
    }
}
