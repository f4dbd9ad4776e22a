//! A chain of blocks between those who put and those who get.
//!
//! A message is written behind the tail, where nobody looks, and made part of the chain by the one store that moves
//! the tail; it is copied out and then taken off by the one that moves the head. Whoever is killed
//! before that store has done nothing; what else it changed is set right by who has the lock next.
//!
//! The two ends have a lock each, and nobody sleeps for a message, or for room, with a lock. Who has the lock of
//! the head may take that of the tail, never the other way round.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

#[cfg(not(mp_loom))]
use mp_shared_memory::MemberId;
use mp_sync::parts::{AtomicU32, AtomicU64, Looks, Peers, Spin};

use super::circle::Circle;
use super::end::{End, Locked};
use super::position::{Moved, Position, Published};
use super::unfinished::Unfinished;
use crate::error::Stop;
use crate::frame::{Header, UNIT};
use crate::store::Store;

/// A cache line of its own.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C, align(64)))]
pub(crate) struct Line<T>(pub(crate) T);

/// What is shared of a chain beside its blocks.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct ChainState {
    tail: Line<End>,
    circle: Line<Circle>,
    /// How waiting for the head has paid off.
    pace: Spin,
    pub(crate) tail_at: Line<Published>,
    head: Line<Head>,
    pub(crate) head_at: Line<Published>,
    pub(crate) limits: Line<Limits>,
    pub(crate) unfinished: Line<Unfinished>,
    /// Which memory has the blocks.
    pub(crate) memory: [AtomicU64; 2],
}

#[cfg(not(mp_loom))]
impl ChainState {
    /// How many items were got and put, of which one may just be on its way: as one sees it who is no peer.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.head.0.end.count(), self.tail.0.count())
    }

    /// How many units are in it.
    pub(crate) fn units(&self) -> u32 {
        self.tail_at.0.get().since(self.head_at.0.get())
    }

    /// Who has the locks of its ends.
    pub(crate) fn owners(&self) -> impl Iterator<Item = MemberId> {
        [self.tail.0.owner(), self.head.0.end.owner()].into_iter().flatten()
    }
}

/// The end where messages are got.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct Head {
    end: End,
    /// How many blocks the longest message takes that has lately been got.
    longest: AtomicU32,
}

/// How much there may be in a chain; stored when it is made, and never again.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct Limits {
    /// How many items; zero for any number.
    pub(crate) items: AtomicU64,
    /// How many units.
    pub(crate) units: AtomicU32,
    /// Whose queue it is: a [`Purpose`](crate::purpose::Purpose).
    pub(crate) purpose: AtomicU32,
}

/// So many blocks are kept whether they are needed or not.
const KEPT_BLOCKS: u32 = 4;
/// So many are kept for a while after more were needed: what comes in bursts shall not give memory back in order to take
/// it again.
const HOT_BLOCKS: u32 = 12;
/// For how many milliseconds.
const HOT_TIME: u32 = 50;
/// The most that are kept for messages that are long.
const MOST_KEPT_BLOCKS: u32 = 128;
/// While more blocks than these are in use, and more than so many messages take, a put that goes on into a new block
/// first waits a moment for the head to come up: memory that is hot costs a tenth of memory that is not.
const AMPLE_BLOCKS: u32 = 8;
const AMPLE_MESSAGES: u32 = 3;
/// How many pauses such a wait takes at most, and how many units of a message make one more.
const PACE_PAUSES: u32 = 2000;
const UNITS_PER_PAUSE: u32 = 8;
/// The most blocks that are given back at once, for nobody can put anything meanwhile.
const TRIMMED_BLOCKS: u32 = 64;
/// How long a call that does not wait for a message waits for a lock, which is held only for as long as a message
/// is copied: its holder may have been stopped.
const LOCK_LIMIT: Duration = Duration::from_secs(1);
/// How long a call with a time limit waits for a lock at least.
const LOCK_MOMENT: Duration = Duration::from_millis(10);

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Until then; without a deadline, as long as it takes.
    Until(Option<Instant>),
}

impl Patience {
    fn for_lock(self) -> Option<Instant> {
        match self {
            Patience::None => Instant::now().checked_add(LOCK_LIMIT),
            // Nobody is told that there is nothing just because another is inside: not for want of a moment.
            Patience::Until(deadline) => deadline.map(|end| end.max(Instant::now() + LOCK_MOMENT)),
        }
    }
}

/// Why there was no put.
enum NoPut {
    /// There is no room until the head has moved from here.
    Full(Position),
    Stop(Stop),
}

impl<E: Into<Stop>> From<E> for NoPut {
    fn from(error: E) -> NoPut {
        NoPut::Stop(error.into())
    }
}

/// A chain as one process sees it.
#[derive(Debug)]
pub(crate) struct Chain<'a, S, P> {
    pub(crate) state: &'a ChainState,
    pub(crate) store: &'a S,
    pub(crate) peers: &'a P,
}

