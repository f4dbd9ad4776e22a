//! [`Notice`]: what a process shows of itself to whoever looks into its session from outside.
//!
//! It lies in a block of the heap like any object, so it ends with its process, however that ends. Nobody acts on
//! it: it is for people. Storing into it costs one store; making one costs what an object costs.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::arena;
use crate::error::SharedMemoryError as Error;
use crate::heap;
use crate::object::Hold;
use crate::region::{self, Kind};

/// The kind of its block.
pub(crate) const NOTICE: Kind = u32::from_le_bytes(*b"note");

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Topic {
    /// A thread that waits.
    Wait = 1,
    /// A process that this one has started.
    Child = 2,
    /// A pool.
    Pool = 3,
    /// What makes this process a server.
    Server = 4,
}

impl Topic {
    fn from_word(word: u16) -> Option<Topic> {
        [Topic::Wait, Topic::Child, Topic::Pool, Topic::Server]
            .into_iter()
            .find(|topic| *topic as u16 == word)
    }
}

/// The first word: topic, number of words, length of the text.
const HEAD_LEN: usize = 8;
/// The longest text, in bytes; more is cut off.
const MAX_TEXT: usize = 300;
/// As long are those that every process has: so all of them lie in the arenas for the smallest blocks, and one of those does for many
/// children and threads.
const SMALL_LEN: usize = 64;

/// Some numbers that change and a text that does not, for others to see while this lives.
#[derive(Debug)]
pub struct Notice {
    hold: Hold,
    words: usize,
}

impl Notice {
    /// Shows a text, of which only the beginning is kept if it is long, and as many numbers, zero at first.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there is no memory for it. Nothing depends on a notice, so that is no reason
    /// to fail.
    pub fn post(topic: Topic, text: &str, words: usize) -> Result<Notice, Error> {
        let text_at = HEAD_LEN + 8 * words;
        let most = match topic {
            Topic::Wait | Topic::Child => SMALL_LEN.saturating_sub(text_at),
            Topic::Pool | Topic::Server => MAX_TEXT,
        };
        let text = arena::truncated(text, most);
        let len = text_at + text.len();
        if len > heap::MAX_LEN {
            return Err(Error::InvalidSize { size: len as u64 });
        }
        let notice = Notice { hold: Hold::create(NOTICE, len)?, words };
        let bytes = notice.hold.bytes(len);
        region::store(&bytes[text_at..], text.as_bytes());
        let head = u64::from(topic as u16) | (words as u64) << 16 | (text.len() as u64) << 48;
        if let Some(word) = region::word(bytes, 0) {
            word.store(head, Ordering::Release);
        }
        Ok(notice)
    }

    /// One of its numbers, to be stored to.
    pub fn word(&self, index: usize) -> Option<&AtomicU64> {
        let len = HEAD_LEN + 8 * self.words;
        region::word(self.hold.bytes(len), HEAD_LEN + 8 * index)
    }

    /// Shows a number.
    pub fn set(&self, index: usize, number: u64) {
        if let Some(word) = self.word(index) {
            word.store(number, Ordering::Relaxed);
        }
    }
}

/// A notice as another process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is about.
    pub topic: Topic,
    /// Its numbers.
    pub words: Vec<u64>,
    /// Its text.
    pub text: String,
}

/// Reads a notice out of the bytes of its block, which may be anything.
pub(crate) fn read(bytes: &[std::sync::atomic::AtomicU8]) -> Option<Seen> {
    let head = region::word(bytes, 0)?.load(Ordering::Acquire);
    let topic = Topic::from_word((head & 0xffff) as u16)?;
    let count = usize::try_from(head >> 16 & 0xffff_ffff).ok()?;
    let text_len = usize::try_from(head >> 48).ok()?;
    let text_at = HEAD_LEN.checked_add(count.checked_mul(8)?)?;
    let mut text = vec![0; text_len];
    region::load(region::part(bytes, text_at, text_len).ok()?, &mut text);
    let words = (0..count)
        .map(|index| Some(region::word(bytes, HEAD_LEN + 8 * index)?.load(Ordering::Relaxed)))
        .collect::<Option<Vec<u64>>>()?;
    Some(Seen { topic, words, text: String::from_utf8_lossy(&text).into_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU8;

    use proptest::prelude::*;

    use super::*;

    fn seen(notice: &Notice) -> Option<Seen> {
        read(notice.hold.bytes(notice.hold.len()))
    }

    #[test]
    fn a_notice_is_read_as_it_was_posted_and_changed() {
        let notice = Notice::post(Topic::Pool, "Pool-1", 2).unwrap();
        notice.set(1, 7);
        notice.set(2, 8); // there is no such number
        let expected = Seen { topic: Topic::Pool, words: vec![0, 7], text: "Pool-1".to_owned() };
        assert_eq!(seen(&notice), Some(expected));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let notice = Notice::post(Topic::Pool, &"\u{20ac}".repeat(200), 0).unwrap();
        assert_eq!(seen(&notice).unwrap().text, "\u{20ac}".repeat(100));
        let notice = Notice::post(Topic::Child, &"\u{20ac}".repeat(200), 1).unwrap();
        assert_eq!(seen(&notice).unwrap().text, "\u{20ac}".repeat(16));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_notice_or_none(bytes: Vec<u8>) {
            let words = Hold::create(NOTICE, bytes.len()).unwrap();
            let shared: &[AtomicU8] = words.bytes(bytes.len());
            region::store(shared, &bytes);
            let _seen = read(shared);
        }
    }
}
