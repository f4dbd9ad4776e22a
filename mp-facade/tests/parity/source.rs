//! Rust as far as the checks read it: which items a file has, and what a test of it comes to.
//!
//! The layout is rustfmt's: an item ends at the first line that is indented as its own first line is and closes it.
//! Names are compared as text. What a test reaches is its own lines and those of every item of the file that they
//! name, and so on; items of the suite's `common/mod.rs`, and of the `main.rs` of a folder of tests, are of the file too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What stands between characters that no name has.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_of_name(c)).filter(|word| !word.is_empty())
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A function, a type, a constant, a macro, or what is implemented for a type: then its name is that of the type.
struct Item {
    name: String,
    is_test: bool,
    /// Its lines, with the attributes and without the comments.
    code: String,
    /// The ids from which a comment says that this differs: `// DIFFERENCE from P-01 and Q-02: …`.
    differs_from: Vec<String>,
}

/// A file of tests.
#[derive(Default)]
pub(crate) struct Source {
    items: Vec<Item>,
}

impl Source {
    /// Nothing, if there is no such file.
    pub(crate) fn read(file: &Path) -> Source {
        let mut source = Source::default();
        let is_in_folder = file.parent().is_some_and(|folder| !folder.ends_with("tests"));
        let shared = file.with_file_name(if is_in_folder { "main.rs" } else { "common/mod.rs" });
        for text in [file, &shared].into_iter().filter_map(|file| fs::read_to_string(file).ok()) {
            source.add(&text.lines().collect::<Vec<_>>());
        }
        source
    }

    pub(crate) fn of(text: &str) -> Source {
        let mut source = Source::default();
        source.add(&text.lines().collect::<Vec<_>>());
        source
    }

    fn add(&mut self, lines: &[&str]) {
        let indent_of = |line: &&str| line.len() - line.trim_start().len();
        let edge = lines.iter().filter(|line| !line.is_empty()).map(indent_of).min().unwrap_or(0);
        let mut begin = 0; // where attributes and comments of the next item begin
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at].trim_start();
            let indent = indent_of(&lines[at]);
            let Some((keyword, name)) = keyword_and_name(line) else {
                let belongs_to_next = ["//", "#", ")]"].iter().any(|start| line.starts_with(start));
                at += 1;
                if line.is_empty() || !belongs_to_next && indent == edge {
                    begin = at;
                }
                continue;
            };
            let end = at + lines_of_item(keyword, &lines[at..], indent);
            if keyword == "mod" {
                self.add(&lines[at + 1..end]);
            } else {
                self.items.push(Item::new(name, &lines[begin..end]));
            }
            (begin, at) = (end, end);
        }
    }

    pub(crate) fn tests(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter(|item| item.is_test).map(|item| item.name.as_str())
    }

    pub(crate) fn has_test(&self, name: &str) -> bool {
        self.tests().any(|test| test == name)
    }

    /// The tests with a comment that says from which ids of the catalogue they differ.
    pub(crate) fn differences(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items
            .iter()
            .flat_map(|item| item.differs_from.iter().map(|id| (id.as_str(), item.name.as_str())))
    }

    /// The code that the test comes to.
    pub(crate) fn code_of(&self, test: &str) -> String {
        let mut code = String::new();
        let mut names = BTreeSet::from([test]);
        let mut left: Vec<&Item> = self.items.iter().collect();
        loop {
            let (reached, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|item| {
                names.contains(item.name.as_str()) && item.is_test == (item.name == test)
            });
            if reached.is_empty() {
                return code;
            }
            for item in reached {
                names.extend(words(&item.code));
                code.push_str(&item.code);
            }
            left = others;
        }
    }
}

