//! Messages from one process to another, one way or another, and the check that all of them arrive.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::duet::{Part, Parts, Players};

/// A way for numbers. Each end is made in the process that uses it.
pub(crate) trait Numbers: Clone + Serialize + DeserializeOwned + 'static {
    fn sender(self) -> mp::Result<impl FnMut(u64) -> mp::Result<()> + 'static>;
    fn receiver(self) -> mp::Result<impl FnMut() -> mp::Result<u64> + 'static>;
}

/// A way for blocks of bytes. The receiver gets a buffer with what it had the last time.
pub(crate) trait Blocks: Clone + Serialize + DeserializeOwned + 'static {
    fn sender(self) -> mp::Result<impl FnMut(&[u8]) -> mp::Result<()> + 'static>;
    fn receiver(self) -> mp::Result<impl FnMut(&mut Vec<u8>) -> mp::Result<()> + 'static>;
}

/// The numbers from zero on, of which the last one that arrives ends the measurement.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NumberStream<W> {
    way: W,
    messages: u32,
}

impl<W: Numbers> Parts for NumberStream<W> {
    fn part(self, side: usize) -> mp::Result<Part> {
        let messages = u64::from(self.messages);
        if side == 0 {
            let mut send = self.way.sender()?;
            return Ok(Box::new(move || (0..messages).try_for_each(&mut send)));
        }
        let mut receive = self.way.receiver()?;
        Ok(Box::new(move || {
            let mut sum = 0;
            for _ in 0..messages {
                sum += receive()?;
            }
            check_sum(sum, messages)
        }))
    }
}

/// Whether `sum` is that of so many numbers from zero on.
pub(crate) fn check_sum(sum: u64, messages: u64) -> mp::Result<()> {
    mp::ensure!(sum == messages * (messages - 1) / 2, "{messages} numbers have the sum {sum}");
    Ok(())
}

/// Blocks that begin and end with their number.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct BlockStream<W> {
    way: W,
    messages: u32,
    len: usize,
}

const STAMP_LEN: usize = size_of::<u64>();

impl<W: Blocks> Parts for BlockStream<W> {
    fn part(self, side: usize) -> mp::Result<Part> {
        let (messages, len) = (u64::from(self.messages), self.len);
        let mut block = vec![1; len];
        if side == 0 {
            let mut send = self.way.sender()?;
            return Ok(Box::new(move || {
                for number in 0..messages {
                    block[..STAMP_LEN].copy_from_slice(&number.to_le_bytes());
                    block[len - STAMP_LEN..].copy_from_slice(&number.to_le_bytes());
                    send(&block)?;
                }
                Ok(())
            }));
        }
        let mut receive = self.way.receiver()?;
        Ok(Box::new(move || {
            for number in 0..messages {
                receive(&mut block)?;
                let stamp = number.to_le_bytes();
                let is_right = block.len() == len && block.starts_with(&stamp);
                mp::ensure!(is_right && block.ends_with(&stamp), "block {number} is wrong");
            }
            Ok(())
        }))
    }
}

/// The two processes of a stream, and how many parts its time is divided into.
pub(crate) struct Streaming(Players, u32);

impl Streaming {
    /// Shows the time of `unit` numbers of `messages`.
    pub(crate) fn numbers(way: impl Numbers, messages: u32, unit: u32) -> mp::Result<Streaming> {
        Streaming::of(&NumberStream { way, messages }, messages / unit)
    }

    /// Shows the time of one block of `messages`.
    pub(crate) fn blocks(way: impl Blocks, messages: u32, len: usize) -> mp::Result<Streaming> {
        Streaming::of(&BlockStream { way, messages, len }, messages)
    }

    pub(crate) fn of(parts: &impl Parts, divided: u32) -> mp::Result<Streaming> {
        Ok(Streaming(Players::start(parts)?, divided))
    }

    pub(crate) fn measure(&mut self) -> mp::Result<Duration> {
        Ok(self.0.play()? / self.1)
    }
}
