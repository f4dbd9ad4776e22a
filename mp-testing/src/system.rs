//! What the system says of this process and of others.

use std::cmp::Ordering;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::limits::comes_true;

/// What a process holds of the system. It is at most another one if it is so of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// Children, zombies included.
    pub children: usize,
}

impl PartialOrd for Holdings {
    fn partial_cmp(&self, other: &Holdings) -> Option<Ordering> {
        let parts = |all: &Holdings| [all.descriptors, all.threads, all.children];
        let mut orders = parts(self).into_iter().zip(parts(other)).map(|(a, b)| a.cmp(&b));
        orders.try_fold(Ordering::Equal, |all, one| match (all, one) {
            (all, Ordering::Equal) => Some(all),
            (Ordering::Equal, one) => Some(one),
            (all, one) => (all == one).then_some(all),
        })
    }
}

/// What this process holds now.
///
/// # Panics
///
/// If `/proc` cannot be read.
pub fn holdings() -> Holdings {
    let count = |path: &str| fs::read_dir(path).expect("/proc is there").count();
    Holdings {
        // One of them is that of the listing itself.
        descriptors: count("/proc/self/fd") - 1,
        threads: count("/proc/self/task"),
        children: children_of(std::process::id()).len(),
    }
}

/// Whether a signal is ignored here, as it is in a program that a shell has started in the background.
///
/// # Panics
///
/// If `/proc` cannot be read.
pub fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a mask of signals");
    ignored & 1 << (signal.as_raw() - 1) != 0
}

/// How many bytes a process has mapped.
///
/// # Errors
///
/// What the system says when there is no such process.
pub fn mapped_bytes(pid: u32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.ok_or(io::ErrorKind::InvalidData)? * rustix::param::page_size() as u64)
}

/// The pids of the children of a process, zombies included.
///
/// # Panics
///
/// If `/proc` cannot be read.
pub fn children_of(pid: u32) -> Vec<u32> {
    let is_child = |candidate: &u32| {
        let stat = fs::read_to_string(format!("/proc/{candidate}/stat")).unwrap_or_default();
        // The name in parentheses may hold anything; the parent is the second field behind it.
        let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        behind.split_whitespace().nth(1) == Some(&pid.to_string())
    };
    let entries = fs::read_dir("/proc").expect("/proc is there");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}

/// What this process holds when threads and children that have ended are gone.
///
/// # Panics
///
/// If it does not come to rest.
pub fn at_rest() -> Holdings {
    let (mut last, mut rests) = (holdings(), 0);
    let is_at_rest = || {
        let now = holdings();
        rests = if now == last { rests + 1 } else { 0 };
        last = now;
        rests > 50
    };
    assert!(comes_true(is_at_rest), "{last:?}");
    last
}

/// Waits until this process holds no more than `most`; what it holds then, or at the end of `limit`.
///
/// `most` may have been looked at when something was still on its way out, so less is as good.
pub fn settle_at(most: Holdings, limit: Duration) -> Holdings {
    let deadline = Instant::now() + limit;
    loop {
        let now = holdings();
        if now <= most || Instant::now() > deadline {
            return now;
        }
        // Threads and children go through the kernel's own clean-up, which announces nothing.
        std::thread::yield_now();
    }
}

/// Whether a process ends within `limit`; one that is gone already has.
///
/// # Errors
///
/// What the system says, other than that there is no such process.
pub fn ends_within(pid: u32, limit: Duration) -> io::Result<bool> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let pidfd = match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let timeout = Timespec::try_from(limit).map_err(io::Error::other)?;
    Ok(poll(&mut fds, Some(&timeout))? == 1)
}

/// Sends a signal to this process.
///
/// # Panics
///
/// If the system refuses.
pub fn raise(signal: Signal) {
    rustix::process::kill_process(rustix::process::getpid(), signal)
        .expect("a process may signal itself");
}

/// Sends a signal to another process, if it still exists.
///
/// # Panics
///
/// If the system refuses.
pub fn signal(pid: u32, signal: Signal) {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid is positive");
    match rustix::process::kill_process(raw, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("cannot signal process {pid}: {error}"),
    }
}

/// The letter for what a thread of a process does, as `/proc` has it; `None` if it is gone.
fn state_of(pid: u32, thread: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{thread}/stat")).ok()?;
    // The name in parentheses may hold anything; the state is the first field behind it.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Whether a thread of a process sleeps, waiting for something.
pub fn is_asleep(pid: u32, thread: u32) -> bool {
    state_of(pid, thread) == Some('S')
}

/// Whether a process was stopped by a signal, all of its threads.
pub fn is_stopped(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let mut threads = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    threads.all(|thread| state_of(pid, thread) == Some('T'))
}

/// How many threads of this process sleep in a wait for a child.
///
/// # Panics
///
/// If `/proc` cannot be read.
pub fn threads_waiting_in_wait() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is there");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("wchan")).ok())
        .filter(|place| {
            place.contains("wait") && !place.contains("futex") && !place.contains("poll")
        })
        .count()
}
