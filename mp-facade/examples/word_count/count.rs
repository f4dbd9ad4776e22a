//! Counting a share of the files; the only part that runs in the processes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::str::Utf8Error;

use mp::{DupFd, RemoteException};
use serde::{Deserialize, Serialize};

use crate::progress::Progress;

/// What `wc` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) lines: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

/// How often each word occurs, in lower case. Here a word is made of letters, digits and `_`.
pub(crate) type Frequencies = HashMap<String, u64>;

/// What a share of the files came to.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tally {
    /// One for each file, in their order; the error has the trace of the process that read it.
    pub(crate) files: Vec<Result<Counts, RemoteException>>,
    /// Of all files that were read to the end.
    pub(crate) frequencies: Frequencies,
}

/// Why a file is not counted.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("not a regular file")]
    NotAFile,
    #[error("line {line} is not UTF-8")]
    NotText { line: u64, source: Utf8Error },
}

/// What a process runs. Paths cross as `OsString`, because a `Path` does so only if it is UTF-8.
pub(crate) fn count_share(paths: Vec<OsString>, progress: DupFd) -> mp::Result<Tally> {
    log::info!("counting {} file(s)", paths.len());
    Ok(count_all(paths.iter().map(Path::new), Progress::to(progress.into())))
}

/// Counts files one after the other.
pub(crate) fn count_all<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    mut progress: Progress,
) -> Tally {
    let mut tally = Tally { files: Vec::new(), frequencies: Frequencies::new() };
    for path in paths {
        let mut frequencies = Frequencies::new();
        let counts = count_file(path, &mut frequencies, &mut progress);
        progress.end_of_file();
        if let Ok(counts) = &counts {
            let top: Vec<&str> = most_frequent(&frequencies, 3).iter().map(|(w, _)| *w).collect();
            log::debug!("{}: {} words, mostly {}", path.display(), counts.words, top.join(", "));
            add(&mut tally.frequencies, frequencies);
        }
        tally.files.push(counts.map_err(RemoteException::new));
    }
    tally
}

fn count_file(
    path: &Path,
    frequencies: &mut Frequencies,
    progress: &mut Progress,
) -> mp::Result<Counts> {
    if !path.metadata()?.is_file() {
        Err(Unfit::NotAFile)?; // to open a pipe would wait for its writer
    }
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut counts = Counts::default();
    let (mut line, mut word) = (Vec::new(), String::new());
    loop {
        line.clear();
        let len_bytes = reader.read_until(b'\n', &mut line)? as u64;
        if len_bytes == 0 {
            return Ok(counts);
        }
        let text = std::str::from_utf8(&line)
            .map_err(|source| Unfit::NotText { line: counts.lines + 1, source })?;
        counts.bytes += len_bytes;
        counts.words += text.split_whitespace().count() as u64;
        counts.lines += u64::from(text.ends_with('\n'));
        for part in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
            if part.contains(char::is_alphabetic) {
                word.clear();
                word.extend(part.chars().flat_map(char::to_lowercase));
                match frequencies.get_mut(&word) {
                    Some(count) => *count += 1,
                    None => drop(frequencies.insert(word.clone(), 1)),
                }
            }
        }
        progress.add(len_bytes);
    }
}

/// Adds `more` to `sum`.
pub(crate) fn add(sum: &mut Frequencies, more: Frequencies) {
    if sum.is_empty() {
        *sum = more;
        return;
    }
    for (word, count) in more {
        match sum.entry(word) {
            Entry::Occupied(mut known) => *known.get_mut() += count,
            Entry::Vacant(new) => drop(new.insert(count)),
        }
    }
}

/// The `limit` most frequent words, the first in the alphabet among equals.
pub(crate) fn most_frequent(frequencies: &Frequencies, limit: usize) -> Vec<(&str, u64)> {
    let mut all: Vec<_> = frequencies.iter().map(|(word, count)| (word.as_str(), *count)).collect();
    all.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    all.truncate(limit);
    all
}
