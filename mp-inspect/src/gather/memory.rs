//! The shared memory of all processes that may be looked at.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use mp_shared_memory::Peer;
use mp_shared_memory::look::{Seen, SeenArena, SeenObject};

use crate::proc::{self, Stat};

type Identity = (u64, u64);

/// The arenas of all processes, and which process uses which.
pub(super) struct Memory {
    arenas: HashMap<Identity, SeenArena>,
    users: HashMap<u32, HashSet<Identity>>,
    /// The processes that could not be looked at, and why.
    pub(super) hidden: HashMap<u32, io::ErrorKind>,
}

/// A notice and the process that has posted it.
pub(super) struct Posted {
    pub(super) pid: u32,
    pub(super) seen: Seen,
}

impl Memory {
    pub(super) fn read(stats: &HashMap<u32, Stat>) -> Memory {
        let mut memory =
            Memory { arenas: HashMap::new(), users: HashMap::new(), hidden: HashMap::new() };
        for pid in stats.keys() {
            let paths = match proc::arenas(*pid) {
                Ok(paths) => paths,
                Err(error) => {
                    memory.hidden.insert(*pid, error.kind());
                    continue;
                }
            };
            for path in paths {
                // It may be closed by now.
                if let Ok(Some(identity)) = memory.open(&path) {
                    memory.users.entry(*pid).or_default().insert(identity);
                }
            }
        }
        memory
    }

    fn open(&mut self, path: &Path) -> io::Result<Option<Identity>> {
        let file = std::fs::metadata(path)?;
        let identity = (file.st_dev(), file.st_ino());
        if self.arenas.contains_key(&identity) {
            return Ok(Some(identity));
        }
        let Some(arena) = SeenArena::open(path)? else { return Ok(None) };
        let identity = arena.identity();
        self.arenas.insert(identity, arena);
        Ok(Some(identity))
    }

    fn used_by(&self, pid: u32) -> impl Iterator<Item = &SeenArena> {
        let identities = self.users.get(&pid).into_iter().flatten();
        identities.filter_map(|identity| self.arenas.get(identity))
    }

    /// The session of a process: of what it has made, or else of what it uses.
    pub(super) fn session_of(&self, pid: u32) -> Option<[u64; 2]> {
        let is_own = |arena: &&SeenArena| arena.creator().is_some_and(|peer| peer.pid == pid);
        let own = self.used_by(pid).find(is_own);
        own.or_else(|| self.used_by(pid).next()).map(SeenArena::session)
    }

    pub(super) fn uses(&self, pid: u32, session: [u64; 2]) -> bool {
        self.used_by(pid).any(|arena| arena.session() == session)
    }

    /// The arenas of a session.
    pub(super) fn of_session(&self, session: [u64; 2]) -> impl Iterator<Item = &SeenArena> {
        self.arenas.values().filter(move |arena| arena.session() == session)
    }

    /// The processes that have made arenas of a session.
    pub(super) fn creators(&self, session: [u64; 2]) -> impl Iterator<Item = Peer> {
        self.of_session(session).filter_map(SeenArena::creator)
    }

    /// What the living show of themselves.
    pub(super) fn posted(&self, session: [u64; 2]) -> Vec<Posted> {
        let objects = self.of_session(session).flat_map(SeenArena::objects);
        let posted = objects.filter_map(|object| {
            let seen = object.notice()?;
            let pid = object.holders().first()?.pid;
            object.is_same().then_some(Posted { pid, seen })
        });
        posted.collect()
    }

    /// The object that lies at a place in an arena.
    pub(super) fn find(&self, inode: u64, offset: usize) -> Option<SeenObject<'_>> {
        let arena = self.arenas.iter().find(|((_, number), _)| *number == inode)?.1;
        arena.objects().find(|object| object.range().contains(&offset))
    }
}

/// What an object is called.
pub(super) fn name(object: &SeenObject<'_>) -> String {
    let [nonce, place] = object.id().to_words();
    let (block, generation) = (place >> 32, place & 0xffff_ffff);
    let name = format!("{:04x}.{block}", nonce & 0xffff);
    // The block has been another object before.
    if generation > 0 { format!("{name}-{generation}") } else { name }
}
