//! A process that leads a group of its own takes the group with it, however it ends.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::time::Duration;

use mp_context as mp;
use mp_reduction::DupFd;
use mp_testing::system::ends_within;
use rustix::process::{Pid, Signal, kill_process};

mp::enable_test_support!();

/// Starts a program that nobody waits for, tells its pid, and ends in the way that it is told.
fn leave_one_behind(end: String, told: DupFd) -> mp::Result<()> {
    let pid = Command::new("sleep").arg("1000").spawn()?.id();
    told.into::<std::io::PipeWriter>().write_all(format!("{pid}\n").as_bytes())?;
    match end.as_str() {
        "return" => Ok(()),
        "raise" => mp::bail!("as told"),
        "abort" => std::process::abort(),
        _ => loop {
            std::thread::park();
        },
    }
}

/// The process, and what it leaves behind.
fn start(end: &str, own_group: bool) -> (mp::Process<()>, u32) {
    let (reader, writer) = std::io::pipe().unwrap();
    let process = mp::Process::builder(leave_one_behind, (end.to_owned(), DupFd::from(writer)))
        .process_group(own_group)
        .on_failure(|_| ())
        .start()
        .unwrap();
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    (process, line.trim().parse().unwrap())
}

#[test]
fn the_group_ends_with_its_leader_in_whatever_way_that_ends() {
    for end in ["return", "raise", "abort", "kill"] {
        let (process, left) = start(end, true);
        if end == "kill" {
            process.kill();
        }
        assert_eq!(process.join().is_ok(), end == "return");
        assert!(ends_within(left, Duration::from_secs(20)).unwrap(), "left by {end}");
    }
}

#[test]
fn without_a_group_of_its_own_what_it_started_lives_on() {
    let (process, left) = start("return", false);
    process.join().unwrap();
    assert!(!ends_within(left, Duration::ZERO).unwrap());
    kill_process(Pid::from_raw(left.cast_signed()).unwrap(), Signal::KILL).unwrap();
}