impl<S: Store, P: Peers> Chain<'_, S, P> {
    /// Makes the first blocks of a new chain, for so many items and bytes at most; zero is no limit.
    pub(crate) fn begin(&self, items: u64, bytes: u64) -> Result<(), Stop> {
        self.state.limits.0.items.store(items, Relaxed);
        // Without a limit there is room until the slots are used up.
        let units = match u32::try_from(bytes.div_ceil(UNIT as u64)) {
            Ok(units) if units > 0 => units.min(i32::MAX as u32),
            _ => i32::MAX as u32,
        };
        self.state.limits.0.units.store(units, Relaxed);
        let before_first = self.state.circle.0.begin(self.store)?;
        self.state.tail.0.begin_after(before_first);
        self.state.head.0.end.begin_after(before_first);
        Ok(())
    }

    /// Items in the chain; exact while nothing moves.
    pub(crate) fn len(&self) -> u64 {
        if self.state.tail.0.is_moving() || self.state.head.0.end.is_moving() {
            self.mend();
        }
        self.about()
    }

    /// Items in the chain, or one more or less.
    fn about(&self) -> u64 {
        let got = self.state.head.0.end.count();
        self.state.tail.0.count().saturating_sub(got)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.head_at.0.get() == self.state.tail_at.0.get()
    }

    /// Items that were ever put.
    pub(crate) fn put_count(&self) -> u64 {
        if self.state.tail.0.is_moving() {
            self.mend();
        }
        self.state.tail.0.count()
    }

    /// The most items there may be.
    pub(crate) fn max_items(&self) -> Option<u64> {
        Some(self.state.limits.0.items.load(Relaxed)).filter(|items| *items > 0)
    }

    /// Whether there is no room for another item, however short.
    pub(crate) fn is_full(&self) -> bool {
        let units = self.state.tail_at.0.get().since(self.state.head_at.0.get());
        self.max_items().is_some_and(|max| self.len() >= max) || units >= self.max_units()
    }

    /// Whether there is room for a good part of what there may be, with the head there.
    fn has_ample_room(&self, head: Position) -> bool {
        let ample = |most: u64, now: u64| now <= most - most.div_ceil(4);
        let units = self.state.tail_at.0.get().since(head);
        ample(self.max_units().into(), units.into())
            && self.max_items().is_none_or(|most| ample(most, self.about()))
    }

    fn max_units(&self) -> u32 {
        self.state.limits.0.units.load(Relaxed)
    }

    /// The most bytes there may be, headers included.
    pub(crate) fn max_bytes(&self) -> u64 {
        u64::from(self.max_units()) * UNIT as u64
    }

    /// Puts messages that stand in `parts` one behind the other, each ending so many units after the beginning as
    /// `ends` says: at least the first, and as many as there is room for. How many it put. Without parts, it waits for
    /// room and puts none.
    ///
    /// `gives_up` is asked now and then while it waits.
    pub(crate) fn put(
        &self,
        parts: &[&[u8]],
        ends: &[u32],
        patience: Patience,
        gives_up: impl Fn() -> bool,
    ) -> Result<usize, Stop> {
        let (head_at, deadline) = (&self.state.head_at.0, patience.for_lock());
        let mut has_slept = false;
        let outcome = loop {
            if gives_up() {
                break Err(Stop::GaveUp);
            }
            let Some(tail) = self.lock_tail(deadline)? else { break Err(Stop::Full) };
            let head = match self.put_locked(&tail, parts, ends) {
                Ok((items, is_awaited)) => {
                    drop(tail);
                    if is_awaited {
                        self.state.tail_at.0.wake(items);
                    }
                    break Ok(items as usize);
                }
                Err(NoPut::Stop(stop)) => break Err(stop),
                Err(NoPut::Full(head)) => head,
            };
            drop(tail);
            let Patience::Until(deadline) = patience else { break Err(Stop::Full) };
            let enough = |now| self.has_ample_room(now);
            let look = || gives_up() || self.mend();
            match head_at.wait(head, deadline, enough, (Looks::at_word(), look))? {
                Moved::Yes { slept } => has_slept |= slept,
                Moved::No { slept } => {
                    has_slept |= slept;
                    break Err(if gives_up() { Stop::GaveUp } else { Stop::Full });
                }
            }
        };
        if has_slept {
            head_at.pass_on(|| !self.is_full());
        }
        outcome
    }

    /// How many it put, and whether somebody may sleep until it did.
    fn put_locked(
        &self,
        tail: &Locked<'_>,
        parts: &[&[u8]],
        ends: &[u32],
    ) -> Result<(u32, bool), NoPut> {
        let (head_at, circle) = (&self.state.head_at.0, &self.state.circle.0);
        let at = self.state.tail_at.0.get();
        if ends[0] > self.max_units() {
            return Err(Stop::TooLong.into());
        }
        let mut items = ends.len();
        if let Some(max) = self.max_items() {
            // Where the head is before how much it has got: the count is stored first.
            if self.state.head.0.end.is_moving() {
                self.mend();
            }
            let head = head_at.get();
            tail.set_seen(head);
            let room = max.saturating_sub(tail.count().wrapping_sub(self.state.head.0.end.count()));
            items = items.min(usize::try_from(room).unwrap_or(usize::MAX));
            if items == 0 {
                return Err(NoPut::Full(head));
            }
        }
        let max_units = self.max_units();
        let fits = |head: Position, end: u32| {
            at.since(head).checked_add(end).is_some_and(|units| units <= max_units)
        };
        let is_in_circle = |head: Position, end: u32| {
            at.after(end).blocks_since(head, S::BLOCK_UNITS) <= circle.len()
        };
        let mut head = tail.seen();
        if !fits(head, ends[items - 1]) || !is_in_circle(head, ends[items - 1]) {
            head = head_at.get();
            tail.set_seen(head);
            items = ends[..items].partition_point(|end| fits(head, *end));
        }
        let Some(units) = items.checked_sub(1).map(|last| ends[last]) else {
            return Err(NoPut::Full(head));
        };
        if parts.is_empty() {
            return Ok((0, false));
        }
        if at.in_block(S::BLOCK_UNITS) + units > S::BLOCK_UNITS {
            head = self.pace(at, units, head);
            tail.set_seen(head);
        }
        if !is_in_circle(head, units) {
            let blocks = at.after(units).blocks_since(head, S::BLOCK_UNITS);
            let missing = blocks.saturating_sub(circle.checked_len(self.store)?);
            // More than the message takes is missing only if somebody else has written here.
            if missing > units.div_ceil(S::BLOCK_UNITS) + 1 {
                return Err(Stop::Damaged.into());
            }
            circle.grow(self.store, tail, missing)?;
        }
        let mut cursor = Cursor::new(self.store, tail.block(), at);
        let mut left = units as usize * UNIT;
        for part in parts {
            let part = &part[..part.len().min(left)];
            left -= part.len();
            cursor.write(part)?;
        }
        let items = u32::try_from(items).unwrap_or(u32::MAX);
        let next = at.after(units);
        Ok((items, tail.advance(&self.state.tail_at.0, next, cursor.block, items)))
    }

    /// Waits a moment for the head to come up, if it is far behind and that has paid off lately. Where it is.
    fn pace(&self, at: Position, units: u32, head: Position) -> Position {
        let blocks = units.div_ceil(S::BLOCK_UNITS) + 1;
        let ample = blocks.saturating_mul(AMPLE_MESSAGES).max(AMPLE_BLOCKS);
        let in_use = |head| at.blocks_since(head, S::BLOCK_UNITS);
        if in_use(head) <= ample {
            return head;
        }
        let head = self.state.head_at.0.get();
        // By more than is put now, so that it comes nearer.
        let goal = in_use(head).saturating_sub(2 * blocks).max(ample);
        let look = || Some(self.state.head_at.0.get()).filter(|head| in_use(*head) <= goal);
        let pauses = PACE_PAUSES.saturating_add(units / UNITS_PER_PAUSE).min(10 * PACE_PAUSES);
        if in_use(head) <= goal {
            return head;
        }
        self.state.pace.until_within(pauses, look).unwrap_or(head)
    }

    /// Gets what `take` reads, which is called with the lock of the head, and not without a message. When it fails,
    /// nothing is taken off.
    ///
    /// `gives_up` is asked now and then while it waits.
    pub(crate) fn get<R>(
        &self,
        patience: Patience,
        gives_up: impl Fn() -> bool,
        mut take: impl FnMut(&mut Reader<'_, S>) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let (head_at, tail_at) = (&self.state.head_at.0, &self.state.tail_at.0);
        let deadline = patience.for_lock();
        let mut has_slept = false;
        let outcome = loop {
            if gives_up() {
                break Err(Stop::GaveUp);
            }
            if self.state.head.0.end.has_more(head_at.get()) || !self.is_empty() {
                let Some(head) = self.lock_head(deadline)? else { break Err(Stop::Empty) };
                match self.get_locked(head, &mut take) {
                    Ok(Some(value)) => break Ok(value),
                    Ok(None) => {}
                    Err(stop) => break Err(stop),
                }
            }
            let Patience::Until(deadline) = patience else { break Err(Stop::Empty) };
            let look = || gives_up() || self.mend() || self.cool();
            match tail_at.wait(head_at.get(), deadline, |_| true, (Looks::at_word(), look))? {
                Moved::Yes { slept } => has_slept |= slept,
                Moved::No { slept } => {
                    has_slept |= slept;
                    break Err(if gives_up() { Stop::GaveUp } else { Stop::Empty });
                }
            }
        };
        if has_slept {
            tail_at.pass_on(|| !self.is_empty());
        }
        outcome
    }

    /// Waits until there is a message, and leaves it there; whether there is. Not for one of several who get: the
    /// message that it was woken for may be for another. `looks` is when it looks around by itself.
    pub(crate) fn wait_for_message(
        &self,
        deadline: Option<Instant>,
        looks: Looks,
        gives_up: impl Fn() -> bool,
    ) -> Result<bool, Stop> {
        let (head_at, tail_at) = (&self.state.head_at.0, &self.state.tail_at.0);
        let look = || gives_up() || self.mend() || self.cool();
        let moved = tail_at.wait(head_at.get(), deadline, |_| true, (looks, look))?;
        Ok(matches!(moved, Moved::Yes { .. }))
    }

    /// `None` if there is no message.
    fn get_locked<R>(
        &self,
        head: Locked<'_>,
        take: &mut impl FnMut(&mut Reader<'_, S>) -> Result<R, Stop>,
    ) -> Result<Option<R>, Stop> {
        let head_at = &self.state.head_at.0;
        let at = head_at.get();
        let tail_at = &self.state.tail_at.0;
        let mut tail = head.seen();
        // It cannot be further than all blocks, unless somebody else has written here.
        let is_behind =
            tail.blocks_since(at, S::BLOCK_UNITS) > self.state.circle.0.len().saturating_add(1);
        if tail == at || is_behind {
            tail = tail_at.get();
            head.set_seen(tail);
            if tail == at {
                return Ok(None);
            }
        }
        let cursor = Cursor::new(self.store, head.block(), at);
        let (next, items, longest) = (None, 0, 0);
        let mut reader = Reader { cursor, at, tail, tail_at, next, items, longest };
        let value = match take(&mut reader) {
            Ok(value) => value,
            Err(Stop::Damaged) => {
                self.skip_all(head)?;
                return Err(Stop::Damaged);
            }
            Err(stop) => return Err(stop),
        };
        let (next, items, block) = (reader.at, reader.items, reader.cursor.block);
        let has_left_block = block != head.block();
        head.set_seen(reader.tail);
        let is_awaited = head.advance(head_at, next, block, items);
        let longest = &self.state.head.0.longest;
        let before = longest.load(Relaxed);
        let now = reader.longest.div_ceil(S::BLOCK_UNITS).max(before.saturating_sub(1));
        if now != before {
            longest.store(now, Relaxed);
        }
        drop(head);
        if is_awaited {
            head_at.wake(items);
        }
        if has_left_block {
            // The message is taken off, whatever comes of this.
            let _tried_again_later = self.trim();
        }
        Ok(Some(value))
    }

    /// Takes everything off: no message can be found any more behind one that is none.
    fn skip_all(&self, head: Locked<'_>) -> Result<(), Stop> {
        let Some(tail) = self.lock_tail(Instant::now().checked_add(LOCK_LIMIT))? else {
            return Ok(());
        };
        let head_at = &self.state.head_at.0;
        let end = self.state.tail_at.0.get();
        head.set_seen(end);
        let is_awaited = head.skip_to(head_at, end, &tail);
        drop((head, tail));
        if is_awaited {
            head_at.wake(u32::MAX);
        }
        Ok(())
    }

    /// Gives back what was kept for more, for one who has slept for a while without a message. Never gives up, as
    /// a look of a wait.
    fn cool(&self) -> bool {
        let longest = &self.state.head.0.longest;
        longest.store(longest.load(Relaxed) / 2, Relaxed);
        let _tried_again_later = self.trim();
        false
    }

    /// Gives blocks back when there are many more than are needed, unless somebody is just putting something.
    fn trim(&self) -> Result<(), Stop> {
        let len = self.state.circle.0.len();
        let longest = self.state.head.0.longest.load(Relaxed);
        let kept = longest.saturating_mul(AMPLE_MESSAGES).clamp(KEPT_BLOCKS, MOST_KEPT_BLOCKS);
        if len <= kept {
            return Ok(());
        }
        let is_hot = self.state.circle.0.since_growth(self.store) < HOT_TIME;
        let kept = if is_hot { kept.max(HOT_BLOCKS) } else { kept };
        let needed = || {
            let head = self.state.head_at.0.get();
            self.state.tail_at.0.get().blocks_since(head, S::BLOCK_UNITS)
        };
        let used = needed();
        if len <= used.saturating_add(used / 4 + 2) {
            return Ok(());
        }
        loop {
            let Some(tail) = self.state.tail.0.try_lock(self.peers) else { return Ok(()) };
            self.mend_tail(&tail)?;
            let len = self.state.circle.0.checked_len(self.store)?;
            let surplus = len.saturating_sub(kept.max(needed() + 2));
            self.state.circle.0.shrink(self.store, &tail, surplus.min(TRIMMED_BLOCKS))?;
            if surplus <= TRIMMED_BLOCKS {
                return Ok(());
            }
        }
    }

    fn lock_tail(&self, deadline: Option<Instant>) -> Result<Option<Locked<'_>>, Stop> {
        let tail = self.state.tail.0.lock(self.peers, deadline)?;
        tail.map(|tail| self.mend_tail(&tail).map(|()| tail)).transpose()
    }

    fn mend_tail(&self, tail: &Locked<'_>) -> Result<(), Stop> {
        if tail.is_torn() {
            tail.settle(&self.state.tail_at.0);
            self.state.circle.0.rebuild(self.store, tail)?;
            tail.mended();
        }
        Ok(())
    }

    fn lock_head(&self, deadline: Option<Instant>) -> io::Result<Option<Locked<'_>>> {
        let head = self.state.head.0.end.lock(self.peers, deadline)?;
        Ok(head.inspect(|head| self.mend_head(head)))
    }

    fn mend_head(&self, head: &Locked<'_>) {
        if head.is_torn() {
            head.settle(&self.state.head_at.0);
            head.mended();
        }
    }

    /// Lets all who sleep look around.
    pub(crate) fn wake_all(&self) {
        self.state.tail_at.0.wake_to_look();
        self.state.head_at.0.wake_to_look();
        self.state.unfinished.0.wake_all();
    }

    /// Sets right what a killed holder of a lock has left, for who waits for what that one would have done. Never
    /// gives up, as a look of a wait.
    pub(crate) fn mend(&self) -> bool {
        if self.state.tail.0.needs_mending(self.peers)
            && let Some(tail) = self.state.tail.0.try_lock(self.peers)
        {
            // What is wrong with it is told to who uses this end.
            let _told_later = self.mend_tail(&tail);
        }
        if self.state.head.0.end.needs_mending(self.peers)
            && let Some(head) = self.state.head.0.end.try_lock(self.peers)
        {
            self.mend_head(&head);
        }
        false
    }
}

