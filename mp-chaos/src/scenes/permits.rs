//! Permits of a semaphore are held by processes that are killed: all of them come back.

use std::time::Duration;

use mp::{BoundedSemaphore, Semaphore, SyncError};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::sabotage::Sabotage;
use crate::stage::{Stage, pause};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    permits: u32,
    is_bounded: bool,
    holders: Vec<Holder>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    actor: usize,
    steps: Vec<Hold>,
}

/// A step of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Hold {
    times: u64,
    /// Another permit while it has one, if there is one.
    wants_two: bool,
    inside_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        Script {
            permits: u32::try_from(casting.between(1, 3)).unwrap_or(1),
            is_bounded: casting.chance(50),
            holders: casting.some(2, 5, |casting| {
                let steps = casting.some(2, 10, |casting| Hold {
                    times: casting.between(1, 40),
                    wants_two: casting.chance(30),
                    inside_us: casting.one_of(&[0, 5, 100, 1_000]),
                });
                let actor = casting.actor("holder", steps.len() as u64, Fate::Wretched);
                Holder { actor, steps }
            }),
        }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Permitting> {
        let semaphore = if self.is_bounded {
            Permits::Bounded(BoundedSemaphore::new(self.permits)?)
        } else {
            Permits::Plain(Semaphore::new(self.permits)?)
        };
        for holder in &self.holders {
            let part = Part { semaphore: semaphore.clone(), steps: holder.steps.clone() };
            company.start(holder.actor, super::Part::Permits(part))?;
        }
        Ok(Permitting { script: self.clone(), semaphore })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Permits {
    Plain(Semaphore),
    Bounded(BoundedSemaphore),
}

impl Permits {
    fn acquire(&self, patience: Option<Duration>) -> Result<Option<mp::Permit<'_>>, SyncError> {
        match (self, patience) {
            (Permits::Plain(semaphore), None) => semaphore.acquire().map(Some),
            (Permits::Plain(semaphore), Some(limit)) => semaphore.acquire_timeout(limit),
            (Permits::Bounded(semaphore), None) => semaphore.acquire().map(Some),
            (Permits::Bounded(semaphore), Some(limit)) => semaphore.acquire_timeout(limit),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    semaphore: Permits,
    steps: Vec<Hold>,
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        for step in &self.steps {
            stage.step()?;
            for _ in 0..step.times {
                match self.hold(step, stage) {
                    Ok(()) => {}
                    Err(error) if stage.excuses(&error) => {}
                    Err(error) => return Err(mp::Error::from(error).context("a permit")),
                }
            }
        }
        Ok(Told::Nothing)
    }

    fn hold(&self, step: &Hold, stage: &mut Stage) -> Result<(), SyncError> {
        let Some(permit) = self.semaphore.acquire(None)? else { return Ok(()) };
        let _second = match step.wants_two {
            true => self.semaphore.acquire(Some(Duration::ZERO))?,
            false => None,
        };
        pause(step.inside_us);
        if stage.spoils(Sabotage::KeepPermit) {
            permit.forget()?;
        }
        Ok(())
    }
}

pub(crate) struct Permitting {
    script: Script,
    semaphore: Permits,
}

impl Playing for Permitting {
    fn check(&mut self, _: &Company, _: &[Struck], problems: &mut Vec<String>) -> mp::Result<()> {
        let mut permits = Vec::new();
        while permits.len() <= self.script.permits as usize
            && let Some(permit) = self.semaphore.acquire(Some(Duration::ZERO))?
        {
            permits.push(permit);
        }
        if permits.len() != self.script.permits as usize {
            problems.push(format!(
                "{} permits are free, not {}",
                permits.len(),
                self.script.permits
            ));
        }
        Ok(())
    }
}
