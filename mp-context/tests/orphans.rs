//! When a process dies, its children and theirs are gone, whatever they do.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use mp_context as mp;
use mp_reduction::DupFd;
use mp_testing::system::{ends_within, raise};
use rustix::process::Signal;

mp::enable_test_support!();

const LIMIT: Duration = Duration::from_secs(2);

/// Writes a line in one piece, for several writers share the pipe.
fn tell(pids: DupFd, pid: u32) -> mp::Result<()> {
    Ok(pids.into::<std::io::PipeWriter>().write_all(format!("{pid}\n").as_bytes())?)
}

/// Tells its pid and then does what it is told to.
fn leaf(pids: DupFd, how: String) -> mp::Result<()> {
    tell(pids, std::process::id())?;
    match how.as_str() {
        "sleeps" => loop {
            std::thread::park();
        },
        "computes" => loop {
            std::hint::black_box(1);
        },
        _ => raise(Signal::STOP),
    }
    Ok(())
}

fn child(pids: DupFd, how: String) -> mp::Result<()> {
    let grandchild = mp::Process::start(leaf, (pids.try_clone()?, how))?;
    tell(pids, std::process::id())?;
    Ok(grandchild.join()?)
}

/// Starts a child in a thread that ends at once.
fn parent(pids: DupFd, how: String) -> mp::Result<()> {
    std::thread::spawn(move || mp::Process::start(child, (pids, how)).map(drop))
        .join()
        .expect("the thread ends")?;
    loop {
        std::thread::park();
    }
}

#[test]
fn cp_11_sigkill_of_the_parent_ends_children_and_grandchildren() {
    for round in 0..30 {
        let how = ["sleeps", "computes", "stops"][round % 3].to_owned();
        let (reader, writer) = std::io::pipe().unwrap();
        let p = mp::Process::start(parent, (writer.into(), how.clone())).unwrap();
        let mut lines = BufReader::new(reader).lines();
        let pids: Vec<u32> =
            (0..2).map(|_| lines.next().unwrap().unwrap().parse().unwrap()).collect();
        p.kill();
        for pid in pids {
            assert!(ends_within(pid, LIMIT).unwrap(), "round {round}: a process that {how} lives");
        }
        assert_eq!(p.join().map_err(|e| e.to_string().contains("SIGKILL")), Err(true));
    }
}

#[test]
fn sigkill_of_the_parent_while_the_child_starts_ends_the_child() {
    fn starts_and_is_killed(pids: DupFd) -> mp::Result<()> {
        let p = mp::Process::start(|| Ok(std::thread::sleep(Duration::from_secs(600))), ())?;
        tell(pids, p.pid())?;
        raise(Signal::KILL);
        Ok(())
    }
    for _ in 0..30 {
        let (reader, writer) = std::io::pipe().unwrap();
        let p = mp::Process::start(starts_and_is_killed, (writer.into(),)).unwrap();
        let line = BufReader::new(reader).lines().next().unwrap().unwrap();
        assert!(ends_within(line.parse().unwrap(), LIMIT).unwrap());
        p.join().unwrap_err();
    }
}

#[test]
fn cp_11_a_parent_that_aborts_or_exits_at_once_ends_its_children_too() {
    fn starts_and_aborts(pids: DupFd) -> mp::Result<()> {
        let p = mp::Process::start(|| Ok(std::thread::sleep(Duration::from_secs(600))), ())?;
        tell(pids, p.pid())?;
        std::process::abort()
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let p = mp::Process::start(starts_and_aborts, (writer.into(),)).unwrap();
    let line = BufReader::new(reader).lines().next().unwrap().unwrap();
    assert!(ends_within(line.parse().unwrap(), LIMIT).unwrap());
    assert!(p.join().unwrap_err().to_string().contains("SIGABRT"));
}

// DIFFERENCE from CP-03: it does not outlive its parent, so it cannot see it dead.
#[test]
fn cp_03_a_grandchild_sees_its_parent_alive_and_ends_with_it() {
    fn waits(told: DupFd) -> mp::Result<()> {
        let parent = mp::parent_process().expect("it has one");
        mp::ensure!(parent.is_alive() && !parent.join_timeout(Duration::ZERO));
        tell(told.try_clone()?, parent.pid())?;
        tell(told, std::process::id())?;
        parent.join();
        Ok(())
    }
    fn has_a_child(told: DupFd) -> mp::Result<()> {
        Ok(mp::Process::start(waits, (told,))?.join()?)
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let p = mp::Process::start(has_a_child, (writer.into(),)).unwrap();
    let mut lines = BufReader::new(reader).lines().map(|line| line.unwrap().parse().unwrap());
    let (parent, grandchild): (u32, u32) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(parent, p.pid());
    assert!(p.is_alive() && !ends_within(grandchild, Duration::ZERO).unwrap());
    p.terminate();
    assert!(ends_within(grandchild, LIMIT).unwrap());
    assert!(p.join().unwrap_err().to_string().contains("SIGTERM"));
}
