//! What the root of a session keeps: memory with a token, and messages that are parked for a queue in it.
//!
//! This is a table of one thread, so it counts exactly. For each memory there is one descriptor, of a
//! description that no other process has. On it is a lock of the kernel for each part that some parked message
//! contains, so to the owner of a block, the block is in a message that is still on its way.
//!
//! A message stays as long as the memory that it is parked for is in use: by a process, by a message on its way, or
//! by one that is parked for other memory in use. Nobody announces the end of that; it is looked for. A
//! look asks the kernel for the locks of others, of which the broker's own are none. It need not see all memory at
//! one moment, for what nobody else has locked stays so until the broker gives it out, with a lock.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mp_reduction::Part;

use crate::sys::lock::{self, Mode, Range};
use crate::sys::memfd::{self, Identity};

/// What is locked for whoever resolves a token, until it has a lock of its own; no part is so far up.
const RESOLVED: Range = Range::byte(u32::MAX - 1);

#[derive(Default)]
pub(crate) struct Kept {
    memories: HashMap<Identity, Memory>,
    /// By nonce.
    registered: HashMap<u64, Registered>,
    last_ticket: u64,
}

struct Memory {
    fd: OwnedFd,
    /// What it is registered under.
    nonce: Option<u64>,
    /// How many parked messages it is attached to.
    messages: usize,
    /// How many of them contain each part. Each part in here is locked.
    parts: HashMap<u32, usize>,
}

struct Registered {
    identity: Identity,
    parked: HashMap<u64, Parked>,
    /// What is attached to the parked messages, and to how many of them.
    contains: HashMap<Identity, usize>,
}

/// A message without its bytes.
struct Parked {
    /// For each attachment, which memory it is; for `None` it is the next of `plain`.
    memories: Vec<Option<Identity>>,
    plain: Vec<OwnedFd>,
    parts: Vec<Part>,
}

/// Why the broker does not do what it is asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It does not know the memory, or the ticket.
    Unknown,
    /// The system does not let it.
    System(io::Error),
    /// No client of this library asks for that.
    Absurd,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::System(error)
    }
}

/// A descriptor for a client.
#[derive(Debug)]
pub(crate) enum Given<'a> {
    /// What came with the message.
    Plain(BorrowedFd<'a>),
    /// Memory, locked as in a message.
    Memory(OwnedFd),
}

impl AsFd for Given<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Given::Plain(fd) => *fd,
            Given::Memory(fd) => fd.as_fd(),
        }
    }
}

