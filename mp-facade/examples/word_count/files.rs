//! Which files are counted, under which heading, and by which process.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs;
use std::path::{Path, PathBuf};

use mp::RemoteException;

/// Directories of what tools have made of sources.
const NOT_SOURCES: [&str; 2] = ["target", "__pycache__"];

/// What a file costs besides its bytes, in bytes.
const COST_OF_OPENING: u64 = 4096;

/// A file to be counted.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// The line of the table that it belongs to.
    pub(crate) group: String,
    pub(crate) len_bytes: u64,
}

/// What the arguments of the user name.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) files: Vec<File>,
    /// Directories that could not be listed.
    pub(crate) unreadable: Vec<(PathBuf, RemoteException)>,
}

/// Finds the files of `paths`.
///
/// Several paths are a group each; a single directory has a group for each directory in it. A
/// path that does not exist counts as a file: whoever opens it says what is wrong.
pub(crate) fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        if path.is_dir() {
            found.add_directory(path, (paths.len() > 1).then(|| path.display().to_string()));
        } else {
            found.add_file(path.clone(), path.display().to_string());
        }
    }
    found
}

impl Found {
    fn add_file(&mut self, path: PathBuf, group: String) {
        let len_bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        self.files.push(File { path, group, len_bytes });
    }

    /// Adds what is below `dir`: without a `group` of its own, each directory in it is one.
    fn add_directory(&mut self, dir: &Path, group: Option<String>) {
        if let Err(error) = self.list(dir, group.as_deref()) {
            self.unreadable.push((dir.to_owned(), RemoteException::new(error)));
        }
    }

    fn list(&mut self, dir: &Path, group: Option<&str>) -> mp::Result<()> {
        let mut entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = entry.file_type()?; // links are not followed: they could lead in a circle
            if kind.is_dir() {
                if NOT_SOURCES.iter().any(|skipped| name == *skipped) {
                    continue;
                }
                let group = group.map_or_else(|| name.display().to_string(), str::to_owned);
                self.add_directory(&entry.path(), Some(group));
            } else if kind.is_file() {
                self.add_file(entry.path(), group.unwrap_or(".").to_owned());
            }
        }
        Ok(())
    }
}

/// Spreads files, by their place in `files`, over at most `count` shares of about the same cost: the
/// biggest that is left goes to the share with the least.
pub(crate) fn shares(files: &[File], count: usize) -> Vec<Vec<usize>> {
    let cost = |&file: &usize| files[file].len_bytes + COST_OF_OPENING;
    let mut by_cost: Vec<usize> = (0..files.len()).collect();
    by_cost.sort_by_key(|file| Reverse(cost(file)));

    let mut shares = vec![Vec::new(); count.min(files.len())];
    let mut loads: BinaryHeap<_> = (0..shares.len()).map(|share| Reverse((0, share))).collect();
    for file in by_cost {
        if let Some(Reverse((load, share))) = loads.pop() {
            shares[share].push(file);
            loads.push(Reverse((load + cost(&file), share)));
        }
    }
    shares
}
