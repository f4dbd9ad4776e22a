//! Two processes that do something together, as often as they are asked.
//!
//! They live as long as their case, so that a start is never measured.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::pair::time;

/// What one side does each time.
pub(crate) type Part = Box<dyn FnMut() -> mp::Result<()>>;

/// What two processes do together. It goes to both.
pub(crate) trait Parts: Clone + Serialize + DeserializeOwned + 'static {
    /// The part of side 0 or side 1, ready to be played as often as it is asked for.
    fn part(self, side: usize) -> mp::Result<Part>;
}

/// Parts that need no preparation.
pub(crate) trait Duet: Clone + Serialize + DeserializeOwned + 'static {
    /// The part of side 0 or side 1, once.
    fn play(&self, side: usize) -> mp::Result<()>;
}

impl<D: Duet> Parts for D {
    fn part(self, side: usize) -> mp::Result<Part> {
        Ok(Box::new(move || self.play(side)))
    }
}

/// The two processes of a duet.
pub(crate) struct Players([Player; 2]);

struct Player {
    process: mp::Process<()>,
    line: Line,
}

/// How a player is asked and answers.
#[derive(Clone, Serialize, Deserialize)]
struct Line {
    asked: mp::Event,
    done: mp::Event,
}

fn answer<P: Parts>(parts: P, side: usize, line: Line) -> mp::Result<()> {
    let mut play = parts.part(side)?;
    loop {
        line.asked.wait()?;
        line.asked.clear();
        play()?;
        line.done.set();
    }
}

impl Players {
    /// Each runs on a core of its own; left to itself, a system with other work often puts both on one.
    pub(crate) fn start<P: Parts>(parts: &P) -> mp::Result<Players> {
        Ok(Players([Player::start(parts, 0, 0)?, Player::start(parts, 1, 1)?]))
    }

    /// Both run on the first core.
    pub(crate) fn start_on_one_core<P: Parts>(parts: &P) -> mp::Result<Players> {
        Ok(Players([Player::start(parts, 0, 0)?, Player::start(parts, 1, 0)?]))
    }

    /// How long it takes them to play once.
    pub(crate) fn play(&mut self) -> mp::Result<Duration> {
        time(|| {
            self.0.iter().for_each(|player| player.line.asked.set());
            self.0.iter().try_for_each(Player::wait_until_done)
        })
    }
}

impl Player {
    fn start<P: Parts>(parts: &P, side: usize, core: usize) -> mp::Result<Player> {
        let line = Line { asked: mp::Event::new()?, done: mp::Event::new()? };
        let builder = mp::Process::builder(answer::<P>, (parts.clone(), side, line.clone()));
        let process = builder.daemon(true).cpu_affinity([core]).start()?;
        Ok(Player { process, line })
    }

    fn wait_until_done(&self) -> mp::Result<()> {
        while !self.line.done.wait_timeout(Duration::from_secs(1))? {
            mp::ensure!(self.process.is_alive(), "{} has ended", self.process.name());
        }
        self.line.done.clear();
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.process.kill();
        let _killed = self.process.join();
    }
}