impl Kept {
    /// Whether there is nothing whose end is to be looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.registered.is_empty()
    }

    /// Keeps memory until nobody uses it.
    pub(crate) fn register(&mut self, nonce: u64, fd: &OwnedFd) -> Result<(), Refusal> {
        let identity = self.open(fd)?;
        let known = self.registered.get(&nonce).map_or(identity, |known| known.identity);
        let memory = self.memories.get_mut(&identity).ok_or(Refusal::Absurd)?;
        if known != identity || memory.nonce.is_some_and(|known| known != nonce) {
            self.close_if_unneeded(identity);
            return Err(Refusal::Absurd);
        }
        memory.nonce = Some(nonce);
        self.registered.entry(nonce).or_insert_with(|| Registered {
            identity,
            parked: HashMap::new(),
            contains: HashMap::new(),
        });
        Ok(())
    }

    /// A descriptor of registered memory that counts as a user of it while it is open.
    pub(crate) fn resolve(&self, nonce: u64) -> Result<OwnedFd, Refusal> {
        let registered = self.registered.get(&nonce).ok_or(Refusal::Unknown)?;
        self.give(registered.identity, [RESOLVED])
    }

    /// Keeps the attachments of a message while registered memory is used; gives the ticket for them.
    pub(crate) fn park(
        &mut self,
        nonce: u64,
        descriptors: Vec<OwnedFd>,
        parts: Vec<Part>,
    ) -> Result<u64, Refusal> {
        if !parts.is_sorted() {
            return Err(Refusal::Absurd);
        }
        if !self.registered.contains_key(&nonce) {
            return Err(Refusal::Unknown);
        }
        let memories = self.take(&descriptors, &parts)?;
        // Ours are locked, so those that came with the locks of the message can be closed.
        let attachments = descriptors.into_iter().zip(&memories);
        let plain = attachments.filter(|(_, memory)| memory.is_none()).map(|(fd, _)| fd).collect();
        let owner = self.registered.get_mut(&nonce).ok_or(Refusal::Unknown)?;
        for identity in memories.iter().flatten() {
            *owner.contains.entry(*identity).or_default() += 1;
        }
        self.last_ticket += 1;
        owner.parked.insert(self.last_ticket, Parked { memories, plain, parts });
        Ok(self.last_ticket)
    }

    /// The descriptors of a parked message, locked as if it had just been made.
    pub(crate) fn fetch(&self, nonce: u64, ticket: u64) -> Result<Vec<Given<'_>>, Refusal> {
        let owner = self.registered.get(&nonce).ok_or(Refusal::Unknown)?;
        let Parked { memories, plain, parts } =
            owner.parked.get(&ticket).ok_or(Refusal::Unknown)?;
        let (mut plain, mut parts) = (plain.iter(), parts.iter().peekable());
        let attachments = memories.iter().enumerate().map(|(index, memory)| match memory {
            Some(identity) => {
                let part = || parts.next_if(|part| part.attachment == index);
                let bytes = std::iter::from_fn(part).map(|part| Range::byte(part.byte));
                self.give(*identity, bytes).map(Given::Memory)
            }
            None => plain.next().map(|fd| Given::Plain(fd.as_fd())).ok_or(Refusal::Unknown),
        });
        attachments.collect()
    }

    /// Drops a parked message, unless that has been done.
    pub(crate) fn unpark(&mut self, nonce: u64, ticket: u64) {
        let Some(owner) = self.registered.get_mut(&nonce) else { return };
        let Some(parked) = owner.parked.remove(&ticket) else { return };
        for identity in parked.memories.iter().flatten() {
            if let Entry::Occupied(count) = owner.contains.entry(*identity) {
                decrement(count);
            }
        }
        self.give_back(&parked.memories, &parked.parts);
    }

    /// Forgets memory that nobody uses any more, and what is parked for it.
    pub(crate) fn forget_unused(&mut self) {
        let used = self.used();
        let unused = self.registered.extract_if(|_, owner| !used.contains(&owner.identity));
        for (_, owner) in unused.collect::<Vec<_>>() {
            for parked in owner.parked.into_values() {
                self.give_back(&parked.memories, &parked.parts);
            }
            if let Some(memory) = self.memories.get_mut(&owner.identity) {
                memory.nonce = None;
            }
            self.close_if_unneeded(owner.identity);
        }
    }

    /// The memory that others have locked, and what is parked for that, and so on. Memory that is parked for
    /// itself is not in use by that, nor are queues that are only in each other.
    fn used(&self) -> HashSet<Identity> {
        let is_used = |identity: &Identity| {
            let memory = self.memories.get(identity);
            // A system that cannot answer is no reason to take anything away.
            memory.is_some_and(|m| lock::is_locked_by_other(&m.fd, Range::ALL).unwrap_or(true))
        };
        let identities = self.registered.values().map(|owner| owner.identity);
        let mut found: Vec<Identity> = identities.filter(is_used).collect();
        let mut used = HashSet::new();
        while let Some(identity) = found.pop() {
            if used.insert(identity) {
                let nonce = self.memories.get(&identity).and_then(|memory| memory.nonce);
                let owner = nonce.and_then(|nonce| self.registered.get(&nonce));
                found.extend(owner.iter().flat_map(|owner| owner.contains.keys()));
            }
        }
        used
    }

    /// Opens and locks what the parts name, which is what gives the memories; nothing after a failure.
    fn take(
        &mut self,
        descriptors: &[OwnedFd],
        parts: &[Part],
    ) -> Result<Vec<Option<Identity>>, Refusal> {
        let mut memories = vec![None; descriptors.len()];
        for (done, part) in parts.iter().enumerate() {
            if let Err(refusal) = self.take_part(descriptors, *part, &mut memories) {
                self.give_back(&memories, &parts[..done]);
                return Err(refusal);
            }
        }
        Ok(memories)
    }

    fn take_part(
        &mut self,
        descriptors: &[OwnedFd],
        part: Part,
        memories: &mut [Option<Identity>],
    ) -> Result<(), Refusal> {
        let fd = descriptors.get(part.attachment).ok_or(Refusal::Absurd)?;
        let place = &mut memories[part.attachment];
        let is_new = place.is_none();
        let identity = place.map_or_else(|| self.open(fd), Ok)?;
        let memory = self.memories.get_mut(&identity).ok_or(Refusal::Absurd)?;
        if is_new {
            *place = Some(identity);
            memory.messages += 1;
        }
        match memory.parts.entry(part.byte) {
            Entry::Occupied(mut count) => *count.get_mut() += 1,
            Entry::Vacant(count) => {
                // Nobody can have it exclusively, if it is locked in the message.
                if !lock::try_lock(&memory.fd, Range::byte(part.byte), Mode::Shared)? {
                    return Err(Refusal::Absurd);
                }
                count.insert(1);
            }
        }
        Ok(())
    }

    fn give_back(&mut self, memories: &[Option<Identity>], parts: &[Part]) {
        for part in parts {
            let memory = memories[part.attachment].and_then(|id| self.memories.get_mut(&id));
            let Some(memory) = memory else { continue };
            if let Entry::Occupied(count) = memory.parts.entry(part.byte)
                && decrement(count)
            {
                // At worst it stays locked until the memory is closed.
                let _unlocked = lock::unlock(&memory.fd, Range::byte(part.byte));
            }
        }
        for identity in memories.iter().flatten() {
            if let Some(memory) = self.memories.get_mut(identity) {
                memory.messages -= 1;
            }
            self.close_if_unneeded(*identity);
        }
    }

    /// The table has memory from here on, in a description of its own.
    fn open(&mut self, fd: &OwnedFd) -> Result<Identity, Refusal> {
        // Of what is no memory, another description is not to be had, or is another thing.
        if memfd::sealed_len(fd)?.is_none() {
            return Err(Refusal::Absurd);
        }
        let identity = memfd::identity(fd)?;
        if let Entry::Vacant(place) = self.memories.entry(identity) {
            let (fd, parts) = (memfd::reopen(fd)?, HashMap::new());
            place.insert(Memory { fd, nonce: None, messages: 0, parts });
        }
        Ok(identity)
    }

    fn close_if_unneeded(&mut self, identity: Identity) {
        if let Entry::Occupied(memory) = self.memories.entry(identity)
            && memory.get().nonce.is_none()
            && memory.get().messages == 0
        {
            memory.remove();
        }
    }

    /// A descriptor of memory that has these locks.
    fn give(
        &self,
        identity: Identity,
        bytes: impl IntoIterator<Item = Range>,
    ) -> Result<OwnedFd, Refusal> {
        let memory = self.memories.get(&identity).ok_or(Refusal::Unknown)?;
        let fd = memfd::reopen(&memory.fd)?;
        for byte in bytes {
            if !lock::try_lock(&fd, byte, Mode::Shared)? {
                return Err(Refusal::Unknown);
            }
        }
        Ok(fd)
    }
}