/// A place in a chain that goes on from block to block.
#[derive(Debug)]
struct Cursor<'a, S> {
    store: &'a S,
    block: u32,
    /// In bytes; at the end of a block it goes on in the next only when there is more.
    offset: usize,
}

impl<'a, S: Store> Cursor<'a, S> {
    /// At a position whose last unit before it is in `block`.
    fn new(store: &'a S, block: u32, at: Position) -> Cursor<'a, S> {
        let offset = match at.in_block(S::BLOCK_UNITS) {
            0 => store.block_len(),
            units => units as usize * UNIT,
        };
        Cursor { store, block, offset }
    }

    /// How many of `len` bytes lie in the block that it is then in.
    fn step(&mut self, len: usize) -> Result<usize, Stop> {
        let block_len = self.store.block_len();
        if self.offset == block_len {
            self.block = self.store.link(self.block)?;
            self.offset = 0;
        }
        Ok(len.min(block_len - self.offset))
    }

    fn write(&mut self, mut from: &[u8]) -> Result<(), Stop> {
        while !from.is_empty() {
            let (now, later) = from.split_at(self.step(from.len())?);
            self.store.write(self.block, self.offset, now)?;
            self.offset += now.len();
            from = later;
        }
        Ok(())
    }

    fn read(&mut self, mut to: &mut [u8]) -> Result<(), Stop> {
        while !to.is_empty() {
            let (now, later) = to.split_at_mut(self.step(to.len())?);
            self.store.read(self.block, self.offset, now)?;
            self.offset += now.len();
            to = later;
        }
        Ok(())
    }
}

/// The messages from the head of a chain on.
#[derive(Debug)]
pub(crate) struct Reader<'a, S> {
    cursor: Cursor<'a, S>,
    at: Position,
    /// Where the tail was when last looked at.
    tail: Position,
    tail_at: &'a Published,
    /// The message that was peeked at, its units, and the first of them.
    next: Option<(Header, u32, [u8; UNIT])>,
    items: u32,
    /// Units of the longest message that was read.
    longest: u32,
}

