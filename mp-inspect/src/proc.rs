//! What the system says of processes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mp_shared_memory::look::ARENA_NAME;

/// A process as the system knows it.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// The beginning of the name of its program, or of its first thread.
    pub(crate) program: String,
    pub(crate) state: char,
    pub(crate) cpu: Duration,
    pub(crate) threads: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) age: Duration,
    /// When it was started, in ticks of the system's clock: no two that had the same pid have it in common.
    pub(crate) start_tick: u64,
}

/// A part of the memory of a process that lies in an arena.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    start: usize,
    end: usize,
    offset: usize,
    inode: u64,
}

/// The arenas in the memory of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings(Vec<Mapping>);

impl Stat {
    /// What there is to know of a process when the system has been up for so long; `None` if it has ended.
    fn read(pid: u32, up: Duration) -> Option<Stat> {
        // The name in it may be any bytes, and be cut within a character.
        let text = read(&format!("/proc/{pid}/stat")).ok()?;
        Stat::parse(pid, &text, up)
    }

    /// `stat` as `proc_pid_stat(5)` has it; the name in it may contain anything.
    fn parse(pid: u32, stat: &str, up: Duration) -> Option<Stat> {
        let (before, after) = stat.rsplit_once(')')?;
        let (_, program) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let time = |ticked: u64| Duration::from_secs_f64(ticked as f64 / ticks as f64);
        let start_tick = number(19)?;
        Some(Stat {
            pid,
            parent: u32::try_from(number(1)?).ok()?,
            program: program.to_owned(),
            state: fields.first()?.chars().next()?,
            cpu: time(number(11)?.checked_add(number(12)?)?),
            threads: number(17)?,
            memory_bytes: number(21)?.checked_mul(rustix::param::page_size() as u64)?,
            age: up.saturating_sub(time(start_tick)),
            start_tick,
        })
    }

    /// Whether nothing but its exit status is left.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }

    /// Whether it does not run until somebody lets it.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            'R' => "running",
            'S' | 'I' => "sleeping",
            'D' => "waiting for a disk",
            'T' => "stopped",
            't' => "traced",
            'Z' | 'X' => "ended",
            _ => "unknown",
        }
    }
}

/// For how long the system has been up, from `/proc/uptime`.
fn parse_uptime(uptime: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(uptime.split_whitespace().next()?.parse().ok()?).ok()
}

/// Whether this is what the system says of a process that has ended.
pub(crate) fn is_of_ended(error: &io::Error) -> bool {
    // The latter if it was there when the file was opened.
    error.kind() == io::ErrorKind::NotFound
        || rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::SRCH)
}

fn read(path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// All processes that there are now; this one at least.
pub(crate) fn all() -> io::Result<HashMap<u32, Stat>> {
    let names =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let up = parse_uptime(&fs::read_to_string("/proc/uptime")?);
    let up = up.ok_or(io::ErrorKind::InvalidData)?;
    let stats = names.filter_map(|name| Stat::read(name.parse().ok()?, up));
    let stats: HashMap<u32, Stat> = stats.map(|stat| (stat.pid, stat)).collect();
    if !stats.contains_key(&std::process::id()) {
        return Err(io::Error::other("/proc does not list this process"));
    }
    Ok(stats)
}

/// Where the arenas that a process uses are to be found. What is open for reading only, somebody just looks at.
pub(crate) fn arenas(pid: u32) -> io::Result<Vec<PathBuf>> {
    let is_used = |path: &Path| {
        let is_arena = |link: PathBuf| link.as_os_str() == ARENA_NAME;
        fs::read_link(path).is_ok_and(is_arena)
            && path.file_name().is_some_and(|number| {
                let info = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(number);
                fs::read_to_string(info).is_ok_and(|info| is_writable(&info))
            })
    };
    let paths =
        fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| is_used(path)).collect())
}

/// Whether the open file that `fdinfo` tells of can be written to.
fn is_writable(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 3 != 0)
}

impl Mappings {
    pub(crate) fn read(pid: u32) -> io::Result<Mappings> {
        Ok(Mappings::parse(&read(&format!("/proc/{pid}/maps"))?))
    }

    fn parse(maps: &str) -> Mappings {
        let mapping = |line: &str| {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let (offset, inode) = (fields.nth(1)?, fields.nth(1)?);
            let hex = |text| usize::from_str_radix(text, 16).ok();
            let is_arena = line.ends_with(ARENA_NAME);
            let (start, end, offset) = (hex(start)?, hex(end)?, hex(offset)?);
            is_arena.then_some(Mapping { start, end, offset, inode: inode.parse().ok()? })
        };
        Mappings(maps.lines().filter_map(mapping).collect())
    }

    /// Which arena, by the number of its file, and where in it, an address is.
    pub(crate) fn find(&self, address: usize) -> Option<(u64, usize)> {
        let is_there = |mapping: &&Mapping| (mapping.start..mapping.end).contains(&address);
        let mapping = self.0.iter().find(is_there)?;
        Some((mapping.inode, mapping.offset + (address - mapping.start)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_may_contain_what_ends_it() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 1000 9 5 18";
        let stat = Stat::parse(7, stat, parse_uptime("20.50 3.1\n").unwrap()).unwrap();
        assert_eq!(
            (stat.program.as_str(), stat.state, stat.parent, stat.threads),
            ("a) b (c", 'S', 1, 3)
        );
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert_eq!(stat.cpu, Duration::from_secs_f64(200.0 / ticks));
        assert_eq!(stat.memory_bytes, 5 * rustix::param::page_size() as u64);
        let age = Duration::from_millis(20_500) - Duration::from_secs_f64(1000.0 / ticks);
        assert_eq!((stat.start_tick, stat.age), (1000, age));
    }

    #[test]
    fn an_address_is_found_in_the_arena_that_is_mapped_there() {
        let maps = "\
            1000-3000 rw-s 00001000 00:01 77 /memfd:mp-arena (deleted)\n\
            3000-4000 rw-s 00000000 00:01 78 /memfd:other (deleted)\n\
            5000-6000 rw-p 00000000 00:00 0\n";
        let maps = Mappings::parse(maps);
        assert_eq!(maps.find(0x2008), Some((77, 0x2008)));
        assert_eq!(maps.find(0x3000), None);
        assert_eq!(maps.find(0x5000), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".*") {
            let _stat = Stat::parse(1, &text, Duration::ZERO);
            let _up = parse_uptime(&text);
            let _maps = Mappings::parse(&text);
        }
    }
}
