//! Looking into the shared memory of other processes from outside.
//!
//! Who looks is nobody's peer: it becomes no member of an arena, takes no lock, stores nothing, and maps for reading only. So it
//! can be done at any time, to processes that are stopped or wait for ever. What it sees is of the moment in which it
//! looks, and may change between two looks.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::arena::Arena;
use crate::error::SharedMemoryError as Error;
use crate::member::{MemberId, Peer};
use crate::notice::{self, NOTICE};
pub use crate::notice::{Notice, Seen, Topic};
use crate::object::ObjectId;
use crate::region::{Kind, ShmLayout};

/// What the file of an arena is called where the descriptors of a process are listed.
pub const ARENA_NAME: &str = "/memfd:mp-arena (deleted)";

/// An arena, seen from outside.
#[derive(Debug)]
pub struct SeenArena(Arena);

impl SeenArena {
    /// Looks at the arena that is behind a path of an open file; `None` if it is none of this version of the library.
    ///
    /// # Errors
    ///
    /// That the system does not let this process open it.
    pub fn open(path: &Path) -> io::Result<Option<SeenArena>> {
        // What only has the name of one may be anything.
        if !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        match Arena::look(File::open(path)?.into()) {
            Ok(arena) => Ok(Some(SeenArena(arena))),
            Err(Error::System { source, .. }) => Err(io::Error::new(source.kind(), source)),
            Err(error @ Error::NoSpace { .. }) => Err(io::Error::other(error)),
            Err(_) => Ok(None),
        }
    }

    /// What the files of one arena have in common, however they were opened: device and number.
    pub fn identity(&self) -> (u64, u64) {
        self.0.identity()
    }

    /// The session of the process that made it.
    pub fn session(&self) -> [u64; 2] {
        self.0.session()
    }

    /// The process that made it, if that is still known.
    pub fn creator(&self) -> Option<Peer> {
        self.0.creator()
    }

    /// What is in it.
    pub fn objects(&self) -> impl Iterator<Item = SeenObject<'_>> {
        (0..self.0.blocks()).filter_map(|block| SeenObject::at(&self.0, block))
    }
}

/// An object in an arena, seen from outside.
#[derive(Debug)]
pub struct SeenObject<'a> {
    arena: &'a Arena,
    block: u32,
    generation: u32,
    kind: Kind,
}

impl<'a> SeenObject<'a> {
    fn at(arena: &'a Arena, block: u32) -> Option<SeenObject<'a>> {
        let (generation, kind) = arena.taken(block)?;
        Some(SeenObject { arena, block, generation, kind })
    }

    /// What tells it from all others.
    pub fn id(&self) -> ObjectId {
        let (block, generation) = (self.block, self.generation);
        ObjectId { nonce: self.arena.nonce(), block, generation }
    }

    /// Where in a program it was made: the end of `file:line`.
    pub fn place(&self) -> String {
        self.arena.place(self.block)
    }

    /// The process that made it, if that is still known.
    pub fn creator(&self) -> Option<Peer> {
        self.arena.creator()
    }

    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which bytes of the arena it has.
    pub fn range(&self) -> std::ops::Range<usize> {
        let start = self.arena.payload_at(self.block);
        start..start + self.arena.len_of(self.block)
    }

    /// What lies there, if it is of this type. It may be freed, and be something else, while it is looked at.
    pub fn get<T: ShmLayout>(&self) -> Option<&'a T> {
        let fits = self.kind == T::KIND && self.arena.len_of(self.block) == size_of::<T>();
        fits.then(|| self.arena.as_ref().at(self.arena.payload_at(self.block)))
    }

    /// What it says, if it is a notice.
    pub fn notice(&self) -> Option<Seen> {
        let len = self.arena.len_of(self.block);
        (self.kind == NOTICE).then(|| notice::read(self.arena.bytes(self.block, len)))?
    }

    /// The processes that have a handle to it, and live.
    pub fn holders(&self) -> Vec<Peer> {
        let ids = self.arena.holders(self.block).into_iter();
        ids.filter(|id| self.is_alive(*id)).filter_map(|id| self.process(id)).collect()
    }

    /// Whether it is in a message that nobody has read.
    pub fn is_in_message(&self) -> bool {
        self.arena.is_in_message(self.block)
    }

    /// Whether the process that a word of the object names lives.
    pub fn is_alive(&self, id: MemberId) -> bool {
        self.arena.is_alive(id)
    }

    /// Who that is or was.
    pub fn process(&self, id: MemberId) -> Option<Peer> {
        self.arena.process(id)
    }

    /// Whether it is still the object that it was.
    pub fn is_same(&self) -> bool {
        self.arena.taken(self.block) == Some((self.generation, self.kind))
    }
}
