//! What the user is told: the table on standard output, failures on standard error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use indicatif::HumanCount;
use mp::RemoteException;

use crate::count::{Counts, most_frequent};
use crate::files::Found;
use crate::{Failure, Outcome};

/// How many words are listed.
const TOP_WORDS: usize = 10;
/// How many traces are shown; a tree full of pictures would give thousands.
const MAX_TRACES: usize = 3;

/// Writes to standard output; a reader that has seen enough, `head` for one, is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// The counts of each group, their sum, and the most frequent words.
pub(crate) fn table(found: &Found, outcome: &Outcome) -> String {
    let mut groups: BTreeMap<&str, (u64, Counts)> = BTreeMap::new();
    let mut total = (0, Counts::default());
    for (file, counts) in found.files.iter().zip(&outcome.counts) {
        if let Ok(counts) = counts {
            for (files, sum) in [groups.entry(&file.group).or_default(), &mut total] {
                *files += 1;
                *sum += *counts;
            }
        }
    }

    let mut text = String::new();
    let width = groups.keys().map(|group| group.chars().count()).fold("total".len(), usize::max);
    let mut row = |name: &str, cells: [String; 4]| {
        let [files, lines, words, bytes] = cells;
        let _ = writeln!(text, "{name:width$} {files:>8} {lines:>12} {words:>12} {bytes:>15}");
    };
    row("", ["files", "lines", "words", "bytes"].map(str::to_owned));
    for (name, (files, counts)) in groups.into_iter().chain([("total", total)]) {
        let cells = [files, counts.lines, counts.words, counts.bytes];
        row(name, cells.map(|n| HumanCount(n).to_string()));
    }

    let top = most_frequent(&outcome.frequencies, TOP_WORDS);
    if !top.is_empty() {
        text.push_str("\nmost frequent words\n");
    }
    for (word, count) in top {
        let _ = writeln!(text, "{:>12}  {word}", HumanCount(count).to_string());
    }
    let _ = writeln!(text, "\n{}", summary(found, outcome, total.0));
    text
}

fn summary(found: &Found, outcome: &Outcome, counted: u64) -> String {
    let mut text = format!(
        "{} counted by {} in {:.2?}",
        number_of(counted, "file", "files"),
        number_of(outcome.processes as u64, "process", "processes"),
        outcome.took
    );
    let failed = outcome.counts.len() as u64 - counted;
    if failed > 0 {
        let _ = write!(text, "; {} failed", number_of(failed, "file", "files"));
    }
    let unreadable = found.unreadable.len() as u64;
    if unreadable > 0 {
        let _ = write!(text, "; {} unreadable", number_of(unreadable, "directory", "directories"));
    }
    text
}

fn number_of(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(n), if n == 1 { one } else { many })
}

/// Writes to standard error; if that is gone there is nobody to tell.
pub(crate) fn complain(text: &str) {
    let _written = io::stderr().write_all(text.as_bytes());
}

/// Names what was not counted and tells why, with the trace of the process that knows.
pub(crate) fn failures(found: &Found, outcome: &Outcome) -> String {
    let directories = found.unreadable.iter().map(|(path, error)| (path, error.into()));
    let files = found.files.iter().zip(&outcome.counts);
    let files =
        files.filter_map(|(file, counts)| Some((&file.path, counts.as_ref().err()?.into())));

    let mut text = String::new();
    let mut traces: Vec<&str> = Vec::new();
    for (path, Reason { message, trace }) in directories.chain(files) {
        let _ = writeln!(text, "word_count: {}: {message}", path.display());
        if let Some(trace) = trace
            && traces.len() < MAX_TRACES
            && !traces.contains(&trace)
        {
            let _ = writeln!(text, "    {}", trace.replace('\n', "\n    "));
            traces.push(trace);
        }
    }
    text
}

/// Why something was not counted.
struct Reason<'a> {
    message: String,
    trace: Option<&'a str>,
}

impl<'a> From<&'a RemoteException> for Reason<'a> {
    fn from(error: &'a RemoteException) -> Reason<'a> {
        Reason { message: error.to_string(), trace: Some(error.traceback()) }
    }
}

impl<'a> From<&'a Failure> for Reason<'a> {
    fn from(failure: &'a Failure) -> Reason<'a> {
        match failure {
            Failure::File(error) => error.into(),
            Failure::Process(error) => Reason {
                message: format!("not counted: {error}"),
                trace: mp::get_remote_traceback(error),
            },
        }
    }
}
