//! What the director holds of the system.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use mp_shared_memory::look::SeenArena;

/// What this process holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Holdings {
    /// What each descriptor is, but for arenas: a process keeps those for its next objects.
    descriptors: Vec<String>,
    /// How many descriptors are those of arenas.
    arena_files: usize,
    /// The objects that it has made, but for what it shows of itself.
    objects: Vec<String>,
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
        let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        let links = paths.iter().filter_map(|path| Some((path, fs::read_link(path).ok()?)));
        let links = links.map(|(path, link)| (path, link.display().to_string()));
        let (arenas, others): (Vec<_>, Vec<_>) = links.partition(|(_, link)| is_arena(link));
        let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
        let ours: Vec<_> = maps.lines().filter(|line| line.contains("/memfd:mp-")).collect();
        Holdings {
            // That of this listing ends in its own folder.
            descriptors: others
                .into_iter()
                .map(|(_, link)| link)
                .filter(|link| !link.ends_with("/fd"))
                .collect(),
            arena_files: arenas.len(),
            objects: objects(arenas.into_iter().map(|(path, _)| path)),
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
            || self.objects.len() > base.objects.len()
            || self.arenas.max(self.arena_files) > MOST_ARENAS
    }
}

/// The objects in these arenas that this process has made, without notices: the kind of each, where it was made, and who has it.
fn objects<'a>(arenas: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut objects = Vec::new();
    for arena in arenas.filter_map(|path| SeenArena::open(path).ok().flatten()) {
        let is_mine = arena.creator().is_some_and(|maker| maker.pid == std::process::id());
        if !is_mine || !seen.insert(arena.identity()) {
            continue;
        }
        for object in arena.objects().filter(|object| object.notice().is_none()) {
            // What nobody has any more is taken for the next object.
            if object.holders().is_empty() && !object.is_in_message() {
                continue;
            }
            let kind = String::from_utf8_lossy(&object.kind().to_le_bytes()).into_owned();
            objects.push(format!("{kind} of {}, {:?}", object.place(), object.holders()));
        }
    }
    objects
}
