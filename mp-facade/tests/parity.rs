//! `docs/parity.md` tells the truth: no name of Python is missing, every name of ours compiles, every test that it names
//! exists, and every id of the catalogue is either cited by a test or has a reason there.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "parity/ours.rs"]
mod ours;

/// What `bench/python/names.py` printed.
const NAMES: &str = include_str!("parity/names.txt");

/// The folder of the workspace, `None` where this crate stands alone.
fn workspace() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let is_there = folder.join("docs/parity.md").exists();
    if !is_there {
        eprintln!("not applicable: there is no workspace around this crate");
    }
    is_there.then(|| folder.to_owned())
}

/// A row of a table: the heading that it stands under, and its cells.
struct Row<'a> {
    heading: &'a str,
    cells: Vec<&'a str>,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let (mut heading, mut rows) = ("", Vec::new());
    for line in page.lines() {
        if let Some(text) = line.strip_prefix('#') {
            heading = text.trim_start_matches('#').trim();
        } else if let Some(cells) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) {
            rows.push(Row { heading, cells: cells.split(" | ").collect() });
        }
    }
    rows
}

/// What stands between back-ticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of names: those whose heading is a module or a class.
fn names<'a>(page: &'a str) -> Vec<(String, Row<'a>)> {
    let of_python = |row: Row<'a>| {
        let heading = quoted(row.heading).next()?;
        let name = row.cells[0].strip_prefix('`')?.strip_suffix('`')?;
        assert_eq!(row.cells.len(), 3, "{heading}.{name}");
        let name = format!("{heading}.{name}");
        Some((name, row))
    };
    rows(page).into_iter().filter_map(of_python).collect()
}

/// The names of ours that a row gives, without those that its remark mentions.
fn ours_in<'a>(row: &Row<'a>) -> impl Iterator<Item = &'a str> {
    let names = row.cells[1].split(';').next().unwrap();
    quoted(names).filter(|name| name.starts_with("mp::"))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The names of the tests in a file.
fn tests_in(file: &Path) -> BTreeSet<String> {
    let (mut tests, mut is_test) = (BTreeSet::new(), false);
    for line in fs::read_to_string(file).unwrap().lines().map(str::trim) {
        if line == "#[test]" || line.ends_with("::test]") {
            is_test = true;
        } else if line.contains("fn ") {
            if is_test {
                tests.insert(words(line).skip_while(|word| *word != "fn").nth(1).unwrap().into());
            }
            is_test = false;
        }
    }
    tests
}

/// What a file that the page calls `queues/simple` has.
#[derive(Default)]
struct TestFile {
    tests: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl TestFile {
    /// Nothing, if there is no such file.
    fn read(workspace: &Path, place: &str) -> TestFile {
        let (package, name) = place.split_once('/').unwrap();
        let file = workspace.join(format!("mp-{package}/tests/{name}.rs"));
        if !file.exists() {
            return TestFile::default();
        }
        let text = fs::read_to_string(&file).unwrap();
        TestFile { tests: tests_in(&file), words: words(&text).map(str::to_owned).collect() }
    }
}

/// All files of Rust in the crates' folders `tests` and `src`.
fn sources(workspace: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let is_crate = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("mp-");
    let crates = entries(workspace).into_iter().filter(is_crate);
    let mut folders: Vec<PathBuf> =
        crates.flat_map(|path| [path.join("tests"), path.join("src")]).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The ids that a test's name starts with: `q_26_and_se_03_all_of_…` has Q-26 and SE-03.
fn cited(test: &str, sections: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut parts = test.split('_').filter(|part| *part != "and");
    let mut ids = BTreeSet::new();
    while let (Some(section), Some(number)) = (parts.next(), parts.next()) {
        let section = section.to_uppercase();
        let is_number = number.len() == 2 && number.bytes().all(|c| c.is_ascii_digit());
        if !is_number || !sections.contains(section.as_str()) {
            break;
        }
        ids.insert(format!("{section}-{number}"));
    }
    ids
}

/// The catalogue as the page has it: each section with its ids, `01-03, 07`.
fn catalogue<'a>(rows: &[Row<'a>]) -> BTreeMap<&'a str, BTreeSet<String>> {
    let mut sections = BTreeMap::new();
    for row in rows.iter().filter(|row| row.heading == "The catalogue") {
        let &[section, _, ranges] = row.cells.as_slice() else { panic!("{:?}", row.cells) };
        if section.bytes().any(|c| !c.is_ascii_uppercase()) {
            continue; // the head of the table, and the line below
        }
        let mut ids = BTreeSet::new();
        for range in ranges.split(", ") {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
            assert!(first <= last, "{section}: {range}");
            for number in first..=last {
                assert!(ids.insert(format!("{section}-{number:02}")), "{section}: {range}");
            }
        }
        assert!(sections.insert(section, ids).is_none(), "{section} is there twice");
    }
    sections
}

fn differences<T: Ord + std::fmt::Debug>(have: &BTreeSet<T>, want: &BTreeSet<T>) -> String {
    let only =
        |a: &BTreeSet<T>, b: &BTreeSet<T>| format!("{:?}", a.difference(b).collect::<Vec<_>>());
    format!("only on the page: {}; only elsewhere: {}", only(have, want), only(want, have))
}

