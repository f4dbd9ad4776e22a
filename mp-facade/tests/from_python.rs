//! The programs of the guide for those who come from Python: they are what the guide shows, and print what it says.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mp_testing::system::ends_within;

mp::enable_test_support!();

const GUIDE: &str = "docs/from-python.md";
const PROGRAMS: &str = "mp-facade/tests/from_python";
const LIMIT: Duration = Duration::from_secs(100);

/// Tells the program to be run here.
const CHAPTER: &str = "MP_CHAPTER";

/// What comes before the output of the program, which is not alone in its process.
const BEGIN: &str = "\n-- output --\n";

/// Each program is a file that could be the `main.rs` of a crate, so its `main` is private.
macro_rules! chapters {
    ($($name:ident)*) => {
        $(mod $name {
            include!(concat!("from_python/", stringify!($name), ".rs"));

            pub(super) fn run() -> mp::Result<()> {
                main()
            }
        })*

        const CHAPTERS: &[(&str, fn() -> mp::Result<()>)] = &[$((stringify!($name), $name::run)),*];
    };
}

chapters! {
    result errors logs waiting producer joinable pipe counters meeting pool imap runner memory manager server
    nested_server listener killed
}

#[test]
#[ignore = "a program of the guide, in a process of its own that the tests start"]
fn chapter() {
    let name = std::env::var(CHAPTER).unwrap();
    let (_, run) = CHAPTERS.iter().find(|(chapter, _)| *chapter == name).unwrap();
    print!("{BEGIN}");
    match run() {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("Error: {error:?}");
            std::process::exit(1)
        }
    }
}

/// What a program printed, or what went wrong. Files are named from the root of the workspace.
fn output(command: &mut Command) -> Result<String, String> {
    command.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let in_time = ends_within(child.id(), LIMIT).unwrap();
    if !in_time {
        child.kill().unwrap();
        child.wait().unwrap();
        return Err(format!("did not end within {LIMIT:?}"));
    }
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        // The guide names files from the root of the repository, wherever that is.
        true => Ok(String::from_utf8(output.stdout)
            .unwrap()
            .replace(&format!("{}/", root().display()), "")),
        false => Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}

fn output_of_rust(chapter: &str) -> Result<String, String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "chapter", "--ignored", "--nocapture"]).env(CHAPTER, chapter);
    let printed = output(&mut command)?;
    let (_, printed) = printed.split_once(BEGIN).ok_or("the program was not begun")?;
    Ok(printed.to_owned())
}

/// Nothing when Python, or a package that the program imports, is not there.
fn output_of_python(chapter: &str) -> Option<Result<String, String>> {
    let path = format!("{PROGRAMS}/{chapter}.py");
    let source = fs::read_to_string(root().join(&path)).unwrap();
    let package = if source.contains("from mpservice") { "mpservice" } else { "multiprocessing" };
    let is_there = Command::new("python3").args(["-c", &format!("import {package}")]).output();
    if !is_there.is_ok_and(|tried| tried.status.success()) {
        say(&format!("skipped {path}: there is no python3 that can import {package}"));
        return None;
    }
    Some(output(Command::new("python3").arg(&path).env("PYTHONDONTWRITEBYTECODE", "1")))
}

/// Prints what also those are to see whose tests pass: the test harness keeps back what `println!` writes.
fn say(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Language {
    Python,
    Rust,
}

use Language::{Python, Rust};

impl Language {
    const fn extension(self) -> &'static str {
        match self {
            Python => "py",
            Rust => "rs",
        }
    }
}

/// What the guide shows, by program: a link to the file, then a block of code; a line that says who prints
/// something, then a block with that.
#[derive(Default)]
struct Guide {
    programs: BTreeMap<(String, Language), String>,
    outputs: BTreeMap<(String, Language), String>,
    /// The `Cargo.toml` of all of them.
    manifest: String,
    /// Blocks that belong to no program.
    loose: Vec<String>,
}

fn guide() -> Guide {
    let text = fs::read_to_string(root().join(GUIDE)).unwrap();
    let mut guide = Guide::default();
    let (mut chapter, mut introduction) = (String::new(), "");
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            if !line.is_empty() {
                introduction = line;
            }
            if let Some((name, _)) = linked_program(line) {
                chapter = name.to_owned();
            }
            continue;
        };
        let block: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| [line, "\n"])
            .collect();
        let language = linked_program(introduction).map(|(_, language)| language);
        let (list, languages): (_, &[Language]) = match (kind, language, introduction) {
            ("python", Some(Python), _) => (&mut guide.programs, &[Python]),
            ("rust", Some(Rust), _) => (&mut guide.programs, &[Rust]),
            ("text", _, "Both print:") => (&mut guide.outputs, &[Python, Rust]),
            ("text", _, "Python prints:") => (&mut guide.outputs, &[Python]),
            ("text", _, "Rust prints:") => (&mut guide.outputs, &[Rust]),
            ("toml", ..) if guide.manifest.is_empty() => {
                guide.manifest = block;
                continue;
            }
            _ => {
                guide.loose.push(block);
                continue;
            }
        };
        for language in languages {
            let previous = list.insert((chapter.clone(), *language), block.clone());
            assert_eq!(previous, None, "two blocks of one kind for {chapter}");
        }
    }
    guide
}

