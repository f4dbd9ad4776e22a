//! Locks, events and conditions, between two processes but for what concerns one alone.
//!
//! A round of ping-pong is there and back: each process waits once and lets the other go once.

use std::hint::black_box;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bare::{RobustMutex, Signals};
use crate::duet::{Duet, Players};
use crate::pair::{Measured, Pairs, time};
use crate::python::Against;

const WARM_UP: usize = 2;
const ROUNDS: usize = 31;
const PYTHON_ROUNDS: usize = 11;

/// Locks are so fast that the time of so many is measured, and that of one shown.
pub(crate) const CALLS: u32 = 1000;
const UNCONTENDED: u32 = 200 * CALLS;
/// How often each of two processes takes the lock.
const CONTENDED: u32 = 500 * CALLS;
const PYTHON_CONTENDED: u32 = 20 * CALLS;
pub(crate) const PING_PONGS: u32 = 5000;
const PYTHON_PING_PONGS: u32 = 500;
const NEW_LOCKS: u32 = 200;
const PYTHON: Against = Against { script: "sync.py", warm_up: 1, rounds: PYTHON_ROUNDS };

pub(crate) fn lock_uncontended() -> mp::Result<Measured> {
    let (ours, other) = (mp::Lock::new()?, parking_lot::Mutex::new(()));
    let take_ours = || {
        time(|| {
            for _ in 0..UNCONTENDED {
                drop(black_box(&ours).acquire()?);
            }
            Ok(())
        })
    };
    let take_other = || {
        time(|| {
            (0..UNCONTENDED).for_each(|_| drop(black_box(&other).lock()));
            Ok(())
        })
    };
    let per_calls = |time: Duration| time / (UNCONTENDED / CALLS);
    Pairs::measure(WARM_UP, ROUNDS, || take_ours().map(per_calls), || take_other().map(per_calls))
}

/// Both count under one lock.
#[derive(Clone, Serialize, Deserialize)]
struct Counting<L> {
    lock: L,
    count: mp::RawValue<u64>,
}

impl<L> Counting<L> {
    fn new(lock: L) -> mp::Result<Counting<L>> {
        Ok(Counting { lock, count: mp::RawValue::new(0)? })
    }

    fn count(&self) {
        self.count.set(self.count.get() + 1);
    }

    /// The time of some calls, when both have taken the lock as often as they should.
    fn measure(&self, players: &mut Players) -> mp::Result<Duration> {
        self.count.set(0);
        let elapsed = players.play()?;
        let count = self.count.get();
        mp::ensure!(count == u64::from(2 * CONTENDED), "{count} of {} were counted", 2 * CONTENDED);
        Ok(elapsed / (2 * CONTENDED / CALLS))
    }
}

impl Duet for Counting<mp::Lock> {
    fn play(&self, _: usize) -> mp::Result<()> {
        for _ in 0..CONTENDED {
            let _held = self.lock.acquire()?;
            self.count();
        }
        Ok(())
    }
}

impl Duet for Counting<RobustMutex> {
    fn play(&self, _: usize) -> mp::Result<()> {
        (0..CONTENDED).try_for_each(|_| self.lock.hold(|| self.count()))
    }
}

pub(crate) fn lock_contended_robust() -> mp::Result<Measured> {
    let (ours, other) = (Counting::new(mp::Lock::new()?)?, Counting::new(RobustMutex::new()?)?);
    let (mut our_players, mut others) = (Players::start(&ours)?, Players::start(&other)?);
    let measure_ours = || ours.measure(&mut our_players);
    Pairs::measure(WARM_UP, ROUNDS, measure_ours, || other.measure(&mut others))
}

pub(crate) fn lock_contended_python() -> mp::Result<Measured> {
    let ours = Counting::new(mp::Lock::new()?)?;
    let mut players = Players::start(&ours)?;
    let measure_ours = || ours.measure(&mut players);
    PYTHON.measure("lock", PYTHON_CONTENDED, 2 * PYTHON_CONTENDED / CALLS, measure_ours)
}

