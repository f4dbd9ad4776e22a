//! One slot: a word that says what is in it, and the bytes.
//!
//! Whoever stores marks the word first and gives it its new value last, with a version that differs from
//! the one before; whoever loads looks at it before and after. So a value is seen whole, or not
//! at all when the process that was storing it is gone.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use crate::region;

/// How long one store that has begun is waited for: a process that is stopped or dead does not end it.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a pause between stores is waited for that is long enough to load a value.
const LONG_PATIENCE: Duration = Duration::from_secs(5);

const KIND_BITS: u32 = 8;
const VERSION_BITS: u32 = 16;
const LEN_SHIFT: u32 = KIND_BITS + VERSION_BITS;
/// The kind while a value is stored.
const BEING_STORED: u8 = 255;

const WORD: usize = 8;

/// Where a slot is: its word, and behind that its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) capacity: usize,
}

/// What is in a slot.
pub(super) struct Contents {
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

/// Kind, version and length.
#[derive(Clone, Copy, PartialEq)]
struct Tag(u64);

impl Tag {
    fn new(kind: u8, version: u64, len: usize) -> Tag {
        let version = version % (1 << VERSION_BITS);
        Tag(u64::from(kind) | version << KIND_BITS | (len as u64) << LEN_SHIFT)
    }

    fn kind(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    fn version(self) -> u64 {
        self.0 >> KIND_BITS & ((1 << VERSION_BITS) - 1)
    }

    fn len(self) -> u64 {
        self.0 >> LEN_SHIFT
    }
}

/// The capacity of a slot that begins with these contents.
pub(super) fn capacity_for(_index: usize, contents: &Contents) -> usize {
    contents.payload.len().next_multiple_of(WORD).max(WORD)
}

/// The word of a slot that begins with these contents.
pub(super) fn first_tag(contents: &Contents) -> u64 {
    Tag::new(contents.kind, 0, contents.payload.len()).0
}

/// What is in a slot, or why there is nothing.
pub(super) fn load(list: &[AtomicU8], place: Place) -> Result<Contents, &'static str> {
    let tag = tag_of(list, place).ok_or("it lies outside of the list")?;
    // What was there when, first and since it last changed; the clock is asked only after a failure.
    let mut waits: Option<(Instant, Tag, Instant)> = None;
    loop {
        let before = Tag(tag.load(Ordering::Acquire));
        if before.kind() != BEING_STORED {
            let len = usize::try_from(before.len()).unwrap_or(usize::MAX);
            if len > place.capacity {
                return Err("its length is beyond its capacity");
            }
            let mut payload = vec![0; len];
            region::load(&list[place.at + WORD..][..len], &mut payload);
            // The bytes are loaded before the word is, for the second time.
            fence(Ordering::Acquire);
            if Tag(tag.load(Ordering::Relaxed)) == before {
                return Ok(Contents { kind: before.kind(), payload });
            }
        }
        let now = Instant::now();
        let (first, seen, since) = waits.unwrap_or((now, before, now));
        let since = if seen == before { since } else { now };
        if now - since >= PATIENCE {
            return Err("a store into it has begun and does not end");
        }
        if now - first >= LONG_PATIENCE {
            return Err("others store into it without a pause");
        }
        waits = Some((first, before, since));
        thread::yield_now();
    }
}

/// Stores what fits into the slot.
pub(super) fn store(list: &[AtomicU8], place: Place, contents: &Contents) {
    let Some((tag, version)) = begin(list, place) else { return };
    let len = contents.payload.len().min(place.capacity);
    region::store(&list[place.at + WORD..][..len], &contents.payload[..len]);
    tag.store(Tag::new(contents.kind, version, len).0, Ordering::Release);
}

/// Marks a slot; its word and the version that the new value has.
pub(super) fn begin(list: &[AtomicU8], place: Place) -> Option<(&AtomicU64, u64)> {
    let tag = tag_of(list, place)?;
    let version = Tag(tag.load(Ordering::Relaxed)).version() + 1;
    tag.store(Tag::new(BEING_STORED, version, 0).0, Ordering::Relaxed);
    // The mark is seen by whoever sees any of the bytes that follow.
    fence(Ordering::Release);
    Some((tag, version))
}

fn tag_of(list: &[AtomicU8], place: Place) -> Option<&AtomicU64> {
    region::word(list, place.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_its_parts_apart() {
        let tag = Tag::new(7, (1 << VERSION_BITS) + 3, 1 << 39);
        assert_eq!((tag.kind(), tag.version(), tag.len()), (7, 3, 1 << 39));
    }
}
