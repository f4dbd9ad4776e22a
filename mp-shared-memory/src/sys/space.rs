//! How much memory there is to be had, asked before it is taken: the kernel itself would end a
//! process when it finds out too late.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, getrlimit};

/// How many bytes are given out before the system is asked again what it has, which takes as long as
/// reading four files.
const UNCHECKED_LEN: u64 = 1 << 20;

/// What was given out since the system was asked.
static UNCHECKED: AtomicU64 = AtomicU64::new(0);

/// Whether `len` bytes can be reserved; if not, how many.
pub(crate) fn check(len: u64) -> Result<(), u64> {
    // Threads that miss each other's count ask a little later.
    let unchecked = UNCHECKED.load(Ordering::Relaxed).saturating_add(len);
    if unchecked <= UNCHECKED_LEN {
        UNCHECKED.store(unchecked, Ordering::Relaxed);
        return Ok(());
    }
    let available = available();
    if len > available {
        return Err(available);
    }
    UNCHECKED.store(0, Ordering::Relaxed);
    Ok(())
}

/// Bytes that can still be reserved: what the system has, what the control group leaves, and what
/// the limits of this process allow.
pub(crate) fn available() -> u64 {
    let limits = [
        meminfo("MemAvailable").map(|free| free.saturating_add(meminfo("SwapFree").unwrap_or(0))),
        control_group(),
        getrlimit(Resource::Fsize).current,
        address_space(),
    ];
    limits.into_iter().flatten().min().unwrap_or(u64::MAX)
}

/// The longest file that this process may make.
pub(crate) fn file_limit() -> Option<usize> {
    getrlimit(Resource::Fsize).current.and_then(|limit| usize::try_from(limit).ok())
}

/// Beyond this limit the kernel would not fail a call but send a signal.
pub(crate) fn check_file_limit(len: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if len > limit => Err(io::ErrorKind::FileTooLarge.into()),
        _ => Ok(()),
    }
}

fn meminfo(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

fn address_space() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    let pages: u64 =
        fs::read_to_string("/proc/self/statm").ok()?.split(' ').next()?.parse().ok()?;
    Some(limit.saturating_sub(pages * rustix::param::page_size() as u64))
}

/// What the memory limits of the control group and those around it leave, in either version of control
/// groups.
fn control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        [_, "", group] => left("/sys/fs/cgroup", group, ["memory.max", "memory.current", ""]),
        [_, "memory", group] => left(
            "/sys/fs/cgroup/memory",
            group,
            ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_"],
        ),
        _ => None,
    })
}

/// The least that any group from `group` up to the top has left.
fn left(top: &str, group: &str, [limit, used, prefix]: [&str; 3]) -> Option<u64> {
    let folder = Path::new(top).join(group.trim_start_matches('/'));
    let groups = folder.ancestors().take_while(|folder| folder.starts_with(top));
    groups
        .filter_map(|folder| {
            let number =
                |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
            let used = number(used)?.saturating_sub(cached(folder, prefix));
            Some(number(limit)?.saturating_sub(used))
        })
        .min()
}

/// Bytes of a group that hold copies of files, which the kernel gives up before it ends anybody.
fn cached(group: &Path, prefix: &str) -> u64 {
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let is_cache = |key: &str| {
        key.strip_prefix(prefix).is_some_and(|key| ["active_file", "inactive_file"].contains(&key))
    };
    stat.lines()
        .filter_map(|line| line.split_once(' ').filter(|(key, _)| is_cache(key)))
        .filter_map(|(_, bytes)| bytes.parse::<u64>().ok())
        .sum()
}
