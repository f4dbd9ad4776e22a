//! The shared memory of all processes that may be looked at.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use mp_shared_memory::Peer;
use mp_shared_memory::look::{Seen, SeenArena, SeenObject};

use crate::proc::{self, Stat};
use crate::report::Unseen;

type Identity = (u64, u64);
type Session = [u64; 2];

/// Which process uses which arenas, and those of one session.
pub(super) struct Memory {
    /// The arenas of the session, to be looked into.
    arenas: HashMap<Identity, SeenArena>,
    /// All arenas: the session of each, and who made it.
    known: HashMap<Identity, (Session, Option<Peer>)>,
    users: HashMap<u32, HashSet<Identity>>,
    /// Why a process could not be looked at.
    pub(super) hidden: HashMap<u32, io::Error>,
}

/// A notice and the process that has posted it.
pub(super) struct Posted {
    pub(super) pid: u32,
    pub(super) seen: Seen,
}

impl Memory {
    /// Looks at all processes, and opens the arenas of the session of `pid`.
    pub(super) fn read(stats: &HashMap<u32, Stat>, pid: Option<u32>) -> Memory {
        let mut memory = Memory {
            arenas: HashMap::new(),
            known: HashMap::new(),
            users: HashMap::new(),
            hidden: HashMap::new(),
        };
        // Until the session is known, all of it may be of that.
        let mut session = None;
        if let Some(pid) = pid {
            memory.look_at(pid, |_| true);
            session = memory.session_of(pid);
            memory.arenas.retain(|_, arena| Some(arena.session()) == session);
        }
        for other in stats.values().filter(|stat| Some(stat.pid) != pid && !stat.has_ended()) {
            memory.look_at(other.pid, |other| Some(other) == session);
        }
        memory
    }

    fn look_at(&mut self, pid: u32, is_kept: impl Fn(Session) -> bool) {
        let looked = proc::arenas(pid).and_then(|paths| {
            paths.iter().try_for_each(|path| match self.open(path, &is_kept) {
                Ok(Some(identity)) => {
                    self.users.entry(pid).or_default().insert(identity);
                    Ok(())
                }
                Ok(None) => Ok(()),
                // It was closed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            })
        });
        match looked {
            Ok(()) => {}
            // It has ended meanwhile.
            Err(error) if proc::is_of_ended(&error) => {}
            Err(error) => {
                self.hidden.insert(pid, error);
            }
        }
    }

    fn open(
        &mut self,
        path: &Path,
        is_kept: impl Fn(Session) -> bool,
    ) -> io::Result<Option<Identity>> {
        let file = std::fs::metadata(path)?;
        let identity = (file.st_dev(), file.st_ino());
        if self.known.contains_key(&identity) {
            return Ok(Some(identity));
        }
        let Some(arena) = SeenArena::open(path)? else { return Ok(None) };
        let identity = arena.identity();
        self.known.insert(identity, (arena.session(), arena.creator()));
        if is_kept(arena.session()) {
            self.arenas.insert(identity, arena);
        }
        Ok(Some(identity))
    }

    fn used_by(&self, pid: u32) -> impl Iterator<Item = &(Session, Option<Peer>)> {
        let identities = self.users.get(&pid).into_iter().flatten();
        identities.filter_map(|identity| self.known.get(identity))
    }

    /// The session of a process: of what it has made, or else of what it uses.
    pub(super) fn session_of(&self, pid: u32) -> Option<Session> {
        let is_own = |(_, creator): &&(_, Option<Peer>)| {
            creator.as_ref().is_some_and(|creator| creator.pid == pid)
        };
        let own = self.used_by(pid).find(is_own);
        own.or_else(|| self.used_by(pid).next()).map(|(session, _)| *session)
    }

    pub(super) fn uses(&self, pid: u32, session: Session) -> bool {
        self.used_by(pid).any(|(other, _)| *other == session)
    }

    /// The arenas of the session.
    pub(super) fn arenas(&self) -> impl Iterator<Item = &SeenArena> {
        self.arenas.values()
    }

    /// The processes that have made arenas of the session, and live.
    pub(super) fn creators(&self) -> impl Iterator<Item = Peer> {
        self.arenas.iter().filter_map(|(identity, arena)| {
            // The pid of a dead one may be another's by now, who does not use the arena.
            arena.creator().filter(|creator| self.may_use(creator.pid, identity))
        })
    }

    /// Whether a process uses an arena, or cannot be looked at.
    fn may_use(&self, pid: u32, arena: &Identity) -> bool {
        self.hidden.contains_key(&pid)
            || self.users.get(&pid).is_some_and(|used| used.contains(arena))
    }

    /// What the living show of themselves.
    pub(super) fn posted(&self, unseen: &mut Vec<Unseen>) -> Vec<Posted> {
        let mut posted = Vec::new();
        let mut strangers = HashSet::new();
        for (identity, arena) in &self.arenas {
            for object in arena.objects() {
                let Some(seen) = object.notice() else { continue };
                let holders = object.holders();
                let Some(holder) = holders.first().filter(|_| object.is_same()) else { continue };
                let pid = holder.pid;
                if self.users.get(&pid).is_some_and(|used| used.contains(identity)) {
                    posted.push(Posted { pid, seen });
                } else if !self.hidden.contains_key(&pid) && strangers.insert(pid) {
                    let reason = "it has just ended, or its pid is one of another pid namespace";
                    let (what, reason) = ("what it shows".to_owned(), reason.to_owned());
                    unseen.push(Unseen { pid, what, reason });
                }
            }
        }
        posted
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
