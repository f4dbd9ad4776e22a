//! An arena: memory of one creator, cut into blocks of one size, and the processes that use it.
//!
//! Every process that has a handle to a block is a *member*: it has an entry in the table of the arena and
//! holds the kernel's lock on the byte of that entry until it leaves or dies. A block is free when no
//! member holds it and no message that contains it exists; a message holds a lock on the byte of the block.
//! All this is in the arena itself and in the kernel, so it holds whoever is killed, and no
//! process has to serve another.
//!
//! Locks of the kernel belong to the description of the arena that this process opened for itself, which
//! all its threads share: `local` makes them take turns.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use mp_remote_exception::Origin;
use parking_lot::Mutex;

use crate::error::SharedMemoryError as Error;
use crate::mapped::Mapped;
use crate::member::{MemberId, Peer};
use crate::place;
use crate::region::{self, Kind};
use crate::segment;
use crate::sys::layout::{
    BLOCKS_AT, BlockHeader, Header, MAGIC, MEMBERS, MEMBERS_AT, Member, NAME_LEN,
};
use crate::sys::lock::{self, Mode, Range};
use crate::sys::map::Map;
use crate::sys::memfd::{self, Identity};

/// How often a lock that somebody holds for a moment is asked for.
const TRIES: u32 = 1000;

/// The arenas that this process has mapped, by the identity of their memory.
static MAPPED: Mapped<Arena> = Mapped::new();

/// The arenas that this process keeps for the locks it has leaked there, and how many those are.
static PINNED: LazyLock<Mutex<HashMap<Identity, Pinned>>> = LazyLock::new(Mutex::default);

type Pinned = (Arc<Arena>, usize);

/// Which block, and how often it had been taken: a block that was freed and taken again is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockId {
    pub(crate) block: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
pub(crate) struct Arena {
    map: Map,
    fd: OwnedFd,
    identity: Identity,
    payload_len: usize,
    blocks: u32,
    me: MemberId,
    /// For each block, how many references this process has: one of the heap or of each handle.
    local: Mutex<Vec<u32>>,
}

