//! Starting a process: from the call until the result of a trivial target is in hand.
//!
//! The sides take turns of a few starts. With single starts, what one leaves behind in the caches and
//! on the other processor is measured as a part of the next, which flatters the slower side.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::machine;
use crate::pair::{Measured, Pairs, time, turn};
use crate::python::{self, Peer};

/// The word that makes this program end in the first line of `main`.
pub(crate) const EXIT_AT_ONCE: &str = "--exit-at-once";

const WARM_UP: usize = 4;
const ROUNDS: usize = 80;
const STARTS: usize = 5;
const PYTHON_ROUNDS: usize = 25;
const PYTHON_STARTS: usize = 3;
const GIB: usize = 1 << 30;

fn ours() -> mp::Result<Duration> {
    turn(STARTS, one_of_ours)
}

fn one_of_ours() -> mp::Result<Duration> {
    time(|| {
        let process = mp::Process::start(|| Ok(7_u32), ())?;
        mp::ensure!(*process.result()? == 7, "a start gave a wrong result");
        Ok(())
    })
}

/// What no start can do without: this very program, spawned and waited for.
fn bare_spawn() -> mp::Result<Duration> {
    time(|| {
        // Without a working directory or the like to set, this is `posix_spawn`.
        let mut command = Command::new("/proc/self/exe");
        let status = command.arg(EXIT_AT_ONCE).stdin(Stdio::null()).spawn()?.wait()?;
        mp::ensure!(status.success(), "the bare spawn ended with {status}");
        Ok(())
    })
}

pub(crate) fn floor() -> mp::Result<Measured> {
    Pairs::measure(WARM_UP, ROUNDS, ours, || turn(STARTS, bare_spawn))
}

/// Both sides with 4 GiB resident in the parent.
pub(crate) fn floor_4gib() -> mp::Result<Measured> {
    with_4gib_resident(floor)
}

/// Our start in a parent with 4 GiB resident, against our start in a parent with next to nothing.
pub(crate) fn large_against_small_parent() -> mp::Result<Measured> {
    fn in_small_parent() -> mp::Result<Duration> {
        Ok(*mp::Process::start(ours, ())?.result()?)
    }
    with_4gib_resident(|| Pairs::measure(WARM_UP, ROUNDS, ours, in_small_parent))
}

/// Measures while every page of a block of 4 GiB has been written to.
fn with_4gib_resident(measure: impl FnOnce() -> mp::Result<Measured>) -> mp::Result<Measured> {
    if machine::available_bytes().is_none_or(|bytes| bytes < 6 << 30) {
        return Ok(Measured::Skipped("skipped, less than 6 GiB of memory available".to_owned()));
    }
    let block = black_box(vec![1_u8; 4 * GIB]);
    let measured = measure();
    drop(black_box(block));
    measured
}

pub(crate) fn procspawn() -> mp::Result<Measured> {
    let other = || {
        time(|| {
            let handle = procspawn::spawn((), |()| 7_u32);
            mp::ensure!(handle.join()? == 7, "procspawn gave a wrong result");
            Ok(())
        })
    };
    Pairs::measure(WARM_UP, ROUNDS, ours, || turn(STARTS, other))
}

/// The result of the Python process comes through a `Pipe`.
pub(crate) fn python_pipe() -> mp::Result<Measured> {
    against_python("pipe")
}

/// The result of the Python process comes through a `Queue`.
pub(crate) fn python_queue() -> mp::Result<Measured> {
    against_python("queue")
}

fn against_python(way: &str) -> mp::Result<Measured> {
    let Some(python) = python::plain() else {
        return Ok(Measured::Skipped("python3 not installed".to_owned()));
    };
    let mut peer = Peer::start(&python, "start.py")?;
    Pairs::measure(1, PYTHON_ROUNDS, ours, || turn(PYTHON_STARTS, || peer.ask(way)))
}
