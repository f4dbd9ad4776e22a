//! Counts lines, words and bytes of files in several processes: `wc` for a tree of sources.
//!
//! `cargo run --release --example word_count -- [--check] [--processes N] [PATH...]`
//!
//! This file takes the command line and gives each process its share of the files; [`count`]
//! is what the processes do, [`files`] finds what is to be counted, [`progress`] and [`console`]
//! own standard error, [`report`] owns standard output.
//!
//! A file that cannot be counted costs that file, a process that dies costs its share; everything
//! else stands.

mod check;
mod console;
mod count;
mod files;
mod options;
mod progress;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mp::{DupFd, Process, ProcessError, RemoteException};

use crate::count::{Counts, Frequencies};
use crate::files::File;
use crate::options::Options;
use crate::progress::Bar;

/// What came of all files.
struct Outcome {
    /// One for each file, in their order.
    counts: Vec<Result<Counts, Failure>>,
    frequencies: Frequencies,
    took: Duration,
    processes: usize,
}

/// Why a file was not counted.
enum Failure {
    /// It could not be read.
    File(RemoteException),
    /// The process that had it gave no result.
    Process(ProcessError),
}

#[mp::main]
fn main() -> mp::Result<ExitCode> {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            report::print(options::HELP)?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            report::complain(&format!("word_count: {error}\n\n{}", options::HELP));
            return Ok(ExitCode::from(2));
        }
    };
    let bar = Bar::new();
    console::init(&bar);

    let found = files::find(&options.paths);
    let outcome = count_in_processes(&found.files, options.processes, &bar)?;
    report::complain(&report::failures(&found, &outcome));
    report::print(&report::table(&found, &outcome))?;
    let is_right = !options.check || check::check(&found.files, &outcome)?;

    let failed = found.unreadable.len() + outcome.counts.iter().filter(|c| c.is_err()).count();
    let nothing_counted = failed > 0 && !outcome.counts.iter().any(Result::is_ok);
    Ok(if is_right && !nothing_counted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Counts `files` in at most `limit` processes, each with about the same number of bytes.
fn count_in_processes(files: &[File], limit: usize, bar: &Bar) -> mp::Result<Outcome> {
    let started = Instant::now();
    let (reader, writer) = std::io::pipe()?;
    let shown = bar.follow(files, reader);

    let mut running = Vec::new();
    for (n, share) in files::shares(files, limit).into_iter().enumerate() {
        let paths = share.iter().map(|&file| files[file].path.clone().into_os_string());
        let arguments = (paths.collect::<Vec<_>>(), DupFd::from(writer.try_clone()?));
        let process = Process::builder(count::count_share, arguments)
            .name(format!("counter-{}", n + 1))
            .on_failure(|_| {}) // the report shows the trace
            .start();
        running.push((share, process));
    }
    drop(writer); // the last process to end closes the pipe

    // Who waits for a long count hears of a loss when it happens.
    for process in mp::as_completed(running.iter().flat_map(|(_, process)| process), None) {
        if let Err(error) = process?.join() {
            log::error!("{error}; its files are not counted");
        }
    }
    let processes = running.iter().filter(|(_, process)| process.is_ok()).count();
    let mut counts = Vec::new();
    let mut frequencies = Frequencies::new();
    for (share, process) in running {
        match process.and_then(Process::into_result) {
            Ok(tally) => {
                let results = tally.files.into_iter().map(|counts| counts.map_err(Failure::File));
                counts.extend(share.into_iter().zip(results));
                count::add(&mut frequencies, tally.frequencies);
            }
            Err(error) => {
                let results = share.iter().map(|_| Err(Failure::Process(error.clone())));
                counts.extend(share.iter().copied().zip(results));
            }
        }
    }
    shown.join()?;
    counts.sort_by_key(|(file, _)| *file);
    let counts = counts.into_iter().map(|(_, counts)| counts).collect();
    Ok(Outcome { counts, frequencies, processes, took: started.elapsed() })
}