impl<S: Store> Reader<'_, S> {
    /// The header of the next message; `None` if there is no more.
    pub(crate) fn peek(&mut self) -> Result<Option<Header>, Stop> {
        self.refresh();
        if self.next.is_none() && self.at != self.tail {
            let mut unit = [0; UNIT];
            self.cursor.read(&mut unit)?;
            let header = Header::from_unit(&unit).ok_or(Stop::Damaged)?;
            let left = self.tail.since(self.at);
            let units = header.units().filter(|units| *units <= left).ok_or(Stop::Damaged)?;
            self.next = Some((header, units, unit));
        }
        Ok(self.next.map(|(header, ..)| header))
    }

    /// Copies whole units out from here on, as many as there are and `to` has room for; how many bytes. They are not taken
    /// off by that.
    pub(crate) fn look_ahead(&mut self, to: &mut [u8]) -> Result<usize, Stop> {
        self.refresh();
        let left = self.tail.since(self.at) as usize * UNIT;
        let len = left.min(to.len() / UNIT * UNIT);
        let Cursor { store, block, offset } = self.cursor;
        Cursor { store, block, offset }.read(&mut to[..len])?;
        Ok(len)
    }

    /// Takes off a message of so many units, which was looked at ahead and found to be one.
    pub(crate) fn skip(&mut self, units: u32) -> Result<(), Stop> {
        let mut left = units as usize * UNIT;
        while left > 0 {
            let step = self.cursor.step(left)?;
            self.cursor.offset += step;
            left -= step;
        }
        self.take_off(units);
        Ok(())
    }

    fn take_off(&mut self, units: u32) {
        self.at = self.at.after(units);
        self.items += 1;
        self.longest = self.longest.max(units);
        self.next = None;
    }

    /// Looks where the tail is, if it was not seen further on than this.
    fn refresh(&mut self) {
        if self.at == self.tail {
            self.tail = self.tail_at.get();
        }
    }

    /// Reads the message that was peeked at, into as many bytes as its header says.
    pub(crate) fn read(&mut self, to: &mut [u8]) -> Result<(), Stop> {
        let Some((header, units, unit)) = self.next else { return Ok(()) };
        let first = &unit[header.len_of_header()..];
        let (now, later) = to.split_at_mut(to.len().min(first.len()));
        now.copy_from_slice(&first[..now.len()]);
        self.cursor.read(later)?;
        self.cursor.offset = self.cursor.offset.next_multiple_of(UNIT);
        self.take_off(units);
        Ok(())
    }
}

