//! How much memory there is to be had, asked before it is taken: the kernel itself would end a
//! process when it finds out too late.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

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

/// What the memory limit of the control group leaves, in either version of control groups.
fn control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let left = |folder: &str, group: &str, limit: &str, used: &str| {
        let folder = Path::new(folder).join(group.trim_start_matches('/'));
        let read = |name| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        Some(read(limit)?.saturating_sub(read(used)?))
    };
    groups.lines().find_map(|line| match line.splitn(3, ':').collect::<Vec<_>>()[..] {
        [_, "", group] => left("/sys/fs/cgroup", group, "memory.max", "memory.current"),
        [_, "memory", group] => left(
            "/sys/fs/cgroup/memory",
            group,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
        _ => None,
    })
}
