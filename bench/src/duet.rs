//! Two processes that do something together, as often as they are asked.
//!
//! They live as long as their case, so that a start is never measured.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::pair::time;

/// What two processes do together. It goes to both.
pub(crate) trait Duet: Clone + Serialize + DeserializeOwned + 'static {
    /// The part of side 0 or side 1, once.
    fn play(&self, side: usize) -> mp::Result<()>;
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

fn answer<D: Duet>(duet: D, side: usize, line: Line) -> mp::Result<()> {
    loop {
        line.asked.wait()?;
        line.asked.clear();
        duet.play(side)?;
        line.done.set();
    }
}

impl Players {
    /// Each runs on a core of its own; left to itself, a system with other work often puts both on one.
    pub(crate) fn start<D: Duet>(duet: &D) -> mp::Result<Players> {
        Ok(Players([Player::start(duet, 0, 0)?, Player::start(duet, 1, 1)?]))
    }

    /// Both run on the first core.
    pub(crate) fn start_on_one_core<D: Duet>(duet: &D) -> mp::Result<Players> {
        Ok(Players([Player::start(duet, 0, 0)?, Player::start(duet, 1, 0)?]))
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
    fn start<D: Duet>(duet: &D, side: usize, core: usize) -> mp::Result<Player> {
        let line = Line { asked: mp::Event::new()?, done: mp::Event::new()? };
        let builder = mp::Process::builder(answer::<D>, (duet.clone(), side, line.clone()));
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