/// For models and unit tests: a tiny store, and a process that has it alone.
#[cfg(test)]
pub(crate) mod mock {
    use mp_shared_memory::{MemberId, SharedMemoryError};

    use super::*;

    /// A process all of whose peers are dead.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Mock;

    impl Peers for Mock {
        fn me(&self) -> MemberId {
            MemberId::from_word(1 << 10 | 1).unwrap()
        }

        fn is_alive(&self, id: MemberId) -> bool {
            id == self.me()
        }
    }

    const UNITS: usize = 2;
    const WORDS: usize = UNITS * UNIT / 8;

    /// A few blocks of two units.
    #[derive(Debug)]
    pub(crate) struct Tiny {
        links: Vec<AtomicU32>,
        words: Vec<[AtomicU64; WORDS]>,
        /// Which slots have memory.
        reserved: std::sync::Mutex<Vec<bool>>,
        /// A clock that goes on with each look at it.
        pub(crate) clock: std::sync::atomic::AtomicU32,
        /// How many changes may be made before a panic; a model has no need of it.
        pub(crate) changes_left: std::sync::atomic::AtomicU32,
    }

    impl Tiny {
        pub(crate) fn new(slots: usize) -> Tiny {
            Tiny {
                links: (0..slots).map(|_| AtomicU32::default()).collect(),
                words: (0..slots).map(|_| Default::default()).collect(),
                reserved: std::sync::Mutex::new(vec![false; slots]),
                clock: 1000.into(),
                changes_left: u32::MAX.into(),
            }
        }