#[test]
fn no_name_of_python_is_missing() {
    let Some(workspace) = workspace() else { return };
    let page = fs::read_to_string(workspace.join("docs/parity.md")).unwrap();
    let rows = names(&page);
    let have: BTreeSet<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(have.len(), rows.len(), "a name is there twice");
    let want: BTreeSet<&str> = NAMES.lines().collect();
    assert!(want.len() > 400);
    assert!(have == want, "{}", differences(&have, &want));
}

#[test]
fn every_name_of_ours_compiles() {
    let Some(workspace) = workspace() else { return };
    let page = fs::read_to_string(workspace.join("docs/parity.md")).unwrap();
    let rows = names(&page);
    let on_page: BTreeSet<String> = rows
        .iter()
        .flat_map(|(_, row)| quoted(row.cells[1]))
        .filter(|name| name.starts_with("mp::"))
        .map(str::to_owned)
        .collect();
    let compiled: BTreeSet<String> = ours::names().collect();
    assert!(on_page == compiled, "{}", differences(&on_page, &compiled));
}

#[test]
fn every_row_has_a_name_of_ours_and_a_test_that_uses_it_or_a_reason() {
    let Some(workspace) = workspace() else { return };
    let page = fs::read_to_string(workspace.join("docs/parity.md")).unwrap();
    let rows = names(&page);
    let places = rows.iter().flat_map(|(_, row)| quoted(row.cells[2]).step_by(2));
    let read = |place| (place, TestFile::read(&workspace, place));
    let files: BTreeMap<&str, TestFile> =
        places.collect::<BTreeSet<_>>().into_iter().map(read).collect();
    let mut wrong = Vec::new();
    for (name, row) in &rows {
        let reason = row.cells[1].strip_prefix("none: ");
        let shown: Vec<&str> = quoted(row.cells[2]).collect();
        if shown.is_empty() && reason.is_none_or(|reason| reason.len() < 8) {
            wrong.push(format!("{name}: neither a test nor a reason"));
        }
        let mut used = BTreeSet::new();
        for pair in shown.chunks(2) {
            let &[place, test] = pair else { panic!("{name}: {shown:?}") };
            let file = &files[place];
            if !file.tests.contains(test) {
                wrong.push(format!("{name}: {place} has no test {test}"));
            }
            used.extend(file.words.iter().map(String::as_str));
        }
        if reason.is_none() {
            let ours: Vec<&str> = ours_in(row).collect();
            if ours.is_empty() {
                wrong.push(format!("{name}: no name of ours"));
            }
            let unused =
                ours.iter().filter(|name| !used.contains(name.rsplit("::").next().unwrap()));
            wrong.extend(unused.map(|ours| format!("{name}: {ours} is not in the test's file")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_id_of_the_catalogue_is_cited_by_a_test_or_has_a_reason() {
    let Some(workspace) = workspace() else { return };
    let page = fs::read_to_string(workspace.join("docs/parity.md")).unwrap();
    let rows = rows(&page);
    let catalogue = catalogue(&rows);
    let sections: BTreeSet<&str> = catalogue.keys().copied().collect();
    let all: BTreeSet<String> = catalogue.values().flatten().cloned().collect();
    assert!(page.contains(&format!("The {} ids", all.len())), "there are {} ids", all.len());

    let mut excused = BTreeSet::new();
    for row in rows.iter().filter(|row| row.heading == "Ids that no test cites") {
        let &[ids, reason] = row.cells.as_slice() else { panic!("{:?}", row.cells) };
        if ids.contains('-') && !ids.starts_with('-') {
            assert!(reason.len() > 8, "{ids}: {reason}");
            for id in ids.split(", ") {
                assert!(excused.insert(id.to_owned()), "{id} is there twice");
            }
        }
    }
    let mut by_tests = BTreeMap::new();
    for file in sources(&workspace) {
        for test in tests_in(&file) {
            by_tests.extend(cited(&test, &sections).into_iter().map(|id| (id, test.clone())));
        }
    }
    let mut wrong = Vec::new();
    wrong.extend(excused.difference(&all).map(|id| format!("{id} has a reason and is no id")));
    for id in &all {
        match (by_tests.get(id), excused.contains(id)) {
            (None, false) => wrong.push(format!("{id} is cited by no test and has no reason")),
            (Some(test), true) => wrong.push(format!("{id} has a reason, but {test} cites it")),
            _ => (),
        }
    }
    for (id, test) in by_tests.iter().filter(|(id, _)| !all.contains(*id)) {
        wrong.push(format!("{test} cites {id}, which is no id"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_checks_find_what_is_wrong() {
    let sections = BTreeSet::from(["Q", "SE"]);
    let ids = |test: &str| cited(test, &sections).into_iter().collect::<Vec<_>>();
    assert_eq!(ids("q_26_and_se_03_and_more"), ["Q-26", "SE-03"]);
    assert_eq!(ids("q_09_x_05_the_size_after_se_03"), ["Q-09"]);

    let page =
        "# A\n## `m.C`\n| Python | here | shown by |\n|---|---|---|\n| `x` | `mp::x` | - |\n";
    let names = names(page);
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].0, "m.C.x");

    let page =
        "## The catalogue\n| section | about | ids |\n|---|---|---|\n| Q | queue | 01-02, 07 |\n";
    let catalogue = catalogue(&rows(page));
    assert_eq!(catalogue["Q"], ["Q-01", "Q-02", "Q-07"].map(str::to_owned).into());

    let here = tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity.rs"));
    assert!(here.contains("the_checks_find_what_is_wrong") && !here.contains("tests_in"));
}
