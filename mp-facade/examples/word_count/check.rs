//! The proof: the same count in this process alone.

use std::fmt::Write;
use std::time::Instant;

use crate::files::File;
use crate::progress::Progress;
use crate::{Outcome, count, report};

/// Counts `files` once more, here, and tells the user whether that gives the same as `outcome`.
pub(crate) fn check(files: &[File], outcome: &Outcome) -> mp::Result<bool> {
    let started = Instant::now();
    let paths = files.iter().map(|file| file.path.as_path());
    let alone = count::count_all(paths, Progress::silent());
    let took = started.elapsed();

    let mut differences = String::new();
    for ((file, here), there) in files.iter().zip(&alone.files).zip(&outcome.counts) {
        let path = file.path.display();
        let _ = match (here, there) {
            (Ok(here), Ok(there)) if here != there => {
                writeln!(differences, "  {path}: {here:?}, in the other run {there:?}")
            }
            (Ok(_), Err(_)) => writeln!(differences, "  {path}: not counted in the other run"),
            (Err(error), Ok(_)) => writeln!(differences, "  {path}: {error}"),
            _ => Ok(()),
        };
    }
    if differences.is_empty() && alone.frequencies != outcome.frequencies {
        differences.push_str("  other words are frequent\n");
    }
    if differences.is_empty() {
        let text = format!("check: equal to a single-process run, which took {took:.2?}\n");
        report::print(&text)?;
        return Ok(true);
    }
    report::complain(&format!("check: NOT equal to a single-process run:\n{differences}"));
    Ok(false)
}