        /// How many blocks have memory.
        #[cfg(not(mp_loom))]
        pub(crate) fn reserved(&self) -> u32 {
            let reserved = self.reserved.lock().unwrap();
            u32::try_from(reserved.iter().filter(|is_reserved| **is_reserved).count()).unwrap()
        }

        fn word(&self, slot: u32, offset: usize) -> &AtomicU64 {
            let is_reserved = self.reserved.lock().unwrap()[slot as usize];
            assert!(is_reserved, "a block without memory is not touched");
            &self.words[slot as usize][offset / 8]
        }

        fn change(&self) {
            let left = self.changes_left.load(Relaxed);
            assert!(left > 0, "killed");
            self.changes_left.store(left - 1, Relaxed);
        }
    }

    impl Store for Tiny {
        const BLOCK_UNITS: u32 = 2;

        fn clock(&self) -> u32 {
            self.clock.fetch_add(1, Relaxed)
        }

        fn slots(&self) -> u32 {
            u32::try_from(self.links.len()).unwrap()
        }

        fn link(&self, slot: u32) -> Result<u32, SharedMemoryError> {
            Ok(self.links[slot as usize].load(Relaxed))
        }

        fn set_link(&self, slot: u32, link: u32) -> Result<(), SharedMemoryError> {
            self.change();
            self.links[slot as usize].store(link, Relaxed);
            Ok(())
        }

        fn reserve_links(&self, _: u32, _: u32) -> Result<(), SharedMemoryError> {
            Ok(())
        }

        fn reserve(&self, first: u32, count: u32) -> Result<(), SharedMemoryError> {
            self.change();
            let mut reserved = self.reserved.lock().unwrap();
            (first..first + count).for_each(|slot| reserved[slot as usize] = true);
            Ok(())
        }

        fn release(&self, first: u32, count: u32) -> Result<(), SharedMemoryError> {
            self.change();
            let mut reserved = self.reserved.lock().unwrap();
            (first..first + count).for_each(|slot| reserved[slot as usize] = false);
            Ok(())
        }

        fn read(&self, slot: u32, offset: usize, to: &mut [u8]) -> Result<(), SharedMemoryError> {
            for (offset, to) in (offset..).step_by(8).zip(to.chunks_mut(8)) {
                let word = self.word(slot, offset).load(Relaxed);
                to.copy_from_slice(&word.to_le_bytes()[..to.len()]);
            }
            Ok(())
        }

        fn write(&self, slot: u32, offset: usize, from: &[u8]) -> Result<(), SharedMemoryError> {
            self.change();
            for (offset, from) in (offset..).step_by(8).zip(from.chunks_exact(8)) {
                let word = u64::from_le_bytes(from.try_into().unwrap());
                self.word(slot, offset).store(word, Relaxed);
            }
            Ok(())
        }
    }