impl Arena {
    /// Makes an arena of a session and becomes its first member.
    pub(crate) fn create(
        payload_len: usize,
        blocks: u32,
        session: [u64; 2],
    ) -> Result<Arc<Arena>, Error> {
        let len = BLOCKS_AT + blocks as usize * block_len(payload_len);
        let fd = segment::reserve(c"mp-arena", len as u64)?;
        let map =
            Map::new(fd.as_fd(), len).map_err(|error| segment::no_space(len as u64, error))?;
        let header: &Header = map.at(0);
        let nonce = memfd::random().map_err(Error::system("get random bytes"))?;
        header.nonce.store(nonce, Ordering::Relaxed);
        header.session[0].store(session[0], Ordering::Relaxed);
        header.session[1].store(session[1], Ordering::Relaxed);
        header.payload_len.store(number(payload_len), Ordering::Relaxed);
        header.blocks.store(blocks, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Arena::attach(fd.as_fd())
    }

    /// The arena behind a descriptor, which may be anything; mapped once in a process.
    pub(crate) fn attach(fd: BorrowedFd<'_>) -> Result<Arc<Arena>, Error> {
        let examined = |error| Error::system("examine shared memory")(error);
        let len =
            memfd::sealed_len(fd).map_err(examined)?.and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or(Error::foreign("its memory could shrink"))?;
        let identity = memfd::identity(fd).map_err(examined)?;
        MAPPED.get_or_map(identity, || Arena::map(fd, identity, len))
    }

    fn map(fd: BorrowedFd<'_>, identity: Identity, len: usize) -> Result<Arena, Error> {
        let fd = memfd::reopen(fd).map_err(Error::system("open shared memory"))?;
        let mut arena = Arena::open(fd, identity, len, Map::new)?;
        arena.me = arena.join()?;
        Ok(arena)
    }

    /// The arena behind a descriptor, which may be anything, for one who only looks: it becomes no member, and must call
    /// nothing that stores or locks.
    pub(crate) fn look(fd: OwnedFd) -> Result<Arena, Error> {
        let examined = |error| Error::system("examine shared memory")(error);
        let len = memfd::sealed_len(&fd).map_err(examined)?;
        let len = len.and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or(Error::foreign("its memory could shrink"))?;
        if !memfd::is_reserved(&fd).map_err(examined)? {
            // To look at a part without memory is to have it made.
            return Err(Error::foreign("not all of its memory is there"));
        }
        let identity = memfd::identity(&fd).map_err(examined)?;
        Arena::open(fd, identity, len, Map::read_only)
    }

    /// An arena of which this process is no member yet.
    fn open(
        fd: OwnedFd,
        identity: Identity,
        len: usize,
        map: fn(BorrowedFd<'_>, usize) -> std::io::Result<Map>,
    ) -> Result<Arena, Error> {
        if len < BLOCKS_AT {
            return Err(Error::foreign("it is too short"));
        }
        let map = map(fd.as_fd(), len).map_err(|error| segment::no_space(len as u64, error))?;
        let header: &Header = map.at(0);
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return Err(Error::foreign("it is no arena of this version of the library"));
        }
        // Read once: what is checked here is what counts from now on.
        let payload_len = header.payload_len.load(Ordering::Relaxed) as usize;
        let blocks = header.blocks.load(Ordering::Relaxed);
        // Each block has a byte of its own to lock, behind those of the members.
        let fits = payload_len.is_multiple_of(64)
            && blocks < u32::MAX - number(MEMBERS)
            && (blocks as usize)
                .checked_mul(block_len(payload_len))
                .is_some_and(|blocks| blocks == len - BLOCKS_AT);
        if !fits {
            return Err(Error::foreign("its header contradicts its length"));
        }
        let local = Mutex::new(vec![0; blocks as usize]);
        let me = MemberId::NOBODY;
        Ok(Arena { map, fd, identity, payload_len, blocks, me, local })
    }

    /// Takes an entry of the member table: one that nobody has had, or the one that has been
    /// free the longest, so that the names of the dead stay readable.
    fn join(&self) -> Result<MemberId, Error> {
        let failed = |error| Error::system("lock shared memory")(error);
        let header: &Header = self.map.at(0);
        let first = header.next_member.fetch_add(1, Ordering::Relaxed) as usize;
        for index in (first..first + MEMBERS).map(|n| n % MEMBERS) {
            let byte = Range::byte(number(index));
            if !lock::try_lock(&self.fd, byte, Mode::Exclusive).map_err(failed)? {
                continue;
            }
            self.bury(index);
            let origin = Origin::current();
            let name = truncated(origin.process_name(), NAME_LEN).as_bytes();
            let member = self.member(index);
            member.pid.store(origin.pid(), Ordering::Relaxed);
            member.name_len.store(number(name.len()), Ordering::Relaxed);
            region::store(&member.name[..name.len()], name);
            let before = member.generation.load(Ordering::Relaxed);
            let id = MemberId::next(number(index), before);
            member.generation.store(id.generation(), Ordering::Release);
            member.is_active.store(1, Ordering::Release);
            return Ok(id);
        }
        Err(Error::TooManyProcesses { max: MEMBERS })
    }

    /// Takes back what a member that is gone held. The caller has the lock of its entry.
    fn bury(&self, index: usize) {
        let member = self.member(index);
        if member.is_active.load(Ordering::Acquire) == 0 {
            return;
        }
        for block in 0..self.blocks {
            let word = &self.header_of(block).holders[index / 64];
            word.fetch_and(!(1 << (index % 64)), Ordering::AcqRel);
        }
        member.is_active.store(0, Ordering::Release);
    }

    /// This process, as it stands in words of this arena.
    pub(crate) fn me(&self) -> MemberId {
        self.me
    }

    /// Stays a member, whatever handles this process drops, until it is unpinned as often.
    pub(crate) fn pin(self: &Arc<Arena>) {
        let mut pinned = PINNED.lock();
        pinned.entry(self.identity).or_insert_with(|| (Arc::clone(self), 0)).1 += 1;
    }

    pub(crate) fn unpin(&self) {
        let mut pinned = PINNED.lock();
        if let Some((_, count)) = pinned.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                // Not the last reference: the caller has one.
                pinned.remove(&self.identity);
            }
        }
    }

    /// Whether a process that this arena knew still lives and uses it.
    pub(crate) fn is_alive(&self, id: MemberId) -> bool {
        if id == self.me {
            return true;
        }
        let member = self.member(id.index());
        member.generation.load(Ordering::Acquire) == id.generation()
            && member.is_active.load(Ordering::Acquire) != 0
            // A system that cannot answer is no reason to take a lock from the living.
            && lock::is_locked_by_other(&self.fd, Range::byte(number(id.index()))).unwrap_or(true)
    }

    /// Who that is or was; `None` if its entry has been given to another process since.
    pub(crate) fn process(&self, id: MemberId) -> Option<Peer> {
        let member = self.member(id.index());
        let len = (member.name_len.load(Ordering::Relaxed) as usize).min(NAME_LEN);
        let mut name = vec![0; len];
        region::load(&member.name[..len], &mut name);
        let pid = member.pid.load(Ordering::Relaxed);
        let is_current = member.generation.load(Ordering::Acquire) == id.generation();
        let name = String::from_utf8_lossy(&name).into_owned();
        is_current.then_some(Peer { pid, name })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.header().nonce.load(Ordering::Relaxed)
    }

    pub(crate) fn session(&self) -> [u64; 2] {
        let session = &self.header().session;
        [session[0].load(Ordering::Relaxed), session[1].load(Ordering::Relaxed)]
    }

    /// Set once the session of the arena has a descriptor of it.
    pub(crate) fn is_registered(&self) -> &AtomicU32 {
        &self.header().is_registered
    }

    pub(crate) fn payload_len(&self) -> usize {
        self.payload_len
    }

    pub(crate) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Where the payload of a block lies in the mapping.
    pub(crate) fn payload_at(&self, block: u32) -> usize {
        self.offset_of(block) + size_of::<BlockHeader>()
    }

    /// How many bytes are in use of a block that this process holds; to be read once.
    pub(crate) fn len_of(&self, block: u32) -> usize {
        let len = self.header_of(block).len.load(Ordering::Relaxed) as usize;
        len.min(self.payload_len)
    }

    /// The first bytes of a block that this process holds.
    pub(crate) fn bytes(&self, block: u32, len: usize) -> &[AtomicU8] {
        self.map.bytes(self.payload_at(block), len.min(self.payload_len))
    }

    /// Takes a block that is free; only the creator of the arena does so, and one thread at a time.
    pub(crate) fn take(&self, block: u32, kind: Kind, len: usize, place: &Location<'_>) -> BlockId {
        let header = self.header_of(block);
        region::clear(self.map.bytes(self.payload_at(block), len));
        header.kind.store(kind, Ordering::Relaxed);
        header.len.store(number(len), Ordering::Relaxed);
        header.is_shared.store(0, Ordering::Relaxed);
        place::store(header, place);
        let index = self.me.index();
        // Nobody else touches the holders of a free block, but a dead member's are cleared at any time.
        header.holders[index / 64].fetch_or(1 << (index % 64), Ordering::Relaxed);
        self.local.lock()[block as usize] = 1;
        let state = header.state.load(Ordering::Relaxed).wrapping_add(1) | 1;
        header.state.store(state, Ordering::Release);
        BlockId { block, generation: state >> 1 }
    }

    /// Gains a reference to a block that a message or a token names.
    pub(crate) fn acquire(&self, id: BlockId, kind: Kind, len: Option<usize>) -> Result<(), Error> {
        if id.block >= self.blocks {
            return Err(Error::foreign("its block lies outside the arena"));
        }
        let header = self.header_of(id.block);
        let check = || {
            if header.state.load(Ordering::Acquire) != id.generation << 1 | 1 {
                return Err(Error::Gone);
            }
            if header.kind.load(Ordering::Relaxed) != kind {
                return Err(Error::foreign("it is an object of another kind"));
            }
            let has = header.len.load(Ordering::Relaxed) as usize;
            if has > self.payload_len || len.is_some_and(|len| len != has) {
                return Err(Error::foreign("it is an object of another length"));
            }
            Ok(())
        };
        let mut local = self.local.lock();
        let count = &mut local[id.block as usize];
        if *count == 0 {
            // Under a shared lock nobody frees it between the check and our mark.
            self.lock_block(id.block, Mode::Shared)?;
            let checked = check();
            if checked.is_ok() {
                let index = self.me.index();
                header.holders[index / 64].fetch_or(1 << (index % 64), Ordering::AcqRel);
            }
            lock::unlock(&self.fd, block_byte(id.block)).map_err(Error::system("unlock"))?;
            checked?;
        } else {
            check()?;
        }
        let more = count.checked_add(1).ok_or(Error::foreign("there are too many handles"))?;
        *count = more;
        Ok(())
    }

    /// Gives a reference back; whether the block became free because it was the last anywhere.
    #[must_use = "the heap has to know of a block that became free"]
    pub(crate) fn release(&self, block: u32) -> bool {
        let mut local = self.local.lock();
        let count = &mut local[block as usize];
        *count -= 1;
        if *count > 0 {
            return false;
        }
        let header = self.header_of(block);
        let index = self.me.index();
        header.holders[index / 64].fetch_and(!(1 << (index % 64)), Ordering::AcqRel);
        self.free_if_unheld(block)
    }

    /// Marks a block free if nobody holds it; the caller has `local` and no reference.
    fn free_if_unheld(&self, block: u32) -> bool {
        let header = self.header_of(block);
        let state = header.state.load(Ordering::Acquire);
        let is_held = || header.holders.iter().any(|word| word.load(Ordering::Acquire) != 0);
        if state & 1 == 0 || is_held() {
            return false;
        }
        let is_shared = header.is_shared.load(Ordering::Acquire) != 0;
        let byte = block_byte(block);
        if is_shared && !lock::try_lock(&self.fd, byte, Mode::Exclusive).unwrap_or(false) {
            return false; // it is in a message, whose receiver will free it
        }
        let is_free = !is_held() && header.state.load(Ordering::Acquire) == state;
        if is_free {
            header.state.store(state.wrapping_add(1), Ordering::Release);
        }
        if is_shared {
            // Without the lock a block is not taken away from anybody: at worst it stays.
            let _unlocked = lock::unlock(&self.fd, byte);
        }
        is_free
    }

    /// Whether a block of an arena of ours is free.
    pub(crate) fn is_free(&self, block: u32) -> bool {
        self.header_of(block).state.load(Ordering::Acquire) & 1 == 0
    }

    /// Finds the blocks of an arena of ours that are free, after giving back what the dead have held.
    pub(crate) fn sweep(&self) -> Vec<u32> {
        let local = self.local.lock();
        for index in (0..MEMBERS).filter(|&index| index != self.me.index()) {
            let byte = Range::byte(number(index));
            if self.member(index).is_active.load(Ordering::Acquire) != 0
                && lock::try_lock(&self.fd, byte, Mode::Exclusive).unwrap_or(false)
            {
                self.bury(index);
                let _unlocked = lock::unlock(&self.fd, byte);
            }
        }
        (0..self.blocks)
            .filter(|&block| {
                local[block as usize] == 0 && (self.is_free(block) || self.free_if_unheld(block))
            })
            .collect()
    }

    /// Where in a program a block was taken.
    pub(crate) fn place(&self, block: u32) -> String {
        place::load(self.header_of(block))
    }

    /// The process that made the arena, while its entry is not another's.
    pub(crate) fn creator(&self) -> Option<Peer> {
        self.process(MemberId::next(0, 0))
    }

    /// How often a block had been taken, and its kind, if it is taken now.
    pub(crate) fn taken(&self, block: u32) -> Option<(u32, Kind)> {
        let header = self.header_of(block);
        let state = header.state.load(Ordering::Acquire);
        (state & 1 == 1).then(|| (state >> 1, header.kind.load(Ordering::Relaxed)))
    }

    /// The members that hold a block, also those that have died and were not buried.
    pub(crate) fn holders(&self, block: u32) -> Vec<MemberId> {
        let holders = &self.header_of(block).holders;
        let is_holder =
            |index: &usize| holders[index / 64].load(Ordering::Acquire) & 1 << (index % 64) != 0;
        let id = |index| {
            let generation = self.member(index).generation.load(Ordering::Acquire);
            MemberId::of(number(index), generation)
        };
        (0..MEMBERS).filter(is_holder).filter_map(id).collect()
    }

    /// Whether a message that nobody has read contains a block.
    pub(crate) fn is_in_message(&self, block: u32) -> bool {
        lock::is_locked_by_other(&self.fd, block_byte(block)).unwrap_or(false)
    }

    /// Locks the byte of a block in `fd`, a fresh description that goes into a message.
    pub(crate) fn lock_for_message(&self, fd: BorrowedFd<'_>, block: u32) -> Result<(), Error> {
        self.mark_shared(block);
        retry(|| lock::try_lock(fd, block_byte(block), Mode::Shared))
    }

    /// From now on the kernel is asked before the block is freed.
    pub(crate) fn mark_shared(&self, block: u32) {
        self.header_of(block).is_shared.store(1, Ordering::Release);
    }

    fn lock_block(&self, block: u32, mode: Mode) -> Result<(), Error> {
        retry(|| lock::try_lock(&self.fd, block_byte(block), mode))
    }

    fn header(&self) -> &Header {
        self.map.at(0)
    }

    fn member(&self, index: usize) -> &Member {
        self.map.at(MEMBERS_AT + index * size_of::<Member>())
    }

    fn header_of(&self, block: u32) -> &BlockHeader {
        self.map.at(self.offset_of(block))
    }

    fn offset_of(&self, block: u32) -> usize {
        assert!(block < self.blocks, "block {block} of {}", self.blocks);
        BLOCKS_AT + block as usize * block_len(self.payload_len)
    }
}