/// Takes one off; whether it was the last.
fn decrement<K>(mut count: std::collections::hash_map::OccupiedEntry<'_, K, usize>) -> bool {
    *count.get_mut() -= 1;
    let is_last = *count.get() == 0;
    if is_last {
        count.remove();
    }
    is_last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory() -> OwnedFd {
        memfd::create(c"mp-test", 4096).unwrap()
    }

    fn part(attachment: usize, byte: u32) -> Part {
        Part { attachment, byte }
    }

    /// A descriptor as it comes with a message.
    fn attached(fd: &OwnedFd, bytes: &[u32]) -> OwnedFd {
        let fd = memfd::reopen(fd).unwrap();
        for byte in bytes {
            assert!(lock::try_lock(&fd, Range::byte(*byte), Mode::Shared).unwrap());
        }
        fd
    }

    /// The memory of a queue that somebody uses, which is the second descriptor.
    fn queue(kept: &mut Kept, nonce: u64) -> (OwnedFd, OwnedFd) {
        let fd = memory();
        kept.register(nonce, &memfd::reopen(&fd).unwrap()).unwrap();
        let user = attached(&fd, &[0]);
        (fd, user)
    }

    fn is_locked(fd: &OwnedFd, byte: u32) -> bool {
        lock::is_locked_by_other(fd, Range::byte(byte)).unwrap()
    }

    fn park_one(kept: &mut Kept, nonce: u64, fd: &OwnedFd, byte: u32) -> u64 {
        kept.park(nonce, vec![attached(fd, &[byte])], vec![part(0, byte)]).unwrap()
    }

    #[test]
    fn a_part_is_locked_while_any_parked_message_has_it() {
        let mut kept = Kept::default();
        let (_queue, _user) = queue(&mut kept, 1);
        let arena = memory();
        let tickets = [7, 7, 8].map(|byte| park_one(&mut kept, 1, &arena, byte));
        assert_eq!(kept.memories.len(), 2, "one descriptor for each memory");
        kept.unpark(1, tickets[0]);
        kept.unpark(1, tickets[0]);
        assert!(is_locked(&arena, 7) && is_locked(&arena, 8));
        kept.unpark(1, tickets[1]);
        assert!(!is_locked(&arena, 7) && is_locked(&arena, 8));
        kept.unpark(2, tickets[2]);
        assert!(is_locked(&arena, 8), "a ticket of another queue is none");
        kept.unpark(1, tickets[2]);
        assert!(!lock::is_locked_by_other(&arena, Range::ALL).unwrap());
        assert_eq!(kept.memories.len(), 1);
    }

    #[test]
    fn what_is_fetched_is_a_message_of_its_own() {
        let mut kept = Kept::default();
        let (_queue, _user) = queue(&mut kept, 1);
        let (first, second) = (memory(), memory());
        let pipe = std::io::pipe().unwrap().0.into();
        let sent = vec![attached(&first, &[4, 5]), pipe, attached(&second, &[6])];
        let parts = vec![part(0, 4), part(0, 5), part(2, 6)];
        let ticket = kept.park(1, sent, parts).unwrap();
        let given = kept.fetch(1, ticket).unwrap();
        let kinds = given.iter().map(|given| matches!(given, Given::Memory(_)));
        assert_eq!(kinds.collect::<Vec<_>>(), [true, false, true]);
        let mut received = given.into_iter().filter_map(|given| match given {
            Given::Memory(fd) => Some(fd),
            Given::Plain(_) => None,
        });
        let (of_first, of_second) = (received.next().unwrap(), received.next().unwrap());
        kept.unpark(1, ticket);
        assert!(is_locked(&first, 4) && is_locked(&first, 5) && !is_locked(&first, 6));
        drop(of_first);
        assert!(!is_locked(&first, 4) && !is_locked(&first, 5));
        assert!(is_locked(&second, 6));
        drop(of_second);
        assert!(!is_locked(&second, 6));
        assert!(matches!(kept.fetch(1, ticket), Err(Refusal::Unknown)));
    }

    #[test]
    fn who_resolves_a_token_uses_the_memory_already() {
        let mut kept = Kept::default();
        let (fd, user) = queue(&mut kept, 1);
        let resolved = kept.resolve(1).unwrap();
        drop(user);
        kept.forget_unused();
        assert!(!kept.is_empty());
        drop((resolved, fd));
        kept.forget_unused();
        assert!(kept.is_empty() && kept.memories.is_empty());
        assert!(matches!(kept.resolve(1), Err(Refusal::Unknown)));
    }

    #[test]
    fn what_is_parked_for_memory_in_use_is_in_use() {
        let mut kept = Kept::default();
        let chain: Vec<_> = (0..5).map(|nonce| queue(&mut kept, nonce)).collect();
        for (nonce, pair) in (0..).zip(chain.windows(2)) {
            park_one(&mut kept, nonce, &pair[1].0, 0);
        }
        let mut users: Vec<_> = chain.iter().map(|(_, user)| user.try_clone().unwrap()).collect();
        let probes: Vec<OwnedFd> = chain.into_iter().map(|(fd, _)| fd).collect();
        users.truncate(1);
        kept.forget_unused();
        assert_eq!(kept.registered.len(), 5);
        users.clear();
        kept.forget_unused();
        assert!(kept.is_empty() && kept.memories.is_empty());
        assert!(probes.iter().all(|fd| !is_locked(fd, 0)));
    }

    #[test]
    fn queues_that_are_only_in_themselves_and_each_other_go() {
        let mut kept = Kept::default();
        let (a, user_of_a) = queue(&mut kept, 1);
        let (b, user_of_b) = queue(&mut kept, 2);
        let block = memory();
        for _ in 0..3 {
            park_one(&mut kept, 1, &a, 0);
            park_one(&mut kept, 1, &b, 0);
            park_one(&mut kept, 2, &a, 0);
            park_one(&mut kept, 2, &block, 9);
        }
        drop(user_of_b);
        kept.forget_unused();
        assert!(is_locked(&b, 0) && is_locked(&block, 9), "somebody uses the first");
        drop(user_of_a);
        kept.forget_unused();
        assert!(kept.is_empty() && kept.memories.is_empty());
        assert!(!is_locked(&a, 0) && !is_locked(&b, 0) && !is_locked(&block, 9));
    }

    #[test]
    fn a_refused_message_leaves_nothing() {
        let mut kept = Kept::default();
        let (queue, _user) = queue(&mut kept, 1);
        let (arena, other) = (memory(), memory());
        let exclusive = memfd::reopen(&arena).unwrap();
        assert!(lock::try_lock(&exclusive, Range::byte(9), Mode::Exclusive).unwrap());
        let pipe: OwnedFd = std::io::pipe().unwrap().0.into();
        let mut park = |parts: &[Part]| {
            let sent =
                vec![attached(&arena, &[]), pipe.try_clone().unwrap(), attached(&other, &[])];
            let refusal = kept.park(1, sent, parts.to_vec()).unwrap_err();
            assert!(matches!(refusal, Refusal::Absurd), "{refusal:?}");
            assert_eq!(kept.memories.len(), 1);
            assert!(!lock::is_locked_by_other(&other, Range::ALL).unwrap());
            let owner = &kept.registered[&1];
            assert!(owner.parked.is_empty() && owner.contains.is_empty());
        };
        park(&[part(0, 4), part(1, 5)]); // a part of what is no memory
        park(&[part(0, 4), part(2, 5), part(3, 5)]); // or of nothing
        park(&[part(2, 5), part(0, 4)]);
        park(&[part(0, 8), part(0, 9), part(2, 5)]); // or that cannot be in a message
        assert!(!is_locked(&exclusive, 4) && !is_locked(&exclusive, 8));
        let unknown = kept.park(2, vec![attached(&arena, &[4])], vec![part(0, 4)]);
        assert!(matches!(unknown, Err(Refusal::Unknown)));
        assert!(matches!(kept.register(1, &arena), Err(Refusal::Absurd)), "another has the nonce");
        assert!(matches!(kept.register(2, &queue), Err(Refusal::Absurd)), "it has a nonce");
        assert!(matches!(kept.register(2, &pipe), Err(Refusal::Absurd)));
        kept.register(1, &queue).unwrap();
        assert_eq!(kept.memories.len(), 1);
    }

    /// Parts, by memory.
    type Named = Vec<(usize, u32)>;

    /// What one step of the model does, with numbers that are taken modulo what there is.
    #[derive(Clone, Debug)]
    enum Step {
        Park(u64, Named),
        Unpark(u64, usize),
        Leave(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let parts = prop::collection::btree_set((0..4_usize, 0..5_u32), 1..6);
        prop_oneof![
            8 => (0..2_u64, parts).prop_map(|(q, p)| Step::Park(q, p.into_iter().collect())),
            6 => (0..2_u64, any::<usize>()).prop_map(|(queue, n)| Step::Unpark(queue, n)),
            1 => (0..2_u64).prop_map(Step::Leave),
        ]
    }

    proptest! {
        #[test]
        fn just_what_is_parked_is_locked(steps in prop::collection::vec(step(), 1..60)) {
            let mut kept = Kept::default();
            let arenas = [(); 4].map(|()| memory());
            let mut queues: Vec<_> = (0..2).map(|n| Some(queue(&mut kept, n))).collect();
            let mut model: Vec<(u64, u64, Named)> = Vec::new();
            for step in steps {
                match step {
                    Step::Park(queue, named) if queues[usize::try_from(queue).unwrap()].is_some() => {
                        let sent = arenas.iter().map(|fd| attached(fd, &[])).collect();
                        let parts = named.iter().map(|(index, byte)| part(*index, *byte)).collect();
                        let ticket = kept.park(queue, sent, parts).unwrap();
                        prop_assert_eq!(kept.fetch(queue, ticket).unwrap().len(), 4);
                        model.push((queue, ticket, named));
                    }
                    Step::Park(..) => {}
                    Step::Unpark(queue, n) if !model.is_empty() => {
                        let at = n % model.len();
                        kept.unpark(queue, model[at].1);
                        if model[at].0 == queue {
                            model.swap_remove(at);
                        }
                    }
                    Step::Unpark(..) => {}
                    Step::Leave(queue) => {
                        queues[usize::try_from(queue).unwrap()] = None;
                        kept.forget_unused();
                        model.retain(|(owner, ..)| *owner != queue);
                    }
                }
                for (index, arena) in arenas.iter().enumerate() {
                    for byte in 0..5 {
                        let is_parked = model.iter().any(|(.., named)| named.contains(&(index, byte)));
                        prop_assert_eq!(is_locked(arena, byte), is_parked, "{} of {}", byte, index);
                    }
                }
            }
        }
    }
}