    /// A message of whole units, as an item is encoded.
    pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
        let header = Header::new(bytes.len(), false);
        let mut frame = header.to_unit()[..header.len_of_header()].to_vec();
        frame.extend(bytes);
        frame.resize(frame.len().next_multiple_of(UNIT), 0);
        frame
    }

    impl<P: Peers> Chain<'_, Tiny, P> {
        pub(crate) fn put_bytes(&self, bytes: &[u8], patience: Patience) -> Result<usize, Stop> {
            let frame = frame(bytes);
            let units = u32::try_from(frame.len() / UNIT).unwrap();
            self.put(&[&frame], &[units], patience, || false)
        }

        pub(crate) fn get_bytes(&self, patience: Patience) -> Result<Vec<u8>, Stop> {
            self.get(
                patience,
                || false,
                |reader| {
                    let header = reader.peek()?.ok_or(Stop::Empty)?;
                    let mut bytes = vec![0; usize::try_from(header.len).unwrap()];
                    reader.read(&mut bytes)?;
                    Ok(bytes)
                },
            )
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::collections::VecDeque;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::mock::{Mock, Tiny};
    use super::*;

    const NOW: Patience = Patience::None;

    fn with_chain(slots: usize, test: impl FnOnce(&Chain<'_, Tiny, Mock>)) {
        let (state, store) = (ChainState::default(), Tiny::new(slots));
        let chain = Chain { state: &state, store: &store, peers: &Mock };
        chain.begin(0, 0).expect("a tiny store has room for two blocks");
        test(&chain);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Vec<u8>),
        Get,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let bytes = prop::collection::vec(any::<u8>(), 0..60);
        let step = prop_oneof![bytes.prop_map(Step::Put), Just(Step::Get)];
        prop::collection::vec(step, 0..120)
    }

    /// Runs a step on both, and compares.
    fn run(chain: &Chain<'_, Tiny, Mock>, model: &mut VecDeque<Vec<u8>>, step: &Step) {
        match step {
            Step::Put(bytes) => match chain.put_bytes(bytes, NOW) {
                Ok(count) => {
                    assert_eq!(count, 1);
                    model.push_back(bytes.clone());
                }
                Err(Stop::Memory(_)) => assert!(!model.is_empty(), "an empty chain takes it"),
                Err(stop) => panic!("{stop:?}"),
            },
            Step::Get => match chain.get_bytes(NOW) {
                Ok(bytes) => assert_eq!(Some(bytes), model.pop_front()),
                Err(Stop::Empty) => assert!(model.is_empty()),
                Err(stop) => panic!("{stop:?}"),
            },
        }
        assert_eq!((chain.len(), chain.is_empty()), (model.len() as u64, model.is_empty()));
    }

    proptest! {
        #[test]
        fn a_chain_is_what_a_deque_is(steps in steps()) {
            with_chain(40, |chain| {
                let mut model = VecDeque::new();
                for step in &steps {
                    run(chain, &mut model, step);
                    assert_eq!(chain.store.reserved(), chain.state.circle.0.len());
                }
            });
        }

        /// A kill at any change of the memory, in the midst of any history, loses and repeats nothing.
        #[test]
        fn a_kill_at_any_change_is_mended(
            before in steps(), killed in steps(), changes in 0_u32..40, after in steps()
        ) {
            with_chain(40, |chain| {
                let mut model = VecDeque::new();
                before.iter().for_each(|step| run(chain, &mut model, step));
                chain.store.changes_left.store(changes, Relaxed);
                for step in &killed {
                    let mut result = model.clone();
                    let ran = catch_unwind(AssertUnwindSafe(|| run(chain, &mut result, step)));
                    if ran.is_ok() {
                        model = result;
                        continue;
                    }
                    chain.store.changes_left.store(u32::MAX, Relaxed);
                    // A get is done before it changes memory; a put after.
                    if let Step::Get = step {
                        model.pop_front();
                    }
                    break;
                }
                chain.store.changes_left.store(u32::MAX, Relaxed);
                chain.mend();
                assert_eq!(chain.len(), model.len() as u64);
                for step in &after {
                    run(chain, &mut model, step);
                    assert_eq!(chain.store.reserved(), chain.state.circle.0.len());
                }
            });
        }

        #[test]
        fn hostile_blocks_are_errors(words: Vec<u64>) {
            with_chain(8, |chain| {
                for _ in 0..3 {
                    chain.put_bytes(&[1; 20], NOW).unwrap();
                }
                let mut words = words.iter();
                for slot in 0..4 {
                    for unit in 0..2 {
                        let Some(word) = words.next() else { break };
                        chain.store.write(slot, unit * UNIT, &word.to_le_bytes()).unwrap_or(());
                    }
                }
                while !chain.is_empty() {
                    let _any = chain.get_bytes(NOW);
                }
                chain.put_bytes(b"next", NOW).unwrap();
                assert_eq!(chain.get_bytes(NOW).unwrap(), b"next");
            });
        }
    }

    /// What was got once came again when the head did not look where the tail is after it had skipped everything.
    #[test]
    fn an_overwritten_header_loses_what_is_there_and_no_more() {
        with_chain(8, |chain| {
            for round in 0..3 {
                chain.put_bytes(b"one", NOW).unwrap();
                chain.put_bytes(b"two", NOW).unwrap();
                chain.get_bytes(NOW).unwrap();
                chain.put_bytes(b"three", NOW).unwrap();
                for slot in 0..2 {
                    chain.store.write(slot, 0, &[0xff; 2 * UNIT]).unwrap();
                }
                assert!(matches!(chain.get_bytes(NOW), Err(Stop::Damaged)), "round {round}");
                assert!(matches!(chain.get_bytes(NOW), Err(Stop::Empty)), "round {round}");
                assert_eq!((chain.len(), chain.is_empty()), (0, true));
            }
        });
    }

    #[test]
    fn hostile_numbers_of_a_circle_are_errors() {
        with_chain(40, |chain| {
            for _ in 0..60 {
                chain.put_bytes(&[1; 12], NOW).unwrap();
            }
            chain.state.circle.0.set_len(u32::MAX);
            for _ in 0..60 {
                chain.get_bytes(NOW).unwrap();
            }
            assert!(matches!(chain.trim(), Err(Stop::Damaged)));
            chain.state.circle.0.set_len(0);
            let put = chain.put_bytes(&[1; 12], NOW);
            assert!(matches!(put, Ok(1) | Err(Stop::Damaged)), "{put:?}");
        });
    }

    #[test]
    fn memory_follows_the_backlog() {
        with_chain(1000, |chain| {
            for round in 1..4 {
                for number in 0..600_u32 {
                    chain.put_bytes(&number.to_le_bytes(), NOW).unwrap();
                }
                assert!((300..=318).contains(&chain.store.reserved()), "round {round}");
                for number in 0..600_u32 {
                    assert_eq!(chain.get_bytes(NOW).unwrap(), number.to_le_bytes());
                    let used = (600 - number).div_ceil(2);
                    assert!(chain.store.reserved() <= used + used / 4 + HOT_BLOCKS + 18);
                }
                assert!(chain.store.reserved() <= KEPT_BLOCKS);
            }
        });
    }

    #[test]
    fn a_chain_wraps_around_all_positions() {
        with_chain(20, |chain| {
            let start = Position::from_word(u32::MAX - 7);
            for (end, at) in [
                (&chain.state.tail.0, &chain.state.tail_at.0),
                (&chain.state.head.0.end, &chain.state.head_at.0),
            ] {
                let locked = end.lock(&Mock, None).unwrap().unwrap();
                locked.set_seen(start);
                assert!(!locked.advance(at, start, locked.block(), 0));
            }
            let mut model = VecDeque::new();
            for number in 0..100_u8 {
                run(chain, &mut model, &Step::Put(vec![number; 3]));
                run(chain, &mut model, &Step::Put(vec![number; 17]));
                run(chain, &mut model, &Step::Get);
                if number % 4 == 0 {
                    (0..4).for_each(|_| run(chain, &mut model, &Step::Get));
                }
            }
        });
    }

    #[test]
    fn limits_of_items_and_bytes_hold() {
        let (state, store) = (ChainState::default(), Tiny::new(40));
        let chain = Chain { state: &state, store: &store, peers: &Mock };
        chain.begin(3, 4 * UNIT as u64).unwrap();
        assert!(matches!(chain.put_bytes(&[0; 80], NOW), Err(Stop::TooLong)));
        chain.put_bytes(&[0; 60], NOW).unwrap();
        assert!(chain.is_full() && matches!(chain.put_bytes(&[], NOW), Err(Stop::Full)));
        chain.get_bytes(NOW).unwrap();
        (0..3).for_each(|_| assert_eq!(chain.put_bytes(&[], NOW).unwrap(), 1));
        assert!(chain.is_full() && matches!(chain.put_bytes(&[], NOW), Err(Stop::Full)));
        chain.get_bytes(NOW).unwrap();
        assert!(!chain.is_full());
        let frames = [mock::frame(b"a"), mock::frame(b"b")].concat();
        assert_eq!(chain.put(&[&frames], &[1, 2], NOW, || false).unwrap(), 1, "room for one");
    }
}

