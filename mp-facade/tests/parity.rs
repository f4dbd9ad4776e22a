//! `docs/parity.md` tells the truth: no name of Python is missing, every name of ours compiles, every test that it names
//! exists and uses the name, every id of the catalogue is either cited by a test or has a reason there, and what is
//! different on purpose is what the tests say.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "parity/ours.rs"]
mod ours;
#[path = "parity/source.rs"]
mod source;

use source::{Source, uses};

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

/// The file that the page calls `queues/simple`.
fn source_at(workspace: &Path, place: &str) -> Source {
    let (package, name) = place.split_once('/').unwrap();
    Source::read(&workspace.join(format!("mp-{package}/tests/{name}.rs")))
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
    format!("only kept here: {}; only elsewhere: {}", only(have, want), only(want, have))
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

/// Prints what also those are to see whose tests pass: the test harness keeps back what `println!` writes.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

#[test]
fn the_names_are_those_that_python_prints() {
    const ARE_THERE: &str = "import sys, mpservice; \
        sys.exit((sys.version_info[:2], mpservice.__version__) != ((3, 11), '0.16.8'))";
    let Some(workspace) = workspace() else { return };
    let python = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command.args(arguments).current_dir(&workspace).env("PYTHONDONTWRITEBYTECODE", "1").output()
    };
    if !python(&["-c", ARE_THERE]).is_ok_and(|tried| tried.status.success()) {
        say("skipped names.py: there is no python3 of version 3.11 with mpservice 0.16.8");
        return;
    }
    let output = python(&["bench/python/names.py"]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    let (kept, printed) = (NAMES.lines().collect(), printed.lines().collect());
    assert!(kept == printed, "names.txt is not what it prints: {}", differences(&kept, &printed));
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
    let read = |place| (place, source_at(&workspace, place));
    let files: BTreeMap<&str, Source> =
        places.collect::<BTreeSet<_>>().into_iter().map(read).collect();
    let mut wrong = Vec::new();
    for (name, row) in &rows {
        let reason = row.cells[1].strip_prefix("none: ");
        let shown: Vec<&str> = quoted(row.cells[2]).collect();
        if shown.is_empty() && reason.is_none_or(|reason| reason.len() < 8) {
            wrong.push(format!("{name}: neither a test nor a reason"));
        }
        let mut code = String::new();
        for pair in shown.chunks(2) {
            let &[place, test] = pair else { panic!("{name}: {shown:?}") };
            let file = &files[place];
            if !file.has_test(test) {
                wrong.push(format!("{name}: {place} has no test {test}"));
            }
            code.push_str(&file.code_of(test));
        }
        if reason.is_none() {
            let ours: Vec<&str> = ours_in(row).collect();
            if ours.is_empty() {
                wrong.push(format!("{name}: no name of ours"));
            }
            let unused = ours.iter().filter(|ours| !uses(&code, ours));
            wrong.extend(unused.map(|ours| format!("{name}: {ours} is not in the test")));
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
    let different: BTreeSet<String> =
        different_on_purpose(&rows).into_iter().map(|(id, ..)| id).collect();
    let mut by_tests = BTreeMap::new();
    for file in sources(&workspace) {
        // What must not compile is a test by itself.
        let is_ui = file.parent().is_some_and(|folder| folder.ends_with("tests/ui"));
        let name = file.file_stem().filter(|_| is_ui).map(|name| name.to_string_lossy().into());
        let source = Source::of(&fs::read_to_string(&file).unwrap());
        for test in source.tests().map(str::to_owned).chain(name) {
            by_tests.extend(cited(&test, &sections).into_iter().map(|id| (id, test.clone())));
        }
    }
    let mut wrong = Vec::new();
    wrong.extend(different.difference(&all).map(|id| format!("{id} is different and is no id")));
    wrong.extend(different.intersection(&excused).map(|id| format!("{id} is in both lists")));
    wrong.extend(excused.difference(&all).map(|id| format!("{id} has a reason and is no id")));
    for id in &all {
        match (by_tests.get(id), excused.contains(id)) {
            (None, false) if different.contains(id) => (),
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

/// The list of what is shown and differs: each id with the place and the name of a test.
fn different_on_purpose(rows: &[Row<'_>]) -> BTreeSet<(String, String, String)> {
    let mut list = BTreeSet::new();
    for row in rows.iter().filter(|row| row.heading == "Shown, and different on purpose") {
        let &[id, what, why, shown] = row.cells.as_slice() else { panic!("{:?}", row.cells) };
        let shown: Vec<&str> = quoted(shown).collect();
        if shown.is_empty() {
            continue; // the head of the table, and the line below
        }
        assert!(what.len() > 8 && why.len() > 8, "{id}: {what}, {why}");
        for pair in shown.chunks(2) {
            let &[place, test] = pair else { panic!("{id}: {shown:?}") };
            assert!(list.insert((id.to_owned(), place.to_owned(), test.to_owned())), "{id}: twice");
        }
    }
    list
}

#[test]
fn the_list_of_differences_is_that_of_the_comments_in_the_tests() {
    let Some(workspace) = workspace() else { return };
    let page = fs::read_to_string(workspace.join("docs/parity.md")).unwrap();
    let on_page = different_on_purpose(&rows(&page));
    assert!(on_page.len() > 10);
    let mut in_tests = BTreeSet::new();
    for file in sources(&workspace) {
        let path = file.strip_prefix(&workspace).unwrap().with_extension("");
        let path = path.to_string_lossy();
        let Some((package, name)) = path.split_once("/tests/") else { continue };
        let place = format!("{}/{name}", package.trim_start_matches("mp-"));
        let source = Source::of(&fs::read_to_string(&file).unwrap());
        for (id, test) in source.differences() {
            assert!(source.has_test(test), "{path}: {id}: {test} is no test");
            in_tests.insert((id.to_owned(), place.clone(), test.to_owned()));
        }
    }
    assert!(on_page == in_tests, "{}", differences(&on_page, &in_tests));
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

    let text = [
        "fn makes() -> Made {",
        "    make()",
        "}",
        "fn other() {",
        "    c.d()",
        "}",
        "struct Made;",
        "impl Made {",
        "    fn a(&self) {",
        "        b.wait(1); mp::Queue::<u8>::new();",
        "    }",
        "}",
        "// DIFFERENCE from P-01 and Q-02: text.",
        "#[test]",
        "fn tests() {",
        "    makes();",
        "    // c.d(); e",
        "}",
        "mod inner {",
        "    use of::Others;",
        "",
        "    #[tokio::test]",
        "    async fn is_one_too() {",
        "        a.b();",
        "    }",
        "}",
    ];
    let source = Source::of(&text.join("\n"));
    assert_eq!(source.tests().collect::<Vec<_>>(), ["tests", "is_one_too"]);
    assert!(uses(&source.code_of("is_one_too"), "mp::A::b"));
    assert!(!uses(&source.code_of("is_one_too"), "mp::Others"));
    assert_eq!(source.differences().collect::<Vec<_>>(), [("P-01", "tests"), ("Q-02", "tests")]);
    let code = source.code_of("tests");
    for ours in ["mp::makes", "mp::Made", "mp::Event::wait", "mp::Queue::new", "mp::Queue"] {
        assert!(uses(&code, ours), "{ours}");
    }
    for ours in ["mp::Event::d", "mp::e", "mp::wait", "mp::Event::b", "mp::Lock::new"] {
        assert!(!uses(&code, ours), "{ours}");
    }
}
