//! What the director holds of the system.

use std::fs;

/// What this process holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holdings {
    /// What each descriptor is, but for arenas: a process keeps those for its next objects.
    descriptors: Vec<String>,
    threads: usize,
    /// The memory of objects that is mapped, without arenas.
    mapped: Vec<String>,
    arenas: usize,
}

/// What a process may have of arenas: they have four sizes of blocks, and of each one is as large as all before it.
const MOST_ARENAS: usize = 4 * 6;

fn is_arena(text: &str) -> bool {
    text.contains("/memfd:mp-arena")
}

impl Holdings {
    pub(crate) fn now() -> Holdings {
        let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        // That of this listing ends in its own folder.
        let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        let links = links.map(|link| link.display().to_string());
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let ours: Vec<_> = maps.lines().filter(|line| line.contains("/memfd:mp-")).collect();
        Holdings {
            descriptors: links.filter(|link| !is_arena(link) && !link.ends_with("/fd")).collect(),
            threads: fs::read_dir("/proc/self/task").into_iter().flatten().count(),
            mapped: ours
                .iter()
                .filter(|line| !is_arena(line))
                .map(|line| (*line).to_owned())
                .collect(),
            arenas: ours.iter().filter(|line| is_arena(line)).count(),
        }
    }

    /// Whether there is something that was not there at the start.
    pub(crate) fn is_more_than(&self, base: &Holdings) -> bool {
        self.descriptors.len() > base.descriptors.len()
            || self.threads > base.threads
            || self.mapped.len() > base.mapped.len()
            || self.arenas > MOST_ARENAS
    }
}