#[cfg(all(test, mp_loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::mock::{Mock, Tiny};
    use super::*;

    const FOR_EVER: Patience = Patience::Until(None);

    #[derive(Debug)]
    struct Shared {
        state: ChainState,
        store: Tiny,
    }

    impl Shared {
        fn new(items: u64) -> Arc<Shared> {
            let shared = Shared { state: ChainState::default(), store: Tiny::new(5) };
            shared.chain().begin(items, 0).unwrap();
            Arc::new(shared)
        }

        fn chain(&self) -> Chain<'_, Tiny, Mock> {
            Chain { state: &self.state, store: &self.store, peers: &Mock }
        }

        fn put(&self, item: u8) {
            self.chain().put_bytes(&[item], FOR_EVER).unwrap();
        }

        fn get(&self) -> u8 {
            self.chain().get_bytes(FOR_EVER).unwrap()[0]
        }
    }

    fn model(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(check);
    }

    #[test]
    fn loom_a_consumer_gets_what_a_producer_puts_in_its_order() {
        model(3, || {
            let shared = Shared::new(0);
            let theirs = Arc::clone(&shared);
            let producer = thread::spawn(move || (1..=3).for_each(|item| theirs.put(item)));
            assert_eq!([shared.get(), shared.get(), shared.get()], [1, 2, 3]);
            producer.join().unwrap();
        });
    }

    #[test]
    fn loom_a_full_chain_lets_its_producer_wait() {
        model(3, || {
            let shared = Shared::new(1);
            let theirs = Arc::clone(&shared);
            let producer = thread::spawn(move || (1..=2).for_each(|item| theirs.put(item)));
            assert_eq!([shared.get(), shared.get()], [1, 2]);
            producer.join().unwrap();
            assert_eq!((shared.chain().len(), shared.chain().is_empty()), (0, true));
        });
    }

    #[test]
    fn loom_two_consumers_both_get_an_item() {
        model(1, || {
            let shared = Shared::new(0);
            let consumers: Vec<_> = (0..2)
                .map(|_| {
                    let theirs = Arc::clone(&shared);
                    thread::spawn(move || theirs.get())
                })
                .collect();
            // Both sleep in some of the runs.
            thread::yield_now();
            shared.put(1);
            shared.put(2);
            let got: u8 = consumers.into_iter().map(|consumer| consumer.join().unwrap()).sum();
            assert_eq!(got, 3);
        });
    }

    #[test]
    fn loom_two_producers_of_a_full_chain_both_put_an_item() {
        model(0, || {
            let shared = Shared::new(1);
            shared.put(9);
            let producers: Vec<_> = (1..=2)
                .map(|item| {
                    let theirs = Arc::clone(&shared);
                    thread::spawn(move || theirs.put(item))
                })
                .collect();
            // Both sleep in some of the runs.
            thread::yield_now();
            assert_eq!(shared.get() + shared.get() + shared.get(), 12);
            producers.into_iter().for_each(|producer| producer.join().unwrap());
        });
    }
}
