//! What an actor has of the director: where it tells how far it is, and how it is told to begin.

use std::time::{Duration, Instant};

use mp::{DupFd, Event, RawArray, Semaphore};
use serde::{Deserialize, Serialize};

use crate::sabotage::Sabotage;
use crate::strike::is_shortage;

/// Numbers that one process writes and others read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Notes(RawArray<u64>);

impl Notes {
    /// So many zeros.
    pub(crate) fn new(len: usize) -> mp::Result<Notes> {
        Ok(Notes(RawArray::zeroed(len.max(1))?))
    }

    pub(crate) fn get(&self, at: usize) -> u64 {
        self.0.get(at).expect("the place of a note is known")
    }

    pub(crate) fn set(&self, at: usize, value: u64) {
        self.0.set(at, value).expect("the place of a note is known");
    }

    /// For a note that nobody else writes.
    pub(crate) fn add(&self, at: usize, more: u64) {
        self.set(at, self.get(at) + more);
    }
}

/// An announced step: as it is on the way to the one who strikes.
pub(crate) const CUE_LEN: usize = 24;

/// A step of an actor, as it is announced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cue {
    pub(crate) actor: usize,
    pub(crate) step: u64,
    /// Who is to be struck.
    pub(crate) pid: u32,
}

impl Cue {
    pub(crate) fn to_bytes(self) -> [u8; CUE_LEN] {
        let mut bytes = [0; CUE_LEN];
        let words = [self.actor as u64, self.step, u64::from(self.pid)];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; CUE_LEN]) -> Option<Cue> {
        let mut words = bytes
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)));
        let actor = usize::try_from(words.next()?).ok()?;
        Some(Cue { actor, step: words.next()?, pid: u32::try_from(words.next()?).ok()? })
    }
}

/// What an actor has of the director.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// The number of the actor.
    pub(crate) actor: usize,
    /// How many steps each has begun.
    pub(crate) board: Notes,
    /// The steps that are to be announced, of all actors.
    pub(crate) cues: Vec<(usize, u64)>,
    /// Where they are announced.
    pub(crate) line: DupFd,
    /// Who is there gives a permit.
    pub(crate) there: Semaphore,
    /// Set when all are there.
    pub(crate) start: Event,
    /// Whether the actor is to come short of something.
    pub(crate) is_wretched: bool,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Stage {
    /// Tells that this actor has all that it needs, and sleeps until the round begins.
    pub(crate) fn wait_for_start(&self) -> mp::Result<()> {
        self.there.release()?;
        Ok(self.start.wait()?)
    }

    /// Begins the next step.
    pub(crate) fn step(&self) -> mp::Result<()> {
        let step = self.board.get(self.actor);
        self.announce(self.actor, step, std::process::id())?;
        self.board.set(self.actor, step + 1);
        Ok(())
    }

    /// Announces a step of this process or another.
    pub(crate) fn announce(&self, actor: usize, step: u64, pid: u32) -> mp::Result<()> {
        if self.cues.contains(&(actor, step)) {
            let cue = Cue { actor, step, pid };
            // In one piece, for several write.
            rustix::io::write(&self.line, &cue.to_bytes())?;
        }
        Ok(())
    }

    /// For another process, which plays `actor`.
    pub(crate) fn pass_on(&self, actor: usize, is_wretched: bool) -> mp::Result<Stage> {
        Ok(Stage {
            actor,
            board: self.board.clone(),
            cues: self.cues.clone(),
            line: self.line.try_clone()?,
            there: self.there.clone(),
            start: self.start.clone(),
            is_wretched,
            sabotage: self.sabotage,
        })
    }

    /// Whether a call of this actor may fail like that.
    pub(crate) fn excuses(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        self.is_wretched && is_shortage(error)
    }

    /// Whether this actor is to break the invariant; the first time only.
    pub(crate) fn spoils(&mut self, how: Sabotage) -> bool {
        let is_meant = self.sabotage == Some(how);
        if is_meant {
            self.sabotage = None;
        }
        is_meant
    }
}

/// Lets so much time pass: slept away, or computed away when it is too short for that.
pub(crate) fn pause(us: u64) {
    let time = Duration::from_micros(us);
    if us > SHORTEST_SLEEP_US {
        return std::thread::sleep(time);
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// A sleep takes about so much longer than it is asked to.
const SHORTEST_SLEEP_US: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cue_arrives_as_it_was_sent() {
        let cue = Cue { actor: 3, step: 1 << 40, pid: 77 };
        assert_eq!(Cue::from_bytes(&cue.to_bytes()), Some(cue));
    }
}