impl Item {
    fn new(name: &str, lines: &[&str]) -> Item {
        let (comments, code): (Vec<&str>, Vec<&str>) =
            lines.iter().partition(|line| line.trim_start().starts_with("//"));
        let is_test = |line: &str| line == "#[test]" || line.ends_with("::test]");
        let is_test = code.iter().any(|line| is_test(line.trim()));
        let ids = comments.iter().filter_map(|line| {
            let ids = line.trim_start().strip_prefix("// DIFFERENCE from ")?;
            Some(ids.split_once(':').expect("a colon follows the ids").0)
        });
        let differs_from = ids
            .flat_map(|ids| ids.split([' ', ',']))
            .filter(|id| id.contains('-'))
            .map(str::to_owned);
        Item {
            name: name.to_owned(),
            is_test,
            differs_from: differs_from.collect(),
            code: code.iter().flat_map(|line| [line, "\n"]).collect(),
        }
    }
}

/// What a line that begins an item begins.
fn keyword_and_name(line: &str) -> Option<(&str, &str)> {
    const BEFORE: [&str; 7] = ["pub", "crate", "super", "async", "unsafe", "extern", "C"];
    let mut parts = words(line).skip_while(|word| BEFORE.contains(word));
    let mut keyword = parts.next()?;
    let begins = BEFORE.iter().chain([&keyword]).any(|word| line.starts_with(word));
    let name = match keyword {
        "impl" => {
            let of_type = line.split_once(" for ").map(|(_, behind)| behind);
            let behind = of_type.or_else(|| Some(behind_generics(line.split_once("impl")?.1)))?;
            words(behind).next()?
        }
        "const" | "static" => match parts.next()? {
            "fn" => {
                keyword = "fn";
                parts.next()?
            }
            "mut" => parts.next()?,
            name => name,
        },
        "fn" | "struct" | "enum" | "union" | "type" | "trait" | "mod" | "macro_rules" => {
            parts.next()?
        }
        _ => return None,
    };
    begins.then_some((keyword, name))
}

/// Leaves out `<T: Into<U>>` at the beginning.
fn behind_generics(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ if depth == 0 => return &text[at..],
            _ => (),
        }
    }
    text
}

/// How many lines the item has that begins with the first of these.
fn lines_of_item(keyword: &str, lines: &[&str], indent: usize) -> usize {
    let is_whole = lines[0].ends_with([';', '}']);
    if is_whole {
        return 1;
    }
    let is_value = ["const", "static", "type"].contains(&keyword);
    let ends = |line: &&str| {
        let text = line.trim_start();
        let is_at_edge = line.len() - text.len() == indent;
        let closes = text.starts_with('}') || text.ends_with(';');
        is_at_edge && closes || is_value && lines[0].ends_with('=') && text.ends_with(';')
    };
    lines.iter().skip(1).position(ends).map_or(lines.len(), |at| at + 2)
}

/// Whether code uses a name of ours, `mp::Queue::put`: a method is called or named with its type, a function is not
/// called as a method, and a type, a constant or a variant is there.
pub(crate) fn uses(code: &str, ours: &str) -> bool {
    let mut path = ours.rsplit("::");
    let (last, before) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
    let is_lower = last.starts_with(|c: char| c.is_lowercase());
    let has_type = before.starts_with(|c: char| c.is_uppercase());
    code.match_indices(last).any(|(begin, _)| {
        let (in_front, behind) = (&code[..begin], &code[begin + last.len()..]);
        let is_named = || last_name(in_front.strip_suffix("::").unwrap_or("")) == before;
        !in_front.ends_with(is_of_name)
            && !behind.starts_with(is_of_name)
            && match (is_lower, has_type) {
                (true, true) => {
                    is_named() || in_front.ends_with('.') && behind.starts_with(['(', ':'])
                }
                (true, false) => !in_front.ends_with('.'),
                (false, true) => is_named(),
                (false, false) => true,
            }
    })
}

/// `Queue` of `mp::Queue` and of `mp::Queue::<Vec<u8>>`.
fn last_name(path: &str) -> &str {
    let mut depth = 0;
    let name = path.trim_end_matches(|c: char| {
        match c {
            '>' => depth += 1,
            '<' => depth -= 1,
            _ => return depth > 0,
        }
        true
    });
    name.trim_end_matches("::").rsplit(|c: char| !is_of_name(c)).next().unwrap_or_default()
}