/// The program that a line is a link to, as `[pool.py](…/pool.py)`.
fn linked_program(line: &str) -> Option<(&str, Language)> {
    let (name, target) = line.strip_prefix('[')?.strip_suffix(')')?.split_once("](")?;
    let (chapter, language) = match name.rsplit_once('.')? {
        (chapter, "py") => (chapter, Python),
        (chapter, "rs") => (chapter, Rust),
        _ => return None,
    };
    (target == format!("../{PROGRAMS}/{name}")).then_some((chapter, language))
}

/// Compares what the programs of a language print with what the guide says.
fn compare(language: Language, run: impl Fn(&str) -> Option<Result<String, String>>) -> usize {
    let guide = guide();
    let mut compared = 0;
    let mut problems = Vec::new();
    for (chapter, _) in CHAPTERS {
        let Some(shown) = guide.outputs.get(&((*chapter).to_owned(), language)) else {
            problems.push(format!("{chapter}: the guide does not say what {language:?} prints"));
            continue;
        };
        match run(chapter) {
            None => {}
            Some(Ok(printed)) if printed == *shown => compared += 1,
            Some(Ok(printed)) => {
                problems.push(format!("{chapter} prints:\n{printed}not:\n{shown}"))
            }
            Some(Err(error)) => problems.push(format!("{chapter}: {error}")),
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    compared
}

#[test]
fn every_rust_program_of_the_guide_prints_what_the_guide_says() {
    let compared = compare(Rust, |chapter| Some(output_of_rust(chapter)));
    assert_eq!(compared, CHAPTERS.len());
}

#[test]
fn every_python_program_of_the_guide_prints_what_the_guide_says_where_python_is() {
    let compared = compare(Python, output_of_python);
    say(&format!("{compared} of {} Python programs were run and compared", CHAPTERS.len()));
}

#[test]
fn the_guide_shows_every_program_byte_for_byte() {
    let guide = guide();
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(root().join(PROGRAMS)).unwrap() {
        files.insert(entry.unwrap().file_name().into_string().unwrap());
    }
    let expected = CHAPTERS.iter().flat_map(|(name, _)| [Python, Rust].map(|one| (*name, one)));
    for (name, language) in expected {
        let file = format!("{name}.{}", language.extension());
        let source = fs::read_to_string(root().join(PROGRAMS).join(&file)).unwrap();
        let shown = guide.programs.get(&(name.to_owned(), language));
        assert_eq!(shown, Some(&source), "{GUIDE} does not show {file} as it is");
        files.remove(&file);
    }
    assert!(files.is_empty(), "not in the guide: {files:?}");
    assert!(guide.loose.is_empty(), "blocks that nobody runs: {:?}", guide.loose);
}

/// The lines of a table of a manifest, up to the next one: what is named, and the rest.
fn table<'a>(manifest: &'a str, name: &str) -> BTreeMap<&'a str, &'a str> {
    let lines = manifest.lines().skip_while(|line| !line.starts_with(name)).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(['=', '.']))
        .map(|(key, value)| (key.trim(), value))
        .collect()
}

#[test]
fn the_manifest_of_the_guide_has_what_its_programs_use_and_no_more() {
    let guide = guide();
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (ours, workspace) = (read("mp-facade/Cargo.toml"), read("Cargo.toml"));
    let mut rust = guide.programs.iter().filter(|((_, language), _)| *language == Rust);
    let sources: String = rust.by_ref().map(|(_, source)| source.as_str()).collect();
    let used = table(&ours, "[dev-dependencies]").into_keys();
    let used = used.chain(["mp"]).filter(|name| sources.contains(&format!("{name}::")));
    let shown = table(&guide.manifest, "[dependencies]");
    assert_eq!(shown.keys().copied().collect::<BTreeSet<_>>(), used.collect());

    // The version is one that the workspace is tested with, the rest is said there as well.
    let tested = table(&workspace, "[workspace.dependencies]");
    for (name, wanted) in shown.into_iter().filter(|(name, _)| *name != "mp") {
        let version = |text: &str| text.split('"').nth(1).unwrap().to_owned();
        assert!(version(tested[name]).starts_with(&version(wanted)), "{name}: {wanted}");
    }
    let optimised = table(&guide.manifest, "[profile.dev.package]");
    for (name, level) in table(&workspace, "[profile.dev.package]") {
        assert_eq!(optimised.get(name), Some(&level), "{name}");
    }
}