impl AsRef<Map> for Arena {
    fn as_ref(&self) -> &Map {
        &self.map
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if self.me == MemberId::NOBODY {
            return; // it never came to be one of the table
        }
        MAPPED.forget(self.identity);
        // No handle of this process is left, so nothing is held.
        self.member(self.me.index()).is_active.store(0, Ordering::Release);
    }
}

/// An index or a length in an arena, all of which are far below the limit.
fn number(n: usize) -> u32 {
    u32::try_from(n).expect("arenas are small")
}

fn block_len(payload_len: usize) -> usize {
    size_of::<BlockHeader>() + payload_len
}

/// The byte that stands for a block in locks; those before stand for the members.
pub(crate) fn block_byte(block: u32) -> Range {
    Range::byte(number(MEMBERS) + block)
}

/// Asks for a lock that somebody else has for no longer than a few instructions, if at all.
fn retry(mut try_lock: impl FnMut() -> std::io::Result<bool>) -> Result<(), Error> {
    for _ in 0..TRIES {
        if try_lock().map_err(Error::system("lock shared memory"))? {
            return Ok(());
        }
        std::thread::yield_now();
    }
    // Whoever has it is about to free the block, and was stopped there.
    Err(Error::Gone)
}

/// As much of a text as there is room for, cut between characters.
pub(crate) fn truncated(text: &str, most: usize) -> &str {
    let mut len = text.len().min(most);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    &text[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = 1;

    /// A second member of an arena, as another process would be: with a description of its own.
    fn stranger(arena: &Arena) -> Arena {
        let len = memfd::sealed_len(arena.fd()).unwrap().unwrap();
        let stranger = Arena::map(arena.fd(), (0, 0), usize::try_from(len).unwrap()).unwrap();
        assert_ne!(stranger.me(), arena.me());
        stranger
    }

    #[test]
    fn a_pid_that_lives_does_not_bring_a_dead_member_back() {
        let arena = Arena::create(64, 8, [0; 2]).unwrap();
        let stranger = stranger(&arena);
        let id = stranger.me();
        assert!(arena.is_alive(id));
        // A death: the kernel closes the description, and nothing else happens.
        let Arena { fd, map, .. } = &stranger;
        let member: &Member = map.at(MEMBERS_AT + id.index() * size_of::<Member>());
        assert_eq!(member.pid.load(Ordering::Relaxed), std::process::id());
        lock::unlock(fd, Range::ALL).unwrap();
        // Its pid is that of a process that lives: this one.
        assert!(!arena.is_alive(id), "told alive by its pid");
        assert_eq!(arena.process(id).unwrap().pid, std::process::id());
    }

    #[test]
    fn what_a_dead_member_held_is_free_after_a_sweep() {
        let arena = Arena::create(64, 8, [0; 2]).unwrap();
        let stranger = stranger(&arena);
        let id = arena.take(3, KIND, 8, Location::caller());
        arena.mark_shared(3);
        stranger.acquire(id, KIND, Some(8)).unwrap();
        assert!(!arena.release(3));
        assert!(!arena.is_free(3), "the stranger holds it");
        assert!(!arena.sweep().contains(&3), "and lives");
        lock::unlock(stranger.fd(), Range::ALL).unwrap();
        assert!(arena.sweep().contains(&3));
    }

    #[test]
    fn a_block_in_a_message_is_free_when_the_message_is_gone() {
        let arena = Arena::create(64, 8, [0; 2]).unwrap();
        let id = arena.take(0, KIND, 8, Location::caller());
        let message = memfd::reopen(arena.fd()).unwrap();
        arena.lock_for_message(message.as_fd(), 0).unwrap();
        assert!(!arena.release(0));
        assert!(!arena.sweep().contains(&0));
        arena.acquire(id, KIND, Some(8)).unwrap(); // out of the message
        drop(message);
        assert!(!arena.sweep().contains(&0));
        assert!(arena.release(0) && arena.is_free(0));
        assert!(matches!(arena.acquire(id, KIND, Some(8)), Err(Error::Gone)));
    }

    #[test]
    fn handles_that_lie_are_refused() {
        let arena = Arena::create(64, 8, [0; 2]).unwrap();
        let id = arena.take(0, KIND, 8, Location::caller());
        let beyond = BlockId { block: 8, ..id };
        assert!(matches!(arena.acquire(beyond, KIND, Some(8)), Err(Error::Foreign { .. })));
        assert!(matches!(arena.acquire(id, KIND + 1, Some(8)), Err(Error::Foreign { .. })));
        assert!(matches!(arena.acquire(id, KIND, Some(16)), Err(Error::Foreign { .. })));
        let other = BlockId { generation: id.generation + 1, ..id };
        assert!(matches!(arena.acquire(other, KIND, Some(8)), Err(Error::Gone)));
        assert!(arena.release(0));
    }

    #[test]
    fn the_name_of_the_dead_is_known_until_all_other_entries_were_given() {
        let arena = Arena::create(64, 8, [0; 2]).unwrap();
        let first = stranger(&arena);
        let id = first.me();
        drop(first);
        for _ in 0..MEMBERS / 2 {
            drop(stranger(&arena));
        }
        assert!(arena.process(id).is_some());
        for _ in 0..MEMBERS {
            drop(stranger(&arena));
        }
        assert!(arena.process(id).is_none() && !arena.is_alive(id));
    }

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(truncated("short", NAME_LEN), "short");
        let long = "a".to_owned() + &"\u{e4}".repeat(NAME_LEN);
        assert_eq!(truncated(&long, NAME_LEN).chars().count(), 24);
    }
}
