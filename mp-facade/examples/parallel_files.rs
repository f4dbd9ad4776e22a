//! A parallel map over files: how many lines and words the files of a directory have, with a bar on the terminal. What
//! cannot be read is an error of its own, and the others are counted.
//!
//! `cargo run --example parallel_files [directory]`

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    lines: usize,
    words: usize,
}

fn count(path: PathBuf) -> mp::Result<(PathBuf, Counts)> {
    let text = std::fs::read_to_string(&path).map_err(|error| {
        mp::Error::from(error).context(format!("cannot read {}", path.display()))
    })?;
    let counts = Counts { lines: text.lines().count(), words: text.split_whitespace().count() };
    Ok((path, counts))
}

/// All files of a directory and those below it.
fn files(directory: &Path) -> mp::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => found.extend(files(&entry.path())?),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    Ok(found)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let directory = std::env::args_os().nth(1).unwrap_or_else(|| here.into());
    let mut paths = files(Path::new(&directory))?;
    paths.push("no such file".into());

    let pool = mp::Pool::builder().name("counters").start()?; // a worker for each processor
    let options = mp::TaskOptions::new().chunksize(4).progress(mp::progress_bar("files"));
    let (mut total, mut longest) = (Counts::default(), None);
    for counted in pool.with_options(options).imap_unordered(count, paths)? {
        match counted {
            Ok((path, counts)) => {
                total.lines += counts.lines;
                total.words += counts.words;
                longest = longest.max(Some((counts.lines, path)));
            }
            Err(error) => println!("{error}"), // the task failed: cannot read no such file: …
        }
    }
    let (lines, path) = longest.ok_or_else(|| mp::Error::msg("there are no files"))?;
    println!("{} lines, {} words", total.lines, total.words);
    println!("the longest file is {} with {lines} lines", path.display());
    Ok(())
}
