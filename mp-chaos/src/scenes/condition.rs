//! Tickets are given and taken under a condition: nobody sleeps while there are any, and none is lost or made.

use std::time::{Duration, Instant};

use mp::{Condition, SyncError};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::stage::{Notes, Stage, pause};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    givers: Vec<Giver>,
    takers: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Giver {
    actor: usize,
    steps: Vec<Give>,
}

/// A step of a giver.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Give {
    times: u64,
    tickets: usize,
    pause_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let givers = casting.some(1, 2, |casting| {
            let steps = casting.some(2, 10, |casting| Give {
                times: casting.between(1, 30),
                tickets: casting.size(1, 3),
                pause_us: casting.one_of(&[0, 20, 500]),
            });
            let actor = casting.actor("giver", steps.len() as u64, Fate::Mortal);
            Giver { actor, steps }
        });
        let takers = casting.some(1, 3, |casting| casting.actor("taker", 30, Fate::Mortal));
        Script { givers, takers }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Ticketing> {
        let everybody = self.givers.len() + self.takers.len();
        let hall = Hall {
            condition: Condition::new()?,
            tickets: Notes::new(1)?,
            is_over: Notes::new(1)?,
            moved: Notes::new(everybody)?,
        };
        for (place, giver) in self.givers.iter().enumerate() {
            let part = Part { hall: hall.clone(), place, gives: Some(giver.steps.clone()) };
            company.start(giver.actor, super::Part::Condition(part))?;
        }
        for (place, taker) in (self.givers.len()..).zip(&self.takers) {
            let part = Part { hall: hall.clone(), place, gives: None };
            company.start(*taker, super::Part::Condition(part))?;
        }
        Ok(Ticketing { script: self.clone(), hall })
    }
}

/// What all share.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hall {
    condition: Condition,
    /// How many there are; written under the condition.
    tickets: Notes,
    is_over: Notes,
    /// How many each has given or taken; written by each alone.
    moved: Notes,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    hall: Hall,
    place: usize,
    /// What a giver does; a taker takes until all is over.
    gives: Option<Vec<Give>>,
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        let Part { hall, place, gives } = self;
        match gives {
            Some(steps) => hall.give(place, &steps, stage)?,
            None => while hall.take(place, stage)? {},
        }
        Ok(Told::Nothing)
    }
}

impl Hall {
    fn give(&self, place: usize, steps: &[Give], stage: &Stage) -> mp::Result<()> {
        for step in steps {
            stage.step()?;
            for _ in 0..step.times {
                let guard = self.condition.acquire()?;
                self.tickets.add(0, step.tickets as u64);
                self.moved.add(place, step.tickets as u64);
                guard.notify(step.tickets);
                drop(guard);
                pause(step.pause_us);
            }
        }
        Ok(())
    }

    /// Takes a ticket; `false` when all is over.
    fn take(&self, place: usize, stage: &Stage) -> mp::Result<bool> {
        stage.step()?;
        let mut guard = self.condition.acquire()?;
        guard.wait_for(|| self.tickets.get(0) > 0 || self.is_over.get(0) != 0)?;
        if self.tickets.get(0) == 0 {
            return Ok(false);
        }
        self.tickets.set(0, self.tickets.get(0) - 1);
        self.moved.add(place, 1);
        Ok(true)
    }

    fn notify_all(&self, is_over: bool) -> Result<(), SyncError> {
        let guard = self.condition.acquire()?;
        self.is_over.set(0, u64::from(is_over));
        guard.notify_all();
        Ok(())
    }
}

/// How long takers have to take what there is: more than any of them is stopped.
const ENOUGH: Duration = Duration::from_secs(10);

pub(crate) struct Ticketing {
    script: Script,
    hall: Hall,
}

impl Playing for Ticketing {
    fn attend(&mut self, company: &Company, problems: &mut Vec<String>) -> mp::Result<()> {
        company.wait_for_all(self.script.givers.iter().map(|giver| giver.actor));
        let takers = || self.script.takers.iter().copied();
        let everybody = takers().chain(self.script.givers.iter().map(|giver| giver.actor));
        // One that is killed may have a notification with it, until the next one.
        if everybody.clone().any(|actor| company.blow(actor).is_some()) {
            self.hall.notify_all(false)?;
        }
        let mut deadline = Instant::now() + ENOUGH;
        let mut deaths = 0;
        while self.hall.tickets.get(0) > 0 && !company.have_ended(takers()) {
            let now = takers().filter(|&taker| company.was_killed(taker)).count();
            if now > deaths {
                deaths = now;
                deadline = Instant::now() + ENOUGH;
                self.hall.notify_all(false)?;
            }
            if Instant::now() > deadline {
                let tickets = self.hall.tickets.get(0);
                problems.push(format!("takers sleep, and there are {tickets} tickets"));
                company.kill(takers());
                return Ok(());
            }
            // What lies in shared memory tells nobody that it has changed.
            std::thread::sleep(Duration::from_millis(1));
        }
        self.hall.notify_all(true)?;
        company.wait_for_all(takers());
        Ok(())
    }

    fn check(
        &mut self,
        company: &Company,
        _: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let givers = self.script.givers.len();
        let sum = |places: std::ops::Range<usize>| -> u64 {
            places.map(|place| self.hall.moved.get(place)).sum()
        };
        let (given, taken) = (sum(0..givers), sum(givers..givers + self.script.takers.len()));
        let left = self.hall.tickets.get(0);
        // One who was killed may have changed the number and not said so.
        let more = self.script.givers.iter().filter(|giver| company.was_killed(giver.actor));
        let most = |giver: &Giver| giver.steps.iter().map(|step| step.tickets as u64).max();
        let more: u64 = more.filter_map(most).sum();
        let less = self.script.takers.iter().filter(|taker| company.was_killed(**taker)).count();
        if left + taken > given + more || left + taken + (less as u64) < given {
            problems.push(format!("{given} tickets given, {taken} taken, {left} left"));
        }
        Ok(())
    }
}