/// One event for each direction.
#[derive(Clone, Serialize, Deserialize)]
struct Events([mp::Event; 2]);

impl Events {
    fn new() -> mp::Result<Events> {
        Ok(Events([mp::Event::new()?, mp::Event::new()?]))
    }

    fn receive(&self, index: usize) -> mp::Result<()> {
        self.0[index].wait()?;
        self.0[index].clear();
        Ok(())
    }
}

impl Duet for Events {
    fn play(&self, side: usize) -> mp::Result<()> {
        for _ in 0..PING_PONGS {
            if side == 0 {
                self.0[0].set();
                self.receive(1)?;
            } else {
                self.receive(0)?;
                self.0[1].set();
            }
        }
        Ok(())
    }
}

impl Duet for Signals {
    fn play(&self, side: usize) -> mp::Result<()> {
        for _ in 0..PING_PONGS {
            if side == 0 {
                self.send(0);
                self.receive(1);
            } else {
                self.receive(0);
                self.send(1);
            }
        }
        Ok(())
    }
}

/// The side whose turn it is, under a condition.
#[derive(Clone, Serialize, Deserialize)]
struct Turns {
    turn: mp::RawValue<u64>,
    condition: mp::Condition,
}

impl Turns {
    fn new() -> mp::Result<Turns> {
        Ok(Turns { turn: mp::RawValue::new(0)?, condition: mp::Condition::new()? })
    }
}

impl Duet for Turns {
    fn play(&self, side: usize) -> mp::Result<()> {
        let mine = side as u64;
        for _ in 0..PING_PONGS {
            let mut guard = self.condition.acquire()?;
            guard.wait_for(|| self.turn.get() == mine)?;
            self.turn.set(1 - mine);
            guard.notify(1);
        }
        Ok(())
    }
}

fn round_of(players: &mut Players) -> mp::Result<Duration> {
    Ok(players.play()? / PING_PONGS)
}

pub(crate) fn event_python() -> mp::Result<Measured> {
    let mut players = Players::start(&Events::new()?)?;
    PYTHON.measure("event", PYTHON_PING_PONGS, PYTHON_PING_PONGS, || round_of(&mut players))
}

pub(crate) fn condition_python() -> mp::Result<Measured> {
    let mut players = Players::start(&Turns::new()?)?;
    PYTHON.measure("condition", PYTHON_PING_PONGS, PYTHON_PING_PONGS, || round_of(&mut players))
}

pub(crate) fn event_one_core() -> mp::Result<Measured> {
    on_one_core(&Events::new()?)
}

pub(crate) fn condition_one_core() -> mp::Result<Measured> {
    on_one_core(&Turns::new()?)
}

/// A ping-pong against that of two bare words, all processes on one core.
pub(crate) fn on_one_core(ours: &impl Duet) -> mp::Result<Measured> {
    let mut our_players = Players::start_on_one_core(ours)?;
    let mut others = Players::start_on_one_core(&Signals::new()?)?;
    Pairs::measure(WARM_UP, ROUNDS, || round_of(&mut our_players), || round_of(&mut others))
}

/// A new lock is free and lies where others can reach it; the old ones are dropped unmeasured.
pub(crate) fn create_lock() -> mp::Result<Measured> {
    let ours = || {
        let mut locks = Vec::with_capacity(NEW_LOCKS as usize);
        let elapsed = time(|| {
            for _ in 0..NEW_LOCKS {
                locks.push(mp::Lock::new()?);
            }
            Ok(())
        })?;
        mp::ensure!(!locks.iter().any(mp::Lock::is_locked), "a new lock is not free");
        Ok(elapsed / NEW_LOCKS)
    };
    PYTHON.measure("create", NEW_LOCKS, NEW_LOCKS, ours)
}
