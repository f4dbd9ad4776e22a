//! Parties meet at a barrier, round after round: nobody goes on before all have come, and when one is killed the others are
//! told, and none of them waits for ever.

use mp::{Barrier, BarrierError, Broken};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::stage::{Notes, Stage, pause};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    meetings: u64,
    parties: Vec<Party>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Party {
    actor: usize,
    pause_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let meetings = casting.between(2, 30);
        // A process takes part from its first wait on, so nobody is killed before that.
        let parties = casting.some(2, 5, |casting| Party {
            actor: casting.actor_in("party", 1..meetings, Fate::Mortal, 20),
            pause_us: casting.one_of(&[0, 0, 50, 1_000]),
        });
        Script { meetings, parties }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Meeting> {
        let barrier = Barrier::new(self.parties.len())?;
        let ledger = Ledger {
            parties: self.parties.len(),
            meetings: self.meetings,
            come: Notes::new(self.parties.len())?,
            numbers: Notes::new(self.parties.len() * usize::try_from(self.meetings)?)?,
        };
        for (place, party) in self.parties.iter().enumerate() {
            let (barrier, ledger) = (barrier.clone(), ledger.clone());
            let part = Part { barrier, ledger, place, pause_us: party.pause_us };
            company.start(party.actor, super::Part::Barrier(part))?;
        }
        Ok(Meeting { script: self.clone(), barrier, ledger })
    }
}

/// What is written down; each word by one process alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    parties: usize,
    meetings: u64,
    /// To how many meetings each has come.
    come: Notes,
    /// The number of each at each meeting, and one more; 0 if it has none.
    numbers: Notes,
}

impl Ledger {
    fn at(&self, place: usize, meeting: u64) -> mp::Result<usize> {
        Ok(place + self.parties * usize::try_from(meeting)?)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    barrier: Barrier,
    ledger: Ledger,
    place: usize,
    pause_us: u64,
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        let Part { barrier, ledger, place, pause_us } = self;
        for meeting in 0..ledger.meetings {
            stage.step()?;
            pause(pause_us);
            ledger.come.set(place, meeting + 1);
            match barrier.wait() {
                Ok(number) => ledger.numbers.set(ledger.at(place, meeting)?, number as u64 + 1),
                Err(BarrierError::Broken(Broken::PartyDied { .. })) => return Ok(Told::Broken),
                Err(error) => return Err(mp::Error::from(error).context("a barrier")),
            }
            let early = (0..ledger.parties).find(|&other| ledger.come.get(other) <= meeting);
            if let Some(other) = early {
                mp::bail!("party {place} went on at meeting {meeting} before party {other} came");
            }
        }
        Ok(Told::Nothing)
    }
}

pub(crate) struct Meeting {
    script: Script,
    barrier: Barrier,
    ledger: Ledger,
}

impl Playing for Meeting {
    fn check(
        &mut self,
        company: &Company,
        _: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let actors = || self.script.parties.iter().map(|party| party.actor);
        let has_death = actors().any(|actor| company.was_killed(actor));
        if !has_death && actors().any(|actor| company.told(actor) == Some(&Told::Broken)) {
            problems.push("a barrier broke, and nobody was killed".to_owned());
        }
        for meeting in 0..self.script.meetings {
            let mut numbers = Vec::new();
            for place in 0..self.script.parties.len() {
                numbers.push(self.ledger.numbers.get(self.ledger.at(place, meeting)?));
            }
            let mut given: Vec<_> = numbers.iter().copied().filter(|&number| number > 0).collect();
            given.sort_unstable();
            given.dedup();
            let are_given = numbers.iter().filter(|number| **number > 0).count();
            if given.len() != are_given || given.last().is_some_and(|&n| n > numbers.len() as u64) {
                problems.push(format!("meeting {meeting} gave the numbers {numbers:?}"));
            }
            if !has_death && are_given != numbers.len() {
                problems.push(format!("not all came to meeting {meeting}: {numbers:?}"));
            }
        }
        self.barrier.reset()?;
        if self.barrier.broken() || self.barrier.n_waiting() != 0 {
            problems.push(format!("a barrier is not whole after a reset: {:?}", self.barrier));
        }
        Ok(())
    }
}
